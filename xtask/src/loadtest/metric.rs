//! What can be asserted: one table of names, quantities, and where each figure comes from.

use anyhow::{Result, bail};
use longhold_report::Unit;
use serde_json::{Map, Value};

use crate::parked::Footprint;

/// What a load test found.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) hold: Value,
    /// The loop of requests beside it; WebSockets have none.
    pub(super) rate: Option<Value>,
    pub(super) footprint: Option<Footprint>,
}

/// In what a metric is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    /// Of one.
    Share,
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Microseconds.
    Time,
}

macro_rules! metrics {
    ($($name:ident $text:literal $quantity:ident $of:expr, $about:literal;)+) => {
        /// A figure that can be asserted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Metric { $($name),+ }

        impl Metric {
            /// All, in the order in which they are told.
            pub(super) const ALL: &[Self] = &[$(Self::$name),+];

            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            pub(super) const fn quantity(self) -> Quantity {
                match self { $(Self::$name => Quantity::$quantity),+ }
            }

            pub(super) const fn about(self) -> &'static str {
                match self { $(Self::$name => $about),+ }
            }

            /// The figure, if the test has it.
            pub(super) fn of(self, findings: &Findings) -> Option<f64> {
                let of: fn(&Findings) -> Option<f64> = match self { $(Self::$name => $of),+ };
                of(findings)
            }
        }
    };
}

metrics! {
    Held "held" Share |it| Some(it.hold("/held")? / it.hold("/connections")?),
        "connections that stood at the end, of all that were to be opened";
    Lost "lost" Count |it| it.hold("/lost"),
        "connections that failed, closed, or brought a wrong answer";
    Wrong "wrong" Count |it| Some(wrong(&it.hold)? + it.rate.as_ref().map_or(Some(0.0), wrong)?),
        "answers with a wrong status, length or byte, or that break a rule";
    Faults "faults" Count |it| {
        let of_rate = || it.rate.as_ref().map_or(Some(0.0), |rate| number(rate, "/faults/total"));
        Some(it.hold("/faults/total")? + of_rate()?)
    }, "everything that went wrong, in the hold and in the loop";
    Unanswered "unanswered" Count |it| it.rate("/unanswered"),
        "requests of the loop that were never answered";
    HitRatio "hit_ratio" Share |it| it.rate("/answers/hit_ratio"),
        "hits of the loop, by Cache-Status";
    P50 "p50" Time |it| it.rate("/answers/latency/p50_us"),
        "median latency in the loop, while all connections rest";
    P99 "p99" Time |it| it.rate("/answers/latency/p99_us"), "its 99th percentile";
    P999 "p999" Time |it| it.rate("/answers/latency/p999_us"), "its 99.9th percentile";
    HeartbeatP99 "heartbeat_p99" Time |it| {
        it.hold("/heartbeats/count").filter(|&count| count > 0.0)?;
        it.hold("/heartbeats/latency/p99_us")
    }, "99th percentile of the heartbeats' latency";
    RssPerConn "rss_per_conn" Bytes |it| Some(it.footprint?.user()),
        "user memory of a parked connection: reserved at start, and grown since";
    SlabPerConn "slab_per_conn" Bytes |it| Some(it.footprint?.slab()),
        "kernel slab of a connection, all its ends on this machine";
    GeneratorPerConn "generator_per_conn" Bytes |it| {
        Some(it.hold("/generator/anonymous_bytes")? / it.hold("/connections")?)
    }, "user memory of the generator at its greatest, for each connection";
    CpuPerRequest "cpu_per_request" Time cpu_per_request,
        "server CPU while all rest, by its heartbeats and the loop's answers";
}

