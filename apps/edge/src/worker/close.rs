//! The end of a connection.

use longhold_conn::{CloseReason, State};
use longhold_telemetry::{Counter, Gauge};
use longhold_transport::{AcceptError, Token, Transport};

use super::Worker;
use crate::inbox::CloseOrder;
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
        if !matches!(from, State::Active | State::Parked | State::Handshaking) {
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
                self.drop_opening(active.opening.take(), reason);
            }
        }
        let Some(slot) = self.slots.get(token.slot) else { return };
        // Else somebody outside was first, and his order is in the inbox.
        if slot.move_state(from, State::Closing).is_ok() {
            self.finish_close(token, from, reason);
        }
    }

    /// The connection is closing, and was in `from`: counts it, and closes its socket. Half of a
    /// tunnel takes the other half with it.
    fn finish_close(&mut self, token: Token, from: State, reason: CloseReason) {
        let pair = self.pair_of(token);
        if let Some(slot) = self.slots.get(token.slot) {
            slot.set_close_reason(reason);
            if slot.is_secure() {
                self.counters.lower(Gauge::TlsConnections, 1);
            }
        }
        if let Some(gauge) = state_gauge(from) {
            self.counters.lower(gauge, 1);
        }
        self.counters.raise(Gauge::ConnectionsClosing, 1);
        self.counters.add(closed_counter(reason), 1);
        self.wheel.cancel(&self.slots, token.slot);
        self.io.close(token);
        if let Some(pair) = pair {
            self.part(&pair, reason);
        }
    }

    /// Carries out what others have ordered to be closed, so many a turn.
    pub(super) fn take_closes(&mut self) {
        let mut orders = std::mem::take(&mut self.scratch.closes);
        if self.inbox.take_closes(CLOSES_MAX, &mut orders) {
            self.inbox.wake();
        }
        for CloseOrder { token, reason, is_moved } in orders.drain(..) {
            let Some(slot) = self.slots.get(token.slot) else { continue };
            if !is_moved {
                self.close(token, reason);
            } else if slot.generation() == token.generation && slot.state() == State::Closing {
                self.finish_close(token, State::Parked, reason);
            }
        }
        self.scratch.closes = orders;
    }

    pub(super) fn on_closed(&mut self, token: Token) {
        let Some(slot) = self.slots.get(token.slot) else { return };
        if slot.generation() == token.generation && slot.release().is_ok() {
            self.books.release(token.slot);
            if let Some(sources) = &mut self.sources {
                sources.leave(token.slot, slot.peer().ip());
            }
            self.counters.lower(Gauge::ConnectionsClosing, 1);
        }
    }
}

/// The gauge of a state; none for free slots.
pub(super) const fn state_gauge(state: State) -> Option<Gauge> {
    match state {
        State::Free => None,
        State::Handshaking => Some(Gauge::ConnectionsHandshaking),
        State::Parked => Some(Gauge::ConnectionsParked),
        State::Active => Some(Gauge::ConnectionsActive),
        State::Closing => Some(Gauge::ConnectionsClosing),
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

/// The counter of a reason: its row has the reason's name.
pub(crate) const fn closed_counter(reason: CloseReason) -> Counter {
    match reason {
        CloseReason::PeerClosed => Counter::ClosedPeerClosed,
        CloseReason::PeerReset => Counter::ClosedPeerReset,
        CloseReason::PeerAborted => Counter::ClosedPeerAborted,
        CloseReason::IdleTimeout => Counter::ClosedIdleTimeout,
        CloseReason::HeadTimeout => Counter::ClosedHeadTimeout,
        CloseReason::BodyTimeout => Counter::ClosedBodyTimeout,
        CloseReason::SendTimeout => Counter::ClosedSendTimeout,
        CloseReason::LingerTimeout => Counter::ClosedLingerTimeout,
        CloseReason::Rejected => Counter::ClosedRejected,
        CloseReason::BodyUnread => Counter::ClosedBodyUnread,
        CloseReason::Drained => Counter::ClosedDrained,
        CloseReason::ResponseEnded => Counter::ClosedResponseEnded,
        CloseReason::OriginFailed => Counter::ClosedOriginFailed,
        CloseReason::IoFault => Counter::ClosedIoFault,
        CloseReason::StoreFault => Counter::ClosedStoreFault,
        CloseReason::Overload => Counter::ClosedOverload,
        CloseReason::Ordered => Counter::ClosedOrdered,
        CloseReason::HandshakeTimeout => Counter::ClosedHandshakeTimeout,
        CloseReason::HandshakeFailed => Counter::ClosedHandshakeFailed,
        CloseReason::TlsBroken => Counter::ClosedTlsBroken,
        CloseReason::OriginClosed => Counter::ClosedOriginClosed,
        CloseReason::TunnelLifetime => Counter::ClosedTunnelLifetime,
    }
}

/// Orders to close that are carried out in one turn of the loop: a cancel may cost 50 µs.
const CLOSES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_counter_of_its_name() {
        for reason in CloseReason::ALL {
            let row = closed_counter(*reason).row();
            assert_eq!(row.name, "longhold_connections_closed_total");
            assert_eq!(row.label, Some(("reason", reason.name())));
        }
    }
}
