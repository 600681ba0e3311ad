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
//! acquiring load of step 4 order all reads before the first new write.
//!
//! A slice that leaves its thread (`PinnedSlice::into_bytes`) is counted in one more row, which all
//! threads share and change by atomic additions. It takes its place there while the reader's own
//! pin is held, and the reclaimer looks there last: a pin on its way is seen in one row or the
//! other. `tests/loom.rs` runs every interleaving of this file (ST-5).

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use crate::reader::ReaderInner;
use crate::store::Shared;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};
use crate::volume::Volume;

/// Counters of all rows, and the generation of every segment.
pub(crate) struct PinTable {
    rows: Box<[Row]>,
    /// Pins that may be dropped by any thread.
    shared: Box<[AtomicU32]>,
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
            shared: (0..segments).map(|_| AtomicU32::new(0)).collect(),
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

    /// One more pin, in the shared row, of a segment that the calling thread holds already.
    pub(crate) fn pin_shared(&self, segment: u32) {
        let Some(cell) = self.shared.get(segment as usize) else { return };
        if cell.fetch_add(1, Ordering::Relaxed) > u32::MAX / 2 {
            // As std's Arc: a count that nears its end must not come round to zero.
            std::process::abort();
        }
    }

    /// Drops a pin of the shared row. Any thread.
    pub(crate) fn unpin_shared(&self, segment: u32) {
        let Some(cell) = self.shared.get(segment as usize) else { return };
        let pins = cell.fetch_sub(1, Ordering::Release);
        debug_assert!(pins > 0, "ST-5: unpin without pin");
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
        let held = |cell: Option<&AtomicU32>| cell.is_some_and(|c| c.load(Ordering::Acquire) > 0);
        // The shared row comes last: a reader's pin goes over to it, never back.
        rows.any(|row| held(self.cell(row, segment))) || held(self.shared.get(segment as usize))
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
    /// Number of the volume in which it lies.
    volume: u32,
    generation: u64,
}

impl SegmentPin {
    /// Pins `segment`; `None` when it is being reclaimed.
    pub(crate) fn new(reader: &Rc<ReaderInner>, segment: u32) -> Option<Self> {
        let generation = reader.shared.pins.pin(reader.row, segment)?;
        let volume = reader.shared.volume_number(segment) as u32;
        Some(Self { reader: Rc::clone(reader), segment, volume, generation })
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The volume in which the segment lies.
    pub(crate) fn volume(&self) -> &Volume {
        &self.reader.shared.volumes[self.volume as usize]
    }

    /// Its number.
    pub(crate) fn volume_number(&self) -> usize {
        self.volume as usize
    }

    pub(crate) fn reader(&self) -> &Rc<ReaderInner> {
        &self.reader
    }

    /// A pin of the same segment that may go to another thread. It holds the store open.
    pub(crate) fn to_shared(&self) -> SharedPin {
        let store = Arc::clone(&self.reader.shared);
        store.pins.pin_shared(self.segment);
        SharedPin { store, segment: self.segment }
    }

    pub(crate) fn segment(&self) -> u32 {
        self.segment
    }

    /// Where the segment begins in its volume's file.
    pub(crate) fn base(&self) -> u64 {
        self.volume().base(self.segment)
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

impl Pinned for SegmentPin {
    fn place(&self) -> (&Volume, u32) {
        (self.volume(), self.segment)
    }
}

/// A pin in the shared row, held by whatever thread has it.
pub(crate) struct SharedPin {
    store: Arc<Shared>,
    segment: u32,
}

impl Pinned for SharedPin {
    fn place(&self) -> (&Volume, u32) {
        (self.store.volume_of(self.segment), self.segment)
    }
}

impl Drop for SharedPin {
    fn drop(&mut self) {
        self.store.pins.unpin_shared(self.segment);
    }
}

/// Either kind of pin: while it lives, its segment's bytes stand still.
pub(crate) trait Pinned {
    /// The pinned segment and its volume.
    fn place(&self) -> (&Volume, u32);

    /// Bytes of the pinned segment; see [`crate::map::Mapping::pinned`] for what may be asked.
    fn slice(&self, range: Range<u32>) -> &[u8] {
        let (volume, segment) = self.place();
        let start = volume.base(segment);
        volume.map.pinned(start..start + u64::from(volume.geometry.segment_bytes), self, range)
    }
}

#[cfg(not(loom))]
const LINE_PINS: usize = 32;
// Loom's atomics are large and each costs it states.
#[cfg(loom)]
const LINE_PINS: usize = 1;
