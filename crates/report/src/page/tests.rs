//! The page is whole, whatever is put into it.

use super::{Cell, Fact, Page, Table, Verdict};
use crate::{Axis, Bar, Curve, Line, Lines, Side, Tone, Unit, bars, distribution};

/// Elements that are opened are closed, in order.
fn is_balanced(html: &str) -> bool {
    let mut open = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let Some(end) = rest.find('>') else { return false };
        let tag = &rest[..end];
        let name = tag.split([' ', '\n']).next().unwrap_or_default();
        if let Some(name) = name.strip_prefix('/') {
            if open.pop() != Some(name) {
                return false;
            }
        } else if !tag.ends_with('/') && !matches!(name, "!doctype" | "meta") {
            open.push(name);
        }
    }
    open.is_empty()
}

/// Everything that a page can hold, with `text` wherever there is text.
fn full(text: &str) -> String {
    let mut page = Page::new(text);
    page.facts(&[Fact::new(text, text), Fact::alarm(text, text)]);
    let verdict = |passed| Verdict { passed, wanted: text.to_owned(), found: text.to_owned() };
    page.verdicts(&[verdict(true), verdict(false)]);
    page.heading(text);
    let (label, tone) = (text.to_owned(), Tone::Older);
    let bar = Bar { label, median: 2.0, least: 1.0, greatest: 3.0, tone };
    let line = |side| Line::new(text, side, [(0.0, 1.0), (1.0, 2.0)]);
    let lines = Lines::over_time(text, Axis::linear(Unit::Count))
        .and_right(Axis::logarithmic(Unit::Bytes))
        .with(line(Side::Left))
        .with(line(Side::Right));
    let curve = Curve::new(text, [(0.5, 1.0), (0.99, 20.0)]);
    page.charts(&[bars(text, text, &[bar]), lines.chart(), distribution(text, &[curve])]);
    let owned = || text.to_owned();
    let words = [Cell::Text(owned()), Cell::Prose(owned()), Cell::Alarm(owned())];
    let numbers =
        [Cell::Number(1.0), Cell::Amount(Unit::Bytes, 2048.0), Cell::Spread(2.0, 1.0, 3.0)];
    page.table(&Table { headings: vec![owned(); 3], rows: vec![words.into(), numbers.into()] });
    page.note(text);
    page.html()
}

/// RP-2.
#[test]
fn the_page_is_whole_and_needs_no_network() {
    let html = full("words");
    assert!(is_balanced(&html), "{html}");
    for foreign in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    assert_eq!(html.matches("<svg").count(), 3);
    assert_eq!(html.matches("<td").count(), 6);
    assert!(html.contains("<b>pass</b>") && html.contains("<b>FAIL</b>"));
}

/// RP-1.
#[test]
fn no_text_becomes_markup() {
    let html = full("</style><script>'\"&");
    assert!(is_balanced(&html), "{html}");
    assert!(!html.contains("<script"), "{html}");
    // The page's own end of its style, and nobody else's.
    assert_eq!(html.matches("</style>").count(), 1);
}

#[test]
fn a_page_that_is_cut_would_be_noticed() {
    assert!(is_balanced("<a><b/></a>") && !is_balanced("<a><b></a></b>") && !is_balanced("<a>"));
}
