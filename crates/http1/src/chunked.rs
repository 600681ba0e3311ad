//! The chunked transfer coding, taken off (RFC 9112 section 7.1).
//!
//! ```text
//!        ┌────────────────────── next chunk ──────────────────────┐
//! Size ──┼─► (SizeSpace | Extension) ──► SizeLf ──┬─► Data ─► DataCr ─► DataLf
//!        │                                        └─0─► TrailerStart ◄──────┐
//!        │                                               │  └─► Name ─► Value ─► TrailerLf
//!        └ any fault ──► Failed                          └─► EndLf ──► Done
//! ```
//! Byte by byte outside the data, so that cuts cannot matter (H1-2). Extensions are passed over,
//! trailers are checked and dropped (RFC 9110 section 6.5.1 lets any recipient drop them).

use crate::error::Reject;
use crate::field::{hex_value, is_token_byte, is_value_byte};
use crate::limits::Limits;

/// A decoder of one chunked body: plain data, 16 bytes.
#[derive(Clone, Debug)]
pub struct Chunked {
    /// Bytes still to come of the chunk in progress; its size while that is read.
    remaining: u64,
    /// Bytes of the line in progress, or of the trailer section so far.
    line_bytes: u32,
    state: State,
}

/// What one look at the input came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkEvent<'b> {
    /// The input is used up and the body goes on.
    NeedMore,
    /// Bytes of the body, never none. Ask again for what follows them.
    Data(&'b [u8]),
    /// The body and its trailers are over; what follows belongs to the next message.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    SizeSpace,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
    Failed(Reject),
}

impl Chunked {
    /// A decoder before the first chunk.
    pub const fn new() -> Self {
        Self { remaining: 0, line_bytes: 0, state: State::Size }
    }

    /// Whether the whole body has been read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether a chunk has ended, or none has begun, and nothing of the next one has been read: a
    /// new decoder would go on as well.
    pub fn is_between_chunks(&self) -> bool {
        self.state == State::Size && self.line_bytes == 0
    }

