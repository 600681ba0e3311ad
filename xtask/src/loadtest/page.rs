//! A load test as one HTML file that needs nothing beside it.

use longhold_report::{
    Axis, Bar, Cell, Chart, Curve, Fact, Line, Lines, Page, Side, Table, Tone, Unit, Verdict, bars,
    distribution,
};
use serde_json::Value;

use super::Tested;
use super::metric::{Findings, Metric};

/// The page of a test.
pub(super) fn of(tested: &Tested) -> String {
    let Tested { host, profile, findings, verdicts, .. } = tested;
    let mut page = Page::new(&format!("Load test {}", profile.name));
    let passed = verdicts.iter().all(|verdict| verdict.passed);
    let outcome = if passed { Fact::new } else { Fact::alarm };
    let mut facts = vec![outcome("outcome", if passed { "passed" } else { "FAILED" })];
    facts.extend(host.facts());
    facts.push(Fact::new("load", &tested.load()));
    page.facts(&facts);
    let verdict = |it: &super::assertion::Verdict| Verdict {
        passed: it.passed,
        wanted: it.assertion.clone(),
        found: it.found_text.clone(),
    };
    page.verdicts(&verdicts.iter().map(verdict).collect::<Vec<_>>());
    page.heading("Over time");
    page.charts(&over_time(&findings.hold));
    page.heading("Latency");
    page.charts(&[latencies(findings)]);
    page.heading("Stages");
    page.table(&stages(tested));
    faults(&mut page, findings);
    page.heading("All figures");
    page.table(&figures(findings));
    NOTES.iter().for_each(|note| page.note(note));
    page.html()
}

fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A line of the series: what `of` makes of each point.
fn line(name: &str, side: Side, series: &[Value], of: impl Fn(&Value) -> f64) -> Line {
    let point = |it: &Value| (number(it, "/at_ms") / 1e3, of(it));
    Line::new(name, side, series.iter().map(point))
}

/// A line of how fast something counts, per second: over two seconds or more, since costs were read
/// up to a second before their point, but for those at a rest's ends.
fn pace(name: &str, side: Side, series: &[Value], pointer: &str, unit: f64) -> Line {
    let mut points = Vec::new();
    let mut before = series.first();
    for after in series {
        let Some(last) = before else { break };
        let grown = |pointer: &str| number(after, pointer) - number(last, pointer);
        let seconds = grown("/at_ms") / 1e3;
        if seconds >= PACE_S_MIN {
            points.push((number(after, "/at_ms") / 1e3, grown(pointer) / unit / seconds));
            before = Some(after);
        }
    }
    Line::new(name, side, points)
}

fn over_time(hold: &Value) -> [Chart; 4] {
    let series = list(hold, "series");
    let of = |pointer: &'static str| move |point: &Value| number(point, pointer);
    let (left, right) = (Side::Left, Side::Right);
    let count = Axis::linear(Unit::Count);
    let bytes = Axis::linear(Unit::Bytes);
    [
        Lines::over_time("Connections", count)
            .and_right(count)
            .with(line("held", left, series, of("/held")))
            .with(line("lost", right, series, of("/lost")))
            .with(line("faults", right, series, of("/faults")))
            .chart(),
        Lines::over_time("Memory", bytes)
            .and_right(bytes)
            .with(line("edge, allocated", left, series, of("/server/anonymous_bytes")))
            .with(line("edge, proportional", left, series, of("/server/proportional_bytes")))
            .with(line("generator", left, series, of("/generator_anonymous_bytes")))
            .with(line("slab of the machine", right, series, of("/slab_bytes")))
            .chart(),
        Lines::over_time("Answers per second", count)
            .and_right(count)
            .with(pace("answers", left, series, "/answers", 1.0))
            .with(pace("busy cores of the edge", right, series, "/server/cpu_us", 1e6))
            .chart(),
        Lines::over_time("Latency of the held connections", Axis::logarithmic(Unit::Micros))
            .with(line("median", left, series, of("/p50_us")))
            .with(line("99th percentile", left, series, of("/p99_us")))
            .chart(),
    ]
}

fn latencies(findings: &Findings) -> Chart {
    let curve = |name: &str, latency: &Value| {
        let points = [(0.0, "/min_us"), (0.5, "/p50_us"), (0.9, "/p90_us"), (0.99, "/p99_us")];
        let mut points: Vec<_> = points.map(|(at, name)| (at, number(latency, name))).into();
        let count = number(latency, "/count");
        // The slowest is one in all of them; few have no slowest thousandth.
        if count > 1000.0 {
            points.push((0.999, number(latency, "/p999_us")));
        }
        points.push((1.0 - 1.0 / count, number(latency, "/max_us")));
        Curve::new(name, points)
    };
    let of = |result: &Value, pointer: &str| result.pointer(pointer).cloned().unwrap_or_default();
    let mut curves = vec![
        curve("first answers", &of(&findings.hold, "/first/latency")),
        curve("heartbeats", &of(&findings.hold, "/heartbeats/latency")),
    ];
    if let Some(rate) = &findings.rate {
        curves.push(curve("hits in the loop", &of(rate, "/answers/latency")));
    }
    distribution("One in so many answers is slower", &curves)
}

