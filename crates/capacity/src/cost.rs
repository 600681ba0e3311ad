//! What machines cost over some years, and what replacing one design by another brings.
//!
//! ```text
//! cost   = hardware + years × operations + years × energy
//! saved  = cost of the old − cost of the new
//! return = (saved − investment) ÷ investment
//! ```
//! The investment is what the change itself costs, and no part of either design's cost.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::amount::{Amount, Section, Term};
use crate::coefficients::{Coefficients, Key};
use crate::fleet::Fleet;
use crate::inputs::Prices;
use crate::range::Range;
use crate::unit::Unit;

/// What a design costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Bill {
    /// The design's name.
    pub name: String,
    /// Bought once.
    pub hardware: Amount,
    /// For a year.
    pub operations_per_year: Amount,
    /// For a year.
    pub energy_per_year: Amount,
    /// Years.
    pub years: f64,
    /// Sums that led to the above.
    steps: Vec<Term>,
}

/// One design in the place of another.
#[derive(Clone, Debug, PartialEq)]
pub struct Return {
    /// The sums.
    pub section: Section,
    /// Money that is saved over the years.
    pub saved: Range,
    /// Gain for each unit of money that the change costs; none without an investment.
    pub ratio: Option<Range>,
}

impl Bill {
    /// A bill of stated figures.
    #[must_use]
    pub fn stated(name: &str, [hardware, operations, energy]: [f64; 3], years: f64) -> Self {
        let money = |value| Amount::exact(value, Unit::Money);
        Self {
            name: name.into(),
            hardware: money(hardware),
            operations_per_year: money(operations),
            energy_per_year: money(energy),
            years,
            steps: Vec::new(),
        }
    }

    /// The bill of a fleet.
    #[must_use]
    pub fn of(name: &str, fleet: &Fleet, prices: &Prices, table: &Coefficients) -> Self {
        let machines = Amount::given(fleet.total, Unit::Count);
        let each = |price| Amount::given(price, Unit::Money);
        // The same case of both: a machine that draws little idle draws little busy.
        let (idle, busy) = (prices.watts_idle, prices.watts_busy);
        let more = [busy.low - idle.low, busy.likely - idle.likely, busy.high - idle.high];
        let more = Amount::given(Range::of(more).max(Range::ZERO), Unit::Watts);
        let idle = machines.times(&Amount::given(idle, Unit::Watts), Unit::Watts);
        let busy = fleet.busy.times(&more, Unit::Watts);
        let watts = Amount::total([&idle, &busy]).unwrap_or(idle.clone());
        let hours = Amount::exact(HOURS_PER_YEAR, Unit::Hours);
        let kilo = Amount::exact(0.001, Unit::Ratio);
        let energy = watts
            .settled()
            .times(&table.amount(Key::Pue), Unit::Watts)
            .times(&hours, Unit::KilowattHours)
            .times(&kilo, Unit::KilowattHours);
        let tariff = each(prices.kilowatt_hour);
        let energy_per_year = energy.settled().times(&tariff, Unit::Money);
        Self {
            name: name.into(),
            hardware: machines.times(&each(prices.machine), Unit::Money),
            operations_per_year: machines.times(&each(prices.operations_per_year), Unit::Money),
            energy_per_year: energy_per_year.clone(),
            years: prices.years,
            steps: alloc::vec![
                Term::new("idle_watts", "power of all machines, idle", idle),
                Term::new("busy_watts", "more for as many as would be all busy", busy),
                Term::new("watts", "power", watts),
                Term::new("kwh_per_year", "energy in a year, the building's part in it", energy),
                Term::new("energy_per_year", "its price in a year", energy_per_year),
            ],
        }
    }

    /// What it costs over its years.
    #[must_use]
    pub fn cost(&self) -> Section {
        let years = Amount::exact(self.years, Unit::Years);
        let over = |each: &Amount| each.settled().times(&years, Unit::Money);
        let terms = alloc::vec![
            Term::new("hardware", "hardware", self.hardware.clone()),
            Term::new("operations", "operations", over(&self.operations_per_year)),
            Term::new("energy", "energy", over(&self.energy_per_year)),
        ];
        let title = format!("Cost over {}: {}", Unit::Years.show(years.value), self.name);
        let summed = Section::summed("cost", &title, "cost", terms);
        let terms = self.steps.iter().chain(&summed.terms).cloned().collect();
        Section { terms, ..summed }
    }
}

