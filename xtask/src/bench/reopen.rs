//! `cargo xtask bench reopen`: how long after `kill -9` until the store answers as before.
//!
//! Runs the program `reopen` of the benches three times: after a kill, after a planned end, and
//! after a kill without the snapshots of the index. Everything is read from a warm page cache, as
//! after the death of a process.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::host::Host;
use crate::tree;

/// Options of `cargo xtask bench reopen`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Objects of 1 to 4 KiB; a million takes 3.5 GB of disk.
    #[arg(long, default_value_t = 1_000_000)]
    objects: u64,
    /// A folder that may be made and deleted; in the target folder by itself.
    #[arg(long)]
    path: Option<PathBuf>,
}

/// Runs the bench and prints its table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut cargo = tree::cargo();
    cargo.args(["build", "--release", "--locked", "--package", "longhold-benches"]);
    let status = cargo.args(["--bin", "reopen"]).status().context("cannot run cargo")?;
    ensure!(status.success(), "the bench does not build: {status}");
    let program = tree::target_folder().join("release/reopen");
    let folder = format!("reopen-{}", std::process::id());
    let path = arguments.path.clone().unwrap_or_else(|| tree::target_folder().join(folder));
    let mut rows = Vec::new();
    for (name, option) in CASES {
        eprintln!("{name}: storing {} objects", arguments.objects);
        let mut command = Command::new(&program);
        command.arg("--path").arg(&path).args(["--objects", &arguments.objects.to_string()]);
        command.args(*option);
        let output = command.stderr(Stdio::inherit()).output().context("cannot run the bench")?;
        ensure!(output.status.success(), "the bench failed: {}", output.status);
        let found: Value = serde_json::from_slice(&output.stdout).context("it is no JSON")?;
        rows.push((*name, found));
    }
    let host = Host::here();
    if arguments.json {
        let rows: Vec<Value> =
            rows.iter().map(|(name, found)| json!({ "case": name, "found": found })).collect();
        let result = json!({ "bench": "reopen", "host": host.json(), "rows": rows });
        println!("{}", serde_json::to_string_pretty(&result)?);
        return Ok(());
    }
    host.print();
    println!();
    println!("case                          objects    open ms   full hit ratio ms   all once ms");
    for (name, found) in &rows {
        let number = |key: &str| found.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN);
        println!(
            "{name:<26} {:>10} {:>10.1} {:>19.1} {:>13.1}",
            number("present"),
            number("open_ms"),
            number("full_hit_ratio_ms"),
            number("all_looked_up_ms"),
        );
    }
    Ok(())
}

const CASES: &[(&str, &[&str])] =
    &[("kill -9", &[]), ("planned end", &["--planned"]), ("kill -9, footers only", &["--resized"])];
