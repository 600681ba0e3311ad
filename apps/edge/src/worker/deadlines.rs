//! Deadlines: one link in the wheel per connection, and what to do when it comes up.
//!
//! The wheel holds a lower bound only. When it fires, the true deadline is worked out from the
//! slot and the active record; if bytes have moved since, the slot goes back into the wheel. So a
//! busy connection never touches the wheel.

use longhold_conn::{CloseReason, Expecting, State};
use longhold_telemetry::Counter;
use longhold_transport::{Token, Transport};

use super::Worker;
use super::active::Phase;
use crate::outgoing::Outgoing;

/// What a connection is waiting for, for the sake of its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Idle,
    /// Between requests, with a receive armed.
    Rest,
    Head,
    Body,
    Send,
    Linger,
    /// The fill plane has its own deadlines, and so have devices.
    Origin,
    /// The pager was busy.
    Pages,
    /// The peer has closed its half, and may be gone.
    Leaving,
    /// The origin has not said whether it wants the body.
    Continue,
}

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    /// Fires what is due, a bounded number at a time; the rest is due in the next turn.
    pub(super) fn expire(&mut self) {
        let now_ms = self.now_ms();
        let mut expired = std::mem::take(&mut self.scratch.expired);
        expired.clear();
        self.wheel.advance(&self.slots, now_ms, EXPIRED_MAX, &mut expired);
        for slot in expired.drain(..) {
            self.on_expired(slot);
        }
        self.scratch.expired = expired;
    }

    pub(super) fn idle_deadline_ms(&self, slot: u32) -> u64 {
        self.slots.get(slot).map_or(0, |cell| cell.last_active_ms() + cell.idle_ms())
    }

    /// Puts an active connection's deadline into the wheel.
    pub(super) fn schedule(&mut self, index: u32) {
        let Some(active) = self.actives.get(index) else { return };
        let slot = active.token.slot;
        let (_, deadline_ms) = self.deadline(slot, Some(index));
        self.wheel.schedule(&self.slots, slot, deadline_ms);
    }

    fn on_expired(&mut self, slot: u32) {
        let Some(cell) = self.slots.get(slot) else { return };
        let token = Token { slot, generation: cell.generation() };
        if let Some(pair) = self.pair_of(token) {
            return self.on_tunnel_due(&pair);
        }
        let index = match cell.state() {
            State::Parked => None,
            State::Active => cell.active(),
            State::Handshaking => return self.on_shaking_expired(token),
            State::Free | State::Closing => return,
        };
        let (waiting, deadline_ms) = self.deadline(slot, index);
        if self.now_ms() < deadline_ms {
            self.wheel.schedule(&self.slots, slot, deadline_ms);
            return;
        }
        let (counter, reason) = match waiting {
            Waiting::Idle => (Counter::DeadlinesIdle, CloseReason::IdleTimeout),
            Waiting::Head => (Counter::DeadlinesHead, CloseReason::HeadTimeout),
            Waiting::Body => (Counter::DeadlinesBody, CloseReason::BodyTimeout),
            Waiting::Send => (Counter::DeadlinesSend, CloseReason::SendTimeout),
            Waiting::Linger => (Counter::DeadlinesLinger, CloseReason::LingerTimeout),
            // Its receive ends, and then it parks, with the idle time already running.
            Waiting::Rest => {
                self.wheel.schedule(&self.slots, slot, self.idle_deadline_ms(slot));
                return self.io.cancel(token);
            }
            Waiting::Pages => return index.into_iter().for_each(|index| self.page_in_again(index)),
            Waiting::Leaving => {
                index.into_iter().for_each(|index| self.probe(index));
                return;
            }
            Waiting::Continue => {
                index.into_iter().for_each(|index| self.give_continue(index));
                return;
            }
            Waiting::Origin => {
                let again_ms = self.now_ms() + self.shared.timeouts.idle_ms;
                self.wheel.schedule(&self.slots, slot, again_ms);
                return;
            }
        };
        self.counters.add(counter, 1);
        match index.filter(|_| waiting == Waiting::Head) {
            // RFC 9110 section 15.5.9: say that the request took too long, where it began.
            Some(index) => self.time_out(index, token, reason),
            None => self.close(token, reason),
        }
    }

    /// A handshake has taken too long, or its deadline was that of the slot's last connection.
    fn on_shaking_expired(&mut self, token: Token) {
        let Some(cell) = self.slots.get(token.slot) else { return };
        let deadline_ms = cell.accepted_ms() + self.shared.timeouts.handshake_ms;
        if self.now_ms() < deadline_ms {
            return self.wheel.schedule(&self.slots, token.slot, deadline_ms);
        }
        self.counters.add(Counter::DeadlinesHandshake, 1);
        self.close(token, CloseReason::HandshakeTimeout);
    }

    /// 408 for a head that began and never ended. A receive is in flight: it ends with the close.
    fn time_out(&mut self, index: u32, token: Token, reason: CloseReason) {
        let Some(active) = self.actives.get_mut(index) else { return };
        if active.phase != Phase::Reading || active.sending {
            return self.close(token, reason);
        }
        self.counters.add(Counter::of_reject(408), 1);
        active.conn.close_after_response();
        self.answer(index, 408, "the request's head took too long", None);
        self.schedule(index);
    }

    /// What a live connection waits for, and until when, ms.
    fn deadline(&self, slot: u32, index: Option<u32>) -> (Waiting, u64) {
        let timeouts = &self.shared.timeouts;
        let Some(active) = index.and_then(|index| self.actives.get(index)) else {
            return (Waiting::Idle, self.idle_deadline_ms(slot));
        };
        if active.phase == Phase::Lingering {
            return (Waiting::Linger, active.linger_since_ms + timeouts.linger_ms);
        }
        if active.sending {
            return (Waiting::Send, active.tx_flow.deadline_ms(timeouts));
        }
        if let Some(again_ms) = active.page_again_ms {
            return (Waiting::Pages, again_ms);
        }
        if let Some(since_ms) = active.rest_since_ms {
            return (Waiting::Rest, since_ms + REST_MS);
        }
        if let Some(probe_ms) = active.probe_ms() {
            return (Waiting::Leaving, probe_ms);
        }
        if let Some(since_ms) = active.continue_since_ms.filter(|_| active.conn.awaits_continue()) {
            return (Waiting::Continue, since_ms + CONTINUE_MS);
        }
        match (active.conn.expecting(), active.head_since_ms) {
            (Expecting::Head, Some(since_ms)) => (Waiting::Head, since_ms + timeouts.head_ms),
            (Expecting::Head, None) => (Waiting::Idle, self.idle_deadline_ms(slot)),
            (Expecting::Body | Expecting::Drain, _) => match &active.rx_flow {
                Some(flow) => (Waiting::Body, flow.deadline_ms(timeouts)),
                None => (Waiting::Origin, self.now_ms() + timeouts.idle_ms),
            },
            (Expecting::Nothing, _) => (Waiting::Origin, self.now_ms() + timeouts.idle_ms),
        }
    }
}

/// How long a connection rests with its receive armed before it parks: longer than a busy client's
/// pause between two requests, short enough that a crowd of quiet ones holds no buffers.
const REST_MS: u64 = 200;

/// How long a client with a body waits for its origin's `100 Continue` before it gets the edge's:
/// an origin that knows no expectations says nothing, and a client may wait for long.
const CONTINUE_MS: u64 = 1000;

/// Expiries handled in one turn of the loop: a storm of them is spread over turns, and who asks
/// meanwhile waits for these at most, of which each may cost a cancel of 50 µs.
const EXPIRED_MAX: usize = 64;