fn stages(tested: &Tested) -> Table {
    let headings = [
        "connections",
        "held",
        "lost",
        "opened/s",
        "heartbeats",
        "p99",
        "edge, CPU time",
        "allocated",
        "proportional",
        "sockets",
        "slab of all ends, each",
        "generator, each",
    ];
    let slab_start = number(&tested.findings.hold, "/server/kernel_before/slab_bytes");
    let (mut before, mut cpu_before_us) = (0.0, 0.0);
    let row = |stage: &Value| {
        let of = |pointer: &str| number(stage, pointer);
        let count = |value: f64| Cell::Text(format!("{value:.0}"));
        let connections = of("/connections");
        let opened = (connections - before) * 1e3 / of("/ramp_ms").max(1.0);
        before = connections;
        let cpu_us = of("/server/cpu_us") - cpu_before_us;
        cpu_before_us = of("/server/cpu_us");
        let slab = (of("/slab_bytes") - slab_start) / connections;
        let generator = of("/generator_anonymous_bytes") / connections;
        vec![
            count(connections),
            count(of("/held")),
            count(of("/lost")),
            count(opened),
            count(of("/heartbeats")),
            Cell::Amount(Unit::Micros, of("/p99_us")),
            Cell::Amount(Unit::Micros, cpu_us),
            Cell::Amount(Unit::Bytes, of("/server/anonymous_bytes")),
            Cell::Amount(Unit::Bytes, of("/server/proportional_bytes")),
            count(of("/sockets")),
            Cell::Amount(Unit::Bytes, slab),
            Cell::Amount(Unit::Bytes, generator),
        ]
    };
    let rows = list(&tested.findings.hold, "stages").iter().map(row).collect();
    Table { headings: headings.map(str::to_owned).into(), rows }
}

/// What went wrong, by name, and the first that did.
fn faults(page: &mut Page, findings: &Findings) {
    let mut all = Vec::new();
    let mut examples = Vec::new();
    let loads = [("hold", Some(&findings.hold)), ("loop", findings.rate.as_ref())];
    for (load, result) in loads {
        let Some(faults) = result.and_then(|result| result.get("faults")) else { continue };
        let by_name = faults.get("by_name").and_then(Value::as_object);
        for (name, count) in by_name.into_iter().flatten() {
            let count = count.as_f64().unwrap_or(f64::NAN);
            let (label, tone) = (format!("{load}: {name}"), Tone::Older);
            all.push(Bar { label, median: count, least: count, greatest: count, tone });
        }
        for example in list(faults, "examples") {
            let text = |key: &str| {
                let value = &example[key];
                Cell::Text(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            };
            let row = ["at_ms", "connection", "fault", "detail"].map(text);
            examples.push([Cell::Text(load.to_owned())].into_iter().chain(row).collect());
        }
    }
    page.heading("What went wrong");
    if all.is_empty() {
        return page.note("Nothing.");
    }
    page.charts(&[bars("Faults", "each connection or answer once", &all)]);
    let headings = ["load", "at ms", "connection", "fault", "detail"].map(str::to_owned).into();
    page.table(&Table { headings, rows: examples });
}

fn figures(findings: &Findings) -> Table {
    let row = |metric: &Metric| {
        let found = metric.of(findings);
        let said = found.map_or_else(|| "–".to_owned(), |found| metric.quantity().say(found));
        vec![
            Cell::Text(metric.name().to_owned()),
            Cell::Text(said),
            Cell::Prose(metric.about().to_owned()),
        ]
    };
    let headings = ["figure", "found", "what it is"].map(str::to_owned).into();
    Table { headings, rows: Metric::ALL.iter().map(row).collect() }
}

const PACE_S_MIN: f64 = 1.9;
const NOTES: [&str; 3] = [
    "Edge, origin and clients are on one machine: slab and sockets are those of all ends, and \
     the edge shares its processor with the clients.",
    "Each connection has made one verified request before it rests, and makes one per heartbeat \
     interval while it does; every byte of every answer is compared. The loop asks for one cached \
     object again and again meanwhile, as fast as it is answered.",
    "“Allocated” is anonymous memory: what the process itself asked for and touched. \
     “Proportional” has its share of mapped files as well, the store among them.",
];
