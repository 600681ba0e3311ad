//! ST-1, ST-6: damaged and forged bytes on disk are misses or errors, never other bytes.

use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use longhold_store::{Draft, ReadError, Store, Writer, block_on_ready};

use crate::support::{Object, Random, get, open, put_now, remove_now, scratch, tiny};

fn data(folder: &Path) -> std::fs::File {
    std::fs::File::options().read(true).write(true).open(folder.join("data")).unwrap()
}

/// Fills a store with objects of all sizes and closes it.
fn filled(folder: &Path, seal: bool) -> Vec<Object> {
    let (_store, writer) = open(folder);
    let sizes = [0, 1, 100, 5000, 32_768, 40_000, 900, 64, 20_000, 3, 10_000, 31_000];
    let mut objects = Vec::new();
    for (key, body_bytes) in (0..).zip(sizes) {
        let object = Object { key, version: 1, body_bytes };
        put_now(&writer, object).unwrap();
        objects.push(object);
    }
    if seal {
        block_on_ready(writer.seal()).unwrap();
    }
    objects
}

#[test]
fn flipped_bits_between_runs_are_never_served() {
    for seal in [false, true] {
        let folder = scratch();
        let objects = filled(folder.path(), seal);
        let clean = std::fs::read(folder.path().join("data")).unwrap();
        let used = clean.iter().rposition(|byte| *byte != 0).unwrap() as u64;
        let mut random = Random(7);
        for round in 0..150 {
            let mut bytes = clean.clone();
            for _ in 0..1 + random.below(1 + round % 40) {
                bytes[random.below(used) as usize] ^= 1 << random.below(8);
            }
            data(folder.path()).write_all_at(&bytes, 0).unwrap();
            let (store, _) = Store::open(&tiny(folder.path())).unwrap();
            let reader = store.reader(0);
            for object in &objects {
                // Panics on any wrong byte.
                let _ = get(&reader, object.key);
            }
        }
    }
}

#[test]
fn flipped_bits_under_an_open_store_are_caught_at_first_touch() {
    let folder = scratch();
    let objects = filled(folder.path(), true);
    let file = data(folder.path());
    let mut random = Random(8);
    for object in objects {
        let (store, _) = Store::open(&tiny(folder.path())).unwrap();
        let reader = store.reader(0);
        let mut bytes = vec![0; 1 << 20];
        file.read_exact_at(&mut bytes, 0).unwrap();
        // Of one in slices, the first.
        let mut body = object.body();
        body.truncate(32 << 10);
        if body.len() < 16 {
            continue;
        }
        let Some(at) = bytes.windows(body.len()).position(|window| window == body) else {
            continue;
        };
        let victim = at + random.below(body.len() as u64) as usize;
        file.write_all_at(&[bytes[victim] ^ 0x10], victim as u64).unwrap();
        // A body of one chunk is verified with its header, key and head.
        match reader.lookup(&Object::key_bytes(object.key)) {
            Some(root) => {
                let len = root.body_len();
                assert_eq!(root.piece(0, len).err(), Some(ReadError::Missing));
                assert_eq!(root.missing(0..len), Some(0..32 << 10));
            }
            None => assert!(object.body_bytes <= 32 << 10),
        }
        assert_eq!(store.stats().damaged, 1);
        file.write_all_at(&[bytes[victim]], victim as u64).unwrap();
        let again = reader.lookup(&Object::key_bytes(object.key));
        assert!(again.is_none_or(|root| !root.holds(0..1)), "dropped from the index");
    }
}

