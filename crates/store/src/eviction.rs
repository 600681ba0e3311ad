//! What stays, what goes, and where what comes is put: the store's policy as pure functions.
//!
//! What it is: S3-FIFO over segments. A key that comes for the first time is on probation in
//! memory; when its segment is reclaimed it goes to disk if somebody has asked for it again, and
//! else leaves only a fingerprint in the [`Ghost`]. A key that comes back while its fingerprint
//! is there goes to disk at once. When a disk segment is reclaimed, the records that were hit since
//! are copied to the front of the log, the most useful per byte first, up to a bound
//! ([`Survival`]); the rest goes.
//!
//! ```text
//!            first seen             hit there              hit since, up to a fifth of a segment
//!   request ────────────► memory ─────────────────► disk ──┐ ◄──────────────┐
//!      │                    │ not hit                │     └────────────────┘
//!      │ in the ghost       ▼                        ▼ the rest
//!      └──────────► disk   ghost                   gone
//! ```
//!
//! What it is not: it reads and writes nothing, knows no time and no index. After construction
//! nothing allocates. `cargo xtask bench trace` replays traces through these functions, beside LRU,
//! FIFO and object-granular S3-FIFO; the choice of the numbers is in `DESIGN.md`, "Eviction".
//!
//! Sources: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023 (S3-FIFO);
//! Yang et al., "Segcache", NSDI 2021 (choosing by frequency per size within a segment).

/// Fingerprints of keys that have left: whoever comes back soon is worth a place on disk.
///
/// A key is remembered until as many bytes as the horizon have left after it, and forgotten for
/// certain then. A bucket is one cache line of eight fingerprints; a full one forgets its oldest,
/// which happens to about one in twenty when as many keys as the capacity are to be remembered, and
/// more often with more. Memory: 64 bytes for each six of capacity, taken as keys leave.
///
/// A key that was never inserted is found with a probability of at most 8 / 2³² (a fingerprint has
/// 32 bits and a bucket eight of them). The cost of such an error is one object that goes to disk
/// too early.
pub struct Ghost {
    /// Buckets of `BUCKET_WORDS`: first the fingerprints (0 is a free place), then for each the
    /// clock at its insertion, in units. That wraps after thousands of horizons: an entry that is
    /// as old as that and found again does what an unknown key with the same fingerprint does.
    words: Vec<u32>,
    /// Bytes that have left so far.
    clock_bytes: u64,
    capacity: u32,
    /// How many units of the clock a key is remembered.
    horizon: u32,
    /// Binary logarithm of the unit in bytes.
    unit_shift: u32,
}

struct Bucket<'a> {
    fingerprints: &'a mut [u32],
    stamps: &'a mut [u32],
}

impl Ghost {
    /// One for `capacity` keys, at most 2²⁸, of which none is remembered after `horizon_bytes` have
    /// left. With a capacity or a horizon of 0 it remembers nothing.
    pub fn new(capacity: u32, horizon_bytes: u64) -> Self {
        let capacity = capacity.min(GHOST_CAPACITY_MAX);
        let capacity = if horizon_bytes == 0 { 0 } else { capacity };
        let buckets = capacity.div_ceil(BUCKET_LOAD).max(1) as usize;
        let unit_shift = (u64::BITS - horizon_bytes.leading_zeros()).saturating_sub(HORIZON_BITS);
        let horizon = (horizon_bytes >> unit_shift) as u32;
        // Zeros that the kernel gives page by page, as they are first written to.
        let words = vec![0; buckets * BUCKET_WORDS];
        Self { words, clock_bytes: 0, capacity, horizon, unit_shift }
    }

    /// Remembers a key whose record of `bytes` has left; if it is there already, from now on.
    pub fn insert(&mut self, hash: u128, bytes: u64) {
        self.clock_bytes = self.clock_bytes.wrapping_add(bytes);
        if self.capacity == 0 {
            return;
        }
        let now = self.now();
        let (bucket, fingerprint) = self.locate(hash);
        let slot = bucket.find(fingerprint).unwrap_or_else(|| bucket.worst(now));
        bucket.fingerprints[slot] = fingerprint;
        bucket.stamps[slot] = now;
    }

