//! `conn-bomb storm`: command line and result of peers that behave badly, and of waves.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use longhold_loadgen::plan::Moment;
use longhold_loadgen::series::Observer as _;
use longhold_loadgen::storm::{Manner, StormPlan, StormReport, storm};
use longhold_loadgen::waves::{WavesPlan, WavesReport, waves};
use serde::Serialize;

use crate::load::{Shared, duration, millis};
use crate::rate::print_faults;
use crate::server::{GeneratorUse, ServerUse, Watch};

/// Options of `conn-bomb storm`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    shared: Shared,
    /// What they do: waves (connect, get a verified answer, all drop at once, all come back), or
    /// slow-head, slow-body, slow-reader, silent, half-handshake, aborted-upload, header-flood,
    /// pipelining, garbage.
    #[arg(long, value_parser = Mode::parse)]
    mode: Mode,
    /// Peers in all; above 6,000 they come from several addresses in 127.0.0.0/8.
    #[arg(long, default_value_t = 1000)]
    connections: u32,
    /// Peers at a time; all of them unless said otherwise.
    #[arg(long)]
    at_once: Option<u32>,
    /// How long they go on, at most; what stands then is closed, and told.
    #[arg(long, default_value = "30s", value_parser = duration)]
    time: Duration,
    /// Slow ones: how often each moves a piece.
    #[arg(long, default_value = "1s", value_parser = duration)]
    every: Duration,
    /// Slow ones: bytes of a piece; slow readers may read 0.
    #[arg(long, default_value_t = 1)]
    piece: u32,
    /// Pipelining: requests in one piece.
    #[arg(long, default_value_t = 32)]
    burst: u32,
    /// Waves: how often all come, and go.
    #[arg(long, default_value_t = 2)]
    waves: u32,
    /// Waves: over how long their connects are spread, if the server keeps up.
    #[arg(long, default_value = "1s", value_parser = duration)]
    within: Duration,
    /// Waves: connects and requests under way at a time.
    #[arg(long, default_value_t = 256)]
    active: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Waves,
    Bad(Manner),
}

#[derive(Debug, Serialize)]
struct Outcome<'a, R> {
    load: &'static str,
    url: &'a str,
    #[serde(flatten)]
    report: &'a R,
    /// From before the first peer to after the last.
    server: Option<ServerUse>,
    /// What the load used itself.
    generator: GeneratorUse,
}

impl Mode {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let manner = Manner::ALL.into_iter().find(|manner| manner.name() == text);
        let waves = (text == WAVES).then_some(Self::Waves);
        let names = || Manner::ALL.map(Manner::name).join(", ");
        waves
            .or(manner.map(Self::Bad))
            .ok_or_else(|| anyhow!("unknown mode: use {WAVES}, {}", names()))
    }
}

/// Runs a storm and prints what became of its peers; true when nothing happened that no peer
/// provoked: connects failed, or answers were wrong.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let mut watch = arguments.shared.watch(None)?;
    watch.observe(Moment::Begin);
    match arguments.mode {
        Mode::Waves => run_waves(arguments, &mut watch),
        Mode::Bad(manner) => run_bad(arguments, manner, &mut watch),
    }
}

fn run_bad(arguments: &Arguments, manner: Manner, watch: &mut Watch) -> anyhow::Result<bool> {
    let plan = StormPlan {
        aim: arguments.shared.aim()?,
        manner,
        peers: arguments.connections,
        at_once: arguments.at_once.unwrap_or(arguments.connections),
        lasts_ms: millis(arguments.time),
        every_ms: millis(arguments.every),
        piece_bytes: arguments.piece,
        burst: arguments.burst,
    };
    let mut transport = arguments.shared.transport(plan.at_once)?;
    let report = storm(&mut *transport, &plan, watch)?;
    watch.observe(Moment::Held);
    let passed = report.faults.total() == 0 && report.unfinished == 0;
    tell(arguments, passed, &report, watch, print)?;
    Ok(passed)
}

