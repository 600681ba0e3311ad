//! Closing connections by a filter, by order of the admin plane.

use std::sync::Arc;

use longhold_conn::CloseReason;
use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::{Going, walk};
use crate::roster::Member;

/// What an order to close has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// Connections that are being closed.
    pub closed: u64,
    /// No more of them are left; else the order may be given again.
    pub complete: bool,
}

/// Has the connections closed that `filter` takes, at most [`CLOSES_MAX`] of them, and so many at a
/// time as the workers keep up with.
pub async fn close(roster: &[Arc<Member>], filter: &Filter) -> Closed {
    let mut outcome = Closed { closed: 0, complete: true };
    walk(roster, |member, sight| {
        if !filter.takes(&sight) {
            return Going::On;
        }
        if outcome.closed == CLOSES_MAX || member.closes_waiting() >= WAITING_MAX {
            outcome.complete = false;
            return Going::Enough;
        }
        outcome.closed += u64::from(member.close(sight.token, CloseReason::Ordered));
        Going::On
    })
    .await;
    outcome
}

/// Connections that one order closes.
pub const CLOSES_MAX: u64 = 100_000;
/// Orders that may wait at one worker.
const WAITING_MAX: usize = 8192;