    /// Decodes the front of `input`: how many bytes of it are used, and what they gave. Data is
    /// handed out in place. After [`ChunkEvent::End`] nothing more is used.
    ///
    /// # Errors
    /// The rule that the body broke; from then on always the same.
    pub fn decode<'b>(
        &mut self,
        input: &'b [u8],
        limits: &Limits,
    ) -> Result<(usize, ChunkEvent<'b>), Reject> {
        let mut rest = input;
        loop {
            match self.state {
                State::Done => return Ok((input.len() - rest.len(), ChunkEvent::End)),
                State::Failed(reject) => return Err(reject),
                State::Data if !rest.is_empty() => {
                    let data = self.take_data(&mut rest);
                    return Ok((input.len() - rest.len(), ChunkEvent::Data(data)));
                }
                State::Data
                | State::Size
                | State::SizeSpace
                | State::Extension
                | State::SizeLf
                | State::DataCr
                | State::DataLf
                | State::TrailerStart
                | State::TrailerName
                | State::TrailerValue
                | State::TrailerLf
                | State::EndLf => {}
            }
            let Some((byte, behind)) = rest.split_first() else {
                return Ok((input.len(), ChunkEvent::NeedMore));
            };
            match self.next(*byte, limits) {
                Ok(state) => self.state = state,
                Err(reject) => {
                    self.state = State::Failed(reject);
                    return Err(reject);
                }
            }
            rest = behind;
        }
    }

    fn take_data<'b>(&mut self, rest: &mut &'b [u8]) -> &'b [u8] {
        let available = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(rest.len());
        let (data, behind) = rest.split_at_checked(available).unwrap_or((rest, &[]));
        *rest = behind;
        self.remaining = self.remaining.saturating_sub(data.len() as u64);
        if self.remaining == 0 {
            self.state = State::DataCr;
        }
        data
    }

    /// The state after one byte of framing: every state, every class of byte.
    fn next(&mut self, byte: u8, limits: &Limits) -> Result<State, Reject> {
        match self.state {
            State::Size => self.on_size(byte, limits),
            // RFC 9112 section 7.1.1: bad whitespace may stand before the semicolon.
            State::SizeSpace => {
                self.count_size_line(limits)?;
                match byte {
                    b' ' | b'\t' => Ok(State::SizeSpace),
                    b';' => Ok(State::Extension),
                    b'\n' => Err(Reject::BareLf),
                    _ => Err(Reject::InvalidChunkExtension),
                }
            }
            State::Extension if byte == b'\r' => Ok(State::SizeLf),
            State::Extension => {
                self.count_size_line(limits)?;
                line_byte(byte, State::Extension, Reject::InvalidChunkExtension)
            }
            State::SizeLf => {
                expect_lf(byte)?;
                self.line_bytes = 0;
                Ok(if self.remaining == 0 { State::TrailerStart } else { State::Data })
            }
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => Ok(State::Size),
            State::DataCr | State::DataLf => Err(Reject::InvalidChunkEnd),
            State::TrailerStart
            | State::TrailerName
            | State::TrailerValue
            | State::TrailerLf
            | State::EndLf => self.on_trailers(byte, limits),
            // Their bytes are not framing; `decode` hands none of them here.
            State::Data | State::Done => Ok(self.state),
            State::Failed(reject) => Err(reject),
        }
    }

    /// `1*HEXDIG`, then the line's end or an extension; `line_bytes` counts the digits.
    fn on_size(&mut self, byte: u8, limits: &Limits) -> Result<State, Reject> {
        let has_digits = self.line_bytes > 0;
        match byte {
            b'\r' if has_digits => return Ok(State::SizeLf),
            b'\n' => return Err(Reject::BareLf),
            _ => self.count_size_line(limits)?,
        }
        match byte {
            b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => {
                if self.line_bytes > SIZE_DIGITS_MAX {
                    return Err(Reject::ChunkSizeOverflow);
                }
                self.remaining = (self.remaining << 4) | u64::from(hex_value(byte));
                Ok(State::Size)
            }
            b';' if has_digits => Ok(State::Extension),
            b' ' | b'\t' if has_digits => Ok(State::SizeSpace),
            _ => Err(Reject::InvalidChunkSize),
        }
    }

    /// `*( field-line CRLF ) CRLF`; `line_bytes` counts all of it.
    fn on_trailers(&mut self, byte: u8, limits: &Limits) -> Result<State, Reject> {
        self.count(limits.trailer_bytes_max, Reject::TrailersTooLarge)?;
        match self.state {
            State::TrailerStart => match byte {
                b'\r' => Ok(State::EndLf),
                b'\n' => Err(Reject::BareLf),
                byte if is_token_byte(byte) => Ok(State::TrailerName),
                _ => Err(Reject::InvalidTrailer),
            },
            State::TrailerName => match byte {
                b':' => Ok(State::TrailerValue),
                b'\n' => Err(Reject::BareLf),
                byte if is_token_byte(byte) => Ok(State::TrailerName),
                _ => Err(Reject::InvalidTrailer),
            },
            State::TrailerValue if byte == b'\r' => Ok(State::TrailerLf),
            State::TrailerValue => line_byte(byte, State::TrailerValue, Reject::InvalidTrailer),
            State::TrailerLf => expect_lf(byte).map(|()| State::TrailerStart),
            State::EndLf => expect_lf(byte).map(|()| State::Done),
            State::Size
            | State::SizeSpace
            | State::Extension
            | State::SizeLf
            | State::Data
            | State::DataCr
            | State::DataLf
            | State::Done
            | State::Failed(_) => Ok(self.state),
        }
    }

    fn count_size_line(&mut self, limits: &Limits) -> Result<(), Reject> {
        self.count(limits.chunk_line_bytes_max, Reject::ChunkLineTooLong)
    }

    fn count(&mut self, bytes_max: usize, reject: Reject) -> Result<(), Reject> {
        self.line_bytes = self.line_bytes.saturating_add(1);
        if self.line_bytes as usize > bytes_max { Err(reject) } else { Ok(()) }
    }
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

fn expect_lf(byte: u8) -> Result<(), Reject> {
    if byte == b'\n' { Ok(()) } else { Err(Reject::BareCr) }
}

/// A byte within a line of text: it stays in `state`, or it is refused.
fn line_byte(byte: u8, state: State, reject: Reject) -> Result<State, Reject> {
    match byte {
        b'\n' => Err(Reject::BareLf),
        byte if is_value_byte(byte) => Ok(state),
        _ => Err(reject),
    }
}

/// Digits of the largest size that 64 bits hold.
const SIZE_DIGITS_MAX: u32 = 16;

const _: () = assert!(size_of::<Chunked>() <= 16);
