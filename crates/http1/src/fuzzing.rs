//! Entry points of the fuzz targets: any bytes go in, the invariants are asserted. The committed
//! corpus runs through them in the ordinary tests too.

use alloc::vec::Vec;

use crate::emit::{self, CHUNK_HEADER_BYTES_MAX, HeadWriter};
use crate::{BodyFraming, ChunkEvent, Chunked, Limits, Reject, target};
use crate::{RequestHead, parse_request, parse_response};

/// Parses `input` as a request and as a response, whole and cut, and writes again what was read
/// (H1-2 to H1-7).
pub fn fuzz_head(input: &[u8]) {
    for limits in [Limits::default(), small_limits()] {
        let whole = parse_request(input, &limits);
        for cut in cuts(input) {
            match parse_request(cut, &limits) {
                Ok(None) => {}
                verdict => assert_eq!(verdict, whole, "a prefix was judged unlike the whole"),
            }
        }
        if let Ok(Some(head)) = &whole {
            check_request(input, head, &limits);
        }
        let whole = parse_response(input, &limits);
        for cut in cuts(input) {
            match parse_response(cut, &limits) {
                Ok(None) => {}
                verdict => assert_eq!(verdict, whole, "a prefix was judged unlike the whole"),
            }
        }
        if let Ok(Some(head)) = &whole {
            check_fields(&head.fields, &limits);
            assert!(head.head_bytes <= limits.head_bytes_max);
            assert!(head.framing(true) == BodyFraming::None);
        }
    }
}

/// Decodes `input` as a chunked body, whole and cut; what it decoded to is encoded and decoded
/// again (H1-2, H1-4).
pub fn fuzz_chunked(input: &[u8]) {
    let limits = Limits { chunk_line_bytes_max: 24, trailer_bytes_max: 64, ..Limits::default() };
    let whole = decode_all(&[input], &limits);
    for cut in cuts(input) {
        let (front, back) = input.split_at_checked(cut.len()).unwrap_or((input, &[]));
        assert_eq!(decode_all(&[front, back], &limits), whole, "a cut changed the verdict");
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(decode_all(&bytes, &limits), whole, "byte by byte differs from the whole");
    if let Ok((body, consumed, _)) = &whole {
        assert!(*consumed <= input.len() && body.len() <= *consumed);
        let encoded = encode(body);
        let decoded = decode_all(&[&encoded, b"next"], &limits);
        assert_eq!(decoded, Ok((body.clone(), encoded.len(), true)), "round trip");
    }
}

fn check_request(input: &[u8], head: &RequestHead<'_>, limits: &Limits) {
    assert!(head.head_bytes <= limits.head_bytes_max.min(input.len()));
    assert!(input.get(..head.head_bytes).is_some_and(|bytes| bytes.ends_with(b"\r\n\r\n")));
    assert!(head.framing != BodyFraming::UntilClose);
    assert!(head.target.raw.len() <= limits.target_bytes_max);
    assert!(head.target.raw.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
    check_fields(&head.fields, limits);
    check_normal_form(&head.target);
}

/// The written fields are the read ones.
fn check_fields(fields: &[crate::Field<'_>], limits: &Limits) {
    assert!(fields.len() <= limits.fields_max);
    let mut out = Vec::new();
    let mut writer = HeadWriter::response(&mut out, 200);
    for (name, value) in fields {
        assert!(writer.field(name, value), "a field that was read cannot be written");
    }
    writer.finish();
    let again = parse_response(&out, &Limits::default());
    let is_same = match &again {
        Ok(Some(head)) => *head.fields == *fields && head.head_bytes == out.len(),
        // The rules for responses, and the larger head.
        Err(Reject::HeadTooLarge | Reject::RepeatedHost) => true,
        Ok(None) | Err(_) => false,
    };
    assert!(is_same, "written fields were read otherwise: {again:?}");
}

/// The normal form is its own normal form (H1-7).
fn check_normal_form(original: &target::Target<'_>) {
    let mut form = Vec::new();
    if target::normalise(original, 80, &mut form).is_err() {
        assert!(form.is_empty());
        return;
    }
    let mut text = Vec::from(b"http://".as_slice());
    text.extend_from_slice(&form);
    let text = core::str::from_utf8(&text).unwrap_or_default();
    let again = target::parse("GET", text, "");
    let mut twice = Vec::new();
    let written = again.map(|again| target::normalise(&again, 80, &mut twice));
    assert_eq!(written, Ok(Ok(())));
    assert_eq!(form, twice, "the normal form has another normal form");
}

type Decoded = (Vec<u8>, usize, bool);

/// The body, the bytes used and whether it ended.
fn decode_all(pieces: &[&[u8]], limits: &Limits) -> Result<Decoded, Reject> {
    let mut decoder = Chunked::new();
    let mut body = Vec::new();
    let mut used = 0;
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let (consumed, event) = decoder.decode(rest, limits)?;
            used += consumed;
            rest = rest.get(consumed..).unwrap_or_default();
            match event {
                ChunkEvent::Data(data) => {
                    assert!(!data.is_empty());
                    body.extend_from_slice(data);
                }
                ChunkEvent::NeedMore => break assert!(rest.is_empty()),
                ChunkEvent::End => return Ok((body, used, true)),
            }
        }
    }
    Ok((body, used, false))
}

fn encode(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(7) {
        let mut line = [0; CHUNK_HEADER_BYTES_MAX];
        out.extend_from_slice(emit::chunk_header(piece.len() as u64, &mut line));
        out.extend_from_slice(piece);
        out.extend_from_slice(emit::CRLF);
    }
    out.extend_from_slice(emit::LAST_CHUNK);
    out
}

/// Prefixes of `input`: all of a short one, some of a long one.
fn cuts(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let step = input.len() / CUTS_MAX + 1;
    (0..=input.len()).step_by(step).filter_map(|len| input.get(..len))
}

/// Limits that short inputs reach.
fn small_limits() -> Limits {
    Limits { head_bytes_max: 96, fields_max: 3, target_bytes_max: 24, ..Limits::default() }
}

const CUTS_MAX: usize = 512;
