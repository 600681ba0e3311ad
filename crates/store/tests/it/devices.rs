//! Several devices in one store: spread, growth, shrinking, strangers, and those left behind.

use std::path::Path;

use longhold_store::{Config, FileDevice, OpenError, RecoveryReport, Store, Writer};

use crate::support::{Object, get, put_now, scratch};

fn config(folder: &Path, names: &[&str]) -> Config {
    let [first, more @ ..] = names else { panic!("no device") };
    let one = Config::new(folder.join(first), 1 << 20);
    let all = more.iter().fold(one, |config, name| config.with_device(folder.join(name), 1 << 20));
    Config { pin_rows: 4, index_slots: 8192, ..all }
}

fn open(folder: &Path, names: &[&str]) -> (Store, Writer<FileDevice>, RecoveryReport) {
    let (store, report) = Store::open(&config(folder, names)).unwrap();
    let device = FileDevice::with_pool(&store, 6, 16_384).unwrap();
    let writer = Writer::new(&store, device).unwrap();
    (store, writer, report)
}

fn put_all(writer: &Writer<FileDevice>, keys: std::ops::Range<u32>, version: u64) {
    for key in keys {
        put_now(writer, Object { key, version, body_bytes: 3000 }).unwrap();
    }
}

fn found(store: &Store, keys: std::ops::Range<u32>) -> usize {
    let reader = store.reader(0);
    keys.filter(|key| get(&reader, *key).is_some()).count()
}

#[test]
fn records_are_spread_over_all_devices_and_found_again_in_any_order() {
    let folder = scratch();
    {
        let (store, writer, _) = open(folder.path(), &["a", "b"]);
        put_all(&writer, 0..200, 1);
        assert_eq!(found(&store, 0..200), 200);
        assert!(store.stats().segments_open >= 2);
    }
    let (store, _, report) = open(folder.path(), &["b", "a"]);
    assert_eq!((report.objects, report.devices_voided), (200, 0));
    assert_eq!(found(&store, 0..200), 200);
}

#[test]
fn a_device_more_makes_room_and_one_less_takes_its_part_away() {
    let folder = scratch();
    drop(open(folder.path(), &["a"]));
    {
        let (store, writer, report) = open(folder.path(), &["a", "b"]);
        assert!(!report.created);
        put_all(&writer, 0..200, 1);
        assert_eq!(found(&store, 0..200), 200);
    }
    let (store, _, _) = open(folder.path(), &["b"]);
    let left = found(&store, 0..200);
    assert!((60..140).contains(&left), "{left}");
}

/// What was removed or replaced while a device was away must not come back with it.
#[test]
fn a_device_that_has_missed_an_open_comes_back_empty() {
    let folder = scratch();
    {
        let (_store, writer, _) = open(folder.path(), &["a", "b"]);
        put_all(&writer, 0..100, 1);
    }
    {
        let (_store, writer, _) = open(folder.path(), &["a"]);
        put_all(&writer, 0..100, 2);
    }
    for _ in 0..2 {
        let (store, _, report) = open(folder.path(), &["a", "b"]);
        assert_eq!(report.objects, 100, "{report:?}");
        let reader = store.reader(0);
        for key in 0..100 {
            assert_eq!(get(&reader, key).map(|object| object.version), Some(2), "key {key}");
        }
    }
}

/// The power went out between the super blocks of an open: nobody has missed anything.
#[test]
fn a_device_cut_off_from_an_open_keeps_what_it_has() {
    let folder = scratch();
    {
        let (_store, writer, _) = open(folder.path(), &["a", "b"]);
        put_all(&writer, 0..100, 1);
    }
    let names = ["super.0", "super.1"].map(|name| folder.path().join("b").join(name));
    let before = names.each_ref().map(|name| std::fs::read(name).unwrap());
    drop(open(folder.path(), &["a", "b"]));
    for (name, bytes) in names.iter().zip(before) {
        std::fs::write(name, bytes).unwrap();
    }
    let (store, _, report) = open(folder.path(), &["a", "b"]);
    assert_eq!((report.objects, report.devices_voided), (100, 0));
    assert_eq!(found(&store, 0..100), 100);
}

#[test]
fn a_device_of_another_store_is_refused_and_kept() {
    let folder = scratch();
    drop(open(folder.path(), &["a"]));
    drop(open(folder.path(), &["b"]));
    let Err(error) = Store::open(&config(folder.path(), &["a", "b"])) else { panic!("it opened") };
    assert!(matches!(error, OpenError::ForeignDevice { .. }), "{error}");
    assert!(error.to_string().contains("device of another store"), "{error}");
    drop(open(folder.path(), &["b"]));
}
