//! ST-10: whichever write or sync fails, nothing wrong is served, no purge is forgotten, nothing
//! panics, and after enough failures the device is offline while readers go on.

use longhold_store::device::FaultPlan;
use longhold_store::{
    Config, FaultyDevice, FileDevice, Mode, Refused, Stats, Store, WriteError, Writer,
    block_on_ready,
};

use crate::support::{
    Aim, Failed, Object, PurgedTo, Random, Shape, get, look, put, put_now, remove_now, scratch,
    tiny,
};

#[test]
fn any_single_fault_is_survived() {
    for number in (0..160).step_by(3) {
        let torn = FaultPlan { torn_writes: vec![(number, 700)], ..FaultPlan::default() };
        let fails = FaultPlan { failing_writes: number..number + 1, ..FaultPlan::default() };
        let sync = number / 3;
        let unsynced = FaultPlan { failing_syncs: sync..sync + 1, ..FaultPlan::default() };
        for plan in [torn, fails, unsynced] {
            run(plan, number, ONE_DISK);
        }
    }
}

#[test]
fn any_single_fault_is_survived_by_promotions_and_copies() {
    let mut copied = (0, 0);
    for number in (0..700).step_by(23) {
        let torn = FaultPlan { torn_writes: vec![(number, 700)], ..FaultPlan::default() };
        let fails = FaultPlan { failing_writes: number..number + 1, ..FaultPlan::default() };
        let sync = number / 7;
        let unsynced = FaultPlan { failing_syncs: sync..sync + 1, ..FaultPlan::default() };
        for plan in [torn, fails, unsynced] {
            let stats = run(plan, number, Shape { disks: 1, memory: true }).stats;
            copied = (copied.0 + stats.promoted, copied.1 + stats.reinserted);
        }
    }
    assert!(copied.0 > 100 && copied.1 > 50, "{copied:?}");
}

/// One of two, from any moment on.
#[test]
fn a_failing_disk_leaves_the_other_to_store_and_serve() {
    for number in (0..400).step_by(37) {
        for memory in [false, true] {
            let plan = FaultPlan {
                failing_writes: number..u64::MAX,
                failing_syncs: number / 5..u64::MAX,
                volume: Some(number as usize % 2),
                ..FaultPlan::default()
            };
            let last = run(plan, number, Shape { disks: 2, memory });
            assert!(last.stored > 20, "{last:?}");
            assert!(last.stats.devices_offline <= 1, "{last:?}");
        }
    }
}

/// Of want of space on any disk, at any moment.
#[test]
fn a_full_disk_is_survived() {
    for blocks in (0..200).step_by(9) {
        for (disks, memory) in [(1, false), (1, true), (2, false)] {
            let plan = FaultPlan {
                quota_bytes: Some(blocks * 3333),
                volume: Some(0),
                ..FaultPlan::default()
            };
            let last = run(plan, blocks, Shape { disks, memory });
            assert!(disks == 1 || last.stored > 20, "{last:?}");
        }
    }
}

#[test]
fn faults_in_a_row_are_survived() {
    for seed in 0..12 {
        let mut random = Random(seed);
        let start = random.below(150);
        let some = |random: &mut Random| start..start + 1 + random.below(9);
        let failing_writes = some(&mut random);
        let failing_syncs = start / 4..start / 4 + random.below(4);
        let plan = FaultPlan { failing_writes, failing_syncs, ..FaultPlan::default() };
        run(plan, seed, ONE_DISK);
    }
}

const ONE_DISK: Shape = Shape { disks: 1, memory: false };

/// How a run has ended.
#[derive(Debug, Default)]
struct Ended {
    stats: Stats,
    /// Objects that were stored in the second half of the run.
    stored: u32,
}

