//! What an embedder chooses, checked into geometries that the whole crate can trust.
//!
//! A device's geometry (segment size and count, areas in front) is fixed when the device is
//! created; the rest may differ from one start to the next.

use std::path::PathBuf;
use std::time::Duration;

use crate::draft::Draft;
use crate::error::ConfigError;
use crate::eviction::Survival;
use crate::format::{CHUNK_BYTES, FOOTER_TRAILER_BYTES, SEGMENT_HEADER_BYTES};
use crate::purge::PurgeLimits;
use crate::purge_log::Area;
use crate::residency::Residency;
use crate::snapshot;

/// How a store is opened. [`Config::new`] fills in defaults that suit the size.
#[derive(Debug, Clone)]
pub struct Config {
    /// The disk devices, up to 64. All of them together are one store; adding one makes it larger,
    /// leaving one out makes it smaller, by whole devices only. Empty for a store in memory.
    pub devices: Vec<DeviceConfig>,
    /// Bytes of a disk segment: a multiple of 4,096 from 64 KiB to 64 MiB. Fixed for the life of
    /// the store, and the bound of one record's size.
    pub segment_bytes: u64,
    /// Bytes of the memory tier, rounded down to its segments; 0 for none. New keys begin there,
    /// and reach a disk when they are asked for again.
    pub memory_bytes: u64,
    /// Bytes of a memory segment, as `segment_bytes`. May differ from one start to the next.
    pub memory_segment_bytes: u64,
    /// Records that live no longer than this share segments, in milliseconds.
    pub short_lifetime_ms: u64,
    /// Which records of a full disk are kept.
    pub survival: Survival,
    /// How many readers may exist at one time (workers and fill threads), 1 to 1,024.
    pub pin_rows: usize,
    /// Largest body that [`Writer::begin`](crate::Writer::begin) takes, in bytes. More than half of
    /// what the largest disk holds (without disks, the memory) is refused whatever stands here: it
    /// would push out most of that, itself among it.
    pub object_bytes_max: u64,
    /// Bodies above it are stored in slices of so many bytes, each a record of its own, so that an
    /// object may be larger than a segment and is evicted in parts. A multiple of 4,096, at most
    /// half of a segment of the disks (without disks, of the memory); 0 for an eighth of one (of
    /// the memory tier, when large bodies begin there and its segments are smaller), but not more
    /// than 4 MiB and, where half of one allows it, not less than 64 KiB. May differ from one
    /// start to the next.
    pub slice_bytes: u64,
    /// Bodies of known length above `slice_bytes` begin in the memory tier, as smaller ones do,
    /// when they are no more than half of it: the disks see only what was asked for twice. Else
    /// all go to a disk at once, and what disks write is several times as much (`DESIGN.md`,
    /// "Eviction"). The price: the tier turns quickly, and with it goes the rest of a body that a
    /// slow reader has not come to. For callers that fetch a
    /// [missing](crate::Record::missing) slice again, and of what they say that they can
    /// ([`Draft::can_refetch`](crate::Draft::can_refetch)).
    pub large_on_probation: bool,
    /// Heap for drafts of unknown length, which gather a slice before its place is reserved: as
    /// many may be open as have room in it, at the least of `slice_bytes` and 256 KiB each.
    pub gathering_bytes_max: u64,
    /// Slots of the index, 16 bytes each, rounded up to whole lines of four. Half full, hardly an
    /// object is displaced by another; three quarters full, one in 150.
    pub index_slots: u64,
    /// How long a disk may take for one write. One that takes longer is behind: until it answers in
    /// time again, no more than one object at a time is begun there, and the others are
    /// [refused](crate::Refused::Behind). Unless it is set, none is.
    pub write_patience: Duration,
    /// Failed writes and syncs that a device survives before the writer takes it offline.
    pub write_errors_max: u32,
    /// Purges by tag in force at one time, hard and soft ones each: 32 bytes for each, taken at
    /// the first. Over it the older half is forgotten, and what has any tag and is older than they
    /// counts as purged. 2 to 16,777,216.
    pub purge_tags_max: u32,
    /// Purged prefixes at one time, 256 bytes of each on average. Over it they are refused. 1 to
    /// 65,536.
    pub purge_prefixes_max: u32,
}

