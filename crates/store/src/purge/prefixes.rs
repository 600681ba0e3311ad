//! A sorted, immutable set of key prefixes and the newest purges of each.
//!
//! All prefixes of a key that are in the set lie on one path: when the greatest member that is not
//! greater than the key is not a prefix of it, then every member that is one is a prefix of that
//! member, too. So each member knows its parent (the longest other member that is a prefix of it)
//! and the newest purges of itself and all above it, and a lookup is one binary search and a climb
//! to the first that is a prefix of the key. The climb is no longer than members are nested.

use crate::purge::{Mode, Newest, PurgeLimits};

/// Over the bounds of prefixes in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PrefixesFull;

#[derive(Debug, Default)]
pub(crate) struct PrefixSet {
    /// The members' bytes, one behind the other in their order.
    bytes: Vec<u8>,
    members: Vec<Member>,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    start: u32,
    end: u32,
    parent: Option<u32>,
    own: Newest,
    /// Its own purges and those of all its prefixes.
    path: Newest,
}

impl PrefixSet {
    pub(crate) const EMPTY: &'static Self = &Self { bytes: Vec::new(), members: Vec::new() };

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The newest purges among all members that are prefixes of `key`.
    pub(crate) fn newest(&self, key: &[u8]) -> Newest {
        let not_greater = self.members.partition_point(|member| self.prefix(member) <= key);
        let greatest = not_greater.checked_sub(1).and_then(|number| self.members.get(number));
        let Some(mut member) = greatest else { return Newest::default() };
        let shared = self.prefix(member).iter().zip(key).take_while(|(ours, its)| ours == its);
        let shared_bytes = shared.count();
        while self.prefix(member).len() > shared_bytes {
            let parent = member.parent.and_then(|number| self.members.get(number as usize));
            let Some(parent) = parent else { return Newest::default() };
            member = parent;
        }
        member.path
    }

    /// The set with one more purge, newer than all others, and without those that it covers.
    pub(crate) fn purge(
        &self,
        prefix: &[u8],
        mode: Mode,
        sequence: u64,
        limits: &PurgeLimits,
    ) -> Result<Self, PrefixesFull> {
        let mut next = Self::default();
        let mut purged = Newest::default().with(mode, sequence);
        let mut placed = false;
        for member in &self.members {
            let found = self.prefix(member);
            if found == prefix {
                purged = member.own.covered(mode).with(mode, sequence);
                continue;
            }
            if !placed && found > prefix {
                next.push(prefix, purged);
                placed = true;
            }
            let below = found.starts_with(prefix);
            next.push(found, if below { member.own.covered(mode) } else { member.own });
        }
        if !placed {
            next.push(prefix, purged);
        }
        let within = next.members.len() <= limits.prefixes_max as usize
            && next.bytes.len() <= limits.prefix_bytes_max as usize;
        if within { Ok(next) } else { Err(PrefixesFull) }
    }

    /// The set without purges up to `floor`; `None` when it would be the same.
    pub(crate) fn without(&self, floor: u64) -> Option<Self> {
        let old = |sequence: u64| sequence != 0 && sequence <= floor;
        if !self.members.iter().any(|member| old(member.own.hard) || old(member.own.soft)) {
            return None;
        }
        let mut next = Self::default();
        let kept = |sequence: u64| if old(sequence) { 0 } else { sequence };
        for member in &self.members {
            let own = Newest { hard: kept(member.own.hard), soft: kept(member.own.soft) };
            next.push(self.prefix(member), own);
        }
        Some(next)
    }

    /// Adds a member behind all others, unless nothing of it is left.
    fn push(&mut self, prefix: &[u8], own: Newest) {
        if own == Newest::default() {
            return;
        }
        let mut parent = self.members.len().checked_sub(1);
        while let Some(number) = parent {
            let above = &self.members[number];
            if prefix.starts_with(self.prefix(above)) {
                break;
            }
            parent = above.parent.map(|number| number as usize);
        }
        let path = parent.map_or(own, |number| own.and(self.members[number].path));
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(prefix);
        let end = self.bytes.len() as u32;
        let parent = parent.map(|number| number as u32);
        self.members.push(Member { start, end, parent, own, path });
    }

    fn prefix(&self, member: &Member) -> &[u8] {
        self.bytes.get(member.start as usize..member.end as usize).unwrap_or_default()
    }
}

impl Newest {
    /// What is left to say after a newer purge of the same records or more.
    fn covered(self, by: Mode) -> Self {
        match by {
            Mode::Hard => Self::default(),
            Mode::Soft => Self { soft: 0, ..self },
        }
    }
}
