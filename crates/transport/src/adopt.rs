//! Connections that another thread has opened, on their way into a transport.
//!
//! ```text
//!  other thread                          the transport's thread
//!  adopt(socket, ticket) ─► queue ─► wait() ─► slot ─► Connected { ticket, slot | fault }
//!                           └─ at most as many as the transport has slots
//! ```
//! Not here: who may hand over what. A ticket is the caller's number, as with
//! [`connect`](crate::Transport::connect).

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::net::sockopt;

use crate::sim;
use crate::wake::raise;

/// Hands connected sockets of other threads to one transport. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Adopter {
    queue: Arc<Queue>,
}

impl Adopter {
    /// Gives `socket`, a connected stream socket, to the transport, which answers
    /// [`Connected`](crate::Completion::Connected) with `ticket` and a slot, or with the fault for
    /// which it was closed.
    ///
    /// # Errors
    /// [`AdoptError`]: the socket is closed and nothing is answered.
    pub fn adopt(&self, socket: impl Into<Adoptee>, ticket: u64) -> Result<(), AdoptError> {
        let adoptee = socket.into();
        if let Kind::Kernel(socket) = &adoptee.kind {
            // Small pieces of a tunnel must not wait for each other. Only TCP knows the option.
            let _ = sockopt::set_tcp_nodelay(socket.as_fd(), true);
            // A ring fails an operation on a non-blocking socket instead of waiting.
            let _ = rustix::io::ioctl_fionbio(socket.as_fd(), false);
        }
        self.queue.push(Adopted { adoptee, ticket })
    }
}

/// A connected socket that is to be adopted: the kernel's or a simulated network's.
#[derive(Debug)]
pub struct Adoptee {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Kernel(OwnedFd),
    Simulated(sim::Stream),
}

impl Adoptee {
    /// The kernel's socket, if it is one.
    pub(crate) fn kernel(self) -> Option<OwnedFd> {
        match self.kind {
            Kind::Kernel(socket) => Some(socket),
            Kind::Simulated(_) => None,
        }
    }

    /// The simulated stream, if it is one.
    pub(crate) fn simulated(self) -> Option<sim::Stream> {
        match self.kind {
            Kind::Kernel(_) => None,
            Kind::Simulated(stream) => Some(stream),
        }
    }
}

impl From<OwnedFd> for Adoptee {
    fn from(socket: OwnedFd) -> Self {
        Self { kind: Kind::Kernel(socket) }
    }
}

impl From<sim::Stream> for Adoptee {
    fn from(stream: sim::Stream) -> Self {
        Self { kind: Kind::Simulated(stream) }
    }
}

/// Why a socket was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdoptError {
    /// The transport is no more.
    #[error("the transport has ended")]
    Gone,
    /// As many sockets wait to be adopted as the transport has slots.
    #[error("too many connections wait to be adopted")]
    Full,
}

/// A socket that waits for its slot.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) adoptee: Adoptee,
    pub(crate) ticket: u64,
}

/// The transport's end: it takes what was handed over. Dropping it refuses all that follows and
/// closes what waits.
#[derive(Debug)]
pub(crate) struct Adoptions {
    queue: Arc<Queue>,
}

impl Adoptions {
    /// A way in for at most `waiting_max` sockets at a time; `event` is raised for each.
    pub(crate) fn new(waiting_max: u32, event: Option<Arc<OwnedFd>>) -> Self {
        let state = State { waiting: VecDeque::new(), is_open: true };
        let queue = Queue { state: Mutex::new(state), waiting_max: waiting_max as usize, event };
        Self { queue: Arc::new(queue) }
    }

    /// The other end.
    pub(crate) fn adopter(&self) -> Adopter {
        Adopter { queue: Arc::clone(&self.queue) }
    }

    /// The socket that waits longest. To be asked after the event was raised.
    pub(crate) fn take(&self) -> Option<Adopted> {
        self.queue.lock().waiting.pop_front()
    }
}

impl Drop for Adoptions {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.is_open = false;
        let left = std::mem::take(&mut state.waiting);
        drop(state);
        // Closing may take its time: not under the lock.
        drop(left);
    }
}

#[derive(Debug)]
struct Queue {
    state: Mutex<State>,
    waiting_max: usize,
    event: Option<Arc<OwnedFd>>,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Adopted>,
    is_open: bool,
}

impl Queue {
    fn push(&self, adopted: Adopted) -> Result<(), AdoptError> {
        let mut state = self.lock();
        if !state.is_open {
            return Err(AdoptError::Gone);
        }
        if state.waiting.len() >= self.waiting_max {
            return Err(AdoptError::Full);
        }
        state.waiting.push_back(adopted);
        drop(state);
        if let Some(event) = &self.event {
            raise(event);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
