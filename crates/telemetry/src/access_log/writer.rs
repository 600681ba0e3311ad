//! The thread that drains the queues, formats, and writes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::thread;

use super::format::Format;
use super::output::Output;
use super::record::{RECORD_BYTES_MAX, Record};
use super::ring::Consumer;
use super::{NAP, SLEEP, Shared};
use crate::histogram::bump;

/// Everything that the writer thread owns.
#[derive(Debug)]
pub(super) struct Writer {
    queues: Vec<Consumer>,
    format: Format,
    output: Output,
    shared: Arc<Shared>,
    /// Lines of one batch.
    lines: Vec<u8>,
    record: Vec<u8>,
    /// The last batch failed: the log says so once, and once when it works again.
    failing: bool,
}

impl Writer {
    pub(super) fn new(
        queues: Vec<Consumer>,
        format: Format,
        output: Output,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            queues,
            format,
            output,
            shared,
            lines: Vec::with_capacity(BATCH_BYTES + RECORD_BYTES_MAX),
            record: Vec::with_capacity(RECORD_BYTES_MAX),
            failing: false,
        }
    }

    /// Runs until asked to stop, then until the queues are empty.
    pub(super) fn run(mut self) {
        let mut idle_naps_count = 0;
        loop {
            // Read before the queues: what was pushed before the request to stop is still seen.
            let stopping = self.shared.stop.load(Acquire);
            if self.shared.reopen.swap(false, Relaxed) {
                self.reopen();
            }
            if self.write_batch() {
                idle_naps_count = 0;
            } else if stopping {
                return;
            } else if idle_naps_count < IDLE_NAPS_MAX {
                idle_naps_count += 1;
                thread::park_timeout(NAP);
            } else {
                self.sleep();
            }
        }
    }

    /// A push that misses the flag waits for the end of the sleep at most.
    fn sleep(&self) {
        self.shared.asleep.store(true, Relaxed);
        if self.queues.iter().all(Consumer::is_empty) {
            thread::park_timeout(SLEEP);
        }
        self.shared.asleep.store(false, Relaxed);
    }

    /// Takes up to a batch from each queue in turn and writes it; false if there was nothing.
    fn write_batch(&mut self) -> bool {
        let mut any = false;
        for index in 0..self.queues.len() {
            let count = self.fill_lines(index);
            if count > 0 {
                any = true;
                let outcome = self.output.write_lines(&self.lines);
                self.account(count, outcome);
            }
        }
        any
    }

    fn fill_lines(&mut self, index: usize) -> u64 {
        self.lines.clear();
        let mut count = 0;
        while self.lines.len() < BATCH_BYTES && self.queues[index].pop(&mut self.record) {
            if let Some(record) = Record::decode(&self.record) {
                self.format.write_line(&record, &mut self.lines);
                count += 1;
            } else {
                debug_assert!(false, "a queue yields what was pushed");
                bump(&self.shared.lost, 1);
            }
        }
        count
    }

    fn account(&mut self, count: u64, outcome: io::Result<()>) {
        match outcome {
            Ok(()) => {
                bump(&self.shared.written, count);
                if self.failing {
                    ::tracing::info!("the access log is written again");
                }
                self.failing = false;
            }
            Err(error) => {
                bump(&self.shared.lost, count);
                if !self.failing {
                    ::tracing::error!(%error, "cannot write the access log; lines are lost");
                }
                self.failing = true;
            }
        }
    }

    fn reopen(&mut self) {
        match self.output.reopen() {
            Ok(()) => ::tracing::info!("access log opened again"),
            Err(error) => {
                ::tracing::error!(%error, "cannot open the access log again; using the old file");
            }
        }
    }
}

/// A batch is written once it holds this much.
const BATCH_BYTES: usize = 64 << 10;
/// After so many naps without a record the writer sleeps.
const IDLE_NAPS_MAX: u32 = 4;
