//! The edge: a caching HTTP reverse proxy. This is its outline; see the library for all else.

use std::process::ExitCode;

use clap::Parser as _;
use longhold_edge::cli::{self, Cli, Command};
use longhold_edge::{conns, doctor, explain, size, store_tool, top};

fn main() -> ExitCode {
    cli::conclude(match Cli::parse().command() {
        Command::Demo(options) => cli::demo(options),
        Command::Run(options) => cli::run(&options),
        Command::Check(options) => cli::check(&options),
        Command::Purge(options) => cli::purge(&options),
        Command::Explain(options) => explain::explain(&options),
        Command::Conns(options) => conns::conns(&options),
        Command::Doctor(options) => doctor::doctor(&options),
        Command::Top(options) => top::top(&options),
        Command::Cache(command) => explain::cache(&command),
        Command::Store(command) => store_tool::run(&command),
        Command::Size(options) => size::size(&options),
        Command::Completions { shell } => cli::completions(shell),
    })
}
