//! A set of tags and the newest purge of each: fixed lines of atomics, written by one thread, read
//! by any number without locks.
//!
//! A tag has two candidate lines of four slots, so a lookup costs two cache lines at most and there
//! are no chains that a removal could break. A slot without a sequence is free.
//!
//! ```text
//! writer, new tag          writer, forget         reader
//! 1 tag.store(release)     1 sequence := 0        1 tag.load = mine?
//! 2 sequence.store(rel.)     (release)            2 sequence.load; 0 → not here
//!                                                 3 tag.load = mine still? else not here
//! ```
//! A reader that finds another tag in the third step has met a slot that was forgotten and taken
//! again: its tag's entry has left the set, and the floor that replaced it is visible to him, since
//! all loads acquire.

use crate::sync::{AtomicU64, Ordering};

pub(crate) struct TagSet {
    lines: Box<[Line]>,
    used: AtomicU64,
    entries_max: u64,
    seed: u64,
}

#[cfg_attr(not(loom), repr(align(64)))]
struct Line([Slot; LINE_SLOTS]);

struct Slot {
    tag: AtomicU64,
    sequence: AtomicU64,
}

impl TagSet {
    /// An empty set for up to `entries_max` tags, which fill half of its slots.
    pub(crate) fn new(entries_max: u32, seed: u64) -> Self {
        let entries_max = u64::from(entries_max.max(2));
        let lines = (2 * entries_max).div_ceil(LINE_SLOTS as u64);
        let slot = |_| Slot { tag: AtomicU64::new(0), sequence: AtomicU64::new(0) };
        Self {
            lines: (0..lines).map(|_| Line(std::array::from_fn(slot))).collect(),
            used: AtomicU64::new(0),
            entries_max,
            seed,
        }
    }

    /// The sequence of the newest purge of a tag; 0 when there is none. Any thread.
    pub(crate) fn newest(&self, tag: u64) -> u64 {
        self.slots(tag).find_map(|slot| slot.of(tag)).unwrap_or(0)
    }

    /// Tags in the set.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.used() >= self.entries_max
    }

    /// Remembers a purge. When both lines of the tag are full: the oldest sequence in them, which
    /// must be forgotten first. Writer only.
    pub(crate) fn insert(&self, tag: u64, sequence: u64) -> Result<(), u64> {
        if let Some(known) = self.slots(tag).find(|slot| slot.of(tag).is_some()) {
            known.sequence.store(sequence, Ordering::Release);
            return Ok(());
        }
        let taken = |line: &&Line| line.0.iter().filter(|slot| !slot.is_free()).count();
        let emptier = self.lines_of(tag).into_iter().flatten().min_by_key(taken);
        if let Some(free) = emptier.and_then(|line| line.0.iter().find(|slot| slot.is_free())) {
            free.tag.store(tag, Ordering::Release);
            free.sequence.store(sequence, Ordering::Release);
            self.used.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let sequences = self.slots(tag).map(|slot| slot.sequence.load(Ordering::Relaxed));
        Err(sequences.min().unwrap_or(0))
    }

    /// Forgets every purge up to a sequence; says how many. Writer only, after the floor that
    /// stands for them was raised.
    pub(crate) fn forget(&self, to: u64) -> u64 {
        let old = self.all_slots().filter(|slot| {
            let sequence = slot.sequence.load(Ordering::Relaxed);
            sequence != 0 && sequence <= to
        });
        let gone = old.map(|slot| slot.sequence.store(0, Ordering::Release)).count() as u64;
        self.used.fetch_sub(gone, Ordering::Relaxed);
        gone
    }

    /// The sequence up to which the older half lies. Writer only.
    pub(crate) fn median(&self) -> u64 {
        let sequences = self.all_slots().map(|slot| slot.sequence.load(Ordering::Relaxed));
        let mut sequences: Vec<u64> = sequences.filter(|sequence| *sequence != 0).collect();
        let middle = sequences.len().saturating_sub(1) / 2;
        if sequences.is_empty() {
            return 0;
        }
        *sequences.select_nth_unstable(middle).1
    }

    fn all_slots(&self) -> impl Iterator<Item = &Slot> {
        self.lines.iter().flat_map(|line| &line.0)
    }

    fn slots(&self, tag: u64) -> impl Iterator<Item = &Slot> {
        self.lines_of(tag).into_iter().flatten().flat_map(|line| &line.0)
    }

    /// The two lines of a tag; one, when they are the same.
    fn lines_of(&self, tag: u64) -> [Option<&Line>; 2] {
        let product = u128::from(tag ^ self.seed) * MULTIPLIER;
        let mixed = u128::from((product >> 64) as u64 ^ product as u64) * MULTIPLIER;
        let mixed = (mixed >> 64) as u64 ^ mixed as u64;
        let line = |half: u32| (u64::from(half) * self.lines.len() as u64) >> 32;
        let (first, second) = (line(mixed as u32), line((mixed >> 32) as u32));
        let second = (first != second).then_some(second);
        [Some(first), second].map(|number| self.lines.get(number? as usize))
    }
}

impl Slot {
    /// The sequence, when the slot is of this tag.
    fn of(&self, tag: u64) -> Option<u64> {
        if self.tag.load(Ordering::Acquire) != tag {
            return None;
        }
        let sequence = self.sequence.load(Ordering::Acquire);
        let ours = sequence != 0 && self.tag.load(Ordering::Acquire) == tag;
        ours.then_some(sequence)
    }

    fn is_free(&self) -> bool {
        self.sequence.load(Ordering::Relaxed) == 0
    }
}

#[cfg(not(loom))]
const LINE_SLOTS: usize = 4;
// Loom's atomics are large and each costs it states.
#[cfg(loom)]
const LINE_SLOTS: usize = 1;

/// Any odd number with its bits well mixed: 2^128 divided by the golden ratio.
const MULTIPLIER: u128 = 0x9e37_79b9_7f4a_7c15;

#[cfg(not(loom))]
const _: () = assert!(size_of::<Line>() == 64 && align_of::<Line>() == 64);
