//! The hold: many keep-alive connections, one verified request each, then rest; in stages, each of
//! which adds connections to those of the one before.
//!
//! ```text
//!  ramp: connect → request → verify → park      rest: nothing, or heartbeats      next stage …
//!  ├──────────────────────────────────────────┤├───────── hold_ms ─────────────┤├ … ┤├─ close ┤
//!  Begin                                                                     Parked  Held
//! ```
//! `Parked` and `Held` are told of the last stage. A connect that fails is tried again up to
//! [`RETRIES_MAX`] times, after 100, 400 and 1,600 ms.

use std::collections::{HashMap, VecDeque};

use serde::Serialize;

use crate::dial::Dial;
use crate::driver::{Driver, Event};
use crate::fault::{Fault, FaultLog};
use crate::histogram::{Histogram, Latency};
use crate::journal::Journal;
use crate::plan::{HoldPlan, LoadError, Moment};
use crate::series::{Costs, Counts, Observer, Series};
use crate::tally::{Answers, Tally};
use crate::target::Sources;
use crate::verify::Expectation;

/// What a hold found.
#[derive(Clone, Debug, Serialize)]
pub struct HoldReport {
    /// Connections that were to be opened.
    pub connections: u32,
    /// Connections that still stood, parked, when the hold was over.
    pub held: u32,
    /// Connections that failed, closed, or brought a wrong answer.
    pub lost: u32,
    /// Connections that the time limit kept from being opened or from coming to rest.
    pub unfinished: u32,
    /// First answers.
    pub first: Answers,
    /// Answers to heartbeats; or events behind each stream's first, with the latency of one being
    /// how much later it came than its interval.
    pub heartbeats: Answers,
    /// From a connect to its completion.
    pub connect: Latency,
    /// From the begin of the last stage until all connections were parked or lost.
    pub ramp_ms: u64,
    /// How long they rested in the last stage.
    pub hold_ms: u64,
    /// Connects that were tried again.
    pub retries: u64,
    /// Each stage when it was over.
    pub stages: Vec<StageReport>,
    /// All of it, second by second.
    pub series: Series,
    /// What went wrong.
    pub faults: FaultLog,
}

/// What one stage of a hold found.
#[derive(Clone, Debug, Serialize)]
pub struct StageReport {
    /// Connections that were to stand.
    pub connections: u32,
    /// Those that stood, parked, at its end.
    pub held: u32,
    /// Connections lost so far.
    pub lost: u32,
    /// From its begin until all of them were parked or lost.
    pub ramp_ms: u64,
    /// How long they rested.
    pub hold_ms: u64,
    /// Heartbeats answered in it.
    pub heartbeats: u64,
    /// Their median latency.
    pub p50_us: u64,
    /// The 99th percentile of it.
    pub p99_us: u64,
    /// What everything cost at its end.
    #[serde(flatten)]
    pub costs: Costs,
}

/// Runs a hold on `transport` to its end, telling `observer` each [`Moment`] as it comes, and how
/// it goes on.
///
/// # Errors
/// A plan that cannot be carried out, or a transport that fails. What the server does wrong is in
/// the report.
pub fn hold<T: Dial + ?Sized>(
    transport: &mut T,
    plan: &HoldPlan,
    observer: &mut dyn Observer,
) -> Result<HoldReport, LoadError> {
    let settings = plan.settings()?;
    let sources = plan.aim.sources(plan.connections())?;
    let driver = Driver::new(transport, plan.aim.target.clone(), settings)?;
    let begin_us = driver.now_us();
    let mut hold = Hold {
        driver,
        plan,
        sources,
        expectation: plan.aim.expectation,
        deadline_us: begin_us + plan.aim.time_max_ms * 1000,
        target: 0,
        begun: 0,
        again: VecDeque::new(),
        tries: HashMap::new(),
        retries: 0,
        stages: Vec::new(),
        settled: 0,
        opened: 0,
        held: 0,
        lost: 0,
        first: Tally::default(),
        heartbeats: Tally::default(),
        connect: Histogram::default(),
        stage_beats: Histogram::default(),
        journal: Journal::new(begin_us, observer),
        phase: Phase::Ramp,
    };
    hold.journal.observe(Moment::Begin);
    for (number, connections) in (1..).zip(&plan.stages) {
        let is_last = number == plan.stages.len();
        let stage_us = hold.driver.now_us();
        hold.stage_beats.clear();
        hold.target = *connections;
        hold.ramp()?;
        let parked_us = hold.driver.now_us();
        if is_last {
            hold.journal.observe(Moment::Parked);
        }
        hold.rest(parked_us)?;
        if is_last {
            hold.journal.observe(Moment::Held);
        }
        hold.end_stage(stage_us, parked_us);
    }
    let report = hold.report();
    hold.driver.close_all()?;
    Ok(report)
}

