//! The open loop, most of it over the simulated network: virtual time, so every latency is exact to
//! the grain of the server, which looks for requests every [`GRAIN_US`].

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use longhold_transport::Config;
use longhold_transport::sim::{Client, Network, Server, SimTransport};

use super::{OpenReport, open};
use crate::arrivals::{Spacing, Step};
use crate::catalog::{Catalog, Demand};
use crate::plan::{ACTIVE_MAX, Aim, LoadError, Moment, OpenPlan, STEPS_MAX};
use crate::scripted::{
    aim, answer_of as right, right_answer, secure_echo, secured, serve, transport,
};
use crate::target::{Outgoing, Target};

/// A server that answers each request by a script of the time and the request's path.
struct Scripted<F> {
    network: Network,
    server: Server,
    peers: Vec<(Client, Vec<u8>)>,
    script: F,
}

enum Answer {
    /// These bytes.
    Say(Vec<u8>),
    /// Nothing yet.
    Later,
    /// The connection ends.
    Close,
}

impl<F: FnMut(u64, &str) -> Answer + 'static> Scripted<F> {
    fn start(network: &Network, script: F) -> SocketAddr {
        let server = network.serve(([127, 0, 0, 1], 8080).into());
        let address = server.address();
        let scripted = Self { network: network.clone(), server, peers: Vec::new(), script };
        Self::tick(Rc::new(RefCell::new(scripted)));
        address
    }

    fn tick(scripted: Rc<RefCell<Self>>) {
        let network = scripted.borrow().network.clone();
        network.after(GRAIN_US, move || {
            scripted.borrow_mut().serve();
            Self::tick(scripted);
        });
    }

    fn serve(&mut self) {
        let now_us = self.network.now_us();
        while let Some(peer) = self.server.accept() {
            self.peers.push((peer, Vec::new()));
        }
        let script = &mut self.script;
        self.peers.retain_mut(|(peer, input)| {
            input.extend(peer.read());
            let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
                return !peer.is_ended();
            };
            let head = String::from_utf8_lossy(&input[..end]).into_owned();
            let path = head.split(' ').nth(1).expect("a request line");
            match script(now_us, path) {
                Answer::Say(bytes) => {
                    peer.write(&bytes);
                    input.drain(..end + 4);
                    true
                }
                Answer::Later => true,
                Answer::Close => false,
            }
        });
    }
}

fn plan(address: SocketAddr) -> OpenPlan {
    let target = Target::parse(&format!("http://{address}/bytes/300")).expect("a loopback URL");
    OpenPlan {
        aim: Aim::new(target),
        catalog: None,
        connections: 8,
        warmup_requests: 0,
        steps: vec![Step { per_second: 500, for_ms: 10_000 }],
        spacing: Spacing::Constant,
        seed: 1,
    }
}

fn keyed(address: SocketAddr, keys: u32) -> OpenPlan {
    let plan = plan(address);
    let demand = Demand { exponent: 1.0, seed: 5 };
    let catalog = Catalog::generated(&plan.aim.target, keys, &[], demand).expect("a catalog");
    OpenPlan { catalog: Some(catalog), ..plan }
}

fn run(
    script: impl FnMut(u64, &str) -> Answer + 'static,
    plan: impl FnOnce(SocketAddr) -> OpenPlan,
) -> OpenReport {
    let network = Network::new(3);
    let plan = plan(Scripted::start(&network, script));
    let mut transport: SimTransport<Outgoing> =
        network.transport(&Config { slots: 64, ..Config::default() });
    let report = open(&mut transport, &plan, &mut |_: Moment| {}).expect("the load runs");
    for (name, figures) in std::iter::once(("sum", &report.sum))
        .chain(report.steps.iter().map(|step| ("step", &step.figures)))
    {
        let told = figures.answers.count + figures.failed + figures.unsent + figures.unanswered;
        assert_eq!(figures.scheduled, told, "LG-6 in a {name}: {report:?}");
    }
    report
}

#[test]
fn a_server_that_keeps_up_is_asked_at_the_rate_and_waits_show_none() {
    let report = run(|_, path| Answer::Say(right(path, "")), plan);
    let sum = &report.sum;
    assert_eq!((sum.scheduled, sum.answers.count, sum.unsent), (5000, 5000, 0));
    assert_eq!(report.faults.total(), 0);
    assert!(sum.answers.latency.max_us <= 2 * GRAIN_US, "{sum:?}");
    assert_eq!(sum.wait.max_us, 0, "a connection was free for each, at its time");
    assert_eq!((report.connections, report.keys, report.ended), (8, 1, 0));
    let points = report.series.points();
    assert_eq!(points.len(), 11, "one a second, and one at the end");
    let last = points[10].counts;
    assert_eq!((last.opened, last.held, last.lost, last.answers), (8, 8, 0, 5008));
    assert!(points[5].p99_us <= 2 * GRAIN_US && points[5].p50_us > 0, "{:?}", points[5]);
}

