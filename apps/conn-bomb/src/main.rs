//! `conn-bomb`: loads a server on this machine, and plays a scripted origin for it.
//!
//! The engine is `longhold-loadgen`; here are only its command line and the printing of what it
//! found. Exit codes: 0 when everything asked for was answered right, 1 when anything was not, 2
//! when it could not be tried.

/// Prints a line. Whoever closed the output wants no more, and the rest goes on.
macro_rules! println {
    ($($text:tt)*) => { $crate::print_line(format_args!($($text)*)) };
}

mod echo;
mod hold;
mod load;
mod losses;
mod origin;
mod page;
mod progress;
mod rate;
#[cfg(feature = "sabotage")]
mod sabotage;
mod server;
mod storm;

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use clap::Parser;

/// Loads a server on this machine and verifies every byte of its answers.
#[derive(Debug, Parser)]
#[command(name = "conn-bomb", version)]
enum Command {
    /// Opens many connections that make a request each and then rest; or hear event streams.
    Hold(hold::Arguments),
    /// Asks again and again on a few connections: each after its answer (closed loop), for the
    /// cost per request, or at given rates (open loop, --per-second), for what clients would see.
    Rate(rate::Arguments),
    /// Comes in waves, or behaves badly in one of many ways, and tells what became of each peer.
    Storm(storm::Arguments),
    /// Serves bodies that follow from the path: /bytes/N with status, lifetime and delay by query.
    Origin(origin::Arguments),
    /// Serves WebSockets, where every message comes back, and /events?interval=10s, a stream of
    /// numbered events without end (250ms, 10s; up to a day).
    Echo(echo::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Hold(arguments) => hold::run(&arguments),
        Command::Rate(arguments) => rate::run(&arguments),
        Command::Storm(arguments) => storm::run(&arguments),
        Command::Origin(arguments) => origin::run(&arguments),
        Command::Echo(arguments) => echo::run(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody has to be able to read it: the code says it, too.
            let _ = writeln!(io::stderr(), "conn-bomb: {error:#}");
            ExitCode::from(COULD_NOT_TRY)
        }
    }
}

fn print_line(text: Arguments<'_>) {
    match writeln!(io::stdout(), "{text}") {
        Err(fault) if fault.kind() == ErrorKind::BrokenPipe => {}
        written => written.expect("the output can be written"),
    }
}

/// The code that clap has for a command line that makes no sense, too.
const COULD_NOT_TRY: u8 = 2;
