//! Opening: locks, versions, sizes, damage. Each refusal is its own, and changes nothing.

use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use longhold_store::{
    Config, ConfigError, Draft, FileDevice, OpenError, Refused, Store, Writer, block_on_ready,
};

use crate::support::{Object, get, open, put_now, scratch, tiny};

fn refusal(config: &Config) -> OpenError {
    match Store::open(config) {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

fn in_memory() -> Store {
    Store::open(&Config { pin_rows: 8, ..Config::in_memory(1 << 20) }).unwrap().0
}

fn patch(path: &Path, at: u64, bytes: &[u8]) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

#[test]
fn a_store_is_found_again() {
    let folder = scratch();
    let path = folder.path().join("deep/cache");
    let object = Object { key: 5, version: 1, body_bytes: 12_345 };
    let (_, report) = Store::open(&tiny(&path)).unwrap();
    assert!(report.created);
    {
        let (_store, writer) = open(&path);
        put_now(&writer, object).unwrap();
    }
    let (store, report) = Store::open(&tiny(&path)).unwrap();
    assert!(!report.created);
    assert_eq!((report.objects, report.records_walked, report.segments_footed), (1, 1, 0));
    assert_eq!(get(&store.reader(0), 5), Some(object));
    drop(store);
    for name in ["super.0", "super.1", "data", "lock"] {
        let mode = std::fs::metadata(path.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} holds or guards a secret");
    }
}

#[test]
fn a_sealed_store_is_found_by_its_footers_and_goes_on_where_it_was() {
    let folder = scratch();
    let (mut version, mut used) = (0, Vec::new());
    for _ in 0..40 {
        let (store, writer) = open(folder.path());
        let reader = store.reader(0);
        if version > 0 {
            assert!(get(&reader, version as u32).is_some());
        }
        version += 1;
        let object = Object { key: version as u32, version, body_bytes: 500 };
        put_now(&writer, object).unwrap();
        block_on_ready(writer.seal()).unwrap();
        used.push(store.stats().segments_open + store.stats().segments_sealed);
    }
    assert_eq!(used.last(), Some(&1), "restarts do not eat segments");
    let (store, report) = Store::open(&tiny(folder.path())).unwrap();
    assert_eq!((report.objects, report.records_walked, report.segments_footed), (40, 0, 1));
    assert_eq!(store.stats().objects, 40);
}

#[test]
fn the_second_opener_is_told_who_it_is() {
    let folder = scratch();
    let (store, _) = Store::open(&tiny(folder.path())).unwrap();
    let error = refusal(&tiny(folder.path()));
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("in use by another process"), "{error}");
    let reader = store.reader(0);
    drop(store);
    assert!(matches!(refusal(&tiny(folder.path())), OpenError::Locked { .. }));
    drop(reader);
    Store::open(&tiny(folder.path())).unwrap();
}

#[test]
fn another_version_is_refused_and_kept() {
    let folder = scratch();
    drop(open(folder.path()));
    let before = std::fs::read(folder.path().join("data")).unwrap();
    patch(&folder.path().join("super.0"), 8, &9u32.to_le_bytes());
    patch(&folder.path().join("super.1"), 8, &9u32.to_le_bytes());
    let error = refusal(&tiny(folder.path()));
    assert!(matches!(error, OpenError::WrongVersion { found: 9, expected: 2, .. }), "{error}");
    assert_eq!(before, std::fs::read(folder.path().join("data")).unwrap());
}

#[test]
fn a_disk_too_small_is_said_at_once_and_leaves_nothing() {
    let folder = scratch();
    let path = folder.path().join("cache");
    let config = Config { index_slots: 1024, ..Config::new(&path, 60 << 40) };
    let error = refusal(&config);
    let OpenError::DiskFull { needed, available, .. } = &error else { panic!("{error}") };
    assert!(*needed >= 60 << 40 && available < needed, "{error}");
    assert!(!path.exists());
}

#[test]
fn another_size_is_refused() {
    let folder = scratch();
    drop(open(folder.path()));
    let error = refusal(&Config::new(folder.path(), 2 << 20));
    assert!(matches!(error, OpenError::GeometryChanged { .. }), "{error}");
    assert!(error.to_string().contains("restore the old size"), "{error}");
}

#[test]
fn one_whole_super_block_is_enough_and_none_is_not() {
    let folder = scratch();
    let object = Object { key: 1, version: 1, body_bytes: 100 };
    {
        let (_store, writer) = open(folder.path());
        put_now(&writer, object).unwrap();
    }
    for name in ["super.0", "super.1"] {
        let whole = std::fs::read(folder.path().join(name)).unwrap();
        patch(&folder.path().join(name), 50, b"damage");
        let (store, _) = Store::open(&tiny(folder.path())).unwrap();
        assert_eq!(get(&store.reader(0), 1), Some(object));
        drop(store);
        std::fs::write(folder.path().join(name), whole).unwrap();
    }
    patch(&folder.path().join("super.0"), 50, b"damage");
    patch(&folder.path().join("super.1"), 50, b"damage");
    let error = refusal(&tiny(folder.path()));
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert!(folder.path().join("data").exists(), "nothing is removed for the operator");
}

#[test]
fn a_truncated_data_file_is_refused() {
    let folder = scratch();
    drop(open(folder.path()));
    let data = std::fs::File::options().write(true).open(folder.path().join("data")).unwrap();
    data.set_len(4096).unwrap();
    let error = refusal(&tiny(folder.path()));
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

#[test]
fn configs_that_cannot_be_are_refused() {
    let base = tiny("unused");
    let cases = [
        Config { segment_bytes: 100_000, ..base.clone() },
        Config { segment_bytes: 128 << 20, ..Config::new("unused", 1 << 34) },
        Config { segment_bytes: 65_536, ..Config::new("unused", 7 * 65_536) },
        Config { pin_rows: 0, ..base.clone() },
        Config { index_slots: 0, ..base.clone() },
    ];
    let found = cases.each_ref().map(|config| {
        let refusal = refusal(config);
        let OpenError::Config(error) = refusal else { panic!("{refusal}") };
        error
    });
    assert!(matches!(
        found,
        [
            ConfigError::SegmentBytes { .. },
            ConfigError::SegmentBytes { .. },
            ConfigError::SegmentCount { .. },
            ConfigError::PinRows { .. },
            ConfigError::IndexSlots { .. },
        ]
    ));
    assert!(base.memory_bytes().unwrap() > 65_536);
    assert!(!Path::new("unused").exists());
}

#[test]
fn what_is_too_large_is_refused() {
    let folder = scratch();
    let (_store, writer) = open(folder.path());
    let long = vec![1; 70_000];
    let cases = [
        // Half of the store is the most.
        Draft::new(b"k", b"", 524_289),
        Draft::new(b"k", b"", u64::MAX),
        Draft::new(&long, b"", 0),
        Draft::new(b"k", &long, 0),
        Draft::new(&long, b"", 100_000),
        Draft::growing(b"k", &long),
    ];
    for draft in cases {
        assert_eq!(writer.begin(draft).err(), Some(Refused::TooLarge));
    }
}

#[test]
fn there_is_one_writer_at_a_time() {
    let folder = scratch();
    let (store, writer) = open(folder.path());
    assert!(Writer::new(&store, FileDevice::new(&store).unwrap()).is_err());
    let pending = writer.begin(Draft::new(b"k", b"", 1)).unwrap();
    drop(writer);
    assert!(Writer::new(&store, FileDevice::new(&store).unwrap()).is_err());
    drop(pending);
    let writer = Writer::new(&store, FileDevice::new(&store).unwrap()).unwrap();
    let object = Object { key: 1, version: 1, body_bytes: 10 };
    put_now(&writer, object).unwrap();
    assert_eq!(get(&store.reader(0), 1), Some(object));
}

#[test]
#[should_panic(expected = "reader row 0 is out of range or in use")]
fn a_row_is_taken_once() {
    let store = in_memory();
    let _first = store.reader(0);
    let _second = store.reader(0);
}

#[test]
fn a_row_is_free_again_after_the_last_pin_of_its_reader() {
    let store = in_memory();
    let writer = Writer::new(&store, FileDevice::new(&store).unwrap()).unwrap();
    put_now(&writer, Object { key: 1, version: 1, body_bytes: 10 }).unwrap();
    let reader = store.reader(0);
    let record = reader.lookup(&Object::key_bytes(1)).unwrap();
    drop(reader);
    let taken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| store.reader(0)));
    assert!(taken.is_err(), "a record still pins with this row");
    drop(record);
    let _again = store.reader(0);
}

