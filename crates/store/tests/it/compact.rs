//! Compaction and promotion: what is live stays, what it leaves is free, and a kill at any write
//! leaves a store with all of it.

use std::path::Path;

use longhold_store::check::Inspection;
use longhold_store::device::{FaultPlan, Recorded};
use longhold_store::{
    Config, FaultyDevice, FileDevice, Mode, Purge, Store, Writer, block_on_ready,
};

use crate::support::{Object, get, open, put_now, remove_now, scratch, tiny};

/// Objects of 6 KB, ten to a segment, of which every third is replaced by a small one and so dead.
fn worn(folder: &Path) -> Vec<Object> {
    let (_store, writer) = open(folder);
    let large = |key| Object { key, version: 1, body_bytes: 6000 };
    for key in 0..60 {
        put_now(&writer, large(key)).unwrap();
    }
    let small = |key| Object { key, version: 2, body_bytes: 100 };
    let replaced = (0..60).filter(|key| key % 3 > 0).map(small);
    let replaced: Vec<Object> = replaced.collect();
    for object in &replaced {
        put_now(&writer, *object).unwrap();
    }
    block_on_ready(writer.seal()).unwrap();
    replaced.into_iter().chain((0..60).step_by(3).map(large)).collect()
}

fn has_all(store: &Store, objects: &[Object]) {
    let reader = store.reader(0);
    for object in objects {
        assert_eq!(get(&reader, object.key), Some(*object));
    }
}

#[test]
fn sparse_segments_are_emptied_and_nothing_is_lost() {
    let folder = scratch();
    let objects = worn(folder.path());
    {
        let (store, writer) = open(folder.path());
        let before = store.stats();
        let done = block_on_ready(writer.compact()).unwrap();
        // Six segments of a third each came to two.
        assert!((5..=6).contains(&done.segments), "{done:?}");
        assert!((15..=20).contains(&done.objects) && done.bytes > done.objects * 6000, "{done:?}");
        let after = store.stats();
        assert_eq!((before.objects, after.objects), (60, 60));
        assert!(after.bytes + 200_000 < before.bytes, "{before:?} {after:?}");
        has_all(&store, &objects);
        // What was open before may be closed now, with little in it.
        assert!(block_on_ready(writer.compact()).unwrap().segments <= 1);
        assert_eq!(block_on_ready(writer.compact()).unwrap().segments, 0, "nothing is sparse");
    }
    let inspection = Inspection::open(&[folder.path().to_path_buf()]).unwrap();
    assert!(inspection.verify(&mut |_| {}).is_clean());
    let stat = inspection.stat(&mut |_| {});
    assert!(stat.objects == 60 && stat.dead_bytes < 30_000, "{stat:?}");
    drop(inspection);
    has_all(&open(folder.path()).0, &objects);
}

#[test]
fn what_was_removed_stays_removed_when_its_segment_is_sparse() {
    let folder = scratch();
    worn(folder.path());
    {
        let (_store, writer) = open(folder.path());
        for key in 0..30 {
            remove_now(&writer, key).unwrap();
        }
        block_on_ready(writer.seal()).unwrap();
        block_on_ready(writer.compact()).unwrap();
    }
    let (store, _) = open(folder.path());
    let reader = store.reader(0);
    assert!((0..30).all(|key| get(&reader, key).is_none()));
    assert!((30..60).all(|key| get(&reader, key).is_some()));
}

