//! What is counted, listed, taken by a filter and closed; and that two million slots delay nobody.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use longhold_conn::tunnel::{Kind, Rest, Side};
use longhold_conn::{CloseReason, Half, SlotTable, State};
use longhold_transport::sim::{Network, Profile, SimTransport};
use longhold_transport::{Config, Now, Token, Transport as _};

use super::census::Census;
use super::close::{CLOSES_MAX, Closed, close};
use super::filter::{Filter, FilterAsk, FilterError};
use super::protocol::Protocol;
use super::{Going, SLOTS_AT_ONCE, walk};
use crate::inbox::{CloseOrder, Inbox};
use crate::outgoing::Outgoing;
use crate::roster::Member;

/// A worker's slots, and its inbox; its clock stands at `now_s`.
fn member(slots: u32, now_s: u64) -> (Arc<Member>, Arc<Inbox>) {
    let network = Network::with_profile(1, Profile::default());
    let io: SimTransport<Outgoing> = network.transport(&Config::default());
    let inbox = Arc::new(Inbox::of(&io));
    let member = Member::new(Arc::new(SlotTable::new(slots)));
    let now = Now { monotonic_us: now_s * 1_000_000, ..io.now() };
    member.begin(Arc::clone(&inbox), now);
    (member, inbox)
}

/// Opens a slot: accepted, last active, its state.
fn open(
    member: &Member,
    slot: u32,
    (peer, listener): (&str, u16),
    (accepted_s, active_s, state): (u64, u64, State),
) {
    let cell = member.slots.get(slot).unwrap();
    cell.open(peer.parse().unwrap(), listener, accepted_s * 1000).unwrap();
    cell.touch(active_s * 1000);
    if state != State::Active {
        cell.move_state(State::Active, state).unwrap();
    }
}

/// Runs a walk to its end; how many turns it took.
fn run<T>(future: impl Future<Output = T>) -> (T, usize) {
    let mut future = pin!(future);
    let mut turns = 0;
    loop {
        turns += 1;
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return (value, turns);
        }
    }
}

#[test]
fn two_million_slots_are_counted_in_short_stretches() {
    const SLOTS: u32 = 2_000_000;
    let (member, _inbox) = member(SLOTS, 100);
    for slot in 0..SLOTS {
        let cell = member.slots.get(slot).unwrap();
        cell.open("10.0.0.1:80".parse().unwrap(), 0, 0).unwrap();
        cell.move_state(State::Active, State::Parked).unwrap();
    }
    let roster = [member];
    let (census, turns) = run(Census::take(&roster, 1, &Filter::default(), 5));
    assert_eq!((census.total(), census.in_state(State::Parked)), (SLOTS.into(), SLOTS.into()));
    assert_eq!(turns, SLOTS.div_ceil(SLOTS_AT_ONCE) as usize + 1);

    let seen = Cell::new(0);
    let mut walking = pin!(walk(&roster, |_, _| {
        seen.set(seen.get() + 1);
        Going::On
    }));
    for stretch in 1..4 {
        let walked = walking.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(walked.is_pending());
        assert_eq!(seen.get(), stretch * SLOTS_AT_ONCE, "one turn is one stretch");
    }
}

