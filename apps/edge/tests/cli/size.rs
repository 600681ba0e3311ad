//! `edge size`: the three forms of its answer, results of load tests, and what it refuses.

use std::fs;

use serde_json::{Value, json};

use super::{check, edge, text};

fn figure(said: &Value, pointer: &str) -> f64 {
    said.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {pointer}"))
}

fn asked(options: &[&str]) -> Value {
    let output = edge(&[&["size", "--json"], options].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn two_million_connections_are_sized_as_text_json_and_a_page() {
    let said = asked(&["--connections", "2m", "--rate", "50k", "--tls", "50%"]);
    assert_eq!(figure(&said, "/sections/user/terms/tls_slots/likely"), 128e6);
    assert_eq!(figure(&said, "/sections/user/terms/slots/high"), 148e6);
    assert!(figure(&said, "/sections/machines/total/low") >= 2.0);
    assert_eq!(said["coefficients"]["slot"]["basis"], "measured");

    let options = ["size", "--connections", "2m", "--rate", "50k", "--against", "nginx"];
    let plain = text(&check(&options, 0, "2,000,000 connections, 50,000 requests", "").stdout);
    assert!(plain.contains("2,000,000 × 72–74 B") && plain.contains("in the place of"), "{plain}");

    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("size.html");
    let page = page.to_str().unwrap();
    check(&["size", "--html", page], 0, "written to ", "");
    assert!(fs::read_to_string(page).unwrap().starts_with("<!doctype html>"));
}

#[test]
fn the_articles_tables_are_shown_with_the_right_sums() {
    let said = text(&check(&["size", "--article"], 0, "The article's cost tables", "").stdout);
    for sum in ["135 + 54 + 12.6", "45 + 18 + 4.2", "201.6 − 67.2", "3.72"] {
        assert!(said.contains(sum), "{sum} of {said}");
    }
}

#[test]
fn results_of_load_tests_take_the_place_of_coefficients() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rate.json");
    let result = json!({
        "load": "rate", "url": "http://127.0.0.1:1/", "connections": 64, "answers_per_s": 50_000.0,
        "answers": { "count": 1000, "body_bytes": 1_024_000, "hit_ratio": 1.0 },
        "cpu_per_answer_us": { "user": 4.0, "system": 16.0, "total": 20.0 },
    });
    fs::write(&file, result.to_string()).unwrap();
    let measured = format!("--measured={}", file.display());
    let said = asked(&[&measured, "--heartbeat", "off"]);
    assert_eq!(figure(&said, "/inputs/requests_per_s/likely"), 50_000.0);
    let source = said.pointer("/coefficients/wake/source").and_then(Value::as_str).unwrap();
    assert!(source.ends_with("rate.json"), "{source}");
    // Twice the built-in hit makes about twice its parts.
    assert!(figure(&said, "/coefficients/parse/likely") > 1.8 * 1.95e-6);

    fs::write(&file, "{}").unwrap();
    let name = file.display().to_string();
    check(&["size", &measured], 1, "", &format!("edge: {name} is no result of conn-bomb"));
    fs::write(&file, "{").unwrap();
    check(&["size", &measured], 1, "", &format!("edge: {name} is not JSON"));
    fs::remove_file(&file).unwrap();
    check(&["size", &measured], 1, "", &format!("edge: cannot read {name}"));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    check(&["size", "--tls", "120%"], 2, "", "error: invalid value '120%'");
    check(&["size", "--machine-price", "9..3"], 2, "", "error: invalid value '9..3'");
    check(&["size", "--lifetime", "0s"], 1, "", "edge: the lifetime of a connection must be");
    check(&["size", "--hot", "1TiB"], 1, "", "edge: each machine needs 1");
}
