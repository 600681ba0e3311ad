//! The HTTP/1 server side of one connection, without the connection: what is still to be read
//! (`Rx`) times what has been answered (`Tx`).
//!
//! Bytes go in through [`Downstream::handle_input`] and come out as events that borrow from them;
//! responses are announced by [`Downstream::start_response`] and [`Downstream::end_response`]. The
//! machine holds no byte of either direction: what it has not consumed stays in the caller's
//! buffer and is handed in again, longer. The whole product of states and events is a snapshot
//! beside the tests.
//!
//! | `Rx` \ `Tx` | `Waiting` | `Responding` | `Draining` | `Over` |
//! |---|---|---|---|---|
//! | `Head` | expects a head | – | – | – |
//! | `Length`, `Chunked` | expects the body | expects the body | expects to drain | – |
//! | `Complete`, `Ended` | expects nothing | expects nothing | – | – |
//! | `Broken` | expects nothing | expects nothing | expects nothing | expects nothing |
//!
//! Pairs with a dash do not occur. A new request starts at (`Head`, `Waiting`).

use longhold_http1::Version;
use longhold_http1::{
    self as http1, BodyFraming, ChunkEvent, Chunked, Limits, Reject, RequestHead,
};

use crate::persist::{After, RxEnd, TxEnd, persist};

/// One connection's machine; plain data, at most 64 bytes.
///
/// ```
/// use longhold_conn::{After, BodyLength, Downstream, Expecting, Input};
/// use longhold_http1::Limits;
///
/// let limits = Limits::default();
/// let mut conn = Downstream::new();
/// let input = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
/// let step = conn.handle_input(input, &limits);
/// assert!(matches!(step.input, Input::Request(_)));
///
/// // An early answer; the rest of the request is read before the next one.
/// let plan = conn.start_response(413, BodyLength::Known(0));
/// assert!(!plan.close);
/// assert_eq!(conn.end_response(), After::DrainBody);
/// let step = conn.handle_input(&input[step.consumed..], &limits);
/// assert!(matches!(step.input, Input::BodyEnd(b"hello")));
/// assert_eq!(conn.expecting(), Expecting::Head);
/// ```
#[derive(Clone, Debug)]
pub struct Downstream {
    rx: Rx,
    tx: Tx,
    facts: Facts,
}

const _: () = assert!(size_of::<Downstream>() <= 64);

/// What is still to be read.
#[derive(Clone, Debug)]
enum Rx {
    /// The next request's head.
    Head,
    /// So many bytes of the body, at least one.
    Length(u64),
    /// The rest of a chunked body.
    Chunked(Chunked),
    /// Nothing before the response has ended.
    Complete,
    /// Nothing at all: the peer has closed its half.
    Ended,
    /// Nothing at all: where the next message begins is not known.
    Broken,
}

/// What has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tx {
    /// Nothing yet, to the request in progress or to none.
    Waiting,
    /// A response has begun.
    Responding(TxEnd),
    /// The response has ended, the rest of the request's body is read for the sake of the next.
    Draining,
    /// No further exchange takes place, whatever happens.
    Over,
}

/// What the request in progress said about its answer.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    is_http10: bool,
    is_head: bool,
    wants_close: bool,
    /// The client waits for 100 before it sends its body.
    awaits_continue: bool,
    /// This side wants the connection to end.
    must_close: bool,
}

/// One look at the input.
#[derive(Debug)]
pub struct Step<'b> {
    /// Bytes of the input that are used up.
    pub consumed: usize,
    /// What they were.
    pub input: Input<'b>,
}

/// What the input holds next.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a head lives on the stack for the length of one call; a box would cost an allocation \
              per request"
)]
pub enum Input<'b> {
    /// Not enough to say: call again with more behind it.
    NeedMore,
    /// A request's head. Its body, if any, follows.
    Request(RequestHead<'b>),
    /// A piece of the request's body; more follows.
    Body(&'b [u8]),
    /// The last piece of the request's body, maybe empty.
    BodyEnd(&'b [u8]),
    /// A broken rule. Nothing more can be read from this connection.
    Reject(Reject),
}

/// What the machine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expecting {
    /// A head.
    Head,
    /// The body of the request in progress.
    Body,
    /// Nothing from the peer: the response is due, or on its way.
    Nothing,
    /// The body of a request that was answered; it is thrown away.
    Drain,
}

/// The length of a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// So many bytes.
    Known(u64),
    /// It ends when it ends.
    Unknown,
    /// None and no statement about it (204, 304); where the status promises a body, an empty one.
    None,
}

