//! What is told: the inputs, the sections with their sums, the coefficients with their sources.

mod asked;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::amount::{Amount, Section, Term};
use crate::coefficients::{Coefficient, Coefficients};
use crate::cost::Return;
use crate::range::Range;
use crate::unit::Unit;
use crate::{Question, Study, article};

/// A report, to be rendered.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What it is about.
    pub title: String,
    /// The unit of money.
    pub currency: String,
    /// The answer in a few lines: what, and how much.
    pub summary: Vec<Line>,
    /// What was asked.
    pub inputs: Vec<Term>,
    /// The answer in full.
    pub sections: Vec<Section>,
    /// What it was reckoned with.
    pub coefficients: Vec<Coefficient>,
    /// What is to be known about all of it.
    pub notes: Vec<String>,
}

/// A line of the summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub what: &'static str,
    /// How much.
    pub how_much: String,
}

impl Report {
    /// The answer to a question.
    #[must_use]
    pub fn of(question: &Question, study: &Study, table: &Coefficients, currency: &str) -> Self {
        let demand = &study.demand;
        let mut sections: Vec<Section> = demand.sections().cloned().collect();
        sections.push(study.fleet.machines.clone());
        sections.push(study.fleet.machine.clone());
        sections.push(study.bill.cost());
        Self {
            title: format!(
                "{} connections, {} requests a second: what it takes",
                Unit::Count.show(Range::exact(question.load.connections)),
                Unit::Count.show(Range::exact(question.load.requests_per_s))
            ),
            currency: currency.into(),
            summary: summary(question, study, currency),
            inputs: asked::terms(question),
            sections,
            coefficients: table.rows().to_vec(),
            notes: NOTES.iter().map(|&note| note.into()).collect(),
        }
    }

    /// The article's tables, set right.
    #[must_use]
    pub fn of_article() -> Self {
        Self {
            title: "The article's cost tables, set right".into(),
            currency: "the article's unit".into(),
            summary: Vec::new(),
            inputs: Vec::new(),
            sections: article::sections(),
            coefficients: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds another design, and what it brings to run this one in its place.
    pub fn compare(&mut self, study: &Study, other: &Study, investment: Range) {
        let investment = Amount::given(investment, Unit::Money);
        let brings = Return::of_fleets(
            (&other.bill, &other.fleet),
            (&study.bill, &study.fleet),
            &investment,
        );
        let named = |section: &Section, id: &'static str| {
            let title = match section.title.contains(other.name.as_str()) {
                true => section.title.clone(),
                false => format!("{}: {}", section.title, other.name),
            };
            Section { id, title, ..section.clone() }
        };
        self.sections.extend([
            named(&other.demand.cpu, "other_cpu"),
            named(&other.demand.user, "other_user"),
            named(&other.demand.kernel, "other_kernel"),
            named(&other.fleet.machines, "other_machines"),
            named(&other.bill.cost(), "other_cost"),
            brings.section.clone(),
        ]);
        let saved = Unit::Money.show(brings.saved);
        let against = Unit::Count.show(other.fleet.total);
        self.summary.push(Line {
            what: "Compared",
            how_much: format!(
                "{against} machines of {} in its place: saves {saved} {}",
                other.name, self.currency
            ),
        });
        if let Some(ratio) = brings.ratio {
            let how_much = with_likely(Unit::Ratio, ratio);
            self.summary.push(Line { what: "Return", how_much });
        }
    }
}

fn summary(question: &Question, study: &Study, currency: &str) -> Vec<Line> {
    let total = |section: &Section| section.total().show();
    let (demand, fleet) = (&study.demand, &study.fleet);
    let cost = study.bill.cost().total().value;
    let line = |what, how_much| Line { what, how_much };
    alloc::vec![
        line(
            "Machines",
            format!(
                "{}, {} of them spare; narrowest {}",
                with_likely(Unit::Count, fleet.total),
                Unit::Count.show(Range::exact(question.machine.spare)),
                fleet.narrowest
            ),
        ),
        line("Processor", format!("{} busy at the peak", total(&demand.cpu))),
        line(
            "Memory",
            format!(
                "{} in user space, {} in the kernel; {} more on each machine, page cache among it",
                total(&demand.user),
                total(&demand.kernel),
                total(&demand.each)
            ),
        ),
        line("Network", total(&demand.network)),
        line("Memory bus", total(&demand.bus)),
        line(
            "Disk writes",
            demand.disk.find("written").map(|term| term.amount.show()).unwrap_or_default(),
        ),
        line(
            "Cost",
            format!(
                "{} {currency} over {}",
                with_likely(Unit::Money, cost),
                Unit::Years.show(Range::exact(question.prices.years))
            ),
        ),
    ]
}

/// A range, with what is likely if that is not all of it.
fn with_likely(unit: Unit, range: Range) -> String {
    let (all, likely) = (unit.show(range), unit.show_likely(range));
    if all == likely { all } else { format!("{all} (likely {likely})") }
}

const NOTES: &[&str] = &[
    "A range goes from the least to the greatest that the coefficients allow, all at once; sums \
     show the same range step by step, in three digits.",
    "Measured coefficients are those of a virtual machine with two AMD EPYC cores over loopback, \
     unless a measurement was given. Loopback has both ends in one kernel and no network card: \
     measure on the machine that is meant, and give the result with --measured.",
    "It is the peak of a steady load. A storm of reconnects is no part of it: as many handshakes \
     as there are connections, in the time in which they are to be back.",
];
