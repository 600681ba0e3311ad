//! Purges, as far as fetches in progress are concerned.
//!
//! The store ends what it holds and what is being written into it. What is still on its way from
//! the origin it does not know; nor is it known of a response that has not come by which tags it
//! could be purged. So each fetch takes a [`Mark`] when it begins, and what it brings is compared
//! with the purges since then when it is about to be stored (GW-5).
//!
//! The journal is bounded: a fetch whose mark is older than what it remembers counts as concerned.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::tags::MANY;

/// What a purge names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One primary key and its variants.
    Key(Vec<u8>),
    /// Every key that begins with these bytes.
    Prefix(Vec<u8>),
    /// Whatever carries this tag, see [`crate::tags`].
    Tag(u64),
    /// Everything.
    All,
}

impl Scope {
    /// Whether it concerns a response under `key`, a primary or a variant's, with these tags.
    pub fn concerns(&self, key: &[u8], tags: &[u64]) -> bool {
        match self {
            Self::Key(primary) => is_of(key, primary),
            Self::Prefix(prefix) => key.starts_with(prefix),
            Self::Tag(tag) => tags.contains(tag) || tags.contains(&MANY),
            Self::All => true,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Key(name) | Self::Prefix(name) => name.len(),
            Self::Tag(_) | Self::All => 0,
        }
    }
}

/// Whether `key` is the primary key or one of its variants'.
pub fn is_of(key: &[u8], primary: &[u8]) -> bool {
    key.strip_prefix(primary).is_some_and(|rest| matches!(rest.first(), None | Some(0)))
}

/// The moment at which a fetch began, among purges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

/// The last purges, up to [`ENTRIES_MAX`] with [`BYTES_MAX`] bytes of names.
#[derive(Debug, Default)]
pub struct Journal {
    entries: VecDeque<Scope>,
    /// Purges that are not remembered any more; the number of the first that is.
    forgotten: u64,
    bytes: usize,
}

impl Journal {
    /// An empty journal.
    pub fn new() -> Self {
        Self::default()
    }

    /// Now: purges from here on concern what is fetched under this mark.
    pub fn mark(&self) -> Mark {
        Mark(self.forgotten + self.entries.len() as u64)
    }

    /// Remembers a purge; over the bound the oldest are forgotten.
    pub fn note(&mut self, scope: Scope) {
        self.bytes += scope.bytes();
        self.entries.push_back(scope);
        while self.entries.len() > ENTRIES_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.bytes();
            self.forgotten += 1;
        }
    }

    /// Whether a purge since `mark` concerns a response under `key` with these tags. Costs
    /// O(purges since then).
    pub fn has_purged(&self, mark: Mark, key: &[u8], tags: &[u64]) -> bool {
        let Some(known) = mark.0.checked_sub(self.forgotten) else { return true };
        let since = usize::try_from(known).unwrap_or(usize::MAX);
        self.entries.iter().skip(since).any(|scope| scope.concerns(key, tags))
    }
}

/// As many purges are remembered.
pub const ENTRIES_MAX: usize = 1024;

/// Their keys and prefixes have as many bytes together.
pub const BYTES_MAX: usize = 256 * 1024;
