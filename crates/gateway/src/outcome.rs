//! The outcome of an exchange: the words of RFC 9211, used alike in `Cache-Status`, the access log
//! and the counters.

pub use longhold_policy::status::{CacheOutcome, Fwd};

/// What became of one exchange; feeds access log, counters and `Cache-Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// Status code sent, 0 when none was sent.
    pub status: u16,
    /// How the cache took part; `None` when the edge answered by itself (errors, `OPTIONS *`).
    pub cache: Option<CacheOutcome>,
    /// The origin's status, where the client gets another (RFC 9211 section 2.3).
    pub fwd_status: Option<u16>,
    /// The response was stored by this exchange's fetch.
    pub stored: bool,
    /// The request was collapsed into another's fetch (RFC 9211 section 2.6).
    pub collapsed: bool,
}

impl Outcome {
    /// An answer of the edge's own.
    pub fn local(status: u16) -> Self {
        Self { status, cache: None, fwd_status: None, stored: false, collapsed: false }
    }

    /// The word for logs, empty for an answer of the edge's own.
    pub fn word(&self) -> &'static str {
        self.cache.map_or("", CacheOutcome::token)
    }
}
