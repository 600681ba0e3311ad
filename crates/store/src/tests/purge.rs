//! The purge table against a list of all purges.

use proptest::prelude::*;

use crate::purge::{Lazy, Mode, PrefixesFull, PurgeLimits, PurgeTable, Standing, Tags};

const AMPLE: PurgeLimits =
    PurgeLimits { tags_max: 1024, prefixes_max: 1024, prefix_bytes_max: 1 << 20 };

#[derive(Debug, Clone)]
enum Step {
    Prefix(Vec<u8>, Mode),
    Tag(u64, Mode),
    All(Mode),
    /// Records older than the purge so many steps ago are gone.
    Forget(usize),
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Hard), Just(Mode::Soft)]
}

/// Short strings of few letters: most are prefixes of each other.
fn name() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0..3u8, 0..6)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => (name(), mode()).prop_map(|(prefix, mode)| Step::Prefix(prefix, mode)),
        10 => (0..40u64, mode()).prop_map(|(tag, mode)| Step::Tag(tag, mode)),
        1 => mode().prop_map(Step::All),
        1 => (0..30usize).prop_map(Step::Forget),
    ];
    proptest::collection::vec(step, 1..80)
}

/// A record: its key, its tags, and how many purges ago it was written.
fn records() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u64>, usize)>> {
    let tags = proptest::collection::vec(0..40u64, 0..4);
    proptest::collection::vec((name(), tags, 0..90usize), 1..40)
}

fn tag_bytes(tags: &[u64]) -> Vec<u8> {
    tags.iter().flat_map(|tag| tag.to_le_bytes()).collect()
}

/// What the whole list of purges says.
fn expected(list: &[(u64, Step)], key: &[u8], tags: &[u64], sequence: u64) -> Standing {
    let newer = list.iter().filter(|(purged, _)| sequence < *purged);
    let of = |mode: Mode| if mode == Mode::Hard { Standing::Purged } else { Standing::Soft };
    let says = newer.map(|(_, step)| match step {
        Step::Prefix(prefix, mode) if key.starts_with(prefix) => of(*mode),
        Step::Tag(tag, mode) if tags.contains(tag) => of(*mode),
        Step::All(mode) => of(*mode),
        Step::Prefix(..) | Step::Tag(..) | Step::Forget(_) => Standing::Live,
    });
    says.max().unwrap_or(Standing::Live)
}

/// Plays the steps; yields the purges in force and the lowest sequence that a record may have.
fn play(table: &PurgeTable, steps: Vec<Step>) -> (Vec<(u64, Step)>, u64) {
    let (mut list, mut lowest) = (Vec::new(), 0);
    for (number, step) in (1u64..).zip(steps) {
        let sequence = number * 10;
        let enforced = match &step {
            Step::Prefix(prefix, mode) => table.enforce(Lazy::Prefix(prefix), *mode, sequence),
            Step::Tag(tag, mode) => table.enforce(Lazy::Tag(*tag), *mode, sequence),
            Step::All(mode) => table.enforce(Lazy::All, *mode, sequence),
            Step::Forget(ago) => {
                lowest = lowest.max(sequence.saturating_sub(*ago as u64 * 10));
                table.forget_older(lowest);
                Ok(())
            }
        };
        if enforced.is_ok() {
            list.push((sequence, step));
        }
    }
    (list, lowest)
}

proptest! {
    #[test]
    fn the_table_says_what_the_list_says(steps in steps(), records in records()) {
        let table = PurgeTable::new(AMPLE, 7);
        let end = steps.len() as u64 * 10;
        let (list, lowest) = play(&table, steps);
        for (key, tags, ago) in records {
            let sequence = (end + 5).saturating_sub(ago as u64 * 10).max(lowest);
            let says = table.standing(&key, Tags::new(&tag_bytes(&tags)), sequence);
            let wanted = expected(&list, &key, &tags, sequence);
            prop_assert_eq!(says, wanted, "{:?} {:?} {}", key, tags, sequence);
        }
    }

    #[test]
    fn a_table_at_its_bounds_forgives_nothing(steps in steps(), records in records()) {
        let limits = PurgeLimits { tags_max: 4, prefixes_max: 5, prefix_bytes_max: 12 };
        let table = PurgeTable::new(limits, 7);
        let end = steps.len() as u64 * 10;
        let (list, lowest) = play(&table, steps);
        prop_assert!(table.figures().prefixes <= 5);
        prop_assert!(table.figures().tags <= 8);
        for (key, tags, ago) in records {
            let sequence = (end + 5).saturating_sub(ago as u64 * 10).max(lowest);
            let says = table.standing(&key, Tags::new(&tag_bytes(&tags)), sequence);
            let wanted = expected(&list, &key, &tags, sequence);
            prop_assert!(says >= wanted, "{:?} {:?} {}: {:?}", key, tags, sequence, says);
            if tags.is_empty() {
                prop_assert_eq!(says, wanted, "only records with tags meet the floor");
            }
        }
    }
}

