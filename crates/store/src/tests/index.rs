//! The index on its own: against a map, when it is full, and when tags collide.

use std::collections::HashMap;

use crate::index::{Index, Inserted, Place};

fn rank(place: Place) -> (u32, u32) {
    (place.segment(), place.at())
}

fn find(index: &Index, hash: u128) -> Option<u64> {
    index.find(hash, |_, place| Some(place.bare()))
}

fn hash(number: u64) -> u128 {
    let mix = |x: u64| (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31);
    (u128::from(mix(mix(number + 1))) << 64) | u128::from(mix(mix(number) + 7))
}

#[test]
fn places_keep_their_parts() {
    for (segment, at, generation) in [(0, 0, 0), (0xf_ffff, 0x3ff_ffc0, u64::MAX), (5, 4096, 300)] {
        let place = Place::new(segment, at, generation);
        assert_eq!((place.segment(), place.at()), (segment, at));
        assert!(place.is_of_generation(generation));
        assert!(!place.is_of_generation(generation.wrapping_add(1)));
        assert!(!place.is_head_verified() && !place.is_body_verified());
    }
}

#[test]
fn a_half_full_index_agrees_with_a_map() {
    let index = Index::new(4096);
    let mut map = HashMap::new();
    for step in 0..20_000u64 {
        let key = (step * 7919) % 1700;
        match step % 5 {
            0..=2 => {
                let place = Place::new((step / 100) as u32, (step % 100) as u32 * 64, 9);
                assert_eq!(index.insert(hash(key), place, rank), Inserted::Stored);
                map.insert(key, place.bare());
            }
            3 => assert_eq!(index.remove(hash(key)), map.remove(&key).is_some()),
            _ => assert_eq!(find(&index, hash(key)), map.get(&key).copied()),
        }
        assert_eq!(index.used(), map.len() as u64);
    }
    for (key, bare) in &map {
        assert_eq!(find(&index, hash(*key)), Some(*bare));
    }
    let segment = 150;
    let there = map.values().filter(|bare| (**bare >> 20) & 0xf_ffff == segment).count() as u64;
    assert_eq!(index.remove_segment(segment as u32), there);
    assert_eq!(index.used(), map.len() as u64 - there);
}

#[test]
fn a_full_index_displaces_the_oldest_and_counts_it() {
    let index = Index::new(8);
    for number in 0..100u64 {
        let place = Place::new(number as u32, 4096, 1);
        assert_ne!(index.insert(hash(number), place, rank), Inserted::Outranked);
        assert!(find(&index, hash(number)).is_some(), "the newest is always there");
    }
    assert_eq!((index.used(), index.displaced()), (8, 92));
}

#[test]
fn what_is_displaced_grows_with_the_fill() {
    for (filled, displaced_max) in [(20_000, 4), (30_000, 300)] {
        let index = Index::new(40_000);
        for number in 0..filled {
            index.insert(hash(number), Place::new(number as u32, 4096, 1), rank);
        }
        assert!(index.displaced() <= displaced_max, "{} of {filled}", index.displaced());
    }
}

#[test]
fn an_older_record_does_not_replace_a_newer_one() {
    let index = Index::new(64);
    let (old, new) = (Place::new(3, 4096, 1), Place::new(3, 8192, 1));
    assert_eq!(index.insert(hash(1), new, rank), Inserted::Stored);
    assert_eq!(index.insert(hash(1), old, rank), Inserted::Outranked);
    assert_eq!(find(&index, hash(1)), Some(new.bare()));
}

#[test]
fn verified_bits_and_discards_meet_only_their_own_record() {
    let index = Index::new(64);
    let (first, second) = (Place::new(3, 4096, 1), Place::new(4, 4096, 1));
    index.insert(hash(1), first, rank);
    let (number, place) = index.find(hash(1), |number, place| Some((number, place))).unwrap();
    index.set_head_verified(number, place);
    let seen = index.find(hash(1), |_, place| Some(place)).unwrap();
    assert!(seen.is_head_verified() && !seen.is_body_verified());
    assert!(index.still_names(number, place), "bits are not part of the name");
    index.insert(hash(1), second, rank);
    index.set_body_verified(number, first);
    index.discard(number, first);
    let seen = index.find(hash(1), |_, place| Some(place)).unwrap();
    assert_eq!(seen, second);
    index.discard(number, second);
    assert_eq!((find(&index, hash(1)), index.used()), (None, 0));
}
