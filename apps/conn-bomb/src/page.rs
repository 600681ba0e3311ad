//! A load's result as one HTML file that needs nothing beside it: whatever load it was of, the
//! parts that it has.

use longhold_report::{
    Axis, Bar, Cell, Chart, Curve, Fact, Line, Lines, Page, Side, Table, Tone, Unit, Verdict, bars,
    distribution,
};
use serde_json::Value;

/// The page of a result as it is printed with `--json`. `passed`: what the exit code says.
pub(crate) fn of(result: &Value, passed: bool) -> String {
    let text = |key: &str| result.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut page = Page::new(&format!("conn-bomb {}", text("load")));
    let outcome = match (passed, text("load")) {
        (false, _) => Fact::alarm("outcome", "NOT ALL RIGHT"),
        // Those that behave badly are told about, not judged.
        (true, "storm") => Fact::new("outcome", "carried out; see how they ended"),
        (true, _) => Fact::new("outcome", "everything was answered right"),
    };
    let mut facts = vec![outcome, Fact::new("target", text("url"))];
    facts.extend(FIGURES.iter().filter_map(|(pointer, name, unit)| {
        let value = result.pointer(pointer)?.as_f64()?;
        let factor = if *unit == Unit::Percent { 100.0 } else { 1.0 };
        Some(Fact::new(name, &unit.say(value * factor)))
    }));
    page.facts(&facts);
    page.verdicts(&verdicts(result));
    let series = list(result, "series");
    if series.len() > 1 {
        page.heading("Over time");
        page.charts(&over_time(series));
    }
    let counted = |(pointer, title, unit): &(&str, &str, &str)| {
        let counts = result.pointer(pointer)?.as_object()?;
        Some(bars(title, unit, &counts.iter().filter_map(count_bar).collect::<Vec<_>>()))
    };
    let endings: Vec<_> = COUNTED.iter().filter_map(counted).collect();
    if !endings.is_empty() {
        page.heading("How they ended");
        page.charts(&endings);
    }
    let curves: Vec<_> = CURVES.iter().filter_map(|(name, at)| curve(name, result, at)).collect();
    if !curves.is_empty() {
        page.heading("Latency");
        page.charts(&[distribution("One in so many is slower", &curves)]);
    }
    for (key, title) in [("stages", "Stages"), ("steps", "Steps"), ("waves", "Waves")] {
        let rows = list(result, key);
        if !rows.is_empty() {
            page.heading(title);
            page.table(&table(rows));
        }
    }
    faults(&mut page, result);
    // Those that behave badly look at no answer, but for the pipelining.
    if text("load") != "storm" {
        page.note(
            "Status, length and every byte of each answer were compared with what they must be.",
        );
    }
    page.note(
        "Slab and sockets are those of the whole machine, both ends of loopback connections.",
    );
    page.html()
}

/// What a load is expected to come to, as far as its result says.
fn verdicts(result: &Value) -> Vec<Verdict> {
    let count = |pointer: &str| result.pointer(pointer).and_then(Value::as_u64);
    let mut verdicts = Vec::new();
    if let (Some(held), Some(connections)) = (count("/held"), count("/connections")) {
        verdicts.push(Verdict {
            passed: held == connections,
            wanted: format!("{connections} connections held"),
            found: held.to_string(),
        });
    }
    if let (Some(count), Some(scheduled)) = (count("/answers/count"), count("/scheduled")) {
        verdicts.push(Verdict {
            passed: count == scheduled,
            wanted: format!("{scheduled} requests answered right"),
            found: count.to_string(),
        });
    }
    if let Some(faults) = count("/faults/total") {
        let (wanted, found) = ("no faults".to_owned(), faults.to_string());
        verdicts.push(Verdict { passed: faults == 0, wanted, found });
    }
    verdicts
}

fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn over_time(series: &[Value]) -> Vec<Chart> {
    let line = |name: &str, side, pointer: &str| {
        let point = |it: &Value| (number(it, "/at_ms") / 1e3, number(it, pointer));
        Line::new(name, side, series.iter().map(point))
    };
    // How much something grows by while something else grows by one.
    let pace = |name: &str, side, pointer: &str, by: &str, unit: f64| {
        let point = |pair: &[Value]| {
            let [before, after] = pair else { return (f64::NAN, f64::NAN) };
            let grown = |pointer: &str| number(after, pointer) - number(before, pointer);
            (number(after, "/at_ms") / 1e3, grown(pointer) / (grown(by) * unit))
        };
        Line::new(name, side, series.windows(2).map(point))
    };
    let (left, right) = (Side::Left, Side::Right);
    let (count, bytes) = (Axis::linear(Unit::Count), Axis::linear(Unit::Bytes));
    let answered = series.last().is_some_and(|last| number(last, "/answers") > 0.0);
    let mut charts = vec![
        Lines::over_time("Connections", count)
            .and_right(count)
            .with(line("held", left, "/held"))
            .with(line("lost", right, "/lost"))
            .with(line("faults", right, "/faults"))
            .chart(),
        Lines::over_time("Memory", bytes)
            .and_right(bytes)
            .with(line("server, allocated", left, "/server/anonymous_bytes"))
            .with(line("server, proportional", left, "/server/proportional_bytes"))
            .with(line("this load", left, "/generator_anonymous_bytes"))
            .with(line("slab of the machine", right, "/slab_bytes"))
            .chart(),
    ];
    let answers = || {
        [
            Lines::over_time("Answers per second", count)
                .and_right(count)
                .with(pace("answers", left, "/answers", "/at_ms", 1e-3))
                .with(pace(
                    "busy cores of the server",
                    right,
                    "/server/cpu_us",
                    "/server/read_ms",
                    1e3,
                ))
                .chart(),
            Lines::over_time("Latency", Axis::logarithmic(Unit::Micros))
                .with(line("median", left, "/p50_us"))
                .with(line("99th percentile", left, "/p99_us"))
                .chart(),
        ]
    };
    if answered {
        charts.extend(answers());
    }
    charts
}

fn curve(name: &str, result: &Value, pointer: &str) -> Option<Curve> {
    let latency = result.pointer(pointer)?;
    let count = number(latency, "/count");
    let points = [
        (0.0, "/min_us"),
        (0.5, "/p50_us"),
        (0.9, "/p90_us"),
        (0.99, "/p99_us"),
        (0.999, "/p999_us"),
        (1.0 - 1.0 / count, "/max_us"),
    ];
    // Few have no slowest thousandth; the slowest is one in all of them.
    let drawn = points.into_iter().filter(|(at, _)| *at <= 1.0 - 1.0 / count);
    (count > 0.0).then(|| Curve::new(name, drawn.map(|(at, key)| (at, number(latency, key)))))
}

/// A column for each figure of the rows.
fn table(rows: &[Value]) -> Table {
    let mut columns = Vec::new();
    if let Some(row) = rows.first() {
        flatten("", row, &mut columns);
    }
    columns.retain(|(pointer, _)| {
        let is_part = PARTS.iter().any(|part| pointer.starts_with(part));
        !is_part || FIRST.contains(&pointer.as_str())
    });
    let place = |pointer: &str| FIRST.iter().position(|first| *first == pointer);
    columns.sort_by_key(|(pointer, _)| place(pointer).unwrap_or(FIRST.len()));
    let cells = |row: &Value| columns.iter().map(|(pointer, _)| cell(row, pointer)).collect();
    Table {
        headings: columns.iter().map(|(pointer, _)| heading(pointer)).collect(),
        rows: rows.iter().map(cells).collect(),
    }
}

/// The numbers within `value` by their pointers.
fn flatten(at: &str, value: &Value, out: &mut Vec<(String, f64)>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                flatten(&format!("{at}/{name}"), field, out);
            }
        }
        Value::Number(number) => out.push((at.to_owned(), number.as_f64().unwrap_or(f64::NAN))),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) => {}
    }
}

/// `/server/cpu_us` as words, its unit left to the cells.
fn heading(pointer: &str) -> String {
    let words = pointer.trim_start_matches('/').replace("answers/", "").replace('/', ", ");
    let (name, _) = unit_of(&words);
    name.replace('_', " ")
}

