//! `cargo xtask bench trace`: how good the store's eviction is, on generated traces and on files.
//!
//! Builds the program `trace` of the benches and runs it with the options given. No processor
//! matters here but for the column of times: misses and bytes are the same on every machine.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::host::Host;
use crate::tree;

/// Options of `cargo xtask bench trace`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Options of the program; `-- --help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Runs the bench, which prints what it found.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut cargo = tree::cargo();
    cargo.args(["build", "--release", "--locked", "--package", "longhold-benches"]);
    let status = cargo.args(["--bin", "trace"]).status().context("cannot run cargo")?;
    ensure!(status.success(), "the bench does not build: {status}");
    if !arguments.options.iter().any(|option| option == "--json") {
        Host::here().print();
        println!();
    }
    let program = tree::target_folder().join("release/trace");
    let status = Command::new(&program).args(&arguments.options).status();
    let status = status.with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(status.success(), "the bench failed: {status}");
    Ok(())
}