/// One disk device of a store: a directory on a file system of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceConfig {
    /// The directory that holds the device's files; created when it is not there.
    pub path: PathBuf,
    /// Bytes for records, rounded down to whole segments. The data file is larger by the areas in
    /// front, see [`Config::disk_bytes`]. Fixed for the life of the device.
    pub size_bytes: u64,
}

impl Config {
    /// A store of `size_bytes` in the directory `path`: sixteen segments or more, of at most
    /// 64 MiB each, one index slot for every 8 KiB, and no memory tier.
    pub fn new(path: impl Into<PathBuf>, size_bytes: u64) -> Self {
        let devices = vec![DeviceConfig { path: path.into(), size_bytes }];
        Self { devices, ..Self::sized(size_bytes) }
    }

    /// A store in anonymous memory (a memfd sealed against truncation), which ends with the
    /// process: for tests, and for hosts without a disk.
    pub fn in_memory(size_bytes: u64) -> Self {
        Self { memory_bytes: size_bytes, ..Self::sized(size_bytes) }
    }

    /// The same store with a memory tier of so many bytes in at least eight segments.
    #[must_use]
    pub fn with_memory(self, memory_bytes: u64) -> Self {
        Self { memory_bytes, memory_segment_bytes: segment_for(memory_bytes, 8), ..self }
    }

    /// The same store with one more device.
    #[must_use]
    pub fn with_device(mut self, path: impl Into<PathBuf>, size_bytes: u64) -> Self {
        self.devices.push(DeviceConfig { path: path.into(), size_bytes });
        self.index_slots += (size_bytes / 8192).max(1024);
        self
    }

    fn sized(size_bytes: u64) -> Self {
        Self {
            devices: Vec::new(),
            segment_bytes: segment_for(size_bytes, 16),
            memory_bytes: 0,
            memory_segment_bytes: segment_for(size_bytes, 16),
            short_lifetime_ms: 600_000,
            survival: Survival::default(),
            pin_rows: 64,
            object_bytes_max: 1 << 30,
            slice_bytes: 0,
            large_on_probation: false,
            gathering_bytes_max: 16 << 20,
            index_slots: (size_bytes / 8192).max(1024),
            write_patience: Duration::MAX,
            write_errors_max: 8,
            purge_tags_max: 65_536,
            purge_prefixes_max: 4096,
        }
    }

    /// User memory that the store takes, in bytes: the sum of [`Config::memory_use`]. The mapping
    /// is the kernel's page cache and not counted.
    ///
    /// # Errors
    /// As [`Store::open`](crate::Store::open) would refuse the same config.
    pub fn memory_bytes(&self) -> Result<u64, ConfigError> {
        let MemoryUse { index, ghost, pins, verified, residency, tier, purges, gathering } =
            self.memory_use()?;
        Ok(index + ghost + pins + verified + residency + tier + purges + gathering)
    }

    /// User memory that the store takes, part by part.
    ///
    /// # Errors
    /// As [`Store::open`](crate::Store::open) would refuse the same config.
    pub fn memory_use(&self) -> Result<MemoryUse, ConfigError> {
        let shapes = self.shapes()?;
        let volumes = || shapes.disks.iter().chain(&shapes.memory);
        let segments: u64 = volumes().map(|shape| u64::from(shape.segment_count)).sum();
        let disks = shapes.disks.iter();
        Ok(MemoryUse {
            index: self.index_slots * 16,
            ghost: u64::from(self.ghost_capacity()) * 64 / 6,
            pins: segments * 4 * (self.pin_rows as u64 + 2),
            verified: volumes().map(|shape| shape.data_bytes() / (4096 * 8)).sum(),
            residency: disks.map(|shape| Residency::memory_bytes(shape.data_bytes())).sum(),
            tier: shapes.memory.map_or(0, Geometry::data_bytes),
            // Tags of both modes; two sets of prefixes while one replaces the other; the ledger.
            purges: u64::from(self.purge_tags_max) * 64
                + u64::from(self.purge_prefixes_max) * 2 * (PREFIX_BYTES + 48)
                + shapes.disks.iter().map(|shape| shape.purge_bytes).max().unwrap_or(0),
            gathering: self.gathering_bytes_max,
        })
    }

