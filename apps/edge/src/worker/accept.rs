//! The beginning of a connection: a slot, and a rest; or, under pressure, its end.

use std::net::SocketAddr;

use longhold_conn::CloseReason;
use longhold_telemetry::{Counter, Gauge};
use longhold_transport::{ListenerId, Token, Transport};

use super::Worker;
use crate::outgoing::Outgoing;

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    pub(super) fn on_accepted(&mut self, listener: ListenerId, slot: u32, peer: SocketAddr) {
        let Some(cell) = self.slots.get(slot) else { return };
        // The transport gives a number out again only after `Closed`, which frees its slot.
        if cell.open(peer, listener.0, self.now_ms()).is_err() {
            return;
        }
        cell.set_idle_ms(self.shared.timeouts.idle_ms);
        let token = Token { slot, generation: cell.generation() };
        self.books.open(slot);
        self.counters.add(Counter::ConnectionsAccepted, 1);
        self.counters.raise(Gauge::ConnectionsActive, 1);
        if self.shared.pressure.refuses_newcomers() {
            self.counters.add(Counter::ConnectionsRefusedPressure, 1);
            self.close(token, CloseReason::Overload);
            return;
        }
        self.wheel.schedule(&self.slots, slot, self.idle_deadline_ms(slot));
        self.park(token);
    }
}
