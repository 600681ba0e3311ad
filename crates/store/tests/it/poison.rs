//! ST-5, ST-8 with readers who hold on for long: a segment that is reclaimed is filled with 0xDD
//! before anything else is written to it, and every byte that anybody holds is compared.
//!
//! `LONGHOLD_SOAK_SECONDS` makes it longer (3 by itself).

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use longhold_store::device::Block;
use longhold_store::{Device, FileDevice, PinnedSlice, Store, Writer, block_on_ready};

use crate::interleave::{LateDevice, Task, run_tasks};
use crate::support::{Object, Random, Shape, get, put_now, scratch};

const SEGMENT_BYTES: u64 = 64 << 10;
const HEADER_BYTES: u64 = 4096;
const KEYS: u32 = 30;

/// Fills a segment with 0xDD when it is first written to after its new header (on a disk), or when
/// its first record is written (in memory).
struct PoisonDevice<D> {
    inner: D,
    poison: FileDevice,
    /// Where the first segment of each volume begins.
    bases: Vec<u64>,
    disks: usize,
    fresh: RefCell<HashSet<(usize, u64)>>,
    poisoned: Rc<Cell<u64>>,
}

impl<D: Device> PoisonDevice<D> {
    fn new(store: &Store, shape: Shape, folder: &Path, inner: D) -> Self {
        let first_header = |data: Vec<u8>| {
            let mut pages = (0..data.len()).step_by(4096);
            pages.find(|at| data[*at..].starts_with(b"LHs1")).unwrap() as u64
        };
        let mut bases: Vec<u64> = shape.read(folder).into_iter().map(first_header).collect();
        bases.extend(shape.memory.then_some(0));
        Self {
            inner,
            poison: FileDevice::new(store).unwrap(),
            bases,
            disks: shape.disks,
            fresh: RefCell::default(),
            poisoned: Rc::default(),
        }
    }

    fn before_write(&self, (volume, offset): (usize, u64)) {
        let Some(inside) = offset.checked_sub(self.bases[volume]) else { return };
        let (segment, at) = (inside / SEGMENT_BYTES, inside % SEGMENT_BYTES);
        let place = (volume, segment);
        if at < HEADER_BYTES {
            self.fresh.borrow_mut().insert(place);
            return;
        }
        let in_memory = volume >= self.disks && at == HEADER_BYTES;
        if self.fresh.borrow_mut().remove(&place) || in_memory {
            let mut block = self.poison.allocate_block().unwrap();
            block.bytes_mut().fill(0xdd);
            let start = self.bases[volume] + segment * SEGMENT_BYTES + HEADER_BYTES;
            let bytes = 0..(SEGMENT_BYTES - HEADER_BYTES) as usize;
            block_on_ready(self.poison.write_at((volume, start), block, bytes)).0.unwrap();
            self.poisoned.set(self.poisoned.get() + 1);
        }
    }
}

impl<D: Device> Device for PoisonDevice<D> {
    type Block = D::Block;

    fn block_bytes(&self) -> usize {
        self.inner.block_bytes()
    }

    fn allocate_block(&self) -> Option<D::Block> {
        self.inner.allocate_block()
    }

    fn write_at(
        &self,
        place: (usize, u64),
        block: D::Block,
        range: Range<usize>,
    ) -> impl Future<Output = (io::Result<()>, D::Block)> + 'static {
        self.before_write(place);
        self.inner.write_at(place, block, range)
    }

    fn sync_data(&self, volume: usize) -> impl Future<Output = io::Result<()>> + 'static {
        self.inner.sync_data(volume)
    }
}

#[test]
fn slow_readers_see_no_poison_while_records_are_promoted_and_copied() {
    let shape = Shape { disks: 2, memory: true };
    let folder = scratch();
    let (store, _) = Store::open(&shape.config(folder.path())).unwrap();
    let seconds = std::env::var("LONGHOLD_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(3));
    let (stop, held, course) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let poisoned = std::thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        for row in 0..3 {
            let (store, stop, counts) = (&store, &stop, (&course, &held));
            scope.spawn(move || hold_for_long(store, row, stop, counts));
        }
        let inner = FileDevice::with_pool(&store, 6, 16_384).unwrap();
        let device = PoisonDevice::new(&store, shape, folder.path(), inner);
        let poisoned = Rc::clone(&device.poisoned);
        let writer = Writer::new(&store, device).unwrap();
        let mut random = Random(5);
        for version in 1.. {
            if Instant::now() > end {
                break;
            }
            course.store(version, Ordering::Relaxed);
            let key = any_key(&mut random, version);
            let body_bytes = [random.below(3000), random.below(40_000)][random.below(2) as usize];
            let object = Object { key, version, body_bytes: body_bytes as usize };
            if put_now(&writer, object).is_err() {
                // All held for a moment.
                std::thread::yield_now();
                block_on_ready(writer.make_room());
            }
        }
        poisoned.get()
    });
    let (stats, held) = (store.stats(), held.into_inner());
    assert!(poisoned > 100 && held > 200, "{poisoned} {held} {stats:?}");
    assert!(stats.promoted > 10 && stats.reinserted > 10, "{stats:?}");
    assert_eq!((stats.damaged, stats.write_errors), (0, 0));
}

