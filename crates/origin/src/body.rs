//! Bodies on their way between the fill plane and the workers.
//!
//! An [`Upload`] carries a request body from one worker to the origin, a [`Download`] carries a
//! response body from the origin to any number of readers. Both are bounded, both are a mutex
//! around plain data: the worker's side never blocks on more than that lock and learns of news
//! through a callback, the fill plane's side is async. Wakers are always called with the lock
//! released.

mod budget;
mod download;
mod pieces;
mod upload;

pub use budget::{StagingBudget, StagingShare, StagingStats, WINDOW_SMALL_BYTES};
pub use download::{
    AttachRefused, Demand, Download, DownloadGuard, DownloadReader, Next, PushRefused,
};
pub use pieces::{BLOCK_BYTES, COPY_BELOW_BYTES};
pub use upload::{Full, Upload};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The callback that tells a worker of news; it must not block (an eventfd write is meant).
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A panic under one of our locks is impossible short of a bug in plain data moves, and the data
/// stays consistent between statements, so a poisoned lock is used as it is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
