//! From a load to what it needs, resource by resource. No machine is counted yet: see
//! [`crate::fleet`].
//!
//! What grows with the load is *spread* over the machines; what each machine has whole, however
//! many there are, is *each*: an edge at rest, its memory tier, its index, its hot set.

mod cpu;
mod flow;
mod memory;
#[cfg(test)]
mod tests;

pub(crate) use memory::ring_slots;

use alloc::vec::Vec;

use crate::amount::{Amount, Section, Term};
use crate::coefficients::{Coefficients, Key};
use crate::inputs::{Load, Machine};
use crate::range::Range;
use crate::unit::Unit;

/// How busy the workers are to be, on which it depends how many wakes find theirs asleep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Busy {
    /// As busy as the machine may be: for planning.
    Planned,
    /// As busy as this load makes so many cores: for comparing with a measurement.
    Cores(f64),
}

/// What a load needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// What the load is made of.
    pub load: Section,
    /// Processor time.
    pub cpu: Section,
    /// User memory that is spread.
    pub user: Section,
    /// Kernel memory, which is spread.
    pub kernel: Section,
    /// Memory that each machine has whole, its page cache among it.
    pub each: Section,
    /// Memory bandwidth.
    pub bus: Section,
    /// Network.
    pub network: Section,
    /// Disks.
    pub disk: Section,
    /// Sockets, both ends of tunnels.
    pub sockets: Amount,
}

/// The load in amounts, as the resources need it.
struct Parts {
    connections: Amount,
    sockets: Amount,
    requests: Amount,
    /// Requests, heartbeats, and the other ends of what passes through tunnels.
    events: Amount,
    /// Those of them that find their connection parked.
    parked: Amount,
    /// Connections that come in a second, both ends of tunnels.
    opened: Amount,
    /// Handshakes a second.
    handshakes: Amount,
    /// Bytes of bodies a second, to clients.
    body: Amount,
    hits: Amount,
    misses: Amount,
    /// Bytes of bodies a second, from origins.
    missed: Amount,
    /// The mean body.
    mean: Amount,
    tls: Amount,
}

impl Demand {
    /// What a load needs. The inputs have been checked.
    #[must_use]
    pub fn of(load: &Load, machine: &Machine, table: &Coefficients, busy: Busy) -> Self {
        let (section, parts) = Parts::of(load);
        Self {
            load: section,
            cpu: cpu::section(&parts, table, busy, machine),
            user: memory::user(load, &parts, table),
            kernel: memory::kernel(load, machine, &parts, table),
            each: memory::each(load, &parts, table),
            bus: flow::bus(&parts, table),
            network: flow::network(&parts, table),
            disk: flow::disk(load, &parts, table),
            sockets: parts.sockets.settled(),
        }
    }

    /// Its sections, in the order in which they are shown.
    pub fn sections(&self) -> impl Iterator<Item = &Section> {
        [
            &self.load,
            &self.cpu,
            &self.user,
            &self.kernel,
            &self.each,
            &self.bus,
            &self.network,
            &self.disk,
        ]
        .into_iter()
    }
}

impl Parts {
    fn of(load: &Load) -> (Section, Self) {
        let mut terms = Terms::default();
        let share = |value| Amount::exact(value, Unit::Share);
        let connections = Amount::exact(load.connections, Unit::Count);
        let requests = Amount::exact(load.requests_per_s, Unit::PerSecond);
        let mean = Amount::exact(load.mean_bytes(), Unit::Bytes);
        let doubled = Amount::exact(1.0 + load.tunnel_share, Unit::Ratio);

        let sockets = connections.times(&doubled, Unit::Count);
        let sockets = terms.add("sockets", "sockets, both ends of tunnels", sockets);
        let beats = match load.heartbeat_s {
            Some(every) => connections.over(&Amount::exact(every, Unit::Seconds), Unit::PerSecond),
            None => Amount::exact(0.0, Unit::PerSecond),
        };
        let beats = terms.add("heartbeats", "heartbeats", beats);
        let passed = beats.times(&doubled, Unit::PerSecond);
        let passed = terms.add("passed", "of them handled, twice in tunnels", passed);
        let events = Amount::total([&requests, &passed]).unwrap_or(requests.clone());
        let events = terms.add("events", "requests and heartbeats handled", events);
        let woken = requests.at_most(load.connections * PARKS_PER_S);
        let parked = Amount::total([&woken, &passed]).unwrap_or(woken);
        let parked = terms.add("parked", "of them on parked connections", parked);
        let lifetime = Amount::exact(load.lifetime_s, Unit::Seconds);
        let opened = sockets.over(&lifetime, Unit::PerSecond);
        let opened = terms.add("opened", "sockets opened and closed", opened);
        let tls = share(load.tls_share);
        let handshakes = connections.over(&lifetime, Unit::PerSecond).times(&tls, Unit::PerSecond);
        let handshakes = terms.add("handshakes", "TLS handshakes", handshakes);

        let asked = requests.times(&mean, Unit::BytesPerSecond);
        let asked = terms.add("asked", "bodies of answers", asked);
        let beaten =
            passed.times(&Amount::exact(load.heartbeat_bytes, Unit::Bytes), Unit::BytesPerSecond);
        let beaten = terms.add("beaten", "bodies of heartbeats", beaten);
        let body = Amount::total([&asked, &beaten]).unwrap_or(asked);
        let body = terms.add("body", "bodies to clients", body);
        let hits = requests.times(&share(load.hit_ratio), Unit::PerSecond);
        let hits = terms.add("hits", "hits", hits);
        let misses = requests.times(&share(1.0 - load.hit_ratio), Unit::PerSecond);
        let misses = terms.add("misses", "misses", misses);
        let missed = misses.times(&mean, Unit::BytesPerSecond);
        let missed = terms.add("missed", "bodies from origins", missed);
        let parts = Self {
            connections,
            sockets,
            requests,
            events,
            parked,
            opened,
            handshakes,
            body,
            hits,
            misses,
            missed,
            mean,
            tls,
        };
        (Section::new("load", "The load", terms.0), parts)
    }
}

/// How often a connection can be woken from its park in a second: the edge parks one that rests
/// for 200 ms.
const PARKS_PER_S: f64 = 5.0;

/// Terms under construction.
#[derive(Default)]
struct Terms(Vec<Term>);

impl Terms {
    /// Adds one, and hands it back as an operand.
    fn add(&mut self, id: &'static str, name: &'static str, amount: Amount) -> Amount {
        let settled = amount.settled();
        self.0.push(Term::new(id, name, amount));
        settled
    }
}

/// The product of an amount and a coefficient.
fn cost(amount: &Amount, table: &Coefficients, key: Key, unit: Unit) -> Amount {
    amount.times(&table.amount(key), unit)
}

/// One of whatever a range is a share of, less the range.
fn rest(share: Range) -> Range {
    Range::exact(1.0) - share
}
