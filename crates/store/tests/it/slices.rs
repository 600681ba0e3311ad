//! Large objects: bodies in slices with a root written last (ST-2), whole or in parts.

use std::ops::Range;
use std::sync::mpsc;

use longhold_store::{
    Committed, Config, Extent, FileDevice, ReadError, Reader, Refused, Store, WriteError, Writer,
    block_on_ready,
};

use crate::support::{
    Failed, Object, Random, get, grow, put, put_now, read, remove_now, scratch, tiny,
};

/// Of known and of unknown length.
const SLICE: usize = 8192;

struct Rig {
    store: Store,
    writer: Writer<FileDevice>,
    reader: Reader,
}

impl Rig {
    fn open(config: &Config) -> Self {
        let (store, _) = Store::open(config).unwrap();
        let device = FileDevice::with_pool(&store, 6, 8192).unwrap();
        let writer = Writer::new(&store, device).unwrap();
        let reader = store.reader(0);
        Self { store, writer, reader }
    }

    fn grow(&self, object: Object, piece_bytes: usize) -> Result<Committed, Failed> {
        block_on_ready(grow(&self.writer, object, piece_bytes))
    }

    fn holds(&self, key: u32, range: Range<u64>) -> Option<bool> {
        self.reader.lookup(&Object::key_bytes(key)).map(|record| record.holds(range))
    }
}

/// Two mebibytes in 64 KiB segments, slices of 8 KiB.
fn small(path: &std::path::Path) -> Config {
    let config = Config { segment_bytes: 64 << 10, ..Config::new(path, 2 << 20) };
    Config { slice_bytes: SLICE as u64, pin_rows: 8, ..config }
}

#[test]
fn bodies_of_all_lengths_come_back_in_all_ranges() {
    let lengths = [0, 1, SLICE - 1, SLICE, SLICE + 1, 2 * SLICE, 3 * SLICE + 7, 200_000];
    let folder = scratch();
    let config = small(folder.path());
    let mut stored = Vec::new();
    {
        let rig = Rig::open(&config);
        for (key, body_bytes) in (0..).zip(lengths.into_iter().flat_map(|len| [len, len])) {
            let object = Object { key, version: 1, body_bytes };
            let committed = match key % 2 {
                0 => put_now(&rig.writer, object),
                _ => rig.grow(object, 3001),
            };
            assert!(committed.unwrap().published);
            check_ranges(&rig.reader, object);
            stored.push(object);
        }
        let stats = rig.store.stats();
        assert_eq!((stats.committed, stats.reclaimed), (16, 0));
        // Up to one slice it is one record.
        let slices: usize = lengths.iter().map(|len| len.div_ceil(SLICE)).filter(|n| *n > 1).sum();
        assert_eq!(stats.objects, 2 * slices as u64 + 16);
    }
    let rig = Rig::open(&config);
    stored.into_iter().for_each(|object| check_ranges(&rig.reader, object));
    assert_eq!(rig.store.stats().damaged, 0);
}

fn check_ranges(reader: &Reader, object: Object) {
    assert_eq!(get(reader, object.key), Some(object));
    let record = reader.lookup(&Object::key_bytes(object.key)).unwrap();
    let len = object.body_bytes as u64;
    let edges = [0, 1, SLICE - 1, SLICE, SLICE + 1, 2 * SLICE, 3 * SLICE, object.body_bytes];
    for start in edges {
        for end in edges {
            let range = start as u64..end as u64;
            if start > end || range.end > len {
                assert_eq!(record.body(range).err(), Some(ReadError::OutOfRange));
                continue;
            }
            assert!(record.holds(range.clone()) && read(&record, range.clone()));
            let crosses = start / SLICE != end.saturating_sub(1) / SLICE && start < end;
            let is_sliced = object.body_bytes > SLICE;
            let several = (crosses && is_sliced).then_some(ReadError::SeveralSlices);
            assert_eq!(record.body(range).err(), several);
        }
    }
}

