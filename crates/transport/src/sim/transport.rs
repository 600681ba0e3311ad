//! [`SimTransport`]: a worker's side of a simulated network.

use std::net::{Ipv4Addr, SocketAddr};

use super::Network;
use super::Stream;
use super::net::{Acceptor, End, Opening, Owner, Step};
use crate::adopt::{Adopted, Adoptions};
use crate::buffers::BufferPool;
use crate::listen::Socket;
use crate::{
    AcceptError, Adopter, BoundListener, Buffer, Completion, Config, IoFault, ListenError,
    ListenerId, Now, Parts, Payload, Token, Transport, TransportError, Waker,
};

/// Sockets in memory; see the [module](super).
pub struct SimTransport<P: Payload> {
    network: Network,
    number: usize,
    slots: Vec<Slot<P>>,
    listeners: Vec<Listener>,
    pool: BufferPool,
    waker: Waker,
    adoptions: Adoptions,
    ready: Vec<Completion<P>>,
}

struct Listener {
    address: SocketAddr,
    is_open: bool,
    /// Told that the table is full, and nothing accepted since.
    is_starved: bool,
}

/// What stands in a slot and what is in flight on it.
struct Slot<P> {
    end: Option<End>,
    /// An outbound connection that is not open yet.
    ticket: Option<u64>,
    generation: Option<u32>,
    parked: Option<Parked>,
    receiving: Option<Armed<Buffer>>,
    sending: Option<Armed<P>>,
    is_shutting: bool,
    is_closing: bool,
}

/// An op in flight, and whether it was cancelled.
struct Armed<T> {
    item: T,
    is_cancelled: bool,
}

impl<T> Armed<T> {
    fn new(item: T) -> Self {
        Self { item, is_cancelled: false }
    }
}

/// A park holds nothing.
type Parked = Armed<()>;

impl<P> Default for Slot<P> {
    fn default() -> Self {
        Self {
            end: None,
            ticket: None,
            generation: None,
            parked: None,
            receiving: None,
            sending: None,
            is_shutting: false,
            is_closing: false,
        }
    }
}

impl<P: Payload> SimTransport<P> {
    pub(super) fn new(network: Network, config: &Config) -> Self {
        let number = network.world.borrow_mut().add_transport();
        Self {
            network,
            number,
            slots: (0..config.slots).map(|_| Slot::default()).collect(),
            listeners: Vec::new(),
            pool: BufferPool::new(config.buffers),
            waker: Waker::flag_only(),
            adoptions: Adoptions::new(config.slots, None),
            ready: Vec::new(),
        }
    }

    /// Pooled buffers that were handed out and not recycled: none of them lost, if a test can
    /// account for each.
    pub fn buffers_out(&self) -> u32 {
        self.pool.out_count()
    }

    /// Slots with a connection in them.
    pub fn open_count(&self) -> usize {
        self.slots.iter().filter(|slot| slot.end.is_some()).count()
    }

    /// The slot of a command's token; `None` (or a panic, when strict) if the token may not
    /// command it (TR-3).
    fn admit(&mut self, token: Token, command: &str) -> Option<&mut Slot<P>> {
        let strict = self.network.world.borrow().profile.strict;
        let found = self.slots.get_mut(token.slot as usize);
        let slot =
            found.filter(|slot| slot.end.is_some() && slot.ticket.is_none() && !slot.is_closing);
        let slot =
            slot.filter(|slot| slot.generation.is_none_or(|named| named == token.generation));
        assert!(slot.is_some() || !strict, "TR-3: {command} on {token:?}, which is not open");
        let slot = slot?;
        slot.generation = Some(token.generation);
        Some(slot)
    }

    /// TR-4: whether a second op of one kind is refused rather than a panic.
    fn refuse_second(&self, is_second: bool, command: &str) -> bool {
        let strict = self.network.world.borrow().profile.strict;
        assert!(!(is_second && strict), "TR-4: a second {command} is in flight");
        is_second
    }

    fn touch_later(&mut self, slot: u32) {
        self.network.world.borrow_mut().touch_later(self.number, slot);
    }

    fn free_slot(&self) -> Option<u32> {
        let free = self.slots.iter().position(|slot| slot.end.is_none());
        free.map(|index| index as u32)
    }

