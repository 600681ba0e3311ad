//! What the edge tells about itself: counters, latency histograms, the access log, the start-up
//! log.
//!
//! Everything here is written by a thread that must not wait, and read by one that may:
//!
//! ```text
//!  worker 0 ── WorkerCounters ──┐ relaxed loads, once a scrape
//!  worker 1 ── WorkerCounters ──┼──► Registry ──► metrics facade ──► Prometheus text
//!  fill 0   ── WorkerCounters ──┘
//!  worker 0 ── Queue (bytes, bounded) ──┐
//!  worker 1 ── Queue (bytes, bounded) ──┴──► writer thread ──► file, stdout or stderr
//! ```
//!
//! # What it is not
//! It knows no connection, no cache rule and no store: callers translate their own outcomes into
//! rows of [`names`]. It opens no socket; `/metrics` is served by the admin plane from
//! [`Registry::render`]. It samples nothing and buffers no observation.
//!
//! # Invariants
//! - **TM-1** Counting or observing is a relaxed load and a relaxed store in a cell that one thread
//!   writes: no lock, no read-modify-write, no allocation, no shared cache line.
//! - **TM-2** The memory of a [`Registry`] is fixed when it is made, whatever is counted later.
//! - **TM-3** A metric is one row of [`names`]; its enum variant, its text and its cell come from
//!   it.
//! - **TM-4** Rendered text is valid Prometheus exposition: a family has one type line, counters
//!   never fall, and histogram buckets are cumulative and end in `+Inf` = count.
//! - **TM-5** Logging an exchange never blocks and never allocates: it is copied into a bounded
//!   queue, or refused and counted.
//! - **TM-6** One record is one line, whatever bytes the peer sent; JSON lines are valid JSON.
//! - **TM-7** What was accepted by a queue before [`AccessLog::shutdown`] is written, or counted as
//!   lost.
//!
//! ```
//! use longhold_telemetry::{BuildInfo, Counter, Histogram, Registry};
//!
//! let (registry, mut rows) = Registry::new(1, &BuildInfo { version: "1.0", commit: "unknown" });
//! let counters = rows.pop().expect("one row was asked for");
//! counters.add(Counter::RequestsHit, 1);
//! counters.observe(Histogram::RequestHit, 120);
//! assert!(registry.render().contains("longhold_requests_total{cache=\"hit\"} 1"));
//! ```
#![forbid(unsafe_code)]

pub mod access_log;
pub mod counters;
pub mod exporter;
pub mod histogram;
pub mod names;
pub mod tracing;

pub use access_log::{AccessLog, Queue, Record};
pub use counters::{Snapshot, WorkerCounters};
pub use exporter::{BuildInfo, Registry};
pub use names::{Counter, Gauge, Histogram};
