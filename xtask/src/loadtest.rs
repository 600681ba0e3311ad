//! `cargo xtask loadtest …`: holds and loads the edge, and fails when it does not stand it.
//!
//! Nothing is asserted on time: a slow machine is no fault of the edge. What is asserted is that
//! every connection is held, every answer right to the byte, and that hits are hits.

mod assertion;

use std::fs;

use anyhow::{Context as _, Result, ensure};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::host::Host;
use crate::rig::{EdgeShape, Rig, Server};
use crate::tree;
use assertion::{Assertion, assertions};

/// Which profile.
#[derive(Debug, Subcommand)]
pub(crate) enum Loadtest {
    /// Holds 2,000 connections while a few others load it: under a minute.
    Smoke(Arguments),
}

/// Options of every profile.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Take the released programs that are there, whatever the tree says meanwhile.
    #[arg(long)]
    no_build: bool,
}

/// Runs a profile; an error when an assertion fails.
pub(crate) fn run(profile: &Loadtest) -> Result<()> {
    match profile {
        Loadtest::Smoke(arguments) => smoke(arguments),
    }
}

fn smoke(arguments: &Arguments) -> Result<()> {
    let rig = Rig::new(arguments.no_build)?;
    let (_origin, origin) = rig.origin()?;
    let shape = EdgeShape::plain(2, EDGE_CONNECTIONS_MAX);
    let (mut edge, server) = rig.edge(origin, shape)?;
    let holding = rig.start_bomb(&hold_arguments(&server))?;
    let rate = rig.bomb(&rate_arguments(&server))?;
    let hold = holding.result()?;
    edge.ensure_running()?;

    let asserted = assertions(&hold, &rate, CONNECTIONS);
    let result = json!({
        "loadtest": "smoke",
        "host": Host::here().json(),
        "passed": asserted.iter().all(|it| it.passed),
        "assertions": asserted.iter().map(Assertion::json).collect::<Vec<_>>(),
        "hold": hold,
        "rate": rate,
    });
    let folder = tree::target_folder().join("loadtest");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join("smoke.json");
    fs::write(&path, serde_json::to_string_pretty(&result)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    print(&hold, &rate);
    for it in &asserted {
        println!("{it}");
    }
    println!("written to {}", path.display());
    let failed = asserted.iter().filter(|it| !it.passed).count();
    ensure!(failed == 0, "{failed} of {} assertions failed", asserted.len());
    Ok(())
}

fn hold_arguments(server: &Server) -> Vec<String> {
    vec![
        "hold".to_owned(),
        format!("--url={}", server.url("/bytes/1024/hold?max_age=3600")),
        format!("--connections={CONNECTIONS}"),
        "--hold=10s".to_owned(),
        "--heartbeat=4s".to_owned(),
        format!("--server-pid={}", server.pid_option()),
    ]
}

fn rate_arguments(server: &Server) -> Vec<String> {
    vec![
        "rate".to_owned(),
        format!("--url={}", server.url("/bytes/16384/rate?max_age=3600")),
        "--connections=32".to_owned(),
        "--requests=50000".to_owned(),
        "--warmup=500".to_owned(),
        format!("--server-pid={}", server.pid_option()),
    ]
}

/// The summary; what is missing in a result prints as 0, and fails its assertion below.
fn print(hold: &Value, rate: &Value) {
    let number = |value: &Value, pointer: &str| {
        value.pointer(pointer).and_then(Value::as_f64).unwrap_or_default()
    };
    Host::here().print();
    println!();
    println!(
        "hold    {:.0} of {:.0} connections held, {:.0} + {:.0} answers verified, ramp {:.0} ms",
        number(hold, "/held"),
        number(hold, "/connections"),
        number(hold, "/first/count"),
        number(hold, "/heartbeats/count"),
        number(hold, "/ramp_ms")
    );
    println!(
        "        edge: {:.0} KiB of anonymous memory before, {:.0} KiB while holding; \
         {:.2} s of CPU",
        number(hold, "/server/memory_before/anonymous_bytes") / 1024.0,
        number(hold, "/server/memory_after/anonymous_bytes") / 1024.0,
        number(hold, "/server/cpu/total_us") / 1e6
    );
    println!(
        "rate    {:.0} answers verified, {:.0} per second, p50 {:.0} µs, p99 {:.0} µs, \
         hits {:.2} %",
        number(rate, "/answers/count"),
        number(rate, "/answers_per_s"),
        number(rate, "/answers/latency/p50_us"),
        number(rate, "/answers/latency/p99_us"),
        number(rate, "/answers/hit_ratio") * 100.0
    );
}

/// Connections of the hold.
const CONNECTIONS: u64 = 2000;
/// Room for them, for the loop, and for some more.
const EDGE_CONNECTIONS_MAX: u32 = 4096;
