//! `ladder`: ways to read 4 KiB at random from a file, 32 at a time, cold and warm.
//!
//! `cargo xtask compare --ladder` runs it and prints what it found, which comes as one JSON object.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use longhold_benches::ladder::{BLOCK_BYTES, DEPTH, Machine, Settings, climb, others_share};
use serde_json::json;

/// Measures random reads by `read`, by io_uring and from a mapping.
#[derive(Parser)]
#[command(name = "ladder", about)]
struct Arguments {
    /// Folder for the file, and so the file system that is measured; the file is deleted.
    #[arg(long)]
    folder: PathBuf,
    /// Length of the file in MiB.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=16_384))]
    file_mib: u64,
    /// How often each way has its turn.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of each turn.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

fn main() -> anyhow::Result<()> {
    let Arguments { folder, file_mib, rounds, seconds } = Arguments::parse();
    let settings =
        Settings { file_bytes: file_mib << 20, rounds, time: Duration::from_secs(seconds) };
    let before = Machine::now();
    let runs = climb(settings, &folder, &mut |run| {
        eprintln!("{} {}: {:.0} per second", run.cache, run.rung, run.reads_per_s);
    })?;
    println!(
        "{}",
        json!({
            "file_bytes": settings.file_bytes,
            "block_bytes": BLOCK_BYTES,
            "depth": DEPTH,
            "others_share": before.as_ref().and_then(others_share),
            "runs": runs,
        })
    );
    Ok(())
}
