//! Clients that leave while their exchange waits for the origin.
//!
//! ```text
//! AwaitsFill, request read ── watch ─► a park is armed beside it, without a buffer
//!        Readable ─► receive ─┬► bytes: the next request, kept until its turn
//!                             ├► reset: the client is gone, the connection closes
//!                             └► end: it has closed its half, or gone ── a while ─► probe
//!        probe: an interim response ─ a while ─► another ─┬► refused: gone
//!                                                         └► taken: it listens
//! ```
//! TCP does not tell a client that has said all from one that is gone, until something is sent to
//! it; and behind its end a socket receives nothing more, not even a reset, so that only the second
//! send shows it. HTTP lets a server send an interim response at any time (RFC 9110 section 15.2),
//! so two are sent to those whose origin is silent for a while longer, and to no others.
//!
//! A park that is still armed when the connection parks serves on as that park.

use longhold_conn::{Expecting, State};
use longhold_http1::emit;
use longhold_transport::{Token, Transport};

use super::Worker;
use super::active::{Active, Leaving, Phase};
use crate::outgoing::Outgoing;

impl Active {
    /// When the next step of finding out whether the client is gone is due, ms.
    pub(super) fn probe_ms(&self) -> Option<u64> {
        match self.leaving {
            Leaving::HalfClosed(since_ms) | Leaving::Probed(since_ms)
                if self.phase == Phase::AwaitsFill =>
            {
                Some(since_ms + PROBE_MS)
            }
            Leaving::HalfClosed(_) | Leaving::Probed(_) | Leaving::No | Leaving::Stays => None,
        }
    }

    fn is_waiting(&self) -> bool {
        self.phase == Phase::AwaitsFill && self.conn.expecting() == Expecting::Nothing
    }
}

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    /// Arms a park for an exchange that waits, unless there are bytes to be looked at already.
    pub(super) fn watch(&mut self, index: u32) {
        let Some(active) = self.actives.get_mut(index) else { return };
        let is_idle = !active.receiving && active.input.is_none() && active.leaving == Leaving::No;
        if active.is_waiting() && is_idle && !active.watched {
            active.watched = true;
            self.io.park(active.token);
        }
    }

    /// A park has ended: the connection's, or that of an exchange that waits.
    pub(super) fn on_readable(&mut self, token: Token) {
        let Some(index) = self.active_of(token) else { return self.wake(token) };
        let Some(active) = self.actives.get_mut(index) else { return };
        active.watched = false;
        if active.is_waiting() {
            self.listen_in(index);
        }
    }

    /// A park has been cancelled together with what else was armed. If the connection has come to
    /// rest on it, it needs another.
    pub(super) fn on_unwatched(&mut self, token: Token) {
        if let Some(index) = self.active_of(token) {
            if let Some(active) = self.actives.get_mut(index) {
                active.watched = false;
            }
            return;
        }
        let is_parked = self.slots.get(token.slot).is_some_and(|slot| {
            slot.generation() == token.generation && slot.state() == State::Parked
        });
        if is_parked {
            self.io.park(token);
        }
    }

    /// Receives for an exchange that waits. Without a buffer it goes on waiting unwatched.
    fn listen_in(&mut self, index: u32) {
        let Some(active) = self.actives.get_mut(index) else { return };
        if active.receiving || active.input.is_some() {
            return;
        }
        let token = active.token;
        let Some(buffer) = self.io.buffer() else { return };
        if let Some(active) = self.actives.get_mut(index) {
            active.receiving = true;
        }
        self.io.receive(token, buffer);
    }

    /// The peer's half is closed, its request was whole.
    pub(super) fn on_half_closed(&mut self, index: u32) {
        let now_ms = self.now_ms();
        let Some(active) = self.actives.get_mut(index) else { return };
        active.leaving = match active.leaving {
            // HTTP/1.0 knows no interim responses.
            Leaving::No if !active.draft.is_http10 => Leaving::HalfClosed(now_ms),
            Leaving::No | Leaving::Probed(_) | Leaving::Stays => Leaving::Stays,
            Leaving::HalfClosed(since_ms) => Leaving::HalfClosed(since_ms),
        };
        if active.probe_ms().is_some() {
            self.schedule(index);
        }
    }

    /// The origin is still silent: says something to the client, and then once more, which fails if
    /// there is none.
    pub(super) fn probe(&mut self, index: u32) {
        let now_ms = self.now_ms();
        let Some(active) = self.actives.get_mut(index) else { return };
        match active.leaving {
            Leaving::HalfClosed(_) => {
                active.leaving = Leaving::Probed(now_ms);
                self.send_interim(index, emit::CONTINUE);
                self.schedule(index);
            }
            Leaving::Probed(_) => {
                active.leaving = Leaving::Stays;
                self.send_interim(index, emit::CONTINUE);
            }
            Leaving::No | Leaving::Stays => {}
        }
    }
}

/// How long an origin may be silent before a client that has closed its half is spoken to, and how
/// long its system may take to refuse that.
const PROBE_MS: u64 = 1000;
