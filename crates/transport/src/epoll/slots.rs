//! Slots of the epoll reactor: sixteen bytes each, made when first needed, and the buffers and
//! payloads of those that wait (TR-8).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::op::OpLink;
use crate::{Buffer, Token};

/// One connection.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// `None` while the slot is free.
    socket: Option<OwnedFd>,
    generation: u32,
    /// Where its buffers and payloads wait; the next free slot while it is free.
    flight: OpLink,
    flags: u16,
}

impl Slot {
    /// The caller has named it by a token; `generation` is valid.
    pub(super) const NAMED: u16 = 1;
    /// To be told when the socket is readable.
    pub(super) const PARKED: u16 = 1 << 1;
    /// A receive waits.
    pub(super) const RECEIVING: u16 = 1 << 2;
    /// A send waits.
    pub(super) const SENDING: u16 = 1 << 3;
    /// Not connected yet.
    pub(super) const CONNECTING: u16 = 1 << 4;
    /// An edge has come and no receive has found the end of what it stands for.
    pub(super) const READABLE: u16 = 1 << 5;
    /// The peer has ended its stream, or the connection is broken: readable for ever.
    pub(super) const ENDED: u16 = 1 << 6;
    /// Registered for writing, too.
    pub(super) const WATCHES_ROOM: u16 = 1 << 7;

    /// Whether all of `flags` are set.
    pub(super) const fn has(&self, flags: u16) -> bool {
        self.flags & flags == flags
    }

    pub(super) fn set(&mut self, flags: u16) {
        self.flags |= flags;
    }

    pub(super) fn unset(&mut self, flags: u16) {
        self.flags &= !flags;
    }

    /// Takes `flag` down; whether it was up.
    pub(super) fn take(&mut self, flag: u16) -> bool {
        let was_up = self.has(flag);
        self.unset(flag);
        was_up
    }

    /// A receive has brought `bytes` of `room_bytes` that it had room for: with less than that the
    /// socket is drained.
    pub(super) fn note_received(&mut self, bytes: usize, room_bytes: usize) {
        if bytes == 0 {
            self.set(Self::READABLE | Self::ENDED);
        } else if bytes < room_bytes && !self.has(Self::ENDED) {
            self.unset(Self::READABLE);
        }
    }

    pub(super) const fn generation(&self) -> u32 {
        self.generation
    }

    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }
}

/// What waits for a socket: at most one of each (TR-4).
#[derive(Debug)]
pub(super) struct Flight<P> {
    pub(super) receive: Option<Buffer>,
    pub(super) send: Option<P>,
    /// The ticket of a connection that is being opened.
    pub(super) ticket: u64,
    next_free: OpLink,
}

/// All slots, and what waits in them.
#[derive(Debug)]
pub(super) struct Slots<P> {
    chunks: Vec<Box<[Slot]>>,
    count_max: u32,
    /// Slots that were ever used, and such as are now.
    used: u32,
    open: u32,
    free: OpLink,
    flights: Vec<Flight<P>>,
    free_flight: OpLink,
}

impl<P> Slots<P> {
    pub(super) fn new(count_max: u32) -> Self {
        Self {
            chunks: Vec::new(),
            count_max,
            used: 0,
            open: 0,
            free: OpLink::NONE,
            flights: Vec::new(),
            free_flight: OpLink::NONE,
        }
    }

    pub(super) fn count_max(&self) -> u32 {
        self.count_max
    }

    /// Slots with a socket in them.
    pub(super) fn open_count(&self) -> u32 {
        self.open
    }

    /// Whether [`Slots::open`] would find a slot.
    pub(super) fn has_room(&self) -> bool {
        self.free != OpLink::NONE || self.used < self.count_max
    }

    /// Puts `socket` into a free slot; gives it back when there is none.
    pub(super) fn open(&mut self, socket: OwnedFd) -> Result<u32, OwnedFd> {
        let Some(number) = self.free.get().or_else(|| self.grow()) else {
            return Err(socket);
        };
        let Some(place) = self.any_mut(number) else {
            return Err(socket);
        };
        let next = place.flight;
        *place = Slot { socket: Some(socket), ..Slot::default() };
        if self.free.get() == Some(number) {
            self.free = next;
        }
        self.open += 1;
        Ok(number)
    }

