//! Heads and chunk headers as written (H1-6).

use std::vec::Vec;

use crate::emit::{CHUNK_HEADER_BYTES_MAX, HeadWriter, chunk_header, reason};

#[test]
fn response_head_is_written_in_order() {
    let mut out = b"before".to_vec();
    let mut head = HeadWriter::response(&mut out, 206);
    assert!(head.field("A", b"b"));
    assert!(head.raw_lines(b"C: d\r\nE: f\r\n"));
    assert!(head.raw_lines(b""));
    assert!(head.field_u64("Content-Length", u64::MAX));
    assert!(head.field_u64("Age", 0));
    assert!(head.line_with("G", |value| value.extend_from_slice(b"h; i=\"j\"")));
    assert!(head.field("Empty", b""));
    head.finish();
    let expected = b"beforeHTTP/1.1 206 Partial Content\r\nA: b\r\nC: d\r\nE: f\r\n\
        Content-Length: 18446744073709551615\r\nAge: 0\r\nG: h; i=\"j\"\r\nEmpty: \r\n\r\n";
    assert_eq!(std::str::from_utf8(&out), std::str::from_utf8(expected));
}

#[test]
fn lines_alone_have_neither_status_line_nor_end() {
    let mut out = Vec::new();
    let mut lines = HeadWriter::lines(&mut out);
    assert!(lines.field("A", b"b"));
    lines.finish();
    assert_eq!(out, b"A: b\r\n");
}

#[test]
fn what_would_end_a_line_is_left_out() {
    let mut out = Vec::new();
    let mut head = HeadWriter::response(&mut out, 200);
    for value in [&b"a\r\nB: c"[..], b"a\rb", b"a\nb", b"a\0b", b"\x1b", b"\x7F"] {
        assert!(!head.field("A", value), "{value:?}");
        assert!(!head.line_with("A", |out| out.extend_from_slice(value)), "{value:?}");
    }
    for name in ["", "A b", "A:", "A\r\nB", "\u{e4}", "A\0"] {
        assert!(!head.field(name, b"c"), "{name:?}");
        assert!(!head.field_u64(name, 1), "{name:?}");
    }
    for lines in [&b"A: b"[..], b"\r\n", b"\r\nA: b\r\n", b"A: b\r\n\r\n", b"A: b\n"] {
        assert!(!head.raw_lines(lines), "{lines:?}");
    }
    assert!(head.field("Tab", b"a\tb\xFF"));
    head.finish();
    assert_eq!(out, b"HTTP/1.1 200 OK\r\nTab: a\tb\xFF\r\n\r\n");
}

#[test]
fn closure_that_takes_bytes_away_writes_no_line() {
    let mut out = Vec::new();
    let mut head = HeadWriter::lines(&mut out);
    assert!(!head.line_with("A", |out| out.truncate(1)));
    assert!(head.field("B", b"c"));
    head.finish();
    assert_eq!(out, b"B: c\r\n");
}

#[test]
fn chunk_headers_are_the_shortest() {
    let mut line = [0; CHUNK_HEADER_BYTES_MAX];
    assert_eq!(chunk_header(0, &mut line), b"0\r\n");
    assert_eq!(chunk_header(0xF, &mut line), b"f\r\n");
    assert_eq!(chunk_header(0x10, &mut line), b"10\r\n");
    assert_eq!(chunk_header(0x3AB0, &mut line), b"3ab0\r\n");
    assert_eq!(chunk_header(u64::MAX, &mut line), b"ffffffffffffffff\r\n");
}

#[test]
fn reasons_are_found_for_registered_codes_only() {
    let known: Vec<u16> = (0..=u16::MAX).filter(|status| !reason(*status).is_empty()).collect();
    assert_eq!(known.len(), 60);
    assert_eq!(
        (reason(100), reason(416), reason(511)),
        ("Continue", "Range Not Satisfiable", "Network Authentication Required",)
    );
    // A status without a phrase still has its space (RFC 9112 section 4).
    let mut out = Vec::new();
    HeadWriter::response(&mut out, 299).finish();
    assert_eq!(out, b"HTTP/1.1 299 \r\n\r\n");
}
