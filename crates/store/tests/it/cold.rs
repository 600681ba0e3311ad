//! Records that have left memory: they are told, not touched, and verified anew when they are back.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use longhold_store::{Config, FileDevice, Found, ReadError, Store, Window, Writer};

use crate::support::{Object, disk_scratch, find_paging, get, open, put_now, tiny};

fn small(key: u32) -> Object {
    Object { key, version: 1, body_bytes: 700 }
}

/// Changes one byte of the only place where `needle` lies in the data file.
fn flip(path: &Path, needle: &[u8], at: usize) {
    let file = OpenOptions::new().read(true).write(true).open(path.join("data")).unwrap();
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let first = needle[0];
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
    let mut found = starts.filter(|(start, _)| bytes[*start..].starts_with(needle));
    let start = found.next().expect("it is in the file").0;
    assert!(found.next().is_none(), "it is there once");
    file.write_all_at(&[bytes[start + at] ^ 1], (start + at) as u64).unwrap();
}

#[test]
fn a_dropped_record_is_cold_until_it_is_paged_in() {
    let folder = disk_scratch();
    let (store, writer) = open(folder.path());
    let reader = store.reader(0);
    for (key, body_bytes) in [(1, 700), (2, 0), (3, 40_000)] {
        let object = Object { key, version: 1, body_bytes };
        put_now(&writer, object).unwrap();
        let (record, paged) = find_paging(&store, &reader, key);
        assert!(record.is_some() && paged == 0, "what was just written is in memory");
        assert!(store.drop_pages(&Object::key_bytes(key)).unwrap());
        let stats = store.stats();
        assert!(matches!(reader.find(&Object::key_bytes(key)), Found::Cold(_)));
        assert!(matches!(reader.find(&Object::key_bytes(key)), Found::Cold(_)));
        assert_eq!(store.stats(), stats, "cold is neither hit nor miss");
        let (record, paged) = find_paging(&store, &reader, key);
        assert_eq!(Object::from_record(key, &record.unwrap()), Some(object));
        assert!(paged > 0);
    }
    assert!(!store.drop_pages(&Object::key_bytes(9)).unwrap());
}

#[test]
fn a_thread_that_may_wait_reads_cold_records_by_itself() {
    let folder = disk_scratch();
    let (store, writer) = open(folder.path());
    let reader = store.reader(0);
    let object = Object { key: 3, version: 1, body_bytes: 40_000 };
    put_now(&writer, object).unwrap();
    for _ in 0..20 {
        assert!(store.drop_pages(&Object::key_bytes(3)).unwrap());
        assert_eq!(get(&reader, 3), Some(object));
    }
    assert_eq!((store.stats().damaged, store.stats().hits), (0, 20));
}

#[test]
fn what_comes_back_different_is_damaged_though_it_was_verified_before() {
    let folder = disk_scratch();
    let (store, writer) = open(folder.path());
    let reader = store.reader(0);
    // Both lie in one block: one that is asked for brings the other one with it.
    let (asked, beside) = (small(1), small(2));
    put_now(&writer, asked).unwrap();
    put_now(&writer, beside).unwrap();
    assert_eq!((get(&reader, 1), get(&reader, 2)), (Some(asked), Some(beside)));
    assert!(store.drop_pages(&Object::key_bytes(1)).unwrap());
    flip(folder.path(), &beside.body(), 500);
    assert_eq!(get(&reader, 1), Some(asked));
    let (found, paged) = find_paging(&store, &reader, 2);
    assert!(found.is_none() && paged == 0, "it came with the other one");
    assert_eq!(store.stats().damaged, 1);
    assert_eq!(get(&reader, 1), Some(asked));
}

#[test]
fn a_record_that_was_read_often_is_verified_at_each_lookup() {
    let folder = disk_scratch();
    let (store, writer) = open(folder.path());
    let reader = store.reader(0);
    put_now(&writer, small(1)).unwrap();
    for _ in 0..20 {
        assert!(store.drop_pages(&Object::key_bytes(1)).unwrap());
        assert_eq!(get(&reader, 1), Some(small(1)));
    }
    flip(folder.path(), &small(1).body(), 1);
    assert_eq!(get(&reader, 1), None);
}

/// A store with one object of five chunks.
fn large(path: &Path) -> (Store, Object) {
    let sizes = (1 << 20, 512 << 10);
    let config =
        Config { segment_bytes: sizes.0, slice_bytes: sizes.1, ..Config::new(path, 8 << 20) };
    let (store, _) = Store::open(&config).unwrap();
    let object = Object { key: 1, version: 1, body_bytes: 300_000 };
    let device = FileDevice::new(&store).unwrap();
    put_now(&Writer::new(&store, device).unwrap(), object).unwrap();
    (store, object)
}

