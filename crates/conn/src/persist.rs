//! What happens to the connection when a response has ended: one pure function of what is left to
//! read and of what was said (RFC 9112 sections 9.3 and 9.6).

/// What of the request is left to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RxEnd {
    /// Nothing: the request was read to its end.
    Complete,
    /// Part of its body, which the client is sending.
    BodyUnread,
    /// Its body, which the client may never send: it was told to wait and got a final response
    /// (RFC 9110 section 10.1.1).
    BodyWithheld,
    /// The peer has closed its half; the request was complete.
    Ended,
    /// The bytes make no sense any more.
    Broken,
}

/// What was said about the connection in the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TxEnd {
    /// It goes on.
    KeepsAlive,
    /// It ends, as the client asked: the client sends nothing more.
    ClosesAsAsked,
    /// It ends by our wish, or its end is the end of the body.
    Closes,
    /// The response was cut short: its framing is broken.
    Aborted,
}

/// What the worker does with the connection next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum After {
    /// Read the next head.
    NextRequest,
    /// Read the rest of the body and throw it away, then the next head.
    DrainBody,
    /// Close our half, read on for a while so that the peer sees the response, then close.
    Linger,
    /// Close at once.
    Close,
}

/// The product (CN-6, CN-7).
pub const fn persist(rx: RxEnd, tx: TxEnd) -> After {
    match (tx, rx) {
        (TxEnd::KeepsAlive, RxEnd::Complete) => After::NextRequest,
        (TxEnd::KeepsAlive, RxEnd::BodyUnread) => After::DrainBody,
        // Whether the body follows or the next head cannot be known.
        (TxEnd::KeepsAlive, RxEnd::BodyWithheld | RxEnd::Broken) => After::Linger,
        // The client may have sent the next request already, and a reset in answer to it would take
        // the response from the client's hands.
        (TxEnd::Closes, RxEnd::Complete) => After::Linger,
        (TxEnd::ClosesAsAsked, RxEnd::Complete) => After::Close,
        (
            TxEnd::Closes | TxEnd::ClosesAsAsked,
            RxEnd::BodyUnread | RxEnd::BodyWithheld | RxEnd::Broken,
        ) => After::Linger,
        (TxEnd::KeepsAlive | TxEnd::Closes | TxEnd::ClosesAsAsked, RxEnd::Ended) => After::Close,
        (
            TxEnd::Aborted,
            RxEnd::Complete
            | RxEnd::BodyUnread
            | RxEnd::BodyWithheld
            | RxEnd::Ended
            | RxEnd::Broken,
        ) => After::Close,
    }
}

#[cfg(test)]
mod tests;