#[test]
fn a_store_in_memory_works_alike() {
    let store = in_memory();
    let writer = Writer::new(&store, FileDevice::new(&store).unwrap()).unwrap();
    let reader = store.reader(0);
    for version in 0..200 {
        let object = Object { key: version as u32, version, body_bytes: 9000 };
        put_now(&writer, object).unwrap();
        assert_eq!(get(&reader, version as u32), Some(object));
    }
    assert_eq!(block_on_ready(writer.remove(&Object::key_bytes(199))), Ok(true));
    assert_eq!(get(&reader, 199), None);
    let stats = store.stats();
    assert_eq!((stats.hits, stats.misses, stats.committed, stats.purges), (200, 1, 200, 1));
}

/// Else it would give out numbers again, and newer records would count as older than old purges.
#[test]
fn no_sequence_comes_twice_when_a_super_block_is_lost() {
    for name in ["super.0", "super.1"] {
        let folder = scratch();
        let mut last = 0;
        for _ in 0..3 {
            let (store, writer) = open(folder.path());
            let object = Object { key: 1, version: 1, body_bytes: 10 };
            let sequence = put_now(&writer, object).unwrap().sequence;
            assert!(sequence > last, "ST-4: {sequence} after {last}, without {name}");
            last = sequence;
            block_on_ready(writer.remove(&Object::key_bytes(1))).unwrap();
            put_now(&writer, object).unwrap();
            assert!(get(&store.reader(0), 1).is_some());
            drop((store, writer));
            std::fs::write(folder.path().join(name), [0xee; 4096]).unwrap();
        }
    }
}

