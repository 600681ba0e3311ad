//! What a store holds, from headers and footers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::survey::{Found, Survey};
use super::{Device, Inspection, Progress};
use crate::config::DiskUse;
use crate::format::{
    self, FOOTER_ENTRY_BYTES, FOOTER_TRAILER_BYTES, RECORD_HEADER_BYTES, RecordHeader, Trailer,
};
use crate::keys::Keys;
use crate::purge::Standing;
use crate::purge_log::{ENTRIES_AT, Ledger, What};

/// What [`Inspection::stat`] has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreStat {
    /// In the order in which the devices were given.
    pub devices: Vec<DeviceStat>,
    /// Devices that took part in the last open and were not given.
    pub devices_missing: usize,
    /// Opens of the store so far.
    pub epoch: u64,
    /// Objects, and slices and roots of large ones, that an open would find, but for those that
    /// were purged by tag, prefix or all together.
    pub objects: u64,
    /// Their bytes.
    pub live_bytes: u64,
    /// Bytes of records that newer ones have replaced, or whose key was purged.
    pub dead_bytes: u64,
    /// Purges on record that may concern them.
    pub purges: PurgeStat,
    /// Live objects by what they take.
    pub sizes: Sizes,
    /// Live bytes by the age of the youngest record of their segment.
    pub ages: Ages,
    /// Segments by how much of them is live: below a tenth, below two, and so on.
    pub fill: [u32; 10],
}

/// The purges on record, of all devices together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PurgeStat {
    /// By key.
    pub keys: u64,
    /// By prefix.
    pub prefixes: u64,
    /// By tag.
    pub tags: u64,
    /// Of everything.
    pub all: u64,
    /// What they take in the log of a device, in bytes.
    pub bytes: u64,
    /// For how many bytes the smallest log has room.
    pub capacity_bytes: u64,
}

impl PurgeStat {
    /// All of them.
    pub const fn count(&self) -> u64 {
        self.keys + self.prefixes + self.tags + self.all
    }

    fn of(ledger: &Ledger, area_bytes: u64) -> Self {
        let capacity_bytes = area_bytes.saturating_sub(ENTRIES_AT.into());
        let mut stat = Self { bytes: ledger.bytes(), capacity_bytes, ..Self::default() };
        for entry in ledger.entries() {
            match entry.what {
                What::Key(_) => stat.keys += 1,
                What::Prefix(_) => stat.prefixes += 1,
                What::Tag(_) => stat.tags += 1,
                What::All => stat.all += 1,
            }
        }
        stat
    }
}

/// One device's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceStat {
    /// The device's directory.
    pub path: PathBuf,
    /// It has missed an open: what it holds will not count.
    pub voided: bool,
    /// Its shape.
    pub disk: DiskUse,
    /// Segments with records.
    pub segments_used: u32,
    /// Live objects.
    pub objects: u64,
    /// Their bytes.
    pub live_bytes: u64,
    /// Bytes of records that newer ones have replaced.
    pub dead_bytes: u64,
    /// Segments that could not be read.
    pub segments_unreadable: u32,
    /// Images of the index whose head is whole.
    pub snapshots: u32,
}

/// Objects and bytes by the size of an object: below 1 KiB, then by factors of four, to 64 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    /// How many.
    pub objects: [u64; Sizes::BELOW.len()],
    /// Their bytes.
    pub bytes: [u64; Sizes::BELOW.len()],
}

impl Sizes {
    /// Each class ends below so many bytes.
    pub const BELOW: [u64; 9] = [
        1 << 10,
        4 << 10,
        16 << 10,
        64 << 10,
        256 << 10,
        1 << 20,
        4 << 20,
        16 << 20,
        (64 << 20) + 1,
    ];

    fn add(&mut self, bytes: u64) {
        let class = Self::BELOW.iter().position(|below| bytes < *below);
        let class = class.unwrap_or(Self::BELOW.len() - 1);
        self.objects[class] += 1;
        self.bytes[class] += bytes;
    }
}

