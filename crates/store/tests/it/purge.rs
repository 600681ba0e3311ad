//! ST-7 case by case: what a purge concerns, that it lasts, that calls share a sync, and what
//! happens when the log of purges is full or damaged. Crashes at every point are in `crash.rs` and
//! `together.rs`.

use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::task::{Context, Waker};

use longhold_store::device::{Block, FaultPlan, Recorded};
use longhold_store::{
    Config, Device, FaultyDevice, FileDevice, Mode, Purge, Store, WriteError, Writer,
    block_on_ready,
};

use crate::interleave::{LateDevice, Task, run_tasks};
use crate::support::{
    Aim, Object, Random, Shape, get, look, open, put, put_now, remove_now, scratch, tiny,
};

fn object(key: u32, version: u64) -> Object {
    Object { key, version, body_bytes: 3000 }
}

/// The first version of so many keys.
fn put_all<D: Device>(writer: &Writer<D>, keys: u32) {
    for key in 0..keys {
        put_now(writer, object(key, 1)).unwrap();
    }
}

/// Purges that concern nobody, each on its own.
fn others(numbers: std::ops::Range<u64>) -> Vec<Purge<'static>> {
    numbers.map(|number| Purge::Tag(1_000_000 + number)).collect()
}

#[test]
fn a_purge_concerns_what_is_older_and_named_and_nothing_else() {
    let aims = [Aim::Key(3), Aim::Prefix(1), Aim::Tag(40), Aim::Tag(u64::MAX), Aim::All];
    for (aim, mode) in aims.into_iter().flat_map(|aim| [(aim, Mode::Hard), (aim, Mode::Soft)]) {
        let folder = scratch();
        let check = |store: &Store, when: &str| {
            let reader = store.reader(0);
            for key in 0..20 {
                let wanted = match (aim.hits(key), mode) {
                    (true, Mode::Hard) => None,
                    (true, Mode::Soft) => Some((object(key, 1), true)),
                    (false, _) => Some((object(key, 1), false)),
                };
                assert_eq!(look(&reader, key), wanted, "{aim:?} {mode:?} {when}");
            }
            for key in 20..40 {
                assert_eq!(look(&reader, key), Some((object(key, 2), false)), "{aim:?} {when}");
            }
        };
        {
            let (store, writer) = open(folder.path());
            for key in 0..40 {
                put_now(&writer, object(key, 1)).unwrap();
            }
            let purged = aim.purge(&writer, mode).unwrap();
            assert_eq!(purged.found, u64::from(aim == Aim::Key(3)));
            for key in 20..40 {
                put_now(&writer, object(key, 2)).unwrap();
            }
            check(&store, "at once");
            assert_eq!(store.stats().purges, 1);
        }
        check(&open(folder.path()).0, "after a restart");
        check(&open(folder.path()).0, "after two");
    }
}

#[test]
fn a_draft_that_is_open_counts_as_older() {
    let aims = [Aim::Key(1), Aim::Prefix(1), Aim::Tag(41), Aim::All];
    for (aim, mode) in aims.into_iter().flat_map(|aim| [(aim, Mode::Hard), (aim, Mode::Soft)]) {
        let folder = scratch();
        let (store, writer) = open(folder.path());
        let parts = object(1, 1).parts();
        let mut pending = writer.begin(parts.draft()).unwrap();
        aim.purge(&writer, mode).unwrap();
        let committed = block_on_ready(async {
            writer.append(&mut pending, &parts.body).await?;
            writer.commit(pending).await
        });
        assert_eq!(committed.unwrap().published, mode == Mode::Soft, "{aim:?}");
        let wanted = (mode == Mode::Soft).then_some((object(1, 1), true));
        assert_eq!(look(&store.reader(0), 1), wanted, "{aim:?}");
        drop((store, writer));
        assert_eq!(look(&open(folder.path()).0.reader(0), 1), wanted, "{aim:?} after a restart");
    }
}

#[test]
fn a_store_in_memory_purges_too() {
    let (store, _) = Store::open(&Config::in_memory(1 << 20)).unwrap();
    let writer = Writer::new(&store, FileDevice::new(&store).unwrap()).unwrap();
    for key in 0..8 {
        put_now(&writer, object(key, 1)).unwrap();
    }
    Aim::Tag(41).purge(&writer, Mode::Hard).unwrap();
    Aim::Key(2).purge(&writer, Mode::Soft).unwrap();
    let reader = store.reader(0);
    assert_eq!(get(&reader, 1), None);
    assert_eq!(look(&reader, 2), Some((object(2, 1), true)));
    assert_eq!(look(&reader, 4), Some((object(4, 1), false)));
}

