//! Paging in for threads that must not wait: they name what is cold, and are told when it is there.
//!
//! ```text
//! worker ── PageIn, callback ─► queue (bounded, same ranges merged) ─► pager thread
//!                                                                        │ parts of 128 KiB
//!   callback, on the pager's thread ◄─ settled ◄─ WILLNEED → POPULATE_READ ◄┘ on a side ring
//! ```
//! `WILLNEED` reads ahead, whatever the mapping's advice, up to what the device takes in one go;
//! `POPULATE_READ` behind it waits for the pages and says whether they came. A page that the file
//! cannot give makes it fail with an error, no signal, and the device goes offline.
//!
//! The kernel runs both on threads of its own, whose number is bounded here. Where io_uring is
//! forbidden, a few threads of this process do the same two calls ([`PagerBackend`]).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::residency::{PageIn, Reading};
use crate::store::{Shared, Store};

mod ring;
mod threads;

/// How a pager works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PagerConfig {
    /// Callbacks that wait at one time. One more is refused.
    pub queue_max: usize,
    /// Kernel threads that read at one time.
    pub readers_max: u32,
    /// What carries the reads out; `None` for the best that the kernel allows.
    pub backend: Option<PagerBackend>,
}

impl Default for PagerConfig {
    fn default() -> Self {
        Self { queue_max: 1024, readers_max: 32, backend: None }
    }
}

/// What carries a pager's reads out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PagerBackend {
    /// A ring of its own, on one thread.
    Uring,
    /// Eight threads, or `readers_max` if that is less.
    Threads,
}

impl PagerBackend {
    /// `io_uring` or `threads`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uring => "io_uring",
            Self::Threads => "threads",
        }
    }
}

/// The queue is full: do without the record, or refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many page-ins wait")]
pub struct PagerBusy;

/// Why something was not paged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageInError {
    /// The device does not give the bytes; it has been taken offline.
    #[error("store device failed to read")]
    Device,
    /// The pager was dropped before.
    #[error("the pager has ended")]
    Stopped,
}

/// Told on a thread of the pager, which must not be kept long: leave a word and wake somebody.
pub type PageInDone = Box<dyn FnOnce(Result<(), PageInError>) + Send>;

/// A pager's figures since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PagerStats {
    /// Page-ins taken, merged ones among them.
    pub requested: u64,
    /// Of these, such as another one did the reading for.
    pub merged: u64,
    /// Page-ins that are through.
    pub completed: u64,
    /// Of these, such as failed.
    pub failed: u64,
    /// Page-ins refused because the queue was full.
    pub refused: u64,
}

/// Reads what is cold. Shared by all threads of a store; dropped, it ends what it has begun and
/// tells the rest that it was stopped.
pub struct Pager {
    queue: Arc<Queue>,
    backend: PagerBackend,
    threads: Vec<JoinHandle<()>>,
}

impl Pager {
    /// A pager for `store`, which stays open as long.
    ///
    /// # Errors
    /// When the system refuses threads, or the ring that the config demands.
    pub fn start(store: &Store, config: PagerConfig) -> io::Result<Self> {
        let queue = |wake| {
            Arc::new(Queue {
                store: Arc::clone(store.shared()),
                state: Mutex::new(State::default()),
                wake,
                figures: Figures::default(),
                queue_max: config.queue_max,
            })
        };
        let readers = config.readers_max.max(1);
        if config.backend != Some(PagerBackend::Threads) {
            match ring::start(&queue, readers) {
                Ok((queue, thread)) => {
                    let (backend, threads) = (PagerBackend::Uring, vec![thread]);
                    return Ok(Self { queue, backend, threads });
                }
                Err(error) if config.backend.is_some() => return Err(error),
                Err(_) => {}
            }
        }
        let queue = queue(Wake::Threads(Condvar::new()));
        // From here on a failure to start the rest ends those that have started.
        let mut pager = Self { queue, backend: PagerBackend::Threads, threads: Vec::new() };
        for _ in 0..readers.min(THREADS_MAX) {
            let queue = Arc::clone(&pager.queue);
            pager.threads.push(thread().spawn(move || threads::run(&queue))?);
        }
        Ok(pager)
    }

    /// What carries the reads out.
    pub fn backend(&self) -> PagerBackend {
        self.backend
    }

    /// Has `cold` paged in and calls `done` then. Costs a lock and, with a ring, a write to an
    /// eventfd; what is being read already is not read twice.
    ///
    /// # Errors
    /// [`PagerBusy`]; `done` is not called then.
    pub fn page_in(&self, cold: &PageIn, done: PageInDone) -> Result<(), PagerBusy> {
        self.queue.push(cold, Some(done))
    }

