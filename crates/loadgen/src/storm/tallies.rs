//! How peers ended, counted.

use serde::Serialize;

/// How a peer ended, faults aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The server answered it, and then ended the connection.
    Answered,
    /// The server ended the connection within its answer.
    Cut,
    /// The server closed without a word.
    Closed,
    /// The server reset the connection without a word.
    Reset,
    /// It left by itself, as its manner is.
    Left,
    /// It had all its answers, each one right.
    Verified,
    /// It still stood at the end of the storm.
    Stood,
}

/// Peers by their ending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Endings {
    /// See [`Ending::Answered`].
    pub answered: u64,
    /// See [`Ending::Cut`].
    pub cut: u64,
    /// See [`Ending::Closed`].
    pub closed: u64,
    /// See [`Ending::Reset`].
    pub reset: u64,
    /// See [`Ending::Left`].
    pub left: u64,
    /// See [`Ending::Verified`].
    pub verified: u64,
    /// See [`Ending::Stood`].
    pub stood: u64,
}

impl Endings {
    pub(super) fn count(&mut self, ending: Ending) {
        let place = match ending {
            Ending::Answered => &mut self.answered,
            Ending::Cut => &mut self.cut,
            Ending::Closed => &mut self.closed,
            Ending::Reset => &mut self.reset,
            Ending::Left => &mut self.left,
            Ending::Verified => &mut self.verified,
            Ending::Stood => &mut self.stood,
        };
        *place += 1;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        let Self { answered, cut, closed, reset, left, verified, stood } = *self;
        answered + cut + closed + reset + left + verified + stood
    }

    /// Those that the server ended.
    pub fn by_server(&self) -> u64 {
        self.answered + self.cut + self.closed + self.reset
    }
}
