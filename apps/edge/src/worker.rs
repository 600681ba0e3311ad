//! The worker: completions → conn → gateway → store, fill plane, transport. Start reading here.
//!
//! One thread, one plain loop, no lock that another holds across a system call, no file, no name
//! lookup. It is generic over the transport, so tests drive this very code with a simulated one.
//!
//! ```text
//!            ┌ Accepted ─► slot ─► park (where TLS is spoken: shake hands, Secured)
//! wait() ──► ├ Readable ─► borrow a buffer ─► receive
//!            ├ Received ─► conn ─► Request ─► gateway ─► store ──► deliver ─► send
//!            │                                    └────► fill plane ─► (event) ─► send
//!            ├ Sent ─────► rest of the body, or the end of the exchange ─► next head, or park
//!            ├ Closed ───► slot is free
//!            ├ Connected ► an origin's connection, for a tunnel ─► opening, relay
//!            └ Woken ────► events of the fill plane and of the pager, stop
//! ```
//! A busy connection that has just been answered rests for a moment with its next receive armed;
//! then it parks. Others park at once.
//!
//! # Invariants
//! - **ED-1** A parked connection holds nothing but its slot: no buffer, no active record.
//! - **ED-2** A completion of an older generation gives its buffer or payload back and changes
//!   nothing else.
//! - **ED-3** An event of the fill plane reaches only the exchange that asked.
//! - **ED-4** Every connection that is not free has a deadline in the wheel or an operation whose
//!   completion sets one.
//! - **ED-5** A worker neither touches nor sends stored bytes that are not in memory: it has them
//!   read, and the exchange waits.

use std::collections::VecDeque;
use std::sync::Arc;

use longhold_conn::{CloseReason, SlotTable, State, Wheel, tunnel};
use longhold_store::Reader;
use longhold_telemetry::access_log::Queue;
use longhold_telemetry::{Counter, Gauge, WorkerCounters};
use longhold_tls::Session;
use longhold_transport::{Buffer, Completion, IoFault, Now, Token, Transport, TransportError};

use crate::fill::FillPort;
use crate::inbox::{CloseOrder, Event, ExchangeId, Inbox};
use crate::outgoing::Outgoing;
use crate::paging::Paging;
use crate::roster::Member;
use crate::shared::Shared;
use crate::signals::{Stage, Stop};

mod accept;
mod active;
mod books;
mod close;
mod deadlines;
mod deliver;
mod drain;
mod events;
mod exchange;
mod input;
mod interim;
mod opening;
mod output;
mod pages;
mod refetch;
mod relay;
mod ruled;
mod sources;
mod told;
mod tunnels;
mod vigil;

use active::Actives;
use books::Books;
pub(crate) use close::closed_counter;
use drain::Drain;
use sources::Sources;
use tunnels::Tunnels;

/// What a worker is made of besides its transport.
pub struct Setup {
    /// Its place among the workers, with a slot for each number that the transport gives out.
    pub member: Arc<Member>,
    /// This thread's view of the store.
    pub store: Reader,
    /// Sites, limits and timeouts.
    pub shared: Arc<Shared>,
    /// The way to the fill plane.
    pub fills: FillPort,
    /// Who reads what is not in memory.
    pub pager: Arc<dyn Paging>,
    /// The way back from both.
    pub inbox: Arc<Inbox>,
    /// This thread's counters.
    pub counters: WorkerCounters,
    /// This thread's access log queue, if there is a log.
    pub log: Option<Queue>,
    /// Whether and how to stop.
    pub stop: Stop,
    /// How many connections may rest with a buffer at a time; at most half of the pool.
    pub resting_max: u32,
}

/// Has a transport go on with a session, on a connection that nothing was asked of yet.
pub type AdoptSession<T> = fn(&mut T, Token, Session);

/// One front thread's state.
pub struct Worker<T: Transport<Payload = Outgoing>> {
    io: T,
    slots: Arc<SlotTable>,
    store: Reader,
    shared: Arc<Shared>,
    fills: FillPort,
    pager: Arc<dyn Paging>,
    inbox: Arc<Inbox>,
    counters: WorkerCounters,
    log: Option<Queue>,
    stop: Stop,
    actives: Actives,
    tunnels: Tunnels,
    adopt_session: Option<AdoptSession<T>>,
    wheel: Wheel,
    /// Connections that could not receive for want of a buffer, oldest first; each at most once.
    starved: VecDeque<Token>,
    now: Now,
    /// Once the first signal has come.
    drain: Option<Drain>,
    member: Arc<Member>,
    books: Books,
    /// Connections by source, where they are bounded.
    sources: Option<Sources>,
    /// Connections that rest with a receive armed, and how many may: half of the buffers.
    resting_count: u32,
    resting_max: u32,
    faults: Faults,
    scratch: Scratch,
}

/// Major page faults of the worker's thread.
#[derive(Default)]
struct Faults {
    look_again_ms: u64,
    /// At the last look; those before the first look are the start's.
    seen: Option<u64>,
}

