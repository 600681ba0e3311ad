//! The open loop: requests become due by a schedule, whether or not the server keeps up.
//!
//! A latency begins when its request was due, not when it could be sent: a request whose turn
//! comes while all connections are busy waits, and its wait counts (no coordinated omission). So a
//! server that stands still for a second shows as a second to all who would have come in it.
//!
//! ```text
//!  due   │   │   │   │   │   │   │        a server that stops: those behind it wait, and
//!  sent  │   │   │           ││││         every wait is a part of its latency
//!  done   ┘   ┘   └─────────┘ ┘┘┘┘
//! ```
//! The connections are opened, and the cache is filled, by a closed loop that comes first and is
//! verified but not counted. One that ends, by announcement or fault, is opened again by the next
//! request that needs it, whose latency holds the connect. What was due and is not sent a second
//! after the schedule's end is told as unsent; what is under way then is awaited.
//!
//! The generator's own lateness counts, too, and is told by itself: the kernel wakes it some 50 µs
//! after the time it asked for, and later when it has no processor.

use std::collections::VecDeque;

use serde::Serialize;

use crate::answer::Answer;
use crate::arrivals::{Arrival, Arrivals, Spacing};
use crate::catalog::Asker;
use crate::dial::Dial;
use crate::driver::{Driver, Event};
use crate::fault::{Fault, FaultLog};
use crate::histogram::{Histogram, Latency};
use crate::journal::Journal;
use crate::plan::{LoadError, Moment, OpenPlan};
use crate::series::{Counts, Observer, Series};
use crate::tally::{Answers, Tally};
use crate::target::Sources;

/// What an open loop found. Of `scheduled`, each request is one of `answers`, `failed`, `unsent`
/// or `unanswered` (LG-6).
#[derive(Clone, Debug, Serialize)]
pub struct OpenReport {
    /// Connections of the loop.
    pub connections: u32,
    /// How requests were spread.
    pub spacing: Spacing,
    /// Chance's seed.
    pub seed: u64,
    /// URLs asked for.
    pub keys: u32,
    /// From the begin of the schedule to the last answer, in microseconds.
    pub elapsed_us: u64,
    /// Connections that ended since, by announcement or fault.
    pub ended: u64,
    /// All steps together.
    #[serde(flatten)]
    pub sum: OpenFigures,
    /// Each step by itself: a request belongs to the one in which it was due.
    pub steps: Vec<OpenStep>,
    /// All of it, second by second, warm-up included.
    pub series: Series,
    /// What went wrong, warm-up included.
    pub faults: FaultLog,
}

/// One step of an open loop.
#[derive(Clone, Debug, Serialize)]
pub struct OpenStep {
    /// Requests that became due per second.
    pub per_second: u32,
    /// For so long.
    pub for_ms: u64,
    /// What became of them.
    #[serde(flatten)]
    pub figures: OpenFigures,
}

/// What became of the requests of a schedule or of one step.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct OpenFigures {
    /// Requests that were due.
    pub scheduled: u64,
    /// Right answers, and their latencies from when each was due.
    pub answers: Answers,
    /// Right answers per second of the schedule.
    pub answers_per_s: f64,
    /// From when a request was due until it was sent, since no connection was free or the
    /// generator was late: a part of its latency.
    pub wait: Latency,
    /// The same of those requests for which a connection was free when they were due: how late
    /// the generator itself was.
    pub late: Latency,
    /// Requests that brought a fault.
    pub failed: u64,
    /// Requests that were due and never sent: no connection became free in time.
    pub unsent: u64,
    /// Requests that the time limit left without an answer.
    pub unanswered: u64,
}

