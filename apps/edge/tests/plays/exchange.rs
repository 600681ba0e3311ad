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
    let via = call.fields("Via").collect::<Vec<_>>().join(", ");
    assert!(via.starts_with("1.0 somewhere, 1.1 longhold ("), "{via}");
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

/// RFC 9110 section 7.4: a resource of the other scheme is not this one.
#[test]
fn target_of_another_scheme_is_misdirected() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.say("GET https://play.test/page HTTP/1.1\r\nHost: play.test\r\n\r\n");
    assert_eq!(client.response().status, 421);
    client.say("GET HTTP://play.test/page HTTP/1.1\r\nHost: play.test\r\n\r\n");
    origin.call_for("GET", "/page").answer(reply("200 OK", &[FRESH], "home"));
    assert_eq!(client.response().body, b"home");
    origin.was_left_alone();
}

/// RFC 9110 section 7.6.3: what the edge itself has sent does not go round for ever.
#[test]
fn request_that_comes_back_is_a_loop() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    for (method, target) in [("GET", "/round"), ("POST", "/round"), ("HEAD", "/round")] {
        client.ask(method, target, &["Via: 1.0 fred"]);
        let call = origin.call_for(method, target);
        let via: Vec<String> = call.fields("Via").map(str::to_owned).collect();
        assert_eq!((via.len(), &*via[0]), (2, "1.0 fred"));
        call.answer("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.response_head().status, 500);
        let again = format!("Via: {}, 1.1 other", via.join(", "));
        for via in [&*again, "Via: 1.1 longhold"] {
            client.ask(method, target, &[via]);
            assert_eq!(client.response_head().status, 508, "{method} {via}");
            client = edge.client();
        }
        // Another edge of this name stands before this one.
        client.ask(method, target, &["Via: 1.1 longhold (another)"]);
        let call = origin.call_for(method, target);
        call.answer("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.response_head().status, 500);
    }
    // What is stored goes nowhere, and needs no such care.
    client.ask("GET", "/stored", &[]);
    origin.call_for("GET", "/stored").answer(reply("200 OK", &[FRESH], "here"));
    assert_eq!(client.response().body, b"here");
    edge.wait_for_stored(1);
    assert!(client.get_with("/stored", &["Via: 1.1 longhold"]).is_hit());
    origin.was_left_alone();
}

/// RFC 9110 section 7.6.2.
#[test]
fn max_forwards_ends_an_options_here() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("OPTIONS", "/page", &["Max-Forwards: 0"]);
    let response = client.response();
    assert_eq!(response.status, 204);
    assert!(response.field("Allow").is_some_and(|allow| allow.contains("GET")));
    origin.was_left_alone();
    client.ask("OPTIONS", "/page", &["Max-Forwards: 1"]);
    let call = origin.call_for("OPTIONS", "/page");
    assert_eq!(call.field("Max-Forwards"), Some("0"));
    call.answer(reply("200 OK", &[], ""));
    assert_eq!(client.response().status, 200);
    for hops in [0, 7] {
        client.ask("TRACE", "/page", &[&format!("Max-Forwards: {hops}")]);
        assert_eq!(client.response().status, 405);
    }
    origin.was_left_alone();
}
