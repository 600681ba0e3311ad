//! Replays one trace through all policies and cache sizes at once, and counts.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use longhold_store::eviction::{PROMOTION_FREQUENCY, Survival, ghost_horizon_bytes};

use super::csv::{self, Names, PIECE_REQUESTS};
use super::policy::{Fifo, Geometry, Large, Lru, Policy, S3Fifo, Segments, Settings};
use super::workload::{Preset, Shape};
use super::{Request, policy};

/// Where requests come from.
#[derive(Debug)]
pub enum Trace {
    /// Generated, and held whole.
    Generated(Vec<Request>),
    /// Read anew each time, piece by piece.
    File {
        /// The file.
        path: PathBuf,
        /// Its keys.
        names: Names,
    },
}

/// What a trace is like.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub struct Statistics {
    /// Requests.
    pub requests: u64,
    /// Different objects.
    pub objects: u64,
    /// Their bytes: the working set.
    pub working_set_bytes: u64,
    /// Bytes of all requests.
    pub requested_bytes: u64,
    /// Part of the objects that is asked for once.
    pub one_hit_share: f64,
    /// From the first request to the last.
    pub span_seconds: u64,
}

/// Which policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// LRU over objects.
    Lru,
    /// FIFO over objects.
    Fifo,
    /// S3-FIFO over objects, as published.
    S3Fifo,
    /// A log of segments that copies nothing.
    FifoSegments,
    /// What the store does.
    Ours,
}

/// How the store is set, for a replay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ours {
    /// Segments of the cache, if they all were as large as those on disk.
    pub segments: u32,
    /// Part of the cache that is memory; 0 is a store without a memory volume.
    pub memory_percent: u32,
    /// Slices of a segment; smaller ones where these would not fit the memory tier.
    pub slices: u32,
    /// As in [`Settings`].
    pub large: Large,
    /// As in [`Settings`].
    pub promotion_frequency: u8,
    /// As in [`Settings`].
    pub survival: Survival,
    /// How many times as long as in the store the ghost remembers.
    pub ghost_factor: f64,
    /// As in [`Settings`].
    pub ghost_from_disk: bool,
}

/// What one policy did with the trace at one cache size.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Outcome {
    /// The policy.
    pub policy: Kind,
    /// Size of the cache in percent of the working set.
    pub cache_percent: f64,
    /// Size of the cache.
    pub cache_bytes: u64,
    /// Requests that missed.
    pub misses: u64,
    /// Bytes of those requests.
    pub missed_bytes: u64,
    /// Bytes written to disk.
    pub written_bytes: u64,
    /// Time that the policy took, without the generator.
    pub run: Duration,
}

impl Trace {
    /// Generates a trace.
    ///
    /// # Errors
    /// As [`Preset::generate`].
    pub fn generate(preset: Preset, shape: &Shape) -> Result<Self> {
        Ok(Self::Generated(preset.generate(shape)?))
    }

    /// Hands out all requests, in pieces.
    ///
    /// # Errors
    /// What the file or `handle` fails with.
    pub fn each(&mut self, mut handle: impl FnMut(&[Request]) -> Result<()>) -> Result<()> {
        match self {
            Self::Generated(requests) => requests.chunks(PIECE_REQUESTS).try_for_each(handle),
            Self::File { path, names } => {
                let file = File::open(&*path);
                let file = file.with_context(|| format!("cannot open {}", path.display()))?;
                let read = csv::read(BufReader::new(file), names, &mut handle);
                read.with_context(|| format!("{}", path.display()))
            }
        }
    }

