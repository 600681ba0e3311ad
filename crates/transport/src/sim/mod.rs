//! A network in memory: the same [`Transport`](crate::Transport), no kernel, no real time.
//!
//! One [`Network`] holds connections, listeners and the clock. [`Network::transport`] gives a
//! worker its transport; [`Network::connect`] and [`Network::serve`] give a test the other ends.
//! Everything that is left to chance (how bytes are cut, how long they take, which completion
//! comes first, when a connection breaks) comes from one seed, so a failing run can be repeated.
//!
//! Time is virtual: it stands still while a worker has anything to do, and when a wait finds
//! nothing it jumps to the next delivery, scheduled call or deadline. A wait in which nothing can
//! ever happen ends with [`TransportError::Idle`](crate::TransportError::Idle), so a test ends
//! instead of hanging; [`Network::hold_at`] makes time itself stop somewhere.
//!
//! It follows TCP on Linux where a worker can see the difference: bytes before a reset are read
//! before the fault is told; closing with unread bytes resets the peer, otherwise it ends the
//! stream; writing to a peer that has closed brings a reset back.
//!
//! Unless [`Profile::strict`] is off, breaking the rules of the transport panics, with the
//! invariant's id: a second park, receive or send, or any command on a token that is stale or was
//! closed.

mod clock;
mod net;
mod peer;
mod transport;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

pub use peer::{Client, Server, Stream};
pub use transport::SimTransport;

use crate::{BoundListener, Config, Payload};
use net::World;

/// What is left to chance, and how much of it. [`Default`]: nothing, at once and in one piece.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// A receive or send moves at most so many bytes, by chance down to one. 0 = no limit.
    pub short_bytes_max: usize,
    /// Deliveries and completions take up to so many microseconds.
    pub delay_us_max: u64,
    /// One in so many receives and sends finds the connection reset. 0 = none.
    pub reset_one_in: u32,
    /// Unread bytes that a connection holds per direction; a writer beyond it waits.
    pub window_bytes: usize,
    /// Panic when a rule of the transport is broken, instead of refusing as the reactors do.
    pub strict: bool,
}

impl Profile {
    /// Short, slow and whole: bytes in small pieces, all of them delivered.
    pub const ROUGH: Self = Self {
        short_bytes_max: 37,
        delay_us_max: 5_000,
        reset_one_in: 0,
        window_bytes: 4_096,
        strict: true,
    };
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            short_bytes_max: 0,
            delay_us_max: 0,
            reset_one_in: 0,
            window_bytes: usize::MAX,
            strict: true,
        }
    }
}

/// A simulated network: a handle, cheap to clone, for one thread.
#[derive(Clone)]
pub struct Network {
    world: Rc<RefCell<World>>,
}

impl Network {
    /// A network in which nothing is left to chance but the order of simultaneous completions.
    pub fn new(seed: u64) -> Self {
        Self::with_profile(seed, Profile::default())
    }

    /// A network with as much chance as `profile` says.
    pub fn with_profile(seed: u64, profile: Profile) -> Self {
        Self { world: Rc::new(RefCell::new(World::new(seed, profile))) }
    }

    /// A worker's transport. Of `config`, `slots` and `buffers` count.
    pub fn transport<P: Payload>(&self, config: &Config) -> SimTransport<P> {
        SimTransport::new(self.clone(), config)
    }

    /// A listener for [`Transport::listen`](crate::Transport::listen). Several transports may
    /// listen on one address: chance decides who gets a connection. Port 0 chooses a port.
    pub fn bind(&self, address: SocketAddr) -> BoundListener {
        BoundListener::simulated(self.world.borrow_mut().with_port(address))
    }

    /// A client's end of a new connection. Port 0 in `from` chooses a port.
    pub fn connect(&self, from: SocketAddr, to: SocketAddr) -> Client {
        Client::connect(self, from, to)
    }

    /// Listens for connections that transports open to `address`.
    pub fn serve(&self, address: SocketAddr) -> Server {
        Server::new(self, address)
    }

    /// Both ends of a new connection that is open at once: one to be
    /// [adopted](crate::Adopter::adopt) by a transport, the other at `peer` for the test.
    pub fn stream(&self, peer: SocketAddr) -> (Stream, Client) {
        Stream::pair(self, peer)
    }

    /// Virtual microseconds since the network was made.
    pub fn now_us(&self) -> u64 {
        self.world.borrow().now_us()
    }

    /// Calls `action` when `delay_us` of virtual time have passed, in the middle of some wait.
    pub fn after(&self, delay_us: u64, action: impl FnOnce() + 'static) {
        self.world.borrow_mut().schedule_call(delay_us, Box::new(action));
    }

    /// Time does not pass `until_us`: a wait that would have to go beyond ends with `Idle`.
    pub fn hold_at(&self, until_us: u64) {
        self.world.borrow_mut().hold_at(until_us);
    }

    /// Lets time pass for `us` from now, then holds it.
    pub fn run_for(&self, us: u64) {
        self.hold_at(self.now_us().saturating_add(us));
    }
}
