//! Stale responses, where the origin allows them, and errors where it does not.

use crate::stage::{Call, Client, Edge, Origin, Setting, reply};

/// An edge that has stored a response, stale from the start, with this directive.
fn stored(origin: &Origin, edge: &Edge, target: &str, directive: &str) -> Client {
    let mut client = edge.client();
    let before = edge.counter("longhold_store_stored_total");
    client.ask("GET", target, &[]);
    let control = format!("Cache-Control: max-age=60{directive}");
    let fields = [&*control, "Age: 100", "ETag: \"v1\"", "Connection: close"];
    let mut call = origin.call_for("GET", target);
    call.say(reply("200 OK", &fields, "old"));
    call.hang_up();
    assert_eq!(client.response().body, b"old");
    edge.wait_for_stored(before + 1);
    client
}

#[test]
fn stale_response_is_served_at_once_while_one_fetch_brings_a_new_one() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = stored(&origin, &edge, "/page", ", stale-while-revalidate=600");
    // The origin keeps the background fetch waiting, and no client.
    let mut others: Vec<_> = (0..5).map(|_| edge.client()).collect();
    for client in [&mut client].into_iter().chain(&mut others) {
        let response = client.get("/page");
        assert_eq!((&*response.body, response.is_hit()), (&b"old"[..], true), "{response:?}");
        assert!(response.age_s() >= Some(100), "{response:?}");
    }
    let call = origin.call_for("GET", "/page");
    assert_eq!(call.field("If-None-Match"), Some("\"v1\""));
    assert_eq!(edge.fetches(), 2);
    call.answer(reply("200 OK", &["Cache-Control: max-age=600"], "new"));
    edge.wait_for_stored(2);
    let response = client.get("/page");
    assert!(response.is_hit() && response.body == b"new", "{response:?}");
    assert_eq!(edge.fetches(), 2);
    origin.was_left_alone();
}

/// The answer to a HEAD has nothing to store, so it must not take the place of what is stored.
#[test]
fn head_of_a_stale_response_leaves_it_to_the_next_get() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = stored(&origin, &edge, "/page", ", stale-while-revalidate=600");
    let head = client.head("/page");
    assert!(head.is_hit() && head.field("Content-Length") == Some("3"), "{head:?}");
    assert_eq!(client.get("/page").body, b"old");
    let call = origin.call_for("GET", "/page");
    call.answer("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: max-age=600\r\n\r\n");
    edge.wait_for_stored(2);
    assert!(client.get("/page").age_s() < Some(60));
    assert_eq!(edge.fetches(), 2);
}

#[test]
fn background_fetch_that_fails_leaves_the_stale_response_in_service() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = stored(&origin, &edge, "/page", ", stale-while-revalidate=600");
    for round in 1..=2 {
        assert_eq!(client.get("/page").body, b"old");
        origin.call().reset();
        edge.wait("the failure", |edge| {
            let counters = &edge.status()["counters"];
            let failed = |name: &str| counters[name].as_u64().expect("a counter");
            failed("longhold_origin_errors_total{error=reset}")
                + failed("longhold_origin_errors_total{error=no-response}")
                == round
        });
    }
}

/// How an origin can fail to answer, with what a client is told where no stale response may stand
/// in.
type Failure = (&'static str, fn(Call), u16, &'static str);

const FAILURES: [Failure; 6] = [
    ("500", |call| call.answer(reply("500 Oops", &[], "broken")), 500, "broken"),
    ("503", |call| call.answer(reply("503 Busy", &[], "later")), 503, "later"),
    ("nothing", Call::hang_up, 502, "the origin closed the connection without a response"),
    ("a reset", Call::reset, 502, "the origin"),
    ("half a head", |call| say_and_leave(call, "HTTP/1.1 200 OK\r\nCache-Con"), 502, "cut short"),
    ("no HTTP", |call| say_and_leave(call, "220 smtp.test ready\r\n\r\n"), 502, "malformed"),
];

fn say_and_leave(mut call: Call, bytes: &str) {
    call.say(bytes);
    call.hang_up();
}

#[test]
fn stale_response_stands_in_for_an_error_where_it_may() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    for (number, (name, fail, _, _)) in FAILURES.into_iter().enumerate() {
        let target = format!("/{number}");
        let mut client = stored(&origin, &edge, &target, ", stale-if-error=600");
        client.ask("GET", &target, &[]);
        fail(origin.call_for("GET", &target));
        let response = client.response();
        assert_eq!((response.status, &*response.body), (200, &b"old"[..]), "{name}");
        let answered = name.parse().is_ok_and(|status: u16| status >= 500);
        let said = if answered { format!("; fwd-status={name}") } else { String::new() };
        assert_eq!(response.cache(), format!("longhold; fwd=stale{said}"), "{name}");
        assert!(response.age_s() >= Some(100), "{name}: {response:?}");
    }
    assert_eq!(edge.counter("longhold_requests_stale_served_total{why=stale-if-error}"), 6);
}

