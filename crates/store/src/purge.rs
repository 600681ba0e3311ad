//! Purges: what can be named, and the table that readers ask whether a record still stands.
//!
//! A purge takes a sequence from the store's one counter and concerns every record with a lower
//! one. A purge of a key acts on the index at once and is not met here. Purges of a tag, of a
//! prefix and of everything are enforced lazily: they cost the same whether they concern one
//! record or all, and each reader compares the record that it has found with this table.
//!
//! ```text
//! standing(key, tags, sequence)
//!   sequence ≥ newest ───────────────────────────────────► Live      one load
//!   1 tags      two lines of four slots for each tag, for each mode that was ever used
//!   2 prefixes  one binary search in a sorted set behind a pointer
//!   3 floors    everything below is purged or gone; everything with tags below is purged
//! ```
//! What it is not: the table is no record of purges. That is the purge log (`purge_log`), from
//! which an open fills the table anew.
//!
//! # Ordering
//! One thread writes (the writer's), any number read, nobody locks.
//! - *A purge that has returned is seen.* The writer stores an entry, then raises the gates in
//!   front of it, all by release. Whoever has learned of the return has these stores behind him,
//!   and every load here is at least as new.
//! - *An entry that leaves is replaced first.* Entries leave when they are folded into a floor or
//!   when no record is left that they could concern. Either way the floor is raised by release
//!   before the first entry goes, and readers look at the floors after the entries, by acquire: who
//!   misses an entry because it has gone sees the floor.
//!
//! `tests/loom.rs` runs the interleavings of both.
//!
//! # Bounds
//! - Tags: [`PurgeLimits::tags_max`] for each mode, 32 bytes each, taken at the first purge of a
//!   tag. At the bound the older half becomes a floor: what has any tag and is older counts as
//!   purged. Those are misses too many, never too few, and counted.
//! - Prefixes: [`PurgeLimits::prefixes_max`], 48 bytes each, and [`PurgeLimits::prefix_bytes_max`]
//!   of their bytes; twice while a purge is under way. At the bound a purge is refused.

mod prefixes;
mod tags;

use std::sync::OnceLock;

use arc_swap::ArcSwapOption;

use crate::format::u64_at;
use crate::purge::prefixes::PrefixSet;
pub(crate) use crate::purge::prefixes::PrefixesFull;
use crate::purge::tags::TagSet;
use crate::sync::{AtomicU64, Ordering};

/// What a purge concerns, among the records that are older than it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purge<'a> {
    /// The record of one key.
    Key(&'a [u8]),
    /// Every record whose key begins with these bytes, up to 64 KiB of them.
    Prefix(&'a [u8]),
    /// Every record that carries this tag.
    Tag(u64),
    /// Every record.
    All,
}

/// How a purge ends what it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Lookups miss.
    Hard,
    /// Lookups find the record and [`Record::is_soft_purged`](crate::Record::is_soft_purged) says
    /// that it is to be served only as stale.
    Soft,
}

/// What the purges leave of a record; the later variants are the stricter ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Live,
    Soft,
    Purged,
}

/// A purge that readers enforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lazy<'a> {
    Prefix(&'a [u8]),
    Tag(u64),
    All,
}

/// How much the table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PurgeLimits {
    /// Tags in force for each mode; over it, the older half becomes a floor.
    pub(crate) tags_max: u32,
    /// Prefixes in force; over it, a purge is refused.
    pub(crate) prefixes_max: u32,
    /// Bytes of all prefixes in force; over it, a purge is refused.
    pub(crate) prefix_bytes_max: u32,
}

/// The newest purges of both modes that concern something; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Newest {
    pub(crate) hard: u64,
    pub(crate) soft: u64,
}

/// Purges in force, but for those of keys.
pub(crate) struct PurgeTable {
    gates: Gates,
    hard_tags: OnceLock<TagSet>,
    soft_tags: OnceLock<TagSet>,
    prefixes: ArcSwapOption<PrefixSet>,
    limits: PurgeLimits,
    seed: u64,
    folded: AtomicU64,
    floored: AtomicU64,
}