/// Memory that is used within one step and kept only for its capacity.
#[derive(Default)]
struct Scratch {
    key: Vec<u8>,
    head: Vec<u8>,
    /// A target's normal path, and a request as a site's rule has it.
    path: Vec<u8>,
    rewritten: Vec<u8>,
    expired: Vec<u32>,
    events: Vec<(ExchangeId, Event)>,
    closes: Vec<CloseOrder>,
}

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    /// A worker over `io`, which may already listen.
    pub fn new(io: T, setup: Setup) -> Self {
        let now = io.now();
        let books = Books::new(io.slot_count(), io.slots_per_shard());
        let sources = Sources::new(io.slot_count(), setup.shared.connections_per_source);
        Self {
            io,
            slots: Arc::clone(&setup.member.slots),
            store: setup.store,
            shared: setup.shared,
            fills: setup.fills,
            pager: setup.pager,
            inbox: setup.inbox,
            counters: setup.counters,
            log: setup.log,
            stop: setup.stop,
            actives: Actives::default(),
            tunnels: Tunnels::default(),
            adopt_session: None,
            wheel: Wheel::new(now.monotonic_us / 1000),
            starved: VecDeque::new(),
            now,
            drain: None,
            books,
            sources,
            member: setup.member,
            resting_count: 0,
            resting_max: setup.resting_max,
            faults: Faults::default(),
            scratch: Scratch::default(),
        }
    }

    /// The same whose transport can go on with a session that was established elsewhere: that of an
    /// origin whose connection it gets.
    #[must_use]
    pub fn carrying_sessions(mut self, adopt: AdoptSession<T>) -> Self {
        self.adopt_session = Some(adopt);
        self
    }

    /// Works until the stop is complete: all connections closed after a first signal, or at once
    /// after a second.
    ///
    /// # Errors
    /// [`TransportError`] when the transport cannot go on at all.
    pub fn run(&mut self) -> Result<(), TransportError> {
        let mut completions = Vec::with_capacity(COMPLETIONS_CAPACITY);
        loop {
            match self.stop.state() {
                Stage::Running => {}
                Stage::Draining => self.begin_drain(),
                Stage::Now => return Ok(()),
            }
            if self.is_draining() && self.books.open_count() == 0 {
                return Ok(());
            }
            self.turn(&mut completions)?;
        }
    }

    /// One turn of the loop.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn turn(
        &mut self,
        completions: &mut Vec<Completion<Outgoing>>,
    ) -> Result<(), TransportError> {
        let until_ms = earlier(self.wheel.next_deadline_ms(), self.books.next_look_ms());
        let until_ms = earlier(until_ms, self.next_sweep_ms());
        let until_us = until_ms.map(|ms| ms * 1000);
        self.io.wait(until_us, completions)?;
        self.now = self.io.now();
        self.count_faults();
        for completion in completions.drain(..) {
            self.dispatch(completion);
        }
        self.expire();
        self.sweep();
        self.feed_starved();
        self.compare_books();
        Ok(())
    }

    /// Counts, once in a while, how often this thread itself has waited for a device (ED-5).
    fn count_faults(&mut self) {
        let now_ms = self.now_ms();
        if now_ms >= self.faults.look_again_ms {
            self.faults.look_again_ms = now_ms + FAULTS_EVERY_MS;
            let seen = longhold_store::thread_major_faults();
            let before = self.faults.seen.replace(seen);
            let new = before.map_or(0, |before| seen.saturating_sub(before));
            self.counters.add(Counter::WorkerMajorFaults, new);
        }
    }

    fn dispatch(&mut self, completion: Completion<Outgoing>) {
        match completion {
            Completion::Accepted { listener, slot, peer } => {
                self.on_accepted(listener, slot, peer);
            }
            Completion::AcceptFailed { listener: _, error } => {
                self.counters.add(close::refused_counter(error), 1);
            }
            Completion::Readable { token } => match self.pair_of(token) {
                None => self.on_readable(token),
                Some(pair) => self.on_half_readable(pair, tunnel::Event::Readable),
            },
            Completion::Unparked { token } => match self.pair_of(token) {
                None => self.on_unwatched(token),
                Some(pair) => self.on_half_readable(pair, tunnel::Event::Unparked),
            },
            Completion::Received { token, buffer, result } => match self.pair_of(token) {
                None => self.on_received(token, buffer, result),
                Some(pair) => self.on_half_received(pair, buffer, result),
            },
            Completion::Sent { token, payload, result } => match self.pair_of(token) {
                None => self.on_sent(token, payload, result),
                Some(sink) => self.on_half_sent(sink, payload, result),
            },
            Completion::ShutDown { token } => match self.pair_of(token) {
                None => self.on_shut_down(token),
                Some(sink) => self.on_half_shut_down(sink),
            },
            Completion::Closed { token } => self.on_closed(token),
            Completion::Woken => {
                self.take_events();
                self.take_closes();
            }
            Completion::Connected { ticket, result } => self.on_connected(ticket, result),
            Completion::Secured { token, result } => self.on_secured(token, result),
        }
    }

    /// A parked connection speaks: it becomes active as soon as there is a buffer.
    fn wake(&mut self, token: Token) {
        let Some(slot) = self.slots.get(token.slot) else { return };
        let current = slot.generation() == token.generation;
        // Closing from outside may have come first; then the close goes on and this wake is void.
        if !current || slot.move_state(State::Parked, State::Active).is_err() {
            return;
        }
        self.counters.lower(Gauge::ConnectionsParked, 1);
        self.counters.raise(Gauge::ConnectionsActive, 1);
        match self.io.buffer() {
            Some(buffer) => self.activate(token, buffer),
            None => {
                self.counters.add(Counter::BuffersExhausted, 1);
                self.starved.push_back(token);
            }
        }
    }

    fn activate(&mut self, token: Token, buffer: Buffer) {
        let index = self.actives.open(token);
        let now_ms = self.now_ms();
        let mut is_busy = false;
        if let Some(slot) = self.slots.get(token.slot) {
            is_busy = slot.requests() > 0 && now_ms < slot.last_active_ms() + BUSY_MS;
            slot.set_active(Some(index));
            slot.touch(now_ms);
        }
        let is_draining = self.is_draining();
        if let Some(active) = self.actives.get_mut(index) {
            active.receiving = true;
            active.is_busy = is_busy;
            if is_draining {
                active.conn.close_after_response();
            }
        }
        self.io.receive(token, buffer);
    }

    /// Gives buffers that came back to connections that waited for one.
    fn feed_starved(&mut self) {
        while let Some(token) = self.starved.front().copied() {
            if !self.is_live(token) {
                self.starved.pop_front();
                continue;
            }
            let Some(buffer) = self.io.buffer() else { return };
            self.starved.pop_front();
            if let Some(pair) = self.pair_of(token) {
                self.feed_half(&pair, buffer);
                continue;
            }
            match self.active_of(token).and_then(|index| self.actives.get_mut(index)) {
                None => self.activate(token, buffer),
                Some(active) if active.receiving || active.input.is_some() => {
                    active.starving = false;
                    self.io.recycle(buffer);
                }
                Some(active) => {
                    active.starving = false;
                    active.input = Some(buffer);
                    self.resume(token);
                }
            }
        }
    }

    /// Goes on with an active connection that waited for a buffer in the middle of a message.
    fn resume(&mut self, token: Token) {
        if let Some(index) = self.active_of(token) {
            self.receive(index);
        }
    }

    /// Rests the connection: everything lent goes back (ED-1).
    fn park(&mut self, token: Token) {
        let Some(slot) = self.slots.get(token.slot) else { return };
        let mut watched = false;
        if let Some(index) = slot.active() {
            slot.set_active(None);
            let rest = self.actives.close(index);
            watched = rest.as_ref().is_some_and(|rest| rest.watched);
            if let Some(buffer) = rest.and_then(|rest| rest.input) {
                self.io.recycle(buffer);
            }
        }
        if self.is_draining() {
            self.close(token, CloseReason::Drained);
            return;
        }
        if slot.move_state(State::Active, State::Parked).is_ok() {
            self.counters.lower(Gauge::ConnectionsActive, 1);
            self.counters.raise(Gauge::ConnectionsParked, 1);
            // A watch is a park that was armed early.
            if !watched {
                self.io.park(token);
            }
        } else {
            // Somebody outside asked for the close while the connection was active.
            self.close(token, CloseReason::Overload);
        }
    }

    /// The slot is of this generation and not on its way out.
    fn is_live(&self, token: Token) -> bool {
        self.slots.get(token.slot).is_some_and(|slot| {
            slot.generation() == token.generation
                && matches!(slot.state(), State::Active | State::Parked)
        })
    }

    /// The active record of a live connection (ED-2).
    fn active_of(&self, token: Token) -> Option<u32> {
        self.is_live(token).then(|| self.slots.get(token.slot)?.active()).flatten()
    }

    fn now_ms(&self) -> u64 {
        self.now.monotonic_us / 1000
    }

    fn drop_buffer(&mut self, buffer: Option<Buffer>) {
        if let Some(buffer) = buffer {
            self.io.recycle(buffer);
        }
    }

    /// The transport, for tests that play its other side.
    pub fn transport(&mut self) -> &mut T {
        &mut self.io
    }
}

fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// Whose fault ends the connection: the peer's going away, a stored body's, or ours.
fn fault_reason(fault: IoFault) -> CloseReason {
    match fault {
        IoFault::Reset | IoFault::BrokenPipe | IoFault::TimedOut => CloseReason::PeerReset,
        IoFault::Insecure => CloseReason::TlsBroken,
        IoFault::BadMemory => CloseReason::StoreFault,
        IoFault::Refused
        | IoFault::Unreachable
        | IoFault::Cancelled
        | IoFault::Exhausted
        | IoFault::Other(_) => CloseReason::IoFault,
    }
}

/// A connection that asks again within this time after its last answer is busy.
const BUSY_MS: u64 = 500;

/// How often a worker looks at its page faults.
const FAULTS_EVERY_MS: u64 = 500;

const COMPLETIONS_CAPACITY: usize = 1024;