    /// Reads the trace once, and says what it is like.
    ///
    /// # Errors
    /// As [`Trace::each`].
    pub fn statistics(&mut self) -> Result<Statistics> {
        let mut objects: Vec<(u32, u64)> = Vec::new();
        let mut statistics = Statistics::default();
        let (mut first_ms, mut last_ms) = (u64::MAX, 0);
        self.each(|piece| {
            for request in piece {
                let index = request.object as usize;
                if objects.len() <= index {
                    objects.resize(index + 1, (0, 0));
                }
                objects[index] = (objects[index].0.saturating_add(1), request.bytes);
                statistics.requests += 1;
                statistics.requested_bytes += request.bytes;
                first_ms = first_ms.min(request.time_ms);
                last_ms = last_ms.max(request.time_ms);
            }
            Ok(())
        })?;
        let seen = || objects.iter().filter(|(requests, _)| *requests > 0);
        statistics.objects = seen().count() as u64;
        statistics.working_set_bytes = seen().map(|(_, bytes)| bytes).sum();
        let one_hit = seen().filter(|(requests, _)| *requests == 1).count();
        statistics.one_hit_share = one_hit as f64 / statistics.objects.max(1) as f64;
        statistics.span_seconds = last_ms.saturating_sub(first_ms) / 1000;
        Ok(statistics)
    }
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Lru, Self::Fifo, Self::S3Fifo, Self::FifoSegments, Self::Ours];

    /// An empty cache for a trace.
    pub fn start(self, cache_bytes: u64, ours: &Ours, trace: &Statistics) -> Box<dyn Policy> {
        match self {
            Self::Lru => Box::new(Lru::new(cache_bytes)),
            Self::Fifo => Box::new(Fifo::new(cache_bytes)),
            Self::S3Fifo => Box::new(S3Fifo::new(cache_bytes)),
            Self::FifoSegments => {
                let plain = Ours { memory_percent: 0, survival: copy_nothing(), ..*ours };
                Box::new(Segments::new(plain.settings(cache_bytes, 0)))
            }
            Self::Ours => Box::new(Segments::new(ours.settings(cache_bytes, trace.objects))),
        }
    }

    /// As it stands in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lru => "LRU",
            Self::Fifo => "FIFO",
            Self::S3Fifo => "S3-FIFO",
            Self::FifoSegments => "FIFO segments",
            Self::Ours => "ours",
        }
    }
}

impl Default for Ours {
    fn default() -> Self {
        Self {
            segments: 256,
            memory_percent: 10,
            slices: 8,
            large: Large::Disk,
            promotion_frequency: PROMOTION_FREQUENCY,
            survival: Survival::default(),
            ghost_factor: 1.0,
            ghost_from_disk: false,
        }
    }
}

impl Ours {
    /// For a cache of so many bytes and a trace of so many objects.
    pub fn settings(&self, cache_bytes: u64, objects: u64) -> Settings {
        let memory_bytes = cache_bytes * u64::from(self.memory_percent) / 100;
        let segment_bytes = (cache_bytes / u64::from(self.segments)).max(1);
        let memory_segment_bytes = segment_bytes.min(memory_bytes / MEMORY_SEGMENTS_MIN).max(1);
        let geometry = |bytes, segment_bytes| Geometry {
            segments: (bytes / segment_bytes) as u32,
            segment_bytes,
        };
        let slice_bytes_max = match self.memory_percent {
            0 => u64::MAX,
            _ => memory_segment_bytes / 4,
        };
        let horizon_bytes = ghost_horizon_bytes(cache_bytes) as f64 * self.ghost_factor;
        Settings {
            memory: geometry(memory_bytes, memory_segment_bytes),
            disk: geometry(cache_bytes - memory_bytes, segment_bytes),
            slice_bytes: (segment_bytes / u64::from(self.slices)).clamp(1, slice_bytes_max),
            large: self.large,
            // As S3-FIFO: what is larger than the small queue would sweep it.
            object_bytes_max: cache_bytes / 10,
            promotion_frequency: self.promotion_frequency,
            survival: self.survival,
            ghost_capacity: objects as u32,
            ghost_horizon_bytes: horizon_bytes as u64,
            ghost_from_disk: self.ghost_from_disk,
        }
    }
}

/// Replays a trace through every policy at every cache size (percent of its working set).
///
/// # Errors
/// As [`Trace::each`].
pub fn replay(
    trace: &mut Trace,
    statistics: &Statistics,
    cache_percents: &[f64],
    ours: &Ours,
) -> Result<Vec<Outcome>> {
    let mut runs: Vec<(Box<dyn policy::Policy>, Outcome)> = Vec::new();
    for &cache_percent in cache_percents {
        let cache_bytes = (statistics.working_set_bytes as f64 * cache_percent / 100.0) as u64;
        for policy in Kind::ALL {
            let outcome = Outcome {
                policy,
                cache_percent,
                cache_bytes,
                misses: 0,
                missed_bytes: 0,
                written_bytes: 0,
                run: Duration::ZERO,
            };
            runs.push((policy.start(cache_bytes, ours, statistics), outcome));
        }
    }
    trace.each(|piece| {
        for (cache, outcome) in &mut runs {
            let start = Instant::now();
            for request in piece {
                if !cache.request(request.object, request.bytes) {
                    outcome.misses += 1;
                    outcome.missed_bytes += request.bytes;
                }
            }
            outcome.run += start.elapsed();
        }
        Ok(())
    })?;
    let finish = |(cache, outcome): (Box<dyn policy::Policy>, Outcome)| Outcome {
        written_bytes: cache.written_bytes(),
        ..outcome
    };
    Ok(runs.into_iter().map(finish).collect())
}

fn copy_nothing() -> Survival {
    Survival::new(0.0, 0).unwrap_or_default()
}

/// The memory tier has smaller segments before it has fewer.
const MEMORY_SEGMENTS_MIN: u64 = 16;
