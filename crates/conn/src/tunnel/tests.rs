//! Every reachable state × every event, written out (TN-1), and what must hold on every path.

use std::collections::{BTreeSet, HashSet, VecDeque};

use super::{At, Begin, Event, Kind, Order, Over, Relay, Rest, Side};

const EVENTS: [Event; 9] = [
    Event::Readable,
    Event::Unparked,
    Event::Received,
    Event::ReceivedLast,
    Event::End,
    Event::Failed,
    Event::Sent,
    Event::Refused,
    Event::ShutDown,
];

/// Every way in which a tunnel can begin: what comes from the origin begins with its head.
const BEGINS: [Begin; 5] =
    [Begin::Parked, Begin::Receiving, Begin::Early, Begin::EarlyLast, Begin::Ended];

/// Whether the world can tell this of a way that stands there.
fn can_happen(relay: &Relay, side: Side, event: Event) -> bool {
    let way = relay.way(side);
    match event {
        Event::Readable | Event::Unparked => way.armed,
        Event::Received | Event::ReceivedLast | Event::End | Event::Failed => {
            way.at == At::Receiving
        }
        Event::Sent | Event::Refused => matches!(way.at, At::Sending | At::SendingLast),
        Event::ShutDown => way.at == At::Shutting,
    }
}

fn starts(kind: Kind) -> Vec<Relay> {
    let begins = BEGINS.into_iter();
    begins
        .flat_map(|client| {
            [Begin::Early, Begin::EarlyLast].map(|origin| Relay::open(kind, client, origin))
        })
        .collect()
}

/// Calls `check` with every reachable state, each possible event and what it leads to.
fn walk(kind: Kind, mut check: impl FnMut(&Relay, (Side, Event), Order, &Relay)) {
    let mut queue = VecDeque::from(starts(kind));
    let mut seen = HashSet::new();
    while let Some(relay) = queue.pop_front() {
        if !seen.insert(format!("{relay:?}")) {
            continue;
        }
        for side in Side::BOTH {
            for event in EVENTS.into_iter().filter(|event| can_happen(&relay, side, *event)) {
                let mut next = relay;
                let order = next.handle(side, event);
                check(&relay, (side, event), order, &next);
                if !matches!(order, Order::Close(_)) {
                    queue.push_back(next);
                }
            }
        }
    }
}

fn label(relay: &Relay) -> String {
    let way = |side| {
        let way = relay.way(side);
        format!("{:?}{}", way.at, if way.armed { "+park" } else { "" })
    };
    let first = relay.first.map_or(String::new(), |side| format!(", {side:?} first"));
    format!("{} × {}{first}", way(Side::Client), way(Side::Origin))
}

#[test]
fn every_state_and_event_has_an_outcome() {
    for (kind, name) in [(Kind::Tunnel, "tunnel"), (Kind::Stream, "stream")] {
        let mut lines = BTreeSet::new();
        walk(kind, |before, (side, event), order, after| {
            let (before, after) = (label(before), label(after));
            lines.insert(format!("{before}: {side:?} {event:?} → {order:?}; {after}"));
        });
        let lines: Vec<String> = lines.into_iter().collect();
        insta::assert_snapshot!(name, lines.join("\n"));
    }
}

#[test]
fn what_cannot_happen_changes_nothing() {
    for kind in [Kind::Tunnel, Kind::Stream] {
        walk(kind, |relay, _, _, _| {
            for side in Side::BOTH {
                for event in EVENTS.into_iter().filter(|event| !can_happen(relay, side, *event)) {
                    let mut next = *relay;
                    let order = next.handle(side, event);
                    // That both are over may be told again; nothing else is.
                    let is_told_again = matches!(order, Order::Close(Over::Ended(_)));
                    assert!(
                        order == Order::Nothing || is_told_again,
                        "{relay:?} {side:?} {event:?}"
                    );
                    assert_eq!(next, *relay, "{side:?} {event:?}");
                }
            }
        });
    }
}

/// TN-2, TN-3: nothing is ordered that is under way already, and who is not read is not parked.
#[test]
fn orders_never_overlap() {
    for kind in [Kind::Tunnel, Kind::Stream] {
        walk(kind, |before, (side, event), order, after| {
            let story = format!("{before:?} {side:?} {event:?} → {order:?} {after:?}");
            let (was, is) = (before.way(side), after.way(side));
            match order {
                Order::Park | Order::Discard => {
                    let was_armed =
                        was.armed && !matches!(event, Event::Readable | Event::Unparked);
                    assert!(!was_armed && is.armed && is.at == At::Quiet, "{story}");
                }
                Order::Receive => {
                    assert!(was.at != At::Receiving && is.at == At::Receiving, "{story}");
                }
                Order::Send => assert!(was.at == At::Receiving && !was.armed, "{story}"),
                Order::ShutDown => assert!(is.at == At::Shutting, "{story}"),
                Order::Nothing => {
                    let waits = is.armed || is.at != At::Quiet;
                    assert!(waits, "nobody will ever hear of this way again: {story}");
                }
                Order::Close(_) => {}
            }
            // The way across is moved by its own events alone.
            assert_eq!(before.way(side.other()), after.way(side.other()), "{story}");
            assert!(!after.is_quiet() || after.way(side).armed || is.at == At::Ended, "{story}");
        });
    }
}

