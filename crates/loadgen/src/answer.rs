//! Reads one answer from pieces of a byte stream, hashing its body as it passes.
//!
//! Pure: bytes in, progress out. Nothing of the body is kept.
//!
//! ```text
//!         ┌─ Length ────┐
//!  Head ──┼─ Chunked ───┼──► complete (the rest of the input belongs to no request)
//!         └─ UntilClose ┘      or a fault
//! ```

use longhold_http1::{BodyFraming, ChunkEvent, Chunked, Limits, ResponseHead};
use xxhash_rust::xxh3::Xxh3;

use crate::cache_status;
use crate::fault::Fault;
use crate::verify::Body;

/// What is kept of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Length and hash of the body, without framing.
    pub body: Body,
    /// What `Cache-Status` says, if it was there.
    pub hit: Option<bool>,
    /// Whether another request may follow on this connection.
    pub reusable: bool,
}

/// What a piece of input led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The input is used up as far as can be; more is needed.
    More,
    /// The answer is complete.
    Complete(Answer),
}

/// Reads one answer to a `GET`; [`reset`](Self::reset) makes it ready for the next.
pub struct AnswerReader {
    phase: Phase,
    status: u16,
    hit: Option<bool>,
    reusable: bool,
    length_bytes: u64,
    length_bytes_max: u64,
    hasher: Xxh3,
    limits: Limits,
}

enum Phase {
    Head,
    Length { left_bytes: u64 },
    Chunked(Chunked),
    UntilClose,
}

impl AnswerReader {
    /// A reader that waits for a head.
    pub fn new() -> Self {
        Self {
            phase: Phase::Head,
            status: 0,
            hit: None,
            reusable: false,
            length_bytes: 0,
            length_bytes_max: u64::MAX,
            hasher: Xxh3::new(),
            limits: Limits::default(),
        }
    }

    /// Waits for a head again. A body of more than `length_bytes_max` bytes is a fault as soon as
    /// the byte after that arrives.
    pub fn reset(&mut self, length_bytes_max: u64) {
        self.phase = Phase::Head;
        (self.status, self.hit, self.reusable) = (0, None, false);
        (self.length_bytes, self.length_bytes_max) = (0, length_bytes_max);
        self.hasher.reset();
    }

    /// Reads from the front of `input`: how many bytes are used up, and what that led to. Bytes
    /// that are not used up must be offered again, with more behind them.
    ///
    /// # Errors
    /// [`Fault::BadSyntax`] or [`Fault::WrongLength`]; the connection is of no further use.
    pub fn read(&mut self, input: &[u8]) -> Result<(usize, Progress), Fault> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or(&[]);
            let before = used;
            match &mut self.phase {
                Phase::Head => match self.read_head(rest)? {
                    None => return Ok((used, Progress::More)),
                    Some((head_bytes, complete)) => {
                        used += head_bytes;
                        if complete {
                            return Ok((used, Progress::Complete(self.answer())));
                        }
                    }
                },
                Phase::Length { left_bytes } => {
                    let take = usize::try_from(*left_bytes)
                        .map_or(rest.len(), |left| left.min(rest.len()));
                    *left_bytes -= take as u64;
                    let complete = *left_bytes == 0;
                    self.take_body(rest.get(..take).unwrap_or(&[]))?;
                    used += take;
                    if complete {
                        return Ok((used, Progress::Complete(self.answer())));
                    }
                }
                Phase::Chunked(decoder) => {
                    let (consumed, event) =
                        decoder.decode(rest, &self.limits).map_err(Fault::BadSyntax)?;
                    used += consumed;
                    match event {
                        ChunkEvent::NeedMore => {}
                        ChunkEvent::Data(data) => self.take_body(data)?,
                        ChunkEvent::End => return Ok((used, Progress::Complete(self.answer()))),
                    }
                }
                Phase::UntilClose => {
                    self.take_body(rest)?;
                    used = input.len();
                }
            }
            if used == before || used == input.len() {
                return Ok((used, Progress::More));
            }
        }
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// [`Fault::Truncated`], unless the end is what frames this answer.
    pub fn read_end(&self) -> Result<Answer, Fault> {
        match self.phase {
            Phase::UntilClose => Ok(self.answer()),
            Phase::Head | Phase::Length { .. } | Phase::Chunked(_) => Err(Fault::Truncated),
        }
    }

    /// Reads a final head: its length, and whether the answer ends with it. Interim responses are
    /// skipped (RFC 9110 section 15.2). `None`: more bytes are needed.
    fn read_head(&mut self, input: &[u8]) -> Result<Option<(usize, bool)>, Fault> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or(&[]);
            let parsed = longhold_http1::parse_response(rest, &self.limits);
            let Some(head) = parsed.map_err(Fault::BadSyntax)? else {
                return Ok(None);
            };
            used += head.head_bytes;
            match head.status {
                // Nobody asked to switch protocols, and nothing that follows could be read.
                101 => return Err(Fault::WrongStatus { found: 101 }),
                100..=199 => {}
                _ => return Ok(Some((used, self.take_head(&head)?))),
            }
        }
    }

    /// Keeps what matters of a final head; says whether the answer ends with it.
    fn take_head(&mut self, head: &ResponseHead<'_>) -> Result<bool, Fault> {
        self.status = head.status;
        self.reusable = !head.wants_close;
        if self.status != STATUS_OK {
            self.length_bytes_max = ERROR_BODY_BYTES_MAX;
        }
        let says = head.fields.iter().rfind(|(name, _)| name.eq_ignore_ascii_case("cache-status"));
        self.hit = says.map(|(_, value)| cache_status::is_hit(value));
        let framing = head.framing(false);
        match framing {
            BodyFraming::None | BodyFraming::Length(0) => return Ok(true),
            BodyFraming::Length(left_bytes) if left_bytes > self.length_bytes_max => {
                return Err(self.too_long(left_bytes));
            }
            BodyFraming::Length(left_bytes) => self.phase = Phase::Length { left_bytes },
            BodyFraming::Chunked => self.phase = Phase::Chunked(Chunked::new()),
            BodyFraming::UntilClose => {
                self.phase = Phase::UntilClose;
                self.reusable = false;
            }
        }
        Ok(false)
    }

    fn take_body(&mut self, data: &[u8]) -> Result<(), Fault> {
        self.length_bytes += data.len() as u64;
        if self.length_bytes > self.length_bytes_max {
            return Err(self.too_long(self.length_bytes));
        }
        self.hasher.update(data);
        Ok(())
    }

    fn too_long(&self, found_bytes: u64) -> Fault {
        if self.status == STATUS_OK {
            Fault::WrongLength { found_bytes }
        } else {
            Fault::WrongStatus { found: self.status }
        }
    }

    fn answer(&self) -> Answer {
        let body = Body { length_bytes: self.length_bytes, hash: self.hasher.digest() };
        Answer { status: self.status, body, hit: self.hit, reusable: self.reusable }
    }
}

impl Default for AnswerReader {
    fn default() -> Self {
        Self::new()
    }
}

const STATUS_OK: u16 = 200;
/// Of an answer with another status, this much body is read before the connection is given up.
const ERROR_BODY_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests;
