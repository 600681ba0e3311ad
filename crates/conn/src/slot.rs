//! The slot: all that a parked connection is, in one cache line, and the table of slots.
//!
//! ```text
//! 0                16     18         20           24     28     32
//! │      peer      │ port │ listener │ generation │ next │ prev │
//! 32     36            40         44         48      49   50    51  52       56     60      64
//! │ tick │ last active │ accepted │ requests │ state │ in │ why │   │ active │ idle │ spare │
//! ```
//! All fields are atomics, so that the admin plane may read them while the worker runs; the worker
//! is the only writer of all but the state. Reads from outside are single fields of one moment, not
//! a snapshot.

use alloc::boxed::Box;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::close_reason::CloseReason;
use crate::lifecycle::{Refused, State, allows};
use crate::sync::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// One connection's place; 64 bytes (CN-1).
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Slot {
    peer_high: AtomicU64,
    peer_low: AtomicU64,
    peer_port: AtomicU16,
    listener: AtomicU16,
    generation: AtomicU32,
    pub(crate) wheel_next: AtomicU32,
    pub(crate) wheel_prev: AtomicU32,
    pub(crate) wheel_tick: AtomicU32,
    /// Tenths of a second since the worker started.
    last_active: AtomicU32,
    /// Tenths of a second since the worker started.
    accepted: AtomicU32,
    requests: AtomicU32,
    state: AtomicU8,
    pub(crate) in_wheel: AtomicU8,
    close_reason: AtomicU8,
    _spare_byte: u8,
    active: AtomicU32,
    /// How long it may rest, in tenths of a second.
    idle: AtomicU32,
    /// Room for the parked TLS record.
    _spare: u32,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Slot>() == 64 && align_of::<Slot>() == 64);

impl Slot {
    fn new() -> Self {
        Self {
            peer_high: AtomicU64::new(0),
            peer_low: AtomicU64::new(0),
            peer_port: AtomicU16::new(0),
            listener: AtomicU16::new(0),
            generation: AtomicU32::new(0),
            wheel_next: AtomicU32::new(0),
            wheel_prev: AtomicU32::new(0),
            wheel_tick: AtomicU32::new(0),
            last_active: AtomicU32::new(0),
            accepted: AtomicU32::new(0),
            requests: AtomicU32::new(0),
            state: AtomicU8::new(State::Free as u8),
            in_wheel: AtomicU8::new(0),
            close_reason: AtomicU8::new(0),
            _spare_byte: 0,
            active: AtomicU32::new(NO_ACTIVE),
            idle: AtomicU32::new(0),
            _spare: 0,
        }
    }

    /// Where the connection is in its life.
    pub fn state(&self) -> State {
        // Only states are ever written.
        State::from_u8(self.state.load(Ordering::Acquire)).unwrap_or(State::Closing)
    }

