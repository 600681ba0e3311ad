//! `cargo xtask bench idle`: user memory that a parked connection costs.
//!
//! Two parts of it are measured, and added up:
//!
//! - **reserved** at start: what an edge that is configured for these connections has just after
//!   its start over one that is configured for a thousand, before any connection.
//! - **growth** under connections: some come and go, so that what is touched once is touched; the
//!   memory is read; all connections open, make one request each, whose answer is verified, and
//!   rest; the memory is read again.
//!
//! Kernel memory is that of both ends of each connection, and of the whole machine: a hint, no
//! figure of ours.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::host::Host;
use crate::rig::{EdgeShape, EdgeTransport, Rig, Server};

/// Options of `cargo xtask bench idle`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Connections to park.
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Seconds they rest before the memory is read.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// With `epoll`, an edge on epoll is measured behind the one on io_uring, and the ratio of both
    /// is printed.
    #[arg(long, value_enum, default_value = "uring")]
    transport: EdgeTransport,
    /// Print one JSON object for each edge instead of lines.
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
    let on_uring = measure(&rig, origin, arguments, EdgeTransport::Uring)?;
    if arguments.transport == EdgeTransport::Epoll {
        let on_epoll = measure(&rig, origin, arguments, EdgeTransport::Epoll)?;
        let each = |result: &Value| {
            let found = result.pointer("/anonymous/per_connection_bytes").and_then(Value::as_f64);
            found.context("the result lacks a figure")
        };
        let ratio = each(&on_uring)? / each(&on_epoll)?;
        if !arguments.json {
            println!("anonymous memory of a parked connection, uring : epoll = {ratio:.2}");
        }
    }
    Ok(())
}

/// Measures an edge on `transport` and prints what was found.
fn measure(
    rig: &Rig,
    origin: SocketAddr,
    arguments: &Arguments,
    transport: EdgeTransport,
) -> Result<Value> {
    let small = {
        let shape = EdgeShape { transport, ..EdgeShape::plain(1, SPARE_CONNECTIONS) };
        let (_edge, server) = rig.edge(origin, shape)?;
        hold(rig, &server, 1, 0)?
    };
    let connections_max = arguments.connections.saturating_add(SPARE_CONNECTIONS);
    let shape = EdgeShape { transport, ..EdgeShape::plain(1, connections_max) };
    let (mut edge, server) = rig.edge(origin, shape)?;
    let warm = hold(rig, &server, WARM_CONNECTIONS, 0)?;
    let found = hold(rig, &server, arguments.connections, arguments.seconds)?;
    edge.ensure_running()?;
    let held = count(&found, "/held")?;
    ensure!(
        held == u64::from(arguments.connections),
        "only {held} of {} connections were held: {}",
        arguments.connections,
        found.get("faults").unwrap_or(&Value::Null)
    );
    let result = result([&small, &warm, &found], arguments.connections)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&result)?);
    } else {
        print(&result, &found, transport)?;
    }
    Ok(result)
}

fn hold(rig: &Rig, server: &Server, connections: u32, seconds: u32) -> Result<Value> {
    rig.bomb(&[
        "hold".to_owned(),
        format!("--url={}", server.url("/bytes/1024?max_age=86400")),
        format!("--connections={connections}"),
        format!("--hold={seconds}s"),
        format!("--active={ACTIVE}"),
        format!("--server-pid={}", server.pid_option()),
    ])
}

fn count(value: &Value, pointer: &str) -> Result<u64> {
    let found = value.pointer(pointer).and_then(Value::as_u64);
    found.with_context(|| format!("the result lacks {pointer}"))
}

/// Readings of three holds and what follows from them, by kind of memory.
fn result([small, warm, found]: [&Value; 3], connections: u32) -> Result<Value> {
    let memory = |name: &str| -> Result<Value> {
        let small_start = count(small, &format!("/server/memory_before/{name}"))?;
        let start = count(warm, &format!("/server/memory_before/{name}"))?;
        let before = count(found, &format!("/server/memory_before/{name}"))?;
        let after = count(found, &format!("/server/memory_after/{name}"))?;
        let each = |from: u64, to: u64| (to as f64 - from as f64) / f64::from(connections);
        let (reserved, growth) = (each(small_start, start), each(before, after));
        Ok(json!({
            "small_edge_start_bytes": small_start,
            "start_bytes": start,
            "before_bytes": before,
            "after_bytes": after,
            "reserved_per_connection_bytes": reserved,
            "growth_per_connection_bytes": growth,
            "per_connection_bytes": reserved + growth,
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
        "host": Host::here().json(),
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

fn print(result: &Value, found: &Value, transport: EdgeTransport) -> Result<()> {
    Host::here().print();
    let connections = count(result, "/connections")?;
    println!();
    println!(
        "{connections} connections parked on {} after one verified request each (ramp {} ms)",
        transport.name(),
        count(found, "/ramp_ms")?
    );
    println!("              B each = reserved + growth   KiB: small edge, start, before, after");
    for (name, what) in [
        ("anonymous", "allocated and touched"),
        ("private", "and private file pages"),
        ("resident", "and shared pages"),
    ] {
        let kib = |key: &str| anyhow::Ok(count(result, &format!("/{name}/{key}_bytes"))? / 1024);
        let each = |key: &str| {
            let found = result.pointer(&format!("/{name}/{key}per_connection_bytes"));
            found.and_then(Value::as_f64).context("the result lacks a figure")
        };
        println!(
            "  {name:<10} {:>7.1} = {:>8.1} + {:>6.1} {:>16} {:>6} {:>6} {:>6} ({what})",
            each("")?,
            each("reserved_")?,
            each("growth_")?,
            kib("small_edge_start")?,
            kib("start")?,
            kib("before")?,
            kib("after")?
        );
    }
    println!("  budget        96.0 of anonymous memory");
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

/// Connections that the edge has room for beyond those that are parked, and all that the small
/// edge has.
const SPARE_CONNECTIONS: u32 = 1024;
/// Connects and requests under way at once: few, since each may touch a buffer of the edge's pool,
/// which is shared and no part of a connection.
const ACTIVE: u32 = 16;
/// Connections that come and go before the first reading.
const WARM_CONNECTIONS: u32 = 64;
/// Slab caches that are printed.
const SLAB_CACHES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::result;

    fn hold(before: u64, after: u64) -> Value {
        let kinds = ["anonymous_bytes", "private_bytes", "resident_bytes"];
        let memory = |bytes: u64| BTreeMap::from(kinds.map(|kind| (kind, bytes)));
        let kernel = json!({ "tcp_sockets": 1, "tcp_memory_pages": 2, "slab_bytes": 3 });
        json!({ "server": {
            "memory_before": memory(before), "memory_after": memory(after),
            "kernel_before": kernel, "kernel_after": kernel,
        }})
    }

    #[test]
    fn what_is_reserved_at_start_counts_as_well_as_what_grows() {
        let (small, warm, found) = (hold(1000, 9999), hold(7500, 9999), hold(8000, 8700));
        let result = result([&small, &warm, &found], 100).expect("all figures are there");
        let figure = |name: &str| result["anonymous"][name].as_f64().expect("a figure");
        assert_eq!(figure("reserved_per_connection_bytes"), 65.0);
        assert_eq!(figure("growth_per_connection_bytes"), 7.0);
        assert_eq!(figure("per_connection_bytes"), 72.0);
    }
}
