//! Inner transitions of the driver: each completion and each timeout, by the connection's state.

use longhold_transport::{Buffer, Completion, IoFault, Token};

use super::{Driver, Event, NONE, State};
use crate::answer::{Answer, Progress};
use crate::dial::Dial;
use crate::fault::Fault;
use crate::target::Outgoing;

impl<T: Dial + ?Sized> Driver<'_, T> {
    pub(super) fn handle_completion(&mut self, completion: Completion<Outgoing>) {
        match completion {
            Completion::Connected { ticket, result } => {
                // Tickets are connection numbers, which are 32 bits.
                self.on_connected(ticket as u32, result);
            }
            Completion::Readable { token } | Completion::Unparked { token } => {
                self.on_readable(token);
            }
            Completion::Received { token, buffer, result } => {
                self.on_received(token, buffer, result);
            }
            Completion::Sent { token, payload, result } => {
                self.on_sent(token, payload, result);
            }
            Completion::Closed { token } => {
                if let Some(connection) = self.slots.release(token) {
                    self.on_closed(connection);
                }
            }
            Completion::Secured { token, result } => {
                if result.is_err()
                    && let Some(connection) = self.slots.owner(token)
                {
                    self.lose(connection, Fault::HandshakeFailed);
                }
            }
            // A load neither listens, nor shuts a write half, nor gives its waker away; and its
            // transport secures nothing.
            Completion::Accepted { .. }
            | Completion::AcceptFailed { .. }
            | Completion::ShutDown { .. }
            | Completion::Woken => {}
        }
    }

    /// Gives free exchanges to connections that spoke while parked, and receives what they say.
    pub(super) fn examine(&mut self) {
        while self.has_room() {
            let Some(connection) = self.unexamined.pop_front() else { return };
            if self.state(connection) == Some(State::Examining)
                && self.take_exchange(connection).is_some()
            {
                self.go_on_hearing(connection);
                self.receive(connection);
            }
        }
    }

    /// Ends what takes longer than its timeout.
    pub(super) fn sweep(&mut self) {
        for index in 0..self.exchanges.len() {
            let Some(exchange) = self.exchanges.get(index) else { return };
            let connection = exchange.connection;
            if connection == NONE {
                continue;
            }
            let (answered, started_us) = (exchange.answer.is_some(), exchange.started_us);
            let elapsed_ms = self.turn_us.saturating_sub(started_us) / 1000;
            match self.state(connection) {
                Some(State::Connecting) if elapsed_ms >= self.settings.connect_timeout_ms => {
                    self.release_exchange(connection);
                    self.lose(connection, Fault::ConnectTimedOut);
                }
                Some(State::Exchanging | State::Waking | State::Examining)
                    if !answered && elapsed_ms >= self.settings.answer_timeout_ms =>
                {
                    self.lose(connection, Fault::AnswerTimedOut);
                }
                Some(
                    State::Idle
                    | State::Connecting
                    | State::Abandoned
                    | State::Exchanging
                    | State::Waking
                    | State::Parked
                    | State::Examining
                    | State::Closing,
                )
                | None => {}
            }
        }
    }

    fn on_connected(&mut self, connection: u32, result: Result<u32, IoFault>) {
        let abandoned = self.state(connection) == Some(State::Abandoned);
        let opened = match result {
            Ok(slot) => self.slots.open(slot, connection).ok_or(IoFault::Exhausted),
            Err(fault) => Err(fault),
        };
        match opened {
            Ok(token) => {
                if let Some(holder) = self.connections.get_mut(connection as usize) {
                    (holder.slot, holder.state) = (token.slot, State::Exchanging);
                }
                if abandoned {
                    self.close(connection);
                    return;
                }
                let started_us =
                    self.exchange(connection).map_or(0, |exchange| exchange.started_us);
                let latency_us = self.turn_us.saturating_sub(started_us);
                self.events.push_back(Event::Connected { connection, latency_us });
                if !self.transport.begin(token, self.target.security()) {
                    return self.lose(connection, Fault::HandshakeFailed);
                }
                self.request(connection);
            }
            Err(fault) => {
                if !abandoned {
                    let fault = Fault::of_connect(fault);
                    self.events.push_back(Event::Lost { connection, fault, parked: false });
                }
                self.on_closed(connection);
            }
        }
    }

    fn on_readable(&mut self, token: Token) {
        let Some(connection) = self.slots.owner(token) else { return };
        match self.state(connection) {
            Some(State::Parked) => {
                self.set_state(connection, State::Examining);
                self.unexamined.push_back(connection);
                self.examine();
            }
            Some(State::Waking) => {
                self.set_state(connection, State::Exchanging);
                self.receive(connection);
            }
            Some(
                State::Idle
                | State::Connecting
                | State::Abandoned
                | State::Exchanging
                | State::Examining
                | State::Closing,
            )
            | None => {}
        }
    }

    fn on_received(&mut self, token: Token, buffer: Buffer, result: Result<usize, IoFault>) {
        let Some(connection) = self.slots.owner(token) else { return };
        let (state, hears) = (self.state(connection), !self.streams.is_empty());
        let Some(exchange) = self.exchange(connection) else { return };
        match state {
            Some(State::Exchanging) => {
                let read = match result {
                    Ok(0) => {
                        exchange.buffer = Some(buffer);
                        let unanswered = !exchange.bytes_seen;
                        let ended = exchange.reader.read_end().map(Some);
                        if unanswered { Err(Fault::ClosedUnanswered) } else { ended }
                    }
                    Ok(_) => {
                        exchange.bytes_seen = true;
                        self.read_answer(connection, token, buffer)
                    }
                    Err(fault) => {
                        exchange.buffer = Some(buffer);
                        Err(Fault::ReceiveFailed(fault))
                    }
                };
                match read {
                    Ok(None) => {}
                    Ok(Some(answer)) => self.on_answer(connection, answer),
                    Err(fault) => self.lose(connection, fault),
                }
            }
            Some(State::Examining) if hears => {
                self.on_events(token, buffer, result);
            }
            Some(State::Examining) => {
                exchange.buffer = Some(buffer);
                let fault = match result {
                    Ok(0) => Fault::ClosedWhileParked,
                    Ok(_) => Fault::Unsolicited,
                    Err(fault) => Fault::ReceiveFailed(fault),
                };
                self.lose(connection, fault);
            }
            Some(
                State::Idle
                | State::Connecting
                | State::Abandoned
                | State::Waking
                | State::Parked
                | State::Closing,
            )
            | None => exchange.buffer = Some(buffer),
        }
    }

    /// Feeds what was received to the reader; `None`: more was asked for.
    pub(super) fn read_answer(
        &mut self,
        connection: u32,
        token: Token,
        mut buffer: Buffer,
    ) -> Result<Option<Answer>, Fault> {
        let Some(exchange) = self.exchange(connection) else { return Ok(None) };
        let read = exchange.reader.read(buffer.filled());
        if let Ok((used, _)) = read {
            buffer.consume(used);
        }
        match read {
            Ok((_, Progress::More)) => {
                if buffer.spare_len() < buffer.capacity() / 2 {
                    buffer.compact();
                }
                if buffer.spare_len() == 0 {
                    return Err(Fault::HeadTooLong);
                }
                self.transport.receive(token, buffer);
                Ok(None)
            }
            Ok((_, Progress::Complete(_))) if !buffer.is_empty() => Err(Fault::Unsolicited),
            Ok((_, Progress::Complete(answer))) => {
                exchange.buffer = Some(buffer);
                Ok(Some(answer))
            }
            Err(fault) => Err(fault),
        }
    }

    fn on_sent(&mut self, token: Token, request: Outgoing, result: Result<usize, IoFault>) {
        let Some(connection) = self.slots.owner(token) else { return };
        let asking = matches!(self.state(connection), Some(State::Exchanging | State::Waking));
        if !asking {
            return;
        }
        match result {
            Ok(_) if request.is_sent() => {
                let Some(exchange) = self.exchange(connection) else { return };
                exchange.sending = false;
                if let Some(answer) = exchange.answer {
                    self.tell_answer(connection, answer);
                }
            }
            Ok(_) => self.transport.send(token, request),
            // The server may have answered and closed before it read all: what it said counts, and
            // the receive that is under way, or the park, tells it.
            Err(IoFault::BrokenPipe | IoFault::Reset) => {
                if let Some(exchange) = self.exchange(connection) {
                    exchange.sending = false;
                }
            }
            Err(fault) => self.lose(connection, Fault::SendFailed(fault)),
        }
    }

    fn on_answer(&mut self, connection: u32, answer: Answer) {
        let Some(exchange) = self.exchange(connection) else { return };
        exchange.answer = Some(answer);
        if !exchange.sending {
            self.tell_answer(connection, answer);
        }
    }

    fn tell_answer(&mut self, connection: u32, answer: Answer) {
        self.note_place(connection);
        let turn_us = self.turn_us;
        let Some(exchange) = self.exchange(connection) else { return };
        let latency_us = turn_us.saturating_sub(exchange.started_us);
        self.events.push_back(Event::Answered { connection, answer, latency_us });
    }

    fn on_closed(&mut self, connection: u32) {
        self.release_exchange(connection);
        if let Some(holder) = self.connections.get_mut(connection as usize) {
            (holder.state, holder.slot, holder.greeted) = (State::Idle, NONE, false);
        }
        self.open -= 1;
        self.events.push_back(Event::Closed { connection });
    }

    pub(super) fn lose(&mut self, connection: u32, fault: Fault) {
        let state = self.state(connection);
        let parked = matches!(state, Some(State::Waking | State::Examining | State::Parked));
        self.events.push_back(Event::Lost { connection, fault, parked });
        self.close(connection);
    }
}
