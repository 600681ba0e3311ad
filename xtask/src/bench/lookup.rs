//! `cargo xtask bench lookup`: what a hit costs the store, in time and in instructions.
//!
//! Runs the program `lookup` of the benches, on one core: small and large stores, objects asked
//! for alike or by rank, keys one at a time and sixteen together. Time in a store that leaves the
//! processor's caches is the memory's: two answers that wait for each other, hash table and
//! record.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::instructions::{Count, each, say};
use crate::host::Host;
use crate::tree;

/// Options of `cargo xtask bench lookup`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Objects in the store.
    #[arg(long, value_delimiter = ',', default_values_t = OBJECTS)]
    objects: Vec<u64>,
    /// Rounds of a million lookups; the quickest one counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
}

/// Runs the bench and prints its table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut cargo = tree::cargo();
    cargo.args(["build", "--release", "--locked", "--package", "longhold-benches"]);
    let status = cargo.args(["--bin", "lookup"]).status().context("cannot run cargo")?;
    ensure!(status.success(), "the bench does not build: {status}");
    let program = tree::target_folder().join("release/lookup");
    let mut rows = Vec::new();
    for skew in ["uniform", "zipf"] {
        for objects in &arguments.objects {
            for batch in BATCHES {
                eprintln!("{objects} objects, {skew}, {batch} at a time");
                let options = [
                    format!("--skew={skew}"),
                    format!("--objects={objects}"),
                    format!("--batch={batch}"),
                    format!("--rounds={}", arguments.rounds),
                ];
                rows.push(lookup(&program, &options)?);
            }
        }
    }
    let mut counts = Vec::new();
    for batch in BATCHES {
        eprintln!("instructions, {batch} at a time");
        counts.push((batch, instructions(&program, batch)?));
    }
    if arguments.json {
        let counts: Vec<Value> = counts
            .iter()
            .map(|(batch, count)| {
                let (count, counter) = count.unzip();
                json!({ "batch": batch, "per_lookup": count, "counter": counter })
            })
            .collect();
        let host = Host::here().json();
        let result = json!({
            "bench": "lookup", "host": host, "rows": rows, "instructions": counts,
        });
        println!("{}", serde_json::to_string_pretty(&result)?);
        return Ok(());
    }
    print(&rows, &counts)
}

fn print(rows: &[Value], counts: &[(u16, Count)]) -> Result<()> {
    Host::here().print();
    println!();
    println!("   objects  asked    at a time     lookups/s   ns per lookup");
    for row in rows {
        println!(
            "{:>10}  {:<8} {:>9} {:>13.0} {:>15.1}",
            number(row, "objects")?,
            row.get("skew").and_then(Value::as_str).unwrap_or("?"),
            number(row, "batch")?,
            number(row, "lookups_per_s")?,
            number(row, "ns_per_lookup")?,
        );
    }
    println!();
    for (batch, count) in counts {
        println!("instructions per lookup, {batch} at a time: {}", say(*count));
    }
    Ok(())
}

/// One run of the program.
fn lookup(program: &Path, options: &[String]) -> Result<Value> {
    let output = Command::new(program).args(options).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(output.status.success(), "the bench failed: {}", output.status);
    serde_json::from_slice(&output.stdout).context("the bench printed no JSON")
}

fn number(value: &Value, key: &str) -> Result<f64> {
    let found = value.get(key).and_then(Value::as_f64);
    found.with_context(|| format!("the result lacks {key}: {value}"))
}

/// Counts the instructions; `None` where nobody can.
fn instructions(program: &Path, batch: u16) -> Result<Count> {
    let options = |rounds: u32| {
        [
            format!("--objects={COUNTED_OBJECTS}"),
            format!("--lookups={COUNTED_LOOKUPS}"),
            format!("--batch={batch}"),
            format!("--rounds={rounds}"),
            "--no-clock".to_owned(),
        ]
    };
    each(program, [&options(1), &options(2)], COUNTED_LOOKUPS)
}

/// The same of one lookup alone, for other benches.
pub(super) fn instructions_alone() -> Result<Count> {
    instructions(&tree::target_folder().join("release/lookup"), 1)
}

/// Nanoseconds of one lookup among so many objects, one at a time, each as likely as the others.
pub(super) fn nanoseconds(objects: u64, rounds: u32) -> Result<f64> {
    let options = [format!("--objects={objects}"), format!("--rounds={rounds}")];
    let found = lookup(&tree::target_folder().join("release/lookup"), &options)?;
    number(&found, "ns_per_lookup")
}

const OBJECTS: [u64; 3] = [10_000, 100_000, 1_000_000];
const BATCHES: [u16; 2] = [1, 16];
const COUNTED_OBJECTS: u64 = 2_000;
const COUNTED_LOOKUPS: u64 = 100_000;
