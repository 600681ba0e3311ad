//! Recovery: from the bytes of the data file to the index, before anybody writes.
//!
//! For each segment: its header says which generation is valid; the footer, when it is whole,
//! lists a prefix; the forward walk goes on from there, from header to header by lengths whose MAC
//! passes, and never looks for anything inside a body (ST-6). An extent whose record was not
//! completed is passed over. The walk ends at the first header that is not whole, is of another
//! generation, or whose sequence does not rise: what lies behind was never sealed, nor committed by
//! a process that died (ST-2).
//!
//! A snapshot of the index saves the reading of segments that it has settled. Of several records of
//! a key the one with the highest sequence stays, and a purge of the key takes it out when its own
//! sequence is higher still (ST-7). Other purges are the readers' to enforce.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use crate::format::{
    self, FOOTER_TRAILER_BYTES, FooterLine, Layout, RECORD_HEADER_BYTES, RecordHeader,
    SEGMENT_HEADER_BYTES, Trailer,
};
use crate::index::{Index, Place};
use crate::keys::Keys;
use crate::logs::Logs;
use crate::rebuild::Rebuild;
use crate::restore::{self, Candidate, Kept, Places};
use crate::segment::Adopted;
use crate::snapshot::SegmentLine;
use crate::volume::{Volume, VolumeKind};

/// What an open has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// All devices were made by this open.
    pub created: bool,
    /// Devices that had missed an open of the store, and count as empty.
    pub devices_voided: u32,
    /// The snapshot of the index that was used; `None` for none. Records and purges up to this
    /// sequence came with it.
    pub snapshot_sequence: Option<u64>,
    /// Snapshots that were cut off by a crash, or damaged since.
    pub snapshots_damaged: u32,
    /// Snapshots that are whole, but of an index of another size or of other devices.
    pub snapshots_foreign: u32,
    /// Objects that the index holds now.
    pub objects: u64,
    /// Purges on record that may concern older records.
    pub purges: u64,
    /// The record of purges was damaged, by more than a crash: whatever was stored before counts
    /// as purged.
    pub purges_damaged: bool,
    /// Segments with records.
    pub segments: u32,
    /// Those of which a snapshot of the index told all; the others were read.
    pub segments_settled: u32,
    /// Those whose footer was whole.
    pub segments_footed: u32,
    /// Records found by the forward walk, behind the footers or without them.
    pub records_walked: u64,
    /// Extents that were reserved and never completed.
    pub extents_unfinished: u64,
}

/// What an open has found, and where the next snapshot goes from there.
pub(crate) struct Recovered {
    pub(crate) report: RecoveryReport,
    /// Volume and area of the snapshot that was loaded.
    pub(crate) snapshot: Option<(usize, u64)>,
    /// No sequence and no generation on the volumes is higher.
    pub(crate) highest_id: u64,
}

impl RecoveryReport {
    fn count(&mut self, found: &Found) {
        self.segments_footed += u32::from(found.trailer.is_some());
        self.records_walked += found.walked;
        self.extents_unfinished += found.unfinished;
    }
}

