//! The connections of one origin on one fill thread: turns, idle connections, their end.
//!
//! A fetch first takes a **turn**, one of `connections_max`; without one it waits in a bounded,
//! first-come queue. Holding a turn it takes the idle connection that was used last, or opens one;
//! the oldest idle connection makes room when idle ones and turns together would pass the bound.
//! Last-in-first-out keeps few connections warm and lets the others reach their idle timeout. When
//! the host has no descriptors for a new one, idle ones close, and for a while none becomes idle.
//!
//! | connection is | who owns it | how it leaves |
//! |---|---|---|
//! | connecting, in use | the fetch, later its body | dropped: closed · complete: idle |
//! | idle | the pool | taken · evicted · timed out · closed by the origin |

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

use crate::config::{OriginConfig, Scheme};
use crate::connect::{Connection, Endpoint, Task};
use crate::error::{ConfigError, FetchError};
use crate::line::Line;
use crate::tls;

/// The pool of one origin. It belongs to one fill thread and runs inside its tokio-uring runtime;
/// clones are handles to the same pool.
#[derive(Clone)]
pub struct OriginPool {
    pub(crate) shared: Rc<Shared>,
}

/// A pool's figures at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OriginStats {
    /// Connections that wait for their next exchange.
    pub idle: usize,
    /// Turns in use: exchanges that hold or open a connection.
    pub in_use: usize,
    /// Requests in the queue.
    pub queued: usize,
    /// Connections that stood, so far.
    pub opened: u64,
    /// Attempts to connect that failed, so far.
    pub connect_failed: u64,
    /// Exchanges begun on a pooled connection, so far.
    pub reused: u64,
    /// Requests sent again because a pooled connection was stale, so far.
    pub retried: u64,
    /// Requests refused because the queue was full, so far.
    pub queue_full: u64,
    /// Requests that left the queue without a turn, so far.
    pub queue_timeout: u64,
}

pub(crate) struct Shared {
    pub(crate) config: OriginConfig,
    endpoints: Vec<Endpoint>,
    turns: Arc<Semaphore>,
    /// When a connection could last not be opened for want of descriptors or memory.
    exhausted: Cell<Option<Instant>>,
    /// In the order in which they became idle.
    idle: RefCell<VecDeque<Idle>>,
    next_endpoint: Cell<usize>,
    reaper: RefCell<Option<Task>>,
    queued: Cell<usize>,
    pub(crate) counters: Counters,
}

#[derive(Default)]
pub(crate) struct Counters {
    opened: Cell<u64>,
    connect_failed: Cell<u64>,
    pub(crate) reused: Cell<u64>,
    pub(crate) retried: Cell<u64>,
    queue_full: Cell<u64>,
    queue_timeout: Cell<u64>,
}

/// A connection in use, with the turn that pays for it.
pub(crate) struct Lease {
    pub(crate) connection: Connection,
    pub(crate) reused: bool,
    endpoint: usize,
    pool: Rc<Shared>,
    turn: Turn,
}

/// The right to hold one connection.
pub(crate) struct Turn(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

struct Idle {
    connection: Connection,
    endpoint: usize,
    since: Instant,
}

impl OriginPool {
    /// A pool for `config`; nothing is connected yet. Reads certificates from disk when an URL is
    /// https.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration contradicts itself or its certificates are unusable.
    pub fn new(config: OriginConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let secure = config.urls.iter().any(|url| url.scheme == Scheme::Https);
        let tls = secure.then(|| tls::client_config(config.ca_file.as_deref())).transpose()?;
        let endpoints = config
            .urls
            .iter()
            .map(|url| Endpoint::new(url, tls.as_ref(), &config.source_addresses))
            .collect::<Result<_, _>>()?;
        let shared = Shared {
            endpoints,
            turns: Arc::new(Semaphore::new(config.connections_max)),
            exhausted: Cell::new(None),
            idle: RefCell::default(),
            next_endpoint: Cell::new(0),
            reaper: RefCell::default(),
            queued: Cell::new(0),
            counters: Counters::default(),
            config,
        };
        Ok(Self { shared: Rc::new(shared) })
    }

    /// The figures now.
    #[must_use]
    pub fn stats(&self) -> OriginStats {
        let shared = &self.shared;
        let counters = &shared.counters;
        OriginStats {
            idle: shared.idle.borrow().iter().filter(|idle| idle.connection.is_usable()).count(),
            in_use: shared.in_use(),
            queued: shared.queued.get(),
            opened: counters.opened.get(),
            connect_failed: counters.connect_failed.get(),
            reused: counters.reused.get(),
            retried: counters.retried.get(),
            queue_full: counters.queue_full.get(),
            queue_timeout: counters.queue_timeout.get(),
        }
    }

    /// Closes the idle connections; for a drain.
    pub fn close_idle(&self) {
        self.shared.idle.borrow_mut().clear();
    }
}

impl std::fmt::Debug for OriginPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OriginPool").field(&self.stats()).finish()
    }
}

