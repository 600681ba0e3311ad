//! Parts of the reactor that hold without a ring.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener};
use std::os::fd::OwnedFd;

use proptest::prelude::*;

use super::accepts::Accepts;
use super::address::RawAddress;
use super::shard::Doubt;
use super::slots::{SlotState, Slots};
use crate::op::OpLink;
use crate::{AcceptError, ListenerId};

proptest! {
    #[test]
    fn addresses_come_back(v4: u32, v6: u128, port: u16, flow: u32, scope: u32) {
        let four = SocketAddr::from((Ipv4Addr::from(v4), port));
        let six = SocketAddr::from(SocketAddrV6::new(Ipv6Addr::from(v6), port, flow, scope));
        for address in [four, six] {
            let (raw, length) = RawAddress::encode(address);
            prop_assert_eq!(length, if address.is_ipv4() { 16 } else { 28 });
            prop_assert_eq!(raw.decode(), Some(address));
        }
    }

    #[test]
    fn slot_states_come_back(generation in 0_u32..1 << 24, op in 0_u32..1 << 20, flags: u8) {
        let mut slots = Slots::new(3);
        let mut state = SlotState::default().with(flags);
        state.generation = generation;
        state.first_op = OpLink::to(op);
        slots.set(1, state);
        let back = slots.get(1);
        prop_assert!(back.has(flags) && !back.without(flags).has(1));
        prop_assert_eq!((back.generation, back.first_op.get()), (generation, Some(op)));
        for other in [0, 2, 3, u32::MAX] {
            prop_assert!(!slots.get(other).has(SlotState::OPEN), "slot {} was changed", other);
        }
    }
}

#[test]
fn unknown_family_is_no_address() {
    assert_eq!(RawAddress::default().decode(), None);
}

/// TR-9: two million connections and their heartbeats brought this up after a million events: the
/// kernel left its flag set with nothing behind it, and the reactor entered for ever.
#[test]
fn a_flag_with_nothing_behind_it_ends_the_entering() {
    let mut doubt = Doubt::new(19_936);
    let mut entered = 0_u32;
    while doubt.believes() {
        doubt.note(false);
        entered += 1;
        assert!(entered <= 19_936, "entered for ever");
    }
    assert!(entered >= 19_936 / 20, "work for every slot might have been left");
    doubt.end();
    assert!(doubt.believes(), "what the kernel says anew is believed");
}

#[test]
fn a_flag_with_work_behind_it_is_believed_as_long_as_it_lasts() {
    let mut doubt = Doubt::new(40);
    for _ in 0..1000 {
        doubt.note(false);
        doubt.note(true);
        assert!(doubt.believes());
    }
}

#[test]
fn slot_closes_only_when_asked_and_quiet() {
    let open = SlotState::default().with(SlotState::OPEN | SlotState::NAMED);
    assert!(!open.may_close(), "nobody asked");
    let closing = open.with(SlotState::CLOSING);
    assert!(closing.may_close());
    for busy in [
        SlotState::PARKED,
        SlotState::RECEIVING,
        SlotState::SENDING,
        SlotState::SHUTTING,
        SlotState::CLOSE_SENT,
    ] {
        assert!(!closing.with(busy).may_close(), "TR-2: closed under {busy:#b}");
    }
}

#[test]
fn failing_listener_rests_and_is_told_once() {
    let mut accepts = with_listener();
    assert_eq!(accepts.fail(0, libc::ENFILE, 1_000), Some(AcceptError::Descriptors));
    assert_eq!(accepts.fail(0, libc::ENFILE, 2_000), None, "told once per pause");
    let resume_us = accepts.resume_us().unwrap();
    assert_eq!(resume_us, 101_000);
    accepts.resume_if_due(resume_us - 1);
    assert!(accepts.resume_us().is_some());
    accepts.resume_if_due(resume_us);
    assert_eq!(accepts.resume_us(), None);
    assert_eq!(accepts.fail(0, libc::ENOBUFS, 300_000), Some(AcceptError::Memory));
    accepts.slot_freed();
    assert_eq!(accepts.resume_us(), None, "a freed slot ends the pause");
}

#[test]
fn aborted_connection_is_no_reason_to_rest() {
    let mut accepts = with_listener();
    for _ in 0..3 {
        assert_eq!(accepts.fail(0, libc::ECONNABORTED, 0), Some(AcceptError::Aborted));
    }
    assert_eq!(accepts.fail(0, libc::ECANCELED, 0), None, "we cancelled it ourselves");
    assert_eq!(accepts.resume_us(), None);
}

fn with_listener() -> Accepts {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut accepts = Accepts::new(4);
    assert_eq!(accepts.add(OwnedFd::from(socket), address), Some(ListenerId(0)));
    assert_eq!(accepts.address(ListenerId(0)), Some(address));
    assert_eq!(accepts.address(ListenerId(1)), None);
    accepts
}
