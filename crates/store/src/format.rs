//! Bytes on disk: segment header, record header, footer. Pure functions; the parsers are total.
//!
//! ```text
//! segment  ┌ header 64 B … 4,096 │ record │ record │ … free … │ footer lines ← │ trailer 64 B ┐
//! record   ┌ header 96 B │ key │ tags │ head │ pad │ body │ pad │ chunk sums │ MAC 16 B │ pad ┐
//! ```
//! Tags and chunk sums take 8 bytes each. All integers are little-endian. Records begin at
//! multiples of 64; a body of 32 KiB or more begins at a multiple of 4,096. The record header
//! carries a MAC of its own, so that the forward walk knows the length of an extent whose record
//! was never completed; the MAC at the end makes it a record (ST-2, ST-6). Offsets in this file are
//! relative to the segment.

use std::ops::Range;

use crate::keys::{Keys, Mac};

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Key, tags, head and body.
    Object,
    /// A part of a large object's body; its key is the object's number and its own (see `root`).
    Slice,
    /// Key, tags and head of a large object, and where its slices are (see `root`).
    Root,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Object => 1,
            Self::Slice => 2,
            Self::Root => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Object, Self::Slice, Self::Root].into_iter().find(|kind| kind.code() == code)
    }
}

/// The first 96 bytes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: Kind,
    pub(crate) generation: u64,
    pub(crate) sequence: u64,
    pub(crate) key_hash: u128,
    pub(crate) lengths: Lengths,
    pub(crate) stored_at_ms: u64,
    /// 0 for never.
    pub(crate) expires_at_ms: u64,
}

/// What the size of a record follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) key_bytes: u32,
    pub(crate) tag_count: u8,
    pub(crate) head_bytes: u32,
    pub(crate) body_bytes: u64,
}

impl RecordHeader {
    /// The header's bytes for a record at `at`, with their MAC.
    pub(crate) fn encode(&self, layout: &Layout, keys: &Keys) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        put(&mut bytes, 0, &RECORD_MAGIC);
        bytes[4] = self.kind.code();
        bytes[5] = CHUNK_SHIFT;
        bytes[6] = self.lengths.tag_count;
        put(&mut bytes, 8, &self.generation.to_le_bytes());
        put(&mut bytes, 16, &self.sequence.to_le_bytes());
        put(&mut bytes, 24, &self.key_hash.to_le_bytes());
        put(&mut bytes, 40, &self.lengths.body_bytes.to_le_bytes());
        put(&mut bytes, 48, &self.lengths.key_bytes.to_le_bytes());
        put(&mut bytes, 52, &self.lengths.head_bytes.to_le_bytes());
        put(&mut bytes, 56, &layout.extent_bytes.to_le_bytes());
        put(&mut bytes, 60, &layout.at.to_le_bytes());
        put(&mut bytes, 64, &self.stored_at_ms.to_le_bytes());
        put(&mut bytes, 72, &self.expires_at_ms.to_le_bytes());
        let mac = keys.front_mac(&bytes[..80]);
        put(&mut bytes, 80, &mac);
        bytes
    }

    /// Reads a header whose MAC was verified before, and the layout that it implies.
    /// `None` when a field is not what this version writes or the extent leaves `end`.
    pub(crate) fn read(bytes: &[u8], at: u32, end: u64) -> Option<(Self, Layout)> {
        // Of known length, so that no field is compared with it.
        let bytes: &[u8; RECORD_HEADER_BYTES] = bytes.first_chunk()?;
        if bytes[..4] != RECORD_MAGIC {
            return None;
        }
        let kind = Kind::from_code(bytes[4])?;
        if bytes[5] != CHUNK_SHIFT || bytes[7] != 0 {
            return None;
        }
        let header = Self {
            kind,
            generation: u64_at(bytes, 8),
            sequence: u64_at(bytes, 16),
            key_hash: u128_at(bytes, 24),
            lengths: Lengths {
                key_bytes: u32_at(bytes, 48),
                tag_count: bytes[6],
                head_bytes: u32_at(bytes, 52),
                body_bytes: u64_at(bytes, 40),
            },
            stored_at_ms: u64_at(bytes, 64),
            expires_at_ms: u64_at(bytes, 72),
        };
        let layout = Layout::new(at, header.lengths)?;
        let fits = u64::from(at) + u64::from(layout.extent_bytes) <= end;
        let ours = u32_at(bytes, 56) == layout.extent_bytes && u32_at(bytes, 60) == at;
        (fits && ours).then_some((header, layout))
    }

    /// Reads a header of unknown origin: the MAC is checked before anything is believed.
    pub(crate) fn parse(bytes: &[u8], at: u32, end: u64, keys: &Keys) -> Option<(Self, Layout)> {
        let bytes = bytes.get(..RECORD_HEADER_BYTES)?;
        if bytes[..4] != RECORD_MAGIC || keys.front_mac(&bytes[..80])[..] != bytes[80..96] {
            return None;
        }
        Self::read(bytes, at, end)
    }
}

