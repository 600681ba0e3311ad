//! What was asked, as terms.

use alloc::vec::Vec;

use crate::Question;
use crate::amount::{Amount, Term};
use crate::inputs::{Load, Machine, Prices};
use crate::range::Range;
use crate::unit::Unit;

pub(super) fn terms(question: &Question) -> Vec<Term> {
    let Question { load: asked, machine: one, prices: paid, busy: _ } = question;
    load(asked).into_iter().chain(machine(one)).chain(prices(paid)).collect()
}

fn load(it: &Load) -> Vec<Term> {
    let mut terms: Vec<Term> = rows(&[
        ("connections", "connections held", it.connections, Unit::Count),
        ("requests_per_s", "requests at the peak", it.requests_per_s, Unit::PerSecond),
        ("object_bytes", "mean body", it.mean_bytes(), Unit::Bytes),
        ("tls_share", "TLS 1.3, of connections and requests", it.tls_share, Unit::Share),
        ("hit_ratio", "hits", it.hit_ratio, Unit::Share),
        ("memory_share", "hits that are in memory", it.memory_share, Unit::Share),
        ("tunnel_share", "connections that are tunnels", it.tunnel_share, Unit::Share),
        ("heartbeat_bytes", "body that answers a heartbeat", it.heartbeat_bytes, Unit::Bytes),
        ("lifetime_s", "life of a connection", it.lifetime_s, Unit::Seconds),
        ("rtt_s", "round trip to a client", it.rtt_s, Unit::Seconds),
        ("client_bytes_per_s", "rate of a client", it.client_bytes_per_s, Unit::BytesPerSecond),
        ("hot_bytes", "hot set, in memory", it.hot_bytes, Unit::Bytes),
        ("stored_bytes", "store of a machine", it.stored_bytes, Unit::Bytes),
        ("memory_tier_bytes", "memory tier of the store", it.memory_tier_bytes, Unit::Bytes),
    ]);
    terms.extend(it.heartbeat_s.map(|every| {
        Term::new(
            "heartbeat_s",
            "a heartbeat on each connection, every",
            Amount::exact(every, Unit::Seconds),
        )
    }));
    terms
}

fn machine(it: &Machine) -> Vec<Term> {
    rows(&[
        ("cores", "cores of a machine", it.cores, Unit::Count),
        ("machine_memory_bytes", "its memory", it.memory_bytes, Unit::Bytes),
        ("memory_bytes_per_s", "its memory bandwidth", it.memory_bytes_per_s, Unit::BytesPerSecond),
        ("network_bits_per_s", "its network card", it.network_bits_per_s, Unit::BitsPerSecond),
        (
            "disk_write_bytes_per_s",
            "its disks, writing",
            it.disk_write_bytes_per_s,
            Unit::BytesPerSecond,
        ),
        (
            "disk_read_bytes_per_s",
            "its disks, reading",
            it.disk_read_bytes_per_s,
            Unit::BytesPerSecond,
        ),
        ("descriptors", "its limit of open files", it.descriptors, Unit::Count),
        ("busy_share", "cores that may be busy", it.busy_share, Unit::Share),
        ("memory_used_share", "memory that may be used", it.memory_share, Unit::Share),
        ("flow_share", "bandwidth, network and disks that may be used", it.flow_share, Unit::Share),
        ("spare", "machines that may fail", it.spare, Unit::Count),
    ])
}

fn prices(it: &Prices) -> Vec<Term> {
    let row = |id, name, value, unit| Term::new(id, name, Amount::given(value, unit));
    alloc::vec![
        row("machine_price", "price of a machine", it.machine, Unit::Money),
        row("operations_per_year", "its operation for a year", it.operations_per_year, Unit::Money),
        row("kilowatt_hour", "price of a kilowatt-hour", it.kilowatt_hour, Unit::Money),
        row("watts_idle", "power of an idle machine", it.watts_idle, Unit::Watts),
        row("watts_busy", "power of a busy machine", it.watts_busy, Unit::Watts),
        row("years", "years", Range::exact(it.years), Unit::Years),
    ]
}

fn rows(rows: &[(&'static str, &'static str, f64, Unit)]) -> Vec<Term> {
    let term = |&(id, name, value, unit): &(&'static str, &'static str, f64, Unit)| {
        Term::new(id, name, Amount::exact(value, unit))
    };
    rows.iter().map(term).collect()
}