/// One of the keys that stay, or one of those that come and go.
fn any_key(random: &mut Random, now: u64) -> u32 {
    if random.chance(50) {
        random.below(u64::from(KEYS)) as u32
    } else {
        KEYS + ((now + random.below(60)) % 2000) as u32
    }
}

/// Holds slices through many others; compares each when it is taken, at times, and at the end.
fn hold_for_long(
    store: &Store,
    row: usize,
    stop: &AtomicBool,
    (course, count): (&AtomicU64, &AtomicU64),
) {
    let reader = store.reader(row);
    let mut random = Random(row as u64 + 77);
    let mut held: VecDeque<(Object, PinnedSlice)> = VecDeque::new();
    while !stop.load(Ordering::Relaxed) {
        let key = any_key(&mut random, course.load(Ordering::Relaxed));
        let Some(record) = reader.lookup(&Object::key_bytes(key)) else { continue };
        // A slice of it may have gone.
        let Some(object) = Object::from_record(key, &record) else { continue };
        let Ok(slice) = record.piece(0, u64::MAX) else { continue };
        if random.chance(5) {
            held.push_back((object, slice));
            count.fetch_add(1, Ordering::Relaxed);
        }
        if random.chance(10) {
            held.iter().for_each(compare);
        }
        // Each reader has a pace of its own.
        if held.len() > 2 + 3 * row {
            compare(&held.pop_front().unwrap());
        }
    }
    held.iter().for_each(compare);
}

fn compare((object, slice): &(Object, PinnedSlice)) {
    let body = object.body();
    assert!(**slice == body[..slice.len()], "ST-5: {object:?} changed while it was held");
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes are done late and in any order, calls are dropped half-way, and slices are held all the
/// while.
#[test]
fn held_slices_see_no_poison_when_writes_are_late() {
    let shape = Shape { disks: 1, memory: false };
    let mut poisoned_in_all = 0;
    for seed in 0..12 {
        let folder = scratch();
        let (store, _) = Store::open(&shape.config(folder.path())).unwrap();
        let inner = FileDevice::with_pool(&store, 5, 8192).unwrap();
        let inner = LateDevice::new(inner, seed, 12);
        let device = PoisonDevice::new(&store, shape, folder.path(), inner);
        let poisoned = Rc::clone(&device.poisoned);
        let writer = Writer::new(&store, device).unwrap();
        let reader = store.reader(0);
        let mut random = Random(seed ^ 0x77);
        let mut held = VecDeque::new();
        let version = Cell::new(0);
        for _ in 0..12 {
            let mut tasks: Vec<Task<'_>> = Vec::new();
            for _ in 0..8 {
                let (key, body_bytes) = (random.below(8) as u32, random.below(20_000) as usize);
                tasks.push(Box::pin(store_one(&writer, key, body_bytes, &version)));
            }
            run_tasks(tasks, &mut random, 10);
            for key in 0..8 {
                let Some(record) = reader.lookup(&Object::key_bytes(key)) else { continue };
                let Some(object) = Object::from_record(key, &record) else { continue };
                if random.chance(30) {
                    held.push_back((object, record.piece(0, u64::MAX).unwrap()));
                }
            }
            held.iter().for_each(compare);
            while held.len() > 4 {
                compare(&held.pop_front().unwrap());
            }
        }
        assert_eq!((store.stats().damaged, store.stats().write_errors), (0, 0));
        poisoned_in_all += poisoned.get();
        (0..8).for_each(|key| assert!(get(&reader, key).is_none_or(|object| object.key == key)));
    }
    assert!(poisoned_in_all > 100, "{poisoned_in_all}");
}

async fn store_one<D: Device>(
    writer: &Writer<D>,
    key: u32,
    body_bytes: usize,
    version: &Cell<u64>,
) {
    version.set(version.get() + 1);
    let parts = Object { key, version: version.get(), body_bytes }.parts();
    let Ok(mut pending) = writer.begin_or_reclaim(parts.draft()).await else { return };
    for piece in parts.body.chunks(3333) {
        if writer.append(&mut pending, piece).await.is_err() {
            return;
        }
    }
    let _ = writer.commit(pending).await;
}
