//! How many connections each source address has, where that is bounded.
//!
//! A source is an IPv4 address, or the first 64 bits of an IPv6 address, which is what one host
//! gets. The table is open-addressed over keyed hashes and has a third more places than there are
//! slots, so that it is never full: 16 bytes for each slot, and none where nothing is bounded. A
//! connection that was refused counts until its slot is free again.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// Counts by source.
#[derive(Debug)]
pub(super) struct Sources {
    connections_max: u32,
    hasher: RandomState,
    /// Hashes, 0 for an empty place.
    keys: Box<[u64]>,
    counts: Box<[u32]>,
    /// Slots whose connections are counted.
    counted: Box<[u64]>,
}

impl Sources {
    /// Counts for so many slots; `None` where `connections_max` is 0.
    pub(super) fn new(slots: u32, connections_max: u32) -> Option<Self> {
        let places = slots as usize + slots as usize / 3 + 1;
        (connections_max > 0).then(|| Self {
            connections_max,
            hasher: RandomState::new(),
            keys: vec![0; places].into_boxed_slice(),
            counts: vec![0; places].into_boxed_slice(),
            counted: vec![0; slots.div_ceil(64) as usize].into_boxed_slice(),
        })
    }

    /// A connection came into `slot`; whether its source may have it.
    pub(super) fn enter(&mut self, slot: u32, source: IpAddr) -> bool {
        let key = self.key(source);
        let place = self.place(key);
        let (Some(held), Some(count)) = (self.keys.get_mut(place), self.counts.get_mut(place))
        else {
            return true;
        };
        *held = key;
        *count += 1;
        let is_allowed = *count <= self.connections_max;
        if let Some(word) = self.counted.get_mut(slot as usize / 64) {
            *word |= 1 << (slot % 64);
        }
        is_allowed
    }

    /// The slot is free again; nothing if it was not counted.
    pub(super) fn leave(&mut self, slot: u32, source: IpAddr) {
        let bit = 1 << (slot % 64);
        match self.counted.get_mut(slot as usize / 64) {
            Some(word) if *word & bit != 0 => *word &= !bit,
            Some(_) | None => return,
        }
        let place = self.place(self.key(source));
        let Some(count) = self.counts.get_mut(place) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.remove(place);
        }
    }

    fn key(&self, source: IpAddr) -> u64 {
        let bits = match source {
            IpAddr::V4(v4) => (4, u64::from(v4.to_bits())),
            IpAddr::V6(v6) => (6, (v6.to_bits() >> 64) as u64),
        };
        self.hasher.hash_one(bits).max(1)
    }

    /// Where the key is, or would be.
    fn place(&self, key: u64) -> usize {
        let mut place = self.home(key);
        while self.keys.get(place).is_some_and(|held| *held != 0 && *held != key) {
            place = self.next(place);
        }
        place
    }

    fn home(&self, key: u64) -> usize {
        ((u128::from(key) * self.keys.len() as u128) >> 64) as usize
    }

    fn next(&self, place: usize) -> usize {
        if place + 1 == self.keys.len() { 0 } else { place + 1 }
    }

    /// Empties a place, and moves those behind it that would not be found any more.
    fn remove(&mut self, mut empty: usize) {
        let len = self.keys.len();
        let distance = |from: usize, to: usize| (to + len - from) % len;
        let mut place = self.next(empty);
        while let Some(key) = self.keys.get(place).copied().filter(|key| *key != 0) {
            if distance(self.home(key), place) >= distance(empty, place) {
                self.keys.swap(empty, place);
                self.counts.swap(empty, place);
                empty = place;
            }
            place = self.next(place);
        }
        if let (Some(key), Some(count)) = (self.keys.get_mut(empty), self.counts.get_mut(empty)) {
            (*key, *count) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Against a map, in a table that is as full as it gets, with keys that crowd together.
    #[test]
    fn counts_are_those_of_a_map() {
        const SLOTS: u32 = 24;
        let mut sources = Sources::new(SLOTS, 3).unwrap();
        let mut model: HashMap<IpAddr, u32> = HashMap::new();
        let mut slots = [None; SLOTS as usize];
        let mut seed = 7_u64;
        let mut refused = 0;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let slot = (seed >> 33) as u32 % SLOTS;
            match slots[slot as usize].take() {
                Some(source) => {
                    sources.leave(slot, source);
                    *model.get_mut(&source).unwrap() -= 1;
                }
                None => {
                    let source = IpAddr::from([10, 0, 0, (seed >> 40) as u8 % 20]);
                    slots[slot as usize] = Some(source);
                    let count = model.entry(source).or_default();
                    *count += 1;
                    assert_eq!(sources.enter(slot, source), *count <= 3);
                    refused += u32::from(*count > 3);
                }
            }
            for (source, count) in &model {
                assert_eq!(sources.counts[sources.place(sources.key(*source))], *count);
            }
        }
        assert!(refused > 100, "{refused}");
    }

    #[test]
    fn one_host_of_ipv6_is_one_source() {
        let mut sources = Sources::new(8, 1).unwrap();
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(sources.enter(0, of("2001:db8::1")));
        assert!(!sources.enter(1, of("2001:db8::ffff:2")));
        assert!(sources.enter(2, of("2001:db8:0:1::1")));
        sources.leave(3, of("2001:db8::1"));
        assert!(!sources.enter(4, of("2001:db8::3")), "a slot that was not counted takes nothing");
        assert!(Sources::new(8, 0).is_none());
    }
}
