//! The table of fetches: leading, waiting, attaching, ending, purging (GW-4, GW-5).

use crate::coalesce::{Coalescer, Joined};
use crate::purge::Scope;

fn lead(table: &mut Coalescer<u32, &'static str>, key: &[u8]) -> crate::coalesce::FillId {
    let joined = table.join(key, 0);
    let Joined::Lead(id, 0) = joined else { panic!("expected to lead: {joined:?}") };
    id
}

#[test]
fn first_leads_and_later_ones_wait_until_the_head_is_published() {
    let mut table = Coalescer::new();
    assert!(!table.is_filling(b"k"));
    let id = lead(&mut table, b"k");
    assert_eq!((table.is_filling(b"k"), table.is_filling(b"k2")), (true, false));
    assert_eq!(table.join(b"k", 1), Joined::Waits);
    assert_eq!(table.join(b"k", 2), Joined::Waits);
    assert_eq!(table.publish(b"k", id, "open"), Some(vec![1, 2]));
    assert_eq!(table.join(b"k", 3), Joined::Attach("open", 3));
    assert!(table.is_filling(b"k"));
    assert_eq!(table.end(b"k", id), Vec::<u32>::new());
    assert!(table.is_empty() && !table.is_filling(b"k"));
}

#[test]
fn follower_is_told_when_the_leader_ends_without_a_head() {
    let mut table: Coalescer<u32, &str> = Coalescer::new();
    let id = lead(&mut table, b"k");
    table.join(b"k", 7);
    assert_eq!(table.end(b"k", id), vec![7]);
    assert_eq!(table.end(b"k", id), Vec::<u32>::new(), "a second end tells nobody twice");
}

#[test]
fn purge_takes_the_key_and_its_variants_from_fetches_in_progress() {
    let mut table: Coalescer<u32, &str> = Coalescer::new();
    let primary = lead(&mut table, b"http://a/x");
    let variant = lead(&mut table, b"http://a/x\0vary");
    let longer = lead(&mut table, b"http://a/x1");
    let shorter = lead(&mut table, b"http://a/");
    table.join(b"http://a/x", 1);
    table.join(b"http://a/x\0vary", 2);
    table.join(b"http://a/x1", 3);
    assert_eq!(table.revoke(&Scope::Key(b"http://a/x".to_vec()), |_| &[]), vec![1, 2]);
    assert!(!table.is_current(b"http://a/x", primary));
    assert!(!table.is_current(b"http://a/x\0vary", variant));
    assert!(table.is_current(b"http://a/x1", longer), "a longer path is another key");
    assert!(table.is_current(b"http://a/", shorter));
}

#[test]
fn revoked_leader_can_neither_publish_nor_end_its_successor() {
    let mut table = Coalescer::new();
    let old = lead(&mut table, b"k");
    table.revoke(&Scope::Key(b"k".to_vec()), |_| &[]);
    let new = lead(&mut table, b"k");
    table.join(b"k", 5);
    assert_eq!(table.publish(b"k", old, "old"), None);
    assert_eq!(table.end(b"k", old), Vec::<u32>::new());
    assert!(table.is_current(b"k", new));
    assert_eq!(table.publish(b"k", new, "new"), Some(vec![5]));
}

/// The tags of a response are known only when its head is there.
#[test]
fn purge_takes_what_it_names_from_fetches_in_progress() {
    let table = || {
        let mut table: Coalescer<u32, Vec<u64>> = Coalescer::new();
        for (key, tags) in
            [("http://a/x", Some([1, 2])), ("http://a/x1", None), ("http://b/", None)]
        {
            let Joined::Lead(id, _) = table.join(key.as_bytes(), 0) else { panic!("{key}") };
            if let Some(tags) = tags {
                table.publish(key.as_bytes(), id, tags.to_vec());
            }
        }
        table
    };
    for (scope, left) in [
        (Scope::Key(b"http://a/x".to_vec()), vec!["http://a/x1", "http://b/"]),
        (Scope::Prefix(b"http://a/x".to_vec()), vec!["http://b/"]),
        (Scope::Prefix(b"http://c/".to_vec()), vec!["http://a/x", "http://a/x1", "http://b/"]),
        (Scope::Tag(2), vec!["http://a/x1", "http://b/"]),
        (Scope::Tag(3), vec!["http://a/x", "http://a/x1", "http://b/"]),
        (Scope::All, vec![]),
    ] {
        let mut table = table();
        assert!(table.revoke(&scope, |tags| tags).is_empty(), "nobody waits");
        let keys = ["http://a/x", "http://a/x1", "http://b/"];
        let still: Vec<&str> =
            keys.into_iter().filter(|key| table.is_filling(key.as_bytes())).collect();
        assert_eq!(still, left, "{scope:?}");
    }
}