/// Fills index and logs from the data files of all disk volumes.
pub(crate) fn recover(
    volumes: &[Volume],
    identity: (u128, &Keys),
    index: &Index,
    logs: &mut Logs,
) -> Recovered {
    let keys = identity.1;
    let mut report = RecoveryReport::default();
    let mut segments = generations(volumes, keys);
    let (mut candidates, refused) = restore::candidates(volumes, identity, index.slots());
    report.snapshots_damaged = refused.damaged;
    report.snapshots_foreign = refused.foreign;
    let snapshot = loop {
        let candidate = candidates.pop();
        survey(volumes, keys, candidate.as_ref(), &mut segments);
        let Some(candidate) = candidate else { break None };
        let kept: Vec<Kept> = segments.iter().map(|segment| segment.kept(&candidate)).collect();
        if candidate.load(&volumes[candidate.from.0].file, keys, &kept, index) {
            break Some(candidate);
        }
        report.snapshots_damaged += 1;
    };
    report.snapshot_sequence = snapshot.as_ref().map(Candidate::sequence);
    let mut highest_id = report.snapshot_sequence.unwrap_or(0).max(logs.purges.newest());
    highest_id = segments.iter().map(|segment| segment.generation).fold(highest_id, u64::max);

    for (number, volume) in volumes.iter().enumerate() {
        if volume.kind == VolumeKind::Memory {
            volume.segments().for_each(|segment| logs.log_mut(number).adopt_empty(segment));
        }
    }
    let settled = report.snapshot_sequence.unwrap_or(0);
    let mut rebuild = Rebuild::new(index);
    let mut youngest: Vec<Option<Source>> = volumes.iter().map(|_| None).collect();
    for source in in_order(segments, snapshot.as_ref(), logs) {
        report.segments += 1;
        let adopted = source.adopted();
        highest_id = highest_id.max(adopted.last_sequence);
        logs.log_mut(source.volume).adopt(source.number, adopted);
        if let Origin::Settled(_) = &source.origin {
            report.segments_settled += 1;
        }
        if let Origin::Read(found) = &source.origin {
            report.count(found);
            index_lines(found, (source.number, source.generation), settled, &mut rebuild);
            if !found.is_footed {
                logs.segment_mut(source.number).lines.clone_from(&found.lines);
            }
        }
        let volume = source.volume;
        youngest[volume] = Some(source);
    }
    for (hash, newest) in logs.purges.ledger().key_purges(settled) {
        rebuild.purge(hash, newest);
    }
    // A footer that is rewritten can be torn. Whatever is committed from now on in this segment
    // must be found without it, too.
    for source in youngest.into_iter().flatten() {
        let Origin::Read(found) = source.origin else { continue };
        let survey = Survey::new(&volumes[source.volume], source.number);
        if !found.is_final() && survey.is_walkable(found.tail, source.generation, keys) {
            logs.log_mut(source.volume).reopen_youngest(found.lines);
        }
    }
    report.objects = index.used();
    Recovered { report, snapshot: snapshot.map(|snapshot| snapshot.from), highest_id }
}

/// A segment of a disk volume.
struct Segment {
    volume: usize,
    number: u32,
    /// 0 when its records do not count.
    generation: u64,
    /// What was found when it was read.
    found: Option<Found>,
}

/// A segment with records.
struct Source {
    volume: usize,
    number: u32,
    generation: u64,
    origin: Origin,
}

/// How its records came into the index.
enum Origin {
    /// With the snapshot, all of them.
    Settled(SegmentLine),
    Read(Found),
}

impl Segment {
    /// What of an image counts here: in a segment that was read, only the records that were found.
    /// The space behind will be written over, and what was damaged since is in no footer to come.
    fn kept(&self, snapshot: &Candidate) -> Kept {
        let settled = snapshot.settled(self.number, self.generation);
        let places = match (settled, &self.found) {
            (Some(line), _) => Places::Below(line.tail),
            (None, Some(found)) => {
                let mut places: Vec<u32> = found.lines.iter().map(|line| line.at).collect();
                places.sort_unstable();
                Places::These(places)
            }
            (None, None) => Places::These(Vec::new()),
        };
        Kept { generation: self.generation, places }
    }
}

impl Source {
    fn first_sequence(&self) -> u64 {
        match &self.origin {
            Origin::Settled(line) => line.first_sequence,
            Origin::Read(found) => found.first_sequence,
        }
    }

    fn adopted(&self) -> Adopted {
        let (tail, last_sequence, is_final) = match &self.origin {
            Origin::Settled(line) => (line.tail, line.last_sequence, true),
            Origin::Read(found) => (found.tail, found.last_sequence, found.is_final()),
        };
        Adopted {
            generation: self.generation,
            tail,
            first_sequence: self.first_sequence(),
            last_sequence,
            is_final,
        }
    }
}

