//! One transport trait, three implementations: an io_uring reactor, an epoll reactor for hosts that
//! forbid io_uring, and a simulated network.
//!
//! **What it is.** The worker's way to sockets: listeners, slots, park, receive, send, close, a
//! bounded pool of buffers, a wake from other threads and one deadline per wait. A worker calls
//! the commands of [`Transport`], then [`Transport::wait`], which submits everything that was
//! asked for and appends what has happened to a list. Nothing here is a future or a callback.
//!
//! **What it is not.** It knows no protocol: bytes are bytes. It keeps no timers per connection
//! (the caller's wheel gives the one deadline), no peer addresses after [`Completion::Accepted`],
//! no limits per source. It never blocks except in `wait`, and never reads files.
//!
//! ```text
//!             park ──► Readable | Unparked          (no buffer, 256 B of kernel memory)
//!  Accepted ─►receive(buffer) ──► Received(buffer, bytes | end | fault)
//!             send(payload) ──► Sent(payload, bytes | fault)   (may be short: send it again)
//!  adopt / connect ─► Connected(slot | fault)
//!             close ──► … what was in flight comes back … ──► Closed ─► slot is free again
//! ```
//!
//! # Invariants
//! - **TR-1** An op owns its buffer or payload until its final completion. Each is given back
//!   exactly once, or dropped after the ring was drained; never while the kernel may touch it.
//! - **TR-2** A slot is never closed under an armed request, and `Closed` is the last completion
//!   that carries its token.
//! - **TR-3** A token of another generation is refused: its buffer or payload comes back as
//!   [`IoFault::Cancelled`], everything else about it is ignored.
//! - **TR-4** At most one park, one receive and one send per slot are in flight.
//! - **TR-5** A connection is accepted only when a slot is free for it, so none is lost for want of
//!   a slot; a full table leaves connections in the listener's backlog.
//! - **TR-6** A [`Waker::wake`] after the last [`Completion::Woken`] is followed by another one.
//! - **TR-7** Park, receive, send and their completions allocate nothing after warm-up.
//! - **TR-8** The reactor's own bookkeeping is 8 bytes per slot on rings, 16 with epoll.
//! - **TR-9** `wait` returns at its deadline at the latest, whatever the reactor does inside.
//! - **TR-10** Dropping a reactor cancels and drains its rings first; only then do buffers and
//!   payloads fall. What cannot be drained is leaked, not freed.
//! - **TR-11** A connection that always has something to say gets one receive per command and turn:
//!   whoever else speaks is heard in every turn.
//!
//! Unsafe code lives in `uring/sys.rs` and `epoll/sys.rs` alone.
//!
//! # Example
//! ```
//! use longhold_transport::{Completion, Payload, Parts, Token, Transport, sim::Network};
//!
//! struct Text(&'static [u8]);
//! impl Payload for Text {
//!     fn parts<'a>(&'a self, parts: &mut Parts<'a>) { parts.push(self.0) }
//!     fn advance(&mut self, sent_bytes: usize) { self.0 = &self.0[sent_bytes..] }
//! }
//!
//! let network = Network::new(7);
//! let mut edge = network.transport::<Text>(&Default::default());
//! let address = "192.0.2.1:80".parse().unwrap();
//! edge.listen(network.bind(address)).unwrap();
//! let client = network.connect("198.51.100.9:4711".parse().unwrap(), address);
//! client.write(b"hello");
//!
//! let mut completions = Vec::new();
//! edge.wait(None, &mut completions).unwrap();
//! let Some(Completion::Accepted { slot, .. }) = completions.pop() else { unreachable!() };
//! let token = Token::new(slot, 1);
//! let buffer = edge.buffer().unwrap();
//! edge.receive(token, buffer);
//! edge.wait(None, &mut completions).unwrap();
//! let Some(Completion::Received { buffer, .. }) = completions.pop() else { unreachable!() };
//! assert_eq!(buffer.filled(), b"hello");
//! ```

mod adopt;
mod buffers;
mod completion;
mod config;
pub mod epoll;
mod error;
mod listen;
mod op;
mod option;
mod outbound;
mod passage;
mod payload;
pub mod probe;
pub mod sim;
mod token;
mod transport;
pub mod uring;
mod wake;

pub use adopt::{AdoptError, Adoptee, Adopter};
pub use buffers::{BUFFER_BYTES, Buffer};
pub use completion::Completion;
pub use config::Config;
pub use error::{AcceptError, IoFault, ListenError, StartError, TransportError};
pub use listen::{BoundListener, bind_listeners};
pub use option::bind_without_port;
pub use payload::{PARTS_MAX, Parts, Payload};
pub use token::{ListenerId, Now, Security, Token};
pub use transport::Transport;
pub use wake::Waker;

#[cfg(test)]
mod tests;
