//! Hit-for-miss: keys whose last response could not be shared, so that their requests do not queue
//! behind one another only to learn it again.
//!
//! A request for such a key goes to the origin at once and for itself; should its response be one
//! that may be stored, the key is forgotten and shares again.
//!
//! It forgets by time and by size: when the keys take more than their bound, the oldest go.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use crate::purge::Scope;

/// What is remembered of one key.
#[derive(Clone, Copy, Debug)]
struct Known<R> {
    reason: R,
    until_ms: u64,
    /// Its place among the ages.
    age: u64,
}

/// The keys, each with the reason `R` for which its response was not shared. Each call costs
/// O(log keys), [`Unshared::forget`] O(keys that begin as its scope does) more.
#[derive(Debug)]
pub struct Unshared<R> {
    known: BTreeMap<Arc<[u8]>, Known<R>>,
    /// The same keys, the oldest first.
    ages: BTreeMap<u64, Arc<[u8]>>,
    next_age: u64,
    held_bytes: usize,
    bytes_max: usize,
}

impl<R: Copy> Unshared<R> {
    /// Nothing is known yet; at most `bytes_max` will be held.
    pub fn new(bytes_max: usize) -> Self {
        let (known, ages) = (BTreeMap::new(), BTreeMap::new());
        Self { known, ages, next_age: 0, held_bytes: 0, bytes_max }
    }

    /// The last response of `key` was not shared for this `reason`, which counts until `until_ms`.
    /// A key that is too long to be held is not.
    pub fn remember(&mut self, key: &[u8], reason: R, until_ms: u64) {
        self.drop_key(key);
        let bytes = cost_bytes(key);
        if bytes > self.bytes_max {
            return;
        }
        while self.held_bytes + bytes > self.bytes_max {
            let Some((_, oldest)) = self.ages.first_key_value() else { break };
            let oldest = Arc::clone(oldest);
            self.drop_key(&oldest);
        }
        let (key, age): (Arc<[u8]>, u64) = (Arc::from(key), self.next_age);
        self.next_age += 1;
        self.held_bytes += bytes;
        self.ages.insert(age, Arc::clone(&key));
        self.known.insert(key, Known { reason, until_ms, age });
    }

    /// Why `key` is not shared now; `None` when nothing is known of it, or not any more.
    pub fn recall(&self, key: &[u8], now_ms: u64) -> Option<R> {
        self.known.get(key).filter(|known| now_ms < known.until_ms).map(|known| known.reason)
    }

    /// What a purge names may be answered otherwise from now on. By which tags a response could be
    /// purged is not known here: what a tag names is remembered on.
    pub fn forget(&mut self, scope: &Scope) {
        let from: &[u8] = match scope {
            Scope::Key(name) | Scope::Prefix(name) => name,
            Scope::All => &[],
            Scope::Tag(_) => return,
        };
        let bounds = (Bound::Included(from), Bound::Unbounded);
        let concerned: Vec<Arc<[u8]>> = self
            .known
            .range::<[u8], _>(bounds)
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(from))
            .filter(|key| scope.concerns(key, &[]))
            .map(Arc::clone)
            .collect();
        concerned.iter().for_each(|key| self.drop_key(key));
    }

    /// Keys that are held, expired ones among them.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// No key is held.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn drop_key(&mut self, key: &[u8]) {
        if let Some(known) = self.known.remove(key) {
            self.ages.remove(&known.age);
            self.held_bytes -= cost_bytes(key);
        }
    }
}

/// What a key takes: its bytes, and its places in both trees.
fn cost_bytes(key: &[u8]) -> usize {
    key.len() + PLACES_BYTES
}

const PLACES_BYTES: usize = 128;
