//! ST-5 in every interleaving: the pin protocol of `pin.rs` with the index word of `reader.rs`.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p longhold-store --lib --release loom`

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use crate::pin::PinTable;

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
