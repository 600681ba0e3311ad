//! Waits: wakes from other threads, batches under load, deadlines in order.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use longhold_transport::{Completion, Config, Transport};

use crate::support::{edge, open, wait_until};

/// TR-6: whatever was counted before a wake is seen after the `Woken` that answers it.
#[test]
fn no_wake_is_lost_between_threads() {
    const THREADS: u64 = 8;
    const EACH: u64 = 5_000;
    let (mut edge, _) = edge(Config::default());
    let posted = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (waker, posted) = (edge.waker(), Arc::clone(&posted));
            std::thread::spawn(move || {
                for _ in 0..EACH {
                    posted.fetch_add(1, Ordering::Relaxed);
                    waker.wake();
                }
            })
        })
        .collect();
    let mut seen = 0;
    wait_until(&mut edge, |_, done| {
        assert!(matches!(done, Completion::Woken), "{done:?}");
        seen = posted.load(Ordering::Relaxed);
        seen == THREADS * EACH
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(seen, THREADS * EACH);
}

#[test]
fn waker_outlives_its_reactor() {
    let (edge, _) = edge(Config::default());
    let waker = edge.waker();
    drop(edge);
    waker.wake();
    waker.wake();
}

/// After a large batch a wait asks for several completions; a single one must still end it.
#[test]
fn gathering_never_holds_a_lone_completion_back() {
    let config = Config { slots: 128, buffers: 128, wait_min_us: 500, ..Config::default() };
    let (mut edge, address) = edge(config);
    let (tokens, mut clients) = open(&mut edge, address, 100);
    for _ in 0..5 {
        tokens.iter().for_each(|token| edge.park(*token));
        clients.iter_mut().for_each(|client| client.write_all(b"x").unwrap());
        let mut count = 0;
        wait_until(&mut edge, |edge, done| {
            match done {
                Completion::Readable { token } => {
                    let buffer = edge.buffer().unwrap();
                    edge.receive(token, buffer);
                }
                Completion::Received { buffer, .. } => {
                    edge.recycle(buffer);
                    count += 1;
                }
                other => panic!("{other:?}"),
            }
            count == tokens.len()
        });
        edge.park(tokens[0]);
        clients[0].write_all(b"y").unwrap();
        let start_us = edge.now().monotonic_us;
        let mut done = Vec::new();
        edge.wait(Some(start_us + 10_000_000), &mut done).unwrap();
        assert!(matches!(done[..], [Completion::Readable { .. }]), "{done:?}");
        assert!(edge.now().monotonic_us < start_us + 5_000_000, "it waited for others");
        let buffer = edge.buffer().unwrap();
        edge.receive(tokens[0], buffer);
        wait_until(&mut edge, |edge, done| {
            let Completion::Received { buffer, .. } = done else { panic!("{done:?}") };
            edge.recycle(buffer);
            true
        });
    }
}

#[test]
fn deadlines_come_in_order_while_others_are_far() {
    let (mut edge, _) = edge(Config::default());
    let start_us = edge.now().monotonic_us;
    let mut done = Vec::new();
    for after_us in [30_000, 1_000, 10_000, 5_000] {
        let until_us = start_us + after_us;
        edge.wait(Some(until_us), &mut done).unwrap();
        assert!(edge.now().monotonic_us >= until_us);
    }
    assert!(done.is_empty(), "{done:?}");
    assert!(edge.now().monotonic_us < start_us + 5_000_000);
}

/// A wait without a deadline is no reason to look again and again.
#[test]
fn wait_without_a_deadline_sleeps() {
    let config = Config { wait_min_us: 50, ..Config::default() };
    let (mut edge, _) = edge(config);
    let waker = edge.waker();
    let sleeper = rustix::thread::gettid().as_raw_nonzero();
    let observer = std::thread::spawn(move || {
        let status = format!("/proc/self/task/{sleeper}/status");
        let switches = || {
            let text = std::fs::read_to_string(&status).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.unwrap().trim().parse::<u64>().unwrap()
        };
        let before = switches();
        std::thread::sleep(std::time::Duration::from_millis(200));
        let seen = switches() - before;
        waker.wake();
        seen
    });
    let mut done = Vec::new();
    edge.wait(None, &mut done).unwrap();
    assert!(matches!(done[..], [Completion::Woken]), "{done:?}");
    let seen = observer.join().unwrap();
    assert!(seen < 100, "it woke {seen} times");
}
