//! A record that was found: its parts, its windows, and their verification.
//!
//! What is in front of the body lies in a buffer of the reader's pool; it was copied from the
//! mapping and verified there. Bodies are verified chunk by chunk, copied to the reader's scratch
//! memory for it, and handed out as slices of the mapping.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{Ordering, fence};

use crate::error::ReadError;
use crate::format::{self, Kind, Layout, RecordHeader};
use crate::guard::Fault;
use crate::index::{Place, SlotNumber};
use crate::keys::chunk_sum;
use crate::pin::SegmentPin;
use crate::pool::HeadBuffer;
use crate::reader::{Found, ReaderInner};
use crate::residency::{PageIn, Serial, Tick};
use crate::slice::PinnedSlice;

/// A stored object, pinned.
pub struct Record {
    sequence: u64,
    stored_at_ms: u64,
    expires_at_ms: u64,
    layout: Layout,
    slot: SlotNumber,
    place: Place,
    /// At which its core was verified.
    serial: Cell<Serial>,
    /// Header, key, tags and head.
    buffer: HeadBuffer,
    pin: SegmentPin,
}

impl Record {
    /// The record that a slot names, whatever its key. Waits for the device.
    pub(crate) fn at(reader: &Rc<ReaderInner>, slot: SlotNumber, place: Place) -> Option<Self> {
        match reader.open(slot, place, None, Patience::Waits)? {
            Found::Record(record) => Some(record),
            Found::Miss | Found::Cold(_) => None,
        }
    }

    /// The whole space that it takes in its segment.
    pub(crate) fn extent_bytes(&self) -> u32 {
        self.layout.extent_bytes
    }

