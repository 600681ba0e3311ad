//! Processor time: so many seconds of a core in a second are so many busy cores.
//!
//! A wake costs more when its worker sleeps. With workers that are busy for a share `u` of the
//! time, and events that come independently, a share `1 − u` of the events find theirs asleep. So
//! the time is `b + s (1 − u)`, with `b` for all but sleeping and `s` for a sleep at each event.
//! Planned, `u` is what the machine may be busy. On a fixed number of cores `n`, `u` is that time
//! over `n`, and the time is `(b + s) ÷ (1 + s ÷ n)`. A miss is several such events: the fill plane
//! and the worker wake each other.

use alloc::format;

use super::{Busy, Parts, Terms, cost, rest};
use crate::amount::{Amount, Section, Term};
use crate::coefficients::{Coefficients, Key};
use crate::inputs::Machine;
use crate::range::Range;
use crate::unit::Unit;

pub(super) fn section(
    parts: &Parts,
    table: &Coefficients,
    busy: Busy,
    machine: &Machine,
) -> Section {
    let terms = awake(parts, table);
    let fetched = cost(&parts.misses, table, Key::FetchWakes, Unit::PerSecond);
    let wakes = Amount::total([&parts.events, &fetched]).unwrap_or(fetched).settled();
    let sleeps = cost(&wakes, table, Key::Sleep, Unit::Cores);
    let base = Amount::total(terms.iter().map(|term| &term.amount));
    let base = base.unwrap_or(Amount::exact(0.0, Unit::Cores)).settled();
    match busy {
        Busy::Planned => planned(terms, &sleeps, machine.busy_share),
        Busy::Cores(cores) => fixed(terms, &base, &sleeps, cores),
    }
}

/// All but sleeping.
fn awake(parts: &Parts, table: &Coefficients) -> alloc::vec::Vec<Term> {
    let mut terms = Terms::default();
    let cores = |amount: &Amount, key| cost(amount, table, key, Unit::Cores);
    let per_kib = |amount: &Amount, key| {
        let each = table.amount(key);
        amount.times_per_kib(&each, Unit::Cores)
    };
    let secure = parts.events.times(&parts.tls, Unit::PerSecond);
    let parked = parts.parked.times(&parts.tls, Unit::PerSecond);
    let sealed = parts.body.times(&parts.tls, Unit::BytesPerSecond);
    terms.add("rest", "an edge at rest: ticks, books", table.amount(Key::Rest));
    terms.add("wake", "wake: told, read, waited for again", cores(&parts.events, Key::Wake));
    terms.add("park", "wake: from a park, and back", cores(&parts.parked, Key::Park));
    terms.add("parse", "parse, lookup, policy, head", cores(&parts.events, Key::Parse));
    terms.add("send", "send: each answer", cores(&parts.events, Key::Send));
    terms.add("send_bytes", "send: its bytes", per_kib(&parts.body, Key::SendKib));
    terms.add("tls_records", "TLS: records of each request", cores(&secure, Key::Record));
    terms.add("tls_wake", "TLS: keys of parked connections", cores(&parked, Key::RecordWake));
    terms.add("tls_bytes", "TLS: bytes sealed", per_kib(&sealed, Key::SealKib));
    terms.add("tls_handshakes", "TLS: handshakes", cores(&parts.handshakes, Key::Handshake));
    terms.add("accept", "connections opened and closed", cores(&parts.opened, Key::Accept));
    terms.add("fetch", "misses: each", cores(&parts.misses, Key::Fetch));
    terms.add("fetch_bytes", "misses: their bytes", per_kib(&parts.missed, Key::FetchKib));
    terms.0
}

fn planned(mut terms: alloc::vec::Vec<Term>, sleeps: &Amount, busy_share: f64) -> Section {
    let idle = Amount::given(rest(Range::exact(busy_share)), Unit::Share);
    terms.push(sleep_term(sleeps.times(&idle, Unit::Cores)));
    Section::summed("cpu", TITLE, TOTAL, terms).noting(SLEEP)
}

fn fixed(mut terms: alloc::vec::Vec<Term>, base: &Amount, sleeps: &Amount, cores: f64) -> Section {
    let (b, s) = (base.value, sleeps.value);
    let busy = |base: f64, sleeps: f64| {
        // Workers that never rest never sleep.
        if base >= cores { base } else { (base + sleeps) / (1.0 + sleeps / cores) }
    };
    let all = Range::new(busy(b.low, s.low), busy(b.likely, s.likely), busy(b.high, s.high));
    let asleep = Range::of([all.low - b.low, all.likely - b.likely, all.high - b.high]);
    let idle = Unit::Share.show(Range::exact(1.0 - (all.likely / cores).min(1.0)));
    let sum = format!("{} × {idle} likely idle", sleeps.show());
    terms.push(sleep_term(Amount::told(asleep, Unit::Cores, sum)));
    let sum = format!(
        "({} + {}) ÷ (1 + {} ÷ {})",
        base.show(),
        sleeps.settled().show(),
        sleeps.settled().show(),
        Unit::Cores.show(Range::exact(cores))
    );
    let total = Term::new("total", TOTAL, Amount::told(all, Unit::Cores, sum));
    Section { total: Some(total), ..Section::new("cpu", TITLE, terms) }.noting(SLEEP)
}

fn sleep_term(amount: Amount) -> Term {
    Term::new("sleep", "wake: its worker was asleep", amount)
}

const TITLE: &str = "Processor time";
const TOTAL: &str = "cores busy at the peak";
const SLEEP: &str = "A worker that is busy for a share of the time is asleep for the rest: such a \
                     share of the events wakes it first; a miss is several of them.";
