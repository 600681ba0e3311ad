//! Reading snapshots back: which one is the newest that is whole and of this shape, and its image
//! into the index.
//!
//! An image is loaded by plain reads, a block at a time, on a few threads: a copy of the page
//! cache is quicker than a page fault for every 4 KiB.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::index::{Index, Place};
use crate::keys::Keys;
use crate::snapshot::{
    BLOCK_BYTES, HEAD_BYTES, Head, SLOT_BYTES, SegmentLine, VolumeLine, block_sum,
};
use crate::volume::{Volume, VolumeKind};

/// A snapshot whose head is whole and of this store's shape. Its image is not read yet.
pub(crate) struct Candidate {
    head: Head,
    sums: Vec<u64>,
    /// Volume and area that it lies in.
    pub(crate) from: (usize, u64),
    base: u64,
}

/// What was found in the areas besides.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    /// Begun and not ended, or damaged since.
    pub(crate) damaged: u32,
    /// Of an index of another size, or of other devices.
    pub(crate) foreign: u32,
}

/// What of a segment counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// 0 for none.
    pub(crate) generation: u64,
    pub(crate) places: Places,
}

/// Offsets in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Places {
    /// All that begin in front of this.
    Below(u32),
    /// These, which rise.
    These(Vec<u32>),
}

impl Places {
    fn contains(&self, at: u32) -> bool {
        match self {
            Self::Below(end) => at < *end,
            Self::These(places) => places.binary_search(&at).is_ok(),
        }
    }
}

/// The snapshots in all areas, the newest last.
pub(crate) fn candidates(
    volumes: &[Volume],
    (store, keys): (u128, &Keys),
    slots: u64,
) -> (Vec<Candidate>, Refused) {
    let mut refused = Refused::default();
    let disks = volumes.iter().enumerate().filter(|(_, v)| v.kind == VolumeKind::Disk);
    let areas = disks.flat_map(|(number, _)| [(number, 0), (number, 1)]);
    let mut candidates: Vec<Candidate> =
        areas.filter_map(|from| candidate(volumes, from, keys, &mut refused)).collect();
    let (count, shape) = (candidates.len(), shape(volumes));
    candidates.retain(|candidate| {
        let head = &candidate.head;
        head.store == store && head.slots == slots && head.volumes == shape
    });
    refused.foreign = (count - candidates.len()) as u32;
    candidates.sort_by_key(|candidate| candidate.head.sequence);
    (candidates, refused)
}

impl Candidate {
    pub(crate) fn sequence(&self) -> u64 {
        self.head.sequence
    }

    /// What the snapshot says of a settled segment that has the same generation still.
    pub(crate) fn settled(&self, segment: u32, generation: u64) -> Option<SegmentLine> {
        let line = self.head.segments.get(segment as usize)?;
        (line.settled && line.generation == generation && generation > 0).then_some(*line)
    }

    /// Loads the image; `false` when a block is not what its sum says, and then the index is as
    /// empty as before. `kept` has an entry for each segment of the disk volumes.
    pub(crate) fn load(&self, file: &File, keys: &Keys, kept: &[Kept], index: &Index) -> bool {
        let lines = self.head.segments.iter().zip(kept);
        // Whole generations are compared here, once; a slot has only eight bits of one.
        let kept: Vec<Option<&Kept>> = lines
            .map(|(line, kept)| {
                let same = line.generation == kept.generation && kept.generation > 0;
                same.then_some(kept)
            })
            .collect();
        let keep = |place: Place| {
            let kept = kept.get(place.segment() as usize).copied().flatten();
            kept.is_some_and(|kept| {
                place.is_of_generation(kept.generation) && kept.places.contains(place.at())
            })
        };
        let layout = self.head.layout();
        let seed = keys.snapshot_seed(self.head.sequence);
        let whole = AtomicBool::new(true);
        in_parallel(self.sums.len(), |number| {
            let at = number as u64 * BLOCK_BYTES;
            let mut block = vec![0; (layout.image_bytes - at).min(BLOCK_BYTES) as usize];
            let read = file.read_exact_at(&mut block, self.base + layout.image_at + at);
            if read.is_err() || block_sum(seed, &block) != self.sums[number] {
                whole.store(false, Ordering::Relaxed);
            } else if whole.load(Ordering::Relaxed) {
                index.load_image(at / SLOT_BYTES, &block, keep);
            }
        });
        let whole = whole.load(Ordering::Relaxed);
        if !whole {
            index.clear_all();
        }
        whole
    }
}

/// Does a number of things, a few at the same time.
pub(crate) fn in_parallel(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let worker = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            work(number);
        }
    };
    // A fuzzer runs a million small stores, and wants the same course each time.
    let threads = if cfg!(fuzzing) { 1 } else { available_threads() };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(THREADS_MAX).min(count) {
            scope.spawn(worker);
        }
        worker();
    });
}

fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn shape(volumes: &[Volume]) -> Vec<VolumeLine> {
    let disks = volumes.iter().filter(|volume| volume.kind == VolumeKind::Disk);
    let line = |volume: &Volume| VolumeLine {
        device: volume.device,
        first: volume.first,
        segment_count: volume.geometry.segment_count,
    };
    disks.map(line).collect()
}

/// Head and sums of one area; `None` when nothing was ever written there, or they are not whole.
fn candidate(
    volumes: &[Volume],
    from: (usize, u64),
    keys: &Keys,
    refused: &mut Refused,
) -> Option<Candidate> {
    let volume = &volumes[from.0];
    let area_bytes = volume.geometry.snapshot_bytes;
    let base = from.1 * area_bytes;
    let read = |range: Range<u64>| {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        volume.file.read_exact_at(&mut bytes, base + range.start).ok().map(|()| bytes)
    };
    let first = read(0..HEAD_BYTES.min(area_bytes))?;
    let layout = Head::measure(&first, area_bytes)?;
    let head = read(0..layout.image_at)?;
    let tail = read(layout.tail_at()..layout.total_bytes())?;
    let parsed = Head::parse(&head, &tail, keys);
    refused.damaged += u32::from(parsed.is_none());
    parsed.map(|(head, sums)| Candidate { head, sums, from, base })
}

/// More threads than this would wait for memory.
const THREADS_MAX: usize = 8;
