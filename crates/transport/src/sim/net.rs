//! The world behind a simulated network: links of two ends, listeners, and what is due when.
//!
//! A link has two sides, 0 for who connected and 1 for who accepted, and a pipe from each side to
//! the other. A side belongs to a test's handle, to a slot of a transport, or to nobody any more.
//! Whatever happens to a side *touches* its owner; a transport looks only at touched slots.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::Profile;
use super::clock::{Chance, Timeline};
use crate::IoFault;

/// Everything in a simulated network.
pub(super) struct World {
    pub(super) profile: Profile,
    pub(super) chance: Chance,
    now_us: u64,
    hold_us: u64,
    timeline: Timeline<Due>,
    links: Vec<Link>,
    listeners: BTreeMap<SocketAddr, Vec<Listening>>,
    /// Per transport: slots to look at; `None` once it is gone.
    touched: Vec<Option<BTreeSet<u32>>>,
    next_port: u16,
    /// Ends whose streams were dropped, on whatever thread.
    dropped: Dropped,
}

/// Ends to be closed at the next opportunity.
pub(super) type Dropped = Arc<Mutex<Vec<End>>>;

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) link: usize,
    pub(super) side: usize,
}

impl End {
    pub(super) fn other(self) -> Self {
        Self { link: self.link, side: 1 - self.side }
    }
}

/// Whom an end belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A test's handle, or the backlog of a listener.
    Handle,
    Slot {
        transport: usize,
        slot: u32,
    },
    Nobody,
}

/// Who takes the connections of an address.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) acceptor: Acceptor,
    pub(super) backlog: VecDeque<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acceptor {
    Server,
    Transport { transport: usize, listener: u16 },
}

/// How a connection attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Pending,
    Done,
    Refused,
}

/// What time brings when there is nothing else to do.
pub(super) enum Step {
    /// Something happened; these calls are to be made.
    Ran(Vec<Call>),
    /// The deadline is here.
    Deadline,
    /// Nothing can happen, or time is held, or another transport must act first.
    Stuck,
}

pub(super) type Call = Box<dyn FnOnce()>;

enum Due {
    Arrive(usize),
    Deliver { to: End, bytes: Vec<u8> },
    Fin { to: End },
    Reset { to: End },
    Touch { transport: usize, slot: u32 },
    Call(Call),
}

struct Link {
    addresses: [SocketAddr; 2],
    owners: [Owner; 2],
    /// By the side that reads it.
    inbound: [Pipe; 2],
    opening: Opening,
}

/// Bytes on their way to one side, and what that side knows of them.
#[derive(Debug)]
struct Pipe {
    arrived: VecDeque<u8>,
    in_transit_bytes: usize,
    window_bytes: usize,
    /// Nothing sent later arrives before this.
    last_due_us: u64,
    fin_sent: bool,
    fin_arrived: bool,
    reset_sent: bool,
    reset_arrived: bool,
    /// The reset was told to the reader.
    reset_told: bool,
}

impl World {
    pub(super) fn new(seed: u64, profile: Profile) -> Self {
        Self {
            profile,
            chance: Chance::new(seed),
            now_us: 0,
            hold_us: u64::MAX,
            timeline: Timeline::new(),
            links: Vec::new(),
            listeners: BTreeMap::new(),
            touched: Vec::new(),
            next_port: FIRST_PORT,
            dropped: Dropped::default(),
        }
    }

    /// Where streams leave their ends when they are dropped.
    pub(super) fn dropped(&self) -> Dropped {
        Arc::clone(&self.dropped)
    }

    /// Closes the ends whose streams were dropped.
    pub(super) fn close_dropped(&mut self) {
        let dropped = self.dropped.lock().map(|mut ends| std::mem::take(&mut *ends));
        dropped.unwrap_or_default().into_iter().for_each(|end| self.close(end));
    }

    pub(super) fn now_us(&self) -> u64 {
        self.now_us
    }

    pub(super) fn hold_at(&mut self, until_us: u64) {
        self.hold_us = until_us.max(self.now_us);
    }

    pub(super) fn schedule_call(&mut self, delay_us: u64, call: Call) {
        self.timeline.push(self.now_us.saturating_add(delay_us), Due::Call(call));
    }

    /// Registers a transport; returns its number.
    pub(super) fn add_transport(&mut self) -> usize {
        self.touched.push(Some(BTreeSet::new()));
        self.touched.len() - 1
    }

    /// Forgets a transport that has closed everything.
    pub(super) fn remove_transport(&mut self, transport: usize) {
        if let Some(slots) = self.touched.get_mut(transport) {
            *slots = None;
        }
    }