impl Shared {
    /// A turn, at once or after a wait in the queue of at most the connect timeout.
    pub(crate) async fn turn(&self) -> Result<Turn, FetchError> {
        if let Ok(permit) = Arc::clone(&self.turns).try_acquire_owned() {
            return Ok(Turn(permit));
        }
        if self.queued.get() >= self.config.queue_max {
            count(&self.counters.queue_full);
            return Err(FetchError::PoolFull);
        }
        let _place = QueuePlace::take(&self.queued);
        match timeout(self.connect_limit(), Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn(permit)),
            Ok(Err(_closed)) => Err(FetchError::Stopped),
            Err(_elapsed) => {
                count(&self.counters.queue_timeout);
                Err(FetchError::QueueTimeout)
            }
        }
    }

    /// A connection for the holder of `turn`: a pooled one, unless only `fresh` ones will do, or a
    /// new one to the first URL that can be connected to.
    pub(crate) async fn lease(
        self: &Rc<Self>,
        turn: Turn,
        fresh: bool,
    ) -> Result<Lease, FetchError> {
        let count_all = self.endpoints.len();
        let first = self.next_endpoint.get();
        self.next_endpoint.set((first + 1) % count_all);
        let mut error = FetchError::ConnectFault;
        for offset in 0..count_all {
            let endpoint = (first + offset) % count_all;
            let pooled = if fresh { None } else { self.take_idle(endpoint) };
            let reused = pooled.is_some();
            let connection = match pooled {
                Some(connection) => Ok(connection),
                None => self.open(endpoint).await,
            };
            match connection {
                Ok(connection) => {
                    let pool = Rc::clone(self);
                    return Ok(Lease { connection, reused, endpoint, pool, turn });
                }
                Err(failed) => error = failed,
            }
        }
        Err(error)
    }

    /// A connection without hyper on it, to the first URL that can be connected to. It is never
    /// pooled; it counts like the others as long as the caller holds its turn.
    pub(crate) async fn open_raw(&self) -> Result<Line, FetchError> {
        let count_all = self.endpoints.len();
        let first = self.next_endpoint.get();
        self.next_endpoint.set((first + 1) % count_all);
        let mut error = FetchError::ConnectFault;
        for offset in 0..count_all {
            self.evict();
            let Some(target) = self.endpoints.get((first + offset) % count_all) else { continue };
            match self.note(target.open(self.connect_limit()).await) {
                Ok(line) => {
                    count(&self.counters.opened);
                    return Ok(line);
                }
                Err(failed) => error = failed,
            }
            count(&self.counters.connect_failed);
        }
        Err(error)
    }

    async fn open(&self, endpoint: usize) -> Result<Connection, FetchError> {
        self.evict();
        let Some(target) = self.endpoints.get(endpoint) else {
            return Err(FetchError::ConnectFault);
        };
        let opened = self.note(target.connect(self.connect_limit()).await);
        let counters = &self.counters;
        count(if opened.is_ok() { &counters.opened } else { &counters.connect_failed });
        opened
    }

    /// The host is short of descriptors or memory: what is idle gives its own back at once.
    fn note<C>(&self, opened: Result<C, FetchError>) -> Result<C, FetchError> {
        if matches!(opened, Err(FetchError::Exhausted)) {
            self.exhausted.set(Some(Instant::now()));
            self.idle.borrow_mut().clear();
        }
        opened
    }

    /// Whether idle connections would keep from others what the host has too few of.
    fn is_short(&self) -> bool {
        self.exhausted.get().is_some_and(|since| since.elapsed() < SHORTAGE)
    }

    /// The connection that became idle last, of those that still stand.
    fn take_idle(&self, endpoint: usize) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|entry| entry.connection.is_usable());
        let index = idle.iter().rposition(|entry| entry.endpoint == endpoint)?;
        idle.remove(index).map(|entry| entry.connection)
    }

    /// Makes room for one connection more, which the caller's turn already counts.
    fn evict(&self) {
        let mut idle = self.idle.borrow_mut();
        while idle.len() + self.in_use() > self.config.connections_max && !idle.is_empty() {
            idle.pop_front();
        }
    }

    fn put_idle(self: &Rc<Self>, connection: Connection, endpoint: usize) {
        if self.config.idle_timeout_ms == 0 || self.is_short() {
            return;
        }
        self.idle.borrow_mut().push_back(Idle { connection, endpoint, since: Instant::now() });
        let mut reaper = self.reaper.borrow_mut();
        if reaper.is_none() {
            *reaper = Some(Task::spawn(reap(Rc::downgrade(self))));
        }
    }

    /// Closes what is idle for too long or was closed by the origin, and says when to look again;
    /// `None` when nothing is idle, and the reaper ends.
    fn expire(&self) -> Option<Instant> {
        let limit = Duration::from_millis(self.config.idle_timeout_ms);
        let mut idle = self.idle.borrow_mut();
        idle.retain(|entry| entry.connection.is_usable() && entry.since.elapsed() < limit);
        let next = idle.front().map(|oldest| oldest.since + limit);
        if next.is_none() {
            self.reaper.borrow_mut().take();
        }
        next
    }

    fn in_use(&self) -> usize {
        self.config.connections_max - self.turns.available_permits()
    }

    fn connect_limit(&self) -> Duration {
        Duration::from_millis(self.config.connect_timeout_ms)
    }
}