impl Metric {
    /// The metric of this name.
    ///
    /// # Errors
    /// There is none; which are near, or all.
    pub(super) fn named(name: &str) -> Result<Self> {
        if let Some(metric) = Self::ALL.iter().find(|metric| metric.name() == name) {
            return Ok(*metric);
        }
        let near = Self::ALL.iter().find(|metric| distance(metric.name(), name) <= NEAR);
        if let Some(near) = near.filter(|_| name.len() > NEAR) {
            bail!("no metric {name:?}: did you mean {}?", near.name());
        }
        let names: Vec<_> = Self::ALL.iter().map(|metric| metric.name()).collect();
        bail!("no metric {name:?}: it is one of {}", names.join(", "));
    }

    /// All figures of a test, by name; null where it has none.
    pub(super) fn json(findings: &Findings) -> Value {
        let member = |metric: &Self| (metric.name().to_owned(), metric.of(findings).into());
        Value::Object(Self::ALL.iter().map(member).collect::<Map<_, _>>())
    }
}

impl Quantity {
    /// With its article, for messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Share => "a share",
            Self::Count => "a count",
            Self::Bytes => "bytes",
            Self::Time => "a time",
        }
    }

    pub(super) const fn example(self) -> &'static str {
        match self {
            Self::Share => "99.9%",
            Self::Count => "0",
            Self::Bytes => "256B",
            Self::Time => "20ms",
        }
    }

    /// Units as typed, and what they are in the quantity's own.
    pub(super) const fn units(self) -> &'static [(&'static str, f64)] {
        match self {
            Self::Share => &[("%", 0.01), ("", 1.0)],
            Self::Count => &[("", 1.0), ("k", 1e3), ("m", 1e6)],
            Self::Bytes => &[
                ("", 1.0),
                ("B", 1.0),
                ("KiB", 1024.0),
                ("MiB", 1_048_576.0),
                ("GiB", 1_073_741_824.0),
            ],
            Self::Time => &[("us", 1.0), ("ms", 1e3), ("s", 1e6)],
        }
    }

    /// A figure as people read it.
    pub(super) fn say(self, value: f64) -> String {
        match self {
            // Two connections lost of a million are not none.
            Self::Share => format!("{} %", (value * 1e6).floor() / 1e4),
            Self::Count => format!("{value:.0}"),
            Self::Bytes => Unit::Bytes.say(value),
            Self::Time => Unit::Micros.say(value),
        }
    }
}

impl Findings {
    fn hold(&self, pointer: &str) -> Option<f64> {
        number(&self.hold, pointer)
    }

    fn rate(&self, pointer: &str) -> Option<f64> {
        number(self.rate.as_ref()?, pointer)
    }
}

/// Server CPU between the parking of all and the end of the hold, by the answers in that time. The
/// loop runs within it, its warm-up included.
fn cpu_per_request(it: &Findings) -> Option<f64> {
    let stages = it.hold.get("stages")?.as_array()?;
    let beats = number(stages.last()?, "/heartbeats")?;
    let looped = it.rate.as_ref().map_or(Some(0.0), |_| it.rate("/answers/count"))?;
    let answers = beats + looped;
    (answers > 0.0).then_some(it.hold("/server_at_rest/cpu/total_us")? / answers)
}

/// Answers that were wrong, by the names of their faults.
fn wrong(result: &Value) -> Option<f64> {
    let by_name = result.pointer("/faults/by_name")?.as_object()?;
    let count = |name: &&str| by_name.get(*name).and_then(Value::as_f64).unwrap_or(0.0);
    Some(WRONG.iter().map(count).sum())
}

fn number(value: &Value, pointer: &str) -> Option<f64> {
    value.pointer(pointer).and_then(Value::as_f64)
}

/// Letters to change, put in or leave out from one word to another (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (place, its) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *its);
            diagonal = row[place + 1];
            row[place + 1] = changed.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[other.len()]
}

