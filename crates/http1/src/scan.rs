//! Finds a head's end and holds every line end to CRLF, before anything is made of the bytes.
//!
//! The scan goes from front to back and stops at the first fault, so a prefix of a head gives the
//! verdict of the whole (H1-2). It reads 8 bytes at a time: a peer that sends a head of 32 KiB byte
//! by byte costs some 0.1 s of it in all, less than the kernel spends on the same packets.

use crate::error::Reject;

/// Where a complete head lies in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Bytes of the first line, without its CRLF.
    pub(crate) first_line_bytes: usize,
    /// Bytes up to and including the empty line.
    pub(crate) bytes: usize,
}

/// Bounds of one scan, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The whole head.
    pub(crate) head_bytes_max: usize,
    /// The first line without its CRLF.
    pub(crate) first_line_bytes_max: usize,
    /// What a first line beyond that is called.
    pub(crate) first_line_reject: Reject,
}

/// Looks for the head that begins at the front of `input`. `None`: it goes on beyond `input`.
///
/// # Errors
/// [`Reject::BareCr`], [`Reject::BareLf`], [`Reject::ObsFold`], [`Reject::HeadTooLarge`] and the
/// reject in `bounds`.
pub(crate) fn head(input: &[u8], bounds: &Bounds) -> Result<Option<Span>, Reject> {
    let window = input.get(..bounds.head_bytes_max).unwrap_or(input);
    let mut first_line_bytes = None;
    let mut rest = window;
    loop {
        if first_line_bytes.is_some()
            && let [b' ' | b'\t', ..] = rest
        {
            return Err(Reject::ObsFold);
        }
        let line_break = find_line_break(rest);
        if first_line_bytes.is_none()
            && line_break.unwrap_or(rest.len()) > bounds.first_line_bytes_max
        {
            return Err(bounds.first_line_reject);
        }
        let Some((line, after)) = line_break.and_then(|at| rest.split_at_checked(at)) else {
            break;
        };
        match after {
            [b'\r', b'\n', next @ ..] => {
                match first_line_bytes {
                    None => first_line_bytes = Some(line.len()),
                    Some(first_line_bytes) if line.is_empty() => {
                        let bytes = window.len() - next.len();
                        return Ok(Some(Span { first_line_bytes, bytes }));
                    }
                    Some(_) => {}
                }
                rest = next;
            }
            [b'\r'] => break,
            [b'\r', ..] => return Err(Reject::BareCr),
            _ => return Err(Reject::BareLf),
        }
    }
    match (window.len() < bounds.head_bytes_max, first_line_bytes) {
        (true, _) => Ok(None),
        (false, None) => Err(bounds.first_line_reject),
        (false, Some(_)) => Err(Reject::HeadTooLarge),
    }
}

/// Where the first CR or LF is.
fn find_line_break(bytes: &[u8]) -> Option<usize> {
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zero_bytes(word ^ EVERY_CR) | zero_bytes(word ^ EVERY_LF);
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = tail.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    Some(words.len() * 8 + at)
}

/// The high bit of every zero byte; bits above the lowest one found may be set without cause.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(EVERY_ONE) & !word & EVERY_HIGH_BIT
}

const EVERY_ONE: u64 = 0x0101_0101_0101_0101;
const EVERY_HIGH_BIT: u64 = 0x8080_8080_8080_8080;
const EVERY_CR: u64 = EVERY_ONE * b'\r' as u64;
const EVERY_LF: u64 = EVERY_ONE * b'\n' as u64;
