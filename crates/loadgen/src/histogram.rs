//! A latency histogram of fixed size: log-linear, 32 steps per power of two.
//!
//! A value lands in a bucket whose width is at most 1/32 of it, so every quantile is right to
//! about 3%. Minimum, maximum and sum are exact.

use serde::Serialize;

/// Counts of values in microseconds; 12 KiB, whatever is recorded.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Box<[u64]>,
    count: u64,
    sum_us: u64,
    min_us: u64,
    max_us: u64,
}

/// What reports say of a histogram, in microseconds. All zero when nothing was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Values recorded.
    pub count: u64,
    /// Smallest.
    pub min_us: u64,
    /// Mean.
    pub mean_us: u64,
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// Largest.
    pub max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS].into_boxed_slice(),
            count: 0,
            sum_us: 0,
            min_us: u64::MAX,
            max_us: 0,
        }
    }
}

impl Histogram {
    /// Counts one value.
    pub fn record(&mut self, value_us: u64) {
        self.buckets[bucket_of(value_us)] += 1;
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(value_us);
        self.min_us = self.min_us.min(value_us);
        self.max_us = self.max_us.max(value_us);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.buckets.fill(0);
        (self.count, self.sum_us, self.min_us, self.max_us) = (0, 0, u64::MAX, 0);
    }

    /// Values recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value that a share of `permille` / 1000 of all values does not exceed: the upper end
    /// of its bucket, yet never more than the largest value. 0 when nothing was recorded.
    pub fn quantile_us(&self, permille: u32) -> u64 {
        let rank = (u128::from(self.count) * u128::from(permille)).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank {
                return upper_end_of(index).min(self.max_us);
            }
        }
        self.max_us
    }

    /// The summary that reports print.
    pub fn latency(&self) -> Latency {
        if self.count == 0 {
            return Latency::default();
        }
        Latency {
            count: self.count,
            min_us: self.min_us,
            mean_us: self.sum_us / self.count,
            p50_us: self.quantile_us(500),
            p90_us: self.quantile_us(900),
            p99_us: self.quantile_us(990),
            p999_us: self.quantile_us(999),
            max_us: self.max_us,
        }
    }
}

/// Values below `2 · STEPS` have buckets of their own; above, each power of two has `STEPS`.
fn bucket_of(value_us: u64) -> usize {
    let value_us = value_us.min(VALUE_US_MAX);
    let shift = (u64::BITS - value_us.leading_zeros()).saturating_sub(STEP_BITS + 1);
    (shift as usize) * STEPS + (value_us >> shift) as usize
}

fn upper_end_of(bucket: usize) -> u64 {
    if bucket < 2 * STEPS {
        return bucket as u64;
    }
    let shift = bucket / STEPS - 1;
    let step = (bucket % STEPS + STEPS) as u64;
    ((step + 1) << shift) - 1
}

const STEP_BITS: u32 = 5;
const STEPS: usize = 1 << STEP_BITS;
/// Larger values count as this one: about 19 hours.
const VALUE_US_MAX: u64 = (1 << 36) - 1;
/// Bucket of the largest value, plus one.
const BUCKETS: usize = (36 - STEP_BITS as usize + 1) * STEPS;

#[cfg(test)]
mod tests;
