//! Stored and relayed responses as the client gets them.

use longhold_http1::BodyFraming;
use longhold_policy::StoredMeta;

use crate::deliver::{Delivery, Shape, is_content_field, shape, write_head};
use crate::outcome::{CacheOutcome, Fwd, Outcome};
use crate::reject::Persistence;
use crate::relay::{self, Relay};
use crate::stored::{RecordHead, decode, encode_response};

const NOW_MS: u64 = 1_000_000_000_000;

fn record() -> Vec<u8> {
    let meta = StoredMeta {
        status: 200,
        date_s: NOW_MS / 1000 - 10,
        response_time_ms: NOW_MS - 10_000,
        lifetime_s: 60,
        has_etag: true,
        ..StoredMeta::default()
    };
    let mut out = Vec::new();
    encode_response(
        &meta,
        &[
            ("Content-Type", b"text/plain"),
            ("ETag", b"\"v1\""),
            ("Date", b"Sun, 09 Sep 2001 01:46:30 GMT"),
        ],
        Some("1.1"),
        &mut out,
    );
    out
}

fn delivered(request: &[(&str, &[u8])], persistence: Persistence) -> (Shape, String) {
    let head = record();
    let Some(RecordHead::Response(stored)) = decode(&head) else { panic!("no response") };
    let shape = shape("GET", request, &stored, 1000);
    let mut out = Vec::new();
    let delivery = Delivery {
        stored: &stored,
        body_len: 1000,
        shape: &shape,
        seams: None,
        outcome: Outcome {
            fwd_status: None,
            status: 200,
            cache: Some(CacheOutcome::Hit),
            stored: false,
            collapsed: false,
        },
        persistence,
        now_ms: NOW_MS,
    };
    write_head(&mut out, &delivery);
    (shape, String::from_utf8(out).expect("a head is text"))
}

const GOES_ON: Persistence = Persistence { close: false, keep_alive: false };

#[test]
fn a_whole_hit_says_its_age_and_where_it_came_from() {
    let (shape, head) = delivered(&[], GOES_ON);
    assert_eq!(shape, Shape::Whole);
    assert_eq!(
        head,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"v1\"\r\n\
         Date: Sun, 09 Sep 2001 01:46:30 GMT\r\nVia: 1.1 longhold\r\nContent-Length: 1000\r\n\
         Age: 10\r\nCache-Status: longhold; hit; ttl=50\r\n\r\n"
    );
}

#[test]
fn ranges_conditions_and_their_failures_have_their_shapes() {
    type Case<'a> = (&'a [(&'a str, &'a [u8])], Shape, &'a str, &'a str);
    let cases: [Case<'_>; 5] = [
        (
            &[("Range", b"bytes=0-9")],
            Shape::Part(0..10),
            "206",
            "Content-Range: bytes 0-9/1000\r\n",
        ),
        (&[("Range", b"bytes=-1")], Shape::Part(999..1000), "206", "Content-Length: 1\r\n"),
        (&[("Range", b"bytes=1000-")], Shape::Unsatisfiable, "416", "bytes */1000\r\n"),
        (&[("If-None-Match", b"W/\"v1\"")], Shape::NotModified, "304", "ETag: \"v1\"\r\n"),
        (&[("If-Match", b"\"v2\"")], Shape::PreconditionFailed, "412", "Content-Length: 0\r\n"),
    ];
    for (request, expected, status, contains) in cases {
        let (shape, head) = delivered(request, GOES_ON);
        assert_eq!(shape, expected);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(head.contains(contains), "{head}");
    }
}

#[test]
fn not_modified_carries_no_content_metadata() {
    let (_, head) = delivered(&[("If-None-Match", b"\"v1\"")], GOES_ON);
    assert!(!head.contains("Content-Type") && !head.contains("Content-Length"), "{head}");
    // RFC 9110 section 15.4.5: what the 200 would have said of itself.
    for line in ["ETag: \"v1\"", "Date: Sun, 09 Sep 2001 01:46:30 GMT"] {
        assert!(head.contains(line), "{head}");
    }
    for name in ["Cache-Control", "Content-Location", "Expires", "Vary"] {
        assert!(!is_content_field(name), "{name}");
    }
}

