//! An image of the index on disk: its bytes. Pure functions; the parser is total.
//!
//! ```text
//! area   head, a multiple of 4,096 │ image: slots, 16 B each │ sums 8 B each │ MAC 16 B │ free …
//! head   0 magic 8 │ 8 version 4 │ 12 volume count 4 │ 16 store 16 │ 32 sequence 8 │ 40 slots 8
//!        48 segment count 4 │ 52 zero 12 │ 64 volumes, 32 each │ segments, 32 each │ zero …
//! volume 0 device 16 │ 16 first segment 4 │ 20 segment count 4 │ 24 zero 8
//! segment 0 generation 8 │ 8 first sequence 8 │ 16 last sequence 8 │ 24 tail 4 │ 28 settled 4
//! slot   0 tag 8 │ 8 place 8, without verified bits; zeros when empty or of the memory tier
//! ```
//! Each MiB of the image has an XXH3-64 sum under a seed that only the store knows, and the MAC
//! covers head and sums; so one wrong bit anywhere makes it no snapshot at all.
//!
//! # What a snapshot says
//! Its **sequence** S: every record and purge with a sequence up to S had come to its end before
//! the image was begun, and the image shows what came of it. A segment is **settled** when it was
//! sealed then and its last sequence is not above S: nothing can be added to it.
//!
//! # Why a fuzzy image is right
//! The index goes on changing while the image is written, so slots show it at different moments,
//! none before the beginning. Whatever changes a slot after that has a sequence above S: a record
//! that was published, a copy that took its original's slot, a purge. Recovery takes all of these
//! from the segments that are not settled and from the purge log, and of two of one key the higher
//! sequence wins; so it does not matter whether the image has seen them. What was displaced or
//! found damaged is lost, seen or not. A slot of a segment that was reclaimed meanwhile does not
//! count: reclaim makes the segment's new generation durable before anything else is written to
//! it, and recovery drops every slot of a segment whose generation on disk is not the one in the
//! head. What the segment holds under its new generation has sequences above S.

use crate::format::{FORMAT_VERSION, MAC_BYTES, put, u32_at, u64_at, u128_at};
use crate::keys::{Keys, chunk_sum};

/// What a snapshot's head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) store: u128,
    pub(crate) sequence: u64,
    pub(crate) slots: u64,
    pub(crate) volumes: Vec<VolumeLine>,
    /// One for each segment of the volumes.
    pub(crate) segments: Vec<SegmentLine>,
}

/// A disk volume and its place in the numbering of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VolumeLine {
    pub(crate) device: u128,
    pub(crate) first: u32,
    pub(crate) segment_count: u32,
}

/// A segment when the image was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SegmentLine {
    /// 0 when it held no record.
    pub(crate) generation: u64,
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
    pub(crate) tail: u32,
    pub(crate) settled: bool,
}

/// Where the parts of a snapshot lie in its area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) image_at: u64,
    pub(crate) image_bytes: u64,
    pub(crate) tail_bytes: u64,
}

impl Layout {
    /// For so many slots, volumes and segments.
    pub(crate) fn new(slots: u64, volumes: u64, segments: u64) -> Self {
        let head = HEAD_BYTES + VOLUME_BYTES * volumes + SEGMENT_BYTES * segments;
        let image_bytes = slots * SLOT_BYTES;
        let blocks = image_bytes.div_ceil(BLOCK_BYTES);
        Self {
            image_at: head.next_multiple_of(PAGE_BYTES),
            image_bytes,
            tail_bytes: blocks * SUM_BYTES + MAC_BYTES as u64,
        }
    }

    pub(crate) fn tail_at(&self) -> u64 {
        self.image_at + self.image_bytes
    }

    /// Length of the whole.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.tail_at() + self.tail_bytes
    }
}

impl Head {
    pub(crate) fn layout(&self) -> Layout {
        Layout::new(self.slots, self.volumes.len() as u64, self.segments.len() as u64)
    }

