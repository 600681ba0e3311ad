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
use crate::pin::{Pinned, SegmentPin};
use crate::pool::HeadBuffer;
use crate::purge::{Standing, Tags};
use crate::reader::ReaderInner;
use crate::residency::{PageIn, Serial, Tick};
use crate::root::{ROOT_BYTES, Root, SLICE_KEY_BYTES, Sought, slice_key};
use crate::slice::PinnedSlice;
use crate::store::Shared;
use crate::volume::{Volume, VolumeKind};

/// A stored object, pinned; of one in slices, its root is.
pub struct Record {
    kind: Kind,
    soft_purged: bool,
    sequence: u64,
    stored_at_ms: u64,
    expires_at_ms: u64,
    layout: Layout,
    slot: SlotNumber,
    place: Place,
    /// At which its core was verified.
    serial: Cell<Serial>,
    front: Front,
    pin: SegmentPin,
}

impl Record {
    /// The record that a slot names, whatever its key. Waits for the device.
    pub(crate) fn at(reader: &Rc<ReaderInner>, slot: SlotNumber, place: Place) -> Option<Self> {
        let mut found = None;
        // A thread that waits is never told to.
        let _ = reader.open((slot, place), Sought::Any, Patience::Waits, &mut found);
        found
    }

    /// The whole space that it takes in its segment.
    pub(crate) fn extent_bytes(&self) -> u32 {
        self.layout.extent_bytes
    }

