//! All interleavings of a slot's owner and those outside. Run by `cargo xtask test`, or with
//! `RUSTFLAGS="--cfg loom" cargo test -p longhold-conn --release --test loom`.
#![cfg(loom)]

use std::net::SocketAddr;

use longhold_conn::{Refused, Slot, SlotTable, State};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

/// A table of one slot, with a connection of generation 0.
fn parked() -> Arc<SlotTable> {
    let slots = Arc::new(SlotTable::new(1));
    open(slot(&slots), FIRST);
    slot(&slots).move_state(State::Active, State::Parked).expect("it is active");
    slots
}

fn slot(slots: &SlotTable) -> &Slot {
    slots.get(0).expect("the table has one slot")
}

fn open(slot: &Slot, peer: &str) {
    slot.open(address(peer), 1, 0).expect("the slot is free");
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// CN-2: a wake against a close from outside.
#[test]
fn exactly_one_of_worker_and_governor_wins() {
    loom::model(|| {
        let slots = parked();
        let governor = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || slot(&slots).move_state(State::Parked, State::Closing))
        };
        let woken = slot(&slots).move_state(State::Parked, State::Active);
        let closed = governor.join().expect("the governor ends");
        match (woken, closed) {
            (Ok(()), Err(Refused::Was(State::Active))) => {
                assert_eq!(slot(&slots).state(), State::Active);
            }
            (Err(Refused::Was(State::Closing)), Ok(())) => {
                assert_eq!(slot(&slots).state(), State::Closing);
            }
            other => panic!("both won, or neither: {other:?}"),
        }
    });
}

/// CN-3: who closes from outside learns which connection that was, though the slot may have passed
/// to another one just before.
#[test]
fn a_close_from_outside_names_the_connection_that_it_closed() {
    loom::model(|| {
        let slots = parked();
        let told = Arc::new(AtomicBool::new(false));
        let governor = {
            let (slots, told) = (Arc::clone(&slots), Arc::clone(&told));
            thread::spawn(move || {
                let slot = slot(&slots);
                slot.move_state(State::Parked, State::Closing).ok()?;
                let (generation, peer) = (slot.generation(), slot.peer());
                let expected = if generation == 0 { FIRST } else { SECOND };
                assert_eq!(peer, address(expected), "of generation {generation}");
                told.store(true, Ordering::Release);
                Some(generation)
            })
        };
        let cell = slot(&slots);
        if cell.move_state(State::Parked, State::Active).is_ok() {
            cell.move_state(State::Active, State::Closing).expect("only the worker moves it");
            cell.release().expect("only the worker moves it");
            open(cell, SECOND);
            cell.move_state(State::Active, State::Parked).expect("only the worker moves it");
        }
        let held = cell.generation();
        if told.load(Ordering::Acquire) {
            cell.release().expect("the governor has closed it");
        }
        let closed = governor.join().expect("the governor ends");
        assert!(closed.is_none_or(|generation| generation == held));
    });
}

/// CN-3: a release and the next connection against a reader outside.
#[test]
fn a_reader_that_sees_the_slot_free_sees_the_next_generation() {
    loom::model(|| {
        let slots = parked();
        slot(&slots).move_state(State::Parked, State::Closing).expect("it is parked");
        let reader = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || {
                let slot = slot(&slots);
                match slot.state() {
                    State::Closing => {}
                    State::Free => assert_eq!(slot.generation(), 1),
                    State::Active => {
                        assert_eq!((slot.generation(), slot.peer()), (1, address(SECOND)));
                    }
                    State::Handshaking | State::Parked => panic!("nobody moved it there"),
                }
            })
        };
        slot(&slots).release().expect("it is closing");
        open(slot(&slots), SECOND);
        reader.join().expect("the reader ends");
    });
}

const FIRST: &str = "192.0.2.1:80";
const SECOND: &str = "[2001:db8::1]:81";
