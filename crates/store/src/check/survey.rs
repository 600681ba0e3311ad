//! One segment: its records, and what is wrong with it.

use std::collections::HashMap;

use super::DamageKind;
use crate::format::{
    self, FOOTER_TRAILER_BYTES, FooterLine, Layout, RECORD_HEADER_BYTES, RecordHeader,
    SEGMENT_HEADER_BYTES, Trailer,
};
use crate::keys::{Keys, chunk_sum};

/// What a segment holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    pub(super) records: Vec<Found>,
    pub(super) unfinished: u64,
    pub(super) unfinished_bytes: u64,
    pub(super) unreachable_bytes: u64,
    /// When the youngest record was stored, in milliseconds since the Unix epoch.
    pub(super) stored_at_ms: u64,
    /// Offsets in the segment.
    pub(super) damage: Vec<(u32, DamageKind)>,
}

/// A whole record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) key_hash: u128,
    pub(super) sequence: u64,
    pub(super) extent_bytes: u32,
}

/// The place of a survey.
struct Walk<'a> {
    bytes: &'a [u8],
    keys: &'a Keys,
    generation: u64,
    survey: Survey,
}

impl Survey {
    /// Reads and verifies a segment, all of whose bytes are there. Generations below `floor` do
    /// not count.
    pub(super) fn whole(bytes: &[u8], (number, floor): (u32, u64), keys: &Keys) -> Self {
        let Some(generation) = format::parse_segment_header(bytes, number, keys) else {
            let mut survey = Self::default();
            // A segment that was never used is all zeros.
            if bytes[..64].iter().any(|byte| *byte != 0) {
                survey.damage.push((0, DamageKind::SegmentHeader));
            }
            return survey;
        };
        if generation < floor {
            return Self::default();
        }
        let mut walk = Walk { bytes, keys, generation, survey: Self::default() };
        let footer = Trailer::parse(bytes, number, generation, keys);
        if footer.is_none() && claims_footer(bytes, number, generation) {
            let at = (bytes.len() - FOOTER_TRAILER_BYTES) as u32;
            walk.survey.damage.push((at, DamageKind::Footer));
        }
        walk.run(footer);
        walk.survey
    }

    pub(super) fn record_bytes(&self) -> u64 {
        self.records.iter().map(|record| u64::from(record.extent_bytes)).sum()
    }
}

