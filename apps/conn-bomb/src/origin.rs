//! `conn-bomb origin`: a scripted origin whose bodies follow from the path.
//!
//! ```text
//! GET /bytes/N[/name]?status=404&max_age=60&delay_ms=10&ranges=1 …     N bytes, known beforehand
//! GET /events?interval=10s                                             numbered events, no end
//! POST /upload                                                         {"received_bytes", "hash"}
//! GET /stats                                                           {"requests", …}
//! GET /                                                                what the parameters are
//! ```
//! A thread per connection over blocking sockets: it plays the one origin behind an edge, whose
//! connections are few, not a server for many clients. Nothing is stored; a million objects cost
//! what one does.

mod exchange;
mod script;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::load::duration;
use exchange::Connection;
use script::HELP;

/// Options of `conn-bomb origin`.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Loopback address to listen on; port 0 picks a free one. The address is printed.
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// How long a connection may say nothing.
    #[arg(long, default_value = "75s", value_parser = duration)]
    idle_timeout: Duration,
}

/// Counts over all connections.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    requests: AtomicU64,
    accepted: AtomicU64,
    open: AtomicU64,
    refused: AtomicU64,
}

/// Serves until the process ends.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    ensure!(arguments.listen.ip().is_loopback(), "the origin listens on loopback only");
    let listener = TcpListener::bind(arguments.listen)
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    println!("{}", listener.local_addr()?);
    serve(&listener, arguments.idle_timeout)?;
    Ok(true)
}

/// Accepts for ever; ends only when the listener fails for good.
pub(crate) fn serve(listener: &TcpListener, idle_timeout: Duration) -> anyhow::Result<()> {
    let stats = Arc::new(Stats::default());
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            // Out of descriptors, or a peer that left: what is open goes on meanwhile.
            Err(_) => {
                thread::sleep(ACCEPT_PAUSE);
                continue;
            }
        };
        stats.accepted.fetch_add(1, Ordering::Relaxed);
        if stats.open.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
            stats.refused.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        stats.open.fetch_add(1, Ordering::Relaxed);
        let its_stats = Arc::clone(&stats);
        let started = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            // A peer that breaks off is the peer's affair.
            let _ended = serve_connection(stream, idle_timeout, &its_stats);
            its_stats.open.fetch_sub(1, Ordering::Relaxed);
        });
        if started.is_err() {
            stats.open.fetch_sub(1, Ordering::Relaxed);
            stats.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn serve_connection(
    stream: TcpStream,
    idle_timeout: Duration,
    stats: &Stats,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(idle_timeout))?;
    stream.set_write_timeout(Some(idle_timeout))?;
    let mut connection = Connection::new(stream);
    while connection.serve_one(stats)? {}
    Ok(())
}

/// Connections at a time, a thread each; further ones are closed at once.
const CONNECTIONS_MAX: u64 = 1024;
/// Stack of a connection's thread.
const STACK_BYTES: usize = 256 * 1024;
/// Wait after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
