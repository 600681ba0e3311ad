//! What goes to the origin, and what stays here (GW-2, GW-3).

use super::parse;
use crate::forward::{Client, Purpose, collect, is_loop};

const CLIENT: &str = "192.0.2.7:4711";

fn forwarded(request: &str, purpose: Purpose<'_>, peer: &str) -> Vec<(String, String)> {
    let head = parse(request.as_bytes());
    let client = Client { peer: peer.parse().expect("an address"), scheme: "http", node: "n1" };
    collect(&head, purpose, &client)
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), String::from_utf8(value).expect("text")))
        .collect()
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut found = fields.iter().filter(|(known, _)| known == name);
    let value = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} is there twice");
    value
}

#[test]
fn hop_by_hop_fields_and_those_named_by_connection_stay() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-private, keep-alive\r\n\
        X-Private: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\nProxy-Connection: x\r\n\
        Proxy-Authorization: Basic eDp5\r\nX-Public: 2\r\n\r\n";
    let fields = forwarded(request, Purpose::Pass, CLIENT);
    let gone = ["connection", "x-private", "keep-alive", "te", "upgrade", "proxy-connection"];
    for name in gone.iter().chain(&["proxy-authorization"]) {
        assert_eq!(value(&fields, name), None, "{name}");
    }
    assert_eq!(value(&fields, "x-public"), Some("2"));
}

#[test]
fn framing_is_never_copied() {
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    let fields = forwarded(request, Purpose::Pass, CLIENT);
    for name in ["content-length", "transfer-encoding"] {
        assert_eq!(value(&fields, name), None, "{name}");
    }
}

/// RFC 9110 section 10.1.1: the expectation goes along where a body may follow, and only there.
#[test]
fn expectation_goes_with_a_body() {
    let request = |head: &str| format!("{head}\r\nHost: a\r\nExpect: 100-continue\r\n");
    for (head, sent) in [
        (request("POST / HTTP/1.1") + "Content-Length: 3\r\n\r\n", Some("100-continue")),
        (request("PUT / HTTP/1.1") + "Transfer-Encoding: chunked\r\n\r\n", Some("100-continue")),
        (request("POST / HTTP/1.1") + "Content-Length: 0\r\n\r\n", None),
        (request("GET / HTTP/1.1") + "\r\n", None),
        (request("POST / HTTP/1.0") + "Content-Length: 3\r\n\r\n", None),
    ] {
        assert_eq!(value(&forwarded(&head, Purpose::Pass, CLIENT), "expect"), sent, "{head:?}");
        assert_eq!(value(&forwarded(&head, Purpose::Fill, CLIENT), "expect"), None);
    }
}

#[test]
fn conditions_and_ranges_stay_when_the_cache_is_filled() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nIf-Range: \"x\"\r\n\
        If-None-Match: \"x\"\r\nIf-Modified-Since: x\r\n\r\n";
    let names = ["range", "if-range", "if-none-match", "if-modified-since"];
    let filled = forwarded(request, Purpose::Fill, CLIENT);
    let passed = forwarded(request, Purpose::Pass, CLIENT);
    let part = forwarded(request, Purpose::Part, CLIENT);
    for name in names {
        assert_eq!(value(&filled, name), None, "{name}");
        assert_eq!(value(&part, name).is_some(), name.ends_with("range"), "{name}");
        assert!(value(&passed, name).is_some(), "{name}");
    }
}

#[test]
fn the_chain_is_ours_whatever_the_client_claims() {
    let request = "GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 10.0.0.1\r\n\
        Forwarded: for=10.0.0.1\r\nVia: 1.0 before\r\n\r\n";
    let fields = forwarded(request, Purpose::Pass, CLIENT);
    assert_eq!(value(&fields, "x-forwarded-for"), Some("192.0.2.7"));
    assert_eq!(value(&fields, "forwarded"), Some("for=192.0.2.7;host=\"a.example\";proto=http"),);
    let vias: Vec<&str> =
        fields.iter().filter(|(name, _)| name == "via").map(|(_, value)| value.as_str()).collect();
    assert_eq!(vias, ["1.0 before", "1.1 longhold (n1)"]);
}

