//! What the parts of a server's work cost, each alone: the figures that the sizing model is made
//! of. The program `micro` runs the cases, `cargo xtask bench micro` runs the program.
//!
//! Only the processor time of the measuring thread counts; the clients have a thread of their own
//! ([`crowd`]). On loopback that is not the whole of a server's work, and not only its own: what a
//! send leads to at the receiving end is done by whoever sends.
//!
//! A case is a number of rounds, each of many operations; its figure is the middle of the rounds,
//! and the two quarters beside it. What disturbs a round (another program on the core, an
//! interrupt) leaves those as they are.

pub mod crowd;
pub mod front;
pub mod timers;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Nanoseconds of one operation: the first quarter of the rounds, their middle, the third quarter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Nanoseconds {
    /// A quarter of the rounds took less.
    pub low: f64,
    /// Half of them did.
    pub median: f64,
    /// A quarter took more.
    pub high: f64,
}

/// What a case found.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub case: &'static str,
    /// Bytes of the payload, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Connections, or timers, among which the operations took turns.
    pub among: u32,
    /// Nanoseconds of an operation.
    pub ns: Nanoseconds,
}

impl Nanoseconds {
    /// Of rounds with so many operations each, by the nanoseconds of each round.
    pub fn of(mut rounds: Vec<u64>, operations: u32) -> Self {
        rounds.sort_unstable();
        let at = |quarters: usize| {
            let last = rounds.len().saturating_sub(1);
            let nanoseconds = rounds.get(last * quarters / 4).copied().unwrap_or_default();
            nanoseconds as f64 / f64::from(operations.max(1))
        };
        Self { low: at(1), median: at(2), high: at(3) }
    }
}

/// What this thread has used of its processor, in nanoseconds.
pub fn thread_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// What `work` uses of this thread's processor, in nanoseconds.
///
/// # Errors
/// Those of `work`.
pub fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let begin = thread_ns();
    work()?;
    Ok(thread_ns() - begin)
}

#[cfg(test)]
mod tests;
