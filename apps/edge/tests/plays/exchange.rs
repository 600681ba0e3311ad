//! What crosses the edge in either direction and what does not; and the order of things on one
//! connection.

use crate::stage::{Edge, FRESH, Origin, body_of, reply};

/// RFC 9110 section 7.6.1, both ways.
#[test]
fn hop_by_hop_fields_end_here() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask(
        "POST",
        "/hops",
        &[
            "Connection: keep-alive, X-Mine",
            "Keep-Alive: timeout=5",
            "Proxy-Connection: keep-alive",
            "TE: trailers",
            "X-Mine: for this hop",
            "X-Yours: for the origin",
            "Content-Length: 0",
        ],
    );
    let call = origin.call();
    let gone = ["Keep-Alive", "Proxy-Connection", "TE", "X-Mine", "Upgrade"];
    for name in gone {
        assert_eq!(call.field(name), None, "{name}");
    }
    assert_eq!(call.field("X-Yours"), Some("for the origin"));
    let fields = [
        "Connection: X-Theirs",
        "X-Theirs: for that hop",
        "Keep-Alive: timeout=9",
        "Proxy-Authenticate: Basic",
        "X-Ours: for the client",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
    ];
    call.answer(reply("200 OK", &fields, "done"));
    let response = client.response();
    for name in ["Connection", "X-Theirs", "Keep-Alive"] {
        assert_eq!(response.field(name), None, "{name}");
    }
    assert_eq!(response.field("X-Ours"), Some("for the client"));
    assert_eq!(response.fields("Set-Cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(response.field("Via"), Some("1.1 longhold"));
}

#[test]
fn origin_learns_who_asked_and_not_what_the_client_claims() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let fields = [
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-Proto: https",
        "Forwarded: for=10.0.0.1",
        "Via: 1.0 somewhere",
    ];
    client.ask("GET", "/who?a=%20b", &fields);
    let call = origin.call_for("GET", "/who?a=%20b");
    assert_eq!(call.field("Host"), Some("play.test"));
    assert_eq!(call.field("X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(call.field("X-Forwarded-Proto"), Some("http"));
    assert_eq!(call.field("Forwarded"), Some("for=127.0.0.1;host=\"play.test\";proto=http"));
    assert_eq!(call.fields("Via").collect::<Vec<_>>().join(", "), "1.0 somewhere, 1.1 longhold");
    call.answer(reply("200 OK", &["Via: 1.1 deeper"], ""));
    let response = client.response();
    assert_eq!(response.fields("Via").collect::<Vec<_>>().join(", "), "1.1 deeper, 1.1 longhold");
}

/// Hits and misses, asked for in one breath: the answers keep the order of the questions.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let hit = body_of(31, 100_000);
    client.ask("GET", "/hit", &[]);
    origin.call().answer(reply("200 OK", &[FRESH], &hit));
    assert!(client.response().body == hit);
    edge.wait_for_stored(1);

    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: play.test\r\n\r\n");
    let post = "POST /form HTTP/1.1\r\nHost: play.test\r\nContent-Length: 4\r\n\r\nform";
    let head = "HEAD /hit HTTP/1.1\r\nHost: play.test\r\n\r\n";
    let all =
        [&*get("/hit"), &get("/miss"), head, &get("/hit"), post, &get("/other"), &get("/hit")];
    client.say(all.concat());
    assert!(client.response().body == hit);
    let miss = origin.call_for("GET", "/miss");
    origin.was_left_alone();
    miss.answer(reply("200 OK", &[FRESH], "miss"));
    assert_eq!(client.response().body, b"miss");
    assert_eq!(client.response_head().field("Content-Length"), Some("100000"));
    assert!(client.response().body == hit);
    let mut form = origin.call_for("POST", "/form");
    assert_eq!(form.body(), b"form");
    form.answer(reply("200 OK", &[], "thanks"));
    assert_eq!(client.response().body, b"thanks");
    origin.call_for("GET", "/other").answer(reply("404 Not Found", &[], "none"));
    assert_eq!(client.response().status, 404);
    assert!(client.response().body == hit);
}

/// A head may come in as many pieces as it has bytes.
#[test]
fn head_in_single_bytes_is_a_head() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    for byte in b"\r\nGET /slowly HTTP/1.1\r\nHost: play.test\r\nX-A: b\r\n\r\n" {
        client.say([*byte]);
    }
    let call = origin.call_for("GET", "/slowly");
    assert_eq!(call.field("X-A"), Some("b"));
    call.answer(reply("200 OK", &[], "there"));
    assert_eq!(client.response().body, b"there");
}

#[test]
fn largest_head_allowed_passes_and_one_byte_more_does_not() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let head_of = |len: usize| {
        let start = "GET /big HTTP/1.1\r\nHost: play.test\r\nX-Pad: ";
        format!("{start}{}\r\n\r\n", "p".repeat(len - start.len() - 4))
    };
    let mut client = edge.client();
    client.say(head_of(32 << 10));
    origin.call_for("GET", "/big").answer(reply("200 OK", &[], "fits"));
    assert_eq!(client.response().body, b"fits");
    client.say(head_of((32 << 10) + 1));
    assert_eq!(client.response().status, 431);
    client.sees_the_end();
}

/// The client has said all that it will say, and still gets its answers.
#[test]
fn half_closed_client_gets_its_answers() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/one", &[]);
    client.ask("GET", "/two", &[]);
    client.half_close();
    origin.call_for("GET", "/one").answer(reply("200 OK", &[], "one"));
    assert_eq!(client.response().body, b"one");
    origin.call_for("GET", "/two").answer(reply("200 OK", &[], "two"));
    assert_eq!(client.response().body, b"two");
    client.sees_the_end();
}

#[test]
fn client_that_wants_to_close_is_closed() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/last", &["Connection: close"]);
    client.ask("GET", "/never", &[]);
    origin.call_for("GET", "/last").answer(reply("200 OK", &[], "last"));
    let response = client.response();
    assert_eq!((response.field("Connection"), &*response.body), (Some("close"), &b"last"[..]));
    client.sees_the_end();
    assert_eq!(edge.fetches(), 1);
}

/// RFC 9112 section 3.2.2: the target's host counts, whatever `Host` says.
#[test]
fn absolute_target_names_the_same_page() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.say("GET http://PLAY.test:80/%7Epage HTTP/1.1\r\nHost: play.test\r\n\r\n");
    let call = origin.call_for("GET", "/~page");
    assert_eq!(call.field("Host").map(str::to_lowercase).as_deref(), Some("play.test"));
    call.answer(reply("200 OK", &[FRESH], "home"));
    assert_eq!(client.response().body, b"home");
    edge.wait_for_stored(1);
    assert!(client.get("/~page").is_hit());
}

#[test]
fn interim_responses_of_the_origin_are_no_answer() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/hints", &[]);
    let mut call = origin.call();
    call.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    call.answer(reply("200 OK", &[FRESH], "final"));
    let response = client.response();
    assert_eq!((response.status, &*response.body), (200, &b"final"[..]));
    assert_eq!(response.field("Link"), None);
}
