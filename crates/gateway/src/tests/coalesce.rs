//! The table of fetches: leading, waiting, attaching, ending, purging (GW-4, GW-5).

use crate::coalesce::{Coalescer, Joined};

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
    assert_eq!(table.revoke(b"http://a/x"), vec![1, 2]);
    assert!(!table.is_current(b"http://a/x", primary));
    assert!(!table.is_current(b"http://a/x\0vary", variant));
    assert!(table.is_current(b"http://a/x1", longer), "a longer path is another key");
    assert!(table.is_current(b"http://a/", shorter));
}

#[test]
fn revoked_leader_can_neither_publish_nor_end_its_successor() {
    let mut table = Coalescer::new();
    let old = lead(&mut table, b"k");
    table.revoke(b"k");
    let new = lead(&mut table, b"k");
    table.join(b"k", 5);
    assert_eq!(table.publish(b"k", old, "old"), None);
    assert_eq!(table.end(b"k", old), Vec::<u32>::new());
    assert!(table.is_current(b"k", new));
    assert_eq!(table.publish(b"k", new, "new"), Some(vec![5]));
}
