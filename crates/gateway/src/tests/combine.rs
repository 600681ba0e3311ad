//! Which parts go together (RFC 9111 section 3.4).

use std::ops::Range;

use longhold_policy::validate::Validators;
use longhold_policy::{Part, StoredMeta};

use crate::combine::{Union, gap, union};
use crate::stored::{RecordHead, decode, encode_response};

/// Calls `check` with a stored part of `complete_len` bytes.
fn with_part<T>(
    range: Range<u64>,
    complete_len: u64,
    fields: &[(&str, &[u8])],
    check: impl FnOnce(&crate::stored::StoredHead<'_>) -> T,
) -> T {
    let part = Part::new(range, complete_len);
    let meta = StoredMeta { status: 200, part, date_s: 1_000_000_000, ..StoredMeta::default() };
    let mut head = Vec::new();
    encode_response(&meta, fields, Some("1.1"), &mut head);
    match decode(&head) {
        Some(RecordHead::Response(stored)) => check(&stored),
        Some(RecordHead::Vary(_)) | None => panic!("no response"),
    }
}

const TAG: (&str, &[u8]) = ("ETag", b"\"v1\"");

#[test]
fn parts_that_touch_or_overlap_go_together() {
    // Older, newer, what comes of it, and what is taken of the older.
    let cases = [
        (0..10, 10..20, Some((0..20, 0..10, 20..20))),
        (0..10, 5..20, Some((0..20, 0..5, 20..20))),
        (10..20, 0..10, Some((0..20, 10..10, 10..20))),
        (10..20, 0..15, Some((0..20, 10..10, 15..20))),
        (0..30, 10..20, Some((0..30, 0..10, 20..30))),
        (10..20, 0..30, Some((0..30, 10..10, 20..20))),
        (0..10, 0..10, Some((0..10, 0..0, 10..10))),
        (0..10, 11..20, None),
        (11..20, 0..10, None),
    ];
    let validators = Validators { etag: Some(b"\"v1\""), ..Validators::default() };
    for (older, newer, expected) in cases {
        let made = with_part(older.clone(), 100, &[TAG], |stored| {
            union(stored, Part::new(newer.clone(), 100).expect("a part"), &validators)
        });
        let found = made.map(|Union { range, before, behind, complete_len }| {
            assert_eq!(complete_len, 100);
            let nothing = |range: &Range<u64>| range.start >= range.end;
            assert!(nothing(&before) || before.end == newer.start);
            assert!(nothing(&behind) || behind.start == newer.end);
            let len = |range: &Range<u64>| range.end.saturating_sub(range.start);
            assert_eq!(len(&before) + len(&newer) + len(&behind), len(&range), "{older:?}");
            (range, before, behind)
        });
        let expected = expected.map(|(range, _, _)| range);
        assert_eq!(found.map(|(range, _, _)| range), expected, "{older:?} {newer:?}");
    }
}

#[test]
fn parts_of_different_wholes_do_not() {
    let newer = |len| Part::new(10..20, len).expect("a part");
    let tag = |etag| Validators { etag: Some(etag), ..Validators::default() };
    for (fields, len, validators) in [
        (&[TAG][..], 101, tag(b"\"v1\"")),
        (&[TAG], 100, tag(b"\"v2\"")),
        (&[TAG], 100, tag(b"W/\"v1\"")),
        (&[TAG], 100, Validators::default()),
        (&[("ETag", b"W/\"v1\"")], 100, tag(b"W/\"v1\"")),
        (&[], 100, Validators::default()),
    ] {
        let made = with_part(0..10, 100, fields, |stored| union(stored, newer(len), &validators));
        assert_eq!(made, None, "{fields:?} {len}");
    }
}

#[test]
fn what_makes_the_whole_is_no_part_any_more() {
    let validators = Validators { etag: Some(b"\"v1\""), ..Validators::default() };
    let newer = Part::new(10..100, 100).expect("a part");
    let made = with_part(0..10, 100, &[TAG], |stored| union(stored, newer, &validators));
    let made = made.expect("they touch");
    let meta = made.meta(&StoredMeta { part: Some(newer), ..StoredMeta::default() });
    assert_eq!((meta.status, meta.part), (200, None));
    let less = Union { range: 0..99, ..made };
    assert_eq!(less.meta(&meta).part.map(|part| part.range()), Some(0..99));
}

#[test]
fn gap_is_at_one_end() {
    for (range, expected) in [(0..10, Some(10..100)), (10..100, Some(0..10)), (5..10, None)] {
        assert_eq!(with_part(range.clone(), 100, &[TAG], gap), expected, "{range:?}");
    }
}
