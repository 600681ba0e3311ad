//! Holds over the simulated network: minutes of virtual time, so that what is told when is exact.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use longhold_transport::Config;
use longhold_transport::sim::{Client, Network, Server, SimTransport};

use super::{HoldReport, hold};
use crate::events::write_event;
use crate::fault::Fault;
use crate::plan::{Aim, HoldPlan, Moment};
use crate::series::{Observer, Point};
use crate::target::{Outgoing, Target};

/// An origin of event streams that looks at its peers every [`GRAIN_US`]. `script`: whether, and
/// with which number, a peer's event that is due is sent.
struct Streams<F> {
    network: Network,
    server: Server,
    /// Each with when its next event is due, and that one's number.
    peers: Vec<(Client, u64, u32)>,
    script: F,
}

impl<F: FnMut(usize, u32) -> Option<u32> + 'static> Streams<F> {
    fn start(network: &Network, script: F) -> SocketAddr {
        let server = network.serve(([127, 0, 0, 1], 8080).into());
        let address = server.address();
        let streams = Self { network: network.clone(), server, peers: Vec::new(), script };
        Self::tick(Rc::new(RefCell::new(streams)));
        address
    }

    fn tick(streams: Rc<RefCell<Self>>) {
        let network = streams.borrow().network.clone();
        network.after(GRAIN_US, move || {
            streams.borrow_mut().serve();
            Self::tick(streams);
        });
    }

    fn serve(&mut self) {
        let now_us = self.network.now_us();
        while let Some(peer) = self.server.accept() {
            peer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
            self.peers.push((peer, now_us, 1));
        }
        for (index, (peer, due_us, number)) in self.peers.iter_mut().enumerate() {
            if *due_us > now_us {
                continue;
            }
            if let Some(number) = (self.script)(index, *number) {
                let mut event = String::new();
                write_event(number, &mut event);
                peer.write(event.as_bytes());
            }
            (*due_us, *number) = (now_us + INTERVAL_US, *number + 1);
        }
    }
}

/// Keeps what it is told of faults and seconds.
#[derive(Default)]
struct Told {
    faults: Vec<(u64, Fault)>,
    points: Vec<Point>,
}

impl Observer for Told {
    fn observe(&mut self, _: Moment) {}

    fn progress(&mut self, point: &Point) {
        self.points.push(*point);
    }

    fn fault(&mut self, at_ms: u64, _: u32, fault: Fault) {
        self.faults.push((at_ms, fault));
    }
}

fn run(
    stages: &[u32],
    script: impl FnMut(usize, u32) -> Option<u32> + 'static,
) -> (HoldReport, Told) {
    let network = Network::new(11);
    let address = Streams::start(&network, script);
    let target = Target::parse(&format!("http://{address}/events?interval=10s"));
    let target = target.and_then(Target::with_events).expect("a target");
    let mut aim = Aim { time_max_ms: 3_600_000, ..Aim::new(target) };
    aim.answer_timeout_ms = ANSWER_MS;
    let stages = stages.to_vec();
    let plan = HoldPlan { aim, stages, active_max: 16, hold_ms: 600_000, heartbeat_ms: None };
    let mut transport: SimTransport<Outgoing> =
        network.transport(&Config { slots: 64, ..Config::default() });
    let mut told = Told::default();
    let report = hold(&mut transport, &plan, &mut told).expect("the load runs");
    (report, told)
}

#[test]
fn streams_are_held_for_minutes_and_every_second_is_told() {
    let (report, told) = run(&[40], |_, number| Some(number));
    assert_eq!((report.held, report.lost), (40, 0), "{report:?}");
    // One at the begin, and every ten seconds of ten minutes another.
    assert!((40 * 58..=40 * 61).contains(&report.heartbeats.count), "{report:?}");
    let late_us = report.heartbeats.latency.max_us;
    assert!(late_us <= 2 * GRAIN_US, "{late_us}");
    let seconds: Vec<_> = told.points.iter().map(|point| point.at_ms / 1000).collect();
    assert!(seconds.len() >= 600 && seconds.windows(2).all(|pair| pair[1] - pair[0] <= 1));
    assert!(told.points[10..].iter().all(|point| point.counts.held == 40));
}

#[test]
fn a_stream_that_stalls_or_skips_is_lost_when_it_does() {
    let (report, told) = run(&[40], |index, number| match (index, number) {
        // Silent from its 13th event on; that was due after two minutes.
        (7, 13..) => None,
        // One that never comes, after four minutes.
        (9, 25..) => Some(number + 1),
        _ => Some(number),
    });
    assert_eq!((report.held, report.lost), (38, 2), "{report:?}");
    let [(stalled_ms, stalled), (skipped_ms, skipped)] = told.faults[..] else {
        panic!("{:?}", told.faults)
    };
    assert_eq!(stalled, Fault::EventOverdue { awaited: 13 });
    // Due, and 25 seconds over; all streams are looked at once a second.
    assert!((145_000..147_000).contains(&stalled_ms), "{stalled_ms}");
    assert_eq!(skipped, Fault::WrongEvent { awaited: 25 });
    assert!((240_000..241_500).contains(&skipped_ms), "{skipped_ms}");
    let held_at = |second: u64| {
        let point = told.points.iter().find(|point| point.at_ms / 1000 == second);
        point.expect("each second is told").counts.held
    };
    assert_eq!([held_at(120), held_at(200), held_at(300)], [40, 39, 38]);
}

#[test]
fn a_stream_that_is_lost_while_others_come_is_not_taken_for_one_of_them() {
    // The second stage's streams say nothing at first, the last of them for longest; and meanwhile
    // one of the first stage breaks.
    let (report, told) = run(&[10, 40], |index, number| match (index, number) {
        (10.., 1) | (39, 2) => None,
        (39, _) => Some(number - 2),
        (10.., _) => Some(number - 1),
        (3, 62..) => Some(number + 1),
        _ => Some(number),
    });
    assert_eq!((report.held, report.lost, report.first.count), (39, 1, 40), "{report:?}");
    let [(at_ms, Fault::WrongEvent { awaited: 62 })] = told.faults[..] else {
        panic!("{:?}", told.faults)
    };
    let ramp_ms = 600_000..600_000 + report.ramp_ms;
    assert!(ramp_ms.contains(&at_ms) && report.ramp_ms > 20_000, "{at_ms} in {ramp_ms:?}");
    let stages: Vec<_> = report.stages.iter().map(|stage| (stage.held, stage.lost)).collect();
    assert_eq!(stages, [(10, 0), (39, 1)]);
}

/// Longer than two intervals.
const ANSWER_MS: u64 = 25_000;
const GRAIN_US: u64 = 10_000;
const INTERVAL_US: u64 = 10_000_000;
