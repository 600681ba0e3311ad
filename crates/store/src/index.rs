//! The index: a fixed table in memory from key hash to the place of a record.
//!
//! ```text
//! slot 16 B   tag 64 (low half of the key hash) │ place 64
//! place       used 1 │ verified 4 │ soft 1 │ frequency 2 │ size class 8 │
//!             generation 8 │ segment 20 │ offset / 64 20
//! line 64 B   four slots; a key has two candidate lines, chosen by the high half of its hash
//! ```
//! One thread writes, any number read, nobody locks. A reader that meets a torn pair of tag and
//! place finds a record of another key, compares, and goes on: the full key in the record decides,
//! never the tag (ST-3). There are no links and no growth: when both lines are full the record
//! that was asked for least of the eight loses its slot, and is counted.
//!
//! A size class is ⌊8 · log₂(extent / 64)⌋: what eviction needs to know of a size, to 9%.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::format::{RECORD_ALIGN, put, u64_at};
use crate::map::IndexLines;
use crate::snapshot::SLOT_BYTES;

/// The table.
pub(crate) struct Index {
    lines: IndexLines,
    used: AtomicU64,
    displaced: AtomicU64,
}

/// Four slots in one cache line. All zero is an empty one.
#[repr(C, align(64))]
pub(crate) struct Line([Slot; LINE_SLOTS]);

#[repr(C)]
struct Slot {
    tag: AtomicU64,
    place: AtomicU64,
}

/// Where a record lies. Two places are of the same record when [`Place::bare`] is equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u64);

impl Place {
    /// The place of a record of `extent_bytes` at `at` (a multiple of 64) in `segment`. Nobody
    /// has asked for it yet.
    pub(crate) fn new(segment: u32, at: u32, generation: u64, extent_bytes: u32) -> Self {
        let offset = u64::from(at / RECORD_ALIGN) & OFFSET_MASK;
        let segment = (u64::from(segment) & SEGMENT_MASK) << SEGMENT_SHIFT;
        let generation = (generation & 0xff) << GENERATION_SHIFT;
        let class = u64::from(size_class(extent_bytes)) << CLASS_SHIFT;
        Self(USED | class | generation | segment | offset)
    }

    /// The same record, softly purged before it could be published.
    pub(crate) fn softened(self) -> Self {
        Self(self.0 | SOFT)
    }

    /// The same record, asked for `frequency` times (3 at most).
    pub(crate) fn with_frequency(self, frequency: u8) -> Self {
        let frequency = u64::from(frequency.min(FREQUENCY_MAX)) << FREQUENCY_SHIFT;
        Self(self.0 & !FREQUENCY_MASK | frequency)
    }

    pub(crate) fn segment(self) -> u32 {
        ((self.0 >> SEGMENT_SHIFT) & SEGMENT_MASK) as u32
    }

    pub(crate) fn at(self) -> u32 {
        (self.0 & OFFSET_MASK) as u32 * RECORD_ALIGN
    }

    /// How often lookups have found it since it got its slot, 3 at most.
    pub(crate) fn frequency(self) -> u8 {
        ((self.0 & FREQUENCY_MASK) >> FREQUENCY_SHIFT) as u8
    }

    /// The size class of its extent; see the head of this file.
    pub(crate) fn size_class(self) -> u8 {
        (self.0 >> CLASS_SHIFT) as u8
    }

    /// The end of its size class: no less than the extent's bytes, and at most 9.1% more.
    pub(crate) fn extent_bytes_max(self) -> u32 {
        let units = ((f64::from(self.size_class()) + 1.0) / 8.0).exp2();
        // The conversion ends at what 32 bits hold, as an extent does.
        (units * f64::from(RECORD_ALIGN)) as u32
    }

    /// Whether a soft purge has met it: it may be validated, not served as fresh.
    pub(crate) fn is_soft(self) -> bool {
        self.0 & SOFT != 0
    }

    /// Whether the low bits agree; the record header holds the whole generation.
    pub(crate) fn is_of_generation(self, generation: u64) -> bool {
        (self.0 >> GENERATION_SHIFT) & 0xff == generation & 0xff
    }

    /// At which serial of its blocks the record was verified, as [`Serial::to_bits`] has it; 0
    /// when it has not been since the store was opened.
    ///
    /// [`Serial::to_bits`]: crate::residency::Serial::to_bits
    pub(crate) fn verified(self) -> u8 {
        ((self.0 & VERIFIED) >> VERIFIED_SHIFT) as u8
    }