fn cell(row: &Value, pointer: &str) -> Cell {
    match (unit_of(pointer).1, number(row, pointer)) {
        (Some((unit, factor)), value) => Cell::Amount(unit, value * factor),
        (None, value) if value.fract() == 0.0 => Cell::Text(format!("{value:.0}")),
        (None, value) => Cell::Number(value),
    }
}

/// What a figure is called, and what it is counted in by its name.
fn unit_of(name: &str) -> (&str, Option<(Unit, f64)>) {
    let units =
        [("_bytes", Unit::Bytes, 1.0), ("_us", Unit::Micros, 1.0), ("_ms", Unit::Micros, 1e3)];
    units
        .into_iter()
        .find_map(|(suffix, unit, factor)| {
            name.strip_suffix(suffix).map(|name| (name, Some((unit, factor))))
        })
        .unwrap_or((name, None))
}

/// What went wrong, by name, and the first that did.
fn faults(page: &mut Page, result: &Value) {
    let by_name = result.pointer("/faults/by_name").and_then(Value::as_object);
    let all: Vec<_> = by_name.into_iter().flatten().filter_map(count_bar).collect();
    page.heading("What went wrong");
    if all.is_empty() {
        return page.note("Nothing.");
    }
    page.charts(&[bars("Faults", "each connection or answer once", &all)]);
    let row = |example: &Value| {
        let text = |key: &str| {
            let value = &example[key];
            Cell::Text(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        ["at_ms", "connection", "fault", "detail"].map(text).into()
    };
    let headings = ["at ms", "connection", "fault", "detail"].map(str::to_owned).into();
    let rows = list(&result["faults"], "examples").iter().map(row).collect();
    page.table(&Table { headings, rows });
}

/// A bar for what was counted at all.
fn count_bar((name, count): (&String, &Value)) -> Option<Bar> {
    let count = count.as_f64().filter(|count| *count > 0.0)?;
    let (label, tone) = (name.clone(), Tone::Older);
    Some(Bar { label, median: count, least: count, greatest: count, tone })
}

/// Columns that stand first, in this order.
const FIRST: [&str; 17] = [
    "/connections",
    "/per_second",
    "/scheduled",
    "/held",
    "/lost",
    "/heartbeats",
    "/p50_us",
    "/p99_us",
    "/answers_per_s",
    "/answers/hit_ratio",
    "/answers/latency/p50_us",
    "/answers/latency/p99_us",
    "/answers/latency/p999_us",
    "/wait/p99_us",
    "/failed",
    "/unsent",
    "/unanswered",
];
/// Of these, only those columns are shown.
const PARTS: [&str; 4] = ["/answers/", "/wait/", "/late/", "/server/read_ms"];

/// What is counted by kinds of its own.
const COUNTED: [(&str, &str, &str); 2] = [
    ("/endings", "Endings", "each connection once"),
    ("/statuses", "First answers", "by their status"),
];

/// Figures that stand at the top, of those loads that have them.
const FIGURES: [(&str, &str, Unit); 12] = [
    ("/connections", "connections", Unit::Count),
    ("/peers", "peers", Unit::Count),
    ("/held", "held", Unit::Count),
    ("/lost", "lost", Unit::Count),
    ("/first/count", "first answers verified", Unit::Count),
    ("/heartbeats/count", "heartbeats verified", Unit::Count),
    ("/answers/count", "answers verified", Unit::Count),
    ("/answers_per_s", "answers per second", Unit::Count),
    ("/answers/hit_ratio", "hits by Cache-Status", Unit::Percent),
    ("/cpu_per_answer_us/total", "server's CPU per answer", Unit::Micros),
    ("/generator/anonymous_bytes", "this load's memory, at most", Unit::Bytes),
    ("/generator/cpu_us", "this load's CPU time", Unit::Micros),
];

/// Latencies of those loads that have them.
const CURVES: [(&str, &str); 6] = [
    ("connects", "/connect"),
    ("first answers", "/first/latency"),
    ("heartbeats", "/heartbeats/latency"),
    ("answers", "/answers/latency"),
    ("waits for a connection", "/wait"),
    ("borne by the server", "/borne"),
];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::of;

    fn latency() -> Value {
        json!({"count": 30, "min_us": 9, "mean_us": 20, "p50_us": 15, "p90_us": 40, "p99_us": 80,
               "p999_us": 99, "max_us": 99})
    }

    fn point(at_ms: u64, held: u64) -> Value {
        json!({"at_ms": at_ms, "opened": held, "held": held, "lost": 1, "answers": held * 3,
               "faults": 1, "p50_us": 15, "p99_us": 80, "server": null, "slab_bytes": 1,
               "sockets": 2, "generator_anonymous_bytes": 4096})
    }

    #[test]
    fn a_hold_has_charts_stages_and_its_losses() {
        let result = json!({
            "load": "hold", "url": "http://127.0.0.1/<x>", "connections": 31, "held": 30,
            "first": {"count": 30, "latency": latency()}, "connect": latency(),
            "series": [point(0, 0), point(1000, 30)],
            "stages": [{"connections": 31, "held": 30, "ramp_ms": 1200, "p99_us": 80,
                        "server": {"anonymous_bytes": 1_048_576}}],
            "faults": {"total": 1, "by_name": {"truncated": 1}, "examples": [
                {"at_ms": 17, "connection": 4, "fault": "truncated", "detail": "a & b"}]},
        });
        let page = of(&result, false);
        for wanted in [
            "conn-bomb hold",
            "http://127.0.0.1/&lt;x&gt;",
            "31 connections held",
            "NOT ALL RIGHT",
            "Connections",
            "Memory",
            "server, anonymous",
            "1.2\u{a0}s",
            "truncated",
            "a &amp; b",
        ] {
            assert!(page.contains(wanted), "{wanted} in {page}");
        }
        assert_eq!(page.matches("<svg").count(), 6, "four over time, latencies, faults");
        assert!(!page.contains("<x>") && !page.contains("NaN"), "{page}");
    }

    #[test]
    fn loads_without_stages_or_a_series_have_a_page_too() {
        let row = [point(0, 1), point(1500, 7)];
        let headings = super::table(&row).headings;
        assert_eq!(headings[..3], ["held", "lost", "p50"], "{headings:?}");
        let step = json!({ "per_second": 500, "for_ms": 3000, "wait": latency(), "late": latency(),
                           "answers": {"count": 30, "hit_ratio": 0.5, "latency": latency()} });
        let headings = super::table(&[step]).headings;
        let expected = ["per second", "hit ratio", "latency, p50", "latency, p99", "latency, p999"];
        assert_eq!(headings[..5], expected, "{headings:?}");
        assert_eq!(headings[5..], ["wait, p99", "for"], "{headings:?}");
        let result = json!({
            "load": "rate", "url": "http://127.0.0.1/",
            "answers": {"count": 30, "hit_ratio": 0.991, "latency": latency()},
            "faults": {"total": 0, "by_name": {}, "examples": []},
        });
        let page = of(&result, true);
        assert!(page.contains("answers verified") && page.contains("Nothing."), "{page}");
        assert!(page.contains("99.1\u{a0}%"), "{page}");
        assert_eq!(page.matches("<svg").count(), 1);
        let storm = json!({
            "load": "storm", "endings": { "closed": 900, "reset": 0 }, "statuses": { "400": 91 },
            "series": [point(0, 0), point(1000, 0)],
        });
        let storm = of(&storm, true);
        for wanted in ["conn-bomb storm", "see how they ended", ">closed<", ">400<", ">91<"] {
            assert!(storm.contains(wanted), "{wanted} in {storm}");
        }
        assert!(!storm.contains("every byte") && !storm.contains(">reset<"), "{storm}");
        assert_eq!(
            storm.matches("<svg").count(),
            4,
            "connections, memory, two of endings: {storm}"
        );
        assert!(page.contains("every byte"), "{page}");
    }
}
