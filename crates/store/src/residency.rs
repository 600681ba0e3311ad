//! Which blocks of a disk volume are in memory, and how often each had to be read again.
//!
//! A thread that serves must not touch a page that is not in memory, nor hand it to the kernel to
//! be sent: either would wait for the device (store.md, sections 3.1 and 3.5). So before each use
//! the blocks of a range are looked at here. A block that was seen in memory less than two seconds
//! ago costs one load; an older one is asked for at the kernel; what is not there is *cold*, and
//! must be paged in by somebody who may wait (`pager`, or the calling thread of
//! [`Reader::lookup`](crate::Reader::lookup)).
//!
//! ```text
//! block word   tick 16 (0 unknown, 65,535 being read, 65,534 known to be cold,
//!              else second of the last look) │ serial 16
//!
//!                    begin: not cached              settle
//!  seen, unknown, cold ─────────────► being read ─────────► seen
//!                        serial + 1                failure: unknown
//! ```
//! **Serials.** Bytes that were verified and then dropped from memory come from the device again,
//! and may come back different. Each reading of a block raises its serial. A record is verified
//! *at* the sum of its blocks' serials ([`Serial`]); when that sum has changed, it is so again.
//! Beside a record there is room for a small sum; from there on it is verified at each lookup. A
//! segment that is written anew starts at zero.
//!
//! What this cannot promise: between the look and the use the kernel may take the page away, under
//! heavy pressure; and a tick that is not renewed for 18 hours looks fresh for two seconds. Then
//! the thread waits for the device once. Workers count such faults.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::map::Mapping;
use crate::sys;

/// The blocks of one volume.
pub(crate) struct Residency {
    words: Box<[AtomicU32]>,
    block_shift: u32,
    /// End of the mapping.
    bytes: u64,
}

/// Part of a store that is not in memory, and that somebody who may wait has to page in:
/// [`Pager::page_in`](crate::Pager), or [`Store::page_in`](crate::Store::page_in).
///
/// It holds nothing: its segment may be reclaimed meanwhile. Look again after it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PageIn {
    pub(crate) volume: usize,
    /// Of the volume's file, in whole blocks.
    pub(crate) range: Range<u64>,
}

/// The second in which something happened, 1 to 65,533 and round again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tick(u16);

/// How often a range has been read since its segment was written: what was verified at one serial
/// is not verified at another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Serial(u32);

/// What came of reading a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It is in memory.
    Done,
    /// The file does not give it.
    Failed,
    /// The kernel could not try for want of something else.
    Unknown,
}

impl Serial {
    /// The first serial, which what never leaves memory keeps.
    pub(crate) const FIRST: Self = Self(0);
    /// Serials below can be kept beside a record; at this one nothing counts as verified.
    pub(crate) const END: u32 = 15;

    /// As a number to keep: 1 to 15, or none when the bound is reached.
    pub(crate) fn to_bits(self) -> Option<u8> {
        (self.0 < Self::END).then_some(self.0 as u8 + 1)
    }
}

impl Tick {
    /// The current one, by a clock that is kept in memory: some 5 ns.
    pub(crate) fn now() -> Self {
        Self(1 + (sys::coarse_seconds() % u64::from(TICKS)) as u16)
    }

    /// Whether what was seen at `then` may be taken to be still so.
    fn is_fresh(self, then: u16) -> bool {
        // What stands for no second is none of the clock's.
        let is_tick = then != UNKNOWN && then < COLD;
        is_tick && (u32::from(self.0) + TICKS - u32::from(then)) % TICKS <= FRESH_TICKS
    }
}

impl Residency {
    /// Nothing is known of any block of a volume of `bytes`.
    pub(crate) fn new(bytes: u64) -> Self {
        let block_shift = BLOCK_BYTES.max(rustix::param::page_size() as u64).ilog2();
        let blocks = bytes.div_ceil(1 << block_shift);
        Self { words: (0..blocks).map(|_| AtomicU32::new(0)).collect(), block_shift, bytes }
    }

    /// Memory that the blocks of a volume of `bytes` take.
    pub(crate) fn memory_bytes(bytes: u64) -> u64 {
        bytes.div_ceil(BLOCK_BYTES) * 4
    }

