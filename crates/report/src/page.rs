//! One HTML file from a title to its last note.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::Chart;
use crate::text::{Unit, escape, figure};

/// A page that grows from top to bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    title: String,
    body: String,
}

/// A term and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    term: String,
    text: String,
    is_alarm: bool,
}

/// Rows beneath headings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// One for each column.
    pub headings: Vec<String>,
    /// In order.
    pub rows: Vec<Vec<Cell>>,
}

/// What stands in a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A few words.
    Text(String),
    /// A sentence, which may break.
    Prose(String),
    /// Words that a reader must not miss.
    Alarm(String),
    /// A number by itself.
    Number(f64),
    /// A number with its unit.
    Amount(Unit, f64),
    /// A median, the least and the greatest.
    Spread(f64, f64, f64),
}

/// Whether something that was asked for is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// It is.
    pub passed: bool,
    /// What was asked for.
    pub wanted: String,
    /// What was found.
    pub found: String,
}

impl Fact {
    /// An ordinary one.
    pub fn new(term: &str, text: &str) -> Self {
        Self { term: term.to_owned(), text: text.to_owned(), is_alarm: false }
    }

    /// One that a reader must not miss.
    pub fn alarm(term: &str, text: &str) -> Self {
        Self { is_alarm: true, ..Self::new(term, text) }
    }
}

impl Cell {
    fn html(&self) -> String {
        match self {
            Self::Text(text) => format!("<td>{}</td>", escape(text)),
            Self::Prose(text) => format!("<td class=\"text\">{}</td>", escape(text)),
            Self::Alarm(text) => format!("<td class=\"alarm\">{}</td>", escape(text)),
            Self::Number(value) => format!("<td>{}</td>", figure(*value)),
            Self::Amount(unit, value) => format!("<td>{}</td>", unit.say(*value)),
            Self::Spread(median, least, greatest) => format!(
                "<td>{} <span class=\"range\">({}–{})</span></td>",
                figure(*median),
                figure(*least),
                figure(*greatest)
            ),
        }
    }
}

impl Page {
    /// A page with nothing but its title.
    pub fn new(title: &str) -> Self {
        Self { title: escape(title), body: String::new() }
    }

    /// Begins a part of it.
    pub fn heading(&mut self, text: &str) {
        // Writing to a string does not fail, here and below.
        let _ = writeln!(self.body, "<h2>{}</h2>", escape(text));
    }

    /// Terms and what they are.
    pub fn facts(&mut self, facts: &[Fact]) {
        self.body.push_str("<dl>\n");
        for Fact { term, text, is_alarm } in facts {
            let class = if *is_alarm { " class=\"alarm\"" } else { "" };
            let (term, text) = (escape(term), escape(text));
            let _ = writeln!(self.body, "<dt>{term}</dt><dd{class}>{text}</dd>");
        }
        self.body.push_str("</dl>\n");
    }

    /// What was asked for, and whether it is so.
    pub fn verdicts(&mut self, verdicts: &[Verdict]) {
        self.body.push_str("<ul class=\"verdicts\">\n");
        for Verdict { passed, wanted, found } in verdicts {
            let (class, word) = if *passed { ("passed", "pass") } else { ("failed", "FAIL") };
            let _ = writeln!(
                self.body,
                "<li class=\"{class}\"><b>{word}</b> <code>{}</code> \
                 <span class=\"unit\">found {}</span></li>",
                escape(wanted),
                escape(found)
            );
        }
        self.body.push_str("</ul>\n");
    }

    /// Drawings, side by side where there is room.
    pub fn charts(&mut self, charts: &[Chart]) {
        self.body.push_str("<div class=\"charts\">\n");
        charts.iter().for_each(|chart| self.body.push_str(&chart.markup));
        self.body.push_str("</div>\n");
    }

    /// A table.
    pub fn table(&mut self, table: &Table) {
        self.body.push_str("<div class=\"wide\"><table><tr>");
        for (column, heading) in table.headings.iter().enumerate() {
            let first = table.rows.first().and_then(|row| row.get(column));
            let is_prose = matches!(first, Some(Cell::Prose(_)));
            let class = if is_prose { " class=\"text\"" } else { "" };
            let _ = write!(self.body, "<th{class}>{}</th>", escape(heading));
        }
        self.body.push_str("</tr>\n");
        for row in &table.rows {
            let cells: String = row.iter().map(Cell::html).collect();
            let _ = writeln!(self.body, "<tr>{cells}</tr>");
        }
        self.body.push_str("</table></div>\n");
    }

    /// A paragraph about how something was found.
    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.body, "<p class=\"note\">{}</p>", escape(text));
    }

    /// The whole file.
    pub fn html(&self) -> String {
        let Self { title, body } = self;
        let head = [
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n",
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
            title,
            "</title>\n<style>\n",
            STYLE,
            "</style></head>\n<body>\n",
        ];
        let mut html = head.concat().to_string();
        let _ = write!(html, "<h1>{title}</h1>\n{body}</body></html>\n");
        html
    }
}

const STYLE: &str = include_str!("page.css");

#[cfg(test)]
mod tests;
