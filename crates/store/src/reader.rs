//! Reading: from a key to pinned bytes of the mapping, without locks and without allocation.
//!
//! A [`Reader`] belongs to one thread. What it hands out holds a pin (see `pin`), so the bytes
//! stand still until the last [`Record`] or [`PinnedSlice`] of them is dropped. Nothing unverified
//! leaves this file: header, key, head and checksums pass a keyed MAC at the first lookup since
//! the store was opened, each 64 KiB of body its checksum at the first access (ST-1).

use std::cell::Cell;
use std::ops::{Deref, Range};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::ReadError;
use crate::format::{self, Kind, Layout, RecordHeader};
use crate::index::{Place, SlotNumber};
use crate::keys::chunk_sum;
use crate::pin::SegmentPin;
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
}

impl Drop for ReaderInner {
    fn drop(&mut self) {
        self.shared.release_row(self.row);
    }
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, row: usize) -> Self {
        Self { inner: Rc::new(ReaderInner { shared, row }) }
    }

    /// The newest record of a key, pinned. Costs one or two cache lines of the index and the
    /// record's head; the first time since open, a MAC over header, key, head and sums.
    ///
    /// A record that fails its MAC is dropped from the index and counted, and is a miss.
    pub fn lookup(&self, key: &[u8]) -> Option<Record> {
        self.lookup_probed(self.probe(key), key)
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

    /// Second step, which may be left out: asks the processor for the record.
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
        let shared = &self.inner.shared;
        let found =
            shared.index.find(probe.0, |slot, place| self.inner.open(slot, place, Some(key)));
        shared.row(self.inner.row).count_lookup(found.is_some());
        found
    }

    /// Bytes `range` of a body that is still being filled; `None` when they are not all written
    /// yet, or the extent's segment was reclaimed or has failed.
    ///
    /// These bytes were written by this process and carry no verified checksum yet.
    pub fn extent(&self, extent: &Extent, range: Range<u64>) -> Option<PinnedSlice> {
        let readable = range.start <= range.end && range.end <= extent.written();
        if !readable || extent.store != self.inner.shared.uuid {
            return None;
        }
        let pin = SegmentPin::new(&self.inner, extent.segment)?;
        if pin.generation() != extent.generation {
            return None;
        }
        // Both fit: `written` never exceeds the body, which lies in a segment.
        let start = extent.body_at + u32::try_from(range.start).ok()?;
        let end = extent.body_at + u32::try_from(range.end).ok()?;
        Some(PinnedSlice { pin, range: start..end })
    }
}

impl ReaderInner {
    /// The record that a slot names; `None` when it has another key than `key`, or is damaged.
    fn open(self: &Rc<Self>, slot: SlotNumber, place: Place, key: Option<&[u8]>) -> Option<Record> {
        let shared = &self.shared;
        let pin = SegmentPin::new(self, place.segment())?;
        let current = place.is_of_generation(pin.generation());
        if !current || !shared.index.still_names(slot, place) {
            return None;
        }
        // From here on the place is known to be a published record of the pinned generation.
        let Some((header, layout)) = self.header(&pin, place) else {
            shared.row(self.row).count_damaged();
            shared.index.discard(slot, place);
            return None;
        };
        if key.is_some_and(|key| pin.slice(layout.key()) != key) {
            return None;
        }
        if !place.is_head_verified() {
            if !self.passes_mac(&pin, &layout) {
                shared.row(self.row).count_damaged();
                shared.index.discard(slot, place);
                return None;
            }
            shared.index.set_head_verified(slot, place);
        }
        shared.index.bump(slot, place);
        Some(Record {
            sequence: header.sequence,
            stored_at_ms: header.stored_at_ms,
            expires_at_ms: header.expires_at_ms,
            layout,
            slot,
            place,
            body_verified: Cell::new(place.is_body_verified()),
            pin,
        })
    }

    /// The header at a published place. Its lengths are not believed before its own MAC.
    fn header(&self, pin: &SegmentPin, place: Place) -> Option<(RecordHeader, Layout)> {
        let shared = &self.shared;
        let (at, end) = (place.at(), u64::from(pin.volume().geometry.segment_bytes));
        let bytes = pin.slice(at..at.checked_add(format::RECORD_HEADER_BYTES as u32)?);
        let (header, layout) = if place.is_head_verified() {
            RecordHeader::read(bytes, at, end)?
        } else {
            RecordHeader::parse(bytes, at, end, &shared.keys)?
        };
        let ours = header.generation == pin.generation() && header.kind == Kind::Object;
        ours.then_some((header, layout))
    }

    fn passes_mac(&self, pin: &SegmentPin, layout: &Layout) -> bool {
        let mac = format::record_mac(
            &self.shared.keys,
            pin.slice(layout.front()),
            pin.slice(layout.sums()),
        );
        pin.slice(layout.mac()) == mac
    }
}

