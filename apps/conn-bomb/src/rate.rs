//! `conn-bomb rate`: command line and results of a closed or an open loop.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use longhold_loadgen::Answers;
use longhold_loadgen::arrivals::{Spacing, Step};
use longhold_loadgen::catalog::{Catalog, Demand};
use longhold_loadgen::fault::FaultLog;
use longhold_loadgen::open::{OpenFigures, OpenReport, open};
use longhold_loadgen::plan::{Aim, End, Moment, OpenPlan, RatePlan};
use longhold_loadgen::rate::{RateReport, rate};
use serde::Serialize;

use crate::load::{Shared, bytes, count, duration, millis};
use crate::server::{GeneratorUse, ServerUse, Watch};

/// Options of `conn-bomb rate`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    shared: Shared,
    /// Connections that ask: in a closed loop each its next request after the last answer, in an
    /// open loop whichever is free when a request is due.
    #[arg(long, default_value = "64", value_parser = count)]
    connections: u32,
    /// Requests to make, after the warm-up.
    #[arg(long, default_value_t = 100_000, conflicts_with = "time")]
    requests: u64,
    /// Ask for this long instead, after the warm-up.
    #[arg(long, value_parser = duration)]
    time: Option<Duration>,
    /// Requests before anything is counted; of an open loop at least one on each connection.
    #[arg(long, default_value_t = 1000)]
    warmup: u64,
    #[command(flatten)]
    schedule: Schedule,
    #[command(flatten)]
    wanted: Wanted,
    /// Where chance begins, for arrivals and keys: the same draws for the same number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// When requests are due.
#[derive(Args, Debug)]
struct Schedule {
    /// Open loop: so many requests become due each second, whether or not the server keeps up, and
    /// a latency begins when its request was due. Several rates, such as 1k,2k,5k, are steps.
    #[arg(long, value_delimiter = ',', value_parser = count)]
    #[arg(conflicts_with_all = ["requests", "time"])]
    per_second: Vec<u32>,
    /// How long each step lasts.
    #[arg(long, default_value = "10s", value_parser = duration, requires = "per_second")]
    step: Duration,
    /// How the requests of a step are spread: evenly, or as independent clients come.
    #[arg(long, value_enum, default_value_t = Arrivals::Constant, requires = "per_second")]
    arrivals: Arrivals,
}

/// What is asked for.
#[derive(Args, Debug)]
struct Wanted {
    /// So many URLs instead of one: the number of the key is put behind the path of --url and
    /// before its query, /bytes/1024/7?max_age=60.
    #[arg(long, value_parser = count)]
    keys: Option<u32>,
    /// Sizes in the place of N in /bytes/N, such as 1KiB,16KiB,16KiB,1MiB: each key has one of
    /// them, and one that is named twice has twice the share.
    #[arg(long, value_delimiter = ',', value_parser = bytes, requires = "keys")]
    sizes: Vec<u64>,
    /// The URLs of a file instead, one a line, the most wanted first: paths, or URLs that begin as
    /// --url does.
    #[arg(long, conflicts_with = "keys")]
    urls: Option<PathBuf>,
    /// How keys are wanted: key k in proportion to 1 / (k + 1)^EXPONENT; 0 is all alike.
    #[arg(long, value_name = "EXPONENT", default_value_t = 1.0)]
    zipf: f64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Arrivals {
    Constant,
    Poisson,
}

#[derive(Debug, Serialize)]
struct Outcome<'a, R> {
    load: &'static str,
    url: &'a str,
    #[serde(flatten)]
    report: &'a R,
    #[serde(flatten)]
    cost: Cost,
}

/// What the answers cost the server.
#[derive(Debug, Serialize)]
struct Cost {
    /// From the end of the warm-up to the last answer.
    server: Option<ServerUse>,
    /// The server's CPU time divided by the answers.
    cpu_per_answer_us: Option<PerAnswer>,
    /// What the load used itself.
    generator: GeneratorUse,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct PerAnswer {
    user: f64,
    system: f64,
    total: f64,
}

/// Runs a loop and prints what it found; true when every request was answered right.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let aim = arguments.shared.aim()?;
    let demand = Demand { exponent: arguments.wanted.zipf, seed: arguments.seed };
    let catalog = arguments.wanted.catalog(&aim, demand)?;
    if arguments.schedule.per_second.is_empty() {
        run_closed(arguments, aim, catalog)
    } else {
        run_open(arguments, aim, catalog)
    }
}