fn run_waves(arguments: &Arguments, watch: &mut Watch) -> anyhow::Result<bool> {
    let plan = WavesPlan {
        aim: arguments.shared.aim()?,
        connections: arguments.connections,
        waves: arguments.waves,
        within_ms: millis(arguments.within),
        active_max: arguments.active,
    };
    let mut transport = arguments.shared.transport(plan.connections)?;
    let report = waves(&mut *transport, &plan, watch)?;
    watch.observe(Moment::Held);
    let all_held = report.waves.iter().all(|wave| wave.held == report.connections);
    let passed = all_held && report.faults.total() == 0;
    tell(arguments, passed, &report, watch, print_waves)?;
    Ok(passed)
}

fn tell<R: Serialize>(
    arguments: &Arguments,
    passed: bool,
    report: &R,
    watch: &mut Watch,
    print: fn(&R),
) -> anyhow::Result<()> {
    watch.finish()?;
    let load = match arguments.mode {
        Mode::Waves => WAVES,
        Mode::Bad(_) => "storm",
    };
    let (server, generator) = (watch.between(Moment::Begin, Moment::Held), watch.generator());
    let outcome = Outcome { load, url: arguments.shared.url(), report, server, generator };
    arguments.shared.tell(&outcome, passed, || {
        println!("{load} {}", outcome.url);
        print(report);
        if let Some(server) = &outcome.server {
            println!(
                "  server      {} KiB anonymous memory before, {} after; {:.1} ms of CPU",
                server.memory_before.anonymous_bytes / 1024,
                server.memory_after.anonymous_bytes / 1024,
                server.cpu.total_us / 1000.0
            );
        }
    })
}

fn print(report: &StormReport) {
    let ends = &report.endings;
    println!(
        "  {} of {} peers that do {}, in {} ms (unfinished {})",
        ends.total() + report.faults.total(),
        report.peers,
        report.manner,
        report.lasted_ms,
        report.unfinished
    );
    println!(
        "  by the server: {} answered and closed, {} cut off, {} closed, {} reset \
         (borne for p50 {} ms, max {} ms)",
        ends.answered,
        ends.cut,
        ends.closed,
        ends.reset,
        report.borne.p50_us / 1000,
        report.borne.max_us / 1000
    );
    println!(
        "  by themselves: {} left, {} had all answers ({} verified), {} stood to the end",
        ends.left, ends.verified, report.verified, ends.stood
    );
    for (status, count) in &report.statuses {
        println!("  answered    {status} to {count}");
    }
    println!("  bytes       {} sent, {} received", report.sent_bytes, report.received_bytes);
    print_faults(&report.faults);
}

fn print_waves(report: &WavesReport) {
    for (number, wave) in report.waves.iter().enumerate() {
        println!(
            "  wave {number}: {} of {} held (lost {}) after {} ms, all dropped in {} ms",
            wave.held, report.connections, wave.lost, wave.ramp_ms, wave.drop_ms
        );
    }
    let answers = &report.answers;
    println!(
        "  answers     {} verified, p50 {} µs, p99 {} µs; connect p99 {} µs",
        answers.count, answers.latency.p50_us, answers.latency.p99_us, report.connect.p99_us
    );
    print_faults(&report.faults);
}

const WAVES: &str = "waves";

#[cfg(test)]
mod tests {
    use longhold_loadgen::storm::Manner;

    use super::Mode;

    #[test]
    fn each_mode_has_a_word_and_others_are_named_in_the_refusal() {
        assert_eq!(Mode::parse("waves").ok(), Some(Mode::Waves));
        for manner in Manner::ALL {
            assert_eq!(Mode::parse(manner.name()).ok(), Some(Mode::Bad(manner)));
        }
        let refused = Mode::parse("weather").expect_err("no mode").to_string();
        assert!(refused.contains("slow-head") && refused.contains("waves"), "{refused}");
    }
}
