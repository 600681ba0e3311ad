//! The open store: what readers and the writer share, and its figures.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{Config, Geometry};
use crate::directory;
use crate::error::OpenError;
use crate::index::Index;
use crate::keys::Keys;
use crate::map::Mapping;
use crate::pin::PinTable;
use crate::reader::Reader;
use crate::recover::{self, RecoveryReport};
use crate::segment::{Log, SegmentState};
use crate::superblock::EPOCH_SHIFT;
use crate::verified::VerifiedPages;

/// A store, open. Clones are the same store; it closes with the last of them and the last reader
/// and writer, and then another process may open it.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

/// Everything behind a [`Store`]. Readers never write to it but their own row, the pins of it,
/// and verified bits; the rest is the writer's.
pub(crate) struct Shared {
    pub(crate) geometry: Geometry,
    pub(crate) keys: Keys,
    pub(crate) uuid: u128,
    pub(crate) map: Mapping,
    pub(crate) index: Index,
    pub(crate) pins: PinTable,
    pub(crate) verified: VerifiedPages,
    pub(crate) counters: Counters,
    pub(crate) object_bytes_max: u64,
    pub(crate) write_errors_max: u32,
    file: File,
    rows: Box<[Row]>,
    gauges: Box<[SegmentGauge]>,
    /// The writer's state while there is no writer.
    log: Mutex<Option<Log>>,
    /// Held for its lock.
    _lock: Option<File>,
}

/// Counted by the writer.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) committed: AtomicU64,
    pub(crate) removed: AtomicU64,
    pub(crate) reclaimed: AtomicU64,
    pub(crate) write_errors: AtomicU64,
    pub(crate) offline: AtomicBool,
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
    /// Records that the index names.
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
    /// Removals acknowledged since open.
    pub removed: u64,
    /// Records that lost their index slot to another key since open.
    pub displaced: u64,
    /// Segments whose records were reclaimed since open.
    pub reclaimed: u64,
    /// Failed writes and syncs since open.
    pub write_errors: u64,
    /// Whether the writer has given up on the device.
    pub offline: bool,
}

