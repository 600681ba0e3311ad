//! One thread's counters, and the sum over all threads.
//!
//! Each thread owns a set of cells on cache lines of its own and is their only writer, so an
//! increment is a load and a store (TM-1). Readers add the sets up when asked; a sum taken while
//! threads run is not one instant's truth, but no increment is lost and no counter falls.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::histogram::{self, Distribution, bump};
use crate::names::{Counter, Gauge, Histogram};

/// One thread's set of cells. It may move to its thread, but neither be cloned nor shared: that is
/// what makes the thread the only writer.
#[derive(Debug)]
pub struct WorkerCounters {
    cells: Arc<Cells>,
    not_sync: PhantomData<Cell<()>>,
}

impl WorkerCounters {
    /// Counts `by` more.
    #[inline]
    pub fn add(&self, counter: Counter, by: u64) {
        bump(&self.cells.counters[counter as usize], by);
    }

    /// Takes over a total that is counted elsewhere (the store's statistics). Totals never fall: a
    /// lower value than before is ignored.
    pub fn set_total(&self, counter: Counter, total: u64) {
        let cell = &self.cells.counters[counter as usize];
        cell.store(cell.load(Relaxed).max(total), Relaxed);
    }

    /// Sets this thread's part of a gauge.
    #[inline]
    pub fn set(&self, gauge: Gauge, value: u64) {
        self.cells.gauges[gauge as usize].store(value, Relaxed);
    }

    /// Raises this thread's part of a gauge.
    #[inline]
    pub fn raise(&self, gauge: Gauge, by: u64) {
        bump(&self.cells.gauges[gauge as usize], by);
    }

    /// Lowers this thread's part of a gauge, not below zero.
    #[inline]
    pub fn lower(&self, gauge: Gauge, by: u64) {
        let cell = &self.cells.gauges[gauge as usize];
        cell.store(cell.load(Relaxed).saturating_sub(by), Relaxed);
    }

    /// Observes a duration in microseconds. Constant time, no allocation.
    #[inline]
    pub fn observe(&self, histogram: Histogram, value_us: u64) {
        self.cells.histograms[histogram as usize].observe(value_us);
    }

    /// This thread's part of a gauge.
    #[must_use]
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.cells.gauges[gauge as usize].load(Relaxed)
    }

    /// What this thread has counted so far.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> u64 {
        self.cells.counters[counter as usize].load(Relaxed)
    }

    pub(crate) fn new(cells: Arc<Cells>) -> Self {
        Self { cells, not_sync: PhantomData }
    }
}

/// All metrics summed over threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    counters: [u64; Counter::COUNT],
    gauges: [u64; Gauge::COUNT],
    histograms: [Distribution; Histogram::COUNT],
}

impl Snapshot {
    /// The total of a counter.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// The sum of a gauge.
    #[must_use]
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.gauges[gauge as usize]
    }

    /// The distribution of a histogram.
    #[must_use]
    pub fn histogram(&self, histogram: Histogram) -> &Distribution {
        &self.histograms[histogram as usize]
    }

    pub(crate) fn of(sets: &[Arc<Cells>]) -> Self {
        let mut sum = Self {
            counters: [0; Counter::COUNT],
            gauges: [0; Gauge::COUNT],
            histograms: std::array::from_fn(|_| Distribution::default()),
        };
        for set in sets {
            add(&mut sum.counters, &set.counters);
            add(&mut sum.gauges, &set.gauges);
            for (total, cells) in sum.histograms.iter_mut().zip(&set.histograms) {
                cells.add_to(total);
            }
        }
        sum
    }
}

/// The cells themselves. Two cache lines of alignment, because the adjacent-line prefetcher pairs
/// them: no other thread's writes share a pair with ours.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Cells {
    counters: [AtomicU64; Counter::COUNT],
    gauges: [AtomicU64; Gauge::COUNT],
    histograms: [histogram::Cells; Histogram::COUNT],
}

impl Cells {
    pub(crate) const fn new() -> Self {
        Self {
            counters: [const { AtomicU64::new(0) }; Counter::COUNT],
            gauges: [const { AtomicU64::new(0) }; Gauge::COUNT],
            histograms: [const { histogram::Cells::new() }; Histogram::COUNT],
        }
    }
}

fn add(totals: &mut [u64], cells: &[AtomicU64]) {
    for (total, cell) in totals.iter_mut().zip(cells) {
        *total = total.wrapping_add(cell.load(Relaxed));
    }
}

const _: () = assert!(align_of::<Cells>() == 128 && size_of::<Cells>().is_multiple_of(128));

#[cfg(test)]
mod tests;
