//! Endless responses: server-sent events through the edge, each as it comes (HTML, section 9.2).

use crate::stage::{Client, Edge, Origin, Setting, reply};

const ASK: [&str; 1] = ["Accept: text/event-stream"];

/// An event stream that has begun.
fn begin(client: &mut Client, origin: &Origin, lines: &str) -> crate::stage::Call {
    client.ask("GET", "/events", &ASK);
    let mut call = origin.call_for("GET", "/events");
    call.say(format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{lines}\r\n"));
    call
}

#[test]
fn events_come_one_by_one_and_rest_between() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let mut call = begin(&mut client, &origin, "Transfer-Encoding: chunked\r\n");
    let response = client.response_head();
    assert_eq!(response.field("Content-Type"), Some("text/event-stream"));
    assert_eq!(response.field("Transfer-Encoding"), Some("chunked"));
    assert_eq!(response.field("Connection"), Some("close"));
    for number in 0..3 {
        let event = format!("data: {number}\n\n");
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        call.say(&chunk);
        client.hears(&chunk);
        edge.wait("both rest", |edge| edge.connections("parked") == 2);
    }
    call.say("0\r\n\r\n");
    client.hears("0\r\n\r\n");
    client.sees_the_end();
    drop(client);
    assert_eq!(call.sees_the_end(), b"");
    edge.wait_for_nobody();
    assert_eq!(edge.counter("longhold_tunnels_opened_total{protocol=event-stream}"), 1);
    assert_eq!(edge.counter("longhold_connections_closed_total{reason=response-ended}"), 2);
}

/// Without a length and without chunks the end is the connection's.
#[test]
fn a_stream_until_close_ends_with_its_origin() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let mut call = begin(&mut client, &origin, "");
    call.say("data: 1\n\n");
    client.response_head();
    client.hears("data: 1\n\n");
    call.hang_up();
    client.sees_the_end();
}

#[test]
fn an_origin_hears_at_once_of_a_client_that_leaves() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let call = begin(&mut client, &origin, "Transfer-Encoding: chunked\r\n");
    client.response_head();
    drop(client);
    assert_eq!(call.sees_the_end(), b"");
    edge.wait_for_nobody();
}

/// What turns out to be no stream is a response like any other, and the connection goes on.
#[test]
fn another_response_to_the_same_request_is_relayed() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    for (answer, body) in [
        (reply("200 OK", &["Content-Type: text/plain"], "no events"), "no events"),
        (reply("404 Not Found", &[], ""), ""),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
              3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n"
                .to_vec(),
            "abcde",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil close".to_vec(), "until close"),
    ] {
        client.ask("GET", "/events", &ASK);
        let mut call = origin.call_for("GET", "/events");
        call.say(answer);
        call.hang_up();
        assert_eq!(client.response().body, body.as_bytes());
    }
    // One that is cut must not look whole.
    client.ask("GET", "/events", &ASK);
    let mut call = origin.call_for("GET", "/events");
    call.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc");
    call.hang_up();
    assert!(client.try_response().is_err());
}

/// A stream may be silent for longer than an origin inside a body.
#[test]
fn a_silent_stream_is_not_cut_by_other_timeouts() {
    let origin = Origin::start();
    let edge = Setting::before_with(&origin, "between_bytes_timeout = \"100ms\"")
        .limits("idle_timeout = \"1s\"\nbody_grace = \"100ms\"")
        .start();
    let mut client = edge.client();
    let mut call = begin(&mut client, &origin, "Transfer-Encoding: chunked\r\n");
    client.response_head();
    // Others have come and gone by their timeouts meanwhile.
    let mut other = edge.client();
    other.sees_the_end();
    call.say("3\r\n:\n\n\r\n");
    client.hears("3\r\n:\n\n\r\n");
}
