//! Tunnels through the edge: WebSockets, other upgrades and CONNECT, and what must not get through
//! (RFC 6455, RFC 9110 sections 7.8 and 9.3.6).

use std::fs;

use crate::stage::websocket::{ACCEPT, BINARY, CLOSE, PING, PONG, TEXT, WebSocket};
use crate::stage::{Call, Client, Edge, FRESH, Origin, Setting, body_of, reply};

/// An open WebSocket: the client's end and the origin's.
fn open(edge: &Edge, origin: &Origin) -> (WebSocket<Client>, WebSocket<Call>) {
    let client = edge.client();
    let asked = std::thread::spawn(move || WebSocket::ask(client, "/chat", &[]));
    let there = WebSocket::accept(origin.call_for("GET", "/chat"), &[]);
    let (response, here) = asked.join().expect("an answer");
    assert_eq!(response.status, 101);
    (here, there)
}

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const UPGRADE: [&str; 4] =
    ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", KEY];

/// RFC 6455 from the handshake to the close, both ways.
#[test]
fn a_websocket_is_carried_from_its_handshake_to_its_close() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let log = edge.folder().join("access.log");
    let mut client = edge.client();
    let fields = [&UPGRADE[..], &["Sec-WebSocket-Protocol: chat, soap", "Origin: http://a"]];
    client.ask("GET", "/chat?room=1", &fields.concat());
    let call = origin.call_for("GET", "/chat?room=1");
    for (name, value) in [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", "chat, soap"),
        ("Origin", "http://a"),
        ("X-Forwarded-For", "127.0.0.1"),
    ] {
        assert_eq!(call.field(name), Some(value), "{name}");
    }
    assert!(call.field("Via").is_some() && call.field("Content-Length").is_none());
    let mut there = WebSocket::accept(call, &["Sec-WebSocket-Protocol: soap", "X-Who: me"]);
    let response = client.response_head();
    assert_eq!(response.line, "HTTP/1.1 101 Switching Protocols");
    for (name, value) in [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", ACCEPT),
        ("Sec-WebSocket-Protocol", "soap"),
        ("X-Who", "me"),
        ("Via", "1.1 longhold"),
    ] {
        assert_eq!(response.field(name), Some(value), "{name}");
    }
    let mut here = WebSocket { voice: client };

    here.send(TEXT, b"hello");
    there.expects(TEXT, b"hello");
    there.send(PING, b"are you there");
    here.expects(PING, b"are you there");
    here.send(PONG, b"are you there");
    there.expects(PONG, b"are you there");
    // A message in three frames, with a control frame between them (section 5.4).
    there.send_part(TEXT, b"one ");
    there.send(PING, b"");
    there.send_part(0, b"two ");
    there.send_part(0x80, b"three");
    let frames = [(TEXT, &b"one "[..]), (0x80 | PING, b""), (0, b"two "), (0x80, b"three")];
    for (first, payload) in frames {
        assert_eq!(here.receive(), (first, payload.to_vec()));
    }
    edge.wait("the tunnel rests", |edge| edge.connections("parked") == 2);
    assert_eq!(edge.connections("tunnels"), 1);

    here.send(CLOSE, &1000_u16.to_be_bytes());
    there.expects(CLOSE, &1000_u16.to_be_bytes());
    there.send(CLOSE, &1000_u16.to_be_bytes());
    here.expects(CLOSE, &1000_u16.to_be_bytes());
    there.voice.hang_up();
    here.voice.sees_the_end();
    drop(here);
    edge.wait("it is over", |edge| edge.connections("tunnels") == 0);
    edge.wait_for_nobody();
    assert_eq!(edge.counter("longhold_tunnels_opened_total{protocol=websocket}"), 1);
    assert_eq!(edge.counter("longhold_connections_closed_total{reason=origin-closed}"), 2);

    edge.wait("the line", |_| fs::read_to_string(&log).is_ok_and(|log| log.contains("/chat")));
    let line = fs::read_to_string(&log).expect("a log");
    let line: serde_json::Value = serde_json::from_str(line.trim()).expect("one line");
    assert_eq!(line["status"], 101);
    assert_eq!(line["close"], "origin-closed");
    assert_eq!(line["target"], "/chat?room=1");
    // Beside the heads: 11 + 19 + 8 bytes there, and 15 + 6 + 2 + 6 + 7 + 4 back.
    let to_origin = edge.counter("longhold_tunnel_bytes_total{to=origin}");
    assert_eq!(to_origin, 11 + 19 + 8);
    assert!(line["received_bytes"].as_u64().expect("a number") > to_origin);
}

/// Large messages both ways at once, as the two ends take them.
#[test]
fn megabytes_go_both_ways_at_once() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let (mut here, mut there) = open(&edge, &origin);
    let (to, from) = (body_of(1, 3 << 20), body_of(2, 2 << 20));
    std::thread::scope(|scope| {
        let mut mouth = WebSocket { voice: here.voice.second() };
        let to = &to;
        scope.spawn(move || mouth.send(BINARY, to));
        let from = &from;
        let there = &mut there;
        let server = scope.spawn(move || {
            there.send(BINARY, from);
            there.expects(BINARY, to);
        });
        here.expects(BINARY, from);
        server.join().expect("the origin's end");
    });
}

