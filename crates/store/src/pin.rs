//! Pins: what keeps a segment from being written anew while somebody reads it.
//!
//! Every reader has a row with one counter per segment; only its own thread writes the row, so a
//! pin is a plain load, a plain store and a fence. The reclaimer (one thread) reads all rows.
//!
//! ```text
//! reader                                   reclaimer
//! 1 load the index word                    1 remove the index words of the segment
//! 2 pins[row][segment] += 1                2 generation[segment] = 0
//! 3 fence(SeqCst)                          3 fence(SeqCst)
//! 4 load the generation and the index      4 load all pins of the segment: any > 0 → not yet
//!   word again: changed → unpin, miss      5 write to the segment
//! 5 read bytes
//! 6 pins[row][segment] -= 1 (release)
//! ```
//! Of the two fences one comes first. If the reader's does, the reclaimer sees the pin; if the
//! reclaimer's does, the reader sees generation 0 and backs off. The release of step 6 and the
//! acquiring load of step 4 order all reads before the first new write. `tests/loom.rs` runs every
//! interleaving of this file (ST-5).

use std::ops::Range;
use std::rc::Rc;

use crate::reader::ReaderInner;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};
use crate::volume::Volume;

/// Counters of all rows, and the generation of every segment.
pub(crate) struct PinTable {
    rows: Box<[Row]>,
    generations: Box<[AtomicU64]>,
}

/// One reader's counters: lines of its own, so that no other thread's pins slow it down.
struct Row(Box<[Line]>);

#[repr(align(128))]
struct Line([AtomicU32; LINE_PINS]);

impl PinTable {
    /// All pins zero, all segments without a generation.
    pub(crate) fn new(rows: usize, segments: u32) -> Self {
        let lines = (segments as usize).div_ceil(LINE_PINS);
        let line = |_| Line(std::array::from_fn(|_| AtomicU32::new(0)));
        Self {
            rows: (0..rows).map(|_| Row((0..lines).map(line).collect())).collect(),
            generations: (0..segments).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Steps 2 to 4: pins and says which generation the pinned segment has; `None`, unpinned,
    /// when it has none. Only the thread that owns `row` may call this.
    pub(crate) fn pin(&self, row: usize, segment: u32) -> Option<u64> {
        let cell = self.cell(row, segment)?;
        let generation = self.generations.get(segment as usize)?;
        let pins = cell.load(Ordering::Relaxed);
        if pins == u32::MAX {
            return None;
        }
        cell.store(pins + 1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let generation = generation.load(Ordering::Acquire);
        if generation == 0 {
            self.unpin(row, segment);
            return None;
        }
        Some(generation)
    }

    /// One more pin of a segment that this row holds already.
    pub(crate) fn pin_again(&self, row: usize, segment: u32) {
        let Some(cell) = self.cell(row, segment) else { return };
        let pins = cell.load(Ordering::Relaxed);
        if pins == u32::MAX {
            // As std's Rc: four thousand million leaked slices are no program to go on with.
            std::process::abort();
        }
        cell.store(pins + 1, Ordering::Relaxed);
    }

    /// Step 6.
    pub(crate) fn unpin(&self, row: usize, segment: u32) {
        let Some(cell) = self.cell(row, segment) else { return };
        let pins = cell.load(Ordering::Relaxed);
        debug_assert!(pins > 0, "ST-5: unpin without pin");
        cell.store(pins.saturating_sub(1), Ordering::Release);
    }

    /// Steps 2 and 3 of the reclaimer: no new pin of `segment` succeeds from here on.
    pub(crate) fn retire(&self, segment: u32) {
        if let Some(generation) = self.generations.get(segment as usize) {
            generation.store(0, Ordering::Release);
        }
        fence(Ordering::SeqCst);
    }

    /// Step 4 of the reclaimer; meaningful after `retire`.
    pub(crate) fn is_pinned(&self, segment: u32) -> bool {
        let mut rows = 0..self.rows.len();
        rows.any(|row| self.cell(row, segment).is_some_and(|c| c.load(Ordering::Acquire) > 0))
    }

    /// Opens a segment to readers under a new generation.
    pub(crate) fn publish(&self, segment: u32, generation: u64) {
        if let Some(cell) = self.generations.get(segment as usize) {
            cell.store(generation, Ordering::Release);
        }
    }

    fn cell(&self, row: usize, segment: u32) -> Option<&AtomicU32> {
        let line = self.rows.get(row)?.0.get(segment as usize / LINE_PINS)?;
        line.0.get(segment as usize % LINE_PINS)
    }
}

/// A pin held: the segment's bytes stand still until the last clone is dropped. Not `Send`, for
/// its row belongs to one thread.
pub(crate) struct SegmentPin {
    reader: Rc<ReaderInner>,
    segment: u32,
    generation: u64,
}

impl SegmentPin {
    /// Pins `segment`; `None` when it is being reclaimed.
    pub(crate) fn new(reader: &Rc<ReaderInner>, segment: u32) -> Option<Self> {
        let generation = reader.shared.pins.pin(reader.row, segment)?;
        Some(Self { reader: Rc::clone(reader), segment, generation })
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Where the segment lies in its volume's data file.
    pub(crate) fn segment_range(&self) -> Range<u64> {
        let volume = self.volume();
        let base = volume.base(self.segment);
        base..base + u64::from(volume.geometry.segment_bytes)
    }

    /// Bytes of the pinned segment; see [`crate::map::Mapping::pinned`] for what may be asked.
    pub(crate) fn slice(&self, range: Range<u32>) -> &[u8] {
        self.volume().map.pinned(self, range)
    }

    /// The whole segment: for footers of sealed ones, to which nobody writes.
    pub(crate) fn whole(&self) -> &[u8] {
        self.slice(0..self.volume().geometry.segment_bytes)
    }

    /// The volume in which the segment lies.
    pub(crate) fn volume(&self) -> &Volume {
        self.reader.shared.volume_of(self.segment)
    }

    pub(crate) fn reader(&self) -> &ReaderInner {
        &self.reader
    }

    pub(crate) fn segment(&self) -> u32 {
        self.segment
    }
}

impl Clone for SegmentPin {
    fn clone(&self) -> Self {
        self.reader.shared.pins.pin_again(self.reader.row, self.segment);
        Self { reader: Rc::clone(&self.reader), ..*self }
    }
}

impl Drop for SegmentPin {
    fn drop(&mut self) {
        self.reader.shared.pins.unpin(self.reader.row, self.segment);
    }
}

#[cfg(not(loom))]
const LINE_PINS: usize = 32;
// Loom's atomics are large and each costs it states.
#[cfg(loom)]
const LINE_PINS: usize = 1;
