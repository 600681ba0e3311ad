//! The epoll reactor: [`Reactor`] implements [`Transport`](crate::Transport) where io_uring is
//! forbidden.
//!
//! ```text
//!  Reactor ─┬─ epoll instance                                             ◄── wait() waits here
//!           │    ├─ connections: edge-triggered, registered once
//!           │    ├─ listeners: level-triggered, in batches, silent while no slot is free
//!           │    └─ waker, and the way in for adopted connections
//!           ├─ slots: descriptor, generation, what is known of the socket
//!           ├─ flights: buffers and payloads that wait for the socket
//!           └─ pool of buffers, clock
//! ```
//! A command is tried at once; only what would have to wait is noted, and an event tries it again.
//! What is done goes to the list that the next wait begins with. So a request on a connection that
//! rests costs a `recv` and a `send`, and a share of an `epoll_wait`; a parked connection costs
//! the registration (208 bytes of kernel memory) and nothing when it closes.
//!
//! # What an edge means
//! An edge is told once, so the reactor remembers it: a socket counts as readable from the edge
//! until a receive finds less than it asked for. After the end or an error it stays readable. Bytes
//! that come after the receive make an edge of their own. Interest in writing is registered when a
//! send finds no room, and taken back when the connection parks.
//!
//! # Private tables of descriptors
//! `RLIMIT_NOFILE` bounds a table of descriptors, and threads usually share one.
//! [`Reactor::with_private_table`] gives the calling thread a table of its own, so each worker has
//! the whole limit to itself, and the kernel's lock on the table is not shared either.

mod listeners;
mod reactor;
mod slots;
mod socket;
mod start;
mod sys;

pub use reactor::Reactor;

/// Whose table of descriptors a reactor uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Its thread's alone.
    Private,
    /// The process's.
    Shared,
    /// The process's, because the system refused another one, with this errno.
    Refused(i32),
}
