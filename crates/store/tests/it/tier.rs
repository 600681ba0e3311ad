//! The memory tier and what is kept when segments are reclaimed.

use longhold_store::{Config, Draft, FileDevice, Reader, Stats, Store, Writer, block_on_ready};

use crate::support::{Object, get, put_now, scratch};

struct Rig {
    store: Store,
    writer: Writer<FileDevice>,
    reader: Reader,
}

impl Rig {
    fn open(config: &Config) -> Self {
        let config = Config { pin_rows: 4, index_slots: 4096, ..config.clone() };
        let (store, _) = Store::open(&config).unwrap();
        let device = FileDevice::with_pool(&store, 6, 16_384).unwrap();
        let writer = Writer::new(&store, device).unwrap();
        let reader = store.reader(0);
        Self { store, writer, reader }
    }

    fn put(&self, key: u32, body_bytes: usize) -> Object {
        let object = Object { key, version: 1, body_bytes };
        put_now(&self.writer, object).unwrap();
        object
    }

    fn stats(&self) -> Stats {
        self.store.stats()
    }
}

/// Half a mebibyte of memory in eight segments before a mebibyte of disk in sixteen.
fn both(path: &std::path::Path) -> Config {
    let config = Config { slice_bytes: 32 << 10, ..Config::new(path, 1 << 20) };
    config.with_memory(512 << 10)
}

#[test]
fn what_nobody_asks_for_again_never_reaches_the_disk() {
    let folder = scratch();
    let rig = Rig::open(&both(folder.path()));
    for key in 0..400 {
        rig.put(key, 3000);
    }
    let stats = rig.stats();
    assert_eq!((stats.disk_bytes, stats.promoted), (0, 0));
    assert!(stats.evicted > 200, "{stats:?}");
    assert!(get(&rig.reader, 399).is_some() && get(&rig.reader, 0).is_none());
}

#[test]
fn what_is_asked_for_in_memory_goes_to_disk_and_stays_after_the_process() {
    let folder = scratch();
    let config = both(folder.path());
    let wanted = {
        let rig = Rig::open(&config);
        let wanted: Vec<Object> = (0..20).map(|key| rig.put(key, 3000)).collect();
        for object in &wanted {
            assert_eq!(get(&rig.reader, object.key), Some(*object));
        }
        for key in 100..500 {
            rig.put(key, 3000);
        }
        assert_eq!(rig.stats().promoted, 20);
        for object in &wanted {
            assert_eq!(get(&rig.reader, object.key), Some(*object));
        }
        wanted
    };
    let rig = Rig::open(&config);
    assert_eq!(rig.stats().objects, 20, "memory has gone with the process");
    for object in wanted {
        assert_eq!(get(&rig.reader, object.key), Some(object));
    }
}

#[test]
fn a_key_that_comes_back_soon_goes_to_disk_at_once() {
    let folder = scratch();
    let rig = Rig::open(&both(folder.path()));
    rig.put(1, 3000);
    for key in 100..400 {
        rig.put(key, 3000);
    }
    assert!(get(&rig.reader, 1).is_none());
    assert_eq!((rig.stats().ghost_hits, rig.stats().disk_bytes), (0, 0));
    let object = rig.put(1, 3000);
    assert_eq!(rig.stats().ghost_hits, 1);
    assert!(rig.stats().disk_bytes > 3000);
    assert_eq!(get(&rig.reader, 1), Some(object));
}

#[test]
fn what_is_large_for_the_memory_goes_to_disk_at_once() {
    let folder = scratch();
    let rig = Rig::open(&both(folder.path()));
    rig.put(1, 16_000);
    assert_eq!(rig.stats().disk_bytes, 0);
    rig.put(2, 17_000);
    assert!(rig.stats().disk_bytes > 17_000);
}

#[test]
fn what_is_hit_on_disk_survives_its_segment_and_the_rest_does_not() {
    let folder = scratch();
    let rig = Rig::open(&Config::new(folder.path(), 1 << 20));
    let hot: Vec<Object> = (0..4).map(|key| rig.put(key, 3000)).collect();
    for key in 100..1500 {
        rig.put(key, 3000);
        if key % 50 == 0 {
            for object in &hot {
                assert_eq!(get(&rig.reader, object.key), Some(*object), "after {key}");
            }
        }
    }
    let stats = rig.stats();
    assert!(stats.reinserted >= 12, "{stats:?}");
    assert!(stats.evicted > 1000, "{stats:?}");
    // Without hits a frequency of three carries a record through three turns at most.
    for key in 2000..4500 {
        rig.put(key, 3000);
    }
    assert!(hot.iter().all(|object| get(&rig.reader, object.key).is_none()));
}

