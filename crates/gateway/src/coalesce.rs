//! Collapsed forwarding: one leader fetches, followers of the same key wait for its head and then
//! read its body as it grows.
//!
//! A leader that fails, or whose head does not come, can be succeeded: the follower that has waited
//! longest leads in its stead or beside it, and the first head that can be shared wins.
//!
//! ```text
//!            join ─► AwaitsHead { leaders, followers } ── publish ─► Open ── end ─► gone
//!                     │ take_over: one leader more          │ end, dissolve, revoke ─► gone
//!                     └ hand_on: a failed one is replaced
//! ```
//! The table holds no response and no connection: followers (`F`) and what they attach to (`A`)
//! are the caller's. It is bounded by its callers: each follower is a request in progress, each
//! fill one of the origin's connections or queue places, [`TAKEOVERS_MAX`] more at most.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::purge::Scope;

/// Names one leader's fetch for as long as the process lives; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FillId(u64);

/// What `join` made of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Joined<F, A> {
    /// Nobody fetches this key: the caller leads, and gets its follower back.
    Lead(FillId, F),
    /// A leader's head is awaited; the follower is kept until `publish`, `end` or `revoke`.
    Waits,
    /// The body already grows: attach to it. The caller gets its follower back.
    Attach(A, F),
}

/// Who goes on after a leader has failed.
#[derive(Debug, PartialEq, Eq)]
pub enum HandedOn<F> {
    /// Another leader fetches the same: those that wait go on waiting.
    Others,
    /// This follower leads from now on, by this name.
    Next(FillId, F),
    /// Nobody: these waited, and are to be told.
    Ended(Vec<F>),
}

#[derive(Debug)]
enum Phase<F, A> {
    AwaitsHead(VecDeque<F>),
    Open(A),
}

#[derive(Debug)]
struct Fill<F, A> {
    /// Those that fetch, the newest last; never empty.
    leaders: Vec<FillId>,
    /// How often a follower has become a leader.
    takeovers: u8,
    phase: Phase<F, A>,
}

impl<F, A> Fill<F, A> {
    fn is_led_by(&self, id: FillId) -> bool {
        self.leaders.contains(&id)
    }

    /// The follower that has waited longest of those that can lead, if one still may.
    fn successor(&mut self, can_lead: impl Fn(&F) -> bool) -> Option<F> {
        match &mut self.phase {
            Phase::AwaitsHead(followers) if self.takeovers < TAKEOVERS_MAX => {
                let follower = followers.remove(followers.iter().position(can_lead)?)?;
                self.takeovers += 1;
                Some(follower)
            }
            Phase::AwaitsHead(_) | Phase::Open(_) => None,
        }
    }
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