/// Where the parts of a record lie, relative to the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) at: u32,
    pub(crate) key_bytes: u32,
    pub(crate) tags_bytes: u32,
    pub(crate) head_bytes: u32,
    pub(crate) body_at: u32,
    pub(crate) body_bytes: u32,
    pub(crate) sums_at: u32,
    pub(crate) mac_at: u32,
    pub(crate) extent_bytes: u32,
}

impl Layout {
    /// The layout of a record at `at`; `None` when it would leave the 32-bit range or the limits
    /// of key, tags and head.
    pub(crate) fn new(at: u32, lengths: Lengths) -> Option<Self> {
        let Lengths { key_bytes, tag_count, head_bytes, body_bytes } = lengths;
        let tags_fit = usize::from(tag_count) <= TAGS_MAX;
        if key_bytes > KEY_BYTES_MAX || head_bytes > HEAD_BYTES_MAX || !tags_fit {
            return None;
        }
        let tags_bytes = u32::from(tag_count) * TAG_BYTES;
        let body_bytes = u32::try_from(body_bytes).ok()?;
        let page: u64 = if body_bytes >= BODY_ALIGN_FROM_BYTES { 4096 } else { 8 };
        let names_bytes = u64::from(key_bytes) + u64::from(tags_bytes);
        let head_end = u64::from(at) + HEADER_BYTES + names_bytes + u64::from(head_bytes);
        // Both are powers of two: a division by an unknown number would cost each lookup its time.
        let body_at = (head_end + page - 1) & !(page - 1);
        let sums_at = (body_at + u64::from(body_bytes)).next_multiple_of(8);
        let mac_at = sums_at + 8 * u64::from(body_bytes.div_ceil(CHUNK_BYTES));
        let end = (mac_at + MAC_BYTES as u64).next_multiple_of(u64::from(RECORD_ALIGN));
        Some(Self {
            at,
            key_bytes,
            tags_bytes,
            head_bytes,
            body_at: u32::try_from(body_at).ok()?,
            body_bytes,
            sums_at: u32::try_from(sums_at).ok()?,
            mac_at: u32::try_from(mac_at).ok()?,
            extent_bytes: u32::try_from(end - u64::from(at)).ok()?,
        })
    }

    /// First byte behind the extent.
    pub(crate) fn end(&self) -> u32 {
        self.at + self.extent_bytes
    }

    /// Header, key, tags and head, which follow each other.
    pub(crate) fn front(&self) -> Range<u32> {
        self.at..self.head().end
    }

    pub(crate) fn key(&self) -> Range<u32> {
        let start = self.at + RECORD_HEADER_BYTES as u32;
        start..start + self.key_bytes
    }

    pub(crate) fn tags(&self) -> Range<u32> {
        let start = self.key().end;
        start..start + self.tags_bytes
    }

    pub(crate) fn head(&self) -> Range<u32> {
        let start = self.tags().end;
        start..start + self.head_bytes
    }

    pub(crate) fn sums(&self) -> Range<u32> {
        self.sums_at..self.mac_at
    }

    pub(crate) fn mac(&self) -> Range<u32> {
        self.mac_at..self.mac_at + MAC_BYTES as u32
    }

    /// Chunks of the body; the last one may be shorter.
    pub(crate) fn chunk_count(&self) -> u32 {
        self.body_bytes.div_ceil(CHUNK_BYTES)
    }

    /// The bytes of one chunk.
    pub(crate) fn chunk(&self, chunk: u32) -> Range<u32> {
        let start = chunk * CHUNK_BYTES;
        let end = (start + CHUNK_BYTES).min(self.body_bytes);
        self.body_at + start..self.body_at + end
    }
}

