//! A log of segments, simulated: ours, and what plainer logs do, with the store's own policy.
//!
//! ```text
//!   memory   open ── full ── full ── oldest ─► hit? to disk : to the ghost
//!   disk     open ── full ── … ── oldest ─► choose: copied to the open one, or gone
//! ```
//! An object larger than a slice is stored in slices of that size and a rest. It is there when all
//! its parts are; who misses one part writes all of them anew. Records have no headers here, and
//! nothing is lost at the end of a segment but what the next record does not fit.

use std::collections::VecDeque;
use std::ops::Range;

use longhold_store::eviction::{
    Candidate, Class, FREQUENCY_MAX, Ghost, Newcomer, Survival, Tier, choose_promoted,
    frequency_of_copy,
};

use super::Policy;
use crate::trace::random::mix;

/// What a log of segments is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The memory tier; without segments, there is none.
    pub memory: Geometry,
    /// The disk.
    pub disk: Geometry,
    /// Larger objects are cut into slices of so many bytes.
    pub slice_bytes: u64,
    /// Where the slices of a new key go.
    pub large: Large,
    /// Larger objects are not stored.
    pub object_bytes_max: u64,
    /// Hits in memory that earn a place on disk.
    pub promotion_frequency: u8,
    /// Who stays when a disk segment is reclaimed.
    pub survival: Survival,
    /// Keys that the ghost can remember at most.
    pub ghost_capacity: u32,
    /// How long it remembers them.
    pub ghost_horizon_bytes: u64,
    /// Whether what goes from disk leaves a ghost, too; in the store it does not.
    pub ghost_from_disk: bool,
}

/// Where objects begin that are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Large {
    /// On disk at once.
    Disk,
    /// In memory, slice by slice, as small objects do, if they are at most half of it.
    Memory,
}

/// The segments of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// How many.
    pub segments: u32,
    /// Bytes of records that one holds.
    pub segment_bytes: u64,
}

/// The cache.
pub struct Segments {
    settings: Settings,
    memory: Log,
    disk: Log,
    /// Every part that was ever stored; those of an object lie side by side.
    parts: Vec<Part>,
    objects: Vec<Object>,
    ghost: Ghost,
    candidates: Vec<Candidate>,
    serial: u32,
    written_bytes: u64,
}

/// The segments of one tier.
struct Log {
    geometry: Geometry,
    /// Oldest first.
    full: VecDeque<Segment>,
    open: Segment,
    clean: u32,
}

#[derive(Default)]
struct Segment {
    serial: u32,
    used_bytes: u64,
    records: Vec<Record>,
}

#[derive(Clone, Copy)]
struct Record {
    part: u32,
    object: u32,
    bytes: u32,
}

#[derive(Clone, Copy)]
struct Object {
    first_part: u32,
    bytes: u64,
}

/// A slice of an object, or a whole one.
#[derive(Clone, Copy)]
struct Part {
    /// Of the segment where it lies; 0 is nowhere.
    serial: u32,
    position: u32,
    frequency: u8,
}

