//! The end of all connections: those that rest are closed in portions, so that the exchanges that
//! are still in progress wait for none of two million others.
//!
//! ```text
//! slots  0 ░░░░░░░░░░░░░░░░│················ end     ░ nothing rests here any more
//!                       swept ─► so many slots and so many closes a turn
//! ```
//! Behind that mark a connection that would rest closes instead, and one that wakes before it comes
//! to it is answered, and told that this was the last answer.

use longhold_conn::{CloseReason, State};
use longhold_transport::{Token, Transport};

use super::Worker;
use crate::outgoing::Outgoing;

/// How far a drain has come.
pub(super) struct Drain {
    /// Slots below this one have been looked at.
    swept: u32,
}

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    /// First signal: no new connections, parked ones and tunnels close, exchanges in progress
    /// end and then close.
    pub fn begin_drain(&mut self) {
        if self.is_draining() {
            return;
        }
        self.drain = Some(Drain { swept: 0 });
        self.io.stop_accepting();
        for index in self.actives.indices().collect::<Vec<_>>() {
            if let Some(active) = self.actives.get_mut(index) {
                active.conn.close_after_response();
            }
        }
    }

    /// A drain has begun.
    pub(super) fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// Now, while there are slots that a drain has not looked at: the next turn follows at once.
    pub(super) fn next_sweep_ms(&self) -> Option<u64> {
        let drain = self.drain.as_ref()?;
        (drain.swept < self.slots.len()).then(|| self.now_ms())
    }

    /// Closes a portion of what rests.
    pub(super) fn sweep(&mut self) {
        let Some(Drain { swept }) = self.drain else { return };
        let end = self.slots.len().min(swept.saturating_add(SLOTS_A_TURN));
        let mut closed = 0;
        let mut slot = swept;
        while slot < end && closed < CLOSES_A_TURN {
            if let Some(token) = self.is_at_rest(slot) {
                self.close(token, CloseReason::Drained);
                closed += 1;
            }
            slot += 1;
        }
        self.drain = Some(Drain { swept: slot });
    }

    /// The connection of a slot, if no exchange of it is in progress.
    fn is_at_rest(&self, slot: u32) -> Option<Token> {
        let cell = self.slots.get(slot)?;
        let rests = match (cell.state(), cell.active()) {
            (State::Parked | State::Handshaking, _) => true,
            (State::Active, None) => cell.partner().is_some(),
            (State::Active, Some(index)) => self.is_between_requests(index),
            (State::Free | State::Closing, _) => false,
        };
        rests.then(|| Token { slot, generation: cell.generation() })
    }

    /// Active, yet not one byte of a request has come.
    fn is_between_requests(&self, index: u32) -> bool {
        self.actives.get(index).is_some_and(|active| {
            !active.draft.is_open && active.head_since_ms.is_none() && !active.sending
        })
    }
}

/// Connections that a drain closes in one turn of the loop: a cancel may cost 50 µs.
const CLOSES_A_TURN: u32 = 64;

/// Slots that it looks at in one turn: 0.1 ms when all of them are free.
const SLOTS_A_TURN: u32 = 8192;