#[test]
fn a_root_is_found_when_its_last_slice_is_there_and_not_before() {
    let folder = scratch();
    let config = small(folder.path());
    let object = Object { key: 1, version: 1, body_bytes: 5 * SLICE };
    for growing in [false, true] {
        let rig = Rig::open(&config);
        let parts = object.parts();
        let draft = if growing { parts.growing() } else { parts.draft() };
        let mut pending = rig.writer.begin(draft).unwrap();
        block_on_ready(rig.writer.append(&mut pending, &parts.body)).unwrap();
        assert!(rig.reader.lookup(&Object::key_bytes(1)).is_none());
        // A slice may be there already; the object is not, neither now nor after a restart.
        drop((pending, rig));
        let rig = Rig::open(&config);
        assert!(rig.reader.lookup(&Object::key_bytes(1)).is_none());
        assert!(rig.store.stats().objects >= 4);
    }
}

#[test]
fn a_growing_object_is_read_by_another_thread_across_its_slices() {
    for growing in [false, true] {
        let folder = scratch();
        let rig = Rig::open(&small(folder.path()));
        let object = Object { key: 1, version: 1, body_bytes: 150_001 };
        let (sender, receiver) = mpsc::channel::<Extent>();
        let store = &rig.store;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let reader = store.reader(1);
                let extent = receiver.recv().unwrap();
                assert_eq!(extent.body_len().is_none(), growing);
                assert_eq!(extent.grain(), SLICE as u64);
                follow(&reader, &extent, object);
            });
            let parts = object.parts();
            let draft = if growing { parts.growing() } else { parts.draft() };
            block_on_ready(async {
                let mut pending = rig.writer.begin(draft).unwrap();
                sender.send(pending.extent()).unwrap();
                for piece in parts.body.chunks(777) {
                    rig.writer.append(&mut pending, piece).await.unwrap();
                }
                rig.writer.flush(&mut pending).await.unwrap();
                assert!(pending.written() + SLICE as u64 >= 150_001);
                rig.writer.commit(pending).await.unwrap();
            });
        });
        assert_eq!(get(&rig.reader, 1), Some(object));
    }
}

/// Reads as far as whole slices go, and at random behind.
fn follow(reader: &Reader, extent: &Extent, object: Object) {
    let (body, mut random, mut seen) = (object.body(), Random(5), 0);
    let len = body.len() as u64;
    while seen + (SLICE as u64) < len {
        let written = extent.written();
        while seen < written {
            let end = written.min((seen / SLICE as u64 + 1) * SLICE as u64);
            let slice = reader.extent(extent, seen..end).unwrap();
            assert!(*slice == body[seen as usize..end as usize]);
            assert!(end == written || reader.extent(extent, seen..end + 1).is_none());
            seen = end;
        }
        if written > 0 {
            let start = random.below(written);
            let slice = reader.extent(extent, start..start + 1).unwrap();
            assert_eq!(slice[0], body[start as usize]);
        }
    }
    assert!(reader.extent(extent, 0..len + 1).is_none());
}

#[test]
fn what_was_evicted_is_missing_and_nothing_else_is_wrong() {
    let folder = scratch();
    let rig = Rig::open(&small(folder.path()));
    let object = Object { key: 1, version: 1, body_bytes: 40 * SLICE };
    put_now(&rig.writer, object).unwrap();
    let len = object.body_bytes as u64;
    let (mut partly, mut wholly) = (0, 0);
    for version in 1..1000 {
        put_now(&rig.writer, Object { key: 2, version, body_bytes: 9_000 }).unwrap();
        // Only the root is asked for, so that it stays longer than its slices.
        let record = rig.reader.lookup(&Object::key_bytes(1)).unwrap();
        let Some(missing) = record.missing(0..len) else {
            assert!(version > 1 || read(&record, 0..10 * SLICE as u64), "all of it is there");
            wholly += 1;
            continue;
        };
        partly += 1;
        assert!(!record.holds(0..len) && !read(&record, 0..len));
        assert_eq!(record.piece(missing.start, 1).err(), Some(ReadError::Missing));
        assert!(missing.start % SLICE as u64 == 0 && missing.end % SLICE as u64 == 0);
        assert!(missing.start == 0 || read(&record, 0..missing.start));
    }
    assert!(partly > 100 && wholly > 100, "{partly} {wholly}");
    assert_eq!(rig.store.stats().damaged, 0);
}