    /// As [`Pager::page_in`], for what will be wanted soon: nobody is told.
    ///
    /// # Errors
    /// [`PagerBusy`].
    pub fn prefetch(&self, cold: &PageIn) -> Result<(), PagerBusy> {
        self.queue.push(cold, None)
    }

    /// The figures of this moment.
    pub fn stats(&self) -> PagerStats {
        let figures = &self.queue.figures;
        PagerStats {
            requested: figures.requested.load(Ordering::Relaxed),
            merged: figures.merged.load(Ordering::Relaxed),
            completed: figures.completed.load(Ordering::Relaxed),
            failed: figures.failed.load(Ordering::Relaxed),
            refused: figures.refused.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        self.queue.stop();
        for thread in self.threads.drain(..) {
            // A callback that panicked has ended its thread; that is not this thread's panic.
            let _ = thread.join();
        }
        self.queue.answer_rest();
    }
}

/// What waits, and what is being read.
struct Queue {
    store: Arc<Shared>,
    state: Mutex<State>,
    wake: Wake,
    figures: Figures,
    queue_max: usize,
}

/// How the pager's threads are woken.
enum Wake {
    Ring(std::os::fd::OwnedFd),
    Threads(Condvar),
}

#[derive(Default)]
struct State {
    /// Not begun yet, oldest first.
    waiting: VecDeque<PageIn>,
    /// All that have been taken and not answered; whom to tell.
    jobs: HashMap<PageIn, Vec<Option<PageInDone>>>,
    /// Entries of `jobs`, all lists together.
    taken: usize,
    stopping: bool,
}

#[derive(Default)]
struct Figures {
    requested: AtomicU64,
    merged: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

impl Queue {
    fn push(&self, cold: &PageIn, done: Option<PageInDone>) -> Result<(), PagerBusy> {
        {
            let mut state = self.lock();
            if state.taken >= self.queue_max || state.stopping {
                self.figures.refused.fetch_add(1, Ordering::Relaxed);
                return Err(PagerBusy);
            }
            self.figures.requested.fetch_add(1, Ordering::Relaxed);
            state.taken += 1;
            if let Some(told) = state.jobs.get_mut(cold) {
                told.push(done);
                self.figures.merged.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            state.jobs.insert(cold.clone(), vec![done]);
            state.waiting.push_back(cold.clone());
        }
        self.wake_one();
        Ok(())
    }

    /// Answers everybody who waits for `cold`.
    fn finish(&self, cold: &PageIn, outcome: Result<(), PageInError>) {
        let told = {
            let mut state = self.lock();
            let told = state.jobs.remove(cold).unwrap_or_default();
            state.taken -= told.len();
            told
        };
        let failed = if outcome.is_ok() { 0 } else { told.len() as u64 };
        self.figures.completed.fetch_add(told.len() as u64, Ordering::Relaxed);
        self.figures.failed.fetch_add(failed, Ordering::Relaxed);
        for done in told.into_iter().flatten() {
            done(outcome);
        }
    }

    fn stop(&self) {
        self.lock().stopping = true;
        match &self.wake {
            Wake::Ring(_) => self.wake_one(),
            Wake::Threads(condvar) => condvar.notify_all(),
        }
    }

    /// Answers what was never begun, once nobody begins anything any more.
    fn answer_rest(&self) {
        let rest: Vec<PageIn> = self.lock().jobs.keys().cloned().collect();
        for cold in rest {
            self.finish(&cold, Err(PageInError::Stopped));
        }
    }

    fn wake_one(&self) {
        match &self.wake {
            Wake::Ring(event) => {
                // It fails when the counter is full: then the thread is woken already.
                let _ = rustix::io::write(event, &1u64.to_ne_bytes());
            }
            Wake::Threads(condvar) => condvar.notify_one(),
        }
    }

    /// The parts to be read of a range, each marked as being read.
    fn begin(&self, cold: &PageIn) -> VecDeque<Range<u64>> {
        let mut parts = VecDeque::new();
        if let Some(volume) = self.store.volumes.get(cold.volume) {
            volume.begin_page_in(&cold.range, PART_BYTES_MAX, |part| parts.push_back(part));
        }
        parts
    }

    fn settle(&self, cold: &PageIn, part: &Range<u64>, reading: Reading) {
        if let Some(volume) = self.store.volumes.get(cold.volume) {
            volume.settle_page_in(part, reading);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn thread() -> Builder {
    Builder::new().name("store-pager".to_owned())
}

/// One read: what many devices take in one go, and the usual bound of read-ahead. A larger one
/// would be read ahead in part, and the rest page by page.
const PART_BYTES_MAX: u64 = 128 << 10;
/// Without a ring, a thread waits for each read.
const THREADS_MAX: u32 = 8;
