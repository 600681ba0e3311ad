//! Recovery: from the bytes of the data file to the index, before anybody writes.
//!
//! For each segment: its header says which generation is valid; the footer, when it is whole,
//! lists a prefix; the forward walk goes on from there, from header to header by lengths whose MAC
//! passes, and never looks for anything inside a body (ST-6). An extent whose record was not
//! completed is passed over. The walk ends at the first header that is not whole, is of another
//! generation, or whose sequence does not rise: what lies behind was never acknowledged as durable
//! (ST-7). Segments are then taken in the order of their sequences, so that the last record or
//! tombstone of a key is the one that stays.

use std::io;
use std::os::unix::fs::FileExt;

use crate::config::Geometry;
use crate::format::{
    self, FooterLine, Kind, Layout, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES,
    Trailer,
};
use crate::index::{Index, Place};
use crate::keys::Keys;
use crate::rebuild::Rebuild;
use crate::segment::{Adopted, Logs};
use crate::volume::{Volume, VolumeKind};

/// What an open has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// All devices were made by this open.
    pub created: bool,
    /// Devices that had missed an open of the store, and count as empty.
    pub devices_voided: u32,
    /// Objects that the index holds now.
    pub objects: u64,
    /// Tombstones met, each of which may have removed an older record.
    pub tombstones: u64,
    /// Segments with records.
    pub segments: u32,
    /// Those whose footer was whole.
    pub segments_footed: u32,
    /// Records found by the forward walk, behind the footers or without them.
    pub records_walked: u64,
    /// Extents that were reserved and never completed.
    pub extents_unfinished: u64,
}

/// Fills index and logs from the data files of all disk volumes.
pub(crate) fn recover(
    volumes: &mut [Volume],
    keys: &Keys,
    index: &Index,
    logs: &mut Logs,
) -> RecoveryReport {
    let mut report = RecoveryReport::default();
    let mut rebuild = Rebuild::new(index);
    let mut ordered = Vec::new();
    for (volume, files) in volumes.iter_mut().enumerate() {
        let floor = files.floor;
        for number in files.segments() {
            let first = match files.kind {
                VolumeKind::Disk => Survey::new(files, number).first_sequence(keys),
                VolumeKind::Memory => None,
            };
            match first.filter(|&(_, generation)| generation >= floor) {
                Some((sequence, generation)) => {
                    ordered.push((sequence, generation, number, volume));
                }
                None => logs.log_mut(volume).adopt_empty(number),
            }
        }
    }
    ordered.sort_unstable();
    let mut youngest = vec![None; volumes.len()];
    for (_, generation, number, volume) in ordered {
        let survey = Survey::new(&mut volumes[volume], number);
        let found = survey.records(generation, keys, &mut report);
        let (tail, last_sequence) = (found.tail, found.last_sequence);
        let (log, ids) = logs.of(volume);
        log.adopt(ids, number, Adopted { generation, tail, last_sequence });
        index_lines(&found.lines, number, &mut rebuild, logs, &mut report);
        let walkable = survey.is_walkable(tail, generation, keys);
        if !found.is_footed {
            logs.segment_mut(number).lines.clone_from(&found.lines);
        }
        youngest[volume] = walkable.then_some(found.lines);
    }
    // A footer that is rewritten can be torn. Whatever is acknowledged from now on in this
    // segment must be found without it, too (ST-7).
    for (volume, lines) in youngest.into_iter().enumerate() {
        if let Some(lines) = lines {
            logs.log_mut(volume).reopen_youngest(lines);
        }
    }
    report.objects = index.used();
    report
}

/// Gives the first clean segments their headers, where there is no segment to go on with.
pub(crate) fn prepare(volumes: &[Volume], keys: &Keys, logs: &mut Logs) -> io::Result<()> {
    for (number, volume) in volumes.iter().enumerate() {
        let (log, ids) = logs.of(number);
        let first = log.first_clean(ids);
        if first.is_empty() || volume.kind == VolumeKind::Memory {
            continue;
        }
        for (segment, generation) in first {
            let header = format::encode_segment_header(volume.local(segment), generation, keys);
            volume.file.write_all_at(&header, volume.base(segment))?;
        }
        volume.file.sync_data()?;
    }
    Ok(())
}

