//! The cases. Each is a function of a [`Rig`]; [`conformance!`] makes tests of all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use longhold_transport::{
    AcceptError, AdoptError, BUFFER_BYTES, Buffer, Completion, Config, IoFault, Token, Transport,
};

use crate::driver::{Driver, Peer, Rig};
use crate::payload::{Pieces, pattern};

/// A module of tests: every case on one rig.
macro_rules! conformance {
    ($name:ident, $rig:ty) => {
        mod $name {
            crate::suite::conformance!(@cases $rig:
                suite::accepted_tells_the_peers_address,
                suite::park_tells_bytes_and_receive_brings_them,
                suite::receive_waits_for_bytes_and_appends,
                suite::park_after_an_exact_receive_waits,
                suite::park_with_bytes_left_tells_them,
                suite::a_flood_keeps_nobody_waiting,
                suite::many_parks_wake_at_once,
                suite::end_of_stream_follows_the_last_bytes,
                suite::reset_is_told_as_a_fault,
                suite::reset_ends_a_park,
                suite::pieces_are_sent_in_order,
                suite::empty_payload_comes_back_at_once,
                suite::slow_reader_gets_every_byte_in_short_sends,
                suite::receive_and_send_run_side_by_side,
                suite::receive_beside_a_send_takes_what_came_before_and_what_comes_after,
                suite::cancelled_park_is_told_once,
                suite::cancel_and_bytes_may_cross,
                suite::cancelled_receive_gives_the_buffer_back,
                suite::cancelled_send_gives_the_payload_back,
                suite::cancel_without_ops_does_nothing,
                suite::close_ends_a_park_silently,
                suite::close_gives_buffer_and_payload_back_first,
                suite::close_twice_is_told_once,
                suite::sockets_are_counted_by_shard,
                suite::commands_after_close_are_refused,
                suite::stale_token_is_refused_and_harms_nobody,
                suite::full_table_is_told_and_recovers,
                suite::wakes_coalesce,
                suite::wait_ends_at_its_deadline,
                suite::past_deadline_does_not_wait,
                suite::outbound_connection_carries_both_ways,
                suite::outbound_connection_is_refused,
                suite::outbound_connection_needs_a_slot,
                suite::adopted_connection_carries_both_ways,
                suite::adopted_connections_need_slots,
                suite::connections_that_wait_for_adoption_are_bounded,
                suite::nothing_is_adopted_after_the_end,
                suite::shutdown_ends_one_direction_only,
                suite::stop_accepting_closes_listeners_only,
                suite::pool_is_bounded,
                suite::full_buffer_is_exhausted,
                soak::every_buffer_and_payload_comes_back_once
            );
        }
    };
    (@cases $rig:ty: $($file:ident::$case:ident),+) => {
        $(#[test]
        fn $case() {
            crate::$file::$case::<$rig>();
        })+
    };
}
pub(crate) use conformance;

pub(crate) fn accepted_tells_the_peers_address<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (listener, address) = driver.listen();
    assert_eq!(driver.edge().local_address(listener), address);
    assert_ne!(address.port(), 0);
    let peers: Vec<R::Peer> = (0..5).map(|_| driver.rig.connect(address)).collect();
    let mut told = Vec::new();
    for _ in &peers {
        let Completion::Accepted { listener: at, slot, peer } = driver.next() else { panic!() };
        assert_eq!(at, listener);
        assert!(slot < driver.edge().slot_count());
        told.push(peer);
    }
    let mut real: Vec<_> = peers.iter().map(Peer::local_address).collect();
    real.sort();
    told.sort();
    assert_eq!(told, real);
}

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

