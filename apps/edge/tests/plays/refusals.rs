//! Requests that could be read in two ways, or in none: refused, and the connection is closed, so
//! that nothing behind them is taken for a request.

use crate::stage::{Edge, Origin};

/// What is refused, and how. Behind each lies a request that must never be answered.
const REFUSED: [(&str, u16, &str); 26] = [
    (
        "length and chunked",
        400,
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\n",
    ),
    (
        "chunked and length",
        400,
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n\
         0\r\n\r\n",
    ),
    (
        "differing lengths",
        400,
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    ),
    ("list of lengths", 400, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\nhello"),
    ("signed length", 400, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"),
    ("hexadecimal length", 400, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello"),
    ("empty length", 400, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"),
    (
        "overlong length",
        400,
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ),
    (
        "chunked not last",
        400,
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
    ),
    (
        "chunked twice",
        400,
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "unknown coding",
        400,
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "coding over 1.0",
        400,
        "POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("space before colon", 400, "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello"),
    ("space before name", 400, "GET /a HTTP/1.1\r\n Host: a\r\n\r\n"),
    ("folded line", 400, "GET /a HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n"),
    ("bare LF", 400, "GET /a HTTP/1.1\nHost: a\n\n"),
    ("bare CR in a value", 400, "GET /a HTTP/1.1\r\nHost: a\r\nX-A: b\rX-B: c\r\n\r\n"),
    ("zero byte", 400, "GET /a HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n"),
    ("no host", 400, "GET /a HTTP/1.1\r\n\r\n"),
    ("two hosts", 400, "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("host with a path", 400, "GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("user in the host", 400, "GET /a HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    ("fragment", 400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("space in the target", 400, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("another major version", 505, "GET /a HTTP/2.0\r\nHost: a\r\n\r\n"),
    ("target too long", 414, "TOO-LONG"),
];

#[test]
fn ambiguous_requests_are_refused_and_nothing_behind_them_is_read() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let behind = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (name, status, request) in REFUSED {
        let request = match request {
            "TOO-LONG" => format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(8200)),
            request => request.to_owned(),
        };
        let mut client = edge.client();
        client.say(request + behind);
        let response = client.response();
        assert_eq!(response.status, status, "{name}: {response:?}");
        assert_eq!(response.field("Connection"), Some("close"), "{name}");
        client.sees_the_end();
    }
    assert_eq!(edge.fetches(), 0);
    origin.was_left_alone();
    let refused: u64 = ["400", "414", "505"]
        .map(|code| edge.counter(&format!("longhold_rejects_total{{status={code}}}")))
        .iter()
        .sum();
    assert_eq!(refused, REFUSED.len() as u64);
}

/// A chunked body that turns out malformed: its exchange has begun, so the connection is cut, and
/// neither side takes the body for whole.
#[test]
fn malformed_chunks_end_the_connection_and_the_upload() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    for bad in ["5\nhello\r\n", "5 \r\nhello\r\n", "-1\r\n", "5\r\nhello0\r\n\r\n", "g\r\n"] {
        let mut client = edge.client();
        client.ask("POST", "/form", &["Transfer-Encoding: chunked"]);
        client.say("2\r\nok\r\n");
        let mut call = origin.call_for("POST", "/form");
        assert_eq!(call.hear(7), b"2\r\nok\r\n");
        client.try_say(format!("{bad}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"));
        if let Ok(response) = client.try_response() {
            assert_eq!((response.status, response.field("Connection")), (400, Some("close")));
        }
        client.sees_the_end();
        let heard = call.sees_the_end();
        assert!(!heard.ends_with(b"0\r\n\r\n"), "{bad:?}: {heard:?}");
    }
    assert_eq!(edge.fetches(), 5);
    origin.was_left_alone();
}

#[test]
fn what_the_edge_does_not_do_is_said() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    for (status, request) in [
        (501, "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n"),
        (405, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (204, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        let mut client = edge.client();
        client.say(request);
        assert_eq!(client.response().status, status, "{request}");
    }
    origin.was_left_alone();
}
