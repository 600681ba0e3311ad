//! `trace`: replays traces through the store's eviction and through others, and prints a table.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use longhold_benches::trace::csv::{self, Names};
use longhold_benches::trace::policy::Large;
use longhold_benches::trace::real::{Comparison, compare};
use longhold_benches::trace::replay::{Kind, Ours, Outcome, Statistics, Trace, replay};
use longhold_benches::trace::workload::{Preset, Shape};
use longhold_store::eviction::{PROMOTION_FREQUENCY, Survival};
use serde_json::{Value, json};

/// Replays traces through LRU, FIFO, S3-FIFO, FIFO over segments, and the store's eviction.
///
/// Miss ratios are parts of requests and of requested bytes; written is what goes to disk, per
/// byte missed. Without --preset and --file, all presets.
#[derive(Debug, Parser)]
#[command(name = "trace", about)]
struct Arguments {
    /// A generated trace; may be given several times.
    #[arg(long, conflicts_with = "file")]
    preset: Vec<Preset>,
    /// A file of lines `time,key,size` (seconds, any text, bytes), read twice.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Requests of a generated trace, about.
    #[arg(long, default_value_t = 2_000_000)]
    requests: usize,
    /// Of a generated trace.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One-hit floods in a generated trace, in percent of its requests.
    #[arg(long, default_value_t = 0)]
    scan: u32,
    /// Flash crowds in a generated trace, in percent of its requests.
    #[arg(long, default_value_t = 0)]
    flash: u32,
    /// Cache sizes in percent of the working set.
    #[arg(long, value_delimiter = ',', default_value = "1,5,20")]
    cache: Vec<f64>,
    /// Segments of the logs.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=1 << 20))]
    segments: u32,
    /// Memory tier of ours, in percent of the cache; 0 is a store without one.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=75))]
    memory: u32,
    /// Slices of a segment: what is larger is cut.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    slices: u32,
    /// Where objects begin that are cut: the store's `large_on_probation`.
    #[arg(long, value_enum, default_value_t = Large::Disk)]
    large: Large,
    /// Hits in memory that earn a place on disk.
    #[arg(long, default_value_t = PROMOTION_FREQUENCY)]
    promotion: u8,
    /// The α of frequency / size^α, 0 to 1.
    #[arg(long, default_value_t = 0.5)]
    exponent: f32,
    /// What is copied of a reclaimed segment at most, in percent.
    #[arg(long, default_value_t = 20)]
    copied: u8,
    /// How many times as long as in the store the ghost remembers.
    #[arg(long, default_value_t = 1.0)]
    ghost: f64,
    /// What goes from disk leaves a ghost, too.
    #[arg(long)]
    ghost_from_disk: bool,
    /// Write the generated traces to this file instead, as `--file` reads them.
    #[arg(long, conflicts_with_all = ["file", "real"])]
    write: Option<PathBuf>,
    /// Drive a real store, in a folder of its own in the temporary one, and the simulation of it.
    #[arg(long)]
    real: bool,
    /// Of what part of their size objects are in the real store.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    scale: u64,
    /// Print one JSON object per trace instead of tables.
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let ours = arguments.ours()?;
    ensure!(arguments.cache.iter().all(|it| (0.01..=100.0).contains(it)), "--cache is in percent");
    if let Some(path) = &arguments.file {
        let mut trace = Trace::File { path: path.clone(), names: Names::default() };
        return report(&path.display().to_string(), &mut trace, &arguments, &ours);
    }
    let all = Preset::ALL.to_vec();
    let presets = if arguments.preset.is_empty() { &all } else { &arguments.preset };
    let mut file = match &arguments.write {
        Some(path) => {
            let file = File::create(path);
            Some(BufWriter::new(file.with_context(|| format!("cannot make {}", path.display()))?))
        }
        None => None,
    };
    for preset in presets {
        let requests = preset.generate(&arguments.shape())?;
        match &mut file {
            Some(file) => csv::write(file, &requests)?,
            None => {
                let mut trace = Trace::Generated(requests);
                report(preset.name(), &mut trace, &arguments, &ours)?;
            }
        }
    }
    file.map_or(Ok(()), |mut file| file.flush()).context("cannot write the traces")
}

impl Arguments {
    fn shape(&self) -> Shape {
        Shape {
            requests: self.requests,
            seed: self.seed,
            scan_percent: self.scan,
            flash_percent: self.flash,
        }
    }

    fn ours(&self) -> Result<Ours> {
        let survival = Survival::new(self.exponent, self.copied);
        Ok(Ours {
            segments: self.segments,
            memory_percent: self.memory,
            slices: self.slices,
            large: self.large,
            promotion_frequency: self.promotion,
            survival: survival.context("--exponent is 0 to 1, --copied 0 to 100")?,
            ghost_factor: self.ghost,
            ghost_from_disk: self.ghost_from_disk,
        })
    }
}

