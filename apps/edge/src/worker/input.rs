//! Bytes that arrive: heads, bodies, and what is thrown away.

use bytes::Bytes;
use longhold_conn::deadline::Flow;
use longhold_conn::{CloseReason, EofOutcome, Expecting, Input};
use longhold_http1::Reject;
use longhold_telemetry::Counter;
use longhold_transport::{Buffer, IoFault, Token, Transport};

use super::active::{Body, Phase};
use super::{Worker, fault_reason};
use crate::outgoing::Outgoing;

/// What one look at the input came to.
enum Looked {
    /// Look again: there may be more in the buffer.
    Again,
    /// More bytes are needed.
    Receive,
    /// Something else must happen first, or the connection is closing.
    Stop,
}

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    pub(super) fn on_received(
        &mut self,
        token: Token,
        buffer: Buffer,
        result: Result<usize, IoFault>,
    ) {
        let Some(index) = self.active_of(token) else {
            self.io.recycle(buffer);
            return;
        };
        let now_ms = self.now_ms();
        let Some(active) = self.actives.get_mut(index) else { return };
        active.receiving = false;
        let rested = active.rest_since_ms.take().is_some();
        self.resting_count -= u32::from(rested);
        match result {
            Ok(0) => {
                active.input = Some(buffer);
                self.on_end_of_stream(index, token);
            }
            Ok(received) => {
                active.input = Some(buffer);
                if let Some(flow) = &mut active.rx_flow {
                    flow.advance(received as u64, now_ms);
                }
                active.draft.received_bytes += received as u64;
                self.counters.add(Counter::DownstreamReceivedBytes, received as u64);
                self.advance(index);
            }
            // The rest has lasted long enough.
            Err(IoFault::Cancelled) if rested => {
                self.io.recycle(buffer);
                self.park(token);
            }
            Err(fault) => {
                self.io.recycle(buffer);
                self.close(token, fault_reason(fault));
            }
        }
    }

    /// The peer's half is closed (RFC 9112 section 9.5).
    fn on_end_of_stream(&mut self, index: u32, token: Token) {
        let Some(active) = self.actives.get_mut(index) else { return };
        if active.phase == Phase::Lingering {
            self.close(token, CloseReason::ResponseEnded);
            return;
        }
        let buffered = active.input.as_ref().map_or(0, Buffer::len);
        match active.conn.handle_eof(buffered) {
            EofOutcome::Idle => self.close(token, CloseReason::PeerClosed),
            EofOutcome::Truncated => self.close(token, CloseReason::PeerAborted),
            // The request was whole: its answer still has a reader.
            EofOutcome::HalfClosed => {
                // Further requests may lie behind it; they are read when its response has ended.
                let spent = active.input.take_if(|input| input.is_empty());
                self.drop_buffer(spent);
                self.on_half_closed(index);
                self.pump(index);
            }
        }
    }

    /// Moves a connection on by what lies in its input, until it needs bytes, a response is on its
    /// way, or it closes.
    pub(super) fn advance(&mut self, index: u32) {
        loop {
            match self.look(index) {
                Looked::Again => {}
                Looked::Receive => return self.receive(index),
                Looked::Stop => return,
            }
        }
    }

    fn look(&mut self, index: u32) -> Looked {
        let Some(active) = self.actives.get_mut(index) else { return Looked::Stop };
        if active.receiving {
            self.go_on_resting(index);
            return Looked::Stop;
        }
        if active.phase == Phase::Lingering {
            return self.discard_lingering(index);
        }
        let expecting = active.conn.expecting();
        match expecting {
            Expecting::Nothing => {
                active.rx_flow = None;
                self.watch(index);
                return Looked::Stop;
            }
            Expecting::Body if active.upload.as_ref().is_some_and(|upload| !upload.has_room()) => {
                // The origin is slow, not the client: its rate is measured anew from here on.
                active.rx_flow = None;
                return Looked::Stop;
            }
            Expecting::Head | Expecting::Body | Expecting::Drain => {}
        }
        let Some(mut input) = active.input.take_if(|input| !input.is_empty()) else {
            return self.look_for_more(index, expecting);
        };
        active.looking = true;
        let limits = self.shared.limits;
        let step = active.conn.handle_input(input.filled(), &limits);
        let consumed = step.consumed;
        let looked = match step.input {
            Input::NeedMore => Looked::Receive,
            Input::Request(head) => {
                active.head_since_ms = None;
                self.on_request(index, &head, input.filled());
                Looked::Again
            }
            Input::Body(bytes) => {
                self.on_body(index, bytes);
                Looked::Again
            }
            Input::BodyEnd(bytes) => {
                self.on_body(index, bytes);
                self.on_body_end(index);
                Looked::Again
            }
            Input::Reject(reject) => {
                self.reject(index, reject, expecting == Expecting::Drain);
                Looked::Stop
            }
        };
        input.consume(consumed);
        self.keep_input(index, input, &looked);
        looked
    }

    /// The input is used up. Between requests a busy connection rests for a moment with its receive
    /// armed, as long as buffers are plenty, because the next request of a busy client is near and
    /// a park and a wake cost more than the wait; otherwise it parks. A response in progress waits
    /// for nothing more than its own end.
    fn look_for_more(&mut self, index: u32, expecting: Expecting) -> Looked {
        let now_ms = self.now_ms();
        let Some(active) = self.actives.get_mut(index) else { return Looked::Stop };
        let token = active.token;
        let between = active.phase == Phase::Reading && expecting == Expecting::Head;
        if !between || active.sending {
            return Looked::Receive;
        }
        // The idle time begins now, whether it rests first or parks at once.
        if let Some(slot) = self.slots.get(token.slot) {
            slot.touch(now_ms);
        }
        if self.begin_rest(index) {
            return Looked::Receive;
        }
        self.park(token);
        Looked::Stop
    }

    /// The last piece of a response is on its way: the receive of the next request is armed beside
    /// it, so that both are done in one turn. What arrives waits for the response's end (CN-5).
    pub(super) fn rest_early(&mut self, index: u32) {
        let Some(active) = self.actives.get(index) else { return };
        let is_last = active.phase == Phase::Responding && matches!(active.body, Body::Done);
        let is_free = !active.looking && !active.receiving && active.input.is_none();
        if is_last
            && is_free
            && active.sending
            && active.conn.is_next_due()
            && self.begin_rest(index)
        {
            self.receive(index);
        }
    }

    /// Gives a busy connection a buffer to rest with, if it may have one.
    fn begin_rest(&mut self, index: u32) -> bool {
        let may_rest = self.resting_count < self.resting_max;
        if self.is_draining() || !may_rest || self.shared.pressure.shrinks_pools() {
            return false;
        }
        let now_ms = self.now_ms();
        let Some(active) = self.actives.get_mut(index).filter(|active| active.is_busy) else {
            return false;
        };
        active.input = active.input.take().or_else(|| self.io.buffer());
        if active.input.is_none() {
            return false;
        }
        self.resting_count += 1;
        active.rest_since_ms = Some(now_ms);
        true
    }

    /// The response has ended and its receive is armed already: only the times begin anew.
    fn go_on_resting(&mut self, index: u32) {
        let now_ms = self.now_ms();
        let Some(active) = self.actives.get_mut(index) else { return };
        if active.phase == Phase::Reading && active.rest_since_ms.is_some() {
            active.rest_since_ms = Some(now_ms);
            if let Some(slot) = self.slots.get(active.token.slot) {
                slot.touch(now_ms);
            }
            self.schedule(index);
        }
    }

    /// Puts the rest of the input back, or gives the buffer back when nothing is left in it.
    fn keep_input(&mut self, index: u32, input: Buffer, looked: &Looked) {
        let needs_more = matches!(looked, Looked::Receive);
        match self.actives.get_mut(index) {
            Some(active) if !input.is_empty() || needs_more => {
                active.looking = false;
                active.input = Some(input);
            }
            Some(active) => {
                active.looking = false;
                self.io.recycle(input);
                self.rest_early(index);
            }
            None => self.io.recycle(input),
        }
    }

    /// Arms a receive behind what is already there; without a buffer it waits for one.
    pub(super) fn receive(&mut self, index: u32) {
        let now_ms = self.now_ms();
        let Some(buffer) = self.input_buffer(index) else { return self.starve(index) };
        let Some(active) = self.actives.get_mut(index) else { return self.io.recycle(buffer) };
        let waits_for_head = active.conn.expecting() == Expecting::Head && !buffer.is_empty();
        if waits_for_head && active.head_since_ms.is_none() {
            active.head_since_ms = Some(now_ms);
        }
        let body_is_due = matches!(active.conn.expecting(), Expecting::Body | Expecting::Drain);
        if body_is_due && active.rx_flow.is_none() {
            active.rx_flow = Some(Flow::start(now_ms));
        }
        active.receiving = true;
        self.io.receive(active.token, buffer);
        let rests = active.phase == Phase::Reading && active.rest_since_ms.is_some();
        if rests || waits_for_head || body_is_due || active.phase == Phase::Lingering {
            self.schedule(index);
        }
    }

    /// The connection's input with room behind it, or a buffer from the pool. A head that outgrows
    /// a pooled buffer moves to one of the size of the largest head allowed; the machine refuses
    /// longer heads itself.
    fn input_buffer(&mut self, index: u32) -> Option<Buffer> {
        let Some(mut buffer) = self.actives.get_mut(index)?.input.take() else {
            return self.io.buffer();
        };
        buffer.compact();
        if buffer.spare_len() > 0 {
            return Some(buffer);
        }
        let capacity = self.shared.limits.head_bytes_max.max(buffer.capacity() * 2);
        let mut larger = Buffer::with_capacity(capacity);
        larger.extend_from_slice(buffer.filled());
        self.io.recycle(buffer);
        Some(larger)
    }

    fn starve(&mut self, index: u32) {
        let Some(active) = self.actives.get_mut(index) else { return };
        if !std::mem::replace(&mut active.starving, true) {
            self.counters.add(Counter::BuffersExhausted, 1);
            self.starved.push_back(active.token);
        }
    }

    /// Body bytes go to the origin, or nowhere when the exchange no longer wants them.
    fn on_body(&mut self, index: u32, bytes: &[u8]) {
        let Some(active) = self.actives.get_mut(index) else { return };
        let kept = match &active.upload {
            Some(upload) => upload.push(Bytes::copy_from_slice(bytes)).is_ok(),
            None => false,
        };
        if kept || bytes.is_empty() {
            return;
        }
        // RFC 9112 section 9.3: read the rest so that the connection can be reused, within a bound.
        active.drained_bytes += bytes.len() as u64;
        if active.drained_bytes > self.shared.drain_bytes_max {
            active.conn.close_after_response();
            if active.phase == Phase::Reading {
                let token = active.token;
                self.close(token, CloseReason::BodyUnread);
            }
        }
    }

    /// The request has been read to its end.
    fn on_body_end(&mut self, index: u32) {
        let Some(active) = self.actives.get_mut(index) else { return };
        active.rx_flow = None;
        if let Some(upload) = &active.upload {
            upload.finish();
        }
    }

    /// A message that breaks a rule: say which, then close (RFC 9112 section 2.2).
    fn reject(&mut self, index: u32, reject: Reject, draining: bool) {
        self.counters.add(Counter::of_reject(reject.status()), 1);
        let Some(active) = self.actives.get_mut(index) else { return };
        if let Some(upload) = active.upload.take() {
            upload.abort();
        }
        let token = active.token;
        if draining {
            // Its exchange has been answered: a second answer would be taken for the next one's.
            active.conn.end_response();
            return self.linger(index);
        }
        active.conn.close_after_response();
        let can_answer = match active.phase {
            Phase::Reading => !active.sending,
            // A body turned out malformed; what is being sent can only be the interim response.
            Phase::AwaitsFill | Phase::AwaitsPages | Phase::AwaitsSocket => true,
            Phase::Responding | Phase::Lingering => false,
        };
        if can_answer {
            let cause = reject.to_string();
            self.answer(index, reject.status(), &cause, None);
        } else {
            self.close(token, CloseReason::Rejected);
        }
    }

    /// Reads what a lingering peer still sends, and throws it away.
    fn discard_lingering(&mut self, index: u32) -> Looked {
        let drain_bytes_max = self.shared.drain_bytes_max;
        let Some(active) = self.actives.get_mut(index) else { return Looked::Stop };
        let token = active.token;
        if let Some(buffer) = &mut active.input {
            active.drained_bytes += buffer.len() as u64;
            buffer.clear();
        }
        if active.drained_bytes > drain_bytes_max {
            self.close(token, CloseReason::BodyUnread);
            return Looked::Stop;
        }
        Looked::Receive
    }
}
