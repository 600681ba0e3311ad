//! The trait between a worker and whatever carries its bytes.

use std::net::SocketAddr;

use crate::{
    Adopter, BoundListener, Buffer, Completion, ListenError, ListenerId, Now, Payload, Security,
    Token, TransportError, Waker,
};

/// Sockets by slot: commands are taken at once and carried out by the next [`wait`](Self::wait).
///
/// Getters (`now`, `slot_count`, …) change nothing. Commands (`park`, `send`, …) never fail on the
/// spot and never block: each answers with the completion that its documentation names, whatever
/// has become of the peer. A command whose token is stale or was closed only gives its buffer or
/// payload back (TR-3).
pub trait Transport {
    /// What this transport sends.
    type Payload: Payload;

    /// Accepts on `listener` from the next wait on; answers `Accepted`, `AcceptFailed`.
    ///
    /// # Errors
    /// [`ListenError::TooMany`] beyond 65,535 listeners, [`ListenError::Foreign`] for a listener
    /// of another kind of transport.
    fn listen(&mut self, listener: BoundListener) -> Result<ListenerId, ListenError>;

    /// Where `listener` listens, with the port that the kernel chose if it was bound to port 0.
    /// For a listener that this transport never made: the unspecified address, port 0.
    fn local_address(&self, listener: ListenerId) -> SocketAddr;

    /// For draining: ends all accepts and closes the listeners. A connection that was accepted
    /// meanwhile is still told.
    fn stop_accepting(&mut self);

    /// All slot numbers given out are below this.
    fn slot_count(&self) -> u32;

    /// Slots of each shard but perhaps the last; slot numbers go through the shards in order.
    fn slots_per_shard(&self) -> u32;

    /// Sockets in the slots of a shard, those included that are being closed; 0 beyond the last
    /// shard.
    fn used_count(&self, shard: u32) -> u32;

    /// The time, read afresh.
    fn now(&self) -> Now;

    /// Opens an outbound TCP connection, from the address `from` if given (port 0 = any port).
    /// Answers `Connected`. Beyond `slots` pending ones: `Exhausted`.
    fn connect(&mut self, address: SocketAddr, from: Option<SocketAddr>, ticket: u64);

    /// A handle by which other threads hand connected sockets over; answers `Connected`.
    fn adopter(&self) -> Adopter;

    /// Waits without a buffer until the peer speaks, leaves or fails; answers `Readable` or, after
    /// a cancel, `Unparked`.
    fn park(&mut self, token: Token);

    /// Receives into the spare part of `buffer`; answers `Received`. Waits for at least one byte
    /// or the end. A buffer without spare room comes back with `Exhausted`.
    fn receive(&mut self, token: Token, buffer: Buffer);

    /// Sends `payload`; answers `Sent`, as soon as a part of it is out. An empty payload comes
    /// back at once with `Ok(0)`.
    fn send(&mut self, token: Token, payload: Self::Payload);

    /// Shuts the write half, for a lingering close; answers `ShutDown`. Not for the hot path (the
    /// kernel does it on a helper thread), and not while a send is in flight.
    fn shutdown(&mut self, token: Token);

    /// Asks the park, receive and send of `token` to end. Each answers as always: with what it
    /// had reached, or `Unparked` / `Cancelled`. Without any in flight, nothing happens.
    fn cancel(&mut self, token: Token);

    /// Closes the connection at any time: ends what is in flight (buffers and payloads come back
    /// first; a park ends silently), then closes, then answers `Closed`, once.
    fn close(&mut self, token: Token);

    /// By what the connection is secured.
    fn security(&self, _token: Token) -> Security {
        Security::default()
    }

    /// A buffer of [`BUFFER_BYTES`](crate::BUFFER_BYTES) from the pool; `None` when all are out.
    fn buffer(&mut self) -> Option<Buffer>;

    /// Gives a buffer back to the pool. Oversized ones are dropped.
    fn recycle(&mut self, buffer: Buffer);

    /// Buffers that exist, in use or not.
    fn buffer_count(&self) -> u32;

    /// Frees what is kept for reuse and not in use; it is made again when it is needed.
    fn trim(&mut self);

    /// A handle by which other threads end a wait; answers `Woken`.
    fn waker(&self) -> Waker;

    /// Submits everything asked for, then waits for a completion or the monotonic instant
    /// `until_us` (`None` = no deadline; a past one = do not wait), and appends what happened.
    ///
    /// # Errors
    /// [`TransportError::Ring`] when the kernel refuses the ring: the transport is of no further
    /// use. [`TransportError::Idle`] from a simulated transport in which nothing can ever happen.
    fn wait(
        &mut self,
        until_us: Option<u64>,
        completions: &mut Vec<Completion<Self::Payload>>,
    ) -> Result<(), TransportError>;
}
