//! Accepts: which listener may take how many of the free slots, and what follows a failure.
//!
//! Every armed accept has a slot reserved for it (TR-5). While slots are free each listener keeps
//! its configured number armed. Near the end the listener with the fewest comes first, and a
//! listener without any takes one from the listener with the most, so that idle listeners keep no
//! more than one slot each from a busy one.
//!
//! A failure that took a connection off the backlog is followed by another accept at once; any
//! other (descriptors, memory) pauses the listener until a slot closes or [`PAUSE_US`] have
//! passed: never a busy loop.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::shard::Shard;
use crate::{AcceptError, ListenerId, Payload};

/// All listeners of one reactor.
#[derive(Debug)]
pub(super) struct Accepts {
    listeners: Vec<Listener>,
    armed_max: u32,
    /// Some listener has fewer accepts armed than it should, for want of slots.
    is_short: bool,
    /// Something has changed since the last [`Accepts::top_up`] that may let it arm more.
    is_due: bool,
    /// When paused listeners go on.
    resume_us: Option<u64>,
}

#[derive(Debug)]
struct Listener {
    /// Gone once accepting has stopped; armed accepts keep the socket open until they end.
    socket: Option<Rc<OwnedFd>>,
    address: SocketAddr,
    armed: u32,
    is_paused: bool,
    /// Told that the table is full, and nothing armed since.
    is_starved: bool,
    /// One of its accepts is being cancelled for another listener's sake.
    is_giving: bool,
}

impl Accepts {
    pub(super) fn new(armed_max: u32) -> Self {
        Self {
            listeners: Vec::new(),
            armed_max: armed_max.max(1),
            is_short: false,
            is_due: false,
            resume_us: None,
        }
    }

    /// Adds a listener; `None` when there are too many to name.
    pub(super) fn add(&mut self, socket: OwnedFd, address: SocketAddr) -> Option<ListenerId> {
        let id = u16::try_from(self.listeners.len()).ok()?;
        self.listeners.push(Listener {
            socket: Some(Rc::new(socket)),
            address,
            armed: 0,
            is_paused: false,
            is_starved: false,
            is_giving: false,
        });
        self.is_due = true;
        Some(ListenerId(id))
    }

    pub(super) fn address(&self, listener: ListenerId) -> Option<SocketAddr> {
        self.listeners.get(usize::from(listener.0)).map(|listener| listener.address)
    }

    /// When paused listeners go on.
    pub(super) fn resume_us(&self) -> Option<u64> {
        self.resume_us
    }

    /// Ends all accepts, for good.
    pub(super) fn stop<P: Payload>(&mut self, shards: &mut [Shard<P>]) {
        for (id, listener) in (0_u16..).zip(&mut self.listeners) {
            listener.socket = None;
            for shard in &mut *shards {
                shard.cancel_accepts(id, usize::MAX);
            }
        }
    }

    /// An accept of `listener` has ended, whatever it brought.
    pub(super) fn end_one(&mut self, listener: u16) {
        if let Some(listener) = self.listeners.get_mut(usize::from(listener)) {
            listener.armed = listener.armed.saturating_sub(1);
            listener.is_giving = false;
            self.is_due = true;
        }
    }

    /// An accept of `listener` failed; the error to tell the caller, once per pause.
    pub(super) fn fail(&mut self, listener: u16, errno: i32, now_us: u64) -> Option<AcceptError> {
        let listener = self.listeners.get_mut(usize::from(listener))?;
        if errno == libc::ECANCELED {
            return None;
        }
        let error = AcceptError::from_errno(errno);
        if error.consumed_connection() {
            return Some(error);
        }
        let is_first = !listener.is_paused;
        listener.is_paused = true;
        self.resume_us.get_or_insert(now_us + PAUSE_US);
        is_first.then_some(error)
    }

    /// A slot was closed: it can be reserved, and descriptors and memory may be back too.
    pub(super) fn slot_freed(&mut self) {
        self.is_due |= self.is_short;
        if self.resume_us.is_some() {
            self.resume();
        }
    }

    /// Ends a pause that is over at `now_us`.
    pub(super) fn resume_if_due(&mut self, now_us: u64) {
        if self.resume_us.is_some_and(|resume_us| resume_us <= now_us) {
            self.resume();
        }
    }

    /// Arms what is missing, one at a time, for the listener with the fewest. Tells `starved` of
    /// a listener that is left without any, once. O(1) when nothing has changed.
    pub(super) fn top_up<P: Payload>(
        &mut self,
        shards: &mut [Shard<P>],
        starved: impl FnMut(ListenerId),
    ) {
        if !std::mem::take(&mut self.is_due) {
            return;
        }
        self.is_short = false;
        let armed_max = self.armed_max;
        while let Some((id, listener)) = neediest(&mut self.listeners, armed_max) {
            let Some(socket) = &listener.socket else {
                return;
            };
            let Some(shard) = Shard::reserve(shards) else {
                self.is_short = true;
                return self.help_starved(shards, starved);
            };
            shard.accept(socket, id);
            listener.armed += 1;
            listener.is_starved = false;
        }
    }

    /// No slot is free: a listener without accepts gets one of the listener with the most.
    fn help_starved<P: Payload>(
        &mut self,
        shards: &mut [Shard<P>],
        mut starved: impl FnMut(ListenerId),
    ) {
        let needy = |listener: &Listener| listener.wants(1);
        if !self.listeners.iter().any(needy) {
            return;
        }
        let donors = (0_u16..).zip(&mut self.listeners).filter(|(_, one)| one.armed > 1);
        if let Some((id, donor)) = donors.max_by_key(|(_, donor)| donor.armed) {
            if !std::mem::replace(&mut donor.is_giving, true) {
                let _ = shards.iter_mut().any(|shard| shard.cancel_accepts(id, 1) > 0);
            }
            return;
        }
        let listeners = (0_u16..).zip(&mut self.listeners);
        for (id, listener) in listeners.filter(|(_, one)| needy(one) && !one.is_starved) {
            listener.is_starved = true;
            starved(ListenerId(id));
        }
    }

    fn resume(&mut self) {
        self.resume_us = None;
        self.is_due = true;
        self.listeners.iter_mut().for_each(|listener| listener.is_paused = false);
    }
}

impl Listener {
    /// Whether it should have more accepts armed, of `armed_max`.
    fn wants(&self, armed_max: u32) -> bool {
        self.socket.is_some() && !self.is_paused && self.armed < armed_max
    }
}

/// The listener with the fewest accepts armed, if it should have more.
fn neediest(listeners: &mut [Listener], armed_max: u32) -> Option<(u16, &mut Listener)> {
    let wanting = (0_u16..).zip(listeners).filter(|(_, listener)| listener.wants(armed_max));
    wanting.min_by_key(|(_, listener)| listener.armed)
}

/// How long a listener rests after a failure that another accept at once would only repeat.
const PAUSE_US: u64 = 100_000;
