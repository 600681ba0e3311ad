//! What can go wrong with a connection or an answer, one name each, counted with evidence.
//!
//! Nothing here is an error of the load itself: a fault is a finding about the server, or about
//! the way to it.

use longhold_http1::Reject;
use longhold_transport::IoFault;
use serde::ser::{Serialize, SerializeMap as _, Serializer};

/// Why a connection was lost or an answer was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens at the target.
    ConnectRefused,
    /// No connection within the plan's connect timeout.
    ConnectTimedOut,
    /// The client's own host ran out of slots, ports or kernel memory.
    ConnectExhausted,
    /// Connecting failed otherwise.
    ConnectFailed(IoFault),
    /// The request could not be sent.
    SendFailed(IoFault),
    /// The answer could not be received.
    ReceiveFailed(IoFault),
    /// The server closed a connection that was parked, without being asked.
    ClosedWhileParked,
    /// The server closed the connection without any byte of an answer.
    ClosedUnanswered,
    /// The stream ended within an answer.
    Truncated,
    /// No complete answer within the plan's answer timeout.
    AnswerTimedOut,
    /// The answer's head or framing breaks a rule of HTTP.
    BadSyntax(Reject),
    /// The answer's head does not fit the receive buffer.
    HeadTooLong,
    /// Another status than expected.
    WrongStatus {
        /// The status that came.
        found: u16,
    },
    /// A body of another length than expected.
    WrongLength {
        /// The length that came; of a body that is too long, the part that was read.
        found_bytes: u64,
    },
    /// A body of the expected length with other bytes.
    WrongBody {
        /// Its hash.
        found_hash: u64,
    },
    /// Bytes that no request had asked for.
    Unsolicited,
    /// A right answer that announces the end of a connection that was to be held.
    CloseAnnounced,
    /// The TLS handshake failed.
    HandshakeFailed,
    /// Of an event stream: something other than the event that comes next.
    WrongEvent {
        /// Its number.
        awaited: u32,
    },
    /// Of an event stream: no event when one was long due.
    EventOverdue {
        /// Its number.
        awaited: u32,
    },
}

impl Fault {
    /// Short name: the key in reports.
    pub const fn name(self) -> &'static str {
        NAMES[self.index()]
    }

    const fn index(self) -> usize {
        match self {
            Self::ConnectRefused => 0,
            Self::ConnectTimedOut => 1,
            Self::ConnectExhausted => 2,
            Self::ConnectFailed(_) => 3,
            Self::SendFailed(_) => 4,
            Self::ReceiveFailed(_) => 5,
            Self::ClosedWhileParked => 6,
            Self::ClosedUnanswered => 7,
            Self::Truncated => 8,
            Self::AnswerTimedOut => 9,
            Self::BadSyntax(_) => 10,
            Self::HeadTooLong => 11,
            Self::WrongStatus { .. } => 12,
            Self::WrongLength { .. } => 13,
            Self::WrongBody { .. } => 14,
            Self::Unsolicited => 15,
            Self::CloseAnnounced => 16,
            Self::HandshakeFailed => 17,
            Self::WrongEvent { .. } => 18,
            Self::EventOverdue { .. } => 19,
        }
    }

    /// The fault of a connect that failed.
    pub(crate) fn of_connect(fault: IoFault) -> Self {
        match fault {
            IoFault::Refused => Self::ConnectRefused,
            IoFault::TimedOut => Self::ConnectTimedOut,
            IoFault::Exhausted => Self::ConnectExhausted,
            IoFault::Reset
            | IoFault::BrokenPipe
            | IoFault::Unreachable
            | IoFault::Cancelled
            | IoFault::BadMemory
            | IoFault::Insecure
            | IoFault::Other(_) => Self::ConnectFailed(fault),
        }
    }

    /// Whether no connection ever stood: another try may have one.
    pub(crate) const fn is_of_connect(self) -> bool {
        matches!(
            self,
            Self::ConnectRefused
                | Self::ConnectTimedOut
                | Self::ConnectExhausted
                | Self::ConnectFailed(_)
        )
    }

    /// What is known beyond the name, in words.
    pub fn detail(self) -> String {
        match self {
            Self::ConnectFailed(fault) | Self::SendFailed(fault) | Self::ReceiveFailed(fault) => {
                fault.to_string()
            }
            Self::BadSyntax(reject) => reject.to_string(),
            Self::WrongStatus { found } => format!("status {found}"),
            Self::WrongEvent { awaited } | Self::EventOverdue { awaited } => {
                format!("awaited event {awaited}")
            }
            Self::WrongLength { found_bytes } => format!("{found_bytes} bytes"),
            Self::WrongBody { found_hash } => format!("hash {found_hash:016x}"),
            Self::ConnectRefused
            | Self::ConnectTimedOut
            | Self::ConnectExhausted
            | Self::ClosedWhileParked
            | Self::ClosedUnanswered
            | Self::Truncated
            | Self::AnswerTimedOut
            | Self::HeadTooLong
            | Self::Unsolicited
            | Self::CloseAnnounced
            | Self::HandshakeFailed => String::new(),
        }
    }
}

/// Faults counted by name, and the first few with the time and connection they happened on.
#[derive(Clone, Debug, Default)]
pub struct FaultLog {
    counts: [u64; NAMES.len()],
    examples: Vec<FaultExample>,
}

/// One fault as it happened.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FaultExample {
    /// Milliseconds since the load began.
    pub at_ms: u64,
    /// Number of the connection, from 0.
    pub connection: u32,
    /// [`Fault::name`].
    pub fault: &'static str,
    /// Status, length, hash or rule, as far as known.
    pub detail: String,
}

impl FaultLog {
    /// Counts `fault`, and keeps it as an example while there are fewer than [`EXAMPLES_MAX`].
    pub fn record(&mut self, at_ms: u64, connection: u32, fault: Fault) {
        self.counts[fault.index()] += 1;
        if self.examples.len() < EXAMPLES_MAX {
            let detail = fault.detail();
            self.examples.push(FaultExample { at_ms, connection, fault: fault.name(), detail });
        }
    }

    /// All faults.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Faults of one name; 0 for a name that does not exist.
    pub fn count(&self, name: &str) -> u64 {
        self.counts().find(|(known, _)| *known == name).map_or(0, |(_, count)| count)
    }

    /// Names and counts of the faults that happened.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES.into_iter().zip(self.counts).filter(|(_, count)| *count > 0)
    }

    /// The first faults, at most [`EXAMPLES_MAX`], in the order in which they happened.
    pub fn examples(&self) -> &[FaultExample] {
        &self.examples
    }
}

/// As `{"total": n, "by_name": {name: n, …}, "examples": […]}`.
impl Serialize for FaultLog {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("total", &self.total())?;
        let by_name: std::collections::BTreeMap<_, _> = self.counts().collect();
        map.serialize_entry("by_name", &by_name)?;
        map.serialize_entry("examples", &self.examples)?;
        map.end()
    }
}

/// Faults kept as examples.
pub const EXAMPLES_MAX: usize = 16;

const NAMES: [&str; 20] = [
    "connect-refused",
    "connect-timed-out",
    "connect-exhausted",
    "connect-failed",
    "send-failed",
    "receive-failed",
    "closed-while-parked",
    "closed-unanswered",
    "truncated",
    "answer-timed-out",
    "bad-syntax",
    "head-too-long",
    "wrong-status",
    "wrong-length",
    "wrong-body",
    "unsolicited",
    "close-announced",
    "handshake-failed",
    "wrong-event",
    "event-overdue",
];

#[cfg(test)]
mod tests;
