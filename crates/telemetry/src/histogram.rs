//! Fixed log-linear histograms of microseconds: exact counts per bucket, constant memory.
//!
//! Values up to 8 µs have a bucket each; above, every power of two is cut into 8 equal buckets, so
//! that a bucket is at most 1/8 of its lower edge wide. A bucket holds `(lower, upper]`, therefore
//! the powers of two, which are what `/metrics` shows, count exactly as Prometheus' `le` means it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Values above this go to the overflow bucket: 2^27 µs, about 134 s.
pub const VALUE_US_MAX: u64 = 1 << VALUE_BITS_MAX;
/// Number of cells of one histogram, the overflow bucket included.
pub const BUCKETS_COUNT: usize = OVERFLOW + 1;

/// The cells of one histogram of one thread; one thread writes (TM-1).
#[derive(Debug)]
pub(crate) struct Cells {
    buckets: [AtomicU64; BUCKETS_COUNT],
    sum_us: AtomicU64,
}

impl Cells {
    pub(crate) const fn new() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS_COUNT], sum_us: AtomicU64::new(0) }
    }

    pub(crate) fn observe(&self, value_us: u64) {
        bump(&self.buckets[bucket_of(value_us)], 1);
        bump(&self.sum_us, value_us);
    }

    pub(crate) fn add_to(&self, distribution: &mut Distribution) {
        for (total, cell) in distribution.buckets.iter_mut().zip(&self.buckets) {
            *total += cell.load(Relaxed);
        }
        distribution.sum_us = distribution.sum_us.wrapping_add(self.sum_us.load(Relaxed));
    }
}

/// A histogram summed over threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    buckets: [u64; BUCKETS_COUNT],
    sum_us: u64,
}

impl Default for Distribution {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS_COUNT], sum_us: 0 }
    }
}

impl Distribution {
    /// Number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Sum of all observations in microseconds.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// An upper bound of the `quantile` (0.0–1.0) in microseconds, at most 1/8 too high; 0 if
    /// nothing was observed, [`u64::MAX`] if it lies above [`VALUE_US_MAX`].
    #[must_use]
    pub fn quantile_us(&self, quantile: f64) -> u64 {
        let count = self.count();
        if count == 0 {
            return 0;
        }
        let rank = ((count as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, in_bucket) in self.buckets.iter().enumerate() {
            seen += in_bucket;
            if seen >= rank {
                return upper_us(bucket);
            }
        }
        u64::MAX
    }

    /// Cumulative counts at the exported edges: (upper edge in µs, observations at or below it).
    /// Observations above the last edge are only in [`count`](Self::count).
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        EXPORTED_BITS.map(|bits| {
            let edge_us = 1_u64 << bits;
            let at_or_below: u64 = self.buckets[..=bucket_of(edge_us)].iter().sum();
            (edge_us, at_or_below)
        })
    }
}

pub(crate) fn bump(cell: &AtomicU64, by: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(by), Relaxed);
}

/// The bucket whose `(lower, upper]` holds the value; 0 µs counts as 1 µs.
fn bucket_of(value_us: u64) -> usize {
    let below = value_us.saturating_sub(1);
    if below < SUB_COUNT as u64 {
        return below as usize;
    }
    let octave = below.ilog2() - SUB_BITS;
    let sub = (below >> octave) as usize - SUB_COUNT;
    (SUB_COUNT * (octave as usize + 1) + sub).min(OVERFLOW)
}

/// The inclusive upper edge of a bucket.
fn upper_us(bucket: usize) -> u64 {
    if bucket >= OVERFLOW {
        return u64::MAX;
    }
    if bucket < SUB_COUNT {
        return bucket as u64 + 1;
    }
    let octave = bucket / SUB_COUNT - 1;
    let sub = bucket % SUB_COUNT;
    ((SUB_COUNT + sub + 1) as u64) << octave
}

const SUB_BITS: u32 = 3;
const SUB_COUNT: usize = 1 << SUB_BITS;
const VALUE_BITS_MAX: u32 = 27;
const OVERFLOW: usize = SUB_COUNT * (VALUE_BITS_MAX - SUB_BITS + 1) as usize;
/// Exported edges: 2^4 µs = 16 µs to 2^26 µs = 67 s.
const EXPORTED_BITS: std::ops::RangeInclusive<u32> = 4..=26;

const _: () = assert!(*EXPORTED_BITS.end() < VALUE_BITS_MAX);

#[cfg(test)]
mod tests;
