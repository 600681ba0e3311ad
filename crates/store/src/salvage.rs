//! What is kept of a segment before it is reclaimed.
//!
//! The index says which of its records are live and how often they were hit, `eviction` chooses
//! among them, and the chosen ones are copied to the front of a log, under a sequence of their own.
//! A copy takes the index slot only if that still names the original; it is not made while a draft
//! of the same key is open, for that is newer and would be outranked.
//!
//! What the copy reads passes the same checks as what a client is sent (ST-1).

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::admit::Source;
use crate::device::Device;
use crate::draft::{Draft, DraftOwner, OpenDraft};
use crate::error::WriteError;
use crate::eviction::{Candidate, PROMOTION_FREQUENCY, Tier, choose_promoted, frequency_of_copy};
use crate::format::{FOOTER_TRAILER_BYTES, FooterLine, Trailer};
use crate::index::Place;
use crate::pin::SegmentPin;
use crate::record::Record;
use crate::volume::VolumeKind;
use crate::writer::{Inner, unix_ms};

/// Copies read and append this much at a time, so that others get their turn.
const WINDOW_BYTES: u64 = 256 << 10;

impl<D: Device> Inner<D> {
    /// Copies what is to be kept of a closed segment, takes the rest out of the index, and retires
    /// it.
    pub(crate) async fn reclaim(&self, segment: u32) {
        let lines = self.lines_of(segment);
        let mut candidates = self.candidates(segment, &lines);
        let survivors = self.choose(segment, &mut candidates);
        let mut evicted = candidates.split_off(survivors);
        for survivor in candidates {
            let line = &lines[survivor.position as usize];
            if !self.copy(segment, line, survivor.frequency).await.unwrap_or(false) {
                evicted.push(survivor);
            }
        }
        let counters = &self.shared.counters;
        counters.evicted.fetch_add(evicted.len() as u64, Ordering::Relaxed);
        if self.is_probation(segment) {
            let mut ghost = self.ghost.borrow_mut();
            for candidate in evicted {
                let line = &lines[candidate.position as usize];
                ghost.insert(line.key_hash, u64::from(line.extent_bytes));
            }
        }
        // Drafts of the segment may have been committed in the meantime; from here on none can.
        let late = self.logs.borrow().segment(segment).lines.get(lines.len()..).map(<[_]>::to_vec);
        self.drop_lines(segment, &lines);
        self.drop_lines(segment, &late.unwrap_or_default());
        debug_assert_eq!(self.shared.index.remove_segment(segment), 0, "lines name all records");
        self.logs.borrow_mut().of_segment(segment).retire(segment, &self.shared);
    }

    /// The committed records of a segment.
    pub(crate) fn lines_of(&self, segment: u32) -> Vec<FooterLine> {
        {
            let logs = self.logs.borrow();
            let in_memory = &logs.segment(segment).lines;
            if !in_memory.is_empty() {
                return in_memory.clone();
            }
        }
        let pin = SegmentPin::new(&self.reader, segment);
        let lines = pin.and_then(|pin| self.lines_by_footer(&pin));
        lines.unwrap_or_else(|| self.lines_by_index(segment))
    }

    /// The same from the footer of a sealed segment, if it is the last one that was written: of a
    /// settled segment recovery looks at the snapshot only, and an older footer that has come back
    /// since does not list all that the snapshot knows.
    fn lines_by_footer(&self, pin: &SegmentPin) -> Option<Vec<FooterLine>> {
        let volume = pin.volume();
        let end = volume.geometry.segment_bytes;
        let mut trailer = [0; FOOTER_TRAILER_BYTES];
        volume.copy(pin.base() + u64::from(end) - trailer.len() as u64, &mut trailer).ok()?;
        let footer_bytes = Trailer::footer_bytes(&trailer)?;
        let at = u64::from(end).checked_sub(footer_bytes)?;
        let mut footer = vec![0; footer_bytes as usize];
        // Read as a whole, where the copy would have it come page by page.
        volume.page_in(&(pin.base() + at..pin.base() + u64::from(end))).ok()?;
        volume.copy(pin.base() + at, &mut footer).ok()?;
        let names = (volume.local(pin.segment()), pin.generation());
        let parsed = Trailer::parse_tail((&footer, at as usize), names, &self.shared.keys);
        let (trailer, lines) = parsed?;
        let logs = self.logs.borrow();
        let segment = logs.segment(pin.segment());
        let is_last = trailer.is_final
            && (trailer.end, trailer.end_sequence) == (segment.tail, segment.last_sequence);
        is_last.then_some(lines)
    }

    /// The same for a segment that has none, by a crash or damage: a scan of the whole index.
    fn lines_by_index(&self, segment: u32) -> Vec<FooterLine> {
        let mut lines = Vec::new();
        self.shared.index.visit_segment(segment, |slot, place| {
            match Record::at(&self.reader, slot, place) {
                Some(record) => lines.push(FooterLine {
                    key_hash: record.key_hash(),
                    sequence: record.sequence(),
                    at: place.at(),
                    extent_bytes: record.extent_bytes(),
                }),
                None => self.shared.index.discard(slot, place),
            }
        });
        lines
    }

