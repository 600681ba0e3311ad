//! `conn-bomb rate`: command line and result of a closed loop.

use std::time::Duration;

use clap::Args;
use longhold_loadgen::fault::FaultLog;
use longhold_loadgen::plan::{End, Moment, RatePlan};
use longhold_loadgen::rate::{RateReport, rate};
use longhold_loadgen::series::Observer as _;
use serde::Serialize;

use crate::load::{Shared, duration, millis};
use crate::server::{ServerUse, Watch};

/// Options of `conn-bomb rate`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    shared: Shared,
    /// Connections that ask, each its next request after the last answer.
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Requests to make, after the warm-up.
    #[arg(long, default_value_t = 100_000, conflicts_with = "time")]
    requests: u64,
    /// Ask for this long instead, after the warm-up.
    #[arg(long, value_parser = duration)]
    time: Option<Duration>,
    /// Requests before anything is counted.
    #[arg(long, default_value_t = 1000)]
    warmup: u64,
}

#[derive(Debug, Serialize)]
struct Outcome<'a> {
    load: &'static str,
    url: &'a str,
    #[serde(flatten)]
    report: &'a RateReport,
    /// From the end of the warm-up to the last answer.
    server: Option<ServerUse>,
    /// The server's CPU time divided by the answers.
    cpu_per_answer_us: Option<PerAnswer>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct PerAnswer {
    user: f64,
    system: f64,
    total: f64,
}

/// Runs a closed loop and prints what it found; true when every answer was right.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let end = match arguments.time {
        Some(time) => End::AfterMs(millis(time)),
        None => End::Requests(arguments.requests),
    };
    let plan = RatePlan {
        aim: arguments.shared.aim()?,
        connections: arguments.connections,
        warmup_requests: arguments.warmup,
        end,
    };
    let mut watch = Watch::new(&arguments.shared.server_pid)?;
    let mut transport = arguments.shared.transport(arguments.connections)?;
    let report = rate(&mut *transport, &plan, &mut |moment: Moment| watch.observe(moment))?;
    let server = watch.between(Moment::WarmedUp, Moment::Counted);
    let answers = report.answers.count as f64;
    let cpu_per_answer_us = server.as_ref().filter(|_| answers > 0.0).map(|server| PerAnswer {
        user: server.cpu.user_us / answers,
        system: server.cpu.system_us / answers,
        total: server.cpu.total_us / answers,
    });
    let url = arguments.shared.url();
    let outcome = Outcome { load: "rate", url, report: &report, server, cpu_per_answer_us };
    if arguments.shared.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print(&outcome);
    }
    Ok(report.answers.count > 0 && report.unanswered == 0 && report.faults.total() == 0)
}

fn print(outcome: &Outcome<'_>) {
    let (report, answers) = (outcome.report, &outcome.report.answers);
    println!("rate {}", outcome.url);
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
    match answers.hit_ratio {
        Some(ratio) => println!("  hits        {:.2} % by Cache-Status", ratio * 100.0),
        None => println!("  hits        no Cache-Status"),
    }
    if report.reopened > 0 || report.unanswered > 0 {
        println!("  reopened    {}, unanswered {}", report.reopened, report.unanswered);
    }
    print_faults(&report.faults);
    if let (Some(cost), Some(server)) = (outcome.cpu_per_answer_us, &outcome.server) {
        println!(
            "  server      {:.2} µs of CPU per answer: {:.2} user, {:.2} system (by {})",
            cost.total, cost.user, cost.system, server.cpu.source
        );
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
