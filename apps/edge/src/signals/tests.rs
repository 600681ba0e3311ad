//! The stages, and that no wake is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{Callback, Stage, Stop, listen, raise_open_files};

fn counter() -> (Arc<AtomicUsize>, Callback) {
    let count = Arc::new(AtomicUsize::new(0));
    let shared = Arc::clone(&count);
    let callback = move || {
        shared.fetch_add(1, Ordering::SeqCst);
    };
    (count, Arc::new(callback))
}

/// SG-1
#[test]
fn stages_go_forward_one_step_per_request_and_stay_at_the_last() {
    let stop = Stop::new();
    let (count, callback) = counter();
    stop.on_change(callback);
    assert_eq!(stop.state(), Stage::Running);
    let table = [(Stage::Draining, 1), (Stage::Now, 2), (Stage::Now, 2), (Stage::Now, 2)];
    for (stage, calls) in table {
        assert_eq!(stop.request(), stage);
        assert_eq!(stop.state(), stage);
        assert_eq!(count.load(Ordering::SeqCst), calls);
    }
}

/// SG-2
#[test]
fn late_registration_is_called_at_once() {
    let stop = Stop::new();
    stop.request();
    let (count, callback) = counter();
    stop.on_change(callback);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    stop.request();
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

/// SG-2, under contention: whatever the order, each of the two registrants hears of the change.
#[test]
fn registration_beside_a_request_never_misses_it() {
    for _ in 0..200 {
        let stop = Stop::new();
        let (count, callback) = counter();
        let other = stop.clone();
        let requester = thread::spawn(move || other.request());
        stop.on_change(callback);
        requester.join().unwrap();
        assert!(count.load(Ordering::SeqCst) >= 1);
    }
}

/// SG-3
#[test]
fn callback_may_register_and_request() {
    let stop = Stop::new();
    let (count, callback) = counter();
    let inner = stop.clone();
    stop.on_change(Arc::new(move || {
        if inner.state() == Stage::Draining {
            inner.request();
            inner.on_change(Arc::clone(&callback));
        }
    }));
    stop.request();
    assert_eq!(stop.state(), Stage::Now);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn hang_up_calls_its_own_and_leaves_the_stage() {
    let stop = Stop::new();
    let (changes, on_change) = counter();
    let (hangups, on_hangup) = counter();
    stop.on_change(on_change);
    stop.on_hangup(on_hangup);
    stop.hang_up();
    stop.hang_up();
    assert_eq!(hangups.load(Ordering::SeqCst), 2);
    assert_eq!(changes.load(Ordering::SeqCst), 0);
    assert_eq!(stop.state(), Stage::Running);
}

#[test]
fn signals_reach_the_handle() {
    let stop = Stop::new();
    let (sender, receiver) = std::sync::mpsc::channel();
    let hangup = sender.clone();
    stop.on_hangup(Arc::new(move || hangup.send("hangup").unwrap()));
    stop.on_change(Arc::new(move || sender.send("change").unwrap()));
    let listening = listen(&stop).unwrap();
    for (signal, word) in [
        (signal_hook::consts::SIGHUP, "hangup"),
        (signal_hook::consts::SIGTERM, "change"),
        (signal_hook::consts::SIGINT, "change"),
    ] {
        signal_hook::low_level::raise(signal).unwrap();
        assert_eq!(receiver.recv_timeout(std::time::Duration::from_secs(10)), Ok(word));
    }
    assert_eq!(stop.state(), Stage::Now);
    drop(listening);
}

#[test]
fn open_files_are_raised_to_the_hard_limit() {
    let raised = raise_open_files().unwrap();
    assert!(raised.now >= raised.before);
    assert_eq!(raise_open_files().unwrap().before, raised.now);
}
