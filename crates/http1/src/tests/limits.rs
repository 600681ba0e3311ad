//! The last byte allowed is allowed, the one beyond is refused as soon as it is seen (H1-4).

use std::string::String;
use std::time::Instant;
use std::vec::Vec;

use super::{check_with, verdict};
use crate::{FIELDS_MAX, Limits, METHOD_BYTES_MAX, parse_request};

fn head_of(bytes: usize) -> Vec<u8> {
    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    head.resize(bytes - 4, b'x');
    head.extend_from_slice(b"\r\n\r\n");
    head
}

#[test]
fn head_of_the_largest_size_is_read_and_one_byte_more_is_not() {
    let limits = Limits { head_bytes_max: 1000, ..Limits::default() };
    check_with(&head_of(1000), &limits, "GET origin [a] / 1.1 none fields=2");
    check_with(&head_of(1001), &limits, "431 HeadTooLarge");
    // Refused with the byte that leaves no room for the end, not one later.
    assert_eq!(verdict(&head_of(2000)[..999], &limits), "more");
    assert_eq!(verdict(&head_of(2000)[..1000], &limits), "431 HeadTooLarge");
    // The empty line before the head counts.
    let with_empty_line = [b"\r\n".as_slice(), &head_of(998)].concat();
    check_with(&with_empty_line, &limits, "GET origin [a] / 1.1 none fields=2");
    let with_empty_line = [b"\r\n".as_slice(), &head_of(999)].concat();
    check_with(&with_empty_line, &limits, "431 HeadTooLarge");
}

#[test]
fn target_of_the_largest_size_is_read_and_one_byte_more_is_not() {
    let limits = Limits { target_bytes_max: 100, ..Limits::default() };
    let request = |len: usize| {
        let path: String = std::iter::repeat_n('p', len - 1).collect();
        (std::format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n"), path)
    };
    let (input, path) = request(100);
    let expected = std::format!("GET origin [a] /{path} 1.1 none fields=1");
    check_with(input.as_bytes(), &limits, &expected);
    check_with(request(101).0.as_bytes(), &limits, "414 TargetTooLong");
    check_with(request(5000).0.as_bytes(), &limits, "414 TargetTooLong");
    // An endless first line is refused once it can be nothing else, and long before the head's end.
    let endless = std::vec![b'a'; 100 + METHOD_BYTES_MAX + 11];
    assert_eq!(verdict(&endless, &limits), "414 TargetTooLong");
    assert_eq!(verdict(&endless[1..], &limits), "more");
    // A head limit that ends within the request line says 414 too.
    let small = Limits { head_bytes_max: 50, ..Limits::default() };
    check_with(&std::vec![b'a'; 60], &small, "414 TargetTooLong");
}

#[test]
fn fields_up_to_the_limit_are_read_and_one_more_is_not() {
    let request = |fields: usize| {
        let lines = "X: y\r\n".repeat(fields - 1);
        std::format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
    };
    let limits = Limits { fields_max: 5, ..Limits::default() };
    check_with(&request(5), &limits, "GET origin [a] / 1.1 none fields=5");
    check_with(&request(6), &limits, "431 TooManyFields");
    // The hard cap holds whatever the limit says.
    let limits = Limits { fields_max: usize::MAX, ..Limits::default() };
    let expected = std::format!("GET origin [a] / 1.1 none fields={FIELDS_MAX}");
    check_with(&request(FIELDS_MAX), &limits, &expected);
    check_with(&request(FIELDS_MAX + 1), &limits, "431 TooManyFields");
}

#[test]
fn limits_of_nothing_refuse_everything() {
    let limits = Limits {
        head_bytes_max: 0,
        fields_max: 0,
        target_bytes_max: 0,
        chunk_line_bytes_max: 0,
        trailer_bytes_max: 0,
    };
    check_with(b"GET / HTTP/1.1\r\n\r\n", &limits, "414 TargetTooLong");
    check_with(b"\r\nGET / HTTP/1.1\r\n\r\n", &limits, "414 TargetTooLong");
    assert!(crate::Chunked::new().decode(b"0", &limits).is_err());
}

/// A sender of one byte at a time costs no more than a scan of what it has sent.
#[test]
fn head_sent_byte_by_byte_does_not_cost_a_parse_each() {
    let limits = Limits::default();
    let head = head_of(limits.head_bytes_max);
    let began = Instant::now();
    for len in 0..head.len() {
        assert!(parse_request(&head[..len], &limits).unwrap().is_none());
    }
    // Some 0.1 s in a release build; generous for an unoptimised one on a loaded machine.
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    assert!(parse_request(&head, &limits).unwrap().is_some());
}
