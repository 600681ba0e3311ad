//! The reactor: commands are tried at once, events try again what waits, `wait` asks for events.
//!
//! One `wait` is one `epoll_wait`: without waiting when something is done already, so that whoever
//! speaks is heard in every turn, whatever others do. Per turn each connection receives and sends
//! once for each command, each listener gives so many connections at most, and the kernel hands its
//! ready list round: a flood on one connection keeps nobody waiting.

use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, Shutdown, SocketFlags, sockopt};

use super::Table;
use super::listeners::{Accepted, LISTENER, Listeners};
use super::slots::{Slot, Slots};
use super::socket::{is_readable, receive, send};
use crate::adopt::{Adopted, Adoptions};
use crate::buffers::BufferPool;
use crate::listen::Socket;
use crate::outbound::{Outbound, fault_of};
use crate::{
    AcceptError, Adopter, BoundListener, Buffer, Completion, IoFault, ListenError, ListenerId, Now,
    Payload, Token, Transport, TransportError, Waker,
};

/// Sockets over epoll. Belongs to the thread that made it.
pub struct Reactor<P: Payload> {
    pub(super) poll: OwnedFd,
    pub(super) slots: Slots<P>,
    pub(super) listeners: Listeners,
    pub(super) adoptions: Adoptions,
    /// Sockets may wait to be adopted.
    pub(super) has_adoptions: bool,
    pub(super) pool: BufferPool,
    pub(super) waker: Waker,
    /// What is done already, for the next wait.
    pub(super) ready: Vec<Completion<P>>,
    /// Parked, and readable already: told by the next wait, unless closed or cancelled before.
    pub(super) readable: Vec<Token>,
    pub(super) events: Vec<Event>,
    pub(super) started: Instant,
    pub(super) table: Table,
    /// The numbers of descriptors mean something in this thread only.
    pub(super) one_thread: PhantomData<*mut ()>,
}

impl<P: Payload> Reactor<P> {
    /// Whose table of descriptors it uses.
    pub fn table(&self) -> Table {
        self.table
    }

    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Puts a connected socket into a slot.
    fn open(&mut self, socket: OwnedFd) -> Result<u32, IoFault> {
        self.open_watched(socket, EDGES)
    }

    fn open_watched(&mut self, socket: OwnedFd, watched: EventFlags) -> Result<u32, IoFault> {
        let number = self.slots.open(socket).map_err(|_| IoFault::Exhausted)?;
        let socket = self.slots.get_mut(number).and_then(|slot| slot.socket());
        let added = socket.map(|socket| epoll::add(&self.poll, socket, name(number), watched));
        if let Some(Err(errno)) = added {
            self.free(number);
            return Err(fault_of(errno));
        }
        Ok(number)
    }

    fn free(&mut self, number: u32) {
        self.slots.close(number);
        self.listeners.slot_freed(&self.poll);
    }

    fn take_adopted(&mut self) {
        while let Some(Adopted { adoptee, ticket }) = self.adoptions.take() {
            let result = adoptee.kernel().and_then(|socket| self.open(socket));
            self.ready.push(Completion::Connected { ticket, result });
        }
    }

    /// Ends the parks of connections that were readable when they parked.
    fn tell_readable(&mut self, completions: &mut Vec<Completion<P>>) {
        for token in self.readable.drain(..) {
            let slot = self.slots.get_mut(token.slot);
            let slot = slot.filter(|slot| slot.generation() == token.generation);
            let is_parked = slot.is_some_and(|slot| slot.take(Slot::PARKED));
            completions.extend(is_parked.then_some(Completion::Readable { token }));
        }
    }

    /// Opens a connection; `Some` when it stands at once.
    fn start_connect(&mut self, outbound: Outbound) -> Result<Option<u32>, IoFault> {
        let Outbound { address, ticket, .. } = outbound;
        if !self.slots.has_room() {
            return Err(IoFault::Exhausted);
        }
        let socket = outbound.socket(SocketFlags::NONBLOCK)?;
        match net::connect(&socket, &address) {
            Ok(()) => self.open(socket).map(Some),
            Err(Errno::INPROGRESS | Errno::INTR) => {
                let number = self.open_watched(socket, EDGES | EventFlags::OUT)?;
                if let Some(slot) = self.slots.get_mut(number) {
                    slot.set(Slot::CONNECTING | Slot::WATCHES_ROOM);
                }
                if let Some(flight) = self.slots.begin_flight(number) {
                    flight.ticket = ticket;
                }
                Ok(None)
            }
            Err(errno) => Err(fault_of(errno)),
        }
    }

