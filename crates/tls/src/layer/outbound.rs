//! Bytes that go: windows of payloads, sealed, and what a session says by itself.

use longhold_transport::{Completion, IoFault, Parts, Payload, Token, Transport};

use super::cells::Cell;
use super::live::Stage;
use super::secured::Secured;
use super::wire::{Chunk, Wire};
use crate::limits::{CONTROL_BYTES_MAX, PLAINTEXT_BYTES_MAX, SEALED_EXTRA_BYTES_MAX};
use crate::{Fault, Session};

impl<T, P> Secured<T, P>
where
    T: Transport<Payload = Wire<P>>,
    P: Payload,
{
    pub(super) fn send_secured(&mut self, index: Option<u32>, token: Token, payload: P) {
        let live = index.and_then(|index| self.lives.get_mut(index));
        let (Some(index), Some(live)) = (index, live.filter(|live| live.sends.is_none())) else {
            let result = Err(IoFault::Cancelled);
            return self.ready.push(Completion::Sent { token, payload, result });
        };
        live.sends = Some(payload);
        if !matches!(live.stage, Stage::Shaking(_)) {
            self.tell_sent(index);
            self.pump_out(index);
        }
    }

    pub(super) fn shut_secured(&mut self, index: u32) {
        let Some(live) = self.lives.get_mut(index) else { return };
        live.shuts = true;
        if let Stage::Open(session) = &mut live.stage {
            session.close_notify();
        }
        self.pump_out(index);
    }

    /// Sends what is next, unless something is on its way.
    pub(super) fn pump_out(&mut self, index: u32) {
        let Some(live) = self.lives.get_mut(index) else { return };
        if live.below_send || live.is_closing {
            return;
        }
        let token = live.token;
        if let Some(chunk) = live.out.chunk.take() {
            return self.send_below(index, chunk);
        }
        let session = match &mut live.stage {
            Stage::Open(session) => Some(session),
            Stage::Shaking(_) => return,
            Stage::Over => None,
        };
        if let Some(payload) = &live.sends {
            // It stays where it is: moving it costs as much as sealing a hundred bytes.
            let outcome = match session {
                Some(session) => {
                    seal_window(session, payload, (&mut self.pools, &mut self.scratch))
                }
                None => Err(IoFault::BrokenPipe),
            };
            let result = match outcome {
                Ok(Some((chunk, plain_bytes))) => {
                    live.out.set_out(plain_bytes);
                    return self.send_below(index, chunk);
                }
                Ok(None) => Ok(0),
                Err(fault) => Err(fault),
            };
            let Some(payload) = live.sends.take() else { return };
            return self.ready.push(Completion::Sent { token, payload, result });
        }
        if let Some(session) = session.filter(|session| session.owes()) {
            let mut chunk = self.pools.chunk(0);
            let written = session.control(chunk.room());
            chunk.extend(written);
            live.out.set_out(0);
            if written > 0 {
                return self.send_below(index, chunk);
            }
            self.pools.put_chunk(chunk);
        }
        if std::mem::take(&mut live.shuts) {
            self.below.shutdown(token);
        }
    }

    pub(super) fn send_below(&mut self, index: u32, chunk: Chunk) {
        let Some(live) = self.lives.get_mut(index) else { return };
        live.below_send = true;
        self.below.send(live.token, Wire::Sealed(chunk));
    }

    /// A send below has ended.
    pub(super) fn on_sent(&mut self, token: Token, chunk: Chunk, result: Result<usize, IoFault>) {
        let Cell::Live(index) = self.cells.get(token.slot) else {
            return self.pools.put_chunk(chunk);
        };
        let Some(live) = self.lives.get_mut(index) else { return };
        live.below_send = false;
        if live.is_closing {
            self.pools.put_chunk(chunk);
            if self.farewells.contains(&(token.slot, token.generation)) {
                self.farewells.retain(|place| *place != (token.slot, token.generation));
                self.below.close(token);
            }
            return;
        }
        let is_shaking = matches!(live.stage, Stage::Shaking(_));
        match result {
            Ok(sent) => {
                live.out.advance(sent, chunk.unsent().is_empty());
                if !chunk.unsent().is_empty() {
                    self.tell_sent(index);
                    return self.send_below(index, chunk);
                }
                self.pools.put_chunk(chunk);
                if is_shaking {
                    return self.after_flight(index);
                }
                self.tell_sent(index);
                self.settle(index);
            }
            Err(fault) if is_shaking => {
                self.pools.put_chunk(chunk);
                self.end_handshake(index, fault);
            }
            Err(fault) => {
                match fault {
                    // It goes on with the next thing that is sent: a record cannot be left out.
                    IoFault::Cancelled => live.out.chunk = Some(chunk),
                    IoFault::Reset
                    | IoFault::BrokenPipe
                    | IoFault::TimedOut
                    | IoFault::Refused
                    | IoFault::Unreachable
                    | IoFault::Insecure
                    | IoFault::BadMemory
                    | IoFault::Exhausted
                    | IoFault::Other(_) => {
                        self.pools.put_chunk(chunk);
                        live.stage = Stage::Over;
                        live.ended = live.ended.or(Some(Err(fault)));
                    }
                }
                if let Some(payload) = live.sends.take() {
                    self.ready.push(Completion::Sent { token, payload, result: Err(fault) });
                }
                self.settle(index);
            }
        }
    }

    /// Tells the caller what of its payload has gone, if anything.
    fn tell_sent(&mut self, index: u32) {
        let Some(live) = self.lives.get_mut(index) else { return };
        let bytes = live.out.untold_bytes();
        if bytes == 0 {
            return;
        }
        if let Some(mut payload) = live.sends.take() {
            live.out.tell(bytes);
            payload.advance(bytes);
            let token = live.token;
            self.ready.push(Completion::Sent { token, payload, result: Ok(bytes) });
        }
    }

    /// Sends the close_notify of a connection that is being closed; false when there is none to
    /// be sent, or no room for it.
    pub(super) fn bid_farewell(&mut self, index: u32) -> bool {
        let Some(live) = self.lives.get_mut(index) else { return false };
        let is_busy = live.below_send || live.out.chunk.is_some();
        let is_broken = matches!(live.ended, Some(Err(_)));
        let Stage::Open(session) = &mut live.stage else { return false };
        if is_busy || is_broken || session.is_closed() {
            return false;
        }
        session.close_notify();
        let mut chunk = self.pools.chunk(0);
        let written = session.control(chunk.room());
        chunk.extend(written);
        live.stage = Stage::Over;
        let place = (live.token.slot, live.token.generation);
        self.farewells.push(place);
        self.send_below(index, chunk);
        true
    }

    /// Closes those whose close_notify has not gone within one wait: of the first `count`.
    pub(super) fn end_farewells(&mut self, count: usize) {
        let count = count.min(self.farewells.len());
        let late: Vec<_> = self.farewells.drain(..count).collect();
        for (slot, generation) in late {
            self.below.close(Token { slot, generation });
        }
    }
}

