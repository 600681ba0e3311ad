//! ST-1, ST-2, ST-6, ST-7 under power loss: every prefix of the device's writes, with any part of
//! the unsynced ones missing, must open to a store without a wrong byte or a removed object.
//!
//! A run works on a store through a recording device. For each crash point an image of the data
//! file is made: what a sync has covered is there; of each later write every sector (512 bytes or
//! 4 KiB) is there or not, by chance. The image is opened and compared with what was acknowledged.
//! Some images are worked on further and crash again: recovery must survive recovery.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use longhold_store::device::{FaultPlan, Recorded};
use longhold_store::{
    Config, FaultyDevice, FileDevice, Pending, Store, WriteError, Writer, block_on_ready,
};

use crate::support::{Object, Random, get, scratch};

/// What is known at a crash point.
#[derive(Debug, Clone, Default)]
struct Known {
    /// All versions of a key up to this one are removed, and that was acknowledged.
    removed: HashMap<u32, u64>,
    /// The newest committed version of a key, without power loss in between.
    committed: HashMap<u32, Object>,
    /// Something was reclaimed, so that what was committed may be missing.
    lossy: bool,
}

const KEYS: u32 = 10;

/// Eight segments, so that the log comes round within a run.
fn smallest(path: &Path) -> Config {
    Config { pin_rows: 8, index_slots: 4096, ..Config::new(path, 512 << 10) }
}

#[test]
fn every_prefix_opens_without_wrong_bytes() {
    let runs = from_env("LONGHOLD_CRASH_RUNS", 12);
    for seed in 0..runs {
        let folder = scratch();
        let mut random = Random(seed);
        crash_run(folder.path(), &mut random, &Known::default(), 2, seed);
    }
}

/// Works on the store in `folder`, then crashes it at every point, `depth` levels deep.
fn crash_run(folder: &Path, random: &mut Random, before: &Known, depth: u32, seed: u64) {
    let (base, log, known) = work(folder, random, before);
    let scratch = scratch();
    let variants = if depth == 2 { 3 } else { 1 };
    for point in 0..=log.len() {
        // Deeper levels are sampled: there are as many points again below each point.
        if depth < 2 && !random.chance(12) {
            continue;
        }
        let mark = marks_before(&log, point);
        let mut at_point = known[mark].clone();
        // The step after the mark may have reclaimed or removed something before it was cut short.
        if let Some(next) = known.get(mark + 1) {
            at_point.lossy |= next.lossy;
            at_point.committed.retain(|key, _| next.committed.contains_key(key));
        }
        for variant in 0..variants {
            let lost = [Lost::Nothing, Lost::Sectors(512), Lost::Sectors(4096)][variant];
            let lost = if variants == 1 { Lost::Sectors(512) } else { lost };
            let image = image(&base, &log[..point], lost, random);
            let path = scratch.path().join("image");
            restore(folder, &path, &image);
            let context = format!("seed {seed} depth {depth} point {point} {lost:?}");
            check(&path, &at_point, lost, &context);
            if depth > 0 && lost != Lost::Nothing && random.chance(if depth == 2 { 4 } else { 2 }) {
                // The check has opened the image; work goes on from there.
                let mut survivors = at_point.clone();
                survivors.committed.clear();
                crash_run(&path, random, &survivors, depth - 1, seed);
            }
            std::fs::remove_dir_all(&path).unwrap();
        }
    }
}

