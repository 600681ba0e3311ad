//! The end of a connection, and the end of them all.

use longhold_conn::{CloseReason, State};
use longhold_telemetry::{Counter, Gauge};
use longhold_transport::{AcceptError, Token, Transport};

use super::Worker;
use crate::outgoing::Outgoing;

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    /// Ends a live connection: what it borrowed goes back, what is in flight ends first, then the
    /// slot is freed by `Closed`.
    pub(super) fn close(&mut self, token: Token, reason: CloseReason) {
        let Some(slot) = self.slots.get(token.slot) else { return };
        if slot.generation() != token.generation {
            return;
        }
        let from = slot.state();
        if !matches!(from, State::Active | State::Parked) {
            return;
        }
        if let Some(index) = slot.active() {
            slot.set_active(None);
            self.close_draft(index, Some(reason));
            if let Some(mut active) = self.actives.close(index) {
                if let Some(upload) = active.upload.take() {
                    upload.abort();
                }
                self.resting_count -= u32::from(active.rest_since_ms.is_some());
                self.drop_buffer(active.input.take());
                let queued = active.queued.take().and_then(Outgoing::into_buffer);
                self.drop_buffer(queued);
            }
        }
        let Some(slot) = self.slots.get(token.slot) else { return };
        if slot.move_state(from, State::Closing).is_ok() {
            let gauge = match from {
                State::Parked => Gauge::ConnectionsParked,
                State::Free | State::Handshaking | State::Active | State::Closing => {
                    Gauge::ConnectionsActive
                }
            };
            self.counters.lower(gauge, 1);
        }
        slot.set_close_reason(reason);
        self.counters.add(closed_counter(reason), 1);
        self.wheel.cancel(&self.slots, token.slot);
        self.io.close(token);
    }

    pub(super) fn on_closed(&mut self, token: Token) {
        let Some(slot) = self.slots.get(token.slot) else { return };
        if slot.generation() == token.generation && slot.release().is_ok() {
            self.open_count = self.open_count.saturating_sub(1);
        }
    }

    /// First signal: no new connections, parked ones close, exchanges in progress end and then
    /// close. Costs O(slots) once.
    pub fn begin_drain(&mut self) {
        if self.draining {
            return;
        }
        self.draining = true;
        self.io.stop_accepting();
        for index in self.actives.indices().collect::<Vec<_>>() {
            if let Some(active) = self.actives.get_mut(index) {
                active.conn.close_after_response();
            }
        }
        for slot in 0..self.slots.len() {
            let Some(cell) = self.slots.get(slot) else { continue };
            let idle = match (cell.state(), cell.active()) {
                (State::Parked, _) => true,
                (State::Active, Some(index)) => self.is_between_requests(index),
                (State::Active, None) | (State::Free | State::Handshaking | State::Closing, _) => {
                    false
                }
            };
            if idle {
                let token = Token { slot, generation: cell.generation() };
                self.close(token, CloseReason::Drained);
            }
        }
    }

    /// Active, yet not one byte of a request has come.
    fn is_between_requests(&self, index: u32) -> bool {
        self.actives.get(index).is_some_and(|active| {
            !active.draft.is_open && active.head_since_ms.is_none() && !active.sending
        })
    }
}

/// The counter of a connection that was not accepted.
pub(super) fn refused_counter(error: AcceptError) -> Counter {
    match error {
        AcceptError::TableFull => Counter::ConnectionsRefusedTable,
        AcceptError::Descriptors => Counter::ConnectionsRefusedDescriptors,
        AcceptError::Memory => Counter::ConnectionsRefusedMemory,
        AcceptError::Aborted | AcceptError::Forbidden | AcceptError::Other(_) => {
            Counter::ConnectionsRefusedFault
        }
    }
}

fn closed_counter(reason: CloseReason) -> Counter {
    match reason {
        CloseReason::PeerClosed => Counter::ConnectionsClosedPeer,
        CloseReason::IdleTimeout => Counter::ConnectionsClosedIdle,
        CloseReason::HeadTimeout
        | CloseReason::BodyTimeout
        | CloseReason::SendTimeout
        | CloseReason::LingerTimeout => Counter::ConnectionsClosedTimeout,
        CloseReason::Rejected | CloseReason::BodyUnread => Counter::ConnectionsClosedRejected,
        CloseReason::Drained => Counter::ConnectionsClosedDrained,
        CloseReason::ResponseEnded => Counter::ConnectionsClosedResponse,
        CloseReason::PeerAborted | CloseReason::PeerReset | CloseReason::OriginFailed => {
            Counter::ConnectionsClosedAborted
        }
        CloseReason::IoFault | CloseReason::StoreFault => Counter::ConnectionsClosedFault,
        CloseReason::Overload => Counter::ConnectionsClosedOverload,
        CloseReason::OriginClosed => Counter::ConnectionsClosedOrigin,
        CloseReason::TunnelLifetime => Counter::ConnectionsClosedLifetime,
    }
}
