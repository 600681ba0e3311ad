//! Virtual time, what is due when, and the seeded source of chance.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// SplitMix64: small, good enough to explore orders, the same everywhere.
#[derive(Debug)]
pub(super) struct Chance {
    state: u64,
}

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `max`, both included.
    pub(super) fn up_to(&mut self, max: u64) -> u64 {
        match max.checked_add(1) {
            Some(count) => self.next() % count,
            None => self.next(),
        }
    }

    /// True once in `count` times; never for 0.
    pub(super) fn one_in(&mut self, count: u32) -> bool {
        count > 0 && self.next().is_multiple_of(u64::from(count))
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.up_to(last as u64) as usize);
        }
    }
}

/// Things due at virtual instants: earliest first, and first come first served within one.
#[derive(Debug)]
pub(super) struct Timeline<T> {
    due: BinaryHeap<Reverse<Entry<T>>>,
    next_number: u64,
}

impl<T> Timeline<T> {
    pub(super) fn new() -> Self {
        Self { due: BinaryHeap::new(), next_number: 0 }
    }

    pub(super) fn push(&mut self, due_us: u64, item: T) {
        self.due.push(Reverse(Entry { due_us, number: self.next_number, item }));
        self.next_number += 1;
    }

    /// When the next thing is due.
    pub(super) fn next_due_us(&self) -> Option<u64> {
        self.due.peek().map(|Reverse(entry)| entry.due_us)
    }

    /// The next thing if it is due at `now_us`.
    pub(super) fn pop_due(&mut self, now_us: u64) -> Option<T> {
        if self.next_due_us()? > now_us {
            return None;
        }
        self.due.pop().map(|Reverse(entry)| entry.item)
    }
}

#[derive(Debug)]
struct Entry<T> {
    due_us: u64,
    number: u64,
    item: T,
}

impl<T> Entry<T> {
    fn key(&self) -> (u64, u64) {
        (self.due_us, self.number)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}
