//! The way from a worker to whoever reads what is not in memory.

use longhold_store::{PageIn, PageInDone, Pager, PagerBusy};

/// Pages in for workers, which never wait for a device. The store's [`Pager`] does it; tests play
/// it.
pub trait Paging: Send + Sync {
    /// Has `cold` paged in and calls `done`, on whatever thread.
    ///
    /// # Errors
    /// [`PagerBusy`] over the bound; `done` is not called then.
    fn page_in(&self, cold: &PageIn, done: PageInDone) -> Result<(), PagerBusy>;

    /// As [`Paging::page_in`] for what will be wanted soon.
    ///
    /// # Errors
    /// [`PagerBusy`].
    fn prefetch(&self, cold: &PageIn) -> Result<(), PagerBusy>;
}

impl Paging for Pager {
    fn page_in(&self, cold: &PageIn, done: PageInDone) -> Result<(), PagerBusy> {
        Self::page_in(self, cold, done)
    }

    fn prefetch(&self, cold: &PageIn) -> Result<(), PagerBusy> {
        Self::prefetch(self, cold)
    }
}