    /// The serial of a range that is in memory as a whole; `None` when some of it is cold.
    ///
    /// One load for each 16 KiB, and a system call when one of them has not been looked at for a
    /// while.
    #[inline]
    pub(crate) fn check(&self, map: &Mapping, range: &Range<u64>, now: Tick) -> Option<Serial> {
        let mut serial = 0u32;
        for block in self.blocks(range) {
            let word = self.words.get(block)?.load(Ordering::Acquire);
            if !now.is_fresh(tick_of(word)) {
                return self.look(map, range, now);
            }
            serial += word >> SERIAL_SHIFT;
        }
        Some(Serial(serial))
    }

    /// As [`Residency::check`], when the ticks are old.
    #[cold]
    fn look(&self, map: &Mapping, range: &Range<u64>, now: Tick) -> Option<Serial> {
        // A page that is being read counts as cached at the kernel; its reader will tell.
        let is_cold = |block: usize| {
            let word = self.words.get(block).map(|word| word.load(Ordering::Acquire));
            word.is_none_or(|word| tick_of(word) >= COLD)
        };
        if self.blocks(range).any(is_cold) || !map.is_cached(self.rounded(range)) {
            return None;
        }
        let mut serial = 0u32;
        for block in self.blocks(range) {
            let see = |word| (tick_of(word) < COLD).then_some(with_tick(word, now.0));
            let seen =
                self.words.get(block)?.fetch_update(Ordering::AcqRel, Ordering::Acquire, see);
            serial += seen.ok()? >> SERIAL_SHIFT;
        }
        Some(Serial(serial))
    }

    /// The serial of a range, cold or not.
    pub(crate) fn serial(&self, range: &Range<u64>) -> Serial {
        let words = self.words.get(self.blocks(range)).unwrap_or(&[]);
        let sum: u32 = words.iter().map(|word| word.load(Ordering::Acquire) >> SERIAL_SHIFT).sum();
        Serial(sum)
    }

    /// The range, widened to whole blocks that lie in the mapping.
    pub(crate) fn rounded(&self, range: &Range<u64>) -> Range<u64> {
        let blocks = self.blocks(range);
        let end = (blocks.end as u64) << self.block_shift;
        (blocks.start as u64) << self.block_shift..end.min(self.bytes)
    }

    /// Begins to page a range in: marks its cold blocks as being read, each with its next serial,
    /// and gives them to `part` in pieces of at most `part_bytes_max`. Whoever gets a part reads
    /// it, and then settles it.
    ///
    /// A block that another is reading is given out too: reading it once more waits for that one.
    pub(crate) fn begin(
        &self,
        map: &Mapping,
        range: &Range<u64>,
        part_bytes_max: u64,
        mut part: impl FnMut(Range<u64>),
    ) {
        let mut open: Option<Range<u64>> = None;
        for block in self.blocks(range) {
            let start = (block as u64) << self.block_shift;
            let bounds = self.rounded(&(start..start + 1));
            let Some(word) = self.words.get(block) else { continue };
            let is_cold = tick_of(word.load(Ordering::Acquire)) >= COLD;
            if !is_cold && map.is_cached(bounds.clone()) {
                continue;
            }
            mark(word);
            match &mut open {
                Some(part) if part.end == start && bounds.end - part.start <= part_bytes_max => {
                    part.end = bounds.end;
                }
                _ => {
                    if let Some(ready) = open.replace(bounds) {
                        part(ready);
                    }
                }
            }
        }
        if let Some(ready) = open {
            part(ready);
        }
    }

