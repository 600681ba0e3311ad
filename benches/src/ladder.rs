//! The ladder: ways to read blocks of 4 KiB at random from a file, cold and warm.
//!
//! **What it is.** Six rungs: `read()` one at a time and by 32 threads, io_uring with 32 in flight,
//! the same with registered buffers and a registered file, and a mapping, read by one thread and by
//! 32. Each reads the blocks in a random order, at most once when cold, and looks at both ends of
//! every block.
//!
//! **Cold** is `O_DIRECT`, past the page cache; a mapping cannot go past it, so its cache is
//! dropped before, with read-ahead off. Where the file system knows no `O_DIRECT`, the cache is
//! dropped for all, and [`Run::how`] says so. **Warm** is a file that lies in the page cache, and a
//! mapping whose pages were touched. Whether it was so shows in [`Run::device_bytes`]: what this
//! process had the device read, by the kernel's account.
//!
//! **What it is not.** No bench of a device: what stands behind it (a host's cache, another's
//! load) is as it is. No way to choose a store's design by warm figures alone.

mod file;
mod mapping;
mod order;
mod ring;

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

pub use file::BLOCK_BYTES;
use file::{BlockFile, Buffers};
use order::{Latencies, Order};

/// A way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// `read()` at an offset, by one thread or [`DEPTH`].
    Read {
        /// One thread for each read under way.
        parallel: bool,
    },
    /// io_uring with [`DEPTH`] in flight.
    Ring {
        /// Buffers and file are registered.
        registered: bool,
    },
    /// Copies out of a mapping, by one thread or [`DEPTH`].
    Mapping {
        /// One thread for each read under way.
        parallel: bool,
    },
}

/// Where the blocks are when they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// On the device.
    Cold,
    /// In the page cache.
    Warm,
}

/// What one run of a rung found.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Run {
    /// Its name.
    pub rung: &'static str,
    /// `cold` or `warm`.
    pub cache: &'static str,
    /// How that was brought about.
    pub how: &'static str,
    /// Blocks that were read.
    pub reads: u64,
    /// How long that took.
    pub elapsed_us: f64,
    /// Blocks per second.
    pub reads_per_s: f64,
    /// CPU time of the process per block, kernel included.
    pub cpu_us: f64,
    /// Median latency of a block.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// Bytes that the device had to read, per block.
    pub device_bytes: f64,
}

/// How long each run may take, and how often each rung has its turn.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Length of the file.
    pub file_bytes: u64,
    /// Rounds.
    pub rounds: u32,
    /// Time of each run; a cold one ends when every block was read.
    pub time: Duration,
}

impl Rung {
    /// From the slowest to the fastest, as the story goes.
    pub const ALL: [Self; 6] = [
        Self::Read { parallel: false },
        Self::Read { parallel: true },
        Self::Ring { registered: false },
        Self::Ring { registered: true },
        Self::Mapping { parallel: false },
        Self::Mapping { parallel: true },
    ];

    /// Name for people and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read { parallel: false } => "read, one at a time",
            Self::Read { parallel: true } => "read, 32 threads",
            Self::Ring { registered: false } => "io_uring",
            Self::Ring { registered: true } => "io_uring, registered",
            Self::Mapping { parallel: false } => "mapping, one thread",
            Self::Mapping { parallel: true } => "mapping, 32 threads",
        }
    }
}

/// Makes a file in `folder`, climbs all rungs, cold rounds first, tells `observe` of each run as it
/// ends, and deletes the file.
///
/// # Errors
/// The file cannot be made or read, a ring is not allowed, or a block was not what it is.
pub fn climb(
    settings: Settings,
    folder: &Path,
    observe: &mut dyn FnMut(&Run),
) -> io::Result<Vec<Run>> {
    let file = BlockFile::create(folder, settings.file_bytes)?;
    let outcome = (|| {
        let mut runs = Vec::new();
        for cache in [Cache::Cold, Cache::Warm] {
            if cache == Cache::Warm {
                file.warm()?;
            }
            for round in 0..settings.rounds as usize {
                for turn in 0..Rung::ALL.len() {
                    let rung = Rung::ALL[(turn + round) % Rung::ALL.len()];
                    let run = run(&file, rung, cache, settings.time)?;
                    observe(&run);
                    runs.push(run);
                }
            }
        }
        Ok(runs)
    })();
    fs::remove_file(file.path())?;
    outcome
}

