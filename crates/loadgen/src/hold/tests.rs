//! The hold against a scripted server: what stands at the end is held, everything else is counted
//! once with its reason (LG-2), with few exchanges for many connections (LG-3), and to its end
//! whatever the server does (LG-4, LG-5).

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use longhold_transport::{Config, Transport as _, bind_listeners, epoll};
use std::thread;
use std::time::Duration;

use super::{HoldReport, StageReport, hold};
use crate::echo::Echo;
use crate::plan::{Aim, HoldPlan, LoadError, Moment};
use crate::scripted::{aim, right_answer, secure_echo, secured, serve, transport};
use crate::series::Counts;
use crate::target::Target;

fn plan(address: SocketAddr) -> HoldPlan {
    HoldPlan {
        aim: aim(address),
        stages: vec![30],
        active_max: 7,
        hold_ms: 100,
        heartbeat_ms: None,
    }
}

fn run(plan: &HoldPlan) -> HoldReport {
    let report = hold(&mut transport(), plan, &mut |_: Moment| {}).expect("the load runs");
    assert_eq!(report.held + report.lost + report.unfinished, report.connections, "{report:?}");
    assert_eq!(u64::from(report.lost), report.faults.total(), "{report:?}");
    report
}

#[test]
fn all_connections_are_held_after_one_answer_each() {
    let address = serve(|mut asked| asked.request == 0 && asked.answer(""));
    let mut moments = Vec::new();
    let report = hold(&mut transport(), &plan(address), &mut |moment: Moment| moments.push(moment))
        .expect("the load runs");
    assert_eq!((report.held, report.lost, report.first.count), (30, 0, 30));
    assert_eq!(report.connect.count, 30);
    assert_eq!(moments, [Moment::Begin, Moment::Parked, Moment::Held]);
}

#[test]
fn heartbeats_are_answered_and_verified() {
    let address = serve(|mut asked| asked.answer(""));
    let report = run(&HoldPlan { heartbeat_ms: Some(20), ..plan(address) });
    assert_eq!(report.held, 30);
    assert!(report.heartbeats.count >= 30, "{report:?}");
}

#[test]
fn answer_whose_parts_are_further_apart_than_heartbeats_is_awaited_before_the_next() {
    let address = serve(|mut asked| {
        if (asked.connection, asked.request) != (3, 1) {
            return asked.answer("");
        }
        let answer = right_answer("");
        asked.write(&answer[..100]);
        thread::sleep(Duration::from_millis(200));
        asked.write(&answer[100..])
    });
    let report = run(&HoldPlan { heartbeat_ms: Some(20), hold_ms: 400, ..plan(address) });
    assert_eq!((report.held, report.faults.total()), (30, 0), "{report:?}");
}

#[test]
fn a_heartbeat_with_a_wrong_byte_loses_its_connection() {
    let address = serve(|mut asked| {
        let mut answer = right_answer("");
        if asked.connection == 3
            && asked.request == 1
            && let Some(last) = answer.last_mut()
        {
            *last ^= 1;
        }
        asked.write(answer)
    });
    let report = run(&HoldPlan { heartbeat_ms: Some(20), ..plan(address) });
    assert_eq!((report.held, report.lost), (29, 1));
    assert_eq!(report.faults.count("wrong-body"), 1);
    let last = report.series.points().last().expect("a point").counts;
    assert_eq!((last.opened, last.held, last.lost, last.faults), (30, 29, 1, 1));
}

#[test]
fn closed_connections_are_lost_with_their_reason() {
    let address = serve(|mut asked| {
        let connection = asked.connection;
        // Number 0 never answers, 1 breaks off, 2 answers and closes, 3 says that it will close.
        match connection {
            0 => return false,
            1 => asked.write(&right_answer("")[..50]),
            3 => asked.answer("Connection: close\r\n"),
            _ => asked.answer(""),
        };
        connection > 2
    });
    let report = run(&plan(address));
    assert_eq!((report.held, report.lost), (26, 4), "{report:?}");
    for fault in ["closed-unanswered", "truncated", "closed-while-parked", "close-announced"] {
        assert_eq!(report.faults.count(fault), 1, "{fault}: {report:?}");
    }
}

