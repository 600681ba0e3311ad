//! The reactor: commands find their shard, events become completions, `wait` turns the rings.
//!
//! One `wait` is one `enter` on the main ring: it submits all that was asked for, waits, and its
//! completions are copied out in one walk before any is handled. Shards beyond the first are
//! entered only when something was pushed to them or their eventfd was raised. When nothing but
//! the reactor's own housekeeping has happened, `wait` goes round again until its deadline.
//!
//! Under load a wait asks for more than one completion, for `wait_min_us` at most: for half as
//! many as came last time, so that a busy worker finds them there and does not sleep; and for
//! twice as many when the kernel had more to tell, because it runs no more deferred work in one
//! enter than the larger of 20 and what is asked for. Sends are counted apart: most are complete
//! when they are submitted, so a wait asks for all of them beside its share of news, or it would
//! end at once with nothing new.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::net::SocketFlags;

use super::accepts::Accepts;
use super::connects::Connects;
use super::event::{Event, SlotOp, Wait};
use super::shard::{Freed, Shard};
use super::sys::Ring;
use crate::adopt::{Adopted, Adoptions};
use crate::buffers::BufferPool;
use crate::listen::Socket;
use crate::outbound::Outbound;
use crate::probe::Evidence;
use crate::wake::event_counter;
use crate::{
    AcceptError, Adoptee, Adopter, BoundListener, Buffer, Completion, Config, IoFault, ListenError,
    ListenerId, Now, Payload, StartError, Token, Transport, TransportError, Waker,
};

/// Sockets over io_uring. Belongs to the thread that made it.
pub struct Reactor<P: Payload> {
    shards: Vec<Shard<P>>,
    slots_per_shard: u32,
    slots: u32,
    accepts: Accepts,
    connects: Connects,
    adoptions: Adoptions,
    /// Sockets may wait to be adopted.
    has_adoptions: bool,
    pool: BufferPool,
    waker: Waker,
    /// Answers that need no kernel, until the next wait.
    ready: Vec<Completion<P>>,
    started: Instant,
    /// Completions that a wait under load asks for, from 1 to `wait_batch`.
    want: u32,
    /// Sends asked for since the last wait.
    sends: u32,
    wait_batch: u32,
    wait_min_us: u32,
}

impl<P: Payload> Reactor<P> {
    /// Sets up all shards that `config.slots` needs, on the thread that will use them.
    ///
    /// # Errors
    /// [`StartError::Unsupported`] when the host has no io_uring for us; the others when a limit
    /// is in the way.
    pub fn new(config: &Config) -> Result<Self, StartError> {
        if config.slots == 0 || config.slots > SLOTS_MAX {
            return Err(StartError::Slots { slots: config.slots });
        }
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let per_shard = config.slots_per_shard_under(limit.unwrap_or(u64::MAX));
        let shard_count = config.slots.div_ceil(per_shard);
        let mut shards = Vec::with_capacity(shard_count as usize);
        for shard in 0..shard_count {
            let first_slot = shard * per_shard;
            let capacity = per_shard.min(config.slots - first_slot);
            let (entries, completions) = match shard {
                0 => (config.ring_entries, MAIN_COMPLETIONS),
                _ => (config.ring_entries.min(OTHER_ENTRIES), other_completions(capacity)),
            };
            let io = super::set_up(entries, completions).map_err(|errno| match shard {
                0 => StartError::Unsupported(Evidence::gather().diagnose(errno)),
                _ => StartError::Shard { shard, errno },
            })?;
            shards.push(Shard::new(Ring::new(io), first_slot, capacity)?);
        }
        Self::with_shards(shards, per_shard, config)
    }

    fn with_shards(
        mut shards: Vec<Shard<P>>,
        slots_per_shard: u32,
        config: &Config,
    ) -> Result<Self, StartError> {
        let fault = |errno: rustix::io::Errno| errno.raw_os_error();
        let at_shard = |shard| move |errno| StartError::Shard { shard, errno };
        let (waker, event) = Waker::with_event().map_err(fault).map_err(at_shard(0))?;
        let adoptions = Adoptions::new(config.slots, Some(Arc::clone(&event)));
        let mut events = vec![event];
        for (number, shard) in (1_u32..).zip(shards.iter().skip(1)) {
            let event = event_counter().map_err(fault).map_err(at_shard(number))?;
            let event = Arc::new(event);
            shard.raise(&event).map_err(at_shard(number))?;
            events.push(event);
        }
        if let Some(main) = shards.first_mut() {
            for (number, event) in (0_u32..).zip(events) {
                main.ring.watch(event, number);
            }
        }
        Ok(Self {
            shards,
            slots_per_shard,
            slots: config.slots,
            accepts: Accepts::new(config.accepts_per_listener),
            connects: Connects::new(config.slots),
            adoptions,
            has_adoptions: false,
            pool: BufferPool::new(config.buffers),
            waker,
            ready: Vec::new(),
            started: Instant::now(),
            want: 1,
            sends: 0,
            wait_batch: config.wait_batch.max(1),
            wait_min_us: config.wait_min_us,
        })
    }