/// One rung, once.
fn run(file: &BlockFile, rung: Rung, cache: Cache, time: Duration) -> io::Result<Run> {
    let direct = cache == Cache::Cold
        && file.knows_direct()
        && !matches!(rung, Rung::Mapping { parallel: true | false });
    let how = match (cache, direct) {
        (Cache::Cold, true) => "O_DIRECT",
        (Cache::Cold, false) => "cache dropped",
        (Cache::Warm, _) => "page cache",
    };
    if cache == Cache::Cold && !direct {
        file.drop_cache()?;
    }
    let mapping = match rung {
        Rung::Mapping { .. } => Some(mapping::Mapping::new(file, cache == Cache::Warm)?),
        Rung::Read { .. } | Rung::Ring { .. } => None,
    };
    let opened = if direct { file.open_direct()? } else { file.open()? };
    let order = Order::new(file.block_count(), cache == Cache::Cold);
    let before = (process_cpu(), device_bytes()?, Instant::now());
    let deadline = before.2 + time;
    let latencies = match rung {
        Rung::Read { parallel } => by_threads(threads(parallel), || {
            let (mut buffers, mut latencies) = (Buffers::new(1), Latencies::new());
            let mut lanes = buffers.lanes();
            let Some(block) = lanes.next() else { return Ok(latencies) };
            order.each(deadline, &mut latencies, |number| {
                let read = rustix::io::pread(&opened, &mut *block, number * BLOCK_BYTES as u64)?;
                file.verify(number, &block[..read])
            })?;
            Ok(latencies)
        })?,
        Rung::Mapping { parallel } => by_threads(threads(parallel), || {
            let (mut block, mut latencies) = (vec![0; BLOCK_BYTES], Latencies::new());
            order.each(deadline, &mut latencies, |number| {
                if let Some(mapping) = &mapping {
                    mapping.copy(number, &mut block);
                }
                file.verify(number, &block)
            })?;
            Ok(latencies)
        })?,
        Rung::Ring { registered } => {
            let mut ring = ring::Ring::new(&opened, registered)?;
            ring.read_all(&order, deadline, |number, block| file.verify(number, block))?
        }
    };
    let elapsed = before.2.elapsed();
    let reads = latencies.count().max(1) as f64;
    let [p50_us, p99_us] = latencies.quantiles_us([0.5, 0.99]);
    Ok(Run {
        rung: rung.name(),
        cache: if cache == Cache::Cold { "cold" } else { "warm" },
        how,
        reads: latencies.count(),
        elapsed_us: elapsed.as_secs_f64() * 1e6,
        reads_per_s: reads / elapsed.as_secs_f64(),
        cpu_us: (process_cpu() - before.0).as_secs_f64() * 1e6 / reads,
        p50_us,
        p99_us,
        device_bytes: device_bytes()?.saturating_sub(before.1) as f64 / reads,
    })
}

const fn threads(parallel: bool) -> usize {
    if parallel { DEPTH } else { 1 }
}

/// Runs `read` on so many threads at once, and puts together what they found.
fn by_threads(
    count: usize,
    read: impl Fn() -> io::Result<Latencies> + Sync,
) -> io::Result<Latencies> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(&read)).collect();
        let mut all = Latencies::new();
        for thread in threads {
            let found = thread.join().map_err(|_| io::Error::other("a thread broke"))??;
            all.add(&found);
        }
        Ok(all)
    })
}

/// CPU time that this process, all its threads and the kernel's for it have used.
fn process_cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Bytes that this process had devices read, so far.
fn device_bytes() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/self/io")?;
    Ok(read_bytes_of(&text).unwrap_or(0))
}

/// CPU time that everything else on the machine has used, as a share of all its cores, since
/// `before`; `None` where the kernel does not say.
pub fn others_share(before: &Machine) -> Option<f64> {
    let now = Machine::now()?;
    let busy_us = now.busy_ticks.checked_sub(before.busy_ticks)? as f64 * TICK_US;
    let all_us = now.all_ticks.checked_sub(before.all_ticks)? as f64 * TICK_US;
    let ours_us = now.ours.checked_sub(before.ours)?.as_secs_f64() * 1e6;
    (all_us > 0.0).then(|| ((busy_us - ours_us) / all_us).max(0.0))
}

/// What the machine's cores have done so far, and this process among it.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    busy_ticks: u64,
    all_ticks: u64,
    ours: Duration,
}

impl Machine {
    /// At this moment; `None` where the kernel does not say.
    pub fn now() -> Option<Self> {
        let (busy_ticks, all_ticks) = ticks_of(&fs::read_to_string("/proc/stat").ok()?)?;
        Some(Self { busy_ticks, all_ticks, ours: process_cpu() })
    }
}

/// Busy ticks and all ticks of the first line of proc_stat(5): the fourth and fifth are idle ones.
fn ticks_of(text: &str) -> Option<(u64, u64)> {
    let numbers = text.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
    let ticks: Option<Vec<u64>> = numbers.take(8).map(|number| number.parse().ok()).collect();
    let ticks = ticks.filter(|ticks| ticks.len() == 8)?;
    let all: u64 = ticks.iter().sum();
    Some((all - ticks[3] - ticks[4], all))
}

/// `read_bytes` of proc_pid_io(5).
fn read_bytes_of(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("read_bytes:"))?.trim().parse().ok()
}

/// One tick of `/proc/stat` in microseconds, as on every Linux that has io_uring.
const TICK_US: f64 = 10_000.0;
/// Reads under way at a time, where there are several.
pub const DEPTH: usize = 32;

#[cfg(test)]
mod tests;
