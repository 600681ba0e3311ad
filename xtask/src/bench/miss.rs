//! What a miss costs the server beyond a hit of its size: the origin is asked, the answer handed to
//! worker and store.
//!
//! It goes through the whole edge, whose processor time is that of all its threads. Each round asks
//! for one object again and again, then for others of its size that nobody has asked for before,
//! on as many connections; the difference is the miss. The origin has the clients' core and keeps
//! its connections open.

use anyhow::Result;
use serde_json::{Value, json};

use super::stats::Spread;
use crate::load::{closed_loop, misses, number, warm};
use crate::rig::{EdgeShape, Rig, Server};

/// A row for each size.
pub(super) fn rows(rig: &mut Rig, rounds: u32) -> Result<Vec<Value>> {
    rig.keep_apart();
    let (_origin, origin) = rig.origin()?;
    let (mut edge, server) = rig.edge(origin, EdgeShape::plain(1, EDGE_CONNECTIONS_MAX))?;
    let mut rows = Vec::new();
    for size_bytes in SIZES {
        warm(rig, &server, size_bytes)?;
        let costs = (0..rounds).map(|round| beyond_a_hit_us(rig, &server, size_bytes, round));
        let us = Spread::of(costs.collect::<Result<Vec<f64>>>()?);
        rows.push(json!({ "size_bytes": size_bytes, "among": CONNECTIONS, "us": us.json() }));
        edge.ensure_running()?;
    }
    Ok(rows)
}

fn beyond_a_hit_us(rig: &Rig, server: &Server, size_bytes: u64, round: u32) -> Result<f64> {
    let options = [
        format!("--connections={CONNECTIONS}"),
        format!("--time={SECONDS}s"),
        format!("--warmup={WARMUP}"),
        format!("--server-pid={}", server.pid_option()),
    ];
    let hits = closed_loop(rig, server, size_bytes, &options)?;
    let mixed = misses(rig, server, (size_bytes, &format!("miss-{round}"), 0), &options)?;
    let us = |found: &Value| number(found, "/cpu_per_answer_us/total");
    let miss_share = 1.0 - number(&mixed, "/answers/hit_ratio")?;
    Ok((us(&mixed)? - us(&hits)?) / miss_share)
}

/// A small object, and two by which a KiB more is told.
const SIZES: [u64; 3] = [1 << 10, 100 << 10, 1 << 20];
const CONNECTIONS: u32 = 64;
const SECONDS: u32 = 2;
const WARMUP: u32 = 200;
const EDGE_CONNECTIONS_MAX: u32 = 4096;