    /// When it is of no use any more, as `stored_at_ms`; 0 for never.
    pub(crate) fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms
    }

    pub(crate) fn segment(&self) -> u32 {
        self.place.segment()
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The hash by which the index knows it.
    pub(crate) fn key_hash(&self) -> u128 {
        self.pin.reader().shared.keys.hash_of(self.kind, self.key())
    }

    /// What the record has for a head: of a root, with what leads to its slices.
    pub(crate) fn own_head(&self) -> &[u8] {
        self.part(self.layout.head())
    }

    /// Length of the body of this record alone: of a root, none.
    pub(crate) fn own_body_len(&self) -> u64 {
        u64::from(self.layout.body_bytes)
    }

    /// Where the body is, if it is in slices.
    pub(crate) fn root(&self) -> Option<Root> {
        match self.kind {
            Kind::Root => Root::parse(self.own_head()),
            Kind::Object | Kind::Slice => None,
        }
    }

    /// Key and range of the slice with the body's byte at `offset`, if there is such a one.
    pub(crate) fn slice_at(&self, offset: u64) -> Option<([u8; SLICE_KEY_BYTES], Range<u64>)> {
        let root = self.root().filter(|root| offset < root.body_bytes)?;
        let number = root.slice_of(offset);
        Some((slice_key(root.object, number), root.slice_range(number)))
    }

    /// Puts the record at a published place into `found`, verified, if it is what is sought.
    /// After an error nothing in `found` counts.
    #[inline]
    pub(crate) fn read(
        (pin, ground): (SegmentPin, Ground<'_>),
        (slot, place): (SlotNumber, Place),
        sought: Sought<'_>,
        found: &mut Option<Self>,
    ) -> Result<(), Absent> {
        let (at, end) = (place.at(), ground.volume.geometry.segment_bytes);
        let first = at..end.min(at.saturating_add(FIRST_BYTES));
        if ground.volume.check(&ground.within(first.clone()), ground.now).is_none() {
            // The whole record, if it is short: one reading instead of two.
            let extent = place.extent_bytes_max().min(PAGE_IN_BYTES);
            let wanted = at..end.min(at.saturating_add(extent)).max(first.end);
            ground.page_in(first.clone(), wanted)?;
        }
        let mut front = Front::Lent;
        let header = match ground.volume.kind {
            VolumeKind::Memory => pin.slice(first.clone()),
            VolumeKind::Disk => {
                front = Front::Copied(pin.reader().heads.take());
                front.copy(&ground, (at, 0), first.end - at)?
            }
        };
        // The lengths of a header that was verified before are no danger: they are compared with
        // the segment here, and the whole with its MAC below if it has been read again since.
        let parsed = match place.verified() {
            0 => RecordHeader::parse(header, at, u64::from(end), &ground.shared.keys),
            _ => RecordHeader::read(header, at, u64::from(end)),
        };
        let (header, layout) = parsed.ok_or(Absent::Damaged)?;
        if header.generation != pin.generation() {
            return Err(Absent::Damaged);
        }
        let serial = ground.in_memory(core_of(&layout))?;
        if first.end < layout.head().end {
            front.copy(&ground, (at, first.end - at), layout.head().end - at)?;
        }
        let record = found.insert(Self {
            kind: header.kind,
            soft_purged: place.is_soft(),
            sequence: header.sequence,
            stored_at_ms: header.stored_at_ms,
            expires_at_ms: header.expires_at_ms,
            layout,
            slot,
            place,
            serial: Cell::new(serial),
            front,
            pin,
        });
        // Before it is verified the key may be anything, but then it will not be served either.
        if !sought.is(header.kind, record.key()) {
            *found = None;
            return Ok(());
        }
        if serial.to_bits() != Some(place.verified()) {
            record.verify(&ground)?;
            if let Some(verified) = serial.to_bits() {
                ground.shared.index.set_verified(slot, place, verified);
            }
        }
        if header.kind == Kind::Root && record.root().is_none() {
            return Err(Absent::Damaged);
        }
        Ok(())
    }

    /// Compares it with the purges in force, and says whether one has ended it (ST-7).
    pub(crate) fn is_purged(&mut self) -> bool {
        let purges = &self.pin.reader().shared.purges;
        // Of a slice the root stands, or nobody asks for it.
        if self.kind == Kind::Slice || !purges.may_concern(self.sequence) {
            return false;
        }
        let tags = Tags::new(self.part(self.layout.tags()));
        let standing = purges.standing(self.key(), tags, self.sequence);
        self.soft_purged |= standing == Standing::Soft;
        standing == Standing::Purged
    }

    /// The key, as it was given to `begin`.
    pub fn key(&self) -> &[u8] {
        self.part(self.layout.key())
    }

    /// The tags, as they were given to `begin`.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        Tags::new(self.part(self.layout.tags())).iter()
    }

    /// Whether a soft purge concerns it: it may be served as stale or be validated, not as fresh.
    pub fn is_soft_purged(&self) -> bool {
        self.soft_purged
    }

    /// The head, as it was given to `begin`.
    pub fn head(&self) -> &[u8] {
        let in_front = if self.kind == Kind::Root { ROOT_BYTES } else { 0 };
        &self.own_head()[in_front..]
    }

    /// Length of the body in bytes.
    pub fn body_len(&self) -> u64 {
        self.root().map_or(self.own_body_len(), |root| root.body_bytes)
    }

    /// The first part of a range of the body that is not stored any more: whole slices, unless the
    /// range begins or ends in them. `None` when all is there, as it always is of an object in one
    /// record. Asks the index once for each slice, and may be untrue a moment later.
    pub fn missing(&self, range: Range<u64>) -> Option<Range<u64>> {
        let root = self.root()?;
        let shared = &self.pin.reader().shared;
        let is_there = |number: &u64| {
            let hash = shared.keys.slice_hash(&slice_key(root.object, *number));
            shared.index.find(hash, |_, _| Some(())).is_some()
        };
        let first = root.slices_of(&range).find(|number| !is_there(number))?;
        let behind = root.slices_of(&range).find(|number| *number > first && is_there(number));
        let start = root.slice_range(first).start.max(range.start);
        let end = behind.map_or(range.end, |number| root.slice_range(number).start);
        Some(start..end.min(range.end))
    }

    /// Whether all bytes of a range are there, see [`Record::missing`].
    pub fn holds(&self, range: Range<u64>) -> bool {
        self.missing(range).is_none()
    }

    /// The bytes of the slice with the body's byte at `offset`, see
    /// [`Writer::refill`](crate::Writer::refill); `None` beyond the end, and of what is not in
    /// slices.
    pub fn slice_range(&self, offset: u64) -> Option<Range<u64>> {
        self.slice_at(offset).map(|(_, range)| range)
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
    /// dropped from the index, and a response under way must be aborted; [`ReadError::Device`]; of
    /// an object in slices [`ReadError::Missing`] when the slice is gone, and
    /// [`ReadError::SeveralSlices`], see [`Record::piece`].
    pub fn body(&self, range: Range<u64>) -> Result<PinnedSlice, ReadError> {
        let in_body = range.end <= self.body_len();
        if in_body && self.root().is_some_and(|root| root.slices_of(&range).count() > 1) {
            return Err(ReadError::SeveralSlices);
        }
        self.range(range, Patience::Waits)?.ready()
    }

    /// At most `bytes_max` bytes of the body from `offset` on, fewer where its slice ends before:
    /// for large bodies, piece by piece. Waits for the device.
    ///
    /// # Errors
    /// As [`Record::body`].
    pub fn piece(&self, offset: u64, bytes_max: u64) -> Result<PinnedSlice, ReadError> {
        let end = offset.saturating_add(bytes_max).min(self.body_len());
        self.range(offset..end, Patience::Waits)?.ready()
    }

    /// Bytes of the body of this record alone. Waits for the device.
    pub(crate) fn own_body(&self, range: Range<u64>) -> Result<PinnedSlice, ReadError> {
        self.own_range(range, Patience::Waits)?.ready()
    }

    /// As [`Record::piece`], if the bytes are in memory; else what to page in. For threads that
    /// must not wait. Ask for the next window, and page it in, while this one is being sent.
    ///
    /// # Errors
    /// As [`Record::body`].
    pub fn window(&self, offset: u64, bytes_max: u64) -> Result<Window, ReadError> {
        let end = offset.saturating_add(bytes_max).min(self.body_len());
        self.range(offset..end, Patience::Never)
    }

    /// What to page in for a window, if it is not in memory; verifies nothing. To have the next
    /// window read while this one is being sent.
    pub fn cold(&self, offset: u64, bytes_max: u64) -> Option<PageIn> {
        let body_len = self.body_len();
        let start = offset.min(body_len);
        let end = offset.saturating_add(bytes_max).min(body_len);
        if start >= end {
            return None;
        }
        let reader = self.pin.reader();
        if let Some(root) = self.root() {
            let (number, mut found) = (root.slice_of(start), None);
            if let Err(cold) = reader.seek_slice(root, number, Patience::Never, &mut found) {
                return Some(cold);
            }
            let in_body = root.slice_range(number);
            return found?.cold(start - in_body.start, end.min(in_body.end) - start);
        }
        let ground = Ground::new(&reader.shared, &self.pin, Patience::Never);
        let body_at = self.layout.body_at;
        match ground.in_memory(body_at + start as u32..body_at + end as u32) {
            Err(Absent::Cold(cold)) => Some(cold),
            Ok(_) | Err(Absent::Fault | Absent::Damaged) => None,
        }
    }

    fn range(&self, range: Range<u64>, patience: Patience) -> Result<Window, ReadError> {
        if range.start > range.end || range.end > self.body_len() {
            return Err(ReadError::OutOfRange);
        }
        let Some(root) = self.root() else { return self.own_range(range, patience) };
        if range.is_empty() {
            return self.own_range(0..0, patience);
        }
        let number = root.slice_of(range.start);
        let mut found = None;
        if let Err(cold) = self.pin.reader().seek_slice(root, number, patience, &mut found) {
            return Ok(Window::Cold(cold));
        }
        let slice = found.ok_or(ReadError::Missing)?;
        let in_body = root.slice_range(number);
        let within = range.start - in_body.start..range.end.min(in_body.end) - in_body.start;
        slice.own_range(within, patience)
    }

    fn own_range(&self, range: Range<u64>, patience: Patience) -> Result<Window, ReadError> {
        if range.end > self.own_body_len() {
            return Err(ReadError::OutOfRange);
        }
        let ground = Ground::new(&self.pin.reader().shared, &self.pin, patience);
        if ground.volume.is_unreadable() {
            return Err(ReadError::Device);
        }
        let (start, end) = (range.start as u32, range.end as u32);
        let body_at = self.layout.body_at;
        let slice = PinnedSlice::new(self.pin.clone(), body_at + start..body_at + end);
        match self.make_ready(start..end, &ground) {
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
    fn make_ready(&self, body: Range<u32>, ground: &Ground<'_>) -> Result<(), Absent> {
        if body.is_empty() {
            return Ok(());
        }
        if self.layout.chunk_count() == 1 {
            let serial = ground.in_memory(core_of(&self.layout))?;
            // Read again since it was looked up.
            if serial != self.serial.get() || serial.to_bits().is_none() {
                self.verify_chunk(0, ground)?;
                self.serial.set(serial);
            }
            return Ok(());
        }
        let body_at = self.layout.body_at;
        ground.in_memory(body_at + body.start..body_at + body.end)?;
        let volume = ground.volume;
        for chunk in body.start / format::CHUNK_BYTES..=(body.end - 1) / format::CHUNK_BYTES {
            let range = ground.within(self.layout.chunk(chunk));
            if volume.verified.contains(range.start) {
                continue;
            }
            let serial = ground.in_memory(self.layout.chunk(chunk))?;
            self.verify_chunk(chunk, ground)?;
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
    fn verify(&self, ground: &Ground<'_>) -> Result<(), Absent> {
        let shared = &self.pin.reader().shared;
        let tail = self.layout.sums().start..self.layout.mac().end;
        ground.in_memory(tail.clone())?;
        let sums_bytes = (self.layout.sums().end - tail.start) as usize;
        let passes = self.with_copy(ground, tail, |tail| {
            let (sums, mac) = tail.split_at(sums_bytes);
            format::record_mac(&shared.keys, self.part(self.layout.front()), sums)[..] == *mac
        })?;
        if !passes {
            return Err(Absent::Damaged);
        }
        if self.layout.chunk_count() == 1 { self.verify_chunk(0, ground) } else { Ok(()) }
    }

    /// Compares one chunk with its sum.
    fn verify_chunk(&self, chunk: u32, ground: &Ground<'_>) -> Result<(), Absent> {
        let sum_at = self.layout.sums_at + chunk * 8;
        ground.in_memory(sum_at..sum_at + 8)?;
        let mut sum = [0; 8];
        ground.copy(sum_at..sum_at + 8, &mut sum)?;
        let range = self.layout.chunk(chunk);
        ground.in_memory(range.clone())?;
        let keys = &self.pin.reader().shared.keys;
        let seed = keys.chunk_seed(self.pin.generation(), self.sequence);
        let found = self.with_copy(ground, range, |bytes| chunk_sum(seed, bytes))?;
        if found == u64::from_le_bytes(sum) { Ok(()) } else { Err(Absent::Damaged) }
    }

    /// Copies bytes of the segment into the reader's scratch memory and looks at them there.
    fn with_copy<T>(
        &self,
        ground: &Ground<'_>,
        range: Range<u32>,
        see: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Absent> {
        let len = (range.end - range.start) as usize;
        let mut scratch = self.pin.reader().scratch.borrow_mut();
        if scratch.len() < len {
            scratch.resize(len.max(format::CHUNK_BYTES as usize), 0);
        }
        ground.copy(range, &mut scratch[..len])?;
        Ok(see(&scratch[..len]))
    }

    /// A part of what is in front of the body.
    #[inline]
    fn part(&self, range: Range<u32>) -> &[u8] {
        match &self.front {
            Front::Lent => self.pin.slice(range),
            Front::Copied(buffer) => {
                let (start, end) = (range.start - self.layout.at, range.end - self.layout.at);
                &buffer.bytes()[start as usize..end as usize]
            }
        }
    }
}

/// Header, key, tags and head of a record.
enum Front {
    /// They lie in a memory volume, which is sealed: nobody can cut it.
    Lent,
    /// Of a disk: they were copied, so that whoever looks at them meets no fault.
    Copied(HeadBuffer),
}

impl Front {
    /// Copies the bytes `from..to` of the record at `at`, and gives all up to there.
    #[inline]
    fn copy(
        &mut self,
        ground: &Ground<'_>,
        (at, from): (u32, u32),
        to: u32,
    ) -> Result<&[u8], Fault> {
        match self {
            Self::Lent => Ok(&[]),
            Self::Copied(buffer) => {
                let bytes = buffer.bytes_mut(to as usize);
                ground.copy(at + from..at + to, &mut bytes[from as usize..])?;
                Ok(bytes)
            }
        }
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

impl Window {
    /// What a thread that waits is given.
    fn ready(self) -> Result<PinnedSlice, ReadError> {
        match self {
            Self::Ready(slice) => Ok(slice),
            // It is never told to.
            Self::Cold(_) => Err(ReadError::Device),
        }
    }
}

/// Whether the calling thread may wait for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Waits,
    Never,
}

/// One look at a pinned segment.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    shared: &'a Shared,
    volume: &'a Volume,
    /// Number of the volume.
    number: usize,
    /// Where the segment begins in the volume's file.
    base: u64,
    patience: Patience,
    now: Option<Tick>,
}

impl<'a> Ground<'a> {
    /// Of a segment that the caller has pinned.
    #[inline]
    pub(crate) fn new(shared: &'a Shared, pin: &SegmentPin, patience: Patience) -> Self {
        let number = pin.volume_number();
        let volume = &shared.volumes[number];
        let base = volume.base(pin.segment());
        Self { shared, volume, number, base, patience, now: volume.now() }
    }

    #[inline]
    pub(crate) fn is_unreadable(&self) -> bool {
        self.volume.is_unreadable()
    }

    /// The serial of a range of the segment, which is in memory when this returns.
    #[inline]
    pub(crate) fn in_memory(&self, range: Range<u32>) -> Result<Serial, Absent> {
        match self.volume.check(&self.within(range.clone()), self.now) {
            Some(serial) => Ok(serial),
            None => self.page_in(range.clone(), range),
        }
    }

    /// What to do about a cold range; `wanted` comes with it.
    #[cold]
    fn page_in(&self, range: Range<u32>, wanted: Range<u32>) -> Result<Serial, Absent> {
        let wanted = self.within(wanted);
        match self.patience {
            Patience::Never => Err(Absent::Cold(self.volume.page_in_of(self.number, &wanted))),
            Patience::Waits => {
                self.volume.page_in(&wanted)?;
                Ok(self.volume.serial(&self.within(range)))
            }
        }
    }

    /// Copies bytes of the segment.
    #[inline]
    fn copy(&self, range: Range<u32>, into: &mut [u8]) -> Result<(), Fault> {
        self.volume.copy(self.base + u64::from(range.start), into)
    }

    /// A range of the segment as one of the volume's file.
    #[inline]
    fn within(&self, range: Range<u32>) -> Range<u64> {
        self.base + u64::from(range.start)..self.base + u64::from(range.end)
    }
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

/// What a lookup copies first: the header, and most keys and short heads with it.
const FIRST_BYTES: u32 = 256;
/// What is paged in at most together with a header.
const PAGE_IN_BYTES: u32 = 256 << 10;