#[test]
fn an_ipv6_client_is_quoted_in_forwarded() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let fields = forwarded(request, Purpose::Pass, "[2001:db8::1]:9");
    assert_eq!(value(&fields, "x-forwarded-for"), Some("2001:db8::1"));
    assert_eq!(value(&fields, "forwarded"), Some("for=\"[2001:db8::1]\";host=\"a\";proto=http"),);
}

/// RFC 9110 section 7.6.2.
#[test]
fn max_forwards_counts_down_for_options_alone() {
    for (method, hops, sent) in [
        ("OPTIONS", "5", Some("4")),
        ("OPTIONS", "99999999999999999999", Some("18446744073709551614")),
        ("OPTIONS", "+5", None),
        ("OPTIONS", "many", None),
        ("GET", "5", Some("5")),
        ("POST", "0", Some("0")),
    ] {
        let request = format!("{method} /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: {hops}\r\n\r\n");
        let fields = forwarded(&request, Purpose::Pass, CLIENT);
        assert_eq!(value(&fields, "max-forwards"), sent, "{method} {hops}");
    }
}

/// RFC 9110 section 7.6.3.
#[test]
fn own_via_is_known_again_and_no_other() {
    for (via, is_ours) in [
        (&["1.1 longhold (n1)"][..], true),
        (&["1.1 longhold"], true),
        (&["HTTP/1.1\tLongHold   (n1)"], true),
        (&["1.0 fred, 1.1 longhold (n1), 1.1 other"], true),
        (&["1.0 fred", "1.1 longhold (n1)"], true),
        (&["1.1 a (b, c (d\\), e) , 1.1 longhold (f)), 1.1 longhold (n1)"], true),
        (&["1.1 longhold (n2)"], false),
        (&["1.1 longholder (n1)"], false),
        (&["1.1 fred (1.1 longhold (n1))"], false),
        (&["1.1 fred (, 1.1 longhold (n1)"], false),
        (&["longhold"], false),
        (&["longhold 1.1"], false),
        (&["", ","], false),
        (&[], false),
    ] {
        let fields: Vec<(&str, &[u8])> = via.iter().map(|via| ("Via", via.as_bytes())).collect();
        assert_eq!(is_loop(&fields, "n1"), is_ours, "{via:?}");
    }
}

/// GW-1: two requests that share a key are one request to the origin.
#[test]
fn host_goes_out_in_the_form_that_the_key_has() {
    for (host, sent) in [
        ("PLAY.Test", "play.test"),
        ("play.test:80", "play.test"),
        ("play.test:8080", "play.test:8080"),
        ("[2001:DB8:0::1]:80", "[2001:db8::1]"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let fields = forwarded(&request, Purpose::Fill, CLIENT);
        assert_eq!(value(&fields, "host"), Some(sent));
        let forwarded = format!("for=192.0.2.7;host=\"{sent}\";proto=http");
        assert_eq!(value(&fields, "forwarded"), Some(&*forwarded));
    }
}

/// RFC 9111 section 4.1: the origin is asked in the form that variants are told apart by.
#[test]
fn weighted_lists_go_out_in_the_form_that_the_key_has() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip;q=0.50, BR\r\n\
                   Accept: text/html;level=1\r\nX-A: b, a\r\nAccept-Encoding: br\r\n\r\n";
    let lines = |fields: &[(String, String)], name: &str| -> Vec<String> {
        let lines = fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| value.clone()).collect()
    };
    let filled = forwarded(request, Purpose::Fill, CLIENT);
    assert_eq!(lines(&filled, "accept-encoding"), ["br, gzip;q=0.5"]);
    assert_eq!(lines(&filled, "accept"), ["text/html;level=1"]);
    assert_eq!(lines(&filled, "x-a"), ["b, a"]);
    let passed = forwarded(request, Purpose::Pass, CLIENT);
    assert_eq!(lines(&passed, "accept-encoding"), ["gzip;q=0.50, BR", "br"]);
}
