//! What the layer hands to the transport below: the caller's payload as it is, or sealed bytes.

use longhold_transport::{Parts, Payload};

/// A payload on its way through the transport below.
pub enum Wire<P> {
    /// Of a plain connection: the caller's own.
    Plain(P),
    /// Of a secured one: records.
    Sealed(Chunk),
}

impl<P: Payload> Payload for Wire<P> {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        match self {
            Self::Plain(payload) => payload.parts(parts),
            Self::Sealed(chunk) => parts.push(chunk.unsent()),
        }
    }

    fn advance(&mut self, sent_bytes: usize) {
        match self {
            Self::Plain(payload) => payload.advance(sent_bytes),
            Self::Sealed(chunk) => chunk.advance(sent_bytes),
        }
    }
}

/// Sealed bytes in memory that is reused: `| sent | unsent | room |`.
pub struct Chunk {
    bytes: Vec<u8>,
    sent: usize,
    end: usize,
}

impl Chunk {
    /// An empty one.
    pub(super) fn with_room(room_bytes: usize) -> Self {
        Self { bytes: vec![0; room_bytes], sent: 0, end: 0 }
    }

    /// One that is full of these bytes.
    pub(super) fn full(bytes: Vec<u8>) -> Self {
        Self { sent: 0, end: bytes.len(), bytes }
    }

    /// Bytes that it could hold.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Empties it.
    pub(super) fn clear(&mut self) {
        (self.sent, self.end) = (0, 0);
    }

    /// The bytes that are still to be sent.
    pub(super) fn unsent(&self) -> &[u8] {
        self.bytes.get(self.sent..self.end).unwrap_or(&[])
    }

    /// What is behind the bytes in it, to be written.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// The first `bytes` of the room have been written.
    pub(super) fn extend(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.bytes.len());
    }

    fn advance(&mut self, sent_bytes: usize) {
        self.sent = (self.sent + sent_bytes).min(self.end);
    }
}