    /// What each device takes of its disk when it is made, in the order of `devices`.
    ///
    /// # Errors
    /// As [`Store::open`](crate::Store::open) would refuse the same config.
    pub fn disk_use(&self) -> Result<Vec<DiskUse>, ConfigError> {
        let shapes = self.shapes()?;
        Ok(shapes.disks.into_iter().map(DiskUse::of).collect())
    }

    /// Keys that are remembered after they have left, at most.
    pub(crate) fn ghost_capacity(&self) -> u32 {
        let both = !self.devices.is_empty() && self.memory_bytes > 0;
        if both { u32::try_from(self.index_slots / 2).unwrap_or(u32::MAX) } else { 0 }
    }

    /// Bytes on disk that all data files take together.
    ///
    /// # Errors
    /// As [`Store::open`](crate::Store::open) would refuse the same config.
    pub fn disk_bytes(&self) -> Result<u64, ConfigError> {
        Ok(self.shapes()?.disks.iter().map(|shape| shape.data_bytes()).sum())
    }

    /// The bounds of the purge table.
    pub(crate) fn purge_limits(&self) -> PurgeLimits {
        PurgeLimits {
            tags_max: self.purge_tags_max,
            prefixes_max: self.purge_prefixes_max,
            prefix_bytes_max: self.purge_prefixes_max.saturating_mul(PREFIX_BYTES as u32),
        }
    }

    /// Checks every bound and the relations between them.
    pub(crate) fn shapes(&self) -> Result<Shapes, ConfigError> {
        if self.devices.len() > DEVICES_MAX || (self.devices.is_empty() && self.memory_bytes == 0) {
            return Err(ConfigError::Devices { devices: self.devices.len() });
        }
        if !(1..=PIN_ROWS_MAX).contains(&self.pin_rows) {
            return Err(ConfigError::PinRows { pin_rows: self.pin_rows });
        }
        if !(4..=INDEX_SLOTS_MAX).contains(&self.index_slots) {
            return Err(ConfigError::IndexSlots { index_slots: self.index_slots });
        }
        let (tags, prefixes) = (self.purge_tags_max, self.purge_prefixes_max);
        if !(2..=PURGE_TAGS_MAX).contains(&tags) || !(1..=PURGE_PREFIXES_MAX).contains(&prefixes) {
            return Err(ConfigError::PurgeTable { tags, prefixes });
        }
        let disk = |device: &DeviceConfig| records(device.size_bytes, self.segment_bytes);
        let disks: Result<Vec<Geometry>, ConfigError> = self.devices.iter().map(disk).collect();
        let mut disks = disks?;
        let tier = (self.memory_bytes > 0).then_some(self.memory_bytes);
        let memory = tier.map(|bytes| records(bytes, self.memory_segment_bytes)).transpose()?;
        let segments = disks.iter().chain(&memory).map(|shape| u64::from(shape.segment_count));
        let segments: u64 = segments.sum();
        if segments > SEGMENT_COUNT_MAX {
            let size_bytes = disks.iter().map(|shape| shape.data_bytes()).sum();
            let segment_bytes = self.segment_bytes;
            return Err(ConfigError::SegmentCount { size_bytes, segment_bytes });
        }
        for (disk, device) in disks.iter_mut().zip(&self.devices) {
            disk.snapshot_bytes = snapshot_bytes(self.index_slots, segments);
            disk.purge_bytes = purge_bytes(device.size_bytes);
        }
        let slicing = self.slicing(&disks, memory)?;
        Ok(Shapes { disks, memory, slicing })
    }

    /// Slices go to the disks if there are any.
    fn slicing(
        &self,
        disks: &[Geometry],
        memory: Option<Geometry>,
    ) -> Result<Slicing, ConfigError> {
        let homes = || disks.iter().chain(memory.as_ref().filter(|_| disks.is_empty()));
        let segment_bytes = homes().map(|shape| shape.segment_bytes).min().unwrap_or_default();
        let probation = memory.filter(|_| self.large_on_probation);
        let slice_bytes = match self.slice_bytes {
            0 => Some(slice_for(segment_bytes.min(probation.map_or(u32::MAX, smallest_useful)))),
            chosen => u32::try_from(chosen).ok(),
        };
        let fits =
            |slice: &u32| (1..=segment_bytes / 2).contains(slice) && slice.is_multiple_of(4096);
        let Some(slice_bytes) = slice_bytes.filter(fits) else {
            let (slice_bytes, segment_bytes) = (self.slice_bytes, u64::from(segment_bytes));
            return Err(ConfigError::SliceBytes { slice_bytes, segment_bytes });
        };
        let gathered_bytes = slice_bytes.min(GATHERED_BYTES_MAX);
        let home_bytes = homes().map(|shape| shape.record_bytes()).max().unwrap_or_default();
        Ok(Slicing {
            slice_bytes,
            firm_slice_bytes: if self.slice_bytes == 0 {
                slice_for(segment_bytes)
            } else {
                slice_bytes
            },
            gathered_bytes,
            gathering_max: self.gathering_bytes_max / u64::from(gathered_bytes),
            body_bytes_max: self.object_bytes_max.min(home_bytes / 2),
            on_probation: self.large_on_probation,
        })
    }
}

