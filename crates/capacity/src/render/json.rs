//! JSON, written by hand: this crate depends on nothing.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::amount::{Section, Term};
use crate::coefficients::Coefficient;
use crate::range::Range;
use crate::report::Report;
use crate::unit::Unit;

/// A report as one JSON object.
#[must_use]
pub fn json(report: &Report) -> String {
    let summary = report
        .summary
        .iter()
        .map(|line| object(&[("what", string(line.what)), ("how_much", string(&line.how_much))]));
    let notes = report.notes.iter().map(|note| string(note));
    object(&[
        ("model", string("longhold-capacity")),
        ("title", string(&report.title)),
        ("currency", string(&report.currency)),
        ("summary", list(summary)),
        ("inputs", terms(&report.inputs)),
        ("sections", object_of(report.sections.iter().map(|it| (it.id, section(it))))),
        ("coefficients", object_of(report.coefficients.iter().map(|it| (it.id, coefficient(it))))),
        ("notes", list(notes)),
    ])
}

fn section(section: &Section) -> String {
    let mut members = alloc::vec![
        ("title", string(&section.title)),
        ("terms", terms(&section.terms)),
        ("notes", list(section.notes.iter().map(|note| string(note)))),
    ];
    if let Some(total) = &section.total {
        members.push(("total", term(total)));
    }
    object(&members)
}

fn terms(terms: &[Term]) -> String {
    object_of(terms.iter().map(|it| (it.id, term(it))))
}

fn term(it: &Term) -> String {
    let mut members = figures(it.amount.value, it.amount.unit);
    members.push(("name", string(it.name)));
    if !it.amount.sum().is_empty() {
        members.push(("sum", string(it.amount.sum())));
    }
    object(&members)
}

fn coefficient(it: &Coefficient) -> String {
    let mut members = figures(it.value, it.unit);
    members.push(("what", string(it.what)));
    members.push(("basis", string(it.basis.name())));
    members.push(("source", string(&it.source)));
    object(&members)
}

fn figures(value: Range, unit: Unit) -> Vec<(&'static str, String)> {
    alloc::vec![
        ("low", number(value.low)),
        ("likely", number(value.likely)),
        ("high", number(value.high)),
        ("unit", string(unit.name())),
    ]
}

/// A finite number; JSON has no other.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:?}") } else { "null".into() }
}

fn object(members: &[(&str, String)]) -> String {
    object_of(members.iter().map(|(name, value)| (*name, value.clone())))
}

fn object_of<'a>(members: impl Iterator<Item = (&'a str, String)>) -> String {
    let members: Vec<String> =
        members.map(|(name, value)| format!("{}:{value}", string(name))).collect();
    format!("{{{}}}", members.join(","))
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    format!("[{}]", items.join(","))
}

fn string(text: &str) -> String {
    let mut out = String::from('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", control as u32)),
            plain => out.push(plain),
        }
    }
    out.push('"');
    out
}