#[test]
fn bytes_nobody_asked_for_lose_the_connection() {
    let address = serve(|mut asked| {
        let unasked = asked.connection % 10 == 5;
        let answered = asked.answer("");
        if unasked {
            std::thread::sleep(std::time::Duration::from_millis(20));
            asked.write("HTTP/1.1 200 OK\r\n");
        }
        answered
    });
    let report = run(&plan(address));
    assert_eq!((report.held, report.faults.count("unsolicited")), (27, 3), "{report:?}");
}

#[test]
fn a_server_that_ends_is_noticed_on_every_connection() {
    // Every connection ends at once, more of them than may be active at a time.
    let address = serve(|mut asked| {
        asked.answer("");
        std::thread::sleep(std::time::Duration::from_millis(50));
        false
    });
    let report = run(&HoldPlan { hold_ms: 1000, ..plan(address) });
    assert_eq!((report.held, report.lost), (0, 30));
    assert_eq!(report.faults.count("closed-while-parked"), 30, "{report:?}");
}

#[test]
fn silence_ends_with_the_answer_timeout_or_the_time_limit() {
    let address = serve(|mut asked| asked.connection % 2 == 0 || asked.answer(""));
    let mut timed_out = plan(address);
    timed_out.aim.answer_timeout_ms = 150;
    let report = run(&timed_out);
    assert_eq!((report.held, report.faults.count("answer-timed-out")), (15, 15), "{report:?}");

    let address = serve(|_| true);
    let mut limited = plan(address);
    limited.aim.time_max_ms = 100;
    let report = run(&limited);
    assert_eq!((report.held, report.lost, report.unfinished), (0, 0, 30), "{report:?}");
}

#[test]
fn stages_add_up_and_each_is_reported() {
    let address = serve(|mut asked| asked.answer(""));
    let plan = HoldPlan { stages: vec![5, 20, 30], heartbeat_ms: Some(20), ..plan(address) };
    let report = run(&plan);
    let stages: Vec<_> =
        report.stages.iter().map(|it| (it.connections, it.held, it.lost)).collect();
    assert_eq!(stages, [(5, 5, 0), (20, 20, 0), (30, 30, 0)]);
    let beaten = |stage: &StageReport| stage.heartbeats > 0 && stage.p99_us >= stage.p50_us.max(1);
    assert!(report.stages.iter().all(beaten), "{report:?}");
    // One point at the begin, and one at each stage's end at the least.
    let points = report.series.points();
    assert_eq!(points[0].counts, Counts::default());
    let held: std::collections::BTreeSet<_> = points.iter().map(|it| it.counts.held).collect();
    assert!([0, 5, 20, 30].iter().all(|held_then| held.contains(held_then)), "{points:?}");
    let beats = report.first.count + report.heartbeats.count;
    let all = Counts { opened: 30, held: 30, lost: 0, answers: beats, faults: 0 };
    assert_eq!(points.last().map(|point| point.counts), Some(all));
    assert_eq!((report.first.count, report.held), (30, 30));
    for wrong in [vec![5, 5], vec![9, 3]] {
        let refused = hold(
            &mut transport(),
            &HoldPlan { stages: wrong, ..plan.clone() },
            &mut |_: Moment| {},
        );
        assert_eq!(refused.err(), Some(LoadError::Stages));
    }
}

#[test]
fn a_refused_connect_is_tried_again_and_then_lost() {
    // In use by a connection, so that nobody else gets it, and not listening: every connect is
    // refused.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listening = listener.local_addr().expect("bound");
    let connected = std::net::TcpStream::connect(listening).expect("it listens");
    let address = connected.local_addr().expect("connected");
    let report = run(&HoldPlan { stages: vec![3], ..plan(address) });
    assert_eq!((report.lost, report.retries), (3, 9), "{report:?}");
    assert_eq!(report.faults.count("connect-refused"), 3);
}

#[test]
fn connections_come_from_several_sources_when_they_must() {
    // Only the plan's check: 20,001 connections need a second source, of which IPv6 has none.
    let v6 = "[::1]:1".parse().expect("an address");
    let many = HoldPlan { stages: vec![20_001], ..plan(v6) };
    let refused = hold(&mut transport(), &many, &mut |_: Moment| {}).err();
    assert_eq!(refused, Some(LoadError::Sources { asked: 20_001 }));
}