/// One line of a footer: a committed record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FooterLine {
    pub(crate) key_hash: u128,
    pub(crate) sequence: u64,
    pub(crate) at: u32,
    pub(crate) extent_bytes: u32,
}

impl FooterLine {
    pub(crate) fn encode(&self) -> [u8; FOOTER_ENTRY_BYTES] {
        let mut bytes = [0; FOOTER_ENTRY_BYTES];
        put(&mut bytes, 0, &self.key_hash.to_le_bytes());
        put(&mut bytes, 16, &self.at.to_le_bytes());
        put(&mut bytes, 20, &self.extent_bytes.to_le_bytes());
        put(&mut bytes, 24, &self.sequence.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Self {
        Self {
            key_hash: u128_at(bytes, 0),
            sequence: u64_at(bytes, 24),
            at: u32_at(bytes, 16) & !(RECORD_ALIGN - 1),
            extent_bytes: u32_at(bytes, 20),
        }
    }
}

/// The last 64 bytes of a segment: which prefix of it the footer lines describe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) segment: u32,
    pub(crate) generation: u64,
    pub(crate) count: u32,
    /// Every extent below this offset is described; the forward walk goes on from here.
    pub(crate) end: u32,
    /// The highest sequence that was given out below `end`.
    pub(crate) end_sequence: u64,
    /// The segment takes no more records, and all that it has are listed.
    pub(crate) is_final: bool,
}

impl Trailer {
    /// The trailer's bytes; `lines` are the encoded footer lines as they lie on disk.
    pub(crate) fn encode(
        &self,
        lines: impl Iterator<Item = [u8; FOOTER_ENTRY_BYTES]>,
        keys: &Keys,
    ) -> [u8; FOOTER_TRAILER_BYTES] {
        let mut bytes = [0; FOOTER_TRAILER_BYTES];
        put(&mut bytes, 0, &TRAILER_MAGIC);
        put(&mut bytes, 4, &self.count.to_le_bytes());
        put(&mut bytes, 8, &self.end.to_le_bytes());
        put(&mut bytes, 12, &self.segment.to_le_bytes());
        put(&mut bytes, 16, &self.generation.to_le_bytes());
        put(&mut bytes, 24, &self.end_sequence.to_le_bytes());
        bytes[32] = u8::from(self.is_final);
        let mut mac = keys.footer_mac();
        mac.update(&bytes[..48]);
        for line in lines {
            mac.update(&line);
        }
        put(&mut bytes, 48, &mac.finish());
        bytes
    }

    /// The footer of a whole segment; `None` when there is none for this generation, or any bit
    /// of it is wrong. Lines come in the order in which they were committed.
    pub(crate) fn parse(
        segment_bytes: &[u8],
        segment: u32,
        generation: u64,
        keys: &Keys,
    ) -> Option<(Self, Vec<FooterLine>)> {
        Self::parse_tail((segment_bytes, 0), (segment, generation), keys)
    }

    /// How many bytes at the end of a segment are footer, if these last ones of it are a trailer.
    pub(crate) fn footer_bytes(trailer: &[u8; FOOTER_TRAILER_BYTES]) -> Option<u64> {
        let lines_bytes = u64::from(u32_at(trailer, 4)) * FOOTER_ENTRY_BYTES as u64;
        (trailer[..4] == TRAILER_MAGIC).then_some(lines_bytes + FOOTER_TRAILER_BYTES as u64)
    }

