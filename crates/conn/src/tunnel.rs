//! A tunnel: two connections, and bytes that go from either to the other unread (RFC 9110 sections
//! 7.8 and 9.3.6).
//!
//! The machine knows neither sockets nor buffers. It is told what has happened on one of the two
//! ways, and says what is to be done next on it; each way holds one buffer at most, and none while
//! it is quiet. So the sender waits while the receiver lags: nothing is received before what came
//! before it is sent.
//!
//! ```text
//! one way:   Quiet ──readable──► Receiving ──bytes──► Sending ──sent──► Quiet
//!                                    └──────end──┐       └─ sent, and it was the last ─┐
//!                                                ▼                                     │
//!                        Ended ◄──shut────── Shutting ◄────────────────────────────────┘
//! ```
//! The end of one way is told to its receiver behind all that was sent before, and the other way
//! goes on; when both have ended, the tunnel closes. A **stream** is a tunnel whose client has said
//! all that it has to say: what it sends is thrown away, and its end is the end of both.
//!
//! # Invariants
//! - **TN-1** Whatever happens on a way in whatever state has a written outcome (the table beside
//!   the tests).
//! - **TN-2** At most one receive from and one send to a side are under way, and none of them while
//!   the tunnel [is quiet](Relay::is_quiet).
//! - **TN-3** A park is armed on a side at most once, and on none from which nothing more is read.
//! - **TN-4** What a quiet tunnel is, is three bits ([`Relay::rest`], [`Relay::wake`]).

/// One of the two connections, and the way that comes from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The connection that was accepted.
    Client,
    /// The connection that was made.
    Origin,
}

impl Side {
    /// Both, the client first.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Origin];

    /// The one across.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Origin,
            Self::Origin => Self::Client,
        }
    }
}

/// What the two connections are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Bytes go both ways.
    Tunnel,
    /// The origin's response goes to the client, whose request is over.
    Stream,
}

/// What has happened on the way from a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Its park has ended: there is something to receive.
    Readable,
    /// Its park was cancelled.
    Unparked,
    /// Bytes have come.
    Received,
    /// Bytes have come behind which nothing belongs to the tunnel any more.
    ReceivedLast,
    /// Its end has come.
    End,
    /// It has failed.
    Failed,
    /// What came from it is sent to the last byte.
    Sent,
    /// What came from it cannot be sent.
    Refused,
    /// The end is told to its receiver.
    ShutDown,
}

/// What is to be done next on the way from a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Nothing but waiting.
    Nothing,
    /// Park the side.
    Park,
    /// Receive from it.
    Receive,
    /// Send what has come to the side across.
    Send,
    /// Throw away what has come, and park the side.
    Discard,
    /// Tell the side across that nothing more comes.
    ShutDown,
    /// Close both connections.
    Close(Over),
}

/// Why a tunnel is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Over {
    /// Both ways have come to their end; this side was the first.
    Ended(Side),
    /// This connection has failed, or takes nothing more.
    Failed(Side),
}

/// A tunnel at work; plain data.
///
/// ```
/// use longhold_conn::tunnel::{Event, Kind, Order, Relay, Side};
///
/// let mut relay = Relay::wake(Kind::Tunnel, Default::default());
/// assert!(relay.is_quiet());
/// assert_eq!(relay.handle(Side::Client, Event::Readable), Order::Receive);
/// assert_eq!(relay.handle(Side::Client, Event::Received), Order::Send);
/// assert_eq!(relay.handle(Side::Client, Event::Sent), Order::Park);
/// assert!(relay.is_quiet());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relay {
    kind: Kind,
    client: Way,
    origin: Way,
    /// Who ended first.
    first: Option<Side>,
}

/// The way from one side to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    at: At,
    /// A park of its side is armed.
    armed: bool,
}

/// Where a way stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Nothing is under way.
    Quiet,
    Receiving,
    Sending,
    /// What is being sent is the last.
    SendingLast,
    Shutting,
    /// Nothing more comes this way.
    Ended,
}

/// What a quiet tunnel is, beside its two slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// The client has ended its way.
    pub client_ended: bool,
    /// The origin has ended its way.
    pub origin_ended: bool,
    /// Of the two that have ended it was the origin first.
    pub origin_first: bool,
}

/// How a tunnel begins on one side, from the exchange that opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// A park is armed.
    Parked,
    /// A receive is under way.
    Receiving,
    /// Bytes that came early are being sent.
    Early,
    /// The same, and its end has come behind them.
    EarlyLast,
    /// Its end has come, and nothing before it.
    Ended,
}

impl Relay {
    /// A tunnel whose exchange left its sides like this.
    pub const fn open(kind: Kind, client: Begin, origin: Begin) -> Self {
        let first = match (client, origin) {
            (Begin::EarlyLast | Begin::Ended, _) => Some(Side::Client),
            (_, Begin::EarlyLast | Begin::Ended) => Some(Side::Origin),
            (
                Begin::Parked | Begin::Receiving | Begin::Early,
                Begin::Parked | Begin::Receiving | Begin::Early,
            ) => None,
        };
        Self { kind, client: Way::begin(client), origin: Way::begin(origin), first }
    }

    /// A quiet tunnel goes back to work: parks are armed on both sides, but for those that ended.
    pub const fn wake(kind: Kind, rest: Rest) -> Self {
        let first = match (rest.client_ended, rest.origin_ended, rest.origin_first) {
            (false, false, _) => None,
            (true, false, _) | (true, true, false) => Some(Side::Client),
            (false, true, _) | (true, true, true) => Some(Side::Origin),
        };
        Self {
            kind,
            client: Way::rest(rest.client_ended),
            origin: Way::rest(rest.origin_ended),
            first,
        }
    }

