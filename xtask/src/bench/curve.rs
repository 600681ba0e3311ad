//! `cargo xtask bench curve`: what parked connections cost, from ten thousand to two million.
//!
//! Each stage has an edge of its own, configured for just that many connections. What it has
//! reserved at its start over an edge for a thousand connections, and what it grows by under them,
//! after some have come and gone to touch what is shared, make the user memory of a connection.
//! The growth of the kernel's slab beside it is that of both ends, since the clients are on the
//! same machine. Every connection has made one verified request.
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
use crate::rig::{EdgeShape, Rig, Server};

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

/// What is spoken on the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// HTTP in the clear.
    Plain,
    /// HTTP over TLS 1.3.
    Tls,
    /// WebSockets in the clear.
    Websocket,
    /// WebSockets over TLS 1.3.
    WebsocketTls,
}

impl Kind {
    const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::WebsocketTls)
    }

    const fn is_websocket(self) -> bool {
        matches!(self, Self::Websocket | Self::WebsocketTls)
    }

    /// Most bytes of user memory that a parked one may cost: 64 + 8 for a plain slot, twice that
    /// for a tunnel, 128 more for TLS.
    const fn bound_bytes(self) -> u32 {
        match self {
            Self::Plain => 96,
            Self::Tls => 256,
            Self::Websocket => 200,
            Self::WebsocketTls => 360,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "TLS 1.3",
            Self::Websocket => "WebSocket",
            Self::WebsocketTls => "WebSocket over TLS 1.3",
        }
    }
}

/// What one stage has shown.
#[derive(Debug)]
struct Stage {
    connections: u32,
    /// User memory, bytes: of a small edge, of this one at its start, warmed up, and with all
    /// parked.
    small_bytes: u64,
    start_bytes: u64,
    warm_bytes: u64,
    parked_bytes: u64,
    /// Kernel slab before and after, bytes.
    slab_bytes: [u64; 2],
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
    let kind = arguments.kind;
    let origin_addresses = match kind.is_websocket() {
        true => connections.div_ceil(TUNNELS_PER_ADDRESS).try_into().unwrap_or(u8::MAX),
        false => 1,
    };
    let (_origin, origin) = match kind.is_websocket() {
        true => rig.echo(connections.saturating_add(SPARE_CONNECTIONS), origin_addresses)?,
        false => rig.origin()?,
    };
    let url = |server: &Server| match kind.is_websocket() {
        true => server.websocket_url("/"),
        false => server.url(PATH),
    };
    let small = EdgeShape {
        secure: kind.is_secure(),
        origin_addresses,
        ..EdgeShape::plain(1, SPARE_CONNECTIONS)
    };
    let small_bytes = {
        let (_edge, server) = rig.edge(origin, small)?;
        let found = rig.bomb(&hold(&url(&server), 1, 0, &server.pid_option()))?;
        figure(&found, "/server/memory_before/anonymous_bytes")?
    };
    // A tunnel has two places.
    let places = connections.saturating_mul(if kind.is_websocket() { 2 } else { 1 });
    let shape = EdgeShape { connections_max: places.saturating_add(SPARE_CONNECTIONS), ..small };
    let (mut edge, server) = rig.edge(origin, shape)?;
    let warm = rig.bomb(&hold(&url(&server), WARM_CONNECTIONS, 0, &server.pid_option()))?;
    let beats = arguments.beat.map(|rate| rate.min(connections));
    let mut options = hold(&url(&server), connections, arguments.seconds, &server.pid_option());
    if let Some(rate) = beats {
        options.push(format!("--heartbeat={}ms", u64::from(connections) * 1000 / u64::from(rate)));
    }
    let found = rig.bomb(&options)?;
    edge.ensure_running()?;
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
        connections,
        small_bytes,
        start_bytes: figure(&warm, "/server/memory_before/anonymous_bytes")?,
        warm_bytes: figure(&found, "/server/memory_before/anonymous_bytes")?,
        parked_bytes: figure(&found, "/server_at_rest/memory_before/anonymous_bytes")?,
        slab_bytes: [
            figure(&found, "/server/kernel_before/slab_bytes")?,
            figure(&found, "/server_at_rest/kernel_before/slab_bytes")?,
        ],
        ramp_ms: figure(&found, "/ramp_ms")?,
        beat: beats.map(|_| beat()).transpose()?,
        beats_per_s: beats,
    })
}

fn hold(url: &str, connections: u32, seconds: u32, pids: &str) -> Vec<String> {
    let time_max = TIME_MAX + Duration::from_secs(seconds.into());
    vec![
        "hold".to_owned(),
        format!("--url={url}"),
        format!("--connections={connections}"),
        format!("--hold={seconds}s"),
        format!("--active={ACTIVE}"),
        format!("--time-max={}s", time_max.as_secs()),
        format!("--server-pid={pids}"),
    ]
}