    /// Forgets a key; says whether it was remembered. So one departure counts for one return.
    pub fn remove(&mut self, hash: u128) -> bool {
        let (now, horizon) = (self.now(), self.horizon);
        let (bucket, fingerprint) = self.locate(hash);
        let Some(slot) = bucket.find(fingerprint) else { return false };
        bucket.fingerprints[slot] = 0;
        now.wrapping_sub(bucket.stamps[slot]) < horizon
    }

    /// Memory taken, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        size_of_val(&*self.words) as u64
    }

    fn now(&self) -> u32 {
        (self.clock_bytes >> self.unit_shift) as u32
    }

    fn locate(&mut self, hash: u128) -> (Bucket<'_>, u32) {
        let high = (hash >> 64) as u64;
        // Multiply and shift maps 64 bits evenly onto any count.
        let buckets = self.words.len() / BUCKET_WORDS;
        let first = ((u128::from(high) * buckets as u128) >> 64) as usize * BUCKET_WORDS;
        let bucket = &mut self.words[first..first + BUCKET_WORDS];
        let (fingerprints, stamps) = bucket.split_at_mut(BUCKET_SLOTS);
        (Bucket { fingerprints, stamps }, (hash as u32).max(1))
    }
}

impl Bucket<'_> {
    fn find(&self, fingerprint: u32) -> Option<usize> {
        self.fingerprints.iter().position(|&other| other == fingerprint)
    }

    /// A free place, else the oldest.
    fn worst(&self, now: u32) -> usize {
        let age = |slot: &usize| match self.fingerprints[*slot] {
            0 => u32::MAX,
            _ => now.wrapping_sub(self.stamps[*slot]),
        };
        (0..BUCKET_SLOTS).max_by_key(age).unwrap_or(0)
    }
}

/// The horizon for a store of so many bytes, memory and disks together: beyond it more goes to
/// disk, and hardly a miss less is had for it.
pub const fn ghost_horizon_bytes(store_bytes: u64) -> u64 {
    store_bytes / 100 * GHOST_PERCENT
}

/// A live record of a segment that is being reclaimed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The caller's number for it, in the order in which the records lie in the segment.
    pub position: u32,
    /// Space that it takes in the segment.
    pub extent_bytes: u32,
    /// Hits since it was written, 0 to [`FREQUENCY_MAX`].
    pub frequency: u8,
    /// Binary logarithm of frequency / size^α, once it was needed.
    worth: f32,
}

impl Candidate {
    /// A record at `position` that takes `extent_bytes` and was hit `frequency` times.
    pub const fn new(position: u32, frequency: u8, extent_bytes: u32) -> Self {
        Self { position, extent_bytes, frequency, worth: 0.0 }
    }
}

/// How the survivors of a segment are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Survival {
    size_exponent: f32,
    copied_percent_max: u8,
}

impl Survival {
    /// `size_exponent` is the α of frequency / size^α, from 0 (keeps the most hit bytes) to 1 (the
    /// most hit objects); `copied_percent_max` bounds what is copied of a segment, from 0 to 100.
    /// `None` when one is out of its bounds.
    pub fn new(size_exponent: f32, copied_percent_max: u8) -> Option<Self> {
        let valid = (0.0..=1.0).contains(&size_exponent) && copied_percent_max <= 100;
        valid.then_some(Self { size_exponent, copied_percent_max })
    }

    /// Chooses, of the records of a disk segment, those to be copied: hit at least once, the best
    /// frequency / size^α first, ties by position, as many as the bound lets through. They come to
    /// the front of `candidates`, the others behind them, both in the order of position; returns
    /// the number of survivors. Sorts: n log n, without allocation.
    pub fn choose(&self, candidates: &mut [Candidate], segment_bytes: u32) -> usize {
        for candidate in candidates.iter_mut() {
            candidate.worth = self.worth(candidate);
        }
        let best_first = |a: &Candidate, b: &Candidate| {
            b.worth.total_cmp(&a.worth).then(a.position.cmp(&b.position))
        };
        candidates.sort_unstable_by(best_first);
        let mut room = u64::from(segment_bytes) * u64::from(self.copied_percent_max) / 100;
        let mut survivors = 0;
        for next in 0..candidates.len() {
            let extent = u64::from(candidates[next].extent_bytes);
            if candidates[next].frequency > 0 && extent <= room {
                room -= extent;
                candidates.swap(survivors, next);
                survivors += 1;
            }
        }
        in_order(candidates, survivors)
    }

