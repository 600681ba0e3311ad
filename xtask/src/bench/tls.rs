//! `cargo xtask bench tls`: what TLS costs the server's processor, beside rustls alone.
//!
//! Runs the program `tls` of the benches, on one core.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::host::Host;
use crate::tree;

/// Options of `cargo xtask bench tls`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Rounds of each case; the quickest one counts.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
}

/// Runs the bench and prints its table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut cargo = tree::cargo();
    cargo.args(["build", "--release", "--locked", "--package", "longhold-benches"]);
    let status = cargo.args(["--bin", "tls"]).status().context("cannot run cargo")?;
    ensure!(status.success(), "the bench does not build: {status}");
    let mut command = Command::new(tree::target_folder().join("release/tls"));
    command.args(["--rounds", &arguments.rounds.to_string()]).stderr(Stdio::inherit());
    let output = command.output().context("cannot run the bench")?;
    ensure!(output.status.success(), "the bench failed: {}", output.status);
    let found: Value = serde_json::from_slice(&output.stdout).context("it is no JSON")?;
    let host = Host::here();
    if arguments.json {
        let result = json!({ "bench": "tls", "host": host.json(), "found": found });
        println!("{}", serde_json::to_string_pretty(&result)?);
        return Ok(());
    }
    host.print();
    println!();
    println!("case                       suite                            ns   beside ns    ratio");
    for row in found.get("rows").and_then(Value::as_array).context("no rows")? {
        let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or("?");
        let number = |key: &str| row.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN);
        println!(
            "{:<26} {:<24} {:>10.0} {:>11.0} {:>8.2}",
            text("case"),
            text("suite"),
            number("ours_ns"),
            number("other_ns"),
            number("ratio"),
        );
    }
    println!();
    println!("Beside: rustls's own server; for a request on waking, a session that never rests.");
    Ok(())
}
