//! The open store: what readers and the writer share, and its figures.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::{Config, Geometry, Shapes, Slicing};
use crate::directory::{self, DirectoryLock, Opened};
use crate::error::{OpenError, ReadError};
use crate::eviction::Survival;
use crate::format::{Kind, RECORD_HEADER_BYTES, RecordHeader};
use crate::index::Index;
use crate::keys::Keys;
use crate::logs::Logs;
use crate::pin::PinTable;
use crate::purge::PurgeTable;
use crate::purge_plan::PurgeLogs;
use crate::reader::Reader;
use crate::recover::{self, RecoveryReport};
use crate::residency::PageIn;
use crate::root::{ROOT_BYTES, Root, slice_key};
use crate::segment::SegmentState;
use crate::superblock::{EPOCH_SHIFT, Identity};
use crate::volume::{Volume, VolumeKind};

/// A store, open. Clones are the same store; it closes with the last of them and the last reader
/// and writer, and then another process may open it.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

/// Everything behind a [`Store`]. Readers never write to it but their own row, the pins of it,
/// and verified bits; the rest is the writer's.
pub(crate) struct Shared {
    pub(crate) keys: Keys,
    pub(crate) uuid: u128,
    /// The disks in the order of the config, then the memory tier.
    pub(crate) volumes: Vec<Volume>,
    pub(crate) index: Index,
    pub(crate) pins: PinTable,
    /// Volume and area of the snapshot with which the index was filled.
    pub(crate) snapshot_loaded: Option<(usize, u64)>,
    /// There was none, but records.
    pub(crate) snapshot_missing: bool,
    pub(crate) purges: PurgeTable,
    pub(crate) counters: Counters,
    pub(crate) object_bytes_max: u64,
    pub(crate) slicing: Slicing,
    pub(crate) write_patience: Duration,
    pub(crate) write_errors_max: u32,
    pub(crate) short_lifetime_ms: u64,
    pub(crate) survival: Survival,
    pub(crate) ghost_capacity: u32,
    rows: Box<[Row]>,
    gauges: Box<[SegmentGauge]>,
    /// The writer's state while there is no writer.
    logs: Mutex<Option<Logs>>,
    /// Held for their locks.
    _locks: Vec<DirectoryLock>,
}

/// Counted by the writer.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) committed: AtomicU64,
    pub(crate) purges: AtomicU64,
    pub(crate) reclaimed: AtomicU64,
    pub(crate) promoted: AtomicU64,
    pub(crate) reinserted: AtomicU64,
    pub(crate) evicted: AtomicU64,
    pub(crate) ghost_hits: AtomicU64,
    pub(crate) disk_bytes: AtomicU64,
    pub(crate) write_errors: AtomicU64,
    pub(crate) snapshots: AtomicU64,
}

/// One reader's figures, written by its thread only.
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Row {
    taken: AtomicBool,
    hits: AtomicU64,
    misses: AtomicU64,
    damaged: AtomicU64,
}

#[derive(Default)]
struct SegmentGauge {
    state: AtomicU8,
    used_bytes: AtomicU32,
}

