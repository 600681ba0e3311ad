//! `cargo xtask bench idle`: user memory that a parked connection costs.
//!
//! The edge starts, some connections come and go so that what is touched once is touched, its
//! memory is read; then all connections open, make one request each, whose answer is verified, and
//! rest; its memory is read again. The difference is divided by their number. Kernel memory is
//! that of both ends of each connection, and of the whole machine: a hint, no figure of ours.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::host::Host;
use crate::rig::{EdgeShape, Rig, Server};

/// Options of `cargo xtask bench idle`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Connections to park.
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Seconds they rest before the memory is read.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
    /// Take the released programs that are there, whatever the tree says meanwhile.
    #[arg(long)]
    no_build: bool,
}

/// Runs the bench and prints what it found.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut rig = Rig::new(arguments.no_build)?;
    rig.keep_apart();
    let (_origin, origin) = rig.origin()?;
    let connections_max = arguments.connections.saturating_add(SPARE_CONNECTIONS);
    let (mut edge, server) = rig.edge(origin, EdgeShape { workers: 1, connections_max })?;
    hold(&rig, &server, WARM_CONNECTIONS, 0)?;
    let found = hold(&rig, &server, arguments.connections, arguments.seconds)?;
    edge.ensure_running()?;
    let held = count(&found, "/held")?;
    ensure!(
        held == u64::from(arguments.connections),
        "only {held} of {} connections were held: {}",
        arguments.connections,
        found.get("faults").unwrap_or(&Value::Null)
    );
    let result = result(&Host::here(), &found, arguments.connections)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&result)?);
    } else {
        print(&result, &found)?;
    }
    Ok(())
}

fn hold(rig: &Rig, server: &Server, connections: u32, seconds: u32) -> Result<Value> {
    rig.bomb(&[
        "hold".to_owned(),
        format!("--url={}", server.url("/bytes/1024?max_age=86400")),
        format!("--connections={connections}"),
        format!("--hold={seconds}s"),
        format!("--server-pid={}", server.pid_option()),
    ])
}

fn count(value: &Value, pointer: &str) -> Result<u64> {
    let found = value.pointer(pointer).and_then(Value::as_u64);
    found.with_context(|| format!("the result lacks {pointer}"))
}

fn result(host: &Host, found: &Value, connections: u32) -> Result<Value> {
    let memory = |name: &str| -> Result<Value> {
        let before = count(found, &format!("/server/memory_before/{name}"))?;
        let after = count(found, &format!("/server/memory_after/{name}"))?;
        let grown = after as f64 - before as f64;
        Ok(json!({
            "before_bytes": before,
            "after_bytes": after,
            "per_connection_bytes": grown / f64::from(connections),
        }))
    };
    let kernel = |name: &str| -> Result<Value> {
        Ok(json!({
            "before": count(found, &format!("/server/kernel_before/{name}"))?,
            "after": count(found, &format!("/server/kernel_after/{name}"))?,
        }))
    };
    Ok(json!({
        "bench": "idle",
        "host": host.json(),
        "connections": connections,
        "anonymous": memory("anonymous_bytes")?,
        "private": memory("private_bytes")?,
        "resident": memory("resident_bytes")?,
        "kernel_of_both_ends": {
            "tcp_sockets": kernel("tcp_sockets")?,
            "tcp_memory_pages": kernel("tcp_memory_pages")?,
            "slab_bytes": kernel("slab_bytes")?,
            "slab_growth": found.pointer("/server/slab_growth").cloned().unwrap_or_default(),
        },
        "hold": found,
    }))
}

fn print(result: &Value, found: &Value) -> Result<()> {
    Host::here().print();
    let connections = count(result, "/connections")?;
    println!();
    println!(
        "{connections} connections parked after one verified request each (ramp {} ms)",
        count(found, "/ramp_ms")?
    );
    for (name, what) in [
        ("anonymous", "allocated and touched"),
        ("private", "the above and private file pages"),
        ("resident", "the above and shared pages"),
    ] {
        let number = |key: &str| count(result, &format!("/{name}/{key}"));
        let per_connection = result
            .pointer(&format!("/{name}/per_connection_bytes"))
            .and_then(Value::as_f64)
            .context("the result lacks a figure")?;
        println!(
            "  {name:<10} {per_connection:>8.1} B each   {:>7} KiB before, {:>7} KiB after \
             ({what})",
            number("before_bytes")? / 1024,
            number("after_bytes")? / 1024
        );
    }
    println!("  budget         96.0 B each, of anonymous memory");
    let kernel = |key: &str| count(result, &format!("/kernel_of_both_ends/{key}"));
    let slab = kernel("slab_bytes/after")?.saturating_sub(kernel("slab_bytes/before")?);
    println!(
        "kernel, whole machine, both ends: {} → {} TCP sockets, {} → {} pages of buffers, \
         slab {:.0} B more per connection",
        kernel("tcp_sockets/before")?,
        kernel("tcp_sockets/after")?,
        kernel("tcp_memory_pages/before")?,
        kernel("tcp_memory_pages/after")?,
        slab as f64 / connections as f64
    );
    let growth = result.pointer("/kernel_of_both_ends/slab_growth").and_then(Value::as_array);
    match growth.filter(|growth| !growth.is_empty()) {
        None => println!("  /proc/slabinfo is not readable: root would name the caches"),
        Some(growth) => {
            for cache in growth.iter().take(SLAB_CACHES_MAX) {
                println!(
                    "  {:<24} {:>9} objects more, {:>7.1} B per connection",
                    cache.pointer("/cache").and_then(Value::as_str).unwrap_or_default(),
                    count(cache, "/objects")?,
                    count(cache, "/bytes")? as f64 / connections as f64
                );
            }
        }
    }
    Ok(())
}

/// Connections that the edge has room for beyond those that are parked.
const SPARE_CONNECTIONS: u32 = 1024;
/// Connections that come and go before the first reading.
const WARM_CONNECTIONS: u32 = 64;
/// Slab caches that are printed.
const SLAB_CACHES_MAX: usize = 8;
