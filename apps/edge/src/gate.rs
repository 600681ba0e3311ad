//! A bound on a site's requests in progress, counted over all workers.
//!
//! A site without a bound has no gate, and its requests touch no shared counter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the requests of one site that have begun and not ended.
#[derive(Debug)]
pub struct Gate {
    requests_max: u32,
    in_progress: AtomicU32,
}

/// One request's place behind the gate; dropping it leaves the place to the next.
#[derive(Debug)]
pub struct Place(Arc<Gate>);

impl Gate {
    /// A gate for `requests_max` requests at once.
    #[must_use]
    pub fn new(requests_max: u32) -> Arc<Self> {
        Arc::new(Self { requests_max, in_progress: AtomicU32::new(0) })
    }

    /// Lets one more request in; `None` when there are as many as may be.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Option<Place> {
        let free = |count: u32| (count < self.requests_max).then_some(count + 1);
        let entered = self.in_progress.try_update(Ordering::Relaxed, Ordering::Relaxed, free);
        entered.ok().map(|_| Place(Arc::clone(self)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_than_the_bound_waits_for_a_place() {
        let gate = Gate::new(2);
        let first = gate.enter();
        let second = gate.enter();
        assert!(first.is_some() && second.is_some() && gate.enter().is_none());
        drop(first);
        assert!(gate.enter().is_some());
    }
}
