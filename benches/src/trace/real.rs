//! The same trace through a real store and through the simulation of it: do they agree?
//!
//! The store has a disk volume of files and a memory tier, and does all that it always does:
//! MACs, checksums, footers, syncs. Objects are scaled down, so that little is written; the
//! simulation gets records as large as theirs. What it knows nothing of is where exactly a body is
//! aligned, and what the index displaces.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use longhold_store::eviction::{PROMOTION_FREQUENCY, Survival, ghost_horizon_bytes};
use longhold_store::{
    Config, Draft, FileDevice, Reader, Refused, Stats, Store, Writer, block_on_ready,
};

use super::Request;
use super::policy::{Geometry, Large, Policy as _, Segments, Settings};
use super::replay::{Statistics, Trace};

/// What store and simulation did with one trace.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// Size of the cache in percent of the working set of records.
    pub cache_percent: f64,
    /// Disk and memory tier together.
    pub cache_bytes: u64,
    /// Requests.
    pub requests: u64,
    /// Requests that missed in the store.
    pub misses: u64,
    /// Requests that missed in the simulation.
    pub simulated_misses: u64,
    /// Record bytes that the store wrote to disk.
    pub written_bytes: u64,
    /// The same in the simulation.
    pub simulated_written_bytes: u64,
    /// Time for the store's part.
    pub run: Duration,
}

/// Runs both. The store is made in `folder`, which is empty; objects are a `scale`th of their
/// size.
///
/// # Errors
/// When the store cannot be made, or fails; when the cache is too small for a store.
pub fn compare(
    trace: &mut Trace,
    statistics: &Statistics,
    (cache_percent, scale, large): (f64, u64, Large),
    folder: &Path,
) -> Result<Comparison> {
    let objects = statistics.objects;
    let overhead = objects * (record_bytes(1) - 1);
    let working_set = statistics.working_set_bytes / scale + overhead;
    let config = config((working_set as f64 * cache_percent / 100.0) as u64, objects, folder)?;
    let config = Config { large_on_probation: large == Large::Memory, ..config };
    let mut simulated = Segments::new(settings(&config, objects));
    let mut cache = Cache::open(&config)?;
    let mut comparison = Comparison {
        cache_percent,
        cache_bytes: config.devices[0].size_bytes + config.memory_bytes,
        requests: statistics.requests,
        misses: 0,
        simulated_misses: 0,
        written_bytes: 0,
        simulated_written_bytes: 0,
        run: Duration::ZERO,
    };
    trace.each(|piece| {
        let body_bytes = |request: &Request| (request.bytes / scale).max(1);
        for request in piece {
            let bytes = record_bytes(body_bytes(request));
            comparison.simulated_misses += u64::from(!simulated.request(request.object, bytes));
        }
        let start = Instant::now();
        for request in piece {
            comparison.misses += u64::from(!cache.request(request.object, body_bytes(request))?);
        }
        comparison.run += start.elapsed();
        Ok(())
    })?;
    comparison.written_bytes = cache.stats().disk_bytes;
    comparison.simulated_written_bytes = simulated.written_bytes();
    Ok(comparison)
}

/// A store of about so many bytes, a tenth of them memory, in the simulation's proportions as far
/// as the least size of a segment lets it.
fn config(cache_bytes: u64, objects: u64, folder: &Path) -> Result<Config> {
    let page = |bytes: u64| (bytes / 4096 * 4096).max(SEGMENT_BYTES_MIN);
    let segment_bytes = page(cache_bytes / 256);
    let memory_bytes = cache_bytes / 10;
    let memory_segment_bytes = page(segment_bytes.min(memory_bytes / 16));
    let segments = (cache_bytes - memory_bytes) / segment_bytes;
    let memory_segments = memory_bytes / memory_segment_bytes;
    ensure!(
        segments >= 16 && memory_segments >= 8,
        "a cache of {cache_bytes} bytes is too small for a store: more requests, or a smaller scale"
    );
    let size_bytes = segments * segment_bytes;
    let memory_bytes = memory_segments * memory_segment_bytes;
    Ok(Config {
        segment_bytes,
        memory_segment_bytes,
        slice_bytes: memory_segment_bytes / 8 / 4096 * 4096,
        object_bytes_max: cache_bytes / 10,
        pin_rows: 1,
        index_slots: objects * 2,
        ..Config::new(folder, size_bytes).with_memory(memory_bytes)
    })
}

