//! `cargo xtask bench micro`: the parts of a server's work, each measured alone.

use longhold_capacity::coefficients::Basis;
use longhold_capacity::{Coefficients, HitCost, Key, Range};
use serde_json::Value;

use super::{list, number};

/// What the parts cost, seconds; what was not measured is missing.
#[derive(Debug)]
pub(super) struct Micro {
    parts: Vec<(Key, Range)>,
    sends: Vec<HitCost>,
    /// Misses through the whole edge, beyond hits of their size.
    fetches: Vec<HitCost>,
    /// An exchange on a connection whose receive is armed, on one that is parked, and on one that
    /// is parked while its worker sleeps: told, read, answered, waited again.
    exchanges: [Option<HitCost>; 3],
}

impl Micro {
    /// Reads a result; nothing when it names no part that the model has.
    pub(super) fn read(result: &Value) -> Option<Self> {
        let rows = || list(result, "rows").filter_map(Row::read);
        let cost = |case: &str| rows().find(|row| row.case == case).map(|row| row.cost);
        let mut parts = tls(result);
        parts.extend(cost("accept and close").map(|cost| (Key::Accept, cost.cpu_s)));
        let sends: Vec<_> = rows().filter(|row| row.case == "send").map(|row| row.cost).collect();
        let exchanges =
            ["exchange, receive armed", "exchange, parked", "heartbeat, worker asleep"].map(cost);
        let fetches = list(result, "misses").filter_map(fetch).collect();
        let found = Self { parts, sends, fetches, exchanges };
        let has_any =
            !found.parts.is_empty() || !found.sends.is_empty() || !found.fetches.is_empty();
        has_any.then_some(found)
    }

    /// Puts them in the place of the built-in figures: each exchange has one part more than the one
    /// before.
    pub(super) fn teach(&self, table: &mut Coefficients, source: &str) {
        let set = |table: &mut Coefficients, key, cost| {
            let _is_sound = table.set(key, cost, Basis::Measured, source);
        };
        self.parts.iter().for_each(|&(key, cost)| set(table, key, cost));
        let _is_taken = table.take_sends(&self.sends, source);
        let _is_taken = table.take_fetches(&self.fetches, source);
        let mut known = table.value(Key::Send).likely;
        for (key, exchange) in [Key::Wake, Key::Park, Key::Sleep].into_iter().zip(self.exchanges) {
            let Some(HitCost { bytes, cpu_s }) = exchange else { return };
            let sent = table.value(Key::SendKib).likely * bytes / 1024.0;
            set(table, key, less(cpu_s, known + sent));
            known += table.value(key).likely;
        }
    }
}

/// One case of the bench.
struct Row<'a> {
    case: &'a str,
    cost: HitCost,
}

impl<'a> Row<'a> {
    fn read(row: &'a Value) -> Option<Self> {
        let case = row.get("case")?.as_str()?;
        let seconds = |key: &str| number(row, &format!("/ns/{key}")).map(|ns| ns / 1e9);
        let cpu_s = Range::of([seconds("low")?, seconds("median")?, seconds("high")?]);
        let bytes = number(row, "/size_bytes").unwrap_or_default();
        Some(Self { case, cost: HitCost { bytes, cpu_s } })
    }
}

/// A size of the misses.
fn fetch(row: &Value) -> Option<HitCost> {
    let seconds = |key: &str| number(row, &format!("/us/{key}")).map(|us| us / 1e6);
    let cpu_s = Range::of([seconds("min")?, seconds("median")?, seconds("max")?]);
    Some(HitCost { bytes: number(row, "/size_bytes")?, cpu_s })
}

/// Handshakes, records and keys, of the suite that is agreed on.
fn tls(result: &Value) -> Vec<(Key, Range)> {
    let agreed = result.pointer("/tls/agreed").and_then(Value::as_str).unwrap_or_default();
    let cost = |case: &str| {
        let rows = result.pointer("/tls/rows").and_then(Value::as_array).into_iter().flatten();
        let mut rows = rows.filter(|row| row["case"] == case);
        let row = rows.find(|row| row["suite"] == agreed)?;
        Some((number(row, "/ours_ns")? / 1e9, number(row, "/other_ns")? / 1e9))
    };
    let mut parts = Vec::new();
    let full = cost("handshake, full (P-256)").map(|(ours, _)| ours);
    if let (Some(full), Some((resumed, _))) = (full, cost("handshake, resumed")) {
        let range = Range::new(full.min(resumed), full, full.max(resumed));
        parts.push((Key::Handshake, range));
    }
    let sealed = |bytes: u32| cost(&format!("seal {bytes}")).map(|(ours, _)| ours);
    if let (Some(small), Some(medium), Some(large)) =
        (sealed(1 << 10), sealed(16 << 10), sealed(1 << 20))
    {
        let slopes = [(medium - small) / 15.0, (large - small) / 1023.0].map(|it| it.max(0.0));
        let [by_medium, by_large] = slopes;
        let seal = Range::new(
            by_medium.min(by_large),
            by_medium.midpoint(by_large),
            by_medium.max(by_large),
        );
        parts.push((Key::SealKib, seal));
        if let Some((waking, steady)) = cost("request on waking, 1 KiB") {
            let record = (steady - seal.likely).max(0.0);
            parts.push((Key::Record, Range::exact(record)));
            parts.push((Key::RecordWake, Range::exact((waking - steady).max(0.0))));
        }
    }
    parts
}

