//! Looking at a closed store: what is damaged is told, what a crash leaves is not, and nothing on
//! disk changes.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use longhold_store::check::{CheckReport, DamageKind, Inspection};
use longhold_store::{OpenError, Store, block_on_ready};

use crate::support::{Object, Random, get, open, put_now, remove_now, scratch, tiny};

const SIZES: [usize; 12] = [0, 1, 100, 5000, 32_768, 40_000, 900, 64, 20_000, 3, 10_000, 31_000];

/// Fills a store with objects of all sizes and closes it.
fn filled(folder: &Path, seal: bool) -> Vec<Object> {
    let (_store, writer) = open(folder);
    let objects = (0..).zip(SIZES).map(|(key, body_bytes)| Object { key, version: 1, body_bytes });
    let objects: Vec<Object> = objects.collect();
    for object in &objects {
        put_now(&writer, *object).unwrap();
    }
    if seal {
        block_on_ready(writer.seal()).unwrap();
    }
    objects
}

fn check(folder: &Path) -> CheckReport {
    Inspection::open(&[folder.to_path_buf()]).unwrap().verify(&mut |_| {})
}

/// What is damaged, with the offset in its file.
fn damage(folder: &Path) -> Vec<(DamageKind, u64)> {
    check(folder).damage.iter().map(|damage| (damage.what, damage.offset)).collect()
}

fn bytes_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn flip(file: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x04], at).unwrap();
}

/// Where the `number`th of these bytes begins in the data file.
fn find(folder: &Path, wanted: &[u8], number: usize) -> u64 {
    let bytes = fs::read(folder.join("data")).unwrap();
    let mut places = bytes.windows(wanted.len()).enumerate();
    places.by_ref().filter(|(_, window)| *window == wanted).nth(number).unwrap().0 as u64
}

#[test]
fn whole_store_is_clean_and_stays_as_it_was() {
    for seal in [false, true] {
        let folder = scratch();
        filled(folder.path(), seal);
        let before = bytes_of(folder.path());
        let report = check(folder.path());
        assert_eq!(report.damage, []);
        assert!(report.is_clean());
        let device = &report.devices[0];
        // One of the twelve is in two slices.
        assert_eq!((device.records, device.unfinished), (14, 0), "{seal}");
        assert!(device.record_bytes > 140_000 && device.unreachable_bytes == 0);
        let mut steps = 0;
        let inspection = Inspection::open(&[folder.path().to_path_buf()]).unwrap();
        let stat = inspection.stat(&mut |progress| {
            steps += 1;
            assert_eq!(progress.done_bytes, steps << 16);
        });
        assert_eq!((steps, stat.objects, stat.dead_bytes), (16, 14, 0));
        assert_eq!(
            (device.snapshots, stat.devices[0].snapshots),
            (u32::from(seal), device.snapshots)
        );
        assert_eq!(stat.live_bytes, device.record_bytes);
        assert_eq!(stat.sizes.objects, [6, 1, 3, 4, 0, 0, 0, 0, 0]);
        assert_eq!(stat.ages.bytes.iter().sum::<u64>(), stat.live_bytes);
        assert_eq!(stat.fill.iter().sum::<u32>(), stat.devices[0].segments_used);
        assert!(before == bytes_of(folder.path()), "the store was changed");
    }
}

#[test]
fn each_kind_of_damage_is_named_with_its_place() {
    let folder = scratch();
    let objects = filled(folder.path(), true);
    let data = folder.path().join("data");
    let key = find(folder.path(), &Object::key_bytes(3), 0);
    let body = find(folder.path(), &objects[4].body(), 0);
    let trailer = find(folder.path(), b"LHf1", 0);
    let segment = find(folder.path(), b"LHs1", 0);
    for (at, what, told) in [
        (key - 96 + 20, DamageKind::RecordHeader, key - 96),
        (key + 3, DamageKind::Record, key - 96),
        (body + 777, DamageKind::Body, body),
        (trailer + 8, DamageKind::Footer, trailer),
        (segment + 20, DamageKind::SegmentHeader, segment),
    ] {
        flip(&data, at);
        assert_eq!(damage(folder.path()), [(what, told)]);
        flip(&data, at);
    }
    // The first image of two is broken, and there is no other.
    flip(&data, 100);
    assert_eq!(check(folder.path()).devices[0].snapshots, 0);
    assert_eq!(damage(folder.path()), []);
    flip(&data, 100);
    let other = folder.path().join("super.0");
    flip(&other, 100);
    let report = check(folder.path());
    assert_eq!((report.damage.len(), report.damage[0].what), (1, DamageKind::SuperBlock));
    assert_eq!(report.damage[0].file, other);
}

