//! Receive buffers and the bounded pool that they come from.
//!
//! A buffer is plain owned memory. Its bytes are zeroed once when it is made and never handed out
//! uninitialised, so that nothing here needs unsafe code; large zeroed allocations are fresh pages
//! from the kernel and cost nothing until touched.

use std::fmt;

/// Size of a pooled buffer.
pub const BUFFER_BYTES: usize = 16 * 1024;

/// Owned bytes with a filled part between two marks: `| consumed | filled | spare |`.
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    pooled: bool,
}

impl Buffer {
    /// An empty buffer of any size that is not the pool's, for heads beyond [`BUFFER_BYTES`].
    pub fn with_capacity(capacity_bytes: usize) -> Self {
        Self { bytes: vec![0; capacity_bytes].into_boxed_slice(), start: 0, end: 0, pooled: false }
    }

    /// Bytes that it could hold if it were empty.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes in the filled part.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether the filled part is empty.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The filled part.
    pub fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or(&[])
    }

    /// The filled part, to be changed in place: decrypted, for one.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Drops up to `bytes` from the front of the filled part. When nothing is left the whole
    /// buffer is spare again.
    pub fn consume(&mut self, bytes: usize) {
        self.start += bytes.min(self.len());
        if self.is_empty() {
            self.clear();
        }
    }

    /// Moves the filled part to the front, so that all free bytes are spare. O(len).
    pub fn compact(&mut self) {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }

    /// Bytes behind the filled part: what a receive may fill.
    pub fn spare_len(&self) -> usize {
        self.bytes.len() - self.end
    }

    /// Appends `bytes`; returns false and changes nothing when they do not fit into the spare
    /// part.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> bool {
        let Some(spare) = self.spare_mut().get_mut(..bytes.len()) else {
            return false;
        };
        spare.copy_from_slice(bytes);
        self.commit(bytes.len());
        true
    }

    /// Has `write` fill the next `len` bytes of the spare part, all of them; returns false and does
    /// not call it when there are not as many.
    pub fn extend_with(&mut self, len: usize, write: impl FnOnce(&mut [u8])) -> bool {
        let Some(spare) = self.spare_mut().get_mut(..len) else {
            return false;
        };
        write(spare);
        self.commit(len);
        true
    }

    /// Forgets all filled bytes but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start + len);
        if self.is_empty() {
            self.clear();
        }
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// The spare part, for a transport to fill.
    pub(crate) fn spare_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Counts `bytes` of the spare part as filled.
    pub(crate) fn commit(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.spare_len(), "a transport filled more than was spare");
        self.end += bytes.min(self.spare_len());
    }
}

impl fmt::Debug for Buffer {
    /// Says how much it holds, not what.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Buffer({} of {} bytes)", self.len(), self.capacity())
    }
}

/// A bounded pool of [`BUFFER_BYTES`] buffers: made when first needed, kept for reuse.
#[derive(Debug)]
pub(crate) struct BufferPool {
    free: Vec<Buffer>,
    made: u32,
    made_max: u32,
}

impl BufferPool {
    /// A pool that never has more than `made_max` buffers, in and out together.
    pub(crate) fn new(made_max: u32) -> Self {
        Self { free: Vec::with_capacity(made_max as usize), made: 0, made_max }
    }

    /// A buffer, empty; `None` when all are out.
    pub(crate) fn take(&mut self) -> Option<Buffer> {
        if let Some(buffer) = self.free.pop() {
            return Some(buffer);
        }
        if self.made == self.made_max {
            return None;
        }
        self.made += 1;
        Some(Buffer { pooled: true, ..Buffer::with_capacity(BUFFER_BYTES) })
    }

    /// Buffers that exist.
    pub(crate) fn made_count(&self) -> u32 {
        self.made
    }

    /// Frees the buffers that are in.
    pub(crate) fn trim(&mut self) {
        self.made = self.out_count();
        self.free.clear();
    }

    /// Buffers that were taken and not put back.
    pub(crate) fn out_count(&self) -> u32 {
        self.made - self.free.len() as u32
    }

    /// Takes a buffer back; one that is not the pool's is dropped.
    pub(crate) fn put(&mut self, mut buffer: Buffer) {
        if buffer.pooled && self.free.len() < self.made_max as usize {
            buffer.clear();
            self.free.push(buffer);
        }
    }
}