impl Lease {
    /// Gives up the connection, which closes, and keeps the turn.
    pub(crate) fn into_turn(self) -> Turn {
        self.turn
    }

    /// Gives the connection back to the pool, once hyper has put the last message behind it; closes
    /// it when that does not happen soon, because then something of the exchange is left over.
    pub(crate) async fn give_back(mut self) {
        let ready = timeout(SETTLE_LIMIT, self.connection.sender.ready()).await;
        if matches!(ready, Ok(Ok(()))) {
            self.put_back();
        }
    }

    /// As [`give_back`](Self::give_back), for where nobody can wait.
    pub(crate) fn put_back(self) {
        let Self { connection, endpoint, pool, turn: _turn, .. } = self;
        if connection.is_usable() {
            pool.put_idle(connection, endpoint);
        }
    }
}

/// A place in the queue, left on drop: also when the waiting fetch is cancelled.
struct QueuePlace<'a>(&'a Cell<usize>);

impl<'a> QueuePlace<'a> {
    fn take(queued: &'a Cell<usize>) -> Self {
        queued.set(queued.get() + 1);
        Self(queued)
    }
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn reap(pool: Weak<Shared>) {
    while let Some(next) = pool.upgrade().and_then(|shared| shared.expire()) {
        sleep_until(next).await;
    }
}

pub(crate) fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

/// How long connections are closed when they become idle, after one could not be opened.
const SHORTAGE: Duration = Duration::from_secs(10);
/// How long a finished connection may take to become idle. It takes one turn of the scheduler; this
/// only bounds a connection with something left over.
const SETTLE_LIMIT: Duration = Duration::from_millis(100);