    /// A part from [`Residency::begin`] is in memory now, or nobody knows.
    pub(crate) fn settle(&self, part: &Range<u64>, reading: Reading) {
        let tick = match reading {
            Reading::Done => Tick::now().0,
            Reading::Failed | Reading::Unknown => UNKNOWN,
        };
        for word in self.words.get(self.blocks(part)).unwrap_or(&[]) {
            let settle = |word| Some(with_tick(word, tick));
            // It cannot fail: the closure always gives a word.
            let _ = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, settle);
        }
    }

    /// Takes a range to be cold until it is paged in, whatever the kernel says.
    pub(crate) fn set_cold(&self, range: &Range<u64>) {
        for word in self.words.get(self.blocks(range)).unwrap_or(&[]) {
            let cold = |word| (tick_of(word) != BEING_READ).then_some(with_tick(word, COLD));
            // It fails for blocks that are being read: they are as good as cold.
            let _ = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, cold);
        }
    }

    /// Forgets what was known of the blocks of a segment that will be written anew. Blocks that it
    /// shares with a neighbour keep their serials.
    pub(crate) fn reset(&self, segment: &Range<u64>) {
        let first = (segment.start.div_ceil(1 << self.block_shift)) as usize;
        let behind = (segment.end >> self.block_shift) as usize;
        for word in self.words.get(first..behind).unwrap_or(&[]) {
            word.store(0, Ordering::Release);
        }
    }

    fn blocks(&self, range: &Range<u64>) -> Range<usize> {
        let end = range.end.min(self.bytes);
        let first = (range.start >> self.block_shift) as usize;
        let behind = end.div_ceil(1 << self.block_shift) as usize;
        first..behind.max(first)
    }
}

/// A block is being read from here on; its serial rises unless somebody reads it already.
fn mark(word: &AtomicU32) {
    let mark = |word: u32| {
        let raised = (word >> SERIAL_SHIFT).saturating_add(1).min(SERIAL_MAX);
        let serial = if tick_of(word) == BEING_READ { word >> SERIAL_SHIFT } else { raised };
        Some(serial << SERIAL_SHIFT | u32::from(BEING_READ))
    };
    // It cannot fail: the closure always gives a word.
    let _ = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, mark);
}

fn tick_of(word: u32) -> u16 {
    word as u16
}

fn with_tick(word: u32, tick: u16) -> u32 {
    word >> SERIAL_SHIFT << SERIAL_SHIFT | u32::from(tick)
}

/// Least unit in which residency is known and pages are read in.
pub(crate) const BLOCK_BYTES: u64 = 16 << 10;