/// What readers load first; a line that is written once for each purge.
#[repr(align(128))]
struct Gates {
    /// Records from this sequence on are concerned by nothing in the table.
    newest: AtomicU64,
    /// The same for tags and for prefixes alone.
    tags_newest: AtomicU64,
    prefixes_newest: AtomicU64,
    /// The newest soft purge of everything.
    all_soft: AtomicU64,
    /// Every record below is purged, or lies in a segment that is gone.
    floor: AtomicU64,
    /// Every record with tags below counts as purged.
    tag_floor: AtomicU64,
}

impl PurgeTable {
    /// An empty table. The seed, a secret, keeps others from choosing tags that share a line.
    pub(crate) fn new(limits: PurgeLimits, seed: u64) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            gates: Gates {
                newest: zero(),
                tags_newest: zero(),
                prefixes_newest: zero(),
                all_soft: zero(),
                floor: zero(),
                tag_floor: zero(),
            },
            hard_tags: OnceLock::new(),
            soft_tags: OnceLock::new(),
            prefixes: ArcSwapOption::const_empty(),
            limits,
            seed,
            folded: zero(),
            floored: zero(),
        }
    }

    /// What the purges leave of a record. One load when it is younger than all of them; else up to
    /// four cache lines for each tag and a binary search. Any thread; allocates nothing.
    pub(crate) fn standing(&self, key: &[u8], tags: Tags<'_>, sequence: u64) -> Standing {
        if !self.may_concern(sequence) {
            return Standing::Live;
        }
        self.standing_of_older(key, tags, sequence)
    }

    /// Whether any purge in force is newer than a record: one load, which spares most lookups the
    /// rest.
    #[inline]
    pub(crate) fn may_concern(&self, sequence: u64) -> bool {
        sequence < self.gates.newest.load(Ordering::Acquire)
    }

    fn standing_of_older(&self, key: &[u8], tags: Tags<'_>, sequence: u64) -> Standing {
        let gates = &self.gates;
        let mut standing = Standing::Live;
        if !tags.is_empty() && sequence < gates.tags_newest.load(Ordering::Acquire) {
            let concerned = |set: &OnceLock<TagSet>| {
                set.get().is_some_and(|set| tags.iter().any(|tag| sequence < set.newest(tag)))
            };
            if concerned(&self.hard_tags) {
                return Standing::Purged;
            }
            if concerned(&self.soft_tags) {
                standing = Standing::Soft;
            }
        }
        if sequence < gates.prefixes_newest.load(Ordering::Acquire)
            && let Some(set) = &*self.prefixes.load()
        {
            standing = standing.max(set.newest(key).standing(sequence));
        }
        // The floors last: they stand for the entries that have left.
        if sequence < gates.floor.load(Ordering::Acquire) {
            return Standing::Purged;
        }
        if !tags.is_empty() && sequence < gates.tag_floor.load(Ordering::Acquire) {
            self.floored.fetch_add(1, Ordering::Relaxed);
            return Standing::Purged;
        }
        if sequence < gates.all_soft.load(Ordering::Acquire) {
            standing = standing.max(Standing::Soft);
        }
        standing
    }

    /// Puts a purge in force; in force for every lookup that begins after this has returned.
    /// Sequences rise from call to call. Writer only.
    ///
    /// Costs a few stores; for a prefix, a copy of the set; for a tag at the bound, a pass over
    /// the table, which makes room for as many as half of it.
    ///
    /// # Errors
    /// [`PrefixesFull`]; nothing was changed.
    pub(crate) fn enforce(
        &self,
        what: Lazy<'_>,
        mode: Mode,
        sequence: u64,
    ) -> Result<(), PrefixesFull> {
        match (what, mode) {
            (Lazy::All, Mode::Hard) => {
                raise(&self.gates.floor, sequence);
                self.sweep();
            }
            (Lazy::All, Mode::Soft) => raise(&self.gates.all_soft, sequence),
            (Lazy::Tag(tag), mode) => {
                self.enforce_tag(tag, mode, sequence);
                raise(&self.gates.tags_newest, sequence);
            }
            (Lazy::Prefix(prefix), mode) => {
                let now = self.prefixes.load_full();
                let now = now.as_deref().unwrap_or(PrefixSet::EMPTY);
                let next = now.purge(prefix, mode, sequence, &self.limits)?;
                self.prefixes.store(Some(next.into()));
                raise(&self.gates.prefixes_newest, sequence);
            }
        }
        raise(&self.gates.newest, sequence);
        Ok(())
    }

    /// Lets entries go that can concern no record any more, since none has a sequence below
    /// `min_sequence`. A lookup that still holds a record from a segment that has just gone finds
    /// it purged. A pass over the table. Writer only.
    pub(crate) fn forget_older(&self, min_sequence: u64) {
        if min_sequence > self.gates.floor.load(Ordering::Relaxed) {
            raise(&self.gates.floor, min_sequence);
            self.sweep();
        }
    }

    /// The figures of this moment.
    pub(crate) fn figures(&self) -> PurgeFigures {
        let used = |set: &OnceLock<TagSet>| set.get().map_or(0, TagSet::used);
        PurgeFigures {
            tags: used(&self.hard_tags) + used(&self.soft_tags),
            prefixes: self.prefixes.load().as_ref().map_or(0, |set| set.len() as u64),
            tags_folded: self.folded.load(Ordering::Relaxed),
            floored: self.floored.load(Ordering::Relaxed),
        }
    }

    fn enforce_tag(&self, tag: u64, mode: Mode, sequence: u64) {
        let set = match mode {
            Mode::Hard => &self.hard_tags,
            Mode::Soft => &self.soft_tags,
        };
        let set = set.get_or_init(|| TagSet::new(self.limits.tags_max, self.seed));
        if set.is_full() {
            self.sweep();
        }
        if set.is_full() {
            self.fold(set.median());
        }
        // Two full lines, which a set that is at most half full hardly ever has.
        while let Err(oldest) = set.insert(tag, sequence) {
            self.fold(oldest);
        }
    }

    /// Replaces every tag's entry up to a sequence by the floor.
    fn fold(&self, to: u64) {
        raise(&self.gates.tag_floor, to);
        let gone = self.tag_sets().map(|set| set.forget(to)).sum();
        self.folded.fetch_add(gone, Ordering::Relaxed);
    }

    /// Drops what the floor covers.
    fn sweep(&self) {
        let floor = self.gates.floor.load(Ordering::Relaxed);
        self.tag_sets().for_each(|set| {
            set.forget(floor);
        });
        if let Some(now) = self.prefixes.load_full()
            && let Some(next) = now.without(floor)
        {
            self.prefixes.store((next.len() > 0).then(|| next.into()));
        }
    }

    fn tag_sets(&self) -> impl Iterator<Item = &TagSet> {
        [&self.hard_tags, &self.soft_tags].into_iter().filter_map(OnceLock::get)
    }
}

