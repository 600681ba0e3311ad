//! TR-10: a reactor may be dropped at any moment; everything falls once, and sockets close.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use longhold_transport::{Config, Transport};

use crate::support::{Edge, bind, counted, edge, open};

const BLOCKING_BYTES: usize = 16 << 20;

#[test]
fn dropping_in_mid_flight_frees_everything_once() {
    for slots_per_shard in [0, 2] {
        let config = Config { slots: 12, slots_per_shard, ..Config::default() };
        let (mut edge, address) = edge(config);
        let (tokens, clients) = open(&mut edge, address, 9);
        let drops = Arc::new(AtomicUsize::new(0));
        for (place, token) in tokens.iter().enumerate() {
            match place % 3 {
                0 => edge.park(*token),
                1 => {
                    let buffer = edge.buffer().unwrap();
                    edge.receive(*token, buffer);
                }
                _ => edge.send(*token, counted(BLOCKING_BYTES, &drops)),
            }
        }
        edge.waker().wake();
        let mut done = Vec::new();
        edge.wait(Some(edge.now().monotonic_us + 1_000), &mut done).unwrap();
        // What completed (the first part of each send) is the test's; the rest is in flight.
        let sent_again: Vec<_> = done
            .drain(..)
            .filter_map(|one| match one {
                longhold_transport::Completion::Sent { token, payload, .. } => {
                    Some((token, payload))
                }
                _ => None,
            })
            .collect();
        for (token, payload) in sent_again {
            edge.send(token, payload);
        }
        edge.wait(Some(edge.now().monotonic_us + 1_000), &mut done).unwrap();
        let told = done.len();
        let before = drops.load(Ordering::SeqCst);
        assert_eq!(before, 0, "a payload fell before its completion");
        drop(edge);
        drop(done);
        assert_eq!(drops.load(Ordering::SeqCst), 3, "of {told} completions told");
        for mut client in clients {
            assert_closed(&mut client);
        }
    }
}

#[test]
fn dropping_before_anything_was_submitted_frees_everything_once() {
    let (mut edge, address) = edge(Config { ring_entries: 4, ..Config::default() });
    let (tokens, clients) = open(&mut edge, address, 20);
    let drops = Arc::new(AtomicUsize::new(0));
    for token in &tokens {
        edge.park(*token);
        let buffer = edge.buffer().unwrap();
        edge.receive(*token, buffer);
        edge.send(*token, counted(10, &drops));
        edge.cancel(*token);
        edge.close(*token);
    }
    edge.connect(address, None, 1);
    drop(edge);
    assert_eq!(drops.load(Ordering::SeqCst), 20);
    drop(clients);
}

#[test]
fn refused_payloads_fall_with_the_reactor() {
    let (mut edge, address) = edge(Config::default());
    let (tokens, _clients) = open(&mut edge, address, 1);
    let drops = Arc::new(AtomicUsize::new(0));
    edge.close(tokens[0]);
    edge.send(tokens[0], counted(10, &drops));
    drop(edge);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn many_reactors_come_and_go() {
    for _ in 0..50 {
        let mut edge =
            Edge::new(&Config { slots: 64, slots_per_shard: 16, ..Config::default() }).unwrap();
        edge.listen(bind()).unwrap();
        edge.wait(Some(0), &mut Vec::new()).unwrap();
    }
}

/// The kernel takes a ring's sockets down on its own time: wait for it, with a guard.
fn assert_closed(client: &mut std::net::TcpStream) {
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut bytes = vec![0; 1 << 20];
    loop {
        match client.read(&mut bytes) {
            Ok(0) => break,
            Ok(_) => {}
            // The kernel's teardown of the ring runs in this thread and may interrupt it.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the connection stayed open: {error}"),
        }
    }
    let _ = client.write_all(b"nobody hears this");
}
