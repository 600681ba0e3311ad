//! What a load test asserts of its results. A result that lacks a figure fails its assertion.

use std::fmt;

use serde_json::{Value, json};

/// One assertion and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assertion {
    pub(super) name: &'static str,
    pub(super) wanted: String,
    pub(super) found: String,
    pub(super) passed: bool,
}

impl Assertion {
    /// As a member of the result.
    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "wanted": self.wanted,
            "found": self.found,
            "passed": self.passed,
        })
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed { "pass" } else { "FAIL" };
        let Self { name, wanted, found, .. } = self;
        write!(out, "{verdict}    {name}: {found} (wanted {wanted})")
    }
}

/// The assertions of a profile that holds `connections` and runs a closed loop beside them.
pub(super) fn assertions(hold: &Value, rate: &Value, connections: u64) -> Vec<Assertion> {
    let no_faults = |name, value: &Value| exactly(name, value, "/faults/total", 0);
    vec![
        exactly("connections held", hold, "/held", connections),
        exactly("first answers verified", hold, "/first/count", connections),
        no_faults("faults of the hold", hold),
        at_least("heartbeats verified", hold, "/heartbeats/count", connections as f64),
        no_faults("faults of the loop", rate),
        exactly("requests unanswered", rate, "/unanswered", 0),
        at_least("answers verified in the loop", rate, "/answers/count", 1.0),
        at_least("hit ratio of the loop", rate, "/answers/hit_ratio", HIT_RATIO_MIN),
    ]
}

fn exactly(name: &'static str, value: &Value, pointer: &str, wanted: u64) -> Assertion {
    let found = value.pointer(pointer).and_then(Value::as_u64);
    Assertion {
        name,
        wanted: wanted.to_string(),
        found: found.map_or_else(|| "nothing".to_owned(), |found| found.to_string()),
        passed: found == Some(wanted),
    }
}

fn at_least(name: &'static str, value: &Value, pointer: &str, wanted: f64) -> Assertion {
    let found = value.pointer(pointer).and_then(Value::as_f64);
    Assertion {
        name,
        wanted: format!("at least {wanted}"),
        found: found.map_or_else(|| "nothing".to_owned(), |found| found.to_string()),
        passed: found.is_some_and(|found| found >= wanted),
    }
}

const HIT_RATIO_MIN: f64 = 0.99;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::assertions;

    fn good() -> (Value, Value) {
        let hold = json!({
            "held": 10, "first": { "count": 10 }, "heartbeats": { "count": 20 },
            "faults": { "total": 0 },
        });
        let rate = json!({
            "unanswered": 0, "answers": { "count": 50, "hit_ratio": 1.0 },
            "faults": { "total": 0 },
        });
        (hold, rate)
    }

    fn failed(hold: &Value, rate: &Value) -> Vec<&'static str> {
        let all = assertions(hold, rate, 10);
        all.into_iter().filter(|it| !it.passed).map(|it| it.name).collect()
    }

    #[test]
    fn each_assertion_fails_by_its_own_figure() {
        let (hold, rate) = good();
        assert_eq!(failed(&hold, &rate), [""; 0]);
        for (pointer, bad, name) in [
            ("/held", json!(9), "connections held"),
            ("/first/count", json!(9), "first answers verified"),
            ("/heartbeats/count", json!(9), "heartbeats verified"),
            ("/faults/total", json!(1), "faults of the hold"),
        ] {
            let mut hold = hold.clone();
            *hold.pointer_mut(pointer).expect("there") = bad;
            assert_eq!(failed(&hold, &rate), [name]);
        }
        for (pointer, bad, name) in [
            ("/unanswered", json!(1), "requests unanswered"),
            ("/answers/count", json!(0), "answers verified in the loop"),
            ("/answers/hit_ratio", json!(0.98), "hit ratio of the loop"),
            ("/answers/hit_ratio", Value::Null, "hit ratio of the loop"),
            ("/faults/total", json!(1), "faults of the loop"),
        ] {
            let mut rate = rate.clone();
            *rate.pointer_mut(pointer).expect("there") = bad;
            assert_eq!(failed(&hold, &rate), [name]);
        }
    }

    #[test]
    fn a_result_without_figures_fails_everything() {
        assert_eq!(failed(&Value::Null, &Value::Null).len(), 8);
    }
}