    /// `address` with a port of its own in place of port 0.
    pub(super) fn with_port(&mut self, mut address: SocketAddr) -> SocketAddr {
        if address.port() == 0 {
            address.set_port(self.next_port);
            self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT);
        }
        address
    }

    pub(super) fn listen(&mut self, address: SocketAddr, acceptor: Acceptor) {
        let listening = Listening { acceptor, backlog: VecDeque::new() };
        self.listeners.entry(address).or_default().push(listening);
    }

    /// Stops listening; connections in the backlog are reset.
    pub(super) fn stop_listening(&mut self, address: SocketAddr, acceptor: Acceptor) {
        let Some(all) = self.listeners.get_mut(&address) else {
            return;
        };
        let gone: Vec<Listening> =
            all.extract_if(.., |listening| listening.acceptor == acceptor).collect();
        if all.is_empty() {
            self.listeners.remove(&address);
        }
        for end in gone.into_iter().flat_map(|listening| listening.backlog) {
            self.set_owner(end, Owner::Nobody);
            self.send_reset(end.other());
        }
    }

    /// The oldest connection that waits for `acceptor`.
    pub(super) fn accept(&mut self, address: SocketAddr, acceptor: Acceptor) -> Option<End> {
        let all = self.listeners.get_mut(&address)?;
        all.iter_mut().find(|one| one.acceptor == acceptor)?.backlog.pop_front()
    }

    /// Whether a connection waits for `acceptor`.
    pub(super) fn has_waiting(&self, address: SocketAddr, acceptor: Acceptor) -> bool {
        let all = self.listeners.get(&address).map_or(&[][..], Vec::as_slice);
        all.iter().any(|one| one.acceptor == acceptor && !one.backlog.is_empty())
    }

    /// Opens a link; returns the connecting end. The connection arrives after a delay.
    pub(super) fn connect(&mut self, from: SocketAddr, to: SocketAddr, owner: Owner) -> End {
        let link = self.link_up([from, to], owner, Opening::Pending);
        let due_us = self.delayed_us();
        if due_us == self.now_us {
            self.arrive(link);
        } else {
            self.timeline.push(due_us, Due::Arrive(link));
        }
        End { link, side: 0 }
    }

    /// A link that nobody has to accept; its side 0.
    pub(super) fn open(&mut self, addresses: [SocketAddr; 2]) -> End {
        End { link: self.link_up(addresses, Owner::Handle, Opening::Done), side: 0 }
    }

    fn link_up(&mut self, [from, to]: [SocketAddr; 2], owner: Owner, opening: Opening) -> usize {
        let window_bytes = self.profile.window_bytes;
        let from = self.with_port(from);
        self.links.push(Link {
            addresses: [from, to],
            owners: [owner, Owner::Handle],
            inbound: [Pipe::new(window_bytes), Pipe::new(window_bytes)],
            opening,
        });
        self.links.len() - 1
    }

    pub(super) fn opening(&self, end: End) -> Opening {
        self.link(end).opening
    }

    /// Address of `end` itself.
    pub(super) fn address(&self, end: End) -> SocketAddr {
        self.link(end).addresses[end.side]
    }

    /// Address of who is at the other end.
    pub(super) fn peer_address(&self, end: End) -> SocketAddr {
        self.address(end.other())
    }

    pub(super) fn set_owner(&mut self, end: End, owner: Owner) {
        self.link_mut(end).owners[end.side] = owner;
    }

    pub(super) fn set_window(&mut self, end: End, window_bytes: usize) {
        self.inbound_mut(end).window_bytes = window_bytes;
        self.touch(end.other());
    }

    /// Bytes that have arrived at `end` and were not read.
    pub(super) fn unread_bytes(&self, end: End) -> usize {
        self.inbound(end).arrived.len()
    }

    /// Whether a read would tell something: bytes, the end, or a fault.
    pub(super) fn is_readable(&self, end: End) -> bool {
        let pipe = self.inbound(end);
        !pipe.arrived.is_empty() || pipe.fin_arrived || pipe.reset_arrived
    }

    /// Whether the other side has ended its stream and everything before was read.
    pub(super) fn is_at_end(&self, end: End) -> bool {
        let pipe = self.inbound(end);
        pipe.arrived.is_empty() && pipe.fin_arrived
    }

    pub(super) fn is_reset(&self, end: End) -> bool {
        self.inbound(end).reset_arrived
    }

    /// Whether the other side has let go of the connection.
    pub(super) fn is_abandoned(&self, end: End) -> bool {
        self.link(end).owners[1 - end.side] == Owner::Nobody
    }

    /// Reads what has arrived, `None` if there is nothing to tell yet.
    pub(super) fn read(&mut self, end: End, into: &mut [u8]) -> Option<Result<usize, IoFault>> {
        let pipe = self.inbound_mut(end);
        if !pipe.arrived.is_empty() {
            let bytes = into.len().min(pipe.arrived.len());
            for (place, byte) in into.iter_mut().zip(pipe.arrived.drain(..bytes)) {
                *place = byte;
            }
            self.touch(end.other());
            return Some(Ok(bytes));
        }
        if pipe.reset_arrived && !std::mem::replace(&mut pipe.reset_told, true) {
            return Some(Err(IoFault::Reset));
        }
        (pipe.fin_arrived || pipe.reset_arrived).then_some(Ok(0))
    }

    /// How many bytes `end` may send now; `None` if it must wait for the other side to read.
    pub(super) fn writable_bytes(&mut self, end: End) -> Option<Result<usize, IoFault>> {
        let pipe = self.inbound_mut(end);
        if pipe.reset_arrived {
            let is_told = std::mem::replace(&mut pipe.reset_told, true);
            return Some(Err(if is_told { IoFault::BrokenPipe } else { IoFault::Reset }));
        }
        let outbound = self.inbound(end.other());
        if outbound.fin_sent || outbound.reset_sent {
            return Some(Err(IoFault::BrokenPipe));
        }
        let held_bytes = outbound.arrived.len() + outbound.in_transit_bytes;
        match outbound.window_bytes.saturating_sub(held_bytes) {
            0 => None,
            room_bytes => Some(Ok(room_bytes)),
        }
    }

    /// Sends bytes from `end`; they count as held from now on, and arrive in order.
    pub(super) fn write(&mut self, end: End, bytes: Vec<u8>) {
        let to = end.other();
        if bytes.is_empty() {
            return;
        }
        self.inbound_mut(to).in_transit_bytes += bytes.len();
        self.send_due(to, Due::Deliver { to, bytes });
    }

    /// Ends the stream from `end`.
    pub(super) fn send_fin(&mut self, end: End) {
        let to = end.other();
        if !std::mem::replace(&mut self.inbound_mut(to).fin_sent, true) {
            self.send_due(to, Due::Fin { to });
        }
    }

    /// Breaks the connection for the reader at `to`.
    pub(super) fn send_reset(&mut self, to: End) {
        if !std::mem::replace(&mut self.inbound_mut(to).reset_sent, true) {
            self.send_due(to, Due::Reset { to });
        }
    }

    /// Lets go of `end`: the peer sees the end of the stream, or a reset when bytes were unread.
    pub(super) fn close(&mut self, end: End) {
        self.set_owner(end, Owner::Nobody);
        if self.unread_bytes(end) > 0 {
            self.send_reset(end.other());
        } else {
            self.send_fin(end);
        }
    }

    /// How many of `bytes` one op moves.
    pub(super) fn short_bytes(&mut self, bytes: usize) -> usize {
        match self.profile.short_bytes_max {
            0 => bytes,
            most => bytes.min(1 + self.chance.up_to(most as u64 - 1) as usize),
        }
    }

    /// Whether chance breaks the connection now, for both sides.
    pub(super) fn break_by_chance(&mut self, end: End) -> bool {
        let is_broken = self.chance.one_in(self.profile.reset_one_in);
        if is_broken {
            let pipe = self.inbound_mut(end);
            pipe.reset_sent = true;
            pipe.reset_arrived = true;
            pipe.reset_told = true;
            pipe.arrived.clear();
            self.send_reset(end.other());
        }
        is_broken
    }

    /// Slots of `transport` to look at, in an order of chance.
    pub(super) fn take_touched(&mut self, transport: usize) -> Vec<u32> {
        let Some(Some(touched)) = self.touched.get_mut(transport) else { return Vec::new() };
        let mut slots: Vec<u32> = std::mem::take(touched).into_iter().collect();
        self.chance.shuffle(&mut slots);
        slots
    }

    /// Makes `transport` look at `slot`, after a delay by chance.
    pub(super) fn touch_later(&mut self, transport: usize, slot: u32) {
        let due_us = self.delayed_us();
        if due_us == self.now_us {
            self.touch_slot(transport, slot);
        } else {
            self.timeline.push(due_us, Due::Touch { transport, slot });
        }
    }

    /// Lets time pass to the next thing that is due, or to `until_us`, for `transport`, which has
    /// nothing to do.
    pub(super) fn step(&mut self, transport: usize, until_us: Option<u64>) -> Step {
        if self.others_have_work(transport) {
            return Step::Stuck;
        }
        let limit_us = until_us.unwrap_or(u64::MAX).min(self.hold_us).max(self.now_us);
        match self.timeline.next_due_us() {
            Some(due_us) if due_us <= limit_us => {
                self.now_us = self.now_us.max(due_us);
                let mut calls = Vec::new();
                while let Some(due) = self.timeline.pop_due(self.now_us) {
                    self.happen(due, &mut calls);
                }
                Step::Ran(calls)
            }
            Some(_) | None => {
                let is_deadline = until_us.is_some_and(|until_us| until_us <= limit_us);
                if is_deadline || self.hold_us < u64::MAX {
                    self.now_us = limit_us;
                }
                if is_deadline { Step::Deadline } else { Step::Stuck }
            }
        }
    }

    fn others_have_work(&self, transport: usize) -> bool {
        let has_touched = self
            .touched
            .iter()
            .enumerate()
            .filter(|(number, _)| *number != transport)
            .any(|(_, slots)| slots.as_ref().is_some_and(|slots| !slots.is_empty()));
        let is_others = |acceptor: Acceptor| match acceptor {
            Acceptor::Server => false,
            Acceptor::Transport { transport: number, .. } => number != transport,
        };
        let mut listening = self.listeners.values().flatten();
        has_touched || listening.any(|one| is_others(one.acceptor) && !one.backlog.is_empty())
    }

    fn happen(&mut self, due: Due, calls: &mut Vec<Call>) {
        match due {
            Due::Arrive(link) => self.arrive(link),
            Due::Deliver { to, bytes } => {
                let is_gone = self.link(to).owners[to.side] == Owner::Nobody;
                let pipe = self.inbound_mut(to);
                pipe.in_transit_bytes -= bytes.len();
                if is_gone {
                    // Bytes for a closed connection are answered by a reset.
                    self.send_reset(to.other());
                } else if !pipe.reset_arrived {
                    pipe.arrived.extend(bytes);
                }
                self.touch(to);
            }
            Due::Fin { to } => {
                self.inbound_mut(to).fin_arrived = true;
                self.touch(to);
            }
            Due::Reset { to } => {
                self.inbound_mut(to).reset_arrived = true;
                self.touch(to);
            }
            Due::Touch { transport, slot } => self.touch_slot(transport, slot),
            Due::Call(call) => calls.push(call),
        }
    }

    /// The connection reaches whoever listens, or nobody.
    fn arrive(&mut self, link: usize) {
        let connecting = End { link, side: 0 };
        let [_, to] = self.link(connecting).addresses;
        let count = self.listeners.get(&to).map_or(0, Vec::len) as u64;
        let chosen = if count == 0 { 0 } else { self.chance.up_to(count - 1) as usize };
        let listening = self.listeners.get_mut(&to).and_then(|all| all.get_mut(chosen));
        let opening = match listening {
            Some(listening) => {
                listening.backlog.push_back(connecting.other());
                Opening::Done
            }
            None => Opening::Refused,
        };
        self.link_mut(connecting).opening = opening;
        self.touch(connecting);
    }

    /// Plans an arrival at `to`: after a delay, never before what was sent earlier.
    fn send_due(&mut self, to: End, due: Due) {
        let due_us = self.delayed_us().max(self.inbound(to).last_due_us);
        self.inbound_mut(to).last_due_us = due_us;
        if due_us == self.now_us {
            self.happen(due, &mut Vec::new());
        } else {
            self.timeline.push(due_us, due);
        }
    }

    fn delayed_us(&mut self) -> u64 {
        self.now_us.saturating_add(self.chance.up_to(self.profile.delay_us_max))
    }

    fn touch(&mut self, end: End) {
        if let Owner::Slot { transport, slot } = self.link(end).owners[end.side] {
            self.touch_slot(transport, slot);
        }
    }

    fn touch_slot(&mut self, transport: usize, slot: u32) {
        if let Some(Some(slots)) = self.touched.get_mut(transport) {
            slots.insert(slot);
        }
    }

    fn link(&self, end: End) -> &Link {
        &self.links[end.link]
    }

    fn link_mut(&mut self, end: End) -> &mut Link {
        &mut self.links[end.link]
    }

    fn inbound(&self, end: End) -> &Pipe {
        &self.link(end).inbound[end.side]
    }

    fn inbound_mut(&mut self, end: End) -> &mut Pipe {
        &mut self.link_mut(end).inbound[end.side]
    }
}

impl Pipe {
    fn new(window_bytes: usize) -> Self {
        Self {
            arrived: VecDeque::new(),
            in_transit_bytes: 0,
            window_bytes,
            last_due_us: 0,
            fin_sent: false,
            fin_arrived: false,
            reset_sent: false,
            reset_arrived: false,
            reset_told: false,
        }
    }
}

/// Where ports chosen by the network begin.
const FIRST_PORT: u16 = 40_000;
