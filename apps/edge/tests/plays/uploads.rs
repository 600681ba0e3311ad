//! Requests with bodies: they reach the origin as they came, in little memory, and an answer may
//! come before their end.

use std::io::Write as _;
use std::thread;

use crate::stage::{Edge, Origin, Setting, body_of, digest, reply};

#[test]
fn bodies_of_known_length_reach_the_origin_as_they_are() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    for len in [0, 1, 16_384, 1_000_000] {
        let body = body_of(41, len);
        let length = format!("Content-Length: {len}");
        client.ask("POST", "/form", &[&length, "Content-Type: text/x-play"]);
        let mut mouth = client.mouth();
        let said = body.clone();
        let speaking = thread::spawn(move || mouth.write_all(&said).expect("the edge listens"));
        let mut call = origin.call_for("POST", "/form");
        assert_eq!(call.field("Content-Length"), Some(&*len.to_string()));
        assert_eq!(call.field("Content-Type"), Some("text/x-play"));
        assert!(call.body() == body, "{len}");
        speaking.join().expect("no panic");
        call.answer(reply("200 OK", &[], len.to_string()));
        assert_eq!(client.response().body, len.to_string().as_bytes());
    }
}

#[test]
fn chunked_bodies_reach_the_origin_without_their_trailers() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("PUT", "/form", &["Transfer-Encoding: chunked", "Trailer: X-Sum"]);
    client.say("5;note=\"a\\\"b\"\r\nhello\r\n1\r\n,\r\n");
    let mut call = origin.call_for("PUT", "/form");
    assert_eq!(call.field("Transfer-Encoding"), Some("chunked"));
    assert_eq!(call.field("Content-Length"), None);
    client.say("0006\r\n world\r\n0\r\nX-Sum: 1\r\nHost: evil.test\r\n\r\n");
    assert_eq!(call.body(), b"hello, world");
    call.answer(reply("200 OK", &[], "thanks"));
    assert_eq!(client.response().body, b"thanks");
    // The trailers were the message's end: the connection goes on.
    client.ask("GET", "/next", &[]);
    origin.call_for("GET", "/next").answer(reply("200 OK", &[], "next"));
    assert_eq!(client.response().body, b"next");
}

/// RFC 9110 section 6.5: trailers of a response are dropped, and not announced; what is stored is
/// the same as what was relayed.
#[test]
fn trailers_of_a_response_end_at_the_edge() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/sum", &["TE: trailers"]);
    let mut call = origin.call_for("GET", "/sum");
    assert_eq!(call.field("TE"), None);
    call.say("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n");
    call.say("Trailer: X-Sum\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 4\r\nCache-Control: no-store\r\n\r\n");
    call.done();
    let response = client.response();
    assert_eq!((&*response.body, response.field("Trailer")), (&b"body"[..], None));
    edge.wait_for_stored(1);
    let hit = client.get("/sum");
    assert!(hit.is_hit() && hit.body == b"body");
    assert_eq!((hit.field("X-Sum"), hit.field("Trailer")), (None, None));
}

/// The origin takes its time over 64 MiB; the edge holds a window of it and no more.
#[test]
fn upload_to_a_slow_origin_takes_little_memory() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let body = body_of(43, 64 << 20);
    let sum = digest(&body);
    client.ask("POST", "/large", &[&format!("Content-Length: {}", body.len())]);
    let mut call = origin.call_for("POST", "/large");
    let resident = edge.resident_bytes();
    let mut mouth = client.mouth();
    let speaking = thread::spawn(move || mouth.write_all(&body).expect("the edge listens"));
    let mut received = Vec::with_capacity(64 << 20);
    for _ in 0..64 {
        received.extend(call.hear(1 << 20));
        let grown = edge.resident_bytes().saturating_sub(resident);
        assert!(grown < 12 << 20, "{grown} bytes more after {} bytes", received.len());
    }
    speaking.join().expect("no panic");
    assert_eq!(digest(&received), sum);
    call.answer(reply("200 OK", &[], "all of it"));
    assert_eq!(client.response().body, b"all of it");
}

