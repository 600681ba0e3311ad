//! ST-1, ST-2, ST-6, ST-7 under power loss: every prefix of the device's writes, with any part of
//! the unsynced ones missing, must open to a store without a wrong byte or a purged object.
//!
//! A run works on a store through a recording device. For each crash point an image of each data
//! file is made: what a sync has covered is there; of each later write every sector (512 bytes or
//! 4 KiB) is there or not, by chance. The images are opened and compared with what was
//! acknowledged. Some are worked on further and crash again: recovery must survive recovery.
//!
//! Keys are asked for in between, so that records are promoted and reinserted. All of this with
//! one disk and with two, without and with a memory tier.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use longhold_store::device::{FaultPlan, Recorded};
use longhold_store::{
    FaultyDevice, FileDevice, Mode, Pending, Purge, Stats, Store, WriteError, Writer,
    block_on_ready,
};

use crate::support::{Aim, Object, PurgedTo, Random, Shape, get, look, scratch};

/// What is known at a crash point.
#[derive(Debug, Clone, Default)]
struct Known {
    /// Keys of which an older draft was open when the newest was begun: it may have come to disk
    /// while the newest was in memory.
    entangled: HashSet<u32>,
    /// What was purged, and that was acknowledged.
    purged: PurgedTo,
    /// The newest committed version of a key, without power loss in between.
    committed: HashMap<u32, Object>,
    /// Something was reclaimed, so that what was committed may be missing.
    lossy: bool,
}

const KEYS: u32 = 10;

/// Records that were copied by the store, in all runs together.
#[derive(Debug, Default)]
struct Copied {
    promoted: u64,
    reinserted: u64,
}

/// Keys that only fill the memory tier.
const FILLERS: std::ops::Range<u32> = 100..160;

#[test]
fn every_prefix_opens_without_wrong_bytes() {
    runs(Shape { disks: 1, memory: false }, 12);
}

#[test]
fn every_prefix_opens_without_wrong_bytes_behind_a_memory_tier() {
    runs(Shape { disks: 1, memory: true }, 6);
}

#[test]
fn every_prefix_opens_without_wrong_bytes_on_two_disks() {
    runs(Shape { disks: 2, memory: false }, 4);
}

#[test]
fn every_prefix_opens_without_wrong_bytes_on_two_disks_behind_a_memory_tier() {
    runs(Shape { disks: 2, memory: true }, 4);
}

fn runs(shape: Shape, default: u64) {
    let runs = from_env("LONGHOLD_CRASH_RUNS", default);
    let mut copied = Copied::default();
    for seed in 0..runs {
        let folder = scratch();
        let mut random = Random(seed);
        let known = Known::default();
        crash_run(folder.path(), shape, &mut random, (&known, 2, seed), &mut copied);
    }
    assert!(copied.promoted > 0 || !shape.memory, "{copied:?}");
    assert!(copied.reinserted > 0, "{copied:?}");
}

/// Works on the store in `folder`, then crashes it at every point, `depth` levels deep.
fn crash_run(
    folder: &Path,
    shape: Shape,
    random: &mut Random,
    (before, depth, seed): (&Known, u32, u64),
    copied: &mut Copied,
) {
    let (base, log, known, stats) = work(folder, shape, random, before);
    copied.promoted += stats.promoted;
    copied.reinserted += stats.reinserted;
    let scratch = scratch();
    let variants = if depth == 2 { 3 } else { 1 };
    for point in 0..=log.len() {
        // Deeper levels are sampled: there are as many points again below each point.
        if depth < 2 && !random.chance(12) {
            continue;
        }
        let mark = marks_before(&log, point);
        let mut at_point = known[mark].clone();
        // The step after the mark may have reclaimed or purged something before it was cut short.
        if let Some(next) = known.get(mark + 1) {
            at_point.lossy |= next.lossy;
            at_point.committed.retain(|key, _| next.committed.contains_key(key));
        }
        for variant in 0..variants {
            let lost = [Lost::Nothing, Lost::Sectors(512), Lost::Sectors(4096)][variant];
            let lost = if variants == 1 { Lost::Sectors(512) } else { lost };
            let images = images(&base, &log[..point], lost, random);
            let path = scratch.path().join("image");
            restore(folder, &path, &images);
            let context = format!("{shape:?} seed {seed} depth {depth} point {point} {lost:?}");
            check(&path, shape, &at_point, (lost, &context));
            if depth > 0 && lost != Lost::Nothing && random.chance(if depth == 2 { 4 } else { 2 }) {
                // The check has opened the image; work goes on from there.
                let mut survivors = at_point.clone();
                survivors.committed.clear();
                crash_run(&path, shape, random, (&survivors, depth - 1, seed), copied);
            }
            std::fs::remove_dir_all(&path).unwrap();
        }
    }
}

