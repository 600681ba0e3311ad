//! Deadlines on a client, and an edge that has nothing to do.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::stage::{Edge, FRESH, Origin, Setting, body_of, reply};

/// Bounds that pass while a test waits, and no event that a test says comes before their least
/// value.
fn impatient(origin: &Origin, limits: &str) -> Edge {
    Setting::before(origin).limits(limits).start()
}

#[test]
fn head_that_takes_too_long_is_a_408() {
    let origin = Origin::start();
    let edge = impatient(&origin, "head_timeout = \"200ms\"");
    for part in ["G", "GET /page HTTP/1.1\r\nHost: play.test\r\nX-"] {
        let mut client = edge.client();
        let begun = Instant::now();
        client.say(part);
        let response = client.response();
        assert_eq!((response.status, response.field("Connection")), (408, Some("close")));
        assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
        client.sees_the_end();
    }
    assert_eq!(edge.counter("longhold_deadlines_expired_total{kind=head}"), 2);
    assert_eq!(edge.counter("longhold_rejects_total{status=408}"), 2);
}

/// The clock of a head runs from its first byte: what was there before has no part in it.
#[test]
fn second_head_has_a_deadline_of_its_own() {
    let origin = Origin::start();
    let edge = impatient(&origin, "head_timeout = \"200ms\"");
    let mut client = edge.client();
    client.ask("GET", "/page", &[]);
    origin.call().answer(reply("200 OK", &[FRESH], "page"));
    assert_eq!(client.response().body, b"page");
    client.say("GET /page HT");
    assert_eq!(client.response().status, 408);
    client.sees_the_end();
}

#[test]
fn idle_connections_are_closed_quietly() {
    let origin = Origin::start();
    let edge = impatient(&origin, "idle_timeout = \"1s\"");
    let mut fresh = edge.client();
    let mut used = edge.client();
    used.ask("GET", "/page", &[]);
    let body = body_of(51, 3 << 20);
    origin.call().answer(reply("200 OK", &[FRESH], &body));
    assert!(used.response().body == body);
    let begun = Instant::now();
    used.sees_the_end();
    // However long the response before it would have been allowed to take.
    let waited = begun.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(20)).contains(&waited), "{waited:?}");
    fresh.sees_the_end();
    edge.wait_for("longhold_connections_closed_total{reason=idle-timeout}", 2);
}

/// Not one byte for the grace, or bytes at a rate below the least.
#[test]
fn body_that_comes_too_slowly_is_cut() {
    let origin = Origin::start();
    let edge = impatient(&origin, "body_grace = \"200ms\"\nbody_rate_min = \"1MiB/s\"");
    let mut client = edge.client();
    client.ask("POST", "/form", &["Content-Length: 1000000"]);
    client.say("hello");
    let call = origin.call_for("POST", "/form");
    client.sees_the_end();
    call.sees_the_end();
    edge.wait_for("longhold_deadlines_expired_total{kind=body}", 1);
}

/// The client is as fast as it can be; the origin is the one who takes its time.
#[test]
fn client_is_not_blamed_for_a_slow_origin() {
    let origin = Origin::start();
    let edge = impatient(&origin, "body_grace = \"100ms\"\nbody_rate_min = \"1GiB/s\"");
    let mut client = edge.client();
    let body = body_of(53, 16 << 20);
    client.ask("POST", "/form", &[&format!("Content-Length: {}", body.len())]);
    let mut mouth = client.mouth();
    let said = body.clone();
    let speaking = std::thread::spawn(move || mouth.write_all(&said));
    let mut call = origin.call_for("POST", "/form");
    // All windows between the two are full once nothing has moved for longer than the grace.
    let mut last = (0, Instant::now());
    while last.1.elapsed() < Duration::from_millis(300) {
        let now = edge.counter("longhold_downstream_received_bytes_total");
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
    assert!(call.body() == body);
    call.answer(reply("200 OK", &[], "thanks"));
    assert_eq!(client.response().body, b"thanks");
    speaking.join().expect("no panic").expect("the edge listens");
}

/// A client that takes nothing of its response does not hold it for ever.
#[test]
fn client_that_does_not_read_is_cut() {
    let origin = Origin::start();
    let edge = impatient(&origin, "body_grace = \"200ms\"\nbody_rate_min = \"1GiB/s\"");
    let mut client = edge.client();
    client.ask("GET", "/page", &[]);
    let mut call = origin.call();
    call.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    while call.try_say([b'x'; 65536]) {}
    edge.wait_for("longhold_deadlines_expired_total{kind=send}", 1);
}

/// Nothing happens, so nothing is done: no thread wakes up but for the clock of the control plane.
#[test]
fn edge_without_work_sleeps() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let tasks = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", edge.id())).expect("a process");
        let wakes = tasks.map(|task| {
            let status = fs::read_to_string(task.expect("a task").path().join("status"));
            let status = status.expect("a task");
            let line =
                status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.expect("a line").trim().parse::<u64>().expect("a number")
        });
        wakes.sum::<u64>()
    };
    let mut parked = None;
    for connections in [0, 1] {
        let before = tasks();
        std::thread::sleep(Duration::from_millis(300));
        let woken = tasks() - before;
        assert!(woken < 100, "{woken} times with {connections} connections");
        parked.get_or_insert_with(|| edge.client());
    }
}
