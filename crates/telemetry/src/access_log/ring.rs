//! A bounded queue of byte records between two threads: no lock, no allocation, no unsafe code.
//!
//! ```text
//!  words:  … │ length │ bytes 0–7 │ bytes 8–15 │ length │ …      (AtomicU64, power of two many)
//!             ▲ read (moved by the consumer)             ▲ write (moved by the producer)
//! ```
//! Words are stored relaxed, then `write` is stored with release; the consumer loads `write` with
//! acquire, reads words relaxed, then stores `read` with release, which the producer acquires
//! before it writes over them. So every word that is read was written before it, by happens-before.
//! Checked with every interleaving by `tests/loom.rs`.

#[cfg(not(loom))]
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

#[cfg(loom)]
use loom::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Makes a queue of at least `bytes` bytes, rounded up to a power of two; each record costs 8 bytes
/// and up to 7 of padding beside its own.
#[must_use]
pub fn pair(bytes: usize) -> (Producer, Consumer) {
    let words_count = bytes.div_ceil(WORD_BYTES).next_power_of_two();
    let ring = Arc::new(Ring {
        words: (0..words_count).map(|_| AtomicU64::new(0)).collect(),
        write: Position(AtomicU64::new(0)),
        read: Position(AtomicU64::new(0)),
    });
    let producer = Producer { ring: Arc::clone(&ring), write: 0, read_seen: 0 };
    (producer, Consumer { ring, read: 0 })
}

/// The side that pushes; one thread's.
#[derive(Debug)]
pub struct Producer {
    ring: Arc<Ring>,
    write: u64,
    read_seen: u64,
}

impl Producer {
    /// Appends one record; false, and nothing changed, if it does not fit now. A record longer than
    /// the whole queue never fits.
    pub fn push(&mut self, record: &[u8]) -> bool {
        let words_count = 1 + record.len().div_ceil(WORD_BYTES) as u64;
        if self.free() < words_count {
            self.read_seen = self.ring.read.0.load(Ordering::Acquire);
            if self.free() < words_count {
                return false;
            }
        }
        self.ring.word(self.write).store(record.len() as u64, Ordering::Relaxed);
        for (at, piece) in (self.write + 1..).zip(record.chunks(WORD_BYTES)) {
            let mut word = [0; WORD_BYTES];
            word[..piece.len()].copy_from_slice(piece);
            self.ring.word(at).store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
        self.write += words_count;
        self.ring.write.0.store(self.write, Ordering::Release);
        true
    }

    /// Whether at least half of the queue is in use. Looks at the consumer's progress, which lies
    /// on its cache line, only when it seems so.
    pub fn is_half_full(&mut self) -> bool {
        let half = self.ring.words.len() as u64 / 2;
        if self.free() <= half {
            self.read_seen = self.ring.read.0.load(Ordering::Acquire);
        }
        self.free() <= half
    }

    fn free(&self) -> u64 {
        self.ring.words.len() as u64 - (self.write - self.read_seen)
    }
}

/// The side that takes out; one thread's.
#[derive(Debug)]
pub struct Consumer {
    ring: Arc<Ring>,
    read: u64,
}

impl Consumer {
    /// Replaces the content of `record` with the oldest record and takes it out; false if there is
    /// none. Allocates only while `record` is shorter than the longest record so far.
    pub fn pop(&mut self, record: &mut Vec<u8>) -> bool {
        if self.ring.write.0.load(Ordering::Acquire) == self.read {
            return false;
        }
        let length = self.ring.word(self.read).load(Ordering::Relaxed) as usize;
        let words_count = length.div_ceil(WORD_BYTES) as u64;
        record.clear();
        for at in self.read + 1..=self.read + words_count {
            let word = self.ring.word(at).load(Ordering::Relaxed);
            record.extend_from_slice(&word.to_le_bytes());
        }
        record.truncate(length);
        self.read += 1 + words_count;
        self.ring.read.0.store(self.read, Ordering::Release);
        true
    }

    /// Whether there is nothing to take out now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.write.0.load(Ordering::Acquire) == self.read
    }
}

#[derive(Debug)]
struct Ring {
    words: Box<[AtomicU64]>,
    write: Position,
    read: Position,
}

impl Ring {
    fn word(&self, position: u64) -> &AtomicU64 {
        &self.words[position as usize & (self.words.len() - 1)]
    }
}

/// Words since the start; on a cache line pair of its own. 2^64 words are never reached.
#[derive(Debug)]
#[repr(align(128))]
struct Position(AtomicU64);

const WORD_BYTES: usize = 8;

#[cfg(all(test, not(loom)))]
mod tests;
