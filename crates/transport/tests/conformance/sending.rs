//! What goes out: whole, in parts, beside a receive, and to its end.

use longhold_transport::{Completion, IoFault, Token, Transport};

use crate::driver::{Driver, Peer, Rig};
use crate::payload::{Pieces, pattern};

pub(crate) fn pieces_are_sent_in_order<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, mut peer) = driver.pair();
    let mut payload = Pieces::new(&[b"head", b"", b" body", b" tail", b"!"]);
    while payload.left_bytes() > 0 {
        driver.edge().send(token, payload);
        let (told, back, result) = driver.sent();
        assert_eq!(told, token);
        assert!(result.is_ok_and(|bytes| bytes > 0));
        payload = back;
    }
    assert_eq!(driver.read_exact(&mut peer, 15), b"head body tail!");
}

pub(crate) fn empty_payload_comes_back_at_once<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, _peer) = driver.pair();
    driver.edge().send(token, Pieces::new(&[b"", b""]));
    let (told, _, result) = driver.sent();
    assert_eq!((told, result), (token, Ok(0)));
}

pub(crate) fn slow_reader_gets_every_byte_in_short_sends<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, mut peer) = driver.pair();
    let mut payload = Pieces::pattern(R::BLOCKING_BYTES);
    let mut arrived = Vec::new();
    let mut send_count = 0;
    driver.edge().send(token, payload);
    loop {
        driver.turn(1_000);
        if let Some(Completion::Sent { payload: back, result, .. }) = driver.take_ready() {
            send_count += 1;
            assert!(result.is_ok_and(|bytes| bytes > 0), "{result:?}");
            payload = back;
            if payload.left_bytes() == 0 {
                break;
            }
            driver.edge().send(token, payload);
        }
        arrived.extend(peer.read().unwrap());
    }
    assert!(send_count > 1, "a payload larger than any socket buffer needs several sends");
    let rest = driver.read_exact(&mut peer, R::BLOCKING_BYTES - arrived.len());
    arrived.extend(rest);
    assert!(arrived == pattern(R::BLOCKING_BYTES), "bytes were lost or mixed up");
}

pub(crate) fn receive_and_send_run_side_by_side<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, mut peer) = driver.pair();
    let buffer = driver.buffer();
    driver.edge().receive(token, buffer);
    let blocked = block_send(&mut driver, token);
    driver.edge().park(token);
    driver.assert_quiet();
    peer.write(b"meanwhile");
    let mut is_readable = false;
    let mut has_received = false;
    while !(is_readable && has_received) {
        match driver.next() {
            Completion::Readable { .. } => is_readable = true,
            Completion::Received { result, .. } => {
                has_received = result.is_ok();
                // The receive may have taken everything that the park could have told.
                peer.write(b"again");
            }
            other => panic!("{other:?}"),
        }
    }
    driver.edge().close(token);
    let (_, payload, _) = driver.sent();
    assert!(payload.left_bytes() > 0 && payload.left_bytes() < blocked);
    driver.closed(token);
}

/// Whether the peer has spoken before the receive was asked for, or speaks after it.
pub(crate) fn receive_beside_a_send_takes_what_came_before_and_what_comes_after<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, mut peer) = driver.pair();
    for is_there in [true, false, true] {
        if is_there {
            peer.write(b"request");
            driver.edge().park(token);
            assert!(matches!(driver.next(), Completion::Readable { .. }));
        }
        driver.edge().send(token, Pieces::new(&[b"answer"]));
        let buffer = driver.buffer();
        driver.edge().receive(token, buffer);
        assert_eq!(driver.read_exact(&mut peer, 6), b"answer");
        if !is_there {
            peer.write(b"request");
        }
        let (mut sent, mut received) = (None, None);
        while sent.is_none() || received.is_none() {
            match driver.next() {
                Completion::Sent { result, .. } => sent = Some(result),
                Completion::Received { buffer, result, .. } => {
                    assert_eq!(buffer.filled(), b"request");
                    received = Some(result);
                    driver.edge().recycle(buffer);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((sent, received), (Some(Ok(6)), Some(Ok(7))));
    }
}

pub(crate) fn shutdown_ends_one_direction_only<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, mut peer) = driver.pair();
    driver.edge().send(token, Pieces::new(&[b"bye"]));
    assert!(driver.sent().2.is_ok());
    driver.edge().shutdown(token);
    assert!(matches!(driver.next(), Completion::ShutDown { token: told } if told == token));
    assert_eq!(driver.read_to_end(&mut peer), b"bye");
    let buffer = driver.buffer();
    driver.edge().receive(token, buffer);
    peer.write(b"one more thing");
    assert_eq!(driver.received().1.filled(), b"one more thing");
    driver.edge().send(token, Pieces::new(&[b"no"]));
    assert_eq!(driver.sent().2, Err(IoFault::BrokenPipe));
    driver.edge().close(token);
    driver.closed(token);
}

/// Sends more than the connection takes, so that a send is in flight; returns the bytes.
pub(crate) fn block_send<R: Rig>(driver: &mut Driver<R>, token: Token) -> usize {
    block_send_with(driver, token, Pieces::pattern(R::BLOCKING_BYTES))
}

pub(crate) fn block_send_with<R: Rig>(
    driver: &mut Driver<R>,
    token: Token,
    mut payload: Pieces,
) -> usize {
    let bytes = payload.left_bytes();
    loop {
        driver.edge().send(token, payload);
        // The peer does not read: at some point nothing moves for a while.
        let mut turns = 0;
        payload = loop {
            driver.turn(10_000);
            turns += 1;
            match driver.take_ready() {
                Some(Completion::Sent { payload, result, .. }) => {
                    assert!(result.is_ok());
                    break payload;
                }
                Some(other) => panic!("{other:?}"),
                None if turns == 5 => return bytes,
                None => {}
            }
        };
        assert!(payload.left_bytes() > 0, "the connection took everything");
    }
}
