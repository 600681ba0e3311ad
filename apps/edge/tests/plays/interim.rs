//! Interim responses: relayed to whom they are for, and no part of what is stored (RFC 9110 section
//! 15.2, RFC 8297).

use crate::stage::{Edge, FRESH, Origin, Setting, reply};

#[test]
fn interim_responses_reach_the_client_before_the_final_one() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    for (method, fields) in [("GET", &[][..]), ("HEAD", &[]), ("POST", &["Content-Length: 0"])] {
        let target = format!("/hints/{method}");
        client.ask(method, &target, fields);
        let mut call = origin.call_for(method, &target);
        call.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n");
        // Each comes at once, not with the next thing that the origin says.
        client.hears("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
        call.say("HTTP/1.1 102 Processing\r\nX-Step: 1\r\n\r\nHTTP/1.1 199 \r\n\r\n");
        client.hears("HTTP/1.1 102 Processing\r\nx-step: 1\r\n\r\n");
        assert!(client.response_head().line.starts_with("HTTP/1.1 199"));
        // A 100 that the client has not asked for is not for it.
        call.say("HTTP/1.1 100 Continue\r\n\r\n");
        call.say("HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n");
        client.hears("HTTP/1.1 103 Early Hints\r\nlink: </b>\r\n\r\n");
        let answer = reply("200 OK", &[FRESH], if method == "HEAD" { "" } else { "final" });
        call.answer(answer);
        let response = client.response_head();
        assert_eq!((response.status, response.field("Link")), (200, None));
        if method != "HEAD" {
            assert_eq!(client.hear(5), b"final");
        }
    }
    // Nothing of it is stored.
    edge.wait_for_stored(1);
    let hit = client.get("/hints/GET");
    assert!(hit.is_hit() && hit.field("Link").is_none() && hit.field("X-Step").is_none());
}

/// What is said before the response is said to the one who asked: whether the response is for all
/// is not known yet.
#[test]
fn followers_hear_the_final_response_alone() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let (mut leader, mut follower) = (edge.client(), edge.client());
    leader.ask("GET", "/hints", &[]);
    let mut call = origin.call();
    follower.ask("GET", "/hints", &[]);
    edge.wait_for_misses(2);
    call.say("HTTP/1.1 103 Early Hints\r\nLink: </leaders>\r\n\r\n");
    leader.hears("HTTP/1.1 103 Early Hints\r\nlink: </leaders>\r\n\r\n");
    call.answer(reply("200 OK", &[FRESH], "all's"));
    assert_eq!(leader.response().body, b"all's");
    assert_eq!(follower.response().body, b"all's");
}

/// RFC 9110 section 15.2: HTTP/1.0 knows no interim responses.
#[test]
fn old_clients_hear_no_interim_response() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.say("GET /hints HTTP/1.0\r\nHost: play.test\r\n\r\n");
    let mut call = origin.call();
    call.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    call.answer(reply("200 OK", &[FRESH], "final"));
    assert_eq!(client.response().body, b"final");
}

/// RFC 9110 section 10.1.1: whether a body is wanted is the origin's to say.
#[test]
fn expectation_goes_to_the_origin() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let fields = ["Content-Length: 4", "Expect: 100-continue"];
    let mut client = edge.client();
    client.ask("POST", "/form", &fields);
    let mut call = origin.call_for("POST", "/form");
    assert_eq!(call.field("Expect"), Some("100-continue"));
    call.say("HTTP/1.1 100 Continue\r\n\r\n");
    client.hears("HTTP/1.1 100 Continue\r\n\r\n");
    client.say("form");
    assert_eq!(call.body(), b"form");
    call.answer(reply("200 OK", &[], "thanks"));
    assert_eq!(client.response().body, b"thanks");

    // Refused by its head alone: the body is never sent, and the connection ends.
    client.ask("PUT", "/form", &fields);
    let mut call = origin.call_for("PUT", "/form");
    call.say(reply("401 Unauthorized", &["Connection: close"], "who?"));
    let response = client.response();
    assert_eq!((response.status, response.field("Connection")), (401, Some("close")));
    client.sees_the_end();
    assert_eq!(call.sees_the_end(), b"");
}

/// An origin that knows no expectations: the client gets its word from the edge.
#[test]
fn silent_origin_holds_no_body_back() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("POST", "/form", &["Transfer-Encoding: chunked", "Expect: 100-continue"]);
    let mut call = origin.call_for("POST", "/form");
    client.hears("HTTP/1.1 100 Continue\r\n\r\n");
    client.say("4\r\nform\r\n0\r\n\r\n");
    assert_eq!(call.body(), b"form");
    // Too late for the client.
    call.say("HTTP/1.1 100 Continue\r\n\r\n");
    call.answer(reply("200 OK", &[], "thanks"));
    assert_eq!(client.response().body, b"thanks");
}

/// An origin that does not come to the point is not relayed for ever.
#[test]
fn many_interim_responses_are_bounded() {
    let origin = Origin::start();
    let edge = Setting::before(&origin).start();
    let mut client = edge.client();
    client.ask("GET", "/chatty", &[]);
    let mut call = origin.call();
    let hint = format!("HTTP/1.1 103 Early Hints\r\nLink: <{}>\r\n\r\n", "a".repeat(8000));
    for _ in 0..2000 {
        call.say(&hint);
    }
    call.answer(reply("200 OK", &[FRESH], "final"));
    let mut hints = 0;
    let last = loop {
        let head = client.response_head();
        if head.status != 103 {
            break head;
        }
        hints += 1;
    };
    assert_eq!(last.status, 200);
    assert_eq!(client.hear(5), b"final");
    assert!((1..=64).contains(&hints), "{hints}");
}