    /// A connection that is being opened has come to something.
    fn end_connect(&mut self, number: u32, completions: &mut Vec<Completion<P>>) {
        let ticket = self.slots.flight_mut(number).map_or(0, |flight| flight.ticket);
        let Some(slot) = self.slots.get_mut(number) else { return };
        let error = slot.socket().map(sockopt::socket_error);
        slot.unset(Slot::CONNECTING);
        self.slots.end_flight(number);
        let result = match error {
            Some(Ok(Ok(()))) => Ok(number),
            Some(Ok(Err(errno)) | Err(errno)) => Err(fault_of(errno)),
            None => Err(IoFault::Cancelled),
        };
        if result.is_err() {
            self.free(number);
        }
        completions.push(Completion::Connected { ticket, result });
    }

    /// Receives into what waits at an open slot. `None` while there is nothing to receive.
    fn try_receive(&mut self, token: Token) -> Option<Completion<P>> {
        let mut buffer = self.slots.flight_mut(token.slot)?.receive.take()?;
        let result = match self.slots.get_mut(token.slot) {
            Some(slot) => receive(slot, &mut buffer),
            None => Some(Err(IoFault::Cancelled)),
        };
        let Some(result) = result else {
            self.slots.flight_mut(token.slot)?.receive = Some(buffer);
            return None;
        };
        self.slots.get_mut(token.slot)?.unset(Slot::RECEIVING);
        self.slots.end_flight(token.slot);
        Some(Completion::Received { token, buffer, result })
    }

    /// Sends what waits at an open slot. `None` while there is no room.
    fn try_send(&mut self, token: Token) -> Option<Completion<P>> {
        let mut payload = self.slots.flight_mut(token.slot)?.send.take()?;
        let result = match self.slots.get_mut(token.slot) {
            Some(slot) => send(slot, &mut payload),
            None => Some(Err(IoFault::Cancelled)),
        };
        let Some(result) = result else {
            self.slots.flight_mut(token.slot)?.send = Some(payload);
            return None;
        };
        self.slots.get_mut(token.slot)?.unset(Slot::SENDING);
        self.slots.end_flight(token.slot);
        Some(Completion::Sent { token, payload, result })
    }

    /// Takes back what waits at `token`: each answers that it was cancelled.
    fn give_back(&mut self, token: Token) {
        let Some(flight) = self.slots.flight_mut(token.slot) else { return };
        let (buffer, payload) = (flight.receive.take(), flight.send.take());
        if let Some(slot) = self.slots.get_mut(token.slot) {
            slot.unset(Slot::RECEIVING | Slot::SENDING);
        }
        self.slots.end_flight(token.slot);
        let cancelled = Err(IoFault::Cancelled);
        let received = |buffer| Completion::Received { token, buffer, result: cancelled };
        let sent = |payload| Completion::Sent { token, payload, result: cancelled };
        self.ready.extend(buffer.map(received));
        self.ready.extend(payload.map(sent));
    }

    /// Registers an open slot for writing, too, or for reading only.
    fn watch_room(&mut self, number: u32, watches: bool) -> Result<(), IoFault> {
        let Some(slot) = self.slots.get_mut(number) else {
            return Err(IoFault::Cancelled);
        };
        if slot.has(Slot::WATCHES_ROOM) == watches {
            return Ok(());
        }
        let events = if watches { EDGES | EventFlags::OUT } else { EDGES };
        let socket = slot.socket().ok_or(IoFault::Cancelled)?;
        epoll::modify(&self.poll, socket, name(number), events).map_err(fault_of)?;
        slot.unset(Slot::WATCHES_ROOM);
        slot.set(if watches { Slot::WATCHES_ROOM } else { 0 });
        Ok(())
    }

    /// How long to wait for `until_us` or the end of a pause, whichever is first.
    fn timeout(&self, until_us: Option<u64>) -> Option<Duration> {
        let until_us = match (until_us, self.listeners.resume_us()) {
            (None, other) | (other, None) => other?,
            (Some(one), Some(other)) => one.min(other),
        };
        if until_us == 0 {
            return Some(Duration::ZERO);
        }
        Some(Duration::from_micros(until_us.saturating_sub(self.monotonic_us())))
    }

