//! What a hit costs: lookups of 1 KiB objects, in nanoseconds of this thread's processor time.
//!
//! `cargo run --release -p longhold-store --example lookup_cost [OBJECTS]`
//!
//! Each line is one pass over all objects in a shuffled order on one thread. The first pass checks
//! MAC and checksum of every record; the later ones are what a warm cache does.

use std::error::Error;

use rustix::time::{ClockId, clock_gettime};

use longhold_store::{Config, Draft, FileDevice, Store, Writer, block_on_ready};

fn main() -> Result<(), Box<dyn Error>> {
    let objects = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse::<u64>())?;
    let size_bytes = (objects * 1800).max(64 << 20);
    let config = Config { index_slots: objects * 2, ..Config::in_memory(size_bytes) };
    let (store, _) = Store::open(&config)?;
    let writer = Writer::new(&store, FileDevice::new(&store)?)?;
    let body = [7u8; 1024];
    let started = cpu_ns();
    block_on_ready(async {
        for number in 0..objects {
            let key = key(number);
            let draft = Draft { key: key.as_bytes(), head: &[1; 128], body_len: 1024 };
            let mut pending = writer.begin_or_reclaim(draft).await?;
            writer.append(&mut pending, &body).await?;
            writer.commit(pending).await?;
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    let per_object = (cpu_ns() - started) / objects;
    println!("store {per_object} ns per object, {objects} objects of 1 KiB");

    let keys: Vec<String> = (0..objects).map(|n| key(n * 7919 % objects)).collect();
    let reader = store.reader(0);
    for pass in ["first", "warm", "warm"] {
        let (started, mut hits, mut sum) = (cpu_ns(), 0u64, 0u64);
        for key in &keys {
            if let Some(record) = reader.lookup(key.as_bytes()) {
                let body = record.body(0..record.body_len())?;
                sum += u64::from(body[0]) + record.head().len() as u64;
                hits += 1;
            }
        }
        let per_lookup = (cpu_ns() - started) / objects;
        println!("{pass} pass {per_lookup} ns per lookup with body, {hits} hits, check {sum}");
    }
    Ok(())
}

fn key(number: u64) -> String {
    format!("www.example.org/images/2020/{number}.jpg")
}

fn cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
