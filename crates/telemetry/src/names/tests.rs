//! Walks the table (TM-3).

use std::collections::{HashMap, HashSet};

use super::{Counter, Gauge, Histogram, Row, Unit};

fn all_rows() -> Vec<&'static Row> {
    let counters = Counter::ALL.iter().map(|it| it.row());
    let gauges = Gauge::ALL.iter().map(|it| it.row());
    counters.chain(gauges).chain(Histogram::ALL.iter().map(|it| it.row())).collect()
}

#[test]
fn names_follow_the_prometheus_conventions() {
    for row in all_rows() {
        let text = row.name;
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(text.starts_with("longhold_") && text.chars().all(plain), "{text}");
        let stem = text.strip_suffix("_total").unwrap_or(text);
        assert_eq!(stem.ends_with("_bytes"), row.unit == Unit::Bytes, "{text}");
        assert_eq!(stem.ends_with("_seconds"), row.unit == Unit::Seconds, "{text}");
        assert!(row.help.ends_with('.') && !row.help.contains(['\n', '"', '\\']), "{text}");
    }
    for counter in Counter::ALL {
        assert!(counter.row().name.ends_with("_total"), "{counter:?}");
    }
    for gauge in Gauge::ALL {
        assert!(!gauge.row().name.ends_with("_total"), "{gauge:?}");
    }
}

#[test]
fn rows_of_a_family_agree_and_differ_in_the_label_value() {
    let mut families: HashMap<&str, &Row> = HashMap::new();
    let mut seen = HashSet::new();
    for row in all_rows() {
        assert!(seen.insert((row.name, row.label)), "{row:?} stands twice");
        let first = families.entry(row.name).or_insert(row);
        assert_eq!(first.help, row.help, "{row:?}");
        assert_eq!(first.label.map(|(key, _)| key), row.label.map(|(key, _)| key), "{row:?}");
    }
}

#[test]
fn a_variant_is_its_place_in_the_table() {
    for (place, counter) in Counter::ALL.iter().enumerate() {
        assert_eq!(*counter as usize, place);
    }
    assert_eq!(Counter::ALL.len(), Counter::COUNT);
    assert_eq!(Histogram::RequestHit.row().label, Some(("cache", "hit")));
}

#[test]
fn statuses_find_their_rows() {
    for (status, row) in [
        (100, Counter::Responses1xx),
        (200, Counter::Responses2xx),
        (304, Counter::Responses3xx),
        (499, Counter::Responses4xx),
        (504, Counter::Responses5xx),
    ] {
        assert_eq!(Counter::of_response(status), row);
    }
    for counter in Counter::ALL.iter().filter(|it| it.row().name == "longhold_rejects_total") {
        let value = counter.row().label.expect("rejects are labelled").1;
        let status = value.parse().unwrap_or(418);
        assert_eq!(Counter::of_reject(status), *counter);
    }
}