/// In a store that was killed the log of the open segment is known by its headers alone.
#[test]
fn damage_behind_the_last_footer_is_found_as_far_as_it_can_be_told() {
    let folder = scratch();
    let body = {
        let (_store, writer) = open(folder.path());
        for key in 0..4 {
            put_now(&writer, Object { key, version: 1, body_bytes: 5000 }).unwrap();
        }
        Object { key: 1, version: 1, body_bytes: 5000 }.body()
    };
    let data = folder.path().join("data");
    let key = find(folder.path(), &Object::key_bytes(1), 0);
    let body = find(folder.path(), &body, 0);
    for (at, what, told) in [
        (key - 96 + 1, DamageKind::RecordHeader, key - 96),
        (key - 96 + 9, DamageKind::RecordHeader, key - 96),
        (key - 96 + 20, DamageKind::RecordHeader, key - 96),
        (key + 3, DamageKind::Record, key - 96),
        (body + 777, DamageKind::Body, body),
    ] {
        flip(&data, at);
        assert_eq!(damage(folder.path()), [(what, told)], "{at}");
        let lost = check(folder.path()).devices[0].unreachable_bytes;
        // Behind it lie two more records.
        assert_eq!(lost > 15_000, what == DamageKind::RecordHeader, "{lost} bytes are lost");
        flip(&data, at);
    }
}

/// Whatever bit is flipped: it is told, or it was one that nobody reads.
#[test]
fn no_flipped_bit_goes_unnoticed_that_could_cost_an_object() {
    let folder = scratch();
    let objects = filled(folder.path(), true);
    let clean = fs::read(folder.path().join("data")).unwrap();
    let first = find(folder.path(), b"LHs1", 0);
    let used = clean.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    let (mut random, mut told) = (Random(11), 0);
    for _ in 0..200 {
        let at = first + random.below(used - first);
        flip(&folder.path().join("data"), at);
        if check(folder.path()).is_clean() {
            let copy = scratch();
            for (path, bytes) in bytes_of(folder.path()) {
                fs::write(copy.path().join(path.file_name().unwrap()), bytes).unwrap();
            }
            let (store, _) = Store::open(&tiny(copy.path())).unwrap();
            let reader = store.reader(0);
            let all = objects.iter().all(|object| get(&reader, object.key) == Some(*object));
            assert!(all, "a flipped bit at {at} costs an object, and nobody says so");
        } else {
            told += 1;
        }
        flip(&folder.path().join("data"), at);
    }
    assert!(told > 20, "{told} of 200");
}

#[test]
fn what_a_crash_leaves_is_no_damage() {
    let folder = scratch();
    {
        let (_store, writer) = open(folder.path());
        let whole = Object { key: 1, version: 1, body_bytes: 3000 };
        put_now(&writer, whole).unwrap();
        let parts = Object { key: 2, version: 1, body_bytes: 20_000 }.parts();
        let mut pending = writer.begin(parts.draft()).unwrap();
        block_on_ready(writer.append(&mut pending, &parts.body[..9000])).unwrap();
        put_now(&writer, Object { key: 3, ..whole }).unwrap();
    }
    let report = check(folder.path());
    assert_eq!(report.damage, []);
    let device = &report.devices[0];
    assert_eq!((device.records, device.unfinished), (2, 1));
    assert!(device.unfinished_bytes > 20_000);
}

#[test]
fn dead_bytes_are_what_was_replaced_or_purged() {
    let folder = scratch();
    {
        let (_store, writer) = open(folder.path());
        for version in 1..=3 {
            put_now(&writer, Object { key: 1, version, body_bytes: 10_000 }).unwrap();
        }
        put_now(&writer, Object { key: 2, version: 1, body_bytes: 5000 }).unwrap();
        remove_now(&writer, 2).unwrap();
        block_on_ready(writer.seal()).unwrap();
    }
    let inspection = Inspection::open(&[folder.path().to_path_buf()]).unwrap();
    let stat = inspection.stat(&mut |_| {});
    assert_eq!((stat.objects, stat.purges.count()), (1, 1));
    assert!((10_000..11_000).contains(&stat.live_bytes), "{stat:?}");
    assert!((25_000..27_000).contains(&stat.dead_bytes), "{stat:?}");
    let config = inspection.config();
    drop(inspection);
    let (store, report) = Store::open(&config).unwrap();
    assert_eq!((report.objects, store.stats().objects), (1, 1));
}

#[test]
fn open_store_is_locked_and_two_may_look_at_once() {
    let folder = scratch();
    let paths = [folder.path().join("store")];
    let (store, writer) = open(&paths[0]);
    assert!(matches!(Inspection::open(&paths), Err(OpenError::Locked { .. })));
    drop((store, writer));
    let first = Inspection::open(&paths).unwrap();
    let second = Inspection::open(&paths).unwrap();
    assert!(matches!(Store::open(&tiny(&paths[0])), Err(OpenError::Locked { .. })));
    drop((first, second));
    drop(open(&paths[0]));
}

#[test]
fn what_is_no_store_is_left_alone() {
    let folder = scratch();
    let path = folder.path().join("none");
    let Err(OpenError::Io { source, .. }) = Inspection::open(std::slice::from_ref(&path)) else {
        panic!("it is there");
    };
    assert_eq!(source.kind(), ErrorKind::NotFound);
    assert!(!path.exists());
    assert!(matches!(Inspection::open(&[]), Err(OpenError::Config(_))));
    drop((open(&path), open(&folder.path().join("other"))));
    let strangers = [path, folder.path().join("other")];
    assert!(matches!(Inspection::open(&strangers), Err(OpenError::ForeignDevice { .. })));
}