/// The data file after each write of a compaction is what a kill there leaves.
#[test]
fn kill_at_any_write_of_a_compaction_loses_nothing() {
    let folder = scratch();
    let objects = worn(folder.path());
    let (mut image, log) = {
        let (store, _) = Store::open(&tiny(folder.path())).unwrap();
        let image = std::fs::read(folder.path().join("data")).unwrap();
        let device = FileDevice::with_pool(&store, 6, 8192).unwrap();
        let (device, recorder) = FaultyDevice::new(device, FaultPlan::default(), true);
        let writer = Writer::new(&store, device).unwrap();
        assert!(block_on_ready(writer.compact()).unwrap().segments > 0);
        (image, recorder.take())
    };
    let writes = log.into_iter().filter_map(|done| match done {
        Recorded::Write { offset, bytes, .. } => Some((offset as usize, bytes)),
        Recorded::Sync { .. } | Recorded::Mark(_) => None,
    });
    let mut points = 0;
    for (offset, bytes) in writes {
        image[offset..offset + bytes.len()].copy_from_slice(&bytes);
        std::fs::write(folder.path().join("data"), &image).unwrap();
        has_all(&Store::open(&tiny(folder.path())).unwrap().0, &objects);
        points += 1;
    }
    assert!(points > 30, "{points}");
}

#[test]
fn promotion_keeps_what_was_asked_for_and_nothing_else() {
    let folder = scratch();
    let config = Config::new(folder.path(), 1 << 20).with_memory(512 << 10);
    let config = Config { pin_rows: 4, index_slots: 4096, ..config };
    let fill = |goes_on: bool| {
        let (store, _) = Store::open(&config).unwrap();
        let writer =
            Writer::new(&store, FileDevice::with_pool(&store, 6, 16_384).unwrap()).unwrap();
        for key in 0..20 {
            put_now(&writer, Object { key, version: 1, body_bytes: 3000 }).unwrap();
        }
        let reader = store.reader(0);
        assert!((0..7).all(|key| get(&reader, key).is_some()));
        let promoted = block_on_ready(async { Ok::<_, ()>(writer.promote(|| goes_on).await) });
        block_on_ready(writer.seal()).unwrap();
        promoted.unwrap()
    };
    assert_eq!(fill(false), 0);
    assert_eq!(Store::open(&config).unwrap().0.stats().objects, 0);
    assert_eq!(fill(true), 7);
    let (store, _) = Store::open(&config).unwrap();
    let reader = store.reader(0);
    assert!((0..20).all(|key| get(&reader, key).is_some() == (key < 7)));
}

#[test]
fn purges_that_concern_nothing_leave_the_record() {
    let folder = scratch();
    let object = |key| Object { key, version: 1, body_bytes: 3000 };
    let inspect = || {
        let inspection = Inspection::open(&[folder.path().to_path_buf()]).unwrap();
        let report = inspection.verify(&mut |_| {});
        assert!(report.is_clean(), "{report:?}");
        let stat = inspection.stat(&mut |_| {}).purges;
        assert_eq!(report.devices[0].purges, stat.count());
        stat
    };
    {
        let (_store, writer) = open(folder.path());
        for key in 0..6 {
            put_now(&writer, object(key)).unwrap();
        }
        // The later ones of a key cover the earlier.
        for key in [1, 1, 1, 2, 2] {
            remove_now(&writer, key).unwrap();
        }
        let purges = [Purge::Tag(7777), Purge::Tag(7777), Purge::Prefix(b"none")];
        block_on_ready(writer.purge(&purges, Mode::Hard)).unwrap();
    }
    let before = inspect();
    assert_eq!((before.keys, before.tags, before.prefixes, before.all), (5, 2, 1, 0));
    assert!(before.bytes >= 8 * 64 && before.bytes < before.capacity_bytes, "{before:?}");
    {
        let (_store, writer) = open(folder.path());
        assert_eq!(block_on_ready(writer.compact()).unwrap().purges, 4);
        assert_eq!(block_on_ready(writer.compact()).unwrap().purges, 0);
    }
    let after = inspect();
    assert_eq!((after.keys, after.tags, after.prefixes), (2, 1, 1));
    let (store, writer) = open(folder.path());
    let reader = store.reader(0);
    for key in 0..6 {
        let is_purged = key == 1 || key == 2;
        assert_eq!(get(&reader, key), (!is_purged).then(|| object(key)));
    }
    // The log goes on behind what was kept.
    remove_now(&writer, 3).unwrap();
    drop((reader, store, writer));
    assert_eq!(inspect().keys, 3);
}
