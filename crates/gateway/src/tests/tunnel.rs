//! Who gets a tunnel, by which words, and what opens it (GW-2, GW-8).

use super::parse;
use crate::forward::Client;
use crate::tunnel::{
    Ask, Asked, Contradiction, TunnelRule, asked, asks_for_stream, fields, is_stream, opens,
    write_opening,
};
use longhold_http1::{Limits, parse_response};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

fn rule(words: &[&str]) -> TunnelRule {
    TunnelRule::new(words.iter().copied()).expect("words of a rule")
}

fn request(lines: &str) -> String {
    format!("GET /chat HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

fn upgrade(to: &str, more: &str) -> String {
    request(&format!("Connection: keep-alive, Upgrade\r\nUpgrade: {to}\r\n{more}"))
}

/// What the request asks for under a rule, in a word.
fn check(request: &str, words: &[&str], expected: &str) {
    let found = match asked(&parse(request.as_bytes()), &rule(words)) {
        Asked::Nothing => "nothing".to_owned(),
        Asked::Tunnel(ask) => format!("{ask:?}"),
        Asked::Refused(refusal) => refusal.status.to_string(),
    };
    assert_eq!(found, expected, "{words:?} {request}");
}

/// RFC 9110 section 7.8: what is asked for in another form, or not let through, is ignored.
#[test]
fn an_upgrade_is_asked_for_in_one_form_only() {
    let websocket = upgrade("websocket", KEY);
    check(&websocket, &["websocket"], "WebSocket");
    check(&websocket, &["*"], "WebSocket");
    check(&websocket, &[], "nothing");
    check(&websocket, &["connect", "other"], "nothing");
    check(&upgrade("WebSocket", KEY), &["websocket"], "WebSocket");
    check(&upgrade("other/2, websocket", KEY), &["websocket"], "WebSocket");
    // Not named by Connection, or in HTTP/1.0.
    check(&request(&format!("Upgrade: websocket\r\n{KEY}")), &["websocket"], "nothing");
    check(&websocket.replace("HTTP/1.1", "HTTP/1.0"), &["websocket"], "nothing");
    // With content the protocol would change inside the message.
    check(&upgrade("websocket", &format!("{KEY}Content-Length: 1\r\n")), &["*"], "nothing");
    let chunked = upgrade("websocket", &format!("{KEY}Transfer-Encoding: chunked\r\n"));
    check(&chunked, &["*"], "nothing");
    check(&upgrade("websocket", &format!("{KEY}Content-Length: 0\r\n")), &["*"], "WebSocket");
}

#[test]
fn other_protocols_go_through_where_they_are_named() {
    check(&upgrade("other/2", ""), &["other"], "Other");
    check(&upgrade("other/2", ""), &["Other/2"], "Other");
    check(&upgrade("other/2", ""), &["other/1"], "nothing");
    check(&upgrade("other", ""), &["*"], "Other");
    check(&upgrade("oth er", ""), &["*"], "nothing");
}

/// What would carry requests past the edge unseen is never let through, whatever a site says.
#[test]
fn http_is_not_tunnelled() {
    for protocol in ["h2c", "H2C", "HTTP/2.0", "TLS/1.0", "h2", "http"] {
        check(&upgrade(protocol, "HTTP2-Settings: AAMAAABk\r\n"), &["*"], "nothing");
        assert_eq!(TunnelRule::new([protocol]), None, "{protocol}");
    }
    for word in ["", "a b", "a,b", "/", "a/", "a/b/c"] {
        assert_eq!(TunnelRule::new([word]), None, "{word:?}");
    }
}

/// RFC 6455 section 4.2.1.
#[test]
fn a_websocket_that_cannot_be_is_refused_here() {
    check(&upgrade("websocket", ""), &["websocket"], "426");
    let bad_key = upgrade("websocket", KEY).replace("dGhl", "dGh");
    check(&bad_key, &["websocket"], "400");
    check(&upgrade("websocket", KEY).replace("GET", "POST"), &["websocket"], "400");
    check(&upgrade("websocket", KEY).replace("13", "8"), &["websocket"], "426");
}

#[test]
fn connect_is_a_site_s_to_allow() {
    let connect = "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n";
    check(connect, &["connect"], "Connect");
    check(connect, &["*", "websocket"], "nothing");
}

fn sent(request: &str, ask: Ask, words: &[&str]) -> Vec<(String, String)> {
    let peer = "192.0.2.7:4711".parse().expect("an address");
    let client = Client { peer, scheme: "http", node: "n1" };
    let mut sent = Vec::new();
    fields(&parse(request.as_bytes()), (ask, &rule(words)), &client, &mut |name, value| {
        sent.push((name.to_owned(), String::from_utf8(value.to_vec()).expect("text")));
    });
    sent
}

/// GW-2: `Upgrade` is written anew, with what is let through and nothing else.
#[test]
fn the_origin_is_asked_for_what_the_site_lets_through() {
    let request = upgrade("h2c, websocket, other", &format!("{KEY}HTTP2-Settings: AAMA\r\n"))
        .replace("keep-alive,", "keep-alive, HTTP2-Settings,");
    for (ask, words, protocols) in [
        (Ask::WebSocket, &["websocket"][..], Some("websocket")),
        (Ask::Other, &["other", "websocket"], Some("websocket, other")),
        (Ask::Connect, &["connect"], None),
    ] {
        let sent = sent(&request, ask, words);
        let value = |name: &str| {
            let named: Vec<&str> = sent
                .iter()
                .filter(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| &**value)
                .collect();
            assert!(named.len() < 2, "{name} twice");
            named.first().copied()
        };
        assert_eq!(value("upgrade"), protocols);
        assert_eq!(value("connection"), protocols.map(|_| "Upgrade"));
        assert_eq!(value("http2-settings"), None, "named by Connection");
        assert_eq!(value("sec-websocket-version"), Some("13"));
        assert_eq!(value("host"), Some("a"));
        assert!(value("via").is_some() && value("content-length").is_none());
    }
}

/// Whether this answer opens what the request asked for.
fn answered(
    request: &str,
    (ask, words): (Ask, &[&str]),
    answer: &str,
) -> Result<bool, Contradiction> {
    let asked = parse(request.as_bytes());
    let text = answer.as_bytes();
    let head = parse_response(text, &Limits::default()).expect("a head").expect("a whole one");
    opens((ask, &rule(words)), &asked.fields, (head.status, head.version), &head.fields)
}

fn switch(lines: &str) -> String {
    format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{lines}\r\n")
}

/// RFC 9110 section 7.8, RFC 6455 section 4.1.
#[test]
fn a_tunnel_is_opened_by_the_answer_to_its_own_request() {
    let request = upgrade("websocket", KEY);
    let websocket = (Ask::WebSocket, &["websocket"][..]);
    let good = switch(&format!("Upgrade: websocket\r\n{ACCEPT}"));
    assert_eq!(answered(&request, websocket, &good), Ok(true));
    for status in ["200 OK", "400 Bad Request", "426 Upgrade Required", "503 Busy"] {
        let other = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(answered(&request, websocket, &other), Ok(false), "{status}");
    }
    for bad in [
        good.replace("Connection: Upgrade\r\n", ""),
        good.replace("Upgrade: websocket\r\n", ""),
        good.replace("Upgrade: websocket", "Upgrade: other"),
        good.replace("Upgrade: websocket", "Upgrade: websocket, other"),
        good.replace("s3p", "s3q"),
        good.replace("HTTP/1.1", "HTTP/1.0"),
        good.replace(ACCEPT, &format!("{ACCEPT}Content-Length: 5\r\n")),
        good.replace(ACCEPT, &format!("{ACCEPT}Transfer-Encoding: chunked\r\n")),
    ] {
        if bad.contains("1.0") && bad.contains("chunked") {
            continue;
        }
        assert_eq!(answered(&request, websocket, &bad), Err(Contradiction), "{bad}");
    }
}

#[test]
fn a_switch_to_what_was_not_asked_for_is_none() {
    let request = upgrade("other/2", "");
    let other = (Ask::Other, &["*"][..]);
    assert_eq!(answered(&request, other, &switch("Upgrade: other/2\r\n")), Ok(true));
    for protocol in ["other/3", "websocket", "h2c", "other/2, h2c"] {
        let bad = switch(&format!("Upgrade: {protocol}\r\n"));
        assert_eq!(answered(&request, other, &bad), Err(Contradiction), "{protocol}");
    }
    // Asked for by the client, but not let through: so the origin was never asked.
    let request = upgrade("other, secret", "");
    let bad = switch("Upgrade: secret\r\n");
    assert_eq!(answered(&request, (Ask::Other, &["other"]), &bad), Err(Contradiction));
}

/// RFC 9110 section 9.3.6.
#[test]
fn a_connect_is_opened_by_success() {
    let request = "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n";
    let connect = (Ask::Connect, &["connect"][..]);
    for (answer, opened) in [
        ("HTTP/1.1 200 OK\r\n\r\n", Ok(true)),
        ("HTTP/1.0 204 Fine\r\nContent-Length: 7\r\n\r\n", Ok(true)),
        ("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", Ok(false)),
        ("HTTP/1.1 101 What\r\n\r\n", Err(Contradiction)),
    ] {
        assert_eq!(answered(request, connect, answer), opened, "{answer}");
    }
}

#[test]
fn the_opening_s_head_has_no_framing_and_says_what_is_switched_to() {
    let received = [
        ("Upgrade", &b"websocket"[..]),
        ("Connection", b"upgrade, x-hop"),
        ("Sec-WebSocket-Accept", b"x"),
        ("X-Hop", b"1"),
        ("Content-Length", b"7"),
        ("X-Served-By", b"me"),
    ];
    let head = |status| {
        let mut out = Vec::new();
        write_opening(&mut out, status, &received, "1.1");
        String::from_utf8(out).expect("text")
    };
    assert_eq!(
        head(101),
        "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nX-Served-By: me\r\n\
         Via: 1.1 longhold\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    assert_eq!(
        head(200),
        "HTTP/1.1 200 OK\r\nSec-WebSocket-Accept: x\r\nX-Served-By: me\r\nVia: 1.1 longhold\r\n\r\n"
    );
}

#[test]
fn an_endless_response_is_asked_for_by_its_type_alone() {
    for (lines, asks) in [
        ("Accept: text/event-stream\r\n", true),
        ("Accept: Text/Event-Stream; q=1\r\n", true),
        ("Accept: application/json, text/event-stream\r\n", false),
        ("Accept: text/event-stream\r\nAccept: */*\r\n", false),
        ("Accept: */*\r\n", false),
        ("", false),
        ("Accept: text/event-stream\r\nContent-Length: 3\r\n", false),
    ] {
        let request = request(lines);
        assert_eq!(asks_for_stream(&parse(request.as_bytes())), asks, "{lines}");
        let post = request.replace("GET", "POST");
        assert!(!asks_for_stream(&parse(post.as_bytes())));
        let old = request.replace("HTTP/1.1", "HTTP/1.0");
        assert!(!asks_for_stream(&parse(old.as_bytes())), "chunks mean nothing to it");
    }
    for (status, kind, is) in [
        (200, &b"text/event-stream"[..], true),
        (200, b"TEXT/EVENT-STREAM;charset=utf-8", true),
        (200, b"text/event-streams", false),
        (206, b"text/event-stream", false),
    ] {
        assert_eq!(is_stream(status, &[("Content-Type", kind)]), is, "{status} {kind:?}");
    }
}
