//! What a scenario found: what had to hold and whether it did, and figures beside it.

use std::fmt::{self, Display};

use serde_json::{Value, json};

/// One thing that has to hold, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    what: String,
    wanted: String,
    found: String,
    pub(super) passed: bool,
}

/// All that a scenario found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    checks: Vec<Check>,
    figures: Vec<(String, String)>,
}

impl Evidence {
    /// A count has to be this; a result that lacks it fails.
    pub(super) fn exactly(&mut self, what: impl Display, found: Option<u64>, wanted: u64) {
        self.note(what, wanted.to_string(), found, |found| found == wanted);
    }

    /// A count has to be this or more.
    pub(super) fn at_least(&mut self, what: impl Display, found: Option<u64>, least: u64) {
        self.note(what, format!("at least {least}"), found, |found| found >= least);
    }

    /// A count has to be this or less.
    pub(super) fn at_most(&mut self, what: impl Display, found: Option<u64>, most: u64) {
        self.note(what, format!("at most {most}"), found, |found| found <= most);
    }

    /// Something else has to hold.
    pub(super) fn holds(&mut self, what: impl Display, found: impl Display, passed: bool) {
        let (what, found) = (what.to_string(), found.to_string());
        self.checks.push(Check { what, wanted: String::new(), found, passed });
    }

    /// A figure that nothing is asserted of.
    pub(super) fn figure(&mut self, name: impl Display, value: impl Display) {
        self.figures.push((name.to_string(), value.to_string()));
    }

    /// Whether there is something to hold, and all of it does.
    pub(super) fn passed(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.passed)
    }

    /// As a member of the result.
    pub(super) fn json(&self) -> Value {
        let check = |check: &Check| {
            let Check { what, wanted, found, passed } = check;
            json!({ "what": what, "wanted": wanted, "found": found, "passed": passed })
        };
        let figure = |(name, value): &(String, String)| json!({ "figure": name, "value": value });
        json!({
            "checks": self.checks.iter().map(check).collect::<Vec<_>>(),
            "figures": self.figures.iter().map(figure).collect::<Vec<_>>(),
        })
    }

    fn note(
        &mut self,
        what: impl Display,
        wanted: String,
        found: Option<u64>,
        passes: impl Fn(u64) -> bool,
    ) {
        let passed = found.is_some_and(passes);
        let found = found.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
        self.checks.push(Check { what: what.to_string(), wanted, found, passed });
    }
}

impl Display for Evidence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { what, wanted, found, passed } in &self.checks {
            let verdict = if *passed { "ok  " } else { "FAIL" };
            match wanted.as_str() {
                "" => writeln!(out, "    {verdict} {what}: {found}")?,
                wanted => writeln!(out, "    {verdict} {what}: {found} (wanted {wanted})")?,
            }
        }
        for (name, value) in &self.figures {
            writeln!(out, "         {name}: {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Evidence;

    fn passed(note: impl Fn(&mut Evidence)) -> bool {
        let mut evidence = Evidence::default();
        note(&mut evidence);
        evidence.passed()
    }

    #[test]
    fn what_is_missing_or_off_fails() {
        assert!(passed(|it| it.exactly("n", Some(3), 3)));
        assert!(!passed(|it| it.exactly("n", Some(2), 3)));
        assert!(passed(|it| it.at_least("n", Some(3), 3)));
        assert!(!passed(|it| it.at_least("n", Some(2), 3)));
        assert!(passed(|it| it.at_most("n", Some(3), 3)));
        assert!(!passed(|it| it.at_most("n", Some(4), 3)));
        assert!(passed(|it| it.holds("so", "yes", true)));
        assert!(!passed(|it| it.holds("so", "no", false)));
        for check in [Evidence::exactly, Evidence::at_least, Evidence::at_most] {
            assert!(!passed(|it| check(it, "n", None, 0)), "nothing found");
        }
    }

    #[test]
    fn one_failure_among_others_fails_and_nothing_at_all_does_not_pass() {
        assert!(!passed(|it| {
            it.exactly("good", Some(1), 1);
            it.exactly("bad", Some(0), 1);
            it.exactly("good", Some(1), 1);
        }));
        assert!(!passed(|_| {}));
        assert!(!passed(|it| it.figure("a figure", 1)));
    }
}
