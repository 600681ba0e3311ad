//! [`Secured`] itself: what it holds, the transport's commands, and where events go.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use longhold_transport::{
    Adopter, BoundListener, Buffer, Completion, IoFault, ListenError, ListenerId, Now, Payload,
    Security, Token, Transport, TransportError, Waker,
};

use super::cells::{Cell, Cells};
use super::line::{Bounds, Line, Place, Source};
use super::live::{Live, Lives, Stage};
use super::pools::Pools;
use super::report::{Report, Reporter};
use super::wire::Wire;
use crate::limits::PLAINTEXT_BYTES_MAX;
use crate::{Acceptor, Parked, ParkedTable, Session};

/// What a secured transport is made with.
pub struct LayerSettings {
    /// Of handshakes.
    pub bounds: Bounds,
    /// How long the rest of a record may take once some of it is there, µs.
    pub record_timeout_us: u64,
    /// Records off the wire that may be held at a time; 18 KiB each.
    pub inputs_max: u32,
    /// Whether newcomers are to be turned away just now.
    pub refuses: Box<dyn Fn() -> bool>,
    /// What a newcomer whose first bytes, these, are none of TLS is told in the clear before it is
    /// closed; an alert where that is nothing.
    pub answers_in_clear: AnswersInClear,
    /// Who hears of handshakes and faults.
    pub reporter: Reporter,
}

/// An answer to bytes that are none of TLS, by the time that it is.
pub type AnswersInClear = Box<dyn Fn(&[u8], Now) -> Vec<u8>>;

impl Default for LayerSettings {
    fn default() -> Self {
        Self {
            bounds: Bounds::default(),
            record_timeout_us: 10_000_000,
            inputs_max: 1024,
            refuses: Box::new(|| false),
            answers_in_clear: Box::new(|_, _| Vec::new()),
            reporter: Box::new(|_| {}),
        }
    }
}

/// A transport that secures some of its connections, over one that secures none. See the
/// [module](super).
pub struct Secured<T, P: Payload> {
    pub(super) below: T,
    pub(super) cells: Cells,
    pub(super) parked: ParkedTable,
    pub(super) lives: Lives<P>,
    pub(super) greetings: HashMap<u32, Greeting>,
    listeners: Vec<Option<Arc<Acceptor>>>,
    pub(super) pools: Pools,
    pub(super) line: Line,
    /// Connections that wait for an input.
    pub(super) starved: VecDeque<Place>,
    /// Connections with part of a record, by when its rest is due.
    pub(super) partials: VecDeque<(u64, Place)>,
    /// Closed connections whose close_notify is on its way.
    pub(super) farewells: Vec<Place>,
    /// Answers, until the next wait ends.
    pub(super) ready: Vec<Completion<P>>,
    events: Vec<Completion<Wire<P>>>,
    /// Where plaintext is read before it is sealed.
    pub(super) scratch: Box<[u8]>,
    pub(super) record_timeout_us: u64,
    pub(super) refuses: Box<dyn Fn() -> bool>,
    pub(super) answers_in_clear: AnswersInClear,
    pub(super) reporter: Reporter,
    pub(super) now_us: u64,
}

/// Who was accepted and has said nothing yet.
pub(super) struct Greeting {
    pub(super) listener: ListenerId,
    pub(super) source: Source,
}

