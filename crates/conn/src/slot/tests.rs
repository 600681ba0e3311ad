//! One slot: moves, fields, layout, generations (CN-1 to CN-3).

use core::mem::offset_of;
use std::net::SocketAddr;

use super::{GENERATION_MAX, Half, Slot, SlotTable};
use crate::close_reason::CloseReason;
use crate::lifecycle::{Refused, State, allows};
use crate::tunnel::{Kind, Rest, Side};

/// A fresh slot, walked to a state along the table.
fn slot_in(state: State) -> Slot {
    let slot = Slot::new();
    let path: &[(State, State)] = match state {
        State::Free => &[],
        State::Handshaking => &[(State::Free, State::Handshaking)],
        State::Parked => &[(State::Free, State::Active), (State::Active, State::Parked)],
        State::Active => &[(State::Free, State::Active)],
        State::Closing => &[(State::Free, State::Active), (State::Active, State::Closing)],
    };
    for (from, to) in path {
        slot.move_state(*from, *to).expect("the path follows the table");
    }
    assert_eq!(slot.state(), state);
    slot
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// CN-2.
#[test]
fn a_move_happens_from_its_own_state_and_along_the_table_only() {
    for was in State::ALL {
        for from in State::ALL {
            for to in State::ALL {
                let slot = slot_in(was);
                let expected = match (allows(from, to), from == was) {
                    (false, _) => Err(Refused::NotAllowed),
                    (true, false) => Err(Refused::Was(was)),
                    (true, true) => Ok(()),
                };
                assert_eq!(slot.move_state(from, to), expected, "{was:?}: {from:?} → {to:?}");
                assert_eq!(slot.state(), if expected.is_ok() { to } else { was });
            }
        }
    }
}

#[test]
fn a_peer_address_comes_back_as_it_was() {
    let slot = Slot::new();
    for text in ["127.0.0.1:1", "255.255.255.255:65535", "[::1]:443", "[::]:0", "[2001:db8::8:1]:8"]
    {
        slot.open(address(text), 7, 0).expect("the slot is free");
        assert_eq!((slot.peer(), slot.listener()), (address(text), 7));
        slot.move_state(State::Active, State::Closing).expect("it is active");
        slot.release().expect("it is closing");
    }
    slot.open(address("[::ffff:192.0.2.1]:80"), 0, 0).expect("the slot is free");
    assert_eq!(slot.peer(), address("192.0.2.1:80"));
}

#[test]
fn only_a_free_slot_opens_and_only_a_closing_one_is_released() {
    for was in State::ALL {
        let slot = slot_in(was);
        let opened = slot.open(address("192.0.2.1:80"), 3, 500);
        if was == State::Free {
            assert_eq!((opened, slot.state()), (Ok(()), State::Active));
        } else {
            assert_eq!((opened, slot.state()), (Err(Refused::Was(was)), was));
            assert_ne!(slot.peer(), address("192.0.2.1:80"), "nothing has changed");
        }
        let slot = slot_in(was);
        let released = slot.release();
        if was == State::Closing {
            assert_eq!((released, slot.state(), slot.generation()), (Ok(()), State::Free, 1));
        } else {
            let unchanged = (Err(Refused::Was(was)), was, 0);
            assert_eq!((released, slot.state(), slot.generation()), unchanged);
        }
    }
}

/// CN-3.
#[test]
fn generations_count_in_24_bits_and_wrap() {
    let slot = slot_in(State::Closing);
    slot.generation.store(GENERATION_MAX - 1, super::Ordering::Relaxed);
    for expected in [GENERATION_MAX, 0, 1] {
        slot.release().expect("it is closing");
        assert_eq!(slot.generation(), expected);
        slot.open(address("192.0.2.1:80"), 0, 0).expect("it is free");
        assert_eq!(slot.generation(), expected, "one connection, one generation");
        slot.move_state(State::Active, State::Closing).expect("it is active");
    }
}

#[test]
fn a_new_connection_inherits_nothing() {
    let slot = Slot::new();
    slot.open(address("192.0.2.1:80"), 1, 1_000).expect("it is free");
    slot.set_active(Some(9));
    slot.touch(5_000);
    slot.set_idle_ms(75_049);
    assert_eq!(slot.idle_ms(), 75_000);
    assert_eq!((slot.add_request(), slot.add_request(), slot.requests()), (1, 2, 2));
    slot.set_close_reason(CloseReason::IdleTimeout);
    slot.set_close_reason(CloseReason::Drained);
    assert_eq!(slot.close_reason(), Some(CloseReason::IdleTimeout), "the first reason stays");
    slot.move_state(State::Active, State::Closing).expect("it is active");
    slot.release().expect("it is closing");

    slot.open(address("192.0.2.2:81"), 2, 60_050).expect("it is free");
    assert_eq!((slot.peer(), slot.listener()), (address("192.0.2.2:81"), 2));
    assert_eq!((slot.accepted_ms(), slot.last_active_ms()), (60_000, 60_000));
    assert_eq!((slot.requests(), slot.active(), slot.close_reason()), (0, None, None));
    assert_eq!(slot.idle_ms(), 0);
}

#[test]
fn times_have_steps_of_100_ms_and_do_not_wrap() {
    let slot = Slot::new();
    for (now_ms, kept_ms) in [(0, 0), (99, 0), (100, 100), (12_345, 12_300)] {
        slot.touch(now_ms);
        assert_eq!(slot.last_active_ms(), kept_ms);
    }
    slot.touch(u64::MAX);
    assert_eq!(slot.last_active_ms(), u64::from(u32::MAX) * 100);
}

/// CN-1, and the picture in the file's header.
#[test]
fn the_layout_is_the_one_drawn() {
    let offsets = [
        offset_of!(Slot, peer_high),
        offset_of!(Slot, peer_low),
        offset_of!(Slot, peer_port),
        offset_of!(Slot, listener),
        offset_of!(Slot, generation),
        offset_of!(Slot, wheel_next),
        offset_of!(Slot, wheel_prev),
        offset_of!(Slot, wheel_tick),
        offset_of!(Slot, last_active),
        offset_of!(Slot, accepted),
        offset_of!(Slot, requests),
        offset_of!(Slot, state),
        offset_of!(Slot, in_wheel),
        offset_of!(Slot, close_reason),
        offset_of!(Slot, half),
        offset_of!(Slot, active),
        offset_of!(Slot, idle),
        offset_of!(Slot, partner),
        size_of::<Slot>(),
    ];
    let expected = [0, 8, 16, 18, 20, 24, 28, 32, 36, 40, 44, 48, 49, 50, 51, 52, 56, 60, 64];
    assert_eq!(offsets, expected);
}

#[test]
fn a_table_has_the_slots_that_were_asked_for() {
    let table = SlotTable::new(3);
    assert_eq!((table.len(), table.is_empty(), table.iter().count()), (3, false, 3));
    assert!(table.get(2).is_some() && table.get(3).is_none() && table.get(u32::MAX).is_none());
    assert!(table.iter().all(|slot| slot.state() == State::Free));
    let first = std::ptr::from_ref(table.get(0).expect("there is one")).addr();
    let second = std::ptr::from_ref(table.get(1).expect("there is one")).addr();
    assert_eq!((first % 64, second - first), (0, 64));
    assert!(SlotTable::new(0).is_empty());
}

#[test]
fn a_half_of_a_tunnel_comes_back_as_it_was_and_goes_with_its_connection() {
    let slot = Slot::new();
    let bits = [false, true];
    for side in Side::BOTH {
        for kind in [Kind::Tunnel, Kind::Stream] {
            slot.open(address("192.0.2.1:80"), 0, 0).expect("the slot is free");
            assert_eq!((slot.half(), slot.partner(), slot.record()), (None, None, None));
            slot.pair(0, Half { side, kind, rest: Rest::default() });
            slot.set_record(7);
            assert_eq!(slot.record(), (side == Side::Origin).then_some(7));
            assert_eq!((slot.requests(), slot.partner()), (0, Some(0)));
            for number in 0..8 {
                let [client_ended, origin_ended, origin_first] =
                    [0, 1, 2].map(|bit| bits[number >> bit & 1]);
                let rest = Rest { client_ended, origin_ended, origin_first };
                slot.set_rest(rest);
                assert_eq!(slot.half(), Some(Half { side, kind, rest }));
            }
            slot.unpair();
            assert_eq!(slot.partner(), None);
            assert!(slot.half().is_some(), "what it was is still to be seen");
            slot.move_state(State::Active, State::Closing).expect("it is active");
            slot.release().expect("it is closing");
        }
    }
}