/// GW-8: nothing but the head reaches an origin that has not switched, whatever the client says
/// and whatever the origin answers.
#[test]
fn nothing_is_smuggled_behind_an_upgrade() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let smuggled = "GET /secret HTTP/1.1\r\nHost: play.test\r\n\r\n";
    for answer in [
        reply("200 OK", &["Cache-Control: no-store"], "no"),
        reply("403 Forbidden", &[], "no"),
        reply("426 Upgrade Required", &["Upgrade: websocket", "Connection: Upgrade"], "no"),
    ] {
        let mut client = edge.client();
        client.ask("GET", "/chat", &UPGRADE);
        client.say(smuggled);
        let mut call = origin.call_for("GET", "/chat");
        call.say(&answer);
        let response = client.response();
        assert_eq!(response.body, b"no");
        assert_eq!(response.field("Upgrade"), None);
        // It is a request of its own now, with all that the edge adds, on another connection.
        let second = origin.call_for("GET", "/secret");
        assert!(second.field("Via").is_some());
        assert_ne!(second.connection(), call.connection());
        second.answer(reply("200 OK", &["Cache-Control: no-store"], "seen"));
        assert_eq!(client.response().body, b"seen");
        assert_eq!(call.sees_the_end(), b"", "more than the head was sent");
    }
    assert_eq!(edge.counter("longhold_tunnels_refused_total{by=origin}"), 3);
}

/// The same where no HTTP lies behind it: the connection closes, and nobody has seen the bytes.
#[test]
fn frames_behind_a_refused_upgrade_reach_nobody() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/chat", &UPGRADE);
    client.say(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    let mut call = origin.call_for("GET", "/chat");
    call.say(reply("404 Not Found", &[], ""));
    assert_eq!(client.response().status, 404);
    assert_eq!(client.response().status, 400);
    client.sees_the_end();
    assert_eq!(call.sees_the_end(), b"");
    origin.was_left_alone();
}

/// What was said too early goes on once there is somebody to hear it, and in order.
#[test]
fn early_bytes_go_through_behind_the_switch() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/chat", &UPGRADE);
    client.say("early ");
    let call = origin.call_for("GET", "/chat");
    client.say("bird");
    let mut there = WebSocket::accept(call, &[]);
    assert_eq!(client.response_head().status, 101);
    assert_eq!(there.voice.hear(10), b"early bird");
}

/// An origin that switches to what nobody asked for, or only seems to, is not believed.
#[test]
fn a_contradictory_switch_is_a_bad_gateway() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let switch = |lines: &str| format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n");
    let good =
        format!("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n");
    for answer in [
        switch(""),
        switch(&good.replace("websocket", "h2c")),
        switch(&good.replace("s3p", "s3q")),
        switch(&good.replace("Connection: Upgrade\r\n", "")),
        switch(&format!("{good}Content-Length: 4\r\n")),
        switch(&format!("{good}Sec-WebSocket-Protocol: chat\r\n")),
        switch(&good).replace("HTTP/1.1", "HTTP/1.0"),
    ] {
        let mut client = edge.client();
        client.ask("GET", "/chat", &UPGRADE);
        client.say("never seen");
        let mut call = origin.call_for("GET", "/chat");
        call.say(&answer);
        assert_eq!(client.response().status, 502, "{answer}");
        assert_eq!(call.sees_the_end(), b"", "{answer}");
    }
    // One that was not even asked.
    let mut client = edge.client();
    client.ask("GET", "/plain", &[]);
    origin.call_for("GET", "/plain").say(switch(&good));
    assert_eq!(client.response().status, 502);
}

/// RFC 9110 section 7.8: what a site does not let through is a request like any other.
#[test]
fn an_upgrade_that_is_not_let_through_is_ignored() {
    let origin = Origin::start();
    let edge = Setting::before(&origin).rules("tunnel = [\"none\"]").start();
    let mut client = edge.client();
    client.ask("GET", "/chat", &UPGRADE);
    let call = origin.call_for("GET", "/chat");
    assert_eq!((call.field("Upgrade"), call.field("Connection")), (None, None));
    call.answer(reply("200 OK", &[FRESH], "plain"));
    assert_eq!(client.response().body, b"plain");
    assert!(client.get("/chat").is_hit());
    client.say("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n");
    assert_eq!(client.response().status, 501);
}

