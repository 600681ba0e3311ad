//! The states of a connection and the one table of allowed moves.
//!
//! ```text
//!   ┌────────────────────────────────┐  ┌───────────► Closing ─► Free
//!   │                                ▼  │                ▲
//! Free ─► Handshaking ─► Parked ⇄ Active ┘                │
//!              └────────────┴─────────────────────────────┘
//! ```
//! The owner of every move but one is the worker. The exception is `Parked → Closing`, which the
//! governor and the admin plane may do from outside: whoever wins the compare-and-swap has moved
//! it. Who has won from outside reads the slot's generation after the move, not before, and tells
//! the worker: only the worker frees the slot, so the generation stands still until it knows.

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// No connection.
    Free = 0,
    /// TLS is being agreed.
    Handshaking = 1,
    /// Quiet: nothing but the slot and one armed poll.
    Parked = 2,
    /// Bytes move, or an exchange waits.
    Active = 3,
    /// What is in flight is being ended; then the slot is freed.
    Closing = 4,
}

impl State {
    /// Every state, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Free, Self::Handshaking, Self::Parked, Self::Active, Self::Closing];

    /// The state of a number; `None` for a number that is no state's.
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Free),
            1 => Some(Self::Handshaking),
            2 => Some(Self::Parked),
            3 => Some(Self::Active),
            4 => Some(Self::Closing),
            _ => None,
        }
    }

    /// The word for logs, metrics and the admin plane.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Handshaking => "handshaking",
            Self::Parked => "parked",
            Self::Active => "active",
            Self::Closing => "closing",
        }
    }
}

/// Whether a connection may move from one state to another (CN-2). The whole table: every pair has
/// its line or falls under the refusals written out below it.
pub const fn allows(from: State, to: State) -> bool {
    match (from, to) {
        // Accepted: plain connections are active until they park, TLS ones shake hands.
        (State::Free, State::Active | State::Handshaking) => true,
        (State::Handshaking, State::Parked | State::Active | State::Closing) => true,
        (State::Parked, State::Active | State::Closing) => true,
        (State::Active, State::Parked | State::Closing) => true,
        // The last completion has come.
        (State::Closing, State::Free) => true,

        (State::Free, State::Free | State::Parked | State::Closing)
        | (State::Handshaking, State::Free | State::Handshaking)
        | (State::Parked, State::Free | State::Handshaking | State::Parked)
        | (State::Active, State::Free | State::Handshaking | State::Active)
        | (State::Closing, State::Handshaking | State::Parked | State::Active | State::Closing) => {
            false
        }
    }
}

/// A move that did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The table does not allow it: the caller is wrong.
    NotAllowed,
    /// The connection was in this state instead: somebody else was first.
    Was(State),
}

#[cfg(test)]
mod tests;