#[test]
fn error_is_told_where_no_stale_response_may_stand_in() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    for (number, (name, fail, status, told)) in FAILURES.into_iter().enumerate() {
        let target = format!("/{number}");
        let mut client = stored(&origin, &edge, &target, ", must-revalidate, stale-if-error=600");
        client.ask("GET", &target, &[]);
        fail(origin.call_for("GET", &target));
        let response = client.response();
        let body = String::from_utf8_lossy(&response.body).into_owned();
        assert_eq!(response.status, status, "{name}");
        assert!(body.contains(told), "{name}: {body}");
        // An error ends nothing but its exchange.
        client.ask("GET", "/next", &[]);
        origin.call_for("GET", "/next").answer(reply(
            "200 OK",
            &["Cache-Control: no-store"],
            "fine",
        ));
        assert_eq!(client.response().body, b"fine", "{name}");
    }
}

/// The origin of one site goes away; the other site hears nothing of it.
#[test]
fn origin_that_is_gone_disturbs_its_own_site_alone() {
    let (origin, other) = (Origin::start(), Origin::start());
    let edge = Setting::before(&origin).site("other.test", &other.url(), "").start();
    let mut lucky = stored(&origin, &edge, "/lucky", ", stale-if-error=600");
    let mut plain = stored(&origin, &edge, "/plain", "");
    let address = origin.leave();

    let response = lucky.get("/lucky");
    assert_eq!((response.status, &*response.body), (200, &b"old"[..]));
    let response = plain.get("/plain");
    let body = String::from_utf8_lossy(&response.body).into_owned();
    assert_eq!(response.status, 502);
    assert_eq!(body, "502 Bad Gateway\nthe origin refused the connection\n");
    assert_eq!(edge.counter("longhold_origin_errors_total{error=connect-refused}"), 2);

    let mut client = edge.client();
    client.say("GET /fine HTTP/1.1\r\nHost: other.test\r\n\r\n");
    other.call_for("GET", "/fine").answer(reply("200 OK", &[], "fine"));
    assert_eq!(client.response().body, b"fine");

    // And it comes back.
    let origin = Origin::at(address);
    plain.ask("GET", "/plain", &[]);
    origin.call_for("GET", "/plain").answer(reply("200 OK", &["Cache-Control: max-age=60"], "new"));
    assert_eq!(plain.response().body, b"new");
}

#[test]
fn origin_that_is_too_slow_to_begin_is_a_504() {
    let origin = Origin::start();
    let edge = Setting::before_with(&origin, "first_byte_timeout = \"100ms\"").start();
    let mut client = edge.client();
    client.ask("GET", "/page", &[]);
    let call = origin.call();
    let response = client.response();
    let body = String::from_utf8_lossy(&response.body).into_owned();
    assert_eq!(response.status, 504);
    assert!(body.contains("the origin did not begin its response in time"), "{body}");
    call.sees_the_end();

    let mut client = stored(&origin, &edge, "/stale", ", stale-if-error=600");
    client.ask("GET", "/stale", &[]);
    let _call = origin.call();
    assert_eq!(client.response().body, b"old");
}

#[test]
fn origin_that_stops_inside_a_body_cuts_the_response() {
    let origin = Origin::start();
    let edge = Setting::before_with(&origin, "between_bytes_timeout = \"100ms\"").start();
    let mut client = edge.client();
    client.ask("GET", "/page", &[]);
    let mut call = origin.call();
    call.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let mut response = client.response_head();
    assert!(!client.rest_of(&mut response), "a clean end");
    assert_eq!((response.status, &*response.body), (200, &b"hello"[..]));
    call.sees_the_end();
}

/// RFC 9111 section 4.3.3: an error does not take the place of what may stand in for it, though it
/// says how long it is fresh.
#[test]
fn error_that_could_be_stored_leaves_the_stale_response_in_service() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = stored(&origin, &edge, "/page", ", stale-if-error=600");
    for _ in 0..2 {
        client.ask("GET", "/page", &[]);
        let fields = ["Cache-Control: max-age=60"];
        origin.call().answer(reply("503 Service Unavailable", &fields, "down"));
        assert_eq!(client.response().body, b"old");
    }
    client.ask("GET", "/page", &[]);
    origin.call().answer(reply("200 OK", &["Cache-Control: max-age=60"], "new"));
    assert_eq!(client.response().body, b"new");
    edge.wait_for_stored(2);
}

/// RFC 9111 section 5.2.1.2: what is stale from the start and has no validator is there for those
/// who take it.
#[test]
fn stale_response_without_validator_is_there_for_max_stale() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/page", &[]);
    origin.call().answer(reply("200 OK", &["Cache-Control: max-age=1", "Age: 5"], "old"));
    assert_eq!(client.response().body, b"old");
    edge.wait_for_stored(1);
    let response = client.get_with("/page", &["Cache-Control: max-stale=1000"]);
    assert!(response.is_hit() && response.body == b"old", "{response:?}");
    client.ask("GET", "/page", &["Cache-Control: max-stale=1"]);
    origin.call().answer(reply("200 OK", &["Cache-Control: max-age=60"], "new"));
    assert_eq!(client.response().body, b"new");
}