    /// What is left of a quiet tunnel (TN-4).
    pub const fn rest(&self) -> Rest {
        Rest {
            client_ended: matches!(self.client.at, At::Ended),
            origin_ended: matches!(self.origin.at, At::Ended),
            origin_first: matches!(self.first, Some(Side::Origin)),
        }
    }

    /// Nothing is under way but parks (TN-2).
    pub const fn is_quiet(&self) -> bool {
        self.client.is_quiet() && self.origin.is_quiet()
    }

    /// Something that came from `side` is on its way.
    pub const fn is_sending(&self, side: Side) -> bool {
        matches!(self.way(side).at, At::Sending | At::SendingLast)
    }

    /// The end of `side` has come.
    pub const fn has_ended(&self, side: Side) -> bool {
        matches!(self.way(side).at, At::SendingLast | At::Shutting | At::Ended)
    }

    /// Takes in what has happened on the way from `side`, and says what is next on it. What cannot
    /// happen in its state changes nothing.
    pub fn handle(&mut self, side: Side, event: Event) -> Order {
        let way = match side {
            Side::Client => &mut self.client,
            Side::Origin => &mut self.origin,
        };
        way.armed &= !matches!(event, Event::Readable | Event::Unparked);
        let discards = self.kind == Kind::Stream && side == Side::Client;
        let (at, order) = match (way.at, event) {
            (At::Quiet, Event::Readable) => (At::Receiving, Order::Receive),
            // Somebody cancelled it without closing the connection: it is armed again.
            (At::Quiet, Event::Unparked) => (At::Quiet, Order::Park),
            (At::Receiving, Event::Received | Event::ReceivedLast) if discards => {
                (At::Quiet, Order::Discard)
            }
            (At::Receiving, Event::Received) => (At::Sending, Order::Send),
            (At::Receiving, Event::ReceivedLast) => (At::SendingLast, Order::Send),
            // The client of a stream has gone: half of it is of no use to anyone.
            (At::Receiving, Event::End) if discards => {
                (At::Ended, Order::Close(Over::Ended(self.first.unwrap_or(side))))
            }
            (At::Receiving, Event::End) => (At::Shutting, Order::ShutDown),
            (At::Receiving, Event::Failed) => (At::Ended, Order::Close(Over::Failed(side))),
            (At::Sending, Event::Sent) => (At::Quiet, Order::Park),
            (At::SendingLast, Event::Sent) => (At::Shutting, Order::ShutDown),
            // Its receiver may have said something before it went, which is still to be had.
            (At::Sending | At::SendingLast, Event::Refused) => {
                (At::Ended, Order::Close(Over::Failed(side.other())))
            }
            (At::Shutting, Event::ShutDown) => (At::Ended, Order::Nothing),

            (At::Quiet, Event::Received | Event::ReceivedLast | Event::End | Event::Failed)
            | (At::Quiet, Event::Sent | Event::Refused | Event::ShutDown)
            | (At::Receiving, Event::Readable | Event::Unparked)
            | (At::Receiving, Event::Sent | Event::Refused | Event::ShutDown)
            | (At::Sending | At::SendingLast, Event::Readable | Event::Unparked)
            | (At::Sending | At::SendingLast, Event::Received | Event::ReceivedLast)
            | (At::Sending | At::SendingLast, Event::End | Event::Failed | Event::ShutDown)
            | (At::Shutting, Event::Readable | Event::Unparked | Event::Received)
            | (At::Shutting, Event::ReceivedLast | Event::End | Event::Failed)
            | (At::Shutting, Event::Sent | Event::Refused)
            | (At::Ended, _) => (way.at, Order::Nothing),
        };
        let has_ended = matches!(event, Event::End | Event::ReceivedLast) && at != way.at;
        way.at = at;
        if has_ended && !discards {
            self.first = self.first.or(Some(side));
        }
        self.settle(side, order)
    }

    /// What the machine as a whole makes of one way's order.
    fn settle(&mut self, side: Side, order: Order) -> Order {
        let across = self.way(side.other()).at;
        match order {
            Order::Park | Order::Discard => {
                let way = match side {
                    Side::Client => &mut self.client,
                    Side::Origin => &mut self.origin,
                };
                let was_armed = core::mem::replace(&mut way.armed, true);
                if order == Order::Park && was_armed { Order::Nothing } else { order }
            }
            // The other way goes on until its own end, which such a peer's connection is near.
            Order::Close(Over::Failed(failed)) if failed != side && across != At::Ended => {
                Order::Nothing
            }
            Order::Nothing if self.way(side).at == At::Ended && across == At::Ended => {
                Order::Close(Over::Ended(self.first.unwrap_or(side)))
            }
            Order::Nothing | Order::Receive | Order::Send | Order::ShutDown | Order::Close(_) => {
                order
            }
        }
    }

    const fn way(&self, side: Side) -> &Way {
        match side {
            Side::Client => &self.client,
            Side::Origin => &self.origin,
        }
    }
}

impl Way {
    const fn begin(begin: Begin) -> Self {
        match begin {
            Begin::Parked => Self { at: At::Quiet, armed: true },
            Begin::Receiving => Self { at: At::Receiving, armed: false },
            Begin::Early => Self { at: At::Sending, armed: false },
            Begin::EarlyLast => Self { at: At::SendingLast, armed: false },
            Begin::Ended => Self { at: At::Shutting, armed: false },
        }
    }

    const fn rest(ended: bool) -> Self {
        if ended {
            Self { at: At::Ended, armed: false }
        } else {
            Self { at: At::Quiet, armed: true }
        }
    }

    const fn is_quiet(&self) -> bool {
        matches!(self.at, At::Quiet | At::Ended)
    }
}

mod watch;

pub use watch::{Passed, Watch};

#[cfg(test)]
mod tests;