fn run_closed(arguments: &Arguments, aim: Aim, catalog: Option<Catalog>) -> anyhow::Result<bool> {
    let end = match arguments.time {
        Some(time) => End::AfterMs(millis(time)),
        None => End::Requests(arguments.requests),
    };
    let (connections, warmup_requests) = (arguments.connections, arguments.warmup);
    let plan = RatePlan { aim, catalog, connections, warmup_requests, end };
    let mut watch = arguments.shared.watch(None)?;
    let mut transport = arguments.shared.transport(connections)?;
    let report = rate(&mut *transport, &plan, &mut watch)?;
    watch.finish()?;
    let all_right = report.unanswered == 0 && report.faults.total() == 0;
    let passed = report.answers.count > 0 && all_right;
    tell(arguments, passed, &report, Cost::of(&watch, &report.answers), print_closed)?;
    Ok(passed)
}

fn run_open(arguments: &Arguments, aim: Aim, catalog: Option<Catalog>) -> anyhow::Result<bool> {
    let schedule = &arguments.schedule;
    let for_ms = millis(schedule.step);
    let steps = schedule.per_second.iter().map(|&per_second| Step { per_second, for_ms });
    let plan = OpenPlan {
        aim,
        catalog,
        connections: arguments.connections,
        warmup_requests: arguments.warmup,
        steps: steps.collect(),
        spacing: match schedule.arrivals {
            Arrivals::Constant => Spacing::Constant,
            Arrivals::Poisson => Spacing::Poisson,
        },
        seed: arguments.seed,
    };
    let mut watch = arguments.shared.watch(None)?;
    let mut transport = arguments.shared.transport(arguments.connections)?;
    let report = open(&mut *transport, &plan, &mut watch)?;
    watch.finish()?;
    let sum = &report.sum;
    let all_right = sum.answers.count == sum.scheduled && report.faults.total() == 0;
    let passed = sum.answers.count > 0 && all_right;
    tell(arguments, passed, &report, Cost::of(&watch, &sum.answers), print_open)?;
    Ok(passed)
}

impl Wanted {
    /// The catalog that the options describe; `None` for the one URL.
    fn catalog(&self, aim: &Aim, demand: Demand) -> anyhow::Result<Option<Catalog>> {
        if let Some(keys) = self.keys {
            let catalog = Catalog::generated(&aim.target, keys, &self.sizes, demand);
            return Ok(Some(catalog.context("--keys")?));
        }
        let Some(file) = &self.urls else { return Ok(None) };
        let told = || format!("--urls {}", file.display());
        let text = read_bounded(file).with_context(told)?;
        Ok(Some(Catalog::listed(&aim.target, &text, demand).with_context(told)?))
    }
}

/// The text of a file that is not larger than a list of URLs may be.
fn read_bounded(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(URLS_BYTES_MAX + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= URLS_BYTES_MAX, "larger than {} MiB", URLS_BYTES_MAX >> 20);
    Ok(text)
}

impl Cost {
    fn of(watch: &Watch, answers: &Answers) -> Self {
        let server = watch.between(Moment::WarmedUp, Moment::Counted);
        let answers = answers.count as f64;
        let cpu_per_answer_us = server.as_ref().filter(|_| answers > 0.0).map(|server| PerAnswer {
            user: server.cpu.user_us / answers,
            system: server.cpu.system_us / answers,
            total: server.cpu.total_us / answers,
        });
        Self { server, cpu_per_answer_us, generator: watch.generator() }
    }
}