#[test]
fn what_is_spoken_is_told_by_the_slot() {
    let (member, _inbox) = member(8, 100);
    let half = |side, kind| Half { side, kind, rest: Rest::default() };
    let used = [
        (None, false),
        (None, true),
        (Some(half(Side::Client, Kind::Tunnel)), false),
        (Some(half(Side::Client, Kind::Tunnel)), true),
        (Some(half(Side::Client, Kind::Stream)), false),
        (Some(half(Side::Client, Kind::Stream)), true),
        (Some(half(Side::Origin, Kind::Stream)), false),
        (Some(half(Side::Origin, Kind::Tunnel)), true),
    ];
    for (slot, (half, secure)) in (0..).zip(used) {
        open(&member, slot, ("10.0.0.1:1", 0), (1, 1, State::Active));
        let cell = member.slots.get(slot).unwrap();
        if secure {
            cell.set_secure();
        }
        if let Some(half) = half {
            cell.pair(0, half);
            cell.set_rest(Rest { origin_ended: true, ..Rest::default() });
            assert!(cell.half().unwrap().rest.origin_ended);
        }
    }
    let roster = [member];
    let (census, _) = run(Census::take(&roster, 1, &Filter::default(), 8));
    let said = census.json(&[("127.0.0.1:80".to_owned(), "http")]);
    for protocol in Protocol::ALL {
        assert_eq!(said["by_protocol"][protocol.name()], 1, "{}", protocol.name());
        let ask = FilterAsk { protocol: Some(protocol.name().to_owned()), ..FilterAsk::default() };
        let filter = Filter::of(&ask, &[]).unwrap();
        let (census, _) = run(Census::take(&roster, 1, &filter, 8));
        assert_eq!(census.total(), 1);
        assert_eq!(census.json(&[])["oldest"][0]["protocol"], protocol.name());
    }
    let cell = roster[0].slots.get(1).unwrap();
    cell.move_state(State::Active, State::Closing).unwrap();
    cell.release().unwrap();
    cell.open("10.0.0.1:1".parse().unwrap(), 0, 0).unwrap();
    assert_eq!(Protocol::of(cell), Protocol::Http, "the next connection of a slot has no session");
}

#[test]
fn census_counts_classes_and_keeps_what_stands_out() {
    let (member, _inbox) = member(8, 100_000);
    open(&member, 0, ("10.0.0.1:1", 0), (99_999, 99_999, State::Parked));
    open(&member, 1, ("10.0.0.2:2", 1), (99_000, 99_990, State::Active));
    open(&member, 3, ("[2001:db8::1]:3", 1), (10, 50_000, State::Parked));
    open(&member, 4, ("10.0.0.4:4", 1), (99_500, 99_950, State::Closing));
    for _ in 0..7 {
        member.slots.get(1).unwrap().add_request();
    }
    let listeners = [("127.0.0.1:80".to_owned(), "http"), ("127.0.0.1:81".to_owned(), "http")];
    let (census, _) = run(Census::take(&[member], 2, &Filter::default(), 2));
    let said = census.json(&listeners);
    assert_eq!(said["total"], 4);
    assert_eq!(said["slots"], 8);
    let states = serde_json::json!({ "handshaking": 0, "parked": 2, "active": 1, "closing": 1 });
    assert_eq!(said["by_state"], states);
    assert_eq!(said["by_listener"][1]["connections"], 3);
    assert_eq!(said["by_worker"][0]["connections"], 4);
    let counts = |key: &str| -> Vec<u64> {
        let rows = said[key].as_array().unwrap().iter();
        rows.map(|row| row["connections"].as_u64().unwrap()).collect()
    };
    assert_eq!(counts("by_age"), [0, 1, 0, 1, 1, 0, 0, 1]);
    assert_eq!(counts("by_idle"), [0, 1, 2, 0, 0, 0, 1, 0]);
    let listed = |key: &str, field: &str| -> Vec<String> {
        let rows = said[key].as_array().unwrap().iter();
        rows.map(|row| row[field].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed("oldest", "peer"), ["[2001:db8::1]:3", "10.0.0.2:2"]);
    assert_eq!(listed("idlest", "id"), ["0:3:0", "0:4:0"]);
    assert_eq!(listed("busiest", "listener")[0], "127.0.0.1:81");
    assert_eq!(said["busiest"][0]["requests"], 7);
}

#[test]
fn filter_takes_what_all_its_parts_take() {
    let listeners = ["127.0.0.1:80".to_owned(), "[::]:443".to_owned()];
    let (member, _inbox) = member(1, 10_000);
    open(&member, 0, ("10.1.2.3:9", 1), (1_000, 9_000, State::Parked));
    let roster = [member];
    type Row<'a> = (&'a [(&'a str, &'a str)], Result<bool, FilterError>);
    let table: &[Row<'_>] = &[
        (&[], Ok(true)),
        (&[("state", "parked")], Ok(true)),
        (&[("state", "active")], Ok(false)),
        (&[("state", "free")], Err(FilterError::State)),
        (&[("listener", "[::]:443")], Ok(true)),
        (&[("listener", "127.0.0.1:80")], Ok(false)),
        (&[("listener", "127.0.0.1:81")], Err(FilterError::Listener)),
        (&[("source", "10.1.2.3")], Ok(true)),
        (&[("source", "::ffff:10.1.2.3")], Ok(true)),
        (&[("source", "10.0.0.0/8")], Ok(true)),
        (&[("source", "10.1.2.0/31")], Ok(false)),
        (&[("source", "0.0.0.0/0")], Ok(true)),
        (&[("source", "::/0")], Ok(false)),
        (&[("source", "10.0.0.0/33")], Err(FilterError::Source)),
        (&[("source", "here")], Err(FilterError::Source)),
        (&[("idle_over", "15m")], Ok(true)),
        (&[("idle_over", "20m")], Ok(false)),
        (&[("protocol", "http")], Ok(true)),
        (&[("protocol", "https")], Ok(false)),
        (&[("protocol", "spdy")], Err(FilterError::Protocol)),
        (&[("older_than", "2h")], Ok(true)),
        (&[("older_than", "3h")], Ok(false)),
        (&[("older_than", "3")], Err(FilterError::Time)),
        (&[("state", "parked"), ("older_than", "3h")], Ok(false)),
    ];
    for (parts, expected) in table {
        let mut ask = FilterAsk::default();
        for (name, value) in *parts {
            *ask.part_mut(name).unwrap() = Some((*value).to_owned());
        }
        assert_eq!(ask.is_empty(), parts.is_empty());
        let taken = Filter::of(&ask, &listeners).map(|filter| {
            let (census, _) = run(Census::take(&roster, 2, &filter, 1));
            census.total() == 1
        });
        assert_eq!(taken, *expected, "{parts:?}");
    }
}

