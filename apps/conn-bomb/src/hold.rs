//! `conn-bomb hold`: command line and result of a hold.

use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use longhold_loadgen::hold::{HoldReport, hold};
use longhold_loadgen::plan::{HoldPlan, Moment};
use serde::Serialize;

use crate::load::{Shared, count, duration, millis};
use crate::rate::print_faults;
use crate::server::{GeneratorUse, ServerUse};

/// Options of `conn-bomb hold`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    shared: Shared,
    /// Connections to open; above 6,000 they come from several addresses in 127.0.0.0/8.
    #[arg(long, default_value = "1000", value_parser = count)]
    connections: u32,
    /// Stages instead, such as 10k,50k,100k: each adds connections and then rests.
    #[arg(long, value_delimiter = ',', value_parser = count, conflicts_with = "connections")]
    stages: Vec<u32>,
    /// How long they rest once all of a stage are open.
    #[arg(long, default_value = "5s", value_parser = duration)]
    hold: Duration,
    /// While they rest: a request on each, once per this interval, spread evenly.
    #[arg(long, value_parser = duration, conflicts_with = "events")]
    heartbeat: Option<Duration>,
    /// Hear event streams: --url …/events?interval=10s of an origin such as conn-bomb echo. One is
    /// held while its events come whole, in order, and no later than --answer-timeout.
    #[arg(long)]
    events: bool,
    /// Connects and requests under way at a time.
    #[arg(long, default_value_t = 256)]
    active: u32,
}

#[derive(Debug, Serialize)]
struct Outcome<'a> {
    load: &'static str,
    url: &'a str,
    #[serde(flatten)]
    report: &'a HoldReport,
    /// From before the first connection to the end of the hold.
    server: Option<ServerUse>,
    /// While they rested: what heartbeats cost it, if there were any.
    server_at_rest: Option<ServerUse>,
    /// What the load used itself.
    generator: GeneratorUse,
}

/// Runs a hold and prints what it found; true when every connection was held.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let target = arguments.shared.target()?;
    let target = if arguments.events { target.with_events()? } else { target };
    let aim = arguments.shared.aim_at(target);
    let least_ms = millis(arguments.hold);
    let stages = match arguments.stages.is_empty() {
        true => vec![arguments.connections],
        false => arguments.stages.clone(),
    };
    let rests_ms = least_ms.saturating_mul(stages.len() as u64);
    ensure!(aim.time_max_ms > rests_ms, "--time-max is shorter than --hold");
    let connections = stages.last().copied().unwrap_or_default();
    let plan = HoldPlan {
        aim,
        stages,
        active_max: arguments.active,
        hold_ms: least_ms,
        heartbeat_ms: arguments.heartbeat.map(millis),
    };
    let mut watch = arguments.shared.watch(Some(connections))?;
    let mut transport = arguments.shared.transport(connections)?;
    #[cfg(feature = "sabotage")]
    let _bloat = crate::sabotage::bloat(connections);
    let report = hold(&mut *transport, &plan, &mut watch)?;
    watch.finish()?;
    let outcome = Outcome {
        load: "hold",
        url: arguments.shared.url(),
        report: &report,
        server: watch.between(Moment::Begin, Moment::Held),
        server_at_rest: watch.between(Moment::Parked, Moment::Held),
        generator: watch.generator(),
    };
    let passed = report.held == report.connections && report.faults.total() == 0;
    arguments.shared.tell(&outcome, passed, || print(&outcome))?;
    Ok(passed)
}

fn print(outcome: &Outcome<'_>) {
    let report = outcome.report;
    println!("hold {}", outcome.url);
    println!(
        "  held {} of {} (lost {}, unfinished {}) for {} ms after a ramp of {} ms",
        report.held,
        report.connections,
        report.lost,
        report.unfinished,
        report.hold_ms,
        report.ramp_ms
    );
    for stage in report.stages.iter().filter(|_| report.stages.len() > 1) {
        println!(
            "  stage       {} of {} held, ramp {} ms, {} heartbeats in {} ms",
            stage.held, stage.connections, stage.ramp_ms, stage.heartbeats, stage.hold_ms
        );
    }
    if report.retries > 0 {
        println!("  retries     {} connects", report.retries);
    }
    println!("  connect     p50 {} µs, p99 {} µs", report.connect.p50_us, report.connect.p99_us);
    let first = &report.first;
    println!(
        "  first       {} answers verified, p50 {} µs, p99 {} µs",
        first.count, first.latency.p50_us, first.latency.p99_us
    );
    if report.heartbeats.count > 0 {
        let beats = &report.heartbeats;
        println!(
            "  heartbeats  {} answers verified, p50 {} µs, p99 {} µs",
            beats.count, beats.latency.p50_us, beats.latency.p99_us
        );
    }
    if let Some(rest) = outcome.server_at_rest.as_ref().filter(|_| report.heartbeats.count > 0) {
        let each_us = rest.cpu.total_us / report.heartbeats.count as f64;
        println!("  server      {each_us:.1} µs of CPU per heartbeat");
    }
    print_faults(&report.faults);
    let generator = &outcome.generator;
    println!(
        "  generator   {} KiB anonymous memory at most; {:.1} ms of CPU",
        generator.anonymous_bytes / 1024,
        generator.cpu_us / 1000.0
    );
    let Some(server) = &outcome.server else { return };
    let grown =
        server.memory_after.anonymous_bytes as f64 - server.memory_before.anonymous_bytes as f64;
    println!(
        "  server      {} KiB anonymous memory, {:.0} B more per connection; {:.1} ms of CPU",
        server.memory_after.anonymous_bytes / 1024,
        grown / f64::from(report.connections),
        server.cpu.total_us / 1000.0
    );
}

#[cfg(test)]
mod tests;