impl Return {
    /// What it brings to replace `old` by `new` for an investment.
    #[must_use]
    pub fn of(old: &Bill, new: &Bill, investment: &Amount) -> Self {
        let saved = old.cost().total().less(&new.cost().total());
        Self::from_saved((old, new), Vec::new(), saved, investment)
    }

    /// What it brings to run one fleet in the place of another, of the same machines at the same
    /// prices: dear machines are dear in either fleet, so that a range of prices does not count
    /// twice.
    #[must_use]
    pub fn of_fleets(old: (&Bill, &Fleet), new: (&Bill, &Fleet), investment: &Amount) -> Self {
        let machines = |fleet: &Fleet| Amount::given(fleet.total, Unit::Count);
        let fewer = machines(old.1).less(&machines(new.1));
        let terms = alloc::vec![Term::new("fewer", "machines fewer", fewer)];
        let cases = |range: Range| [range.low, range.likely, range.high];
        let prices = |(bill, fleet): (&Bill, &Fleet)| {
            let (cost, count) = (cases(bill.cost().total().value), cases(fleet.total));
            [0, 1, 2].map(|case: usize| cost[case] / count[case].max(1.0))
        };
        let (old_prices, new_prices) = (prices(old), prices(new));
        let likely = old_prices[1] * old.1.total.likely - new_prices[1] * new.1.total.likely;
        let mut saved = Range::exact(likely);
        for (old_price, new_price) in old_prices.into_iter().zip(new_prices) {
            for old_count in cases(old.1.total) {
                for new_count in cases(new.1.total) {
                    let case = old_price * old_count - new_price * new_count;
                    saved = Range { low: saved.low.min(case), high: saved.high.max(case), ..saved };
                }
            }
        }
        let likely_cost = |bill: &Bill| Unit::Money.show_likely(bill.cost().total().value);
        let (old_cost, new_cost) = (likely_cost(old.0), likely_cost(new.0));
        let sum = format!("likely {old_cost} − {new_cost}; machines and prices from low to high");
        let saved = Amount::told(saved, Unit::Money, sum);
        Self::from_saved((old.0, new.0), terms, saved, investment)
    }

    fn from_saved(
        (old, new): (&Bill, &Bill),
        mut terms: Vec<Term>,
        saved: Amount,
        investment: &Amount,
    ) -> Self {
        let (value, gained) = (saved.value, saved.settled().less(investment));
        terms.push(Term::new("saved", "saved", saved));
        terms.push(Term::new("investment", "what the change itself costs", investment.clone()));
        let is_invested = investment.value.low > 0.0;
        // The same investment above and below the line: it must not count at both its ends.
        let ratio = is_invested.then(|| {
            let ratio = value.over(investment.value) - Range::exact(1.0);
            let (saved, invested) = (Unit::Money.show(value), investment.show());
            Amount::told(ratio, Unit::Ratio, format!("({saved} − {invested}) ÷ {invested}"))
        });
        terms.push(Term::new("gain", "gained", gained));
        let found = ratio.as_ref().map(|ratio| ratio.value);
        terms.extend(ratio.map(|ratio| Term::new("return", "return on investment", ratio)));
        // What is not saved for certain is not paid back for certain.
        if is_invested && value.low > 0.0 {
            let years = Amount::exact(new.years, Unit::Years);
            let saved = Amount::given(value, Unit::Money);
            let back = investment.times(&years, Unit::Years).over(&saved, Unit::Years);
            terms.push(Term::new("payback", "paid back after", back));
        }
        let title = format!("{} in the place of {}", new.name, old.name);
        Self { section: Section::new("return", &title, terms), saved: value, ratio: found }
    }
}

/// Hours of a mean year.
const HOURS_PER_YEAR: f64 = 8766.0;

#[cfg(test)]
mod tests {
    use super::{Bill, Return};
    use crate::amount::Amount;
    use crate::coefficients::{Coefficients, Key, Peer};
    use crate::fleet::Fleet;
    use crate::inputs::{Load, Machine, Prices};
    use crate::model::{Busy, Demand};
    use crate::range::Range;
    use crate::unit::Unit;