    fn worth(&self, candidate: &Candidate) -> f32 {
        let size = candidate.extent_bytes.max(1) as f32;
        f32::from(candidate.frequency).log2() - self.size_exponent * size.log2()
    }
}

impl Default for Survival {
    fn default() -> Self {
        Self { size_exponent: 0.5, copied_percent_max: 20 }
    }
}

/// Chooses, of the records of a memory segment, those that go to disk: all that were hit
/// `frequency_min` times ([`PROMOTION_FREQUENCY`], unless a bench asks). They come to the front of
/// `candidates` as with [`Survival::choose`]; returns their number.
pub fn choose_promoted(candidates: &mut [Candidate], frequency_min: u8) -> usize {
    let mut promoted = 0;
    for next in 0..candidates.len() {
        if candidates[next].frequency >= frequency_min {
            candidates.swap(promoted, next);
            promoted += 1;
        }
    }
    in_order(candidates, promoted)
}

/// The frequency with which the copy of a record starts, when a disk segment is reclaimed.
pub const fn frequency_of_copy(frequency: u8) -> u8 {
    frequency.saturating_sub(1)
}

/// Sorts the two parts by position.
fn in_order(candidates: &mut [Candidate], front: usize) -> usize {
    let (survivors, others) = candidates.split_at_mut(front);
    survivors.sort_unstable_by_key(|candidate| candidate.position);
    others.sort_unstable_by_key(|candidate| candidate.position);
    front
}

/// A record that is about to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newcomer {
    /// The store has a memory volume.
    pub has_memory: bool,
    /// The store has a disk volume that takes writes.
    pub has_disk: bool,
    /// It is small enough for a memory segment.
    pub fits_memory: bool,
    /// Its key was in the ghost.
    pub was_ghost: bool,
    /// How long it lives.
    pub class: Class,
}

/// Where a record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// On which kind of volume.
    pub tier: Tier,
    /// In which open segment of it.
    pub class: Class,
}

/// A kind of volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Probation, lost with the process.
    Memory,
    /// What was asked for again.
    Disk,
}

/// Records that die at about the same time share segments, so that a dead segment costs no copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Lives until it is evicted.
    Main,
    /// Its lifetime ends soon; its segment is dropped whole after the last one's end.
    Short,
}

impl Class {
    /// The class of a record with this lifetime (`None`: unlimited). Both in milliseconds.
    pub const fn of_lifetime(lifetime_ms: Option<u64>, short_lifetime_ms: u64) -> Self {
        match lifetime_ms {
            Some(lifetime_ms) if lifetime_ms <= short_lifetime_ms => Self::Short,
            Some(_) | None => Self::Main,
        }
    }
}

impl Newcomer {
    /// Where it goes. Without a memory volume to disk, without a disk to memory (whoever fits in
    /// neither was refused before); with both, on probation in memory unless its key was in the
    /// ghost.
    pub const fn placement(self) -> Placement {
        let probation = self.has_memory && self.fits_memory && !self.was_ghost;
        let tier = if probation || !self.has_disk { Tier::Memory } else { Tier::Disk };
        Placement { tier, class: self.class }
    }
}

/// The most that the two frequency bits of an index slot count.
pub const FREQUENCY_MAX: u8 = 3;
/// Hits on probation that earn a place on disk.
pub const PROMOTION_FREQUENCY: u8 = 1;
const BUCKET_SLOTS: usize = 8;
const BUCKET_WORDS: usize = 2 * BUCKET_SLOTS;
/// Bytes that leave before a key is forgotten, in percent of the store.
const GHOST_PERCENT: u64 = 50;
/// Fingerprints per bucket at capacity: two places are left for uneven filling.
const BUCKET_LOAD: u32 = 6;
/// A horizon has half as many units as this many bits can count, or more.
const HORIZON_BITS: u32 = 20;
const GHOST_CAPACITY_MAX: u32 = 1 << 28;