fn report(name: &str, trace: &mut Trace, arguments: &Arguments, ours: &Ours) -> Result<()> {
    let statistics = trace.statistics()?;
    ensure!(statistics.requests > 0, "{name}: no requests");
    if !arguments.json {
        print_trace(name, &statistics);
    }
    if arguments.real {
        return report_real(name, trace, &statistics, arguments);
    }
    let outcomes = replay(trace, &statistics, &arguments.cache, ours)?;
    if arguments.json {
        println!("{}", as_json(name, &statistics, &outcomes));
    } else {
        outcomes.chunks(Kind::ALL.len()).for_each(|cell| print_cell(&statistics, cell));
    }
    Ok(())
}

fn report_real(
    name: &str,
    trace: &mut Trace,
    statistics: &Statistics,
    arguments: &Arguments,
) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("longhold-trace-{}", std::process::id()));
    for cache_percent in &arguments.cache {
        std::fs::create_dir(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let compared =
            compare(trace, statistics, (*cache_percent, arguments.scale, arguments.large), &folder);
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
        let compared = compared?;
        if arguments.json {
            println!("{}", json!({ "trace": name, "statistics": statistics, "real": compared }));
        } else {
            print_real(&compared);
        }
    }
    Ok(())
}

fn print_trace(name: &str, trace: &Statistics) {
    let kib = |bytes: u64, count: u64| bytes as f64 / 1024.0 / count as f64;
    println!(
        "{name}: {} requests over {:.1} h, mean {:.1} KiB; {} objects, {:.1} % of them asked for \
         once, mean {:.1} KiB, working set {:.0} MiB",
        trace.requests,
        trace.span_seconds as f64 / 3600.0,
        kib(trace.requested_bytes, trace.requests),
        trace.objects,
        100.0 * trace.one_hit_share,
        kib(trace.working_set_bytes, trace.objects),
        mib(trace.working_set_bytes),
    );
}

fn print_cell(trace: &Statistics, cell: &[Outcome]) {
    println!("  cache {} % = {:.0} MiB", cell[0].cache_percent, mib(cell[0].cache_bytes));
    println!("    policy         object miss  byte miss  written/missed  ns/request");
    for outcome in cell {
        println!(
            "    {:<14} {:>11.4} {:>10.4} {:>15.2} {:>11.0}",
            outcome.policy.name(),
            outcome.misses as f64 / trace.requests as f64,
            outcome.missed_bytes as f64 / trace.requested_bytes as f64,
            outcome.written_bytes as f64 / outcome.missed_bytes.max(1) as f64,
            outcome.run.as_nanos() as f64 / trace.requests as f64,
        );
    }
    let (points, written) = verdict(trace, cell);
    println!(
        "    ours: {points:+.2} points of object misses to S3-FIFO, {written:.2} × the bytes that \
         FIFO segments write"
    );
}

fn print_real(compared: &Comparison) {
    let share = |misses: u64| misses as f64 / compared.requests as f64;
    println!(
        "  cache {} % = {:.0} MiB in {:.1} s",
        compared.cache_percent,
        mib(compared.cache_bytes),
        compared.run.as_secs_f64()
    );
    println!("    real store   object miss {:.4}", share(compared.misses));
    println!("    simulation   object miss {:.4}", share(compared.simulated_misses));
    println!(
        "    {:+.2} points; written to disk {:.0} MiB, simulated {:.0} MiB",
        100.0 * (share(compared.misses) - share(compared.simulated_misses)),
        mib(compared.written_bytes),
        mib(compared.simulated_written_bytes)
    );
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Ours against S3-FIFO in points of the object miss ratio, and against a plain log in bytes
/// written.
fn verdict(trace: &Statistics, cell: &[Outcome]) -> (f64, f64) {
    let of = |kind| cell.iter().find(|outcome| outcome.policy == kind);
    let misses = |kind| of(kind).map_or(0, |outcome| outcome.misses) as f64;
    let written = |kind| of(kind).map_or(0, |outcome| outcome.written_bytes) as f64;
    let points = (misses(Kind::Ours) - misses(Kind::S3Fifo)) * 100.0 / trace.requests as f64;
    (points, written(Kind::Ours) / written(Kind::FifoSegments).max(1.0))
}

fn as_json(name: &str, trace: &Statistics, outcomes: &[Outcome]) -> Value {
    let cells = outcomes.chunks(Kind::ALL.len()).map(|cell| {
        let (points, written) = verdict(trace, cell);
        json!({
            "cache_percent": cell[0].cache_percent,
            "cache_bytes": cell[0].cache_bytes,
            "outcomes": cell,
            "ours_object_miss_points_over_s3_fifo": points,
            "ours_written_per_fifo_segments": written,
        })
    });
    json!({ "trace": name, "statistics": trace, "cells": cells.collect::<Vec<_>>() })
}
