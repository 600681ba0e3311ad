//! The memory that all downloads of a process may stage, as one number.
//!
//! A download takes its window from the budget when it begins and gives it back when it is gone.
//! Reservation, not accounting: the sum of what was granted can never pass the bound, so no later
//! push can either. A fetch that finds the budget empty goes on unstored with
//! [`WINDOW_SMALL_BYTES`], which is never refused and counted apart; their number is bounded by the
//! origin connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The window of a download that got nothing from the budget, in bytes.
pub const WINDOW_SMALL_BYTES: usize = 64 * 1024;

/// A bound on staged bytes, shared by every fill thread of a process.
#[derive(Debug)]
pub struct StagingBudget {
    bytes_max: usize,
    taken_bytes: AtomicUsize,
    overdrawn_bytes: AtomicUsize,
    granted_count: AtomicU64,
    refused_count: AtomicU64,
}

/// One download's part of the budget; it returns on drop.
#[derive(Debug)]
pub struct StagingShare {
    budget: Arc<StagingBudget>,
    bytes: usize,
    small: bool,
}

/// A budget's figures at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagingStats {
    /// The bound, in bytes.
    pub bytes_max: usize,
    /// Bytes reserved now; never above `bytes_max`.
    pub taken_bytes: usize,
    /// Bytes of small windows in use now, outside the bound.
    pub overdrawn_bytes: usize,
    /// Shares granted so far.
    pub granted_count: u64,
    /// Shares refused so far.
    pub refused_count: u64,
}

impl StagingBudget {
    /// A budget of `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            taken_bytes: AtomicUsize::new(0),
            overdrawn_bytes: AtomicUsize::new(0),
            granted_count: AtomicU64::new(0),
            refused_count: AtomicU64::new(0),
        })
    }

    /// Reserves a window of `bytes`, or refuses when that much is not left.
    #[must_use]
    pub fn take(self: &Arc<Self>, bytes: usize) -> Option<StagingShare> {
        let taken = self.taken_bytes.try_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            taken.checked_add(bytes).filter(|sum| *sum <= self.bytes_max)
        });
        if taken.is_err() {
            self.refused_count.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.granted_count.fetch_add(1, Ordering::Relaxed);
        Some(StagingShare { budget: Arc::clone(self), bytes, small: false })
    }

    /// The window of [`WINDOW_SMALL_BYTES`] for a fetch that was refused; never refused itself.
    #[must_use]
    pub fn take_small(self: &Arc<Self>) -> StagingShare {
        self.overdrawn_bytes.fetch_add(WINDOW_SMALL_BYTES, Ordering::Relaxed);
        StagingShare { budget: Arc::clone(self), bytes: WINDOW_SMALL_BYTES, small: true }
    }

    /// The figures now.
    #[must_use]
    pub fn stats(&self) -> StagingStats {
        StagingStats {
            bytes_max: self.bytes_max,
            taken_bytes: self.taken_bytes.load(Ordering::Relaxed),
            overdrawn_bytes: self.overdrawn_bytes.load(Ordering::Relaxed),
            granted_count: self.granted_count.load(Ordering::Relaxed),
            refused_count: self.refused_count.load(Ordering::Relaxed),
        }
    }
}

impl StagingShare {
    /// The window that this share pays for, in bytes.
    #[must_use]
    pub fn window_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether this is the small window of a refused fetch, which must not be stored.
    #[must_use]
    pub fn is_small(&self) -> bool {
        self.small
    }
}

impl Drop for StagingShare {
    fn drop(&mut self) {
        let cell = if self.small { &self.budget.overdrawn_bytes } else { &self.budget.taken_bytes };
        cell.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
