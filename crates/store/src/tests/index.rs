//! The index on its own: against a map, when it is full, and when tags collide.

use std::collections::HashMap;

use crate::index::{Index, Place};

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
        let place = Place::new(segment, at, generation, 64);
        assert_eq!((place.segment(), place.at()), (segment, at));
        assert!(place.is_of_generation(generation));
        assert!(!place.is_of_generation(generation.wrapping_add(1)));
        assert_eq!(place.verified(), 0);
    }
}

#[test]
fn a_half_full_index_agrees_with_a_map() {
    let index = Index::new(4096).unwrap();
    let mut map = HashMap::new();
    for step in 0..20_000u64 {
        let key = (step * 7919) % 1700;
        match step % 5 {
            0..=2 => {
                let place = Place::new((step / 100) as u32, (step % 100) as u32 * 64, 9, 64);
                index.insert(hash(key), place);
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
fn a_full_index_displaces_what_is_asked_for_least() {
    let index = Index::new(8).unwrap();
    let place = |number: u64| Place::new(number as u32, 4096, 1, 2048);
    (0..100).for_each(|number| index.insert(hash(number), place(number)));
    assert_eq!((index.used(), index.displaced()), (8, 92));
    let kept: Vec<u64> = (0..100).filter(|number| find(&index, hash(*number)).is_some()).collect();
    assert_eq!(kept.len(), 8);
    // All but one are asked for; each newcomer can take the place of that one only.
    for number in &kept[1..] {
        let (slot, place) = index.find(hash(*number), |slot, place| Some((slot, place))).unwrap();
        index.bump(slot, place);
    }
    index.insert(hash(1000), place(1000));
    assert!(find(&index, hash(kept[0])).is_none() && find(&index, hash(1000)).is_some());
    assert!(kept[1..].iter().all(|number| find(&index, hash(*number)).is_some()));
}

#[test]
fn frequency_is_counted_to_three_and_is_not_part_of_the_name() {
    let index = Index::new(64).unwrap();
    let place = Place::new(3, 4096, 1, 64);
    index.insert(hash(1), place);
    let now = || index.find(hash(1), |number, place| Some((number, place))).unwrap();
    for counted in [1, 2, 3, 3] {
        let (number, _) = now();
        index.bump(number, place);
        assert_eq!(now().1.frequency(), counted);
        assert!(index.still_names(number, place));
    }
    assert_eq!(now().1.with_frequency(0), place);
    index.bump(now().0, Place::new(4, 4096, 1, 64));
    assert!(index.remove(hash(1)));
    assert_eq!(find(&index, hash(1)), None);
}

#[test]
fn size_classes_tell_sizes_within_their_bounds() {
    let mut before = 0;
    for bytes in (64..=64 << 20).step_by(64 * 97).chain([64 << 20]) {
        let place = Place::new(0, 0, 0, bytes);
        assert!(place.size_class() >= before, "{bytes}");
        before = place.size_class();
        let ratio = f64::from(place.extent_bytes_max()) / f64::from(bytes);
        assert!((1.0..=1.091).contains(&ratio), "{bytes}: {ratio}");
    }
    assert_eq!(before, 160);
    assert_eq!(Place::new(0, 0, 0, 64).size_class(), 0);
}

#[test]
fn a_copy_takes_the_slot_of_its_original_and_no_other() {
    let index = Index::new(64).unwrap();
    let (old, copy) = (Place::new(3, 4096, 1, 64), Place::new(9, 8192, 7, 64).with_frequency(2));
    assert!(!index.replace(hash(1), old, copy), "there is nothing to replace");
    index.insert(hash(1), old);
    let (number, _) = index.find(hash(1), |number, place| Some((number, place))).unwrap();
    index.set_verified(number, old, 1);
    index.bump(number, old);
    assert!(index.replace(hash(1), old, copy), "bits and counts do not matter");
    assert_eq!(index.find(hash(1), |_, place| Some(place)), Some(copy));
    assert!(!index.replace(hash(1), old, copy), "the original has gone");
    assert_eq!(index.used(), 1);
    index.discard(number, copy);
    assert!(!index.replace(hash(1), copy, old), "what was discarded stays so");
    assert_eq!((find(&index, hash(1)), index.used()), (None, 0));
}

#[test]
fn a_soft_purge_meets_the_record_and_the_copy_that_was_under_way() {
    let index = Index::new(64).unwrap();
    let (old, copy) = (Place::new(3, 4096, 1, 64), Place::new(9, 8192, 7, 64));
    assert!(!index.set_soft(hash(1)));
    index.insert(hash(1), old);
    assert!(index.set_soft(hash(1)));
    assert!(index.replace(hash(1), old, copy));
    let soft = index.find(hash(1), |_, place| Some(place)).unwrap();
    assert!(soft.is_soft() && soft.bare() == copy.bare());
    index.insert(hash(1), Place::new(10, 8192, 7, 64));
    assert!(!index.find(hash(1), |_, place| Some(place)).unwrap().is_soft(), "a new record");
}

#[test]
fn a_visit_meets_the_places_of_its_segment() {
    let index = Index::new(4096).unwrap();
    for number in 0..1000 {
        index.insert(hash(number), Place::new(number as u32 % 7, 4096, 1, 64));
    }
    let mut met = 0;
    index.visit_segment(3, |number, place| {
        assert!(place.segment() == 3 && index.still_names(number, place));
        met += 1;
    });
    assert_eq!(met, (0..1000).filter(|number| number % 7 == 3).count());
}

#[test]
fn a_large_index_is_aligned_and_empty() {
    let index = Index::new(1 << 20).unwrap();
    assert!((0..1000).all(|number| find(&index, hash(number)).is_none()));
    index.insert(hash(5), Place::new(1, 4096, 1, 64));
    assert_eq!(index.used(), 1);
    assert!(find(&index, hash(5)).is_some());
}

#[test]
fn a_full_index_always_holds_the_newest() {
    let index = Index::new(8).unwrap();
    for number in 0..100u64 {
        let place = Place::new(number as u32, 4096, 1, 64);
        index.insert(hash(number), place);
        assert!(find(&index, hash(number)).is_some(), "the newest is always there");
    }
    assert_eq!((index.used(), index.displaced()), (8, 92));
}

#[test]
fn what_is_displaced_grows_with_the_fill() {
    for (filled, displaced_max) in [(20_000, 4), (30_000, 300)] {
        let index = Index::new(40_000).unwrap();
        for number in 0..filled {
            index.insert(hash(number), Place::new(number as u32, 4096, 1, 64));
        }
        assert!(index.displaced() <= displaced_max, "{} of {filled}", index.displaced());
    }
}

#[test]
fn a_newer_record_takes_over_the_frequency() {
    let index = Index::new(64).unwrap();
    index.insert(hash(1), Place::new(3, 4096, 1, 64));
    let (number, place) = index.find(hash(1), |number, place| Some((number, place))).unwrap();
    index.bump(number, place);
    let newer = Place::new(3, 8192, 1, 64);
    index.insert(hash(1), newer);
    let seen = index.find(hash(1), |_, place| Some(place)).unwrap();
    assert_eq!((seen.bare(), seen.frequency(), index.used()), (newer.bare(), 1, 1));
}

#[test]
fn verified_bits_and_discards_meet_only_their_own_record() {
    let index = Index::new(64).unwrap();
    let (first, second) = (Place::new(3, 4096, 1, 64), Place::new(4, 4096, 1, 64));
    index.insert(hash(1), first);
    let (number, place) = index.find(hash(1), |number, place| Some((number, place))).unwrap();
    for verified in [1, 15, 2] {
        index.set_verified(number, place, verified);
        let seen = index.find(hash(1), |_, place| Some(place)).unwrap();
        assert_eq!((seen.verified(), seen.bare()), (verified, place.bare()));
    }
    assert!(index.still_names(number, place), "bits are not part of the name");
    index.insert(hash(1), second);
    index.set_verified(number, first, 1);
    index.discard(number, first);
    let seen = index.find(hash(1), |_, place| Some(place)).unwrap();
    assert_eq!(seen, second);
    index.discard(number, second);
    assert_eq!((find(&index, hash(1)), index.used()), (None, 0));
}