impl Newest {
    /// The newest with one more.
    pub(crate) fn with(self, mode: Mode, sequence: u64) -> Self {
        match mode {
            Mode::Hard => Self { hard: self.hard.max(sequence), ..self },
            Mode::Soft => Self { soft: self.soft.max(sequence), ..self },
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self { hard: self.hard.max(other.hard), soft: self.soft.max(other.soft) }
    }

    /// What they leave of a record that they concern.
    pub(crate) fn standing(self, sequence: u64) -> Standing {
        if sequence < self.hard {
            Standing::Purged
        } else if sequence < self.soft {
            Standing::Soft
        } else {
            Standing::Live
        }
    }
}

/// The purge table's figures at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PurgeFigures {
    pub(crate) tags: u64,
    pub(crate) prefixes: u64,
    /// Tags whose purge became a floor.
    pub(crate) tags_folded: u64,
    /// Lookups that missed for such a floor.
    pub(crate) floored: u64,
}

/// The tags of a record as they lie in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tags<'a>(&'a [u8]);

impl<'a> Tags<'a> {
    /// Eight bytes for each tag, little-endian.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = u64> + use<'a> {
        self.0.chunks_exact(8).map(|tag| u64_at(tag, 0))
    }
}

/// Only the writer raises, so a load and a store will do.
fn raise(gate: &AtomicU64, sequence: u64) {
    if sequence > gate.load(Ordering::Relaxed) {
        gate.store(sequence, Ordering::Release);
    }
}
