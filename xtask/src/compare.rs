//! `cargo xtask compare`: the older architecture, the edge over epoll and over io_uring, and the
//! peers that are installed, with the same objects under the same load.
//!
//! The older architecture is a real server with a thread per connection and a file per object
//! (`benches`, program `threadpool`). All servers run at once and take turns under the load, round
//! by round, in an order that moves on by one each round, so that whatever else the machine does
//! meets all of them. Servers have one core and clients another, where there are two. Every byte
//! of every answer is verified, and a wrong answer or a miss ends the comparison instead of
//! entering it.
//!
//! `--ladder` compares ways to read 4 KiB at random from a file instead.

mod ladder;
mod measure;
mod page;
mod report;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::host::Host;
use crate::rig::Rig;
use crate::tree;
use report::Report;

/// Options of `cargo xtask compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Compare ways to read 4 KiB at random, 32 at a time, instead of servers.
    #[arg(long)]
    ladder: bool,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
    /// Take the released programs that are there, whatever the tree says meanwhile.
    #[arg(long)]
    no_build: bool,
    /// Leave nginx, HAProxy and Varnish out.
    #[arg(long)]
    no_peers: bool,
    /// Rounds in which all take turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds of each run, after its warm-up.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Keep-alive connections of the client.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
    /// Connections that rest when the memory is read.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..=6000))]
    idle: u32,
    /// Sizes of the objects in bytes.
    #[arg(long, value_delimiter = ',', default_values_t = SIZES)]
    sizes: Vec<u64>,
    /// With --ladder: length of the file in MiB.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    file_mib: u32,
    /// With --ladder: folder for the file, and so the file system that is measured; by default
    /// where cargo builds.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Runs the comparison, prints it, and writes it as JSON and as a page.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut rig = Rig::new(arguments.no_build)?;
    if arguments.ladder {
        return ladder::run(&rig, arguments);
    }
    rig.keep_apart();
    let (subjects, absent) = measure::all(&rig, arguments)?;
    let report = Report {
        host: Host::here(),
        cores: rig.cores(),
        connections: arguments.connections,
        idle: arguments.idle,
        seconds: arguments.seconds,
        rounds: arguments.rounds,
        sizes: arguments.sizes.clone(),
        subjects,
        absent,
    };
    let paths =
        write("servers", &serde_json::to_string_pretty(&report.json())?, &page::of(&report))?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report.json())?);
    } else {
        report.print();
        println!("\nwritten to {} and {}", paths[0].display(), paths[1].display());
    }
    Ok(())
}

/// Writes a result and its page to `target/compare`.
fn write(name: &str, json: &str, html: &str) -> Result<[PathBuf; 2]> {
    let folder = tree::target_folder().join("compare");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let paths = [folder.join(format!("{name}.json")), folder.join(format!("{name}.html"))];
    for (path, text) in paths.iter().zip([json, html]) {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(paths)
}

/// Sizes of the objects: 1 KiB, 16 KiB, 100 KiB, 1 MiB.
const SIZES: [u64; 4] = [1 << 10, 16 << 10, 100 << 10, 1 << 20];