/// RFC 9110 section 10.1.1, where nobody expects anything, and where the edge itself refuses.
#[test]
fn expectation_is_refused_here() {
    let origin = Origin::start();
    let edge = Setting::before(&origin).site("other.test", &origin.url(), "").start();
    let mut client = edge.client();
    // Who does not ask for it hears none.
    client.ask("POST", "/form", &["Content-Length: 4"]);
    client.say("form");
    let mut call = origin.call_for("POST", "/form");
    assert_eq!(call.body(), b"form");
    call.answer(reply("200 OK", &[], "thanks"));
    assert_eq!(client.response().status, 200);

    // An expectation that nobody knows (RFC 9110 section 10.1.1).
    let mut client = edge.client();
    client.ask("POST", "/form", &["Content-Length: 4", "Expect: a-miracle"]);
    assert_eq!(client.response().status, 417);
    client.sees_the_end();
    // A request that is answered without its body.
    let mut client = edge.client();
    client.ask("TRACE", "/form", &["Content-Length: 4", "Expect: 100-continue"]);
    let response = client.response();
    assert_eq!((response.status, response.field("Connection")), (405, Some("close")));
    client.sees_the_end();
}

/// The origin has heard enough. The client hears of it though it goes on speaking.
#[test]
fn early_answer_reaches_a_client_that_still_speaks() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let body = body_of(47, 4 << 20);
    client.ask("POST", "/large", &[&format!("Content-Length: {}", body.len())]);
    client.say(&body[..1000]);
    let mut call = origin.call_for("POST", "/large");
    assert!(call.hear(1000) == body[..1000]);
    call.say(reply("413 Content Too Large", &["Connection: close"], "enough"));
    call.hang_up();
    let response = client.response();
    assert_eq!((response.status, &*response.body), (413, &b"enough"[..]));
    // What is left to say is not read for ever.
    client.try_say(&body[1000..]);
    client.sees_the_end();
}

/// A short rest of a body is read, so that the connection can go on.
#[test]
fn early_answer_to_a_short_body_keeps_the_connection() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("POST", "/form", &["Content-Length: 10"]);
    client.say("hello");
    let mut call = origin.call_for("POST", "/form");
    assert_eq!(call.hear(5), b"hello");
    call.say(reply("403 Forbidden", &["Connection: close"], "no"));
    call.hang_up();
    let response = client.response();
    assert_eq!((response.status, response.field("Connection")), (403, None));
    client.say("world");
    client.ask("GET", "/next", &[]);
    origin.call_for("GET", "/next").answer(reply("200 OK", &[], "next"));
    assert_eq!(client.response().body, b"next");
}

/// A body that breaks off must not look whole to the origin.
#[test]
fn upload_that_breaks_off_is_cut_at_the_origin_too() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let mut client = edge.client();
        client.ask("POST", "/form", &[framing]);
        client.say(if framing.starts_with('C') { "hello" } else { "5\r\nhello\r\n" });
        let mut call = origin.call_for("POST", "/form");
        call.hear(5);
        drop(client);
        assert!(!call.sees_the_end().ends_with(b"0\r\n\r\n"), "{framing}");
    }
}

/// No cache on the way back, either: a POST's answer is stored nowhere.
#[test]
fn answer_to_a_post_is_not_stored() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    for round in 1..=2 {
        client.ask("POST", "/form", &["Content-Length: 0"]);
        origin.call().answer(reply("200 OK", &["Cache-Control: max-age=60"], "done"));
        assert_eq!(client.response().cache(), "longhold; fwd=method");
        assert_eq!(edge.fetches(), round);
    }
    client.ask("GET", "/form", &[]);
    origin.call_for("GET", "/form").answer(reply("200 OK", &[], "form"));
    assert_eq!(client.response().body, b"form");
}