/// The machine loses power at the mark: only what was synced then is there.
fn lose_power(path: &Path, base: &[u8], log: &[Recorded]) {
    let mut image = base.to_vec();
    let mark = log.iter().position(|entry| *entry == Recorded::Mark(0)).unwrap();
    let synced = log[..mark].iter().rposition(|entry| matches!(entry, Recorded::Sync(_)));
    for entry in &log[..synced.unwrap()] {
        if let Recorded::Write { offset, bytes, .. } = entry {
            image[*offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
    }
    std::fs::write(path.join("data"), image).unwrap();
}

/// An old record on disk; a newer one that power loss takes away; a purge between them. The old
/// one must not step in.
#[test]
fn power_loss_brings_no_purged_record_back() {
    for aim in [Aim::Key(1), Aim::Prefix(1), Aim::Tag(41), Aim::All] {
        let folder = scratch();
        {
            let (_store, writer) = open(folder.path());
            put_now(&writer, object(1, 1)).unwrap();
            block_on_ready(writer.seal()).unwrap();
        }
        let (store, _) = Store::open(&tiny(folder.path())).unwrap();
        let base = std::fs::read(folder.path().join("data")).unwrap();
        let device = FileDevice::with_pool(&store, 6, 8192).unwrap();
        let (device, recorder) = FaultyDevice::new(device, FaultPlan::default(), true);
        let writer = Writer::new(&store, device).unwrap();
        // So that nothing else is due that would be synced behind the purge.
        block_on_ready(writer.make_room());
        aim.purge(&writer, Mode::Hard).unwrap();
        recorder.mark(0);
        put_now(&writer, object(1, 2)).unwrap();
        assert_eq!(get(&store.reader(0), 1), Some(object(1, 2)));
        drop((store, writer));
        lose_power(folder.path(), &base, &recorder.take());
        for _ in 0..2 {
            let (store, _writer) = open(folder.path());
            assert_eq!(get(&store.reader(0), 1), None, "{aim:?}");
        }
    }
}

#[test]
fn purges_at_the_same_time_share_a_sync() {
    let folder = scratch();
    let (store, _) = Store::open(&tiny(folder.path())).unwrap();
    let device = LateDevice::new(FileDevice::with_pool(&store, 6, 8192).unwrap(), 1, 40);
    let (device, recorder) = FaultyDevice::new(device, FaultPlan::default(), false);
    let writer = Writer::new(&store, device).unwrap();
    let purge = |number: u64| -> Task<'_> {
        let writer = &writer;
        Box::pin(async move {
            let purge = [Purge::Tag(number), Purge::Key(&[7])];
            writer.purge(&purge, Mode::Hard).await.unwrap();
        })
    };
    run_tasks((0..90).map(purge).collect(), &mut Random(1), 0);
    let (writes, syncs) = recorder.counts();
    assert!(syncs <= 4, "{writes} writes and {syncs} syncs for 90 calls");
    assert_eq!(store.stats().purges, 180);
}

/// Callers go away in the middle of a flush; what others were told still holds.
#[test]
fn dropped_purges_do_no_harm_to_others() {
    for seed in 0..40 {
        let folder = scratch();
        let acknowledged = std::cell::RefCell::new(Vec::new());
        {
            let (store, writer) = open(folder.path());
            put_all(&writer, 60);
            drop((store, writer));
            let (store, _) = Store::open(&tiny(folder.path())).unwrap();
            let device = LateDevice::new(FileDevice::with_pool(&store, 6, 8192).unwrap(), seed, 9);
            let writer = Writer::new(&store, device).unwrap();
            let purge = |key: u32| -> Task<'_> {
                let (writer, acknowledged) = (&writer, &acknowledged);
                Box::pin(async move {
                    // With some weight, so that the log is compacted on the way.
                    let mut purges = others(u64::from(key) * 10..u64::from(key) * 10 + 9);
                    let name = Object::key_bytes(key);
                    purges.push(Purge::Key(&name));
                    writer.purge(&purges, Mode::Hard).await.unwrap();
                    acknowledged.borrow_mut().push(key);
                })
            };
            run_tasks((0..60).map(purge).collect(), &mut Random(seed), 4);
        }
        let (store, _writer) = open(folder.path());
        let reader = store.reader(0);
        let acknowledged = acknowledged.into_inner();
        assert!(acknowledged.len() > 10, "{acknowledged:?}");
        for key in acknowledged {
            assert_eq!(get(&reader, key), None, "ST-7: {key} is back, seed {seed}");
        }
    }
}

