//! Response heads, as the load generator reads them.

use std::format;
use std::string::String;

use super::{describe_framing, describe_reject};
use crate::{BodyFraming, Limits, Version, parse_response};

fn verdict(input: &[u8]) -> String {
    match parse_response(input, &Limits::default()) {
        Ok(None) => "more".into(),
        Ok(Some(head)) => format!(
            "{} {:?} {} fields={}{}",
            head.status,
            head.reason,
            describe_framing(head.framing(false)),
            head.fields.len(),
            if head.wants_close { " close" } else { "" }
        ),
        Err(reject) => describe_reject(reject),
    }
}

fn check(input: &[u8], expected: &str) {
    let shown = String::from_utf8_lossy(input);
    assert_eq!(verdict(input), expected, "for {shown:?}");
    for len in 0..input.len() {
        let cut = verdict(&input[..len]);
        assert!(cut == "more" || cut == expected, "{cut} for the first {len} bytes of {shown:?}");
    }
}

#[test]
fn responses_are_read() {
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "200 \"OK\" length=5 fields=1");
    check(b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", "200 \"\" chunked fields=1");
    check(b"HTTP/1.1 200\r\n\r\n", "200 \"\" until-close fields=0");
    check(b"HTTP/1.0 404 Not Found\r\n\r\n", "404 \"Not Found\" until-close fields=0 close");
    check(
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
        "200 \"OK\" length=0 fields=2",
    );
    check(
        b"HTTP/1.1 503 Busy now\r\nConnection: close\r\n\r\n",
        "503 \"Busy now\" until-close fields=1 close",
    );
}

#[test]
fn responses_without_body_have_none_whatever_their_fields_say() {
    for status in [100, 103, 199, 204, 304] {
        let input = format!("HTTP/1.1 {status} x\r\nContent-Length: 5\r\n\r\n");
        let head = parse_response(input.as_bytes(), &Limits::default()).unwrap().unwrap();
        assert_eq!(head.framing(false), BodyFraming::None, "{status}");
        assert_eq!(head.version, Version::Http11);
        assert_eq!(head.head_bytes, input.len());
    }
    let input = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let head = parse_response(input, &Limits::default()).unwrap().unwrap();
    assert_eq!(head.framing(true), BodyFraming::None);
    assert_eq!(head.framing(false), BodyFraming::Length(5));
}

#[test]
fn faulty_responses_are_refused() {
    let cases: &[(&[u8], &str)] = &[
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", "400 InvalidStatusLine"),
        (b"http/1.1 200 OK\r\n\r\n", "400 InvalidStatusLine"),
        (b"HTTP/1.1  200 OK\r\n\r\n", "400 InvalidStatusLine"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "400 InvalidStatusLine"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "400 InvalidStatusLine"),
        (b"HTTP/1.1 099 OK\r\n\r\n", "400 InvalidStatusLine"),
        (b"HTTP/1.1 600 OK\r\n\r\n", "400 InvalidStatusLine"),
        (b"HTTP/1.1 200 O\0K\r\n\r\n", "400 InvalidStatusLine"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "505 UnsupportedVersion"),
        (b"HTTP/1.1 200 OK\nA: b\r\n\r\n", "400 BareLf"),
        (b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", "400 BareCr"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "400 ObsFold"),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "400 SpaceBeforeColon"),
        (b"HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n", "400 InvalidFieldValue"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400 LengthAndCoding",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "400 RepeatedLength",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "400 ChunkedNotLast"),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "400 CodingInHttp10"),
    ];
    for (input, expected) in cases {
        check(input, expected);
    }
    let limits = Limits { head_bytes_max: 30, ..Limits::default() };
    let endless = b"HTTP/1.1 200 OK OK OK OK OK OK OK OK";
    let refused = parse_response(endless, &limits).unwrap_err();
    assert_eq!(describe_reject(refused), "431 HeadTooLarge");
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(101));
    check(many.as_bytes(), "431 TooManyFields");
}