impl Walk<'_> {
    fn run(&mut self, footer: Option<(Trailer, Vec<FooterLine>)>) {
        let (footed_to, mut lines) = match footer {
            Some((trailer, lines)) => (trailer.end, lines),
            None => (SEGMENT_HEADER_BYTES, Vec::new()),
        };
        lines.sort_unstable_by_key(|line| line.at);
        let listed: HashMap<u32, FooterLine> = lines.iter().map(|line| (line.at, *line)).collect();
        let (mut at, mut after) = (SEGMENT_HEADER_BYTES, 0);
        loop {
            if let Some((header, layout)) = self.extent(at, after) {
                self.judge(&header, &layout, listed.contains_key(&at));
                (at, after) = (layout.end(), header.sequence);
                continue;
            }
            // Where a header is not whole, the footer knows how it goes on.
            let next = match listed.get(&at) {
                Some(line) => Some(at + line.extent_bytes),
                None => lines.iter().map(|line| line.at).find(|line_at| *line_at > at),
            };
            let Some(next) = next.or((at < footed_to).then_some(footed_to)) else { break };
            self.survey.damage.push((at, DamageKind::RecordHeader));
            self.survey.unreachable_bytes += u64::from(next - at);
            at = next;
        }
        if self.claims_record(at) {
            self.survey.damage.push((at, DamageKind::RecordHeader));
            self.survey.unreachable_bytes += self.behind(at, after);
        }
    }

    /// Bytes of log behind a header that is not whole, as far as its own word leads to more.
    fn behind(&self, at: u32, mut after: u64) -> u64 {
        let claimed = format::u32_at(self.part(at..at + RECORD_HEADER_BYTES as u32), 56);
        let mut end = at.saturating_add(claimed);
        while let Some((header, layout)) = self.extent(end, after) {
            (end, after) = (layout.end(), header.sequence);
        }
        u64::from(end.min(self.bytes.len() as u32) - at)
    }

    fn extent(&self, at: u32, after: u64) -> Option<(RecordHeader, Layout)> {
        let bytes = self.bytes.get(at as usize..)?;
        let end = (self.bytes.len() - FOOTER_TRAILER_BYTES) as u64;
        let (header, layout) = RecordHeader::parse(bytes, at, end, self.keys)?;
        let follows = header.generation == self.generation && header.sequence > after;
        follows.then_some((header, layout))
    }

    /// Whether the bytes look like a header of this round whose MAC is wrong: two of its three
    /// fixed fields are right. Bodies of older rounds may lie here, so this is only looked at, and
    /// nothing of it is believed. A whole header of an older round is none.
    fn claims_record(&self, at: u32) -> bool {
        let Some(bytes) = self.bytes.get(at as usize..at as usize + RECORD_HEADER_BYTES) else {
            return false;
        };
        let end = self.bytes.len() as u64;
        let signs = [
            format::has_record_magic(bytes),
            format::u64_at(bytes, 8) == self.generation,
            format::u32_at(bytes, 60) == at,
        ];
        let is_whole = RecordHeader::parse(bytes, at, end, self.keys).is_some();
        !is_whole && signs.into_iter().filter(|sign| *sign).count() >= 2
    }

    fn judge(&mut self, header: &RecordHeader, layout: &Layout, is_listed: bool) {
        let front = self.part(layout.front());
        let mac = format::record_mac(self.keys, front, self.part(layout.sums()));
        let is_whole = self.part(layout.mac()) == mac;
        let extent_bytes = layout.extent_bytes;
        let wrong = self.chunks_wrong(header, layout);
        if !is_whole {
            let some_whole = wrong.len() < layout.chunk_count() as usize;
            if is_listed || some_whole {
                self.survey.damage.push((layout.at, DamageKind::Record));
            } else {
                self.survey.unfinished += 1;
                self.survey.unfinished_bytes += u64::from(extent_bytes);
            }
            return;
        }
        if wrong.is_empty() {
            self.survey.stored_at_ms = self.survey.stored_at_ms.max(header.stored_at_ms);
            self.survey.records.push(Found {
                key_hash: header.key_hash,
                sequence: header.sequence,
                extent_bytes,
            });
        }
        let places = wrong.into_iter().map(|chunk| (layout.chunk(chunk).start, DamageKind::Body));
        self.survey.damage.extend(places);
    }

    /// Chunks of the body that fail their sum.
    fn chunks_wrong(&self, header: &RecordHeader, layout: &Layout) -> Vec<u32> {
        let seed = self.keys.chunk_seed(header.generation, header.sequence);
        let sums = self.part(layout.sums());
        let is_wrong = |chunk: &u32| {
            let sum = format::u64_at(sums, *chunk as usize * 8);
            chunk_sum(seed, self.part(layout.chunk(*chunk))) != sum
        };
        (0..layout.chunk_count()).filter(is_wrong).collect()
    }

    /// A layout that was parsed lies within the segment.
    fn part(&self, range: std::ops::Range<u32>) -> &[u8] {
        self.bytes.get(range.start as usize..range.end as usize).unwrap_or_default()
    }
}

/// Whether a footer of this round was written and is not whole any more.
fn claims_footer(bytes: &[u8], number: u32, generation: u64) -> bool {
    let trailer = &bytes[bytes.len() - FOOTER_TRAILER_BYTES..];
    format::u32_at(trailer, 12) == number && format::u64_at(trailer, 16) == generation
}