#[test]
fn a_missing_slice_is_filled_again() {
    let folder = scratch();
    let rig = Rig::open(&small(folder.path()));
    let object = Object { key: 1, version: 1, body_bytes: 20 * SLICE + 100 };
    put_now(&rig.writer, object).unwrap();
    let (body, len) = (object.body(), object.body_bytes as u64);
    for version in 1.. {
        put_now(&rig.writer, Object { key: 2, version, body_bytes: 9_000 }).unwrap();
        if rig.holds(1, 0..len) == Some(false) {
            break;
        }
    }
    let record = rig.reader.lookup(&Object::key_bytes(1)).unwrap();
    while let Some(missing) = record.missing(0..len) {
        let mut pending = rig.writer.refill(&record, missing.start + 5).unwrap();
        let end = missing.start + pending.remaining();
        let slice = &body[missing.start as usize..end as usize];
        block_on_ready(rig.writer.append(&mut pending, slice)).unwrap();
        assert!(block_on_ready(rig.writer.commit(pending)).unwrap().published);
        assert!(read(&record, missing.start..end));
    }
    assert_eq!(get(&rig.reader, 1), Some(object));
    assert_eq!(rig.writer.refill(&record, len).err(), Some(Refused::TooLarge));
}

#[test]
fn an_outline_is_filled_in_any_order() {
    let folder = scratch();
    let config = small(folder.path());
    let object = Object { key: 1, version: 1, body_bytes: 5 * SLICE + 100 };
    let (parts, body) = (object.parts(), object.body());
    {
        let rig = Rig::open(&config);
        assert_eq!(rig.writer.slice_bytes(), SLICE as u64);
        let small = longhold_store::Draft { body_len: Some(SLICE as u64), ..parts.draft() };
        let refused = block_on_ready(rig.writer.outline(small)).err();
        assert_eq!(refused, Some(WriteError::Incomplete));
        assert!(block_on_ready(rig.writer.outline(parts.draft())).unwrap().published);
        let record = rig.reader.lookup(&Object::key_bytes(1)).unwrap();
        let len = record.body_len();
        assert_eq!((len, record.missing(0..len)), (body.len() as u64, Some(0..len)));
        for (step, number) in [4, 0, 5, 2, 1].into_iter().enumerate() {
            let range = record.slice_range(number * SLICE as u64 + 99).unwrap();
            let mut pending = rig.writer.refill(&record, range.start).unwrap();
            let slice = &body[range.start as usize..range.end as usize];
            block_on_ready(rig.writer.append(&mut pending, slice)).unwrap();
            assert!(block_on_ready(rig.writer.commit(pending)).unwrap().published);
            assert!(read(&record, range), "{step}");
        }
        assert_eq!(record.missing(0..len), Some(3 * SLICE as u64..4 * SLICE as u64));
        assert_eq!(record.slice_range(len), None);
    }
    let rig = Rig::open(&config);
    let record = rig.reader.lookup(&Object::key_bytes(1)).unwrap();
    let left = record.missing(0..record.body_len()).unwrap();
    assert_eq!(left, 3 * SLICE as u64..4 * SLICE as u64);
    let mut pending = rig.writer.refill(&record, left.start).unwrap();
    let slice = &body[left.start as usize..left.end as usize];
    block_on_ready(rig.writer.append(&mut pending, slice)).unwrap();
    block_on_ready(rig.writer.commit(pending)).unwrap();
    assert_eq!(get(&rig.reader, 1), Some(object));
}