impl Segments {
    /// An empty cache.
    ///
    /// # Panics
    /// When a tier that is there has fewer than four segments.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            memory: Log::new(settings.memory),
            disk: Log::new(settings.disk),
            parts: Vec::new(),
            objects: Vec::new(),
            ghost: Ghost::new(settings.ghost_capacity, settings.ghost_horizon_bytes),
            candidates: Vec::new(),
            serial: 0,
            written_bytes: 0,
        }
    }

    /// The parts of an object, all of them new if it was never stored.
    fn parts_of(&mut self, object: u32, bytes: u64) -> Range<u32> {
        let index = object as usize;
        if self.objects.len() <= index {
            self.objects.resize(index + 1, Object { first_part: NONE, bytes: 0 });
        }
        let count = bytes.div_ceil(self.settings.slice_bytes).max(1) as u32;
        if self.objects[index].first_part == NONE {
            self.objects[index] = Object { first_part: self.parts.len() as u32, bytes };
            self.parts.resize(self.parts.len() + count as usize, NOWHERE);
        }
        let first = self.objects[index].first_part;
        first..first + count
    }

    fn store(&mut self, object: u32, bytes: u64, parts: Range<u32>) {
        let newcomer = Newcomer {
            has_memory: self.settings.memory.segments > 0,
            has_disk: true,
            fits_memory: self.fits_memory(bytes),
            was_ghost: self.ghost.remove(fingerprint(object)),
            class: Class::Main,
        };
        let tier = newcomer.placement().tier;
        let mut left_bytes = bytes;
        for part in parts {
            let bytes = left_bytes.min(self.settings.slice_bytes);
            left_bytes -= bytes;
            self.append(tier, Record { part, object, bytes: bytes as u32 }, 0);
            self.tend();
        }
    }

    fn fits_memory(&self, bytes: u64) -> bool {
        let record_bytes = bytes.min(self.settings.slice_bytes);
        let is_cut = bytes > record_bytes;
        let tier_bytes =
            self.memory.geometry.segment_bytes * u64::from(self.memory.geometry.segments);
        let begins_there = self.settings.large == Large::Memory && bytes <= tier_bytes / 2;
        (begins_there || !is_cut) && record_bytes <= self.memory.geometry.segment_bytes / 4
    }

    /// Writes a record into the open segment, or the next one. There is a clean one.
    fn append(&mut self, tier: Tier, record: Record, frequency: u8) {
        let log = match tier {
            Tier::Memory => &mut self.memory,
            Tier::Disk => {
                self.written_bytes += u64::from(record.bytes);
                &mut self.disk
            }
        };
        let position = match log.push(record, self.serial + 1) {
            Pushed::Into(position) => position,
            Pushed::IntoNew => {
                self.serial += 1;
                0
            }
        };
        let serial = log.open.serial;
        self.parts[record.part as usize] = Part { serial, position, frequency };
    }

    /// Reclaims until each tier has its clean segments.
    fn tend(&mut self) {
        while self.memory.is_due() {
            self.reclaim_memory();
        }
        while self.disk.is_due() {
            self.reclaim_disk();
        }
    }

    fn reclaim_memory(&mut self) {
        let Some(victim) = self.memory.full.pop_front() else { return };
        let mut candidates = self.candidates(&victim);
        let count = choose_promoted(&mut candidates, self.settings.promotion_frequency);
        for candidate in &candidates[..count] {
            self.append(Tier::Disk, victim.records[candidate.position as usize], 0);
            while self.disk.is_due() {
                self.reclaim_disk();
            }
        }
        self.drop_all(&victim, &candidates[count..], true);
        self.candidates = candidates;
        self.memory.clean += 1;
    }

    fn reclaim_disk(&mut self) {
        let Some(victim) = self.disk.full.pop_front() else { return };
        let mut candidates = self.candidates(&victim);
        let segment_bytes = self.disk.geometry.segment_bytes as u32;
        let count = self.settings.survival.choose(&mut candidates, segment_bytes);
        for candidate in &candidates[..count] {
            let record = victim.records[candidate.position as usize];
            self.append(Tier::Disk, record, frequency_of_copy(candidate.frequency));
        }
        self.drop_all(&victim, &candidates[count..], self.settings.ghost_from_disk);
        self.candidates = candidates;
        self.disk.clean += 1;
    }

    /// The records of a segment that are still current, in the vector that is kept for it.
    fn candidates(&mut self, victim: &Segment) -> Vec<Candidate> {
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        for (position, record) in (0..).zip(&victim.records) {
            let part = self.parts[record.part as usize];
            if (part.serial, part.position) == (victim.serial, position) {
                candidates.push(Candidate::new(position, part.frequency, record.bytes));
            }
        }
        candidates
    }

    fn drop_all(&mut self, victim: &Segment, candidates: &[Candidate], to_ghost: bool) {
        for candidate in candidates {
            let Record { part, object, .. } = victim.records[candidate.position as usize];
            self.parts[part as usize] = NOWHERE;
            // The first part stands for the object: its other parts have no name of their own.
            if self.objects[object as usize].first_part != part {
                continue;
            }
            if to_ghost {
                self.ghost.insert(fingerprint(object), self.objects[object as usize].bytes);
            }
        }
    }
}

impl Policy for Segments {
    fn request(&mut self, object: u32, bytes: u64) -> bool {
        if bytes > self.settings.object_bytes_max {
            return false;
        }
        let parts = self.parts_of(object, bytes);
        let range = parts.start as usize..parts.end as usize;
        let hit = self.parts[range.clone()].iter().all(|part| part.serial != 0);
        if hit {
            for part in &mut self.parts[range] {
                part.frequency = (part.frequency + 1).min(FREQUENCY_MAX);
            }
        } else {
            self.store(object, bytes, parts);
        }
        hit
    }

    fn written_bytes(&self) -> u64 {
        self.written_bytes
    }
}

enum Pushed {
    Into(u32),
    IntoNew,
}

impl Log {
    fn new(geometry: Geometry) -> Self {
        let count = geometry.segments;
        assert!(count == 0 || count > 3, "a tier of {count} segments is too small");
        let clean = count.saturating_sub(1);
        Self { geometry, full: VecDeque::new(), open: Segment::default(), clean }
    }

    fn push(&mut self, record: Record, serial: u32) -> Pushed {
        let is_new = self.open.used_bytes + u64::from(record.bytes) > self.geometry.segment_bytes
            || self.open.serial == 0;
        if is_new {
            let open = Segment { serial, ..Segment::default() };
            let full = std::mem::replace(&mut self.open, open);
            if full.serial != 0 {
                self.full.push_back(full);
                self.clean -= 1;
            }
        }
        let position = self.open.records.len() as u32;
        self.open.used_bytes += u64::from(record.bytes);
        self.open.records.push(record);
        if is_new { Pushed::IntoNew } else { Pushed::Into(position) }
    }

    /// Whether a segment must be reclaimed: the store keeps as many clean ones ahead.
    fn is_due(&self) -> bool {
        let target = (self.geometry.segments / 8).clamp(2, 5);
        self.clean < target && !self.full.is_empty()
    }
}

fn fingerprint(object: u32) -> u128 {
    let low = mix(u64::from(object) + 1);
    (u128::from(mix(low)) << 64) | u128::from(low)
}

const NONE: u32 = u32::MAX;
const NOWHERE: Part = Part { serial: 0, position: 0, frequency: 0 };