    fn place(&self, segment: u32, line: &FooterLine) -> Place {
        let generation = self.logs.borrow().segment(segment).generation;
        Place::new(segment, line.at, generation, line.extent_bytes)
    }

    /// Those of the lines that the index names, with what it knows of them.
    pub(crate) fn candidates(&self, segment: u32, lines: &[FooterLine]) -> Vec<Candidate> {
        let mut candidates = Vec::with_capacity(lines.len());
        for (position, line) in (0..).zip(lines) {
            let place = self.place(segment, line);
            let live = self.shared.index.find(line.key_hash, |_, found| {
                let same = found.bare() == place.bare() && !found.is_soft();
                same.then_some(found.frequency())
            });
            if let Some(frequency) = live {
                candidates.push(Candidate::new(position, frequency, line.extent_bytes));
            }
        }
        candidates
    }

    /// Brings the survivors to the front, and counts them.
    fn choose(&self, segment: u32, candidates: &mut [Candidate]) -> usize {
        let expired = self.logs.borrow().segment(segment).expires_at_ms < unix_ms();
        if expired {
            return 0;
        }
        if self.is_probation(segment) {
            return choose_promoted(candidates, PROMOTION_FREQUENCY);
        }
        let segment_bytes = self.shared.volume_of(segment).geometry.segment_bytes;
        self.shared.survival.choose(candidates, segment_bytes)
    }

    /// Whether what was hit in the segment goes on to a disk.
    fn is_probation(&self, segment: u32) -> bool {
        self.shared.volume_of(segment).kind == VolumeKind::Memory && self.has_disk()
    }

    /// Copies one record; says whether the index names the copy now.
    pub(crate) async fn copy(
        &self,
        segment: u32,
        line: &FooterLine,
        frequency: u8,
    ) -> Result<bool, WriteError> {
        let from = self.place(segment, line);
        let record = self.shared.index.find(line.key_hash, |slot, place| {
            let same = place.bare() == from.bare();
            same.then(|| Record::at(&self.reader, slot, place))
        });
        let Some(record) = record.flatten() else { return Ok(false) };
        let promoted = self.is_probation(segment);
        let frequency = if promoted { 0 } else { frequency_of_copy(frequency) };
        let tags: Vec<u64> = record.tags().collect();
        let draft = Draft::new(record.key(), record.own_head(), record.own_body_len());
        let draft = Draft { tags: &tags, ..draft };
        let source = Source {
            kind: record.kind(),
            place: from,
            frequency,
            stored_at_ms: record.stored_at_ms(),
            expires_at_ms: record.expires_at_ms(),
            tier: if self.has_disk() { Tier::Disk } else { Tier::Memory },
        };
        // No await since the record was looked at: it stood then (ST-7), and nothing may be purged
        // or begun before the copy has its sequence. What is purged later outranks the copy.
        if record.is_soft_purged() {
            self.shared.index.set_soft(line.key_hash);
            return Ok(false);
        }
        if self.is_being_written(line.key_hash) {
            return Ok(false);
        }
        let Ok(open) = self.reserve_copy(draft, source) else { return Ok(false) };
        let copied = self.fill_copy(&open, &record).await;
        self.end(&open);
        if copied? {
            let counters = &self.shared.counters;
            let counter: &AtomicU64 =
                if promoted { &counters.promoted } else { &counters.reinserted };
            counter.fetch_add(1, Ordering::Relaxed);
            return Ok(true);
        }
        Ok(false)
    }

    async fn fill_copy(&self, open: &Rc<OpenDraft>, record: &Record) -> Result<bool, WriteError> {
        let mut at = 0;
        let body_bytes = record.own_body_len();
        let mut copy = vec![0; WINDOW_BYTES.min(body_bytes) as usize];
        while at < body_bytes {
            let end = (at + WINDOW_BYTES).min(body_bytes);
            let bytes = &mut copy[..(end - at) as usize];
            // Damage was counted and has taken the original out of the index.
            let Ok(window) = record.own_body(at..end) else { return Ok(false) };
            let Ok(()) = window.copy_to(0, bytes) else { return Ok(false) };
            self.append(open, bytes).await?;
            at = end;
        }
        Ok(self.complete(open).await?.published)
    }

    /// Takes records out of the index, where that still names these.
    pub(crate) fn drop_lines(&self, segment: u32, lines: &[FooterLine]) {
        for line in lines {
            let place = self.place(segment, line);
            self.shared.index.find(line.key_hash, |slot, found| {
                (found.bare() == place.bare()).then(|| self.shared.index.discard(slot, found))
            });
        }
    }
}