    /// Gives the streams that were handed over their slots.
    fn take_adopted(&mut self, completions: &mut Vec<Completion<P>>) {
        while let Some(Adopted { adoptee, ticket }) = self.adoptions.take() {
            let result = adoptee.simulated().and_then(|stream| self.adopt(stream));
            completions.push(Completion::Connected { ticket, result });
        }
    }

    fn adopt(&mut self, mut stream: Stream) -> Result<u32, IoFault> {
        let slot = self.free_slot().ok_or(IoFault::Exhausted)?;
        let end = stream.take_end().ok_or(IoFault::BrokenPipe)?;
        let owner = Owner::Slot { transport: self.number, slot };
        self.network.world.borrow_mut().set_owner(end, owner);
        self.slots[slot as usize] = Slot { end: Some(end), ..Slot::default() };
        Ok(slot)
    }

    fn accept_waiting(&mut self, completions: &mut Vec<Completion<P>>) {
        for id in 0..self.listeners.len() {
            let listener = ListenerId(id as u16);
            let acceptor = Acceptor::Transport { transport: self.number, listener: listener.0 };
            let address = self.listeners[id].address;
            while self.network.world.borrow().has_waiting(address, acceptor) {
                let Some(slot) = self.free_slot() else {
                    if !std::mem::replace(&mut self.listeners[id].is_starved, true) {
                        let error = AcceptError::TableFull;
                        completions.push(Completion::AcceptFailed { listener, error });
                    }
                    break;
                };
                let mut world = self.network.world.borrow_mut();
                let Some(end) = world.accept(address, acceptor) else {
                    break;
                };
                world.set_owner(end, Owner::Slot { transport: self.number, slot });
                let peer = world.peer_address(end);
                self.slots[slot as usize] = Slot { end: Some(end), ..Slot::default() };
                self.listeners[id].is_starved = false;
                completions.push(Completion::Accepted { listener, slot, peer });
            }
        }
    }

    /// Ends whatever can end at `slot` now.
    fn advance(&mut self, slot: u32, completions: &mut Vec<Completion<P>>) {
        let Some(end) = self.slots.get(slot as usize).and_then(|slot| slot.end) else {
            return;
        };
        if self.slots[slot as usize].ticket.is_some() {
            return self.advance_connect(slot, end, completions);
        }
        let token = self.token(slot);
        let mut steps: [Advance<P>; 3] =
            [Self::advance_park, Self::advance_receive, Self::advance_send];
        self.network.world.borrow_mut().chance.shuffle(&mut steps);
        for step in steps {
            completions.extend(step(self, token, end));
        }
        let state = &mut self.slots[slot as usize];
        let mut world = self.network.world.borrow_mut();
        if std::mem::take(&mut state.is_shutting) {
            world.send_fin(end);
            completions.push(Completion::ShutDown { token });
        }
        if state.is_closing {
            *state = Slot::default();
            world.close(end);
            completions.push(Completion::Closed { token });
        }
    }

    fn advance_connect(&mut self, slot: u32, end: End, completions: &mut Vec<Completion<P>>) {
        let opening = self.network.world.borrow().opening(end);
        let state = &mut self.slots[slot as usize];
        let result = match opening {
            Opening::Pending => return,
            Opening::Done => Ok(slot),
            Opening::Refused => Err(IoFault::Refused),
        };
        let Some(ticket) = state.ticket.take() else {
            return;
        };
        if result.is_err() {
            *state = Slot::default();
        }
        completions.push(Completion::Connected { ticket, result });
    }

    fn advance_park(&mut self, token: Token, end: End) -> Option<Completion<P>> {
        let mut world = self.network.world.borrow_mut();
        let state = &mut self.slots[token.slot as usize];
        let parked = state.parked.take()?;
        // A cancel and the peer's bytes may cross: chance decides which is told.
        let is_readable =
            world.is_readable(end) && !(parked.is_cancelled && world.chance.one_in(2));
        if state.is_closing {
            None
        } else if is_readable {
            Some(Completion::Readable { token })
        } else if parked.is_cancelled {
            Some(Completion::Unparked { token })
        } else {
            state.parked = Some(parked);
            None
        }
    }