/// Bytes by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ages {
    /// By class.
    pub bytes: [u64; Ages::BELOW_S.len()],
}

impl Ages {
    /// Each class ends below so many seconds: a minute, an hour, a day, a week, a month, any.
    pub const BELOW_S: [u64; 6] = [60, 3600, 86_400, 7 * 86_400, 30 * 86_400, u64::MAX];

    fn add(&mut self, age_s: u64, bytes: u64) {
        let class = Self::BELOW_S.iter().position(|below| age_s < *below);
        self.bytes[class.unwrap_or(Self::BELOW_S.len() - 1)] += bytes;
    }
}

/// One segment with records.
struct Segment {
    device: usize,
    stored_at_ms: u64,
    live_bytes: u64,
}

/// The newest record of a key.
struct Newest {
    sequence: u64,
    segment: usize,
    extent_bytes: u32,
}

impl Inspection {
    /// Says what the store holds. Reads the header and the footer of each segment, and the whole
    /// of those without a footer; takes 64 bytes of memory for each key.
    pub fn stat(&self, progress: &mut dyn FnMut(Progress)) -> StoreStat {
        let mut segments: Vec<Segment> = Vec::new();
        let mut keys: HashMap<u128, Newest> = HashMap::new();
        let mut stat = StoreStat { devices_missing: self.missing, ..StoreStat::default() };
        let mut pace = self.pace(progress);
        for (number, device) in self.devices.iter().enumerate() {
            stat.epoch = stat.epoch.max(device.super_block.epoch);
            let mut part = device.stat();
            part.snapshots = device.images(&self.keys, false).whole;
            let mut buffer = vec![0; device.geometry().segment_bytes as usize];
            for local in 0..device.geometry().segment_count {
                let survey = device.survey(local, &self.keys, &mut buffer);
                pace.step(buffer.len() as u64);
                let Some(survey) = survey else {
                    part.segments_unreadable += 1;
                    continue;
                };
                if survey.records.is_empty() {
                    continue;
                }
                part.segments_used += 1;
                part.dead_bytes += survey.record_bytes();
                if device.voided {
                    continue;
                }
                for record in &survey.records {
                    newer(&mut keys, record, segments.len());
                }
                let stored_at_ms = survey.stored_at_ms;
                segments.push(Segment { device: number, stored_at_ms, live_bytes: 0 });
            }
            stat.devices.push(part);
        }
        let logs = self.devices.iter().filter_map(|device| device.purges(&self.keys));
        let ledger = Ledger::union(logs.map(|log| log.entries));
        let areas = self.devices.iter().map(|device| device.geometry().purge_bytes);
        stat.purges = PurgeStat::of(&ledger, areas.min().unwrap_or(0));
        for (hash, newest) in ledger.key_purges(0) {
            let purged = |known: &Newest| newest.standing(known.sequence) == Standing::Purged;
            if keys.get(&hash).is_some_and(purged) {
                keys.remove(&hash);
            }
        }
        stat.count(&keys, &mut segments);
        stat.fill(&segments);
        stat
    }
}

fn newer(keys: &mut HashMap<u128, Newest>, record: &Found, segment: usize) {
    let Found { key_hash, sequence, extent_bytes } = *record;
    let newest = Newest { sequence, segment, extent_bytes };
    match keys.entry(key_hash) {
        Entry::Occupied(mut known) if known.get().sequence < sequence => {
            known.insert(newest);
        }
        Entry::Occupied(_) => {}
        Entry::Vacant(place) => {
            place.insert(newest);
        }
    }
}