/// How large bodies are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slicing {
    /// Of a body of known length.
    pub(crate) slice_bytes: u32,
    /// The same of what never begins in memory in slices: as long as its disks like it.
    pub(crate) firm_slice_bytes: u32,
    /// Of a body of unknown length.
    pub(crate) gathered_bytes: u32,
    /// Drafts of unknown length at one time.
    pub(crate) gathering_max: u64,
    /// Largest body in slices.
    pub(crate) body_bytes_max: u64,
    /// They begin in the memory tier, as far as they fit.
    pub(crate) on_probation: bool,
}

impl Slicing {
    /// Of a draft of known length: what is longer is cut.
    pub(crate) fn slice_bytes_of(&self, draft: Draft<'_>) -> u32 {
        if draft.can_refetch { self.slice_bytes } else { self.firm_slice_bytes }
    }
}

/// Memory of an open store, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryUse {
    /// Slots of the index.
    pub index: u64,
    /// Fingerprints of keys that have left; none without a memory tier before disks.
    pub ghost: u64,
    /// A counter for each segment and reader.
    pub pins: u64,
    /// A bit for each page of each volume.
    pub verified: u64,
    /// A word for each 16 KiB of each disk: what is in memory.
    pub residency: u64,
    /// The memory tier, all that it can grow to.
    pub tier: u64,
    /// Purges in force and on record, all that they can grow to.
    pub purges: u64,
    /// Bodies of unknown length on their way in, all that they can grow to.
    pub gathering: u64,
}

/// The data file of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUse {
    /// Segments for records.
    pub segment_count: u32,
    /// Bytes of each.
    pub segment_bytes: u32,
    /// Bytes in front of them, for images of the index and the purge log.
    pub front_bytes: u64,
    /// Bytes of the whole file.
    pub file_bytes: u64,
}

impl DiskUse {
    pub(crate) fn of(geometry: Geometry) -> Self {
        Self {
            segment_count: geometry.segment_count,
            segment_bytes: geometry.segment_bytes,
            front_bytes: geometry.base(0),
            file_bytes: geometry.data_bytes(),
        }
    }
}

/// What a config comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shapes {
    /// One for each device, in its order.
    pub(crate) disks: Vec<Geometry>,
    pub(crate) memory: Option<Geometry>,
    pub(crate) slicing: Slicing,
}

/// The shape of a data file; all arithmetic on places goes through it. Segment numbers here are
/// counted within the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) segment_bytes: u32,
    pub(crate) segment_count: u32,
    /// Bytes of each of the two areas for images of the index, at the front of the file.
    pub(crate) snapshot_bytes: u64,
    /// Bytes of each of the two areas of the purge log behind them.
    pub(crate) purge_bytes: u64,
}

impl Geometry {
    /// Whether any config could have led to it: the arithmetic below does not overflow then.
    pub(crate) fn is_within_bounds(self) -> bool {
        u64::from(self.segment_bytes) <= SEGMENT_BYTES_MAX
            && u64::from(self.segment_count) <= SEGMENT_COUNT_MAX
            && self.snapshot_bytes <= AREA_BYTES_MAX
            && self.purge_bytes <= AREA_BYTES_MAX
    }

    /// Length of the data file.
    pub(crate) fn data_bytes(self) -> u64 {
        self.base(self.segment_count)
    }

    /// Where an area of the purge log begins in the data file.
    pub(crate) fn purge_base(self, area: Area) -> u64 {
        2 * self.snapshot_bytes + area as u64 * self.purge_bytes
    }

