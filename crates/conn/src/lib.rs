//! The connection: its 64-byte slot, its lifecycle, its timer, and the HTTP/1 server machine that
//! turns bytes into requests and knows what may follow; and the machine of a [tunnel], two
//! connections whose bytes are nobody's business.
//!
//! Nothing here reads or writes a socket, knows the time, or decides what a request means: bytes,
//! lengths and milliseconds come in, events and plans go out. What a parked connection is, is one
//! [`Slot`] and nothing else.
//!
//! ```text
//!                     ┌──────────── wheel (links inside the slots)
//! Free ─► Active ⇄ Parked ─► Closing ─► Free          one atomic byte, one table: lifecycle
//!            │
//!       Downstream = Rx (what is still to be read) × Tx (what has been answered)
//!            └► persist(rx, tx) ─► next request, drain, linger, close
//! ```
//!
//! # Invariants
//! - **CN-1** A slot is 64 bytes on a line of its own, and plain data.
//! - **CN-2** State moves only along [`lifecycle::allows`]; of two threads that move it at once
//!   exactly one succeeds.
//! - **CN-3** A released slot has another generation, so that what was addressed to its former
//!   connection finds nobody.
//! - **CN-4** A slot is in the wheel at most once, and fires at most once per scheduling, never
//!   before its deadline's tick.
//! - **CN-5** Bytes after the end of a request are not looked at before its response has ended.
//! - **CN-6** A connection whose request was not read to its end is never reused without draining,
//!   and one whose framing is in doubt is never reused.
//! - **CN-7** Every state of reading × writing has a written outcome ([`persist::persist`]).
//!
//! # Example
//! A connection is accepted, rests, and is closed by its deadline; [`Downstream`] shows the other
//! half, an exchange.
//! ```
//! use longhold_conn::{SlotTable, State, Wheel};
//!
//! let slots = SlotTable::new(1);
//! let mut wheel = Wheel::new(0);
//! let slot = slots.get(0).unwrap();
//! slot.open("192.0.2.1:50000".parse().unwrap(), 0, 0).unwrap();
//! slot.move_state(State::Active, State::Parked).unwrap();
//! wheel.schedule(&slots, 0, 75_000);
//!
//! let mut expired = Vec::new();
//! wheel.advance(&slots, wheel.next_deadline_ms().unwrap(), 256, &mut expired);
//! assert_eq!(expired, [0]);
//! slot.move_state(State::Parked, State::Closing).unwrap();
//! slot.release().unwrap();
//! assert_eq!((slot.state(), slot.generation()), (State::Free, 1));
//! ```
#![cfg_attr(not(any(test, loom)), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

extern crate alloc;

pub mod close_reason;
pub mod deadline;
pub mod downstream;
pub mod lifecycle;
pub mod persist;
pub mod slot;
pub mod tunnel;
pub mod wheel;

pub use close_reason::CloseReason;
pub use downstream::{BodyLength, Downstream, EofOutcome, Expecting, Input, ResponsePlan, Step};
pub use lifecycle::{Refused, State};
pub use persist::After;
pub use slot::{Half, Slot, SlotTable};
pub use wheel::Wheel;

/// Atomics: the core's, or loom's where its models are run.
mod sync {
    #[cfg(not(loom))]
    pub(crate) use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
    #[cfg(loom)]
    pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
}