#[test]
fn given_sources_take_turns_and_epoll_carries_a_hold_as_well() {
    let given: Vec<IpAddr> =
        ["127.7.0.1", "127.7.0.2"].map(|ip| ip.parse().expect("an address")).to_vec();
    let seen = Arc::new(Mutex::new(BTreeMap::new()));
    let told = Arc::clone(&seen);
    let address = serve(move |mut asked| {
        if asked.request == 0 {
            let source = asked.stream.peer_addr().expect("connected").ip();
            *told.lock().expect("nobody panicked").entry(source).or_insert(0) += 1;
        }
        asked.answer("")
    });
    let mut plan = HoldPlan { heartbeat_ms: Some(20), ..plan(address) };
    plan.aim.sources.clone_from(&given);
    let config = Config { slots: 64, ..Config::default() };
    let mut transport = epoll::Reactor::new(&config).expect("descriptors");
    let report = hold(&mut transport, &plan, &mut |_: Moment| {}).expect("the load runs");
    assert_eq!((report.held, report.lost), (30, 0), "{report:?}");
    assert!(report.heartbeats.count >= 30, "{report:?}");
    let seen = seen.lock().expect("nobody panicked").clone();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(given[0], 15), (given[1], 15)]);
}

#[test]
fn plans_that_cannot_be_carried_out_are_refused() {
    let address = serve(|mut asked| asked.answer(""));
    let refused = |plan: HoldPlan| hold(&mut transport(), &plan, &mut |_: Moment| {}).err();
    let base = plan(address);
    assert_eq!(
        refused(HoldPlan { stages: vec![65], ..base.clone() }),
        Some(LoadError::Slots { slots: 64, asked: 65 })
    );
    assert_eq!(
        refused(HoldPlan { active_max: 0, ..base.clone() }),
        Some(LoadError::Active { asked: 0 })
    );
    assert_eq!(refused(HoldPlan { heartbeat_ms: Some(0), ..base }), Some(LoadError::Heartbeat));
}

#[test]
fn connections_over_tls_are_held_and_their_messages_verified() {
    let address = secure_echo();
    let aim = |scheme: &str| {
        Aim::new(Target::parse(&format!("{scheme}://{address}/")).expect("a loopback URL"))
    };
    let plan = HoldPlan { aim: aim("wss"), heartbeat_ms: Some(20), ..plan(address) };
    let report = hold(&mut secured(), &plan, &mut |_: Moment| {}).expect("the load runs");
    assert_eq!((report.held, report.lost), (30, 0), "{report:?}");
    assert!(report.heartbeats.count >= 30, "{report:?}");

    // The other way about there is no handshake, and no answer.
    let plain = HoldPlan { aim: aim("ws"), ..plan.clone() };
    let report = hold(&mut secured(), &plain, &mut |_: Moment| {}).expect("the load runs");
    assert_eq!((report.held, report.lost), (0, 30), "{report:?}");
    // And a plain server gives no handshake.
    let server = serve(|mut asked| asked.answer(""));
    let url = format!("https://{server}/bytes/1");
    let mut aim = Aim::new(Target::parse(&url).expect("a loopback URL"));
    aim.answer_timeout_ms = 150;
    let report =
        hold(&mut secured(), &HoldPlan { aim, ..plan }, &mut |_: Moment| {}).expect("it runs");
    assert_eq!((report.held, report.lost), (0, 30), "{report:?}");
}

/// An origin of event streams on a thread of its own; it ends with the process.
fn event_origin() -> SocketAddr {
    let listener = bind_listeners("127.0.0.1:0".parse().expect("an address"), 1);
    let listener = listener.expect("a free port").remove(0);
    let address = listener.address();
    thread::spawn(move || {
        let mut transport = transport();
        transport.listen(listener).expect("it listens");
        let mut echo = Echo::new(transport);
        while echo.turn(None).is_ok() {}
    });
    address
}