impl<T, P> Secured<T, P>
where
    T: Transport<Payload = Wire<P>>,
    P: Payload,
{
    /// Secures connections of `below`. Takes 132 bytes of address space for each of its slots, and
    /// memory for those that are secured.
    pub fn new(below: T, settings: LayerSettings) -> Self {
        let slots = below.slot_count() as usize;
        Self {
            cells: Cells::new(slots),
            parked: ParkedTable::new(slots),
            lives: Lives::new(),
            greetings: HashMap::new(),
            listeners: Vec::new(),
            pools: Pools::new(settings.inputs_max),
            line: Line::new(settings.bounds),
            starved: VecDeque::new(),
            partials: VecDeque::new(),
            farewells: Vec::new(),
            ready: Vec::new(),
            events: Vec::new(),
            scratch: vec![0; PLAINTEXT_BYTES_MAX].into_boxed_slice(),
            record_timeout_us: settings.record_timeout_us,
            refuses: settings.refuses,
            answers_in_clear: settings.answers_in_clear,
            reporter: settings.reporter,
            now_us: 0,
            below,
        }
    }

    /// From now on what `listener` accepts is secured: it shakes hands once the caller has parked
    /// it, which goes on being parked; then comes `Secured`.
    pub fn secure_listener(&mut self, listener: ListenerId, acceptor: Arc<Acceptor>) {
        let index = usize::from(listener.0);
        if self.listeners.len() <= index {
            self.listeners.resize(index + 1, None);
        }
        self.listeners[index] = Some(acceptor);
    }

    /// Goes on with a session that was established elsewhere, on a connection that nothing was
    /// asked of yet. The caller has named its slot by `token`.
    pub fn adopt_session(&mut self, token: Token, parked: &Parked) {
        if self.parked.put(token.slot as usize, parked) {
            let generation = token.generation;
            self.cells.set(token.slot, Cell::Parked { generation, is_armed: false });
        }
    }

    /// The same for a session that is awake.
    pub fn adopt_awake(&mut self, token: Token, session: Session) {
        match session.park() {
            Ok(parked) => self.adopt_session(token, &parked),
            Err(session) => {
                let index = self.lives.insert(Live::new(token, Stage::Open(session)));
                self.cells.set(token.slot, Cell::Live(index));
            }
        }
    }

    /// The transport below.
    #[cfg(test)]
    pub(super) fn below(&mut self) -> &mut T {
        &mut self.below
    }

    /// Secured connections that are not at rest, and inputs that they hold.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, u32) {
        (self.lives.len(), self.pools.inputs_out())
    }

    pub(super) fn acceptor(&self, listener: ListenerId) -> Option<&Arc<Acceptor>> {
        self.listeners.get(usize::from(listener.0))?.as_ref()
    }

    pub(super) fn report(&mut self, report: &Report) {
        (self.reporter)(report);
    }

    /// The live connection that a command of `token` may act on; one at rest is woken for it.
    fn admit(&mut self, token: Token) -> Option<u32> {
        match self.cells.get(token.slot) {
            Cell::Plain => None,
            Cell::Greeting { generation } => {
                if generation.is_some_and(|named| named != token.generation) {
                    return None;
                }
                // It will not shake hands until it is parked.
                self.cells.set(token.slot, Cell::Greeting { generation: Some(token.generation) });
                None
            }
            Cell::Parked { generation, is_armed } => {
                (generation == token.generation).then(|| self.wake(token, is_armed))?
            }
            Cell::Live(index) => {
                let live = self.lives.get_mut(index)?;
                (live.token == token && !live.is_closing).then_some(index)
            }
        }
    }

    /// Takes a session out of the table.
    fn wake(&mut self, token: Token, is_armed: bool) -> Option<u32> {
        let parked = self.parked.take(token.slot as usize)?;
        let mut live = match Session::wake(parked) {
            Ok(session) => Live::new(token, Stage::Open(session)),
            // Nobody else writes there: a damaged one is a session that is lost.
            Err(_) => {
                let mut live = Live::new(token, Stage::Over);
                live.ended = Some(Err(IoFault::Insecure));
                live
            }
        };
        (live.parks, live.below_park) = (is_armed, is_armed);
        let index = self.lives.insert(live);
        self.cells.set(token.slot, Cell::Live(index));
        Some(index)
    }

    /// The live connection at a place, if it is still the one that was meant.
    pub(super) fn live_at(&mut self, (slot, generation): Place) -> Option<u32> {
        let Cell::Live(index) = self.cells.get(slot) else { return None };
        let live = self.lives.get_mut(index)?;
        (live.token.generation == generation).then_some(index)
    }

    fn translate(&mut self, event: Completion<Wire<P>>, completions: &mut Vec<Completion<P>>) {
        match event {
            Completion::Accepted { listener, slot, peer } => {
                // The slot may be one whose `Closed` is among the answers: that comes first.
                completions.append(&mut self.ready);
                if self.acceptor(listener).is_some() {
                    self.cells.set(slot, Cell::Greeting { generation: None });
                    let source = Source::of(peer.ip());
                    self.greetings.insert(slot, Greeting { listener, source });
                }
                completions.push(Completion::Accepted { listener, slot, peer });
            }
            Completion::AcceptFailed { listener, error } => {
                completions.push(Completion::AcceptFailed { listener, error });
            }
            Completion::Connected { ticket, result } => {
                completions.append(&mut self.ready);
                completions.push(Completion::Connected { ticket, result });
            }
            Completion::Secured { token, result } => {
                completions.push(Completion::Secured { token, result });
            }
            Completion::Readable { token } if self.cells.is_secured(token.slot) => {
                self.on_readable(token);
            }
            Completion::Readable { token } => completions.push(Completion::Readable { token }),
            Completion::Unparked { token } if self.cells.is_secured(token.slot) => {
                self.on_unparked(token);
            }
            Completion::Unparked { token } => completions.push(Completion::Unparked { token }),
            Completion::Received { token, buffer, result } if self.cells.is_secured(token.slot) => {
                self.on_received(token, buffer, result);
            }
            Completion::Received { token, buffer, result } => {
                completions.push(Completion::Received { token, buffer, result });
            }
            Completion::Sent { token, payload: Wire::Plain(payload), result } => {
                completions.push(Completion::Sent { token, payload, result });
            }
            Completion::Sent { token, payload: Wire::Sealed(chunk), result } => {
                self.on_sent(token, chunk, result);
            }
            Completion::ShutDown { token } => completions.push(Completion::ShutDown { token }),
            Completion::Closed { token } => {
                self.forget(token.slot);
                // Behind the buffers and payloads that came back before.
                self.ready.push(Completion::Closed { token });
            }
            Completion::Woken => completions.push(Completion::Woken),
        }
    }

    fn on_readable(&mut self, token: Token) {
        match self.cells.get(token.slot) {
            Cell::Plain => {}
            Cell::Greeting { .. } => {
                self.line.newcomers.push_back((token.slot, token.generation));
            }
            Cell::Parked { generation, .. } => {
                self.cells.set(token.slot, Cell::Parked { generation, is_armed: false });
                self.ready.push(Completion::Readable { token });
            }
            Cell::Live(index) => {
                let Some(live) = self.lives.get_mut(index) else { return };
                live.below_park = false;
                if live.is_closing {
                    return;
                }
                match live.stage {
                    Stage::Shaking(_) => self.receive_below(index, 0),
                    Stage::Open(_) | Stage::Over => {
                        if std::mem::take(&mut live.parks) {
                            self.ready.push(Completion::Readable { token });
                        }
                    }
                }
            }
        }
    }

    fn on_unparked(&mut self, token: Token) {
        match self.cells.get(token.slot) {
            Cell::Plain => {}
            Cell::Greeting { .. } => self.ready.push(Completion::Unparked { token }),
            Cell::Parked { generation, .. } => {
                self.cells.set(token.slot, Cell::Parked { generation, is_armed: false });
                self.ready.push(Completion::Unparked { token });
            }
            Cell::Live(index) => {
                let Some(live) = self.lives.get_mut(index) else { return };
                live.below_park = false;
                if !live.is_closing && std::mem::take(&mut live.parks) {
                    // What has ended meanwhile is told instead.
                    self.ready.push(match live.ended {
                        Some(_) => Completion::Readable { token },
                        None => Completion::Unparked { token },
                    });
                }
            }
        }
    }

    /// The slot is free.
    fn forget(&mut self, slot: u32) {
        match self.cells.get(slot) {
            Cell::Plain => return,
            Cell::Greeting { .. } => {
                self.greetings.remove(&slot);
            }
            Cell::Parked { .. } => drop(self.parked.take(slot as usize)),
            Cell::Live(index) => {
                if let Some(live) = self.lives.remove(index) {
                    live.input.into_iter().for_each(|input| self.pools.put_input(input));
                    live.out.chunk.into_iter().for_each(|chunk| self.pools.put_chunk(chunk));
                }
            }
        }
        self.cells.set(slot, Cell::Plain);
    }

    fn park_secured(&mut self, token: Token) {
        match self.cells.get(token.slot) {
            Cell::Greeting { generation } => {
                if generation.is_none_or(|named| named == token.generation) {
                    let generation = Some(token.generation);
                    self.cells.set(token.slot, Cell::Greeting { generation });
                    self.below.park(token);
                }
            }
            Cell::Parked { generation, is_armed } => {
                if generation == token.generation && !is_armed {
                    self.cells.set(token.slot, Cell::Parked { generation, is_armed: true });
                    self.below.park(token);
                }
            }
            Cell::Live(_) | Cell::Plain => {
                let Some(index) = self.admit(token) else { return };
                if let Some(live) = self.lives.get_mut(index) {
                    live.parks = true;
                    self.settle(index);
                }
            }
        }
    }

    fn cancel_secured(&mut self, token: Token) {
        let Cell::Live(index) = self.cells.get(token.slot) else {
            return self.below.cancel(token);
        };
        let Some(live) = self.lives.get_mut(index) else { return };
        if live.token != token || live.is_closing {
            return;
        }
        let is_shaking = matches!(live.stage, Stage::Shaking(_));
        // What is in flight below answers when it has ended; the rest ends here.
        if !is_shaking && (live.below_park || live.below_receive || live.below_send) {
            self.below.cancel(token);
        }
        if live.parks && (is_shaking || !live.below_park) {
            live.parks = false;
            self.ready.push(Completion::Unparked { token });
        }
        if let Some(buffer) = live.receives.take_if(|_| is_shaking || !live.below_receive) {
            let result = Err(IoFault::Cancelled);
            self.ready.push(Completion::Received { token, buffer, result });
        }
        if let Some(payload) = live.sends.take_if(|_| is_shaking || !live.below_send) {
            let result = Err(IoFault::Cancelled);
            self.ready.push(Completion::Sent { token, payload, result });
        }
    }

    fn close_secured(&mut self, token: Token) {
        let index = match self.cells.get(token.slot) {
            Cell::Parked { generation, .. } if generation == token.generation => {
                if self.farewells.len() < FAREWELLS_MAX {
                    self.admit(token)
                } else {
                    drop(self.parked.take(token.slot as usize));
                    None
                }
            }
            Cell::Live(index) => Some(index),
            Cell::Greeting { generation } => {
                // Whoever waits in line leaves it so.
                if generation.is_none_or(|named| named == token.generation) {
                    self.greetings.remove(&token.slot);
                }
                None
            }
            Cell::Plain | Cell::Parked { .. } => None,
        };
        let Some(index) = index else { return self.below.close(token) };
        let Some(live) = self.lives.get_mut(index) else { return };
        if live.token != token || live.is_closing {
            return;
        }
        live.is_closing = true;
        if let Some(buffer) = live.receives.take() {
            let result = Err(IoFault::Cancelled);
            self.ready.push(Completion::Received { token, buffer, result });
        }
        if let Some(payload) = live.sends.take() {
            let result = Err(IoFault::Cancelled);
            self.ready.push(Completion::Sent { token, payload, result });
        }
        self.give_up(index);
        if !self.bid_farewell(index) {
            self.below.close(token);
        }
    }

    /// Until when a wait below may last.
    fn until_us(&self, until_us: Option<u64>) -> Option<u64> {
        let partial_us = self.partials.front().map(|(due_us, _)| *due_us);
        let line_us = self.line.look_again_us(self.now_us);
        [until_us, partial_us, line_us].into_iter().flatten().min()
    }

    fn look_at_clock(&mut self) {
        if self.lives.len() > 0 || !self.line.is_empty() || !self.partials.is_empty() {
            self.now_us = self.below.now().monotonic_us;
        }
    }
}