    /// Keys that are being filled.
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
                    followers.push_back(follower);
                    Joined::Waits
                }
                Phase::Open(open) => Joined::Attach(open.clone(), follower),
            };
        }
        let id = self.new_id();
        let phase = Phase::AwaitsHead(VecDeque::new());
        self.fills.insert(Vec::from(key), Fill { leaders: Vec::from([id]), takeovers: 0, phase });
        Joined::Lead(id, follower)
    }

    fn new_id(&mut self) -> FillId {
        let id = FillId(self.next_id);
        self.next_id += 1;
        id
    }

    /// Whether `key` is being filled, by whichever leader.
    pub fn is_filling(&self, key: &[u8]) -> bool {
        self.fills.contains_key(key)
    }

    /// Whether leader `id` still holds `key`: not ended, not overtaken by another's head, not
    /// revoked by a purge (GW-5).
    pub fn is_current(&self, key: &[u8], id: FillId) -> bool {
        self.fills.get(key).is_some_and(|fill| fill.is_led_by(id))
    }

    /// A leader's head can be shared: later requests attach to `open`, other leaders of the key
    /// lose it. Returns those that waited; `None` when this leader had lost the key before, and
    /// then nothing of it may be shared or stored.
    pub fn publish(&mut self, key: &[u8], id: FillId, open: A) -> Option<VecDeque<F>> {
        let fill = self.fills.get_mut(key).filter(|fill| fill.is_led_by(id))?;
        fill.leaders = Vec::from([id]);
        match core::mem::replace(&mut fill.phase, Phase::Open(open)) {
            Phase::AwaitsHead(followers) => Some(followers),
            Phase::Open(_) => Some(VecDeque::new()),
        }
    }

    /// The head has not come for long: the follower that has waited longest, of those that can
    /// lead, fetches beside the leader `id`, by the name returned. `None` when nobody waits, when
    /// the key has seen [`TAKEOVERS_MAX`] of these, or when a newer leader than `id` is on its way.
    pub fn take_over(
        &mut self,
        key: &[u8],
        id: FillId,
        can_lead: impl Fn(&F) -> bool,
    ) -> Option<(FillId, F)> {
        let new = FillId(self.next_id);
        let fill = self.fills.get_mut(key).filter(|fill| fill.leaders.last() == Some(&id))?;
        let follower = fill.successor(can_lead)?;
        fill.leaders.push(new);
        self.next_id += 1;
        Some((new, follower))
    }

    /// Leader `id` has failed in a way that another need not share: the follower that has waited
    /// longest, of those that can lead, leads in its stead.
    pub fn hand_on(
        &mut self,
        key: &[u8],
        id: FillId,
        can_lead: impl Fn(&F) -> bool,
    ) -> HandedOn<F> {
        let new = FillId(self.next_id);
        let Some(fill) = self.fills.get_mut(key).filter(|fill| fill.is_led_by(id)) else {
            return HandedOn::Ended(Vec::new());
        };
        if fill.leaders.len() > 1 {
            fill.leaders.retain(|leader| *leader != id);
            return HandedOn::Others;
        }
        match fill.successor(can_lead) {
            Some(follower) => {
                fill.leaders = Vec::from([new]);
                self.next_id += 1;
                HandedOn::Next(new, follower)
            }
            None => HandedOn::Ended(self.dissolve(key, id)),
        }
    }

    /// Takes out those followers that have waited for too long, in the order in which they came:
    /// the first for which `is_due` says no ends the search.
    pub fn leave(&mut self, key: &[u8], mut is_due: impl FnMut(&F) -> bool) -> Vec<F> {
        let Some(fill) = self.fills.get_mut(key) else { return Vec::new() };
        let Phase::AwaitsHead(followers) = &mut fill.phase else { return Vec::new() };
        let staying = followers.iter().position(|follower| !is_due(follower));
        followers.drain(..staying.unwrap_or(followers.len())).collect()
    }

    /// The follower that has waited for the head of `key` longest.
    pub fn longest_waiting(&self, key: &[u8]) -> Option<&F> {
        match &self.fills.get(key)?.phase {
            Phase::AwaitsHead(followers) => followers.front(),
            Phase::Open(_) => None,
        }
    }

    /// The leader `id` is done, well or badly. Returns those that still waited for a head, unless
    /// another leader goes on.
    pub fn end(&mut self, key: &[u8], id: FillId) -> Vec<F> {
        match self.fills.get_mut(key) {
            Some(fill) if fill.leaders.len() > 1 => {
                fill.leaders.retain(|leader| *leader != id);
                Vec::new()
            }
            Some(_) | None => self.dissolve(key, id),
        }
    }

    /// What leader `id` has learned ends the sharing of `key`: all its leaders lose it. Returns
    /// those that waited.
    pub fn dissolve(&mut self, key: &[u8], id: FillId) -> Vec<F> {
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
        Phase::AwaitsHead(followers) => followers.into(),
        Phase::Open(_) => Vec::new(),
    }
}

/// How often the followers of one key may take over from a leader, so that an origin that fails or
/// hangs on a resource is asked three times for a crowd, not once for each of it.
pub const TAKEOVERS_MAX: u8 = 2;
