//! What comes in: parks, receives, and how the far end shows.

use longhold_transport::{AcceptError, Buffer, Completion, IoFault, Transport};

use crate::driver::{Driver, Peer, Rig};
use crate::payload::{Pieces, pattern};

pub(crate) fn park_tells_bytes_and_receive_brings_them<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, mut peer) = driver.pair();
    driver.edge().park(token);
    driver.assert_quiet();
    peer.write(b"hello");
    assert!(matches!(driver.next(), Completion::Readable { token: told } if told == token));
    let buffer = driver.buffer();
    driver.edge().receive(token, buffer);
    let (told, buffer, result) = driver.received();
    assert_eq!((told, result), (token, Ok(5)));
    assert_eq!(buffer.filled(), b"hello");
}

pub(crate) fn receive_waits_for_bytes_and_appends<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, mut peer) = driver.pair();
    let mut buffer = driver.buffer();
    assert!(buffer.extend_from_slice(b"GET "));
    driver.edge().receive(token, buffer);
    driver.assert_quiet();
    peer.write(b"/");
    let (_, buffer, result) = driver.received();
    assert_eq!(result, Ok(1));
    assert_eq!(buffer.filled(), b"GET /");
}

pub(crate) fn park_after_an_exact_receive_waits<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, mut peer) = driver.pair();
    for round in 0..3 {
        driver.edge().park(token);
        driver.assert_quiet();
        peer.write(b"four");
        assert!(matches!(driver.next(), Completion::Readable { .. }), "round {round}");
        let mut buffer = Buffer::with_capacity(4);
        // By chance it comes in several pieces.
        while buffer.len() < 4 {
            driver.edge().receive(token, buffer);
            let (_, back, result) = driver.received();
            assert!(result.is_ok_and(|bytes| bytes > 0));
            buffer = back;
        }
        assert_eq!(buffer.filled(), b"four");
    }
}

pub(crate) fn park_with_bytes_left_tells_them<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, mut peer) = driver.pair();
    peer.write(b"two pieces");
    let mut seen = Vec::new();
    while seen.len() < 10 {
        driver.edge().park(token);
        assert!(matches!(driver.next(), Completion::Readable { .. }));
        driver.edge().receive(token, Buffer::with_capacity(4));
        let (_, buffer, result) = driver.received();
        assert_eq!(result, Ok(buffer.len()));
        seen.extend_from_slice(buffer.filled());
    }
    assert_eq!(seen, b"two pieces");
    driver.edge().park(token);
    driver.assert_quiet();
}

/// One connection that always has bytes gets its turn, and no more: another one is heard before the
/// first has been served more than a few times.
pub(crate) fn a_flood_keeps_nobody_waiting<R: Rig>() {
    const TURNS_MAX: u32 = 32;
    let mut driver = Driver::<R>::with_slots(8);
    let (_, address) = driver.listen();
    let (flooded, mut flood) = driver.pair_at(address);
    let (quiet, mut peer) = driver.pair_at(address);
    let bytes = pattern(4_096);
    for _ in 0..20 {
        driver.edge().park(quiet);
        flood.try_write(&bytes);
        driver.edge().receive(flooded, Buffer::with_capacity(64));
        let mut turns = 0;
        let mut is_heard = false;
        let mut is_receiving = true;
        peer.write(b"!");
        while !is_heard || is_receiving {
            match driver.next() {
                Completion::Received { token, result, .. } if token == flooded => {
                    assert!(result.is_ok_and(|bytes| bytes > 0));
                    turns += 1;
                    assert!(turns <= TURNS_MAX, "the flood was served {turns} times meanwhile");
                    is_receiving = !is_heard;
                    if is_receiving {
                        flood.try_write(&bytes);
                        driver.edge().receive(flooded, Buffer::with_capacity(64));
                    }
                }
                Completion::Readable { token } => {
                    assert_eq!(token, quiet);
                    is_heard = true;
                    // What the flood still waits for is there already or comes now.
                    flood.try_write(&bytes);
                }
                other => panic!("{other:?}"),
            }
        }
        let buffer = driver.buffer();
        driver.edge().receive(quiet, buffer);
        let (_, buffer, result) = driver.received();
        assert_eq!((buffer.filled(), result), (&b"!"[..], Ok(1)));
        driver.edge().recycle(buffer);
    }
}

pub(crate) fn many_parks_wake_at_once<R: Rig>() {
    const COUNT: usize = 300;
    let mut driver = Driver::<R>::with_slots(COUNT as u32);
    let (_, address) = driver.listen();
    let mut pairs: Vec<_> = (0..COUNT).map(|_| driver.pair_at(address)).collect();
    for _ in 0..2 {
        pairs.iter().for_each(|(token, _)| driver.edge().park(*token));
        pairs.iter_mut().for_each(|(_, peer)| peer.write(b"x"));
        let mut told = Vec::new();
        while told.len() < COUNT {
            match driver.next() {
                Completion::Readable { token } => told.push(token),
                Completion::AcceptFailed { error: AcceptError::TableFull, .. } => {}
                other => panic!("{other:?}"),
            }
        }
        for (token, _) in &pairs {
            assert!(told.contains(token), "one was forgotten");
            driver.edge().receive(*token, Buffer::with_capacity(8));
            assert_eq!(driver.received().2, Ok(1));
        }
    }
}

pub(crate) fn end_of_stream_follows_the_last_bytes<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, mut peer) = driver.pair();
    peer.write(b"last");
    peer.half_close();
    let mut buffer = driver.buffer();
    let mut results = Vec::new();
    while results.last() != Some(&Ok(0)) {
        driver.edge().receive(token, buffer);
        let (_, back, result) = driver.received();
        buffer = back;
        results.push(result);
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
    assert_eq!(buffer.filled(), b"last");
    driver.edge().park(token);
    assert!(matches!(driver.next(), Completion::Readable { .. }), "an end stays readable");
}

pub(crate) fn reset_is_told_as_a_fault<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, peer) = driver.pair();
    let buffer = driver.buffer();
    driver.edge().receive(token, buffer);
    driver.assert_quiet();
    peer.reset();
    let (_, buffer, result) = driver.received();
    assert_eq!(result, Err(IoFault::Reset));
    assert!(buffer.is_empty());
    driver.edge().send(token, Pieces::new(&[b"too late"]));
    let (_, payload, result) = driver.sent();
    assert_eq!(result, Err(IoFault::BrokenPipe));
    assert_eq!(payload.left_bytes(), 8);
}

pub(crate) fn reset_ends_a_park<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, peer) = driver.pair();
    driver.edge().park(token);
    driver.assert_quiet();
    peer.reset();
    assert!(matches!(driver.next(), Completion::Readable { .. }));
}

pub(crate) fn full_buffer_is_exhausted<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, mut peer) = driver.pair();
    peer.write(b"more");
    let mut buffer = Buffer::with_capacity(4);
    assert!(buffer.extend_from_slice(b"full"));
    driver.edge().receive(token, buffer);
    let (_, buffer, result) = driver.received();
    assert_eq!(result, Err(IoFault::Exhausted), "a full buffer must not look like an end");
    assert_eq!(buffer.filled(), b"full");
}