/// The simulation of that store.
fn settings(config: &Config, objects: u64) -> Settings {
    let geometry = |bytes: u64, segment_bytes: u64| Geometry {
        segments: (bytes / segment_bytes) as u32,
        segment_bytes: segment_bytes - SEGMENT_OVERHEAD_BYTES,
    };
    let disk_bytes = config.devices[0].size_bytes;
    let disk = geometry(disk_bytes, config.segment_bytes);
    Settings {
        memory: geometry(config.memory_bytes, config.memory_segment_bytes),
        disk,
        slice_bytes: record_bytes(config.slice_bytes),
        large: if config.large_on_probation { Large::Memory } else { Large::Disk },
        object_bytes_max: record_bytes(config.object_bytes_max),
        promotion_frequency: PROMOTION_FREQUENCY,
        survival: Survival::default(),
        ghost_capacity: objects as u32,
        ghost_horizon_bytes: ghost_horizon_bytes(disk_bytes + config.memory_bytes),
        ghost_from_disk: false,
    }
}

/// What a record with so large a body takes of a segment, with its line in the footer.
fn record_bytes(body_bytes: u64) -> u64 {
    // A large body begins at a page: half of one is lost on average.
    let gap = if body_bytes >= 32 << 10 { 2048 } else { 0 };
    let sums = 8 * body_bytes.div_ceil(64 << 10);
    let record = (HEADER_BYTES + KEY_BYTES + gap + body_bytes).next_multiple_of(8) + sums;
    (record + MAC_BYTES).next_multiple_of(64) + FOOTER_LINE_BYTES
}

struct Cache {
    store: Store,
    writer: Writer<FileDevice>,
    reader: Reader,
    slice_bytes: u64,
    body: Vec<u8>,
}

impl Cache {
    fn open(config: &Config) -> Result<Self> {
        let (store, _) = Store::open(config).context("cannot open the store")?;
        let writer = Writer::new(&store, FileDevice::new(&store)?)?;
        let reader = store.reader(0);
        let slice_bytes = config.slice_bytes;
        Ok(Self { store, writer, reader, slice_bytes, body: vec![0x5a; 64 << 10] })
    }

    /// Asks for an object, and stores it if it was not there and fits; says whether it was.
    fn request(&mut self, object: u32, body_bytes: u64) -> Result<bool> {
        let key = object.to_le_bytes();
        if self.is_there(&key) {
            return Ok(true);
        }
        block_on_ready(async {
            let draft = Draft::new(&key, b"", body_bytes);
            let mut pending = match self.writer.begin_or_reclaim(draft).await {
                Err(Refused::TooLarge) => return Ok(false),
                begun => begun?,
            };
            let mut left = body_bytes as usize;
            while left > 0 {
                let piece = &self.body[..left.min(self.body.len())];
                self.writer.append(&mut pending, piece).await?;
                left -= piece.len();
            }
            self.writer.commit(pending).await?;
            Ok(false)
        })
    }

    /// Whether the object is there with all its slices, of which each is asked for a byte.
    fn is_there(&self, key: &[u8]) -> bool {
        let Some(record) = self.reader.lookup(key) else { return false };
        let mut firsts = (0..record.body_len()).step_by(self.slice_bytes as usize);
        firsts.all(|at| record.body(at..at + 1).is_ok())
    }

    fn stats(&self) -> Stats {
        self.store.stats()
    }
}

const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Header and trailer of a segment; these and the next as in the store's `DESIGN.md`.
const SEGMENT_OVERHEAD_BYTES: u64 = 4096 + 64;
const HEADER_BYTES: u64 = 96;
const KEY_BYTES: u64 = 4;
const MAC_BYTES: u64 = 16;
const FOOTER_LINE_BYTES: u64 = 32;
