//! A data file that somebody else has cut: the process lives, the device goes offline, and what is
//! served is right or an error.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::mpsc;

use longhold_store::{
    Config, FileDevice, Found, PageInError, Pager, PagerBackend, PagerConfig, ReadError, Refused,
    Store, Window, Writer,
};

use crate::support::{Failed, Object, disk_scratch, find_paging, get, open, put_now};

fn cut(path: &Path) {
    let file = OpenOptions::new().write(true).open(path.join("data")).unwrap();
    file.set_len(0).unwrap();
}

#[test]
fn lookups_of_a_cut_file_are_misses() {
    let folder = disk_scratch();
    let (store, writer) = open(folder.path());
    let reader = store.reader(0);
    let object = Object { key: 1, version: 1, body_bytes: 20_000 };
    put_now(&writer, object).unwrap();
    assert_eq!(get(&reader, 1), Some(object));
    cut(folder.path());
    // Seen in memory a moment ago: this touches the page, and meets the fault.
    assert!(reader.lookup(&Object::key_bytes(1)).is_none());
    let stats = store.stats();
    assert_eq!((stats.devices_offline, stats.devices_unreadable, stats.damaged), (1, 1, 0));
    assert!(matches!(reader.find(&Object::key_bytes(1)), Found::Miss));
    let refused = put_now(&writer, Object { key: 2, ..object });
    assert!(matches!(refused, Err(Failed::Refused(Refused::Offline))), "{refused:?}");
}

#[test]
fn a_response_under_way_ends_with_an_error() {
    let folder = disk_scratch();
    let sizes = (1 << 20, 512 << 10);
    let config = Config {
        segment_bytes: sizes.0,
        slice_bytes: sizes.1,
        ..Config::new(folder.path(), 8 << 20)
    };
    let (store, _) = Store::open(&config).unwrap();
    let writer = Writer::new(&store, FileDevice::new(&store).unwrap()).unwrap();
    let reader = store.reader(0);
    let object = Object { key: 1, version: 1, body_bytes: 300_000 };
    put_now(&writer, object).unwrap();
    let record = reader.lookup(&Object::key_bytes(1)).unwrap();
    let Window::Ready(slice) = record.window(0, 100_000).unwrap() else { panic!("it is warm") };
    cut(folder.path());
    let mut into = vec![0; 100_000];
    assert_eq!(slice.copy_to(0, &mut into), Err(ReadError::Device));
    assert_eq!(slice.copy_to(1, &mut into), Err(ReadError::OutOfRange));
    assert_eq!(record.window(100_000, 100_000).err(), Some(ReadError::Device));
    assert_eq!(record.body(0..5).err(), Some(ReadError::Device));
    assert_eq!(store.stats().devices_unreadable, 1);
}

#[test]
fn what_cannot_be_paged_in_takes_its_device_offline_and_no_other() {
    for backend in [PagerBackend::Uring, PagerBackend::Threads] {
        let (cut_folder, folder) = (disk_scratch(), disk_scratch());
        let config = crate::support::tiny(cut_folder.path()).with_device(folder.path(), 1 << 20);
        let (store, _) = Store::open(&config).unwrap();
        let device = FileDevice::with_pool(&store, 6, 8192).unwrap();
        let writer = Writer::new(&store, device).unwrap();
        let reader = store.reader(0);
        let objects: Vec<Object> =
            (0..12).map(|key| Object { key, version: 1, body_bytes: 30_000 }).collect();
        objects.iter().for_each(|object| {
            put_now(&writer, *object).unwrap();
        });
        for object in &objects {
            store.drop_pages(&Object::key_bytes(object.key)).unwrap();
        }
        cut(cut_folder.path());
        let config = PagerConfig { backend: Some(backend), ..PagerConfig::default() };
        let Ok(pager) = Pager::start(&store, config) else { continue };
        let mut failures = 0;
        for object in &objects {
            let (said, heard) = mpsc::channel();
            if let Found::Cold(cold) = reader.find(&Object::key_bytes(object.key)) {
                pager.page_in(&cold, Box::new(move |outcome| said.send(outcome).unwrap())).unwrap();
                failures += u32::from(heard.recv().unwrap() == Err(PageInError::Device));
            }
        }
        assert_eq!(failures, 1, "the first one ends the device");
        assert_eq!(pager.stats().failed, 1);
        let left = objects.iter().filter(|object| {
            let record = find_paging(&store, &reader, object.key).0;
            record.is_some_and(|r| Object::from_record(object.key, &r) == Some(**object))
        });
        assert!((1..12).contains(&left.count()), "the other device serves");
        assert_eq!(store.stats().devices_unreadable, 1);
        // And takes what is new.
        put_now(&writer, Object { key: 77, version: 1, body_bytes: 30_000 }).unwrap();
    }
}

#[test]
fn a_write_into_a_cut_file_ends_its_device() {
    // The file grows again by the write, with zeros where records were, which no fault tells of.
    let folder = disk_scratch();
    let (store, writer) = open(folder.path());
    let reader = store.reader(0);
    let (old, new) = (1, 2);
    let object = |key| Object { key, version: 1, body_bytes: 20_000 };
    put_now(&writer, object(old)).unwrap();
    assert_eq!(get(&reader, old), Some(object(old)));
    cut(folder.path());
    assert!(put_now(&writer, object(new)).is_err());
    assert!(reader.lookup(&Object::key_bytes(old)).is_none());
    assert_eq!((store.stats().devices_unreadable, store.stats().damaged), (1, 0));
}

#[test]
fn the_log_goes_on_without_the_records_of_a_cut_file() {
    // Reclaiming reads footers and copies records: it must meet the fault, too.
    let folder = disk_scratch();
    let (store, writer) = open(folder.path());
    let reader = store.reader(0);
    for version in 0..30 {
        put_now(&writer, Object { key: version as u32, version, body_bytes: 25_000 }).unwrap();
        get(&reader, version as u32);
    }
    cut(folder.path());
    for version in 30..60 {
        if put_now(&writer, Object { key: version as u32, version, body_bytes: 25_000 }).is_err() {
            break;
        }
    }
    assert_eq!(get(&reader, 3), None);
}
