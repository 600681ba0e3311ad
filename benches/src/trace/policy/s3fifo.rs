//! S3-FIFO over objects, as published: what ours is measured against.
//!
//! A small queue of a tenth of the cache, a main queue, and a ghost queue of as many bytes as the
//! main one. An object enters the small queue, or the main one if its ghost is there. At the old
//! end of the small queue, who was hit twice goes to the main queue, the others become ghosts; at
//! that of the main queue, who was hit goes back to the new end with one hit less. Until the first
//! eviction, what does not fit the small queue goes to the main one.
//!
//! Source: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023, and its
//! authors' implementation in libCacheSim, whose choices for sizes in bytes these are.

use super::Policy;
use super::lists::Lists;

/// The cache.
#[derive(Debug)]
pub struct S3Fifo {
    lists: Lists<3>,
    frequency: Vec<u8>,
    cache_bytes: u64,
    small_bytes_max: u64,
    ghost_bytes_max: u64,
    has_evicted: bool,
    written_bytes: u64,
}

impl S3Fifo {
    /// An empty cache.
    pub fn new(cache_bytes: u64) -> Self {
        Self {
            lists: Lists::new(),
            frequency: Vec::new(),
            cache_bytes,
            small_bytes_max: cache_bytes / 10,
            ghost_bytes_max: cache_bytes / 10 * 9,
            has_evicted: false,
            written_bytes: 0,
        }
    }

    fn store(&mut self, object: u32, bytes: u64, was_ghost: bool) {
        if bytes >= self.small_bytes_max {
            return;
        }
        while self.lists.bytes(SMALL) + self.lists.bytes(MAIN) + bytes > self.cache_bytes {
            self.evict();
        }
        let is_small_full = self.lists.bytes(SMALL) >= self.small_bytes_max;
        let to_main = was_ghost || (!self.has_evicted && is_small_full);
        self.lists.push(if to_main { MAIN } else { SMALL }, object, bytes);
        self.frequency[object as usize] = 0;
        self.written_bytes += bytes;
    }

    fn evict(&mut self) {
        self.has_evicted = true;
        let main_bytes_max = self.cache_bytes - self.small_bytes_max;
        if self.lists.bytes(MAIN) > main_bytes_max || self.lists.oldest(SMALL).is_none() {
            self.evict_main();
        } else {
            self.evict_small();
        }
    }

    fn evict_small(&mut self) {
        while let Some(oldest) = self.lists.oldest(SMALL) {
            let bytes = self.lists.remove(oldest);
            if self.frequency[oldest as usize] < PROMOTION_FREQUENCY {
                return self.remember(oldest, bytes);
            }
            self.lists.push(MAIN, oldest, bytes);
            self.frequency[oldest as usize] = 0;
        }
    }

    fn evict_main(&mut self) {
        while let Some(oldest) = self.lists.oldest(MAIN) {
            let bytes = self.lists.remove(oldest);
            let frequency = &mut self.frequency[oldest as usize];
            if *frequency == 0 {
                return;
            }
            *frequency -= 1;
            self.lists.push(MAIN, oldest, bytes);
        }
    }

    fn remember(&mut self, object: u32, bytes: u64) {
        while self.lists.bytes(GHOST) + bytes > self.ghost_bytes_max {
            let Some(oldest) = self.lists.oldest(GHOST) else { return };
            self.lists.remove(oldest);
        }
        self.lists.push(GHOST, object, bytes);
    }
}

impl Policy for S3Fifo {
    fn request(&mut self, object: u32, bytes: u64) -> bool {
        let index = object as usize;
        if self.frequency.len() <= index {
            self.frequency.resize(index + 1, 0);
        }
        match self.lists.of(object) {
            Some(SMALL | MAIN) => {
                self.frequency[index] = (self.frequency[index] + 1).min(FREQUENCY_MAX);
                return true;
            }
            Some(_ghost) => {
                self.lists.remove(object);
                self.store(object, bytes, true);
            }
            None => self.store(object, bytes, false),
        }
        false
    }

    fn written_bytes(&self) -> u64 {
        self.written_bytes
    }
}

const SMALL: usize = 0;
const MAIN: usize = 1;
const GHOST: usize = 2;
const PROMOTION_FREQUENCY: u8 = 2;
const FREQUENCY_MAX: u8 = 3;
