//! ST-5 in every interleaving: the pin protocol of `pin.rs` with the index word of `reader.rs`; and
//! ST-7 for the purges that readers enforce (`purge.rs`).
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p longhold-store --lib --release loom`

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use crate::pin::PinTable;
use crate::purge::{Lazy, Mode, PurgeLimits, PurgeTable, Standing, Tags};

const GENERATION: u64 = 7;
const OLD: u64 = 1;
const NEW: u64 = 2;

struct World {
    pins: PinTable,
    /// The index slot that names the record; 0 is empty.
    word: AtomicU64,
    /// The record's bytes.
    bytes: AtomicU64,
}

fn world(rows: usize) -> Arc<World> {
    let pins = PinTable::new(rows, 1);
    pins.publish(0, GENERATION);
    Arc::new(World { pins, word: AtomicU64::new(1), bytes: AtomicU64::new(OLD) })
}

/// As `Reader::open`, and then two reads with time between them.
fn read(world: &World, row: usize) {
    if world.word.load(Ordering::Acquire) == 0 {
        return;
    }
    let Some(generation) = world.pins.pin(row, 0) else { return };
    if generation == GENERATION && world.word.load(Ordering::Acquire) == 1 {
        assert_eq!(world.bytes.load(Ordering::Relaxed), OLD);
        world.pins.pin_again(row, 0);
        world.pins.unpin(row, 0);
        assert_eq!(world.bytes.load(Ordering::Relaxed), OLD, "ST-5: written under a pin");
    }
    world.pins.unpin(row, 0);
}

/// As [`read`], but the last look is another thread's, under a pin of the shared row.
fn hand_over(world: &Arc<World>) {
    if world.word.load(Ordering::Acquire) == 0 {
        return;
    }
    let Some(generation) = world.pins.pin(0, 0) else { return };
    if generation == GENERATION && world.word.load(Ordering::Acquire) == 1 {
        world.pins.pin_shared(0);
        world.pins.unpin(0, 0);
        let taker = Arc::clone(world);
        let taker = thread::spawn(move || {
            assert_eq!(taker.bytes.load(Ordering::Relaxed), OLD, "ST-5: written under a pin");
            taker.pins.unpin_shared(0);
        });
        taker.join().unwrap();
    } else {
        world.pins.unpin(0, 0);
    }
}

/// As `Log::retire` and `Log::collect_clean`, then the first write of the next round. The new
/// record is published under the same index word: the one that a stale reader still holds.
fn reclaim(world: &World) {
    world.word.store(0, Ordering::Release);
    world.pins.retire(0);
    if world.pins.is_pinned(0) {
        return;
    }
    world.bytes.store(NEW, Ordering::Relaxed);
    world.pins.publish(0, GENERATION + 256);
}

#[test]
fn loom_no_write_under_a_pin() {
    loom::model(|| {
        let world = world(1);
        let reader = Arc::clone(&world);
        let reader = thread::spawn(move || read(&reader, 0));
        reclaim(&world);
        reader.join().unwrap();
    });
}

#[test]
fn loom_no_write_under_any_of_two_pins() {
    // Three threads have too many interleavings for all of them; three preemptions are enough to
    // bring out a missing fence.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let world = world(2);
        let readers = [0, 1].map(|row| {
            let world = Arc::clone(&world);
            thread::spawn(move || read(&world, row))
        });
        reclaim(&world);
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn loom_no_write_under_a_pin_that_left_its_thread() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let world = world(1);
        let reader = Arc::clone(&world);
        let reader = thread::spawn(move || hand_over(&reader));
        reclaim(&world);
        reader.join().unwrap();
    });
}

/// A table of two tags at most, in lines of one slot, so that tags meet in few slots.
fn purges() -> Arc<PurgeTable> {
    let limits = PurgeLimits { tags_max: 2, prefixes_max: 2, prefix_bytes_max: 64 };
    Arc::new(PurgeTable::new(limits, 0))
}

fn standing(table: &PurgeTable, tag: u64, sequence: u64) -> Standing {
    table.standing(b"key", Tags::new(&tag.to_le_bytes()), sequence)
}

#[test]
fn loom_a_tag_purge_that_has_returned_is_seen() {
    loom::model(|| {
        let table = purges();
        table.enforce(Lazy::Tag(1), Mode::Hard, 5).unwrap();
        let returned = Arc::new(AtomicU64::new(0));
        let reader = {
            let (table, returned) = (Arc::clone(&table), Arc::clone(&returned));
            thread::spawn(move || {
                let known = returned.load(Ordering::Acquire);
                let now = standing(&table, 2, 7);
                assert!(known < 8 || now == Standing::Purged, "purged by tag and still served");
                assert!(known < 9 || standing(&table, 3, 8) >= Standing::Soft);
            })
        };
        table.enforce(Lazy::Tag(2), Mode::Hard, 8).unwrap();
        returned.store(8, Ordering::Release);
        table.enforce(Lazy::Tag(3), Mode::Soft, 9).unwrap();
        returned.store(9, Ordering::Release);
        reader.join().unwrap();
    });
}

#[test]
fn loom_a_tag_that_is_folded_under_a_reader_stays_purged() {
    loom::model(|| {
        let table = purges();
        table.enforce(Lazy::Tag(1), Mode::Hard, 5).unwrap();
        table.enforce(Lazy::Tag(2), Mode::Hard, 6).unwrap();
        let reader = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                assert_eq!(standing(&table, 1, 4), Standing::Purged, "lost while it was folded");
            })
        };
        // Folds tag 1, and takes its slot for others.
        table.enforce(Lazy::Tag(3), Mode::Hard, 7).unwrap();
        table.enforce(Lazy::Tag(4), Mode::Hard, 8).unwrap();
        reader.join().unwrap();
    });
}

#[test]
fn loom_a_purge_that_is_forgotten_under_a_reader_stays_in_force() {
    loom::model(|| {
        let table = purges();
        table.enforce(Lazy::Tag(1), Mode::Hard, 5).unwrap();
        let reader = {
            let table = Arc::clone(&table);
            // It has opened the record before the record's segment was retired.
            thread::spawn(move || assert_eq!(standing(&table, 1, 4), Standing::Purged))
        };
        table.forget_older(5);
        table.enforce(Lazy::Tag(2), Mode::Hard, 9).unwrap();
        reader.join().unwrap();
    });
}
