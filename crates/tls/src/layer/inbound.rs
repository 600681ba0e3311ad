//! Bytes that come: off the wire into an input, record by record to the caller.

use longhold_transport::{Buffer, Completion, IoFault, Payload, Token, Transport};

use super::cells::Cell;
use super::live::{Ready, Stage};
use super::report::Report;
use super::secured::Secured;
use super::wire::Wire;
use crate::Role;

impl<T, P> Secured<T, P>
where
    T: Transport<Payload = Wire<P>>,
    P: Payload,
{
    pub(super) fn receive_secured(&mut self, index: Option<u32>, token: Token, buffer: Buffer) {
        let live = index.and_then(|index| self.lives.get_mut(index));
        let (Some(index), Some(live)) = (index, live.filter(|live| live.receives.is_none())) else {
            let result = Err(IoFault::Cancelled);
            return self.ready.push(Completion::Received { token, buffer, result });
        };
        if buffer.spare_len() == 0 {
            let result = Err(IoFault::Exhausted);
            return self.ready.push(Completion::Received { token, buffer, result });
        }
        live.receives = Some(buffer);
        if !matches!(live.stage, Stage::Shaking(_)) {
            self.pump_in(index);
        }
    }

    /// A receive below has ended.
    pub(super) fn on_received(
        &mut self,
        token: Token,
        input: Buffer,
        result: Result<usize, IoFault>,
    ) {
        let Cell::Live(index) = self.cells.get(token.slot) else {
            return self.pools.put_input(input);
        };
        let Some(live) = self.lives.get_mut(index) else { return };
        live.below_receive = false;
        live.input = Some(input);
        if live.is_closing {
            return;
        }
        if matches!(live.stage, Stage::Shaking(_)) {
            return self.on_handshake_bytes(index, result);
        }
        match result {
            Ok(0) if live.ended.is_none() => live.ended = Some(truncated(&live.stage)),
            Ok(_) => {}
            Err(IoFault::Cancelled) if live.ended.is_none() => {
                if let Some(buffer) = live.receives.take() {
                    self.ready.push(Completion::Received { token, buffer, result });
                }
                return self.settle(index);
            }
            Err(fault) => live.ended = live.ended.or(Some(Err(fault))),
        }
        self.pump_in(index);
    }

    /// Gives the caller what lies ready, or has more come.
    pub(super) fn pump_in(&mut self, index: u32) {
        let Some(live) = self.lives.get_mut(index) else { return };
        let token = live.token;
        let Some(mut buffer) = live.receives.take() else { return self.settle(index) };
        let (delivered, ready, fault) = live.deliver(&mut buffer);
        if delivered > 0 {
            live.partial_since_us = None;
            let result = Ok(delivered);
            self.ready.push(Completion::Received { token, buffer, result });
        } else if let Some(ended) = live.ended {
            let result = ended.map(|()| 0);
            self.ready.push(Completion::Received { token, buffer, result });
        } else {
            live.receives = Some(buffer);
            let wanted = if let Ready::More { wanted } = ready { wanted } else { 0 };
            self.receive_below(index, wanted);
        }
        if let Some(fault) = fault {
            self.report(&Report::Broken(fault));
        }
        self.settle(index);
    }

    /// Has bytes come into the input until there are `wanted`; without a buffer it waits for one.
    pub(super) fn receive_below(&mut self, index: u32, wanted: usize) {
        let Some(live) = self.lives.get_mut(index) else { return };
        if live.below_receive {
            return;
        }
        let token = live.token;
        let Some(mut input) = live.input.take().or_else(|| self.pools.input()) else {
            if !std::mem::replace(&mut live.is_starving, true) {
                self.starved.push_back((token.slot, token.generation));
            }
            return;
        };
        let is_tight = input.spare_len() == 0 || input.len() + input.spare_len() < wanted;
        if is_tight {
            input.compact();
        }
        live.below_receive = true;
        let is_partial = !input.is_empty();
        self.below.receive(token, input);
        self.note_partial(index, is_partial);
    }

    /// Starts the clock over part of a record, or takes it off.
    fn note_partial(&mut self, index: u32, is_partial: bool) {
        let (now_us, timeout_us) = (self.now_us, self.record_timeout_us);
        let Some(live) = self.lives.get_mut(index) else { return };
        if !is_partial {
            live.partial_since_us = None;
            return;
        }
        // The clock over a handshake is the caller's.
        if live.partial_since_us.is_some() || matches!(live.stage, Stage::Shaking(_)) {
            return;
        }
        live.partial_since_us = Some(now_us);
        if !std::mem::replace(&mut live.is_timed, true) {
            let place = (live.token.slot, live.token.generation);
            self.partials.push_back((now_us + timeout_us, place));
        }
    }

    /// Ends connections whose record has not come to its end in time.
    pub(super) fn expire_partials(&mut self) {
        while let Some(&(due_us, place)) = self.partials.front()
            && due_us <= self.now_us
        {
            self.partials.pop_front();
            let Some(index) = self.live_at(place) else { continue };
            let Some(live) = self.lives.get_mut(index) else { continue };
            live.is_timed = false;
            let Some(since_us) = live.partial_since_us.filter(|_| !live.is_closing) else {
                continue;
            };
            let due_us = since_us + self.record_timeout_us;
            if due_us > self.now_us {
                live.is_timed = true;
                self.partials.push_back((due_us, place));
                continue;
            }
            live.partial_since_us = None;
            live.ended = live.ended.or(Some(Err(IoFault::TimedOut)));
            let (token, is_in_flight) = (live.token, live.below_receive || live.below_park);
            self.report(&Report::RecordTimeout);
            if is_in_flight {
                self.below.cancel(token);
            } else {
                self.pump_in(index);
            }
        }
    }

    /// Gives inputs that came back to those who waited for one.
    pub(super) fn feed_starved(&mut self) {
        while !self.starved.is_empty() && self.pools.has_input() {
            let Some(place) = self.starved.pop_front() else { return };
            let Some(index) = self.live_at(place) else { continue };
            let Some(live) = self.lives.get_mut(index) else { continue };
            live.is_starving = false;
            let is_wanted = live.receives.is_some() || matches!(live.stage, Stage::Shaking(_));
            if is_wanted && !live.is_closing {
                self.receive_below(index, 0);
            }
        }
    }

    /// What is to be said by the session itself is said, a park is answered if there is something
    /// to tell, and what is not needed goes back: at best all of it.
    pub(super) fn settle(&mut self, index: u32) {
        let Some(live) = self.lives.get_mut(index) else { return };
        if live.is_closing || matches!(live.stage, Stage::Shaking(_)) {
            return;
        }
        let token = live.token;
        let (ready, fault) = live.open_next();
        if live.parks && ready_to_tell(ready) {
            live.parks = false;
            self.ready.push(Completion::Readable { token });
        }
        if let Some(spent) = live.input.take_if(|input| input.is_empty()) {
            self.pools.put_input(spent);
        }
        let is_partial = live.input.is_some() && !live.has_plain();
        if !live.below_receive {
            self.note_partial(index, is_partial);
        }
        if let Some(fault) = fault {
            self.report(&Report::Broken(fault));
        }
        self.pump_out(index);
        self.rest(index);
    }

    /// Parks below where the caller has parked, and lays the session down if nothing is held.
    fn rest(&mut self, index: u32) {
        let Some(live) = self.lives.get_mut(index).filter(|live| live.parks) else { return };
        let token = live.token;
        let is_new = !std::mem::replace(&mut live.below_park, true);
        if is_new {
            self.below.park(token);
        }
        if !live.is_quiet() {
            return;
        }
        match std::mem::replace(&mut live.stage, Stage::Over) {
            Stage::Open(session) => match session.park() {
                Ok(parked) => {
                    if self.parked.put(token.slot as usize, &parked) {
                        self.lives.remove(index);
                        let generation = token.generation;
                        self.cells.set(token.slot, Cell::Parked { generation, is_armed: true });
                    }
                }
                Err(session) => live.stage = Stage::Open(session),
            },
            other @ (Stage::Shaking(_) | Stage::Over) => live.stage = other,
        }
    }
}

fn ready_to_tell(ready: Ready) -> bool {
    match ready {
        Ready::Data | Ready::End => true,
        Ready::More { .. } => false,
    }
}

/// The stream has ended without a close_notify. Clients do that all the time, and what they send
/// says its own length; what a server sends may be cut short so.
fn truncated(stage: &Stage) -> Result<(), IoFault> {
    match stage {
        Stage::Open(session) if session.role() == Role::Client => Err(IoFault::Reset),
        Stage::Open(_) | Stage::Shaking(_) | Stage::Over => Ok(()),
    }
}