/// The store's figures at one moment; each is exact, their sum need not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Records that the index names; each slice of a large object, and its root, is one.
    pub objects: u64,
    /// Bytes of log in segments that readers may use, dead records among them.
    pub bytes: u64,
    /// Bytes of the data file.
    pub size_bytes: u64,
    /// Segments that wait for records.
    pub segments_clean: u32,
    /// Segments that take records, or drafts of which are still open.
    pub segments_open: u32,
    /// Segments that are full and durable.
    pub segments_sealed: u32,
    /// Segments whose records are gone and that wait for pins or for their new header.
    pub segments_retiring: u32,
    /// Segments given up after a failed write or sync.
    pub segments_failed: u32,
    /// Lookups that found a record.
    pub hits: u64,
    /// Lookups that found none.
    pub misses: u64,
    /// Records and bodies that failed their MAC or checksum.
    pub damaged: u64,
    /// Objects committed since open.
    pub committed: u64,
    /// Purges acknowledged since open.
    pub purges: u64,
    /// Purged tags that readers compare records with; a tag counts twice when it was purged hard
    /// and soft.
    pub purges_tags: u64,
    /// Purged prefixes that readers compare keys with.
    pub purges_prefixes: u64,
    /// Tags that had to be forgotten, see [`Config::purge_tags_max`].
    pub purges_tags_folded: u64,
    /// Lookups that missed only because of that.
    pub misses_folded: u64,
    /// Records that lost their index slot to another key since open.
    pub displaced: u64,
    /// Segments whose records were reclaimed since open.
    pub reclaimed: u64,
    /// Records copied from the memory tier to a disk since open, because they were asked for there.
    pub promoted: u64,
    /// Records copied within their tier since open, because they were asked for.
    pub reinserted: u64,
    /// Live records dropped with their segment since open.
    pub evicted: u64,
    /// Keys that came back soon after they had left the memory tier, and went to disk at once.
    pub ghost_hits: u64,
    /// Bytes of records written to disks since open.
    pub disk_bytes: u64,
    /// Images of the index written since open.
    pub snapshots: u64,
    /// Failed writes and syncs since open.
    pub write_errors: u64,
    /// Devices that were given up after too many failures.
    pub devices_offline: u32,
    /// Devices among them that failed to give what was written: nothing is read from them either.
    pub devices_unreadable: u32,
}

impl Store {
    /// Opens the store on the devices of `config`, or creates what is missing, and finds what it
    /// holds.
    ///
    /// Costs one sync of a super block for each device, the footers of all segments, and a walk
    /// over the records of those that were not sealed.
    ///
    /// # Errors
    /// See [`OpenError`]; each names the cause and the remedy.
    pub fn open(config: &Config) -> Result<(Self, RecoveryReport), OpenError> {
        Self::open_with(config, &directory::allocate_blocks)
    }

    pub(crate) fn open_with(
        config: &Config,
        allocate: directory::Allocate<'_>,
    ) -> Result<(Self, RecoveryReport), OpenError> {
        let shapes = config.shapes()?;
        let paths = config.devices.iter().map(|device| device.path.clone());
        let devices: Vec<_> = paths.zip(shapes.disks.iter().copied()).collect();
        let path = first_path(&devices);
        let fault = |source| OpenError::Io { action: "map or prepare", path: path.clone(), source };
        let mut passed = 0;
        loop {
            let opened = directory::open(&devices, passed, allocate)?;
            match Self::assemble(config, opened, &shapes).map_err(fault)? {
                Assembled::Whole(store, report) => return Ok((store, report)),
                Assembled::Behind { epoch } => passed = epoch,
                Assembled::Unreadable { path } => {
                    let source = io::ErrorKind::UnexpectedEof.into();
                    return Err(OpenError::Io { action: "read the data file in", path, source });
                }
            }
        }
    }

    /// The reader of one row. Call it on the thread that will use it.
    ///
    /// # Panics
    /// When `row` is not below `config.pin_rows`, or is in use: a reader, and every record and
    /// slice from it, must be dropped before its row can be taken again.
    pub fn reader(&self, row: usize) -> Reader {
        // The last row is the writer's.
        let rows = &self.shared.rows[..self.shared.rows.len() - 1];
        let taken = rows.get(row).map(|row| row.taken.swap(true, Ordering::AcqRel));
        assert!(taken == Some(false), "reader row {row} is out of range or in use");
        Reader::new(Arc::clone(&self.shared), row)
    }