    /// Number of shards.
    pub fn shard_count(&self) -> u32 {
        self.shards.len() as u32
    }

    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The shard of `token`, and the place of the token's ops in it.
    fn place(&mut self, token: Token) -> Option<(&mut Shard<P>, SlotOp)> {
        let Token { slot, generation } = token;
        let (number, index) = match slot < self.slots_per_shard {
            true => (0, slot),
            false => (slot / self.slots_per_shard, slot % self.slots_per_shard),
        };
        let generation = generation & Token::GENERATION_MAX;
        Some((self.shards.get_mut(number as usize)?, SlotOp { index, generation }))
    }

    /// Pushes what the reactor itself has to do before the next enter.
    fn prepare(&mut self) {
        if self.accepts.resume_us().is_some() {
            self.accepts.resume_if_due(self.monotonic_us());
        }
        let ready = &mut self.ready;
        self.accepts.top_up(&mut self.shards, |listener| {
            ready.push(Completion::AcceptFailed { listener, error: AcceptError::TableFull });
        });
        while let Some(outbound) = self.connects.start_next() {
            if let Err(fault) = self.start_connect(outbound) {
                self.connects.end_install();
                self.refuse_connect(outbound.ticket, fault);
            }
        }
        if std::mem::take(&mut self.has_adoptions) {
            self.take_adopted();
        }
    }

    /// Moves the sockets that other threads have handed over into tables.
    fn take_adopted(&mut self) {
        while let Some(Adopted { adoptee, ticket }) = self.adoptions.take() {
            if let Err(fault) = self.start_adoption(adoptee, ticket) {
                self.refuse_connect(ticket, fault);
            }
        }
    }

    fn start_adoption(&mut self, adoptee: Adoptee, ticket: u64) -> Result<(), IoFault> {
        let socket = adoptee.kernel()?;
        let shard = Shard::reserve(&mut self.shards).ok_or(IoFault::Exhausted)?;
        self.connects.begin_install();
        shard.ring.install(socket, None, ticket);
        Ok(())
    }

    fn refuse_connect(&mut self, ticket: u64, fault: IoFault) {
        self.ready.push(Completion::Connected { ticket, result: Err(fault) });
    }

    fn start_connect(&mut self, outbound: Outbound) -> Result<(), IoFault> {
        let socket = outbound.socket(SocketFlags::empty())?;
        let shard = Shard::reserve(&mut self.shards).ok_or(IoFault::Exhausted)?;
        shard.ring.install(socket, Some(outbound.address), outbound.ticket);
        Ok(())
    }

    /// Enters the shards that nobody waits on, where there is anything to submit or to collect.
    fn run_others(&mut self, completions: &mut Vec<Completion<P>>) -> Result<(), TransportError> {
        for number in 1..self.shards.len() {
            while let Some(shard) = self.shards.get_mut(number)
                && shard.has_work()
            {
                shard.run().map_err(TransportError::Ring)?;
                self.collect(number, completions);
            }
        }
        Ok(())
    }

    /// Enters the main ring; waits unless `is_settled`.
    fn run_main(
        &mut self,
        is_settled: bool,
        until_us: Option<u64>,
        completions: &mut Vec<Completion<P>>,
    ) -> Result<(), TransportError> {
        let wait = if is_settled { Wait::NO } else { self.next_wait(until_us) };
        let Some(main) = self.shards.first_mut() else {
            return Ok(());
        };
        let wait = if main.ring.has_fetched() { Wait::NO } else { wait };
        main.ring.enter(wait).map_err(TransportError::Ring)?;
        self.collect(0, completions);
        Ok(())
    }

    /// How the main ring is to wait for `until_us` or the end of a pause, whichever is first.
    fn next_wait(&self, until_us: Option<u64>) -> Wait {
        let earlier = |a: u64, b: Option<u64>| b.map_or(a, |b| a.min(b));
        let until_us = match (until_us, self.accepts.resume_us()) {
            (None, None) => None,
            (Some(one), other) | (other, Some(one)) => Some(earlier(one, other)),
        };
        let timeout = match until_us {
            None => None,
            Some(0) => return Wait::NO,
            Some(until_us) => match until_us.saturating_sub(self.monotonic_us()) {
                0 => return Wait::NO,
                left_us => Some(Duration::from_micros(left_us)),
            },
        };
        let sends = if self.wait_min_us > 0 { self.sends } else { 0 };
        let want = self.want.saturating_add(sends).min(self.wait_batch);
        Wait { want, min_wait_us: self.wait_min_us, timeout }
    }

