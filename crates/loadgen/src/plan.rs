//! What a load is to do, checked before it begins; and why it cannot be done.

use std::net::IpAddr;

use longhold_transport::TransportError;

use crate::arrivals::{Spacing, Step};
use crate::catalog::Catalog;
use crate::driver::Settings;
use crate::target::{CONNECTIONS_PER_SOURCE_MAX, Dialect, Sources, Target};
use crate::verify::Expectation;

/// What both loads have in common.
#[derive(Clone, Debug)]
pub struct Aim {
    /// Where the connections go, and what they ask for.
    pub target: Target,
    /// Addresses of this machine that connections come from, in turn. Without any the kernel
    /// chooses, and for many to a loopback address several of 127.0.0.0/8 are used.
    pub sources: Vec<IpAddr>,
    /// What every answer must be.
    pub expectation: Expectation,
    /// How long a connect may take.
    pub connect_timeout_ms: u64,
    /// How long an answer may take, from the request to its last byte; and how much later than its
    /// interval an event may come.
    pub answer_timeout_ms: u64,
    /// How long the whole load may take, from its begin. What is not done by then stays undone
    /// and shows in the report.
    pub time_max_ms: u64,
}

impl Aim {
    /// Where so many connections come from.
    ///
    /// # Errors
    /// [`LoadError::Sources`].
    pub(crate) fn sources(&self, connections: u32) -> Result<Sources, LoadError> {
        Sources::new(self.target.address(), &self.sources, connections)
            .ok_or(LoadError::Sources { asked: connections })
    }

    /// An aim with the default timeouts: 5 s for a connect, 30 s for an answer, 10 minutes in all.
    pub fn new(target: Target) -> Self {
        let expectation = Expectation::of_target(&target);
        Self {
            target,
            sources: Vec::new(),
            expectation,
            connect_timeout_ms: 5_000,
            answer_timeout_ms: 30_000,
            time_max_ms: 600_000,
        }
    }
}

/// Open connections, one request each, then rest; in stages.
#[derive(Clone, Debug)]
pub struct HoldPlan {
    /// Target, expectation, timeouts.
    pub aim: Aim,
    /// Connections that stand in each stage, those of the stages before included: rising, 1 to
    /// [`HOLD_CONNECTIONS_MAX`].
    pub stages: Vec<u32>,
    /// Connects and requests under way at any time, 1 to [`ACTIVE_MAX`].
    pub active_max: u32,
    /// How long the connections of a stage rest once all of them are parked or lost.
    pub hold_ms: u64,
    /// While they rest: each connection makes a request once per this interval, spread evenly.
    pub heartbeat_ms: Option<u64>,
}

/// Requests one after another on each of a few connections (closed loop).
#[derive(Clone, Debug)]
pub struct RatePlan {
    /// Target, expectation, timeouts.
    pub aim: Aim,
    /// Connections, 1 to [`ACTIVE_MAX`].
    pub connections: u32,
    /// What is asked for, if it is not the target's own URL each time.
    pub catalog: Option<Catalog>,
    /// Answers that are verified but neither counted nor timed, at the beginning.
    pub warmup_requests: u64,
    /// When the load ends.
    pub end: End,
}

/// Requests by a schedule, whether or not the server keeps up (open loop).
#[derive(Clone, Debug)]
pub struct OpenPlan {
    /// Target, expectation, timeouts.
    pub aim: Aim,
    /// What is asked for, if it is not the target's own URL each time.
    pub catalog: Option<Catalog>,
    /// Connections, 1 to [`ACTIVE_MAX`]: so many requests can be under way at a time.
    pub connections: u32,
    /// Requests of the closed loop at the beginning; at least one on each connection.
    pub warmup_requests: u64,
    /// Rates, one after another: 1 to [`STEPS_MAX`].
    pub steps: Vec<Step>,
    /// How the requests of a rate are spread.
    pub spacing: Spacing,
    /// Where chance begins: the same gaps for the same seed.
    pub seed: u64,
}

/// The end of a closed loop, counted from the end of its warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// After this many requests.
    Requests(u64),
    /// After this time; what is under way then is still awaited.
    AfterMs(u64),
}

