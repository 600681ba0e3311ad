//! Cancels and closes: everything in flight comes back, once, and stale tokens do nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use longhold_transport::{AcceptError, Completion, IoFault, Token, Transport};

use crate::driver::{Driver, Peer, Rig};
use crate::payload::{Pieces, pattern};
use crate::sending::{block_send, block_send_with};

pub(crate) fn cancelled_park_is_told_once<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, mut peer) = driver.pair();
    driver.edge().park(token);
    driver.assert_quiet();
    driver.edge().cancel(token);
    driver.edge().cancel(token);
    assert!(matches!(driver.next(), Completion::Unparked { token: told } if told == token));
    driver.assert_quiet();
    driver.edge().park(token);
    peer.write(b"x");
    assert!(matches!(driver.next(), Completion::Readable { .. }), "the slot can park again");
    driver.assert_quiet();
}

pub(crate) fn cancel_and_bytes_may_cross<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(64);
    let (_, address) = driver.listen();
    for round in 0..50 {
        let (token, mut peer) = driver.pair_at(address);
        driver.edge().park(token);
        if round % 3 == 0 {
            driver.turn(0);
        }
        peer.write(b"now");
        driver.edge().cancel(token);
        let told = driver.next();
        assert!(matches!(told, Completion::Readable { .. } | Completion::Unparked { .. }));
        driver.turn(0);
        assert!(driver.take_ready().is_none(), "the park ended twice");
        driver.edge().close(token);
        driver.closed(token);
    }
}

pub(crate) fn cancelled_receive_gives_the_buffer_back<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, mut peer) = driver.pair();
    let mut buffer = driver.buffer();
    assert!(buffer.extend_from_slice(b"kept"));
    driver.edge().receive(token, buffer);
    driver.assert_quiet();
    driver.edge().cancel(token);
    let (_, buffer, result) = driver.received();
    assert_eq!(result, Err(IoFault::Cancelled));
    assert_eq!(buffer.filled(), b"kept");
    driver.edge().receive(token, buffer);
    peer.write(b"!");
    let (_, buffer, _) = driver.received();
    assert_eq!(buffer.filled(), b"kept!");
    driver.assert_quiet();
}

pub(crate) fn cancelled_send_gives_the_payload_back<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, mut peer) = driver.pair();
    block_send(&mut driver, token);
    driver.edge().cancel(token);
    let (_, mut payload, result) = driver.sent();
    assert_eq!(result, Err(IoFault::Cancelled));
    let mut arrived = driver.read_exact(&mut peer, 1);
    while payload.left_bytes() > 0 {
        driver.edge().send(token, payload);
        loop {
            driver.turn(1_000);
            arrived.extend(peer.read().unwrap());
            if let Some(Completion::Sent { payload: back, .. }) = driver.take_ready() {
                payload = back;
                break;
            }
        }
    }
    let rest = driver.read_exact(&mut peer, R::BLOCKING_BYTES - arrived.len());
    arrived.extend(rest);
    assert!(arrived == pattern(R::BLOCKING_BYTES), "a cancelled send loses or repeats nothing");
}

pub(crate) fn cancel_without_ops_does_nothing<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, mut peer) = driver.pair();
    driver.edge().cancel(token);
    driver.assert_quiet();
    driver.edge().park(token);
    driver.assert_quiet();
    peer.write(b"x");
    assert!(matches!(driver.next(), Completion::Readable { .. }));
}

pub(crate) fn close_ends_a_park_silently<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, mut peer) = driver.pair();
    driver.edge().park(token);
    driver.assert_quiet();
    driver.edge().close(token);
    driver.closed(token);
    assert_eq!(driver.read_to_end(&mut peer), b"");
    driver.assert_quiet();
}

