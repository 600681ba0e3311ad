//! Requests that are refused, and by which rule (H1-1, H1-3).

use std::collections::BTreeSet;
use std::string::ToString;

use super::check;
use crate::Reject;

#[test]
fn lines_end_with_crlf_and_nothing_else() {
    let cases: &[(&[u8], &str)] = &[
        (b"GET / HTTP/1.1\nHost: a\n\n", "400 BareLf"),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", "400 BareLf"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", "400 BareLf"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\nY: c\r\n\r\n", "400 BareLf"),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 BareLf"),
        (b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 BareLf"),
        (b"GET / HTTP/1.1\rHost: a\r\n\r\n", "400 BareCr"),
        (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "400 BareCr"),
        (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", "400 BareCr"),
        (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "400 BareCr"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", "400 BareCr"),
        (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 BareCr"),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 EmptyLines"),
        (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 LeadingWhitespace"),
        (b"\r\n\tGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 LeadingWhitespace"),
    ];
    for (input, expected) in cases {
        check(input, expected);
    }
}

#[test]
fn folded_and_indented_fields_are_refused() {
    check(b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", "400 ObsFold");
    check(b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n", "400 ObsFold");
    check(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400 ObsFold");
    check(b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", "400 ObsFold");
}

#[test]
fn request_line_is_three_parts_with_one_space_between() {
    let cases: &[(&[u8], &str)] = &[
        (b"GET", "400 InvalidRequestLine"),
        (b"GET /", "400 InvalidRequestLine"),
        (b"GET / ", "400 InvalidRequestLine"),
        (b"GET  / HTTP/1.1", "400 InvalidRequestLine"),
        (b"GET /  HTTP/1.1", "400 InvalidRequestLine"),
        (b"GET / HTTP/1.1 ", "400 InvalidRequestLine"),
        (b"GET / x HTTP/1.1", "400 InvalidRequestLine"),
        (b"GET\t/ HTTP/1.1", "400 InvalidMethod"),
        (b"GET /\tHTTP/1.1", "400 InvalidRequestLine"),
        (b"GET / http/1.1", "400 InvalidRequestLine"),
        (b"GET / HTTP/1.1x", "400 InvalidRequestLine"),
        (b"GET / HTTP/1", "400 InvalidRequestLine"),
        (b"GET / HTTP/11", "400 InvalidRequestLine"),
        (b"GET / HTTPS/1.1", "400 InvalidRequestLine"),
        (b"GET / HTTP/01.1", "400 InvalidRequestLine"),
        (b"GET / HTTP/0.9", "505 UnsupportedVersion"),
        (b"GET / x HTTP/1.2", "400 InvalidRequestLine"),
        (b"GET  HTTP/1.2", "400 InvalidRequestLine"),
        (b"GET /\xC3\xA4 HTTP/1.2", "400 InvalidTarget"),
        (b"GET /\xFF HTTP/1.2", "400 InvalidTarget"),
        (b"G(T / HTTP/1.2", "400 InvalidMethod"),
        (b"GET / HTTP/2.0", "505 UnsupportedVersion"),
        (b"PRI * HTTP/2.0", "505 UnsupportedVersion"),
        (b"G(T / HTTP/1.1", "400 InvalidMethod"),
        (b"(GET / HTTP/1.1", "400 InvalidMethod"),
        (b"G\0T / HTTP/1.1", "400 InvalidMethod"),
        (b"G\xC3\x84T / HTTP/1.1", "400 InvalidMethod"),
        (b"\x16\x03\x01\x02\x00", "400 InvalidMethod"),
        (b"METHOD-OF-THIRTY-TWO-BYTES-AND-1 / HTTP/2.0", "505 UnsupportedVersion"),
        (b"METHOD-OF-THIRTY-TWO-BYTES-AND-ON / HTTP/1.1", "501 MethodTooLong"),
    ];
    for (line, expected) in cases {
        check(&[line, b"\r\nHost: a\r\n\r\n".as_slice()].concat(), expected);
    }
}

#[test]
fn targets_are_visible_ascii_without_fragment() {
    let cases: &[(&[u8], &str)] = &[
        (b"/a#b", "400 FragmentInTarget"),
        (b"/#", "400 FragmentInTarget"),
        (b"http://b/#x", "400 FragmentInTarget"),
        (b"/\x01", "400 InvalidTarget"),
        (b"/\0", "400 InvalidTarget"),
        (b"/\x7F", "400 InvalidTarget"),
        (b"/\t", "400 InvalidTarget"),
        (b"/\xC3\xA4", "400 InvalidTarget"),
        (b"/\xFF", "400 InvalidTarget"),
        (b"/\xFF#", "400 InvalidTarget"),
    ];
    for (target, expected) in cases {
        check(&[b"GET ", *target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat(), expected);
    }
}

#[test]
fn target_forms_fit_their_methods() {
    let cases = [
        ("GET *", "400 MismatchedTargetForm"),
        ("OPTIONS **", "400 MismatchedTargetForm"),
        ("GET b:80", "400 MismatchedTargetForm"),
        ("GET b", "400 MismatchedTargetForm"),
        ("GET ?q", "400 MismatchedTargetForm"),
        ("GET http:/b/", "400 MismatchedTargetForm"),
        ("GET ftp://b/", "400 UnknownScheme"),
        ("GET ://b/", "400 UnknownScheme"),
        ("GET file:///etc", "400 UnknownScheme"),
        ("GET http://", "400 InvalidAuthority"),
        ("GET http:///p", "400 InvalidAuthority"),
        ("GET http://u@b/", "400 InvalidAuthority"),
        ("GET http://u:p@b/", "400 InvalidAuthority"),
        ("GET http://b:x/", "400 InvalidAuthority"),
        ("GET http://b%2e/", "400 InvalidAuthority"),
        ("CONNECT /", "400 MismatchedTargetForm"),
        ("CONNECT *", "400 MismatchedTargetForm"),
        ("CONNECT http://b:80/", "400 MismatchedTargetForm"),
        ("CONNECT b", "400 InvalidAuthority"),
        ("CONNECT b:", "400 InvalidAuthority"),
        ("CONNECT :80", "400 InvalidAuthority"),
        ("CONNECT b:65536", "400 InvalidAuthority"),
        ("CONNECT u@b:80", "400 InvalidAuthority"),
    ];
    for (start, expected) in cases {
        check(std::format!("{start} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(), expected);
    }
}

#[test]
fn host_is_there_once_and_valid() {
    check(b"GET / HTTP/1.1\r\n\r\n", "400 MissingHost");
    check(b"GET http://b/ HTTP/1.1\r\n\r\n", "400 MissingHost");
    check(b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400 RepeatedHost");
    check(b"GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", "400 RepeatedHost");
    for host in [
        "",
        " ",
        "a b",
        "a,b",
        "u@a",
        "u:p@a",
        "a/b",
        "a:b",
        "a:+1",
        "a:80:80",
        "a:65536",
        "a:000080",
        ":80",
        "a%41",
        "a?b",
        "a#b",
        "a\\b",
        "[::1",
        "::1",
        "[::1]x",
        "[::1]:x",
        "[fe80::1%25eth0]",
        "[v1.a]",
        "[1.2.3.4]",
        "a;b",
        "http://a",
        "a\u{e4}",
        "a\"b",
        "*",
    ] {
        check(std::format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(), "400 InvalidHost");
        // Also where the absolute form would outrank it, and in HTTP/1.0.
        let input = std::format!("GET http://b/ HTTP/1.0\r\nHost: {host}\r\n\r\n");
        check(input.as_bytes(), "400 InvalidHost");
    }
    let long = std::format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(256));
    check(long.as_bytes(), "400 InvalidHost");
}

#[test]
fn field_lines_are_a_token_a_colon_and_a_clean_value() {
    let cases: &[(&[u8], &str)] = &[
        (b"X : b", "400 SpaceBeforeColon"),
        (b"X\t: b", "400 SpaceBeforeColon"),
        (b"Content-Length : 5", "400 SpaceBeforeColon"),
        (b": b", "400 InvalidFieldName"),
        (b"X", "400 InvalidFieldName"),
        (b"X b", "400 InvalidFieldName"),
        (b"X y: b", "400 InvalidFieldName"),
        (b"X(y): b", "400 InvalidFieldName"),
        (b"X\0: b", "400 InvalidFieldName"),
        (b"X\xC3\xA4: b", "400 InvalidFieldName"),
        (b"\"X\": b", "400 InvalidFieldName"),
        (b"X\x0b: b", "400 InvalidFieldName"),
        (b"X: b\0", "400 InvalidFieldValue"),
        (b"X: \x01", "400 InvalidFieldValue"),
        (b"X: b\x0bc", "400 InvalidFieldValue"),
        (b"X: b\x1b[0m", "400 InvalidFieldValue"),
        (b"X: b\x7F", "400 InvalidFieldValue"),
        (b"X:\x0c5", "400 InvalidFieldValue"),
    ];
    for (line, expected) in cases {
        let input = [b"GET / HTTP/1.1\r\nHost: a\r\n", *line, b"\r\n\r\n"].concat();
        check(&input, expected);
        let input = [b"GET / HTTP/1.1\r\n", *line, b"\r\nHost: a\r\n\r\n"].concat();
        check(&input, expected);
    }
}

#[test]
fn framing_has_one_reading() {
    let cases: &[(&[u8], &str)] = &[
        // RFC 9112 section 6.3 rule 3.
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked", "400 LengthAndCoding"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5", "400 LengthAndCoding"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 0", "400 LengthAndCoding"),
        // RFC 9110 section 8.6.
        (b"Content-Length: 5\r\nContent-Length: 6", "400 RepeatedLength"),
        (b"Content-Length: 5\r\nContent-Length: 5", "400 RepeatedLength"),
        (b"Content-Length: 5, 5", "400 RepeatedLength"),
        (b"Content-Length: 5,", "400 RepeatedLength"),
        (b"Content-Length:", "400 InvalidLength"),
        (b"Content-Length: +5", "400 InvalidLength"),
        (b"Content-Length: -5", "400 InvalidLength"),
        (b"Content-Length: 5 5", "400 InvalidLength"),
        (b"Content-Length: 0x5", "400 InvalidLength"),
        (b"Content-Length: 5.0", "400 InvalidLength"),
        (b"Content-Length: \"5\"", "400 InvalidLength"),
        (b"Content-Length: \xD9\xA5", "400 InvalidLength"),
        (b"Content-Length: 18446744073709551616", "400 LengthOverflow"),
        (b"Content-Length: 99999999999999999999999999", "400 LengthOverflow"),
        // RFC 9112 sections 6.1 and 6.3 rule 4.
        (b"Transfer-Encoding: gzip", "400 ChunkedNotLast"),
        (b"Transfer-Encoding: identity", "400 ChunkedNotLast"),
        (b"Transfer-Encoding: chunked, gzip", "400 ChunkedNotLast"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip", "400 ChunkedNotLast"),
        (b"Transfer-Encoding: chunked, chunked", "400 ChunkedRepeated"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "400 ChunkedRepeated"),
        (b"Transfer-Encoding: gzip, chunked", "501 UnknownCoding"),
        (b"Transfer-Encoding: x;a=b\r\nTransfer-Encoding: chunked", "501 UnknownCoding"),
        (b"Transfer-Encoding:", "400 InvalidCoding"),
        (b"Transfer-Encoding: chunked,", "400 InvalidCoding"),
        (b"Transfer-Encoding: , chunked", "400 InvalidCoding"),
        (b"Transfer-Encoding: chunked;a=b", "400 InvalidCoding"),
        (b"Transfer-Encoding: chunked ;", "400 InvalidCoding"),
        (b"Transfer-Encoding: \"chunked\"", "400 InvalidCoding"),
        (b"Transfer-Encoding: chunked chunked", "400 InvalidCoding"),
        (b"Transfer-Encoding: x;a=\"b,chunked\"", "400 InvalidCoding"),
        (b"Transfer-Encoding: xchunked", "400 ChunkedNotLast"),
        (b"Transfer-Encoding: \xFFchunked", "400 InvalidCoding"),
    ];
    for (lines, expected) in cases {
        let input = [b"POST / HTTP/1.1\r\nHost: a\r\n", *lines, b"\r\n\r\n"].concat();
        check(&input, expected);
    }
    check(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400 CodingInHttp10");
}

#[test]
fn connection_names_no_framing_and_nothing_but_options() {
    for (value, expected) in [
        ("close, Content-Length", "400 FramingInConnection"),
        ("Transfer-Encoding", "400 FramingInConnection"),
        ("host", "400 FramingInConnection"),
        ("clo se", "400 InvalidConnection"),
        ("close;a", "400 InvalidConnection"),
        ("\"close\"", "400 InvalidConnection"),
    ] {
        let input = std::format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {value}\r\n\r\n");
        check(input.as_bytes(), expected);
    }
}

#[test]
fn unknown_expectations_are_refused() {
    for value in ["", "200-ok", "100-continue, x", "100-continue\r\nExpect: x"] {
        let input = std::format!("GET / HTTP/1.1\r\nHost: a\r\nExpect: {value}\r\n\r\n");
        check(input.as_bytes(), "417 UnknownExpectation");
    }
}

#[test]
fn every_reject_has_a_status_a_clause_and_a_sentence_of_its_own() {
    let mut sentences = BTreeSet::new();
    for reject in Reject::ALL {
        assert!(matches!(reject.status(), 400 | 414 | 417 | 431 | 501 | 505), "{reject:?}");
        assert!(!crate::emit::reason(reject.status()).is_empty());
        let clause = reject.clause();
        assert!(clause.starts_with("RFC 91") || clause.starts_with("limits."), "{reject:?}");
        let text = reject.to_string();
        assert!(text.ends_with(&std::format!(" ({clause})")), "{text}");
        assert!(!text.contains(['\r', '\n']), "{text}");
        assert!(sentences.insert(text), "{reject:?}");
    }
}
