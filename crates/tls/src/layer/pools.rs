//! Memory that secured connections borrow while bytes move.
//!
//! | pool | one piece | who holds one |
//! |---|---|---|
//! | inputs | a whole record | a connection with a receive in flight, or with part of a record |
//! | small | one sealed record | a connection with a short send in flight |
//! | large | a window of records | the same with a long one |
//!
//! Pieces are made when first needed. Inputs are bounded; a connection that finds none waits for
//! one. There are at most as many small pieces out as there are connections; of them and of the
//! large ones, only so many are kept.

use longhold_transport::Buffer;

use super::wire::Chunk;
use crate::limits::{
    CONTROL_BYTES_MAX, PLAINTEXT_BYTES_MAX, RECORD_BYTES_MAX, SEALED_EXTRA_BYTES_MAX,
};

/// The three pools.
pub(super) struct Pools {
    inputs: Vec<Buffer>,
    inputs_made: u32,
    inputs_max: u32,
    small: Vec<Chunk>,
    large: Vec<Chunk>,
    large_out: u32,
}

impl Pools {
    pub(super) fn new(inputs_max: u32) -> Self {
        Self {
            inputs: Vec::new(),
            inputs_made: 0,
            inputs_max,
            small: Vec::new(),
            large: Vec::new(),
            large_out: 0,
        }
    }

    /// Room for one record off the wire; `None` when all are out.
    pub(super) fn input(&mut self) -> Option<Buffer> {
        if let Some(buffer) = self.inputs.pop() {
            return Some(buffer);
        }
        (self.inputs_made < self.inputs_max).then(|| {
            self.inputs_made += 1;
            Buffer::with_capacity(RECORD_BYTES_MAX)
        })
    }

    /// Whether there is one to be had.
    pub(super) fn has_input(&self) -> bool {
        !self.inputs.is_empty() || self.inputs_made < self.inputs_max
    }

    /// Takes it back.
    pub(super) fn put_input(&mut self, mut buffer: Buffer) {
        buffer.clear();
        self.inputs.push(buffer);
    }

    /// Inputs and kept pieces, by the number of records that they hold.
    pub(super) fn piece_count(&self) -> u32 {
        let large = (self.large.len() + self.large_out as usize) * LARGE_RECORDS;
        self.inputs_made + (self.small.len() + large) as u32
    }

    /// Frees all that is kept for the next.
    pub(super) fn trim(&mut self) {
        self.inputs_made = self.inputs_out();
        self.inputs = Vec::new();
        self.small = Vec::new();
        self.large = Vec::new();
    }

    /// Inputs that are out.
    pub(super) fn inputs_out(&self) -> u32 {
        self.inputs_made - self.inputs.len() as u32
    }

    /// Room for sealing so many bytes; for a part of them when they are many, or when all large
    /// pieces are out: so a crowd of slow readers holds one record each.
    pub(super) fn chunk(&mut self, plain_bytes: usize) -> Chunk {
        if plain_bytes > PLAINTEXT_BYTES_MAX && self.large_out < LARGE_OUT_MAX {
            self.large_out += 1;
            return self.large.pop().unwrap_or_else(|| Chunk::with_room(LARGE_BYTES));
        }
        self.small.pop().unwrap_or_else(|| Chunk::with_room(CHUNK_BYTES))
    }

    /// Takes a chunk back.
    pub(super) fn put_chunk(&mut self, mut chunk: Chunk) {
        chunk.clear();
        let (pool, kept_max) = match chunk.capacity() {
            LARGE_BYTES => {
                self.large_out = self.large_out.saturating_sub(1);
                (&mut self.large, LARGE_KEPT_MAX)
            }
            CHUNK_BYTES => (&mut self.small, SMALL_KEPT_MAX),
            _ => return,
        };
        if pool.len() < kept_max {
            pool.push(chunk);
        }
    }
}

/// One input.
pub const INPUT_BYTES: usize = RECORD_BYTES_MAX;
/// What one record takes at most, and what the session says by itself before it.
pub const CHUNK_BYTES: usize = CONTROL_BYTES_MAX + PLAINTEXT_BYTES_MAX + SEALED_EXTRA_BYTES_MAX;
/// All large pieces together.
pub const WINDOWS_BYTES: usize = LARGE_OUT_MAX as usize * LARGE_BYTES;
/// Records of one window: 64 KiB of plaintext, which the processor's cache still holds when the
/// kernel copies them.
const LARGE_RECORDS: usize = 4;
const LARGE_BYTES: usize =
    CONTROL_BYTES_MAX + LARGE_RECORDS * (PLAINTEXT_BYTES_MAX + SEALED_EXTRA_BYTES_MAX);
/// Large pieces in use at once: 8 MiB. All are kept for the next, because a fresh one costs the
/// system's zeroing and a fault for each page.
const LARGE_OUT_MAX: u32 = 128;
const LARGE_KEPT_MAX: usize = LARGE_OUT_MAX as usize;
/// Small pieces that are kept: 4 MiB.
const SMALL_KEPT_MAX: usize = 256;
