//! Volumes: where segments lie. Disk devices first, then the memory tier; segments are numbered
//! through all of them, so that an index slot, a pin and a plan need one number only.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use crate::config::Geometry;
use crate::format::CHUNK_BYTES;
use crate::guard::Fault;
use crate::map::Mapping;
use crate::residency::{PageIn, Reading, Residency, Serial, Tick};
use crate::verified::VerifiedPages;

/// One file of segments, mapped.
pub(crate) struct Volume {
    pub(crate) kind: VolumeKind,
    pub(crate) geometry: Geometry,
    /// Number of its first segment.
    pub(crate) first: u32,
    /// Where that begins in the file: asked for by every lookup.
    segments_at: u64,
    pub(crate) map: Mapping,
    /// Chunks of large bodies that were verified since they were read.
    pub(crate) verified: VerifiedPages,
    /// Of a disk; a memory volume is always there.
    residency: Option<Residency>,
    pub(crate) file: File,
    /// Sequences and generations below it do not count.
    pub(crate) floor: u64,
    /// The device's name; 0 for memory.
    pub(crate) device: u128,
    /// The device's directory; empty for memory.
    pub(crate) path: PathBuf,
    offline: AtomicBool,
    /// As the writer saw it last; see [`Pace`](crate::pace::Pace).
    behind: AtomicBool,
    /// Failed writes and syncs.
    errors: AtomicU64,
    unreadable: AtomicBool,
}

/// What a volume's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VolumeKind {
    /// A device's data file.
    Disk,
    /// A memfd: gone with the process.
    Memory,
}

impl Volume {
    /// Maps `file`, whose length the caller has compared with its geometry.
    pub(crate) fn new(
        kind: VolumeKind,
        (geometry, first, floor): (Geometry, u32, u64),
        file: File,
    ) -> io::Result<Self> {
        let map = Mapping::new(&file, geometry.data_bytes())?;
        let is_disk = kind == VolumeKind::Disk;
        let residency = is_disk.then(|| Residency::new(geometry.data_bytes()));
        Ok(Self {
            kind,
            geometry,
            first,
            segments_at: geometry.base(0),
            map,
            verified: VerifiedPages::new(geometry.data_bytes()),
            residency,
            file,
            floor,
            device: 0,
            path: PathBuf::new(),
            offline: AtomicBool::new(false),
            behind: AtomicBool::new(false),
            errors: AtomicU64::new(0),
            unreadable: AtomicBool::new(false),
        })
    }

    /// A volume in anonymous memory, sealed against truncation.
    pub(crate) fn in_memory(geometry: Geometry, first: u32) -> io::Result<Self> {
        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(memfd_create("longhold-store", flags)?);
        file.set_len(geometry.data_bytes())?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
        Self::new(VolumeKind::Memory, (geometry, first, 0), file)
    }

    /// Its segments.
    pub(crate) fn segments(&self) -> Range<u32> {
        self.first..self.first + self.geometry.segment_count
    }

    /// A segment's number within the volume, which is its name on disk: devices may come in
    /// another order next time.
    pub(crate) fn local(&self, segment: u32) -> u32 {
        segment - self.first
    }

    /// Where a segment of it begins in its file.
    pub(crate) fn base(&self, segment: u32) -> u64 {
        self.segments_at + u64::from(self.geometry.segment_bytes) * u64::from(self.local(segment))
    }

