//! Instructions of an operation: what our code adds, the same on every machine, and not disturbed
//! by whatever else a machine does.
//!
//! `perf` counts them where the processor lets it, else valgrind. A count is the difference of two
//! runs, of which one has so many operations more.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

/// Instructions in user mode of one operation, and who counted them; nothing where nobody can.
pub(super) type Count = Option<(u64, &'static str)>;

/// Counts those of one operation, of which the second of two runs of `program` has so many more.
pub(super) fn each(
    program: &Path,
    [fewer, more]: [&[String]; 2],
    operations: u64,
) -> Result<Count> {
    let difference = |fewer: u64, more: u64| {
        let all = more.checked_sub(fewer).context("more work took fewer instructions")?;
        anyhow::Ok(all / operations.max(1))
    };
    for (counter, count) in COUNTERS {
        if let (Some(fewer), Some(more)) = (count(program, fewer), count(program, more)) {
            return Ok(Some((difference(fewer, more)?, counter)));
        }
    }
    Ok(None)
}

/// How a count is told.
pub(super) fn say(count: Count) -> String {
    match count {
        Some((count, counter)) => format!("{count} ({counter})"),
        None => "neither perf nor valgrind can count them here".to_owned(),
    }
}

fn by_perf(program: &Path, options: &[String]) -> Option<u64> {
    let mut perf = Command::new("perf");
    perf.args(["stat", "-x,", "-e", "instructions:u", "--"]).arg(program).args(options);
    let said = stderr_of(perf)?;
    let line = said.lines().find(|line| line.contains("instructions"))?;
    line.split(',').next()?.parse().ok()
}

fn by_valgrind(program: &Path, options: &[String]) -> Option<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(program).args(options);
    let said = stderr_of(valgrind)?;
    let line = said.lines().find_map(|line| line.split_once("Collected : "))?;
    line.1.trim().parse().ok()
}

/// What a program that may not be installed says when it succeeds.
fn stderr_of(mut command: Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Counts all instructions of a run.
type Counter = fn(&Path, &[String]) -> Option<u64>;

/// In the order in which they are asked: the second one takes fifty times as long.
const COUNTERS: [(&str, Counter); 2] = [("perf", by_perf), ("valgrind", by_valgrind)];
