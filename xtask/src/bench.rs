//! `cargo xtask bench …`: figures with everything needed to repeat them. It asserts nothing.

mod curve;
mod hit;
mod idle;
mod instructions;
mod lookup;
mod micro;
mod miss;
mod reopen;
pub(crate) mod stats;
mod tls;
mod trace;

use anyhow::Result;
use clap::Subcommand;

/// Which bench.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// User and kernel memory per parked connection by their number, and the cost of a heartbeat.
    Curve(curve::Arguments),
    /// Server CPU per cache hit, beside the floor and, on request, nginx, HAProxy and Varnish.
    Hit(hit::Arguments),
    /// User memory per parked connection that has made one request.
    Idle(idle::Arguments),
    /// Time and instructions of a lookup in the store.
    Lookup(lookup::Arguments),
    /// What the parts of a server's work cost, each alone: wakes, sends, timers, TLS, lookups.
    Micro(micro::Arguments),
    /// Time from the start of an open after a kill to the full hit ratio.
    Reopen(reopen::Arguments),
    /// Handshakes, records and waking, beside rustls alone.
    Tls(tls::Arguments),
    /// Misses and writes of the store's eviction on traces, beside LRU, FIFO and S3-FIFO.
    Trace(trace::Arguments),
}

/// Runs a bench and prints what it found.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Curve(arguments) => curve::run(arguments),
        Bench::Hit(arguments) => hit::run(arguments),
        Bench::Idle(arguments) => idle::run(arguments),
        Bench::Lookup(arguments) => lookup::run(arguments),
        Bench::Micro(arguments) => micro::run(arguments),
        Bench::Reopen(arguments) => reopen::run(arguments),
        Bench::Tls(arguments) => tls::run(arguments),
        Bench::Trace(arguments) => trace::run(arguments),
    }
}
