//! Snapshots of the index: what an open does with a whole one, a damaged one, an old one and one
//! of another shape is the same in the end, only not as quick.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use longhold_store::device::{FaultPlan, Recorded};
use longhold_store::{Config, Draft, FaultyDevice, FileDevice, RecoveryReport, Store, Writer};
use longhold_store::{Device, block_on_ready};

use crate::support::{Object, Random, get, open, put_now, remove_now, scratch, tiny};

const KEYS: u32 = 60;

/// What a store holds: the version of each key.
type Held = BTreeMap<u32, u64>;

fn held(store: &Store) -> Held {
    let reader = store.reader(0);
    let version = |key| get(&reader, key).map(|object| (key, object.version));
    (0..KEYS).filter_map(version).collect()
}

fn reopened(path: &Path) -> (Held, RecoveryReport) {
    let (store, report) = Store::open(&tiny(path)).unwrap();
    let held = held(&store);
    assert_eq!(store.stats().damaged, 0, "{report:?}");
    (held, report)
}

fn work<D: Device>(writer: &Writer<D>, random: &mut Random, versions: std::ops::Range<u64>) {
    for version in versions {
        let key = random.below(u64::from(KEYS)) as u32;
        if random.chance(10) {
            remove_now(writer, key).unwrap();
        } else {
            let body_bytes = random.below(9000) as usize;
            // A refusal changes nothing, and may come while the log turns.
            if put_now(writer, Object { key, version, body_bytes }).is_err() {
                block_on_ready(writer.make_room());
            }
        }
    }
}

/// Offsets of all snapshots in a data file.
fn snapshots(path: &Path) -> Vec<usize> {
    let data = std::fs::read(data_file(path)).unwrap();
    let pages = data.chunks(4096).enumerate();
    pages.filter(|(_, page)| page.starts_with(b"LHINDEX\0")).map(|(at, _)| at * 4096).collect()
}

fn data_file(path: &Path) -> PathBuf {
    path.join("data")
}

/// Turns a bit of the data file over.
fn flip(path: &Path, at: usize) {
    let mut data = std::fs::read(data_file(path)).unwrap();
    data[at] ^= 0x10;
    std::fs::write(data_file(path), data).unwrap();
}

/// A closed store with two snapshots, the older of which knows less.
fn with_two_snapshots(path: &Path) -> Held {
    let (store, writer) = open(path);
    let mut random = Random(5);
    work(&writer, &mut random, 1..60);
    block_on_ready(writer.seal()).unwrap();
    work(&writer, &mut random, 60..70);
    block_on_ready(writer.seal()).unwrap();
    work(&writer, &mut random, 70..75);
    assert_eq!(store.stats().snapshots, 2);
    held(&store)
}

#[test]
fn a_store_comes_back_from_its_newest_snapshot_and_what_was_written_since() {
    let folder = scratch();
    let before = with_two_snapshots(folder.path());
    let (after, report) = reopened(folder.path());
    assert_eq!(after, before);
    assert!(report.snapshot_sequence.is_some() && report.segments_settled > 2, "{report:?}");
    assert_eq!((report.snapshots_damaged, report.snapshots_foreign), (0, 0));
    let (_, again) = reopened(folder.path());
    assert_eq!(again.snapshot_sequence, report.snapshot_sequence, "an open writes none");
}

#[test]
fn a_wrong_bit_anywhere_in_a_snapshot_leaves_the_older_one_and_then_the_footers() {
    let folder = scratch();
    let before = with_two_snapshots(folder.path());
    let newest = reopened(folder.path()).1.snapshot_sequence;
    let areas = snapshots(folder.path());
    assert_eq!(areas.len(), 2);
    // Head, segment lines, image, sums. The second area is the newer one.
    let parts = [33, 64 + 32 + 3, 4096 + 5000, 4096 + 4096 * 16 + 2, 4096 + 4096 * 16 + 10];
    for part in parts {
        flip(folder.path(), areas[1] + part);
        let (after, report) = reopened(folder.path());
        assert_eq!((after, report.snapshots_damaged), (before.clone(), 1), "{part}");
        assert!(report.snapshot_sequence.is_some() && report.snapshot_sequence < newest);
        flip(folder.path(), areas[0] + part);
        let (after, report) = reopened(folder.path());
        assert_eq!((after, report.snapshots_damaged), (before.clone(), 2), "{part}");
        assert_eq!((report.snapshot_sequence, report.segments_settled), (None, 0));
        areas.iter().for_each(|area| flip(folder.path(), area + part));
    }
    assert_eq!(reopened(folder.path()).1.snapshot_sequence, newest);
}