/// All segments of the disk volumes by number, with their generations.
fn generations(volumes: &[Volume], keys: &Keys) -> Vec<Segment> {
    let mut segments = Vec::new();
    for (number, volume) in volumes.iter().enumerate() {
        if volume.kind == VolumeKind::Memory {
            continue;
        }
        for segment in volume.segments() {
            let generation = Survey::new(volume, segment).generation(keys);
            let counts = |generation: &u64| *generation >= volume.floor;
            let generation = generation.filter(counts).unwrap_or(0);
            segments.push(Segment { volume: number, number: segment, generation, found: None });
        }
    }
    segments
}

/// Reads the segments that a snapshot has not settled, or all, as far as it was not done before.
fn survey(volumes: &[Volume], keys: &Keys, snapshot: Option<&Candidate>, segments: &mut [Segment]) {
    for (number, volume) in volumes.iter().enumerate() {
        let settled = |segment: &Segment| {
            let line = snapshot.and_then(|it| it.settled(segment.number, segment.generation));
            segment.found.is_some() || segment.generation == 0 || line.is_some()
        };
        let ours = segments.iter_mut().filter(|segment| segment.volume == number);
        let wanted: Vec<Mutex<&mut Segment>> =
            ours.filter(|segment| !settled(segment)).map(Mutex::new).collect();
        restore::in_parallel(wanted.len(), |at| {
            let mut segment = wanted[at].lock().unwrap_or_else(PoisonError::into_inner);
            let found = Survey::new(volume, segment.number).records(segment.generation, keys);
            segment.found = Some(found);
        });
    }
}

/// The segments with records, oldest first; the others go to their logs as empty.
fn in_order(segments: Vec<Segment>, snapshot: Option<&Candidate>, logs: &mut Logs) -> Vec<Source> {
    let mut ordered = Vec::new();
    for segment in segments {
        let Segment { volume, number, generation, found } = segment;
        let line = snapshot.and_then(|it| it.settled(number, generation));
        let found = found.filter(|found| found.first_sequence > 0);
        let origin = line.map(Origin::Settled).or(found.map(Origin::Read));
        match origin {
            Some(origin) => ordered.push(Source { volume, number, generation, origin }),
            None => logs.log_mut(volume).adopt_empty(number),
        }
    }
    ordered.sort_unstable_by_key(|source| (source.first_sequence(), source.number));
    ordered
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

/// Puts in what a snapshot with the sequence `settled` does not know for certain.
fn index_lines(
    found: &Found,
    (number, generation): (u32, u64),
    settled: u64,
    rebuild: &mut Rebuild<'_>,
) {
    let lines = found.lines.iter().filter(|line| line.sequence > settled);
    let lines: Vec<&FooterLine> = lines.collect();
    for lines in lines.chunks(AHEAD) {
        rebuild.approach(lines.iter().map(|line| line.key_hash));
        for line in lines {
            let place = Place::new(number, line.at, generation, line.extent_bytes);
            rebuild.put(line.key_hash, place, line.sequence);
        }
    }
}

/// One segment under inspection.
///
/// It is read by guarded copies. Where the file does not give its bytes nothing is found, and the
/// volume is marked as unreadable, which ends the open.
struct Survey<'a> {
    volume: &'a Volume,
    /// Where the segment begins in the volume's file.
    base: u64,
    /// Counted within its volume.
    number: u32,
}

/// What a segment holds.
struct Found {
    lines: Vec<FooterLine>,
    trailer: Option<Trailer>,
    /// The footer lists all of them.
    is_footed: bool,
    tail: u32,
    /// 0 when there is nothing.
    first_sequence: u64,
    last_sequence: u64,
    /// Records behind the footer, and extents without a record.
    walked: u64,
    unfinished: u64,
}

impl Found {
    /// It can get no more records.
    fn is_final(&self) -> bool {
        self.is_footed && self.trailer.is_some_and(|trailer| trailer.is_final)
    }
}

impl<'a> Survey<'a> {
    fn new(volume: &'a Volume, segment: u32) -> Self {
        Self { volume, base: volume.base(segment), number: volume.local(segment) }
    }

    fn generation(&self, keys: &Keys) -> Option<u64> {
        let header: [u8; 64] = self.array(0)?;
        format::parse_segment_header(&header, self.number, keys)
    }