    fn advance_receive(&mut self, token: Token, end: End) -> Option<Completion<P>> {
        let mut world = self.network.world.borrow_mut();
        let state = &mut self.slots[token.slot as usize];
        let Armed { item: mut buffer, is_cancelled } = state.receiving.take()?;
        let result = if world.is_readable(end) && world.break_by_chance(end) {
            Err(IoFault::Reset)
        } else if world.is_readable(end) {
            let bytes_max = world.short_bytes(buffer.spare_len());
            let spare = buffer.spare_mut().get_mut(..bytes_max).unwrap_or_default();
            world.read(end, spare).unwrap_or(Err(IoFault::Cancelled))
        } else if is_cancelled || state.is_closing {
            Err(IoFault::Cancelled)
        } else {
            state.receiving = Some(Armed { item: buffer, is_cancelled });
            return None;
        };
        buffer.commit(result.unwrap_or(0));
        Some(Completion::Received { token, buffer, result })
    }

    fn advance_send(&mut self, token: Token, end: End) -> Option<Completion<P>> {
        let mut world = self.network.world.borrow_mut();
        let state = &mut self.slots[token.slot as usize];
        let Armed { item: mut payload, is_cancelled } = state.sending.take()?;
        let room_bytes = match world.writable_bytes(end) {
            Some(Ok(_)) if world.break_by_chance(end) => Err(IoFault::Reset),
            Some(room_bytes) => room_bytes,
            None if is_cancelled || state.is_closing => Err(IoFault::Cancelled),
            None => {
                state.sending = Some(Armed { item: payload, is_cancelled });
                return None;
            }
        };
        let result = room_bytes.map(|room_bytes| {
            let bytes = gather(&payload, world.short_bytes(room_bytes));
            let sent_bytes = bytes.len();
            world.write(end, bytes);
            payload.advance(sent_bytes);
            sent_bytes
        });
        Some(Completion::Sent { token, payload, result })
    }

    fn token(&self, slot: u32) -> Token {
        let named = self.slots.get(slot as usize).and_then(|state| state.generation);
        Token::new(slot, named.unwrap_or(0))
    }
}

impl<P: Payload> Transport for SimTransport<P> {
    type Payload = P;

    fn listen(&mut self, listener: BoundListener) -> Result<ListenerId, ListenError> {
        let BoundListener { socket, address } = listener;
        let Socket::Simulated = socket else {
            return Err(ListenError::Foreign);
        };
        let id = u16::try_from(self.listeners.len()).map_err(|_| ListenError::TooMany)?;
        let acceptor = Acceptor::Transport { transport: self.number, listener: id };
        self.network.world.borrow_mut().listen(address, acceptor);
        self.listeners.push(Listener { address, is_open: true, is_starved: false });
        Ok(ListenerId(id))
    }

    fn local_address(&self, listener: ListenerId) -> SocketAddr {
        let found = self.listeners.get(usize::from(listener.0));
        found.map_or((Ipv4Addr::UNSPECIFIED, 0).into(), |listener| listener.address)
    }

    fn stop_accepting(&mut self) {
        let mut world = self.network.world.borrow_mut();
        for (id, listener) in (0_u16..).zip(&mut self.listeners) {
            if std::mem::take(&mut listener.is_open) {
                let acceptor = Acceptor::Transport { transport: self.number, listener: id };
                world.stop_listening(listener.address, acceptor);
            }
        }
    }

    fn slot_count(&self) -> u32 {
        self.slots.len() as u32
    }

    fn slots_per_shard(&self) -> u32 {
        self.slots.len() as u32
    }

    fn used_count(&self, shard: u32) -> u32 {
        if shard == 0 { self.open_count() as u32 } else { 0 }
    }

    fn now(&self) -> Now {
        let monotonic_us = self.network.now_us();
        Now { monotonic_us, unix_ms: EPOCH_UNIX_MS + monotonic_us / 1_000 }
    }