#[test]
fn a_stall_shows_to_all_who_would_have_come_in_it() {
    let mut stall = None;
    let report = run(
        move |now_us, path| {
            let stall_us: &mut u64 = stall.get_or_insert(now_us + 4_000_000);
            let is_stalled = (*stall_us..*stall_us + 1_000_000).contains(&now_us);
            if is_stalled { Answer::Later } else { Answer::Say(right(path, "")) }
        },
        plan,
    );
    let latency = &report.sum.answers.latency;
    assert_eq!((report.sum.answers.count, report.faults.total()), (5000, 0));
    // Of 10 s, 1 s was stalled: a tenth of the requests, their waits from 1 s down to nothing.
    // Counted from when they were sent, eight of them would have been slow.
    assert!((1_000_000..1_010_000).contains(&latency.max_us), "{latency:?}");
    assert!((890_000..960_000).contains(&latency.p99_us), "{latency:?}");
    assert!(latency.p50_us <= 2 * GRAIN_US, "{latency:?}");
    let slow = report.sum.wait;
    assert!((860_000..950_000).contains(&slow.p99_us), "the wait for a connection: {slow:?}");
    let late = report.sum.late;
    assert!((4000..4550).contains(&late.count) && late.max_us == 0, "none is ours: {late:?}");
}

#[test]
fn steps_are_told_apart_and_what_is_never_sent_is_told() {
    // A server of 1,000 requests a second: one at each grain.
    let mut last_us = 0;
    let report = run(
        move |now_us, path| {
            if now_us < last_us + 10 * GRAIN_US {
                return Answer::Later;
            }
            last_us = now_us;
            Answer::Say(right(path, ""))
        },
        |address| {
            let steps = [200, 3000].map(|per_second| Step { per_second, for_ms: 2000 });
            OpenPlan { steps: steps.to_vec(), ..plan(address) }
        },
    );
    let [low, high] = &report.steps[..] else { panic!("two steps: {report:?}") };
    assert_eq!((low.figures.scheduled, low.figures.answers.count), (400, 400));
    assert_eq!(low.figures.answers_per_s, 200.0);
    assert!(low.figures.answers.latency.max_us < 20_000, "{low:?}");
    assert_eq!(high.figures.scheduled, 6000);
    // What was sent in 2 s and the second behind them; what is under way then is awaited.
    let answered = high.figures.answers.count;
    assert!((2990..=3020).contains(&answered), "{high:?}");
    assert_eq!(high.figures.unsent, 6000 - answered);
    assert!(high.figures.answers.latency.max_us > 1_900_000, "of 3 s, two thirds: {high:?}");
    assert_eq!(report.sum.scheduled, 6400);
}

#[test]
fn one_wrong_byte_in_one_key_of_many_is_found() {
    let report = run(
        |_, path| {
            let mut answer = right(path, "");
            if path == "/bytes/300/77" {
                *answer.last_mut().expect("a body") ^= 1;
            }
            Answer::Say(answer)
        },
        |address| keyed(address, 1000),
    );
    let wrong = report.faults.count("wrong-body");
    assert_eq!(report.keys, 1000);
    assert!((1..40).contains(&wrong), "{report:?}");
    assert_eq!((report.faults.total(), report.sum.failed), (wrong, wrong));
    assert_eq!(report.sum.answers.count, 5000 - wrong);
}

#[test]
fn another_body_at_the_same_path_is_found_where_the_first_answer_counts() {
    let mut answered = 0;
    let report = run(
        move |_, path| {
            answered += 1;
            let body = if path == "/page/b" && answered > 2500 { "B" } else { path };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            Answer::Say(format!("{head}{body}").into_bytes())
        },
        |address| {
            let plan = plan(address);
            let demand = Demand { exponent: 0.0, seed: 5 };
            let text = "/page/a\n# more\n\n/page/b\n/page/cc\n";
            let catalog = Catalog::listed(&plan.aim.target, text, demand).expect("a catalog");
            OpenPlan { catalog: Some(catalog), ..plan }
        },
    );
    let wrong = report.faults.count("wrong-length");
    assert!((700..1000).contains(&wrong), "a third of the second half: {report:?}");
    assert_eq!(report.faults.total(), wrong);
}

#[test]
fn the_share_of_hits_is_told() {
    let mut seen = std::collections::HashSet::new();
    let report = run(
        move |_, path| {
            let is_hit = !seen.insert(path.to_owned());
            let word = if is_hit { "hit" } else { "fwd=miss" };
            Answer::Say(right(path, &format!("Cache-Status: a; {word}\r\n")))
        },
        |address| OpenPlan { warmup_requests: 500, ..keyed(address, 200) },
    );
    let ratio = report.sum.answers.hit_ratio.expect("a Cache-Status");
    assert!((0.97..1.0).contains(&ratio), "{ratio}");
}