#[test]
fn at_most_a_fifth_of_a_segment_is_copied() {
    let folder = scratch();
    let rig = Rig::open(&Config::new(folder.path(), 1 << 20));
    for key in 0..2000 {
        rig.put(key, 3000);
        // All of it is hot.
        assert!(get(&rig.reader, key).is_some());
    }
    let stats = rig.stats();
    let written = stats.disk_bytes as f64;
    let asked = 2000.0 * 3200.0;
    assert!(stats.reinserted > 400, "{stats:?}");
    assert!(written < 1.28 * asked, "{written} bytes for {asked}");
}

#[test]
fn a_store_in_memory_keeps_what_is_hit() {
    let rig = Rig::open(&Config::in_memory(1 << 20));
    let hot = rig.put(1, 3000);
    for key in 100..1500 {
        rig.put(key, 3000);
        assert_eq!(get(&rig.reader, 1), Some(hot), "after {key}");
    }
    let stats = rig.stats();
    assert_eq!((stats.disk_bytes, stats.promoted), (0, 0));
    assert!(stats.reinserted > 0, "{stats:?}");
}

#[test]
fn segments_of_short_lives_are_dropped_whole_when_the_last_one_ends() {
    let folder = scratch();
    let rig = Rig::open(&Config::new(folder.path(), 1 << 20));
    let lasting = rig.put(1, 3000);
    let (body, ends) = (vec![7; 3000], unix_ms() + 300);
    let put = |key: u32, lifetime_ms| {
        let key = key.to_le_bytes();
        let draft = Draft { lifetime_ms, ..Draft::new(&key, b"", 3000) };
        block_on_ready(async {
            let mut pending = rig.writer.begin_or_reclaim(draft).await.unwrap();
            rig.writer.append(&mut pending, &body).await.unwrap();
            rig.writer.commit(pending).await.unwrap();
        });
    };
    for key in 0..100 {
        put(key, Some(ends.saturating_sub(unix_ms())));
        // Hits do not keep what has expired.
        assert!(rig.reader.lookup(&key.to_le_bytes()).is_some());
    }
    let before = rig.stats();
    assert_eq!(before.reclaimed, 0);
    while unix_ms() <= ends {
        std::hint::spin_loop();
    }
    assert!(block_on_ready(rig.writer.make_room()));
    let after = rig.stats();
    assert!(after.reclaimed >= 4, "{after:?}");
    assert_eq!(after.reinserted, 0);
    assert!(after.objects < before.objects - 70);
    assert_eq!(get(&rig.reader, 1), Some(lasting), "it shares no segment with them");
}

#[test]
fn a_draft_that_is_under_way_is_not_outranked_by_a_copy_of_the_old_one() {
    let folder = scratch();
    let rig = Rig::open(&Config::new(folder.path(), 1 << 20));
    let old = rig.put(1, 3000);
    assert_eq!(get(&rig.reader, 1), Some(old));
    let new = Object { key: 1, version: 2, body_bytes: 100 };
    let parts = new.parts();
    // Its segment must not be reclaimed before, so it begins in a late one.
    for key in 100..280 {
        rig.put(key, 3000);
    }
    let mut pending = rig.writer.begin(parts.draft()).unwrap();
    let reclaimed = rig.stats().reclaimed;
    for key in 300..400 {
        rig.put(key, 3000);
    }
    assert!(rig.stats().reclaimed > reclaimed);
    block_on_ready(rig.writer.append(&mut pending, &parts.body)).unwrap();
    assert!(block_on_ready(rig.writer.commit(pending)).unwrap().published);
    assert_eq!(get(&rig.reader, 1), Some(new));
    drop(rig);
    let rig = Rig::open(&Config::new(folder.path(), 1 << 20));
    assert_eq!(get(&rig.reader, 1), Some(new));
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_millis() as u64
}

/// Else a restart, which loses the memory tier, would bring the older one back.
#[test]
fn what_replaces_a_record_on_disk_goes_to_disk() {
    let folder = scratch();
    let config = both(folder.path());
    let new = Object { key: 1, version: 2, body_bytes: 100 };
    {
        let rig = Rig::open(&config);
        rig.put(1, 17_000);
        put_now(&rig.writer, new).unwrap();
    }
    let rig = Rig::open(&config);
    assert_eq!(get(&rig.reader, 1), Some(new));
}