/// Seals the first bytes of a payload; `None` when it has none.
fn seal_window<P: Payload>(
    session: &mut Session,
    payload: &P,
    (pools, scratch): (&mut super::pools::Pools, &mut [u8]),
) -> Result<Option<(Chunk, usize)>, IoFault> {
    let mut parts = Parts::new();
    payload.parts(&mut parts);
    let total_bytes = parts.total_bytes();
    if total_bytes == 0 {
        return Ok(None);
    }
    let mut chunk = pools.chunk(total_bytes);
    let mut plain_bytes = 0;
    while plain_bytes < total_bytes {
        let wanted = PLAINTEXT_BYTES_MAX.min(total_bytes - plain_bytes);
        let is_first = plain_bytes == 0;
        let room_bytes = wanted + SEALED_EXTRA_BYTES_MAX;
        if !is_first && chunk.room().len() < room_bytes {
            break;
        }
        let Some(plain) = scratch.get_mut(..wanted) else { break };
        let sealed = if payload.copy_to(plain_bytes, plain) {
            session.seal(&[plain], chunk.room()).map_err(fault_of)
        } else {
            Err(IoFault::BadMemory)
        };
        match sealed {
            Ok(sealed) => {
                chunk.extend(sealed.written);
                plain_bytes += sealed.taken;
                if sealed.taken < wanted {
                    break;
                }
            }
            Err(fault) if is_first => {
                pools.put_chunk(chunk);
                return Err(fault);
            }
            // What is sealed goes; the next send meets the same fault.
            Err(_) => break,
        }
    }
    Ok(Some((chunk, plain_bytes)))
}

fn fault_of(fault: Fault) -> IoFault {
    if fault == Fault::Ended { IoFault::BrokenPipe } else { IoFault::Insecure }
}

const _: () = assert!(CONTROL_BYTES_MAX >= SEALED_EXTRA_BYTES_MAX);
