//! What other threads tell a worker: a bounded, locked list and a wake.
//!
//! The lock is held for a push or a swap, never across a system call.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longhold_conn::CloseReason;
use longhold_origin::{DownloadReader, FetchError};
use longhold_store::Extent;
use longhold_transport::{AdoptError, Adoptee, Adopter, Token, Transport, Waker};

use crate::fill::FillHead;
use crate::fill::tunnel::Taken;

/// Names one exchange for ever: a connection, and its place among the connection's exchanges.
/// HTTP/1 has one exchange at a time; a protocol with streams adds its stream to the serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExchangeId {
    /// The connection.
    pub token: Token,
    /// Counts the connection's exchanges.
    pub serial: u32,
}

/// News of an exchange that waits.
pub enum Event {
    /// The origin's head is here and its body grows.
    Head {
        /// Shared with all that read this response.
        head: Arc<FillHead>,
        /// This exchange's own reader.
        body: DownloadReader<Extent>,
        /// Another exchange's fetch brought it.
        collapsed: bool,
    },
    /// The store has what was asked for: look again.
    UseStored {
        /// The origin was asked for this exchange, and so it answered: 304, or 206 with what was
        /// missing. What is stored is served without asking again (RFC 9111 section 4.3.3).
        answered: Option<u16>,
        /// Another exchange's fetch brought it.
        collapsed: bool,
    },
    /// The fetch that this exchange waited for cannot be shared: ask alone.
    AskAlone,
    /// An interim response, for the one who asked (RFC 9110 section 15.2).
    Interim {
        /// 100 or 102 to 199.
        status: u16,
        /// Fields as received.
        fields: Vec<(String, Vec<u8>)>,
    },
    /// The rest of a body of which a part has left the store, from the byte that was asked for.
    Rest(DownloadReader<Extent>),
    /// The origin's connection is the worker's; the transport tells of its socket.
    Taken(Box<Taken>),
    /// No response, or no rest of one.
    Failed(FetchError),
    /// The body has grown, ended or failed.
    BodyMoved,
    /// The upload has room again, or nobody wants it any more.
    UploadMoved,
    /// What was not in memory is, or cannot be had.
    PagesIn,
}

/// A connection that somebody outside wants closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseOrder {
    /// Which.
    pub token: Token,
    /// Why.
    pub reason: CloseReason,
    /// Whoever orders it has moved the slot from `Parked` to `Closing`: the worker does the rest.
    pub is_moved: bool,
}

/// The inbox of one worker.
pub struct Inbox {
    events: Mutex<Vec<(ExchangeId, Event)>>,
    closes: Mutex<VecDeque<CloseOrder>>,
    waker: Waker,
    adopter: Adopter,
}

impl Inbox {
    /// An empty inbox of the worker that has this transport.
    pub fn of(io: &impl Transport) -> Self {
        let (waker, adopter) = (io.waker(), io.adopter());
        Self { events: Mutex::default(), closes: Mutex::default(), waker, adopter }
    }

    /// Hands a connected socket to the worker's transport, which tells the worker under `ticket`.
    ///
    /// # Errors
    /// [`AdoptError`]: the socket is closed, and nobody hears of it.
    pub fn adopt(&self, socket: impl Into<Adoptee>, ticket: u64) -> Result<(), AdoptError> {
        self.adopter.adopt(socket, ticket)
    }

    /// Leaves news for `exchange` and wakes the worker. The list is bounded by the exchanges in
    /// progress: each has at most one head or failure in it, one of each kind of movement, and a
    /// bounded number of interim responses.
    pub fn post(&self, exchange: ExchangeId, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push((exchange, event));
        self.waker.wake();
    }

    /// Wakes the worker for a change that lies elsewhere (the stop state).
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Takes all news into `into`, which must be empty; its capacity goes back and forth.
    pub fn take(&self, into: &mut Vec<(ExchangeId, Event)>) {
        std::mem::swap(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner), into);
    }

    /// Has a connection closed. Of those that were moved each is in the list once, and those who
    /// order the others hold back while many wait ([`Self::closes_waiting`]).
    pub fn post_close(&self, order: CloseOrder) {
        self.closes().push_back(order);
        self.waker.wake();
    }

    /// Orders to close that the worker has not taken.
    #[must_use]
    pub fn closes_waiting(&self) -> usize {
        self.closes().len()
    }

    /// Takes up to `orders_max` orders, oldest first, into `into`; whether there are more.
    pub fn take_closes(&self, orders_max: usize, into: &mut Vec<CloseOrder>) -> bool {
        let mut closes = self.closes();
        let count = closes.len().min(orders_max);
        into.extend(closes.drain(..count));
        !closes.is_empty()
    }

    fn closes(&self) -> MutexGuard<'_, VecDeque<CloseOrder>> {
        self.closes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Inbox {
    /// Says how much is in it, not what.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner).len();
        let closes = self.closes_waiting();
        out.debug_struct("Inbox").field("events", &events).field("closes", &closes).finish()
    }
}