/// TN-4.
#[test]
fn a_quiet_tunnel_is_its_three_bits() {
    for kind in [Kind::Tunnel, Kind::Stream] {
        let mut quiet = 0;
        walk(kind, |_, _, order, relay| {
            let both_ended = Side::BOTH.iter().all(|side| relay.has_ended(*side));
            if relay.is_quiet() && !matches!(order, Order::Close(_)) && !both_ended {
                let mut again = Relay::wake(kind, relay.rest());
                // The park of a way that was given up may still be armed: nobody minds its end.
                for (way, known) in
                    [(&mut again.client, relay.client), (&mut again.origin, relay.origin)]
                {
                    if way.at == At::Ended {
                        way.armed = known.armed;
                    }
                }
                again.first = again.first.filter(|_| relay.first.is_some());
                assert_eq!(again, *relay);
                quiet += 1;
            }
        });
        assert!(quiet > 0);
    }
}

/// Every path goes on to a close: no pair of states waits for nothing.
#[test]
fn every_tunnel_can_end() {
    for kind in [Kind::Tunnel, Kind::Stream] {
        for start in starts(kind) {
            let mut relay = start;
            let mut steps = 0;
            loop {
                steps += 1;
                assert!(steps < 32, "{start:?} does not end: {relay:?}");
                let next = Side::BOTH.into_iter().find_map(|side| {
                    // The end comes as soon as it can; else what must come.
                    let order = [Event::End, Event::Sent, Event::ShutDown, Event::Readable];
                    let event = order.into_iter().find(|event| can_happen(&relay, side, *event))?;
                    let is_read = event != Event::Readable || relay.way(side).at == At::Quiet;
                    is_read.then_some((side, event))
                });
                let (side, event) = next.expect("something can happen");
                if matches!(relay.handle(side, event), Order::Close(_)) {
                    break;
                }
            }
        }
    }
}

#[test]
fn the_end_of_one_side_is_told_behind_what_it_said() {
    let mut relay = Relay::open(Kind::Tunnel, Begin::EarlyLast, Begin::Early);
    assert_eq!(relay.handle(Side::Client, Event::Sent), Order::ShutDown);
    assert_eq!(relay.handle(Side::Origin, Event::Sent), Order::Park);
    assert_eq!(relay.handle(Side::Client, Event::ShutDown), Order::Nothing);
    assert!(relay.is_quiet());
    let rest = Rest { client_ended: true, origin_ended: false, origin_first: false };
    assert_eq!(relay.rest(), rest);
    assert_eq!(relay.handle(Side::Origin, Event::Readable), Order::Receive);
    assert_eq!(relay.handle(Side::Origin, Event::End), Order::ShutDown);
    let over = Order::Close(Over::Ended(Side::Client));
    assert_eq!(relay.handle(Side::Origin, Event::ShutDown), over);
}

#[test]
fn who_takes_nothing_more_is_heard_to_its_end() {
    let mut relay = Relay::wake(Kind::Tunnel, Rest::default());
    assert_eq!(relay.handle(Side::Client, Event::Readable), Order::Receive);
    assert_eq!(relay.handle(Side::Client, Event::Received), Order::Send);
    assert_eq!(relay.handle(Side::Client, Event::Refused), Order::Nothing);
    assert_eq!(relay.handle(Side::Origin, Event::Readable), Order::Receive);
    assert_eq!(relay.handle(Side::Origin, Event::Received), Order::Send);
    assert_eq!(relay.handle(Side::Origin, Event::Sent), Order::Park);
    assert_eq!(relay.handle(Side::Origin, Event::Readable), Order::Receive);
    let over = Order::Close(Over::Failed(Side::Origin));
    assert_eq!(relay.handle(Side::Origin, Event::Failed), over);
}

#[test]
fn the_client_of_a_stream_is_listened_to_only_to_hear_it_leave() {
    let mut relay = Relay::wake(Kind::Stream, Rest::default());
    assert_eq!(relay.handle(Side::Client, Event::Readable), Order::Receive);
    assert_eq!(relay.handle(Side::Client, Event::Received), Order::Discard);
    assert!(relay.is_quiet());
    assert_eq!(relay.handle(Side::Client, Event::Readable), Order::Receive);
    let over = Order::Close(Over::Ended(Side::Client));
    assert_eq!(relay.handle(Side::Client, Event::End), over);
}
