//! `cargo xtask bench micro`: what the parts of a server's work cost, each alone.
//!
//! Runs the programs `micro` (waking parked connections, sends by size, accepting, timers), `tls`
//! (handshakes, records by size and suite, keys) and `lookup` of the benches, and misses through
//! the whole edge. What it prints with `--json` is read by `edge size --measured`: the coefficients
//! of its model are these parts.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{instructions, lookup, miss};
use crate::host::Host;
use crate::load::size_text;
use crate::rig::Rig;
use crate::tree;

/// Options of `cargo xtask bench micro`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Take the released programs that are there, whatever the tree says meanwhile.
    #[arg(long)]
    no_build: bool,
    /// Rounds of each case of waking and sending; their middle counts.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Parked connections that wake in turn.
    #[arg(long, default_value_t = 8192,
          value_parser = clap::value_parser!(u32).range(64..=500_000))]
    connections: u32,
}

/// Runs the programs and prints what they found.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut rig = Rig::new(arguments.no_build)?;
    let released = tree::target_folder().join("release");
    eprintln!("wakes, sends, timers");
    let options = [
        format!("--rounds={}", arguments.rounds),
        format!("--connections={}", arguments.connections),
    ];
    let micro = found_by(&released.join("micro"), &options)?;
    eprintln!("TLS");
    let tls = found_by(&released.join("tls"), &[format!("--rounds={TLS_ROUNDS}")])?;
    eprintln!("lookups");
    let lookup_ns = lookup::nanoseconds(LOOKUP_OBJECTS, LOOKUP_ROUNDS)?;
    eprintln!("misses");
    let misses = miss::rows(&mut rig, MISS_ROUNDS)?;
    eprintln!("instructions");
    let counts = [
        ("lookup, warm", lookup::instructions_alone()?),
        ("timer set, moved, cancelled, set, expired", timer_instructions(&released)?),
    ];
    let counted: Vec<Value> = counts
        .iter()
        .map(|(what, count)| {
            let (count, counter) = count.unzip();
            json!({ "what": what, "each": count, "counter": counter })
        })
        .collect();
    let host = Host::here();
    let result = json!({
        "bench": "micro",
        "host": host.json(),
        "rows": micro.get("rows").context("no rows")?,
        "tls": tls,
        "lookup": { "objects": LOOKUP_OBJECTS, "ns": lookup_ns },
        "misses": misses,
        "instructions": counted,
    });
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&result)?);
        return Ok(());
    }
    host.print();
    print(&result)?;
    println!();
    for (what, count) in counts {
        println!("instructions, {what}: {}", instructions::say(count));
    }
    println!(
        "(What spends its time in the kernel has none that would tell: they are not counted.)"
    );
    Ok(())
}

/// Runs a program of the benches to its end.
fn found_by(program: &Path, options: &[String]) -> Result<Value> {
    let output = Command::new(program).args(options).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(output.status.success(), "{} failed: {}", program.display(), output.status);
    serde_json::from_slice(&output.stdout).context("the bench printed no JSON")
}

/// Of a whole round of one timer: in it are five operations.
fn timer_instructions(released: &Path) -> Result<instructions::Count> {
    let options = |rounds: u32| {
        [
            "--only-timers".to_owned(),
            format!("--timers={COUNTED_TIMERS}"),
            format!("--rounds={rounds}"),
            "--no-clock".to_owned(),
        ]
    };
    let program = released.join("micro");
    instructions::each(&program, [&options(1), &options(11)], 10 * COUNTED_TIMERS)
}

fn print(result: &Value) -> Result<()> {
    let rows = |pointer: &str| -> Result<&Vec<Value>> {
        result.pointer(pointer).and_then(Value::as_array).context("no rows")
    };
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or("?").to_owned();
    println!();
    println!(
        "part                            bytes     among        ns   (quarter–three quarters)"
    );
    for row in rows("/rows")? {
        let ns = |key: &str| row["ns"][key].as_f64().unwrap_or(f64::NAN);
        let size = row.get("size_bytes").map(Value::to_string).unwrap_or_default();
        println!(
            "{:<26} {size:>10} {:>9} {:>9.0}   ({:.0}–{:.0})",
            text(row, "case"),
            row["among"].to_string(),
            ns("median"),
            ns("low"),
            ns("high"),
        );
    }
    let lookup = &result["lookup"];
    let ns = lookup["ns"].as_f64().unwrap_or(f64::NAN);
    let objects = lookup["objects"].to_string();
    println!("{:<26} {:>10} {objects:>9} {ns:>9.0}   (least)", "lookup", "");
    println!();
    println!("A miss, beyond a hit of its size, through the whole edge:");
    for row in rows("/misses")? {
        let us = |key: &str| row["us"][key].as_f64().unwrap_or(f64::NAN);
        let size = size_text(row["size_bytes"].as_u64().unwrap_or_default());
        println!("{size:>10} {:>9.1} µs   ({:.1}–{:.1})", us("median"), us("min"), us("max"));
    }
    println!();
    println!("TLS part                   suite                           ns   (least)");
    for row in rows("/tls/rows")? {
        println!(
            "{:<26} {:<24} {:>9.0}",
            text(row, "case"),
            text(row, "suite"),
            row["ours_ns"].as_f64().unwrap_or(f64::NAN)
        );
    }
    println!("a client without a wish of its own gets {}", text(&result["tls"], "agreed"));
    Ok(())
}

const TLS_ROUNDS: u32 = 15;
const MISS_ROUNDS: u32 = 5;
const LOOKUP_OBJECTS: u64 = 1_000_000;
const LOOKUP_ROUNDS: u32 = 5;
const COUNTED_TIMERS: u64 = 10_000;
