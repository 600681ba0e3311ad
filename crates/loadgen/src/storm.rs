//! Storms: peers by the thousand that behave badly, and what becomes of each of them.
//!
//! ```text
//!  plan ──► script: what each peer says, reads, and when it leaves
//!             │
//!           siege: connects them, plays the script      every peer ends in exactly one way:
//!             │                                          an ending, or a fault (LG-2)
//!           report: endings, statuses, bytes, how long they were borne
//! ```
//! A storm judges nothing: whether a peer that said nothing should have been closed by now is for
//! the reader of its report. [`waves`](crate::waves) are the storm of peers that behave well.
//!
//! Memory: 24 bytes per peer, 8 per slot, one pool of receive buffers (LG-3); pipelining holds a
//! reader and a buffer for each peer at a time. Time: [`StormPlan::lasts_ms`], then a drain and a
//! closing with bounds of their own (LG-4).

use longhold_transport::Transport;
use serde::Serialize;

use crate::fault::FaultLog;
use crate::histogram::Latency;
use crate::plan::{ACTIVE_MAX, Aim, HOLD_CONNECTIONS_MAX, LoadError, check_connections};
use crate::series::{Observer, Series};
use crate::target::{Outgoing, Sources};

mod exam;
mod script;
mod siege;
mod tallies;

pub use script::Manner;
use siege::Siege;
pub use tallies::{Ending, Endings};

/// Peers that behave badly.
#[derive(Clone, Debug)]
pub struct StormPlan {
    /// Target and timeouts. Only pipelining verifies answers.
    pub aim: Aim,
    /// How they behave.
    pub manner: Manner,
    /// How many there are in all, 1 to [`HOLD_CONNECTIONS_MAX`].
    pub peers: u32,
    /// How many there are at a time, 1 to `peers`; pipelining 1 to [`ACTIVE_MAX`].
    pub at_once: u32,
    /// How long they go on, from the begin. What stands then is closed, and told.
    pub lasts_ms: u64,
    /// Slow ones: how often each of them moves a piece.
    pub every_ms: u64,
    /// Slow ones: bytes of a piece, 1 to [`PIECE_BYTES_MAX`]. Slow readers read nothing with 0, and
    /// else no less than 16.
    pub piece_bytes: u32,
    /// Pipelining: requests that each peer sends at once, 1 to [`BURST_MAX`].
    pub burst: u32,
}

/// What became of them.
#[derive(Clone, Debug, Serialize)]
pub struct StormReport {
    /// How they behaved.
    pub manner: &'static str,
    /// Peers that there were to be.
    pub peers: u32,
    /// Peers that the end of the storm kept from beginning.
    pub unfinished: u32,
    /// Peers by how they ended, faults aside.
    pub endings: Endings,
    /// First answers by status, whatever became of the connection.
    pub statuses: std::collections::BTreeMap<u16, u64>,
    /// Answers of the right status, length and bytes (pipelining).
    pub verified: u64,
    /// Bytes that the peers sent.
    pub sent_bytes: u64,
    /// Bytes that they received.
    pub received_bytes: u64,
    /// From a connect to its completion.
    pub connect: Latency,
    /// How long those were borne that the server ended.
    pub borne: Latency,
    /// From the begin until all had ended, or the time was up.
    pub lasted_ms: u64,
    /// All of it, second by second: held are those that stand, lost those that the server ended or
    /// that failed.
    pub series: Series,
    /// What went wrong otherwise.
    pub faults: FaultLog,
}

/// Lets a storm loose on `transport` and waits for its end, telling `observer` how it goes on.
///
/// # Errors
/// A plan that cannot be carried out, or a transport that fails.
pub fn storm<T: Transport<Payload = Outgoing> + ?Sized>(
    transport: &mut T,
    plan: &StormPlan,
    observer: &mut dyn Observer,
) -> Result<StormReport, LoadError> {
    let sources = plan.check()?;
    let slots = transport.slot_count();
    if slots < plan.at_once {
        return Err(LoadError::Slots { slots, asked: plan.at_once });
    }
    Siege::new(transport, plan, sources, observer).run()
}

impl StormPlan {
    fn check(&self) -> Result<Sources, LoadError> {
        check_connections(self.peers, HOLD_CONNECTIONS_MAX)?;
        check_connections(self.at_once, self.peers)?;
        if self.manner == Manner::Pipelining && self.at_once > ACTIVE_MAX {
            return Err(LoadError::Active { asked: self.at_once });
        }
        let reads_slowly = self.manner == Manner::SlowReader;
        let piece_ok =
            self.piece_bytes <= PIECE_BYTES_MAX && (self.piece_bytes > 0 || reads_slowly);
        let burst_ok = (1..=BURST_MAX).contains(&self.burst);
        if !piece_ok || !burst_ok || self.every_ms == 0 {
            return Err(LoadError::Storm);
        }
        self.aim.sources(self.peers)
    }
}

/// Most bytes of a piece.
pub const PIECE_BYTES_MAX: u32 = 64 * 1024;
/// Most requests of a burst.
pub const BURST_MAX: u32 = 1024;

#[cfg(test)]
mod tests;
