//! `cargo xtask test`: everything that has to pass before a change goes in, in order of cost.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::{loadtest, req, tidy, tree};

/// What to leave out.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Leave out the plays without io_uring, the edges that fail on purpose, the loom models and
    /// the documentation.
    #[arg(long)]
    quick: bool,
}

/// Runs the steps; the first that fails ends it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let begun = Instant::now();
    let mut totals = Totals::default();
    step("format", || finish(cargo(&["fmt", "--all", "--check"])))?;
    step("clippy", || finish(cargo(CLIPPY)))?;
    step("tidy", || tidy::run(&tidy::Arguments::default()))?;
    step("requirements", || req::run(&req::Arguments::default()))?;
    step("tests", || totals.add(cargo(&["test", "--locked", "--workspace", "--no-fail-fast"])))?;
    if !arguments.quick {
        step("plays where io_uring is forbidden", || totals.add(confined_plays()))?;
        step("a load test notices each way to fail", loadtest::prove)?;
        for models in loom_models()? {
            step(&format!("loom models of {}", models.package), || totals.add(loom(&models)))?;
        }
        step("documentation", || finish(documentation()))?;
    }
    let seconds = begun.elapsed().as_secs();
    let Totals { passed, failed, ignored } = totals;
    println!("{passed} passed, {failed} failed, {ignored} ignored, in {seconds} s");
    Ok(())
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("==> {name}");
    let begun = Instant::now();
    let outcome = work().with_context(|| format!("the step `{name}` failed"));
    let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
    println!("<== {name}: {verdict}, {:.1} s", begun.elapsed().as_secs_f64());
    outcome
}

/// What the test harnesses say of themselves, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Totals {
    /// Runs a command that runs tests, shows its output, and adds its totals.
    fn add(&mut self, mut command: Command) -> Result<()> {
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
        let output = child.stdout.take().context("the output is piped")?;
        for line in BufReader::new(output).lines() {
            let line = line.context("the output of the tests is not text")?;
            self.add_line(&line);
            println!("{line}");
        }
        let status = child.wait().context("cannot wait for cargo")?;
        if !status.success() {
            bail!("{status}; {} tests failed", self.failed);
        }
        Ok(())
    }

    /// Lines as in `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn add_line(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let counts = result.split_once(". ").map_or("", |(_, counts)| counts);
        for part in counts.split("; ") {
            match part.split_once(' ').and_then(|(n, what)| Some((n.parse::<u64>().ok()?, what))) {
                Some((count, "passed")) => self.passed += count,
                Some((count, "failed")) => self.failed += count,
                Some((count, "ignored")) => self.ignored += count,
                Some(_) | None => {}
            }
        }
    }
}

/// All plays once more, on a host that a seccomp filter makes refuse io_uring.
fn confined_plays() -> Command {
    let mut command = cargo(&["test", "--locked", "--package", "longhold-edge", "--test", "plays"]);
    command.env("LONGHOLD_TEST_TRANSPORT", "confined");
    command
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = tree::cargo();
    command.args(arguments);
    command
}

fn finish(mut command: Command) -> Result<()> {
    let status = command.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}

fn documentation() -> Command {
    let mut command = cargo(&["doc", "--locked", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    command
}

/// A member's models of its shared atomics, and which of its tests they are.
struct Models {
    package: String,
    tests: &'static [&'static str],
}

/// Models stand in `tests/loom.rs`, or beside private code in `src/tests/loom.rs`.
fn loom_models() -> Result<Vec<Models>> {
    let places: [(&str, &[&str]); 2] =
        [("tests/loom.rs", &["--test", "loom"]), ("src/tests/loom.rs", &["--lib", "--", "loom"])];
    let mut models = Vec::new();
    for member in tree::packages(&tree::root().join("Cargo.toml"))? {
        for (place, tests) in places {
            if member.folder.join(place).exists() {
                models.push(Models { package: member.name.clone(), tests });
            }
        }
    }
    Ok(models)
}

/// Loom replaces the atomics of everything that is compiled, so it builds into a folder of its own;
/// optimised, because models are all about speed, but without the slow parts of our release
/// profile.
fn loom(models: &Models) -> Command {
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" --cfg loom");
    let folder = tree::target_folder().join("loom");
    let mut command = cargo(&["test", "--locked", "--release", "--package", &models.package]);
    command.arg("--target-dir").arg(folder).args(models.tests);
    command.env("RUSTFLAGS", flags.trim());
    command.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    command
}

const CLIPPY: &[&str] =
    &["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];

#[cfg(test)]
mod tests;
