//! `cargo xtask bench curve`: what parked connections cost, from ten thousand to two million.
//!
//! Each stage has an edge of its own, configured for just that many connections, each of which has
//! made one verified request ([`crate::parked`] says what is counted).
//!
//! `--kind` says what the connections are: plain or TLS 1.3, requests or WebSockets. A WebSocket
//! has a second connection behind it, to the origin, and its echo: the slab then holds both ends
//! of both.
//!
//! `--beat` adds what a heartbeat costs: the connections take turns at a fixed rate, the same at
//! every stage, so that a stage's figure differs from another's by the number of parked connections
//! alone. Every connection has been quiet for a second at least when its turn comes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::host::Host;
use crate::parked::{Crowd, Footprint, Kind, count_of, figure};
use crate::rig::{EdgeTransport, Rig};

/// Options of `cargo xtask bench curve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Connections at each stage; 10k and 2m are numbers, too.
    #[arg(long, value_delimiter = ',', value_parser = count_of, default_value = "10k,100k,300k")]
    stages: Vec<u32>,
    /// What is spoken on them.
    #[arg(long, value_enum, default_value_t = Kind::Plain)]
    kind: Kind,
    /// Seconds they rest.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Heartbeats per second while they rest, over all connections; at most one per second each.
    #[arg(long)]
    beat: Option<u32>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Take the released programs that are there, whatever the tree says meanwhile.
    #[arg(long)]
    no_build: bool,
}

/// What one stage has shown.
#[derive(Debug)]
struct Stage {
    footprint: Footprint,
    ramp_ms: u64,
    /// Server CPU per heartbeat, µs, and the answers' 99th percentile, µs.
    beat: Option<(f64, u64)>,
    beats_per_s: Option<u32>,
}

/// Runs the bench and prints what it found.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut rig = Rig::new(arguments.no_build)?;
    rig.keep_apart();
    let mut stages = Vec::new();
    for &connections in &arguments.stages {
        eprintln!("{connections} connections");
        stages.push(measure(&rig, arguments, connections)?);
    }
    let host = Host::here();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&result(&host, arguments.kind, &stages))?);
    } else {
        print(&host, arguments.kind, &stages);
    }
    Ok(())
}

fn measure(rig: &Rig, arguments: &Arguments, connections: u32) -> Result<Stage> {
    let crowd =
        Crowd { kind: arguments.kind, connections, workers: 1, transport: EdgeTransport::Uring };
    let mut stand = crowd.stand(rig)?;
    let beats = arguments.beat.map(|rate| rate.min(connections));
    let rest = Duration::from_secs(arguments.seconds.into());
    let mut options = stand.hold_options(&[connections], rest);
    if let Some(rate) = beats {
        options.push(format!("--heartbeat={}ms", u64::from(connections) * 1000 / u64::from(rate)));
    }
    let found = rig.bomb(&options)?;
    stand.edge.ensure_running()?;
    let held = figure(&found, "/held")?;
    ensure!(
        held == u64::from(connections),
        "only {held} of {connections} connections were held: {}",
        found.get("faults").unwrap_or(&Value::Null)
    );
    let beat = || -> Result<(f64, u64)> {
        let cpu = found.pointer("/server_at_rest/cpu/total_us").and_then(Value::as_f64);
        let count = figure(&found, "/heartbeats/count")?;
        ensure!(count > 0, "no heartbeat was answered");
        let each_us = cpu.context("the server's CPU time is not known")? / count as f64;
        Ok((each_us, figure(&found, "/heartbeats/latency/p99_us")?))
    };
    Ok(Stage {
        footprint: stand.footprint(&found)?,
        ramp_ms: figure(&found, "/ramp_ms")?,
        beat: beats.map(|_| beat()).transpose()?,
        beats_per_s: beats,
    })
}

fn result(host: &Host, kind: Kind, stages: &[Stage]) -> Value {
    let stage = |stage: &Stage| {
        json!({
            "connections": stage.footprint.connections,
            "user_bytes_each": stage.footprint.user(),
            "reserved_bytes_each": stage.footprint.reserved(),
            "growth_bytes_each": stage.footprint.growth(),
            "slab_bytes_each_pair": stage.footprint.slab(),
            "ramp_ms": stage.ramp_ms,
            "heartbeats_per_s": stage.beats_per_s,
            "heartbeat_cpu_us": stage.beat.map(|(cpu_us, _)| cpu_us),
            "heartbeat_p99_us": stage.beat.map(|(_, p99_us)| p99_us),
        })
    };
    json!({
        "bench": "curve",
        "kind": kind.name(),
        "host": host.json(),
        "stages": stages.iter().map(stage).collect::<Vec<_>>(),
    })
}

fn print(host: &Host, kind: Kind, stages: &[Stage]) {
    host.print();
    println!();
    println!("{}", kind.name());
    println!("connections   user B each = reserved + growth   slab B, both ends   opened/s   beat");
    for stage in stages {
        let opened = f64::from(stage.footprint.connections) * 1000.0 / stage.ramp_ms.max(1) as f64;
        let beat = stage.beat.map_or_else(String::new, |(cpu_us, p99_us)| {
            format!("{cpu_us:.1} µs CPU, p99 {p99_us} µs")
        });
        println!(
            "{:>11} {:>13.1} = {:>8.1} + {:>6.1} {:>19.0} {opened:>10.0}   {beat}",
            stage.footprint.connections,
            stage.footprint.user(),
            stage.footprint.reserved(),
            stage.footprint.growth(),
            stage.footprint.slab(),
        );
    }
    if let [first, .., last] = stages
        && let (Some((first_us, _)), Some((last_us, _))) = (first.beat, last.beat)
    {
        println!(
            "a heartbeat among {} costs {:.2} × one among {} (bound 1.3)",
            last.footprint.connections,
            last_us / first_us,
            first.footprint.connections
        );
    }
    println!("bound: {} B of user memory each", kind.bound_bytes());
}