    /// Bytes of all segments together.
    pub(crate) fn record_bytes(self) -> u64 {
        u64::from(self.segment_bytes) * u64::from(self.segment_count)
    }

    /// Where a segment begins in the data file.
    pub(crate) fn base(self, segment: u32) -> u64 {
        let areas = 2 * (self.snapshot_bytes + self.purge_bytes);
        // Large segments begin where a large page does.
        let align = if u64::from(self.segment_bytes) >= HUGE_BYTES { HUGE_BYTES } else { 4096 };
        areas.next_multiple_of(align) + u64::from(self.segment_bytes) * u64::from(segment)
    }

    /// First byte behind the last record that may lie in a segment with `records` footer lines.
    pub(crate) fn records_end(self, records: u32) -> u64 {
        let footer = u64::from(records) * crate::format::FOOTER_ENTRY_BYTES as u64;
        u64::from(self.segment_bytes).saturating_sub(FOOTER_TRAILER_BYTES as u64 + footer)
    }
}

/// The segments of a volume.
fn records(size_bytes: u64, segment_bytes: u64) -> Result<Geometry, ConfigError> {
    let in_range = (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&segment_bytes);
    if !in_range || !segment_bytes.is_multiple_of(4096) {
        return Err(ConfigError::SegmentBytes { segment_bytes });
    }
    let segment_count = size_bytes / segment_bytes;
    if !(SEGMENT_COUNT_MIN..=SEGMENT_COUNT_MAX).contains(&segment_count) {
        return Err(ConfigError::SegmentCount { size_bytes, segment_bytes });
    }
    Ok(Geometry {
        segment_bytes: u32::try_from(segment_bytes).unwrap_or(u32::MAX),
        segment_count: u32::try_from(segment_count).unwrap_or(u32::MAX),
        snapshot_bytes: 0,
        purge_bytes: 0,
    })
}

/// The largest power of two of which `parts` fit, within the bounds of a segment.
fn segment_for(size_bytes: u64, parts: u64) -> u64 {
    let part = (size_bytes / parts).max(1);
    (1 << part.ilog2()).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
}

/// An eighth of a segment, 4 MiB at most, in whole checksummed chunks; in small segments one, or
/// half of what there is.
fn slice_for(segment_bytes: u32) -> u32 {
    let eighth = (segment_bytes / 8).min(4 << 20) / CHUNK_BYTES * CHUNK_BYTES;
    eighth.max(CHUNK_BYTES).min(segment_bytes / 2 / 4096 * 4096)
}

/// A memory segment's bytes, if slices of an eighth of it are not too small.
fn smallest_useful(memory: Geometry) -> u32 {
    if memory.segment_bytes >= 8 * CHUNK_BYTES { memory.segment_bytes } else { u32::MAX }
}

/// Room for one image of the index: slots, their checksums, a line for each segment, and what
/// says whose image it is.
fn snapshot_bytes(index_slots: u64, segments: u64) -> u64 {
    let slots = index_slots.next_multiple_of(4);
    let layout = snapshot::Layout::new(slots, DEVICES_MAX as u64, segments);
    layout.total_bytes().next_multiple_of(4096)
}

/// Room for purges that may still concern a record: a 64th of the device, from 16 KiB (250 purges)
/// to 64 MiB (a million).
fn purge_bytes(size_bytes: u64) -> u64 {
    (size_bytes / 64).clamp(16 << 10, 64 << 20).next_multiple_of(4096)
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
/// Purged tags, for each mode.
const PURGE_TAGS_MAX: u32 = 1 << 24;
/// Purged prefixes.
const PURGE_PREFIXES_MAX: u32 = 1 << 16;
/// What a purged prefix takes on average at most.
const PREFIX_BYTES: u64 = 256;
/// Disk devices of one store.
pub(crate) const DEVICES_MAX: usize = 64;
/// An image of the largest index takes a quarter of it.
const AREA_BYTES_MAX: u64 = 1 << 40;
/// Largest slice of a body of unknown length: it lies in memory until it is full.
pub const GATHERED_BYTES_MAX: u32 = 256 << 10;
/// A large page of the processor.
const HUGE_BYTES: u64 = 2 << 20;

const _: () = assert!(SEGMENT_BYTES_MIN > SEGMENT_HEADER_BYTES as u64 * 2);