/// A random course of puts, removals, overlapping drafts and seals. Yields the data file before
/// it, the device's log, and what was known after each mark in it.
fn work(
    folder: &Path,
    random: &mut Random,
    before: &Known,
) -> (Vec<u8>, Vec<Recorded>, Vec<Known>) {
    let (store, _) = Store::open(&smallest(folder)).unwrap();
    let base = std::fs::read(folder.join("data")).unwrap();
    let device = FileDevice::with_pool(&store, 5, 4096).unwrap();
    let (device, recorder) = FaultyDevice::new(device, FaultPlan::default(), true);
    let writer = Writer::new(&store, device).unwrap();
    let mut course = Course { known: vec![before.clone()], open: Vec::new() };
    for _ in 0..random.below(45) + 10 {
        course.known.push(course.known.last().unwrap().clone());
        let key = random.below(u64::from(KEYS)) as u32;
        match random.below(20) {
            0..=8 => course.put(&writer, key, body_bytes(random)),
            9..=11 => course.begin(&writer, key, body_bytes(random)),
            12..=13 => course.finish(&writer),
            14 => drop(course.open.pop()),
            15..=17 => course.remove(&writer, key),
            18 => block_on_ready(writer.seal()).unwrap(),
            _ => {
                block_on_ready(writer.make_room());
            }
        }
        course.known.last_mut().unwrap().lossy |= store.stats().reclaimed > 0;
        recorder.mark(0);
    }
    drop(course.open);
    (base, recorder.take(), course.known)
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

/// Versions rise through all levels, so that a removal covers all that were there before.
static VERSION: AtomicU64 = AtomicU64::new(1);

impl Course {
    fn put(&mut self, writer: &Recording, key: u32, body_bytes: usize) {
        self.begin(writer, key, body_bytes);
        self.finish(writer);
    }

    fn begin(&mut self, writer: &Recording, key: u32, body_bytes: usize) {
        let version = VERSION.fetch_add(1, Ordering::Relaxed);
        let object = Object { key, version, body_bytes };
        let parts = object.parts();
        if let Ok(mut pending) = writer.begin(parts.draft()) {
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
            Ok(_) | Err(WriteError::Reclaimed) => {}
            Err(error) => panic!("no fault was injected: {error}"),
        }
    }

    fn remove(&mut self, writer: &Recording, key: u32) {
        let version = VERSION.load(Ordering::Relaxed);
        let removed = block_on_ready(writer.remove(&Object::key_bytes(key)));
        if removed.is_ok() {
            let known = self.known.last_mut().unwrap();
            known.removed.insert(key, version - 1);
            known.committed.remove(&key);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    /// The process died: the page cache has every completed write.
    Nothing,
    /// Power failed: of what was not synced, each sector of this size is there or not.
    Sectors(usize),
}

fn image(base: &[u8], log: &[Recorded], lost: Lost, random: &mut Random) -> Vec<u8> {
    let mut image = base.to_vec();
    let synced = log.iter().rposition(|entry| *entry == Recorded::Sync(0)).unwrap_or(0);
    let kept_percent = [0, 30, 70, 100][random.below(4) as usize];
    for (number, entry) in log.iter().enumerate() {
        let Recorded::Write { volume: 0, offset, bytes } = entry else { continue };
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

fn restore(folder: &Path, to: &Path, image: &[u8]) {
    std::fs::create_dir_all(to).unwrap();
    for name in ["super.0", "super.1"] {
        if folder.join(name).exists() {
            std::fs::copy(folder.join(name), to.join(name)).unwrap();
        }
    }
    std::fs::write(to.join("data"), image).unwrap();
}

fn check(path: &Path, known: &Known, lost: Lost, context: &str) {
    let (store, _) = Store::open(&smallest(path)).unwrap();
    let reader = store.reader(0);
    for key in 0..KEYS {
        // Every byte of what is found has been compared on the way.
        let found = get(&reader, key);
        if let (Some(object), Some(removed)) = (found, known.removed.get(&key)) {
            assert!(
                object.version > *removed,
                "ST-7: {object:?} is back, {removed} removed: {context}"
            );
        }
        if let (Lost::Nothing, Some(wanted)) = (lost, known.committed.get(&key)) {
            // A later version may have been completed after the last mark; an older one never.
            match found {
                Some(object) => assert!(object.version >= wanted.version, "{object:?}: {context}"),
                None => assert!(known.lossy, "{wanted:?} is lost: {context}"),
            }
        }
    }
}

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
