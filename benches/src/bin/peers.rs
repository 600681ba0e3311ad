//! `peers`: runs the peers that are installed until its standard input ends.
//!
//! Prints one line of JSON, `{"peers": [{"name", "version", "address", "pids"}], "missing": […]}`,
//! once all of them listen. Whoever started it closes its input, or dies: either ends the peers.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Parser;
use longhold_benches::peers::{Identity, Kind, Peer};
use serde_json::{Value, json};

/// Runs nginx, HAProxy and Varnish, as far as they are installed, before one origin.
#[derive(Parser)]
#[command(name = "peers", about)]
struct Arguments {
    /// Loopback address of the origin behind them.
    #[arg(long)]
    origin: SocketAddr,
    /// Certificate (PEM): the peers speak TLS 1.3, those that can.
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.origin.ip().is_loopback(), "the peers' origin is on loopback");
    let scratch = std::env::temp_dir().join(format!("longhold-peers-{}", std::process::id()));
    std::fs::create_dir(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let files = arguments.certificate.zip(arguments.key);
    let identity = files.map(|(certificate, key)| Identity { certificate, key });
    let outcome = run(arguments.origin, identity.as_ref(), &scratch);
    std::fs::remove_dir_all(&scratch)
        .with_context(|| format!("cannot remove {}", scratch.display()))?;
    outcome
}

fn run(
    origin: SocketAddr,
    identity: Option<&Identity>,
    scratch: &std::path::Path,
) -> anyhow::Result<()> {
    let mut peers = Vec::new();
    let mut missing = Vec::new();
    for kind in Kind::ALL {
        match kind.start(origin, identity, scratch)? {
            Some(peer) => peers.push(peer),
            None => missing.push(kind.name()),
        }
    }
    let described: Vec<Value> = peers.iter().map(describe).collect();
    println!("{}", json!({ "peers": described, "missing": missing }));
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn describe(peer: &Peer) -> Value {
    json!({
        "name": peer.kind.name(),
        "version": peer.version,
        "address": peer.address.to_string(),
        "pids": peer.pids(),
    })
}