fn run(plan: FaultPlan, seed: u64, shape: Shape) -> Ended {
    let folder = scratch();
    let config = Config { write_errors_max: 5, ..shape.config(folder.path()) };
    let mut ended = Ended::default();
    let (mut purged, mut in_force) = (PurgedTo::default(), PurgedTo::default());
    let mut newest = [0; 10];
    let mut random = Random(seed);
    {
        let (store, _) = Store::open(&config).unwrap();
        let device = FileDevice::with_pool(&store, 5, 4096).unwrap();
        let (device, _) = FaultyDevice::new(device, plan, false);
        let writer = Writer::new(&store, device).unwrap();
        let reader = store.reader(0);
        for version in 1..90 {
            let key = random.below(10) as u32;
            if random.chance(75) {
                let body_bytes = random.below(30_000) as usize;
                let object = Object { key, version, body_bytes };
                if put_now(&writer, object).is_ok_and(|committed| committed.published) {
                    newest[key as usize] = version;
                    ended.stored += u32::from(version > 45);
                }
            } else {
                let aim = Aim::random(&mut random, 10);
                let mode = if random.chance(70) { Mode::Hard } else { Mode::Soft };
                // In force in this process, whatever becomes of the device.
                let done = aim.purge(&writer, mode);
                in_force.purge(aim, mode, 10, version);
                for key in (0..10).filter(|key| mode == Mode::Hard && aim.hits(*key)) {
                    newest[key as usize] = 0;
                }
                if done.is_ok() {
                    purged.purge(aim, mode, 10, version);
                }
            }
            if shape.memory && random.chance(25) {
                // What was asked for leaves the memory tier for a disk.
                for filler in 0..6 {
                    let key = 100 + random.below(40) as u32 + filler;
                    let _ = put_now(&writer, Object { key, version, body_bytes: 15_000 });
                }
            }
            for key in 0..10 {
                let Some((found, is_soft)) = look(&reader, key) else { continue };
                assert_eq!(found.version, newest[key as usize], "{found:?}");
                assert!(is_soft || !in_force.is_soft(found), "{found:?} shows as fresh");
            }
        }
        let _ = block_on_ready(writer.seal());
        ended.stats = store.stats();
        assert_eq!(ended.stats.damaged, 0, "what was not written well is in no index");
    }
    let (store, _) = Store::open(&config).unwrap();
    let reader = store.reader(0);
    for key in 0..10 {
        if let Some((object, is_soft)) = look(&reader, key) {
            assert!(!purged.is_hard(object), "ST-7: {object:?} is back");
            assert!(is_soft || !purged.is_soft(object), "ST-7: {object:?} is fresh again");
        }
    }
    ended
}

#[test]
fn a_dead_device_goes_offline_and_readers_go_on() {
    let folder = scratch();
    let (store, _) = Store::open(&tiny(folder.path())).unwrap();
    let device = FileDevice::new(&store).unwrap();
    let (device, recorder) = FaultyDevice::new(device, FaultPlan::default(), false);
    let writer = Writer::new(&store, device).unwrap();
    let reader = store.reader(0);
    let survivor = Object { key: 1, version: 1, body_bytes: 40_000 };
    let other = Object { key: 2, version: 1, body_bytes: 40_000 };
    put_now(&writer, survivor).unwrap();
    put_now(&writer, other).unwrap();
    assert_eq!(store.stats().segments_sealed, 1, "the first is in a segment of its own");

    let everything = 0..u64::MAX;
    let plan = FaultPlan {
        failing_writes: everything.clone(),
        failing_syncs: everything,
        ..FaultPlan::default()
    };
    recorder.set_plan(plan);
    let mut refused = None;
    for version in 2..40 {
        let object = Object { key: 3, version, body_bytes: 100 };
        if let Err(Failed::Refused(Refused::Offline)) = block_on_ready(put(&writer, object, 100)) {
            refused = Some(version);
            break;
        }
        // The edge's maintenance task would go on trying, too.
        block_on_ready(writer.make_room());
    }
    assert!(refused.is_some(), "the error budget ends");
    assert_eq!(store.stats().devices_offline, 1);
    assert_eq!(remove_now(&writer, 9), Err(WriteError::Offline));
    assert_eq!(block_on_ready(writer.seal()), Err(WriteError::Offline));
    assert_eq!(get(&reader, 1), Some(survivor));
}

#[test]
fn a_failed_sync_takes_what_was_not_durable_out_of_service() {
    let folder = scratch();
    let (store, _) = Store::open(&tiny(folder.path())).unwrap();
    let device = FileDevice::new(&store).unwrap();
    let (device, recorder) = FaultyDevice::new(device, FaultPlan::default(), false);
    let writer = Writer::new(&store, device).unwrap();
    let reader = store.reader(0);
    put_now(&writer, Object { key: 1, version: 1, body_bytes: 100 }).unwrap();
    assert!(get(&reader, 1).is_some());
    let (_, syncs) = recorder.counts();
    recorder.set_plan(FaultPlan { failing_syncs: syncs..syncs + 1, ..FaultPlan::default() });
    assert_eq!(block_on_ready(writer.seal()), Err(WriteError::Device));
    assert!(get(&reader, 1).is_none(), "its pages may be lost: it must not be served");
    assert_eq!(store.stats().segments_failed, 1);
    put_now(&writer, Object { key: 1, version: 2, body_bytes: 100 }).unwrap();
    assert_eq!(get(&reader, 1).unwrap().version, 2);
}
