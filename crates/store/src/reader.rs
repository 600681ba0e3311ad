//! Reading: from a key to pinned bytes of the mapping, without locks and without allocation.
//!
//! A [`Reader`] belongs to one thread. What it hands out holds a pin (see `pin`), so the bytes
//! stand still until the last [`Record`] or [`PinnedSlice`] of them is dropped. Nothing unverified
//! leaves here (ST-1): header, key, head and checksums pass a keyed MAC, each 64 KiB of body
//! its checksum, at the first access since they were read from the device.
//!
//! This crate itself looks at bytes of the mapping only by copying them (`record`), so that a page
//! that the file cannot give is an error (`guard`). Slices of the mapping are made for others, see
//! [`PinnedSlice`].
//!
//! ```text
//! hash ─► slot ─► pin ─► look again ─► in memory? ─► header, key, head ─► verified? ─► Record
//!                                         │ cold                            │ no
//!                                         ▼                                 ▼
//!                              wait here, or PageIn              MAC, and a short body's sum
//! ```

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::index::{Place, SlotNumber};
use crate::pin::SegmentPin;
use crate::pool::HeadPool;
use crate::record::{Absent, Ground, Patience, Record, Window};
use crate::residency::PageIn;
use crate::root::{BodyPlace, Growth, Root, Sought, slice_key};
use crate::slice::PinnedSlice;
use crate::store::Shared;

/// One thread's way into the store. Not `Send`: make it on the thread that uses it.
pub struct Reader {
    inner: Rc<ReaderInner>,
}

/// A key on its way through the steps of a lookup.
#[derive(Debug, Clone, Copy)]
pub struct Probe(u128);

/// What pins share; dropped, and the row with it, after the last pin.
pub(crate) struct ReaderInner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) row: usize,
    pub(crate) heads: HeadPool,
    /// Where chunks are verified; made for the first one.
    pub(crate) scratch: RefCell<Vec<u8>>,
}

impl ReaderInner {
    pub(crate) fn new(shared: Arc<Shared>, row: usize) -> Self {
        Self { shared, row, heads: HeadPool::default(), scratch: RefCell::default() }
    }
}

impl Drop for ReaderInner {
    fn drop(&mut self) {
        self.shared.release_row(self.row);
    }
}

