//! Volumes: where segments lie. Disk devices first, then the memory tier; segments are numbered
//! through all of them, so that an index slot, a pin and a plan need one number only.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::config::Geometry;
use crate::map::Mapping;
use crate::verified::VerifiedPages;

/// One file of segments, mapped.
pub(crate) struct Volume {
    pub(crate) kind: VolumeKind,
    pub(crate) geometry: Geometry,
    /// Number of its first segment.
    pub(crate) first: u32,
    pub(crate) map: Mapping,
    pub(crate) verified: VerifiedPages,
    pub(crate) file: File,
    /// Sequences and generations below it do not count.
    pub(crate) floor: u64,
    /// The device's directory; empty for memory.
    pub(crate) path: PathBuf,
    offline: AtomicBool,
    /// Failed writes and syncs.
    errors: AtomicU64,
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
        Ok(Self {
            kind,
            geometry,
            first,
            map: Mapping::new(&file, geometry.data_bytes())?,
            verified: VerifiedPages::new(geometry.data_bytes()),
            file,
            floor,
            path: PathBuf::new(),
            offline: AtomicBool::new(false),
            errors: AtomicU64::new(0),
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
        self.geometry.base(self.local(segment))
    }

    /// Whether it was given up after too many failures: nothing is written to it any more.
    pub(crate) fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Relaxed)
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
}