    /// Decides how many completions the next wait asks for, after a batch of so many, sends among
    /// them.
    fn adapt(&mut self, batch: u32) {
        let batch = batch.saturating_sub(std::mem::take(&mut self.sends));
        let has_more = self.shards.first_mut().is_some_and(|main| main.ring.has_deferred());
        let want = if has_more { batch.saturating_mul(2) } else { batch / 2 };
        let want_max = if self.wait_min_us > 0 { self.wait_batch } else { 1 };
        self.want = want.clamp(1, want_max);
    }

    /// Turns all events of shard `number` into completions.
    fn collect(&mut self, number: usize, completions: &mut Vec<Completion<P>>) {
        let Some(shard) = self.shards.get_mut(number) else {
            return;
        };
        shard.ring.fetch();
        while let Some(event) = self.shards.get_mut(number).and_then(|one| one.ring.next_event()) {
            self.handle(number, event, completions);
        }
    }

    fn handle(&mut self, number: usize, event: Event<P>, completions: &mut Vec<Completion<P>>) {
        let Some(shard) = self.shards.get_mut(number) else {
            return;
        };
        match event {
            Event::Parked { at, result } => {
                let token = shard.token(at);
                if shard.end_park(at) {
                    completions.push(match result {
                        result if result == -libc::ECANCELED => Completion::Unparked { token },
                        _ => Completion::Readable { token },
                    });
                }
            }
            Event::Received { at, op, header, buffer, result } => {
                let token = shard.token(at);
                shard.end_op(at, op, &header);
                completions.push(Completion::Received { token, buffer, result: outcome(result) });
            }
            Event::Sent { at, op, header, payload, result } => {
                let token = shard.token(at);
                shard.end_op(at, op, &header);
                completions.push(Completion::Sent { token, payload, result: outcome(result) });
            }
            Event::ShutDown { at } => {
                let token = shard.token(at);
                shard.end_shutdown(at);
                completions.push(Completion::ShutDown { token });
            }
            Event::Closed { at } => {
                if let Freed::Named(token) = shard.free(at) {
                    completions.push(Completion::Closed { token });
                }
                self.accepts.slot_freed();
            }
            Event::Accepted { listener, peer, result } => {
                let accepted = Accepted { listener, peer, result };
                completions.extend(self.handle_accept(number, accepted));
            }
            Event::Installed { op, index } => {
                shard.open(index);
                shard.ring.connect(op, index);
                self.connects.end_install();
            }
            Event::Adopted { ticket, index } => {
                self.connects.end_install();
                let result = Ok(shard.open(index));
                completions.push(Completion::Connected { ticket, result });
            }
            Event::InstallFailed { ticket, errno } => {
                shard.unreserve();
                self.connects.end_install();
                let result = Err(IoFault::from_errno(errno));
                completions.push(Completion::Connected { ticket, result });
            }
            Event::Connected { ticket, index, result } => {
                let result = outcome(result).map(|_| shard.slot_number(index));
                if result.is_err() {
                    shard.close_unnamed(index);
                }
                completions.push(Completion::Connected { ticket, result });
            }
            Event::Watched { owner, event } => self.handle_watched(owner, event, completions),
            Event::Ignored => {}
        }
    }

    fn handle_accept(&mut self, number: usize, accepted: Accepted) -> Option<Completion<P>> {
        let Accepted { listener, peer, result } = accepted;
        let shard = self.shards.get_mut(number)?;
        self.accepts.end_one(listener);
        let errno = match (u32::try_from(result), peer) {
            (Ok(index), Some(peer)) => {
                let slot = shard.open(index);
                return Some(Completion::Accepted { listener: ListenerId(listener), slot, peer });
            }
            (Ok(index), None) => {
                shard.open(index);
                shard.close_unnamed(index);
                libc::EAFNOSUPPORT
            }
            (Err(_), _) => {
                shard.unreserve();
                -result
            }
        };
        let error = self.accepts.fail(listener, errno, self.monotonic_us())?;
        Some(Completion::AcceptFailed { listener: ListenerId(listener), error })
    }

