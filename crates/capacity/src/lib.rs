//! A sizing and cost model: from a load to machines and money.
//!
//! # What it is
//! ```text
//! Load ─────────┐
//! Machine ──────┼─► Demand ──► Fleet ──► Bill ──┐
//! Coefficients ─┘   cores,     machines  money  ├─► Return
//!   ▲               memory,                     │
//!   └ measurements  flows            other Bill ┘
//! ```
//! [`Study::of`] does all of it; [`Report`] tells it as text, JSON or a page. A coefficient is a
//! [`Range`] with its source, and so is every figure that follows from it.
//!
//! ```
//! use longhold_capacity::{Busy, Coefficients, Load, Machine, Prices, Question, Study};
//!
//! let question = Question {
//!     load: Load { connections: 2e6, requests_per_s: 50e3, ..Load::default() },
//!     machine: Machine::default(),
//!     prices: Prices::default(),
//!     busy: Busy::Planned,
//! };
//! let study = Study::of("this edge", &question, &Coefficients::longhold()).unwrap();
//! assert!(study.fleet.total.low >= 2.0, "one for the load, one to spare");
//! ```
//!
//! # What it is not
//! It measures nothing and reads no file: measurements come as arguments. It is a model of steady
//! load at its peak: no queueing delay, no storm of reconnects, no failing disk. It counts with
//! independent events and with every machine serving all objects.
//!
//! # Invariants
//! - **CP-1** No accepted input makes a panic, an infinity or what is no number; others are
//!   refused by name.
//! - **CP-2** Every range has `low ≤ likely ≤ high`.
//! - **CP-3** Every figure carries the sum that made it; value and sum come from one operation.
//! - **CP-4** More load never needs less of anything: cores, memory, flows, machines and costs
//!   never fall as connections, requests, sizes, heartbeats, TLS or misses rise.
//! - **CP-5** Every coefficient names its source.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod amount;
pub mod article;
pub mod calibrate;
pub mod coefficients;
pub mod cost;
pub mod fleet;
pub mod inputs;
pub mod model;
pub mod range;
pub mod render;
pub mod report;
pub mod unit;

pub use calibrate::{BeatCost, HitCost, MixedCost};
pub use coefficients::{Coefficients, Key, Peer};
pub use inputs::{Load, Machine, ObjectClass, Prices};
pub use model::Busy;
pub use range::Range;
pub use report::Report;
pub use unit::Unit;

use alloc::string::String;

use cost::Bill;
use fleet::{DoesNotFit, Fleet};
use inputs::BadInput;
use model::Demand;

/// What is asked: a load, the machines that are to carry it, and what they cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The load.
    pub load: Load,
    /// One of the machines.
    pub machine: Machine,
    /// The prices.
    pub prices: Prices,
    /// How busy its workers are.
    pub busy: Busy,
}

/// What a design needs for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Study {
    /// The design.
    pub name: String,
    /// Resource by resource.
    pub demand: Demand,
    /// In machines.
    pub fleet: Fleet,
    /// In money.
    pub bill: Bill,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Unanswered {
    /// An input cannot be meant.
    Input(BadInput),
    /// No number of such machines will do.
    Fit(DoesNotFit),
}

impl core::fmt::Display for Unanswered {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Input(bad) => bad.fmt(out),
            Self::Fit(fault) => fault.fmt(out),
        }
    }
}

impl core::error::Error for Unanswered {}

impl Question {
    /// Whether it can be answered.
    ///
    /// # Errors
    /// The first input that cannot be meant.
    pub fn check(&self) -> Result<(), BadInput> {
        self.load.check()?;
        self.machine.check()?;
        self.prices.check()?;
        self.busy.check()
    }
}

impl Study {
    /// The answer for a design.
    ///
    /// # Errors
    /// An input that cannot be meant, or machines of which no number will do.
    pub fn of(name: &str, question: &Question, table: &Coefficients) -> Result<Self, Unanswered> {
        question.check().map_err(Unanswered::Input)?;
        let Question { load, machine, prices, busy } = question;
        let demand = Demand::of(load, machine, table, *busy);
        let fleet = Fleet::of(&demand, machine, table).map_err(Unanswered::Fit)?;
        let bill = Bill::of(name, &fleet, prices, table);
        Ok(Self { name: name.into(), demand, fleet, bill })
    }
}
