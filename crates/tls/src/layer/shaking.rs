//! Handshakes: from the first bytes in a listener's line, or a client's wish, to the session.
//!
//! ```text
//! server  accepted ─ park ─► Greeting ─ bytes ─► line ─ let in ─► Shaking ─┐
//! client  connected ─────────────────────── secure_client ─────► Shaking ─┤
//!                                                                          ▼
//!     ┌─────────── bytes wanted: park, then receive ◄──────────── after_flight
//!     └─► step ─► flight sent ───────────────────────────────────────►┘   ├─► Open, Secured(Ok)
//!                                                                          └─► Over, Secured(Err)
//! ```
//! While a handshake waits for its peer it has no buffer, unless part of a record is there.

use longhold_transport::{Completion, IoFault, Payload, Token, Transport};

use super::cells::Cell;
use super::line::{Place, Source, Turn};
use super::live::{Live, Shaking, Stage};
use super::report::Report;
use super::secured::Secured;
use super::wire::{Chunk, Wire};
use crate::{Connector, Fault, Handshake, Next};

impl<T, P> Secured<T, P>
where
    T: Transport<Payload = Wire<P>>,
    P: Payload,
{
    /// Secures an outbound connection, of which nothing was asked yet, as the client of `name`.
    /// The caller has named its slot by `token`. Answers `Secured`; what is sent and received
    /// meanwhile waits.
    ///
    /// # Errors
    /// [`Fault`] if `name` is none, or the library refuses; the connection is still plain then.
    pub fn secure_client(
        &mut self,
        token: Token,
        connector: &Connector,
        name: &str,
    ) -> Result<(), Fault> {
        let handshake = connector.begin(name)?;
        let index = self.insert(token, handshake, None);
        self.step(index);
        Ok(())
    }

    fn insert(&mut self, token: Token, handshake: Handshake, source: Option<Source>) -> u32 {
        let shaking = Box::new(Shaking { handshake, source, verdict: None, wanted: 0 });
        let index = self.lives.insert(Live::new(token, Stage::Shaking(shaking)));
        self.cells.set(token.slot, Cell::Live(index));
        self.report(&Report::Begun);
        index
    }

    /// Goes on with handshakes that have bytes, then lets newcomers in; both in the order in which
    /// they came, and so many a turn.
    pub(super) fn run_line(&mut self) {
        let mut left = self.line.steps_max();
        while left > 0
            && let Some(place) = self.line.steps.pop_front()
        {
            if let Some(index) = self.live_at(place) {
                self.step(index);
                left -= 1;
            }
        }
        let mut left = NEWCOMERS_MAX;
        while left > 0
            && let Some(place) = self.line.newcomers.front().copied()
        {
            if !self.is_greeting(place) {
                self.line.newcomers.pop_front();
                continue;
            }
            if !self.let_in(place) {
                return;
            }
            self.line.newcomers.pop_front();
            left -= 1;
        }
    }

    /// Whether the connection is still there and waits in line.
    fn is_greeting(&self, (slot, generation): Place) -> bool {
        self.cells.get(slot) == Cell::Greeting { generation: Some(generation) }
            && self.greetings.contains_key(&slot)
    }

    /// Lets the first in line in, or turns it away; false when it has to wait.
    fn let_in(&mut self, (slot, generation): Place) -> bool {
        let token = Token { slot, generation };
        if (self.refuses)() {
            self.turn_away(token, &Report::Refused);
            return true;
        }
        let Some(greeting) = self.greetings.get(&slot) else { return true };
        let (listener, source) = (greeting.listener, greeting.source);
        match self.line.enter(source, self.now_us) {
            Turn::Wait => return false,
            Turn::TurnedAway => self.turn_away(token, &Report::TurnedAway),
            Turn::Enter => {
                let begun = self.acceptor(listener).map(|acceptor| acceptor.begin());
                let Some(Ok(handshake)) = begun else {
                    self.line.leave(source);
                    self.turn_away(token, &Report::Failed(Fault::Internal));
                    return true;
                };
                self.greetings.remove(&slot);
                let index = self.insert(token, handshake, Some(source));
                if let Some(live) = self.lives.get_mut(index) {
                    live.parks = true;
                }
                self.receive_below(index, 0);
            }
        }
        true
    }

    fn turn_away(&mut self, token: Token, why: &Report) {
        self.greetings.remove(&token.slot);
        let mut live = Live::new(token, Stage::Over);
        live.ended = Some(Err(IoFault::Exhausted));
        let index = self.lives.insert(live);
        self.cells.set(token.slot, Cell::Live(index));
        self.report(why);
        let result = Err(IoFault::Exhausted);
        self.ready.push(Completion::Secured { token, result });
    }

    /// Bytes of a handshake have come, or have not.
    pub(super) fn on_handshake_bytes(&mut self, index: u32, result: Result<usize, IoFault>) {
        let Some(live) = self.lives.get_mut(index) else { return };
        match result {
            Ok(0) => self.end_handshake(index, IoFault::Reset),
            Ok(_) => {
                let place = (live.token.slot, live.token.generation);
                // A client's handshakes are its own wish: they wait for nobody.
                match &live.stage {
                    Stage::Shaking(shaking) if shaking.source.is_none() => self.step(index),
                    Stage::Shaking(_) | Stage::Open(_) | Stage::Over => {
                        self.line.steps.push_back(place);
                    }
                }
            }
            Err(fault) => self.end_handshake(index, fault),
        }
    }

    /// Gives a handshake the bytes that are there, and sends what it answers.
    fn step(&mut self, index: u32) {
        let Some(live) = self.lives.get_mut(index).filter(|live| !live.is_closing) else { return };
        let Stage::Shaking(shaking) = &mut live.stage else { return };
        let mut output = Vec::new();
        let bytes = live.input.as_mut().map_or(&mut [][..], |input| input.filled_mut());
        match shaking.handshake.advance(bytes, &mut output) {
            Ok(progress) => {
                if let Some(input) = &mut live.input {
                    input.consume(progress.consumed);
                }
                match progress.next {
                    Next::Read { wanted } => shaking.wanted = wanted,
                    Next::Finish => shaking.verdict = Some(Ok(())),
                }
            }
            Err(fault) => {
                shaking.verdict = Some(Err(fault));
                if fault == Fault::NotTls {
                    let said = (self.answers_in_clear)(bytes, self.below.now());
                    output = if said.is_empty() { output } else { said };
                }
                live.input.iter_mut().for_each(longhold_transport::Buffer::clear);
            }
        }
        if let Some(spent) = live.input.take_if(|input| input.is_empty()) {
            self.pools.put_input(spent);
        }
        if output.is_empty() {
            return self.after_flight(index);
        }
        live.out.set_out(0);
        self.send_below(index, Chunk::full(output));
    }

    /// What the handshake had to say is said.
    pub(super) fn after_flight(&mut self, index: u32) {
        let Some(live) = self.lives.get_mut(index) else { return };
        let Stage::Shaking(shaking) = &mut live.stage else { return };
        match shaking.verdict {
            None if live.input.is_some() => {
                let wanted = shaking.wanted;
                self.receive_below(index, wanted);
            }
            None => {
                live.below_park = true;
                let token = live.token;
                self.below.park(token);
            }
            Some(Ok(())) => self.finish_handshake(index),
            Some(Err(_)) => self.end_handshake(index, IoFault::Insecure),
        }
    }

    fn finish_handshake(&mut self, index: u32) {
        let Some(live) = self.lives.get_mut(index) else { return };
        let token = live.token;
        let Stage::Shaking(shaking) = std::mem::replace(&mut live.stage, Stage::Over) else {
            return;
        };
        let details = shaking.handshake.details();
        let result = match shaking.handshake.finish() {
            Ok(session) => {
                live.stage = Stage::Open(session);
                Ok(())
            }
            Err(_) => Err(IoFault::Insecure),
        };
        live.ended = result.err().map(Err);
        live.parks &= result.is_ok();
        if let Some(source) = shaking.source {
            self.line.leave(source);
        }
        let report = match (result, details) {
            (Ok(()), Some(details)) => Report::Done(details),
            (Ok(()), None) | (Err(_), _) => Report::Failed(Fault::Internal),
        };
        self.report(&report);
        self.ready.push(Completion::Secured { token, result });
        self.pump_in(index);
    }

    /// A handshake has failed: by its own verdict, or by a fault of the connection.
    pub(super) fn end_handshake(&mut self, index: u32, fault: IoFault) {
        let Some(live) = self.lives.get_mut(index) else { return };
        live.ended = Some(Err(fault));
        // It is told by this.
        live.parks = false;
        let token = live.token;
        self.give_up(index);
        let result = Err(fault);
        self.ready.push(Completion::Secured { token, result });
        self.pump_in(index);
    }

    /// Ends a handshake that is in flight, and counts it as what it was.
    pub(super) fn give_up(&mut self, index: u32) {
        let Some(live) = self.lives.get_mut(index) else { return };
        let Stage::Shaking(shaking) = &mut live.stage else { return };
        let report = match shaking.verdict {
            Some(Err(fault)) => Report::Failed(fault),
            Some(Ok(())) | None => Report::Left,
        };
        let source = shaking.source;
        live.stage = Stage::Over;
        source.into_iter().for_each(|source| self.line.leave(source));
        self.report(&report);
    }
}

/// Newcomers let in or turned away in one turn: each costs an allocation and a receive.
const NEWCOMERS_MAX: u32 = 64;
