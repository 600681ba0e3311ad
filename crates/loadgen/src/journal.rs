//! What a load tells while it goes on: its series and its faults, kept for the report and told to
//! whoever looks on.

use crate::fault::{Fault, FaultLog};
use crate::plan::Moment;
use crate::series::{Costs, Counts, Observer, Series};

/// The series and the faults of a load since its begin.
pub(crate) struct Journal<'p> {
    begin_us: u64,
    pub(crate) series: Series,
    pub(crate) faults: FaultLog,
    observer: &'p mut dyn Observer,
}

impl<'p> Journal<'p> {
    /// Of a load that begins at `begin_us`.
    pub(crate) fn new(begin_us: u64, observer: &'p mut dyn Observer) -> Self {
        let (series, faults) = (Series::default(), FaultLog::default());
        Self { begin_us, series, faults, observer }
    }

    /// The load has come to `moment`.
    pub(crate) fn observe(&mut self, moment: Moment) {
        self.observer.observe(moment);
    }

    /// Makes a point if one is due; when the next one is.
    pub(crate) fn pulse(&mut self, now_us: u64, counts: Counts) -> u64 {
        self.series.pulse(self.at_ms(now_us), counts, self.observer);
        self.begin_us + self.series.next_ms() * 1000
    }

    /// Makes a point that is kept, measured afresh.
    pub(crate) fn mark(&mut self, now_us: u64, counts: Counts) -> Costs {
        self.series.mark(self.at_ms(now_us), counts, self.observer)
    }

    /// `fault` has happened to `connection`.
    pub(crate) fn record(&mut self, now_us: u64, connection: u32, fault: Fault) {
        let at_ms = self.at_ms(now_us);
        self.faults.record(at_ms, connection, fault);
        self.observer.fault(at_ms, connection, fault);
    }

    fn at_ms(&self, now_us: u64) -> u64 {
        (now_us - self.begin_us) / 1000
    }
}