    fn connect(&mut self, address: SocketAddr, from: Option<SocketAddr>, ticket: u64) {
        let Some(slot) = self.free_slot() else {
            let result = Err(IoFault::Exhausted);
            return self.ready.push(Completion::Connected { ticket, result });
        };
        let from = from.unwrap_or_else(|| match address {
            SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST, 0).into(),
            SocketAddr::V6(_) => (std::net::Ipv6Addr::LOCALHOST, 0).into(),
        });
        let owner = Owner::Slot { transport: self.number, slot };
        let end = self.network.world.borrow_mut().connect(from, address, owner);
        let state = Slot { end: Some(end), ticket: Some(ticket), ..Slot::default() };
        self.slots[slot as usize] = state;
    }

    fn adopter(&self) -> Adopter {
        self.adoptions.adopter()
    }

    fn park(&mut self, token: Token) {
        let Some(slot) = self.admit(token, "park") else {
            return;
        };
        let is_second = slot.parked.is_some();
        slot.parked.get_or_insert(Parked::new(()));
        if !self.refuse_second(is_second, "park") {
            self.touch_later(token.slot);
        }
    }

    fn receive(&mut self, token: Token, buffer: Buffer) {
        let is_second = match self.admit(token, "receive") {
            Some(slot) => slot.receiving.is_some(),
            None => return self.ready.push(refused(token, buffer, IoFault::Cancelled)),
        };
        if self.refuse_second(is_second, "receive") {
            return self.ready.push(refused(token, buffer, IoFault::Cancelled));
        }
        if buffer.spare_len() == 0 {
            return self.ready.push(refused(token, buffer, IoFault::Exhausted));
        }
        self.slots[token.slot as usize].receiving = Some(Armed::new(buffer));
        self.touch_later(token.slot);
    }

    fn send(&mut self, token: Token, payload: P) {
        let is_second = match self.admit(token, "send") {
            Some(slot) => slot.sending.is_some(),
            None => {
                let result = Err(IoFault::Cancelled);
                return self.ready.push(Completion::Sent { token, payload, result });
            }
        };
        if self.refuse_second(is_second, "send") {
            let result = Err(IoFault::Cancelled);
            return self.ready.push(Completion::Sent { token, payload, result });
        }
        if gather(&payload, 1).is_empty() {
            return self.ready.push(Completion::Sent { token, payload, result: Ok(0) });
        }
        self.slots[token.slot as usize].sending = Some(Armed::new(payload));
        self.touch_later(token.slot);
    }

    fn shutdown(&mut self, token: Token) {
        let Some(slot) = self.admit(token, "shutdown") else {
            return;
        };
        slot.is_shutting = true;
        self.touch_later(token.slot);
    }

    fn cancel(&mut self, token: Token) {
        let Some(slot) = self.admit(token, "cancel") else {
            return;
        };
        slot.parked.iter_mut().for_each(|armed| armed.is_cancelled = true);
        slot.receiving.iter_mut().for_each(|armed| armed.is_cancelled = true);
        slot.sending.iter_mut().for_each(|armed| armed.is_cancelled = true);
        self.touch_later(token.slot);
    }

    fn close(&mut self, token: Token) {
        let Some(slot) = self.admit(token, "close") else {
            return;
        };
        slot.is_closing = true;
        self.touch_later(token.slot);
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
            completions.append(&mut self.ready);
            self.network.world.borrow_mut().close_dropped();
            self.take_adopted(completions);
            self.accept_waiting(completions);
            let touched = self.network.world.borrow_mut().take_touched(self.number);
            for slot in touched {
                self.advance(slot, completions);
            }
            // A slot that this batch has freed may be given out in it, as rings do.
            self.accept_waiting(completions);
            if self.waker.take() {
                completions.push(Completion::Woken);
            }
            if completions.len() > already {
                return Ok(());
            }
            let step = self.network.world.borrow_mut().step(self.number, until_us);
            match step {
                Step::Ran(calls) => calls.into_iter().for_each(|call| call()),
                Step::Deadline => return Ok(()),
                Step::Stuck => return Err(TransportError::Idle),
            }
        }
    }
}

impl<P: Payload> Drop for SimTransport<P> {
    fn drop(&mut self) {
        self.stop_accepting();
        let mut world = self.network.world.borrow_mut();
        self.slots.iter().filter_map(|slot| slot.end).for_each(|end| world.close(end));
        world.remove_transport(self.number);
    }
}

type Advance<P> = fn(&mut SimTransport<P>, Token, End) -> Option<Completion<P>>;

fn refused<P>(token: Token, buffer: Buffer, fault: IoFault) -> Completion<P> {
    Completion::Received { token, buffer, result: Err(fault) }
}

/// Up to `bytes_max` of what `payload` has left, in one piece.
fn gather<P: Payload>(payload: &P, bytes_max: usize) -> Vec<u8> {
    let mut parts = Parts::new();
    payload.parts(&mut parts);
    parts.as_slices().concat().into_iter().take(bytes_max).collect()
}

/// Wall time at which every simulated network begins, in milliseconds.
const EPOCH_UNIX_MS: u64 = 1_700_000_000_000;
