//! Collapsed forwarding: one leader fetches, followers of the same key wait for its head and then
//! read its body as it grows.
//!
//! The table holds no response and no connection: followers (`F`) and what they attach to (`A`)
//! are the caller's. It is bounded by its callers: each follower is a request in progress, each
//! fill one of the origin's connections or queue places.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::purge::Scope;

/// Names one fill for as long as the process lives; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FillId(u64);

/// What `join` made of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Joined<F, A> {
    /// Nobody fetches this key: the caller leads, and gets its follower back.
    Lead(FillId, F),
    /// The leader's head is awaited; the follower is kept until `publish`, `end` or `revoke`.
    Waits,
    /// The body already grows: attach to it. The caller gets its follower back.
    Attach(A, F),
}

#[derive(Debug)]
enum Phase<F, A> {
    AwaitsHead(Vec<F>),
    Open(A),
}

#[derive(Debug)]
struct Fill<F, A> {
    id: FillId,
    phase: Phase<F, A>,
}

/// All fills in progress, by key. Each call costs O(log fills).
#[derive(Debug)]
pub struct Coalescer<F, A> {
    fills: BTreeMap<Vec<u8>, Fill<F, A>>,
    next_id: u64,
}

impl<F, A: Clone> Coalescer<F, A> {
    /// An empty table.
    pub fn new() -> Self {
        Self { fills: BTreeMap::new(), next_id: 0 }
    }

    /// Fills in progress.
    pub fn len(&self) -> usize {
        self.fills.len()
    }

    /// Nothing is being filled.
    pub fn is_empty(&self) -> bool {
        self.fills.is_empty()
    }

    /// A request for `key` arrives.
    pub fn join(&mut self, key: &[u8], follower: F) -> Joined<F, A> {
        if let Some(fill) = self.fills.get_mut(key) {
            return match &mut fill.phase {
                Phase::AwaitsHead(followers) => {
                    followers.push(follower);
                    Joined::Waits
                }
                Phase::Open(open) => Joined::Attach(open.clone(), follower),
            };
        }
        let id = FillId(self.next_id);
        self.next_id += 1;
        let fill = Fill { id, phase: Phase::AwaitsHead(Vec::new()) };
        self.fills.insert(Vec::from(key), fill);
        Joined::Lead(id, follower)
    }

    /// Whether `key` is being filled, by whichever fill.
    pub fn is_filling(&self, key: &[u8]) -> bool {
        self.fills.contains_key(key)
    }

    /// Whether fill `id` still holds `key`: not ended, not revoked by a purge (GW-5).
    pub fn is_current(&self, key: &[u8], id: FillId) -> bool {
        self.fills.get(key).is_some_and(|fill| fill.id == id)
    }

    /// The leader's head can be shared: later requests attach to `open`. Returns those that waited;
    /// `None` when the fill was revoked, and then nothing may be shared or stored.
    pub fn publish(&mut self, key: &[u8], id: FillId, open: A) -> Option<Vec<F>> {
        let fill = self.fills.get_mut(key).filter(|fill| fill.id == id)?;
        match core::mem::replace(&mut fill.phase, Phase::Open(open)) {
            Phase::AwaitsHead(followers) => Some(followers),
            Phase::Open(_) => Some(Vec::new()),
        }
    }

    /// The fill is over, well or badly; returns those that still waited for its head.
    pub fn end(&mut self, key: &[u8], id: FillId) -> Vec<F> {
        if !self.is_current(key, id) {
            return Vec::new();
        }
        self.fills.remove(key).map(waiting).unwrap_or_default()
    }

    /// A purge: fetches in progress that it concerns lose their key. Returns those that waited, who
    /// must ask again. `tags_of` says by which tags a response whose head is there can be purged;
    /// of others it is not known, and whoever leads them looks into the journal
    /// ([`crate::purge`]). Costs O(fills), for one key O(its variants being filled).
    pub fn revoke(&mut self, scope: &Scope, tags_of: impl Fn(&A) -> &[u64]) -> Vec<F> {
        let from: &[u8] = match scope {
            Scope::Key(name) | Scope::Prefix(name) => name,
            Scope::Tag(_) | Scope::All => &[],
        };
        let is_concerned = |key: &[u8], fill: &Fill<F, A>| match &fill.phase {
            Phase::AwaitsHead(_) => scope.concerns(key, &[]),
            Phase::Open(open) => scope.concerns(key, tags_of(open)),
        };
        let revoked: Vec<Vec<u8>> = self
            .fills
            .range(Vec::from(from)..)
            .take_while(|(key, _)| key.starts_with(from))
            .filter(|(key, fill)| is_concerned(key, fill))
            .map(|(key, _)| key.clone())
            .collect();
        revoked.iter().filter_map(|key| self.fills.remove(key)).flat_map(waiting).collect()
    }
}

impl<F, A: Clone> Default for Coalescer<F, A> {
    fn default() -> Self {
        Self::new()
    }
}

fn waiting<F, A>(fill: Fill<F, A>) -> Vec<F> {
    match fill.phase {
        Phase::AwaitsHead(followers) => followers,
        Phase::Open(_) => Vec::new(),
    }
}