    /// Whether it was given up after too many failures: nothing is written to it any more.
    pub(crate) fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Relaxed)
    }

    /// Whether it is behind with what was written to it.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    pub(crate) fn set_behind(&self, behind: bool) {
        self.behind.store(behind, Ordering::Relaxed);
    }

    pub(crate) fn count_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    pub(crate) fn take_offline(&self) {
        self.offline.store(true, Ordering::Relaxed);
    }

    /// Recovery is over, and with it reading from front to back.
    pub(crate) fn end_recovery(&self) {
        if self.residency.is_some() {
            self.map.advise_random();
        }
    }

    /// Whether its file has failed to give a page: nothing is read from it any more either.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Gives the volume up after its file did not give what was written: its records are misses.
    pub(crate) fn fail_reads(&self) {
        self.unreadable.store(true, Ordering::Relaxed);
        self.take_offline();
    }

    /// The time for [`Volume::check`]; none where nothing can be cold.
    #[inline]
    pub(crate) fn now(&self) -> Option<Tick> {
        self.residency.is_some().then(Tick::now)
    }

    /// The serial of a range that is in memory; `None` when it is cold.
    #[inline]
    pub(crate) fn check(&self, range: &Range<u64>, now: Option<Tick>) -> Option<Serial> {
        match (&self.residency, now) {
            (Some(residency), Some(now)) => residency.check(&self.map, range, now),
            (None, _) | (_, None) => Some(Serial::FIRST),
        }
    }

    /// Whether somebody has cut the file, which ends the volume. A write behind the cut makes it
    /// grow again, with zeros in between that no fault tells of; so it is asked after each.
    pub(crate) fn is_cut(&self) -> bool {
        let bytes = self.file.metadata().map(|metadata| metadata.len());
        let is_cut = bytes.is_ok_and(|bytes| bytes < self.geometry.data_bytes());
        if is_cut {
            self.fail_reads();
        }
        is_cut
    }

    /// The serial of a range, wherever it is.
    pub(crate) fn serial(&self, range: &Range<u64>) -> Serial {
        self.residency.as_ref().map_or(Serial::FIRST, |residency| residency.serial(range))
    }

    /// What to ask a pager for when a range is cold.
    pub(crate) fn page_in_of(&self, volume: usize, range: &Range<u64>) -> PageIn {
        let rounded = self.residency.as_ref().map(|residency| residency.rounded(range));
        PageIn { volume, range: rounded.unwrap_or_else(|| range.clone()) }
    }

    /// Begins to page in; see [`Residency::begin`]. What was verified of the parts is forgotten.
    pub(crate) fn begin_page_in(
        &self,
        range: &Range<u64>,
        part_bytes_max: u64,
        mut part: impl FnMut(Range<u64>),
    ) {
        let Some(residency) = &self.residency else { return };
        residency.begin(&self.map, range, part_bytes_max, |bounds| {
            // The serials have risen. A reader that marks a chunk as verified from here on looks
            // at them once more (`Record::verify_chunk`).
            fence(Ordering::SeqCst);
            let chunk_before = bounds.start.saturating_sub(u64::from(CHUNK_BYTES));
            self.verified.clear(chunk_before, bounds.end);
            part(bounds);
        });
    }

    /// A part has been read, or could not be. One that the file does not give ends the volume.
    pub(crate) fn settle_page_in(&self, part: &Range<u64>, reading: Reading) {
        if let Some(residency) = &self.residency {
            residency.settle(part, reading);
        }
        if reading == Reading::Failed {
            self.fail_reads();
        }
    }

    /// Pages in on the calling thread, which waits for the device.
    pub(crate) fn page_in(&self, range: &Range<u64>) -> Result<(), Fault> {
        let mut outcome = Ok(());
        self.begin_page_in(range, u64::MAX, |part| {
            let read = self.map.page_in(part.clone());
            let failed = read.is_err();
            self.settle_page_in(&part, if failed { Reading::Failed } else { Reading::Done });
            outcome = outcome.and(read);
        });
        outcome
    }

    /// Copies bytes that were published; if they cannot be had, the volume is given up.
    pub(crate) fn copy(&self, offset: u64, into: &mut [u8]) -> Result<(), Fault> {
        self.map.copy(offset, into).inspect_err(|_| self.fail_reads())
    }

    /// Forgets what was known of a segment that is about to be written anew.
    pub(crate) fn forget_segment(&self, segment: u32) {
        let base = self.base(segment);
        let range = base..base + u64::from(self.geometry.segment_bytes);
        self.verified.clear(range.start, range.end);
        if let Some(residency) = &self.residency {
            residency.reset(&range);
        }
    }

    /// Drops the pages of a range from memory, and takes them to be cold even where the file
    /// system keeps them. Costs a sync of the whole file; when that fails, so has the volume.
    pub(crate) fn drop_pages(&self, range: &Range<u64>) -> io::Result<()> {
        let Some(residency) = &self.residency else { return Ok(()) };
        self.file.sync_data().inspect_err(|_| self.fail_reads())?;
        self.map.drop_pages(residency.rounded(range))?;
        residency.set_cold(range);
        Ok(())
    }
}