fn event_plan(address: SocketAddr, query: &str) -> HoldPlan {
    let target = Target::parse(&format!("http://{address}/events{query}"));
    let target = target.and_then(Target::with_events).expect("a target");
    HoldPlan { aim: Aim::new(target), ..plan(address) }
}

#[test]
fn event_streams_are_held_while_their_events_keep_coming() {
    let address = event_origin();
    let plan = HoldPlan {
        hold_ms: 500,
        stages: vec![10, 30],
        active_max: 3,
        ..event_plan(address, "?interval=50ms")
    };
    let report = run(&plan);
    assert_eq!((report.held, report.first.count), (30, 30), "{report:?}");
    assert!(report.heartbeats.count >= 100, "{report:?}");
    assert!(report.stages.iter().all(|stage| stage.heartbeats > 10), "{report:?}");
    let refused =
        hold(&mut transport(), &HoldPlan { heartbeat_ms: Some(10), ..plan }, &mut |_: Moment| {});
    assert_eq!(refused.err(), Some(LoadError::Heartbeat));
}

#[test]
fn each_stream_that_breaks_is_lost_for_its_own_reason() {
    let address = serve(|mut asked| {
        let events = |numbers: &[u32]| {
            let mut text = String::new();
            numbers.iter().for_each(|number| crate::events::write_event(*number, &mut text));
            text
        };
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        asked.write(head.to_owned() + &events(&[1]));
        thread::sleep(Duration::from_millis(20));
        let connection = asked.connection;
        match connection {
            0 => asked.write(events(&[3])),
            1 => asked.write(events(&[2]).replace("longhold", "Longhold")),
            2 => asked.write(&events(&[2])[..20]),
            3 => true,
            _ => {
                for number in 2..9 {
                    asked.write(events(&[number]));
                    thread::sleep(Duration::from_millis(50));
                }
                true
            }
        };
        // 2 and 4 break off: within an event, and between two.
        !(connection == 2 || connection == 4)
    });
    let mut plan = HoldPlan { hold_ms: 1000, ..event_plan(address, "?interval=50ms") };
    plan.aim.answer_timeout_ms = 250;
    plan.stages = vec![5];
    let report = run(&plan);
    assert_eq!((report.held, report.lost), (0, 5), "{report:?}");
    let expected =
        [("wrong-event", 2), ("truncated", 1), ("event-overdue", 1), ("closed-while-parked", 1)];
    for (fault, count) in expected {
        assert_eq!(report.faults.count(fault), count, "{fault}: {report:?}");
    }
}

/// The stream's wrong event is there before the first newcomer's answer, and one of them has room
/// at a time.
#[test]
fn a_stream_that_stands_is_heard_before_the_next_newcomer() {
    let standing = Mutex::new(None);
    let address = serve(move |mut asked| {
        let mut standing = standing.lock().expect("no script panics");
        if asked.connection == 0 {
            let mut text = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n".to_owned();
            crate::events::write_event(1, &mut text);
            *standing = asked.stream.try_clone().ok();
            return asked.write(text);
        }
        if let Some(mut stream) = standing.take() {
            stream.write_all(b"data: wrong\n\n").expect("the stream stands");
        }
        asked.write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    });
    let plan = HoldPlan {
        hold_ms: 0,
        stages: vec![1, 12],
        active_max: 1,
        ..event_plan(address, "?interval=10s")
    };
    let report = run(&plan);
    let lost: Vec<_> = report.faults.examples().iter().map(|it| it.connection).collect();
    assert_eq!(lost.len(), 12, "{report:?}");
    assert!(lost.iter().position(|it| *it == 0).is_some_and(|at| at <= 1), "{lost:?}");
}

/// As many are due at that time, and one microsecond before it not yet.
#[test]
fn a_heartbeat_is_due_when_its_turn_comes() {
    for (number, interval_us, connections) in
        [(1u128, 20_000_000u128, 20_000u32), (7, 1_000_000, 3), (1, 1000, 1), (9, 60_000_000, 7)]
    {
        let due_us = u128::from(super::beat_due_us(number, interval_us, connections));
        let due = |at_us: u128| at_us * u128::from(connections) / interval_us;
        assert_eq!((due(due_us), due(due_us - 1)), (number, number - 1), "{number}");
    }
}