#[test]
fn an_index_of_another_size_has_no_use_for_a_snapshot() {
    let folder = scratch();
    let before = with_two_snapshots(folder.path());
    let config = Config { index_slots: 8192, ..tiny(folder.path()) };
    let (store, report) = Store::open(&config).unwrap();
    assert_eq!(held(&store), before);
    assert_eq!((report.snapshots_foreign, report.snapshot_sequence), (2, None));
    // The area is too small for this index: none is written, and that is no error.
    let writer = Writer::new(&store, FileDevice::new(&store).unwrap()).unwrap();
    put_now(&writer, Object { key: 1, version: 1000, body_bytes: 10 }).unwrap();
    block_on_ready(writer.seal()).unwrap();
    assert_eq!((store.stats().snapshots, store.stats().write_errors), (0, 0));
    let newest = held(&store);
    drop((writer, store));
    // The snapshots are those of before; what has come since is found all the same.
    let (after, report) = reopened(folder.path());
    assert_eq!(after, newest);
    assert!(report.snapshot_sequence.is_some(), "{report:?}");
}

#[test]
fn with_and_without_snapshots_the_same_store_is_found() {
    let mut used = 0;
    for seed in 0..12 {
        let folder = scratch();
        let mut random = Random(seed);
        for life in 0..4u64 {
            let (store, _) = Store::open(&tiny(folder.path())).unwrap();
            let device = FileDevice::with_pool(&store, 6, 8192).unwrap();
            let writer = Writer::new(&store, device).unwrap();
            let count = random.below(150);
            work(&writer, &mut random, life * 1000 + 1..life * 1000 + 1 + count);
            if random.chance(30) {
                block_on_ready(writer.seal()).unwrap();
                let count = random.below(5);
                work(&writer, &mut random, life * 1000 + 500..life * 1000 + 500 + count);
            }
            let before = held(&store);
            drop((writer, store));
            let copy = scratch();
            for name in ["super.0", "super.1", "data"] {
                std::fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
            }
            for area in snapshots(copy.path()) {
                flip(copy.path(), area);
            }
            let (without, report) = reopened(copy.path());
            assert_eq!((&without, report.snapshot_sequence), (&before, None), "seed {seed}");
            let (with, report) = reopened(folder.path());
            assert_eq!(with, before, "seed {seed} life {life}: {report:?}");
            used += u32::from(report.segments_settled > 0);
        }
    }
    assert!(used > 24, "{used} of 48 came back by a snapshot");
}