#[test]
fn a_body_in_slices_gets_another_head_and_stays_where_it_is() {
    let folder = scratch();
    let config = small(folder.path());
    let object = Object { key: 1, version: 1, body_bytes: 5 * SLICE + 100 };
    let key = Object::key_bytes(1);
    let number;
    {
        let rig = Rig::open(&config);
        put_now(&rig.writer, object).unwrap();
        put_now(&rig.writer, Object { key: 2, version: 1, body_bytes: 100 }).unwrap();
        let before = rig.store.stats().disk_bytes;
        let record = rig.reader.lookup(&key).unwrap();
        number = record.body_number();
        let renewed =
            longhold_store::Draft { tags: &[7], ..longhold_store::Draft::new(&key, b"new", 0) };
        let committed = block_on_ready(rig.writer.rehead(&record, renewed)).unwrap().unwrap();
        assert!(committed.published);
        let taken = rig.store.stats().disk_bytes - before;
        assert!(taken < SLICE as u64, "{taken} bytes for a head");
        let short = rig.reader.lookup(&Object::key_bytes(2)).unwrap();
        assert!(block_on_ready(rig.writer.rehead(&short, renewed)).is_none());
    }
    let rig = Rig::open(&config);
    let record = rig.reader.lookup(&key).unwrap();
    assert!(number.is_some() && record.body_number() == number);
    assert_eq!((record.head(), record.tags().collect::<Vec<_>>()), (&b"new"[..], vec![7]));
    let (body, mut at) = (object.body(), 0);
    while at < body.len() {
        let piece = record.piece(at as u64, u64::MAX).unwrap();
        assert_eq!(&piece[..], &body[at..at + piece.len()]);
        at += piece.len();
    }
}

#[test]
fn of_two_drafts_of_a_key_the_later_one_stays() {
    // Sizes of the earlier and the later, and whether the earlier one is committed first.
    for (first, second) in [(50_000, 50_000), (50_000, 100), (100, 50_000)] {
        for (growing, in_order) in [(false, true), (false, false), (true, true), (true, false)] {
            let folder = scratch();
            let config = small(folder.path());
            let newer = {
                let rig = Rig::open(&config);
                let older = Object { key: 1, version: 1, body_bytes: first };
                let newer = Object { key: 1, version: 2, body_bytes: second };
                let mut open = Vec::new();
                for object in [older, newer] {
                    let parts = object.parts();
                    let draft = if growing { parts.growing() } else { parts.draft() };
                    let mut pending = rig.writer.begin(draft).unwrap();
                    block_on_ready(rig.writer.append(&mut pending, &parts.body)).unwrap();
                    open.push((object, pending));
                }
                if !in_order {
                    open.reverse();
                }
                for (object, pending) in open {
                    let committed = block_on_ready(rig.writer.commit(pending)).unwrap();
                    assert!(committed.published || object == older, "{first} {second} {growing}");
                }
                assert_eq!(get(&rig.reader, 1), Some(newer));
                newer
            };
            assert_eq!(get(&Rig::open(&config).reader, 1), Some(newer));
        }
    }
}

#[test]
fn a_removal_meets_the_object_and_the_drafts_of_it() {
    for growing in [false, true] {
        let folder = scratch();
        let config = small(folder.path());
        {
            let rig = Rig::open(&config);
            let object = Object { key: 1, version: 1, body_bytes: 50_000 };
            put_now(&rig.writer, object).unwrap();
            let parts = Object { version: 2, ..object }.parts();
            let draft = if growing { parts.growing() } else { parts.draft() };
            let mut pending = rig.writer.begin(draft).unwrap();
            block_on_ready(rig.writer.append(&mut pending, &parts.body)).unwrap();
            assert_eq!(remove_now(&rig.writer, 1), Ok(true));
            assert!(rig.reader.lookup(&Object::key_bytes(1)).is_none());
            assert!(!block_on_ready(rig.writer.commit(pending)).unwrap().published);
            assert!(rig.reader.lookup(&Object::key_bytes(1)).is_none());
        }
        assert!(get(&Rig::open(&config).reader, 1).is_none());
    }
}