    fn array<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.copy(at, &mut bytes).map(|()| bytes)
    }

    fn copy(&self, at: u32, into: &mut [u8]) -> Option<()> {
        let end = u64::from(at) + into.len() as u64;
        let is_inside = end <= u64::from(self.volume.geometry.segment_bytes);
        is_inside.then(|| self.volume.copy(self.base + u64::from(at), into).ok()).flatten()
    }

    fn footer(&self, generation: u64, keys: &Keys) -> Option<(Trailer, Vec<FooterLine>)> {
        let end = self.volume.geometry.segment_bytes;
        let trailer: [u8; FOOTER_TRAILER_BYTES] = self.array(end - FOOTER_TRAILER_BYTES as u32)?;
        let footer_bytes = Trailer::footer_bytes(&trailer)?;
        let at = u64::from(end).checked_sub(footer_bytes)? as u32;
        let mut footer = vec![0; footer_bytes as usize];
        self.copy(at, &mut footer)?;
        Trailer::parse_tail((&footer, at as usize), (self.number, generation), keys)
    }

    fn records(&self, generation: u64, keys: &Keys) -> Found {
        let footer = self.footer(generation, keys);
        let mut scratch = Vec::new();
        let trailer = footer.as_ref().map(|(trailer, _)| *trailer);
        let mut lines = footer.map_or_else(Vec::new, |(_, lines)| lines);
        let (mut at, mut last_sequence) =
            trailer.map_or((SEGMENT_HEADER_BYTES, 0), |it| (it.end, it.end_sequence));
        let (mut walked, mut unfinished) = (0, 0);
        // A checkpoint's footer lists what was committed behind its end, too.
        let mut listed: Vec<u32> = lines.iter().map(|line| line.at).collect();
        listed.sort_unstable();
        while let Some((header, layout)) = self.extent(at, generation, last_sequence, keys) {
            if !self.is_complete(&layout, keys, &mut scratch) {
                unfinished += 1;
            } else if listed.binary_search(&at).is_err() {
                walked += 1;
                lines.push(FooterLine {
                    key_hash: header.key_hash,
                    sequence: header.sequence,
                    at,
                    extent_bytes: layout.extent_bytes,
                });
            }
            last_sequence = header.sequence;
            at = layout.end();
        }
        // What the walk did not reach will be written over.
        lines.retain(|line| line.at < at);
        let first = self.extent(SEGMENT_HEADER_BYTES, generation, 0, keys);
        let first = first.map(|(header, _)| header.sequence);
        let first = first.into_iter().chain(lines.iter().map(|line| line.sequence)).min();
        Found {
            lines,
            trailer,
            is_footed: trailer.is_some() && walked == 0,
            tail: at,
            first_sequence: first.or(trailer.map(|it| it.end_sequence)).unwrap_or(0),
            last_sequence,
            walked,
            unfinished,
        }
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
        let bytes: [u8; RECORD_HEADER_BYTES] = self.array(at)?;
        let end = self.volume.geometry.records_end(1);
        let (header, layout) = RecordHeader::parse(&bytes, at, end, keys)?;
        let follows = header.generation == generation && header.sequence > after;
        follows.then_some((header, layout))
    }

    fn is_complete(&self, layout: &Layout, keys: &Keys, scratch: &mut Vec<u8>) -> bool {
        let (front, tail) = (layout.front(), layout.sums().start..layout.mac().end);
        let front_bytes = (front.end - front.start) as usize;
        let sums_bytes = (layout.sums().end - tail.start) as usize;
        let bytes = front_bytes + (tail.end - tail.start) as usize;
        if scratch.len() < bytes {
            scratch.resize(bytes, 0);
        }
        let (in_front, behind) = scratch[..bytes].split_at_mut(front_bytes);
        let copied = self.copy(front.start, in_front).and_then(|()| self.copy(tail.start, behind));
        let (sums, mac) = behind.split_at(sums_bytes);
        copied.is_some() && format::record_mac(keys, in_front, sums)[..] == *mac
    }
}

/// Lines whose slots are asked for together.
const AHEAD: usize = 32;
