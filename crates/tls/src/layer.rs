//! The layer between a transport and its caller that secures connections: [`Secured`].
//!
//! **What it is.** A [`Transport`](longhold_transport::Transport) over another one. What listeners
//! accept that were [secured](Secured::secure_listener), and what the caller
//! [secures as a client](Secured::secure_client), shakes hands in here and then goes on as a
//! connection like any other: the caller parks, receives plaintext, sends payloads, and knows
//! nothing of records. Every other connection passes through, for one bit test per command.
//!
//! **What it is not.** It opens no sockets and reads no files. The clock over a handshake is the
//! caller's, who closes what takes too long; the clock over a record that has begun and does not
//! end is the layer's.
//!
//! ```text
//! caller   park ─── Readable ── receive(buffer) ◄─ plaintext        send(payload)   close
//!            │          ▲               ▲                                │ window      │
//!  layer   Parked    wakes           open, in the layer's input        seal into     close_notify
//!          128 B        │               │                              a chunk         │
//!  below   park ───► Readable        receive(input)                    send(Sealed)   close
//! ```
//!
//! # Invariants
//! - **TS-1** A secured connection at rest is its cell of the table, 128 bytes, and one park below:
//!   no keys, no buffer, no place in the list of the live. (Sessions that cannot park excepted.)
//! - **TS-2** A caller receives plaintext, in order, once; never a `Received` without bytes but the
//!   end and faults.
//! - **TS-3** Of a payload nothing is told as sent whose record has not gone, or is not going: the
//!   last byte of a window only with its tag. After a short send the next send of the connection
//!   must go on with the same bytes, because some of them may be sealed already.
//! - **TS-4** A park is answered whenever there is something to tell, wherever it lies: below, in
//!   an input, or in a fault.
//! - **TS-5** Handshakes take so many steps a turn, after everything that was to be done for
//!   established connections.
//! - **TS-6** What waits in line, and who has said nothing yet, holds no buffer and no handshake.
//! - **TS-7** Parts of records are kept for so long and not longer.
//! - **TS-8** Commands and completions of established sessions allocate nothing after warm-up.
//!
//! Unsafe code: none.

mod cells;
mod inbound;
mod line;
mod live;
mod outbound;
mod pools;
mod report;
mod secured;
mod security;
mod shaking;
mod wire;

pub use line::{Bounds, InFlight};
pub use pools::{CHUNK_BYTES, INPUT_BYTES, WINDOWS_BYTES};
pub use report::{Report, Reporter};
pub use secured::{AnswersInClear, LayerSettings, Secured};
pub use wire::{Chunk, Wire};

/// What a slot takes once it has been secured: its cell of the parked, and a word that says where
/// it is.
pub const SLOT_BYTES: usize = crate::PARKED_BYTES + size_of::<u32>();

#[cfg(test)]
mod tests;