    /// Asks for events, waiting for `timeout` at most, and handles them.
    fn run(
        &mut self,
        timeout: Option<Duration>,
        completions: &mut Vec<Completion<P>>,
    ) -> Result<(), TransportError> {
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let spare = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&self.poll, spare, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(TransportError::Ring(errno.raw_os_error())),
        }
        for Event { data, flags } in events.drain(..) {
            let name = data.u64();
            match name >> 32 {
                CONNECTION => self.handle(name as u32, flags, completions),
                LISTENER => self.accept(name as u16, completions),
                WAKER => {
                    self.has_adoptions = true;
                    // The flag comes down before the caller drains its queues (TR-6).
                    completions.extend(self.waker.take().then_some(Completion::Woken));
                }
                _ => self.has_adoptions = true,
            }
        }
        self.events = events;
        Ok(())
    }

    /// Something has happened to the connection in slot `number`.
    fn handle(&mut self, number: u32, events: EventFlags, completions: &mut Vec<Completion<P>>) {
        let Some(slot) = self.slots.get_mut(number) else { return };
        if slot.has(Slot::CONNECTING) {
            return self.end_connect(number, completions);
        }
        let token = Token::new(number, slot.generation());
        let is_over = events.intersects(OVER);
        if is_over {
            slot.set(Slot::ENDED);
        }
        if is_over || events.intersects(EventFlags::IN | EventFlags::PRI) {
            slot.set(Slot::READABLE);
            if slot.take(Slot::PARKED) {
                completions.push(Completion::Readable { token });
            }
            if slot.has(Slot::RECEIVING) {
                completions.extend(self.try_receive(token));
            }
        }
        let may_send = events.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP);
        if may_send {
            completions.extend(self.try_send(token));
        }
    }

    /// Takes a batch of connections from a listener.
    fn accept(&mut self, id: u16, completions: &mut Vec<Completion<P>>) {
        let listener = ListenerId(id);
        for _ in 0..self.listeners.batch_max() {
            if !self.slots.has_room() {
                if self.listeners.starve(&self.poll, id) {
                    let error = AcceptError::TableFull;
                    completions.push(Completion::AcceptFailed { listener, error });
                }
                return;
            }
            match self.listeners.accept(&self.poll, id, self.monotonic_us()) {
                Accepted::Connection(socket, peer) => completions.push(match self.open(socket) {
                    Ok(slot) => Completion::Accepted { listener, slot, peer },
                    Err(_) => Completion::AcceptFailed { listener, error: AcceptError::Memory },
                }),
                Accepted::Failed(error) => {
                    completions.push(Completion::AcceptFailed { listener, error });
                    if !error.consumed_connection() {
                        return;
                    }
                }
                Accepted::Nothing => return,
            }
        }
    }
}

impl<P: Payload> Transport for Reactor<P> {
    type Payload = P;

    fn listen(&mut self, listener: BoundListener) -> Result<ListenerId, ListenError> {
        let BoundListener { socket, address } = listener;
        let Socket::Kernel(socket) = socket else {
            return Err(ListenError::Foreign);
        };
        let added = self.listeners.add(&self.poll, socket, address);
        let refused = |errno: Errno| ListenError::from_errno(address, errno.raw_os_error());
        added.map_err(refused)?.ok_or(ListenError::TooMany)
    }

