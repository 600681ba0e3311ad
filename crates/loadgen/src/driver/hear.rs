//! Event streams: what comes on a parked connection is read from where it rested, and it rests
//! again.

use longhold_transport::{Buffer, IoFault, Token};

use super::{Driver, Event, Reader, State};
use crate::answer::Answer;
use crate::dial::Dial;
use crate::fault::Fault;

impl<T: Dial + ?Sized> Driver<'_, T> {
    /// A stream that has spoken is read on from its place.
    pub(super) fn go_on_hearing(&mut self, connection: u32) {
        let Some(stream) = self.streams.get(connection as usize).copied() else { return };
        if let Some(Reader::Events(reader)) = self.exchange(connection).map(|it| &mut it.reader) {
            reader.reset(Some(stream.place));
        }
    }

    /// What a stream has said.
    pub(super) fn on_events(
        &mut self,
        token: Token,
        buffer: Buffer,
        result: Result<usize, IoFault>,
    ) {
        let Some(connection) = self.slots.owner(token) else { return };
        let Some(exchange) = self.exchange(connection) else { return };
        let heard = match result {
            Ok(1..) => {
                exchange.bytes_seen = true;
                self.read_answer(connection, token, buffer)
            }
            Ok(0) | Err(_) => {
                exchange.buffer = Some(buffer);
                let ended = match exchange.bytes_seen {
                    true => Fault::Truncated,
                    false => Fault::ClosedWhileParked,
                };
                Err(result.err().map_or(ended, Fault::ReceiveFailed))
            }
        };
        match heard {
            Ok(None) => {}
            Ok(Some(answer)) => self.on_event(connection, answer),
            Err(fault) => self.lose(connection, fault),
        }
    }

    fn on_event(&mut self, connection: u32, answer: Answer) {
        let before_us = self.streams.get(connection as usize).map_or(0, |stream| stream.heard_us);
        self.note_place(connection);
        self.set_state(connection, State::Exchanging);
        self.park(connection);
        let due_us = before_us + self.interval_us;
        self.events
            .push_back(Event::Heard { answer, late_us: self.turn_us.saturating_sub(due_us) });
    }

    /// A stream has come to rest: where it goes on.
    pub(super) fn note_place(&mut self, connection: u32) {
        let place = match self.exchange(connection).map(|exchange| &exchange.reader) {
            Some(Reader::Events(reader)) => reader.place(),
            Some(Reader::Http(_) | Reader::WebSocket(_)) | None => return,
        };
        let heard_us = self.turn_us;
        if let Some(stream) = self.streams.get_mut(connection as usize) {
            (stream.place, stream.heard_us) = (place, heard_us);
        }
    }

    /// Ends streams that have been silent for too long, a share of them at a time.
    pub(super) fn sweep_streams(&mut self) {
        let share = self.streams.len().div_ceil(SHARES);
        let silent_us = self.interval_us + self.settings.answer_timeout_ms * 1000;
        for _ in 0..share {
            let index = self.next_stream;
            self.next_stream = (index + 1) % self.streams.len();
            let Some(stream) = self.streams.get(index).copied() else { return };
            let connection = index as u32;
            let is_silent = self.turn_us.saturating_sub(stream.heard_us) >= silent_us;
            if is_silent && self.state(connection) == Some(State::Parked) {
                let awaited = stream.place.next;
                self.lose(connection, Fault::EventOverdue { awaited });
            }
        }
    }
}

/// Sweeps that look at all streams once.
const SHARES: usize = 10;
