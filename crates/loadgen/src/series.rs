//! A load as it goes on: one [`Point`] a second, and what an [`Observer`] adds to it.
//!
//! There are never more than [`POINTS_MAX`] of them, however long a load lasts: a series that is
//! full drops every other point and goes on at twice the interval.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::fault::Fault;
use crate::histogram::Histogram;
use crate::plan::Moment;

/// What a load looked like at one instant. Counts are since its begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Point {
    /// Milliseconds since the load began.
    pub at_ms: u64,
    /// How far it had come.
    #[serde(flatten)]
    pub counts: Counts,
    /// Median latency of the answers since the point before. A point that stands for several has
    /// this and `p99_us` from the worst of them.
    pub p50_us: u64,
    /// The 99th percentile of the same.
    pub p99_us: u64,
    /// What it cost.
    #[serde(flatten)]
    pub costs: Costs,
}

/// How far a load has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Connections whose connect has succeeded.
    pub opened: u64,
    /// Connections that stand now and have answered right so far.
    pub held: u64,
    /// Connections that failed, closed, or brought a wrong answer.
    pub lost: u64,
    /// Right answers.
    pub answers: u64,
    /// Everything that went wrong, connects tried again excepted.
    pub faults: u64,
}

impl Counts {
    /// A connection stands, of a loop, which holds all that stand.
    pub(crate) fn stands(&mut self) {
        self.opened += 1;
        self.held += 1;
    }

    /// One of them ends as it should.
    pub(crate) fn ends(&mut self) {
        self.held = self.held.saturating_sub(1);
    }

    /// One of them, or one that was to become one, is lost.
    pub(crate) fn is_lost(&mut self, fault: Fault) {
        self.lost += 1;
        if !fault.is_of_connect() {
            self.ends();
        }
    }
}

/// What a load costs, as its observer measures it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Costs {
    /// The server's share; `None` when nobody said which process it is, or it is gone.
    pub server: Option<ServerCosts>,
    /// Kernel slab memory of the whole machine.
    pub slab_bytes: u64,
    /// TCP sockets in use on the whole machine, both ends of loopback connections.
    pub sockets: u64,
    /// Anonymous memory of the load's own process.
    pub generator_anonymous_bytes: u64,
}

/// What the server uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ServerCosts {
    /// Resident and not backed by a file.
    pub anonymous_bytes: u64,
    /// Resident, shared pages divided among those who share them.
    pub proportional_bytes: u64,
    /// CPU time since the load began.
    pub cpu_us: f64,
    /// When this was read, in milliseconds since the load began: up to a second before its point,
    /// so CPU time between two points goes by this.
    pub read_ms: f64,
}

/// Looks on while a load runs. A closure over [`Moment`]s is one that measures nothing.
pub trait Observer {
    /// The load has come to `moment`.
    fn observe(&mut self, moment: Moment);

    /// What everything costs now, measured afresh: at rests, where it may take its time.
    fn measure(&mut self) -> Costs {
        Costs::default()
    }

    /// What everything cost a short while ago: while the load runs, so without delay.
    fn glance(&mut self) -> Costs {
        Costs::default()
    }

    /// A second has passed, or a stage. Each point is told, those that the series drops too.
    fn progress(&mut self, _point: &Point) {}

    /// `fault` has happened to `connection`, so many milliseconds after the load began.
    fn fault(&mut self, _at_ms: u64, _connection: u32, _fault: Fault) {}
}

impl<F: FnMut(Moment)> Observer for F {
    fn observe(&mut self, moment: Moment) {
        self(moment);
    }
}

/// Points of a load in order; serialised as a list of them.
#[derive(Clone, Default)]
pub struct Series {
    points: Vec<Point>,
    /// Of how many seconds each point is one; a power of two, as an exponent.
    thinned: u32,
    /// Seconds told since the last point that was kept.
    skipped: u64,
    /// What those had, if it was worse.
    worst: (u64, u64),
    next_ms: u64,
    recent: Histogram,
}

impl Series {
    /// Counts the latency of one answer.
    pub fn record(&mut self, latency_us: u64) {
        self.recent.record(latency_us);
    }

    /// When the next point is due, in milliseconds since the load began.
    pub fn next_ms(&self) -> u64 {
        self.next_ms
    }

    /// Makes a point and tells it to `observer`, if one is due.
    pub fn pulse(&mut self, at_ms: u64, counts: Counts, observer: &mut dyn Observer) {
        if at_ms >= self.next_ms {
            self.next_ms = at_ms - at_ms % INTERVAL_MS + INTERVAL_MS;
            let costs = observer.glance();
            let point = self.point(at_ms, counts, costs);
            observer.progress(&point);
            self.push(point);
        }
    }

    /// Makes a point that is kept whatever the interval, measured afresh: at the end of a stage,
    /// and of the load.
    pub fn mark(&mut self, at_ms: u64, counts: Counts, observer: &mut dyn Observer) -> Costs {
        let costs = observer.measure();
        let point = self.point(at_ms, counts, costs);
        observer.progress(&point);
        self.skipped = 0;
        self.keep(point);
        costs
    }

    /// The points so far.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    fn point(&mut self, at_ms: u64, counts: Counts, costs: Costs) -> Point {
        let (p50_us, p99_us) = (self.recent.quantile_us(500), self.recent.quantile_us(990));
        self.recent.clear();
        Point { at_ms, counts, p50_us, p99_us, costs }
    }

    fn push(&mut self, point: Point) {
        self.worst = worse(self.worst, (point.p50_us, point.p99_us));
        if self.skipped > 0 {
            self.skipped -= 1;
            return;
        }
        self.skipped = (1 << self.thinned) - 1;
        self.keep(point);
    }

    fn keep(&mut self, mut point: Point) {
        if self.points.len() == POINTS_MAX {
            self.thin();
        }
        (point.p50_us, point.p99_us) = worse(self.worst, (point.p50_us, point.p99_us));
        self.worst = (0, 0);
        self.points.push(point);
    }

    /// Drops every other point, the first one not; what was worse in a dropped one lives on in the
    /// one behind it.
    fn thin(&mut self) {
        let mut kept = 0;
        let mut dropped = (0, 0);
        for index in 0..self.points.len() {
            let mut point = self.points[index];
            if index % 2 == 1 {
                dropped = (point.p50_us, point.p99_us);
                continue;
            }
            (point.p50_us, point.p99_us) = worse(dropped, (point.p50_us, point.p99_us));
            self.points[kept] = point;
            kept += 1;
        }
        self.points.truncate(kept);
        self.worst = worse(self.worst, dropped);
        self.thinned += 1;
        self.skipped = (1 << self.thinned) - 1;
    }
}

/// In short: whoever prints a report wants to read it.
impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (points, last) = (self.points.len(), self.points.last());
        f.debug_struct("Series").field("points", &points).field("last", &last).finish()
    }
}

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.points.serialize(serializer)
    }
}

/// Of two pairs of median and 99th percentile, the one with the greater 99th percentile.
fn worse(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
    if one.1 > other.1 { one } else { other }
}

/// Most points of a series.
pub const POINTS_MAX: usize = 600;
/// One point each.
const INTERVAL_MS: u64 = 1000;

#[cfg(test)]
mod tests;