    /// Moves the connection from one state to another (CN-2).
    ///
    /// # Errors
    /// [`Refused::NotAllowed`] for a move that is not in the table, [`Refused::Was`] when the
    /// connection was not in `from`.
    pub fn move_state(&self, from: State, to: State) -> Result<(), Refused> {
        if !allows(from, to) {
            return Err(Refused::NotAllowed);
        }
        let moved =
            self.state.compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire);
        match moved {
            Ok(_) => Ok(()),
            Err(number) => Err(Refused::Was(State::from_u8(number).unwrap_or(State::Closing))),
        }
    }

    /// A connection was accepted into this slot: `Free → Active`. `now_ms` counts from the
    /// worker's start. The worker's alone to call.
    ///
    /// # Errors
    /// [`Refused::Was`] when the slot was not free; nothing has changed then.
    pub fn open(&self, peer: SocketAddr, listener: u16, now_ms: u64) -> Result<(), Refused> {
        if self.state() != State::Free {
            return Err(Refused::Was(self.state()));
        }
        let address = match peer.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let bits = address.to_bits();
        self.peer_high.store((bits >> 64) as u64, Ordering::Relaxed);
        self.peer_low.store(bits as u64, Ordering::Relaxed);
        self.peer_port.store(peer.port(), Ordering::Relaxed);
        self.listener.store(listener, Ordering::Relaxed);
        self.accepted.store(tenths(now_ms), Ordering::Relaxed);
        self.last_active.store(tenths(now_ms), Ordering::Relaxed);
        self.requests.store(0, Ordering::Relaxed);
        self.close_reason.store(0, Ordering::Relaxed);
        self.active.store(NO_ACTIVE, Ordering::Relaxed);
        self.idle.store(0, Ordering::Relaxed);
        self.move_state(State::Free, State::Active)
    }

    /// The connection is gone: `Closing → Free`, with the next generation (CN-3); whoever sees the
    /// slot free sees that too. The worker's alone to call.
    ///
    /// # Errors
    /// [`Refused::Was`] when the slot was not closing; nothing has changed then.
    pub fn release(&self) -> Result<(), Refused> {
        if self.state() != State::Closing {
            return Err(Refused::Was(self.state()));
        }
        let next = (self.generation() + 1) & GENERATION_MAX;
        self.generation.store(next, Ordering::Relaxed);
        self.move_state(State::Closing, State::Free)
    }

    /// Tells this connection from those that had the slot before; 24 bits, wraps.
    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Relaxed)
    }

    /// The peer's address. An IPv4 address comes back as one, also when it was mapped into IPv6;
    /// the flow label and the zone of an IPv6 address are not kept.
    pub fn peer(&self) -> SocketAddr {
        let high = u128::from(self.peer_high.load(Ordering::Relaxed));
        let low = u128::from(self.peer_low.load(Ordering::Relaxed));
        let address = Ipv6Addr::from_bits(high << 64 | low);
        let ip = IpAddr::V6(address).to_canonical();
        SocketAddr::new(ip, self.peer_port.load(Ordering::Relaxed))
    }

    /// The listener that accepted the connection.
    pub fn listener(&self) -> u16 {
        self.listener.load(Ordering::Relaxed)
    }

    /// The place of what the connection borrows while it is active.
    pub fn active(&self) -> Option<u32> {
        let index = self.active.load(Ordering::Relaxed);
        (index != NO_ACTIVE).then_some(index)
    }

    /// Sets or clears that place.
    pub fn set_active(&self, index: Option<u32>) {
        self.active.store(index.unwrap_or(NO_ACTIVE), Ordering::Relaxed);
    }

    /// Bytes moved, or the connection went to rest: its idle time starts anew.
    pub fn touch(&self, now_ms: u64) {
        self.last_active.store(tenths(now_ms), Ordering::Relaxed);
    }

    /// When it was last touched, ms since the worker's start, in steps of 100.
    pub fn last_active_ms(&self) -> u64 {
        u64::from(self.last_active.load(Ordering::Relaxed)) * 100
    }

    /// When it was accepted, ms since the worker's start, in steps of 100.
    pub fn accepted_ms(&self) -> u64 {
        u64::from(self.accepted.load(Ordering::Relaxed)) * 100
    }

    /// How long the connection may rest between requests, ms, in steps of 100; 0 until it is set.
    pub fn idle_ms(&self) -> u64 {
        u64::from(self.idle.load(Ordering::Relaxed)) * 100
    }

    /// Sets how long it may rest: the listener's time at first, then that of the site it asked for.
    pub fn set_idle_ms(&self, idle_ms: u64) {
        self.idle.store(tenths(idle_ms), Ordering::Relaxed);
    }

    /// Requests so far.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Counts a request; the new count names its exchange within the generation.
    pub fn add_request(&self) -> u32 {
        let count = self.requests().wrapping_add(1);
        self.requests.store(count, Ordering::Relaxed);
        count
    }

    /// Why it is closing, once it is.
    pub fn close_reason(&self) -> Option<CloseReason> {
        let number = self.close_reason.load(Ordering::Relaxed);
        CloseReason::ALL.iter().copied().find(|reason| *reason as u8 == number)
    }

    /// Notes why it is closing; the first reason stays.
    pub fn set_close_reason(&self, reason: CloseReason) {
        if self.close_reason.load(Ordering::Relaxed) == 0 {
            self.close_reason.store(reason as u8, Ordering::Relaxed);
        }
    }
}

/// All slots of a worker, by number; shared with whoever counts and lists them.
#[derive(Debug)]
pub struct SlotTable {
    slots: Box<[Slot]>,
}

impl SlotTable {
    /// `count` free slots: 64 bytes each, taken at once.
    pub fn new(count: u32) -> Self {
        Self { slots: (0..count).map(|_| Slot::new()).collect() }
    }

    /// The slot of a number.
    pub fn get(&self, slot: u32) -> Option<&Slot> {
        self.slots.get(slot as usize)
    }

    /// Number of slots.
    pub fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    /// There are no slots.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// All slots in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }
}

fn tenths(ms: u64) -> u32 {
    // 2^32 tenths are 13 years.
    u32::try_from(ms / 100).unwrap_or(u32::MAX)
}

/// Largest generation: 24 bits, as many as a transport token carries.
pub const GENERATION_MAX: u32 = (1 << 24) - 1;

const NO_ACTIVE: u32 = u32::MAX;

#[cfg(test)]
mod tests;
