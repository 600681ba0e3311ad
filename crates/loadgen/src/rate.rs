//! The closed loop: on each of a few connections, the next request follows the answer.
//!
//! Latencies of a closed loop tell how the server does under its own pace, not what clients that
//! come at theirs would see (coordinated omission); its purpose here is cost per request.
//!
//! A connection that the server closes after an announced close is opened again. One that meets
//! a fault that ends it is not, so a server that fails ends the load instead of spinning it.

use serde::Serialize;

use crate::catalog::Asker;
use crate::dial::Dial;
use crate::driver::{Driver, Event};
use crate::fault::{Fault, FaultLog};
use crate::journal::Journal;
use crate::plan::{End, LoadError, Moment, RatePlan};
use crate::series::{Counts, Observer, Series};
use crate::tally::{Answers, Tally};
use crate::target::Sources;

/// What a closed loop found.
#[derive(Clone, Debug, Serialize)]
pub struct RateReport {
    /// Connections of the loop.
    pub connections: u32,
    /// Right answers after the warm-up.
    pub answers: Answers,
    /// From the end of the warm-up to the last of those answers, in microseconds.
    pub elapsed_us: u64,
    /// Right answers per second.
    pub answers_per_s: f64,
    /// Connections opened again after an announced close.
    pub reopened: u64,
    /// Requests that the time limit left without an answer.
    pub unanswered: u64,
    /// All of it, second by second, warm-up included.
    pub series: Series,
    /// What went wrong, warm-up included.
    pub faults: FaultLog,
}

/// Runs a closed loop on `transport` to its end, telling `observer` each [`Moment`] as it comes,
/// and how it goes on.
///
/// # Errors
/// A plan that cannot be carried out, or a transport that fails. What the server does wrong is in
/// the report.
pub fn rate<T: Dial + ?Sized>(
    transport: &mut T,
    plan: &RatePlan,
    observer: &mut dyn Observer,
) -> Result<RateReport, LoadError> {
    let settings = plan.settings()?;
    let sources = plan.aim.sources(plan.connections)?;
    let driver = Driver::new(transport, plan.aim.target.clone(), settings)?;
    let begin_us = driver.now_us();
    let mut rate = Rate {
        driver,
        plan,
        sources,
        asker: Asker::new(plan.aim.expectation, plan.catalog.as_ref()),
        keys: vec![0; plan.connections as usize],
        counted_from_us: begin_us,
        deadline_us: begin_us + plan.aim.time_max_ms * 1000,
        counted_to_us: begin_us,
        warm: false,
        stopping: false,
        asked: 0,
        under_way: 0,
        handled: 0,
        closing: 0,
        reopened: 0,
        tally: Tally::default(),
        counts: Counts::default(),
        dead: vec![false; plan.connections as usize],
        journal: Journal::new(begin_us, observer),
    };
    rate.journal.observe(Moment::Begin);
    rate.run()?;
    rate.counted_to_us = rate.driver.now_us();
    rate.journal.observe(Moment::Counted);
    rate.journal.mark(rate.driver.now_us(), rate.counts);
    rate.driver.close_all()?;
    Ok(rate.report())
}

struct Rate<'t, 'p, T: Dial + ?Sized> {
    driver: Driver<'t, T>,
    plan: &'p RatePlan,
    sources: Sources,
    asker: Asker<'p>,
    /// What each connection was asked for last.
    keys: Vec<u32>,
    counted_from_us: u64,
    counted_to_us: u64,
    deadline_us: u64,
    /// The warm-up is over.
    warm: bool,
    /// No further request is made.
    stopping: bool,
    /// Requests made since the warm-up, or in it while it lasts.
    asked: u64,
    /// Requests whose answer is awaited.
    under_way: u64,
    /// Answers so far, right or wrong, warm-up included.
    handled: u64,
    /// Connections on their way to be opened again.
    closing: u32,
    reopened: u64,
    tally: Tally,
    counts: Counts,
    /// Connections that met a fault and are not opened again.
    dead: Vec<bool>,
    journal: Journal<'p>,
}