/// Faults of answers.
const WRONG: [&str; 7] = [
    "bad-syntax",
    "head-too-long",
    "truncated",
    "unsolicited",
    "wrong-body",
    "wrong-length",
    "wrong-status",
];
/// Letters by which a name may be off and still be meant.
const NEAR: usize = 2;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Findings, Metric};
    use crate::parked::Footprint;

    fn good() -> Findings {
        let hold = json!({
            "held": 10, "connections": 10, "lost": 0, "generator": { "anonymous_bytes": 2000 },
            "stages": [{ "heartbeats": 20 }],
            "heartbeats": { "count": 20, "latency": { "p99_us": 9 } },
            "faults": { "total": 0, "by_name": {} },
            "server_at_rest": { "cpu": { "total_us": 700.0 } },
        });
        let rate = json!({
            "unanswered": 0,
            "answers": {
                "count": 50, "hit_ratio": 1.0,
                "latency": { "p50_us": 1, "p99_us": 2, "p999_us": 3 },
            },
            "faults": { "total": 0, "by_name": {} },
        });
        let footprint = Footprint {
            connections: 10,
            small_bytes: 0,
            start_bytes: 640,
            warm_bytes: 700,
            parked_bytes: 780,
            slab_bytes: [0, 80_000],
        };
        Findings { hold, rate: Some(rate), footprint: Some(footprint) }
    }

    fn figures(findings: &Findings) -> Vec<(&'static str, Option<f64>)> {
        Metric::ALL.iter().map(|metric| (metric.name(), metric.of(findings))).collect()
    }

    #[test]
    fn each_figure_comes_from_its_own_place() {
        let expected = [
            ("held", 1.0),
            ("lost", 0.0),
            ("wrong", 0.0),
            ("faults", 0.0),
            ("unanswered", 0.0),
            ("hit_ratio", 1.0),
            ("p50", 1.0),
            ("p99", 2.0),
            ("p999", 3.0),
            ("heartbeat_p99", 9.0),
            ("rss_per_conn", 72.0),
            ("slab_per_conn", 8000.0),
            ("generator_per_conn", 200.0),
            ("cpu_per_request", 10.0),
        ];
        assert_eq!(figures(&good()), expected.map(|(name, value)| (name, Some(value))));
        let check = |metric: Metric, pointer: &str, value: Value, expected: f64| {
            let mut findings = good();
            *findings.hold.pointer_mut(pointer).expect("there") = value;
            assert_eq!(metric.of(&findings), Some(expected), "{pointer}");
        };
        check(Metric::Held, "/held", json!(9), 0.9);
        check(Metric::Lost, "/lost", json!(1), 1.0);
        check(Metric::Faults, "/faults/total", json!(3), 3.0);
        let faults = json!({ "wrong-body": 2, "closed-while-parked": 5, "truncated": 1 });
        check(Metric::Wrong, "/faults/by_name", faults, 3.0);
    }

    #[test]
    fn faults_of_the_loop_count_as_well() {
        let mut findings = good();
        let rate = findings.rate.as_mut().expect("there");
        rate["faults"] = json!({ "total": 4, "by_name": { "wrong-status": 4 } });
        assert_eq!(Metric::Faults.of(&findings), Some(4.0));
        assert_eq!(Metric::Wrong.of(&findings), Some(4.0));
    }

    #[test]
    fn a_result_without_figures_has_none() {
        let nothing = Findings { hold: Value::Null, rate: Some(Value::Null), footprint: None };
        assert!(figures(&nothing).iter().all(|(_, figure)| figure.is_none()));
        // Without a loop there is what the hold has.
        let findings = Findings { rate: None, ..good() };
        let missing: Vec<_> =
            figures(&findings).into_iter().filter(|it| it.1.is_none()).map(|it| it.0).collect();
        assert_eq!(missing, ["unanswered", "hit_ratio", "p50", "p99", "p999"]);
        assert_eq!(Metric::CpuPerRequest.of(&findings), Some(35.0));
    }

    #[test]
    fn nearly_everything_is_not_said_as_everything() {
        assert_eq!(Metric::Held.quantity().say(0.999_998), "99.9998 %");
        assert_eq!(Metric::Held.quantity().say(1.0), "100 %");
        assert_eq!(Metric::Held.quantity().say(0.999_999_9), "99.9999 %");
    }
}
