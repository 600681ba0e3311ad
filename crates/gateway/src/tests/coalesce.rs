//! The table of fetches: leading, waiting, attaching, ending, purging (GW-4, GW-5).

use crate::coalesce::{Coalescer, HandedOn, Joined, TAKEOVERS_MAX};
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
    assert_eq!(table.publish(b"k", id, "open"), Some(vec![1, 2].into()));
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
    assert_eq!(table.publish(b"k", new, "new"), Some(vec![5].into()));
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

#[test]
fn slow_leader_gets_company_and_the_first_head_wins() {
    for winner in 0..2 {
        let mut table = Coalescer::new();
        let slow = lead(&mut table, b"k");
        assert_eq!(table.take_over(b"k", slow, |_| true), None, "nobody waits");
        (1..=3).for_each(|follower| assert_eq!(table.join(b"k", follower), Joined::Waits));
        let Some((second, 1)) = table.take_over(b"k", slow, |_| true) else {
            panic!("the first in line")
        };
        assert_eq!(
            table.take_over(b"k", slow, |_| true),
            None,
            "the newest leader's turn comes next"
        );
        assert!(table.is_current(b"k", slow) && table.is_current(b"k", second));
        let ids = [slow, second];
        assert_eq!(table.publish(b"k", ids[winner], "open"), Some(vec![2, 3].into()));
        let loser = ids[1 - winner];
        assert_eq!(table.publish(b"k", loser, "late"), None);
        assert!(!table.is_current(b"k", loser));
        assert_eq!(table.end(b"k", loser), Vec::<u32>::new());
        assert_eq!(table.join(b"k", 4), Joined::Attach("open", 4));
        assert_eq!(table.end(b"k", ids[winner]), Vec::<u32>::new());
        assert!(table.is_empty());
    }
}

#[test]
fn followers_wait_on_while_another_leader_fetches() {
    let mut table: Coalescer<u32, &str> = Coalescer::new();
    let slow = lead(&mut table, b"k");
    (1..=2).for_each(|follower| assert_eq!(table.join(b"k", follower), Joined::Waits));
    let Some((second, 1)) = table.take_over(b"k", slow, |_| true) else {
        panic!("the first in line")
    };
    assert_eq!(table.hand_on(b"k", slow, |_| true), HandedOn::Others);
    assert_eq!(table.hand_on(b"k", slow, |_| true), HandedOn::Ended(vec![]), "once");
    assert!(!table.is_current(b"k", slow) && table.is_current(b"k", second));
    assert_eq!(table.publish(b"k", second, "open"), Some(vec![2].into()));

    let mut table: Coalescer<u32, &str> = Coalescer::new();
    let slow = lead(&mut table, b"k");
    (1..=2).for_each(|follower| assert_eq!(table.join(b"k", follower), Joined::Waits));
    let Some((second, 1)) = table.take_over(b"k", slow, |_| true) else {
        panic!("the first in line")
    };
    assert_eq!(table.end(b"k", second), Vec::<u32>::new());
    assert_eq!(table.end(b"k", slow), vec![2]);
    assert!(table.is_empty());
}

#[test]
fn failed_leader_is_succeeded_a_bounded_number_of_times() {
    let mut table: Coalescer<u32, &str> = Coalescer::new();
    let mut id = lead(&mut table, b"k");
    (1..=5).for_each(|follower| assert_eq!(table.join(b"k", follower), Joined::Waits));
    for expected in 1..=u32::from(TAKEOVERS_MAX) {
        let HandedOn::Next(next, follower) = table.hand_on(b"k", id, |_| true) else {
            panic!("a next one")
        };
        assert_eq!(follower, expected);
        assert!(!table.is_current(b"k", id) && table.is_current(b"k", next));
        id = next;
    }
    assert_eq!(table.take_over(b"k", id, |_| true), None);
    assert_eq!(table.hand_on(b"k", id, |_| true), HandedOn::Ended(vec![3, 4, 5]));
    assert!(table.is_empty());
}

#[test]
fn sharing_ends_for_all_leaders_at_once() {
    let mut table: Coalescer<u32, &str> = Coalescer::new();
    let slow = lead(&mut table, b"k");
    (1..=3).for_each(|follower| assert_eq!(table.join(b"k", follower), Joined::Waits));
    let Some((second, 1)) = table.take_over(b"k", slow, |_| true) else {
        panic!("the first in line")
    };
    assert_eq!(table.dissolve(b"k", second), vec![2, 3]);
    assert!(!table.is_current(b"k", slow));
    assert_eq!(table.dissolve(b"k", slow), Vec::<u32>::new());
}

#[test]
fn those_who_waited_too_long_leave_in_the_order_in_which_they_came() {
    let mut table: Coalescer<u32, &str> = Coalescer::new();
    let id = lead(&mut table, b"k");
    (1..=4).for_each(|follower| assert_eq!(table.join(b"k", follower), Joined::Waits));
    assert_eq!(table.longest_waiting(b"k"), Some(&1));
    assert_eq!(table.leave(b"k", |follower| *follower < 3), vec![1, 2]);
    assert_eq!(table.longest_waiting(b"k"), Some(&3));
    assert_eq!(table.leave(b"other", |_| true), Vec::<u32>::new());
    assert_eq!(table.publish(b"k", id, "open"), Some(vec![3, 4].into()));
    assert_eq!(table.longest_waiting(b"k"), None);
    assert_eq!(table.leave(b"k", |_| true), Vec::<u32>::new());
}

/// A request for a part follows; what it would fetch is not what the others want.
#[test]
fn who_cannot_lead_goes_on_waiting() {
    let mut table: Coalescer<u32, &str> = Coalescer::new();
    let slow = lead(&mut table, b"k");
    (1..=4).for_each(|follower| assert_eq!(table.join(b"k", follower), Joined::Waits));
    assert_eq!(table.take_over(b"k", slow, |_| false), None);
    let Some((second, 2)) = table.take_over(b"k", slow, |number| number % 2 == 0) else {
        panic!("the first that can")
    };
    assert_eq!(table.hand_on(b"k", slow, |_| true), HandedOn::Others);
    assert_eq!(table.hand_on(b"k", second, |number| *number > 4), HandedOn::Ended(vec![1, 3, 4]));
}