#[test]
fn a_snapshot_cut_short_at_any_write_leaves_one_that_is_whole() {
    let folder = scratch();
    let (base, log, before) = {
        let before = with_two_snapshots(folder.path());
        let (store, _) = Store::open(&tiny(folder.path())).unwrap();
        let base = std::fs::read(data_file(folder.path())).unwrap();
        let device = FileDevice::with_pool(&store, 6, 8192).unwrap();
        let (device, recorder) = FaultyDevice::new(device, FaultPlan::default(), true);
        let writer = Writer::new(&store, device).unwrap();
        put_now(&writer, Object { key: 0, version: 2000, body_bytes: 10 }).unwrap();
        block_on_ready(writer.seal()).unwrap();
        assert_eq!(store.stats().snapshots, 1);
        let log = recorder.take();
        (base, log, before)
    };
    let mut damaged = 0;
    for point in 0..=log.len() {
        let mut data = base.clone();
        for done in &log[..point] {
            if let Recorded::Write { offset, bytes, .. } = done {
                let at = *offset as usize;
                data[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
        std::fs::write(data_file(folder.path()), data).unwrap();
        let (mut after, report) = reopened(folder.path());
        assert!(report.snapshot_sequence.is_some(), "point {point}: {report:?}");
        assert!(report.snapshots_damaged <= 1);
        damaged += report.snapshots_damaged;
        let written = after.remove(&0);
        let mut rest = before.clone();
        let old = rest.remove(&0);
        assert!(written == Some(2000) || written == old, "point {point}: {written:?}");
        assert_eq!(after, rest, "point {point}");
    }
    assert!(damaged > 0, "no point was between head and sums of a snapshot");
}

#[test]
fn what_is_committed_after_a_snapshot_had_begun_before_it() {
    let folder = scratch();
    {
        let (_store, writer) = open(folder.path());
        put_now(&writer, Object { key: 1, version: 1, body_bytes: 100 }).unwrap();
        let early = writer.begin(Draft::new(b"early", b"", 3)).unwrap();
        put_now(&writer, Object { key: 2, version: 1, body_bytes: 100 }).unwrap();
        block_on_ready(writer.seal()).unwrap();
        block_on_ready(async {
            let mut early = early;
            writer.append(&mut early, b"abc").await?;
            writer.commit(early).await
        })
        .unwrap();
    }
    let (store, report) = Store::open(&tiny(folder.path())).unwrap();
    assert!(report.snapshot_sequence.is_some());
    assert!(store.reader(0).lookup(b"early").is_some(), "{report:?}");
    assert_eq!(held(&store).len(), 2);
}

/// The snapshot still names it; the walk passes it over, and no footer will list it.
#[test]
fn a_record_that_is_damaged_after_the_snapshot_leaves_the_index_with_its_segment() {
    let folder = scratch();
    let object = |key| Object { key, version: 1, body_bytes: 3000 };
    {
        let (_store, writer) = open(folder.path());
        for key in 0..3 {
            put_now(&writer, object(key)).unwrap();
        }
        block_on_ready(writer.seal()).unwrap();
    }
    assert!(!snapshots(folder.path()).is_empty());
    let data = std::fs::read(data_file(folder.path())).unwrap();
    let key = Object::key_bytes(1);
    let at = data.windows(key.len()).position(|window| window == key).unwrap();
    // A line in the footer would speak for it.
    let footer = data.chunks(64).position(|line| line.starts_with(b"LHf1")).unwrap() * 64;
    flip(folder.path(), footer);
    flip(folder.path(), at);
    let (store, writer) = open(folder.path());
    assert_eq!(store.stats().objects, 2, "nothing has asked for it yet");
    let reader = store.reader(0);
    for key in 10..800 {
        put_now(&writer, object(key)).unwrap();
    }
    assert!(store.stats().reclaimed > 16);
    assert!((0..3).all(|key| get(&reader, key).is_none()));
    assert_eq!(store.stats().damaged, 0, "no slot spoke of what had gone");
}

/// Recovery does not read the footer of a settled segment; reclaim does.
#[test]
fn an_older_footer_in_a_settled_segment_does_not_hide_what_the_snapshot_names() {
    let folder = scratch();
    let object = |key| Object { key, version: 1, body_bytes: 3000 };
    let older = {
        let (_store, writer) = open(folder.path());
        for key in 0..3 {
            put_now(&writer, object(key)).unwrap();
        }
        block_on_ready(writer.seal()).unwrap();
        let older = std::fs::read(data_file(folder.path())).unwrap();
        for key in 3..40 {
            put_now(&writer, object(key)).unwrap();
        }
        block_on_ready(writer.seal()).unwrap();
        older
    };
    let mut data = std::fs::read(data_file(folder.path())).unwrap();
    let trailer = older.chunks(64).position(|line| line.starts_with(b"LHf1")).unwrap() * 64;
    assert_ne!(data[trailer..trailer + 64], older[trailer..trailer + 64]);
    data[trailer..trailer + 64].copy_from_slice(&older[trailer..trailer + 64]);
    std::fs::write(data_file(folder.path()), data).unwrap();
    let (store, report) = Store::open(&tiny(folder.path())).unwrap();
    assert!(report.segments_settled > 0, "{report:?}");
    assert_eq!(report.objects, 40);
    let writer = Writer::new(&store, FileDevice::new(&store).unwrap()).unwrap();
    for key in 100..900 {
        put_now(&writer, object(key)).unwrap();
    }
    assert!(store.stats().reclaimed > 16);
    assert_eq!(store.stats().damaged, 0, "no slot spoke of what had gone");
}
