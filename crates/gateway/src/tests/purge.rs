//! What a purge concerns, and what of it is remembered (GW-5).

use crate::Field;
use crate::purge::{BYTES_MAX, ENTRIES_MAX, Journal, Scope};
use crate::tags::{self, MANY, OWN_MAX, of_primary, of_response, of_word};

fn key(name: &str) -> Scope {
    Scope::Key(name.as_bytes().to_vec())
}

#[test]
fn scope_concerns_what_it_names_and_no_more() {
    let prefix = Scope::Prefix(b"http://a/x".to_vec());
    for (scope, name, tags, concerned) in [
        (&key("http://a/x"), &b"http://a/x"[..], &[][..], true),
        (&key("http://a/x"), b"http://a/x\0variant", &[], true),
        (&key("http://a/x"), b"http://a/x1", &[], false),
        (&key("http://a/x"), b"http://a/", &[], false),
        (&prefix, b"http://a/x", &[], true),
        (&prefix, b"http://a/x1\0variant", &[], true),
        (&prefix, b"http://a/", &[], false),
        (&prefix, b"https://a/x", &[], false),
        (&Scope::Tag(7), b"http://a/", &[6, 7], true),
        (&Scope::Tag(7), b"http://a/", &[6], false),
        (&Scope::Tag(7), b"http://a/", &[6, MANY], true),
        (&Scope::All, b"http://a/", &[], true),
    ] {
        assert_eq!(scope.concerns(name, tags), concerned, "{scope:?} {name:?} {tags:?}");
    }
}

#[test]
fn purge_concerns_what_began_before_it() {
    let mut journal = Journal::new();
    let before = journal.mark();
    assert!(!journal.has_purged(before, b"http://a/x", &[1]));
    journal.note(Scope::Tag(1));
    let between = journal.mark();
    journal.note(key("http://a/x"));
    let after = journal.mark();
    for (mark, name, tags, purged) in [
        (before, &b"http://a/y"[..], &[1][..], true),
        (before, b"http://a/y", &[2], false),
        (before, b"http://a/x", &[], true),
        (between, b"http://a/y", &[1], false),
        (between, b"http://a/x", &[], true),
        (after, b"http://a/x", &[1], false),
    ] {
        assert_eq!(journal.has_purged(mark, name, tags), purged, "{mark:?} {name:?} {tags:?}");
    }
}

/// At the bound what is older than all that is remembered counts as purged, and nothing else.
#[test]
fn what_is_forgotten_counts_as_purged() {
    let mut journal = Journal::new();
    let old = journal.mark();
    journal.note(Scope::Tag(0xf));
    let young = journal.mark();
    for _ in 1..ENTRIES_MAX {
        journal.note(Scope::Tag(1));
    }
    assert!(!journal.has_purged(old, b"k", &[2]), "all are remembered");
    journal.note(Scope::Tag(1));
    assert!(journal.has_purged(old, b"k", &[2]));
    assert!(!journal.has_purged(young, b"k", &[2]));

    let long = |letter| Scope::Prefix(vec![letter; BYTES_MAX / 2]);
    let before = journal.mark();
    journal.note(long(b'a'));
    let then = journal.mark();
    journal.note(long(b'b'));
    assert!(!journal.has_purged(before, b"k", &[2]), "both have room");
    journal.note(key("x"));
    assert!(journal.has_purged(before, b"k", &[2]));
    assert!(!journal.has_purged(then, b"k", &[2]));
    assert!(journal.has_purged(then, b"x", &[2]));
}

#[test]
fn tags_come_from_both_fields_each_once() {
    type Case<'a> = (&'a [Field<'a>], &'a [&'a [u8]]);
    let cases: [Case<'_>; 6] = [
        (&[], &[]),
        (&[("Surrogate-Key", b"one  two\tthree ")], &[b"one", b"two", b"three"]),
        (&[("cache-tag", b"one, two words ,,three")], &[b"one", b"two words", b"three"]),
        (
            &[("Surrogate-Key", b"a b"), ("Cache-Tag", b"b,c"), ("SURROGATE-KEY", b"d")],
            &[b"a", b"b", b"d", b"c"],
        ),
        (&[("Surrogate-Key", b"a,b")], &[b"a,b"]),
        (&[("Surrogate-Keys", b"a"), ("Surrogate-Control", b"max-age=1")], &[]),
    ];
    for (fields, words) in cases {
        let expected: Vec<u64> = words.iter().map(|word| of_word(word)).collect();
        assert_eq!(of_response(b"http://a/", fields), expected, "{fields:?}");
        let variant = [&expected[..], &[of_primary(b"http://a/")]].concat();
        assert_eq!(of_response(b"http://a/\0variant\0", fields), variant, "{fields:?}");
    }
    assert_ne!(of_word(b"A"), of_word(b"a"));
}

#[test]
fn response_with_more_tags_than_a_record_carries_goes_with_every_tag() {
    let named = |count: usize| {
        let words: Vec<String> = (0..count).map(|number| format!("tag-{number}")).collect();
        of_response(b"k\0v", &[("Surrogate-Key", words.join(" ").as_bytes())])
    };
    let full = named(OWN_MAX);
    assert_eq!((full.len(), full.contains(&MANY)), (64, false));
    assert_eq!(named(OWN_MAX + 1), [MANY, of_primary(b"k")]);
    assert!(Scope::Tag(of_word(b"any")).concerns(b"k", &named(OWN_MAX + 1)));
}

/// Stores outlive the binary that wrote them.
#[test]
fn tag_values_stay_the_same() {
    assert_eq!(of_word(b"news"), 4_401_901_319_378_016_843);
    assert_ne!(of_word(b"\0k"), tags::of_word(b"k"));
    assert_eq!(of_word(b"\0k"), of_primary(b"k"));
}
