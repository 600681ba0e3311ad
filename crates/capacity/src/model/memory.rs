//! Memory: of the process, of the kernel, and of the page cache.

use super::{Parts, Terms, cost};
use crate::amount::{Amount, Section};
use crate::coefficients::{Coefficients, Key};
use crate::inputs::{Load, Machine};
use crate::unit::Unit;

/// What the process has for the load.
pub(super) fn user(load: &Load, parts: &Parts, table: &Coefficients) -> Section {
    let mut terms = Terms::default();
    terms.add(
        "slots",
        "parked connections",
        cost(&parts.sockets, table, Key::SlotBytes, Unit::Bytes),
    );
    let secure = parts.connections.times(&parts.tls, Unit::Count);
    terms.add("tls_slots", "parked TLS", cost(&secure, table, Key::TlsSlotBytes, Unit::Bytes));
    let tunnels = Amount::exact(load.tunnel_share, Unit::Share);
    let tunnels = parts.connections.times(&tunnels, Unit::Count);
    let tunnels = cost(&tunnels, table, Key::TunnelBytes, Unit::Bytes);
    terms.add("tunnels", "parked tunnels, beside their slots", tunnels);
    let staged = staged_bytes(load);
    let staging = under_way(load, parts)
        .times(&parts.tls, Unit::Count)
        .times(&Amount::exact(staged, Unit::Bytes), Unit::Bytes);
    terms.add("staging", "TLS answers under way, sealed in windows", staging);
    Section::summed("user", "User memory", "user memory of the load", terms.0)
        .noting("Plain answers leave from the store's mapping: they stage nothing.")
}

/// What the kernel has for it.
pub(super) fn kernel(
    load: &Load,
    machine: &Machine,
    parts: &Parts,
    table: &Coefficients,
) -> Section {
    let mut terms = Terms::default();
    let sockets = &parts.sockets;
    terms.add("sockets", "sockets", cost(sockets, table, Key::SocketBytes, Unit::Bytes));
    terms.add("waits", "polls and direct slots", cost(sockets, table, Key::WaitBytes, Unit::Bytes));
    let rings = sockets.over(&Amount::exact(ring_slots(machine), Unit::Count), Unit::Count);
    terms.add("rings", "rings", cost(&rings, table, Key::RingBytes, Unit::Bytes));
    let rtt = Amount::exact(load.rtt_s, Unit::Seconds);
    let in_flight = cost(&parts.body.times(&rtt, Unit::Bytes), table, Key::InFlight, Unit::Bytes);
    terms.add("in_flight", "bytes on their way, until they are acknowledged", in_flight);
    Section::summed("kernel", "Kernel memory", "kernel memory of the load", terms.0)
}

/// What each machine has whole.
pub(super) fn each(load: &Load, parts: &Parts, table: &Coefficients) -> Section {
    let mut terms = Terms::default();
    terms.add("start", "an edge at rest", table.amount(Key::StartBytes));
    let tier = Amount::exact(load.memory_tier_bytes, Unit::Bytes);
    terms.add("memory_tier", "memory tier of the store", tier);
    let record = Amount::total([&parts.mean, &table.amount(Key::HeadBytes)]);
    let record = record.unwrap_or(parts.mean.clone()).settled();
    let objects = Amount::exact(load.stored_bytes, Unit::Bytes).over(&record, Unit::Count);
    terms.add("index", "index of the store", cost(&objects, table, Key::IndexBytes, Unit::Bytes));
    let hot = Amount::exact(load.hot_bytes, Unit::Bytes);
    terms.add("page_cache", "page cache: the hot set", hot);
    Section::summed("each", "Memory of each machine", "memory of each machine", terms.0).noting(
        "Every machine is taken to serve all objects. Where requests are spread by URL, the hot \
         set is, too.",
    )
}

/// Answers under way: how many come in a second, times how long one takes.
fn under_way(load: &Load, parts: &Parts) -> Amount {
    let rtt = Amount::exact(load.rtt_s, Unit::Seconds);
    let rate = Amount::exact(load.client_bytes_per_s, Unit::BytesPerSecond);
    let takes = parts.mean.over(&rate, Unit::Seconds).settled();
    let each = Amount::total([&rtt, &takes]).unwrap_or(rtt.clone()).settled();
    parts.requests.times(&each, Unit::Count)
}

/// Bytes that an answer over TLS holds sealed at a time, on average over the requests.
fn staged_bytes(load: &Load) -> f64 {
    let weights: f64 = load.objects.iter().map(|class| class.weight).sum();
    let staged = |bytes: f64| bytes.min(WINDOW_BYTES);
    let sum: f64 = load.objects.iter().map(|class| staged(class.bytes) * class.weight).sum();
    sum / weights
}

/// Connections of a ring: see the transport.
pub(crate) fn ring_slots(machine: &Machine) -> f64 {
    (machine.descriptors - DESCRIPTORS_ASIDE).clamp(1.0, RING_SLOTS_MAX)
}

/// Largest window that is sealed at once.
const WINDOW_BYTES: f64 = 262_144.0;
/// Most places in a ring's direct table.
const RING_SLOTS_MAX: f64 = 131_072.0;
/// Descriptors that the process keeps for files.
const DESCRIPTORS_ASIDE: f64 = 64.0;