pub(crate) fn sockets_are_counted_by_shard<R: Rig>() {
    let config = Config { slots: 6, slots_per_shard: 4, ..Config::default() };
    let mut driver = Driver::<R>::new(config);
    let (_, address) = driver.listen();
    let pairs: Vec<_> = (0..5).map(|_| driver.pair_at(address)).collect();
    let each = driver.edge().slots_per_shard();
    let mut counts = [0; 3];
    pairs.iter().for_each(|(token, _)| counts[(token.slot / each) as usize] += 1);
    let used = |driver: &mut Driver<R>| [0, 1, 2].map(|shard| driver.edge().used_count(shard));
    assert_eq!(used(&mut driver), counts);
    for (token, _peer) in pairs {
        driver.edge().park(token);
        driver.edge().close(token);
        driver.closed(token);
        counts[(token.slot / each) as usize] -= 1;
        assert_eq!(used(&mut driver), counts);
    }
    assert_eq!(counts, [0; 3]);
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

pub(crate) fn full_table_is_told_and_recovers<R: Rig>() {
    let mut driver = Driver::<R>::new(Config { slots: 3, ..Config::default() });
    let (listener, address) = driver.listen();
    let mut peers: Vec<R::Peer> = (0..5).map(|_| driver.rig.connect(address)).collect();
    let mut tokens = Vec::new();
    let mut full_count = 0;
    while tokens.len() < 3 || full_count == 0 {
        match driver.next() {
            Completion::Accepted { slot, .. } => {
                let token = driver.token(slot);
                assert!(tokens.iter().all(|other: &Token| other.slot != slot));
                tokens.push(token);
            }
            Completion::AcceptFailed { listener: at, error } => {
                assert_eq!((at, error), (listener, AcceptError::TableFull));
                full_count += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    driver.assert_quiet();
    assert_eq!(full_count, 1, "told once, not in a loop");
    for _ in 0..2 {
        let gone = tokens.remove(0);
        driver.edge().close(gone);
        let mut is_accepted = false;
        while !is_accepted {
            match driver.next() {
                Completion::Closed { token } => assert_eq!(token, gone),
                Completion::Accepted { slot, .. } => {
                    assert_eq!(slot, gone.slot);
                    is_accepted = true;
                    let token = driver.token(slot);
                    tokens.push(token);
                }
                Completion::AcceptFailed { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    // TR-5: the two that waited were not lost; the last one in answers.
    peers.iter_mut().for_each(|peer| peer.try_write(b"patient"));
    let last = tokens[2];
    driver.edge().park(last);
    loop {
        match driver.next() {
            Completion::Readable { token } => break assert_eq!(token, last),
            Completion::AcceptFailed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn wakes_coalesce<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let waker = driver.edge().waker();
    for _ in 0..3 {
        waker.wake();
        waker.clone().wake();
        assert!(matches!(driver.next(), Completion::Woken));
        driver.assert_quiet();
    }
}

pub(crate) fn wait_ends_at_its_deadline<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, _peer) = driver.pair();
    driver.edge().park(token);
    for us in [0, 1, 500, 20_000] {
        let before = driver.edge().now();
        let until_us = before.monotonic_us + us;
        let mut done = Vec::new();
        driver.edge().wait(Some(until_us), &mut done).unwrap();
        let after = driver.edge().now();
        assert!(done.is_empty(), "{done:?}");
        assert!(after.monotonic_us >= until_us, "TR-9: returned early");
        assert!(after.monotonic_us < until_us + 2_000_000, "TR-9: returned far too late");
        assert!(after.unix_ms >= before.unix_ms);
    }
}

pub(crate) fn past_deadline_does_not_wait<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, _peer) = driver.pair();
    driver.turn(1_000);
    driver.edge().park(token);
    let mut done = Vec::new();
    for _ in 0..100 {
        driver.edge().wait(Some(0), &mut done).unwrap();
    }
    assert!(done.is_empty(), "{done:?}");
}

pub(crate) fn outbound_connection_carries_both_ways<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let address = driver.rig.serve();
    driver.edge().connect(address, None, 77);
    let Completion::Connected { ticket, result } = driver.next() else { panic!() };
    assert_eq!(ticket, 77);
    let token = driver.token(result.unwrap());
    let mut peer = driver.rig.accept_outbound();
    driver.edge().send(token, Pieces::new(&[b"ping"]));
    assert_eq!(driver.sent().2, Ok(4));
    assert_eq!(driver.read_exact(&mut peer, 4), b"ping");
    let buffer = driver.buffer();
    driver.edge().receive(token, buffer);
    peer.write(b"pong");
    assert_eq!(driver.received().1.filled(), b"pong");
    driver.edge().close(token);
    driver.closed(token);
    assert_eq!(driver.read_to_end(&mut peer), b"");
}

pub(crate) fn outbound_connection_is_refused<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(1);
    let address = driver.rig.refusing_address();
    for ticket in 0..3 {
        driver.edge().connect(address, None, ticket);
        let Completion::Connected { ticket: told, result } = driver.next() else { panic!() };
        assert_eq!((told, result), (ticket, Err(IoFault::Refused)));
        // Its slot is closed behind the scenes: let that happen.
        driver.assert_quiet();
    }
}

pub(crate) fn outbound_connection_needs_a_slot<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(1);
    let address = driver.rig.serve();
    driver.edge().connect(address, None, 1);
    driver.edge().connect(address, None, 2);
    let mut results = [None; 2];
    for _ in 0..2 {
        let Completion::Connected { ticket, result } = driver.next() else { panic!() };
        results[ticket as usize - 1] = Some(result);
    }
    assert_eq!(results, [Some(Ok(0)), Some(Err(IoFault::Exhausted))]);
}

pub(crate) fn adopted_connection_carries_both_ways<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let adopter = driver.edge().adopter();
    let (stream, mut peer) = driver.rig.stream();
    std::thread::spawn(move || adopter.adopt(stream, 1 << 40)).join().unwrap().unwrap();
    let Completion::Connected { ticket, result } = driver.next() else { panic!() };
    assert_eq!(ticket, 1 << 40);
    let token = driver.token(result.unwrap());
    driver.edge().park(token);
    driver.assert_quiet();
    peer.write(b"ping");
    assert!(matches!(driver.next(), Completion::Readable { token: told } if told == token));
    let buffer = driver.buffer();
    driver.edge().receive(token, buffer);
    assert_eq!(driver.received().1.filled(), b"ping");
    let buffer = driver.buffer();
    driver.edge().receive(token, buffer);
    driver.assert_quiet();
    peer.write(b"again");
    assert_eq!(driver.received().1.filled(), b"again", "a receive waits for bytes");
    driver.edge().send(token, Pieces::new(&[b"pong"]));
    assert_eq!(driver.sent().2, Ok(4));
    assert_eq!(driver.read_exact(&mut peer, 4), b"pong");
    driver.edge().close(token);
    driver.closed(token);
    assert_eq!(driver.read_to_end(&mut peer), b"");
}

pub(crate) fn adopted_connections_need_slots<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(2);
    let adopter = driver.edge().adopter();
    let (first, _first_peer) = driver.rig.stream();
    adopter.adopt(first, 0).unwrap();
    let (second, _second_peer) = driver.rig.stream();
    adopter.adopt(second, 1).unwrap();
    let mut slots = Vec::new();
    for _ in 0..2 {
        let Completion::Connected { ticket, result } = driver.next() else { panic!() };
        slots.push((ticket, result.unwrap()));
    }
    slots.sort_unstable();
    assert!(matches!(slots[..], [(0, a), (1, b)] if a != b && a < 2 && b < 2), "{slots:?}");
    let (third, mut peer) = driver.rig.stream();
    adopter.adopt(third, 2).unwrap();
    let Completion::Connected { ticket, result } = driver.next() else { panic!() };
    assert_eq!((ticket, result), (2, Err(IoFault::Exhausted)));
    assert_eq!(driver.read_to_end(&mut peer), b"", "what cannot be adopted is closed");
    driver.assert_quiet();
}

pub(crate) fn connections_that_wait_for_adoption_are_bounded<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(3);
    let adopter = driver.edge().adopter();
    let mut peers = Vec::new();
    for ticket in 0..3 {
        let (stream, peer) = driver.rig.stream();
        adopter.adopt(stream, ticket).unwrap();
        peers.push(peer);
    }
    let (stream, mut peer) = driver.rig.stream();
    assert_eq!(adopter.adopt(stream, 3), Err(AdoptError::Full));
    let mut tickets = Vec::new();
    while tickets.len() < 3 {
        let Completion::Connected { ticket, result } = driver.next() else { panic!() };
        assert!(result.is_ok());
        tickets.push(ticket);
    }
    tickets.sort_unstable();
    assert_eq!(tickets, [0, 1, 2]);
    assert_eq!(driver.read_to_end(&mut peer), b"", "what is refused is closed");
}