#[test]
fn no_key_of_a_caller_is_that_of_a_slice() {
    let folder = scratch();
    let rig = Rig::open(&small(folder.path()));
    put_now(&rig.writer, Object { key: 1, version: 1, body_bytes: 50_000 }).unwrap();
    // An object's number is a sequence, and those begin with the store's epoch.
    for object in (1 << 44)..(1 << 44) + 64u64 {
        for number in 0..7u64 {
            let key = [object.to_le_bytes(), number.to_le_bytes()].concat();
            assert!(rig.reader.lookup(&key).is_none());
            assert_eq!(block_on_ready(rig.writer.remove(&key)), Ok(false));
        }
    }
    assert_eq!(rig.holds(1, 0..50_000), Some(true));
}

#[test]
fn too_much_of_unknown_length_is_refused_when_it_comes() {
    let folder = scratch();
    let config = Config { object_bytes_max: 20_000, ..small(folder.path()) };
    let config = Config { gathering_bytes_max: 2 * SLICE as u64, ..config };
    let rig = Rig::open(&config);
    let object = Object { key: 1, version: 1, body_bytes: 20_001 };
    assert_eq!(put_now(&rig.writer, object), Err(Failed::Refused(Refused::TooLarge)));
    assert_eq!(rig.grow(object, 5000), Err(Failed::Write(WriteError::TooLong)));
    assert!(rig.grow(Object { body_bytes: 20_000, ..object }, 5000).unwrap().published);
    // Memory for two bodies that are gathered, and no more.
    let parts = object.parts();
    let first = rig.writer.begin(parts.growing()).unwrap();
    let second = rig.writer.begin(parts.growing()).unwrap();
    assert_eq!(rig.writer.begin(parts.growing()).err(), Some(Refused::TooManyDrafts));
    drop(first);
    assert!(rig.writer.begin(parts.growing()).is_ok());
    drop(second);
}

#[test]
fn abandoned_drafts_cost_the_space_that_they_had() {
    let folder = scratch();
    let config = small(folder.path());
    let rig = Rig::open(&config);
    let mut random = Random(11);
    let mut kept = None;
    for version in 1..400 {
        let object = Object { key: 1, version, body_bytes: random.below(60_000) as usize };
        let parts = object.parts();
        let draft = if version % 2 == 0 { parts.growing() } else { parts.draft() };
        let mut pending = block_on_ready(rig.writer.begin_or_reclaim(draft)).unwrap();
        let taken = random.below(object.body_bytes as u64 + 1) as usize;
        block_on_ready(rig.writer.append(&mut pending, &parts.body[..taken])).unwrap();
        match version % 5 {
            0 => {
                block_on_ready(rig.writer.append(&mut pending, &parts.body[taken..])).unwrap();
                assert!(block_on_ready(rig.writer.commit(pending)).unwrap().published);
                kept = Some(object);
            }
            1 => block_on_ready(rig.writer.abandon(pending)),
            _ => drop(pending),
        }
        assert_eq!(get(&rig.reader, 1), kept, "asked for so often, it stays");
    }
    let stats = rig.store.stats();
    assert!(stats.reclaimed > 20 && stats.damaged == 0, "{stats:?}");
    drop(rig);
    assert_eq!(get(&Rig::open(&config).reader, 1), kept);
}

