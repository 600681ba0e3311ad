//! The end: a first SIGTERM lets exchanges end, a second one does not wait; the store is whole.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::stage::{Client, Edge, FRESH, Origin, Setting, reply};

/// Asks for a target that the origin answers, and which is then stored.
fn fetch(origin: &Origin, edge: &Edge, client: &mut Client, target: &str) {
    let before = edge.counter("longhold_store_stored_total");
    client.ask("GET", target, &[]);
    origin.call_for("GET", target).answer(reply("200 OK", &[FRESH], target));
    assert_eq!(client.response().body, target.as_bytes());
    edge.wait_for_stored(before + 1);
}

fn is_refused(edge: &Edge) -> bool {
    TcpStream::connect(edge.address()).is_err()
}

#[test]
fn drain_lets_exchanges_end_and_closes_what_rests() {
    let origin = Origin::start();
    let mut edge = Setting::before(&origin).on_disk().start();
    let mut parked = edge.client();
    fetch(&origin, &edge, &mut parked, "/stored");
    let mut untouched = edge.client();
    let mut waiting = edge.client();
    waiting.ask("GET", "/waiting", &[]);
    let held = origin.call_for("GET", "/waiting");
    let mut reading = edge.client();
    reading.ask("GET", "/reading", &[]);
    let mut call = origin.call_for("GET", "/reading");
    call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nContent-Length: 10\r\n\r\nhello"));
    let mut begun = reading.response_head();

    edge.terminate();
    parked.sees_the_end();
    untouched.sees_the_end();
    edge.wait("no listener", is_refused);
    assert_eq!(edge.status()["state"], "draining");

    call.answer("world");
    assert!(reading.rest_of(&mut begun));
    assert_eq!(begun.body, b"helloworld");
    reading.sees_the_end();
    held.answer(reply("200 OK", &[FRESH], "/waiting"));
    let response = waiting.response();
    assert_eq!((response.field("Connection"), &*response.body), (Some("close"), &b"/waiting"[..]));
    waiting.sees_the_end();
    assert_eq!(edge.ends().code(), Some(0), "{}", edge.log());

    // Everything is there again, what came during the drain as well.
    let edge = edge.start_again();
    let mut client = edge.client();
    for target in ["/stored", "/waiting", "/reading"] {
        assert!(client.get(target).is_hit(), "{target}");
    }
    assert_eq!((edge.fetches(), &edge.status()["store"]["objects"]), (0, &3.into()));
}

/// The first half of a request has come: the exchange has begun, and ends as it should.
#[test]
fn drain_waits_for_the_rest_of_a_head() {
    let origin = Origin::start();
    let mut edge = Edge::before(&origin);
    let mut client = edge.client();
    client.say("GET /page HTTP/1.1\r\nHo");
    edge.wait("the bytes", |edge| edge.counter("longhold_downstream_received_bytes_total") == 22);
    edge.terminate();
    edge.wait("no listener", is_refused);
    client.say("st: play.test\r\n\r\n");
    origin.call_for("GET", "/page").answer(reply("200 OK", &[FRESH], "page"));
    let response = client.response();
    assert_eq!((response.field("Connection"), &*response.body), (Some("close"), &b"page"[..]));
    assert_eq!(edge.ends().code(), Some(0));
}

/// An edge in which a client waits for an origin that says nothing.
fn stuck(origin: &Origin, setting: Setting) -> (Edge, Client) {
    let edge = setting.start();
    let mut client = edge.client();
    fetch(origin, &edge, &mut client, "/stored");
    client.ask("GET", "/never", &[]);
    (edge, client)
}

#[test]
fn second_sigterm_ends_at_once_and_loses_nothing_stored() {
    let origin = Origin::start();
    let (mut edge, mut client) = stuck(&origin, Setting::before(&origin).on_disk());
    let mut call = origin.call_for("GET", "/never");
    call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nContent-Length: 10\r\n\r\nhello"));
    assert_eq!(client.response_head().status, 200);
    edge.terminate();
    edge.wait("no listener", is_refused);
    let begun = Instant::now();
    edge.terminate();
    assert_eq!(edge.ends().code(), Some(0), "{}", edge.log());
    // Far below the time for which an origin may be silent.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let edge = edge.start_again();
    assert!(edge.client().get("/stored").is_hit());
}

#[test]
fn drain_that_takes_too_long_is_cut() {
    let origin = Origin::start();
    let setting = Setting::before(&origin).server("drain_timeout = \"1s\"");
    let (mut edge, mut client) = stuck(&origin, setting);
    let _call = origin.call_for("GET", "/never");
    let begun = Instant::now();
    edge.terminate();
    assert_eq!(edge.ends().code(), Some(0), "{}", edge.log());
    let took = begun.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(10)).contains(&took), "{took:?}");
    assert!(edge.log().contains("the drain took too long"), "{}", edge.log());
    assert!(client.try_response().is_err());
}

/// Nobody waits for a background fetch, so the end does not, either.
#[test]
fn drain_does_not_wait_for_background_fetches_longer_than_it_may() {
    let origin = Origin::start();
    let mut edge = Setting::before(&origin).server("drain_timeout = \"1s\"").start();
    let mut client = edge.client();
    client.ask("GET", "/page", &[]);
    let fields = ["Cache-Control: max-age=60, stale-while-revalidate=600", "Age: 100"];
    origin.call().answer(reply("200 OK", &fields, "old"));
    assert_eq!(client.response().body, b"old");
    edge.wait_for_stored(1);
    assert!(client.get("/page").is_hit());
    let _call = origin.call_for("GET", "/page");
    let begun = Instant::now();
    edge.terminate();
    assert_eq!(edge.ends().code(), Some(0), "{}", edge.log());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