/// What [`Reader::find`] came upon.
#[derive(Debug)]
pub enum Found {
    /// No record of the key.
    Miss,
    /// The newest one.
    Record(Record),
    /// A record that may be of the key, and is not in memory: page it in, and look again.
    Cold(PageIn),
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, row: usize) -> Self {
        Self { inner: Rc::new(ReaderInner::new(shared, row)) }
    }

    /// The newest record of a key, pinned; waits for the device when it is not in memory. Threads
    /// that must not wait use [`Reader::find`].
    ///
    /// Costs one or two cache lines of the index and the record's head; the first time since it
    /// was read, a MAC over header, key, head and sums, and for bodies of up to 64 KiB their sum.
    /// A record that fails is dropped from the index and counted, and is a miss. So is one that was
    /// purged.
    pub fn lookup(&self, key: &[u8]) -> Option<Record> {
        self.lookup_probed(self.probe(key), key)
    }

    /// As [`Reader::lookup`], but touches nothing that is not in memory: it says what to page in
    /// instead. Look again after that; a [`Found::Cold`] counts neither as hit nor as miss.
    pub fn find(&self, key: &[u8]) -> Found {
        self.find_probed(self.probe(key), key)
    }

    /// First of three steps of a lookup, for callers with several keys at hand: hashes the key and
    /// asks the processor for its index lines. Walk all keys through each step before the next:
    /// memory is slow to answer one question, yet answers many at the same time.
    pub fn probe(&self, key: &[u8]) -> Probe {
        let shared = &self.inner.shared;
        let hash = shared.keys.key_hash(key);
        shared.index.prefetch(hash);
        Probe(hash)
    }

    /// Second step, which may be left out: asks the processor for the record. Waits for no device.
    pub fn approach(&self, probe: Probe) {
        let shared = &self.inner.shared;
        shared.index.find(probe.0, |_, place| {
            let volume = shared.volume_of(place.segment());
            volume.map.prefetch(volume.base(place.segment()) + u64::from(place.at()));
            None::<()>
        });
    }

    /// Third step: as [`Reader::lookup`]. `probe` must be of the same key; of another one, it
    /// finds nothing.
    pub fn lookup_probed(&self, probe: Probe, key: &[u8]) -> Option<Record> {
        let mut found = None;
        // A thread that waits is never told to.
        let _ = self.seek(probe, key, Patience::Waits, &mut found);
        found
    }

    /// Third step, as [`Reader::find`].
    pub fn find_probed(&self, probe: Probe, key: &[u8]) -> Found {
        let mut found = None;
        match self.seek(probe, key, Patience::Never, &mut found) {
            Err(cold) => Found::Cold(cold),
            Ok(()) => found.map_or(Found::Miss, Found::Record),
        }
    }

    /// Puts the record of a key into `found`, where it stays: a record is large.
    #[inline]
    fn seek(
        &self,
        probe: Probe,
        key: &[u8],
        patience: Patience,
        found: &mut Option<Record>,
    ) -> Result<(), PageIn> {
        self.inner.seek(probe.0, Sought::Key(key), patience, found)?;
        self.inner.shared.row(self.inner.row).count_lookup(found.is_some());
        Ok(())
    }

    /// Bytes `range` of a body that is still being filled; `None` when they are not all written
    /// yet, or their segment was reclaimed or has failed. No range may cross the extent's
    /// [grain](Extent::grain).
    ///
    /// These bytes were written by this process and carry no verified checksum yet. They are
    /// nearly always in memory still; for threads that must not wait there is
    /// [`Reader::extent_window`].
    pub fn extent(&self, extent: &Extent, range: Range<u64>) -> Option<PinnedSlice> {
        let readable = range.start <= range.end && range.end <= extent.written();
        if !readable || extent.store != self.inner.shared.uuid {
            return None;
        }
        let (place, within) = extent.find(range)?;
        let pin = SegmentPin::new(&self.inner, place.segment)?;
        if pin.generation() != place.generation || pin.volume().is_unreadable() {
            return None;
        }
        // Both fit: `written` never exceeds the body, which lies in segments.
        let start = place.body_at + u32::try_from(within.start).ok()?;
        let end = place.body_at + u32::try_from(within.end).ok()?;
        Some(PinnedSlice::new(pin, start..end))
    }

    /// As [`Reader::extent`]; says what to page in when the bytes have left memory meanwhile.
    pub fn extent_window(&self, extent: &Extent, range: Range<u64>) -> Option<Window> {
        let slice = self.extent(extent, range)?;
        let ground = Ground::new(&self.inner.shared, slice.pin(), Patience::Never);
        match ground.in_memory(slice.range()) {
            Ok(_) => Some(Window::Ready(slice)),
            Err(Absent::Cold(page_in)) => Some(Window::Cold(page_in)),
            Err(Absent::Fault | Absent::Damaged) => None,
        }
    }
}

impl ReaderInner {
    /// Puts what the index names under a hash, and is what is sought, into `found`, and counts it
    /// as asked for.
    #[inline]
    fn seek(
        self: &Rc<Self>,
        hash: u128,
        sought: Sought<'_>,
        patience: Patience,
        found: &mut Option<Record>,
    ) -> Result<(), PageIn> {
        let index = &self.shared.index;
        let outcome = index.find(hash, |slot, place| {
            let outcome = self.open((slot, place), sought, patience, found);
            if found.is_some() {
                index.bump(slot, place);
                return Some(Ok(()));
            }
            outcome.err().map(Err)
        });
        outcome.unwrap_or(Ok(()))
    }