    fn fleet(load: &Load, table: &Coefficients) -> Fleet {
        let machine = Machine::default();
        Fleet::of(&Demand::of(load, &machine, table, Busy::Planned), &machine, table).expect("fits")
    }

    #[test]
    fn a_bill_is_hardware_and_years_of_operations_and_energy() {
        let cost = Bill::stated("a design", [100.0, 10.0, 2.5], 4.0).cost();
        assert_eq!(cost.total().value, Range::exact(150.0));
        let sum = cost.total.expect("a total");
        assert_eq!(sum.amount.sum(), "100 + 40 + 10");
        assert_eq!(cost.terms[1].amount.sum(), "10 × 4 years");
    }

    #[test]
    fn energy_is_power_times_hours_times_its_price() {
        let exact = Range::exact;
        let prices = Prices {
            machine: exact(1000.0),
            operations_per_year: exact(100.0),
            kilowatt_hour: exact(0.2),
            watts_idle: exact(100.0),
            watts_busy: exact(300.0),
            years: 1.0,
        };
        let mut table = Coefficients::longhold();
        assert!(table.set(Key::Pue, exact(1.5), crate::coefficients::Basis::Given, "a test"));
        let fleet = Fleet {
            total: exact(2.0),
            busy: Amount::exact(1.0, Unit::Count),
            ..fleet(&Load::default(), &table)
        };
        let bill = Bill::of("ours", &fleet, &prices, &table);
        // (2 × 100 W + 1 × 200 W) × 1.5 × 8,766 h = 5,259.6 kWh.
        let energy = bill.energy_per_year.value.likely;
        assert!((energy - 5259.6 * 0.2).abs() < 1e-9, "{energy}");
        assert_eq!(bill.hardware.value, exact(2000.0));
        assert_eq!(bill.operations_per_year.value, exact(200.0));
    }

    #[test]
    fn a_return_needs_an_investment() {
        let bill = |hardware| Bill::stated("a design", [hardware, 0.0, 0.0], 3.0);
        let money = |value| Amount::exact(value, Unit::Money);
        let check = |invested, ratio: Option<f64>, payback: Option<f64>| {
            let found = Return::of(&bill(90.0), &bill(30.0), &money(invested));
            assert_eq!(found.saved, Range::exact(60.0));
            assert_eq!(found.ratio, ratio.map(Range::exact));
            let back = found.section.find("payback").map(|term| term.amount.value.likely);
            assert_eq!(back, payback);
        };
        check(20.0, Some(2.0), Some(1.0));
        check(120.0, Some(-0.5), Some(6.0));
        check(0.0, None, None);
    }

    #[test]
    fn an_investment_that_is_a_range_counts_once() {
        let bill = |hardware| Bill::stated("a design", [hardware, 0.0, 0.0], 3.0);
        let range = Amount::given(Range::new(20.0, 30.0, 60.0), Unit::Money);
        let found = Return::of(&bill(90.0), &bill(30.0), &range);
        // 60 saved for 60 brings nothing, for 20 twice as much again.
        assert_eq!(found.ratio, Some(Range::new(0.0, 1.0, 2.0)));
    }

    #[test]
    fn prices_are_the_same_for_both_fleets() {
        let ours = Coefficients::longhold();
        let theirs = ours.of_peer(Peer::Nginx);
        let load = Load { connections: 2e6, requests_per_s: 400e3, ..Load::default() };
        let (new, old) = (fleet(&load, &ours), fleet(&load, &theirs));
        let bill = |fleet: &Fleet| Bill::of("a design", fleet, &Prices::default(), &ours);
        let (new_bill, old_bill) = (bill(&new), bill(&old));
        let money = Amount::exact(1000.0, Unit::Money);
        let shared = Return::of_fleets((&old_bill, &old), (&new_bill, &new), &money);
        let apart = Return::of(&old_bill, &new_bill, &money);
        assert!(shared.saved.low > apart.saved.low && shared.saved.high < apart.saved.high);
        assert!((shared.saved.likely - apart.saved.likely).abs() < 1e-6);
        // Against itself nothing is saved at the same prices and counts.
        let none = Return::of_fleets((&new_bill, &new), (&new_bill, &new), &money);
        assert_eq!(none.saved.likely, 0.0);
    }
}
