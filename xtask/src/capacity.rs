//! `cargo xtask capacity`: `edge size`, and with `--check` its figures beside measured ones.

mod check;

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::tree;

/// Options of `cargo xtask capacity`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Load the edge in five ways and print what was predicted, what was measured, and the error;
    /// fails when an error is greater than 20 %.
    #[arg(long)]
    check: bool,
    /// Print one JSON object instead of a table.
    #[arg(long, requires = "check")]
    json: bool,
    /// Rounds in which all measurements of the check take turns; the middle one of each counts.
    #[arg(long, requires = "check", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Seconds of each measurement of the check.
    #[arg(long, requires = "check", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Leave TLS out of the check.
    #[arg(long, requires = "check")]
    plain: bool,
    /// Take the released programs that are there, whatever the tree says meanwhile.
    #[arg(long)]
    no_build: bool,
    /// Options of `edge size`; see `edge size --help`.
    #[arg(last = true, value_name = "OPTION", conflicts_with = "check")]
    options: Vec<String>,
}

/// Sizes, or checks.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.check {
        return check::run(arguments);
    }
    if !arguments.no_build {
        let mut cargo = tree::cargo();
        cargo.args(["build", "--release", "--locked", "--package", "longhold-edge"]);
        let status = cargo.status().context("cannot run cargo")?;
        ensure!(status.success(), "the edge does not build: {status}");
    }
    let status = size().args(&arguments.options).status().context("cannot run the edge")?;
    ensure!(status.success(), "edge size ends with {status}");
    Ok(())
}

/// What `edge size` says to some options, as JSON.
fn ask(options: &[String]) -> Result<Value> {
    let output = size().args(options).arg("--json").output().context("cannot run the edge")?;
    ensure!(
        output.status.success(),
        "edge size ends with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("edge size prints no JSON")
}

fn size() -> Command {
    let mut command = Command::new(tree::target_folder().join("release/edge"));
    command.arg("size");
    command
}