impl Store {
    /// Opens the store in `config.path`, or creates it, and finds what it holds.
    ///
    /// Costs one sync of a super block, the footers of all segments, and a walk over the records
    /// of those that were not sealed.
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
        let geometry = config.geometry()?;
        let opened = directory::open(&config.path, geometry, allocate)?;
        let parts = Parts {
            keys: Keys::new(&opened.super_block.secret),
            uuid: opened.super_block.uuid,
            epoch: opened.super_block.epoch,
            file: opened.data,
            lock: Some(opened.lock),
            geometry,
        };
        let fault = |source| OpenError::Io {
            action: "map or prepare the data file of",
            path: config.path.clone(),
            source,
        };
        let (store, mut report) = Self::assemble(config, parts).map_err(fault)?;
        report.created = opened.created;
        Ok((store, report))
    }

    /// A store in anonymous memory (a memfd sealed against truncation), which ends with the
    /// process; for tests and for hosts without a disk. `config.path` is not used.
    ///
    /// # Errors
    /// [`OpenError::Config`]; [`OpenError::Io`] when the kernel refuses the memory.
    pub fn in_memory(config: &Config) -> Result<Self, OpenError> {
        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
        let geometry = config.geometry()?;
        let assemble = || -> io::Result<Self> {
            let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
            let file = File::from(memfd_create("longhold-store", flags)?);
            file.set_len(geometry.data_bytes())?;
            fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
            let secret = directory::random_bytes()?;
            let parts = Parts {
                keys: Keys::new(&secret),
                uuid: u128::from_le_bytes(directory::random_bytes()?),
                epoch: 1,
                file,
                lock: None,
                geometry,
            };
            Self::assemble(config, parts).map(|(store, _)| store)
        };
        assemble().map_err(|source| OpenError::Io {
            action: "make",
            path: "memory store".into(),
            source,
        })
    }

    /// The reader of one row. Call it on the thread that will use it.
    ///
    /// # Panics
    /// When `row` is not below `config.pin_rows`, or is in use: a reader, and every record and
    /// slice from it, must be dropped before its row can be taken again.
    pub fn reader(&self, row: usize) -> Reader {
        let taken = self.shared.rows.get(row).map(|row| row.taken.swap(true, Ordering::AcqRel));
        assert!(taken == Some(false), "reader row {row} is out of range or in use");
        Reader::new(Arc::clone(&self.shared), row)
    }

    /// The figures of this moment. Reads every segment's gauge and every row.
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        let counters = &shared.counters;
        let mut stats = Stats {
            objects: shared.index.used(),
            size_bytes: shared.geometry.data_bytes(),
            committed: counters.committed.load(Ordering::Relaxed),
            removed: counters.removed.load(Ordering::Relaxed),
            displaced: shared.index.displaced(),
            reclaimed: counters.reclaimed.load(Ordering::Relaxed),
            write_errors: counters.write_errors.load(Ordering::Relaxed),
            offline: shared.is_offline(),
            ..Stats::default()
        };
        for row in &shared.rows {
            stats.hits += row.hits.load(Ordering::Relaxed);
            stats.misses += row.misses.load(Ordering::Relaxed);
            stats.damaged += row.damaged.load(Ordering::Relaxed);
        }
        for gauge in &shared.gauges {
            let used_bytes = u64::from(gauge.used_bytes.load(Ordering::Relaxed));
            match SegmentState::from_u8(gauge.state.load(Ordering::Relaxed)) {
                SegmentState::Clean => stats.segments_clean += 1,
                SegmentState::Open | SegmentState::Closing => {
                    stats.segments_open += 1;
                    stats.bytes += used_bytes;
                }
                SegmentState::Sealed => {
                    stats.segments_sealed += 1;
                    stats.bytes += used_bytes;
                }
                SegmentState::Retiring | SegmentState::Waiting => stats.segments_retiring += 1,
                SegmentState::Failed => stats.segments_failed += 1,
            }
        }
        stats
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// A descriptor for a device.
    pub(crate) fn duplicate_file(&self) -> io::Result<File> {
        self.shared.file.try_clone()
    }

    fn assemble(config: &Config, parts: Parts) -> io::Result<(Self, RecoveryReport)> {
        let geometry = parts.geometry;
        let mut map = Mapping::new(&parts.file, geometry.data_bytes())?;
        let index = Index::new(config.index_slots);
        let ids = parts.epoch << EPOCH_SHIFT;
        let mut log = Log::new(geometry, ids);
        let report = recover::recover(map.unshared(), &parts.keys, &index, &mut log);
        recover::prepare(&parts.file, &parts.keys, &mut log)?;
        let shared = Shared {
            geometry,
            keys: parts.keys,
            uuid: parts.uuid,
            map,
            index,
            pins: PinTable::new(config.pin_rows, geometry.segment_count),
            verified: VerifiedPages::new(geometry.data_bytes()),
            counters: Counters::default(),
            object_bytes_max: config.object_bytes_max,
            write_errors_max: config.write_errors_max,
            file: parts.file,
            rows: (0..config.pin_rows).map(|_| Row::default()).collect(),
            gauges: (0..geometry.segment_count).map(|_| SegmentGauge::default()).collect(),
            log: Mutex::new(None),
            _lock: parts.lock,
        };
        log.show(&shared);
        shared.return_log(log);
        Ok((Self { shared: Arc::new(shared) }, report))
    }
}

/// What [`Store::assemble`] is made from.
struct Parts {
    geometry: Geometry,
    keys: Keys,
    uuid: u128,
    epoch: u64,
    file: File,
    lock: Option<File>,
}

impl Shared {
    /// The writer's state, for the one writer.
    pub(crate) fn take_log(&self) -> Option<Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn return_log(&self, log: Log) {
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = Some(log);
    }

    pub(crate) fn is_offline(&self) -> bool {
        self.counters.offline.load(Ordering::Relaxed)
    }

    /// The figures of a row that exists: rows are checked when a reader is made.
    pub(crate) fn row(&self, row: usize) -> &Row {
        &self.rows[row]
    }

    pub(crate) fn release_row(&self, row: usize) {
        self.rows[row].taken.store(false, Ordering::Release);
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