pub(crate) fn close_gives_buffer_and_payload_back_first<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, _peer) = driver.pair();
    let drops = Arc::new(AtomicUsize::new(0));
    let buffer = driver.buffer();
    driver.edge().receive(token, buffer);
    block_send_with(&mut driver, token, Pieces::pattern(R::BLOCKING_BYTES).counting(&drops));
    driver.edge().close(token);
    let mut has_received = false;
    let mut has_sent = false;
    while !(has_received && has_sent) {
        match driver.next() {
            Completion::Received { buffer, result, .. } => {
                assert_eq!(result, Err(IoFault::Cancelled));
                assert!(!std::mem::replace(&mut has_received, true), "the buffer came twice");
                driver.edge().recycle(buffer);
            }
            Completion::Sent { payload, .. } => {
                assert!(!std::mem::replace(&mut has_sent, true), "the payload came twice");
                assert_eq!(drops.load(Ordering::SeqCst), 0);
                drop(payload);
                assert_eq!(drops.load(Ordering::SeqCst), 1);
            }
            other => panic!("TR-2: {other:?}"),
        }
    }
    driver.closed(token);
    driver.assert_quiet();
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

pub(crate) fn close_twice_is_told_once<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, _peer) = driver.pair();
    driver.edge().park(token);
    driver.edge().close(token);
    driver.edge().close(token);
    driver.closed(token);
    driver.edge().close(token);
    driver.assert_quiet();
}

pub(crate) fn commands_after_close_are_refused<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, _peer) = driver.pair();
    driver.edge().close(token);
    assert_refused(&mut driver, token);
}

pub(crate) fn stale_token_is_refused_and_harms_nobody<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(1);
    let (_, address) = driver.listen();
    let (old, _) = driver.pair_at(address);
    driver.edge().close(old);
    let is_slot_told = |done: &Completion<Pieces>| {
        !matches!(done, Completion::AcceptFailed { error: AcceptError::TableFull, .. })
    };
    let next = |driver: &mut Driver<R>| loop {
        let done = driver.next();
        if is_slot_told(&done) {
            return done;
        }
    };
    assert!(matches!(next(&mut driver), Completion::Closed { .. }));
    let mut peer = driver.rig.connect(address);
    let Completion::Accepted { slot, .. } = next(&mut driver) else { panic!("not accepted") };
    assert_eq!(slot, old.slot, "there is but one slot");
    let new = driver.token(slot);
    driver.edge().park(new);
    driver.edge().park(old);
    driver.edge().cancel(old);
    driver.edge().shutdown(old);
    driver.edge().close(old);
    let buffer = driver.buffer();
    driver.edge().receive(old, buffer);
    driver.edge().send(old, Pieces::new(&[b"for somebody else"]));
    for _ in 0..2 {
        match next(&mut driver) {
            Completion::Received { token, result, .. } | Completion::Sent { token, result, .. } => {
                assert_eq!((token, result), (old, Err(IoFault::Cancelled)), "TR-3");
            }
            other => panic!("{other:?}"),
        }
    }
    peer.write(b"still here");
    assert!(matches!(next(&mut driver), Completion::Readable { token } if token == new));
    assert_eq!(peer.read(), Some(Vec::new()), "nothing was sent and nothing closed");
}

fn assert_refused<R: Rig>(driver: &mut Driver<R>, token: Token) {
    let buffer = driver.buffer();
    driver.edge().receive(token, buffer);
    driver.edge().send(token, Pieces::new(&[b"too late"]));
    driver.edge().park(token);
    driver.edge().shutdown(token);
    driver.edge().cancel(token);
    let mut refused = [false; 3];
    while refused != [true; 3] {
        match driver.next() {
            Completion::Received { result, .. } => {
                assert_eq!(result, Err(IoFault::Cancelled));
                refused[0] = true;
            }
            Completion::Sent { result, payload, .. } => {
                assert_eq!(result, Err(IoFault::Cancelled));
                assert_eq!(payload.left_bytes(), 8);
                refused[1] = true;
            }
            Completion::Closed { token: told } => {
                assert_eq!(told, token);
                refused[2] = true;
            }
            other => panic!("{other:?}"),
        }
    }
    driver.assert_quiet();
}
