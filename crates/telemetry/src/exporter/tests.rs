//! The rendered text, read back by a small parser of the exposition format (TM-4).

use std::collections::HashMap;

use super::{BuildInfo, Registry, seconds};
use crate::{Counter, Gauge, Histogram};

const BUILD: BuildInfo<'static> = BuildInfo { version: "1.2.3", commit: "a\"b\\c" };

/// Type of each family, and value of each sample by its text up to the value.
#[derive(Debug, Default)]
struct Parsed {
    types: HashMap<String, String>,
    helps: HashMap<String, String>,
    samples: HashMap<String, f64>,
}

fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type line has a type");
            assert!(parsed.types.insert(name.into(), kind.into()).is_none(), "{name} typed twice");
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help line has text");
            parsed.helps.insert(name.into(), help.into());
        } else {
            let (sample, value) = line.rsplit_once(' ').expect("a sample has a value");
            let value = value.parse().expect("a value is a number");
            assert!(parsed.samples.insert(sample.into(), value).is_none(), "{sample} stands twice");
        }
    }
    parsed
}

fn sample_name(row: &crate::names::Row) -> String {
    match row.label {
        Some((key, value)) => format!("{}{{{key}=\"{value}\"}}", row.name),
        None => row.name.to_owned(),
    }
}

#[test]
fn every_row_of_the_table_is_rendered_with_type_and_help() {
    let (registry, sets) = Registry::new(1, &BUILD);
    for (place, counter) in Counter::ALL.iter().enumerate() {
        sets[0].add(*counter, place as u64 + 1);
    }
    let parsed = parse(&registry.render());
    for (place, counter) in Counter::ALL.iter().enumerate() {
        let row = counter.row();
        assert_eq!(parsed.samples[&sample_name(row)], place as f64 + 1.0, "{row:?}");
        assert_eq!(parsed.types[row.name], "counter");
        assert_eq!(parsed.helps[row.name], row.help);
    }
    for gauge in Gauge::ALL {
        assert_eq!(parsed.samples[&sample_name(gauge.row())], 0.0);
        assert_eq!(parsed.types[gauge.row().name], "gauge");
        assert_eq!(parsed.helps[gauge.row().name], gauge.row().help);
    }
    for histogram in Histogram::ALL {
        assert_eq!(parsed.types[histogram.row().name], "histogram");
        assert_eq!(parsed.helps[histogram.row().name], histogram.row().help);
    }
}

#[test]
fn histograms_are_cumulative_and_end_in_their_count() {
    let (registry, sets) = Registry::new(2, &BUILD);
    sets[0].observe(Histogram::RequestHit, 16);
    sets[0].observe(Histogram::RequestHit, 17);
    sets[1].observe(Histogram::RequestHit, 3_600_000_000);
    let text = registry.render();
    let family = "longhold_request_duration_seconds";
    let prefix = format!("{family}_bucket{{cache=\"hit\",le=");
    let buckets: Vec<f64> = text
        .lines()
        .filter(|line| line.starts_with(&prefix))
        .map(|line| line.rsplit_once(' ').expect("value").1.parse().expect("number"))
        .collect();
    assert!(buckets.is_sorted(), "{buckets:?}");
    let parsed = parse(&text);
    let bucket = |le: &str| parsed.samples[&format!("{prefix}\"{le}\"}}")];
    assert_eq!(bucket("0.000016"), 1.0);
    assert_eq!(bucket("0.000032"), 2.0);
    assert_eq!(bucket("67.108864"), 2.0);
    assert_eq!(bucket("+Inf"), 3.0);
    assert_eq!(parsed.samples[&format!("{family}_count{{cache=\"hit\"}}")], 3.0);
    assert_eq!(parsed.samples[&format!("{family}_sum{{cache=\"hit\"}}")], 3_600.000_033);
    assert_eq!(parsed.samples[&format!("{family}_count{{cache=\"miss\"}}")], 0.0);
}

#[test]
fn rendering_twice_changes_nothing_but_what_was_counted() {
    let (registry, sets) = Registry::new(1, &BUILD);
    sets[0].add(Counter::Purges, 1);
    let first = parse(&registry.render());
    sets[0].add(Counter::Purges, 1);
    let second = parse(&registry.render());
    assert_eq!(first.samples.len(), second.samples.len());
    for (sample, value) in &second.samples {
        let grown = if sample == "longhold_purges_total" { 1.0 } else { 0.0 };
        assert_eq!(first.samples[sample] + grown, *value, "{sample}");
    }
}

#[test]
fn build_info_escapes_its_labels() {
    let (registry, _sets) = Registry::new(0, &BUILD);
    let text = registry.render();
    let expected = r#"longhold_build_info{version="1.2.3",commit="a\"b\\c"} 1"#;
    assert!(text.lines().any(|line| line == expected), "{text}");
}

#[test]
fn seconds_are_exact() {
    for (us, text) in [(0, "0"), (16, "0.000016"), (1_000_000, "1"), (10_500_000, "10.5")] {
        assert_eq!(seconds(us), text);
    }
}
