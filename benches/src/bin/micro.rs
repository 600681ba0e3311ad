//! `micro`: what the parts of a server's work cost: waking parked connections, sends by size,
//! accepting and closing, timers.
//!
//! `cargo xtask bench micro` runs it and prints a table, with what TLS and lookups cost beside it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use longhold_benches::micro::crowd::Crowd;
use longhold_benches::micro::front::{Answer, Front, Stance, config};
use longhold_benches::micro::timers::timers;
use longhold_benches::micro::{Row, thread_ns};
use longhold_transport::{Transport, epoll, uring};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::json;

/// Measures the parts of a server's work, in processor time of one thread.
#[derive(Parser)]
#[command(name = "micro", about)]
struct Arguments {
    /// Rounds of each case; the middle one counts.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Parked connections, whose clients take as many descriptors.
    #[arg(long, default_value_t = 8192,
          value_parser = clap::value_parser!(u32).range(64..=500_000))]
    connections: u32,
    /// Timers in the wheel.
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 1_000_000])]
    timers: Vec<u32>,
    /// What the front stands on.
    #[arg(long, value_enum, default_value_t = On::Uring)]
    transport: On,
    /// Timers only.
    #[arg(long)]
    only_timers: bool,
    /// Measure no time of the timers, for a tool that counts instructions.
    #[arg(long, requires = "only_timers")]
    no_clock: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum On {
    Uring,
    Epoll,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut rows = Vec::new();
    if !arguments.only_timers {
        let crowd = Crowd::gather(keep_apart()?)?;
        let config = config(arguments.connections);
        match arguments.transport {
            On::Uring => {
                let io = uring::Reactor::new(&config).context("no ring: try --transport epoll")?;
                front(&mut rows, Front::new(io, crowd, arguments.connections, arguments.rounds)?)?;
            }
            On::Epoll => {
                let io = epoll::Reactor::new(&config)?;
                front(&mut rows, Front::new(io, crowd, arguments.connections, arguments.rounds)?)?;
            }
        }
    }
    // A tool that counts instructions may not know the clock that the kernel lends to programs.
    let clock = if arguments.no_clock { || 0 } else { thread_ns };
    for &count in &arguments.timers {
        rows.extend(timers(count, arguments.rounds.min(TIMER_ROUNDS_MAX), clock)?);
    }
    println!("{}", json!({ "rows": rows }));
    Ok(())
}

fn front<T: Transport<Payload = Answer>>(rows: &mut Vec<Row>, mut front: Front<T>) -> Result<()> {
    rows.push(front.exchanges(Stance::Resting, SMALL_BYTES)?);
    rows.push(front.exchanges(Stance::Parked, SMALL_BYTES)?);
    for size_bytes in SIZES {
        rows.push(front.sends(size_bytes)?);
    }
    rows.push(front.beats(SMALL_BYTES, BEAT_EVERY)?);
    rows.push(front.arrivals()?);
    Ok(())
}

/// Keeps this thread on a core of its own; the one for the clients, if there are two.
fn keep_apart() -> Result<Option<usize>> {
    let allowed = sched_getaffinity(None).context("cannot read the affinity")?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
    let (Some(own), Some(theirs)) = (cores.next(), cores.next()) else { return Ok(None) };
    let mut only = CpuSet::new();
    only.set(own);
    sched_setaffinity(None, &only).context("cannot set the affinity")?;
    Ok(Some(theirs))
}

/// Bodies with a head: from a small answer to one of 1 MiB.
const SIZES: [usize; 6] = [300, 1 << 10, 4 << 10, 16 << 10, 100 << 10, 1 << 20];
/// Of an exchange whose wake is of interest.
const SMALL_BYTES: usize = 1 << 10;
/// As far apart as lets a worker fall asleep.
const BEAT_EVERY: Duration = Duration::from_micros(300);
/// A round of a million timers takes a while.
const TIMER_ROUNDS_MAX: u32 = 20;
