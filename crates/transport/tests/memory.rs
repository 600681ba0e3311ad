//! What a shard costs that holds nothing yet: its ring, and little besides. Two million slots under
//! a limit of 20,000 descriptors are a hundred shards, there from the start.

use longhold_transport::uring::Reactor;
use longhold_transport::{Config, Parts, Payload, Transport};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

struct Nothing;

impl Payload for Nothing {
    fn parts<'a>(&'a self, _: &mut Parts<'a>) {}
    fn advance(&mut self, _: usize) {}
}

#[test]
fn empty_shard_costs_its_ring_and_little_more() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let config = Config { slots: SLOTS, slots_per_shard: SLOTS_PER_SHARD, ..Config::default() };
    let before_bytes = resident_bytes();
    let mut edge = Reactor::<Nothing>::new(&config).unwrap();
    edge.wait(Some(0), &mut Vec::new()).unwrap();
    let shards = u64::from(edge.shard_count());
    assert!(shards >= u64::from(SLOTS / SLOTS_PER_SHARD), "a low limit makes more shards");
    let each_bytes = resident_bytes().saturating_sub(before_bytes) / shards;
    assert!(each_bytes <= SHARD_BYTES_MAX, "{each_bytes} bytes for each of {shards} shards");
}

/// The rings count, though they are the kernel's pages: they are mapped and filled at once.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

const SLOTS: u32 = 40 * SLOTS_PER_SHARD;
const SLOTS_PER_SHARD: u32 = 16_384;
/// 64 KiB completions, 8 KiB submissions, and what the table of slots and the first ops touch.
const SHARD_BYTES_MAX: u64 = 100 * 1024;
