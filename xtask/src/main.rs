//! `cargo xtask …`: the project's checks, benches and load tests, one command each.
//!
//! It orchestrates cargo and the project's own binaries, and holds no logic of its own beyond the
//! checks of [`tidy`]. A subcommand is a module with arguments and `run`, and two lines here.

/// Prints text. Whoever closed the output wants no more, and the rest goes on.
macro_rules! print {
    ($($text:tt)*) => { $crate::print_text(format_args!($($text)*)) };
}

/// Prints a line, likewise.
macro_rules! println {
    () => { print!("\n") };
    ($($text:tt)*) => { print!("{}\n", format_args!($($text)*)) };
}

mod admin;
mod bench;
mod capacity;
mod compare;
mod faults;
mod host;
mod load;
mod loadtest;
mod parked;
mod req;
mod rig;
mod test;
mod tidy;
mod tree;

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use clap::Parser;

/// Runs the project's checks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Checks the tree against the house rules: sizes, dependencies, unsafe code, dead files.
    Tidy(tidy::Arguments),
    /// Runs everything that has to pass: format, clippy, tidy, tests, loom models, documentation.
    Test(test::Arguments),
    /// Measures, and prints figures with everything needed to repeat them.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Sizes a load as `edge size` does; with --check beside what four loads cost.
    Capacity(capacity::Arguments),
    /// Compares the edge with the older architecture and with nginx, HAProxy and Varnish.
    Compare(compare::Arguments),
    /// Shows which clauses of the RFCs are done, tested, excepted and missing.
    Req(req::Arguments),
    /// Holds and loads the release edge, up to two million connections, and fails when an assertion
    /// does.
    Loadtest(loadtest::Arguments),
    /// Plays scenarios in which things go wrong, and fails when what must hold does not.
    Faults(faults::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Tidy(arguments) => tidy::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Bench(bench) => bench::run(&bench),
        Command::Capacity(arguments) => capacity::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Req(arguments) => req::run(&arguments),
        Command::Loadtest(arguments) => loadtest::run(&arguments),
        Command::Faults(arguments) => faults::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody has to be able to read it: the code says it, too.
            let _ = writeln!(io::stderr(), "xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print_text(text: Arguments<'_>) {
    match io::stdout().write_fmt(text) {
        Err(fault) if fault.kind() == ErrorKind::BrokenPipe => {}
        written => written.expect("the output can be written"),
    }
}