#[test]
fn parked_connections_are_moved_and_others_asked_for() {
    let (member, inbox) = member(4, 10);
    open(&member, 0, ("10.0.0.1:1", 0), (0, 0, State::Parked));
    open(&member, 1, ("10.0.0.1:2", 0), (0, 0, State::Active));
    open(&member, 2, ("10.0.0.1:3", 0), (0, 0, State::Closing));
    let states = || -> Vec<State> { member.slots.iter().map(|slot| slot.state()).collect() };
    let roster = [Arc::clone(&member)];
    let (outcome, _) = run(close(&roster, &Filter::default()));
    assert_eq!(outcome, Closed { closed: 2, complete: true });
    assert_eq!(states(), [State::Closing, State::Active, State::Closing, State::Free]);
    let mut orders = Vec::new();
    assert!(!inbox.take_closes(10, &mut orders));
    let order = |slot, is_moved| {
        let token = Token { slot, generation: 0 };
        CloseOrder { token, reason: CloseReason::Ordered, is_moved }
    };
    assert_eq!(orders, [order(0, true), order(1, false)]);
    assert!(!member.close(Token { slot: 1, generation: 1 }, CloseReason::Ordered), "another's");
}

#[test]
fn orders_hold_back_while_a_worker_is_behind() {
    let slots = 20_000;
    let (member, inbox) = member(slots, 10);
    for slot in 0..slots {
        open(&member, slot, ("10.0.0.1:1", 0), (0, 0, State::Parked));
    }
    let roster = [member];
    let mut orders = Vec::new();
    let mut closed = 0;
    let mut rounds = 0;
    loop {
        let (outcome, _) = run(close(&roster, &Filter::of(&parked(), &[]).unwrap()));
        closed += outcome.closed;
        rounds += 1;
        assert!(inbox.closes_waiting() <= 8192, "{}", inbox.closes_waiting());
        while inbox.take_closes(64, &mut orders) {}
        if outcome.complete {
            break;
        }
    }
    assert_eq!((closed, orders.len(), rounds), (slots.into(), slots as usize, 3));
    assert!(u64::from(slots) < CLOSES_MAX);
}

fn parked() -> FilterAsk {
    FilterAsk { state: Some("parked".to_owned()), ..FilterAsk::default() }
}
