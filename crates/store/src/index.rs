//! The index: a fixed table in memory from key hash to the place of a record.
//!
//! ```text
//! slot 16 B   tag 64 (low half of the key hash) │ place 64
//! place       used 1 │ body verified 1 │ head verified 1 │ spare 13 │
//!             generation 8 │ segment 20 │ offset / 64 20
//! line 64 B   four slots; a key has two candidate lines, chosen by the high half of its hash
//! ```
//! One thread writes, any number read, nobody locks. A reader that meets a torn pair of tag and
//! place finds a record of another key, compares, and goes on: the full key in the record decides,
//! never the tag (ST-3). There are no links and no growth: when both lines are full the oldest
//! record of the eight loses its slot, and is counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// The table.
pub(crate) struct Index {
    lines: Box<[Line]>,
    used: AtomicU64,
    displaced: AtomicU64,
}

#[repr(align(64))]
struct Line([Slot; LINE_SLOTS]);

struct Slot {
    tag: AtomicU64,
    place: AtomicU64,
}

/// Where a record lies. Two places are of the same record when [`Place::bare`] is equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u64);

impl Place {
    /// The place of a record at `at` (a multiple of 64) in `segment`.
    pub(crate) fn new(segment: u32, at: u32, generation: u64) -> Self {
        let offset = u64::from(at / crate::format::RECORD_ALIGN) & OFFSET_MASK;
        let segment = (u64::from(segment) & SEGMENT_MASK) << SEGMENT_SHIFT;
        Self(USED | (generation & 0xff) << GENERATION_SHIFT | segment | offset)
    }

    pub(crate) fn segment(self) -> u32 {
        ((self.0 >> SEGMENT_SHIFT) & SEGMENT_MASK) as u32
    }

    pub(crate) fn at(self) -> u32 {
        (self.0 & OFFSET_MASK) as u32 * crate::format::RECORD_ALIGN
    }

    /// Whether the low bits agree; the record header holds the whole generation.
    pub(crate) fn is_of_generation(self, generation: u64) -> bool {
        (self.0 >> GENERATION_SHIFT) & 0xff == generation & 0xff
    }

    pub(crate) fn is_head_verified(self) -> bool {
        self.0 & HEAD_VERIFIED != 0
    }

    pub(crate) fn is_body_verified(self) -> bool {
        self.0 & BODY_VERIFIED != 0
    }

    /// Without the verified bits.
    pub(crate) fn bare(self) -> u64 {
        self.0 & !(HEAD_VERIFIED | BODY_VERIFIED)
    }

    fn from_word(word: u64) -> Option<Self> {
        (word & USED != 0).then_some(Self(word))
    }
}

/// Number of a slot in the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotNumber(u64);

/// What became of an insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It took a free slot, or the slot of an older record of the same tag.
    Stored,
    /// It took the slot of an older record of another key.
    Displaced,
    /// A newer record of the same tag is there: nothing was changed.
    Outranked,
}

impl Index {
    /// An empty table of at least `slots` slots.
    pub(crate) fn new(slots: u64) -> Self {
        let lines = slots.div_ceil(LINE_SLOTS as u64).max(1);
        Self {
            lines: (0..lines).map(|_| Line::empty()).collect(),
            used: AtomicU64::new(0),
            displaced: AtomicU64::new(0),
        }
    }

    /// Calls `visit` with every place under the hash's tag until it returns something.
    pub(crate) fn find<T>(
        &self,
        hash: u128,
        mut visit: impl FnMut(SlotNumber, Place) -> Option<T>,
    ) -> Option<T> {
        let tag = hash as u64;
        for number in self.candidates(hash) {
            let Some(slot) = self.slot(number) else { continue };
            if slot.tag.load(Ordering::Relaxed) != tag {
                continue;
            }
            let Some(place) = Place::from_word(slot.place.load(Ordering::Acquire)) else {
                continue;
            };
            if let Some(found) = visit(number, place) {
                return Some(found);
            }
        }
        None
    }

    /// Whether the slot still names the same record.
    pub(crate) fn still_names(&self, number: SlotNumber, place: Place) -> bool {
        let word = self.slot(number).map(|slot| slot.place.load(Ordering::Acquire));
        word.and_then(Place::from_word).is_some_and(|now| now.bare() == place.bare())
    }

    /// Remembers that header, key, head and sums have passed their MAC. Any thread.
    pub(crate) fn set_head_verified(&self, number: SlotNumber, place: Place) {
        self.set_bits(number, place, HEAD_VERIFIED);
    }

    /// Remembers that the only chunk of the body has passed its sum. Any thread.
    pub(crate) fn set_body_verified(&self, number: SlotNumber, place: Place) {
        self.set_bits(number, place, BODY_VERIFIED);
    }

    /// Forgets a damaged record, unless the slot has another one by now. Any thread.
    pub(crate) fn discard(&self, number: SlotNumber, place: Place) {
        let Some(slot) = self.slot(number) else { return };
        let mut word = slot.place.load(Ordering::Acquire);
        while Place::from_word(word).is_some_and(|now| now.bare() == place.bare()) {
            let emptied = slot.place.compare_exchange(word, 0, Ordering::AcqRel, Ordering::Acquire);
            match emptied {
                Ok(_) => {
                    self.used.fetch_sub(1, Ordering::Relaxed);
                    return;
                }
                Err(now) => word = now,
            }
        }
    }

