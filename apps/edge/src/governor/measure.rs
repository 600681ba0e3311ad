//! What the edge uses, part by part; and what others say that it uses.
//!
//! The process' own pages are the kernel's figure. What the kernel holds for sockets belongs to no
//! process in its books, so it is reckoned from their number. What part of the process' pages is
//! what, is for people: it decides nothing.

use serde_json::{Value, json};

use super::Bound;
use crate::config::memory::{
    BUFFER_BYTES, POLL_BYTES, REACTOR_SLOT_BYTES, SLOT_BYTES, SOCKET_BYTES, TLS_HANDSHAKE_BYTES,
    TLS_SLOT_BYTES,
};
use crate::host::budget::{Budget, Cgroup, Source};
use crate::host::status_bytes;

/// Numbers from which the parts follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Slots in use.
    pub open: u64,
    /// Those that are parked.
    pub parked: u64,
    /// Connections to origins.
    pub origin: u64,
    /// Those with a TLS session.
    pub secure: u64,
    /// TLS handshakes in flight.
    pub shaking: u64,
    /// Those with a send that the kernel has not taken whole.
    pub sending: u64,
    /// What the kernel takes for each of these before it waits for its peer, bytes.
    pub unsent_max: u64,
    /// Receive buffers that exist.
    pub buffers: u64,
    /// Bytes of bodies in staging.
    pub staging_bytes: u64,
    /// Bytes that the memory tier holds.
    pub tier_bytes: u64,
}

/// What is used, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Slots in use, with the reactor's part.
    pub slots: u64,
    /// Receive buffers.
    pub buffers: u64,
    /// Bodies between origin, store and clients.
    pub staging: u64,
    /// The store's memory tier.
    pub tier: u64,
    /// TLS sessions and handshakes.
    pub tls: u64,
    /// All else that is the process' own.
    pub rest: u64,
    /// Sockets in the kernel.
    pub sockets: u64,
    /// Parked polls in the kernel.
    pub polls: u64,
    /// Answers in the kernel that slow readers have not taken.
    pub unsent: u64,
}

impl Used {
    /// The parts, of a process whose `/proc/self/status` says `status`.
    #[must_use]
    pub fn of(counts: &Counts, status: &str) -> Self {
        let anonymous = status_bytes(status, "RssAnon").unwrap_or(0);
        let shared = status_bytes(status, "RssShmem").unwrap_or(0);
        let slots = counts.open * (SLOT_BYTES + REACTOR_SLOT_BYTES);
        let buffers = counts.buffers * BUFFER_BYTES;
        let staging = counts.staging_bytes;
        let tls = counts.secure * TLS_SLOT_BYTES + counts.shaking * TLS_HANDSHAKE_BYTES;
        Self {
            slots,
            buffers,
            staging,
            // Pages that only file writes have touched are in no process' books.
            tier: counts.tier_bytes.max(shared),
            tls,
            rest: anonymous.saturating_sub(slots + buffers + staging + tls),
            sockets: (counts.open + counts.origin) * SOCKET_BYTES,
            polls: counts.parked * POLL_BYTES,
            unsent: counts.sending * counts.unsent_max,
        }
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.parts().iter().map(|(_, bytes)| bytes).sum()
    }

    /// The parts by their names.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, u64); 9] {
        [
            ("slots", self.slots),
            ("buffers", self.buffers),
            ("staging", self.staging),
            ("tier", self.tier),
            ("tls", self.tls),
            ("rest", self.rest),
            ("sockets", self.sockets),
            ("polls", self.polls),
            ("unsent", self.unsent),
        ]
    }

    /// The parts as an object.
    #[must_use]
    pub fn json(&self) -> Value {
        let parts = self.parts().into_iter();
        let parts: serde_json::Map<_, _> =
            parts.map(|(name, bytes)| (name.to_owned(), json!(bytes))).collect();
        json!({ "bytes": self.total(), "parts": parts })
    }
}

/// Every bound that holds, and what counts towards each: of a cgroup and of the machine what they
/// count, if that is more.
#[must_use]
pub fn bounds(used: &Used, own: Option<u64>, cgroup: Option<&Cgroup>, meminfo: &str) -> Vec<Bound> {
    let total = used.total();
    let mut bounds = Vec::with_capacity(3);
    if let Some(bytes) = own {
        let budget = Budget { bytes, source: Source::Config };
        bounds.push(Bound { budget, used_bytes: total });
    }
    if let Some((cgroup, budget)) = cgroup.and_then(|group| Some((group, group.budget()?))) {
        let counted = cgroup.used_bytes().unwrap_or(0);
        bounds.push(Bound { budget, used_bytes: counted.max(total) });
    }
    let machine = status_bytes(meminfo, "MemTotal");
    if let Some((bytes, left)) = machine.zip(status_bytes(meminfo, "MemAvailable")) {
        let budget = Budget { bytes, source: Source::Machine };
        bounds.push(Bound { budget, used_bytes: bytes.saturating_sub(left).max(total) });
    }
    bounds
}

/// What the kernel gives back when a parked connection ends.
pub const PARKED_BYTES: u64 = SOCKET_BYTES + POLL_BYTES;
