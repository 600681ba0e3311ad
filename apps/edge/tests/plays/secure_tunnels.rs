//! Tunnels and event streams with TLS on either side, or both: the same bytes, and the same rest
//! between them.

use crate::stage::websocket::{BINARY, TEXT, Voice, WebSocket, accepting};
use crate::stage::{
    Client, Edge, Origin, SecureCall, SecureOrigin, Setting, Wanted, body_of, reply,
};

/// An edge with a TLS listener before an origin that speaks TLS of this version.
fn before(version: &'static rustls::SupportedProtocolVersion) -> (Edge, SecureOrigin) {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = SecureOrigin::start(folder.path(), version);
    let ca = folder.path().join("origin.pem");
    let values = format!("ca = \"{}\"", ca.display());
    let edge = Setting::before_url(&origin.url(), &values).secured("").start();
    (edge, origin)
}

/// Messages of all sizes both ways, and a rest between them.
fn talk(edge: &Edge, here: &mut WebSocket<Client>, there: &mut WebSocket<impl Voice>) {
    for len in [0, 1, 125, 126, 16_000, 16_384, 70_000] {
        let message = body_of(len as u64, len);
        here.send(TEXT, &message);
        there.expects(TEXT, &message);
        there.send(BINARY, &message);
        here.expects(BINARY, &message);
    }
    edge.wait("both rest", |edge| edge.connections("parked") == 2);
}

#[test]
fn a_websocket_goes_through_with_tls_on_the_client_s_side() {
    let origin = Origin::start();
    let mut edge = Setting::before(&origin).secured("").start();
    for wanted in [Wanted::from(edge.folder()), Wanted::old(edge.folder())] {
        let client = wanted.client(edge.address());
        let asked = std::thread::spawn(move || WebSocket::ask(client, "/chat", &[]));
        let call = origin.call_for("GET", "/chat");
        assert_eq!(call.field("X-Forwarded-Proto"), Some("https"));
        let mut there = WebSocket::accept(call, &[]);
        let (response, mut here) = asked.join().expect("an answer");
        assert_eq!(response.status, 101);
        talk(&edge, &mut here, &mut there);
        // The end of one side is told to the other, by the alert and the socket's end.
        there.voice.hang_up();
        here.voice.sees_the_end();
        drop(here);
        edge.wait_for_nobody();
    }
    edge.terminate();
    assert_eq!(edge.ends().code(), Some(0));
    let log = std::fs::read_to_string(edge.folder().join("access.log")).expect("the log");
    let versions: Vec<_> = log.lines().map(|line| line.split_once("TLSv1.")).collect();
    let versions: Vec<_> = versions.iter().map(|found| found.map(|(_, rest)| &rest[..1])).collect();
    assert_eq!(versions, [Some("3"), Some("2")], "{log}");
}

/// The session with the origin is made by the fill plane and goes on in the worker: what its
/// records hold next, in either direction, is not lost, whatever came with the head's record.
#[test]
fn a_websocket_goes_through_with_tls_on_both_sides() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let (edge, origin) = before(version);
        let client = Wanted::from(edge.folder()).client(edge.address());
        let asked = std::thread::spawn(move || WebSocket::ask(client, "/chat", &[]));
        let mut call = origin.call();
        assert!(call.head().starts_with("GET /chat HTTP/1.1\r\n"), "{}", call.head());
        // A message in the head's record, and one in the next, before the edge has answered.
        call.say([accepting(&[]).as_bytes(), b"\x81\x05early"].concat());
        call.say(b"\x81\x04next");
        let mut there = WebSocket { voice: call };
        let (response, mut here) = asked.join().expect("an answer");
        assert_eq!(response.status, 101);
        here.expects(TEXT, b"early");
        here.expects(TEXT, b"next");
        talk(&edge, &mut here, &mut there);
        assert_eq!(spoken(&edge), [("origin-tls", 1), ("tunnel-tls", 1)].map(told));
        assert_eq!((edge.connections("tls"), edge.connections("tunnels")), (2, 1));
        here.voice.half_close();
        there.voice.sees_the_end();
        there.voice.hang_up();
        here.voice.sees_the_end();
        edge.wait_for_nobody();
        assert_eq!((edge.connections("tls"), spoken(&edge)), (0, Vec::new()));
    }
}

fn told((protocol, count): (&str, u64)) -> (String, u64) {
    (protocol.to_owned(), count)
}

/// What is spoken on how many connections, as `edge conns` has it.
fn spoken(edge: &Edge) -> Vec<(String, u64)> {
    let output = edge.command(&["conns", "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let counts = said["by_protocol"].as_object().into_iter().flatten();
    let counts = counts.map(|(protocol, count)| (protocol.clone(), count.as_u64().unwrap_or(0)));
    let mut counts: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
    counts.sort();
    counts
}

/// A parked session whose keys the origin changes while it rests goes on with the new ones.
#[test]
fn new_keys_of_the_origin_s_reach_a_session_at_rest() {
    let (edge, origin) = before(&rustls::version::TLS13);
    let client = Wanted::from(edge.folder()).client(edge.address());
    let asked = std::thread::spawn(move || WebSocket::ask(client, "/chat", &[]));
    let mut call = origin.call();
    call.say(accepting(&[]));
    let mut there = WebSocket { voice: call };
    let (_, mut here) = asked.join().expect("an answer");
    for _ in 0..3 {
        there.voice.update_keys();
        talk(&edge, &mut here, &mut there);
    }
}

/// A refusal over TLS is a response like any other, and the client's connection goes on.
#[test]
fn a_refused_upgrade_over_tls_is_a_response() {
    let (edge, origin) = before(&rustls::version::TLS13);
    let mut client = Wanted::from(edge.folder()).client(edge.address());
    for status in ["403 Forbidden", "200 OK"] {
        client.ask("GET", "/chat", &crate::tunnels::UPGRADE);
        let mut call = origin.call();
        call.say(reply(status, &[], "no"));
        assert_eq!(client.response().body, b"no");
        call.sees_the_end();
    }
}

#[test]
fn events_come_through_tls_on_both_sides() {
    let (edge, origin) = before(&rustls::version::TLS13);
    let mut client = Wanted::from(edge.folder()).client(edge.address());
    client.ask("GET", "/events", &["Accept: text/event-stream"]);
    let mut call: SecureCall = origin.call();
    call.say(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\n:\n\n\r\n",
    );
    client.response_head();
    client.hears("3\r\n:\n\n\r\n");
    for _ in 0..3 {
        edge.wait("both rest", |edge| edge.connections("parked") == 2);
        call.say("9\r\ndata: 1\n\n\r\n");
        client.hears("9\r\ndata: 1\n\n\r\n");
    }
    assert_eq!(spoken(&edge), [("origin-tls", 1), ("stream-tls", 1)].map(told));
    assert_eq!((edge.connections("tls"), edge.connections("streams")), (2, 1));
    call.say("0\r\n\r\n");
    client.hears("0\r\n\r\n");
    client.sees_the_end();
    drop(client);
    call.sees_the_end();
    edge.wait_for_nobody();
}
