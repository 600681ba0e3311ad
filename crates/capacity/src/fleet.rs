//! How many machines a demand takes, what a machine's card and rings must be like, and which
//! resource is the narrowest.

use alloc::format;
use alloc::vec::Vec;

use crate::amount::{Amount, Section, Term};
use crate::coefficients::{Coefficients, Key};
use crate::inputs::Machine;
use crate::model::{Demand, ring_slots};
use crate::range::{Range, ceil};
use crate::unit::Unit;

/// Machines for a load.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// By resource, and the number that is needed.
    pub machines: Section,
    /// One of them, at full load without the spare ones.
    pub machine: Section,
    /// The resource of which most machines are needed.
    pub narrowest: &'static str,
    /// Machines with the spare ones.
    pub total: Range,
    /// Machines whose cores would all be busy at the peak, the others idle.
    pub busy: Amount,
}

/// What no number of such machines can do.
#[derive(Clone, Debug, PartialEq)]
pub struct DoesNotFit {
    /// Memory that each machine needs before its first connection, and has, in bytes.
    pub each: Range,
    /// What a machine may use of its memory, in bytes.
    pub usable_bytes: f64,
}

impl core::fmt::Display for DoesNotFit {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let usable = Unit::Bytes.show(Range::exact(self.usable_bytes));
        let each = Unit::Bytes.show(self.each);
        write!(
            out,
            "each machine needs {each} of memory before its first connection, and may use \
             {usable}: take larger machines, or a smaller hot set, store or memory tier"
        )
    }
}

impl core::error::Error for DoesNotFit {}

impl Fleet {
    /// The machines for a demand.
    ///
    /// # Errors
    /// What each machine needs whole leaves no memory for connections.
    pub fn of(
        demand: &Demand,
        machine: &Machine,
        table: &Coefficients,
    ) -> Result<Self, DoesNotFit> {
        let mut terms = needs(demand, machine)?;
        let (narrowest, needed) = narrowest(&terms);
        let whole = Range::exact(1.0).max(needed.amount.value.ceil());
        let rounded =
            Amount::told(whole, Unit::Count, format!("{}, rounded up", needed.amount.show()));
        let needed = Term::new("needed", "machines needed", rounded);
        let spare = Amount::exact(ceil(machine.spare), Unit::Count);
        let all = Amount::total([&needed.settled(), &spare]).unwrap_or(needed.settled());
        let total = all.value;
        let one = of_one(demand, machine, table, &needed.settled());
        terms.push(needed);
        terms.push(Term::new("spare", "spare machines", spare));
        let cores = Amount::exact(machine.cores, Unit::Cores);
        let busy = demand.cpu.total().over(&cores, Unit::Count);
        let total_term = Term::new("total", "machines with spare ones", all);
        let machines = Section {
            total: Some(total_term),
            ..Section::new("machines", "Machines, by resource", terms)
        };
        Ok(Self { machines, machine: one, narrowest, total, busy })
    }
}

/// Machines by resource, not rounded.
fn needs(demand: &Demand, machine: &Machine) -> Result<Vec<Term>, DoesNotFit> {
    let usable = |all: f64, unit, share: f64| {
        Amount::exact(all, unit).times(&Amount::exact(share, Unit::Share), unit).settled()
    };
    let memory = usable(machine.memory_bytes, Unit::Bytes, machine.memory_share);
    let each = demand.each.total();
    let left = memory.less(&each).settled();
    if left.value.low < memory.value.low * LEFT_SHARE_MIN {
        return Err(DoesNotFit { each: each.value, usable_bytes: memory.value.likely });
    }
    let spread = Amount::total([&demand.user.total(), &demand.kernel.total()]);
    let spread = spread.unwrap_or(demand.user.total()).settled();
    let flow = machine.flow_share;
    let bytes = Unit::BytesPerSecond;
    let disk = |id| demand.disk.find(id).map_or(Amount::exact(0.0, bytes), Term::settled);
    let rows = [
        (
            "by_cores",
            "by cores",
            demand.cpu.total(),
            usable(machine.cores, Unit::Cores, machine.busy_share),
        ),
        ("by_memory", "by memory, beside what each has whole", spread, left),
        (
            "by_bus",
            "by memory bandwidth",
            demand.bus.total(),
            usable(machine.memory_bytes_per_s, bytes, flow),
        ),
        (
            "by_network",
            "by network",
            demand.network.total(),
            usable(machine.network_bits_per_s, Unit::BitsPerSecond, flow),
        ),
        (
            "by_writes",
            "by disk writes",
            disk("written"),
            usable(machine.disk_write_bytes_per_s, bytes, flow),
        ),
        (
            "by_reads",
            "by disk reads",
            disk("read"),
            usable(machine.disk_read_bytes_per_s, bytes, flow),
        ),
    ];
    let term = |(id, name, need, has): (_, _, Amount, Amount)| {
        Term::new(id, name, need.over(&has, Unit::Count))
    };
    Ok(rows.into_iter().map(term).collect())
}

/// The resource of which most machines are likely needed; and how many of any, in each case.
fn narrowest(terms: &[Term]) -> (&'static str, Term) {
    let mut name = "";
    let (mut most, mut likely) = (Range::ZERO, -1.0);
    for term in terms {
        if term.amount.value.likely > likely {
            (name, likely) = (term.name, term.amount.value.likely);
        }
        most = most.max(term.amount.value);
    }
    (name, Term::new("needed", "machines needed", Amount::given(most, Unit::Count)))
}

