//! Responses that were not stored: the last ones are remembered.

use crate::recent::{BYTES_MAX, ENTRIES_MAX, Recent, Unstored};

fn at(at_ms: u64) -> Unstored {
    Unstored { reason: "no-store", clause: "RFC 9111 5.2.2.5", at_ms }
}

#[test]
fn last_one_of_a_key_counts() {
    let mut recent = Recent::new();
    assert_eq!(recent.find(b"a"), None);
    recent.note(b"a", at(1));
    recent.note(b"b", at(2));
    recent.note(b"a", at(3));
    assert_eq!((recent.find(b"a"), recent.find(b"b")), (Some(at(3)), Some(at(2))));
    assert_eq!(recent.find(b"c"), None);
}

#[test]
fn oldest_is_forgotten_at_the_bound() {
    let mut recent = Recent::new();
    recent.note(b"old", at(1));
    for _ in 1..ENTRIES_MAX {
        recent.note(b"k", at(2));
    }
    assert_eq!(recent.find(b"old"), Some(at(1)));
    recent.note(b"k", at(2));
    assert_eq!(recent.find(b"old"), None);

    let mut recent = Recent::new();
    recent.note(b"old", at(1));
    recent.note(&vec![b'a'; BYTES_MAX - 3], at(2));
    assert_eq!(recent.find(b"old"), Some(at(1)));
    recent.note(b"b", at(3));
    assert_eq!((recent.find(b"old"), recent.find(b"b")), (None, Some(at(3))));
    recent.note(&vec![b'c'; BYTES_MAX + 1], at(4));
    assert_eq!(recent.find(b"b"), None);
}