pub(crate) fn nothing_is_adopted_after_the_end<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(3);
    let adopter = driver.edge().adopter();
    let (waiting, mut waiting_peer) = driver.rig.stream();
    let (late, mut late_peer) = driver.rig.stream();
    adopter.adopt(waiting, 1).unwrap();
    driver.rig.restart(&Config::default());
    assert_eq!(adopter.adopt(late, 2), Err(AdoptError::Gone));
    assert_eq!(driver.read_to_end(&mut waiting_peer), b"");
    assert_eq!(driver.read_to_end(&mut late_peer), b"");
    driver.assert_quiet();
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

pub(crate) fn stop_accepting_closes_listeners_only<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (listener, address) = driver.listen();
    let (token, mut peer) = driver.pair_at(address);
    driver.edge().park(token);
    driver.edge().stop_accepting();
    driver.edge().stop_accepting();
    driver.assert_quiet();
    assert_eq!(driver.edge().local_address(listener), address);
    driver.edge().connect(address, None, 5);
    let Completion::Connected { result, .. } = driver.next() else { panic!() };
    assert_eq!(result, Err(IoFault::Refused), "nobody listens any more");
    peer.write(b"still served");
    assert!(matches!(driver.next(), Completion::Readable { .. }));
}

pub(crate) fn pool_is_bounded<R: Rig>() {
    let mut driver = Driver::<R>::new(Config { slots: 2, buffers: 2, ..Config::default() });
    let first = driver.buffer();
    let second = driver.buffer();
    assert_eq!(first.capacity(), BUFFER_BYTES);
    assert!(driver.edge().buffer().is_none());
    driver.edge().recycle(Buffer::with_capacity(BUFFER_BYTES * 4));
    assert!(driver.edge().buffer().is_none(), "a foreign buffer does not enter the pool");
    driver.edge().recycle(first);
    let mut again = driver.buffer();
    assert!(again.is_empty() && again.extend_from_slice(b"x"));
    driver.edge().recycle(again);
    driver.edge().recycle(second);
    assert!(driver.buffer().is_empty(), "recycled buffers come back empty");
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

/// Sends more than the connection takes, so that a send is in flight; returns the bytes.
fn block_send<R: Rig>(driver: &mut Driver<R>, token: Token) -> usize {
    block_send_with(driver, token, Pieces::pattern(R::BLOCKING_BYTES))
}

fn block_send_with<R: Rig>(driver: &mut Driver<R>, token: Token, mut payload: Pieces) -> usize {
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