    /// Without what may change while it lies there: verified bits, soft bit and frequency.
    pub(crate) fn bare(self) -> u64 {
        self.0 & !(VERIFIED | SOFT | FREQUENCY_MASK)
    }

    fn from_word(word: u64) -> Option<Self> {
        (word & USED != 0).then_some(Self(word))
    }
}

/// Number of a slot in the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotNumber(u64);

impl SlotNumber {
    /// As a place in a table beside this one.
    pub(crate) fn at(self) -> usize {
        self.0 as usize
    }
}

impl Index {
    /// An empty table of at least `slots` slots. Touches none of its memory.
    ///
    /// # Errors
    /// When the kernel refuses the memory.
    pub(crate) fn new(slots: u64) -> io::Result<Self> {
        let lines = usize::try_from(slots.div_ceil(LINE_SLOTS as u64).max(1));
        let lines = lines.map_err(|_| io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            lines: IndexLines::new(lines)?,
            used: AtomicU64::new(0),
            displaced: AtomicU64::new(0),
        })
    }

    /// Calls `visit` with every place under the hash's tag until it returns something.
    pub(crate) fn find<T>(
        &self,
        hash: u128,
        mut visit: impl FnMut(SlotNumber, Place) -> Option<T>,
    ) -> Option<T> {
        let tag = hash as u64;
        let (first, second) = self.lines_of(hash);
        // Both lines at once, though the first will do half of the time: their cache misses
        // overlap, and a branch between them could only be guessed.
        let mut matching = self.matching(first, tag) | self.matching(second, tag) << LINE_SLOTS;
        while matching != 0 {
            let bit = matching.trailing_zeros() as usize;
            matching &= matching - 1;
            let line = if bit < LINE_SLOTS { first } else { second };
            let slot = &self.lines[line].0[bit % LINE_SLOTS];
            let Some(place) = Place::from_word(slot.place.load(Ordering::Acquire)) else {
                continue;
            };
            let number = SlotNumber((line * LINE_SLOTS + bit % LINE_SLOTS) as u64);
            if let Some(found) = visit(number, place) {
                return Some(found);
            }
        }
        None
    }

    /// Asks the processor for the lines of a hash.
    pub(crate) fn prefetch(&self, hash: u128) {
        let (first, second) = self.lines_of(hash);
        self.lines.prefetch(first);
        self.lines.prefetch(second);
    }

    /// Whether the slot still names the same record.
    pub(crate) fn still_names(&self, number: SlotNumber, place: Place) -> bool {
        let word = self.slot(number).map(|slot| slot.place.load(Ordering::Acquire));
        word.and_then(Place::from_word).is_some_and(|now| now.bare() == place.bare())
    }

    /// Remembers at which serial (1 to 15) a record was verified. Any thread.
    pub(crate) fn set_verified(&self, number: SlotNumber, place: Place, verified: u8) {
        let bits = u64::from(verified) << VERIFIED_SHIFT & VERIFIED;
        self.set_bits(number, place, VERIFIED, bits);
    }

    /// Counts a lookup that has found the record, up to 3. A race lost to another count is one
    /// lookup less. Any thread.
    pub(crate) fn bump(&self, number: SlotNumber, place: Place) {
        if place.frequency() == FREQUENCY_MAX {
            return;
        }
        let Some(slot) = self.slot(number) else { return };
        let word = slot.place.load(Ordering::Relaxed);
        let Some(now) = Place::from_word(word) else { return };
        if now.bare() == place.bare() && now.frequency() < FREQUENCY_MAX {
            let counted = word + (1 << FREQUENCY_SHIFT);
            let relaxed = Ordering::Relaxed;
            let _ = slot.place.compare_exchange(word, counted, relaxed, relaxed);
        }
    }

    /// Marks every record under the hash's tag as purged softly; says whether there was one.
    pub(crate) fn set_soft(&self, hash: u128) -> bool {
        let mut any = false;
        let marked = self.find(hash, |number, place| {
            self.set_bits(number, place, SOFT, SOFT);
            any = true;
            None::<()>
        });
        debug_assert!(marked.is_none());
        any
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

    /// Publishes the newest record of a key. It takes over how often its forerunner was asked for,
    /// if there was one; else, when both lines are full, the slot of what was asked for least.
    /// Writer only.
    pub(crate) fn insert(&self, hash: u128, place: Place) {
        let tag = hash as u64;
        let mut target = None;
        for number in self.candidates(hash) {
            let Some((_, found)) = self.load(number).filter(|found| found.0 == tag) else {
                continue;
            };
            match target {
                None => target = Some((number, found.frequency())),
                Some(_) => self.clear(number),
            }
        }
        if let Some((number, frequency)) = target {
            self.store(number, tag, place.with_frequency(frequency));
        } else if let Some(number) = self.free(hash) {
            self.store(number, tag, place);
        } else {
            let frequency = |number: &SlotNumber| self.at(*number).map(Place::frequency);
            if let Some(number) = self.candidates(hash).min_by_key(frequency) {
                self.store(number, tag, place);
                self.count_displaced();
            }
        }
    }

    /// Lets a copy take the slot of the record that it was made of, if that slot still names it:
    /// what was removed, replaced or found damaged meanwhile stays so. A soft purge that has come
    /// meanwhile concerns the copy, too. Says whether it was done. Writer only.
    pub(crate) fn replace(&self, hash: u128, old: Place, new: Place) -> bool {
        let named = |number, place: Place| (place.bare() == old.bare()).then_some(number);
        let number = self.find(hash, named);
        let Some(slot) = number.and_then(|number| self.slot(number)) else { return false };
        let mut word = slot.place.load(Ordering::Relaxed);
        while Place::from_word(word).is_some_and(|now| now.bare() == old.bare()) {
            let copy = new.0 | word & SOFT;
            match slot.place.compare_exchange(word, copy, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
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
        self.visit_segment(segment, |number, _| {
            self.clear(number);
            removed += 1;
        });
        removed
    }

    /// Calls `visit` with every place in a segment; as dear as [`Index::remove_segment`].
    pub(crate) fn visit_segment(&self, segment: u32, mut visit: impl FnMut(SlotNumber, Place)) {
        for (line_number, line) in self.lines.iter().enumerate() {
            for (slot_number, slot) in line.0.iter().enumerate() {
                let place = Place::from_word(slot.place.load(Ordering::Acquire));
                if let Some(place) = place.filter(|place| place.segment() == segment) {
                    visit(SlotNumber((line_number * LINE_SLOTS + slot_number) as u64), place);
                }
            }
        }
    }

    /// Slots `first` and up as a snapshot has them (`snapshot.rs`), as many as `image` has room
    /// for; empty where there is none, or where `keep` refuses the place. On the writer's thread a
    /// slot is never seen half changed.
    pub(crate) fn copy_image(&self, first: u64, image: &mut [u8], keep: impl Fn(Place) -> bool) {
        for (number, bytes) in (first..).zip(image.chunks_exact_mut(SLOT_BYTES as usize)) {
            let kept = self.load(SlotNumber(number)).filter(|&(_, place)| keep(place));
            let (tag, word) = kept.map_or((0, 0), |(tag, place)| (tag, place.0 & !VERIFIED));
            put(bytes, 0, &tag.to_le_bytes());
            put(bytes, 8, &word.to_le_bytes());
        }
    }

    /// Fills slots `first` and up of an index that nobody reads yet; places that `keep` refuses
    /// stay out. Nothing counts as verified. Several threads may load a part each.
    pub(crate) fn load_image(&self, first: u64, image: &[u8], keep: impl Fn(Place) -> bool) {
        let mut used = 0;
        for (number, bytes) in (first..).zip(image.chunks_exact(SLOT_BYTES as usize)) {
            let place = Place::from_word(u64_at(bytes, 8) & !VERIFIED).filter(|place| keep(*place));
            let (Some(place), Some(slot)) = (place, self.slot(SlotNumber(number))) else {
                continue;
            };
            slot.tag.store(u64_at(bytes, 0), Ordering::Relaxed);
            slot.place.store(place.0, Ordering::Release);
            used += 1;
        }
        self.used.fetch_add(used, Ordering::Relaxed);
    }

    /// Empties a table that nobody reads yet.
    pub(crate) fn clear_all(&self) {
        for line in self.lines.iter() {
            line.0.iter().for_each(|slot| slot.place.store(0, Ordering::Relaxed));
        }
        self.used.store(0, Ordering::Relaxed);
    }

    /// Slots in the table.
    pub(crate) fn slots(&self) -> u64 {
        (self.lines.len() * LINE_SLOTS) as u64
    }

    /// Slots in use.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Records that lost their slot to another key.
    pub(crate) fn displaced(&self) -> u64 {
        self.displaced.load(Ordering::Relaxed)
    }

    /// The two candidate lines, which may be the same one.
    fn lines_of(&self, hash: u128) -> (usize, usize) {
        let high = (hash >> 64) as u64;
        let count = self.lines.len() as u128;
        // Multiply and shift maps 64 bits evenly onto any count; the rotation makes the second
        // choice independent of the first.
        let line = |mixed: u64| ((u128::from(mixed) * count) >> 64) as usize;
        (line(high), line(high.rotate_left(32)))
    }

    /// Which slots of a line have the tag, as bits.
    fn matching(&self, line: usize, tag: u64) -> usize {
        let slots = self.lines[line].0.iter().enumerate();
        let bit =
            |(at, slot): (usize, &Slot)| usize::from(slot.tag.load(Ordering::Relaxed) == tag) << at;
        slots.map(bit).fold(0, |matching, bit| matching | bit)
    }

    /// The slots that a hash may have.
    pub(crate) fn candidates(
        &self,
        hash: u128,
    ) -> impl Iterator<Item = SlotNumber> + Clone + use<> {
        let (first, second) = self.lines_of(hash);
        let twice = if first == second { 0 } else { LINE_SLOTS };
        let line = |line: usize, slots: usize| (0..slots).map(move |at| line * LINE_SLOTS + at);
        let numbers = line(first, LINE_SLOTS).chain(line(second, twice));
        numbers.map(|number| SlotNumber(number as u64))
    }

    /// A free slot in the emptier one of the two lines, so that lines fill evenly.
    pub(crate) fn free(&self, hash: u128) -> Option<SlotNumber> {
        let free = self.candidates(hash).filter(|&number| self.load(number).is_none());
        let in_line = |line: u64| {
            let in_line = |number: &SlotNumber| number.0 / LINE_SLOTS as u64 == line;
            free.clone().filter(in_line).count()
        };
        free.clone().max_by_key(|number| in_line(number.0 / LINE_SLOTS as u64))
    }

    /// What a slot names.
    pub(crate) fn at(&self, number: SlotNumber) -> Option<Place> {
        self.load(number).map(|(_, place)| place)
    }

    pub(crate) fn count_displaced(&self) {
        self.displaced.fetch_add(1, Ordering::Relaxed);
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

    /// Gives a slot to a place. Writer, or recovery, only.
    pub(crate) fn store(&self, number: SlotNumber, tag: u64, place: Place) {
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

    fn set_bits(&self, number: SlotNumber, place: Place, mask: u64, bits: u64) {
        let Some(slot) = self.slot(number) else { return };
        let mut word = slot.place.load(Ordering::Relaxed);
        while Place::from_word(word).is_some_and(|now| now.bare() == place.bare()) {
            let (set, relaxed) = (word & !mask | bits, Ordering::Relaxed);
            match slot.place.compare_exchange(word, set, Ordering::AcqRel, relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }
}

/// See the head of this file.
fn size_class(extent_bytes: u32) -> u8 {
    let units = f64::from(extent_bytes.max(RECORD_ALIGN)) / f64::from(RECORD_ALIGN);
    (units.log2() * 8.0) as u8
}

const LINE_SLOTS: usize = 4;
const OFFSET_MASK: u64 = (1 << 20) - 1;
const SEGMENT_SHIFT: u32 = 20;
const SEGMENT_MASK: u64 = (1 << 20) - 1;
const GENERATION_SHIFT: u32 = 40;
const CLASS_SHIFT: u32 = 48;
const FREQUENCY_SHIFT: u32 = 56;
const FREQUENCY_MAX: u8 = 3;
const FREQUENCY_MASK: u64 = 3 << FREQUENCY_SHIFT;
const SOFT: u64 = 1 << 58;
const VERIFIED_SHIFT: u32 = 59;
const VERIFIED: u64 = 0xf << VERIFIED_SHIFT;
const USED: u64 = 1 << 63;

const _: () = assert!(size_of::<Line>() == 64 && align_of::<Line>() == 64);
