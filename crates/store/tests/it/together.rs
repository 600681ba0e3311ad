//! ST-7 under power loss while many calls are under way at the same time: the log of purges is
//! compacted while segments are reclaimed, purged keys are written anew, and the device answers
//! late. What was acknowledged as purged stays purged at every moment.

use std::cell::{Cell, RefCell};

use longhold_store::device::{FaultPlan, Recorded};
use longhold_store::{FaultyDevice, FileDevice, Mode, Purge, Store, Writer};

use crate::crash::{Lost, from_env, images, restore};
use crate::interleave::{LateDevice, Task, run_tasks};
use crate::support::{Aim, Object, PurgedTo, Random, Shape, look, put, scratch};

const KEYS: u32 = 10;

type Late = Writer<FaultyDevice<LateDevice>>;

/// What all tasks of a run share.
struct Course {
    /// Versions rise from one `begin` to the next.
    version: Cell<u64>,
    /// What was acknowledged as purged before each mark in the device's log.
    known: RefCell<Vec<PurgedTo>>,
}

#[test]
fn acknowledged_purges_survive_power_loss_among_other_calls() {
    for seed in 0..from_env("LONGHOLD_CRASH_RUNS", 6) {
        for disks in [1, 2] {
            run(Shape { disks, memory: seed % 3 == 2 }, seed);
        }
    }
}

fn run(shape: Shape, seed: u64) {
    let folder = scratch();
    let mut random = Random(seed);
    let course = Course { version: Cell::new(1), known: RefCell::new(vec![PurgedTo::default()]) };
    let (base, log) = {
        let (store, _) = Store::open(&shape.config(folder.path())).unwrap();
        let base = shape.read(folder.path());
        let inner = FileDevice::with_pool(&store, 5, 8192).unwrap();
        let device = LateDevice::new(inner, seed, 10);
        let (device, recorder) = FaultyDevice::new(device, FaultPlan::default(), true);
        let writer = Writer::new(&store, device).unwrap();
        let mut tasks: Vec<Task<'_>> = Vec::new();
        for number in 0..120 {
            let task_seed = random.below(u64::MAX);
            let (course, writer, recorder) = (&course, &writer, &recorder);
            tasks.push(match number % 6 {
                0 => Box::pin(crowd(course, writer, task_seed)),
                1 => Box::pin(async move {
                    course.purge(writer, &mut Random(task_seed)).await;
                    recorder.mark(0);
                }),
                _ => Box::pin(store_one(course, writer, task_seed)),
            });
        }
        run_tasks(tasks, &mut random, 0);
        assert!(store.stats().reclaimed > 0, "{:?}", store.stats());
        (base, recorder.take())
    };
    let known = course.known.into_inner();
    let scratch = scratch();
    for point in 0..=log.len() {
        if !random.chance(15) {
            continue;
        }
        let marks = log[..point].iter().filter(|entry| matches!(entry, Recorded::Mark(_)));
        let purged = &known[marks.count()];
        let image = scratch.path().join("image");
        restore(
            folder.path(),
            &image,
            &images(&base, &log[..point], Lost::Sectors(512), &mut random),
        );
        let (store, report) = Store::open(&shape.config(&image)).unwrap();
        assert!(!report.purges_damaged, "no crash does that: {shape:?} seed {seed} point {point}");
        let reader = store.reader(0);
        for key in 0..KEYS {
            let Some((object, is_soft)) = look(&reader, key) else { continue };
            let lasting = !purged.is_hard(object) && (is_soft || !purged.is_soft(object));
            assert!(lasting, "ST-7: {object:?}: {shape:?} seed {seed} point {point}");
        }
        drop((reader, store));
        std::fs::remove_dir_all(&image).unwrap();
    }
}

impl Course {
    async fn purge(&self, writer: &Late, random: &mut Random) {
        let aim = Aim::random(random, KEYS);
        let mode = if random.chance(70) { Mode::Hard } else { Mode::Soft };
        // What begins while the call waits is newer.
        let to = self.version.get();
        let name = aim.name();
        writer.purge(&[aim.of(&name)], mode).await.unwrap();
        let mut known = self.known.borrow_mut();
        let mut purged = known.last().unwrap().clone();
        purged.purge(aim, mode, KEYS, to);
        known.push(purged);
    }
}

/// A part of the purge log, so that it is compacted again and again.
async fn crowd(course: &Course, writer: &Late, seed: u64) {
    let first = 1000 + seed % 1_000_000 * 100;
    let tags: Vec<Purge<'_>> = (first..first + 40).map(Purge::Tag).collect();
    course.version.set(course.version.get() + 1);
    writer.purge(&tags, Mode::Hard).await.unwrap();
}

async fn store_one(course: &Course, writer: &Late, seed: u64) {
    let mut random = Random(seed);
    let key = random.below(u64::from(KEYS)) as u32;
    let version = course.version.get() + 1;
    course.version.set(version);
    let object = Object { key, version, body_bytes: random.below(20_000) as usize };
    // Refused when all segments are in use, or lost to a reclaim.
    let _ = put(writer, object, 3000).await;
}
