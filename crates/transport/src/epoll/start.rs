//! How an epoll reactor is made: in the process's table of descriptors, or in one of its thread's
//! own.

use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use super::listeners::Listeners;
use super::reactor::{PASSAGE, Reactor, WAKER};
use super::slots::Slots;
use super::{Table, sys};
use crate::adopt::Adoptions;
use crate::buffers::BufferPool;
use crate::listen::Socket;
use crate::passage::Passage;
use crate::{BoundListener, Config, Payload, StartError, Waker};

impl<P: Payload> Reactor<P> {
    /// A reactor in the table of descriptors that the calling thread has.
    ///
    /// # Errors
    /// [`StartError::Slots`]; [`StartError::Shard`] when descriptors or memory are short.
    pub fn new(config: &Config) -> Result<Self, StartError> {
        let (waker, event) = Waker::with_event().map_err(start_error)?;
        let adoptions = Adoptions::new(config.slots, Some(Arc::clone(&event)));
        Self::with_parts(config, config.slots, (waker, &event, adoptions))
    }

    /// A reactor in a table of descriptors that the calling thread has for itself from now on, if
    /// the system allows; else it is shared as it was, and [`Reactor::table`] says so. What
    /// `RLIMIT_NOFILE` allows bounds the slots then. The listeners move into the table; their order
    /// is that of [`ListenerId`](crate::ListenerId).
    ///
    /// The calling thread must own no other socket with an address: it would be closed. Descriptors
    /// that other threads open later mean nothing to this one; [`Adopter`](crate::Adopter)
    /// carries sockets over.
    ///
    /// # Errors
    /// As [`Reactor::new`], and [`StartError::Listeners`] for such as cannot be taken over.
    pub fn with_private_table(
        config: &Config,
        listeners: Vec<BoundListener>,
    ) -> Result<Self, StartError> {
        // Both ends of these must have their numbers in both tables.
        let (waker, event) = Waker::with_event().map_err(start_error)?;
        let passage = Passage::new().map_err(start_error)?;
        let carrier = Passage::new().map_err(start_error)?;
        let count = listeners.len();
        let mut addresses = Vec::with_capacity(count);
        let refused = |_| StartError::Listeners { count: count as u32 };
        for listener in listeners {
            let Socket::Kernel(socket) = listener.socket else {
                return Err(StartError::Listeners { count: count as u32 });
            };
            addresses.push(listener.address);
            // On its way it belongs to no table; our number for it is closed in the shared one.
            carrier.send(0, Some(socket.as_fd())).map_err(refused)?;
        }
        let table = sys::make_table_private().map_or_else(Table::Refused, |()| Table::Private);
        let (slots, adoptions) = match table {
            Table::Private => (affordable(config.slots), Adoptions::through(config.slots, passage)),
            Table::Shared | Table::Refused(_) => {
                (config.slots, Adoptions::new(config.slots, Some(Arc::clone(&event))))
            }
        };
        let mut reactor = Self::with_parts(config, slots, (waker, &event, adoptions))?;
        reactor.table = table;
        for address in addresses {
            let socket = carrier.receive().and_then(|passed| passed.descriptor);
            let socket = socket.ok_or(StartError::Listeners { count: count as u32 })?;
            let added = reactor.listeners.add(&reactor.poll, socket, address);
            added.map_err(start_error)?.ok_or(StartError::Listeners { count: count as u32 })?;
        }
        Ok(reactor)
    }

    fn with_parts(
        config: &Config,
        slots: u32,
        (waker, event, adoptions): (Waker, &OwnedFd, Adoptions),
    ) -> Result<Self, StartError> {
        if config.slots == 0 || config.slots > SLOTS_MAX {
            return Err(StartError::Slots { slots: config.slots });
        }
        let poll = epoll::create(CreateFlags::CLOEXEC).map_err(start_error)?;
        // Every raise is an edge of its own: the counter need not be read.
        let raised = EventFlags::IN | EventFlags::ET;
        epoll::add(&poll, event, EventData::new_u64(WAKER << 32), raised).map_err(start_error)?;
        if let Some(passage) = adoptions.passage() {
            let name = EventData::new_u64(PASSAGE << 32);
            epoll::add(&poll, passage.far(), name, EventFlags::IN).map_err(start_error)?;
        }
        Ok(Self {
            poll,
            slots: Slots::new(slots),
            listeners: Listeners::new(config.accepts_per_listener),
            adoptions,
            has_adoptions: false,
            pool: BufferPool::new(config.buffers),
            waker,
            ready: Vec::new(),
            readable: Vec::new(),
            events: Vec::with_capacity(config.wait_batch.max(1) as usize),
            started: Instant::now(),
            table: Table::Shared,
            one_thread: PhantomData,
        })
    }
}

/// Slots that the table of this thread has room for, of those wanted.
fn affordable(slots: u32) -> u32 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = u32::try_from(limit.unwrap_or(u64::MAX)).unwrap_or(u32::MAX);
    let open = std::fs::read_dir("/proc/thread-self/fd").map_or(0, Iterator::count);
    let taken = u32::try_from(open).unwrap_or(u32::MAX).saturating_add(DESCRIPTOR_SLACK);
    slots.min(limit.saturating_sub(taken)).max(1)
}

fn start_error(errno: Errno) -> StartError {
    StartError::Shard { shard: 0, errno: errno.raw_os_error() }
}

/// Largest number of slots, as with rings.
const SLOTS_MAX: u32 = 1 << 31;
/// Descriptors that the slots leave to others.
const DESCRIPTOR_SLACK: u32 = 64;
