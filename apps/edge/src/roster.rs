//! The workers as other threads see them: their slots, their clocks, and a way to have them close.
//!
//! ```text
//! control thread                                    worker
//!   Parked ──compare and swap──► Closing
//!   generation, reason ──► inbox ──wake──► takes so many a turn ─► cancels the park, closes
//! ```
//! Only parked connections are moved from here; of others the worker is asked, and decides. Whoever
//! moves a slot always tells the worker, so nothing stays half closed.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use longhold_conn::{CloseReason, SlotTable, State};
use longhold_transport::{Now, Token};

use crate::inbox::{CloseOrder, Inbox};

/// One worker.
#[derive(Debug)]
pub struct Member {
    /// Its connections.
    pub slots: Arc<SlotTable>,
    desk: OnceLock<Desk>,
    balance: Mutex<Imbalance>,
}

/// What a worker's books say is missing or too many; all zero when they balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imbalance {
    /// Connections that are in no state, in two, or closed for no reason or for two.
    pub connections: u64,
    /// A shard whose sockets are not those of its slots, and by how many.
    pub sockets: Option<(u32, u32)>,
}

/// What there is once the worker runs.
#[derive(Debug)]
struct Desk {
    inbox: Arc<Inbox>,
    /// When its clock began.
    started: Instant,
}

impl Member {
    /// A worker that has not begun.
    #[must_use]
    pub fn new(slots: Arc<SlotTable>) -> Arc<Self> {
        Arc::new(Self { slots, desk: OnceLock::new(), balance: Mutex::default() })
    }

    /// The worker begins: its inbox, and the time by its clock.
    pub fn begin(&self, inbox: Arc<Inbox>, now: Now) {
        let since = Duration::from_micros(now.monotonic_us);
        let started = Instant::now().checked_sub(since).unwrap_or_else(Instant::now);
        // A worker begins once.
        let _ = self.desk.set(Desk { inbox, started });
    }

    /// The worker has compared its books.
    pub fn note_balance(&self, balance: Imbalance) {
        *self.balance.lock().unwrap_or_else(PoisonError::into_inner) = balance;
    }

    /// What the worker's books said last.
    #[must_use]
    pub fn balance(&self) -> Imbalance {
        *self.balance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time by the worker's clock, ms; 0 before it has begun.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        let elapsed = self.desk.get().map_or(Duration::ZERO, |desk| desk.started.elapsed());
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    /// Has a connection closed, if it still is the one of that generation: moves it when it is
    /// parked, asks the worker otherwise. Returns whether there was one to close.
    pub fn close(&self, token: Token, reason: CloseReason) -> bool {
        let (Some(slot), Some(desk)) = (self.slots.get(token.slot), self.desk.get()) else {
            return false;
        };
        if slot.generation() != token.generation {
            return false;
        }
        let is_moved = match slot.state() {
            State::Parked => slot.move_state(State::Parked, State::Closing).is_ok(),
            State::Active | State::Handshaking => false,
            State::Free | State::Closing => return false,
        };
        // Who has won reads the generation after the move: it may be another's connection by then.
        let generation = if is_moved { slot.generation() } else { token.generation };
        desk.inbox.post_close(CloseOrder {
            token: Token { generation, ..token },
            reason,
            is_moved,
        });
        true
    }

    /// Ends the worker's sleep.
    pub fn wake(&self) {
        if let Some(desk) = self.desk.get() {
            desk.inbox.wake();
        }
    }

    /// Connections that the worker has still to close.
    #[must_use]
    pub fn closes_waiting(&self) -> usize {
        self.desk.get().map_or(0, |desk| desk.inbox.closes_waiting())
    }
}