#[test]
fn connections_that_end_are_opened_again_by_who_needs_them() {
    let mut answered = 0;
    let report = run(
        move |_, path| {
            answered += 1;
            match answered % 100 {
                99 => Answer::Close,
                50 => Answer::Say(right(path, "Connection: close\r\n")),
                _ => Answer::Say(right(path, "")),
            }
        },
        plan,
    );
    assert_eq!(report.faults.count("closed-unanswered"), 50, "{report:?}");
    assert_eq!((report.sum.failed, report.faults.total()), (50, 50));
    assert_eq!(report.sum.answers.count, 4950);
    assert!((99..=101).contains(&report.ended), "{report:?}");
    let last = report.series.points().last().expect("a point").counts;
    assert!(last.held <= 8 && last.opened - last.held == report.ended, "{last:?}");
    assert_eq!((last.lost, last.faults), (50, 50));
}

#[test]
fn silence_ends_with_unanswered_and_unsent() {
    let mut answered = 0;
    let report = run(
        move |_, path| {
            answered += 1;
            if answered > 100 { Answer::Later } else { Answer::Say(right(path, "")) }
        },
        |address| {
            let mut plan = plan(address);
            (plan.aim.time_max_ms, plan.aim.answer_timeout_ms) = (12_000, 60_000);
            plan
        },
    );
    let sum = &report.sum;
    assert_eq!((sum.answers.count, sum.unanswered, sum.failed), (92, 8, 0), "{report:?}");
    assert_eq!(sum.unsent, 5000 - 100);
}

#[test]
fn nobody_listening_fails_each_request_and_ends() {
    let network = Network::new(1);
    let plan = plan(([127, 0, 0, 1], 9).into());
    let mut transport: SimTransport<Outgoing> =
        network.transport(&Config { slots: 64, ..Config::default() });
    let mut moments = Vec::new();
    let report = open(&mut transport, &plan, &mut |moment: Moment| moments.push(moment))
        .expect("the load runs");
    assert_eq!(report.sum.failed, 5000, "{report:?}");
    assert_eq!(report.faults.count("connect-refused"), 5008);
    let last = report.series.points().last().expect("a point").counts;
    assert_eq!((last.opened, last.held, last.lost, last.answers), (0, 0, 5008, 0));
    assert_eq!(moments, [Moment::Begin, Moment::WarmedUp, Moment::Counted]);
}

#[test]
fn real_sockets_are_asked_as_well_and_a_wrong_byte_is_found() {
    let address = serve(|mut asked| {
        let mut answer = right_answer("Cache-Status: a; hit\r\n");
        let is_wrong = asked.connection == 2 && asked.request == 3;
        if is_wrong && let Some(last) = answer.last_mut() {
            *last ^= 1;
        }
        asked.write(answer)
    });
    let steps = vec![Step { per_second: 400, for_ms: 250 }; 2];
    let plan = OpenPlan { aim: aim(address), steps, spacing: Spacing::Poisson, ..plan(address) };
    let report = open(&mut transport(), &plan, &mut |_: Moment| {}).expect("the load runs");
    assert_eq!(report.faults.count("wrong-body"), 1, "{report:?}");
    assert_eq!((report.faults.total(), report.sum.failed), (1, 1));
    assert_eq!(report.sum.answers.count, report.sum.scheduled - 1);
    assert_eq!(report.sum.answers.hit_ratio, Some(1.0));
}

#[test]
fn connections_over_tls_are_asked_as_well() {
    let address = secure_echo();
    let target = Target::parse(&format!("wss://{address}/")).expect("a loopback URL");
    let steps = vec![Step { per_second: 400, for_ms: 250 }];
    let plan = OpenPlan { aim: Aim::new(target), steps, ..plan(address) };
    let report = open(&mut secured(), &plan, &mut |_: Moment| {}).expect("the load runs");
    assert_eq!((report.sum.answers.count, report.faults.total()), (100, 0), "{report:?}");
}

#[test]
fn plans_that_cannot_be_carried_out_are_refused() {
    let network = Network::new(1);
    let mut transport: SimTransport<Outgoing> =
        network.transport(&Config { slots: 64, ..Config::default() });
    let plan = plan(([127, 0, 0, 1], 9).into());
    let mut check = |plan: OpenPlan, error: LoadError| {
        assert_eq!(open(&mut transport, &plan, &mut |_: Moment| {}).err(), Some(error));
    };
    let step = plan.steps[0];
    let steps = |steps: Vec<Step>| OpenPlan { steps, ..plan.clone() };
    check(steps(vec![]), LoadError::Steps);
    check(steps(vec![step; STEPS_MAX + 1]), LoadError::Steps);
    check(steps(vec![Step { per_second: 0, ..step }]), LoadError::Steps);
    check(steps(vec![Step { for_ms: 0, ..step }]), LoadError::Steps);
    check(steps(vec![Step { for_ms: 600_000, ..step }]), LoadError::Steps);
    check(steps(vec![Step { for_ms: u64::MAX, ..step }; 2]), LoadError::Steps);
    let max = ACTIVE_MAX;
    check(OpenPlan { connections: 0, ..plan.clone() }, LoadError::Connections { asked: 0, max });
    check(OpenPlan { connections: 65, ..plan.clone() }, LoadError::Slots { slots: 64, asked: 65 });
}

/// How often the server looks.
const GRAIN_US: u64 = 100;
