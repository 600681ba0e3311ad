//! Event streams whose every byte is known beforehand: numbered events, from 1 on.
//!
//! Origins such as [`echo`](crate::echo) send them, a load checks that they come whole and in
//! order. A stream is at rest between two events and, if its body is chunked, between two chunks:
//! then all that there is to know of it are the next number and the framing.

use std::fmt::Write as _;

use longhold_http1::{BodyFraming, ChunkEvent, Chunked, Limits, ResponseHead};
use xxhash_rust::xxh3::xxh3_64;

use crate::answer::{Answer, Progress};
use crate::fault::Fault;
use crate::verify::Body;

/// Writes event `number` behind what is in `text`.
pub(crate) fn write_event(number: u32, text: &mut String) {
    let hash = xxh3_64(&number.to_le_bytes());
    // Writing to a string does not fail.
    let _ = write!(text, "id: {number}\ndata: longhold event {number} {hash:016x}\n\n");
}

/// The head of a stream, whose events are chunks.
pub fn stream_head() -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {STREAM_TYPE}\r\nCache-Control: no-store\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    )
}

/// Writes event `number` as a chunk of its own.
pub fn write_chunk(number: u32, out: &mut Vec<u8>) {
    let mut event = String::new();
    write_event(number, &mut event);
    out.extend_from_slice(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
}

/// The interval that a target such as `/events?interval=10s` asks for, in milliseconds: a whole
/// number of `ms` or `s`, up to a day. `None` for any other target.
pub fn interval_ms(target: &str) -> Option<u32> {
    let (path, query) = target.split_once('?')?;
    let value = query.split('&').find_map(|parameter| parameter.strip_prefix("interval="))?;
    let ms = match (value.strip_suffix("ms"), value.strip_suffix('s')) {
        (Some(number), _) => number.parse::<u32>().ok()?,
        (None, Some(number)) => number.parse::<u32>().ok()?.checked_mul(1000)?,
        (None, None) => return None,
    };
    (path == PATH && (1..=INTERVAL_MS_MAX).contains(&ms)).then_some(ms)
}

/// Where a stream at rest goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Number of the event that comes next.
    pub(crate) next: u32,
    /// The body is chunked.
    pub(crate) is_chunked: bool,
}

/// Reads a stream from its head, or from where it rested, to where it rests again.
#[derive(Debug)]
pub(crate) struct EventReader {
    framing: Framing,
    next: u32,
    /// The awaited event, and how much of it has come.
    awaited: String,
    matched: usize,
    body_bytes: u64,
}

#[derive(Debug)]
enum Framing {
    Head,
    Chunked(Chunked),
    UntilClose,
}

impl Default for EventReader {
    fn default() -> Self {
        let mut reader = Self {
            framing: Framing::Head,
            next: 1,
            awaited: String::new(),
            matched: 0,
            body_bytes: 0,
        };
        reader.await_event(1);
        reader
    }
}

impl EventReader {
    /// Waits for a head, or for what comes at `place`.
    pub(crate) fn reset(&mut self, place: Option<Place>) {
        self.framing = match place {
            None => Framing::Head,
            Some(Place { is_chunked: true, .. }) => Framing::Chunked(Chunked::new()),
            Some(Place { is_chunked: false, .. }) => Framing::UntilClose,
        };
        self.body_bytes = 0;
        self.await_event(place.map_or(1, |place| place.next));
    }

    /// Where the stream rests now.
    pub(crate) fn place(&self) -> Place {
        Place { next: self.next, is_chunked: matches!(self.framing, Framing::Chunked(_)) }
    }

    /// Reads all of `input`: complete when the stream rests behind at least one event.
    ///
    /// # Errors
    /// Anything but the events that are due; the connection is of no further use.
    pub(crate) fn read(&mut self, input: &[u8]) -> Result<(usize, Progress), Fault> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or(&[]);
            match &mut self.framing {
                Framing::Head => match self.read_head(rest)? {
                    Some(head_bytes) => used += head_bytes,
                    None => return Ok((used, Progress::More)),
                },
                Framing::UntilClose => {
                    self.take(rest)?;
                    used = input.len();
                }
                Framing::Chunked(chunked) => {
                    let decoded = chunked.decode(rest, &Limits::default());
                    let (consumed, event) = decoded.map_err(Fault::BadSyntax)?;
                    used += consumed;
                    match event {
                        ChunkEvent::NeedMore => {}
                        ChunkEvent::Data(data) => self.take(data)?,
                        ChunkEvent::End => return Err(Fault::ClosedWhileParked),
                    }
                }
            }
            if used == input.len() {
                return Ok((used, self.progress()));
            }
        }
    }

    fn read_head(&mut self, input: &[u8]) -> Result<Option<usize>, Fault> {
        let parsed = longhold_http1::parse_response(input, &Limits::default());
        let Some(head) = parsed.map_err(Fault::BadSyntax)? else { return Ok(None) };
        if head.status != STATUS_OK || !is_stream(&head) {
            return Err(Fault::WrongStatus { found: head.status });
        }
        self.framing = match head.framing(false) {
            BodyFraming::Chunked => Framing::Chunked(Chunked::new()),
            BodyFraming::UntilClose => Framing::UntilClose,
            BodyFraming::None | BodyFraming::Length(_) => {
                return Err(Fault::WrongEvent { awaited: self.next });
            }
        };
        Ok(Some(head.head_bytes))
    }

    /// Compares data with the events that are due.
    fn take(&mut self, mut data: &[u8]) -> Result<(), Fault> {
        self.body_bytes += data.len() as u64;
        while !data.is_empty() {
            let due = self.awaited.as_bytes().get(self.matched..).unwrap_or(&[]);
            let (piece, rest) = data.split_at(data.len().min(due.len()));
            if !due.starts_with(piece) {
                return Err(Fault::WrongEvent { awaited: self.next });
            }
            self.matched += piece.len();
            if self.matched == self.awaited.len() {
                self.await_event(self.next.wrapping_add(1));
            }
            data = rest;
        }
        Ok(())
    }

    fn await_event(&mut self, number: u32) {
        (self.next, self.matched) = (number, 0);
        self.awaited.clear();
        write_event(number, &mut self.awaited);
    }

    fn progress(&self) -> Progress {
        let between = match &self.framing {
            Framing::Head => false,
            Framing::UntilClose => true,
            Framing::Chunked(chunked) => chunked.is_between_chunks(),
        };
        if !between || self.matched > 0 || self.body_bytes == 0 {
            return Progress::More;
        }
        let body = Body { length_bytes: self.body_bytes, hash: 0 };
        Progress::Complete(Answer { status: STATUS_OK, body, hit: None, reusable: true })
    }
}

fn is_stream(head: &ResponseHead<'_>) -> bool {
    let types = |(name, value): &(&str, &[u8])| {
        name.eq_ignore_ascii_case("content-type") && value.starts_with(STREAM_TYPE.as_bytes())
    };
    head.fields.iter().any(types)
}

/// Where streams are served.
pub(crate) const PATH: &str = "/events";
/// Their media type.
pub(crate) const STREAM_TYPE: &str = "text/event-stream";
const INTERVAL_MS_MAX: u32 = 24 * 3_600_000;
const STATUS_OK: u16 = 200;

#[cfg(test)]
mod tests;
