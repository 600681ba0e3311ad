//! The beginning of a connection: a slot, a handshake where the listener wants one, and a rest; or,
//! under pressure, its end.

use std::net::SocketAddr;

use longhold_conn::{CloseReason, State};
use longhold_telemetry::{Counter, Gauge};
use longhold_transport::{IoFault, ListenerId, Token, Transport};

use super::Worker;
use crate::outgoing::Outgoing;

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    pub(super) fn on_accepted(&mut self, listener: ListenerId, slot: u32, peer: SocketAddr) {
        let Some(cell) = self.slots.get(slot) else { return };
        // The transport gives a number out again only after `Closed`, which frees its slot.
        let shakes = self.shared.shakes_hands(listener.0);
        let now_ms = self.now_ms();
        let opened = match shakes {
            true => cell.open_shaking(peer, listener.0, now_ms),
            false => cell.open(peer, listener.0, now_ms),
        };
        if opened.is_err() {
            return;
        }
        cell.set_idle_ms(self.shared.timeouts.idle_ms);
        let token = Token { slot, generation: cell.generation() };
        self.books.open(slot);
        self.counters.add(Counter::ConnectionsAccepted, 1);
        let gauge = if shakes { Gauge::ConnectionsHandshaking } else { Gauge::ConnectionsActive };
        self.counters.raise(gauge, 1);
        let is_allowed = self.sources.as_mut().is_none_or(|known| known.enter(slot, peer.ip()));
        if !is_allowed {
            self.counters.add(Counter::ConnectionsRefusedSource, 1);
            self.close(token, CloseReason::Overload);
            return;
        }
        if !self.shared.pressure.admits_newcomer() {
            self.counters.add(Counter::ConnectionsRefusedPressure, 1);
            self.close(token, CloseReason::Overload);
            return;
        }
        if shakes {
            let deadline_ms = now_ms + self.shared.timeouts.handshake_ms;
            self.wheel.schedule(&self.slots, slot, deadline_ms);
            // It shakes hands under this park, which stays in force.
            return self.io.park(token);
        }
        self.wheel.schedule(&self.slots, slot, self.idle_deadline_ms(slot));
        self.park(token);
    }

    /// A handshake has ended: the connection is parked from here on, or at its end.
    pub(super) fn on_secured(&mut self, token: Token, result: Result<(), IoFault>) {
        let now_ms = self.now_ms();
        let Some(slot) = self.slots.get(token.slot) else { return };
        if slot.generation() != token.generation || slot.state() != State::Handshaking {
            return;
        }
        if let Err(fault) = result {
            return self.close(token, handshake_reason(fault));
        }
        if self.is_draining() {
            return self.close(token, CloseReason::Drained);
        }
        slot.touch(now_ms);
        slot.set_secure();
        self.counters.raise(Gauge::TlsConnections, 1);
        if slot.move_state(State::Handshaking, State::Parked).is_ok() {
            self.counters.lower(Gauge::ConnectionsHandshaking, 1);
            self.counters.raise(Gauge::ConnectionsParked, 1);
            self.wheel.schedule(&self.slots, token.slot, self.idle_deadline_ms(token.slot));
        }
    }
}

fn handshake_reason(fault: IoFault) -> CloseReason {
    match fault {
        // Its source has too many, or none are wanted just now.
        IoFault::Exhausted => CloseReason::Overload,
        IoFault::Insecure => CloseReason::HandshakeFailed,
        IoFault::Reset
        | IoFault::BrokenPipe
        | IoFault::TimedOut
        | IoFault::Refused
        | IoFault::Unreachable
        | IoFault::Cancelled
        | IoFault::BadMemory
        | IoFault::Other(_) => super::fault_reason(fault),
    }
}