fn figure(value: &Value, pointer: &str) -> Result<u64> {
    let found = value.pointer(pointer).and_then(Value::as_u64);
    found.with_context(|| format!("the result lacks {pointer}"))
}

impl Stage {
    fn each(&self, from: u64, to: u64) -> f64 {
        (to as f64 - from as f64) / f64::from(self.connections)
    }

    fn reserved(&self) -> f64 {
        self.each(self.small_bytes, self.start_bytes)
    }

    fn growth(&self) -> f64 {
        self.each(self.warm_bytes, self.parked_bytes)
    }

    fn slab(&self) -> f64 {
        self.each(self.slab_bytes[0], self.slab_bytes[1])
    }
}

fn result(host: &Host, kind: Kind, stages: &[Stage]) -> Value {
    let stage = |stage: &Stage| {
        json!({
            "connections": stage.connections,
            "user_bytes_each": stage.reserved() + stage.growth(),
            "reserved_bytes_each": stage.reserved(),
            "growth_bytes_each": stage.growth(),
            "slab_bytes_each_pair": stage.slab(),
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
        let opened = f64::from(stage.connections) * 1000.0 / stage.ramp_ms.max(1) as f64;
        let beat = stage.beat.map_or_else(String::new, |(cpu_us, p99_us)| {
            format!("{cpu_us:.1} µs CPU, p99 {p99_us} µs")
        });
        println!(
            "{:>11} {:>13.1} = {:>8.1} + {:>6.1} {:>19.0} {opened:>10.0}   {beat}",
            stage.connections,
            stage.reserved() + stage.growth(),
            stage.reserved(),
            stage.growth(),
            stage.slab(),
        );
    }
    if let [first, .., last] = stages
        && let (Some((first_us, _)), Some((last_us, _))) = (first.beat, last.beat)
    {
        println!(
            "a heartbeat among {} costs {:.2} × one among {} (bound 1.3)",
            last.connections,
            last_us / first_us,
            first.connections
        );
    }
    println!("bound: {} B of user memory each", kind.bound_bytes());
}

/// A number as typed: `500`, `10k`, `2m`.
fn count_of(text: &str) -> Result<u32> {
    let (number, unit) = match text.trim().to_ascii_lowercase() {
        text if text.ends_with('k') => (text.trim_end_matches('k').to_owned(), 1000),
        text if text.ends_with('m') => (text.trim_end_matches('m').to_owned(), 1_000_000),
        text => (text, 1),
    };
    let number: u32 = number.parse().context("a stage is a number, such as 500, 10k or 2m")?;
    let count = number.checked_mul(unit).context("more connections than there can be")?;
    ensure!(count > 0, "a stage has one connection at least");
    Ok(count)
}

/// What they ask for.
const PATH: &str = "/bytes/1024?max_age=86400";
/// Connections that an edge has room for beyond those that are parked; all that a small one has.
const SPARE_CONNECTIONS: u32 = 1024;
/// Connects and requests under way at once: few, since each may touch a buffer of the edge's pool,
/// which is shared and no part of a connection.
const ACTIVE: u32 = 64;
/// Tunnels to each address of the origin: there are ports for 28,232 connections of the edge to it,
/// and those that are free are found by trial.
const TUNNELS_PER_ADDRESS: u32 = 12_000;
/// Connections that come and go before the first reading.
const WARM_CONNECTIONS: u32 = 256;
/// How long a stage may take beside its rest: two million connections with TLS take minutes.
const TIME_MAX: Duration = Duration::from_secs(1800);

#[cfg(test)]
mod tests {
    use super::{Stage, count_of};

    #[test]
    fn stages_are_typed_with_k_and_m() {
        let check = |text, expected| assert_eq!(count_of(text).ok(), expected, "{text:?}");
        check("500", Some(500));
        check("10k", Some(10_000));
        check("2M", Some(2_000_000));
        for wrong in ["", "k", "0", "-1", "1g", "5000m", "1.5m"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_connection_costs_what_was_reserved_and_what_grew() {
        let stage = Stage {
            connections: 100,
            small_bytes: 1000,
            start_bytes: 7500,
            warm_bytes: 8000,
            parked_bytes: 8700,
            slab_bytes: [0, 800],
            ramp_ms: 1,
            beat: None,
            beats_per_s: None,
        };
        assert_eq!((stage.reserved(), stage.growth(), stage.slab()), (65.0, 7.0, 8.0));
    }
}