/// Why a load did not run, or not to its end. Faults of the server are no such reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// More or fewer connections than such a load can have.
    #[error("a load of this kind has between 1 and {max} connections, not {asked}")]
    Connections {
        /// What was asked for.
        asked: u32,
        /// The bound.
        max: u32,
    },
    /// More or fewer active connections than the driver can have.
    #[error("between 1 and {ACTIVE_MAX} connections can be active, not {asked}")]
    Active {
        /// What was asked for.
        asked: u32,
    },
    /// A stage adds to those before it.
    #[error("each stage of a hold has more connections than the one before")]
    Stages,
    /// A heartbeat of zero would never rest.
    #[error("a heartbeat interval is at least a millisecond, and event streams have none")]
    Heartbeat,
    /// The target cannot be reached by so many connections from the addresses there are.
    #[error(
        "{asked} connections need more source addresses, of the target's kind: each has ports for \
         {CONNECTIONS_PER_SOURCE_MAX}"
    )]
    Sources {
        /// What was asked for.
        asked: u32,
    },
    /// Pieces, an interval or a burst without bound, or none.
    #[error("pieces have up to 65,536 bytes, bursts 1 to 1,024 requests, no interval is 0")]
    Storm,
    /// Waves of nothing, or within no time.
    #[error("between 1 and {WAVES_MAX} waves, each within a millisecond or more")]
    Waves,
    /// A schedule of nothing, or one that is longer than the load may take.
    #[error(
        "an open loop has between 1 and {STEPS_MAX} steps, each of a rate and a time that are not \
         0, and they fit the time limit"
    )]
    Steps,
    /// The transport was made for fewer connections.
    #[error("the transport has {slots} slots for {asked} connections")]
    Slots {
        /// Slots there are.
        slots: u32,
        /// Connections asked for.
        asked: u32,
    },
    /// The transport failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// Instants of a run at which an observer may want to sample the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the first connection.
    Begin,
    /// A closed loop begins to count.
    WarmedUp,
    /// A closed loop has counted its last answer.
    Counted,
    /// All connections of a hold's last stage are parked or lost.
    Parked,
    /// The last stage is over; the connections are still there.
    Held,
}

impl HoldPlan {
    /// Connections of the last stage.
    pub(crate) fn connections(&self) -> u32 {
        self.stages.last().copied().unwrap_or(0)
    }

    pub(crate) fn settings(&self) -> Result<Settings, LoadError> {
        check_connections(self.connections(), HOLD_CONNECTIONS_MAX)?;
        if !self.stages.is_sorted_by(|a, b| a < b) {
            return Err(LoadError::Stages);
        }
        let hears = self.aim.target.dialect() == Dialect::Events;
        if self.heartbeat_ms == Some(0) || hears && self.heartbeat_ms.is_some() {
            return Err(LoadError::Heartbeat);
        }
        if !(1..=ACTIVE_MAX).contains(&self.active_max) {
            return Err(LoadError::Active { asked: self.active_max });
        }
        let active_max = self.active_max.min(self.connections());
        Ok(settings(&self.aim, self.connections(), active_max))
    }
}

impl RatePlan {
    pub(crate) fn settings(&self) -> Result<Settings, LoadError> {
        check_connections(self.connections, ACTIVE_MAX)?;
        Ok(settings(&self.aim, self.connections, self.connections))
    }
}

impl OpenPlan {
    pub(crate) fn settings(&self) -> Result<Settings, LoadError> {
        check_connections(self.connections, ACTIVE_MAX)?;
        let is_some = |step: &Step| step.per_second > 0 && step.for_ms > 0;
        let for_ms = self.steps.iter().try_fold(0_u64, |sum, step| sum.checked_add(step.for_ms));
        let fits = for_ms.is_some_and(|for_ms| for_ms < self.aim.time_max_ms);
        let counts = (1..=STEPS_MAX).contains(&self.steps.len());
        if !counts || !fits || !self.steps.iter().all(is_some) {
            return Err(LoadError::Steps);
        }
        Ok(settings(&self.aim, self.connections, self.connections))
    }
}

pub(crate) fn check_connections(asked: u32, max: u32) -> Result<(), LoadError> {
    if (1..=max).contains(&asked) { Ok(()) } else { Err(LoadError::Connections { asked, max }) }
}

pub(crate) fn settings(aim: &Aim, connections: u32, active_max: u32) -> Settings {
    let share = RECEIVE_MEMORY_BYTES / active_max as usize;
    Settings {
        connections,
        active_max,
        receive_bytes: share.clamp(RECEIVE_BYTES_MIN, RECEIVE_BYTES_MAX),
        connect_timeout_ms: aim.connect_timeout_ms,
        answer_timeout_ms: aim.answer_timeout_ms,
    }
}

/// Most connections of a hold.
pub const HOLD_CONNECTIONS_MAX: u32 = 4_000_000;
/// Most waves of reconnects.
pub const WAVES_MAX: u32 = 1000;
/// Most steps of an open loop: each has 36 KiB of histograms.
pub const STEPS_MAX: usize = 64;
/// Most connects and requests under way at a time: each has a receive buffer.
pub const ACTIVE_MAX: u32 = 4096;

/// Receive buffers share this much, as far as each has its minimum.
const RECEIVE_MEMORY_BYTES: usize = 64 << 20;
/// Room for the largest head.
const RECEIVE_BYTES_MIN: usize = 32 << 10;
/// More would not make a receive cheaper.
const RECEIVE_BYTES_MAX: usize = 256 << 10;
