//! The edge on epoll, because it is told to or because the host forbids io_uring: it serves, stores
//! and keeps, and says what it runs on and why.

use std::fs;
use std::thread;

use crate::stage::{Edge, FRESH, Origin, Setting, body_of, digest, reply};

#[test]
fn epoll_by_config_serves_stores_and_keeps() {
    let origin = origin();
    let setting = Setting::before(&origin).server("transport = \"epoll\"").on_disk();
    let edge = serves_stores_and_keeps(setting.start());
    let status = edge.status();
    assert_eq!(status["transport"], "epoll");
    assert_eq!(status["transport_reason"], "server.transport asks for it");
    assert_eq!(status["descriptors"], "private");
    assert!(maps_no_ring(&edge), "a ring, though the config wants none");
}

#[test]
fn forbidden_io_uring_makes_it_epoll_and_is_said() {
    let origin = origin();
    let setting = Setting::before(&origin).server("transport = \"auto\"").on_disk();
    let edge = serves_stores_and_keeps(setting.without_io_uring().start());
    let status = edge.status();
    assert_eq!(status["transport"], "epoll");
    assert_eq!(status["descriptors"], "private");
    assert_eq!(status["pager"], "threads");
    let reason = status["transport_reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("seccomp"), "{reason}");
    let log = edge.log();
    assert!(log.contains("transport=\"epoll\"") && log.contains("seccomp"), "{log}");
    let (_, metrics) = edge.admin("GET /metrics", "").expect("the admin API answers");
    for line in
        ["longhold_workers{transport=\"epoll\"} 2", "longhold_workers{transport=\"uring\"} 0"]
    {
        assert!(metrics.lines().any(|told| told == line), "{line}\n{metrics}");
    }
}

#[test]
fn io_uring_by_config_is_what_runs_or_nothing_does() {
    let origin = origin();
    let insisting = || Setting::before(&origin).server("transport = \"uring\"");
    let refused = insisting().without_io_uring().fails_to_start();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("io_uring") && said.contains("seccomp"), "{said}");
    let edge = insisting().with_io_uring().start();
    let status = edge.status();
    assert_eq!((&status["transport"], &status["descriptors"]), (&"uring".into(), &"direct".into()));
}

/// Listeners of a worker are nobody else's: after the drain has begun nobody is accepted, though
/// other workers have copies of the table of descriptors as it was at start.
#[test]
fn drain_on_epoll_closes_every_listener() {
    let origin = origin();
    let mut edge = Setting::before(&origin).server("transport = \"epoll\"").start();
    let mut client = edge.client();
    client.ask("GET", "/slow/100", &[]);
    client.say("");
    assert_eq!(client.response().status, 200);
    let address = edge.address();
    edge.terminate();
    assert!(edge.ends().success());
    assert!(crate::stage::Client::try_connect(address).is_none());
}

/// Misses, hits, a large body, an upload, many clients at once; then a purge, and a start on what
/// was stored.
fn serves_stores_and_keeps(edge: Edge) -> Edge {
    let mut client = edge.client();
    let targets = ["/small/100", "/middle/100000", "/large/3000000"];
    for (count, target) in (1..).zip(targets) {
        assert!(!get(&mut client, target), "{target} was never asked for");
        edge.wait_for_stored(count);
    }
    thread::scope(|scope| {
        for _ in 0..16 {
            let mut client = edge.client();
            scope.spawn(move || {
                for target in targets.iter().cycle().take(30) {
                    assert!(get(&mut client, target), "{target} is stored");
                }
            });
        }
    });
    let body = body_of(7, 500_000);
    client.ask("POST", "/echo", &["Content-Length: 500000"]);
    client.say(&body);
    assert!(client.response().body == body, "the upload came back otherwise");
    assert!(edge.purge("http://play.test/small/100"));
    assert!(!get(&mut client, "/small/100"), "it was purged");
    edge.wait_for_stored(4);
    let mut edge = edge;
    edge.terminate();
    assert!(edge.ends().success(), "{}", edge.log());
    let edge = edge.start_again();
    let mut client = edge.client();
    for target in targets {
        assert!(get(&mut client, target), "{target} was stored before the end");
    }
    edge
}

/// Asks, checks every byte; whether it was a hit.
fn get(client: &mut crate::stage::Client, target: &str) -> bool {
    let response = client.get(target);
    assert_eq!(response.status, 200, "{target}");
    assert!(response.body == body_at(target), "{target}: wrong bytes");
    response.is_hit()
}

/// The body of a target, whose last part is its size.
fn body_at(target: &str) -> Vec<u8> {
    let len = target.rsplit('/').next().and_then(|size| size.parse().ok());
    body_of(digest(target.as_bytes()), len.expect("a size"))
}

/// Answers every target with its body, fresh for an hour, and an upload with what came.
fn origin() -> Origin {
    Origin::answering(|mut call| {
        let said = match call.target() {
            "/echo" => {
                let body = call.body();
                reply("200 OK", &[], body)
            }
            target => {
                let body = body_at(target);
                reply("200 OK", &[FRESH], body)
            }
        };
        if call.try_say(said) {
            call.done();
        }
    })
}

/// Whether no descriptor of any thread is a ring.
fn maps_no_ring(edge: &Edge) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", edge.id())).expect("a process");
    let of_task = |task: fs::DirEntry| fs::read_dir(task.path().join("fd")).into_iter().flatten();
    let mut descriptors = tasks.flatten().flat_map(of_task).flatten();
    descriptors.all(|descriptor| {
        let target = fs::read_link(descriptor.path()).unwrap_or_default();
        !target.to_string_lossy().contains("io_uring")
    })
}
