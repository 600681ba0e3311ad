//! Sizes of a transport: plain numbers, checked by the caller's configuration.

/// What a transport is made with. [`Default`] suits tests and small servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Connections that this transport can hold at once, accepted and outbound together.
    pub slots: u32,
    /// Slots per shard (ring and direct-descriptor table); 0 = as many as `RLIMIT_NOFILE` and
    /// [`Config::SLOTS_PER_SHARD_MAX`] allow.
    pub slots_per_shard: u32,
    /// Buffers in the pool, [`BUFFER_BYTES`](crate::BUFFER_BYTES) each, taken when first needed.
    pub buffers: u32,
    /// One-shot accepts kept armed per listener while slots are free.
    pub accepts_per_listener: u32,
    /// Submission queue entries of a ring; the kernel rounds up to a power of two.
    pub ring_entries: u32,
    /// Most completions that one wait asks the kernel to gather under load.
    pub wait_batch: u32,
    /// How long a wait under load may gather completions, in microseconds. 0 = not at all.
    pub wait_min_us: u32,
}

impl Config {
    /// Bound of a shard: the cost of one cancel grows with what is armed on its ring.
    pub const SLOTS_PER_SHARD_MAX: u32 = 131_072;

    /// Slots of one shard where a process may have so many open files: that bounds a table of
    /// direct descriptors, too, though its entries are no file descriptors.
    pub fn slots_per_shard_under(&self, open_files: u64) -> u32 {
        let limit = u32::try_from(open_files).unwrap_or(u32::MAX);
        let asked = match self.slots_per_shard {
            0 => Self::SLOTS_PER_SHARD_MAX,
            asked => asked,
        };
        asked.min(limit.saturating_sub(DESCRIPTOR_SLACK)).min(self.slots).max(1)
    }
}

/// Descriptors that a table leaves below `RLIMIT_NOFILE`.
const DESCRIPTOR_SLACK: u32 = 64;

impl Default for Config {
    fn default() -> Self {
        Self {
            slots: 1024,
            slots_per_shard: 0,
            buffers: 256,
            accepts_per_listener: 64,
            ring_entries: 1024,
            wait_batch: 256,
            wait_min_us: 50,
        }
    }
}