struct Hold<'t, 'p, T: Dial + ?Sized> {
    driver: Driver<'t, T>,
    plan: &'p HoldPlan,
    sources: Sources,
    expectation: Expectation,
    deadline_us: u64,
    /// Connections of this stage and those before it.
    target: u32,
    /// Connections whose connect was begun.
    begun: u32,
    /// Connections whose connect has failed, and when it is tried again, µs. The waits grow, so it
    /// is in order but for those of different tries.
    again: VecDeque<(u64, u32)>,
    /// Tries of connections whose connect has failed.
    tries: HashMap<u32, u32>,
    retries: u64,
    stages: Vec<StageReport>,
    /// Connections that were parked or lost since.
    settled: u32,
    /// Connections that have stood.
    opened: u32,
    /// Connections that stand and have answered right so far.
    held: u32,
    lost: u32,
    first: Tally,
    heartbeats: Tally,
    connect: Histogram,
    /// Latencies of this stage's heartbeats.
    stage_beats: Histogram,
    journal: Journal<'p>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Ramp,
    Rest,
}

impl<T: Dial + ?Sized> Hold<'_, '_, T> {
    /// Opens the stage's connections and lets each rest after its first answer.
    fn ramp(&mut self) -> Result<(), LoadError> {
        self.phase = Phase::Ramp;
        while self.settled < self.target && self.driver.now_us() < self.deadline_us {
            let mut until_us = self.deadline_us;
            if let Some((due_us, _)) = self.again.front() {
                until_us = until_us.min((*due_us).max(self.driver.now_us() + TICK_US));
            }
            self.connect_again();
            while self.begun < self.target && self.connect(self.begun) {
                self.begun += 1;
            }
            self.turn(until_us)?;
        }
        Ok(())
    }

    fn connect(&mut self, connection: u32) -> bool {
        self.driver.connect(connection, self.sources.of(connection))
    }

    /// Tries connects again whose time has come.
    fn connect_again(&mut self) {
        let now_us = self.driver.now_us();
        while let Some((_, connection)) = self.again.front().filter(|(due_us, _)| *due_us <= now_us)
        {
            if !self.driver.has_room() {
                return;
            }
            let connection = *connection;
            self.again.pop_front();
            if self.connect(connection) {
                self.retries += 1;
            } else {
                // The last connect has timed out here and is still under way in the kernel.
                self.again.push_back((now_us + RETRY_US, connection));
            }
        }
    }

    /// Whether a connect that has failed will be tried again.
    fn will_try_again(&mut self, connection: u32) -> bool {
        let tries = self.tries.entry(connection).or_default();
        if *tries == RETRIES_MAX || self.phase == Phase::Rest {
            return false;
        }
        let wait_us = RETRY_US << (2 * *tries);
        *tries += 1;
        self.again.push_back((self.driver.now_us() + wait_us, connection));
        true
    }

    /// Rests, with heartbeats if there are to be any, and awaits the last of their answers.
    fn rest(&mut self, parked_us: u64) -> Result<(), LoadError> {
        self.phase = Phase::Rest;
        let end_us = (parked_us + self.plan.hold_ms * 1000).min(self.deadline_us);
        let interval_us = self.plan.heartbeat_ms.map(|ms| u128::from(ms) * 1000);
        let mut beats = 0;
        loop {
            let now_us = self.driver.now_us();
            let mut until_us = end_us.max(now_us + TICK_US);
            let mut all_sent = true;
            if let Some(interval_us) = interval_us {
                let elapsed_us = now_us.min(end_us).saturating_sub(parked_us);
                let due = u128::from(elapsed_us) * u128::from(self.target) / interval_us;
                beats = self.beat(beats, due);
                all_sent = beats == due;
                let after_us = beat_due_us(beats + 1, interval_us, self.target);
                let next_us = parked_us.saturating_add(after_us);
                let until = if all_sent { next_us } else { now_us + TICK_US };
                until_us = until.clamp(now_us + BEAT_PAUSE_US, now_us + TICK_US);
            }
            let at_rest = all_sent && self.driver.is_quiet();
            if now_us >= end_us && (at_rest || now_us >= self.deadline_us) {
                return Ok(());
            }
            self.turn(until_us)?;
        }
    }

    /// Sends heartbeats up to number `due`, as far as there is room; returns the next number.
    /// Connections that are lost or still busy with the last one are passed over.
    fn beat(&mut self, mut next: u128, due: u128) -> u128 {
        while next < due && self.driver.has_room() {
            let connection = (next % u128::from(self.target)) as u32;
            self.driver.request(connection);
            next += 1;
        }
        next
    }