/// Runs an open loop on `transport` to its end, telling `observer` each [`Moment`] as it comes,
/// and how it goes on.
///
/// # Errors
/// A plan that cannot be carried out, or a transport that fails. What the server does wrong is in
/// the report.
pub fn open<T: Dial + ?Sized>(
    transport: &mut T,
    plan: &OpenPlan,
    observer: &mut dyn Observer,
) -> Result<OpenReport, LoadError> {
    let settings = plan.settings()?;
    let sources = plan.aim.sources(plan.connections)?;
    let asker = Asker::new(plan.aim.expectation, plan.catalog.as_ref());
    let mut driver = Driver::new(transport, plan.aim.target.clone(), settings)?;
    driver.set_length_bytes_max(asker.length_bytes_max());
    let begin_us = driver.now_us();
    let mut open = Open {
        driver,
        plan,
        sources,
        asker,
        arrivals: Arrivals::new(&plan.steps, plan.spacing, plan.seed),
        zero_us: begin_us,
        deadline_us: begin_us + plan.aim.time_max_ms * 1000,
        ready: (0..plan.connections).collect(),
        ready_us: begin_us,
        asked: vec![None; plan.connections as usize],
        under_way: 0,
        ended: 0,
        sum: Count::default(),
        steps: plan.steps.iter().map(|_| Count::default()).collect(),
        counts: Counts::default(),
        journal: Journal::new(begin_us, observer),
    };
    open.journal.observe(Moment::Begin);
    open.warm_up()?;
    open.journal.observe(Moment::WarmedUp);
    open.play()?;
    let elapsed_us = open.driver.now_us() - open.zero_us;
    open.journal.observe(Moment::Counted);
    open.journal.mark(open.driver.now_us(), open.counts);
    open.driver.close_all()?;
    Ok(open.report(elapsed_us))
}

struct Open<'t, 'p, T: Dial + ?Sized> {
    driver: Driver<'t, T>,
    plan: &'p OpenPlan,
    sources: Sources,
    asker: Asker<'p>,
    /// What was not sent yet.
    arrivals: Arrivals,
    /// When the schedule begins.
    zero_us: u64,
    deadline_us: u64,
    /// Connections on which nothing is under way, the longest idle first.
    ready: VecDeque<u32>,
    /// Since when there is one.
    ready_us: u64,
    /// What each connection is being asked.
    asked: Vec<Option<Asked>>,
    under_way: u64,
    ended: u64,
    sum: Count,
    steps: Vec<Count>,
    counts: Counts,
    journal: Journal<'p>,
}

/// A request under way.
#[derive(Clone, Copy)]
struct Asked {
    key: u32,
    /// Of the schedule; `None` in the warm-up.
    arrival: Option<Arrival>,
}

/// What became of requests so far.
#[derive(Default)]
struct Count {
    sent: u64,
    tally: Tally,
    wait: Histogram,
    late: Histogram,
    failed: u64,
    unsent: u64,
}

impl<T: Dial + ?Sized> Open<'_, '_, T> {
    /// A closed loop that opens every connection.
    fn warm_up(&mut self) -> Result<(), LoadError> {
        let mut left = self.plan.warmup_requests.max(u64::from(self.plan.connections));
        while (left > 0 || self.under_way > 0) && self.driver.now_us() < self.deadline_us {
            while left > 0
                && let Some(connection) = self.ready.pop_front()
            {
                left -= u64::from(self.ask(connection, None));
            }
            self.turn(self.deadline_us)?;
        }
        self.ended = 0;
        self.zero_us = self.driver.now_us();
        Ok(())
    }

    /// Sends what becomes due until the schedule ends, and awaits what is under way.
    fn play(&mut self) -> Result<(), LoadError> {
        let end_us = self.plan.steps.iter().map(|step| step.for_ms * 1000).sum::<u64>();
        let end_us = self.zero_us.saturating_add(end_us + LEEWAY_US);
        loop {
            let now_us = self.driver.now_us();
            if now_us >= end_us {
                self.give_up();
            }
            self.send_due(now_us);
            let until_us = match self.arrivals.peek() {
                None if self.under_way == 0 => return Ok(()),
                None => self.deadline_us,
                Some(_) if self.ready.is_empty() => end_us,
                Some(arrival) => self.zero_us + arrival.at_us,
            };
            if now_us >= self.deadline_us {
                self.give_up();
                return Ok(());
            }
            self.turn(until_us.min(self.deadline_us))?;
        }
    }

    /// Sends every request that is due, as far as a connection is free for it.
    fn send_due(&mut self, now_us: u64) {
        while let Some(arrival) = self.arrivals.peek()
            && self.zero_us + arrival.at_us <= now_us
            && let Some(connection) = self.ready.pop_front()
        {
            if self.ask(connection, Some(arrival)) {
                self.arrivals.advance();
                let due_us = self.zero_us + arrival.at_us;
                let was_ready = self.ready_us <= due_us;
                self.count(arrival, |count| {
                    count.sent += 1;
                    count.wait.record(now_us - due_us);
                    if was_ready {
                        count.late.record(now_us - due_us);
                    }
                });
            }
        }
    }

    /// What was not sent by now never is.
    fn give_up(&mut self) {
        while let Some(arrival) = self.arrivals.peek() {
            self.arrivals.advance();
            self.count(arrival, |count| count.unsent += 1);
        }
    }

