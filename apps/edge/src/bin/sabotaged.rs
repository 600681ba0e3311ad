//! The edge, failing on purpose as `longhold_edge::sabotage` says: for tests of the load test.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::Parser as _;
use longhold_edge::cli::{self, Cli, Command};

fn main() -> ExitCode {
    let command = Cli::parse().command();
    let Command::Run(options) = command else {
        return cli::conclude(Err(anyhow!("an edge that fails on purpose can only `run`")));
    };
    cli::conclude(cli::run(&options))
}