/// Less a known part, and never below zero.
fn less(range: Range, part: f64) -> Range {
    range.each(|value| (value - part).max(0.0))
}

#[cfg(test)]
mod tests {
    use longhold_capacity::{Coefficients, Key};
    use serde_json::{Value, json};

    use super::Micro;

    fn row(case: &str, size_bytes: Option<u64>, us: f64) -> Value {
        let ns = json!({ "low": us * 900.0, "median": us * 1000.0, "high": us * 1200.0 });
        json!({ "case": case, "size_bytes": size_bytes, "among": 64, "ns": ns })
    }

    fn of_suite(case: &str, suite: &str, [ours, other]: [f64; 2]) -> Value {
        json!({ "case": case, "suite": suite, "ours_ns": ours, "other_ns": other })
    }

    fn taught(result: &Value) -> Coefficients {
        let mut table = Coefficients::longhold();
        Micro::read(result).expect("it has parts").teach(&mut table, "a test");
        table
    }

    fn check(table: &Coefficients, key: Key, us: f64) {
        let found = table.value(key).likely * 1e6;
        assert!((found - us).abs() < 1e-6, "{key:?}: {found} for {us}");
    }

    #[test]
    fn parts_of_a_wake_and_a_send_are_taken_apart() {
        let table = taught(&json!({ "bench": "micro", "rows": [
            row("exchange, receive armed", Some(1024), 6.5),
            row("exchange, parked", Some(1024), 9.5),
            row("send", Some(1024), 2.5),
            row("send", Some(102_400), 22.3),
            row("heartbeat, worker asleep", Some(1024), 19.5),
            row("accept and close", None, 12.0),
            row("timer set", None, 0.1),
        ]}));
        check(&table, Key::Wake, 4.0);
        check(&table, Key::Park, 3.0);
        check(&table, Key::SendKib, 0.2);
        check(&table, Key::Send, 2.3);
        check(&table, Key::Sleep, 10.0);
        check(&table, Key::Accept, 12.0);
        let wake = table.value(Key::Wake);
        assert!((wake.low * 1e6 - 3.35).abs() < 1e-6 && (wake.high * 1e6 - 5.3).abs() < 1e-6);
        let usual = Coefficients::longhold();
        assert_eq!(table.value(Key::Handshake), usual.value(Key::Handshake), "not measured");
    }

    #[test]
    fn misses_are_a_fetch_and_a_kib_of_it() {
        let row = |size_bytes: u64, us: f64| {
            let spread = json!({ "min": us * 0.9, "median": us, "max": us * 1.2 });
            json!({ "size_bytes": size_bytes, "us": spread })
        };
        let table = taught(&json!({ "bench": "micro", "misses": [
            row(102_400, 90.0), row(1024, 40.5),
        ]}));
        check(&table, Key::FetchKib, 0.5);
        check(&table, Key::Fetch, 40.0);
        let fetch = table.value(Key::Fetch);
        assert!((fetch.low * 1e6 - 35.95).abs() < 1e-6, "{fetch:?}");
        assert!((fetch.high * 1e6 - 48.1).abs() < 1e-6, "{fetch:?}");
    }

    #[test]
    fn tls_is_that_of_the_suite_that_is_agreed_on() {
        let row = |case, suite, ours, other| of_suite(case, suite, [ours, other]);
        let table = taught(&json!({ "bench": "micro", "tls": { "agreed": "B", "rows": [
            row("handshake, full (P-256)", "B", 160e3, 170e3),
            row("handshake, resumed", "B", 140e3, 150e3),
            row("seal 1024", "A", 1.0, 1.0),
            row("seal 1024", "B", 300.0, 1.0),
            row("seal 16384", "B", 2550.0, 1.0),
            row("seal 1048576", "B", 153_750.0, 1.0),
            row("request on waking, 1 KiB", "A", 9.0, 1.0),
            row("request on waking, 1 KiB", "B", 2000.0, 650.0),
        ]}}));
        check(&table, Key::Handshake, 160.0);
        check(&table, Key::SealKib, 0.15);
        check(&table, Key::Record, 0.5);
        check(&table, Key::RecordWake, 1.35);
    }

    #[test]
    fn what_has_no_part_of_the_model_is_no_result() {
        for result in [json!({}), json!({ "rows": [row("timer set", None, 1.0)] })] {
            assert!(Micro::read(&result).is_none(), "{result}");
        }
    }
}