/// What one machine carries, and what its card and rings must be like.
fn of_one(demand: &Demand, machine: &Machine, table: &Coefficients, machines: &Amount) -> Section {
    let mut terms = Vec::new();
    let mut add = |id, name, amount: Amount| {
        let settled = amount.settled();
        terms.push(Term::new(id, name, amount));
        settled
    };
    let of = |section: &Section, id: &str| {
        section.find(id).map_or(Amount::exact(0.0, Unit::Count), Term::settled)
    };
    // The range of the machines belongs to that of the demand: a share of the likely ones.
    let machines = Amount::exact(machines.value.likely, Unit::Count);
    let sockets = add("sockets", "sockets", demand.sockets.over(&machines, Unit::Count));
    let slots = Amount::exact(ring_slots(machine), Unit::Count);
    let rings = sockets.over(&slots, Unit::Count).whole();
    let rings = rings.at_least(ceil(machine.cores));
    add("rings", "rings of the transport, one for each core at least", rings);
    let out = of(&demand.network, "total").over(&machines, Unit::BitsPerSecond);
    add("network", "network", out);
    let packets = of(&demand.network, "packets").over(&machines, Unit::PerSecond);
    let packets = add("packets", "packets", packets);
    let queues = packets.over(&table.amount(Key::QueuePackets), Unit::Count).whole();
    let queues = queues.at_least(1.0);
    let queues = add("queues", "queues of its card; one for each core is the rule", queues);
    let each = packets.over(&Amount::exact(queues.value.likely, Unit::Count), Unit::PerSecond);
    let burst = each.times(&table.amount(Key::QueueStall), Unit::Count);
    let burst = add("burst", "packets that a queue holds while its core is away", burst);
    let entries = burst.value.each(|packets| power_of_two(packets * 2.0));
    let sum = format!("2 × {}, as a power of two, {RING_MIN} at least", burst.show());
    let entries = Amount::told(entries, Unit::Count, sum);
    let entries = add("descriptors", "descriptors of each ring of the card", entries);
    let buffer = Amount::exact(BUFFER_BYTES, Unit::Bytes);
    let memory = entries.times(&queues, Unit::Count).times(&buffer, Unit::Bytes);
    add("card_memory", "memory that the card's rings fill", memory);
    Section::new("machine", "One machine at the peak, spare ones out", terms)
}

/// The least power of two that is not below a number, within what cards have.
fn power_of_two(least: f64) -> f64 {
    let mut size = RING_MIN;
    while size < least && size < RING_MAX {
        size *= 2.0;
    }
    size
}

/// Memory that must be left for connections, as a share of what a machine may use.
const LEFT_SHARE_MIN: f64 = 0.01;
/// Descriptors of a card's ring: the fewest and the most that are usual.
const RING_MIN: f64 = 512.0;
const RING_MAX: f64 = 8192.0;
/// A receive buffer.
const BUFFER_BYTES: f64 = 2048.0;

#[cfg(test)]
mod tests {
    use super::{Fleet, power_of_two};
    use crate::coefficients::Coefficients;
    use crate::inputs::{Load, Machine};
    use crate::model::{Busy, Demand};
    use crate::range::Range;

    fn fleet(load: &Load, machine: &Machine) -> Fleet {
        let table = Coefficients::longhold();
        let demand = Demand::of(load, machine, &table, Busy::Planned);
        Fleet::of(&demand, machine, &table).expect("it fits")
    }

    #[test]
    fn the_resource_of_which_most_machines_are_needed_decides() {
        let (load, machine) = (Load::default(), Machine::default());
        let check = |load: &Load, machine: &Machine, name| {
            assert_eq!(fleet(load, machine).narrowest, name);
        };
        check(&load, &Machine { cores: 0.01, ..machine }, "by cores");
        check(&load, &Machine { memory_bytes_per_s: 1e6, ..machine }, "by memory bandwidth");
        check(&load, &Machine { network_bits_per_s: 1e6, ..machine }, "by network");
        check(&load, &Machine { disk_write_bytes_per_s: 1e3, ..machine }, "by disk writes");
        check(&load, &Machine { disk_read_bytes_per_s: 1e3, ..machine }, "by disk reads");
        let crowd = Load { connections: 1e9, heartbeat_s: None, lifetime_s: 1e9, ..load };
        check(&crowd, &machine, "by memory, beside what each has whole");
    }

    #[test]
    fn spare_machines_come_on_top_and_an_idle_load_needs_one() {
        let machine = Machine { spare: 2.0, ..Machine::default() };
        let load = Load { connections: 0.0, requests_per_s: 0.0, ..Load::default() };
        assert_eq!(fleet(&load, &machine).total, Range::exact(3.0));
    }

    #[test]
    fn a_hot_set_that_fills_the_machine_does_not_fit() {
        let (load, machine) = (Load { hot_bytes: 1e12, ..Load::default() }, Machine::default());
        let table = Coefficients::longhold();
        let demand = Demand::of(&load, &machine, &table, Busy::Planned);
        let fault = Fleet::of(&demand, &machine, &table).expect_err("too much");
        assert!(fault.each.low > fault.usable_bytes);
        assert!(alloc::format!("{fault}").contains("before its first connection"));
    }

    #[test]
    fn rings_are_powers_of_two_within_what_cards_have() {
        for (least, size) in [(0.0, 512.0), (513.0, 1024.0), (4096.0, 4096.0), (1e9, 8192.0)] {
            assert_eq!(power_of_two(least), size);
        }
    }
}