/// The same at every moment of one call, whose purges take more than one write.
#[test]
fn a_purge_dropped_at_any_moment_leaves_no_hole_before_the_next() {
    for polls in 0..60 {
        let folder = scratch();
        // The log has room for a second attempt behind the first.
        let config = Config { pin_rows: 2, ..Config::new(folder.path(), 4 << 20) };
        {
            let (store, _) = Store::open(&config).unwrap();
            let device = LateDevice::new(FileDevice::with_pool(&store, 6, 8192).unwrap(), polls, 5);
            let writer = Writer::new(&store, device).unwrap();
            put_all(&writer, 9);
            let (first, name) = (others(0..140), Object::key_bytes(3));
            let mut dropped = Box::pin(writer.purge(&first, Mode::Hard));
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..polls {
                if dropped.as_mut().poll(&mut context).is_ready() {
                    break;
                }
            }
            drop(dropped);
            block_on_ready(writer.purge(&[Purge::Key(&name)], Mode::Hard)).unwrap();
        }
        let (store, _) = Store::open(&config).unwrap();
        let reader = store.reader(0);
        assert_eq!(get(&reader, 3), None, "dropped after {polls} polls");
        assert!(get(&reader, 4).is_some());
    }
}

#[test]
fn the_header_of_a_compacted_log_waits_for_its_entries_to_be_durable() {
    let folder = scratch();
    let (store, _) = Store::open(&tiny(folder.path())).unwrap();
    let device = FileDevice::with_pool(&store, 6, 8192).unwrap();
    let (device, recorder) = FaultyDevice::new(device, FaultPlan::default(), true);
    let writer = Writer::new(&store, device).unwrap();
    block_on_ready(writer.make_room());
    recorder.take();
    for _ in 0..100 {
        block_on_ready(writer.purge(&others(0..10), Mode::Hard)).unwrap();
    }
    let log = recorder.take();
    let is_header = |entry: &Recorded| match entry {
        Recorded::Write { bytes, .. } => bytes.starts_with(b"LHp1"),
        Recorded::Sync(_) | Recorded::Mark(_) => false,
    };
    let headers: Vec<usize> = (0..log.len()).filter(|at| is_header(&log[*at])).collect();
    assert!(headers.len() >= 2, "{} compactions", headers.len());
    for at in headers {
        let around = [&log[at - 1], &log[at + 1]];
        assert_eq!(around, [&Recorded::Sync(0); 2], "before it and before it counts");
    }
}

/// Writes to segment headers that the device never gets to.
struct Held {
    inner: FileDevice,
}

impl Device for Held {
    type Block = <FileDevice as Device>::Block;

    fn block_bytes(&self) -> usize {
        self.inner.block_bytes()
    }

    fn allocate_block(&self) -> Option<Self::Block> {
        self.inner.allocate_block()
    }

    fn write_at(
        &self,
        place: (usize, u64),
        block: Self::Block,
        range: Range<usize>,
    ) -> impl Future<Output = (io::Result<()>, Self::Block)> + 'static {
        let held = block.bytes()[range.clone()].starts_with(b"LHs1");
        let write = (!held).then(|| self.inner.write_at(place, block, range));
        async move {
            match write {
                Some(write) => write.await,
                None => std::future::pending().await,
            }
        }
    }

    fn sync_data(&self, volume: usize) -> impl Future<Output = io::Result<()>> + 'static {
        self.inner.sync_data(volume)
    }
}

