//! The slot: all that a parked connection is, in one cache line, and the table of slots.
//!
//! ```text
//! 0                16     18         20           24     28     32
//! │      peer      │ port │ listener │ generation │ next │ prev │
//! 32     36            40         44         48      49   50   51   52       56     60     64
//! │ tick │ last active │ accepted │ requests │ state │ in │ why │half│ active │ idle │ pair │
//! ```
//! All fields are atomics, so that the admin plane may read them while the worker runs; the worker
//! is the only writer of all but the state. Reads from outside are single fields of one moment, not
//! a snapshot.
//!
//! Two slots that are the halves of a tunnel name each other as partners, and each says which half
//! it is.

use alloc::boxed::Box;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::close_reason::CloseReason;
use crate::lifecycle::{Refused, State, allows};
use crate::sync::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use crate::tunnel::{Kind, Rest, Side};

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
    /// Of the origin's half of a tunnel: the place of the tunnel's record.
    requests: AtomicU32,
    state: AtomicU8,
    pub(crate) in_wheel: AtomicU8,
    close_reason: AtomicU8,
    /// Which half of a tunnel, as [`Half`] packs it; 0 for none; and [`SECURE`].
    half: AtomicU8,
    active: AtomicU32,
    /// How long it may rest, in tenths of a second.
    idle: AtomicU32,
    /// The slot of a tunnel's other half, plus 1; 0 for none.
    partner: AtomicU32,
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
            half: AtomicU8::new(0),
            active: AtomicU32::new(NO_ACTIVE),
            idle: AtomicU32::new(0),
            partner: AtomicU32::new(0),
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
        self.open_as(State::Active, peer, listener, now_ms)
    }

    /// The same for a connection that shakes hands first: `Free → Handshaking`.
    ///
    /// # Errors
    /// As [`Slot::open`].
    pub fn open_shaking(
        &self,
        peer: SocketAddr,
        listener: u16,
        now_ms: u64,
    ) -> Result<(), Refused> {
        self.open_as(State::Handshaking, peer, listener, now_ms)
    }

    fn open_as(
        &self,
        state: State,
        peer: SocketAddr,
        listener: u16,
        now_ms: u64,
    ) -> Result<(), Refused> {
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
        self.half.store(0, Ordering::Relaxed);
        self.partner.store(0, Ordering::Relaxed);
        self.move_state(State::Free, state)
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

    /// Whether its deadline is in the wheel.
    pub fn has_deadline(&self) -> bool {
        self.in_wheel.load(Ordering::Relaxed) != 0
    }

    /// Requests so far; none on the origin's half of a tunnel.
    pub fn requests(&self) -> u32 {
        match self.half() {
            Some(Half { side: Side::Origin, .. }) => 0,
            Some(Half { side: Side::Client, .. }) | None => self.requests.load(Ordering::Relaxed),
        }
    }

    /// The slot of the other half, when this is half of a tunnel.
    pub fn partner(&self) -> Option<u32> {
        self.partner.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Which half of a tunnel this is.
    pub fn half(&self) -> Option<Half> {
        Half::unpack(self.half.load(Ordering::Relaxed))
    }

    /// Makes this a half of a tunnel whose other is in the slot `partner`, until it is opened anew.
    pub fn pair(&self, partner: u32, half: Half) {
        self.set_half(half);
        self.partner.store(partner.wrapping_add(1), Ordering::Relaxed);
    }

    /// The tunnel is over: neither is the other's partner any more.
    pub fn unpair(&self) {
        self.partner.store(0, Ordering::Relaxed);
    }

    /// Notes what of a half is over, while the tunnel parks.
    pub fn set_rest(&self, rest: Rest) {
        if let Some(half) = self.half() {
            self.set_half(Half { rest, ..half });
        }
    }

    fn set_half(&self, half: Half) {
        let secure = self.half.load(Ordering::Relaxed) & SECURE;
        self.half.store(half.pack() | secure, Ordering::Relaxed);
    }

    /// It speaks TLS, and its handshake is over.
    pub fn is_secure(&self) -> bool {
        self.half.load(Ordering::Relaxed) & SECURE != 0
    }

    /// Its handshake is over; so it stays until it is opened anew.
    pub fn set_secure(&self) {
        let half = self.half.load(Ordering::Relaxed);
        self.half.store(half | SECURE, Ordering::Relaxed);
    }

    /// Of the origin's half: the place of the tunnel's record.
    pub fn record(&self) -> Option<u32> {
        let is_origin = matches!(self.half(), Some(Half { side: Side::Origin, .. }));
        is_origin.then(|| self.requests.load(Ordering::Relaxed))
    }

    /// Sets that place, on the origin's half alone.
    pub fn set_record(&self, place: u32) {
        if matches!(self.half(), Some(Half { side: Side::Origin, .. })) {
            self.requests.store(place, Ordering::Relaxed);
        }
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

/// Which half of which kind of tunnel a slot is, and what of the tunnel is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Half {
    /// Whose connection it is.
    pub side: Side,
    /// What the two are to each other.
    pub kind: Kind,
    /// What is over; up to date while the tunnel is parked.
    pub rest: Rest,
}

impl Half {
    const fn pack(self) -> u8 {
        let side = match self.side {
            Side::Client => 1,
            Side::Origin => 2,
        };
        let stream = match self.kind {
            Kind::Tunnel => 0,
            Kind::Stream => 4,
        };
        side | stream
            | (self.rest.client_ended as u8) << 3
            | (self.rest.origin_ended as u8) << 4
            | (self.rest.origin_first as u8) << 5
    }

    const fn unpack(bits: u8) -> Option<Self> {
        let side = match bits & 3 {
            1 => Side::Client,
            2 => Side::Origin,
            _ => return None,
        };
        let kind = if bits & 4 == 0 { Kind::Tunnel } else { Kind::Stream };
        let rest = Rest {
            client_ended: bits & 8 != 0,
            origin_ended: bits & 16 != 0,
            origin_first: bits & 32 != 0,
        };
        Some(Self { side, kind, rest })
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

/// Beside a packed [`Half`]: the connection has a TLS session.
const SECURE: u8 = 64;

#[cfg(test)]
mod tests;