    fn handle_watched(
        &mut self,
        owner: u32,
        event: Arc<OwnedFd>,
        completions: &mut Vec<Completion<P>>,
    ) {
        if let Some(main) = self.shards.first_mut() {
            main.ring.watch(event, owner);
        }
        match owner {
            // The flag comes down before the caller drains its queues (TR-6).
            WAKER => {
                self.has_adoptions = true;
                completions.extend(self.waker.take().then_some(Completion::Woken));
            }
            shard => {
                if let Some(shard) = self.shards.get_mut(shard as usize) {
                    shard.set_raised();
                }
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
        self.accepts.add(socket, address).ok_or(ListenError::TooMany)
    }

    fn local_address(&self, listener: ListenerId) -> SocketAddr {
        self.accepts.address(listener).unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into())
    }

    fn stop_accepting(&mut self) {
        self.accepts.stop(&mut self.shards);
    }

    fn slot_count(&self) -> u32 {
        self.slots
    }

    fn slots_per_shard(&self) -> u32 {
        self.slots_per_shard
    }

    fn used_count(&self, shard: u32) -> u32 {
        self.shards.get(shard as usize).map_or(0, Shard::used_count)
    }

    fn now(&self) -> Now {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            monotonic_us: self.monotonic_us(),
            unix_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn connect(&mut self, address: SocketAddr, from: Option<SocketAddr>, ticket: u64) {
        if !self.connects.push(Outbound { address, from, ticket }) {
            self.refuse_connect(ticket, IoFault::Exhausted);
        }
    }

    fn adopter(&self) -> Adopter {
        self.adoptions.adopter()
    }

    fn park(&mut self, token: Token) {
        if let Some((shard, at)) = self.place(token) {
            shard.park(at);
        }
    }

    fn receive(&mut self, token: Token, buffer: Buffer) {
        let refused = match self.place(token) {
            Some((shard, at)) => shard.receive(at, buffer),
            None => Err((buffer, IoFault::Cancelled)),
        };
        if let Err((buffer, fault)) = refused {
            self.ready.push(Completion::Received { token, buffer, result: Err(fault) });
        }
    }

    fn send(&mut self, token: Token, payload: P) {
        let refused = match self.place(token) {
            Some((shard, at)) => shard.send(at, payload),
            None => Err((payload, Err(IoFault::Cancelled))),
        };
        self.sends = self.sends.saturating_add(u32::from(refused.is_ok()));
        if let Err((payload, result)) = refused {
            self.ready.push(Completion::Sent { token, payload, result });
        }
    }

    fn shutdown(&mut self, token: Token) {
        if let Some((shard, at)) = self.place(token) {
            shard.shutdown(at);
        }
    }

    fn cancel(&mut self, token: Token) {
        if let Some((shard, at)) = self.place(token) {
            shard.cancel(at);
        }
    }

    fn close(&mut self, token: Token) {
        if let Some((shard, at)) = self.place(token) {
            shard.close(at);
        }
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
            self.prepare();
            completions.append(&mut self.ready);
            self.run_others(completions)?;
            let is_settled = completions.len() > already;
            self.run_main(is_settled, until_us, completions)?;
            self.run_others(completions)?;
            let batch = completions.len() - already;
            if batch > 0 || until_us.is_some_and(|until_us| until_us <= self.monotonic_us()) {
                self.adapt(u32::try_from(batch).unwrap_or(u32::MAX));
                return Ok(());
            }
        }
    }
}

/// An ended accept.
struct Accepted {
    listener: u16,
    peer: Option<SocketAddr>,
    result: i32,
}

/// The kernel's result as ours.
fn outcome(result: i32) -> Result<usize, IoFault> {
    usize::try_from(result).map_err(|_| IoFault::from_errno(-result))
}

/// Entries of the completion queue of a shard that nobody waits on. The kernel sizes the table in
/// which a cancel looks for its target by them, hence many for many slots.
fn other_completions(slots: u32) -> u32 {
    (slots / 4).next_power_of_two().clamp(OTHER_COMPLETIONS_MIN, OTHER_COMPLETIONS_MAX)
}

/// Largest number of slots: it leaves room for all that is packed beside a slot number.
const SLOTS_MAX: u32 = 1 << 31;
/// Entries of the completion queue. Bursts beyond it wait in the kernel.
const MAIN_COMPLETIONS: u32 = 8192;
const OTHER_COMPLETIONS_MIN: u32 = 256;
const OTHER_COMPLETIONS_MAX: u32 = 4096;
/// Most entries of the submission queue of a shard that nobody waits on: 64 bytes each, and there
/// may be a hundred shards. When it is full it is submitted.
const OTHER_ENTRIES: u32 = 128;
/// Owner of the watch on the waker's eventfd; shards beyond the first use their number.
const WAKER: u32 = 0;