/// Prints a result in the form that was asked for.
fn tell<R: Serialize>(
    arguments: &Arguments,
    passed: bool,
    report: &R,
    cost: Cost,
    print: fn(&R),
) -> anyhow::Result<()> {
    let outcome = Outcome { load: "rate", url: arguments.shared.url(), report, cost };
    arguments.shared.tell(&outcome, passed, || {
        println!("rate {}", outcome.url);
        print(report);
        let cost = &outcome.cost;
        if let (Some(per_answer), Some(server)) = (cost.cpu_per_answer_us, &cost.server) {
            println!(
                "  server      {:.2} µs of CPU per answer: {:.2} user, {:.2} system (by {})",
                per_answer.total, per_answer.user, per_answer.system, server.cpu.source
            );
        }
    })
}

fn print_closed(report: &RateReport) {
    let answers = &report.answers;
    println!(
        "  {} answers verified on {} connections in {:.2} s: {:.0} per second, {:.1} MB/s",
        answers.count,
        report.connections,
        report.elapsed_us as f64 / 1e6,
        report.answers_per_s,
        answers.body_bytes as f64 / report.elapsed_us as f64
    );
    let latency = &answers.latency;
    println!(
        "  latency     p50 {} µs, p90 {} µs, p99 {} µs, max {} µs (closed loop)",
        latency.p50_us, latency.p90_us, latency.p99_us, latency.max_us
    );
    print_hits(answers);
    if report.reopened > 0 || report.unanswered > 0 {
        println!("  reopened    {}, unanswered {}", report.reopened, report.unanswered);
    }
    print_faults(&report.faults);
}

fn print_open(report: &OpenReport) {
    println!(
        "  {} of {} requests answered right on {} connections, {} keys, in {:.2} s",
        report.sum.answers.count,
        report.sum.scheduled,
        report.connections,
        report.keys,
        report.elapsed_us as f64 / 1e6
    );
    println!("  latency from when each request was due (open loop), waits for a connection in it");
    println!("{:>10}{}", "asked/s", heading());
    for step in &report.steps {
        println!("{:>10}{}", step.per_second, row(&step.figures));
    }
    if report.steps.len() > 1 {
        println!("{:>10}{}", "all", row(&report.sum));
    }
    let (late, wait) = (&report.sum.late, &report.sum.wait);
    println!(
        "  waits       p99 {} µs; where a connection was free, {} µs, the generator's own",
        wait.p99_us, late.p99_us
    );
    print_hits(&report.sum.answers);
    if report.ended > 0 {
        println!("  reopened    {} connections had ended", report.ended);
    }
    print_faults(&report.faults);
}

fn heading() -> String {
    let names = ["answers/s", "p50 µs", "p99 µs", "p99.9 µs", "max µs", "wait p99", "failed"];
    let mut line: String = names.iter().map(|name| format!("{name:>10}")).collect();
    line.push_str(&format!("{:>10}{:>12}", "unsent", "unanswered"));
    line
}

fn row(figures: &OpenFigures) -> String {
    let latency = &figures.answers.latency;
    let times = [latency.p50_us, latency.p99_us, latency.p999_us, latency.max_us];
    let times = times.iter().map(|us| format!("{us:>10}")).collect::<String>();
    let (waited, failed, unsent) = (figures.wait.p99_us, figures.failed, figures.unsent);
    let unanswered = figures.unanswered;
    format!(
        "{:>10.0}{times}{waited:>10}{failed:>10}{unsent:>10}{unanswered:>12}",
        figures.answers_per_s
    )
}

fn print_hits(answers: &Answers) {
    match answers.hit_ratio {
        Some(ratio) => println!("  hits        {:.2} % by Cache-Status", ratio * 100.0),
        None => println!("  hits        no Cache-Status"),
    }
}

/// Faults by name, with the first few as they happened.
pub(crate) fn print_faults(faults: &FaultLog) {
    println!("  faults      {}", faults.total());
    for (name, count) in faults.counts() {
        println!("    {name}: {count}");
    }
    for example in faults.examples() {
        println!(
            "    at {} ms, connection {}: {} {}",
            example.at_ms, example.connection, example.fault, example.detail
        );
    }
}

/// Most that a list of URLs may be.
const URLS_BYTES_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests;
