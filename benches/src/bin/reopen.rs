//! `reopen`: how long after `kill -9` until the store answers as before.
//!
//! A child process fills a store with objects of 1 to 4 KiB and is killed as soon as the last one
//! is committed, without a word of farewell. This process then opens the store and looks up
//! objects at random until the hit ratio is what it was; then all of them, for the count. The page
//! cache is warm, for the child has just written what is read. The store is deleted at the end.
//!
//! `cargo xtask bench reopen` runs it and prints what it found.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use longhold_store::{Config, Draft, FileDevice, Reader, Store, Writer, block_on_ready};
use serde_json::json;

/// Measures the time from the start of an open to a full hit ratio.
#[derive(Parser)]
#[command(name = "reopen", about)]
struct Arguments {
    /// Objects to store; each takes some 2.9 KB of disk.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    objects: u64,
    /// A folder that may be made and deleted, on the file system to be measured.
    #[arg(long)]
    path: PathBuf,
    /// Open after a planned end instead: footers and a snapshot of all.
    #[arg(long)]
    planned: bool,
    /// Open with an index of another size, for which no snapshot counts: footers only.
    #[arg(long)]
    resized: bool,
    /// Be the process that fills the store.
    #[arg(long, hide = true)]
    fill: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.fill {
        return fill(&arguments);
    }
    ensure!(!arguments.path.exists(), "{} is there already", arguments.path.display());
    let measured = fill_and_kill(&arguments).and_then(|held| measure(&arguments, held));
    if arguments.path.exists() {
        std::fs::remove_dir_all(&arguments.path).context("cannot delete the store")?;
    }
    measured
}

/// The child: stores everything, says so, and waits to be killed.
fn fill(arguments: &Arguments) -> anyhow::Result<()> {
    let (store, _) = Store::open(&config(arguments, false))?;
    let writer = Writer::new(&store, FileDevice::new(&store)?)?;
    let (body, mut key) = ([7; BODY_BYTES_MAX], String::new());
    block_on_ready(async {
        for number in 0..arguments.objects {
            write_key(&mut key, number);
            let body = &body[..body_bytes(number)];
            let draft = Draft::new(key.as_bytes(), &HEAD, body.len() as u64);
            let mut pending = writer.begin_or_reclaim(draft).await?;
            writer.append(&mut pending, body).await?;
            writer.commit(pending).await?;
        }
        if arguments.planned {
            writer.seal().await?;
        }
        anyhow::Ok(())
    })?;
    println!("{}", store.stats().objects);
    std::io::stdout().flush()?;
    // Whoever started this process kills it, or dies, which ends the input.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// How many objects the child's store had in the end.
fn fill_and_kill(arguments: &Arguments) -> anyhow::Result<u64> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--fill").arg("--path").arg(&arguments.path);
    command.args(["--objects", &arguments.objects.to_string()]);
    command.args(arguments.planned.then_some("--planned"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut said = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut said)?;
    }
    child.kill()?;
    child.wait()?;
    said.trim().parse().context("the child could not fill the store")
}

fn measure(arguments: &Arguments, held: u64) -> anyhow::Result<()> {
    let started = Instant::now();
    let (store, report) = Store::open(&config(arguments, arguments.resized))?;
    let opened = started.elapsed();
    let reader = store.reader(0);
    let mut state = 1u64;
    let sample = SAMPLE.min(arguments.objects);
    let hits = hits(
        &reader,
        (0..sample).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % arguments.objects
        }),
    );
    let sampled = started.elapsed();
    let present = self::hits(&reader, 0..arguments.objects);
    let all = started.elapsed();
    let ms = |duration: Duration| (duration.as_secs_f64() * 1e5).round() / 100.0;
    println!(
        "{}",
        json!({
            "objects": arguments.objects,
            "held_before": held,
            "indexed": report.objects,
            "open_ms": ms(opened),
            "sample": sample,
            "sample_hits": hits,
            "full_hit_ratio_ms": ms(sampled),
            "present": present,
            "all_looked_up_ms": ms(all),
            "segments": report.segments,
            "segments_settled": report.segments_settled,
            "segments_footed": report.segments_footed,
            "records_walked": report.records_walked,
            "snapshot": report.snapshot_sequence.is_some(),
        })
    );
    // Full lines of the index displace one in many thousand, and not the same ones again.
    ensure!(present * 1000 >= held * 999, "only {present} of {held} objects were found");
    Ok(())
}

fn hits(reader: &Reader, numbers: impl Iterator<Item = u64>) -> u64 {
    let mut key = String::new();
    let found = numbers.filter(|&number| {
        write_key(&mut key, number);
        let record = reader.lookup(key.as_bytes());
        record.is_some_and(|record| record.body_len() == body_bytes(number) as u64)
    });
    found.count() as u64
}

fn config(arguments: &Arguments, resized: bool) -> Config {
    let size_bytes = arguments.objects * OBJECT_LOG_BYTES + SPARE_BYTES;
    let path: &Path = &arguments.path;
    let index_slots = arguments.objects.max(512) * 2 + if resized { 64 } else { 0 };
    Config { index_slots, ..Config::new(path, size_bytes) }
}

/// From 1 to 4 KiB.
fn body_bytes(number: u64) -> usize {
    1024 + (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % (BODY_BYTES_MAX - 1023)
}

fn write_key(key: &mut String, number: u64) {
    use std::fmt::Write as _;
    key.clear();
    // Writing to a string does not fail.
    let _ = write!(key, "www.example.org/images/2020/{number}.jpg");
}

const BODY_BYTES_MAX: usize = 4096;
const HEAD: [u8; 128] = [1; 128];
/// Mean size of a record.
const OBJECT_LOG_BYTES: u64 = 2960;
/// For clean segments, which the writer keeps ahead.
const SPARE_BYTES: u64 = 512 << 20;
/// Lookups by which the hit ratio is known to a hundredth of a per cent.
const SAMPLE: u64 = 10_000;
