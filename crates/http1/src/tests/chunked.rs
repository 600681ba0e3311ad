//! The chunked coding: bodies that are read, bodies that are refused, and both at every cut.

use std::format;
use std::string::String;
use std::vec::Vec;

use crate::{ChunkEvent, Chunked, Limits, Reject};

const LIMITS: Limits = Limits {
    head_bytes_max: 0,
    fields_max: 0,
    target_bytes_max: 0,
    chunk_line_bytes_max: 20,
    trailer_bytes_max: 40,
};

/// Feeds the pieces one after the other: body, bytes left over and whether it ended.
fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, usize, bool), Reject> {
    let mut decoder = Chunked::new();
    let (mut body, mut left) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let (consumed, event) = match decoder.decode(rest, &LIMITS) {
                Ok(step) => step,
                Err(reject) => {
                    // Refused once is refused for good.
                    assert_eq!(decoder.decode(b"0\r\n\r\n", &LIMITS), Err(reject));
                    return Err(reject);
                }
            };
            rest = &rest[consumed..];
            match event {
                ChunkEvent::Data(data) => body.extend_from_slice(data),
                ChunkEvent::NeedMore => break,
                ChunkEvent::End => {
                    assert!(decoder.is_done());
                    left += rest.len();
                    break;
                }
            }
        }
    }
    Ok((body, left, decoder.is_done()))
}

fn verdict(pieces: &[&[u8]]) -> String {
    match decode(pieces) {
        Ok((body, left, true)) => format!("{:?} end, {left} left", String::from_utf8_lossy(&body)),
        Ok((body, _, false)) => format!("{:?} more", String::from_utf8_lossy(&body)),
        Err(reject) => format!("{} {reject:?}", reject.status()),
    }
}