const SERIAL_SHIFT: u32 = 16;
const SERIAL_MAX: u32 = u16::MAX as u32;
const UNKNOWN: u16 = 0;
const BEING_READ: u16 = u16::MAX;
const COLD: u16 = BEING_READ - 1;
/// Different ticks.
const TICKS: u32 = COLD as u32 - 1;
/// A block seen in this second or the one before is not looked at again.
const FRESH_TICKS: u32 = 1;

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use rustix::fs::{Advice, fadvise};

    use super::*;

    const LEN: u64 = 20 * BLOCK_BYTES + 4096;

    fn mapped() -> (File, Mapping, Residency) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; LEN as usize]).unwrap();
        file.sync_all().unwrap();
        let map = Mapping::new(&file, LEN).unwrap();
        map.advise_random();
        (file, map, Residency::new(LEN))
    }

    /// Drops all pages. False where the file system keeps them: in memory there is nothing cold.
    fn dropped(file: &File, map: &Mapping) -> bool {
        fadvise(file, 0, None, Advice::DontNeed).unwrap();
        let dropped = !map.is_cached(0..LEN);
        if !dropped {
            eprintln!("this file system keeps its pages; there is nothing to test");
        }
        dropped
    }

    fn page_in(map: &Mapping, residency: &Residency, range: Range<u64>) -> Vec<Range<u64>> {
        let mut parts = Vec::new();
        residency.begin(map, &range, 4 * BLOCK_BYTES, |part| parts.push(part));
        for part in &parts {
            assert_eq!(residency.check(map, part, Tick::now()), None, "it is being read");
            map.page_in(part.clone()).unwrap();
            residency.settle(part, Reading::Done);
        }
        parts
    }

    #[test]
    fn what_was_dropped_is_cold_until_it_is_paged_in() {
        let (file, map, residency) = mapped();
        let now = Tick::now();
        assert_eq!(residency.check(&map, &(0..LEN), now), Some(Serial(0)));
        if !dropped(&file, &map) {
            return;
        }
        assert_eq!(residency.check(&map, &(0..1), now), Some(Serial(0)), "it was just seen");
        residency.reset(&(0..LEN + BLOCK_BYTES));
        assert_eq!(residency.check(&map, &(100..101), now), None);

        let wanted = BLOCK_BYTES + 5..BLOCK_BYTES + 6;
        let read = page_in(&map, &residency, wanted);
        assert_eq!((read.len(), read[0].clone()), (1, BLOCK_BYTES..2 * BLOCK_BYTES));
        let now = Tick::now();
        assert_eq!(residency.check(&map, &(BLOCK_BYTES..2 * BLOCK_BYTES), now), Some(Serial(1)));
        assert_eq!(residency.check(&map, &(BLOCK_BYTES..2 * BLOCK_BYTES + 1), now), None);
    }

    #[test]
    fn only_cold_blocks_are_read_and_in_bounded_parts() {
        let (file, map, residency) = mapped();
        if !dropped(&file, &map) {
            return;
        }
        let block = |n: u64| n * BLOCK_BYTES;
        page_in(&map, &residency, block(2)..block(3));
        let parts = page_in(&map, &residency, 0..LEN);
        let rest = [(0, 2), (3, 7), (7, 11), (11, 15), (15, 19)];
        let mut expected: Vec<_> = rest.map(|(from, to)| block(from)..block(to)).into();
        expected.push(block(19)..LEN);
        assert_eq!(parts, expected);
        assert!(residency.words.iter().all(|word| word.load(Ordering::Relaxed) >> 16 == 1));
        assert!(page_in(&map, &residency, 0..LEN).is_empty());
    }

    #[test]
    fn a_serial_rises_with_each_reading_up_to_its_bound() {
        let (_file, map, residency) = mapped();
        for round in 1..=20 {
            residency.set_cold(&(0..1));
            assert_eq!(residency.check(&map, &(0..1), Tick::now()), None);
            page_in(&map, &residency, 0..1);
            let serial = residency.check(&map, &(0..1), Tick::now()).expect("it is there");
            assert_eq!(serial, residency.serial(&(0..1)));
            assert_eq!(serial.to_bits(), (round < 15).then_some(round as u8 + 1));
        }
        residency.reset(&(0..BLOCK_BYTES));
        assert_eq!(residency.serial(&(0..1)), Serial::FIRST);
    }

    #[test]
    fn a_failed_reading_leaves_the_blocks_cold() {
        let (file, map, residency) = mapped();
        if !dropped(&file, &map) {
            return;
        }
        file.set_len(BLOCK_BYTES).unwrap();
        let range = BLOCK_BYTES..3 * BLOCK_BYTES;
        let mut parts = Vec::new();
        residency.begin(&map, &range, 1 << 20, |part| parts.push(part));
        assert_eq!(parts, std::slice::from_ref(&range));
        assert!(map.page_in(range.clone()).is_err());
        residency.settle(&range, Reading::Failed);
        assert_eq!(residency.check(&map, &range, Tick::now()), None);
    }

    #[test]
    fn the_older_way_agrees_with_cachestat() {
        let (file, map, residency) = mapped();
        if !dropped(&file, &map) {
            return;
        }
        page_in(&map, &residency, 0..3 * BLOCK_BYTES);
        let pages = rustix::param::page_size();
        for (range, there) in [(0..3, true), (1..4, false), (5..6, false)] {
            let bytes = range.start * BLOCK_BYTES..range.end * BLOCK_BYTES;
            assert_eq!(map.is_cached(bytes.clone()), there);
            let bytes = bytes.start as usize..bytes.end as usize;
            assert_eq!(crate::sys::is_in_core(map.raw(), bytes, pages).unwrap(), there);
        }
    }

    #[test]
    fn ticks_are_fresh_for_two_of_their_rounds() {
        for now in [1, 2, 1000, 65_533] {
            let before = |age: u32| (1 + (now + TICKS - 1 - age) % TICKS) as u16;
            let now = Tick(now as u16);
            assert!(now.is_fresh(before(0)) && now.is_fresh(before(1)));
            assert!(!now.is_fresh(before(2)) && !now.is_fresh(before(40_000)));
            assert!(!now.is_fresh(UNKNOWN) && !now.is_fresh(BEING_READ) && !now.is_fresh(COLD));
        }
    }
}
