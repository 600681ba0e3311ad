//! The head of a record: what goes in comes out, what is foreign does not (GW-6).

use longhold_policy::StoredMeta;
use proptest::prelude::*;

use crate::Field;
use crate::stored::{
    RecordHead, StoredHead, VaryBase, decode, encode_response, encode_vary, field_lines,
};

fn meta() -> StoredMeta {
    StoredMeta { status: 200, date_s: 784_111_777, lifetime_s: 60, ..StoredMeta::default() }
}

fn encoded(fields: &[Field<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_response(&meta(), fields, Some("1.1"), &mut out);
    out
}

fn response(head: &[u8]) -> StoredHead<'_> {
    match decode(head) {
        Some(RecordHead::Response(stored)) => stored,
        other => panic!("no response: {other:?}"),
    }
}

#[test]
fn fields_come_back_without_framing_and_hop_by_hop() {
    let head = encoded(&[
        ("Content-Type", b"text/plain"),
        ("Content-Length", b"5"),
        ("Connection", b"x-hop"),
        ("X-Hop", b"1"),
        ("Transfer-Encoding", b"chunked"),
        ("Age", b"7"),
        ("ETag", b"\"v1\""),
        ("Date", b"Sun, 06 Nov 1994 08:49:37 GMT"),
    ]);
    let stored = response(&head);
    let names: Vec<&str> = stored.fields().map(|(name, _)| name).collect();
    assert_eq!(names, ["Content-Type", "ETag", "Date", "Via"]);
    assert_eq!(stored.validators().etag, Some(&b"\"v1\""[..]));
    assert_eq!(stored.validators().last_modified, None);
    assert!(stored.can_validate());
    assert_eq!(stored.meta, meta());
}

/// They are there for freshening (RFC 9111 section 3.2) and in no line that is sent.
#[test]
fn fields_for_the_edge_alone_are_kept_and_not_sent() {
    let head = encoded(&[
        ("Surrogate-Key", b"a b"),
        ("ETag", b"\"v1\""),
        ("surrogate-control", b"max-age=60"),
        ("Cache-Tag", b"c"),
    ]);
    let stored = response(&head);
    let lines = String::from_utf8_lossy(stored.lines).to_ascii_lowercase();
    assert!(lines.contains("etag") && !lines.contains("surrogate") && !lines.contains("cache-tag"));
    let names: Vec<&str> = stored.fields().map(|(name, _)| name).collect();
    let own = ["Surrogate-Key", "surrogate-control", "Cache-Tag"];
    assert_eq!(names, [&["ETag", "Date", "Via"][..], &own].concat());
    assert_eq!(stored.validators().etag, Some(&b"\"v1\""[..]));
}

/// RFC 9111 sections 5.2.2.4 and 5.2.2.7: named fields are not stored, the rest is.
#[test]
fn withheld_fields_are_not_stored() {
    let head = encoded(&[
        ("Cache-Control", b"private=\"x-name\", no-cache=\"set-cookie\""),
        ("Set-Cookie", b"a=b"),
        ("X-Name", b"me"),
        ("X", b"y"),
    ]);
    let names: Vec<&str> = response(&head).fields().map(|(name, _)| name).collect();
    assert_eq!(names, ["Cache-Control", "X", "Date", "Via"]);
}

#[test]
fn a_missing_date_is_added() {
    let head = encoded(&[("X", b"y")]);
    let date = response(&head).fields().find(|(name, _)| *name == "Date");
    assert_eq!(date, Some(("Date", &b"Sun, 06 Nov 1994 08:49:37 GMT"[..])));
}

#[test]
fn a_vary_base_comes_back() {
    let mut out = Vec::new();
    let base = VaryBase { id: 0x0102_0304_0506_0708, nominated: "accept,accept-language" };
    encode_vary(&base, &mut out);
    match decode(&out) {
        Some(RecordHead::Vary(back)) => assert_eq!(back, base),
        other => panic!("no base: {other:?}"),
    }
}

#[test]
fn foreign_heads_decode_to_nothing() {
    let head = encoded(&[("ETag", b"\"v1\"")]);
    for cut in 0..60 {
        assert!(decode(&head[..cut]).is_none(), "cut at {cut}");
    }
    let mut other_form = head.clone();
    other_form[0] = 1;
    assert!(decode(&other_form).is_none());
    let mut other_kind = head;
    other_kind[1] = b'X';
    assert!(decode(&other_kind).is_none());
}

#[test]
fn lines_split_into_fields() {
    let lines = b"A: 1\r\nB:2\r\nC:  x: y \r\n";
    let fields: Vec<Field<'_>> = field_lines(lines).collect();
    assert_eq!(fields, [("A", &b"1"[..]), ("B", b"2"), ("C", b"x: y")]);
}

proptest! {
    #[test]
    fn decoding_never_panics(head in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&head);
    }

    #[test]
    fn values_survive(value in "[ -~]{0,60}") {
        let value = value.trim().as_bytes().to_vec();
        let head = encoded(&[("X-Value", &value)]);
        let stored = response(&head);
        let back = stored.fields().find(|(name, _)| *name == "X-Value");
        prop_assert_eq!(back, Some(("X-Value", value.as_slice())));
    }
}
