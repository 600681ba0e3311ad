//! How promptly a disk takes what is written to it.
//!
//! ```text
//! prompt ── a write under way for longer than the patience, or answered after it ─► behind
//! behind ── a write answered in time, and none late under way ─► prompt
//! ```
//! While a disk is behind, no more is begun there than one record at a time, which shows when it is
//! prompt again. Only writes count: a sync of much takes long on any disk.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The writes under way to one disk, and how the last one went.
#[derive(Debug)]
pub(crate) struct Pace {
    patience: Duration,
    /// When each began, in that order.
    begun: BTreeMap<u64, Instant>,
    next: u64,
    was_late: bool,
}

impl Pace {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, begun: BTreeMap::new(), next: 0, was_late: false }
    }

    /// A write begins; its number is for [`Pace::end`].
    pub(crate) fn begin(&mut self, now: Instant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.begun.insert(number, now);
        number
    }

    /// The device has answered a write.
    pub(crate) fn end(&mut self, number: u64, now: Instant) {
        if let Some(begun) = self.begun.remove(&number) {
            self.was_late = self.is_late(begun, now);
        }
    }

    /// Whether a call that writes may take longer than the patience.
    pub(crate) fn is_behind(&self, now: Instant) -> bool {
        self.was_late || self.begun.values().next().is_some_and(|begun| self.is_late(*begun, now))
    }

    /// Whether a record may begin.
    pub(crate) fn admits(&self, now: Instant) -> bool {
        !self.is_behind(now) || self.begun.is_empty()
    }

    fn is_late(&self, begun: Instant, now: Instant) -> bool {
        now.saturating_duration_since(begun) > self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    fn after(base: Instant, ms: u64) -> Instant {
        base + Duration::from_millis(ms)
    }

    #[test]
    fn a_write_under_way_is_late_beyond_the_patience_and_not_at_it() {
        let (base, mut pace) = (Instant::now(), Pace::new(PATIENCE));
        pace.begin(base);
        assert!(!pace.is_behind(after(base, 100)) && pace.admits(after(base, 100)));
        assert!(pace.is_behind(after(base, 101)) && !pace.admits(after(base, 101)));
    }

    #[test]
    fn the_oldest_write_under_way_counts_whichever_was_answered() {
        let (base, mut pace) = (Instant::now(), Pace::new(PATIENCE));
        pace.begin(base);
        let young = pace.begin(after(base, 90));
        pace.end(young, after(base, 101));
        assert!(pace.is_behind(after(base, 101)));
    }

    #[test]
    fn behind_it_admits_one_at_a_time_until_one_is_answered_in_time() {
        let (base, mut pace) = (Instant::now(), Pace::new(PATIENCE));
        let late = pace.begin(base);
        pace.end(late, after(base, 200));
        assert!(pace.is_behind(after(base, 9000)) && pace.admits(after(base, 9000)));
        let probe = pace.begin(after(base, 9000));
        assert!(!pace.admits(after(base, 9001)));
        pace.end(probe, after(base, 9002));
        assert!(!pace.is_behind(after(base, 9002)) && pace.admits(after(base, 9002)));
    }
}
