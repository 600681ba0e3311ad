//! Calls of one writer in every order: a device that answers late, tasks that are polled at random
//! and dropped half-way. ST-1, ST-2, ST-8, ST-9 hold, and nobody waits for ever.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use longhold_store::{Device, Draft, FileDevice, Store, Writer, block_on_ready};

use crate::support::{Object, Random, get, put_now, scratch, tiny};

/// Does each write and sync only at the nth poll.
pub(crate) struct LateDevice {
    inner: Rc<FileDevice>,
    random: RefCell<Random>,
    polls_max: u64,
}

impl LateDevice {
    pub(crate) fn new(inner: FileDevice, seed: u64, polls_max: u64) -> Self {
        Self { inner: Rc::new(inner), random: RefCell::new(Random(seed)), polls_max }
    }

    fn late<T>(&self, value: T) -> impl Future<Output = T> + use<T> {
        let mut left = self.random.borrow_mut().below(self.polls_max + 1);
        let mut value = Some(value);
        std::future::poll_fn(move |context| {
            if left == 0 {
                return Poll::Ready(value.take().unwrap());
            }
            left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
    }
}

impl Device for LateDevice {
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
        // The bytes reach the file late: whoever reads before the answer sees old ones.
        let late = self.late(());
        let inner = Rc::clone(&self.inner);
        async move {
            late.await;
            inner.write_at(place, block, range).await
        }
    }

    fn sync_data(&self, volume: usize) -> impl Future<Output = io::Result<()>> + 'static {
        let late = self.late(());
        let inner = Rc::clone(&self.inner);
        async move {
            late.await;
            inner.sync_data(volume).await
        }
    }
}

pub(crate) type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Polls tasks in random order and drops some of them; fails when nothing moves any more.
pub(crate) fn run_tasks(mut tasks: Vec<Task<'_>>, random: &mut Random, dropped_permille: u64) {
    let mut context = Context::from_waker(Waker::noop());
    let mut polls = 0u64;
    while !tasks.is_empty() {
        let number = random.below(tasks.len() as u64) as usize;
        if tasks[number].as_mut().poll(&mut context).is_ready()
            || random.below(1000) < dropped_permille
        {
            drop(tasks.swap_remove(number));
        }
        polls += 1;
        assert!(polls < 3_000_000, "{} tasks wait for ever", tasks.len());
    }
}

#[test]
fn calls_in_any_order_keep_every_byte() {
    for seed in 0..30 {
        any_order(seed, 0);
    }
}

#[test]
fn dropped_calls_cost_nothing_but_their_drafts() {
    for seed in 100..140 {
        any_order(seed, 15);
    }
}

fn any_order(seed: u64, dropped_permille: u64) {
    let folder = scratch();
    let removed = RefCell::new(HashMap::new());
    let version = Cell::new(0);
    {
        let (store, _) = Store::open(&tiny(folder.path())).unwrap();
        // Fewer blocks than drafts.
        let inner = FileDevice::with_pool(&store, 5, 8192).unwrap();
        let device = LateDevice::new(inner, seed, 12);
        let writer = Writer::new(&store, device).unwrap();
        let reader = store.reader(0);
        let mut random = Random(seed ^ 0xabcd);
        for _ in 0..4 {
            let mut tasks: Vec<Task<'_>> = Vec::new();
            for _ in 0..12 {
                let (key, kind) = (random.below(8) as u32, random.below(10));
                let body_bytes = random.below(20_000) as usize;
                let (writer, removed, version) = (&writer, &removed, &version);
                tasks.push(match kind {
                    0..=6 => Box::pin(store_one(writer, key, body_bytes, version)),
                    7 | 8 => Box::pin(remove_one(writer, key, version, removed)),
                    _ => Box::pin(async move {
                        let _ = writer.seal().await;
                    }),
                });
            }
            run_tasks(tasks, &mut random, dropped_permille);
            for key in 0..8 {
                check(get(&reader, key), &removed);
            }
        }
        assert_eq!((store.stats().damaged, store.stats().write_errors), (0, 0));
        // Whatever was dropped: the writer still works, with all its blocks.
        let last: Task<'_> = Box::pin(async {
            store_one(&writer, 7, 30_000, &version).await;
            writer.seal().await.unwrap();
        });
        run_tasks(vec![last], &mut random, 0);
        let newest = get(&reader, 7).map(|object| object.version);
        assert_eq!(newest, Some(version.get()));
    }
    let (store, _) = Store::open(&tiny(folder.path())).unwrap();
    let reader = store.reader(0);
    for key in 0..8 {
        check(get(&reader, key), &removed);
    }
}

fn check(found: Option<Object>, removed: &RefCell<HashMap<u32, u64>>) {
    if let Some(object) = found {
        let removed = removed.borrow().get(&object.key).copied().unwrap_or(0);
        assert!(object.version > removed, "ST-7: {object:?} is back");
    }
}

