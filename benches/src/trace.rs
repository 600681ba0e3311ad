//! Traces of requests, policies that replay them, and what comes out: how good eviction is.
//!
//! **What it is.** Seeded generators ([`workload`]) from tables of real traffic ([`marginals`]) and
//! from Zipf–Mandelbrot models, a reader of `time,key,size` files ([`csv`]), and the policies
//! ([`policy`]): LRU, FIFO, S3-FIFO as published, all over objects, and logs of segments with the
//! store's own decisions (`longhold_store::eviction`), and a real store beside its simulation
//! ([`real`]). `cargo xtask bench trace` prints the table.
//!
//! **What it is not.** No clock and no disk: what is counted is hits and bytes. Lifetimes of
//! responses are not modelled; a key that changes its size is a new object.

pub mod csv;
pub mod marginals;
pub mod policy;
pub mod random;
pub mod real;
pub mod replay;
pub mod workload;

#[cfg(test)]
mod tests;

/// One request of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Since the trace's beginning, or whatever its file counts from.
    pub time_ms: u64,
    /// A dense number: objects are numbered from 0.
    pub object: u32,
    /// The object's size.
    pub bytes: u64,
}
