//! LRU and FIFO over objects.

use super::Policy;
use super::lists::Lists;

/// Evicts what was not asked for the longest.
#[derive(Debug)]
pub struct Lru {
    lists: Lists<1>,
    cache_bytes: u64,
    written_bytes: u64,
}

/// Evicts what was stored first.
#[derive(Debug)]
pub struct Fifo(Lru);

impl Lru {
    /// An empty cache.
    pub fn new(cache_bytes: u64) -> Self {
        Self { lists: Lists::new(), cache_bytes, written_bytes: 0 }
    }

    fn store(&mut self, object: u32, bytes: u64) {
        if bytes > self.cache_bytes {
            return;
        }
        while self.lists.bytes(0) + bytes > self.cache_bytes {
            let Some(oldest) = self.lists.oldest(0) else { break };
            self.lists.remove(oldest);
        }
        self.lists.push(0, object, bytes);
        self.written_bytes += bytes;
    }
}

impl Policy for Lru {
    fn request(&mut self, object: u32, bytes: u64) -> bool {
        let hit = self.lists.of(object).is_some();
        if hit {
            self.lists.remove(object);
            self.lists.push(0, object, bytes);
        } else {
            self.store(object, bytes);
        }
        hit
    }

    fn written_bytes(&self) -> u64 {
        self.written_bytes
    }
}

impl Fifo {
    /// An empty cache.
    pub fn new(cache_bytes: u64) -> Self {
        Self(Lru::new(cache_bytes))
    }
}

impl Policy for Fifo {
    fn request(&mut self, object: u32, bytes: u64) -> bool {
        let hit = self.0.lists.of(object).is_some();
        if !hit {
            self.0.store(object, bytes);
        }
        hit
    }

    fn written_bytes(&self) -> u64 {
        self.0.written_bytes
    }
}
