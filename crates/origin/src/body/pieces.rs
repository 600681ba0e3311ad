//! A run of bytes in memory, kept as few pieces, however small the parts were that it came in.
//!
//! ```text
//!  start            sealed pieces             tail      end
//!    │  Bytes 48 KiB │ Bytes 32 KiB │ Bytes 64 KiB │ 1.2 KiB … │
//! ```
//! A part of at least [`COPY_BELOW_BYTES`] is kept as it came. Smaller ones are copied into blocks,
//! because each of them could pin a whole read buffer and would cost its own queue cell: an origin
//! that sends a gigabyte in one-byte chunks holds no more memory than another.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Parts below this many bytes are copied together.
pub const COPY_BELOW_BYTES: usize = 16 * 1024;

/// The block that small parts are copied into, in bytes.
pub const BLOCK_BYTES: usize = 32 * 1024;

/// The bytes `start()..end()` of a body.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    sealed: VecDeque<Piece>,
    tail: BytesMut,
    end: u64,
}

#[derive(Debug)]
struct Piece {
    start: u64,
    bytes: Bytes,
}

impl Pieces {
    /// Offset of the first byte that is still held; `end()` when nothing is.
    pub(super) fn start(&self) -> u64 {
        self.sealed.front().map_or(self.tail_start(), |piece| piece.start)
    }

    /// Offset behind the last byte that was ever pushed.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes held.
    pub(super) fn held_bytes(&self) -> u64 {
        self.end - self.start()
    }

    /// Before anything was pushed: the first part begins there.
    pub(super) fn begin_at(&mut self, start: u64) {
        self.end = start;
    }

    /// Appends a part; an empty one changes nothing.
    pub(super) fn push(&mut self, bytes: Bytes) {
        if bytes.len() >= COPY_BELOW_BYTES {
            self.seal_tail();
            let start = self.end;
            self.end += bytes.len() as u64;
            self.sealed.push_back(Piece { start, bytes });
            return;
        }
        if self.tail.len() + bytes.len() > BLOCK_BYTES {
            self.seal_tail();
        }
        self.tail.extend_from_slice(&bytes);
        self.end += bytes.len() as u64;
    }

    /// At most `max_bytes` from `position` on, `None` at the end or before the start. Bytes of the
    /// open tail are copied, so that the tail may go on growing.
    pub(super) fn read(&self, position: u64, max_bytes: usize) -> Option<Bytes> {
        if position < self.start() || position >= self.end {
            return None;
        }
        let tail_start = self.tail_start();
        if position >= tail_start {
            let from = offset_in(position, tail_start);
            let rest = self.tail.get(from..)?;
            return Some(Bytes::copy_from_slice(&rest[..rest.len().min(max_bytes)]));
        }
        let index = self.sealed.partition_point(|piece| piece.end() <= position);
        let piece = self.sealed.get(index)?;
        let from = offset_in(position, piece.start);
        let upto = piece.bytes.len().min(from.saturating_add(max_bytes));
        Some(piece.bytes.slice(from..upto))
    }

    /// Takes the front part out; for the single consumer of an upload.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        if let Some(piece) = self.sealed.pop_front() {
            return Some(piece.bytes);
        }
        if self.tail.is_empty() { None } else { Some(std::mem::take(&mut self.tail).freeze()) }
    }

    /// Drops the pieces that lie wholly below `floor`.
    pub(super) fn release_below(&mut self, floor: u64) {
        while self.sealed.front().is_some_and(|piece| piece.end() <= floor) {
            self.sealed.pop_front();
        }
        if self.sealed.is_empty() && floor >= self.end {
            self.tail = BytesMut::new();
        }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.sealed = VecDeque::new();
        self.tail = BytesMut::new();
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            let start = self.tail_start();
            let bytes = std::mem::take(&mut self.tail).freeze();
            self.sealed.push_back(Piece { start, bytes });
        }
    }

    fn tail_start(&self) -> u64 {
        self.end - self.tail.len() as u64
    }
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// The distance from `start` to `position`, which lies inside one piece and so fits a `usize`.
fn offset_in(position: u64, start: u64) -> usize {
    usize::try_from(position - start).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