#[test]
fn slow_readers_of_a_tiny_store_see_no_wrong_byte() {
    let folder = scratch();
    let config = Config { slice_bytes: SLICE as u64, ..tiny(folder.path()) };
    let rig = Rig::open(&config);
    let mut random = Random(17);
    let mut held = std::collections::VecDeque::new();
    let (mut stored, mut refused) = (0, 0);
    for version in 1..600 {
        let key = random.below(5) as u32;
        let object = Object { key, version, body_bytes: random.below(200_000) as usize };
        let committed = match version % 2 {
            0 => rig.grow(object, 10_000),
            _ => block_on_ready(put(&rig.writer, object, 10_000)),
        };
        match committed {
            Ok(_) => stored += 1,
            Err(Failed::Refused(Refused::NoCleanSegment))
            | Err(Failed::Write(WriteError::NoCleanSegment | WriteError::Reclaimed)) => {
                refused += 1
            }
            Err(failed) => panic!("{failed:?}"),
        }
        // Fast and slow: some slices are held for long.
        let key = random.below(5) as u32;
        let Some(record) = rig.reader.lookup(&Object::key_bytes(key)) else { continue };
        read(&record, 0..record.body_len());
        let at = random.below(record.body_len());
        if random.chance(40)
            && let Ok(slice) = record.piece(at, u64::MAX)
        {
            let copy = slice.to_vec();
            held.push_back((slice, copy));
        }
        if held.len() > 11 {
            let (slice, copy) = held.pop_front().unwrap();
            assert!(*slice == *copy, "ST-5");
        }
    }
    assert!(stored > 50 && refused > 0, "{stored} {refused}");
    held.clear();
    assert!(block_on_ready(rig.writer.make_room()));
    let object = Object { key: 9, version: 1, body_bytes: 300_000 };
    put_now(&rig.writer, object).unwrap();
    assert_eq!(get(&rig.reader, 9), Some(object));
    assert_eq!(rig.store.stats().damaged, 0);
}

#[test]
fn slices_go_to_disk_and_a_store_in_memory_has_them_there() {
    let folder = scratch();
    let config = Config { slice_bytes: SLICE as u64, ..tiny(folder.path()) };
    let rig = Rig::open(&config.with_memory(1 << 20));
    let object = Object { key: 1, version: 1, body_bytes: 50_000 };
    put_now(&rig.writer, object).unwrap();
    assert_eq!(get(&rig.reader, 1), Some(object));
    assert!(rig.store.stats().disk_bytes > 50_000);
    // One slice is no slice, and new.
    rig.grow(Object { key: 2, version: 1, body_bytes: SLICE }, 1000).unwrap();
    assert!(rig.store.stats().disk_bytes < 60_000);
    let rig = Rig::open(&Config { index_slots: 4096, ..Config::in_memory(1 << 20) });
    put_now(&rig.writer, object).unwrap();
    rig.grow(Object { key: 3, ..object }, 3000).unwrap();
    assert_eq!(get(&rig.reader, 1), Some(object));
    assert_eq!(get(&rig.reader, 3), Some(Object { key: 3, ..object }));
    assert_eq!(rig.store.stats().disk_bytes, 0);
}

/// Of a mebibyte of disk and half a mebibyte of memory, with slices of 8 KiB.
fn on_probation(path: &std::path::Path) -> Config {
    let config = Config { slice_bytes: SLICE as u64, large_on_probation: true, ..tiny(path) };
    config.with_memory(512 << 10)
}

