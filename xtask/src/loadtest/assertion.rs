//! What a load test asserts: `METRIC OPERATOR NUMBER UNIT`, such as `held>=99.9%`.
//!
//! ```text
//! held>=99.9%   lost==0   p99<=20ms   rss_per_conn<=256   slab_per_conn<=10KiB   hit_ratio>=0.99
//! ```
//! Operators are `>=`, `<=`, `==`, `>` and `<`. A share is written in hundredths with `%`, or as a
//! number from 0 to 1; a time has `us`, `ms` or `s`; bytes may have `B`, `KiB`, `MiB` or `GiB`; a
//! count may end in `k` or `m`. A figure that a test does not have fails its assertion.

use std::cmp::Ordering;
use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};

use super::metric::{Metric, Quantity};

/// One assertion.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Assertion {
    pub(super) metric: Metric,
    operator: Operator,
    /// In the metric's own unit: share of one, count, bytes, microseconds.
    bound: f64,
    /// As it was written, without spaces.
    text: String,
}

/// An assertion beside what was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) assertion: String,
    pub(super) found: Option<f64>,
    pub(super) found_text: String,
    pub(super) passed: bool,
}

/// How found and wanted are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    AtLeast,
    AtMost,
    Exactly,
    Above,
    Below,
}

impl Assertion {
    /// Reads one as typed.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let text: String = text.split_whitespace().collect();
        let at = text.find(['<', '>', '=']).with_context(|| {
            format!("{text:?} compares nothing; write METRIC>=NUMBER, such as held>=99.9%")
        })?;
        let (name, rest) = text.split_at(at);
        let found = OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign));
        let (sign, operator) =
            *found.with_context(|| format!("{rest:?} begins with none of >=, <=, ==, > and <"))?;
        let metric = Metric::named(name)?;
        let bound = bound(metric.quantity(), &rest[sign.len()..])
            .with_context(|| format!("in {text:?}"))?;
        Ok(Self { metric, operator, bound, text })
    }

    /// Compares it with what was found.
    pub(super) fn judge(&self, found: Option<f64>) -> Verdict {
        let order = found.and_then(|found| found.partial_cmp(&self.bound));
        let passed = order.is_some_and(|order| self.operator.allows(order));
        let found_text = found.map_or_else(
            || "nothing: this test does not have it".to_owned(),
            |found| self.metric.quantity().say(found),
        );
        Verdict { assertion: self.text.clone(), found, found_text, passed }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed { "pass" } else { "FAIL" };
        write!(out, "{verdict}    {:<24} found {}", self.assertion, self.found_text)
    }
}

impl Operator {
    const fn allows(self, order: Ordering) -> bool {
        match self {
            Self::AtLeast => order.is_ge(),
            Self::AtMost => order.is_le(),
            Self::Exactly => order.is_eq(),
            Self::Above => order.is_gt(),
            Self::Below => order.is_lt(),
        }
    }
}

/// The number behind the operator, in the quantity's own unit.
fn bound(quantity: Quantity, text: &str) -> Result<f64> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    let number: f64 = digits.parse().ok().with_context(|| {
        format!("{text:?} is no number of {}: such as {}", quantity.name(), quantity.example())
    })?;
    let units = quantity.units();
    let known = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
    let Some((_, factor)) = known else {
        let names: Vec<_> =
            units.iter().map(|(name, _)| *name).filter(|it| !it.is_empty()).collect();
        let (names, example) = (names.join(", "), quantity.example());
        if unit.is_empty() {
            bail!("{} needs a unit ({names}): such as {example}", quantity.name());
        }
        bail!("{unit:?} is no unit of {} ({names}): such as {example}", quantity.name());
    };
    let bound = number * factor;
    ensure!(
        quantity != Quantity::Share || bound <= 1.0,
        "{text:?} is more than everything: write 99.9% or 0.999"
    );
    Ok(bound)
}

/// Longer signs before those that they begin with.
const OPERATORS: [(&str, Operator); 5] = [
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("==", Operator::Exactly),
    (">", Operator::Above),
    ("<", Operator::Below),
];

#[cfg(test)]
mod tests {
    use super::{Assertion, Metric};

    fn parsed(text: &str) -> (Metric, f64) {
        let it = Assertion::parse(text).expect(text);
        (it.metric, it.bound)
    }

    fn passes(text: &str, found: f64) -> bool {
        Assertion::parse(text).expect(text).judge(Some(found)).passed
    }

    #[test]
    fn each_quantity_has_its_units() {
        assert_eq!(parsed("held>=99.5%"), (Metric::Held, 0.995));
        assert_eq!(parsed("held>=0.5"), (Metric::Held, 0.5));
        assert_eq!(parsed("lost==0"), (Metric::Lost, 0.0));
        assert_eq!(parsed("lost<=2k"), (Metric::Lost, 2000.0));
        assert_eq!(parsed("p99<=20ms"), (Metric::P99, 20_000.0));
        assert_eq!(parsed("p50 <= 80us"), (Metric::P50, 80.0));
        assert_eq!(parsed("p999<=2s"), (Metric::P999, 2e6));
        assert_eq!(parsed("rss_per_conn<=256"), (Metric::RssPerConn, 256.0));
        assert_eq!(parsed("slab_per_conn<=8KiB"), (Metric::SlabPerConn, 8192.0));
        assert_eq!(parsed("cpu_per_request<=40us"), (Metric::CpuPerRequest, 40.0));
    }

    #[test]
    fn operators_compare_as_they_read() {
        let rows = [
            ("lost<=5", [true, true, false]),
            ("lost<5", [true, false, false]),
            ("lost==5", [false, true, false]),
            ("lost>=5", [false, true, true]),
            ("lost>5", [false, false, true]),
        ];
        for (text, expected) in rows {
            assert_eq!([4.0, 5.0, 6.0].map(|found| passes(text, found)), expected, "{text}");
        }
    }

    #[test]
    fn what_was_not_found_or_is_no_number_fails() {
        for text in ["lost==0", "lost>=0", "lost<=9"] {
            let assertion = Assertion::parse(text).expect(text);
            assert!(!assertion.judge(None).passed && !assertion.judge(Some(f64::NAN)).passed);
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_remedy() {
        let check = |text, expected: &str| {
            let told = format!("{:#}", Assertion::parse(text).expect_err(text));
            assert!(told.contains(expected), "{text}: {told}");
        };
        check("held", "write METRIC>=NUMBER");
        check("held=9", "none of >=");
        check("heald>=99%", "did you mean held?");
        check("zzz==1", "it is one of held, lost");
        check("held>=99.9", "write 99.9% or 0.999");
        check("held>=", "is no number of a share");
        check("p99<=20", "a time needs a unit (us, ms, s): such as 20ms");
        check("p99<=20MiB", "\"MiB\" is no unit of a time");
        check("rss_per_conn<=1.2.3", "is no number of bytes");
    }
}
