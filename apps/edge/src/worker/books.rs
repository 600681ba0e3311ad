//! The worker's books: what was opened is somewhere, and each socket in a table has its slot.
//!
//! ```text
//! opened            = handshaking + parked + active + closing + released      (BK-1)
//! closed by reason  = closing + released                                      (BK-2)
//! sockets in the table of a shard = slots in use of that shard                (BK-3)
//! ```
//! Opened and released are counted here, slot by slot; the states are the gauges that each move of
//! a slot changes; the sockets are the transport's. The first two hold at the end of every turn.
//! The third may be off for a moment, while a socket is closed of which the worker never heard, so
//! it counts only when it has been off for [`PATIENCE_MS`]. Looked at once a second, O(shards).

use longhold_conn::{CloseReason, State};
use longhold_telemetry::{Gauge, WorkerCounters};
use longhold_transport::Transport;

use super::Worker;
use super::close::{closed_counter, state_gauge};
use crate::outgoing::Outgoing;
use crate::roster::Imbalance;

/// Slots in use, by shard.
#[derive(Debug)]
pub(super) struct Books {
    opened: u64,
    released: u64,
    slots_per_shard: u32,
    shards: Vec<Shard>,
    look_again_ms: u64,
}

/// One shard's slots in use, and since when its sockets are others.
#[derive(Clone, Copy, Debug, Default)]
struct Shard {
    open: u32,
    off_since_ms: Option<u64>,
}

impl Books {
    /// Empty books over so many slots.
    pub(super) fn new(slots: u32, slots_per_shard: u32) -> Self {
        let slots_per_shard = slots_per_shard.max(1);
        let shards = vec![Shard::default(); slots.div_ceil(slots_per_shard) as usize];
        Self { opened: 0, released: 0, slots_per_shard, shards, look_again_ms: 0 }
    }

    /// A slot was opened.
    pub(super) fn open(&mut self, slot: u32) {
        self.opened += 1;
        if let Some(shard) = self.shard_of(slot) {
            shard.open += 1;
        }
    }

    /// A slot was released.
    pub(super) fn release(&mut self, slot: u32) {
        self.released += 1;
        if let Some(shard) = self.shard_of(slot) {
            shard.open = shard.open.saturating_sub(1);
        }
    }

    /// Slots in use.
    pub(super) fn open_count(&self) -> u64 {
        self.opened - self.released
    }

    /// When the worker looks again though nothing happens; not while it has no connection.
    pub(super) fn next_look_ms(&self) -> Option<u64> {
        (self.open_count() > 0).then_some(self.look_again_ms + QUIET_MS)
    }

    /// BK-1 and BK-2: how far the counters are off.
    fn connections_off(&self, counters: &WorkerCounters) -> u64 {
        let gauge = |state: &State| state_gauge(*state).map_or(0, |gauge| counters.gauge(gauge));
        let held: u64 = State::ALL.iter().map(gauge).sum();
        let reasons = CloseReason::ALL.iter();
        let closed: u64 = reasons.map(|reason| counters.counter(closed_counter(*reason))).sum();
        let ended = gauge(&State::Closing) + self.released;
        self.open_count().abs_diff(held) + closed.abs_diff(ended)
    }

    /// BK-3: the first shard that has been off for long enough, and by how many sockets.
    fn sockets_off(&mut self, now_ms: u64, sockets: impl Fn(u32) -> u32) -> Option<(u32, u32)> {
        let mut first = None;
        for (number, shard) in (0_u32..).zip(&mut self.shards) {
            let off = sockets(number).abs_diff(shard.open);
            if off == 0 {
                shard.off_since_ms = None;
                continue;
            }
            let since_ms = *shard.off_since_ms.get_or_insert(now_ms);
            if first.is_none() && now_ms >= since_ms + PATIENCE_MS {
                first = Some((number, off));
            }
        }
        first
    }

    fn shard_of(&mut self, slot: u32) -> Option<&mut Shard> {
        self.shards.get_mut((slot / self.slots_per_shard) as usize)
    }
}

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    /// Compares the books once a second, and leaves the outcome where the control thread finds it.
    /// Under pressure, pools give back what nobody uses.
    pub(super) fn compare_books(&mut self) {
        let now_ms = self.now_ms();
        if now_ms < self.books.look_again_ms {
            return;
        }
        self.books.look_again_ms = now_ms + LOOK_EVERY_MS;
        let connections = self.books.connections_off(&self.counters);
        let io = &self.io;
        let sockets = self.books.sockets_off(now_ms, |shard| io.used_count(shard));
        self.member.note_balance(Imbalance { connections, sockets });
        if self.shared.pressure.shrinks_pools() {
            self.io.trim();
        }
        self.counters.set(Gauge::Buffers, u64::from(self.io.buffer_count()));
        self.counters.set(Gauge::ConnectionsSending, self.actives.sending_count());
    }
}

const LOOK_EVERY_MS: u64 = 1000;
/// How much longer a worker sleeps to whom nothing happens.
const QUIET_MS: u64 = 9_000;
/// How long the sockets of a shard may differ from its slots.
const PATIENCE_MS: u64 = 20_000;

#[cfg(test)]
mod tests {
    use longhold_telemetry::Counter;
    use longhold_telemetry::exporter::{BuildInfo, Registry};

    use super::*;

    #[test]
    fn connection_that_is_nowhere_or_closed_twice_is_off() {
        let build = BuildInfo { version: "test", commit: "test" };
        let (_registry, mut sets) = Registry::new(1, &build);
        let counters = sets.pop().unwrap();
        let mut books = Books::new(8, 4);
        books.open(0);
        books.open(5);
        assert_eq!(books.connections_off(&counters), 2, "in no state");
        counters.raise(Gauge::ConnectionsParked, 1);
        counters.raise(Gauge::ConnectionsActive, 1);
        assert_eq!(books.connections_off(&counters), 0);
        counters.lower(Gauge::ConnectionsActive, 1);
        counters.raise(Gauge::ConnectionsClosing, 1);
        assert_eq!(books.connections_off(&counters), 1, "closing for no reason");
        counters.add(Counter::ClosedPeerClosed, 1);
        assert_eq!(books.connections_off(&counters), 0);
        counters.lower(Gauge::ConnectionsClosing, 1);
        books.release(5);
        assert_eq!((books.connections_off(&counters), books.open_count()), (0, 1));
        counters.add(Counter::ClosedPeerClosed, 1);
        assert_eq!(books.connections_off(&counters), 1, "closed and still there");
    }

    #[test]
    fn socket_without_a_slot_is_off_after_a_while() {
        let mut books = Books::new(10, 4);
        assert_eq!(books.shards.len(), 3);
        books.open(9);
        assert_eq!(books.sockets_off(0, |shard| [0, 0, 1][shard as usize]), None);
        let leaking = |shard| [0, 2, 1][shard as usize];
        assert_eq!(books.sockets_off(1_000, leaking), None);
        assert_eq!(books.sockets_off(20_999, leaking), None);
        assert_eq!(books.sockets_off(21_000, leaking), Some((1, 2)));
        assert_eq!(books.sockets_off(22_000, |shard| [0, 0, 1][shard as usize]), None);
        assert_eq!(books.sockets_off(23_000, leaking), None, "it has been even in between");
        books.release(9);
        assert_eq!(books.sockets_off(43_000, leaking), Some((1, 2)));
    }
}
