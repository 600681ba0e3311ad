//! Connections that another thread has opened, on their way into a transport.
//!
//! ```text
//!  other thread                          the transport's thread
//!  adopt(socket, ticket) ─► queue ─► wait() ─► slot ─► Connected { ticket, slot | fault }
//!                           └─ at most as many as the transport has slots
//! ```
//! Where the transport's thread has a table of descriptors of its own, the queue is a pair of
//! sockets that carries them over.
//! Not here: who may hand over what. A ticket is the caller's number, as with
//! [`connect`](crate::Transport::connect).

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::net::sockopt;

use crate::passage::{Passage, Passed};
use crate::wake::raise;
use crate::{IoFault, sim};

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
    /// It has not come through: the table of descriptors was full.
    Lost,
}

impl Adoptee {
    /// The kernel's socket, if it is one.
    pub(crate) fn kernel(self) -> Result<OwnedFd, IoFault> {
        match self.kind {
            Kind::Kernel(socket) => Ok(socket),
            Kind::Simulated(_) => Err(FOREIGN),
            Kind::Lost => Err(IoFault::Exhausted),
        }
    }

    /// The simulated stream, if it is one.
    pub(crate) fn simulated(self) -> Result<sim::Stream, IoFault> {
        match self.kind {
            Kind::Simulated(stream) => Ok(stream),
            Kind::Kernel(_) | Kind::Lost => Err(FOREIGN),
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.kind {
            Kind::Kernel(socket) => Some(socket.as_fd()),
            Kind::Simulated(_) | Kind::Lost => None,
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
        Self::by(waiting_max, Way::Memory(event))
    }

    /// The same into a table of descriptors that is not shared. The far end of `passage` is
    /// readable when something has come.
    pub(crate) fn through(waiting_max: u32, passage: Passage) -> Self {
        Self::by(waiting_max, Way::Passage(passage))
    }

    fn by(waiting_max: u32, way: Way) -> Self {
        let state = State { waiting: VecDeque::new(), passing: 0, is_open: true };
        let queue = Queue { state: Mutex::new(state), waiting_max: waiting_max as usize, way };
        Self { queue: Arc::new(queue) }
    }

    /// The other end.
    pub(crate) fn adopter(&self) -> Adopter {
        Adopter { queue: Arc::clone(&self.queue) }
    }

    /// The descriptor that is readable when something has come, if there is a passage.
    pub(crate) fn passage(&self) -> Option<&Passage> {
        match &self.queue.way {
            Way::Memory(_) => None,
            Way::Passage(passage) => Some(passage),
        }
    }

    /// The socket that waits longest. To be asked after the event was raised.
    pub(crate) fn take(&self) -> Option<Adopted> {
        self.queue.pop()
    }
}

impl Drop for Adoptions {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.is_open = false;
        drop(state);
        // Nothing more comes: what is left is closed, not under the lock.
        while self.queue.pop().is_some() {}
    }
}

#[derive(Debug)]
struct Queue {
    state: Mutex<State>,
    waiting_max: usize,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// As they are; the event is raised.
    Memory(Option<Arc<OwnedFd>>),
    /// Through a pair of sockets.
    Passage(Passage),
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Adopted>,
    /// As many are on their way through the passage.
    passing: usize,
    is_open: bool,
}

impl Queue {
    fn push(&self, adopted: Adopted) -> Result<(), AdoptError> {
        let mut state = self.lock();
        if !state.is_open {
            return Err(AdoptError::Gone);
        }
        if state.waiting.len() + state.passing >= self.waiting_max {
            return Err(AdoptError::Full);
        }
        match &self.way {
            Way::Memory(event) => {
                state.waiting.push_back(adopted);
                drop(state);
                if let Some(event) = event {
                    raise(event);
                }
            }
            Way::Passage(passage) => {
                let Adopted { adoptee, ticket } = &adopted;
                passage.send(*ticket, adoptee.descriptor()).map_err(|_| AdoptError::Full)?;
                state.passing += 1;
            }
        }
        Ok(())
    }

    fn pop(&self) -> Option<Adopted> {
        match &self.way {
            Way::Memory(_) => self.lock().waiting.pop_front(),
            Way::Passage(passage) => {
                let Passed { number, descriptor } = passage.receive()?;
                let mut state = self.lock();
                state.passing = state.passing.saturating_sub(1);
                let kind = descriptor.map_or(Kind::Lost, Kind::Kernel);
                Some(Adopted { adoptee: Adoptee { kind }, ticket: number })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A simulated stream for a real transport, or the other way round.
const FOREIGN: IoFault = IoFault::Other(libc::EBADF);
