//! Outbound and adopted connections on their way into a table of direct descriptors.
//!
//! ```text
//! connect() ─► waiting ─► plain socket, bound if asked ─► installed in a table ─► connecting
//!              (queue)    (at most INSTALLING_MAX)        (plain descriptor closed)
//! adopt() ──────────────► plain socket, connected ──────► installed in a table
//! ```
//! The plain descriptor lives for one turn only, and few of them at once, so that any number of
//! connections can be opened under a small `RLIMIT_NOFILE`.

use std::collections::VecDeque;

use crate::outbound::Outbound;

/// Connections asked for and not yet installed.
#[derive(Debug)]
pub(super) struct Connects {
    waiting: VecDeque<Outbound>,
    waiting_max: usize,
    installing: u32,
}

impl Connects {
    /// At most `waiting_max` wait at once.
    pub(super) fn new(waiting_max: u32) -> Self {
        Self { waiting: VecDeque::new(), waiting_max: waiting_max as usize, installing: 0 }
    }

    /// Queues a connection; false when too many wait.
    pub(super) fn push(&mut self, outbound: Outbound) -> bool {
        let has_room = self.waiting.len() < self.waiting_max;
        if has_room {
            self.waiting.push_back(outbound);
        }
        has_room
    }

    /// The next one to be installed, if a plain descriptor may be spent on it now.
    pub(super) fn start_next(&mut self) -> Option<Outbound> {
        if self.installing >= INSTALLING_MAX {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.begin_install();
        Some(next)
    }

    /// A plain descriptor is on its way into a table.
    pub(super) fn begin_install(&mut self) {
        self.installing += 1;
    }

    /// One has left the plain descriptor behind, by success or failure.
    pub(super) fn end_install(&mut self) {
        self.installing = self.installing.saturating_sub(1);
    }
}

/// Plain descriptors that may exist at once on the way into tables.
const INSTALLING_MAX: u32 = 64;