    /// Asks for the next key on a connection, which is opened if need be; false where it cannot
    /// be asked.
    fn ask(&mut self, connection: u32, arrival: Option<Arrival>) -> bool {
        let (key, question) = self.asker.draw(&self.plan.aim.target);
        let asks = self.driver.ask(connection, self.sources.of(connection), question);
        if asks && let Some(asked) = self.asked.get_mut(connection as usize) {
            *asked = Some(Asked { key, arrival });
            self.under_way += 1;
        }
        asks
    }

    fn turn(&mut self, until_us: u64) -> Result<(), LoadError> {
        let pulse_us = self.journal.pulse(self.driver.now_us(), self.counts);
        let turned = self.driver.turn(until_us.min(pulse_us));
        while let Some(event) = self.driver.next_event() {
            self.handle_event(event);
        }
        Ok(turned?)
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            // Nobody asks for events here.
            Event::Heard { .. } => {}
            Event::Connected { .. } => self.counts.stands(),
            Event::Answered { connection, answer, .. } => {
                self.finish(connection, Ok(answer));
                if answer.reusable {
                    self.be_ready(connection);
                } else {
                    self.counts.ends();
                    self.driver.close(connection);
                }
            }
            Event::Lost { connection, fault, .. } => {
                self.counts.is_lost(fault);
                self.finish(connection, Err(fault));
            }
            Event::Closed { connection } => {
                self.ended += 1;
                self.be_ready(connection);
            }
        }
    }

    fn be_ready(&mut self, connection: u32) {
        if self.ready.is_empty() {
            self.ready_us = self.driver.turn_us();
        }
        self.ready.push_back(connection);
    }

    /// One request less under way.
    fn finish(&mut self, connection: u32, outcome: Result<Answer, Fault>) {
        let asked = self.asked.get_mut(connection as usize).and_then(Option::take);
        self.under_way -= u64::from(asked.is_some());
        let key = asked.map_or(0, |asked| asked.key);
        let checked = outcome.and_then(|answer| self.asker.check(key, &answer).map(|()| answer));
        self.driver.set_length_bytes_max(self.asker.length_bytes_max());
        if let Err(fault) = checked {
            self.counts.faults += 1;
            self.journal.record(self.driver.now_us(), connection, fault);
        }
        self.counts.answers += u64::from(checked.is_ok());
        let Some(arrival) = asked.and_then(|asked| asked.arrival) else { return };
        let due_us = self.zero_us + arrival.at_us;
        let latency_us = self.driver.turn_us().saturating_sub(due_us);
        if checked.is_ok() {
            self.journal.series.record(latency_us);
        }
        self.count(arrival, |count| match &checked {
            Ok(answer) => count.tally.add(answer, latency_us),
            Err(_) => count.failed += 1,
        });
    }

    /// Counts something of a request, in its step and in the sum.
    fn count(&mut self, arrival: Arrival, add: impl Fn(&mut Count)) {
        add(&mut self.sum);
        if let Some(step) = self.steps.get_mut(arrival.step) {
            add(step);
        }
    }

    fn report(&self, elapsed_us: u64) -> OpenReport {
        let plan = self.plan;
        let steps = plan.steps.iter().zip(&self.steps).map(|(step, count)| OpenStep {
            per_second: step.per_second,
            for_ms: step.for_ms,
            figures: count.figures(step.for_ms),
        });
        OpenReport {
            connections: plan.connections,
            spacing: plan.spacing,
            seed: plan.seed,
            keys: plan.catalog.as_ref().map_or(1, |catalog| catalog.keys()),
            elapsed_us,
            ended: self.ended,
            sum: self.sum.figures(plan.steps.iter().map(|step| step.for_ms).sum()),
            steps: steps.collect(),
            series: self.journal.series.clone(),
            faults: self.journal.faults.clone(),
        }
    }
}

impl Count {
    fn figures(&self, for_ms: u64) -> OpenFigures {
        let answers = self.tally.answers();
        OpenFigures {
            scheduled: self.sent + self.unsent,
            answers,
            answers_per_s: answers.count as f64 * 1000.0 / for_ms.max(1) as f64,
            wait: self.wait.latency(),
            late: self.late.latency(),
            failed: self.failed,
            unsent: self.unsent,
            unanswered: self.sent - answers.count - self.failed,
        }
    }
}

/// How long what is due may still be sent when the schedule has ended: a short stall at the end
/// shows as latency, as any other does.
const LEEWAY_US: u64 = 1_000_000;

#[cfg(test)]
mod tests;