    /// The same for a slice of an object.
    pub(crate) fn seek_slice(
        self: &Rc<Self>,
        root: Root,
        number: u64,
        patience: Patience,
        found: &mut Option<Record>,
    ) -> Result<(), PageIn> {
        let key = slice_key(root.object, number);
        self.seek(self.shared.keys.slice_hash(&key), Sought::Slice(&key), patience, found)
    }

    /// Puts the record that a slot names into `found`, unless it is not what is sought, damaged,
    /// or cold: then it says what to page in.
    #[inline]
    pub(crate) fn open(
        self: &Rc<Self>,
        (slot, place): (SlotNumber, Place),
        sought: Sought<'_>,
        patience: Patience,
        found: &mut Option<Record>,
    ) -> Result<(), PageIn> {
        let shared = &self.shared;
        let Some(pin) = SegmentPin::new(self, place.segment()) else { return Ok(()) };
        let current = place.is_of_generation(pin.generation());
        let ground = Ground::new(shared, &pin, patience);
        if !current || !shared.index.still_names(slot, place) || ground.is_unreadable() {
            return Ok(());
        }
        // From here on the place is known to be a published record of the pinned generation.
        match Record::read((pin, ground), (slot, place), sought, found) {
            Ok(()) if found.as_mut().is_some_and(Record::is_purged) => {
                shared.index.discard(slot, place);
            }
            Ok(()) => return Ok(()),
            Err(Absent::Cold(page_in)) => {
                *found = None;
                return Err(page_in);
            }
            Err(Absent::Fault) => {}
            Err(Absent::Damaged) => {
                shared.row(self.row).count_damaged();
                shared.index.discard(slot, place);
            }
        }
        *found = None;
        Ok(())
    }
}

/// Name of a body that is being filled; any thread's [`Reader::extent`] reads what is written.
#[derive(Debug, Clone)]
pub struct Extent {
    store: u128,
    body: Growing,
}

#[derive(Debug, Clone)]
enum Growing {
    Record { place: BodyPlace, body_bytes: u32, written: Arc<AtomicU64> },
    Slices(Arc<Growth>),
}

impl Extent {
    /// The body of one record.
    pub(crate) fn of_record(
        store: u128,
        place: BodyPlace,
        body_bytes: u32,
        written: Arc<AtomicU64>,
    ) -> Self {
        Self { store, body: Growing::Record { place, body_bytes, written } }
    }

    /// A body in slices.
    pub(crate) fn of_slices(store: u128, growth: Arc<Growth>) -> Self {
        Self { store, body: Growing::Slices(growth) }
    }

    /// Body bytes, counted from the front, that can be read; only grows.
    pub fn written(&self) -> u64 {
        match &self.body {
            Growing::Record { written, .. } => written.load(Ordering::Acquire),
            Growing::Slices(growth) => growth.written(),
        }
    }

    /// Length of the whole body in bytes; `None` while nobody knows it.
    pub fn body_len(&self) -> Option<u64> {
        match &self.body {
            Growing::Record { body_bytes, .. } => Some(u64::from(*body_bytes)),
            Growing::Slices(growth) => growth.body_bytes,
        }
    }

    /// At each multiple of so many bytes a slice ends, and a range must, too. Of a body in one
    /// record, more than it has.
    pub fn grain(&self) -> u64 {
        match &self.body {
            Growing::Record { .. } => u64::MAX,
            Growing::Slices(growth) => u64::from(growth.slice_bytes),
        }
    }

    /// The record in which a range lies, and the bytes of it in there.
    fn find(&self, range: Range<u64>) -> Option<(BodyPlace, Range<u64>)> {
        match &self.body {
            Growing::Record { place, .. } => Some((*place, range)),
            Growing::Slices(growth) => growth.find(range),
        }
    }
}
