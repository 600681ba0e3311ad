//! The registry of all threads' cells, and `/metrics`.
//!
//! Counters and gauges are published into the `metrics` facade as absolute values, once per render,
//! and rendered by `metrics-exporter-prometheus`. That exporter builds histograms only out of
//! single samples, which it buffers until somebody drains them; ours are counted already, so their
//! text is appended here, in the same exposition format.

use std::fmt::Write as _;
use std::sync::Arc;

use metrics::{Key, Label, Level, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder, formatting};

use crate::counters::{Cells, Snapshot, WorkerCounters};
use crate::names::{Counter, Gauge, Histogram, Row, Unit};

/// What was built; exported as the labels of `longhold_build_info`.
#[derive(Clone, Copy, Debug)]
pub struct BuildInfo<'a> {
    /// Version of the program.
    pub version: &'a str,
    /// Commit it was built from, or "unknown".
    pub commit: &'a str,
}

/// All threads' cells and the exporter behind `/metrics`. Fixed in size (TM-2).
pub struct Registry {
    sets: Vec<Arc<Cells>>,
    counters: Vec<metrics::Counter>,
    gauges: Vec<metrics::Gauge>,
    recorder: PrometheusRecorder,
}

impl Registry {
    /// Makes `threads` sets of cells and hands each out once: to the workers, to the fill threads,
    /// and one to whoever publishes the process' own totals.
    #[must_use]
    pub fn new(threads: usize, build: &BuildInfo<'_>) -> (Self, Vec<WorkerCounters>) {
        let sets: Vec<_> = (0..threads).map(|_| Arc::new(Cells::new())).collect();
        let writers = sets.iter().map(|set| WorkerCounters::new(Arc::clone(set))).collect();
        let recorder = PrometheusBuilder::new().build_recorder();
        let counters = Counter::ALL.iter().map(|it| counter(&recorder, it.row())).collect();
        let gauges = Gauge::ALL.iter().map(|it| gauge(&recorder, it.row())).collect();
        register_build(&recorder, build);
        (Self { sets, counters, gauges, recorder }, writers)
    }

    /// Sums all sets: O(threads × metrics), some microseconds.
    #[must_use]
    pub fn sum(&self) -> Snapshot {
        Snapshot::of(&self.sets)
    }

    /// Brings the facade's counters and gauges up to date and returns what was published.
    pub fn publish(&self) -> Snapshot {
        let snapshot = self.sum();
        for (id, handle) in Counter::ALL.iter().zip(&self.counters) {
            handle.absolute(snapshot.counter(*id));
        }
        for (id, handle) in Gauge::ALL.iter().zip(&self.gauges) {
            handle.set(snapshot.gauge(*id) as f64);
        }
        snapshot
    }

    /// The Prometheus text (exposition format 0.0.4) of this moment. Also runs the exporter's
    /// upkeep, so nothing gathers between scrapes.
    #[must_use]
    pub fn render(&self) -> String {
        let snapshot = self.publish();
        let exporter = self.recorder.handle();
        exporter.run_upkeep();
        let mut text = exporter.render();
        write_histograms(&mut text, &snapshot);
        text
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("threads", &self.sets.len()).finish_non_exhaustive()
    }
}

/// The media type of [`Registry::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

fn counter(recorder: &PrometheusRecorder, row: &'static Row) -> metrics::Counter {
    recorder.describe_counter(row.name.into(), Some(unit(row)), row.help.into());
    recorder.register_counter(&key(row), &METADATA)
}

fn gauge(recorder: &PrometheusRecorder, row: &'static Row) -> metrics::Gauge {
    recorder.describe_gauge(row.name.into(), Some(unit(row)), row.help.into());
    recorder.register_gauge(&key(row), &METADATA)
}

fn register_build(recorder: &PrometheusRecorder, build: &BuildInfo<'_>) {
    let labels = vec![
        Label::new("version", build.version.to_owned()),
        Label::new("commit", build.commit.to_owned()),
    ];
    recorder.describe_gauge(
        BUILD_INFO.into(),
        Some(metrics::Unit::Count),
        SharedString::const_str("What runs; always 1."),
    );
    recorder.register_gauge(&Key::from_parts(BUILD_INFO, labels), &METADATA).set(1.0);
}

fn key(row: &'static Row) -> Key {
    let labels = row.label.iter().map(|(key, value)| Label::from_static_parts(key, value));
    Key::from_parts(row.name, labels.collect::<Vec<_>>())
}

fn unit(row: &Row) -> metrics::Unit {
    match row.unit {
        Unit::Count => metrics::Unit::Count,
        Unit::Bytes => metrics::Unit::Bytes,
        Unit::Seconds => metrics::Unit::Seconds,
    }
}

/// Appends the histogram families; rows of one family stand together in the table (TM-4).
fn write_histograms(text: &mut String, snapshot: &Snapshot) {
    let mut family = "";
    for id in Histogram::ALL {
        let row = id.row();
        if row.name != family {
            family = row.name;
            formatting::write_help_line(text, row.name, None, None, row.help);
            formatting::write_type_line(text, row.name, None, None, "histogram");
        }
        write_histogram(text, row, snapshot.histogram(*id));
    }
}

fn write_histogram(text: &mut String, row: &Row, distribution: &crate::histogram::Distribution) {
    let name = row.name;
    let label = row.label.map(|(key, value)| format!("{key}=\"{value}\"")).unwrap_or_default();
    let (comma, braced) = match row.label {
        Some(_) => (",", format!("{{{label}}}")),
        None => ("", String::new()),
    };
    let mut line = |le: &str, count: u64| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name}_bucket{{{label}{comma}le=\"{le}\"}} {count}");
    };
    for (edge_us, at_or_below) in distribution.cumulative() {
        line(&seconds(edge_us), at_or_below);
    }
    let count = distribution.count();
    line("+Inf", count);
    let _ = writeln!(text, "{name}_sum{braced} {}", seconds(distribution.sum_us()));
    let _ = writeln!(text, "{name}_count{braced} {count}");
}

/// Microseconds as decimal seconds, exactly.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    let trimmed = text.trim_end_matches('0').trim_end_matches('.');
    trimmed.to_owned()
}

const BUILD_INFO: &str = "longhold_build_info";
const METADATA: Metadata<'static> = Metadata::new("longhold", Level::INFO, None);

#[cfg(test)]
mod tests;