/// How a response goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponsePlan {
    /// What the head says of the body, and how the body is framed.
    pub framing: BodyFraming,
    /// Whether a body follows the head.
    pub send_body: bool,
    /// The head must say `Connection: close`.
    pub close: bool,
    /// The head must say `Connection: keep-alive` (HTTP/1.0).
    pub keep_alive_field: bool,
}

/// What the peer's closing its half means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EofOutcome {
    /// Between requests: the quiet end.
    Idle,
    /// Nothing more is owed by the peer, and the response still has a reader: it goes on, and so do
    /// requests that are buffered already. The next read past those says again that the half is
    /// closed.
    HalfClosed,
    /// Inside a request, which must not be taken for a whole one.
    Truncated,
}

impl Downstream {
    /// The machine of a connection on which nothing has happened.
    pub const fn new() -> Self {
        Self {
            rx: Rx::Head,
            tx: Tx::Waiting,
            facts: Facts {
                is_http10: false,
                is_head: false,
                wants_close: false,
                awaits_continue: false,
                must_close: false,
            },
        }
    }

    /// Reads the next event from `input`, which begins where the last step ended. While nothing is
    /// expected, it consumes nothing (CN-5).
    pub fn handle_input<'b>(&mut self, input: &'b [u8], limits: &Limits) -> Step<'b> {
        match &self.rx {
            Rx::Head => self.read_head(input, limits),
            Rx::Length(_) | Rx::Chunked(_) if input.is_empty() => need_more(0),
            Rx::Length(left) => self.read_length(*left, input),
            Rx::Chunked(_) => self.read_chunked(input, limits),
            Rx::Complete | Rx::Ended | Rx::Broken => need_more(0),
        }
    }

    fn read_head<'b>(&mut self, input: &'b [u8], limits: &Limits) -> Step<'b> {
        let head = match http1::parse_request(input, limits) {
            Ok(Some(head)) => head,
            Ok(None) => return need_more(0),
            Err(reject) => return self.refuse(reject),
        };
        self.rx = match head.framing {
            BodyFraming::None | BodyFraming::Length(0) => Rx::Complete,
            BodyFraming::Length(len) => Rx::Length(len),
            BodyFraming::Chunked => Rx::Chunked(Chunked::new()),
            // A request's end is never the connection's (RFC 9112 section 6.3, item 7).
            BodyFraming::UntilClose => Rx::Broken,
        };
        let has_body = matches!(self.rx, Rx::Length(_) | Rx::Chunked(_));
        self.facts = Facts {
            is_http10: head.version == Version::Http10,
            is_head: head.method == "HEAD",
            wants_close: head.wants_close,
            awaits_continue: head.expect_continue && has_body,
            must_close: self.facts.must_close,
        };
        Step { consumed: head.head_bytes, input: Input::Request(head) }
    }

    fn read_length<'b>(&mut self, left: u64, input: &'b [u8]) -> Step<'b> {
        self.facts.awaits_continue = false;
        let len = usize::try_from(left).unwrap_or(usize::MAX);
        let piece = input.get(..len).unwrap_or(input);
        match left - piece.len() as u64 {
            0 => {
                self.end_body();
                Step { consumed: piece.len(), input: Input::BodyEnd(piece) }
            }
            left => {
                self.rx = Rx::Length(left);
                Step { consumed: piece.len(), input: Input::Body(piece) }
            }
        }
    }

    fn read_chunked<'b>(&mut self, input: &'b [u8], limits: &Limits) -> Step<'b> {
        self.facts.awaits_continue = false;
        let Rx::Chunked(decoder) = &mut self.rx else { return need_more(0) };
        match decoder.decode(input, limits) {
            Ok((consumed, ChunkEvent::NeedMore)) => need_more(consumed),
            Ok((consumed, ChunkEvent::Data(piece))) => Step { consumed, input: Input::Body(piece) },
            Ok((consumed, ChunkEvent::End)) => {
                self.end_body();
                Step { consumed, input: Input::BodyEnd(&[]) }
            }
            Err(reject) => self.refuse(reject),
        }
    }

    fn refuse<'b>(&mut self, reject: Reject) -> Step<'b> {
        self.rx = Rx::Broken;
        Step { consumed: 0, input: Input::Reject(reject) }
    }

    /// The request's last byte has been read.
    fn end_body(&mut self) {
        match self.tx {
            Tx::Waiting | Tx::Responding(_) | Tx::Over => self.rx = Rx::Complete,
            Tx::Draining => self.next_request(),
        }
    }

    /// What is expected of the peer.
    pub fn expecting(&self) -> Expecting {
        match (&self.rx, self.tx) {
            (_, Tx::Over) | (Rx::Complete | Rx::Ended | Rx::Broken, _) => Expecting::Nothing,
            (Rx::Head, Tx::Waiting | Tx::Responding(_) | Tx::Draining) => Expecting::Head,
            (Rx::Length(_) | Rx::Chunked(_), Tx::Waiting | Tx::Responding(_)) => Expecting::Body,
            (Rx::Length(_) | Rx::Chunked(_), Tx::Draining) => Expecting::Drain,
        }
    }

    /// Whether `100 Continue` should be sent now; true at most once per request, and never once
    /// its body has begun to arrive or its response has begun (RFC 9110 section 10.1.1).
    pub fn interim(&mut self) -> bool {
        self.tx == Tx::Waiting && core::mem::take(&mut self.facts.awaits_continue)
    }

    /// Whether the client waits for `100 Continue`, which [`Self::interim`] has not been asked to
    /// give yet.
    pub fn awaits_continue(&self) -> bool {
        self.tx == Tx::Waiting && self.facts.awaits_continue
    }

    /// The head of the final response is about to be sent. Decides framing by RFC 9112 section 6
    /// and whether the connection can go on; a second call within one exchange only replaces the
    /// first's plan, for a head that was never sent. A response that answers no request (408), or
    /// whose status is no final one (101), is the last on its connection.
    pub fn start_response(&mut self, status: u16, body: BodyLength) -> ResponsePlan {
        self.begin_answer();
        let framing = self.response_framing(status, body);
        let must_close = self.facts.must_close
            || self.facts.awaits_continue
            || matches!(self.rx, Rx::Broken)
            || is_interim(status)
            || framing == BodyFraming::UntilClose;
        let end = match (self.facts.wants_close, must_close) {
            (true, _) => TxEnd::ClosesAsAsked,
            (false, true) => TxEnd::Closes,
            (false, false) => TxEnd::KeepsAlive,
        };
        self.tx = match self.tx {
            Tx::Waiting | Tx::Responding(_) | Tx::Draining => Tx::Responding(end),
            Tx::Over => Tx::Over,
        };
        let close = end != TxEnd::KeepsAlive;
        let has_body = !is_bodiless(status) && !self.facts.is_head && body != BodyLength::None;
        ResponsePlan {
            framing,
            send_body: has_body,
            close,
            keep_alive_field: self.facts.is_http10 && !close,
        }
    }

    /// Without a request that waits for it, a response is the last thing on the connection.
    fn begin_answer(&mut self) {
        match (&self.rx, self.tx) {
            (Rx::Head, _) | (_, Tx::Draining | Tx::Over) => self.rx = Rx::Broken,
            (
                Rx::Length(_) | Rx::Chunked(_) | Rx::Complete | Rx::Ended | Rx::Broken,
                Tx::Waiting | Tx::Responding(_),
            ) => {}
        }
    }

    fn response_framing(&self, status: u16, body: BodyLength) -> BodyFraming {
        let is_silent = is_bodiless(status) || self.facts.is_head;
        match body {
            // RFC 9110 section 8.6: neither has a Content-Length.
            _ if is_interim(status) || status == 204 => BodyFraming::None,
            BodyLength::Known(len) => BodyFraming::Length(len),
            BodyLength::None | BodyLength::Unknown if is_silent => BodyFraming::None,
            // Silence would make the rest of the connection the body (RFC 9112 section 6.3 rule 8).
            BodyLength::None => BodyFraming::Length(0),
            BodyLength::Unknown if self.facts.is_http10 => BodyFraming::UntilClose,
            BodyLength::Unknown => BodyFraming::Chunked,
        }
    }

    /// A response is on its way after which the next request is awaited, whose request has been
    /// read to its end: what the peer sends from now on is that next request.
    pub fn is_next_due(&self) -> bool {
        let keeps_alive = matches!(self.tx, Tx::Responding(TxEnd::KeepsAlive));
        keeps_alive && !self.facts.must_close && matches!(self.rx, Rx::Complete)
    }

    /// The response's last byte has been sent.
    pub fn end_response(&mut self) -> After {
        let end = match self.tx {
            Tx::Responding(TxEnd::KeepsAlive) if self.facts.must_close => TxEnd::Closes,
            Tx::Responding(end) => end,
            // No response was announced: nothing can be said about the connection.
            Tx::Waiting | Tx::Draining => TxEnd::Closes,
            Tx::Over => TxEnd::Aborted,
        };
        let after = persist(self.rx_end(), end);
        match after {
            After::NextRequest => self.next_request(),
            After::DrainBody => self.tx = Tx::Draining,
            After::Linger | After::Close => self.end_exchanges(),
        }
        after
    }

    /// The response was given up after its head had begun to be sent.
    pub fn abort_response(&mut self) -> After {
        let after = persist(self.rx_end(), TxEnd::Aborted);
        self.end_exchanges();
        after
    }

    /// The connection shall end with the response in progress, or with the next one.
    pub fn close_after_response(&mut self) {
        self.facts.must_close = true;
    }

    /// The peer has closed its half, with `buffered` bytes received and not consumed (RFC 9112
    /// sections 8 and 9.6).
    pub fn handle_eof(&mut self, buffered: usize) -> EofOutcome {
        match (&self.rx, self.tx) {
            (_, Tx::Over) => EofOutcome::Idle,
            (Rx::Head, _) if buffered == 0 => self.end_quietly(),
            // The last response has ended; whether the rest of its request comes matters no more.
            (Rx::Length(_) | Rx::Chunked(_) | Rx::Broken, Tx::Draining) => self.end_quietly(),
            (Rx::Head, _) | (Rx::Length(_) | Rx::Chunked(_), Tx::Waiting | Tx::Responding(_)) => {
                self.end_exchanges();
                EofOutcome::Truncated
            }
            // Pipelined requests lie before the end.
            (Rx::Complete, _) if buffered > 0 => EofOutcome::HalfClosed,
            (Rx::Complete | Rx::Ended | Rx::Broken, _) => {
                self.rx = Rx::Ended;
                self.facts.must_close = true;
                EofOutcome::HalfClosed
            }
        }
    }

    fn end_quietly(&mut self) -> EofOutcome {
        self.end_exchanges();
        EofOutcome::Idle
    }

    fn end_exchanges(&mut self) {
        self.rx = Rx::Broken;
        self.tx = Tx::Over;
    }

    fn rx_end(&self) -> RxEnd {
        match &self.rx {
            Rx::Complete => RxEnd::Complete,
            Rx::Length(_) | Rx::Chunked(_) if self.facts.awaits_continue => RxEnd::BodyWithheld,
            Rx::Length(_) | Rx::Chunked(_) => RxEnd::BodyUnread,
            Rx::Ended => RxEnd::Ended,
            // A response to a head that never came whole (408) is the last.
            Rx::Head | Rx::Broken => RxEnd::Broken,
        }
    }

    fn next_request(&mut self) {
        *self = Self {
            facts: Facts { must_close: self.facts.must_close, ..Facts::default() },
            ..Self::new()
        };
    }
}

impl Default for Downstream {
    fn default() -> Self {
        Self::new()
    }
}

const fn need_more<'b>(consumed: usize) -> Step<'b> {
    Step { consumed, input: Input::NeedMore }
}

/// RFC 9110 section 15.2.
const fn is_interim(status: u16) -> bool {
    matches!(status, 100..=199)
}

/// Responses that never have a body, whatever their fields say (RFC 9110 section 6.4.1).
const fn is_bodiless(status: u16) -> bool {
    is_interim(status) || matches!(status, 204 | 304)
}

#[cfg(test)]
mod tests;
