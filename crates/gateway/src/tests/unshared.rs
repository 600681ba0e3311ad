//! Hit-for-miss: what is remembered, until when, and how much of it.

use crate::purge::Scope;
use crate::unshared::Unshared;

#[test]
fn a_key_is_remembered_for_its_time() {
    let mut unshared = Unshared::new(10_000);
    unshared.remember(b"k", "private", 100);
    assert_eq!(unshared.recall(b"k", 99), Some("private"));
    assert_eq!(unshared.recall(b"k", 100), None);
    assert_eq!(unshared.recall(b"k2", 0), None);
    unshared.remember(b"k", "no-store", 200);
    assert_eq!((unshared.recall(b"k", 150), unshared.len()), (Some("no-store"), 1));
}

#[test]
fn a_purge_lets_the_keys_that_it_names_be_forgotten() {
    let keys: [&[u8]; 5] =
        [b"http://a/x", b"http://a/x\0one", b"http://a/x\0two", b"http://a/x1", b"http://a/"];
    for (scope, left) in [
        (Scope::Key(b"http://a/x".to_vec()), [false, false, false, true, true]),
        (Scope::Prefix(b"http://a/x".to_vec()), [false, false, false, false, true]),
        (Scope::Tag(7), [true; 5]),
        (Scope::All, [false; 5]),
    ] {
        let mut unshared = Unshared::new(10_000);
        keys.iter().for_each(|key| unshared.remember(key, (), 100));
        unshared.forget(&scope);
        assert_eq!(keys.map(|key| unshared.recall(key, 0).is_some()), left, "{scope:?}");
        assert_eq!(unshared.len(), left.iter().filter(|left| **left).count());
    }
}

/// Bounded: the oldest go first, and a key as large as all room takes it all.
#[test]
fn the_oldest_keys_make_room() {
    let mut unshared = Unshared::new(3 * (128 + 2));
    for key in ["k1", "k2", "k3"] {
        unshared.remember(key.as_bytes(), (), 100);
    }
    unshared.remember(b"k1", (), 100);
    unshared.remember(b"k4", (), 100);
    let known = |unshared: &Unshared<()>, key: &str| unshared.recall(key.as_bytes(), 0).is_some();
    let left = ["k1", "k2", "k3", "k4"].map(|key| known(&unshared, key));
    assert_eq!(left, [true, false, true, true], "k1 was renewed, so that k2 was the oldest");
    unshared.remember(&[b'x'; 3 * 130 - 128], (), 100);
    assert_eq!(unshared.len(), 1);
    unshared.remember(&[b'y'; 3 * 130 - 127], (), 100);
    assert_eq!(unshared.len(), 1, "what does not fit pushes nothing out");
}