/// A random course of puts, lookups, purges, overlapping drafts and seals. Yields the data files
/// before it, the device's log, what was known after each mark in it, and figures.
fn work(
    folder: &Path,
    shape: Shape,
    random: &mut Random,
    before: &Known,
) -> (Vec<Vec<u8>>, Vec<Recorded>, Vec<Known>, Stats) {
    let (store, _) = Store::open(&shape.config(folder)).unwrap();
    let base = shape.read(folder);
    let reader = store.reader(0);
    let device = FileDevice::with_pool(&store, 5, 4096).unwrap();
    let (device, recorder) = FaultyDevice::new(device, FaultPlan::default(), true);
    let writer = Writer::new(&store, device).unwrap();
    let mut course = Course { known: vec![before.clone()], open: Vec::new() };
    for _ in 0..random.below(45) + 10 {
        course.known.push(course.known.last().unwrap().clone());
        let key = random.below(u64::from(KEYS)) as u32;
        match random.below(26) {
            0..=8 => course.put(&writer, (key, body_bytes(random)), random.chance(40)),
            9..=11 => course.begin(&writer, (key, body_bytes(random)), random.chance(40)),
            12..=13 => course.finish(&writer),
            14 => drop(course.open.pop()),
            15..=17 => course.purge(&writer, random),
            24..=25 => course.crowd(&writer),
            18 => block_on_ready(writer.seal()).unwrap(),
            19..=20 => {
                for key in 0..KEYS {
                    let _ = get(&reader, key);
                }
            }
            21..=22 if shape.memory => {
                // A third of the tier: what was asked for leaves it for a disk.
                for _ in 0..12 {
                    let filler = FILLERS.start + random.below(FILLERS.len() as u64) as u32;
                    course.put(&writer, (filler, 15_000), false);
                }
            }
            _ => {
                block_on_ready(writer.make_room());
            }
        }
        course.known.last_mut().unwrap().lossy |= store.stats().reclaimed > 0;
        recorder.mark(0);
    }
    drop(course.open);
    (base, recorder.take(), course.known, store.stats())
}

fn body_bytes(random: &mut Random) -> usize {
    match random.below(4) {
        0 => 0,
        1 => random.below(600) as usize,
        2 => random.below(9000) as usize,
        _ => random.below(45_000) as usize,
    }
}

type Recording = Writer<FaultyDevice<FileDevice>>;

struct Course {
    known: Vec<Known>,
    open: Vec<(Object, Pending)>,
}

/// Versions rise through all levels, so that a purge covers all that were there before.
static VERSION: AtomicU64 = AtomicU64::new(1);

impl Course {
    fn put(&mut self, writer: &Recording, what: (u32, usize), growing: bool) {
        self.begin(writer, what, growing);
        self.finish(writer);
    }

    fn begin(&mut self, writer: &Recording, (key, body_bytes): (u32, usize), growing: bool) {
        let version = VERSION.fetch_add(1, Ordering::Relaxed);
        let object = Object { key, version, body_bytes };
        let parts = object.parts();
        let draft = if growing { parts.growing() } else { parts.draft() };
        if let Ok(mut pending) = writer.begin(draft) {
            let half = &parts.body[..body_bytes / 2];
            if block_on_ready(writer.append(&mut pending, half)).is_ok() {
                self.open.push((object, pending));
            }
        }
    }

    fn finish(&mut self, writer: &Recording) {
        let Some((object, mut pending)) = self.open.pop() else { return };
        let body = object.body();
        let committed = block_on_ready(async {
            writer.append(&mut pending, &body[object.body_bytes / 2..]).await?;
            writer.commit(pending).await
        });
        match committed {
            Ok(committed) if committed.published => {
                self.known.last_mut().unwrap().committed.insert(object.key, object);
            }
            Ok(_) | Err(WriteError::Reclaimed | WriteError::NoCleanSegment) => {}
            Err(error) => panic!("no fault was injected: {error}"),
        }
    }

