//! How long a connection may take, as pure functions of its timeouts.

/// A connection's timeouts and its least rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Between requests, ms.
    pub idle_ms: u64,
    /// From the connection to the end of its TLS handshake, ms.
    pub handshake_ms: u64,
    /// From a head's first byte to its last, ms (against slow heads).
    pub head_ms: u64,
    /// How long a body may be behind the least rate, ms.
    pub flow_grace_ms: u64,
    /// Least rate of a body in either direction, bytes/s; 0 asks for progress within the grace
    /// only.
    pub flow_rate_min: u64,
    /// How long a peer may take to read the last response and close, ms.
    pub linger_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            idle_ms: 75_000,
            handshake_ms: 10_000,
            head_ms: 10_000,
            flow_grace_ms: 30_000,
            flow_rate_min: 1024,
            linger_ms: 5_000,
        }
    }
}

/// Bytes that move in one direction since a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// When it was last started, ms.
    pub since_ms: u64,
    /// Bytes moved since then.
    pub moved_bytes: u64,
    /// When bytes last moved, ms.
    pub last_ms: u64,
}

impl Flow {
    /// A flow that starts now.
    pub const fn start(now_ms: u64) -> Self {
        Self { since_ms: now_ms, moved_bytes: 0, last_ms: now_ms }
    }

    /// Bytes moved.
    pub fn advance(&mut self, bytes: u64, now_ms: u64) {
        self.moved_bytes = self.moved_bytes.saturating_add(bytes);
        self.last_ms = now_ms;
    }

    /// When the flow is too slow: once the grace has passed beyond the time that its bytes take at
    /// the least rate. What moved fast earns time to rest, but no more than
    /// [`CREDIT_BYTES_MAX`] take. Without a rate, once nothing has moved for the grace.
    pub const fn deadline_ms(&self, timeouts: &Timeouts) -> u64 {
        let rate = timeouts.flow_rate_min;
        let paid_until_ms = match duration_ms(self.moved_bytes, rate) {
            Some(earned_ms) => {
                let credit_ms = match duration_ms(CREDIT_BYTES_MAX, rate) {
                    Some(ms) => ms,
                    None => 0,
                };
                let earned_until_ms = self.since_ms.saturating_add(earned_ms);
                let credit_until_ms = self.last_ms.saturating_add(credit_ms);
                if earned_until_ms < credit_until_ms { earned_until_ms } else { credit_until_ms }
            }
            None => self.last_ms,
        };
        paid_until_ms.saturating_add(timeouts.flow_grace_ms)
    }
}

/// How long bytes take at a rate; `None` without a rate.
const fn duration_ms(bytes: u64, rate: u64) -> Option<u64> {
    bytes.saturating_mul(1000).checked_div(rate)
}

/// Bytes that a flow may be ahead of its least rate. As many as the kernel may hold of a response
/// that its peer has yet to read: the send that follows them waits for the peer to read them.
pub const CREDIT_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests;
