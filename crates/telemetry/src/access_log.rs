//! The access log: one line per exchange, written off the worker.
//!
//! A worker copies a [`Record`] into its own bounded [`Queue`] of bytes: no lock, no allocation, no
//! wait (TM-5). One writer thread drains all queues, formats and writes in batches. If it falls
//! behind, because the disk or the reader of stdout does, queues fill and the newest records are
//! dropped and counted; traffic is never held up for its log.
//!
//! The writer naps while there is traffic and sleeps when there is none; a queue that is half full,
//! or a record after a quiet time, wakes it. A line appears at most [`SLEEP`] after its exchange.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use thiserror::Error;

use crate::histogram::bump;

mod format;
mod output;
mod record;
pub mod ring;
mod writer;

pub use format::Format;
pub use record::{
    FIELD_BYTES_MAX, HOST_BYTES_MAX, METHOD_BYTES_MAX, RECORD_BYTES_MAX, Record, SUITE_BYTES_MAX,
    TARGET_BYTES_MAX, WORD_BYTES_MAX,
};
use writer::Writer;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to; made if it is not there.
    File(PathBuf),
}

/// What the access log is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// How lines look.
    pub format: Format,
    /// Where they go.
    pub sink: Sink,
    /// Number of queues, one for each thread that logs.
    pub queues_count: usize,
    /// Memory of each queue in bytes; at least [`RECORD_BYTES_MAX`], rounded up to a power of two.
    pub queue_bytes: usize,
}

/// 1 MiB: about 5,000 usual records, 50 ms of a worker at 100,000 requests a second.
pub const QUEUE_BYTES_DEFAULT: usize = 1 << 20;

/// Why the access log did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The sink cannot be opened for appending.
    #[error("cannot open the access log {}", .path.display())]
    Open {
        /// The file, or the name of the standard stream.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The writer thread cannot be started.
    #[error("cannot start the access log's writer thread")]
    Thread {
        /// What the system said.
        source: std::io::Error,
    },
}

/// The writer did not end in time, for instance because nobody reads our stdout.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the access log was not written in time; {queued} records may be lost")]
pub struct ShutdownTimeout {
    /// Records accepted by queues and not yet written.
    pub queued: u64,
}

/// Totals since the start, in records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that queues accepted.
    pub accepted: u64,
    /// Records that full queues refused.
    pub dropped: u64,
    /// Records written.
    pub written: u64,
    /// Records accepted, but lost because the sink refused them.
    pub lost: u64,
}

/// Owner of the writer thread. Dropping it without [`shutdown`](Self::shutdown) lets the thread end
/// by itself, after it has written what is queued.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    thread: Thread,
    _writer: JoinHandle<()>,
    ended: mpsc::Receiver<()>,
}

impl AccessLog {
    /// Opens the sink, starts the writer thread, and hands out the queues.
    ///
    /// # Errors
    /// [`StartError::Open`] if the sink cannot be opened, [`StartError::Thread`] if there can be no
    /// thread.
    pub fn start(config: &Config) -> Result<(Self, Vec<Queue>), StartError> {
        let output = output::Output::open(config.sink.clone())?;
        let shared = Arc::new(Shared::new(config.queues_count));
        let (producers, consumers): (Vec<_>, Vec<_>) = (0..config.queues_count)
            .map(|_| ring::pair(config.queue_bytes.max(RECORD_BYTES_MAX)))
            .unzip();
        let writer = Writer::new(consumers, config.format, output, Arc::clone(&shared));
        let (end, ended) = mpsc::channel();
        let handle = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                writer.run();
                // The other side may have stopped waiting.
                let _ = end.send(());
            })
            .map_err(|source| StartError::Thread { source })?;
        let thread = handle.thread().clone();
        let queues = producers.into_iter().enumerate().map(|(index, ring)| Queue {
            ring,
            scratch: Vec::with_capacity(RECORD_BYTES_MAX),
            half_full: false,
            index,
            shared: Arc::clone(&shared),
            writer: thread.clone(),
        });
        let queues = queues.collect();
        Ok((Self { shared, thread, _writer: handle, ended }, queues))
    }

    /// Asks the writer to open its file again under its name, as after a rotation. If that fails,
    /// it goes on with the file that it has, and says so in the log.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Relaxed);
        self.thread.unpark();
    }

    /// Totals so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Writes everything that queues have accepted, then ends the writer (TM-7). Call it when the
    /// threads that log have ended; what they push later is not written.
    ///
    /// # Errors
    /// [`ShutdownTimeout`] if the sink does not take it within `timeout`; the thread is left
    /// behind.
    pub fn shutdown(self, timeout: Duration) -> Result<Stats, ShutdownTimeout> {
        self.shared.ask_to_stop(&self.thread);
        let outcome = self.ended.recv_timeout(timeout);
        let stats = self.shared.stats();
        match outcome {
            // A writer that panicked has hung up: what it left behind shows in the stats.
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => Ok(stats),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let settled = stats.written + stats.lost;
                Err(ShutdownTimeout { queued: stats.accepted.saturating_sub(settled) })
            }
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.ask_to_stop(&self.thread);
    }
}

/// One thread's way into the access log.
#[derive(Debug)]
pub struct Queue {
    ring: ring::Producer,
    scratch: Vec<u8>,
    half_full: bool,
    index: usize,
    shared: Arc<Shared>,
    writer: Thread,
}

impl Queue {
    /// Copies the record into the queue; false if it is full, and the record dropped. Never blocks,
    /// never allocates; longer parts than the maxima of this module are cut.
    pub fn push(&mut self, record: &Record<'_>) -> bool {
        record.encode(&mut self.scratch);
        let accepted = self.ring.push(&self.scratch);
        let totals = &self.shared.queues[self.index];
        let total = if accepted { &totals.accepted } else { &totals.dropped };
        bump(total, 1);
        let half_full_before = std::mem::replace(&mut self.half_full, self.ring.is_half_full());
        if (self.half_full && !half_full_before) || self.shared.asleep.load(Relaxed) {
            self.shared.asleep.store(false, Relaxed);
            self.writer.unpark();
        }
        accepted
    }
}

/// What queues, writer and owner share.
#[derive(Debug)]
struct Shared {
    queues: Vec<QueueTotals>,
    written: AtomicU64,
    lost: AtomicU64,
    asleep: AtomicBool,
    reopen: AtomicBool,
    stop: AtomicBool,
}

impl Shared {
    fn new(queues_count: usize) -> Self {
        Self {
            queues: (0..queues_count).map(|_| QueueTotals::default()).collect(),
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        }
    }

    fn stats(&self) -> Stats {
        let sum = |pick: fn(&QueueTotals) -> &AtomicU64| {
            self.queues.iter().map(|totals| pick(totals).load(Relaxed)).sum()
        };
        Stats {
            accepted: sum(|totals| &totals.accepted),
            dropped: sum(|totals| &totals.dropped),
            written: self.written.load(Relaxed),
            lost: self.lost.load(Relaxed),
        }
    }

    fn ask_to_stop(&self, writer: &Thread) {
        self.stop.store(true, std::sync::atomic::Ordering::Release);
        writer.unpark();
    }
}

/// Totals of one queue, written by its thread alone, on lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct QueueTotals {
    accepted: AtomicU64,
    dropped: AtomicU64,
}

/// How long the writer waits between batches while there is traffic.
const NAP: Duration = Duration::from_millis(5);
/// How long it waits when there is none and nobody wakes it.
pub const SLEEP: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests;
