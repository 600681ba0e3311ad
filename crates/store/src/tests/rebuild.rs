//! Recovery's index: the newest record of a key stays, in whatever order records are met.

use std::collections::HashMap;

use crate::index::{Index, Place};
use crate::purge::Newest;
use crate::rebuild::Rebuild;

fn hash(number: u64) -> u128 {
    let mix = |x: u64| (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31);
    (u128::from(mix(mix(number + 1))) << 64) | u128::from(mix(mix(number) + 7))
}

fn place(sequence: u64) -> Place {
    Place::new((sequence / 1000) as u32, (sequence % 1000) as u32 * 64, 9, 64)
}

/// Numbers below `count` in an order of their own.
fn shuffled(count: u64, seed: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..count).collect();
    numbers.sort_by_key(|number| hash(number + seed * count) as u64);
    numbers
}

#[test]
fn in_any_order_the_newest_stays() {
    for seed in 0..5 {
        let index = Index::new(4096).unwrap();
        let mut rebuild = Rebuild::new(&index);
        let mut newest = HashMap::new();
        for sequence in shuffled(6000, seed) {
            let key = sequence % 1500;
            rebuild.put(hash(key), place(sequence), sequence);
            let newest: &mut u64 = newest.entry(key).or_default();
            *newest = sequence.max(*newest);
        }
        assert_eq!((index.used(), index.displaced()), (1500, 0));
        for (key, sequence) in newest {
            let found = index.find(hash(key), |_, found| Some(found));
            assert_eq!(found, Some(place(sequence)), "key {key}");
        }
    }
}

#[test]
fn an_overfull_index_holds_no_older_record_of_any_key() {
    for seed in 0..5 {
        let index = Index::new(256).unwrap();
        let mut rebuild = Rebuild::new(&index);
        for sequence in shuffled(3000, seed) {
            rebuild.put(hash(sequence % 1000), place(sequence), sequence);
        }
        assert_eq!(index.used(), 256);
        for key in 0..1000 {
            let found = index.find(hash(key), |_, found| Some(found));
            assert!(found.is_none_or(|found| found == place(2000 + key)), "key {key}");
        }
    }
}

#[test]
fn the_same_record_keeps_what_a_snapshot_knew_of_it() {
    let index = Index::new(64).unwrap();
    index.insert(hash(1), place(5));
    index.set_soft(hash(1));
    let (number, found) = index.find(hash(1), |number, found| Some((number, found))).unwrap();
    index.bump(number, found);
    let mut rebuild = Rebuild::new(&index);
    rebuild.put(hash(1), place(5), 5);
    let kept = index.find(hash(1), |_, found| Some(found)).unwrap();
    assert!(kept.is_soft() && kept.frequency() == 1);
    rebuild.put(hash(1), place(4), 4);
    assert_eq!(index.find(hash(1), |_, found| Some(found)), Some(kept), "it is older");
    rebuild.put(hash(1), place(6), 6);
    assert_eq!(index.find(hash(1), |_, found| Some(found)), Some(place(6)));
}

#[test]
fn a_purge_meets_only_what_is_older() {
    let index = Index::new(64).unwrap();
    let mut rebuild = Rebuild::new(&index);
    rebuild.put(hash(1), place(5), 5);
    rebuild.purge(hash(1), Newest { hard: 5, soft: 5 });
    assert_eq!(index.find(hash(1), |_, found| Some(found)), Some(place(5)));
    rebuild.purge(hash(1), Newest { hard: 5, soft: 6 });
    assert_eq!(index.find(hash(1), |_, found| Some(found.is_soft())), Some(true));
    rebuild.purge(hash(1), Newest { hard: 6, soft: 5 });
    assert_eq!(index.used(), 0);
}
