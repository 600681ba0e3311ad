//! A page that opens from a file, in the frame of all pages of results.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use longhold_report::{Bar, Cell, Chart, Fact, Page, Table, Tone, bars_up_to};

use super::text::heading;
use crate::amount::{Section, Term};
use crate::coefficients::Coefficient;
use crate::report::Report;

/// A report as a page.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut page = Page::new(&report.title);
    let fact = |line: &crate::report::Line| Fact::new(line.what, &line.how_much);
    page.facts(&report.summary.iter().map(fact).collect::<Vec<_>>());
    page.charts(&CHARTS.iter().flat_map(|ids| charts(report, ids)).collect::<Vec<_>>());
    for section in &report.sections {
        let mut title = heading(section, &report.currency);
        if let Some(total) = &section.total {
            title.push_str(&format!(": {}", total.amount.show()));
        }
        page.heading(&title);
        terms(&mut page, section.terms.iter().chain(&section.total));
        section.notes.iter().for_each(|note| page.note(note));
    }
    if !report.inputs.is_empty() {
        page.heading("Asked");
        terms(&mut page, report.inputs.iter());
    }
    if !report.coefficients.is_empty() {
        page.heading("Coefficients");
        let headings = ["what", "how much", "source"].map(String::from).into();
        let rows = report.coefficients.iter().map(coefficient).collect();
        page.table(&Table { headings, rows });
    }
    report.notes.iter().for_each(|note| page.note(note));
    page.html()
}

/// What there is, how much, and how it came about, where that is told.
fn terms<'a>(page: &mut Page, terms: impl Iterator<Item = &'a Term> + Clone) {
    let has_sums = terms.clone().any(|term| !term.amount.sum().is_empty());
    let columns = if has_sums { 3 } else { 2 };
    let row = |term: &Term| {
        let name = Cell::Text(term.name.to_string());
        let sum = Cell::Prose(term.amount.sum().to_string());
        [name, Cell::Text(term.amount.show()), sum].into_iter().take(columns).collect()
    };
    let headings = ["what", "how much", "sum"].into_iter().take(columns).map(String::from);
    page.table(&Table { headings: headings.collect(), rows: terms.map(row).collect() });
}

fn coefficient(it: &Coefficient) -> Vec<Cell> {
    let source = format!("{}: {}", it.basis.name(), it.source);
    alloc::vec![
        Cell::Prose(it.what.to_string()),
        Cell::Text(it.unit.show(it.value)),
        Cell::Prose(source)
    ]
}

/// The terms of a section that are shown as bars: its parts, not the steps towards them.
fn shown(section: &Section) -> impl Iterator<Item = &Term> {
    let unit = section.terms.last().map(|term| term.amount.unit);
    section.terms.iter().filter(move |term| {
        let is_part = !matches!(term.id, "needed" | "spare") && Some(term.amount.unit) == unit;
        let is_step = matches!(term.id, "energy_per_year" | "kwh_per_year");
        is_part && !is_step && term.amount.value.high > 0.0
    })
}

/// Bars for these sections, as far as the report has them, on one scale: the likely figure, and a
/// line from the least to the greatest.
fn charts(report: &Report, ids: &[&str]) -> Vec<Chart> {
    let found = |id: &&str| report.sections.iter().find(|section| section.id == *id);
    let sections = || ids.iter().filter_map(found).filter(|it| shown(it).next().is_some());
    let greatest = sections().flat_map(shown).map(|it| it.amount.value.high).fold(0.0, f64::max);
    let chart = |section: &Section| {
        let unit = section.terms.last().map(|term| term.amount.unit);
        let (factor, name) = unit.map_or((1.0, ""), |unit| unit.scale(greatest));
        let bar = |term: &Term| Bar {
            label: term.name.to_string(),
            median: term.amount.value.likely / factor,
            least: term.amount.value.low / factor,
            greatest: term.amount.value.high / factor,
            tone: if section.id.starts_with("other_") { Tone::Other } else { Tone::Edge },
        };
        let all: Vec<Bar> = shown(section).map(bar).collect();
        let title = heading(section, &report.currency);
        bars_up_to(&title, name.trim(), &all, greatest / factor)
    };
    sections().map(chart).collect()
}

/// What is shown as bars; those of one row on one scale.
const CHARTS: [&[&str]; 5] = [
    &["cpu", "other_cpu"],
    &["user", "other_user"],
    &["kernel", "other_kernel"],
    &["machines", "other_machines"],
    &["cost", "other_cost"],
];