impl<T: Dial + ?Sized> Rate<'_, '_, T> {
    fn run(&mut self) -> Result<(), LoadError> {
        if self.plan.warmup_requests == 0 {
            self.start_counting();
        }
        for connection in 0..self.plan.connections {
            self.ask(connection);
        }
        while self.under_way > 0 || (self.closing > 0 && self.wants_more()) {
            let now_us = self.driver.now_us();
            if now_us >= self.deadline_us {
                return Ok(());
            }
            let end_us = self.end_us();
            self.stopping |= now_us >= end_us;
            let until_us = if self.stopping { self.deadline_us } else { end_us };
            self.turn(until_us)?;
        }
        Ok(())
    }

    fn turn(&mut self, until_us: u64) -> Result<(), LoadError> {
        let pulse_us = self.journal.pulse(self.driver.now_us(), self.counts);
        let turned = self.driver.turn(until_us.min(pulse_us));
        while let Some(event) = self.driver.next_event() {
            self.handle_event(event);
        }
        Ok(turned?)
    }

    /// Makes the next request, if there is to be one, on a connection that is idle or has just
    /// answered.
    fn ask(&mut self, connection: u32) {
        if !self.wants_more() {
            return;
        }
        let (key, question) = self.asker.draw(&self.plan.aim.target);
        if self.driver.ask(connection, self.sources.of(connection), question) {
            if let Some(asked) = self.keys.get_mut(connection as usize) {
                *asked = key;
            }
            self.asked += 1;
            self.under_way += 1;
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            // Nobody asks for events here.
            Event::Heard { .. } => {}
            Event::Connected { .. } => self.counts.stands(),
            Event::Answered { connection, answer, latency_us } => {
                self.under_way = self.under_way.saturating_sub(1);
                self.handled += 1;
                let key = self.keys.get(connection as usize).copied().unwrap_or_default();
                match self.asker.check(key, &answer) {
                    Ok(()) => {
                        self.tally.add(&answer, latency_us);
                        self.counts.answers += 1;
                        self.journal.series.record(latency_us);
                    }
                    Err(fault) => self.record(connection, fault),
                }
                self.driver.set_length_bytes_max(self.asker.length_bytes_max());
                if !self.warm && self.handled >= self.plan.warmup_requests {
                    self.start_counting();
                }
                if answer.reusable {
                    self.ask(connection);
                } else {
                    self.closing += 1;
                    self.counts.ends();
                    self.driver.close(connection);
                }
            }
            Event::Lost { connection, fault, .. } => {
                self.under_way = self.under_way.saturating_sub(1);
                self.record(connection, fault);
                self.counts.is_lost(fault);
                if let Some(dead) = self.dead.get_mut(connection as usize) {
                    *dead = true;
                }
            }
            Event::Closed { connection } => {
                let dead = self.dead.get(connection as usize).copied().unwrap_or(true);
                if !dead {
                    self.closing = self.closing.saturating_sub(1);
                    self.reopened += u64::from(self.wants_more());
                    self.ask(connection);
                }
            }
        }
    }

    fn start_counting(&mut self) {
        self.warm = true;
        self.tally = Tally::default();
        self.asked = self.under_way;
        self.reopened = 0;
        self.counted_from_us = self.driver.now_us();
        self.journal.observe(Moment::WarmedUp);
    }

    /// Whether any further request is to be made.
    fn wants_more(&self) -> bool {
        let spent = match self.plan.end {
            End::Requests(count) => self.warm && self.asked >= count,
            End::AfterMs(_) => false,
        };
        !self.stopping && !spent
    }

    /// When the loop stops asking, as far as that is a matter of time.
    fn end_us(&self) -> u64 {
        match self.plan.end {
            End::AfterMs(ms) if self.warm => self.deadline_us.min(self.counted_from_us + ms * 1000),
            End::AfterMs(_) | End::Requests(_) => self.deadline_us,
        }
    }

    fn record(&mut self, connection: u32, fault: Fault) {
        self.counts.faults += 1;
        self.journal.record(self.driver.now_us(), connection, fault);
    }

    fn report(&self) -> RateReport {
        let answers = self.tally.answers();
        let elapsed_us = (self.counted_to_us - self.counted_from_us).max(1);
        RateReport {
            connections: self.plan.connections,
            answers,
            elapsed_us,
            answers_per_s: answers.count as f64 * 1e6 / elapsed_us as f64,
            reopened: self.reopened,
            unanswered: self.under_way,
            series: self.journal.series.clone(),
            faults: self.journal.faults.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
