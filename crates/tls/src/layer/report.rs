//! What the layer tells whoever counts.

use crate::{Details, Fault};

/// One event of handshakes and sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A handshake is in flight. One of the next three follows.
    Begun,
    /// It is done.
    Done(Details),
    /// It failed: the peer broke a rule, or there was nothing in common.
    Failed(Fault),
    /// It ended without a word: the peer went away, or the caller closed the connection.
    Left,
    /// A newcomer was turned away, its source having enough handshakes in flight.
    TurnedAway,
    /// A newcomer was turned away, because none is to be let in.
    Refused,
    /// An established session broke: the peer broke a rule, or said that we did.
    Broken(Fault),
    /// The rest of a record did not come in time.
    RecordTimeout,
}

/// Takes reports, on the transport's thread.
pub type Reporter = Box<dyn FnMut(&Report)>;
