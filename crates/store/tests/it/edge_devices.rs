//! The edge's devices: the same promises through io_uring, with registered buffers, and on helper
//! threads where there is none.

use std::cell::Cell;
use std::rc::Rc;

use longhold_store::device::ThreadsDevice;
use longhold_store::device::uring::UringDevice;
use longhold_store::{Committed, Config, Device, Store, WriteError, Writer};
use tokio::task::spawn_local;

use crate::support::{Failed, Object, get, put, scratch, tiny};

/// Runs only where the kernel and its policy allow rings; elsewhere the other devices are tested.
fn with_ring<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let probe = std::panic::catch_unwind(|| tokio_uring::start(async {}));
    if probe.is_ok() {
        tokio_uring::start(test());
    }
}

/// Runs on a runtime that knows nothing of rings.
fn without_ring<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test());
}

fn uring(store: &Store, blocks: usize, block_bytes: usize) -> UringDevice {
    UringDevice::with_pool(store, blocks, block_bytes).unwrap()
}

fn threads(store: &Store, blocks: usize, block_bytes: usize) -> ThreadsDevice {
    ThreadsDevice::with_pool(store, blocks, block_bytes).unwrap()
}

#[test]
fn many_fills_at_once_are_all_stored() {
    with_ring(|| fills_are_all_stored(uring));
    without_ring(|| fills_are_all_stored(threads));
}

#[test]
fn an_aborted_fill_harms_nobody() {
    with_ring(|| aborted_fills_harm_nobody(uring));
    without_ring(|| aborted_fills_harm_nobody(threads));
}

/// Dropped before their writes have ended, blocks are made anew: the pool does not dry up.
#[test]
fn pool_outlives_writes_that_nobody_awaits() {
    without_ring(|| async {
        let folder = scratch();
        let (store, _) = Store::open(&tiny(folder.path())).unwrap();
        let device = threads(&store, 4, 8192);
        for _ in 0..100 {
            let block = device.allocate_block().expect("the pool has dried up");
            // Behind everything that the store writes itself, and never sealed.
            drop(device.write_at((0, 8192), block, 0..0));
        }
        let blocks: Vec<_> = (0..4).map(|_| device.allocate_block().unwrap()).collect();
        assert!(device.allocate_block().is_none(), "nor does it grow");
        drop(blocks);
        let missing = device.write_at((9, 0), device.allocate_block().unwrap(), 0..1).await;
        assert!(missing.0.is_err(), "no such volume");
        let outside = device.write_at((0, 0), device.allocate_block().unwrap(), 0..9000).await;
        assert!(outside.0.is_err(), "beyond the block");
    });
}

async fn fills_are_all_stored<D: Device>(device: fn(&Store, usize, usize) -> D) {
    let folder = scratch();
    let config = Config { pin_rows: 2, ..Config::new(folder.path(), 64 << 20) };
    let (store, _) = Store::open(&config).unwrap();
    let device = device(&store, 6, 65_536);
    let writer = Rc::new(Writer::new(&store, device).unwrap());
    let maintenance = Rc::clone(&writer);
    let maintenance = spawn_local(async move { maintenance.maintain().await });
    let reader = store.reader(0);
    for round in 0..4 {
        let tasks: Vec<_> = (0..40u32)
            .map(|key| {
                let writer = Rc::clone(&writer);
                let body_bytes = (key as usize * 7919 + round) % 300_000;
                let object = Object { key, version: round as u64, body_bytes };
                let stored = async move { (object, fill(&writer, object).await) };
                spawn_local(stored)
            })
            .collect();
        for task in tasks {
            let (object, stored) = task.await.unwrap();
            assert!(stored.unwrap().published);
            assert_eq!(get(&reader, object.key), Some(object));
        }
    }
    assert_eq!(writer.remove(&Object::key_bytes(3)).await, Ok(true));
    assert_eq!(get(&reader, 3), None);
    writer.seal().await.unwrap();
    maintenance.abort();
    let _ = maintenance.await;
    drop((writer, reader, store));
    let (store, report) = Store::open(&config).unwrap();
    assert_eq!(report.records_walked, 0, "all is in footers");
    assert_eq!(get(&store.reader(0), 3), None);
    let found = (0..40).filter(|key| get(&store.reader(1), *key).is_some()).count();
    assert!(found >= 35, "{found}");
}

/// As the edge fills: reclaims when it must, and makes readable what has arrived.
async fn fill<D: Device>(writer: &Writer<D>, object: Object) -> Result<Committed, Failed> {
    let parts = object.parts();
    let mut pending = writer.begin_or_reclaim(parts.draft()).await?;
    for (number, piece) in parts.body.chunks(10_000).enumerate() {
        writer.append(&mut pending, piece).await?;
        if number % 7 == 6 {
            writer.flush(&mut pending).await?;
            let whole = Some(pending.written() + pending.remaining());
            assert_eq!(whole, pending.extent().body_len());
        }
    }
    Ok(writer.commit(pending).await?)
}

async fn aborted_fills_harm_nobody<D: Device>(device: fn(&Store, usize, usize) -> D) {
    let folder = scratch();
    let (store, _) = Store::open(&tiny(folder.path())).unwrap();
    let device = device(&store, 4, 8192);
    let writer = Rc::new(Writer::new(&store, device).unwrap());
    let reader = store.reader(0);
    let finished = Rc::new(Cell::new(0));
    for version in 0..120 {
        let (owner, done) = (Rc::clone(&writer), Rc::clone(&finished));
        let doomed = spawn_local(async move {
            let object = Object { key: 1, version, body_bytes: 40_000 };
            let stored = put(&owner, object, 9000).await;
            done.set(done.get() + u32::from(stored.is_ok()));
        });
        for _ in 0..version % 9 {
            spawn_local(async {}).await.unwrap();
        }
        doomed.abort();
        let _ = doomed.await;
        let object = Object { key: 2, version, body_bytes: 3000 };
        put(&writer, object, 1000).await.unwrap();
        assert_eq!(get(&reader, 2), Some(object));
        let _ = get(&reader, 1);
    }
    writer.seal().await.unwrap();
    assert_eq!(store.stats().damaged, 0);
    assert_ne!(writer.remove(b"x").await, Err(WriteError::Offline));
}
