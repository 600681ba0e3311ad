//! The edge's device: the same promises through io_uring, with registered buffers.

use std::cell::Cell;
use std::rc::Rc;

use longhold_store::device::uring::UringDevice;
use longhold_store::{Committed, Config, Store, WriteError, Writer};

use crate::support::{Failed, Object, get, put, scratch, tiny};

/// Runs only where the kernel and its policy allow rings; elsewhere the other devices are tested.
fn with_ring<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let probe = std::panic::catch_unwind(|| tokio_uring::start(async {}));
    if probe.is_ok() {
        tokio_uring::start(test());
    }
}

#[test]
fn many_fills_at_once_are_all_stored() {
    with_ring(|| async {
        let folder = scratch();
        let config = Config { pin_rows: 2, ..Config::new(folder.path(), 64 << 20) };
        let (store, _) = Store::open(&config).unwrap();
        let device = UringDevice::with_pool(&store, 6, 65_536).unwrap();
        let writer = Rc::new(Writer::new(&store, device).unwrap());
        let maintenance = Rc::clone(&writer);
        let maintenance = tokio_uring::spawn(async move { maintenance.maintain().await });
        let reader = store.reader(0);
        for round in 0..4 {
            let tasks: Vec<_> = (0..40u32)
                .map(|key| {
                    let writer = Rc::clone(&writer);
                    let body_bytes = (key as usize * 7919 + round) % 300_000;
                    let object = Object { key, version: round as u64, body_bytes };
                    let stored = async move { (object, fill(&writer, object).await) };
                    tokio_uring::spawn(stored)
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
    });
}

/// As the edge fills: reclaims when it must, and makes readable what has arrived.
async fn fill(writer: &Writer<UringDevice>, object: Object) -> Result<Committed, Failed> {
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

#[test]
fn an_aborted_fill_harms_nobody() {
    with_ring(|| async {
        let folder = scratch();
        let (store, _) = Store::open(&tiny(folder.path())).unwrap();
        let device = UringDevice::with_pool(&store, 4, 8192).unwrap();
        let writer = Rc::new(Writer::new(&store, device).unwrap());
        let reader = store.reader(0);
        let finished = Rc::new(Cell::new(0));
        for version in 0..120 {
            let (owner, done) = (Rc::clone(&writer), Rc::clone(&finished));
            let doomed = tokio_uring::spawn(async move {
                let object = Object { key: 1, version, body_bytes: 40_000 };
                let stored = put(&owner, object, 9000).await;
                done.set(done.get() + u32::from(stored.is_ok()));
            });
            for _ in 0..version % 9 {
                tokio_uring::spawn(async {}).await.unwrap();
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
    });
}
