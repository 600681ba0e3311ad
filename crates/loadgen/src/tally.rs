//! Counts of answers, and of what was wrong: the part that both reports share.

use serde::Serialize;

use crate::answer::Answer;
use crate::fault::Fault;
use crate::histogram::{Histogram, Latency};
use crate::verify::Expectation;

/// Right answers so far, their bytes and latencies.
#[derive(Default)]
pub(crate) struct Tally {
    count: u64,
    body_bytes: u64,
    hits: u64,
    with_cache_status: u64,
    histogram: Histogram,
}

/// What reports say of a tally.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Answers {
    /// Answers of the right status, length and bytes.
    pub count: u64,
    /// Bytes of their bodies.
    pub body_bytes: u64,
    /// Those whose `Cache-Status` says hit.
    pub hits: u64,
    /// Hits among all of them, 0 to 1; `None` when no answer had a `Cache-Status`.
    pub hit_ratio: Option<f64>,
    /// From the request, or in an open loop from when it was due, to the last byte.
    pub latency: Latency,
}

impl Tally {
    /// Verifies one answer, and counts it if it is right.
    pub(crate) fn take(
        &mut self,
        expectation: &mut Expectation,
        answer: &Answer,
        latency_us: u64,
    ) -> Result<(), Fault> {
        expectation.check(answer)?;
        self.add(answer, latency_us);
        Ok(())
    }

    /// Counts an answer that was found to be right.
    pub(crate) fn add(&mut self, answer: &Answer, latency_us: u64) {
        self.count += 1;
        self.body_bytes += answer.body.length_bytes;
        self.histogram.record(latency_us);
        if let Some(hit) = answer.hit {
            self.with_cache_status += 1;
            self.hits += u64::from(hit);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn answers(&self) -> Answers {
        let any = self.with_cache_status > 0;
        Answers {
            count: self.count,
            body_bytes: self.body_bytes,
            hits: self.hits,
            hit_ratio: any.then(|| self.hits as f64 / self.count as f64),
            latency: self.histogram.latency(),
        }
    }
}