    /// Publishes a record. `rank` orders places by the age of their records. Writer only.
    pub(crate) fn insert<R: Ord>(
        &self,
        hash: u128,
        place: Place,
        rank: impl Fn(Place) -> R,
    ) -> Inserted {
        let tag = hash as u64;
        let mut target = None;
        for number in self.candidates(hash) {
            let Some((found_tag, found)) = self.load(number) else { continue };
            if found_tag == tag {
                if rank(found) > rank(place) {
                    return Inserted::Outranked;
                }
                match target {
                    None => target = Some(number),
                    Some(_) => self.clear(number),
                }
            }
        }
        if let Some(number) = target {
            self.store(number, tag, place);
            return Inserted::Stored;
        }
        if let Some(number) = self.free(hash) {
            self.store(number, tag, place);
            return Inserted::Stored;
        }
        let age = |number: &SlotNumber| self.load(*number).map(|(_, found)| rank(found));
        let Some(oldest) = self.candidates(hash).min_by_key(age) else {
            return Inserted::Outranked;
        };
        self.store(oldest, tag, place);
        self.displaced.fetch_add(1, Ordering::Relaxed);
        Inserted::Displaced
    }

    /// Removes every place under the hash's tag; says whether there was one. Writer only.
    pub(crate) fn remove(&self, hash: u128) -> bool {
        let tag = hash as u64;
        let mut any = false;
        for number in self.candidates(hash) {
            if self.load(number).is_some_and(|(found, _)| found == tag) {
                self.clear(number);
                any = true;
            }
        }
        any
    }

    /// Removes every place in a segment: a scan of the whole table, about 2 ms for a million
    /// slots. No slot names the segment afterwards, which nothing shorter can promise.
    /// Writer only.
    pub(crate) fn remove_segment(&self, segment: u32) -> u64 {
        let mut removed = 0;
        for (line_number, line) in self.lines.iter().enumerate() {
            for (slot_number, slot) in line.0.iter().enumerate() {
                let place = Place::from_word(slot.place.load(Ordering::Relaxed));
                if place.is_some_and(|place| place.segment() == segment) {
                    self.clear(SlotNumber((line_number * LINE_SLOTS + slot_number) as u64));
                    removed += 1;
                }
            }
        }
        removed
    }

    /// Slots in use.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Records that lost their slot to another key.
    pub(crate) fn displaced(&self) -> u64 {
        self.displaced.load(Ordering::Relaxed)
    }

    fn candidates(&self, hash: u128) -> impl Iterator<Item = SlotNumber> + Clone + use<> {
        let high = (hash >> 64) as u64;
        let count = self.lines.len() as u128;
        // Multiply and shift maps 64 bits evenly onto any count; the rotation makes the second
        // choice independent of the first.
        let first = ((u128::from(high) * count) >> 64) as u64;
        let second = ((u128::from(high.rotate_left(32)) * count) >> 64) as u64;
        let twice = if first == second { 0 } else { LINE_SLOTS as u64 };
        let line =
            move |line: u64, slots: u64| (0..slots).map(move |s| line * LINE_SLOTS as u64 + s);
        line(first, LINE_SLOTS as u64).chain(line(second, twice)).map(SlotNumber)
    }

    /// A free slot in the emptier one of the two lines, so that lines fill evenly.
    fn free(&self, hash: u128) -> Option<SlotNumber> {
        let free = self.candidates(hash).filter(|&number| self.load(number).is_none());
        let in_line = |line: u64| {
            let in_line = |number: &SlotNumber| number.0 / LINE_SLOTS as u64 == line;
            free.clone().filter(in_line).count()
        };
        free.clone().max_by_key(|number| in_line(number.0 / LINE_SLOTS as u64))
    }

    fn slot(&self, number: SlotNumber) -> Option<&Slot> {
        let number = number.0 as usize;
        Some(&self.lines.get(number / LINE_SLOTS)?.0[number % LINE_SLOTS])
    }

    fn load(&self, number: SlotNumber) -> Option<(u64, Place)> {
        let slot = self.slot(number)?;
        let place = Place::from_word(slot.place.load(Ordering::Acquire))?;
        Some((slot.tag.load(Ordering::Relaxed), place))
    }

    fn store(&self, number: SlotNumber, tag: u64, place: Place) {
        let Some(slot) = self.slot(number) else { return };
        if slot.tag.load(Ordering::Relaxed) != tag {
            self.clear(number);
            slot.tag.store(tag, Ordering::Release);
        }
        if slot.place.swap(place.0, Ordering::AcqRel) == 0 {
            self.used.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn clear(&self, number: SlotNumber) {
        let Some(slot) = self.slot(number) else { return };
        if slot.place.swap(0, Ordering::AcqRel) != 0 {
            self.used.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn set_bits(&self, number: SlotNumber, place: Place, bits: u64) {
        let Some(slot) = self.slot(number) else { return };
        let mut word = slot.place.load(Ordering::Relaxed);
        while Place::from_word(word).is_some_and(|now| now.bare() == place.bare()) {
            let (set, relaxed) = (word | bits, Ordering::Relaxed);
            match slot.place.compare_exchange(word, set, Ordering::AcqRel, relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }
}

impl Line {
    fn empty() -> Self {
        let empty = |_| Slot { tag: AtomicU64::new(0), place: AtomicU64::new(0) };
        Self(std::array::from_fn(empty))
    }
}

const LINE_SLOTS: usize = 4;
const OFFSET_MASK: u64 = (1 << 20) - 1;
const SEGMENT_SHIFT: u32 = 20;
const SEGMENT_MASK: u64 = (1 << 20) - 1;
const GENERATION_SHIFT: u32 = 40;
const HEAD_VERIFIED: u64 = 1 << 61;
const BODY_VERIFIED: u64 = 1 << 62;
const USED: u64 = 1 << 63;

const _: () = assert!(size_of::<Line>() == 64 && align_of::<Line>() == 64);