/// A segment whose new header is not durable may come back with all of its records: until then a
/// compaction keeps the purges that concern them.
#[test]
fn purges_are_kept_until_the_new_header_of_a_segment_is_durable() {
    let folder = scratch();
    {
        let (store, _) = Store::open(&tiny(folder.path())).unwrap();
        let inner = FileDevice::with_pool(&store, 6, 8192).unwrap();
        let writer = Writer::new(&store, Held { inner }).unwrap();
        put_now(&writer, object(1, 1)).unwrap();
        Aim::Tag(41).purge(&writer, Mode::Hard).unwrap();
        // Keys without that tag, until the first segment is on its way out.
        let mut context = Context::from_waker(Waker::noop());
        let mut stuck = (1..1000).map(|number| Box::pin(put(&writer, object(number * 4, 1), 5000)));
        let stuck =
            stuck.find_map(|mut put| put.as_mut().poll(&mut context).is_pending().then_some(put));
        assert!(stuck.is_some(), "the header is written");
        // A compaction drops all of these but one, and what else it may.
        for _ in 0..300 {
            block_on_ready(writer.purge(&others(0..1), Mode::Hard)).unwrap();
        }
    }
    let (store, _writer) = open(folder.path());
    assert_eq!(get(&store.reader(0), 1), None, "ST-7");
}

#[test]
fn a_full_log_is_compacted_and_then_old_segments_go() {
    let folder = scratch();
    {
        let (store, writer) = open(folder.path());
        for key in 0..100 {
            put_now(&writer, object(key, 1)).unwrap();
        }
        // The same over and over takes no room.
        for _ in 0..500 {
            assert_eq!(remove_now(&writer, 7).map(|_| ()), Ok(()));
        }
        assert_eq!(store.stats().reclaimed, 0);
        // Room is for 190: after that the segments must go that they may concern.
        for group in 0..100 {
            block_on_ready(writer.purge(&others(group * 10..group * 10 + 10), Mode::Hard)).unwrap();
            assert!(put_now(&writer, object(1000 + group as u32, 1)).is_ok());
        }
        let stats = store.stats();
        assert!(stats.reclaimed > 0, "{stats:?}");
        assert!(stats.purges_tags < 400, "forgotten with the segments: {stats:?}");
        assert!(get(&store.reader(0), 1099).is_some());
    }
    let (store, _writer) = open(folder.path());
    assert_eq!(get(&store.reader(0), 7), None);
    assert!(get(&store.reader(1), 1099).is_some());
}

#[test]
fn a_log_that_stays_full_refuses_until_everything_is_purged() {
    let folder = scratch();
    {
        let (store, writer) = open(folder.path());
        let reader = store.reader(0);
        // Half of the segments are held by readers, and no more may wait for them.
        let mut held = Vec::new();
        for key in 0..200 {
            if put_now(&writer, Object { key, version: 1, body_bytes: 50_000 }).is_err() {
                break;
            }
            held.push(reader.lookup(&Object::key_bytes(key)).unwrap());
        }
        let purge = |number| block_on_ready(writer.purge(&others(number..number + 1), Mode::Hard));
        let refused = (0..300).map(purge).find_map(Result::err);
        assert_eq!(refused, Some(WriteError::PurgesFull));
        // It holds in this process all the same.
        let last = held.last().unwrap().key().to_vec();
        let refused = block_on_ready(writer.purge(&[Purge::Key(&last)], Mode::Hard));
        assert_eq!(refused, Err(WriteError::PurgesFull));
        assert!(reader.lookup(&last).is_none());
        // What covers all others takes their place.
        Aim::All.purge(&writer, Mode::Hard).unwrap();
        assert!(remove_now(&writer, 1).is_ok());
        assert!((0..200).all(|key| get(&reader, key).is_none()));
    }
    let (store, _writer) = open(folder.path());
    assert!((0..200).all(|key| get(&store.reader(0), key).is_none()));
}

#[test]
fn too_many_prefixes_are_refused_with_their_remedies() {
    let folder = scratch();
    let config = Config { purge_prefixes_max: 2, ..tiny(folder.path()) };
    let (store, _) = Store::open(&config).unwrap();
    let writer = Writer::new(&store, FileDevice::with_pool(&store, 6, 8192).unwrap()).unwrap();
    put_now(&writer, object(5, 1)).unwrap();
    let purge = |prefix: &[u8]| {
        block_on_ready(writer.purge(&[Purge::Prefix(prefix)], Mode::Hard)).map(|_| ())
    };
    assert_eq!((purge(b"a"), purge(b"b")), (Ok(()), Ok(())));
    assert_eq!(purge(b"https://"), Err(WriteError::PrefixesFull));
    assert!(get(&store.reader(0), 5).is_some(), "nothing was done");
    assert_eq!(purge(b""), Ok(()), "it covers the others");
    assert!(get(&store.reader(0), 5).is_none());
    assert_eq!(purge(b"c"), Ok(()));
    assert_eq!(purge(b"d"), Err(WriteError::PrefixesFull));
    Aim::All.purge(&writer, Mode::Hard).unwrap();
    assert_eq!(purge(b"d"), Ok(()));
    assert_eq!(purge(&[0; 65_537]), Err(WriteError::KeyTooLong));
    assert_eq!(purge(&[0; 20_000]), Err(WriteError::PurgesFull), "no log has room for it");
    assert_eq!(store.stats().reclaimed, 0);
}

