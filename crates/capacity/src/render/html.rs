//! A page that opens from a file: style and charts are in it, nothing is fetched.

use alloc::string::String;
use core::fmt::Write as _;

use super::text::heading;
use crate::amount::{Section, Term};
use crate::report::Report;

/// A report as a page.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut out = String::new();
    let title = escaped(&report.title);
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><main><h1>{title}</h1>\n"
    );
    if !report.summary.is_empty() {
        out.push_str("<dl class=\"summary\">");
        for line in &report.summary {
            let (what, how_much) = (line.what, escaped(&line.how_much));
            let _ = write!(out, "<div><dt>{what}</dt><dd>{how_much}</dd></div>");
        }
        out.push_str("</dl>\n");
    }
    for ids in CHARTS {
        let charted = |id: &str| report.sections.iter().find(|section| section.id == id);
        let sections = || ids.iter().filter_map(|&id| charted(id));
        let highs = sections().flat_map(shown).map(|term| term.amount.value.high);
        let most = highs.fold(0.0, f64::max);
        sections().for_each(|section| chart(&mut out, section, most, &report.currency));
    }
    for section in &report.sections {
        let _ = write!(out, "<h2>{}</h2>\n<table>", escaped(&heading(section, &report.currency)));
        section.terms.iter().for_each(|term| row(&mut out, term, ""));
        section.total.iter().for_each(|term| row(&mut out, term, " class=\"total\""));
        out.push_str("</table>\n");
        paragraphs(&mut out, &section.notes);
    }
    if !report.inputs.is_empty() {
        out.push_str("<h2>Asked</h2>\n<table>");
        report.inputs.iter().for_each(|term| row(&mut out, term, ""));
        out.push_str("</table>\n");
    }
    coefficients(&mut out, report);
    paragraphs(&mut out, &report.notes);
    out.push_str("</main></body></html>\n");
    out
}

fn row(out: &mut String, term: &Term, class: &str) {
    let _ = write!(
        out,
        "<tr{class}><td>{}</td><td class=\"n\">{}</td><td class=\"sum\">{}</td></tr>",
        escaped(term.name),
        escaped(&term.amount.show()),
        escaped(term.amount.sum())
    );
}

fn coefficients(out: &mut String, report: &Report) {
    if report.coefficients.is_empty() {
        return;
    }
    out.push_str("<h2>Coefficients</h2>\n<table><tr><th>what</th><th class=\"n\">how much</th>");
    out.push_str("<th>source</th></tr>");
    for it in &report.coefficients {
        let _ = write!(
            out,
            "<tr><td>{}</td><td class=\"n\">{}</td>\
             <td><b class=\"{basis}\">{basis}</b> {}</td></tr>",
            escaped(it.what),
            escaped(&it.unit.show(it.value)),
            escaped(&it.source),
            basis = it.basis.name(),
        );
    }
    out.push_str("</table>\n");
}

fn paragraphs(out: &mut String, notes: &[String]) {
    for note in notes {
        let _ = write!(out, "<p class=\"note\">{}</p>", escaped(note));
    }
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

/// Bars for a section: the likely figure filled, a line from the least to the greatest.
fn chart(out: &mut String, section: &Section, most: f64, currency: &str) {
    let count = shown(section).count();
    if count == 0 || most <= 0.0 {
        return;
    }
    let height = ROW * count as f64 + 6.0;
    let heading = escaped(&heading(section, currency));
    let _ = write!(
        out,
        "<figure><figcaption>{heading}</figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{heading}\">"
    );
    for (index, term) in shown(section).enumerate() {
        let top = ROW * index as f64;
        let at = |value: f64| LABELS + value / most * BARS;
        let (low, likely, high) =
            (at(term.amount.value.low), at(term.amount.value.likely), at(term.amount.value.high));
        let (middle, text) = (top + ROW / 2.0, top + ROW / 2.0 + 4.0);
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{text:.1}\" class=\"name\">{}</text>\
             <rect x=\"{LABELS}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\
             <path d=\"M{low:.1} {middle:.1}H{high:.1}\"/>\
             <text x=\"{:.1}\" y=\"{text:.1}\">{}</text>",
            LABELS - 8.0,
            escaped(term.name),
            top + 4.0,
            likely - LABELS,
            ROW - 8.0,
            high + 8.0,
            escaped(&term.amount.show()),
        );
    }
    out.push_str("</svg></figure>\n");
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            plain => out.push(plain),
        }
    }
    out
}

/// What is shown as bars; those of one row on one scale.
const CHARTS: [&[&str]; 5] = [
    &["cpu", "other_cpu"],
    &["user", "other_user"],
    &["kernel", "other_kernel"],
    &["machines", "other_machines"],
    &["cost", "other_cost"],
];
const WIDTH: f64 = 960.0;
const LABELS: f64 = 350.0;
const BARS: f64 = 420.0;
const ROW: f64 = 24.0;
const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2330;--soft:#5b6675;--line:#d8dde5;--bar:#3d7ea6;--page:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#9aa5b4;--line:#333c49;--bar:#5aa0cc;
--page:#14181f}}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px}
h1{font-size:26px;margin:8px 0 20px}h2{font-size:18px;margin:32px 0 8px}
.summary{display:grid;grid-template-columns:1fr 1fr;gap:10px;margin:0 0 24px}
.summary div{border:1px solid var(--line);border-radius:8px;padding:8px 14px}
dt{color:var(--soft);font-size:13px}dd{margin:0;font-weight:600}
table{width:100%;border-collapse:collapse;table-layout:auto}
td,th{border-bottom:1px solid var(--line);padding:5px 10px 5px 0;text-align:left;vertical-align:top}
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.sum{color:var(--soft);font-size:13px;padding-left:16px;width:46%;overflow-wrap:anywhere}
.total td{font-weight:600;border-bottom:2px solid var(--ink)}.total .sum{font-weight:400}
.note{color:var(--soft);font-size:13px;max-width:760px;margin:6px 0}
figure{margin:0 0 20px}figcaption{font-weight:600;margin:0 0 4px}
svg{width:100%;height:auto;font-size:13px}svg text{fill:var(--ink)}
svg .name{text-anchor:end;fill:var(--soft)}
svg rect{fill:var(--bar)}svg path{stroke:var(--ink);stroke-width:1.5}
b{font-weight:600;font-size:12px;border:1px solid var(--line);border-radius:4px;padding:0 5px}
@media(max-width:720px){.summary{grid-template-columns:1fr}}
";
