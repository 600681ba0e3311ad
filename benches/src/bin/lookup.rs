//! `lookup`: what a hit costs the store: from a key to the pinned head of its record.
//!
//! Fills a store in memory with 1 KiB objects, looks each up once (the first lookup since an open
//! checks MACs), and then measures rounds of lookups on one thread in its processor time. A lookup
//! is all that the edge's worker does before it knows what to answer: hash of the key, index, pin,
//! whole-key comparison, first and last byte of the head, unpin. The keys lie ready in the order
//! in which they are asked for, as they would in a buffer that was just received; each is drawn
//! alone, so no lookup knows the next one.
//!
//! `cargo xtask bench lookup` runs it over several sizes and counts instructions.

use std::ops::Range;

use anyhow::ensure;
use clap::{Parser, ValueEnum};
use longhold_store::{
    Config, Draft, FileDevice, Mode, Purge, Reader, Record, Store, Writer, block_on_ready,
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

/// Measures lookups of 1 KiB objects on one core.
#[derive(Parser)]
#[command(name = "lookup", about)]
struct Arguments {
    /// Objects in the store.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    objects: u64,
    /// Lookups of one round.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    lookups: u64,
    /// Rounds of the same lookups; the quickest one counts.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Measure no time, for a tool that counts instructions.
    #[arg(long)]
    no_clock: bool,
    /// Which objects are asked for.
    #[arg(long, value_enum, default_value_t = Skew::Uniform)]
    skew: Skew,
    /// Keys that are at hand at a time; from two on, they go through the steps of a lookup
    /// together.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Tags that each object carries.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=64))]
    tags: u64,
    /// Purges of tags in force that came after all objects and concern none of them.
    #[arg(long, default_value_t = 0)]
    purged_tags: u64,
    /// The same for prefixes.
    #[arg(long, default_value_t = 0)]
    purged_prefixes: u64,
    /// Objects per index slot, in per cent.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=90))]
    fill: u64,
}

/// How lookups are spread over objects.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Skew {
    /// All objects alike.
    Uniform,
    /// The nth object in proportion to 1/n.
    Zipf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let store = filled(&arguments)?;
    let reader = store.reader(0);
    let mut key = String::new();
    let mut present = 0;
    for number in 0..arguments.objects {
        write_key(&mut key, number);
        present += u64::from(reader.lookup(key.as_bytes()).is_some());
    }
    let asked = Asked::new(&arguments);
    // A tool that counts instructions may not know the clock that the kernel lends to programs.
    let clock = if arguments.no_clock { || 0 } else { thread_ns };
    let mut best = u64::MAX;
    for _ in 0..arguments.rounds {
        let started = clock();
        let hits = round(&reader, &asked, usize::from(arguments.batch));
        best = best.min(clock() - started);
        ensure!(hits * 1000 >= arguments.lookups * 995, "only {hits} lookups were hits");
    }
    let measured = arguments.rounds > 0 && !arguments.no_clock;
    let per_second = measured.then(|| arguments.lookups * 1_000_000_000 / best.max(1));
    let nanoseconds = measured.then(|| best as f64 / arguments.lookups as f64);
    println!(
        "{}",
        json!({
            "objects": arguments.objects,
            "present": present,
            "lookups": arguments.lookups,
            "batch": arguments.batch,
            "tags": arguments.tags,
            "purged_tags": arguments.purged_tags,
            "purged_prefixes": arguments.purged_prefixes,
            "skew": format!("{:?}", arguments.skew).to_lowercase(),
            "lookups_per_s": per_second,
            "ns_per_lookup": nanoseconds,
        })
    );
    Ok(())
}

/// One pass over all keys; how many were found.
fn round(reader: &Reader, asked: &Asked, batch: usize) -> u64 {
    let mut hits = 0;
    let mut probes = Vec::with_capacity(batch);
    for ranges in asked.ranges.chunks(batch) {
        if let [range] = ranges {
            hits += use_record(reader.lookup(asked.key(range)));
            continue;
        }
        probes.clear();
        probes.extend(ranges.iter().map(|range| reader.probe(asked.key(range))));
        probes.iter().for_each(|probe| reader.approach(*probe));
        for (probe, range) in probes.iter().zip(ranges) {
            hits += use_record(reader.lookup_probed(*probe, asked.key(range)));
        }
    }
    hits
}

