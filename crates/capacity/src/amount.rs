//! An amount that knows how it came about: value and sum are made by the same operation, so that
//! what is shown is what was reckoned (CP-3).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::range::Range;
use crate::unit::Unit;

/// A range in a unit, with the sum that made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Amount {
    /// The value, in base units.
    pub value: Range,
    /// Of what.
    pub unit: Unit,
    /// How it came about; `None` for what was given.
    sum: Option<String>,
}

/// An amount with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// Its name for programs.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// How much.
    pub amount: Amount,
}

/// Terms that belong together, and their sum if they have one.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// Its name for programs.
    pub id: &'static str,
    /// Its name for people.
    pub title: String,
    /// Its parts.
    pub terms: Vec<Term>,
    /// What they make together.
    pub total: Option<Term>,
    /// What is to be known about it.
    pub notes: Vec<String>,
}

impl Amount {
    /// What was given, or is a coefficient.
    #[must_use]
    pub const fn given(value: Range, unit: Unit) -> Self {
        Self { value, unit, sum: None }
    }

    /// What was given and is known exactly.
    #[must_use]
    pub const fn exact(value: f64, unit: Unit) -> Self {
        Self::given(Range::exact(value), unit)
    }

    /// Whole things.
    #[must_use]
    pub fn count(value: u64) -> Self {
        Self::exact(value as f64, Unit::Count)
    }

    /// The value in its unit.
    #[must_use]
    pub fn show(&self) -> String {
        self.unit.show(self.value)
    }

    /// How it came about; empty for what was given.
    #[must_use]
    pub fn sum(&self) -> &str {
        self.sum.as_deref().unwrap_or_default()
    }

    /// The same, as if it had been given: later sums show its value.
    #[must_use]
    pub fn settled(&self) -> Self {
        Self { sum: None, ..self.clone() }
    }

    /// Times a factor.
    #[must_use]
    pub fn times(&self, factor: &Self, unit: Unit) -> Self {
        let sum = format!("{} × {}", self.left(), factor.show());
        Self { value: self.value * factor.value, unit, sum: Some(sum) }
    }

    /// Divided by what is positive.
    #[must_use]
    pub fn over(&self, divisor: &Self, unit: Unit) -> Self {
        let sum = format!("{} ÷ {}", self.left(), divisor.show());
        Self { value: self.value.over(divisor.value), unit, sum: Some(sum) }
    }

    /// Bytes or bytes per second times a cost for each KiB.
    #[must_use]
    pub fn times_per_kib(&self, each: &Self, unit: Unit) -> Self {
        let Self { value, sum, .. } = self.times(each, unit);
        Self { value: value * Range::exact(1.0 / 1024.0), unit, sum }
    }

    /// Added up, in the unit of the first; nothing of no parts.
    #[must_use]
    pub fn total<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut parts = parts.into_iter();
        let first = parts.next()?;
        let (mut value, mut sum) = (first.value, first.show());
        for part in parts {
            value = value + part.value;
            sum.push_str(&format!(" + {}", part.show()));
        }
        Some(Self { value, unit: first.unit, sum: Some(sum) })
    }

    /// Less another amount of the same unit.
    #[must_use]
    pub fn less(&self, other: &Self) -> Self {
        let sum = format!("{} − {}", self.left(), other.show());
        Self { value: self.value - other.value, unit: self.unit, sum: Some(sum) }
    }

    /// Rounded up to whole ones.
    #[must_use]
    pub fn whole(&self) -> Self {
        let sum = format!("{}, rounded up", self.left());
        Self { value: self.value.ceil(), unit: self.unit, sum: Some(sum) }
    }

    /// At least so much, in each case.
    #[must_use]
    pub fn at_least(&self, least: f64) -> Self {
        Self { value: self.value.max(Range::exact(least)), ..self.clone() }
    }

    /// At most so much, in each case.
    #[must_use]
    pub fn at_most(&self, most: f64) -> Self {
        Self { value: self.value.each(|value| value.min(most)), ..self.clone() }
    }

    /// Another value whose sum is told by hand, for what is no single operation.
    #[must_use]
    pub const fn told(value: Range, unit: Unit, sum: String) -> Self {
        Self { value, unit, sum: Some(sum) }
    }

    /// How it reads as the left side of an operation.
    fn left(&self) -> String {
        self.sum.clone().unwrap_or_else(|| self.show())
    }
}

impl Term {
    /// A named amount.
    #[must_use]
    pub const fn new(id: &'static str, name: &'static str, amount: Amount) -> Self {
        Self { id, name, amount }
    }

    /// Its amount as an operand of later sums.
    #[must_use]
    pub fn settled(&self) -> Amount {
        self.amount.settled()
    }
}

impl Section {
    /// Terms without a sum.
    #[must_use]
    pub fn new(id: &'static str, title: &str, terms: Vec<Term>) -> Self {
        Self { id, title: title.into(), terms, total: None, notes: Vec::new() }
    }

    /// Terms that add up.
    #[must_use]
    pub fn summed(id: &'static str, title: &str, name: &'static str, terms: Vec<Term>) -> Self {
        let total = Amount::total(terms.iter().map(|term| &term.amount));
        let total = total.map(|amount| Term::new("total", name, amount));
        Self { total, ..Self::new(id, title, terms) }
    }

    /// With a note.
    #[must_use]
    pub fn noting(mut self, note: &str) -> Self {
        self.notes.push(note.into());
        self
    }

    /// A term by its name for programs, the total among them.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Term> {
        self.terms.iter().chain(&self.total).find(|term| term.id == id)
    }

    /// What its terms make together; nothing if they have no sum.
    #[must_use]
    pub fn total(&self) -> Amount {
        self.total.as_ref().map_or(Amount::exact(0.0, Unit::Count), Term::settled)
    }
}

#[cfg(test)]
mod tests {
    use super::{Amount, Section, Term};
    use crate::range::Range;
    use crate::unit::Unit;

    #[test]
    fn value_and_sum_come_from_one_operation() {
        let slots = Amount::given(Range::new(72.0, 73.0, 74.0), Unit::Bytes);
        let memory = Amount::count(2_000_000).times(&slots, Unit::Bytes);
        assert_eq!(memory.value, Range::new(144e6, 146e6, 148e6));
        assert_eq!(memory.sum(), "2,000,000 × 72–74 B");
        assert_eq!(memory.show(), "137–141 MiB");

        let beats = Amount::count(600).over(&Amount::exact(60.0, Unit::Seconds), Unit::PerSecond);
        let cost = Amount::exact(20e-6, Unit::Seconds);
        assert_eq!(beats.times(&cost, Unit::Cores).sum(), "600 ÷ 60 s × 20 µs");
        assert_eq!(beats.settled().times(&cost, Unit::Cores).sum(), "10/s × 20 µs");
        assert_eq!(beats.whole().sum(), "600 ÷ 60 s, rounded up");

        let kib = Amount::exact(2048.0, Unit::BytesPerSecond);
        let each = Amount::exact(1e-6, Unit::SecondsPerKib);
        assert_eq!(kib.times_per_kib(&each, Unit::Cores).value, Range::exact(2e-6));
    }

    #[test]
    fn a_section_adds_up_its_terms() {
        let term = |id, value| Term::new(id, "a part", Amount::exact(value, Unit::Money));
        let section = Section::summed("cost", "Cost", "all", vec![term("a", 1.5), term("b", 2.0)]);
        assert_eq!(section.total().value, Range::exact(3.5));
        assert_eq!(section.find("total").map(|it| it.amount.sum()), Some("1.5 + 2"));
        assert!(section.find("b").is_some() && section.find("c").is_none());
    }
}