    fn turn(&mut self, until_us: u64) -> Result<(), LoadError> {
        let pulse_us = self.journal.pulse(self.driver.now_us(), self.counts());
        let turned = self.driver.turn(until_us.min(pulse_us));
        while let Some(event) = self.driver.next_event() {
            self.handle_event(event);
        }
        Ok(turned?)
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Connected { latency_us, .. } => {
                self.opened += 1;
                self.connect.record(latency_us);
            }
            Event::Answered { connection, answer, latency_us } => {
                let tally = match self.phase {
                    Phase::Ramp => &mut self.first,
                    Phase::Rest => &mut self.heartbeats,
                };
                match tally.take(&mut self.expectation, &answer, latency_us) {
                    Ok(()) => self.handle_answer(connection, answer.reusable, latency_us),
                    Err(fault) => self.lose(connection, fault, false),
                }
                self.driver.set_length_bytes_max(self.expectation.length_bytes_max());
            }
            Event::Heard { answer, late_us } => {
                // Its reader has compared it.
                if self.heartbeats.take(&mut self.expectation, &answer, late_us).is_ok() {
                    self.journal.series.record(late_us);
                    self.stage_beats.record(late_us);
                }
            }
            Event::Lost { connection, fault, .. }
                if fault.is_of_connect() && self.will_try_again(connection) => {}
            Event::Lost { connection, fault, parked } => self.lose(connection, fault, parked),
            Event::Closed { .. } => {}
        }
    }

    /// A right answer came.
    fn handle_answer(&mut self, connection: u32, reusable: bool, latency_us: u64) {
        self.journal.series.record(latency_us);
        match self.phase {
            Phase::Ramp => self.held += u32::from(reusable),
            Phase::Rest => self.stage_beats.record(latency_us),
        }
        if reusable {
            self.driver.park(connection);
            self.settle();
        } else {
            self.lose(connection, Fault::CloseAnnounced, false);
        }
    }

    fn lose(&mut self, connection: u32, fault: Fault, parked: bool) {
        self.journal.record(self.driver.now_us(), connection, fault);
        self.lost += 1;
        if parked || self.phase == Phase::Rest {
            self.held = self.held.saturating_sub(1);
        }
        if !parked {
            self.settle();
        }
        self.driver.close(connection);
    }

    /// One connection less to wait for in the ramp.
    fn settle(&mut self) {
        if self.phase == Phase::Ramp {
            self.settled += 1;
        }
    }

    fn counts(&self) -> Counts {
        Counts {
            opened: u64::from(self.opened),
            held: u64::from(self.held),
            lost: u64::from(self.lost),
            answers: self.first.count() + self.heartbeats.count(),
            faults: self.journal.faults.total(),
        }
    }

    fn end_stage(&mut self, begin_us: u64, parked_us: u64) {
        let now_us = self.driver.now_us();
        let costs = self.journal.mark(now_us, self.counts());
        self.stages.push(StageReport {
            connections: self.target,
            held: (0..self.target).filter(|&index| self.driver.is_parked(index)).count() as u32,
            lost: self.lost,
            ramp_ms: (parked_us - begin_us) / 1000,
            hold_ms: (now_us - parked_us) / 1000,
            heartbeats: self.stage_beats.count(),
            p50_us: self.stage_beats.quantile_us(500),
            p99_us: self.stage_beats.quantile_us(990),
            costs,
        });
    }

    fn report(&self) -> HoldReport {
        let connections = self.plan.connections();
        let last = self.stages.last();
        let held = last.map_or(0, |stage| stage.held);
        HoldReport {
            connections,
            held,
            lost: self.lost,
            unfinished: connections.saturating_sub(held + self.lost),
            first: self.first.answers(),
            heartbeats: self.heartbeats.answers(),
            connect: self.connect.latency(),
            ramp_ms: last.map_or(0, |stage| stage.ramp_ms),
            hold_ms: last.map_or(0, |stage| stage.hold_ms),
            retries: self.retries,
            stages: self.stages.clone(),
            series: self.journal.series.clone(),
            faults: self.journal.faults.clone(),
        }
    }
}

/// How long after the rest began so many heartbeats are due.
fn beat_due_us(number: u128, interval_us: u128, connections: u32) -> u64 {
    let due_us = (number * interval_us).div_ceil(u128::from(connections.max(1)));
    u64::try_from(due_us).unwrap_or(u64::MAX)
}

/// How often a connect is tried again.
pub const RETRIES_MAX: u32 = 3;
/// The wait before the first time; four times as long before each further one.
const RETRY_US: u64 = 100_000;
/// How often what is due is looked for.
const TICK_US: u64 = 10_000;
/// Heartbeats nearer to each other than this are sent together.
const BEAT_PAUSE_US: u64 = 100;

#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
