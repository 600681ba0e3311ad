//! ST-5, ST-8: what a reader holds stands still while the log goes round beneath it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use longhold_store::{Draft, Extent, Refused, Store, WriteError, block_on_ready};

use crate::support::{Failed, Object, Random, get, open, put_now, scratch, tiny};

#[test]
fn a_held_slice_outlives_many_rounds_of_the_log() {
    let folder = scratch();
    let (store, writer) = open(folder.path());
    let reader = store.reader(0);
    let held = Object { key: 1, version: 1, body_bytes: 20_000 };
    put_now(&writer, held).unwrap();
    let record = reader.lookup(&Object::key_bytes(1)).unwrap();
    let slice = record.body(0..20_000).unwrap();
    drop(record);
    for version in 0..300 {
        let object = Object { key: 2, version, body_bytes: 25_000 };
        put_now(&writer, object).unwrap();
        assert_eq!(get(&reader, 2), Some(object));
        assert!(*slice == *held.body());
    }
    let stats = store.stats();
    assert!(stats.reclaimed > 64, "{stats:?}");
    assert_eq!(stats.segments_retiring, 1, "the pinned one waits");
    assert!(get(&reader, 1).is_none(), "a pinned segment is reclaimed from the index all the same");
    let clone = slice.clone();
    drop(slice);
    assert!(block_on_ready(writer.make_room()));
    assert_eq!(store.stats().segments_retiring, 1);
    drop(clone);
    assert!(block_on_ready(writer.make_room()));
    assert_eq!(store.stats().segments_retiring, 0);
}

#[test]
fn bytes_that_left_their_thread_hold_their_segment() {
    let folder = scratch();
    let (store, writer) = open(folder.path());
    let reader = store.reader(0);
    let held = Object { key: 1, version: 1, body_bytes: 20_000 };
    put_now(&writer, held).unwrap();
    let record = reader.lookup(&Object::key_bytes(1)).unwrap();
    let bytes = record.body(100..20_000).unwrap().into_bytes();
    drop((record, reader));
    let part = bytes.slice(900..);
    let (release, released) = mpsc::channel::<()>();
    let elsewhere = std::thread::spawn(move || {
        released.recv().unwrap();
        assert!(*bytes == held.body()[100..]);
        drop(bytes);
    });
    for version in 0..300 {
        put_now(&writer, Object { key: 2, version, body_bytes: 25_000 }).unwrap();
        assert!(*part == held.body()[1000..]);
    }
    assert!(block_on_ready(writer.make_room()));
    assert_eq!(store.stats().segments_retiring, 1, "the reclaimer waits for both clones");
    drop(part);
    assert!(block_on_ready(writer.make_room()));
    assert_eq!(store.stats().segments_retiring, 1);
    release.send(()).unwrap();
    elsewhere.join().unwrap();
    assert!(block_on_ready(writer.make_room()));
    assert_eq!(store.stats().segments_retiring, 0);
}

#[test]
fn a_store_pinned_all_over_refuses_and_recovers() {
    let folder = scratch();
    let (store, writer) = open(folder.path());
    let reader = store.reader(0);
    let mut held = Vec::new();
    let mut version = 0;
    let refused = loop {
        version += 1;
        assert!(version < 100, "pins hold the store");
        let object = Object { key: version as u32, version, body_bytes: 30_000 };
        match put_now(&writer, object) {
            Ok(_) => {
                let record = reader.lookup(&Object::key_bytes(object.key)).unwrap();
                held.push((object, record.body(0..30_000).unwrap()));
            }
            Err(Failed::Refused(refused)) => break refused,
            Err(Failed::Write(error)) => panic!("{error}"),
        }
    };
    assert_eq!(refused, Refused::NoCleanSegment);
    assert!(!block_on_ready(writer.make_room()));
    held.iter().for_each(|(object, slice)| assert!(**slice == *object.body()));
    held.clear();
    // Nobody tells the writer that pins have fallen: the next draft finds it out.
    put_now(&writer, Object { key: 1, version: 9999, body_bytes: 30_000 }).unwrap();
}

#[test]
fn a_purge_needs_no_room_among_objects() {
    let folder = scratch();
    let (store, writer) = open(folder.path());
    let reader = store.reader(0);
    let mut held = Vec::new();
    for version in 1..100 {
        let object = Object { key: version as u32, version, body_bytes: 32_700 };
        if put_now(&writer, object).is_err() {
            break;
        }
        held.push(reader.lookup(&Object::key_bytes(object.key)).unwrap());
    }
    assert!((10..99).contains(&held.len()), "{} were stored", held.len());
    for _ in 0..300 {
        assert_eq!(block_on_ready(writer.remove(&Object::key_bytes(77))), Ok(false));
    }
}

#[test]
fn a_growing_body_is_readable_from_another_thread() {
    // One record, then two slices.
    grow_before_a_reader(30_000);
    grow_before_a_reader(50_000);
}

