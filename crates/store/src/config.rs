//! What an embedder chooses, checked into a geometry that the whole crate can trust.
//!
//! Geometry (segment size and count) is fixed when a store is created; the rest may differ from
//! one start to the next.

use std::path::PathBuf;

use crate::error::ConfigError;
use crate::format::{FOOTER_TRAILER_BYTES, SEGMENT_HEADER_BYTES};

/// How a store is opened. [`Config::new`] fills in defaults that suit the size.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory that holds the store's files; created when it is not there.
    pub path: PathBuf,
    /// Bytes of the data file, rounded down to whole segments. Fixed for the life of the store.
    pub size_bytes: u64,
    /// Bytes of a segment: a multiple of 4,096 from 64 KiB to 64 MiB. Fixed for the life of the
    /// store, and the bound of one object's size.
    pub segment_bytes: u64,
    /// How many readers may exist at one time (workers and fill threads), 1 to 1,024.
    pub pin_rows: usize,
    /// Largest body that [`Writer::begin`](crate::Writer::begin) takes, in bytes; what does not
    /// fit into a segment is refused whatever stands here.
    pub object_bytes_max: u64,
    /// Slots of the index, 16 bytes each, rounded up to whole lines of four. Half full, hardly an
    /// object is displaced by another; three quarters full, one in 150.
    pub index_slots: u64,
    /// Failed writes and syncs that the writer survives before it takes the device offline.
    pub write_errors_max: u32,
}

impl Config {
    /// A store of `size_bytes` in the directory `path`: sixteen segments or more, of at most
    /// 64 MiB each, and one index slot for every 8 KiB.
    pub fn new(path: impl Into<PathBuf>, size_bytes: u64) -> Self {
        let sixteenth = (size_bytes / 16).max(1);
        let segment_bytes = (1 << sixteenth.ilog2()).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        Self {
            path: path.into(),
            size_bytes,
            segment_bytes,
            pin_rows: 64,
            object_bytes_max: 1 << 30,
            index_slots: (size_bytes / 8192).max(1024),
            write_errors_max: 8,
        }
    }

    /// User memory that the store takes at start, in bytes: index, pins and verified bits. The
    /// mapping is the kernel's page cache and not counted.
    ///
    /// # Errors
    /// As [`Store::open`](crate::Store::open) would refuse the same config.
    pub fn memory_bytes(&self) -> Result<u64, ConfigError> {
        let geometry = self.geometry()?;
        let pins = u64::from(geometry.segment_count) * 4 * self.pin_rows as u64;
        let verified = geometry.data_bytes() / (4096 * 8);
        Ok(self.index_slots * 16 + pins + verified)
    }

    /// Checks every bound and the relations between them.
    pub(crate) fn geometry(&self) -> Result<Geometry, ConfigError> {
        let segment_bytes = self.segment_bytes;
        let in_range = (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&segment_bytes);
        if !in_range || !segment_bytes.is_multiple_of(4096) {
            return Err(ConfigError::SegmentBytes { segment_bytes });
        }
        let segment_count = self.size_bytes / segment_bytes;
        if !(SEGMENT_COUNT_MIN..=SEGMENT_COUNT_MAX).contains(&segment_count) {
            return Err(ConfigError::SegmentCount { size_bytes: self.size_bytes, segment_bytes });
        }
        if !(1..=PIN_ROWS_MAX).contains(&self.pin_rows) {
            return Err(ConfigError::PinRows { pin_rows: self.pin_rows });
        }
        if !(4..=INDEX_SLOTS_MAX).contains(&self.index_slots) {
            return Err(ConfigError::IndexSlots { index_slots: self.index_slots });
        }
        let segment_count = u32::try_from(segment_count).unwrap_or(u32::MAX);
        let segment_bytes = u32::try_from(segment_bytes).unwrap_or(u32::MAX);
        Ok(Geometry { segment_bytes, segment_count })
    }
}

/// The shape of the data file; all arithmetic on places goes through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) segment_bytes: u32,
    pub(crate) segment_count: u32,
}

impl Geometry {
    /// Length of the data file.
    pub(crate) fn data_bytes(self) -> u64 {
        u64::from(self.segment_bytes) * u64::from(self.segment_count)
    }

    /// Where a segment begins in the data file.
    pub(crate) fn base(self, segment: u32) -> u64 {
        u64::from(self.segment_bytes) * u64::from(segment)
    }

    /// First byte behind the last record that may lie in a segment with `records` footer lines.
    pub(crate) fn records_end(self, records: u32) -> u64 {
        let footer = u64::from(records) * crate::format::FOOTER_ENTRY_BYTES as u64;
        u64::from(self.segment_bytes).saturating_sub(FOOTER_TRAILER_BYTES as u64 + footer)
    }
}

/// Smallest segment.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Largest segment: an index slot holds 20 bits of offset in units of 64 bytes.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// Fewer segments than this leave nothing to reclaim while one is open and two are kept clean.
pub(crate) const SEGMENT_COUNT_MIN: u64 = 8;
/// An index slot holds 20 bits of segment number.
pub(crate) const SEGMENT_COUNT_MAX: u64 = 1 << 20;
/// Readers at one time.
pub(crate) const PIN_ROWS_MAX: usize = 1024;
/// 2^32 lines of four slots.
pub(crate) const INDEX_SLOTS_MAX: u64 = 1 << 34;

const _: () = assert!(SEGMENT_BYTES_MIN > SEGMENT_HEADER_BYTES as u64 * 2);
