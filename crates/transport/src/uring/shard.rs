//! A shard: one ring, its table of direct descriptors, and its slots.
//!
//! A command checks the token against the slot, notes what is in flight, and pushes. An event
//! clears the note. The slot is closed by whoever clears the last note of a closing slot (TR-2).

use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use super::event::{SlotOp, Wait};
use super::slots::{SlotState, Slots};
use super::sys::Ring;
use crate::op::{OpHeader, OpKind};
use crate::{Buffer, IoFault, Payload, StartError, Token};

/// One ring with its slots.
pub(super) struct Shard<P: Payload> {
    pub(super) ring: Ring<P>,
    slots: Slots,
    /// Number of the first slot.
    first_slot: u32,
    capacity: u32,
    /// Slots with a socket in them, closing ones included.
    used: u32,
    /// Slots that armed accepts and installs may take at any moment (TR-5).
    reserved: u32,
    /// Its eventfd was raised since the last enter; for shards that nobody waits on.
    is_raised: bool,
    doubt: Doubt,
}

/// How far the kernel's flag for deferred work is believed.
///
/// The kernel queues work first and raises the flag after. When the ring runs that work in between,
/// the flag comes up behind it and stays, with nothing to run. So enters that bring nothing are
/// counted: as many as could be needed to run something for every slot, and then the flag counts
/// for nothing until the ring's eventfd is raised, which it is whenever work comes to an idle ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    fruitless: u32,
    fruitless_max: u32,
}

/// What has become of a closed slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freed {
    /// The caller knows it by this token.
    Named(Token),
    /// The caller never heard of it.
    Unnamed,
}

impl<P: Payload> Shard<P> {
    /// Registers a table of `capacity` direct descriptors with `ring`.
    ///
    /// # Errors
    /// [`StartError::Table`].
    pub(super) fn new(ring: Ring<P>, first_slot: u32, capacity: u32) -> Result<Self, StartError> {
        ring.io().submitter().register_files_sparse(capacity).map_err(|error| {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            StartError::Table { slots: capacity, errno }
        })?;
        // Only shutdowns run on helper threads. Refused at worst: then there may be more of them.
        let _ = ring.io().submitter().register_iowq_max_workers(&mut [HELPERS_MAX; 2]);
        Ok(Self {
            ring,
            slots: Slots::new(capacity),
            first_slot,
            capacity,
            used: 0,
            reserved: 0,
            is_raised: false,
            doubt: Doubt::new(capacity),
        })
    }

    /// Raises `event` whenever the ring has something to say.
    pub(super) fn raise(&self, event: &Arc<OwnedFd>) -> Result<(), i32> {
        let registered = self.ring.io().submitter().register_eventfd(event.as_raw_fd());
        registered.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
    }

    /// Reserves a slot for an accept or an install, in the emptiest of `shards`; `None` when all
    /// are full. Shards fill up in steps, the first one first: so a few connections share a ring
    /// and its system calls, and many are spread evenly. O(shards).
    pub(super) fn reserve(shards: &mut [Self]) -> Option<&mut Self> {
        let with_room = shards.iter_mut().filter(|shard| shard.taken() < shard.capacity);
        let shard = with_room.min_by_key(|shard| shard.taken() / shard.step())?;
        shard.reserved += 1;
        Some(shard)
    }

    /// Slots with a socket in them or on its way.
    pub(super) fn taken(&self) -> u32 {
        self.used + self.reserved
    }

    /// Slots that are given out before the next shard has its turn.
    fn step(&self) -> u32 {
        (self.capacity / SPREAD_STEPS).max(1)
    }

