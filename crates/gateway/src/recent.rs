//! The last responses that were not stored, and why: for `edge explain`.
//!
//! It decides nothing. It is bounded: at [`ENTRIES_MAX`] responses, or [`BYTES_MAX`] bytes of their
//! keys, the oldest are forgotten.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// Why a response was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unstored {
    /// A word for it, that of `Cache-Status`.
    pub reason: &'static str,
    /// The clause that decides it; empty where it is this edge's own bound.
    pub clause: &'static str,
    /// When it came, Unix milliseconds.
    pub at_ms: u64,
}

/// The last of them.
#[derive(Debug, Default)]
pub struct Recent {
    entries: VecDeque<(Box<[u8]>, Unstored)>,
    bytes: usize,
}

impl Recent {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A response under this primary key was not stored.
    pub fn note(&mut self, key: &[u8], unstored: Unstored) {
        self.bytes += key.len();
        self.entries.push_back((Box::from(key), unstored));
        while self.entries.len() > ENTRIES_MAX || self.bytes > BYTES_MAX {
            let Some((oldest, _)) = self.entries.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }

    /// Why the last such response under this primary key was not stored, if that is remembered.
    /// Costs O(entries).
    pub fn find(&self, key: &[u8]) -> Option<Unstored> {
        let found = self.entries.iter().rev().find(|(known, _)| **known == *key);
        found.map(|(_, unstored)| *unstored)
    }
}

/// As many responses are remembered.
pub const ENTRIES_MAX: usize = 1024;

/// Their keys have as many bytes together.
pub const BYTES_MAX: usize = 128 * 1024;