    fn purge(&mut self, writer: &Recording, random: &mut Random) {
        let aim = Aim::random(random, KEYS);
        let mode = if random.chance(70) { Mode::Hard } else { Mode::Soft };
        let to = VERSION.load(Ordering::Relaxed) - 1;
        aim.purge(writer, mode).expect("no fault was injected, and there is room");
        let known = self.known.last_mut().unwrap();
        known.purged.purge(aim, mode, KEYS, to);
        if mode == Mode::Hard {
            known.committed.retain(|key, _| !aim.hits(*key));
        }
    }

    /// A third of the purge log, so that it is compacted within a run.
    fn crowd(&mut self, writer: &Recording) {
        let first = 1000 + VERSION.fetch_add(1, Ordering::Relaxed) * 100;
        let tags: Vec<Purge<'_>> = (first..first + 64).map(Purge::Tag).collect();
        block_on_ready(writer.purge(&tags, Mode::Hard)).expect("segments are reclaimed for it");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The process died: the page cache has every completed write.
    Nothing,
    /// Power failed: of what was not synced, each sector of this size is there or not.
    Sectors(usize),
}

pub(crate) fn images(
    base: &[Vec<u8>],
    log: &[Recorded],
    lost: Lost,
    random: &mut Random,
) -> Vec<Vec<u8>> {
    let disks = base.iter().enumerate();
    disks.map(|(disk, base)| image(base, log, (disk, lost), random)).collect()
}

fn image(
    base: &[u8],
    log: &[Recorded],
    (disk, lost): (usize, Lost),
    random: &mut Random,
) -> Vec<u8> {
    let mut image = base.to_vec();
    let synced = log.iter().rposition(|entry| *entry == Recorded::Sync(disk)).unwrap_or(0);
    let kept_percent = [0, 30, 70, 100][random.below(4) as usize];
    for (number, entry) in log.iter().enumerate() {
        let Recorded::Write { volume, offset, bytes } = entry else { continue };
        if *volume != disk {
            continue;
        }
        let sector_bytes = match lost {
            Lost::Sectors(bytes) if number > synced => bytes,
            Lost::Sectors(_) | Lost::Nothing => {
                image[*offset as usize..][..bytes.len()].copy_from_slice(bytes);
                continue;
            }
        };
        let (mut at, end) = (*offset as usize, *offset as usize + bytes.len());
        while at < end {
            let sector_end = (at / sector_bytes + 1) * sector_bytes;
            let stop = sector_end.min(end);
            if random.chance(kept_percent) {
                let from = at - *offset as usize;
                image[at..stop].copy_from_slice(&bytes[from..from + stop - at]);
            }
            at = stop;
        }
    }
    image
}

fn marks_before(log: &[Recorded], point: usize) -> usize {
    let marks = log[..point].iter().filter(|entry| matches!(entry, Recorded::Mark(_)));
    marks.count()
}

pub(crate) fn restore(folder: &Path, to: &Path, images: &[Vec<u8>]) {
    for (disk, image) in images.iter().enumerate() {
        let (from, to) = (folder.join(disk.to_string()), to.join(disk.to_string()));
        std::fs::create_dir_all(&to).unwrap();
        for name in ["super.0", "super.1"] {
            if from.join(name).exists() {
                std::fs::copy(from.join(name), to.join(name)).unwrap();
            }
        }
        std::fs::write(to.join("data"), image).unwrap();
    }
}

fn check(path: &Path, shape: Shape, known: &Known, (lost, context): (Lost, &str)) {
    let (store, report) = Store::open(&shape.config(path)).unwrap();
    assert!(!report.purges_damaged, "no crash does that: {context}");
    let reader = store.reader(0);
    for key in FILLERS {
        let _ = get(&reader, key);
    }
    for key in 0..KEYS {
        // Every byte of what is found has been compared on the way.
        let found = look(&reader, key);
        if let Some((object, is_soft)) = found {
            assert!(!known.purged.is_hard(object), "ST-7: {object:?} is back: {context}");
            let fresh = known.purged.is_soft(object) && !is_soft;
            assert!(!fresh, "ST-7: {object:?} is fresh again: {context}");
        }
        if let (Lost::Nothing, Some(wanted)) = (lost, known.committed.get(&key)) {
            let entangled = shape.memory && known.entangled.contains(&key);
            // A later version may have been completed after the last mark; an older one never.
            match found {
                Some((object, _)) => {
                    let newest = object.version >= wanted.version || entangled;
                    assert!(newest, "{object:?} for {wanted:?}: {context}");
                }
                None => assert!(known.lossy || shape.memory, "{wanted:?} is lost: {context}"),
            }
        }
    }
}

pub(crate) fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
