//! Deterministic bodies: the bytes of `/bytes/N…` follow from the path alone.
//!
//! The scripted origin writes them, the floor serves them, and a load knows what every answer must
//! be before the first one arrives. Nothing is stored: any part of a body is computed from its
//! offset. The query is no part of the seed, so that `?max_age=60` changes how an object is
//! delivered, not what it is.
//!
//! ```text
//! /bytes/1024/a?max_age=60
//! └─── path ───┘            seed = xxh3(path), length = 1024
//! word i (8 bytes, little endian) = mix(seed + i · GOLDEN)
//! ```

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::chance::{GOLDEN, mix};

/// The body of one path.
///
/// ```
/// use longhold_loadgen::content::Content;
///
/// let content = Content::of_target("/bytes/10?max_age=60").unwrap();
/// let mut whole = [0; 10];
/// content.fill(0, &mut whole);
/// let mut tail = [0; 3];
/// content.fill(7, &mut tail);
/// assert_eq!(whole[7..], tail);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    seed: u64,
    length_bytes: u64,
}

impl Content {
    /// The content behind a request target, or `None` when it is not of the form `/bytes/N` with
    /// anything behind a further `/` or `?`, or when N exceeds [`CONTENT_BYTES_MAX`].
    pub fn of_target(target: &str) -> Option<Self> {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        let rest = path.strip_prefix("/bytes/")?;
        let digits = rest.split_once('/').map_or(rest, |(digits, _)| digits);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let length_bytes: u64 = digits.parse().ok()?;
        (length_bytes <= CONTENT_BYTES_MAX)
            .then(|| Self { seed: xxh3_64(path.as_bytes()), length_bytes })
    }

    /// Length of the whole body in bytes.
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// A short name of the content, fit for an entity tag: equal for equal bodies.
    pub fn name(&self) -> u64 {
        self.seed
    }

    /// Writes the bytes from `offset` on over all of `out`, without regard to the body's end.
    pub fn fill(&self, offset: u64, out: &mut [u8]) {
        let mut word = offset / WORD_BYTES;
        let skip = (offset % WORD_BYTES) as usize;
        let mut rest = out;
        if skip > 0 {
            let bytes = self.word(word);
            let lead = rest.len().min(bytes.len() - skip);
            let (front, back) = rest.split_at_mut(lead);
            front.copy_from_slice(&bytes[skip..skip + lead]);
            rest = back;
            word += 1;
        }
        for piece in rest.chunks_mut(WORD_BYTES as usize) {
            let bytes = self.word(word);
            piece.copy_from_slice(&bytes[..piece.len()]);
            word += 1;
        }
    }

    /// The hash ([`xxh3_64`]) of the whole body. Cost: generating all of it once.
    pub fn hash(&self) -> u64 {
        let mut hasher = Xxh3::new();
        let mut block = vec![0; BLOCK_BYTES];
        let mut offset = 0;
        while offset < self.length_bytes {
            let left = self.length_bytes - offset;
            let take = usize::try_from(left).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
            self.fill(offset, &mut block[..take]);
            hasher.update(&block[..take]);
            offset += take as u64;
        }
        hasher.digest()
    }

    fn word(&self, index: u64) -> [u8; WORD_BYTES as usize] {
        // SplitMix64's finaliser: every word depends on the seed and on its own index.
        // Every word depends on the seed and on its own index.
        mix(self.seed.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN))).to_le_bytes()
    }
}

/// Longest body that a path may ask for: 16 GiB, far over the edge's own object limit.
pub const CONTENT_BYTES_MAX: u64 = 16 << 30;

const WORD_BYTES: u64 = 8;
const BLOCK_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests;