#[test]
fn chunks_of_a_large_body_are_verified_one_by_one() {
    let folder = scratch();
    let config = longhold_store::Config {
        segment_bytes: 1 << 20,
        slice_bytes: 512 << 10,
        ..longhold_store::Config::new(folder.path(), 8 << 20)
    };
    let object = Object { key: 1, version: 1, body_bytes: 300_000 };
    {
        let (store, _) = Store::open(&config).unwrap();
        let device = longhold_store::FileDevice::new(&store).unwrap();
        put_now(&Writer::new(&store, device).unwrap(), object).unwrap();
    }
    let file = data(folder.path());
    let bytes = std::fs::read(folder.path().join("data")).unwrap();
    let body = object.body();
    let at = bytes.windows(64).position(|window| window == &body[..64]).unwrap();
    assert_eq!(at % 4096, 0, "large bodies begin at a page");
    file.write_all_at(&[!bytes[at + 150_000]], at as u64 + 150_000).unwrap();

    let (store, _) = Store::open(&config).unwrap();
    let reader = store.reader(0);
    let record = reader.lookup(&Object::key_bytes(1)).unwrap();
    for range in [0..1, 0..131_072, 65_535..65_537, 196_608..300_000, 299_999..300_000] {
        let slice = record.body(range.start as u64..range.end as u64).unwrap();
        assert!(slice[..] == body[range]);
    }
    assert_eq!(record.body(131_071..131_073).err(), Some(ReadError::Damaged));
    assert_eq!(record.body(0..300_001).err(), Some(ReadError::OutOfRange));
    assert!(record.body(5..5).unwrap().is_empty());
}

#[test]
fn a_record_inside_a_body_is_no_record() {
    // An object whose body is a whole segment's worth of real headers, records and footers of
    // this very store, at the alignment of real ones; then the outer header is destroyed.
    let folder = scratch();
    filled(folder.path(), true);
    let real = std::fs::read(folder.path().join("data")).unwrap();
    let first = real.windows(4).position(|window| window == b"LHr1").unwrap();
    let forged: Vec<u8> = real[first..first + 30_000].to_vec();
    let (key, head) = (b"the forger's".to_vec(), b"h".to_vec());
    let mut genuine = Vec::new();
    {
        let (_store, writer) = open(folder.path());
        // The genuine ones are removed, so that whatever comes back came out of a body.
        for key in 0..12 {
            remove_now(&writer, key).unwrap();
        }
        data(folder.path()).read_to_end(&mut genuine).unwrap();
        for pad in (0..64).step_by(8) {
            let mut body = vec![0; pad];
            body.extend_from_slice(&forged);
            block_on_ready(async {
                let draft = Draft::new(&key, &head, body.len() as u64);
                let mut pending = writer.begin(draft).unwrap();
                writer.append(&mut pending, &body).await.unwrap();
                writer.commit(pending).await.unwrap();
            });
        }
    }
    let whole = std::fs::read(folder.path().join("data")).unwrap();
    let headers = |bytes: &[u8], at: &usize| bytes[*at..].starts_with(b"LHr1");
    let places: Vec<usize> = (0..whole.len() / 64)
        .map(|unit| unit * 64)
        .filter(|at| headers(&whole, at) && !headers(&genuine, at))
        .collect();
    assert!(places.len() > 8, "outer headers, and the forged ones that are aligned");
    for destroyed in places {
        let mut bytes = whole.clone();
        bytes[destroyed] ^= 0xff;
        data(folder.path()).write_all_at(&bytes, 0).unwrap();
        let (store, _) = Store::open(&tiny(folder.path())).unwrap();
        let reader = store.reader(0);
        for key in 0..12 {
            assert_eq!(get(&reader, key), None, "out of a body, by {destroyed}");
        }
    }
}

#[test]
fn a_record_moved_to_another_place_is_no_record() {
    let folder = scratch();
    filled(folder.path(), false);
    let real = std::fs::read(folder.path().join("data")).unwrap();
    let places: Vec<usize> = (0..real.len() / 64)
        .map(|unit| unit * 64)
        .filter(|at| real[*at..].starts_with(b"LHr1"))
        .collect();
    for &from in &places {
        for &to in &places {
            let mut bytes = real.clone();
            let len = 2048.min(bytes.len() - from.max(to));
            bytes.copy_within(from..from + len, to);
            data(folder.path()).write_all_at(&bytes, 0).unwrap();
            let (store, _) = Store::open(&tiny(folder.path())).unwrap();
            let reader = store.reader(0);
            for key in 0..12 {
                let _ = get(&reader, key);
            }
        }
    }
}