/// Where the areas of the purge log lie that have a header.
fn log_headers(data: &Path) -> Vec<u64> {
    let bytes = std::fs::read(data).unwrap();
    let pages = (0..bytes.len()).step_by(4096);
    pages.filter(|at| bytes[*at..].starts_with(b"LHp1")).map(|at| at as u64).collect()
}

fn overwrite(data: &Path, at: u64) {
    let file = std::fs::File::options().write(true).open(data).unwrap();
    file.write_all_at(&[0xff; 64], at).unwrap();
}

#[test]
fn a_damaged_log_without_another_counts_as_a_purge_of_everything() {
    // The header, and an entry that a compaction has put behind it.
    for behind in [0, 4096] {
        let folder = scratch();
        {
            let (_store, writer) = open(folder.path());
            put_all(&writer, 20);
            remove_now(&writer, 3).unwrap();
            (0..30).for_each(|group| {
                block_on_ready(writer.purge(&others(group * 9..group * 9 + 9), Mode::Soft))
                    .unwrap();
            });
        }
        let data = folder.path().join("data");
        let [header] = log_headers(&data)[..] else { panic!("the old one is wiped out") };
        overwrite(&data, header + behind);
        for opened in 0..2 {
            let (store, report) = Store::open(&tiny(folder.path())).unwrap();
            assert_eq!(report.purges_damaged, opened == 0, "then it is whole again: {report:?}");
            assert!((0..20).all(|key| get(&store.reader(0), key).is_none()));
        }
        let (store, writer) = open(folder.path());
        put_now(&writer, object(1, 2)).unwrap();
        assert!(get(&store.reader(0), 1).is_some());
    }
}

/// One of three appended purges can be read no more: what was purged by it is not known, so
/// nothing older is served.
#[test]
fn damage_in_the_middle_of_a_log_is_told_from_its_end() {
    for (entry, is_told) in [(0, true), (1, true), (2, false)] {
        let folder = scratch();
        {
            let (_store, writer) = open(folder.path());
            put_all(&writer, 20);
            (3..6).for_each(|key| assert!(remove_now(&writer, key).unwrap()));
        }
        let data = folder.path().join("data");
        let newest = log_headers(&data).into_iter().max_by_key(|at| {
            let mut header = [0; 64];
            std::fs::File::open(&data).unwrap().read_exact_at(&mut header, *at).unwrap();
            u64::from_le_bytes(header[8..16].try_into().unwrap())
        });
        overwrite(&data, newest.unwrap() + 4096 + 64 * entry);
        let (store, report) = Store::open(&tiny(folder.path())).unwrap();
        assert_eq!(report.purges_damaged, is_told, "entry {entry}: {report:?}");
        let left = (0..20).filter(|key| get(&store.reader(0), *key).is_some()).count();
        assert_eq!(left, if is_told { 0 } else { 18 }, "the last entry has none behind it");
    }
}

#[test]
fn each_device_has_all_purges_and_lends_them_to_the_others() {
    let folder = scratch();
    let shape = Shape { disks: 2, memory: false };
    let config = shape.config(folder.path());
    let data = |disk: usize| folder.path().join(disk.to_string()).join("data");
    let opened = || {
        let (store, report) = Store::open(&config).unwrap();
        let writer = Writer::new(&store, FileDevice::with_pool(&store, 6, 8192).unwrap()).unwrap();
        (store, writer, report)
    };
    {
        let (_store, writer, _) = opened();
        put_all(&writer, 30);
        Aim::Tag(40).purge(&writer, Mode::Hard).unwrap();
        remove_now(&writer, 4).unwrap();
    }
    let gone = |store: &Store| {
        let reader = store.reader(0);
        (0..30).all(|key| get(&reader, key).is_none() == (Aim::Tag(40).hits(key) || key == 4))
    };
    // First one log is lost, then the other, which was made whole in the meantime.
    for disk in [0, 1, 0] {
        log_headers(&data(disk)).into_iter().for_each(|at| overwrite(&data(disk), at));
        let (store, _writer, report) = opened();
        assert!(!report.purges_damaged && gone(&store), "{report:?}");
    }
}