    /// Pages in what [`Reader::find`] or [`Record::window`](crate::Record::window) came upon; waits
    /// for the device. For threads that may; [`Pager`](crate::Pager) does it for those that must
    /// not.
    ///
    /// # Errors
    /// [`ReadError::Device`] when the device does not give the bytes; it has been taken offline.
    pub fn page_in(&self, cold: &PageIn) -> Result<(), ReadError> {
        let volume = self.shared.volumes.get(cold.volume).ok_or(ReadError::Device)?;
        volume.page_in(&cold.range).map_err(|_| ReadError::Device)
    }

    /// Drops a record from memory, so that the next lookup finds it cold; says whether there was
    /// one on a disk. For tests and measurements: the kernel drops pages by itself when it needs
    /// room, and nothing else here does. Costs a sync of the device's file.
    ///
    /// # Errors
    /// Of the sync, which takes the device offline, and of the advice.
    pub fn drop_pages(&self, key: &[u8]) -> io::Result<bool> {
        let shared = &self.shared;
        let Some(root) = self.drop_record(shared.keys.key_hash(key))? else { return Ok(false) };
        for number in 0..root.map_or(0, |root| root.slice_count()) {
            let object = root.map_or(0, |root| root.object);
            self.drop_record(shared.keys.slice_hash(&slice_key(object, number)))?;
        }
        Ok(true)
    }

    /// The same for one record; `None` when there is none on a disk. Says which slices it has.
    fn drop_record(&self, hash: u128) -> io::Result<Option<Option<Root>>> {
        let shared = &self.shared;
        let Some(place) = shared.index.find(hash, |_, place| Some(place)) else { return Ok(None) };
        let volume = shared.volume_of(place.segment());
        if volume.kind == VolumeKind::Memory {
            return Ok(None);
        }
        let start = volume.base(place.segment());
        let (at, end) = (u64::from(place.at()), u64::from(volume.geometry.segment_bytes));
        let mut header = [0; RECORD_HEADER_BYTES];
        volume.copy(start + at, &mut header).map_err(|_| io::ErrorKind::Other)?;
        let parsed = RecordHeader::read(&header, place.at(), end);
        let (header, layout) = parsed.ok_or(io::ErrorKind::InvalidData)?;
        let mut root = [0; ROOT_BYTES];
        if header.kind == Kind::Root {
            let head = start + u64::from(layout.head().start);
            volume.copy(head, &mut root).map_err(|_| io::ErrorKind::Other)?;
        }
        volume.drop_pages(&(start + at..start + u64::from(layout.end())))?;
        Ok(Some(if header.kind == Kind::Root { Root::parse(&root) } else { None }))
    }

    /// The figures of this moment. Reads every segment's gauge and every row.
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        let counters = &shared.counters;
        let purges = shared.purges.figures();
        let mut stats = Stats {
            objects: shared.index.used(),
            size_bytes: shared.volumes.iter().map(|volume| volume.geometry.data_bytes()).sum(),
            committed: counters.committed.load(Ordering::Relaxed),
            purges: counters.purges.load(Ordering::Relaxed),
            purges_tags: purges.tags,
            purges_prefixes: purges.prefixes,
            purges_tags_folded: purges.tags_folded,
            misses_folded: purges.floored,
            displaced: shared.index.displaced(),
            reclaimed: counters.reclaimed.load(Ordering::Relaxed),
            promoted: counters.promoted.load(Ordering::Relaxed),
            reinserted: counters.reinserted.load(Ordering::Relaxed),
            evicted: counters.evicted.load(Ordering::Relaxed),
            ghost_hits: counters.ghost_hits.load(Ordering::Relaxed),
            disk_bytes: counters.disk_bytes.load(Ordering::Relaxed),
            snapshots: counters.snapshots.load(Ordering::Relaxed),
            write_errors: counters.write_errors.load(Ordering::Relaxed),
            devices_offline: shared.volumes.iter().filter(|v| v.is_offline()).count() as u32,
            devices_unreadable: shared.volumes.iter().filter(|v| v.is_unreadable()).count() as u32,
            ..Stats::default()
        };
        for row in &shared.rows {
            stats.hits += row.hits.load(Ordering::Relaxed);
            stats.misses += row.misses.load(Ordering::Relaxed);
            stats.damaged += row.damaged.load(Ordering::Relaxed);
        }
        for device in self.devices() {
            stats.bytes += device.used_bytes;
            stats.segments_clean += device.segments_clean;
            stats.segments_open += device.segments_open;
            stats.segments_sealed += device.segments_sealed;
            stats.segments_retiring += device.segments_retiring;
            stats.segments_failed += device.segments_failed;
        }
        stats
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Descriptors of all volumes for a device.
    pub(crate) fn duplicate_files(&self) -> io::Result<Vec<File>> {
        self.shared.volumes.iter().map(|volume| volume.file.try_clone()).collect()
    }