async fn store_one(writer: &Writer<LateDevice>, key: u32, body_bytes: usize, version: &Cell<u64>) {
    version.set(version.get() + 1);
    let object = Object { key, version: version.get(), body_bytes };
    let parts = object.parts();
    let Ok(mut pending) = writer.begin(parts.draft()) else { return };
    for piece in parts.body.chunks(3333) {
        if writer.append(&mut pending, piece).await.is_err() {
            return;
        }
    }
    let _ = writer.commit(pending).await;
}

async fn remove_one(
    writer: &Writer<LateDevice>,
    key: u32,
    version: &Cell<u64>,
    removed: &RefCell<HashMap<u32, u64>>,
) {
    let covered = version.get();
    if writer.remove(&Object::key_bytes(key)).await.is_ok() {
        let mut removed = removed.borrow_mut();
        let known = removed.entry(key).or_insert(0);
        *known = covered.max(*known);
    }
}

#[test]
fn slow_drafts_do_not_keep_the_pool_from_others() {
    let folder = scratch();
    let (store, _) = Store::open(&tiny(folder.path())).unwrap();
    let inner = FileDevice::with_pool(&store, 4, 8192).unwrap();
    let device = LateDevice::new(inner, 1, 3);
    let writer = Rc::new(Writer::new(&store, device).unwrap());
    let mut context = Context::from_waker(Waker::noop());
    let mut wait = |future: Pin<Box<dyn Future<Output = ()> + '_>>| {
        let mut future = future;
        for _ in 0..10_000 {
            if future.as_mut().poll(&mut context).is_ready() {
                return;
            }
        }
        panic!("it waits for ever");
    };
    // Ten drafts with a few bytes each, on a pool of two blocks beside the two kept back.
    let mut slow = Vec::new();
    for number in 0..10u8 {
        let key = [number];
        let mut pending = writer.begin(Draft::new(&key, b"", 20)).unwrap();
        wait(Box::pin(async { writer.append(&mut pending, &[number; 10]).await.unwrap() }));
        slow.push(pending);
    }
    wait(Box::pin(async {
        assert_eq!(writer.remove(b"purged meanwhile").await, Ok(false));
    }));
    for (number, mut pending) in (0..).zip(slow) {
        wait(Box::pin(async {
            writer.append(&mut pending, &[number; 10]).await.unwrap();
            writer.commit(pending).await.unwrap();
        }));
    }
    let reader = store.reader(0);
    for number in 0..10u8 {
        let record = reader.lookup(&[number]).unwrap();
        assert_eq!(*record.body(0..20).unwrap(), [number; 20]);
    }
}

/// Keeps one write until it is let through.
struct GateDevice {
    inner: Rc<FileDevice>,
    /// Writes before the one that is kept.
    before: Cell<u32>,
    open: Rc<Cell<bool>>,
}

impl Device for GateDevice {
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
        let kept = self.before.get() == 0;
        self.before.set(self.before.get().wrapping_sub(1));
        let (inner, open) = (Rc::clone(&self.inner), Rc::clone(&self.open));
        async move {
            std::future::poll_fn(|_| match kept && !open.get() {
                true => Poll::Pending,
                false => Poll::Ready(()),
            })
            .await;
            inner.write_at(place, block, range).await
        }
    }

    fn sync_data(&self, volume: usize) -> impl Future<Output = io::Result<()>> + 'static {
        self.inner.sync_data(volume)
    }
}

/// The kernel may still take bytes from a block long after whoever wrote it has gone.
#[test]
fn a_write_that_hangs_keeps_its_segment_from_being_used_again() {
    let folder = scratch();
    let (store, _) = Store::open(&tiny(folder.path())).unwrap();
    let inner = Rc::new(FileDevice::with_pool(&store, 6, 8192).unwrap());
    // The first write has the record's header, without which nothing behind it could be found.
    let (before, open) = (Cell::new(1), Rc::new(Cell::new(false)));
    let device = GateDevice { inner, before, open: Rc::clone(&open) };
    let writer = Writer::new(&store, device).unwrap();
    let reader = store.reader(0);
    let mut pending = writer.begin(Draft::new(b"hangs", b"", 40_000)).unwrap();
    let body = vec![0xee; 40_000];
    {
        let mut append = Box::pin(writer.append(&mut pending, &body));
        let mut context = Context::from_waker(Waker::noop());
        assert!(append.as_mut().poll(&mut context).is_pending());
    }
    drop(pending);
    let put_all = |rounds: Range<u64>| {
        for version in rounds {
            for key in 0..24 {
                let object = Object { key, version, body_bytes: 25_000 };
                put_now(&writer, object).unwrap();
                assert_eq!(get(&reader, key), Some(object));
            }
        }
    };
    put_all(0..6);
    assert!(store.stats().reclaimed > 32, "the log has come round twice");
    assert_eq!(store.stats().segments_retiring, 1, "but for one segment");
    open.set(true);
    block_on_ready(writer.make_room());
    assert_eq!(store.stats().segments_retiring, 0);
    let there = (0..24).filter(|key| get(&reader, *key).is_some()).count();
    assert!(there > 12, "{there}");
    assert_eq!(store.stats().damaged, 0, "the late bytes have hit nothing");
    put_all(6..9);
    assert_eq!(store.stats().damaged, 0);
}