impl<T, P> Transport for Secured<T, P>
where
    T: Transport<Payload = Wire<P>>,
    P: Payload,
{
    type Payload = P;

    fn listen(&mut self, listener: BoundListener) -> Result<ListenerId, ListenError> {
        self.below.listen(listener)
    }

    fn local_address(&self, listener: ListenerId) -> SocketAddr {
        self.below.local_address(listener)
    }

    fn stop_accepting(&mut self) {
        self.below.stop_accepting();
    }

    fn slot_count(&self) -> u32 {
        self.below.slot_count()
    }

    fn slots_per_shard(&self) -> u32 {
        self.below.slots_per_shard()
    }

    fn used_count(&self, shard: u32) -> u32 {
        self.below.used_count(shard)
    }

    fn now(&self) -> Now {
        self.below.now()
    }

    fn connect(&mut self, address: SocketAddr, from: Option<SocketAddr>, ticket: u64) {
        self.below.connect(address, from, ticket);
    }

    fn adopter(&self) -> Adopter {
        self.below.adopter()
    }

    fn park(&mut self, token: Token) {
        if self.cells.is_secured(token.slot) {
            return self.park_secured(token);
        }
        self.below.park(token);
    }

    fn receive(&mut self, token: Token, buffer: Buffer) {
        if self.cells.is_secured(token.slot) {
            let index = self.admit(token);
            return self.receive_secured(index, token, buffer);
        }
        self.below.receive(token, buffer);
    }

    fn send(&mut self, token: Token, payload: P) {
        if self.cells.is_secured(token.slot) {
            let index = self.admit(token);
            return self.send_secured(index, token, payload);
        }
        self.below.send(token, Wire::Plain(payload));
    }

    fn shutdown(&mut self, token: Token) {
        if !self.cells.is_secured(token.slot) {
            return self.below.shutdown(token);
        }
        if let Some(index) = self.admit(token) {
            self.shut_secured(index);
        }
    }

    fn cancel(&mut self, token: Token) {
        if self.cells.is_secured(token.slot) {
            return self.cancel_secured(token);
        }
        self.below.cancel(token);
    }

    fn close(&mut self, token: Token) {
        if self.cells.is_secured(token.slot) {
            return self.close_secured(token);
        }
        self.below.close(token);
    }

    fn security(&self, token: Token) -> Security {
        self.security_of(token)
    }

    fn buffer(&mut self) -> Option<Buffer> {
        self.below.buffer()
    }

    fn recycle(&mut self, buffer: Buffer) {
        self.below.recycle(buffer);
    }

    fn buffer_count(&self) -> u32 {
        self.below.buffer_count() + self.pools.piece_count()
    }

    fn trim(&mut self) {
        self.pools.trim();
        self.below.trim();
    }

    fn waker(&self) -> Waker {
        self.below.waker()
    }

    fn wait(
        &mut self,
        until_us: Option<u64>,
        completions: &mut Vec<Completion<P>>,
    ) -> Result<(), TransportError> {
        let already = completions.len();
        loop {
            let below_until_us =
                if self.ready.is_empty() { self.until_us(until_us) } else { Some(0) };
            let farewells = self.farewells.len();
            let mut events = std::mem::take(&mut self.events);
            self.below.wait(below_until_us, &mut events)?;
            self.look_at_clock();
            for event in events.drain(..) {
                self.translate(event, completions);
            }
            self.events = events;
            self.end_farewells(farewells);
            self.expire_partials();
            self.feed_starved();
            self.run_line();
            completions.append(&mut self.ready);
            let is_due = || until_us.is_some_and(|until| until <= self.below.now().monotonic_us);
            if completions.len() > already || is_due() {
                return Ok(());
            }
        }
    }
}

/// close_notify alerts on their way at a time; beyond them connections at rest close without.
const FAREWELLS_MAX: usize = 1024;