/// A stored object, pinned.
pub struct Record {
    sequence: u64,
    stored_at_ms: u64,
    expires_at_ms: u64,
    layout: Layout,
    slot: SlotNumber,
    place: Place,
    body_verified: Cell<bool>,
    pin: SegmentPin,
}

impl Record {
    /// The record that a slot names, whatever its key.
    pub(crate) fn at(reader: &Rc<ReaderInner>, slot: SlotNumber, place: Place) -> Option<Self> {
        reader.open(slot, place, None)
    }

    /// The whole space that it takes in its segment.
    pub(crate) fn extent_bytes(&self) -> u32 {
        self.layout.extent_bytes
    }

    /// When it is of no use any more, as `stored_at_ms`; 0 for never.
    pub(crate) fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms
    }

    /// The key, as it was given to `begin`.
    pub fn key(&self) -> &[u8] {
        self.pin.slice(self.layout.key())
    }

    /// The tags, as they were given to `begin`.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.pin.slice(self.layout.tags()).chunks_exact(8).map(|tag| format::u64_at(tag, 0))
    }

    /// The head, as it was given to `begin`.
    pub fn head(&self) -> &[u8] {
        self.pin.slice(self.layout.head())
    }

    /// Length of the body in bytes.
    pub fn body_len(&self) -> u64 {
        u64::from(self.layout.body_bytes)
    }

    /// Order of all records of a store, across restarts: of two of one key, the higher is newer.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Wall clock of `begin`, in milliseconds since the Unix epoch.
    pub fn stored_at_ms(&self) -> u64 {
        self.stored_at_ms
    }

    /// Bytes `range` of the body, pinned on their own. The first access since open to a chunk of
    /// 64 KiB checks its sum (about 4 µs); ask for large bodies in windows.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`]; [`ReadError::Damaged`] when a sum is wrong: the record is
    /// dropped from the index, and a response under way must be aborted.
    pub fn body(&self, range: Range<u64>) -> Result<PinnedSlice, ReadError> {
        if range.start > range.end || range.end > self.body_len() {
            return Err(ReadError::OutOfRange);
        }
        let (start, end) = (range.start as u32, range.end as u32);
        if start < end && !self.body_verified.get() {
            self.verify(start, end)?;
        }
        let body_at = self.layout.body_at;
        Ok(PinnedSlice { pin: self.pin.clone(), range: body_at + start..body_at + end })
    }

    fn verify(&self, start: u32, end: u32) -> Result<(), ReadError> {
        let shared = &self.pin.reader().shared;
        let several = self.layout.chunk_count() > 1;
        let volume = self.pin.volume();
        let base = volume.base(self.pin.segment());
        let mut seed = None;
        for chunk in start / format::CHUNK_BYTES..=(end - 1) / format::CHUNK_BYTES {
            let range = self.layout.chunk(chunk);
            let offset = base + u64::from(range.start);
            if several && volume.verified.contains(offset) {
                continue;
            }
            let seed = *seed.get_or_insert_with(|| {
                shared.keys.chunk_seed(self.pin.generation(), self.sequence)
            });
            let at = chunk as usize * 8;
            let sum = format::u64_at(self.pin.slice(self.layout.sums()), at);
            if chunk_sum(seed, self.pin.slice(range)) != sum {
                shared.row(self.pin.reader().row).count_damaged();
                shared.index.discard(self.slot, self.place);
                return Err(ReadError::Damaged);
            }
            if several {
                volume.verified.insert(offset);
            } else {
                self.body_verified.set(true);
                shared.index.set_body_verified(self.slot, self.place);
            }
        }
        Ok(())
    }
}

/// Bytes of the mapping under a pin of their own; the pin falls with the last clone.
#[derive(Clone)]
pub struct PinnedSlice {
    pin: SegmentPin,
    range: Range<u32>,
}

impl AsRef<[u8]> for PinnedSlice {
    fn as_ref(&self) -> &[u8] {
        self.pin.slice(self.range.clone())
    }
}

impl Deref for PinnedSlice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_ref()
    }
}

/// Name of a body that is being filled; any thread's [`Reader::extent`] reads what is written.
#[derive(Debug, Clone)]
pub struct Extent {
    pub(crate) store: u128,
    pub(crate) segment: u32,
    pub(crate) generation: u64,
    pub(crate) body_at: u32,
    pub(crate) body_bytes: u32,
    pub(crate) written: Arc<AtomicU64>,
}

impl Extent {
    /// Body bytes, counted from the front, that can be read; only grows.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Length of the whole body in bytes.
    pub fn body_len(&self) -> u64 {
        u64::from(self.body_bytes)
    }
}
