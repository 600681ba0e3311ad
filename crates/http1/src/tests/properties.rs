//! Round trips over generated heads and bodies, and the invariants over arbitrary bytes.

use std::format;
use std::string::String;
use std::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::emit::{self, CHUNK_HEADER_BYTES_MAX, HeadWriter};
use crate::fuzzing::{fuzz_chunked, fuzz_head};
use crate::target::normalise;
use crate::{BodyFraming, ChunkEvent, Chunked, Limits, parse_request, parse_response};

/// A field that has no meaning for framing and routing.
fn field() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = "X[-!#$%&'*+.^_`|~A-Za-z0-9]{0,20}";
    let value = vec(prop_oneof![8 => 0x21..=0x7Eu8, 1 => Just(b' '), 1 => 0x80..=0xFFu8], 0..40);
    (name, value.prop_map(|value| value.trim_ascii().to_vec()))
}

/// Bytes that look like HTTP often enough to get somewhere.
fn almost_http() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Just(b"Host: a\r\n".to_vec()),
        Just(b"Content-Length: 3\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"Connection: close\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"3\r\nabc\r\n".to_vec()),
        Just(b"0\r\n".to_vec()),
        "[ -~]{0,12}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn written_fields_are_read_again(fields in vec(field(), 0..40)) {
        let mut out = Vec::new();
        let mut head = HeadWriter::response(&mut out, 200);
        for (name, value) in &fields {
            prop_assert!(head.field(name, value));
        }
        head.finish();
        let head = parse_response(&out, &Limits::default()).unwrap().unwrap();
        prop_assert_eq!(head.head_bytes, out.len());
        let read = head.fields.iter().map(|(name, value)| (String::from(*name), value.to_vec()));
        let read: Vec<_> = read.collect();
        prop_assert_eq!(read, fields);
    }

    #[test]
    fn generated_requests_are_read_whole_at_any_cut(
        path in "/[a-zA-Z0-9/%._~-]{0,60}",
        host in "[a-z][a-z0-9.-]{0,20}(:[0-9]{1,4})?",
        fields in vec(field(), 0..20),
        length in any::<u64>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut input =
            format!("PUT {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n")
                .into_bytes();
        for (name, value) in &fields {
            input.extend_from_slice(name.as_bytes());
            input.extend_from_slice(b":");
            input.extend_from_slice(value);
            input.extend_from_slice(b"\r\n");
        }
        input.extend_from_slice(b"\r\n");
        let head = parse_request(&input, &Limits::default()).unwrap().unwrap();
        prop_assert_eq!(head.target.raw, path);
        prop_assert_eq!(head.target.authority, host);
        prop_assert_eq!(head.framing, BodyFraming::Length(length));
        prop_assert_eq!(head.fields.len(), fields.len() + 2);
        prop_assert_eq!(head.head_bytes, input.len());
        let part = &input[..cut.index(input.len())];
        prop_assert_eq!(parse_request(part, &Limits::default()), Ok(None));
    }

    #[test]
    fn chunked_bodies_are_read_again_at_any_cut(
        pieces in vec(vec(any::<u8>(), 1..300), 0..8),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut encoded = Vec::new();
        for piece in &pieces {
            let mut line = [0; CHUNK_HEADER_BYTES_MAX];
            encoded.extend_from_slice(emit::chunk_header(piece.len() as u64, &mut line));
            encoded.extend_from_slice(piece);
            encoded.extend_from_slice(emit::CRLF);
        }
        encoded.extend_from_slice(emit::LAST_CHUNK);
        let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut.index(encoded.len())).collect();
        bounds.extend([0, encoded.len()]);
        bounds.sort_unstable();
        let mut decoder = Chunked::new();
        let mut body = Vec::new();
        for window in bounds.windows(2) {
            let mut rest = &encoded[window[0]..window[1]];
            loop {
                let (consumed, event) = decoder.decode(rest, &Limits::default()).unwrap();
                rest = &rest[consumed..];
                match event {
                    ChunkEvent::Data(data) => body.extend_from_slice(data),
                    ChunkEvent::NeedMore | ChunkEvent::End => break,
                }
            }
        }
        prop_assert!(decoder.is_done());
        prop_assert_eq!(body, pieces.concat());
    }

    #[test]
    fn normal_form_is_its_own_normal_form(path in "(/|//|\\.|%2[eEfF]|%[46]1|[a-c?]){0,30}") {
        let input = format!("GET /{path} HTTP/1.1\r\nHost: A:080\r\n\r\n");
        let head = parse_request(input.as_bytes(), &Limits::default()).unwrap().unwrap();
        let mut once = Vec::new();
        normalise(&head.target, 80, &mut once).unwrap();
        let text = String::from_utf8(once.clone()).unwrap();
        let again = format!("GET http://{text} HTTP/1.1\r\nHost: x\r\n\r\n");
        let head = parse_request(again.as_bytes(), &Limits::default()).unwrap().unwrap();
        let mut twice = Vec::new();
        normalise(&head.target, 80, &mut twice).unwrap();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn invariants_hold_for_any_bytes(input in vec(any::<u8>(), 0..200)) {
        fuzz_head(&input);
        fuzz_chunked(&input);
    }

    #[test]
    fn invariants_hold_for_what_is_almost_http(input in almost_http()) {
        fuzz_head(&input);
        fuzz_chunked(&input);
    }
}