#[test]
fn other_protocols_go_through_where_a_site_names_them() {
    let origin = Origin::start();
    let edge = Setting::before(&origin).rules("tunnel = [\"*\", \"connect\"]").start();
    let mut client = edge.client();
    client.ask("POST", "/x", &["Connection: Upgrade", "Upgrade: h2c, other/2, another"]);
    let mut call = origin.call_for("POST", "/x");
    assert_eq!(call.field("Upgrade"), Some("other/2, another"));
    assert_eq!(call.field("Content-Length"), Some("0"));
    call.say("HTTP/1.1 101 Fine\r\nConnection: Upgrade\r\nUpgrade: another\r\n\r\nwelcome");
    assert_eq!(client.response_head().field("Upgrade"), Some("another"));
    client.hears("welcome");
    client.say("thanks");
    assert_eq!(call.hear(6), b"thanks");

    // CONNECT, to an origin that is a proxy.
    let mut client = edge.client();
    client.say("CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n");
    origin.call_for("CONNECT", "b.test:443").answer(reply("407 No", &[], "ask nicely"));
    assert_eq!(client.response().status, 407);
    client.say("CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\nhello");
    let mut call = origin.call_for("CONNECT", "b.test:443");
    assert_eq!(call.field("Host"), Some("b.test:443"));
    call.say("HTTP/1.1 200 Connected\r\nX-Proxy: p\r\n\r\n");
    let response = client.response_head();
    assert_eq!((response.status, response.field("X-Proxy")), (200, Some("p")));
    assert_eq!(
        (response.field("Content-Length"), response.field("Transfer-Encoding")),
        (None, None)
    );
    assert_eq!(call.hear(5), b"hello");
    call.say("you");
    client.hears("you");
}

/// One half's end is told, the other goes on.
#[test]
fn half_of_a_tunnel_may_end() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let (mut here, mut there) = open(&edge, &origin);
    here.send(TEXT, b"the last of it");
    here.voice.half_close();
    there.expects(TEXT, b"the last of it");
    assert_eq!(there.voice.hear_end(), b"");
    there.send(TEXT, b"I go on");
    here.expects(TEXT, b"I go on");
    there.voice.hang_up();
    here.voice.sees_the_end();
    edge.wait_for_nobody();
    assert_eq!(edge.counter("longhold_connections_closed_total{reason=peer-closed}"), 2);
}

#[test]
fn a_reset_goes_through() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let (here, there) = open(&edge, &origin);
    here.voice.reset();
    assert_eq!(there.voice.sees_the_end(), b"");
    let (mut here, there) = open(&edge, &origin);
    there.voice.reset();
    here.voice.sees_the_end();
    edge.wait_for_nobody();
    let failed = edge.counter("longhold_connections_closed_total{reason=origin-failed}");
    assert_eq!((edge.left(), failed), (2, 2));
}

#[test]
fn a_tunnel_has_its_own_idle_time_and_a_lifetime() {
    let origin = Origin::start();
    let edge = Setting::before(&origin)
        .limits("idle_timeout = \"1s\"")
        .rules("tunnel_idle = \"3s\"")
        .start();
    let (mut here, there) = open(&edge, &origin);
    let begun = std::time::Instant::now();
    here.voice.sees_the_end();
    assert!(begun.elapsed().as_millis() > 2_800, "it was closed too early");
    assert_eq!(there.voice.sees_the_end(), b"");
    assert_eq!(edge.counter("longhold_deadlines_expired_total{kind=idle}"), 1);

    let edge = Setting::before(&origin).limits("tunnel_lifetime = \"1s\"").start();
    let (mut here, mut there) = open(&edge, &origin);
    while there.voice.try_say(b"beat") {}
    here.voice.drain_to_end();
    assert_eq!(edge.counter("longhold_deadlines_expired_total{kind=tunnel}"), 1);
    let closed = edge.counter("longhold_connections_closed_total{reason=tunnel-lifetime}");
    assert_eq!(closed, 2);
}

#[test]
fn a_drain_closes_tunnels() {
    let origin = Origin::start();
    let mut edge = Edge::before(&origin);
    let (mut here, there) = open(&edge, &origin);
    edge.terminate();
    here.voice.sees_the_end();
    assert_eq!(there.voice.sees_the_end(), b"");
    assert!(edge.ends().success());
}

/// A place at the origin is taken for the handshake, not for the life of the tunnel.
#[test]
fn open_tunnels_take_no_place_at_the_origin() {
    let origin = Origin::start();
    let edge = Setting::before_with(&origin, "connections_max = 2").start();
    let tunnels: Vec<_> = (0..5).map(|_| open(&edge, &origin)).collect();
    let mut client = edge.client();
    client.ask("GET", "/thing", &[]);
    origin.call_for("GET", "/thing").answer(reply("200 OK", &[FRESH], "thing"));
    assert_eq!(client.response().body, b"thing");
    drop(tunnels);
}

/// What cannot become a WebSocket is refused here, with the reason.
#[test]
fn a_flawed_handshake_is_refused() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/chat", &["Connection: Upgrade", "Upgrade: websocket", KEY]);
    let response = client.response();
    assert_eq!((response.status, response.field("Sec-WebSocket-Version")), (426, Some("13")));
    client.ask("GET", "/chat", &UPGRADE[..3]);
    assert_eq!(client.response().status, 400);
    origin.was_left_alone();
    assert_eq!(edge.counter("longhold_tunnels_refused_total{by=handshake}"), 2);
}