/// Reads what an answer begins with; 1 for a hit.
fn use_record(record: Option<Record>) -> u64 {
    let Some(record) = record else { return 0 };
    let head = record.head();
    let sum = u64::from(head[0]) + u64::from(head[head.len() - 1]);
    u64::from(std::hint::black_box(sum) == 2)
}

/// Keys in the order in which they are looked up.
struct Asked {
    bytes: Vec<u8>,
    ranges: Vec<Range<u32>>,
}

impl Asked {
    fn new(arguments: &Arguments) -> Self {
        let mut draw = Draw::new(arguments);
        let (mut bytes, mut ranges, mut key) = (Vec::new(), Vec::new(), String::new());
        for _ in 0..arguments.lookups {
            write_key(&mut key, draw.next());
            let start = bytes.len() as u32;
            bytes.extend_from_slice(key.as_bytes());
            ranges.push(start..bytes.len() as u32);
        }
        Self { bytes, ranges }
    }
}

impl Asked {
    fn key(&self, range: &Range<u32>) -> &[u8] {
        &self.bytes[range.start as usize..range.end as usize]
    }
}

/// Numbers of objects, drawn from a fixed seed.
struct Draw {
    state: u64,
    objects: u64,
    /// Running sums of the weights, for a skew.
    sums: Vec<f64>,
}

impl Draw {
    fn new(arguments: &Arguments) -> Self {
        let mut sum = 0.0;
        let mut weigh = |rank: u64| {
            sum += 1.0 / rank as f64;
            sum
        };
        let sums = match arguments.skew {
            Skew::Uniform => Vec::new(),
            Skew::Zipf => (1..=arguments.objects).map(&mut weigh).collect(),
        };
        Self { state: SEED, objects: arguments.objects, sums }
    }

    fn next(&mut self) -> u64 {
        // splitmix64
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        let Some(total) = self.sums.last() else { return mixed % self.objects };
        let wanted = (mixed >> 11) as f64 / (1u64 << 53) as f64 * total;
        let rank = self.sums.partition_point(|sum| *sum <= wanted) as u64;
        // Ranks are scattered over the log: what is popular was not all stored together.
        rank * 7919 % self.objects
    }
}

fn filled(arguments: &Arguments) -> anyhow::Result<Store> {
    let size_bytes = (arguments.objects * OBJECT_LOG_BYTES).max(64 << 20);
    let index_slots = (arguments.objects * 100).div_ceil(arguments.fill).max(4);
    let config = Config { index_slots, ..Config::in_memory(size_bytes) };
    let (store, _) = Store::open(&config)?;
    let writer = Writer::new(&store, FileDevice::new(&store)?)?;
    let (body, mut key) = ([7; BODY_BYTES], String::new());
    block_on_ready(async {
        for number in 0..arguments.objects {
            write_key(&mut key, number);
            let tags: Vec<u64> = (0..arguments.tags).map(|tag| number * 64 + tag).collect();
            let draft = Draft::new(key.as_bytes(), &HEAD, body.len() as u64);
            let draft = Draft { tags: &tags, ..draft };
            let mut pending = writer.begin_or_reclaim(draft).await?;
            writer.append(&mut pending, &body).await?;
            writer.commit(pending).await?;
        }
        for tag in 0..arguments.purged_tags {
            writer.purge(&[Purge::Tag(u64::MAX - tag)], Mode::Hard).await?;
        }
        for number in 0..arguments.purged_prefixes {
            write_key(&mut key, arguments.objects + number);
            writer.purge(&[Purge::Prefix(key.as_bytes())], Mode::Hard).await?;
        }
        anyhow::Ok(())
    })?;
    Ok(store)
}

fn write_key(key: &mut String, number: u64) {
    use std::fmt::Write as _;
    key.clear();
    // Writing to a string does not fail.
    let _ = write!(key, "www.example.org/images/2020/{number}.jpg");
}

fn thread_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

const BODY_BYTES: usize = 1024;
const HEAD: [u8; 128] = [1; 128];
/// Room for one object, its share of unused segment ends among it.
const OBJECT_LOG_BYTES: u64 = 1800;
const SEED: u64 = 1;