#[test]
fn tags_over_the_bound_become_a_floor_for_the_older_half() {
    let limits = PurgeLimits { tags_max: 1000, ..AMPLE };
    let table = PurgeTable::new(limits, 99);
    for tag in 0..1000u64 {
        table.enforce(Lazy::Tag(tag), Mode::Hard, 10 + tag).unwrap();
    }
    let stands = |tag: u64, sequence| table.standing(b"k", Tags::new(&tag.to_le_bytes()), sequence);
    assert_eq!(table.figures().tags_folded, 0);
    assert_eq!(stands(5000, 10), Standing::Live, "a tag that nobody has purged");
    table.enforce(Lazy::Tag(1000), Mode::Hard, 1010).unwrap();
    assert_eq!((table.figures().tags_folded, table.figures().tags), (500, 501));
    assert_eq!(stands(5000, 508), Standing::Purged, "below the floor");
    assert_eq!(table.figures().floored, 1);
    assert_eq!(stands(5000, 509), Standing::Live, "above it");
    assert_eq!(table.standing(b"k", Tags::new(&[]), 10), Standing::Live, "no tags, no floor");
    for tag in 0..=1000 {
        assert_eq!(stands(tag, 9), Standing::Purged);
        assert_eq!(stands(tag, 10 + tag - 1), Standing::Purged);
    }
}

#[test]
fn prefixes_over_the_bound_are_refused_until_others_go() {
    let limits = PurgeLimits { prefixes_max: 3, ..AMPLE };
    let table = PurgeTable::new(limits, 0);
    let purge = |prefix: &[u8], mode, sequence| table.enforce(Lazy::Prefix(prefix), mode, sequence);
    for (name, sequence) in [(b"a1", 10), (b"a2", 11), (b"b1", 12)] {
        purge(name, Mode::Hard, sequence).unwrap();
    }
    assert_eq!(purge(b"c", Mode::Hard, 13), Err(PrefixesFull));
    assert_eq!(table.standing(b"c", Tags::new(&[]), 1), Standing::Live, "nothing was changed");
    purge(b"b1", Mode::Soft, 14).unwrap();
    purge(b"a", Mode::Hard, 15).unwrap();
    assert_eq!(table.figures().prefixes, 2, "the two below are covered");
    purge(b"c", Mode::Hard, 16).unwrap();
    assert_eq!(purge(b"d", Mode::Hard, 17), Err(PrefixesFull));
    table.forget_older(15);
    purge(b"d", Mode::Hard, 18).unwrap();
    table.enforce(Lazy::All, Mode::Hard, 19).unwrap();
    assert_eq!(table.figures().prefixes, 0);
    assert_eq!(table.standing(b"x", Tags::new(&[]), 18), Standing::Purged);
    assert_eq!(table.standing(b"a", Tags::new(&[]), 19), Standing::Live);
}

#[test]
fn a_long_prefix_counts_by_its_bytes() {
    let limits = PurgeLimits { prefix_bytes_max: 100, ..AMPLE };
    let table = PurgeTable::new(limits, 0);
    assert_eq!(table.enforce(Lazy::Prefix(&[1; 101]), Mode::Hard, 5), Err(PrefixesFull));
    table.enforce(Lazy::Prefix(&[1; 100]), Mode::Hard, 6).unwrap();
    assert_eq!(table.standing(&[1; 100], Tags::new(&[]), 5), Standing::Purged);
    assert_eq!(table.standing(&[1; 99], Tags::new(&[]), 5), Standing::Live);
}