    /// When it is of no use any more, as `stored_at_ms`; 0 for never.
    pub(crate) fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms
    }

    /// The record at a published place, verified; `None` when it has another key.
    pub(crate) fn read(
        pin: SegmentPin,
        (slot, place): (SlotNumber, Place),
        key: Option<&[u8]>,
        patience: Patience,
    ) -> Result<Option<Self>, Absent> {
        let reader = Rc::clone(pin.reader());
        let shared = &reader.shared;
        let (at, end) = (place.at(), pin.volume().geometry.segment_bytes);
        let first = at..end.min(at.saturating_add(FIRST_BYTES));
        in_memory(&pin, first.clone(), patience)?;
        let mut buffer = reader.heads.take();
        copy(&pin, first.clone(), buffer.bytes_mut((first.end - first.start) as usize))?;
        // The lengths of a header that was verified before are no danger: they are compared with
        // the segment here, and the whole with its MAC below if it has been read again since.
        let header = buffer.bytes();
        let parsed = match place.verified() {
            0 => RecordHeader::parse(header, at, u64::from(end), &shared.keys),
            _ => RecordHeader::read(header, at, u64::from(end)),
        };
        let (header, layout) = parsed.ok_or(Absent::Damaged)?;
        if header.generation != pin.generation() || header.kind != Kind::Object {
            return Err(Absent::Damaged);
        }
        let serial = in_memory(&pin, core_of(&layout), patience)?;
        let head_end = layout.head().end;
        if first.end < head_end {
            let (done, all) = ((first.end - at) as usize, (head_end - at) as usize);
            copy(&pin, first.end..head_end, &mut buffer.bytes_mut(all)[done..])?;
        }
        let record = Self {
            sequence: header.sequence,
            stored_at_ms: header.stored_at_ms,
            expires_at_ms: header.expires_at_ms,
            layout,
            slot,
            place,
            serial: Cell::new(serial),
            buffer,
            pin,
        };
        let kept = serial.to_bits();
        let is_verified = kept == Some(place.verified());
        // Before it is verified the key may be anything, but then it will not be served either.
        if key.is_some_and(|key| record.key() != key) {
            return Ok(None);
        }
        if !is_verified {
            record.verify(patience)?;
            if let Some(verified) = kept {
                shared.index.set_verified(slot, place, verified);
            }
        }
        Ok(Some(record))
    }

    /// The key, as it was given to `begin`.
    pub fn key(&self) -> &[u8] {
        self.part(self.layout.key())
    }

    /// The tags, as they were given to `begin`.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.part(self.layout.tags()).chunks_exact(8).map(|tag| format::u64_at(tag, 0))
    }

    /// The head, as it was given to `begin`.
    pub fn head(&self) -> &[u8] {
        self.part(self.layout.head())
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

    /// Bytes `range` of the body, pinned on their own; waits for the device when they are not in
    /// memory. The first access to a chunk of 64 KiB since it was read checks its sum (about
    /// 8 µs); ask for large bodies in windows.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`]; [`ReadError::Damaged`] when a sum is wrong: the record is
    /// dropped from the index, and a response under way must be aborted; [`ReadError::Device`].
    pub fn body(&self, range: Range<u64>) -> Result<PinnedSlice, ReadError> {
        match self.range(range, Patience::Waits)? {
            Window::Ready(slice) => Ok(slice),
            // A thread that waits is never told to.
            Window::Cold(_) => Err(ReadError::Device),
        }
    }

    /// At most `bytes_max` bytes of the body from `offset` on, if they are in memory; else what to
    /// page in. For threads that must not wait. Ask for the next window, and page it in, while
    /// this one is being sent.
    ///
    /// # Errors
    /// As [`Record::body`].
    pub fn window(&self, offset: u64, bytes_max: u64) -> Result<Window, ReadError> {
        let end = offset.saturating_add(bytes_max).min(self.body_len());
        self.range(offset..end, Patience::Never)
    }

    fn range(&self, range: Range<u64>, patience: Patience) -> Result<Window, ReadError> {
        if range.start > range.end || range.end > self.body_len() {
            return Err(ReadError::OutOfRange);
        }
        if self.pin.volume().is_unreadable() {
            return Err(ReadError::Device);
        }
        let (start, end) = (range.start as u32, range.end as u32);
        let body_at = self.layout.body_at;
        let slice = PinnedSlice::new(self.pin.clone(), body_at + start..body_at + end);
        match self.make_ready(start..end, patience) {
            Ok(()) => Ok(Window::Ready(slice)),
            Err(Absent::Cold(page_in)) => Ok(Window::Cold(page_in)),
            Err(Absent::Fault) => Err(ReadError::Device),
            Err(Absent::Damaged) => {
                let reader = self.pin.reader();
                reader.shared.row(reader.row).count_damaged();
                reader.shared.index.discard(self.slot, self.place);
                Err(ReadError::Damaged)
            }
        }
    }

    /// Sees to it that a range of the body is in memory and verified.
    fn make_ready(&self, body: Range<u32>, patience: Patience) -> Result<(), Absent> {
        if body.is_empty() {
            return Ok(());
        }
        if self.layout.chunk_count() == 1 {
            let serial = in_memory(&self.pin, core_of(&self.layout), patience)?;
            // Read again since it was looked up.
            if serial != self.serial.get() || serial.to_bits().is_none() {
                self.verify_chunk(0, patience)?;
                self.serial.set(serial);
            }
            return Ok(());
        }
        let body_at = self.layout.body_at;
        in_memory(&self.pin, body_at + body.start..body_at + body.end, patience)?;
        let (volume, base) = (self.pin.volume(), self.pin.base());
        for chunk in body.start / format::CHUNK_BYTES..=(body.end - 1) / format::CHUNK_BYTES {
            let range = within(base, self.layout.chunk(chunk));
            if volume.verified.contains(range.start) {
                continue;
            }
            let serial = in_memory(&self.pin, self.layout.chunk(chunk), patience)?;
            self.verify_chunk(chunk, patience)?;
            volume.verified.insert(range.start);
            // Whoever reads the chunk again raises its serials first and clears the bit then. If
            // that was done before the bit was set, it shows here (`Volume::begin_page_in`).
            fence(Ordering::SeqCst);
            if volume.serial(&range) != serial {
                volume.verified.clear(range.start, range.start + 1);
            }
        }
        Ok(())
    }

    /// Checks the MAC, and the sum of a body of one chunk.
    fn verify(&self, patience: Patience) -> Result<(), Absent> {
        let shared = &self.pin.reader().shared;
        let tail = self.layout.sums().start..self.layout.mac().end;
        in_memory(&self.pin, tail.clone(), patience)?;
        let sums_bytes = (self.layout.sums().end - tail.start) as usize;
        let passes = self.with_copy(tail, |tail| {
            let (sums, mac) = tail.split_at(sums_bytes);
            format::record_mac(&shared.keys, self.part(self.layout.front()), sums)[..] == *mac
        })?;
        if !passes {
            return Err(Absent::Damaged);
        }
        if self.layout.chunk_count() == 1 { self.verify_chunk(0, patience) } else { Ok(()) }
    }

    /// Compares one chunk with its sum.
    fn verify_chunk(&self, chunk: u32, patience: Patience) -> Result<(), Absent> {
        let sum_at = self.layout.sums_at + chunk * 8;
        in_memory(&self.pin, sum_at..sum_at + 8, patience)?;
        let mut sum = [0; 8];
        copy(&self.pin, sum_at..sum_at + 8, &mut sum)?;
        let range = self.layout.chunk(chunk);
        in_memory(&self.pin, range.clone(), patience)?;
        let keys = &self.pin.reader().shared.keys;
        let seed = keys.chunk_seed(self.pin.generation(), self.sequence);
        let found = self.with_copy(range, |bytes| chunk_sum(seed, bytes))?;
        if found == u64::from_le_bytes(sum) { Ok(()) } else { Err(Absent::Damaged) }
    }

    /// Copies bytes of the segment into the reader's scratch memory and looks at them there.
    fn with_copy<T>(&self, range: Range<u32>, look: impl FnOnce(&[u8]) -> T) -> Result<T, Absent> {
        let len = (range.end - range.start) as usize;
        let mut scratch = self.pin.reader().scratch.borrow_mut();
        if scratch.len() < len {
            scratch.resize(len.max(format::CHUNK_BYTES as usize), 0);
        }
        copy(&self.pin, range, &mut scratch[..len])?;
        Ok(look(&scratch[..len]))
    }

    /// A part of the front.
    fn part(&self, range: Range<u32>) -> &[u8] {
        let (start, end) = (range.start - self.layout.at, range.end - self.layout.at);
        &self.buffer.bytes()[start as usize..end as usize]
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

/// What [`Record::window`] gives.
#[derive(Debug)]
pub enum Window {
    /// Verified bytes that are in memory now.
    Ready(PinnedSlice),
    /// Page this in, and ask again.
    Cold(PageIn),
}

/// Whether the calling thread may wait for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Waits,
    Never,
}

/// Why bytes of a volume cannot be had now.
pub(crate) enum Absent {
    Cold(PageIn),
    Fault,
    Damaged,
}

impl From<Fault> for Absent {
    fn from(Fault: Fault) -> Self {
        Self::Fault
    }
}

/// What is in memory and verified as one: a short record whole, else what is in front of the body.
fn core_of(layout: &Layout) -> Range<u32> {
    let end = if layout.chunk_count() > 1 { layout.head().end } else { layout.end() };
    layout.at..end
}

/// The serial of a range of the pinned segment, which is in memory when this returns.
pub(crate) fn in_memory(
    pin: &SegmentPin,
    range: Range<u32>,
    patience: Patience,
) -> Result<Serial, Absent> {
    let volume = pin.volume();
    let range = within(pin.base(), range);
    if let Some(serial) = volume.check(&range, Tick::now()) {
        return Ok(serial);
    }
    match patience {
        Patience::Never => {
            let number = pin.reader().shared.volume_number(pin.segment());
            Err(Absent::Cold(volume.page_in_of(number, &range)))
        }
        Patience::Waits => {
            volume.page_in(&range)?;
            Ok(volume.serial(&range))
        }
    }
}

/// Copies bytes of the pinned segment.
pub(crate) fn copy(pin: &SegmentPin, range: Range<u32>, into: &mut [u8]) -> Result<(), Fault> {
    pin.volume().copy(pin.base() + u64::from(range.start), into)
}

/// A range of a segment that begins at `base`, as one of its file.
fn within(base: u64, range: Range<u32>) -> Range<u64> {
    base + u64::from(range.start)..base + u64::from(range.end)
}

/// What a lookup copies first: the header, and most keys and short heads with it.
const FIRST_BYTES: u32 = 256;