/// The same when both were put back from a copy: what lies in the data file knows better.
#[test]
fn no_sequence_comes_twice_when_the_super_blocks_are_of_an_earlier_day() {
    // Told by a snapshot and footers, by a purge, and by the walk.
    for last in ["seal", "purge", "walk"] {
        let folder = scratch();
        drop(open(folder.path()));
        let older = ["super.0", "super.1"].map(|name| {
            let path = folder.path().join(name);
            (std::fs::read(&path).unwrap(), path)
        });
        let object = Object { key: 1, version: 1, body_bytes: 10 };
        let mut before = 0;
        for _ in 0..3 {
            let (_store, writer) = open(folder.path());
            before = put_now(&writer, object).unwrap().sequence;
            match last {
                "purge" => {
                    block_on_ready(writer.remove(&Object::key_bytes(1))).map(|_| ()).unwrap()
                }
                "seal" => block_on_ready(writer.seal()).unwrap(),
                _ => {}
            }
        }
        older.iter().for_each(|(bytes, path)| std::fs::write(path, bytes).unwrap());
        let (store, writer) = open(folder.path());
        assert_eq!(get(&store.reader(0), 1), (last != "purge").then_some(object), "{last}");
        let newer = Object { version: 2, ..object };
        let after = put_now(&writer, newer).unwrap().sequence;
        assert!(after > before, "ST-4: {after} after {before}, {last}");
        drop((store, writer));
        let (store, _writer) = open(folder.path());
        assert_eq!(get(&store.reader(0), 1), Some(newer), "{last}");
    }
}
