//! Waves of reconnects: many connections, each with a verified answer, all dropped at once, and
//! all back again within a time.
//!
//! ```text
//!  connect → request → verify → park     all closed        the same again
//!  ├──────── within_ms or longer ──────┤├──────────┤├──────────────────────── …
//! ```

use serde::Serialize;

use crate::dial::Dial;
use crate::driver::{Driver, Event};
use crate::fault::{Fault, FaultLog};
use crate::histogram::{Histogram, Latency};
use crate::journal::Journal;
use crate::plan::{
    ACTIVE_MAX, Aim, HOLD_CONNECTIONS_MAX, LoadError, WAVES_MAX, check_connections, settings,
};
use crate::series::{Counts, Observer, Series};
use crate::tally::{Answers, Tally};
use crate::target::Sources;
use crate::verify::Expectation;

/// Connections that come, all go at once, and come back.
#[derive(Clone, Debug)]
pub struct WavesPlan {
    /// Target, expectation, timeouts.
    pub aim: Aim,
    /// Connections of each wave.
    pub connections: u32,
    /// Waves, 1 to [`WAVES_MAX`].
    pub waves: u32,
    /// Their connects are spread over so long, as far as the server keeps up.
    pub within_ms: u64,
    /// Connects and requests under way at any time, 1 to [`ACTIVE_MAX`].
    pub active_max: u32,
}

/// What waves found.
#[derive(Clone, Debug, Serialize)]
pub struct WavesReport {
    /// Connections of each wave.
    pub connections: u32,
    /// Each wave, in order.
    pub waves: Vec<Wave>,
    /// Right answers of all waves.
    pub answers: Answers,
    /// From a connect to its completion.
    pub connect: Latency,
    /// All of it, second by second.
    pub series: Series,
    /// What went wrong.
    pub faults: FaultLog,
}

/// One wave.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Wave {
    /// Connections that stood, parked, when all had come.
    pub held: u32,
    /// Connections that failed, closed, or brought a wrong answer.
    pub lost: u32,
    /// From the first connect until each was held or lost.
    pub ramp_ms: u64,
    /// From the first close until all were closed.
    pub drop_ms: u64,
}

/// Runs waves on `transport`, telling `observer` how they go on.
///
/// # Errors
/// A plan that cannot be carried out, or a transport that fails.
pub fn waves<T: Dial + ?Sized>(
    transport: &mut T,
    plan: &WavesPlan,
    observer: &mut dyn Observer,
) -> Result<WavesReport, LoadError> {
    check_connections(plan.connections, HOLD_CONNECTIONS_MAX)?;
    if !(1..=WAVES_MAX).contains(&plan.waves) || plan.within_ms == 0 {
        return Err(LoadError::Waves);
    }
    if !(1..=ACTIVE_MAX).contains(&plan.active_max) {
        return Err(LoadError::Active { asked: plan.active_max });
    }
    // Each wave has ports of its own: those of the last one are still in TIME-WAIT.
    let all = plan.connections.saturating_mul(plan.waves);
    let sources = plan.aim.sources(all)?;
    let settings = settings(&plan.aim, plan.connections, plan.active_max.min(plan.connections));
    let driver = Driver::new(transport, plan.aim.target.clone(), settings)?;
    let begin_us = driver.now_us();
    let mut sea = Sea {
        driver,
        plan,
        sources,
        deadline_us: begin_us + plan.aim.time_max_ms * 1000,
        wave: Wave::default(),
        expectation: plan.aim.expectation,
        tally: Tally::default(),
        connect: Histogram::default(),
        lost: 0,
        journal: Journal::new(begin_us, observer),
    };
    let mut waves = Vec::new();
    for number in 0..plan.waves {
        waves.push(sea.roll(number)?);
    }
    Ok(WavesReport {
        connections: plan.connections,
        waves,
        answers: sea.tally.answers(),
        connect: sea.connect.latency(),
        series: sea.journal.series,
        faults: sea.journal.faults,
    })
}

struct Sea<'t, 'p, T: Dial + ?Sized> {
    driver: Driver<'t, T>,
    plan: &'p WavesPlan,
    sources: Sources,
    deadline_us: u64,
    wave: Wave,
    expectation: Expectation,
    tally: Tally,
    connect: Histogram,
    /// Connections lost in all waves.
    lost: u64,
    journal: Journal<'p>,
}

impl<T: Dial + ?Sized> Sea<'_, '_, T> {
    /// One wave, from its first connect to its last close.
    fn roll(&mut self, number: u32) -> Result<Wave, LoadError> {
        self.wave = Wave::default();
        let count = self.plan.connections;
        let since_us = self.driver.now_us();
        let mut opened = 0;
        loop {
            let now_us = self.driver.now_us();
            let elapsed_ms = u128::from(now_us - since_us) / 1000;
            let due = elapsed_ms * u128::from(count) / u128::from(self.plan.within_ms);
            let due = u32::try_from(due + 1).unwrap_or(count).min(count);
            while opened < due && self.connect(opened, number) {
                opened += 1;
            }
            let settled = self.wave.held + self.wave.lost;
            if settled >= count || now_us >= self.deadline_us {
                break;
            }
            self.turn(now_us + TICK_US)?;
        }
        // Those that fell while the others were still coming are told as lost only.
        self.wave.held = (0..count).filter(|&index| self.driver.is_parked(index)).count() as u32;
        let came_us = self.driver.now_us();
        self.journal.mark(came_us, self.counts());
        self.driver.close_all()?;
        let gone_us = self.driver.now_us();
        self.wave.ramp_ms = (came_us - since_us) / 1000;
        self.wave.drop_ms = (gone_us - came_us) / 1000;
        Ok(self.wave)
    }

    fn connect(&mut self, connection: u32, wave: u32) -> bool {
        let number = connection + wave * self.plan.connections;
        self.driver.connect(connection, self.sources.of(number))
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
            // Nobody asks for events here.
            Event::Heard { .. } => {}
            Event::Connected { latency_us, .. } => self.connect.record(latency_us),
            Event::Answered { connection, answer, latency_us } => {
                match self.tally.take(&mut self.expectation, &answer, latency_us) {
                    Ok(()) if answer.reusable => {
                        self.journal.series.record(latency_us);
                        self.driver.park(connection);
                        self.wave.held += 1;
                    }
                    Ok(()) => self.lose(connection, Fault::CloseAnnounced),
                    Err(fault) => self.lose(connection, fault),
                }
                self.driver.set_length_bytes_max(self.expectation.length_bytes_max());
            }
            Event::Lost { connection, fault, parked } => {
                self.wave.held -= u32::from(parked);
                self.lose(connection, fault);
            }
            Event::Closed { .. } => {}
        }
    }

    fn lose(&mut self, connection: u32, fault: Fault) {
        self.journal.record(self.driver.now_us(), connection, fault);
        self.wave.lost += 1;
        self.lost += 1;
        self.driver.close(connection);
    }

    fn counts(&self) -> Counts {
        Counts {
            opened: self.connect.count(),
            held: u64::from(self.wave.held),
            lost: self.lost,
            answers: self.tally.count(),
            faults: self.journal.faults.total(),
        }
    }
}

/// How often due connects are looked for.
const TICK_US: u64 = 10_000;

#[cfg(test)]
mod tests;
