//! Reports are whole in every form.

use crate::coefficients::{Coefficients, Peer};
use crate::inputs::{Load, Machine, Prices};
use crate::range::Range;
use crate::render::{json, page, text};
use crate::report::Report;
use crate::{Busy, Question, Study};

fn report() -> Report {
    let question = Question {
        load: Load { connections: 2e6, requests_per_s: 50e3, ..Load::default() },
        machine: Machine::default(),
        prices: Prices::default(),
        busy: Busy::Planned,
    };
    let table = Coefficients::longhold();
    let study = Study::of("Longhold", &question, &table).expect("it fits");
    let other = Study::of("nginx <1.22>", &question, &table.of_peer(Peer::Nginx)).expect("it fits");
    let mut report = Report::of(&question, &study, &table, "USD");
    report.compare(&study, &other, Range::exact(50_000.0));
    report
}

#[test]
fn text_shows_every_figure_with_its_sum_and_every_source() {
    let report = report();
    let said = text(&report);
    for term in
        report.sections.iter().flat_map(|section| section.terms.iter().chain(&section.total))
    {
        assert!(said.contains(term.name) && said.contains(&term.amount.show()), "{}", term.id);
        assert!(said.contains(term.amount.sum()), "{}", term.id);
    }
    for it in &report.coefficients {
        assert!(said.contains(it.source.as_str()), "{}", it.id);
    }
    assert!(said.contains("return on investment") && said.contains("USD"));
}

#[test]
fn the_page_fetches_nothing_and_escapes_what_it_shows() {
    let said = page(&report());
    for outside in ["http:", "https:", "src=", "href=", "@import", "url(", "<script"] {
        assert!(!said.contains(outside), "{outside}");
    }
    assert!(said.contains("nginx &lt;1.22&gt;") && !said.contains("nginx <1.22>"));
    for tag in ["table", "svg", "figure", "main", "dl", "h2"] {
        let count = |start: &str| said.matches(&format!("{start}{tag}")).count();
        assert_eq!(count("<"), count("</"), "{tag}");
    }
    assert!(!said.contains("NaN") && !said.contains("inf"));
}

/// Enough of a JSON reader to know whether a text is one value.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn value(&mut self) -> bool {
        match self.0.first() {
            Some(b'{') => {
                self.members(b'}', |reader| reader.string() && reader.eat(b':') && reader.value())
            }
            Some(b'[') => self.members(b']', Self::value),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => {
                let is_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
                let end = self.0.iter().position(|byte| !is_number(byte)).unwrap_or(self.0.len());
                let (number, rest) = self.0.split_at(end);
                self.0 = rest;
                std::str::from_utf8(number).is_ok_and(|text| text.parse::<f64>().is_ok())
            }
            Some(_) | None => false,
        }
    }

    fn members(&mut self, end: u8, member: impl Fn(&mut Self) -> bool) -> bool {
        self.0 = &self.0[1..];
        if self.eat(end) {
            return true;
        }
        loop {
            if !member(self) {
                return false;
            }
            if self.eat(end) {
                return true;
            }
            if !self.eat(b',') {
                return false;
            }
        }
    }

    fn string(&mut self) -> bool {
        if !self.eat(b'"') {
            return false;
        }
        while let Some((&byte, rest)) = self.0.split_first() {
            self.0 = rest;
            match byte {
                b'"' => return true,
                b'\\' => self.0 = self.0.get(1..).unwrap_or_default(),
                0..0x20 => return false,
                _ => {}
            }
        }
        false
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.0.first() == Some(&byte);
        if is_there {
            self.0 = &self.0[1..];
        }
        is_there
    }
}

#[test]
fn json_is_one_value_with_every_figure() {
    let mut report = report();
    report.notes.push("a \"quoted\" \\ line\nwith a \u{1} in it".to_owned());
    let said = json(&report);
    let mut reader = Reader(said.as_bytes());
    assert!(reader.value() && reader.0.is_empty(), "{}", String::from_utf8_lossy(reader.0));
    for section in &report.sections {
        assert!(said.contains(&format!("\"{}\":{{\"title\"", section.id)), "{}", section.id);
    }
    assert!(said.contains("\"busy_share\"") && said.contains("\"basis\":\"measured\""));
    assert!(!said.contains("null"), "every figure is finite");
}

#[test]
fn ids_are_unique_where_they_name_members() {
    let unique = |ids: Vec<&str>| {
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), ids.len(), "{ids:?}");
    };
    for report in [report(), Report::of_article()] {
        unique(report.sections.iter().map(|section| section.id).collect());
        unique(report.inputs.iter().map(|term| term.id).collect());
        for section in &report.sections {
            unique(section.terms.iter().map(|term| term.id).collect());
        }
    }
}
