//! Connections as they are seen from outside, while the workers go on: who there is, and whom to
//! close.
//!
//! A slot is read field by field; what is read is true of one moment each, and a slot whose
//! connection has changed meanwhile is passed over. A walk goes over [`SLOTS_AT_ONCE`] slots, then
//! lets the control thread do something else, so that two million slots delay nobody.

use std::net::SocketAddr;
use std::sync::Arc;

use longhold_conn::{Slot, State};
use longhold_transport::Token;

use crate::roster::Member;
use protocol::Protocol;

pub mod census;
pub mod close;
pub mod filter;
pub mod protocol;

#[cfg(test)]
mod tests;

/// One connection as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Its worker's number.
    pub worker: usize,
    /// Its slot.
    pub token: Token,
    /// Where it is in its life; never [`State::Free`].
    pub state: State,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Where it came in, by the listener's number.
    pub listener: u16,
    /// The peer's address.
    pub peer: SocketAddr,
    /// Since it was accepted, ms.
    pub age_ms: u64,
    /// Since bytes last moved, ms.
    pub idle_ms: u64,
    /// Requests so far.
    pub requests: u32,
}

impl Sight {
    /// What stands in a slot; `None` for none, or when it changed under the eyes.
    fn of(worker: usize, number: u32, slot: &Slot, now_ms: u64) -> Option<Self> {
        let state = slot.state();
        if state == State::Free {
            return None;
        }
        let generation = slot.generation();
        let sight = Self {
            worker,
            token: Token { slot: number, generation },
            state,
            protocol: Protocol::of(slot),
            listener: slot.listener(),
            peer: slot.peer(),
            age_ms: now_ms.saturating_sub(slot.accepted_ms()),
            idle_ms: now_ms.saturating_sub(slot.last_active_ms()),
            requests: slot.requests(),
        };
        (slot.generation() == generation && slot.state() != State::Free).then_some(sight)
    }
}

/// Shows `see` every connection of every worker, until it says that it has seen enough. Between
/// stretches of [`SLOTS_AT_ONCE`] slots it yields.
pub async fn walk(roster: &[Arc<Member>], mut see: impl FnMut(&Member, Sight) -> Going) {
    for (worker, member) in roster.iter().enumerate() {
        let mut first = 0;
        while first < member.slots.len() {
            let end = member.slots.len().min(first + SLOTS_AT_ONCE);
            let now_ms = member.now_ms();
            for number in first..end {
                let Some(slot) = member.slots.get(number) else { break };
                let Some(sight) = Sight::of(worker, number, slot, now_ms) else { continue };
                if see(member, sight) == Going::Enough {
                    return;
                }
            }
            first = end;
            tokio::task::yield_now().await;
        }
    }
}

/// Whether a walk goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    /// It goes on.
    On,
    /// It ends.
    Enough,
}

/// Slots that are looked at before others have a turn: some hundred microseconds.
pub const SLOTS_AT_ONCE: u32 = 8192;