impl StoreStat {
    fn count(&mut self, keys: &HashMap<u128, Newest>, segments: &mut [Segment]) {
        for newest in keys.values() {
            let bytes = u64::from(newest.extent_bytes);
            let segment = &mut segments[newest.segment];
            segment.live_bytes += bytes;
            let device = &mut self.devices[segment.device];
            device.objects += 1;
            device.live_bytes += bytes;
            device.dead_bytes -= bytes;
            self.sizes.add(bytes);
        }
        self.objects = self.devices.iter().map(|device| device.objects).sum();
        self.live_bytes = self.devices.iter().map(|device| device.live_bytes).sum();
        self.dead_bytes = self.devices.iter().map(|device| device.dead_bytes).sum();
    }

    fn fill(&mut self, segments: &[Segment]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for segment in segments {
            let age_s = now.as_secs().saturating_sub(segment.stored_at_ms / 1000);
            self.ages.add(age_s, segment.live_bytes);
            let segment_bytes = u64::from(self.devices[segment.device].disk.segment_bytes);
            let tenth = (segment.live_bytes * 10 / segment_bytes).min(9);
            self.fill[tenth as usize] += 1;
        }
    }
}

impl Device {
    fn stat(&self) -> DeviceStat {
        DeviceStat {
            path: self.path.clone(),
            voided: self.voided,
            disk: self.disk_use(),
            segments_used: 0,
            objects: 0,
            live_bytes: 0,
            dead_bytes: 0,
            segments_unreadable: 0,
            snapshots: 0,
        }
    }

    /// The records of a segment; `None` when it cannot be read.
    fn survey(&self, number: u32, keys: &Keys, buffer: &mut [u8]) -> Option<Survey> {
        let base = self.geometry().base(number);
        let mut header = [0; 64];
        self.data.read_exact_at(&mut header, base).ok()?;
        let floor = self.super_block.floor();
        let generation = format::parse_segment_header(&header, number, keys);
        let Some(generation) = generation.filter(|generation| *generation >= floor) else {
            return Some(Survey::default());
        };
        if let Some(survey) = self.footed(number, generation, keys, buffer) {
            return Some(survey);
        }
        self.data.read_exact_at(buffer, base).ok()?;
        Some(Survey::whole(buffer, (number, floor), keys))
    }

    /// By the footer alone; `None` when there is none, or records follow behind it.
    fn footed(
        &self,
        number: u32,
        generation: u64,
        keys: &Keys,
        buffer: &mut [u8],
    ) -> Option<Survey> {
        let base = self.geometry().base(number);
        let trailer_at = buffer.len() - FOOTER_TRAILER_BYTES;
        self.data.read_exact_at(&mut buffer[trailer_at..], base + trailer_at as u64).ok()?;
        let count = format::u32_at(buffer, trailer_at + 4) as usize;
        let lines_at = trailer_at.checked_sub(count.checked_mul(FOOTER_ENTRY_BYTES)?)?;
        let lines = &mut buffer[lines_at..trailer_at];
        self.data.read_exact_at(lines, base + lines_at as u64).ok()?;
        let (trailer, lines) = Trailer::parse(buffer, number, generation, keys)?;
        let youngest = lines.iter().max_by_key(|line| line.sequence)?;
        let stored_at_ms = self.header(base, youngest.at, keys)?.stored_at_ms;
        if lines.iter().any(|line| line.at >= trailer.end)
            || self.header(base, trailer.end, keys).is_some_and(|h| h.generation == generation)
        {
            return None;
        }
        let found = |line: &format::FooterLine| Found {
            key_hash: line.key_hash,
            sequence: line.sequence,
            extent_bytes: line.extent_bytes,
        };
        let records = lines.iter().map(found).collect();
        Some(Survey { records, stored_at_ms, ..Survey::default() })
    }

    fn header(&self, base: u64, at: u32, keys: &Keys) -> Option<RecordHeader> {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        self.data.read_exact_at(&mut bytes, base + u64::from(at)).ok()?;
        let end = u64::from(self.geometry().segment_bytes);
        RecordHeader::parse(&bytes, at, end, keys).map(|(header, _)| header)
    }
}