    /// As [`Trailer::parse`], from the last bytes of a segment and the offset at which they begin.
    pub(crate) fn parse_tail(
        (tail, tail_at): (&[u8], usize),
        (segment, generation): (u32, u64),
        keys: &Keys,
    ) -> Option<(Self, Vec<FooterLine>)> {
        let trailer_at = tail.len().checked_sub(FOOTER_TRAILER_BYTES)?;
        let bytes = &tail[trailer_at..];
        if bytes[..4] != TRAILER_MAGIC {
            return None;
        }
        let trailer = Self {
            count: u32_at(bytes, 4),
            end: u32_at(bytes, 8),
            segment: u32_at(bytes, 12),
            generation: u64_at(bytes, 16),
            end_sequence: u64_at(bytes, 24),
            is_final: bytes[32] == 1,
        };
        if trailer.segment != segment || trailer.generation != generation {
            return None;
        }
        let lines_bytes = (trailer.count as usize).checked_mul(FOOTER_ENTRY_BYTES)?;
        let lines_at = trailer_at.checked_sub(lines_bytes)?;
        let end = trailer.end as usize;
        let aligned = trailer.end.is_multiple_of(RECORD_ALIGN);
        if !aligned || end < SEGMENT_HEADER_BYTES as usize || end > tail_at + lines_at {
            return None;
        }
        let lines = tail[lines_at..trailer_at].rchunks_exact(FOOTER_ENTRY_BYTES);
        let mut mac = keys.footer_mac();
        mac.update(&bytes[..48]);
        lines.clone().for_each(|line| mac.update(line));
        if mac.finish()[..] != bytes[48..64] {
            return None;
        }
        Some((trailer, lines.map(FooterLine::decode).collect()))
    }
}

/// The first 64 bytes of a segment; a new generation voids every record of the older ones.
pub(crate) fn encode_segment_header(segment: u32, generation: u64, keys: &Keys) -> [u8; 64] {
    let mut bytes = [0; 64];
    put(&mut bytes, 0, &SEGMENT_MAGIC);
    put(&mut bytes, 4, &segment.to_le_bytes());
    put(&mut bytes, 8, &generation.to_le_bytes());
    let mac = keys.segment_mac(&bytes[..48]);
    put(&mut bytes, 48, &mac);
    bytes
}

/// The generation in a segment's header; `None` when it is not whole or of another segment.
pub(crate) fn parse_segment_header(bytes: &[u8], segment: u32, keys: &Keys) -> Option<u64> {
    let bytes = bytes.get(..64)?;
    let whole = bytes[..4] == SEGMENT_MAGIC && keys.segment_mac(&bytes[..48])[..] == bytes[48..];
    (whole && u32_at(bytes, 4) == segment).then(|| u64_at(bytes, 8))
}

/// The MAC that turns an extent into a record: over header, key, tags and head, and the sums.
pub(crate) fn record_mac(keys: &Keys, front: &[u8], sums: &[u8]) -> Mac {
    let mut mac = keys.record_mac();
    mac.update(front);
    mac.update(sums);
    mac.finish()
}

/// Whether bytes begin as a record header does, which says nothing of what they are.
pub(crate) fn has_record_magic(bytes: &[u8]) -> bool {
    bytes.starts_with(&RECORD_MAGIC)
}

/// A little-endian number inside a slice that is known to reach so far.
#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// As [`u32_at`].
#[inline]
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// As [`u32_at`].
#[inline]
pub(crate) fn u128_at(bytes: &[u8], at: usize) -> u128 {
    let mut number = [0; 16];
    number.copy_from_slice(&bytes[at..at + 16]);
    u128::from_le_bytes(number)
}

/// Copies a field to its place.
pub(crate) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

/// Version of everything in this file and in `superblock`.
pub(crate) const FORMAT_VERSION: u32 = 2;
/// Room for the segment header; records begin behind it, so its page is never lent to readers.
pub(crate) const SEGMENT_HEADER_BYTES: u32 = 4096;
/// Records begin at multiples of this; the index counts offsets in this unit.
pub(crate) const RECORD_ALIGN: u32 = 64;
/// Fixed part of a record.
pub(crate) const RECORD_HEADER_BYTES: usize = 96;
/// Truncated BLAKE3.
pub(crate) const MAC_BYTES: usize = 16;
/// Body bytes under one checksum.
pub(crate) const CHUNK_BYTES: u32 = 1 << CHUNK_SHIFT;
/// Bodies from this size on begin at a page.
pub(crate) const BODY_ALIGN_FROM_BYTES: u32 = 32 << 10;
/// Longest key.
pub(crate) const KEY_BYTES_MAX: u32 = 64 << 10;
/// Longest head.
pub(crate) const HEAD_BYTES_MAX: u32 = 64 << 10;
/// Tags of a record.
pub(crate) const TAGS_MAX: usize = 64;
/// One committed record in a footer.
pub(crate) const FOOTER_ENTRY_BYTES: usize = 32;
/// End of a segment.
pub(crate) const FOOTER_TRAILER_BYTES: usize = 64;

const CHUNK_SHIFT: u8 = 16;
const TAG_BYTES: u32 = 8;
const HEADER_BYTES: u64 = RECORD_HEADER_BYTES as u64;
const RECORD_MAGIC: [u8; 4] = *b"LHr1";
const TRAILER_MAGIC: [u8; 4] = *b"LHf1";
const SEGMENT_MAGIC: [u8; 4] = *b"LHs1";