    /// Number of the memory tier among the volumes.
    pub(crate) fn memory_volume(&self) -> Option<usize> {
        self.shared.volumes.iter().position(|volume| volume.kind == VolumeKind::Memory)
    }

    fn assemble(config: &Config, opened: Vec<Opened>, shapes: &Shapes) -> io::Result<Assembled> {
        let (identity, epoch) = match opened.first() {
            Some(device) => (device.super_block.identity, device.super_block.epoch),
            None => {
                let store = u128::from_le_bytes(directory::random_bytes()?);
                (Identity { store, secret: directory::random_bytes()? }, 1)
            }
        };
        let created = opened.iter().all(|device| device.created);
        let devices_voided = opened.iter().filter(|device| device.voided).count() as u32;
        let keys = Keys::new(&identity.secret);
        let (volumes, locks) = map_volumes(opened, shapes.memory)?;
        let segments = volumes.iter().map(|volume| volume.segments().end).max().unwrap_or(0);
        let index = Index::new(config.index_slots)?;
        let ids = epoch << EPOCH_SHIFT;
        let (purge_logs, purges_found) = PurgeLogs::open(&volumes, &keys, ids);
        let mut logs = Logs::new(&volumes, ids, purge_logs);
        let recovered = recover::recover(&volumes, (identity.store, &keys), &index, &mut logs);
        if let Some(volume) =
            volumes.iter().find(|volume| volume.is_unreadable() || volume.is_cut())
        {
            return Ok(Assembled::Unreadable { path: volume.path.clone() });
        }
        if recovered.highest_id > ids {
            return Ok(Assembled::Behind { epoch: recovered.highest_id >> EPOCH_SHIFT });
        }
        logs.purges.heal(&volumes, &keys, ids)?;
        let purges = PurgeTable::new(config.purge_limits(), keys.purge_table_seed());
        logs.purges.ledger().enforce(&purges);
        let report = RecoveryReport {
            created,
            devices_voided,
            purges: purges_found.purges,
            purges_damaged: purges_found.damaged,
            ..recovered.report
        };
        recover::prepare(&volumes, &keys, &mut logs)?;
        volumes.iter().for_each(Volume::end_recovery);
        let shared = Shared {
            keys,
            uuid: identity.store,
            volumes,
            index,
            snapshot_loaded: recovered.snapshot,
            snapshot_missing: recovered.snapshot.is_none() && report.objects > 0,
            pins: PinTable::new(config.pin_rows + 1, segments),
            purges,
            counters: Counters::default(),
            object_bytes_max: config.object_bytes_max,
            slicing: shapes.slicing,
            write_patience: config.write_patience,
            write_errors_max: config.write_errors_max,
            short_lifetime_ms: config.short_lifetime_ms,
            survival: config.survival,
            ghost_capacity: config.ghost_capacity(),
            rows: (0..=config.pin_rows).map(|_| Row::default()).collect(),
            gauges: (0..segments).map(|_| SegmentGauge::default()).collect(),
            logs: Mutex::new(None),
            _locks: locks,
        };
        logs.show(&shared);
        shared.return_logs(logs);
        Ok(Assembled::Whole(Self { shared: Arc::new(shared) }, report))
    }
}

