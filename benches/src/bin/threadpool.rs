//! `threadpool`: the older architecture as a program, before one origin.
//!
//! Prints the address that it listens on, and serves until it is ended.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Parser;
use longhold_benches::threadpool::{Server, Settings};

/// A caching proxy with a thread per connection and a file per object.
#[derive(Parser)]
#[command(name = "threadpool", about)]
struct Arguments {
    /// Loopback address to listen on; port 0 picks a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Loopback address of the origin.
    #[arg(long)]
    origin: SocketAddr,
    /// A folder that is made for the objects; it must not be there yet.
    #[arg(long)]
    store: PathBuf,
    /// Threads at most: connections beyond wait for one.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=32_768))]
    threads_max: u32,
}

fn main() -> anyhow::Result<()> {
    let Arguments { listen, origin, store, threads_max } = Arguments::parse();
    let on_loopback = listen.ip().is_loopback() && origin.ip().is_loopback();
    ensure!(on_loopback, "this server and its origin are on loopback only");
    let settings = Settings { origin, threads_max: threads_max as usize };
    let server = Server::new(settings, &store)
        .with_context(|| format!("cannot make {}", store.display()))?;
    let listener =
        TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    server.serve(&listener)
}
