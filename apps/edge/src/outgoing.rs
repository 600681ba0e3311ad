//! What a worker hands to the transport to send: a head, framing of one chunk, a piece of body.
//!
//! A payload owns all that it lends: the head's buffer, and for a body the pin on its segment or a
//! share of the staging piece. So nothing of it can go away before the last completion, whoever
//! else has.

use bytes::Bytes;
use longhold_http1::emit;
use longhold_store::PinnedSlice;
use longhold_transport::{Buffer, Parts, Payload};

/// A piece of body.
pub enum Piece {
    /// No body in this send.
    None,
    /// Bytes of the mapping, pinned.
    Stored(PinnedSlice),
    /// Bytes that have not reached the store, or never will.
    Staged(Bytes),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Stored(slice) => slice.as_ref(),
            Self::Staged(bytes) => bytes,
        }
    }
}

/// One send: head, chunk header, piece, chunk end; any of them may be empty.
pub struct Outgoing {
    head: Option<Buffer>,
    chunk_header: [u8; CHUNK_HEADER_BYTES],
    chunk_header_len: u8,
    ending: Ending,
    /// Bytes of all parts together that have been sent: of a window, 64 MiB at most, and a head.
    sent_bytes: u32,
    piece: Piece,
}

/// What stands behind the piece.
#[derive(Clone, Copy)]
enum Ending {
    Nothing,
    /// The end of one chunk.
    Chunk,
    /// The chunk that ends the body.
    LastChunk,
}

impl Ending {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Nothing => &[],
            Self::Chunk => emit::CRLF,
            Self::LastChunk => emit::LAST_CHUNK,
        }
    }
}

impl Outgoing {
    /// A send of `head` and `piece`, unframed or framed by length.
    pub fn new(head: Option<Buffer>, piece: Piece) -> Self {
        Self {
            head,
            chunk_header: [0; CHUNK_HEADER_BYTES],
            chunk_header_len: 0,
            ending: Ending::Nothing,
            sent_bytes: 0,
            piece,
        }
    }

    /// The end of a body in chunks, without trailers.
    pub fn last_chunk() -> Self {
        Self { ending: Ending::LastChunk, ..Self::new(None, Piece::None) }
    }

    /// Frames the piece as one chunk (RFC 9112 section 7.1). An empty piece stays unframed: an
    /// empty chunk would end the body.
    pub fn as_chunk(mut self) -> Self {
        let len = self.piece.bytes().len();
        if len > 0 {
            let mut line = [0; CHUNK_HEADER_BYTES];
            let header = emit::chunk_header(len as u64, &mut line);
            let header_len = header.len();
            self.chunk_header[..header_len].copy_from_slice(header);
            self.chunk_header_len = header_len as u8;
            self.ending = Ending::Chunk;
        }
        self
    }

    /// Bytes still to be sent.
    pub fn remaining_bytes(&self) -> usize {
        self.sections().iter().map(|section| section.len()).sum::<usize>() - self.sent_bytes()
    }

    /// Bytes sent so far.
    pub fn sent_bytes(&self) -> usize {
        self.sent_bytes as usize
    }

    /// The kernel could not read what was to be sent: if it was stored, its device has failed.
    pub fn report_fault(&self) {
        if let Piece::Stored(slice) = &self.piece {
            slice.report_fault();
        }
    }

    /// Gives the head's buffer back to whoever pools it; the pin falls here.
    pub fn into_buffer(self) -> Option<Buffer> {
        self.head
    }

    fn sections(&self) -> [&[u8]; 4] {
        [
            self.head.as_ref().map_or(&[][..], Buffer::filled),
            &self.chunk_header[..usize::from(self.chunk_header_len)],
            self.piece.bytes(),
            self.ending.bytes(),
        ]
    }
}

impl Payload for Outgoing {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        let mut skip = self.sent_bytes();
        for section in self.sections() {
            let start = skip.min(section.len());
            skip -= start;
            parts.push(&section[start..]);
        }
    }

    /// A stored body is copied out of the mapping by the store itself, whose copy may meet pages
    /// that the file cannot give.
    fn copy_to(&self, offset: usize, into: &mut [u8]) -> bool {
        let (mut skip, mut rest) = (self.sent_bytes() + offset, into);
        for (index, section) in self.sections().into_iter().enumerate() {
            let start = skip.min(section.len());
            skip -= start;
            let (front, behind) = rest.split_at_mut((section.len() - start).min(rest.len()));
            match &self.piece {
                Piece::Stored(slice) if index == PIECE_SECTION => {
                    if slice.copy_to(start, front).is_err() {
                        return false;
                    }
                }
                Piece::None | Piece::Stored(_) | Piece::Staged(_) => {
                    front.copy_from_slice(&section[start..start + front.len()]);
                }
            }
            rest = behind;
        }
        rest.is_empty()
    }

    fn advance(&mut self, sent_bytes: usize) {
        self.sent_bytes += sent_bytes as u32;
    }
}

/// The place of the piece among the sections.
const PIECE_SECTION: usize = 2;

/// The longest chunk header: sixteen digits and a line end.
const CHUNK_HEADER_BYTES: usize = 18;
