//! What flows: over the memory bus, the network and the disks.

use alloc::format;

use super::{Parts, Terms, cost};
use crate::amount::{Amount, Section, Term};
use crate::coefficients::{Coefficients, Key};
use crate::inputs::Load;
use crate::unit::Unit;

/// Memory bandwidth.
pub(super) fn bus(parts: &Parts, table: &Coefficients) -> Section {
    let mut terms = Terms::default();
    let sealed = parts.body.times(&parts.tls, Unit::BytesPerSecond);
    let open = parts.body.times(&complement(&parts.tls), Unit::BytesPerSecond);
    let passes = |amount: &Amount, key| cost(amount, table, key, Unit::BytesPerSecond);
    terms.add("plain", "plain answers", passes(&open, Key::PassesPlain));
    terms.add("tls", "TLS answers", passes(&sealed, Key::PassesTls));
    terms.add("fill", "fetched bodies", passes(&parts.missed, Key::PassesFill));
    Section::summed("bus", "Memory bandwidth", "memory bandwidth", terms.0)
}

/// The network: bits and packets.
pub(super) fn network(parts: &Parts, table: &Coefficients) -> Section {
    let mut terms = Terms::default();
    let wire = table.amount(Key::Wire);
    let eight = Amount::exact(8.0, Unit::Ratio);
    let bits = |payload: &Amount| {
        payload.times(&wire, Unit::BytesPerSecond).times(&eight, Unit::BitsPerSecond)
    };
    let sum = |parts: [&Amount; 2]| {
        Amount::total(parts).unwrap_or(Amount::exact(0.0, Unit::BytesPerSecond)).settled()
    };
    let heads = cost(&parts.events, table, Key::HeadBytes, Unit::BytesPerSecond);
    let heads = terms.add("heads", "heads, each way", heads);
    let out =
        terms.add("out", "out: bodies and heads, to clients", bits(&sum([&parts.body, &heads])));
    let inward = bits(&sum([&parts.missed, &heads]));
    let inward = terms.add("in", "in: requests, bodies from origins", inward);

    let segment = table.amount(Key::SegmentBytes);
    let full = parts.body.over(&segment, Unit::PerSecond).settled();
    let filled = parts.missed.over(&segment, Unit::PerSecond).settled();
    let moved = Amount::total([&full, &filled, &parts.events]);
    let moved = moved.unwrap_or(full).settled();
    let moved = terms.add("data", "packets that carry data", moved);
    // Every second packet is acknowledged, and an event is two: a request and an answer.
    let three_halves = Amount::exact(1.5, Unit::Ratio);
    let answered = Amount::total([&moved, &parts.events]).unwrap_or(moved).settled();
    terms.add("packets", "packets, both ways", answered.times(&three_halves, Unit::PerSecond));

    // A link is as wide in each direction.
    let sum = format!("the greater of {} and {}", out.show(), inward.show());
    let total = Amount::told(out.value.max(inward.value), Unit::BitsPerSecond, sum);
    let total = Term::new("total", "the fuller direction", total);
    Section { total: Some(total), ..Section::new("network", "Network", terms.0) }
}

/// Disks.
pub(super) fn disk(load: &Load, parts: &Parts, table: &Coefficients) -> Section {
    let mut terms = Terms::default();
    let written = cost(&parts.missed, table, Key::WriteShare, Unit::BytesPerSecond);
    let written = terms.add("written", "written", written);
    let day = Amount::exact(86_400.0, Unit::Seconds);
    terms.add("written_day", "written in a day at this rate", written.times(&day, Unit::Bytes));
    let away = Amount::exact(1.0 - load.memory_share, Unit::Share);
    let read = parts.hits.times(&away, Unit::PerSecond).times(&parts.mean, Unit::BytesPerSecond);
    terms.add("read", "read: hits that are not in memory", read);
    Section::new("disk", "Disks", terms.0)
}

fn complement(share: &Amount) -> Amount {
    Amount::exact(1.0 - share.value.likely, Unit::Share)
}
