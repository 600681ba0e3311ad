//! When the requests of an open loop are due: a rate per step, evenly or as independent clients
//! come.
//!
//! Pure, and nothing is stored: who is behind asks for the next arrival later, and it still tells
//! when it was due.
//!
//! ```text
//!  step 0: 4 per second        step 1: 8 per second
//!  ├──|──────|──────|──────|──┼|───|───|───|───|───|───|──┤
//! ```

use crate::chance::{Chance, Use};

/// A rate and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Requests that become due per second.
    pub per_second: u32,
    /// For so long.
    pub for_ms: u64,
}

/// How requests of one rate are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Spacing {
    /// All gaps are equal.
    Constant,
    /// As clients come who know nothing of each other: gaps are distributed exponentially.
    Poisson,
}

/// One request of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// When it is due, from the begin of the schedule.
    pub(crate) at_us: u64,
    /// The step that it belongs to.
    pub(crate) step: usize,
}

/// The requests of a schedule in the order in which they are due.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    steps: Vec<Step>,
    spacing: Spacing,
    chance: Chance,
    step: usize,
    /// When the current step began.
    step_us: u64,
    /// Requests of the current step so far.
    number: u64,
    /// When the latest of them was due after its begin, if gaps are left to chance.
    offset_us: f64,
    next: Option<Arrival>,
}

impl Arrivals {
    /// A schedule of these steps, one after another.
    pub(crate) fn new(steps: &[Step], spacing: Spacing, seed: u64) -> Self {
        let mut arrivals = Self {
            steps: steps.to_vec(),
            spacing,
            chance: Chance::new(seed, Use::Arrivals),
            step: 0,
            step_us: 0,
            number: 0,
            offset_us: 0.0,
            next: None,
        };
        arrivals.advance();
        arrivals
    }

    /// The next request; `None` after the last.
    pub(crate) fn peek(&self) -> Option<Arrival> {
        self.next
    }

    /// Goes on to the request after the next.
    pub(crate) fn advance(&mut self) {
        self.next = None;
        while let Some(step) = self.steps.get(self.step).copied() {
            let offset_us = self.draw(step);
            let for_us = step.for_ms * 1000;
            if offset_us < for_us {
                self.next = Some(Arrival { at_us: self.step_us + offset_us, step: self.step });
                return;
            }
            self.step += 1;
            self.step_us += for_us;
            (self.number, self.offset_us) = (0, 0.0);
        }
    }

    /// When the current step's next request is due after its begin; maybe not in it any more.
    fn draw(&mut self, step: Step) -> u64 {
        let rate = step.per_second.max(1);
        match self.spacing {
            Spacing::Constant => {
                let offset_us = u128::from(self.number) * 1_000_000 / u128::from(rate);
                self.number += 1;
                u64::try_from(offset_us).unwrap_or(u64::MAX)
            }
            Spacing::Poisson => {
                self.offset_us += self.chance.gap(1e6 / f64::from(rate));
                self.offset_us as u64
            }
        }
    }
}

#[cfg(test)]
mod tests;