#[test]
fn a_purge_is_on_record_when_one_of_two_devices_fails() {
    for failing in 0..2 {
        let folder = scratch();
        let config = Shape { disks: 2, memory: false }.config(folder.path());
        let config = Config { write_errors_max: 3, ..config };
        {
            let (store, _) = Store::open(&config).unwrap();
            let device = FileDevice::with_pool(&store, 6, 8192).unwrap();
            let (device, recorder) = FaultyDevice::new(device, FaultPlan::default(), false);
            let writer = Writer::new(&store, device).unwrap();
            put_all(&writer, 30);
            block_on_ready(writer.seal()).unwrap();
            recorder.set_plan(FaultPlan {
                failing_writes: 0..u64::MAX,
                volume: Some(failing),
                ..FaultPlan::default()
            });
            for key in 0..10 {
                assert_eq!(remove_now(&writer, key), Ok(true));
            }
            assert_eq!(store.stats().devices_offline, 1, "its errors have been counted");
        }
        // The failed one is back, with all of its records.
        let (store, _) = Store::open(&config).unwrap();
        let reader = store.reader(0);
        for key in 0..30 {
            assert_eq!(get(&reader, key).is_some(), key >= 10, "ST-7: {key}, {failing} failed");
        }
    }
}

#[test]
fn a_purge_that_no_device_has_taken_says_so_and_holds_until_a_restart() {
    let folder = scratch();
    let (store, _) = Store::open(&tiny(folder.path())).unwrap();
    let device = FileDevice::with_pool(&store, 6, 8192).unwrap();
    let (device, recorder) = FaultyDevice::new(device, FaultPlan::default(), false);
    let writer = Writer::new(&store, device).unwrap();
    put_all(&writer, 9);
    block_on_ready(writer.seal()).unwrap();
    let (writes, _) = recorder.counts();
    let plan = |failing_writes, failing_syncs| FaultPlan {
        failing_writes,
        failing_syncs,
        ..FaultPlan::default()
    };
    // Both the append and the compaction that is tried after it.
    recorder.set_plan(plan(writes..writes + 2, 0..0));
    assert_eq!(remove_now(&writer, 1), Err(WriteError::Device));
    assert_eq!(get(&store.reader(0), 1), None);
    assert_eq!(remove_now(&writer, 2), Ok(true));
    // The append alone: its log goes on in the other area.
    let (writes, _) = recorder.counts();
    recorder.set_plan(plan(writes..writes + 1, 0..0));
    assert_eq!(remove_now(&writer, 3), Ok(true));
    let (_, syncs) = recorder.counts();
    recorder.set_plan(plan(0..0, syncs..syncs + 1));
    assert_eq!(remove_now(&writer, 4), Ok(true));
    drop((store, writer));
    let (store, _writer) = open(folder.path());
    let reader = store.reader(0);
    assert!((1..5).all(|key| get(&reader, key).is_none()), "the first went along with the others");
    assert!((5..9).all(|key| get(&reader, key).is_some()));
}

/// A writer that ends while the kernel still has a write of the purge log: never again there.
#[test]
fn a_write_that_is_never_answered_keeps_its_log_from_being_used() {
    let folder = scratch();
    let (store, _) = Store::open(&tiny(folder.path())).unwrap();
    {
        let device = LateDevice::new(FileDevice::with_pool(&store, 6, 8192).unwrap(), 3, 1000);
        let writer = Writer::new(&store, device).unwrap();
        let mut purge = Box::pin(writer.purge(&[Purge::Tag(1)], Mode::Hard));
        let mut context = Context::from_waker(Waker::noop());
        assert!(purge.as_mut().poll(&mut context).is_pending());
    }
    let writer = Writer::new(&store, FileDevice::with_pool(&store, 6, 8192).unwrap()).unwrap();
    assert_eq!(remove_now(&writer, 1), Err(WriteError::Device));
    drop((store, writer));
    let (_store, writer) = open(folder.path());
    assert_eq!(remove_now(&writer, 1), Ok(false));
}