#[test]
fn persistence_is_said_as_planned() {
    let (_, closes) = delivered(&[], Persistence { close: true, keep_alive: false });
    assert!(closes.contains("\r\nConnection: close\r\n"));
    let (_, keeps) = delivered(&[], Persistence { close: false, keep_alive: true });
    assert!(keeps.contains("\r\nConnection: keep-alive\r\n"));
}

#[test]
fn relayed_head_drops_the_origins_framing_and_writes_ours() {
    let fields: [(&str, &[u8]); 6] = [
        ("Content-Length", b"5"),
        ("Transfer-Encoding", b"chunked"),
        ("Connection", b"close, x-hop"),
        ("X-Hop", b"1"),
        ("Proxy-Authenticate", b"Basic"),
        ("Cache-Status", b"inner; hit"),
    ];
    let relay = Relay {
        status: 200,
        shape: (&Shape::Whole, 0),
        fields: &fields,
        via_version: "1.0",
        framing: BodyFraming::Chunked,
        outcome: Outcome {
            fwd_status: None,
            status: 200,
            cache: Some(CacheOutcome::Fwd(Fwd::UriMiss)),
            stored: true,
            collapsed: false,
        },
        ttl_s: Some(60),
        detail: None,
        persistence: GOES_ON,
        now_ms: NOW_MS,
    };
    let mut out = Vec::new();
    relay::write_head(&mut out, &relay);
    assert_eq!(
        String::from_utf8(out).expect("text"),
        "HTTP/1.1 200 OK\r\nCache-Status: inner; hit\r\nDate: Sun, 09 Sep 2001 01:46:40 GMT\r\n\
         Via: 1.0 longhold\r\nTransfer-Encoding: chunked\r\n\
         Cache-Status: longhold; fwd=uri-miss; stored; ttl=60\r\n\r\n"
    );
}

/// RFC 9110 section 14: a body that grows is sent in part, as its length is known; section 13: the
/// client's conditions, which stayed here, are evaluated when the validators are there.
#[test]
fn growing_response_is_cut_to_what_was_asked_for() {
    let response: [(&str, &[u8]); 4] = [
        ("ETag", b"\"v1\""),
        ("Content-Type", b"video/mp4"),
        ("Date", b"Sun, 09 Sep 2001 01:46:40 GMT"),
        ("Cache-Control", b"max-age=60"),
    ];
    let shaped = |method: &str, request: &[(&str, &[u8])], status, body_len| {
        let shape = relay::shape((method, request), (status, &response), body_len);
        let relay = Relay {
            status,
            shape: (&shape, body_len.unwrap_or(0)),
            fields: &response,
            via_version: "1.1",
            framing: BodyFraming::None,
            outcome: Outcome::local(0),
            ttl_s: None,
            detail: None,
            persistence: GOES_ON,
            now_ms: NOW_MS,
        };
        let mut out = Vec::new();
        relay::write_head(&mut out, &relay);
        let head = String::from_utf8(out).expect("text");
        (shape, head)
    };
    let range: (&str, &[u8]) = ("Range", b"bytes=10-19");
    let (shape, head) = shaped("GET", &[range], 200, Some(1000));
    assert_eq!(shape, Shape::Part(10..20));
    assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
    assert!(head.contains("Content-Range: bytes 10-19/1000\r\n"), "{head}");
    let (shape, head) = shaped("GET", &[("Range", b"bytes=1000-")], 200, Some(1000));
    assert_eq!(shape, Shape::Unsatisfiable);
    assert!(head.contains("Content-Range: bytes */1000\r\n") && !head.contains("video"), "{head}");
    let (shape, head) = shaped("GET", &[range, ("If-None-Match", b"\"v1\"")], 200, Some(1000));
    assert_eq!(shape, Shape::NotModified);
    assert!(head.contains("ETag") && !head.contains("Content-Type"), "{head}");
    for (method, request, status, body_len) in [
        ("HEAD", &[range][..], 200, Some(1000)),
        ("GET", &[range], 200, None),
        ("GET", &[range], 206, Some(10)),
        ("GET", &[range], 404, Some(1000)),
        ("GET", &[range, ("If-Range", b"\"v0\"")], 200, Some(1000)),
        ("GET", &[("If-None-Match", b"\"v0\"")], 200, Some(1000)),
    ] {
        let (shape, head) = shaped(method, request, status, body_len);
        assert_eq!(shape, Shape::Whole, "{method} {request:?} {status}");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
}
