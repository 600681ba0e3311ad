//! Values one by one: what was typed, or the default, judged by the knob's row and noted for the
//! dump. Faults are gathered, so that one run tells them all.

use std::path::PathBuf;

use serde_json::{Value, json};
use toml::Spanned;

use super::fault::{Cause, Fault};
use super::knobs::{Knob, Preset, Unit};
use super::raw::{Cell, Typed};
use super::source::Source;
use super::{SECRET, checked::Effective};

/// The state of one check.
pub(super) struct Resolver<'a> {
    pub(super) source: &'a Source,
    pub(super) faults: Vec<Fault>,
    pub(super) effective: Vec<Effective>,
    header: &'static str,
    index: usize,
}

/// A text with where it stands, if the file says it.
pub(super) struct Said {
    pub(super) text: String,
    pub(super) at: Option<usize>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Self { source, faults: Vec::new(), effective: Vec::new(), header: "", index: 0 }
    }

    /// The table that the following values belong to, for the dump.
    pub(super) fn enter(&mut self, header: &'static str, index: usize) {
        (self.header, self.index) = (header, index);
    }

    /// Notes a fault at a byte of the file.
    pub(super) fn fault(&mut self, at: Option<usize>, key: &str, cause: Cause) {
        self.faults.push(self.source.fault(at, key, cause));
    }

    /// A number in base units; the knob's default must be a number.
    pub(super) fn number(&mut self, knob: &'static Knob, typed: &Cell) -> u64 {
        let preset = match knob.preset {
            Preset::Number(value) => value,
            Preset::Text(_) | Preset::Derived(_) | Preset::Absent | Preset::Required => knob.least,
        };
        self.number_or(knob, typed, preset)
    }

    /// A number in base units, else the derived default. After a fault the default goes on.
    pub(super) fn number_or(&mut self, knob: &'static Knob, typed: &Cell, derived: u64) -> u64 {
        let Some(cell) = typed else {
            self.note_number(knob, derived, false);
            return derived;
        };
        match judge_number(knob, cell.get_ref()) {
            Ok(value) => {
                self.note_number(knob, value, true);
                value
            }
            Err(cause) => {
                self.fault(Some(cell.span().start), knob.key, cause);
                derived
            }
        }
    }

    /// A number that holds only where the file says it.
    pub(super) fn number_if(&mut self, knob: &'static Knob, typed: &Cell) -> Option<u64> {
        typed.as_ref().map(|_| self.number(knob, typed))
    }

    /// A number that may be absent, which is shown as such.
    pub(super) fn number_or_none(&mut self, knob: &'static Knob, typed: &Cell) -> Option<u64> {
        if typed.is_none() {
            self.note(knob, Value::Null, false);
        }
        self.number_if(knob, typed)
    }

    /// A text or word that holds only where the file says it.
    pub(super) fn text_if(&mut self, knob: &'static Knob, typed: &Cell) -> Option<Said> {
        typed.as_ref().and_then(|_| self.text(knob, typed))
    }

    /// `true` or `false`, where the file says it.
    pub(super) fn flag_if(&mut self, knob: &'static Knob, typed: &Cell) -> Option<bool> {
        let cell = typed.as_ref()?;
        if let Typed::Flag(value) = cell.get_ref() {
            self.note(knob, json!(value), true);
            return Some(*value);
        }
        let cause = wrong_type("true or false", cell.get_ref());
        self.fault(Some(cell.span().start), knob.key, cause);
        None
    }

    /// Whether the file says 0, which stands outside the bounds of the others and needs no unit.
    pub(super) fn is_nothing(&mut self, knob: &'static Knob, typed: &Cell) -> bool {
        let is_nothing = typed.as_ref().is_some_and(|cell| match cell.get_ref() {
            Typed::Integer(number) => *number == 0,
            Typed::Text(text) => text == "0" || knob.unit.parse(text) == Ok(0),
            Typed::List(_) | Typed::Flag(_) | Typed::Other(_) => false,
        });
        if is_nothing {
            self.note_number(knob, 0, true);
        }
        is_nothing
    }

    /// A text or word, else the default; `None` when neither is there.
    pub(super) fn text(&mut self, knob: &'static Knob, typed: &Cell) -> Option<Said> {
        let Some(cell) = typed else {
            return self.text_preset(knob);
        };
        let at = Some(cell.span().start);
        match judge_text(knob, cell.get_ref()) {
            Ok(text) => {
                self.note(knob, json!(text), true);
                Some(Said { text, at })
            }
            Err(cause) => {
                self.fault(at, knob.key, cause);
                None
            }
        }
    }

    /// A text that the dump does not show.
    pub(super) fn secret(&mut self, knob: &'static Knob, typed: &Cell) -> Option<Said> {
        let said = self.text(knob, typed)?;
        if typed.is_some() {
            self.show_as(SECRET);
        }
        Some(said)
    }

    /// A list of texts with their places; empty after a fault.
    pub(super) fn list(&mut self, knob: &'static Knob, typed: &Cell, most: usize) -> Vec<Said> {
        let Some(cell) = typed else { return Vec::new() };
        match judge_list(knob, cell, most) {
            Ok(list) => {
                let texts: Vec<&str> = list.iter().map(|said| said.text.as_str()).collect();
                self.note(knob, json!(texts), true);
                list
            }
            Err((at, cause)) => {
                self.fault(Some(at), knob.key, cause);
                Vec::new()
            }
        }
    }

    /// The same, or the default's texts.
    pub(super) fn list_or(
        &mut self,
        knob: &'static Knob,
        typed: &Cell,
        (most, preset): (usize, &[&str]),
    ) -> Vec<Said> {
        if typed.is_some() {
            return self.list(knob, typed, most);
        }
        self.note(knob, json!(preset), false);
        preset.iter().map(|text| Said { text: (*text).to_owned(), at: None }).collect()
    }

    /// A path, relative ones below the folder of the config file; the dump shows where it leads.
    pub(super) fn path(&mut self, knob: &'static Knob, typed: &Cell) -> Option<PathBuf> {
        let said = self.text(knob, typed)?;
        let path = self.source.folder.join(&said.text);
        self.show_as(&path.to_string_lossy());
        Some(path)
    }

    /// Lets the dump show the value noted last in this form.
    pub(super) fn show_as(&mut self, text: &str) {
        if let Some(last) = self.effective.last_mut() {
            last.value = json!(text);
        }
    }

    fn text_preset(&mut self, knob: &'static Knob) -> Option<Said> {
        match knob.preset {
            Preset::Text(text) => {
                self.note(knob, json!(text), false);
                Some(Said { text: text.to_owned(), at: None })
            }
            Preset::Absent => {
                self.note(knob, Value::Null, false);
                None
            }
            Preset::Number(_) | Preset::Derived(_) | Preset::Required => None,
        }
    }

    fn note_number(&mut self, knob: &'static Knob, value: u64, set: bool) {
        let shown = match knob.unit {
            Unit::Count => json!(value),
            Unit::Bytes
            | Unit::Time
            | Unit::Rate
            | Unit::Choice(_)
            | Unit::Text(_)
            | Unit::List(_)
            | Unit::Flag => json!(knob.unit.show(value)),
        };
        self.note(knob, shown, set);
    }

    fn note(&mut self, knob: &'static Knob, value: Value, set: bool) {
        let (header, index) = (self.header, self.index);
        self.effective.push(Effective { header, index, knob, value, set });
    }
}

