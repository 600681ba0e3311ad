//! ST-1 when the page cache has let go of what was verified, and the device gives back something
//! else: under load, wrong bytes are never served.
//!
//! Runs on a real file system: what is flipped is written past the page cache, which drops the
//! pages, mapped ones too, as memory pressure would.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use longhold_store::{Config, FileDevice, Reader, Store, Writer, block_on_ready};

use crate::support::{Object, Random, get, put_now};

/// Longer than a look at a page counts: within that time the store does not look again.
const LOOK: Duration = Duration::from_millis(3200);

#[test]
fn what_was_verified_and_comes_back_damaged_is_never_served() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { pin_rows: 8, index_slots: 4096, ..Config::new(folder.path(), 4 << 20) };
    let (store, _) = Store::open(&config).unwrap();
    let Some(file) = past_the_cache(&folder.path().join("data")) else {
        eprintln!("NOT RUN: {:?} is in memory, or has no O_DIRECT", folder.path());
        return;
    };
    let writer = Writer::new(&store, FileDevice::new(&store).unwrap()).unwrap();
    let reader = store.reader(0);
    // Bodies of one chunk and of several; the cold ones share no segment with the busy ones.
    let sizes = [100, 9000, 40_000, 64, 131_072, 3000, 0, 70_000];
    let object = |key: u32| Object { key, version: 1, body_bytes: sizes[key as usize % 8] };
    let cold: Vec<Object> = (0..24).map(object).collect();
    for object in &cold {
        put_now(&writer, *object).unwrap();
    }
    fill_segment(&writer);
    let busy: Vec<Object> = (100..116).map(object).collect();
    for object in &busy {
        put_now(&writer, *object).unwrap();
    }
    block_on_ready(writer.seal()).unwrap();
    let busy_from = busy_segment(&folder.path().join("data"), busy[0]);

    let (stop, hits) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut random = Random(11);
    let mut dropped = 0;
    std::thread::scope(|scope| {
        for row in 1..3 {
            let (store, stop, hits, busy) = (&store, &stop, &hits, &busy);
            scope.spawn(move || {
                let reader = store.reader(row);
                while !stop.load(Ordering::Relaxed) {
                    for object in busy {
                        assert_eq!(get(&reader, object.key), Some(*object));
                        hits.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let _stop = StopAtEnd(&stop);
        for _ in 0..2 {
            let before = found(&reader, &cold);
            let end = Instant::now() + LOOK;
            while Instant::now() < end {
                std::thread::yield_now();
            }
            flip(&file, busy_from, &mut random);
            // Panics on any wrong byte.
            dropped += before - found(&reader, &cold);
        }
    });
    assert!(dropped > 2, "{dropped} were hit by a flip");
    assert!(store.stats().damaged >= dropped as u64);
    assert!(hits.load(Ordering::Relaxed) > 100);
    // What was dropped can be stored again.
    for object in cold {
        put_now(&writer, object).unwrap();
        assert_eq!(get(&reader, object.key), Some(object));
    }
}

/// Stops the other threads when a test fails, too.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Objects that are there and whole.
fn found(reader: &Reader, objects: &[Object]) -> usize {
    objects.iter().filter(|object| get(reader, object.key) == Some(**object)).count()
}

/// So that what comes next is in another segment.
fn fill_segment(writer: &Writer<FileDevice>) {
    for key in 1000..1003 {
        put_now(writer, Object { key, version: 1, body_bytes: 150_000 }).unwrap();
    }
}

/// Where the segment of an object begins, or the one in front of it.
fn busy_segment(data: &Path, object: Object) -> u64 {
    let bytes = std::fs::read(data).unwrap();
    let body = object.body();
    let at = bytes.windows(64).position(|window| window == &body[..64]).unwrap() as u64;
    at.saturating_sub(256 << 10)
}

/// `None` where writing past the page cache does not drop pages: a file system in memory has
/// nothing else.
fn past_the_cache(path: &Path) -> Option<File> {
    if rustix::fs::statfs(path).ok()?.f_type == TMPFS {
        return None;
    }
    let flags = rustix::fs::OFlags::DIRECT.bits() as i32;
    let mut options = File::options();
    options.read(true).write(true).custom_flags(flags).open(path).ok()
}

/// Flips a bit of every sixth page in front of `end`; all pages are dropped.
fn flip(file: &File, end: u64, random: &mut Random) {
    let mut memory = vec![0u8; 3 * PAGE];
    let start = memory.as_ptr().align_offset(PAGE);
    let page = &mut memory[start..start + PAGE];
    for at in (0..end / PAGE as u64 * PAGE as u64).step_by(PAGE) {
        file.read_exact_at(page, at).unwrap();
        if random.chance(15) {
            page[random.below(PAGE as u64) as usize] ^= 1 << random.below(8);
        }
        file.write_all_at(page, at).unwrap();
    }
}

const PAGE: usize = 4096;
const TMPFS: i64 = 0x0102_1994;