    fn local_address(&self, listener: ListenerId) -> SocketAddr {
        self.listeners.address(listener).unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into())
    }

    fn stop_accepting(&mut self) {
        self.listeners.stop();
    }

    fn slot_count(&self) -> u32 {
        self.slots.count_max()
    }

    fn slots_per_shard(&self) -> u32 {
        self.slots.count_max()
    }

    fn used_count(&self, shard: u32) -> u32 {
        if shard == 0 { self.slots.open_count() } else { 0 }
    }

    fn now(&self) -> Now {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            monotonic_us: self.monotonic_us(),
            unix_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn connect(&mut self, address: SocketAddr, from: Option<SocketAddr>, ticket: u64) {
        let started = self.start_connect(Outbound { address, from, ticket });
        let connected = |result| Completion::Connected { ticket, result };
        self.ready.extend(started.transpose().map(connected));
    }

    fn adopter(&self) -> Adopter {
        self.adoptions.adopter()
    }

    fn park(&mut self, token: Token) {
        let Some(slot) = self.slots.admit(token) else { return };
        debug_assert!(!slot.has(Slot::PARKED), "TR-4: parked twice");
        if slot.has(Slot::PARKED) {
            return;
        }
        if slot.has(Slot::ENDED) || (slot.has(Slot::READABLE) && is_readable(slot)) {
            self.readable.push(Token::new(token.slot, slot.generation()));
        } else {
            slot.unset(Slot::READABLE);
        }
        slot.set(Slot::PARKED);
        if slot.has(Slot::WATCHES_ROOM) && !slot.has(Slot::SENDING) {
            // Refused, it costs an event now and then, and nothing else.
            let _ = self.watch_room(token.slot, false);
        }
    }

    fn receive(&mut self, token: Token, mut buffer: Buffer) {
        let result = match self.slots.admit(token) {
            None => Some(Err(IoFault::Cancelled)),
            Some(slot) => {
                debug_assert!(!slot.has(Slot::RECEIVING), "TR-4: two receives");
                match (slot.has(Slot::RECEIVING), buffer.spare_len()) {
                    (true, _) => Some(Err(IoFault::Cancelled)),
                    (false, 0) => Some(Err(IoFault::Exhausted)),
                    (false, _) if slot.has(Slot::READABLE) => receive(slot, &mut buffer),
                    (false, _) => None,
                }
            }
        };
        if let Some(result) = result {
            return self.ready.push(Completion::Received { token, buffer, result });
        }
        if let Some(flight) = self.slots.begin_flight(token.slot) {
            flight.receive = Some(buffer);
        }
        if let Some(slot) = self.slots.get_mut(token.slot) {
            slot.set(Slot::RECEIVING);
        }
    }

    fn send(&mut self, token: Token, mut payload: P) {
        let result = match self.slots.admit(token) {
            None => Some(Err(IoFault::Cancelled)),
            Some(slot) => {
                debug_assert!(!slot.has(Slot::SENDING), "TR-4: two sends");
                match slot.has(Slot::SENDING) {
                    true => Some(Err(IoFault::Cancelled)),
                    false => send(slot, &mut payload),
                }
            }
        };
        let watched = match result {
            Some(_) => Ok(()),
            None => self.watch_room(token.slot, true),
        };
        if let Some(result) = result.or(watched.err().map(Err)) {
            return self.ready.push(Completion::Sent { token, payload, result });
        }
        if let Some(flight) = self.slots.begin_flight(token.slot) {
            flight.send = Some(payload);
        }
        if let Some(slot) = self.slots.get_mut(token.slot) {
            slot.set(Slot::SENDING);
        }
    }

    fn shutdown(&mut self, token: Token) {
        let Some(slot) = self.slots.admit(token) else { return };
        if let Some(socket) = slot.socket() {
            // A connection that is gone already is told by a receive.
            let _ = net::shutdown(socket, Shutdown::Write);
        }
        self.ready.push(Completion::ShutDown { token });
    }

    fn cancel(&mut self, token: Token) {
        let Some(slot) = self.slots.admit(token) else { return };
        if slot.take(Slot::PARKED) {
            self.ready.push(Completion::Unparked { token });
        }
        self.give_back(token);
    }

    fn close(&mut self, token: Token) {
        if self.slots.admit(token).is_none() {
            return;
        }
        self.give_back(token);
        self.free(token.slot);
        self.ready.push(Completion::Closed { token });
    }

    fn buffer(&mut self) -> Option<Buffer> {
        self.pool.take()
    }

    fn recycle(&mut self, buffer: Buffer) {
        self.pool.put(buffer);
    }

    fn buffer_count(&self) -> u32 {
        self.pool.made_count()
    }

    fn trim(&mut self) {
        self.pool.trim();
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn wait(
        &mut self,
        until_us: Option<u64>,
        completions: &mut Vec<Completion<P>>,
    ) -> Result<(), TransportError> {
        let already = completions.len();
        loop {
            if self.listeners.resume_us().is_some() {
                self.listeners.resume_if_due(&self.poll, self.monotonic_us());
            }
            if std::mem::take(&mut self.has_adoptions) {
                self.take_adopted();
            }
            completions.append(&mut self.ready);
            self.tell_readable(completions);
            let is_settled = completions.len() > already;
            let timeout = if is_settled { Some(Duration::ZERO) } else { self.timeout(until_us) };
            self.run(timeout, completions)?;
            let is_due = |until_us| until_us <= self.monotonic_us();
            if completions.len() > already || until_us.is_some_and(is_due) {
                return Ok(());
            }
        }
    }
}

/// What names the connection in slot `number` in events.
fn name(number: u32) -> EventData {
    EventData::new_u64(CONNECTION << 32 | u64::from(number))
}

/// What a connection is registered for.
const EDGES: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);
/// After these a connection stays readable.
const OVER: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);
/// Upper half of an event's data.
const CONNECTION: u64 = 0;
pub(super) const WAKER: u64 = 2;
pub(super) const PASSAGE: u64 = 3;
