//! In which order blocks are read, and how long each took.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// All blocks of a file in a random order, shared by whoever reads them.
pub(super) struct Order {
    blocks: Vec<u32>,
    next: AtomicUsize,
    /// No block is read twice.
    once: bool,
}

/// Latencies of reads: how many there were, and the last million of them.
pub(super) struct Latencies {
    ns: Vec<u32>,
    count: u64,
}

impl Order {
    /// So many blocks, shuffled alike each time.
    pub(super) fn new(count: u64, once: bool) -> Self {
        let mut blocks: Vec<u32> = (0..u32::try_from(count).unwrap_or(u32::MAX)).collect();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for at in (1..blocks.len()).rev() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            blocks.swap(at, (state % (at as u64 + 1)) as usize);
        }
        Self { blocks, next: AtomicUsize::new(0), once }
    }

    /// The next block to read, unless all were.
    pub(super) fn next(&self) -> Option<u64> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let at = if self.once { turn } else { turn % self.blocks.len().max(1) };
        self.blocks.get(at).map(|&number| number.into())
    }

    /// Reads block after block until the deadline, or until all were read.
    pub(super) fn each(
        &self,
        deadline: Instant,
        latencies: &mut Latencies,
        mut read: impl FnMut(u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut begin = Instant::now();
        while begin < deadline {
            let Some(number) = self.next() else { return Ok(()) };
            read(number)?;
            let end = Instant::now();
            latencies.record(end - begin);
            begin = end;
        }
        Ok(())
    }
}

impl Latencies {
    pub(super) fn new() -> Self {
        Self { ns: Vec::new(), count: 0 }
    }

    pub(super) fn record(&mut self, latency: Duration) {
        let ns = u32::try_from(latency.as_nanos()).unwrap_or(u32::MAX);
        let at = self.count as usize % KEPT_MAX;
        match self.ns.get_mut(at) {
            Some(place) => *place = ns,
            None => self.ns.push(ns),
        }
        self.count += 1;
    }

    /// Those of another thread, too.
    pub(super) fn add(&mut self, other: &Self) {
        self.ns.extend_from_slice(&other.ns);
        self.count += other.count;
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The values that these shares of all do not exceed; 0 of none.
    pub(super) fn quantiles_us<const N: usize>(&self, shares: [f64; N]) -> [f64; N] {
        let mut sorted = self.ns.clone();
        sorted.sort_unstable();
        shares.map(|share| {
            let rank = (sorted.len() as f64 * share).ceil().max(1.0) as usize;
            sorted.get(rank - 1).map_or(0.0, |&ns| f64::from(ns) / 1000.0)
        })
    }
}

/// Latencies that a thread keeps.
const KEPT_MAX: usize = 1 << 20;