fn check(input: &[u8], expected: &str) {
    let shown = String::from_utf8_lossy(input);
    assert_eq!(verdict(&[input]), expected, "for {shown:?}");
    for cut in 0..=input.len() {
        let (front, back) = input.split_at(cut);
        assert_eq!(verdict(&[front, back]), expected, "{shown:?} cut at {cut}");
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(verdict(&bytes), expected, "{shown:?} byte by byte");
}

#[test]
fn bodies_are_read() {
    let cases: &[(&[u8], &str)] = &[
        (b"0\r\n\r\n", "\"\" end, 0 left"),
        (b"0\r\n\r\nGET / HTTP/1.1", "\"\" end, 14 left"),
        (b"5\r\nhello\r\n0\r\n\r\n", "\"hello\" end, 0 left"),
        (b"5\r\nhello\r\n00006\r\n world\r\n000\r\n\r\nx", "\"hello world\" end, 1 left"),
        (
            b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
            "\"01234567890123456789\" end, 0 left",
        ),
        (b"2\r\n\r\n\r\n0\r\n\r\n", "\"\\r\\n\" end, 0 left"),
        (b"0000000000000001\r\nx\r\n0\r\n\r\n", "\"x\" end, 0 left"),
        (b"ffffffffffffffff\r\nabc", "\"abc\" more"),
        (b"5\r\nhel", "\"hel\" more"),
        (b"", "\"\" more"),
    ];
    for (input, expected) in cases {
        check(input, expected);
    }
}

#[test]
fn extensions_are_passed_over() {
    let cases: &[(&[u8], &str)] = &[
        (b"1;a\r\nx\r\n0;b=c\r\n\r\n", "\"x\" end, 0 left"),
        (b"1;a=\"b;c\xFF\t\"\r\nx\r\n0\r\n\r\n", "\"x\" end, 0 left"),
        (b"1 \t;a\r\nx\r\n0 ; b\r\n\r\n", "\"x\" end, 0 left"),
    ];
    for (input, expected) in cases {
        check(input, expected);
    }
}

#[test]
fn trailers_are_checked_and_dropped() {
    let cases: &[(&[u8], &str)] = &[
        (b"0\r\nA: b\r\n\r\nx", "\"\" end, 1 left"),
        (b"0\r\nA:\r\nB:\tc \xFF\r\n\r\n", "\"\" end, 0 left"),
        (b"0\r\nContent-Length: 5\r\n\r\n", "\"\" end, 0 left"),
        (b"0\r\nA : b\r\n\r\n", "400 InvalidTrailer"),
        (b"0\r\n: b\r\n\r\n", "400 InvalidTrailer"),
        (b"0\r\n A: b\r\n\r\n", "400 InvalidTrailer"),
        (b"0\r\nA: b\r\n c\r\n\r\n", "400 InvalidTrailer"),
        (b"0\r\nA\r\n\r\n", "400 InvalidTrailer"),
        (b"0\r\nA: \0\r\n\r\n", "400 InvalidTrailer"),
        (b"0\r\nA\xFF: b\r\n\r\n", "400 InvalidTrailer"),
        (b"0\r\nA: b\n\r\n", "400 BareLf"),
        (b"0\r\nA\n: b\r\n\r\n", "400 BareLf"),
        (b"0\r\n\n", "400 BareLf"),
        (b"0\r\nA: b\rc\r\n\r\n", "400 BareCr"),
        (b"0\r\n\rx", "400 BareCr"),
    ];
    for (input, expected) in cases {
        check(input, expected);
    }
}

#[test]
fn faulty_framing_is_refused() {
    let cases: &[(&[u8], &str)] = &[
        (b"\r\n", "400 InvalidChunkSize"),
        (b"x\r\n", "400 InvalidChunkSize"),
        (b"0x5\r\nhello\r\n", "400 InvalidChunkSize"),
        (b"+5\r\nhello\r\n", "400 InvalidChunkSize"),
        (b"-1\r\n", "400 InvalidChunkSize"),
        (b" 5\r\nhello\r\n", "400 InvalidChunkSize"),
        (b";a\r\n", "400 InvalidChunkSize"),
        (b"5g\r\n", "400 InvalidChunkSize"),
        (b"5\0\r\n", "400 InvalidChunkSize"),
        (b"5_0\r\n", "400 InvalidChunkSize"),
        (b"\xEF\xBC\x95\r\n", "400 InvalidChunkSize"),
        (b"00000000000000001\r\n", "400 ChunkSizeOverflow"),
        (b"10000000000000000\r\n", "400 ChunkSizeOverflow"),
        (b"5 \r\nhello\r\n", "400 InvalidChunkExtension"),
        (b"5 5\r\nhello\r\n", "400 InvalidChunkExtension"),
        (b"5;a\0\r\nhello\r\n", "400 InvalidChunkExtension"),
        (b"5;a\x7F\r\nhello\r\n", "400 InvalidChunkExtension"),
        (b"5\nhello\r\n", "400 BareLf"),
        (b"\n", "400 BareLf"),
        (b"5 \nhello\r\n", "400 BareLf"),
        (b"5;a\nhello\r\n", "400 BareLf"),
        (b"5\rhello\r\n", "400 BareCr"),
        (b"5;a\rb\r\nhello\r\n", "400 BareCr"),
        (b"5\r\r\nhello\r\n", "400 BareCr"),
        (b"5\r\nhello0\r\n\r\n", "400 InvalidChunkEnd"),
        (b"5\r\nhello\n0\r\n\r\n", "400 InvalidChunkEnd"),
        (b"5\r\nhello\rx", "400 InvalidChunkEnd"),
        (b"4\r\nhello\r\n", "400 InvalidChunkEnd"),
        (b"6\r\nhello\r\n0\r\n\r\n", "400 InvalidChunkEnd"),
    ];
    for (input, expected) in cases {
        check(input, expected);
    }
}

#[test]
fn lines_and_trailers_are_bounded() {
    // 20 bytes of size line, without its line end.
    check(b"1;345678901234567890\r\nx\r\n0\r\n\r\n", "\"x\" end, 0 left");
    check(b"1;3456789012345678901\r\nx\r\n0\r\n\r\n", "400 ChunkLineTooLong");
    check(b"1                   ;\r\n", "400 ChunkLineTooLong");
    // 40 bytes of trailers, with all their line ends.
    let trailers = |value_len: usize| {
        let value = "v".repeat(value_len);
        format!("0\r\nA: {value}\r\nB: c\r\n\r\n").into_bytes()
    };
    check(&trailers(40 - 13), "\"\" end, 0 left");
    check(&trailers(41 - 13), "431 TrailersTooLarge");
    // Extensions of one chunk do not count for the next.
    let many = [b"1;345678901234567890\r\nx\r\n".repeat(50), b"0\r\n\r\n".to_vec()].concat();
    check(&many, &format!("{:?} end, 0 left", "x".repeat(50)));
}

#[test]
fn data_is_handed_out_in_place() {
    let input = b"5\r\nhello\r\n0\r\n\r\n";
    let mut decoder = Chunked::default();
    assert_eq!(decoder.decode(input, &LIMITS), Ok((8, ChunkEvent::Data(&input[3..8]))));
    assert_eq!(decoder.decode(&input[8..], &LIMITS), Ok((7, ChunkEvent::End)));
    assert_eq!(decoder.decode(b"next", &LIMITS), Ok((0, ChunkEvent::End)));
}

/// Every state × every class of byte, as a table to be read.
#[test]
fn product_of_states_and_bytes() {
    let states: &[(&str, &[u8])] = &[
        ("Size, no digit", b""),
        ("Size", b"1"),
        ("SizeSpace", b"1 "),
        ("Extension", b"1;a"),
        ("SizeLf", b"1\r"),
        ("Data", b"1\r\n"),
        ("DataCr", b"1\r\nx"),
        ("DataLf", b"1\r\nx\r"),
        ("TrailerStart", b"0\r\n"),
        ("TrailerName", b"0\r\nA"),
        ("TrailerValue", b"0\r\nA:"),
        ("TrailerLf", b"0\r\nA:\r"),
        ("EndLf", b"0\r\n\r"),
        ("Done", b"0\r\n\r\n"),
        ("Failed", b"x"),
    ];
    let bytes = [
        ("CR", b'\r'),
        ("LF", b'\n'),
        ("digit", b'5'),
        ("letter", b'x'),
        (";", b';'),
        (":", b':'),
        ("space", b' '),
        ("control", 0),
        ("above 0x7F", 0xFF),
    ];
    let mut table = String::new();
    for (state, prefix) in states {
        table.push_str(&format!("{state}\n"));
        for (class, byte) in bytes {
            table.push_str(&format!("  {class:<11}{}\n", step(prefix, byte)));
        }
    }
    insta::assert_snapshot!(table);
}

/// What `byte` does behind `prefix`.
fn step(prefix: &[u8], byte: u8) -> String {
    let mut decoder = Chunked::new();
    let mut rest = prefix;
    while let Ok((consumed, ChunkEvent::Data(_))) = decoder.decode(rest, &LIMITS) {
        rest = &rest[consumed..];
    }
    let input = [byte];
    let outcome = decoder.decode(&input, &LIMITS);
    let shown = format!("{decoder:?}");
    let state = shown.split("state: ").nth(1).unwrap().trim_end_matches([' ', '}']);
    match outcome {
        Ok((1, ChunkEvent::Data(_))) => format!("data, {state}"),
        Ok((1, _)) => String::from(state),
        Ok((used, _)) => format!("{state}, {used} used"),
        Err(reject) => format!("refused: {reject:?}"),
    }
}
