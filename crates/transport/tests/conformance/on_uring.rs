//! The suite over loopback, on the io_uring reactor: with one shard, and with many small ones.

use longhold_transport::Config;
use longhold_transport::uring::Reactor;

use crate::kernel::kernel_rig;
use crate::payload::Pieces;

fn one_shard(config: &Config) -> Reactor<Pieces> {
    Reactor::new(config).expect("io_uring")
}

fn many_shards(config: &Config) -> Reactor<Pieces> {
    one_shard(&Config { slots_per_shard: 2, ..*config })
}

kernel_rig!(
    /// All slots on the main ring.
    OneShard,
    Reactor<Pieces>,
    one_shard,
    one_shard
);
kernel_rig!(
    /// Two slots per shard, so that almost everything runs on rings that nobody waits on.
    ManyShards,
    Reactor<Pieces>,
    many_shards,
    many_shards
);

crate::suite::conformance!(one_shard, super::OneShard);
crate::suite::conformance!(many_shards, super::ManyShards);