    /// Ends a reservation that took no slot.
    pub(super) fn unreserve(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// A reservation has become a socket at `index`. Returns its slot number.
    pub(super) fn open(&mut self, index: u32) -> u32 {
        debug_assert!(!self.slots.get(index).has(SlotState::OPEN), "slot was not closed");
        self.unreserve();
        self.used += 1;
        self.slots.set(index, SlotState::default().with(SlotState::OPEN));
        self.slot_number(index)
    }

    /// Slots with a socket in them, closing ones included.
    pub(super) fn used_count(&self) -> u32 {
        self.used
    }

    /// The slot number of a direct index.
    pub(super) fn slot_number(&self, index: u32) -> u32 {
        self.first_slot + index
    }

    /// Its eventfd was raised: something has come.
    pub(super) fn set_raised(&mut self) {
        self.is_raised = true;
        self.doubt.end();
    }

    /// Whether an enter would submit or bring out anything.
    pub(super) fn has_work(&mut self) -> bool {
        let is_told = self.is_raised || self.ring.has_pushed();
        is_told || (self.doubt.believes() && self.ring.has_deferred())
    }

    /// Submits and runs what there is, and copies out what has ended, without waiting; for shards
    /// that nobody waits on.
    ///
    /// # Errors
    /// The errno of a ring that is of no further use.
    pub(super) fn run(&mut self) -> Result<(), i32> {
        self.is_raised = false;
        self.ring.enter(Wait::NO)?;
        self.ring.fetch();
        self.doubt.note(self.ring.has_fetched());
        Ok(())
    }

    /// Arms one accept of `listener`, for which a slot is reserved.
    pub(super) fn accept(&mut self, socket: &Rc<OwnedFd>, listener: u16) {
        self.ring.accept(socket, listener);
    }

    /// Cancels up to `count_max` accepts of `listener`; how many. O(ops), for cold paths.
    pub(super) fn cancel_accepts(&mut self, listener: u16, count_max: usize) -> usize {
        let armed = self.ring.ops().find(OpKind::Accept, u32::from(listener));
        let ops: Vec<u32> = armed.take(count_max).collect();
        ops.iter().for_each(|op| self.ring.cancel_op(*op));
        ops.len()
    }

    /// The token of the op `at`.
    pub(super) fn token(&self, at: SlotOp) -> Token {
        Token::new(self.slot_number(at.index), at.generation)
    }

    pub(super) fn park(&mut self, at: SlotOp) {
        let Some(state) = self.admit(at) else { return };
        debug_assert!(!state.has(SlotState::PARKED), "TR-4: parked twice");
        if !state.has(SlotState::PARKED) {
            self.slots.set(at.index, state.with(SlotState::PARKED));
            self.ring.park(at);
        }
    }

    /// Gives the buffer back, with the reason, when nothing is received.
    pub(super) fn receive(&mut self, at: SlotOp, buffer: Buffer) -> Result<(), (Buffer, IoFault)> {
        let Some(mut state) = self.admit(at) else {
            return Err((buffer, IoFault::Cancelled));
        };
        debug_assert!(!state.has(SlotState::RECEIVING), "TR-4: two receives");
        if state.has(SlotState::RECEIVING) {
            return Err((buffer, IoFault::Cancelled));
        }
        if buffer.spare_len() == 0 {
            return Err((buffer, IoFault::Exhausted));
        }
        // What comes beside a send is the answer to it, which nobody has given yet.
        let op = self.ring.receive(at, buffer, state.has(SlotState::SENDING));
        state.first_op = self.ring.ops_mut().link(state.first_op, op);
        self.slots.set(at.index, state.with(SlotState::RECEIVING));
        Ok(())
    }

    /// Gives the payload back, with the outcome, when nothing is sent.
    pub(super) fn send(
        &mut self,
        at: SlotOp,
        payload: P,
    ) -> Result<(), (P, Result<usize, IoFault>)> {
        let Some(mut state) = self.admit(at) else {
            return Err((payload, Err(IoFault::Cancelled)));
        };
        debug_assert!(!state.has(SlotState::SENDING), "TR-4: two sends");
        if state.has(SlotState::SENDING) {
            return Err((payload, Err(IoFault::Cancelled)));
        }
        let op = self.ring.send(at, payload).map_err(|empty| (empty, Ok(0)))?;
        state.first_op = self.ring.ops_mut().link(state.first_op, op);
        self.slots.set(at.index, state.with(SlotState::SENDING));
        Ok(())
    }

    pub(super) fn shutdown(&mut self, at: SlotOp) {
        let Some(state) = self.admit(at) else { return };
        if !state.has(SlotState::SHUTTING) {
            self.slots.set(at.index, state.with(SlotState::SHUTTING));
            self.ring.shutdown(at);
        }
    }

    pub(super) fn cancel(&mut self, at: SlotOp) {
        if let Some(state) = self.admit(at) {
            self.cancel_all(at, state);
        }
    }

    pub(super) fn close(&mut self, at: SlotOp) {
        let Some(state) = self.admit(at) else { return };
        let state = state.with(SlotState::CLOSING);
        self.slots.set(at.index, state);
        self.cancel_all(at, state);
        self.close_if_quiet(at);
    }

    /// Closes a socket that the caller never heard of.
    pub(super) fn close_unnamed(&mut self, index: u32) {
        let state = self.slots.get(index).with(SlotState::CLOSING);
        self.slots.set(index, state);
        self.close_if_quiet(SlotOp { index, generation: state.generation });
    }

    /// A park has ended; whether to tell the caller.
    pub(super) fn end_park(&mut self, at: SlotOp) -> bool {
        let state = self.slots.get(at.index).without(SlotState::PARKED);
        self.slots.set(at.index, state);
        self.close_if_quiet(at);
        !state.has(SlotState::CLOSING)
    }

    /// A shutdown has ended.
    pub(super) fn end_shutdown(&mut self, at: SlotOp) {
        let state = self.slots.get(at.index).without(SlotState::SHUTTING);
        self.slots.set(at.index, state);
        self.close_if_quiet(at);
    }

    /// The receive or send `op`, whose record was `header`, has ended.
    pub(super) fn end_op(&mut self, at: SlotOp, op: u32, header: &OpHeader) {
        let flag = match header.kind {
            Some(OpKind::Receive) => SlotState::RECEIVING,
            Some(OpKind::Send) => SlotState::SENDING,
            _ => return,
        };
        let mut state = self.slots.get(at.index).without(flag);
        state.first_op = self.ring.ops_mut().unlink(state.first_op, op, header);
        self.slots.set(at.index, state);
        self.close_if_quiet(at);
    }

    /// The socket at `at` is closed: the slot is free.
    pub(super) fn free(&mut self, at: SlotOp) -> Freed {
        let state = self.slots.get(at.index);
        self.slots.set(at.index, SlotState::default());
        self.used = self.used.saturating_sub(1);
        match state.has(SlotState::NAMED) {
            true => Freed::Named(self.token(at)),
            false => Freed::Unnamed,
        }
    }

    /// The slot's state if a command of this token may act on it: open, not closing, and of the
    /// same generation, which the first command after `Accepted` or `Connected` decides (TR-3).
    fn admit(&self, at: SlotOp) -> Option<SlotState> {
        let mut state = self.slots.get(at.index);
        if !state.has(SlotState::OPEN) || state.has(SlotState::CLOSING) {
            return None;
        }
        if !state.has(SlotState::NAMED) {
            state = state.with(SlotState::NAMED);
            state.generation = at.generation;
        }
        (state.generation == at.generation).then_some(state)
    }

    fn cancel_all(&mut self, at: SlotOp, state: SlotState) {
        if state.has(SlotState::PARKED) {
            self.ring.cancel(at.named(OpKind::Park));
        }
        let both = {
            let mut list = self.ring.ops().list(state.first_op);
            [list.next(), list.next()]
        };
        both.into_iter().flatten().for_each(|op| self.ring.cancel_op(op));
    }

    fn close_if_quiet(&mut self, at: SlotOp) {
        let state = self.slots.get(at.index);
        if state.may_close() {
            self.slots.set(at.index, state.with(SlotState::CLOSE_SENT));
            self.ring.close(at);
        }
    }
}

impl Doubt {
    pub(super) fn new(slot_count: u32) -> Self {
        Self { fruitless: 0, fruitless_max: slot_count / DEFERRED_PER_ENTER + 1 }
    }

    /// An enter has brought something, or nothing.
    pub(super) fn note(&mut self, has_brought: bool) {
        self.fruitless = if has_brought { 0 } else { self.fruitless.saturating_add(1) };
    }

    /// The kernel has said anew that there is something.
    pub(super) fn end(&mut self) {
        self.fruitless = 0;
    }

    pub(super) fn believes(self) -> bool {
        self.fruitless < self.fruitless_max
    }
}

/// What the kernel runs of its deferred work in one enter that waits for nothing, at least
/// (`IO_LOCAL_TW_DEFAULT_MAX`).
const DEFERRED_PER_ENTER: u32 = 20;
/// Steps in which a shard fills up.
const SPREAD_STEPS: u32 = 16;
/// Helper threads of the kernel per ring, for each of its two kinds of work.
const HELPERS_MAX: u32 = 2;