fn judge_number(knob: &Knob, typed: &Typed) -> Result<u64, Cause> {
    let (shown, value) = match (knob.unit, typed) {
        (Unit::Count, Typed::Integer(value)) => {
            let least = || Cause::Below { typed: value.to_string(), least: knob.least.to_string() };
            (value.to_string(), u64::try_from(*value).map_err(|_| least())?)
        }
        (Unit::Count, _) => return Err(wrong_type("a number without quotes", typed)),
        (unit, Typed::Text(text)) => {
            let shown = format!("{text:?}");
            match unit.parse(text) {
                Ok(value) => (shown, value),
                Err(fault) => {
                    let example = example(knob);
                    return Err(Cause::Unit { typed: shown, fault, example });
                }
            }
        }
        (_, Typed::Integer(value)) => {
            let fault = super::units::UnitFault::NoUnit;
            return Err(Cause::Unit { typed: value.to_string(), fault, example: example(knob) });
        }
        (unit, _) => {
            return Err(wrong_type(&format!("a {unit} such as {}", example(knob)), typed));
        }
    };
    if value < knob.least {
        return Err(Cause::Below { typed: shown, least: quoted(knob, knob.least) });
    }
    if value > knob.most {
        return Err(Cause::Above { typed: shown, most: quoted(knob, knob.most) });
    }
    Ok(value)
}

fn judge_text(knob: &Knob, typed: &Typed) -> Result<String, Cause> {
    let Typed::Text(text) = typed else {
        return Err(wrong_type("text in double quotes", typed));
    };
    if text.is_empty() {
        return Err(Cause::Empty);
    }
    match knob.unit {
        Unit::Choice(words) if !words.contains(&text.as_str()) => {
            Err(Cause::NotAChoice { typed: format!("{text:?}"), words })
        }
        Unit::Choice(_)
        | Unit::Text(_)
        | Unit::List(_)
        | Unit::Flag
        | Unit::Count
        | Unit::Bytes
        | Unit::Time
        | Unit::Rate => Ok(text.clone()),
    }
}

fn judge_list(
    knob: &Knob,
    cell: &Spanned<Typed>,
    most: usize,
) -> Result<Vec<Said>, (usize, Cause)> {
    let start = cell.span().start;
    let Typed::List(items) = cell.get_ref() else {
        return Err((start, wrong_type("a list such as [\"…\"]", cell.get_ref())));
    };
    if items.is_empty() {
        return Err((start, Cause::Empty));
    }
    if items.len() > most {
        return Err((start, Cause::TooMany { most }));
    }
    let said = |item: &Spanned<Typed>| {
        let at = item.span().start;
        let text = judge_text(knob, item.get_ref()).map_err(|cause| (at, cause))?;
        Ok(Said { text, at: Some(at) })
    };
    items.iter().map(said).collect()
}

fn wrong_type(wanted: &str, typed: &Typed) -> Cause {
    Cause::WrongType { wanted: wanted.to_owned(), found: typed.kind() }
}

/// A value of the knob that can be typed as it stands: its default, else its least.
fn example(knob: &Knob) -> String {
    let value = match knob.preset {
        Preset::Number(value) => value,
        Preset::Text(_) | Preset::Derived(_) | Preset::Absent | Preset::Required => knob.least,
    };
    quoted(knob, value)
}

fn quoted(knob: &Knob, value: u64) -> String {
    match knob.unit {
        Unit::Count => value.to_string(),
        Unit::Bytes
        | Unit::Time
        | Unit::Rate
        | Unit::Choice(_)
        | Unit::Text(_)
        | Unit::List(_)
        | Unit::Flag => {
            format!("{:?}", knob.unit.show(value))
        }
    }
}
