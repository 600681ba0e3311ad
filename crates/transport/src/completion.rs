//! What has happened: the list that a wait appends to.

use std::net::SocketAddr;

use crate::{AcceptError, Buffer, IoFault, ListenerId, Token};

/// One thing that has happened. Buffers and payloads come back with it (TR-1).
#[derive(Debug)]
pub enum Completion<P> {
    /// A connection was accepted into `slot`; the caller names it by a token from now on.
    Accepted {
        /// Where it came in.
        listener: ListenerId,
        /// Its slot.
        slot: u32,
        /// The peer's address.
        peer: SocketAddr,
    },
    /// A listener could not accept; the transport itself tries again when that makes sense.
    AcceptFailed {
        /// Which listener.
        listener: ListenerId,
        /// Why.
        error: AcceptError,
    },
    /// The outbound or adopted connection of `ticket` stands in a slot, or failed.
    Connected {
        /// The caller's number from [`connect`](crate::Transport::connect) or
        /// [`adopt`](crate::Adopter::adopt).
        ticket: u64,
        /// The slot, or why there is none.
        result: Result<u32, IoFault>,
    },
    /// A handshake has ended: from now on the connection carries the caller's bytes, or is of no
    /// further use. Only a transport that secures connections says so.
    Secured {
        /// Whose handshake.
        token: Token,
        /// How it ended.
        result: Result<(), IoFault>,
    },
    /// A parked connection has bytes, an end or an error to tell: a receive says which.
    Readable {
        /// Whose park ended.
        token: Token,
    },
    /// A park ended by [`cancel`](crate::Transport::cancel) before the peer spoke.
    Unparked {
        /// Whose park ended.
        token: Token,
    },
    /// A receive ended. `Ok(0)` is the end of the stream; `Ok(n)` bytes lie behind what the
    /// buffer held before.
    Received {
        /// Whose receive ended.
        token: Token,
        /// The buffer, given back.
        buffer: Buffer,
        /// Bytes received, or the fault.
        result: Result<usize, IoFault>,
    },
    /// A send ended. The payload is already advanced by the bytes sent, which may be fewer than
    /// it had: send it again.
    Sent {
        /// Whose send ended.
        token: Token,
        /// The payload, given back.
        payload: P,
        /// Bytes sent, or the fault.
        result: Result<usize, IoFault>,
    },
    /// The write half is shut (or the connection was gone already, which a receive will tell).
    ShutDown {
        /// Whose write half.
        token: Token,
    },
    /// The connection is closed and nothing of it is in flight; its slot may be given out again.
    Closed {
        /// The token, for the last time.
        token: Token,
    },
    /// A [`Waker`](crate::Waker) was used.
    Woken,
}
