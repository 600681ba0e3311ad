//! Text for a terminal: figures in one column, the sums that made them behind.

use alloc::string::String;
use core::fmt::Write as _;

use crate::amount::{Section, Term};
use crate::report::Report;

/// A report as text.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(out, "{}\n", report.title);
    for line in &report.summary {
        let _ = writeln!(out, "  {:<12} {}", line.what, line.how_much);
    }
    if !report.inputs.is_empty() {
        let _ = writeln!(out, "\nAsked");
        rows(&mut out, report.inputs.iter());
    }
    for section in &report.sections {
        write_section(&mut out, section, &report.currency);
    }
    if !report.coefficients.is_empty() {
        let _ = writeln!(out, "\nCoefficients");
        for it in &report.coefficients {
            let _ = writeln!(out, "  {:<24} {}", it.unit.show(it.value), it.what);
            let _ = writeln!(out, "  {:<24}   {}: {}", "", it.basis.name(), it.source);
        }
    }
    if !report.notes.is_empty() {
        let _ = writeln!(out, "\nNotes");
        for note in &report.notes {
            let _ = writeln!(out, "  - {note}");
        }
    }
    out
}

fn write_section(out: &mut String, section: &Section, currency: &str) {
    let _ = writeln!(out, "\n{}", heading(section, currency));
    rows(out, section.terms.iter().chain(&section.total));
    for note in &section.notes {
        let _ = writeln!(out, "  ({note})");
    }
}

/// Names, figures and sums, each in a column.
fn rows<'a>(out: &mut String, terms: impl Iterator<Item = &'a Term> + Clone) {
    let names = terms.clone().map(|term| term.name.chars().count());
    let (name, figure) = (names.max().unwrap_or_default(), FIGURE_COLUMNS);
    for term in terms {
        let (show, sum) = (term.amount.show(), term.amount.sum());
        let _ = match sum {
            "" => writeln!(out, "  {:<name$}  {show}", term.name),
            _ => writeln!(out, "  {:<name$}  {show:<figure$} = {sum}", term.name),
        };
    }
}

/// A section's title, with the unit of money where there is money.
pub(super) fn heading(section: &Section, currency: &str) -> String {
    let is_money = matches!(section.id, "cost" | "other_cost" | "return" | "differences");
    let mut heading = section.title.clone();
    if is_money {
        let _ = write!(heading, " ({currency})");
    }
    heading
}

const FIGURE_COLUMNS: usize = 22;
