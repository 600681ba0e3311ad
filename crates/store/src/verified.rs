//! Which chunks of large bodies have passed their checksum since the store was opened.
//!
//! One bit for each 4 KiB page of the data file. A body of several chunks begins at a page and its
//! chunks are 16 pages each, so the page in which a chunk begins is its own. Bits are set by
//! readers that hold a pin and cleared by the writer before a segment is written anew.

use std::sync::atomic::{AtomicU64, Ordering};

/// The bits.
pub(crate) struct VerifiedPages(Box<[AtomicU64]>);

impl VerifiedPages {
    pub(crate) fn new(data_bytes: u64) -> Self {
        let words = data_bytes.div_ceil(PAGE_BYTES * 64);
        Self((0..words).map(|_| AtomicU64::new(0)).collect())
    }

    /// Whether the chunk that begins at this offset of the data file was verified.
    pub(crate) fn contains(&self, offset: u64) -> bool {
        let (word, bit) = place(offset);
        self.0.get(word).is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
    }

    pub(crate) fn insert(&self, offset: u64) {
        let (word, bit) = place(offset);
        if let Some(word) = self.0.get(word) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Forgets all chunks that begin in `start..end`.
    pub(crate) fn clear(&self, start: u64, end: u64) {
        for offset in (start..end).step_by(PAGE_BYTES as usize) {
            let (word, bit) = place(offset);
            if let Some(word) = self.0.get(word) {
                word.fetch_and(!bit, Ordering::Relaxed);
            }
        }
    }
}

fn place(offset: u64) -> (usize, u64) {
    let page = offset / PAGE_BYTES;
    ((page / 64) as usize, 1 << (page % 64))
}

const PAGE_BYTES: u64 = 4096;