/// What came of an open, before anything was written to the data files.
enum Assembled {
    Whole(Store, RecoveryReport),
    /// The super blocks are older than what lies in the data files: an open in this epoch has been.
    Behind {
        epoch: u64,
    },
    /// A data file did not give its bytes: it was cut, or its device has failed.
    Unreadable {
        path: PathBuf,
    },
}

/// A name for a fault that is of no one device.
fn first_path(devices: &[(PathBuf, Geometry)]) -> PathBuf {
    devices.first().map_or_else(|| "memory".into(), |(path, _)| path.clone())
}

/// The volumes of a store, numbered through, and the locks of their directories.
fn map_volumes(
    opened: Vec<Opened>,
    memory: Option<Geometry>,
) -> io::Result<(Vec<Volume>, Vec<DirectoryLock>)> {
    let (mut volumes, mut locks, mut first) = (Vec::new(), Vec::new(), 0);
    for device in opened {
        let block = &device.super_block;
        let shape = (block.geometry, first, block.floor());
        let mut volume = Volume::new(VolumeKind::Disk, shape, device.data)?;
        volume.device = block.device;
        volume.path = device.path;
        volumes.push(volume);
        locks.push(device.lock);
        first += block.geometry.segment_count;
    }
    if let Some(geometry) = memory {
        volumes.push(Volume::in_memory(geometry, first)?);
    }
    Ok((volumes, locks))
}

impl Shared {
    /// The writer's state, for the one writer.
    pub(crate) fn take_logs(&self) -> Option<Logs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn return_logs(&self, logs: Logs) {
        *self.logs.lock().unwrap_or_else(PoisonError::into_inner) = Some(logs);
    }

    /// The writer's own reader: there is one writer at most.
    pub(crate) fn writer_row(&self) -> usize {
        self.rows.len() - 1
    }

    pub(crate) fn has_disks(&self) -> bool {
        self.volumes.iter().any(|volume| volume.kind == VolumeKind::Disk)
    }

    /// Number of a segment's volume.
    pub(crate) fn volume_number(&self, segment: u32) -> usize {
        self.volumes.iter().position(|volume| segment < volume.segments().end).unwrap_or(0)
    }

    /// The volume of a segment that exists: numbers come from the logs or from the bounded index.
    pub(crate) fn volume_of(&self, segment: u32) -> &Volume {
        let mut volumes = self.volumes.iter();
        let found = volumes.find(|volume| segment < volume.segments().end);
        found.unwrap_or(&self.volumes[0])
    }

    /// The figures of a row that exists: rows are checked when a reader is made.
    pub(crate) fn row(&self, row: usize) -> &Row {
        &self.rows[row]
    }

    pub(crate) fn release_row(&self, row: usize) {
        self.rows[row].taken.store(false, Ordering::Release);
    }

    /// What the figures show of a segment: its state, and its bytes of log.
    pub(crate) fn segment_figures(&self, segment: u32) -> (SegmentState, u64) {
        let gauge = &self.gauges[segment as usize];
        let state = SegmentState::from_u8(gauge.state.load(Ordering::Relaxed));
        (state, u64::from(gauge.used_bytes.load(Ordering::Relaxed)))
    }

    /// Shows a segment's state in the figures.
    pub(crate) fn show_segment(&self, segment: u32, state: SegmentState, used_bytes: u32) {
        if let Some(gauge) = self.gauges.get(segment as usize) {
            gauge.state.store(state as u8, Ordering::Relaxed);
            gauge.used_bytes.store(used_bytes, Ordering::Relaxed);
        }
    }
}

impl Row {
    pub(crate) fn count_lookup(&self, hit: bool) {
        bump(if hit { &self.hits } else { &self.misses });
    }

    pub(crate) fn count_damaged(&self) {
        bump(&self.damaged);
    }
}

/// Plain load and store: the row's thread is the only one that writes.
fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