fn index_lines(
    lines: &[FooterLine],
    number: u32,
    rebuild: &mut Rebuild<'_>,
    logs: &Logs,
    report: &mut RecoveryReport,
) {
    let mut by_sequence: Vec<&FooterLine> = lines.iter().collect();
    by_sequence.sort_unstable_by_key(|line| line.sequence);
    for line in by_sequence {
        match line.kind {
            Kind::Tombstone => {
                report.tombstones += 1;
                rebuild.remove(line.key_hash, line.sequence);
            }
            Kind::Object => {
                let generation = logs.segment(number).generation;
                let place = Place::new(number, line.at, generation, line.extent_bytes);
                rebuild.put(line.key_hash, place, line.sequence);
            }
        }
    }
}

/// One segment under inspection.
struct Survey<'a> {
    bytes: &'a [u8],
    /// Counted within its volume.
    number: u32,
    geometry: Geometry,
}

/// What a segment holds.
struct Found {
    lines: Vec<FooterLine>,
    /// The footer lists all of them.
    is_footed: bool,
    tail: u32,
    last_sequence: u64,
}

impl<'a> Survey<'a> {
    fn new(volume: &'a mut Volume, segment: u32) -> Self {
        let geometry = volume.geometry;
        let base = volume.base(segment) as usize;
        let end = base + geometry.segment_bytes as usize;
        let number = volume.local(segment);
        Self { bytes: volume.map.unshared().get(base..end).unwrap_or_default(), number, geometry }
    }

    /// A sequence by which to order the segment, and its generation; `None` when it holds nothing.
    fn first_sequence(&self, keys: &Keys) -> Option<(u64, u64)> {
        let generation = format::parse_segment_header(self.bytes, self.number, keys)?;
        let first = self.extent(SEGMENT_HEADER_BYTES, generation, 0, keys);
        let sequence = first.map(|(header, _)| header.sequence).or_else(|| {
            let footer = Trailer::parse(self.bytes, self.number, generation, keys);
            footer.map(|(trailer, _)| trailer.end_sequence)
        });
        sequence.map(|sequence| (sequence, generation))
    }

    fn records(&self, generation: u64, keys: &Keys, report: &mut RecoveryReport) -> Found {
        report.segments += 1;
        let mut lines = Vec::new();
        let mut is_footed = false;
        let (mut at, mut last_sequence) = (SEGMENT_HEADER_BYTES, 0);
        if let Some((trailer, listed)) = Trailer::parse(self.bytes, self.number, generation, keys) {
            report.segments_footed += 1;
            lines = listed;
            is_footed = true;
            (at, last_sequence) = (trailer.end, trailer.end_sequence);
        }
        // A checkpoint's footer lists what was committed behind its end, too.
        let mut listed: Vec<u32> = lines.iter().map(|line| line.at).collect();
        listed.sort_unstable();
        while let Some((header, layout)) = self.extent(at, generation, last_sequence, keys) {
            if !self.is_complete(&layout, keys) {
                report.extents_unfinished += 1;
            } else if listed.binary_search(&at).is_err() {
                report.records_walked += 1;
                is_footed = false;
                lines.push(FooterLine {
                    key_hash: header.key_hash,
                    sequence: header.sequence,
                    at,
                    extent_bytes: layout.extent_bytes,
                    kind: header.kind,
                });
            }
            last_sequence = header.sequence;
            at = layout.end();
        }
        // What the walk did not reach will be written over.
        lines.retain(|line| line.at < at);
        Found { lines, is_footed, tail: at, last_sequence }
    }

    /// Whether the headers lead from the front to `end` without the footer.
    fn is_walkable(&self, end: u32, generation: u64, keys: &Keys) -> bool {
        let (mut at, mut last_sequence) = (SEGMENT_HEADER_BYTES, 0);
        while at < end {
            let Some((header, layout)) = self.extent(at, generation, last_sequence, keys) else {
                return false;
            };
            (at, last_sequence) = (layout.end(), header.sequence);
        }
        at == end
    }

    /// The extent at `at`, when its header is whole and belongs here.
    fn extent(
        &self,
        at: u32,
        generation: u64,
        after: u64,
        keys: &Keys,
    ) -> Option<(RecordHeader, Layout)> {
        let start = at as usize;
        let bytes = self.bytes.get(start..start.checked_add(RECORD_HEADER_BYTES)?)?;
        let end = self.geometry.records_end(1);
        let (header, layout) = RecordHeader::parse(bytes, at, end, keys)?;
        let follows = header.generation == generation && header.sequence > after;
        follows.then_some((header, layout))
    }

    fn is_complete(&self, layout: &Layout, keys: &Keys) -> bool {
        let part = |range: std::ops::Range<u32>| {
            self.bytes.get(range.start as usize..range.end as usize).unwrap_or_default()
        };
        let mac = format::record_mac(keys, part(layout.front()), part(layout.sums()));
        part(layout.mac()) == mac
    }
}