    /// Closes the socket of `number` and frees the slot. Nothing may wait in it.
    pub(super) fn close(&mut self, number: u32) {
        let free = self.free;
        let Some(place) = self.any_mut(number).filter(|place| place.socket.is_some()) else {
            return;
        };
        debug_assert!(place.flight == OpLink::NONE, "TR-1: something waits in a closed slot");
        *place = Slot { flight: free, ..Slot::default() };
        self.free = OpLink::to(number);
        self.open = self.open.saturating_sub(1);
    }

    /// An open slot.
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Slot> {
        self.any_mut(number).filter(|slot| slot.socket.is_some())
    }

    /// The slot of a command's token, if it may command it (TR-3): open, and of the same
    /// generation, which the first command after `Accepted` or `Connected` decides.
    pub(super) fn admit(&mut self, token: Token) -> Option<&mut Slot> {
        let generation = token.generation & Token::GENERATION_MAX;
        let slot = self.get_mut(token.slot).filter(|slot| !slot.has(Slot::CONNECTING))?;
        if !slot.has(Slot::NAMED) {
            slot.set(Slot::NAMED);
            slot.generation = generation;
        }
        (slot.generation == generation).then_some(slot)
    }

    /// What waits in an open slot, if anything does.
    pub(super) fn flight_mut(&mut self, number: u32) -> Option<&mut Flight<P>> {
        let flight = self.get_mut(number)?.flight.get()?;
        self.flights.get_mut(flight as usize)
    }

    /// A place for what is to wait in an open slot.
    pub(super) fn begin_flight(&mut self, number: u32) -> Option<&mut Flight<P>> {
        if self.get_mut(number)?.flight == OpLink::NONE {
            let flight = self.free_flight();
            self.get_mut(number)?.flight = OpLink::to(flight);
        }
        self.flight_mut(number)
    }

    /// Gives the place back once nothing waits in the slot any more.
    pub(super) fn end_flight(&mut self, number: u32) {
        let waits = Slot::RECEIVING | Slot::SENDING | Slot::CONNECTING;
        let Some(slot) = self.get_mut(number).filter(|slot| slot.flags & waits == 0) else {
            return;
        };
        let Some(flight) = std::mem::take(&mut slot.flight).get() else {
            return;
        };
        if let Some(place) = self.flights.get_mut(flight as usize) {
            debug_assert!(place.receive.is_none() && place.send.is_none(), "TR-1: left behind");
            place.next_free = self.free_flight;
            self.free_flight = OpLink::to(flight);
        }
    }

    fn free_flight(&mut self) -> u32 {
        if let Some(flight) = self.free_flight.get() {
            if let Some(place) = self.flights.get(flight as usize) {
                self.free_flight = place.next_free;
            }
            return flight;
        }
        let fresh = Flight { receive: None, send: None, ticket: 0, next_free: OpLink::NONE };
        self.flights.push(fresh);
        (self.flights.len() - 1) as u32
    }

    /// A slot that was never used.
    fn grow(&mut self) -> Option<u32> {
        let number = self.used;
        if number == self.count_max {
            return None;
        }
        if number as usize == self.chunks.len() * CHUNK_SLOTS {
            self.chunks.push(std::iter::repeat_with(Slot::default).take(CHUNK_SLOTS).collect());
        }
        self.used += 1;
        Some(number)
    }

    fn any_mut(&mut self, number: u32) -> Option<&mut Slot> {
        let chunk = self.chunks.get_mut(number as usize / CHUNK_SLOTS)?;
        chunk.get_mut(number as usize % CHUNK_SLOTS)
    }
}

/// Slots are made in steps of this many, a page each.
const CHUNK_SLOTS: usize = 256;
const _: () = assert!(size_of::<Slot>() == 16);