    /// The head's bytes up to the image.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.layout().image_at as usize];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &FORMAT_VERSION.to_le_bytes());
        put(&mut bytes, 12, &(self.volumes.len() as u32).to_le_bytes());
        put(&mut bytes, 16, &self.store.to_le_bytes());
        put(&mut bytes, 32, &self.sequence.to_le_bytes());
        put(&mut bytes, 40, &self.slots.to_le_bytes());
        put(&mut bytes, 48, &(self.segments.len() as u32).to_le_bytes());
        let mut at = HEAD_BYTES as usize;
        for volume in &self.volumes {
            put(&mut bytes, at, &volume.device.to_le_bytes());
            put(&mut bytes, at + 16, &volume.first.to_le_bytes());
            put(&mut bytes, at + 20, &volume.segment_count.to_le_bytes());
            at += VOLUME_BYTES as usize;
        }
        for segment in &self.segments {
            put(&mut bytes, at, &segment.generation.to_le_bytes());
            put(&mut bytes, at + 8, &segment.first_sequence.to_le_bytes());
            put(&mut bytes, at + 16, &segment.last_sequence.to_le_bytes());
            put(&mut bytes, at + 24, &segment.tail.to_le_bytes());
            put(&mut bytes, at + 28, &u32::from(segment.settled).to_le_bytes());
            at += SEGMENT_BYTES as usize;
        }
        bytes
    }

    /// How long the head is that begins with these 64 bytes, and where the rest lies; `None` when
    /// it is none or does not fit into `area_bytes`. Nothing of it is to be believed before
    /// [`Head::parse`].
    pub(crate) fn measure(bytes: &[u8], area_bytes: u64) -> Option<Layout> {
        let bytes = bytes.get(..HEAD_BYTES as usize)?;
        if bytes[..8] != MAGIC || u32_at(bytes, 8) != FORMAT_VERSION {
            return None;
        }
        let slots = u64_at(bytes, 40);
        if slots > area_bytes / SLOT_BYTES {
            return None;
        }
        let (volumes, segments) = (u32_at(bytes, 12), u32_at(bytes, 48));
        let layout = Layout::new(slots, u64::from(volumes), u64::from(segments));
        (layout.total_bytes() <= area_bytes).then_some(layout)
    }

    /// Reads a whole head (up to the image) and a whole tail: the MAC is checked before anything
    /// is believed. Gives the sums of the image's blocks as well.
    pub(crate) fn parse(head: &[u8], tail: &[u8], keys: &Keys) -> Option<(Self, Vec<u64>)> {
        let sums_bytes = tail.len().checked_sub(MAC_BYTES)?;
        let (sums, mac) = tail.split_at(sums_bytes);
        if head.len() < HEAD_BYTES as usize || tail_mac(head, sums, keys)[..] != *mac {
            return None;
        }
        let volume_count = u32_at(head, 12) as usize;
        let segments_at = HEAD_BYTES as usize + volume_count * VOLUME_BYTES as usize;
        let volumes = head.get(HEAD_BYTES as usize..segments_at)?;
        let segments_end = segments_at + u32_at(head, 48) as usize * SEGMENT_BYTES as usize;
        let segments = head.get(segments_at..segments_end)?;
        let parsed = Self {
            store: u128_at(head, 16),
            sequence: u64_at(head, 32),
            slots: u64_at(head, 40),
            volumes: volumes.chunks_exact(VOLUME_BYTES as usize).map(volume_line).collect(),
            segments: segments.chunks_exact(SEGMENT_BYTES as usize).map(segment_line).collect(),
        };
        let layout = parsed.layout();
        let whole = layout.image_at == head.len() as u64 && layout.tail_bytes == tail.len() as u64;
        let sums = sums.chunks_exact(SUM_BYTES as usize).map(|sum| u64_at(sum, 0)).collect();
        whole.then_some((parsed, sums))
    }
}

/// The tail's bytes, for a head as it was encoded and the sums of the image's blocks.
pub(crate) fn encode_tail(head: &[u8], sums: &[u64], keys: &Keys) -> Vec<u8> {
    let mut bytes: Vec<u8> = sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
    let mac = tail_mac(head, &bytes, keys);
    bytes.extend_from_slice(&mac);
    bytes
}

/// The sum of one block of the image.
pub(crate) fn block_sum(seed: u64, block: &[u8]) -> u64 {
    chunk_sum(seed, block)
}

fn tail_mac(head: &[u8], sums: &[u8], keys: &Keys) -> crate::keys::Mac {
    let mut mac = keys.snapshot_mac();
    mac.update(head);
    mac.update(sums);
    mac.finish()
}

fn volume_line(bytes: &[u8]) -> VolumeLine {
    VolumeLine {
        device: u128_at(bytes, 0),
        first: u32_at(bytes, 16),
        segment_count: u32_at(bytes, 20),
    }
}

fn segment_line(bytes: &[u8]) -> SegmentLine {
    SegmentLine {
        generation: u64_at(bytes, 0),
        first_sequence: u64_at(bytes, 8),
        last_sequence: u64_at(bytes, 16),
        tail: u32_at(bytes, 24),
        settled: u32_at(bytes, 28) == 1,
    }
}

/// Image bytes under one sum.
pub(crate) const BLOCK_BYTES: u64 = 1 << 20;
/// One slot in the image.
pub(crate) const SLOT_BYTES: u64 = 16;
/// The fixed part of a head.
pub(crate) const HEAD_BYTES: u64 = 64;

const MAGIC: [u8; 8] = *b"LHINDEX\0";
const VOLUME_BYTES: u64 = 32;
const SEGMENT_BYTES: u64 = 32;
const SUM_BYTES: u64 = 8;
const PAGE_BYTES: u64 = 4096;