#[test]
fn large_objects_on_probation_reach_the_disk_when_they_were_asked_for() {
    let folder = scratch();
    let config = on_probation(folder.path());
    let wanted = Object { key: 1, version: 1, body_bytes: 50_000 };
    {
        let rig = Rig::open(&config);
        put_now(&rig.writer, wanted).unwrap();
        assert_eq!(get(&rig.reader, 1), Some(wanted));
        for key in 100..125 {
            put_now(&rig.writer, Object { key, ..wanted }).unwrap();
        }
        let stats = rig.store.stats();
        // Seven slices and a root.
        assert_eq!(stats.promoted, 8, "{stats:?}");
        assert!((50_000..60_000).contains(&stats.disk_bytes), "{stats:?}");
        assert_eq!(get(&rig.reader, 1), Some(wanted));
        assert_eq!(get(&rig.reader, 115), None);
        // It has left a ghost.
        put_now(&rig.writer, Object { key: 115, ..wanted }).unwrap();
        assert!(rig.store.stats().disk_bytes > 100_000);
        // More than half of the tier.
        put_now(&rig.writer, Object { key: 2, version: 1, body_bytes: 300_000 }).unwrap();
        assert!(rig.store.stats().disk_bytes > 400_000);
    }
    let rig = Rig::open(&config);
    assert_eq!(get(&rig.reader, 1), Some(wanted), "memory has gone with the process");
}

#[test]
fn large_object_that_cannot_be_fetched_again_goes_to_disk_at_once() {
    let folder = scratch();
    let rig = Rig::open(&on_probation(folder.path()));
    let object = Object { key: 1, version: 1, body_bytes: 50_000 };
    let parts = object.parts();
    let draft = longhold_store::Draft { can_refetch: false, ..parts.draft() };
    let mut pending = rig.writer.begin(draft).unwrap();
    block_on_ready(rig.writer.append(&mut pending, &parts.body)).unwrap();
    block_on_ready(rig.writer.commit(pending)).unwrap();
    assert!(rig.store.stats().disk_bytes > 50_000);
    assert_eq!(get(&rig.reader, 1), Some(object));
}

#[test]
fn a_large_object_that_comes_slower_than_the_memory_turns_goes_to_disk_the_next_time() {
    let folder = scratch();
    let rig = Rig::open(&on_probation(folder.path()));
    let slow = Object { key: 1, version: 1, body_bytes: 40_000 };
    for on_disk in [false, true] {
        let parts = slow.parts();
        let mut pending = rig.writer.begin(parts.draft()).unwrap();
        block_on_ready(rig.writer.append(&mut pending, &parts.body[..30_000])).unwrap();
        for key in 100..130 {
            let other =
                Object { key: key + 100 * u32::from(on_disk), version: 1, body_bytes: 40_000 };
            put_now(&rig.writer, other).unwrap();
        }
        let appended = block_on_ready(rig.writer.append(&mut pending, &parts.body[30_000..]));
        let committed = match appended {
            Ok(()) => block_on_ready(rig.writer.commit(pending)).map(|_| ()),
            Err(error) => Err(error),
        };
        assert_eq!(committed.is_ok(), on_disk, "{committed:?}");
    }
    assert_eq!(get(&rig.reader, 1), Some(slow));
}

#[test]
fn the_parts_of_an_object_leave_memory_for_the_same_disk() {
    let (folder, second) = (scratch(), scratch());
    let config = on_probation(folder.path()).with_device(second.path(), 1 << 20);
    let objects = || (0..12).map(|key| Object { key, version: 1, body_bytes: 30_000 });
    {
        let rig = Rig::open(&config);
        for object in objects() {
            put_now(&rig.writer, object).unwrap();
            assert_eq!(get(&rig.reader, object.key), Some(object));
        }
        block_on_ready(rig.writer.promote(|| true));
        let used: Vec<u64> = rig.store.devices().iter().map(|device| device.used_bytes).collect();
        assert!(used[0] > 60_000 && used[1] > 60_000, "{used:?}");
    }
    // Without the second disk an object is whole or not there.
    let rig = Rig::open(&on_probation(folder.path()));
    let whole = objects().filter(|object| get(&rig.reader, object.key) == Some(*object)).count();
    let there = objects().filter(|object| get(&rig.reader, object.key).is_some()).count();
    assert!(whole == there && (1..12).contains(&whole), "{whole} of {there}");
}
