//! Listeners of the epoll reactor: level-triggered, so that what a turn leaves in a backlog is told
//! again, and silent while a connection could not be taken.
//!
//! A failure that took a connection off the backlog is followed by another accept at once; any
//! other (descriptors, memory) pauses the listener until a slot closes or [`PAUSE_US`] have passed.
//! Without a free slot all connections stay in their backlogs (TR-5).

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, SocketFlags};

use crate::{AcceptError, ListenerId};

/// All listeners of one reactor.
#[derive(Debug)]
pub(super) struct Listeners {
    all: Vec<Listener>,
    /// Connections taken from one listener before others have their turn.
    batch_max: u32,
    /// When paused listeners go on.
    resume_us: Option<u64>,
    /// Some listener is silent.
    has_silent: bool,
}

#[derive(Debug)]
struct Listener {
    /// Gone once accepting has stopped.
    socket: Option<OwnedFd>,
    address: SocketAddr,
    /// Not watched: it has failed, or no slot is free.
    is_silent: bool,
    /// Told that the table is full, and nothing accepted since.
    is_starved: bool,
}

/// What an accept has brought.
pub(super) enum Accepted {
    Connection(OwnedFd, SocketAddr),
    Failed(AcceptError),
    /// Nobody waits, or nobody can be taken just now.
    Nothing,
}

impl Listeners {
    pub(super) fn new(batch_max: u32) -> Self {
        Self { all: Vec::new(), batch_max: batch_max.max(1), resume_us: None, has_silent: false }
    }

    pub(super) fn batch_max(&self) -> u32 {
        self.batch_max
    }

    /// Adds a listener, watched through `poll`; `None` when there are too many to name.
    ///
    /// # Errors
    /// When the kernel does not watch it.
    pub(super) fn add(
        &mut self,
        poll: &OwnedFd,
        socket: OwnedFd,
        address: SocketAddr,
    ) -> Result<Option<ListenerId>, Errno> {
        let Ok(id) = u16::try_from(self.all.len()) else {
            return Ok(None);
        };
        // An accept must not wait when the peer has left in between.
        rustix::io::ioctl_fionbio(&socket, true)?;
        epoll::add(poll, &socket, name(id), EventFlags::IN)?;
        let (is_silent, is_starved) = (false, false);
        self.all.push(Listener { socket: Some(socket), address, is_silent, is_starved });
        Ok(Some(ListenerId(id)))
    }

    pub(super) fn address(&self, listener: ListenerId) -> Option<SocketAddr> {
        self.all.get(usize::from(listener.0)).map(|listener| listener.address)
    }

    /// When paused listeners go on.
    pub(super) fn resume_us(&self) -> Option<u64> {
        self.resume_us
    }

    /// Closes them all.
    pub(super) fn stop(&mut self) {
        self.all.iter_mut().for_each(|listener| listener.socket = None);
    }

    /// Takes one connection from the backlog of `id`. A failure that another accept would repeat
    /// silences the listener and is told once.
    pub(super) fn accept(&mut self, poll: &OwnedFd, id: u16, now_us: u64) -> Accepted {
        let Some(listener) = self.all.get_mut(usize::from(id)) else {
            return Accepted::Nothing;
        };
        let Some(socket) = &listener.socket else {
            return Accepted::Nothing;
        };
        let errno = match net::acceptfrom_with(socket, SocketFlags::CLOEXEC) {
            Ok((connection, peer)) => match peer.map(SocketAddr::try_from) {
                Some(Ok(peer)) => {
                    listener.is_starved = false;
                    return Accepted::Connection(connection, peer);
                }
                Some(Err(_)) | None => Errno::AFNOSUPPORT,
            },
            Err(Errno::AGAIN | Errno::INTR) => return Accepted::Nothing,
            Err(errno) => errno,
        };
        let error = AcceptError::from_errno(errno.raw_os_error());
        if !error.consumed_connection() {
            listener.silence(poll, id);
            self.has_silent = true;
            self.resume_us.get_or_insert(now_us + PAUSE_US);
        }
        Accepted::Failed(error)
    }

    /// No slot is free for who waits at `id`: silences it; whether to tell.
    pub(super) fn starve(&mut self, poll: &OwnedFd, id: u16) -> bool {
        let Some(listener) = self.all.get_mut(usize::from(id)) else {
            return false;
        };
        listener.silence(poll, id);
        self.has_silent = true;
        !std::mem::replace(&mut listener.is_starved, true)
    }

    /// A slot was closed: a connection can be taken, and descriptors and memory may be back too.
    pub(super) fn slot_freed(&mut self, poll: &OwnedFd) {
        if std::mem::take(&mut self.has_silent) {
            self.resume(poll);
        }
    }

    /// Ends a pause that is over at `now_us`.
    pub(super) fn resume_if_due(&mut self, poll: &OwnedFd, now_us: u64) {
        if self.resume_us.is_some_and(|resume_us| resume_us <= now_us) {
            self.resume(poll);
        }
    }

    fn resume(&mut self, poll: &OwnedFd) {
        self.resume_us = None;
        for (id, listener) in (0_u16..).zip(&mut self.all).filter(|(_, one)| one.is_silent) {
            listener.is_silent = false;
            listener.watch(poll, id, EventFlags::IN);
        }
    }
}

impl Listener {
    fn silence(&mut self, poll: &OwnedFd, id: u16) {
        self.is_silent = true;
        self.watch(poll, id, EventFlags::empty());
    }

    fn watch(&self, poll: &OwnedFd, id: u16, events: EventFlags) {
        if let Some(socket) = &self.socket {
            // It is registered and nothing is allocated: this does not fail.
            let _ = epoll::modify(poll, socket, name(id), events);
        }
    }
}

/// What names listener `id` in events.
pub(super) fn name(id: u16) -> EventData {
    EventData::new_u64(LISTENER << 32 | u64::from(id))
}

/// Upper half of the data of an event that is a listener's; connections have zero there.
pub(super) const LISTENER: u64 = 1;
/// How long a listener rests after a failure that another accept at once would only repeat.
const PAUSE_US: u64 = 100_000;