fn grow_before_a_reader(body_bytes: usize) {
    let folder = scratch();
    let (store, writer) = open(folder.path());
    let object = Object { key: 1, version: 1, body_bytes };
    let end = body_bytes as u64;
    let (sender, receiver) = mpsc::channel::<Extent>();
    let store = &store;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let reader = store.reader(1);
            let extent = receiver.recv().unwrap();
            let body = object.body();
            let mut seen = 0;
            while seen < end {
                let written = extent.written();
                let read = written.min((seen / extent.grain() + 1).saturating_mul(extent.grain()));
                let slice = reader.extent(&extent, seen..read).unwrap();
                assert!(*slice == body[seen as usize..read as usize]);
                assert!(read == written || reader.extent(&extent, seen..read + 1).is_none());
                seen = read;
            }
            assert!(reader.extent(&extent, 0..end + 1).is_none());
        });
        block_on_ready(async {
            let parts = object.parts();
            let mut pending = writer.begin(parts.draft()).unwrap();
            sender.send(pending.extent()).unwrap();
            for (number, piece) in parts.body.chunks(777).enumerate() {
                writer.append(&mut pending, piece).await.unwrap();
                if number % 5 == 0 {
                    writer.flush(&mut pending).await.unwrap();
                    assert_eq!(pending.written(), end - pending.remaining());
                }
            }
            writer.commit(pending).await.unwrap();
        });
    });
}

#[test]
fn a_draft_too_slow_for_the_log_is_told_so() {
    let folder = scratch();
    let (store, writer) = open(folder.path());
    let reader = store.reader(0);
    let (key, body) = (Object::key_bytes(1), [7; 100]);
    let draft = Draft::new(&key, b"", 200);
    let mut pending = writer.begin(draft).unwrap();
    block_on_ready(writer.append(&mut pending, &body)).unwrap();
    block_on_ready(writer.flush(&mut pending)).unwrap();
    let extent = pending.extent();
    assert!(reader.extent(&extent, 0..100).is_some());
    for version in 0..60 {
        put_now(&writer, Object { key: 2, version, body_bytes: 30_000 }).unwrap();
    }
    assert!(reader.extent(&extent, 0..100).is_none());
    let late = block_on_ready(writer.append(&mut pending, &body));
    assert_eq!(late, Err(WriteError::Reclaimed));
    assert_eq!(block_on_ready(writer.commit(pending)).err(), Some(WriteError::Reclaimed));
    assert!(get(&reader, 1).is_none());
}

#[test]
fn readers_on_threads_never_see_a_wrong_byte_while_segments_are_recycled() {
    let folder = scratch();
    let (store, _) = Store::open(&tiny(folder.path())).unwrap();
    let stop = AtomicBool::new(false);
    let hits = AtomicU64::new(0);
    let reclaimed = std::thread::scope(|scope| {
        for row in 0..3 {
            let (store, stop, hits) = (&store, &stop, &hits);
            scope.spawn(move || read_for_ever(store, row, stop, hits));
        }
        // A panic here would wait for the readers for ever.
        let stopped = Stop(&stop);
        let device = longhold_store::FileDevice::with_pool(&store, 6, 16_384).unwrap();
        let writer = longhold_store::Writer::new(&store, device).unwrap();
        let mut random = Random(3);
        let end = std::time::Instant::now() + std::time::Duration::from_secs(3);
        let mut version = 0;
        while std::time::Instant::now() < end {
            version += 1;
            let key = random.below(20) as u32;
            let object = Object { key, version, body_bytes: random.below(20_000) as usize };
            if put_now(&writer, object).is_err() {
                // All pinned for a moment.
                std::thread::yield_now();
                block_on_ready(writer.make_room());
            }
        }
        drop(stopped);
        store.stats().reclaimed
    });
    assert!(reclaimed > 100 && hits.load(Ordering::Relaxed) > 1000, "{reclaimed} {hits:?}");
    assert_eq!(store.stats().damaged, 0);
}

/// Ends the readers when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn read_for_ever(store: &Store, row: usize, stop: &AtomicBool, hits: &AtomicU64) {
    let reader = store.reader(row);
    let mut random = Random(row as u64 + 100);
    let mut held = std::collections::VecDeque::new();
    while !stop.load(Ordering::Relaxed) {
        let key = random.below(20) as u32;
        let Some(record) = reader.lookup(&Object::key_bytes(key)) else { continue };
        let object = Object::from_record(key, &record).expect("no byte was damaged");
        hits.fetch_add(1, Ordering::Relaxed);
        if random.chance(20) {
            held.push_back((object, record.body(0..record.body_len()).unwrap()));
        }
        if held.len() > 6 {
            let (object, slice) = held.pop_front().unwrap();
            assert!(*slice == *object.body(), "ST-5: {object:?} changed while it was pinned");
        }
    }
}