#[test]
fn a_large_body_comes_window_by_window() {
    let folder = disk_scratch();
    let (store, object) = large(folder.path());
    let reader = store.reader(0);
    assert!(store.drop_pages(&Object::key_bytes(1)).unwrap());
    let record = find_paging(&store, &reader, 1).0.unwrap();
    let (mut body, mut paged) = (Vec::new(), 0);
    while body.len() < object.body_bytes {
        match record.window(body.len() as u64, 100_000).unwrap() {
            Window::Ready(slice) => {
                assert!(!slice.is_empty() && slice.len() <= 100_000);
                let start = body.len();
                body.resize(start + slice.len(), 0);
                slice.copy_to(0, &mut body[start..]).unwrap();
            }
            Window::Cold(cold) => {
                store.page_in(&cold).unwrap();
                paged += 1;
            }
        }
    }
    // The first 256 KiB came with the head.
    assert!(body == object.body() && paged >= 1, "{paged} page-ins");
    assert_eq!(record.window(300_001, 5).err(), Some(ReadError::OutOfRange));
}

#[test]
fn a_chunk_that_comes_back_different_ends_the_response() {
    let folder = disk_scratch();
    let (store, object) = large(folder.path());
    let reader = store.reader(0);
    let record = reader.lookup(&Object::key_bytes(1)).unwrap();
    assert!(*record.body(0..300_000).unwrap() == *object.body());
    assert!(store.drop_pages(&Object::key_bytes(1)).unwrap());
    flip(folder.path(), &object.body()[200_000..200_064], 0);
    assert!(record.body(0..131_072).is_ok());
    assert_eq!(record.body(131_072..300_000).err(), Some(ReadError::Damaged));
    assert!(reader.lookup(&Object::key_bytes(1)).is_none());
}

#[test]
fn a_growing_body_that_has_left_memory_is_told() {
    let folder = disk_scratch();
    let (store, writer) = open(folder.path());
    let reader = store.reader(0);
    longhold_store::block_on_ready(async {
        let object = Object { key: 1, version: 1, body_bytes: 20_000 };
        let (key, head, body) = (Object::key_bytes(1), object.head(), object.body());
        let draft = longhold_store::Draft::new(&key, &head, 20_000);
        let mut pending = writer.begin(draft).unwrap();
        writer.append(&mut pending, &body[..16_384]).await.unwrap();
        let extent = pending.extent();
        let written = extent.written();
        assert!(written > 0, "blocks of 8 KiB are written as they fill");
        assert!(reader.extent_window(&extent, 0..written + 1).is_none(), "it is not there yet");
        let window = reader.extent_window(&extent, 0..written).unwrap();
        let Window::Ready(slice) = window else { panic!("it was just written") };
        assert!(*slice == body[..written as usize]);
        writer.append(&mut pending, &body[16_384..]).await.unwrap();
        writer.commit(pending).await.unwrap();
        assert!(store.drop_pages(&key).unwrap());
        let Some(Window::Cold(cold)) = reader.extent_window(&extent, 0..20_000) else {
            panic!("it is gone")
        };
        store.page_in(&cold).unwrap();
        let Some(Window::Ready(slice)) = reader.extent_window(&extent, 0..20_000) else {
            panic!("it is back")
        };
        assert!(*slice == *body);
    });
}

#[test]
fn a_store_that_is_opened_on_a_cold_file_serves_after_paging_in() {
    let folder = disk_scratch();
    let objects: Vec<Object> = (0..40).map(small).collect();
    {
        let (_store, writer) = open(folder.path());
        objects.iter().for_each(|object| {
            put_now(&writer, *object).unwrap();
        });
    }
    let file = OpenOptions::new().read(true).open(folder.path().join("data")).unwrap();
    file.sync_all().unwrap();
    let (store, _) = Store::open(&tiny(folder.path())).unwrap();
    let reader = store.reader(0);
    for object in &objects {
        store.drop_pages(&Object::key_bytes(object.key)).unwrap();
    }
    let mut paged = 0;
    for object in &objects {
        let (record, times) = find_paging(&store, &reader, object.key);
        assert_eq!(Object::from_record(object.key, &record.unwrap()), Some(*object));
        paged += times;
    }
    // Some forty kilobytes: a few blocks, not a page-in for each record.
    assert!((1..12).contains(&paged), "{paged} page-ins");
}
