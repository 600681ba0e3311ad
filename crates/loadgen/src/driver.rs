//! The connections of a load on a transport: what both loads share.
//!
//! Commands ([`connect`](Driver::connect), [`request`](Driver::request), [`park`](Driver::park),
//! [`close`](Driver::close)) say what is to happen; [`turn`](Driver::turn) waits, and the
//! [`Event`]s that it leaves say what did. A load is a loop over the two and decides nothing else.
//!
//! ```text
//!            connect            first answer            park
//!   Idle ──────────► Connecting ───► Exchanging ──────────────► Parked
//!    ▲                  │ timed out      │  ▲ request             │ │ spoke unasked: a receive
//!    │                  ▼                │  └─────────────────────┘ ▼ tells what
//!    ├──────────── Abandoned             │ close, fault         Examining
//!    │                  │ connected      ▼                         │
//!    └───────────────── └──────────► Closing ◄─────────────────────┘
//! ```
//!
//! Who connects, asks or is being examined holds an [`Exchange`]: a receive buffer and a reader.
//! Their number is fixed at start, so it bounds memory, and connects and requests under way
//! (LG-3). A parked connection is 12 bytes here and 8 in the slot map.

use std::collections::VecDeque;
use std::net::SocketAddr;

use longhold_transport::{Buffer, Completion, Token, TransportError};

use crate::answer::{Answer, AnswerReader, Progress};
use crate::dial::Dial;
use crate::events::{self, EventReader, Place};
use crate::fault::Fault;
use crate::plan::LoadError;
use crate::slots::SlotMap;
use crate::target::{Dialect, Outgoing, Question, Target};
use crate::websocket::EchoReader;

mod handle;
mod hear;

/// What has happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The connection stands, and its first request is on its way.
    Connected { connection: u32, latency_us: u64 },
    /// A whole answer came. The connection waits for `request`, `park` or `close`.
    Answered { connection: u32, answer: Answer, latency_us: u64 },
    /// The connection is lost; it closes by itself, then `Closed` follows.
    /// `parked`: it had come to rest before.
    Lost { connection: u32, fault: Fault, parked: bool },
    /// Events came on a parked connection, which rests again. `late_us`: how much later than their
    /// interval, if that is known.
    Heard { answer: Answer, late_us: u64 },
    /// Nothing is left of the connection; it may be connected again.
    Closed { connection: u32 },
}

/// Sizes and timeouts of a driver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Connections, numbered from 0.
    pub(crate) connections: u32,
    /// Connects and exchanges under way at any time.
    pub(crate) active_max: u32,
    /// Bytes of each receive buffer.
    pub(crate) receive_bytes: usize,
    /// How long a connect may take.
    pub(crate) connect_timeout_ms: u64,
    /// How long an answer may take.
    pub(crate) answer_timeout_ms: u64,
}

/// Connections, exchanges and slots over one transport.
pub(crate) struct Driver<'t, T: Dial + ?Sized> {
    transport: &'t mut T,
    target: Target,
    settings: Settings,
    connections: Vec<Connection>,
    exchanges: Vec<Exchange>,
    free: Vec<u32>,
    slots: SlotMap,
    /// Connections that are not idle.
    open: u32,
    /// Of event streams: where each of them rests. Otherwise empty.
    streams: Vec<Stream>,
    /// How far apart their events are; 0 when that is not known.
    interval_us: u64,
    /// Stream from which on overdue ones are looked for next.
    next_stream: usize,
    /// Parked connections that became readable while no exchange was free.
    unexamined: VecDeque<u32>,
    completions: Vec<Completion<Outgoing>>,
    /// What has happened and was not taken yet.
    events: VecDeque<Event>,
    length_bytes_max: u64,
    /// When the completions of this turn were fetched.
    turn_us: u64,
    next_sweep_us: u64,
}

/// An event stream at rest.
#[derive(Clone, Copy)]
struct Stream {
    /// When the last event came.
    heard_us: u64,
    place: Place,
}

/// A connection: where it is, and which exchange it holds.
#[derive(Clone, Copy)]
struct Connection {
    state: State,
    /// It has sent what a connection says first.
    greeted: bool,
    slot: u32,
    exchange: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not connected.
    Idle,
    /// A connect is under way; the first request follows by itself.
    Connecting,
    /// A connect is under way that nobody waits for any more.
    Abandoned,
    /// A request is under way, or its answer was told and the next command is awaited.
    Exchanging,
    /// As `Exchanging`, with the park of before still armed: the receive follows when it fires.
    Waking,
    /// At rest with an armed park.
    Parked,
    /// Readable without having been asked: a receive tells why.
    Examining,
    /// On its way to `Closed`.
    Closing,
}

/// Reads answers in what is spoken.
enum Reader {
    Http(Box<AnswerReader>),
    WebSocket(EchoReader),
    Events(Box<EventReader>),
}

impl Reader {
    fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Http => Self::Http(Box::default()),
            Dialect::WebSocket => Self::WebSocket(EchoReader::default()),
            Dialect::Events => Self::Events(Box::default()),
        }
    }

    fn reset(&mut self, is_first: bool, length_bytes_max: u64) {
        match self {
            Self::Http(reader) => reader.reset(length_bytes_max),
            Self::WebSocket(reader) => reader.reset(is_first),
            Self::Events(reader) => reader.reset(None),
        }
    }

    fn read(&mut self, input: &[u8]) -> Result<(usize, Progress), Fault> {
        match self {
            Self::Http(reader) => reader.read(input),
            Self::WebSocket(reader) => reader.read(input),
            Self::Events(reader) => reader.read(input),
        }
    }

    fn read_end(&self) -> Result<Answer, Fault> {
        match self {
            Self::Http(reader) => reader.read_end(),
            Self::WebSocket(_) | Self::Events(_) => Err(Fault::Truncated),
        }
    }
}

/// What a connection needs while it is not at rest.
struct Exchange {
    /// Who holds it; `NONE` when it is free.
    connection: u32,
    reader: Reader,
    /// What is asked; `None`: what the target says.
    question: Option<Question>,
    /// `None` while a receive has it.
    buffer: Option<Buffer>,
    started_us: u64,
    /// A send is in flight; an answer that comes before its end waits in `answer`.
    sending: bool,
    bytes_seen: bool,
    answer: Option<Answer>,
}

impl<'t, T: Dial + ?Sized> Driver<'t, T> {
    /// All connections `Idle`.
    ///
    /// # Errors
    /// [`LoadError::Slots`].
    pub(crate) fn new(
        transport: &'t mut T,
        target: Target,
        settings: Settings,
    ) -> Result<Self, LoadError> {
        let (slots, asked) = (transport.slot_count(), settings.connections);
        if slots < asked {
            return Err(LoadError::Slots { slots, asked });
        }
        let idle = Connection { state: State::Idle, greeted: false, slot: NONE, exchange: NONE };
        let dialect = target.dialect();
        let exchange = || Exchange {
            connection: NONE,
            reader: Reader::of(dialect),
            question: None,
            buffer: Some(Buffer::with_capacity(settings.receive_bytes)),
            started_us: 0,
            sending: false,
            bytes_seen: false,
            answer: None,
        };
        let nothing = Stream { heard_us: 0, place: Place { next: 1, is_chunked: false } };
        let streams = match dialect {
            Dialect::Events => vec![nothing; settings.connections as usize],
            Dialect::Http | Dialect::WebSocket => Vec::new(),
        };
        let interval_ms = events::interval_ms(target.path()).unwrap_or(0);
        Ok(Self {
            transport,
            target,
            settings,
            connections: vec![idle; settings.connections as usize],
            exchanges: (0..settings.active_max).map(|_| exchange()).collect(),
            free: (0..settings.active_max).rev().collect(),
            slots: SlotMap::new(slots),
            open: 0,
            streams,
            next_stream: 0,
            interval_us: u64::from(interval_ms) * 1000,
            unexamined: VecDeque::new(),
            completions: Vec::with_capacity(1024),
            events: VecDeque::new(),
            length_bytes_max: u64::MAX,
            turn_us: 0,
            next_sweep_us: 0,
        })
    }

    /// Microseconds on the transport's clock.
    pub(crate) fn now_us(&self) -> u64 {
        self.transport.now().monotonic_us
    }

    /// When the events of the latest turn were seen.
    pub(crate) fn turn_us(&self) -> u64 {
        self.turn_us
    }

    /// Whether a connect or a request would find a free exchange.
    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// Whether nothing that was asked for is under way. Events come by themselves.
    pub(crate) fn is_quiet(&self) -> bool {
        let all_free = self.free.len() == self.exchanges.len() && self.unexamined.is_empty();
        all_free || !self.streams.is_empty()
    }

    /// Whether `connection` is parked and nothing has been heard of it, or nothing but events.
    pub(crate) fn is_parked(&self, connection: u32) -> bool {
        match self.state(connection) {
            Some(State::Parked) => true,
            Some(State::Examining) => !self.streams.is_empty(),
            Some(
                State::Idle
                | State::Connecting
                | State::Abandoned
                | State::Exchanging
                | State::Waking
                | State::Closing,
            )
            | None => false,
        }
    }

    /// No answer may have a longer body from now on.
    pub(crate) fn set_length_bytes_max(&mut self, length_bytes_max: u64) {
        self.length_bytes_max = length_bytes_max;
    }

    /// Connects an idle connection and sends its first request. Does nothing, and says so, when
    /// there is no room or the connection is not idle.
    pub(crate) fn connect(&mut self, connection: u32, from: Option<SocketAddr>) -> bool {
        if self.state(connection) != Some(State::Idle) {
            return false;
        }
        // Who has spoken comes before who is to come.
        self.examine();
        if self.take_exchange(connection).is_none() {
            return false;
        }
        self.set_state(connection, State::Connecting);
        self.open += 1;
        self.transport.connect(self.target.address(), from, u64::from(connection));
        true
    }

    /// Sends a request on a parked connection, or on one that has just answered. Does nothing,
    /// and says so, when there is no room or the connection is in another state.
    pub(crate) fn request(&mut self, connection: u32) -> bool {
        match self.state(connection) {
            Some(State::Exchanging) => {
                if self.is_asking(connection) {
                    return false;
                }
                self.start_exchange(connection);
                self.send(connection);
                self.receive(connection);
                true
            }
            Some(State::Parked) => {
                if self.take_exchange(connection).is_none() {
                    return false;
                }
                self.set_state(connection, State::Waking);
                self.send(connection);
                true
            }
            Some(
                State::Idle
                | State::Connecting
                | State::Abandoned
                | State::Waking
                | State::Examining
                | State::Closing,
            )
            | None => false,
        }
    }

    /// Asks a question of its own on a connection that has just answered, or that is idle and is
    /// connected first. Does nothing, and says so, in any other state.
    pub(crate) fn ask(
        &mut self,
        connection: u32,
        from: Option<SocketAddr>,
        question: Option<Question>,
    ) -> bool {
        match self.state(connection) {
            Some(State::Idle) => {
                let connects = self.connect(connection, from);
                self.set_question(connection, question);
                connects
            }
            Some(State::Exchanging) if !self.is_asking(connection) => {
                self.set_question(connection, question);
                self.request(connection)
            }
            Some(
                State::Exchanging
                | State::Connecting
                | State::Abandoned
                | State::Waking
                | State::Parked
                | State::Examining
                | State::Closing,
            )
            | None => false,
        }
    }

    fn set_question(&mut self, connection: u32, question: Option<Question>) {
        if let Some(exchange) = self.exchange(connection) {
            exchange.question = question;
        }
    }

    /// Lets a connection rest that has just answered.
    pub(crate) fn park(&mut self, connection: u32) {
        if self.state(connection) != Some(State::Exchanging) {
            return;
        }
        self.release_exchange(connection);
        self.set_state(connection, State::Parked);
        if let Some(token) = self.token(connection) {
            self.transport.park(token);
        }
    }

    /// Closes a connection in any state; `Closed` follows unless it is idle already.
    pub(crate) fn close(&mut self, connection: u32) {
        match self.state(connection) {
            Some(State::Connecting) => self.set_state(connection, State::Abandoned),
            Some(State::Exchanging | State::Waking | State::Parked | State::Examining) => {
                self.set_state(connection, State::Closing);
                if let Some(token) = self.token(connection) {
                    self.transport.close(token);
                }
            }
            Some(State::Idle | State::Abandoned | State::Closing) | None => {}
        }
    }

    /// Waits until something happens or until `until_us`; [`next_event`](Self::next_event) says
    /// what it means.
    pub(crate) fn turn(&mut self, until_us: u64) -> Result<(), TransportError> {
        self.examine();
        let until_us = until_us.min(self.next_sweep_us);
        let mut completions = std::mem::take(&mut self.completions);
        let waited = self.transport.wait(Some(until_us), &mut completions);
        self.turn_us = self.now_us();
        for completion in completions.drain(..) {
            self.handle_completion(completion);
        }
        self.completions = completions;
        if self.turn_us >= self.next_sweep_us {
            self.next_sweep_us = self.turn_us + SWEEP_US;
            self.sweep();
            self.sweep_streams();
        }
        waited
    }

    /// The oldest event that was not taken yet.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Closes everything, a batch per turn. What a server does meanwhile is of no interest, and
    /// what has not closed after 30 s is left to the transport's own end.
    pub(crate) fn close_all(&mut self) -> Result<(), TransportError> {
        let end_us = self.now_us() + CLOSE_MAX_US;
        let mut next = 0;
        while self.open > 0 && self.now_us() < end_us {
            let batch_end = self.settings.connections.min(next + CLOSE_BATCH);
            for connection in next..batch_end {
                self.close(connection);
            }
            next = batch_end;
            let all_told = next == self.settings.connections;
            self.turn(if all_told { end_us } else { 0 })?;
            self.events.clear();
        }
        Ok(())
    }

    fn state(&self, connection: u32) -> Option<State> {
        self.connections.get(connection as usize).map(|connection| connection.state)
    }

    fn set_state(&mut self, connection: u32, state: State) {
        if let Some(connection) = self.connections.get_mut(connection as usize) {
            connection.state = state;
        }
    }

    fn token(&self, connection: u32) -> Option<Token> {
        self.slots.token(self.connections.get(connection as usize)?.slot)
    }

    fn exchange(&mut self, connection: u32) -> Option<&mut Exchange> {
        let index = self.connections.get(connection as usize)?.exchange;
        self.exchanges.get_mut(index as usize)
    }

    /// Gives `connection` a free exchange, its clock started.
    fn take_exchange(&mut self, connection: u32) -> Option<()> {
        let holder = self.connections.get_mut(connection as usize)?;
        holder.exchange = self.free.pop()?;
        self.start_exchange(connection);
        Some(())
    }

    fn start_exchange(&mut self, connection: u32) {
        let (now_us, length_bytes_max) = (self.now_us(), self.length_bytes_max);
        let is_first = !self.is_greeted(connection);
        let Some(exchange) = self.exchange(connection) else { return };
        exchange.connection = connection;
        let question = exchange.question.as_ref();
        let length_bytes_max = question.map_or(length_bytes_max, |it| it.length_bytes_max);
        exchange.reader.reset(is_first, length_bytes_max);
        exchange.started_us = now_us;
        (exchange.sending, exchange.bytes_seen, exchange.answer) = (false, false, None);
    }

    fn release_exchange(&mut self, connection: u32) {
        if let Some(exchange) = self.exchange(connection) {
            (exchange.connection, exchange.question) = (NONE, None);
        }
        if let Some(holder) = self.connections.get_mut(connection as usize)
            && holder.exchange != NONE
        {
            self.free.push(holder.exchange);
            holder.exchange = NONE;
        }
    }

    fn send(&mut self, connection: u32) {
        let Some(token) = self.token(connection) else { return };
        let mut question = None;
        if let Some(exchange) = self.exchange(connection) {
            exchange.sending = true;
            question = exchange.question.as_ref().map(|it| Outgoing::new(&it.request));
        }
        let is_first = !self.is_greeted(connection);
        if let Some(connection) = self.connections.get_mut(connection as usize) {
            connection.greeted = true;
        }
        let request = question.unwrap_or_else(|| self.target.request(is_first));
        self.transport.send(token, request);
    }

    /// Whether a request is under way whose answer was not told yet.
    fn is_asking(&mut self, connection: u32) -> bool {
        let is_greeted = self.is_greeted(connection);
        let exchange = self.exchange(connection);
        is_greeted && exchange.is_none_or(|it| it.sending || it.answer.is_none())
    }

    fn is_greeted(&self, connection: u32) -> bool {
        self.connections.get(connection as usize).is_some_and(|connection| connection.greeted)
    }

    fn receive(&mut self, connection: u32) {
        let Some(token) = self.token(connection) else { return };
        let receive_bytes = self.settings.receive_bytes;
        let Some(exchange) = self.exchange(connection) else { return };
        let mut buffer =
            exchange.buffer.take().unwrap_or_else(|| Buffer::with_capacity(receive_bytes));
        buffer.clear();
        self.transport.receive(token, buffer);
    }
}

// LG-3: what a parked connection costs here.
const _: () = assert!(size_of::<Connection>() == 12 && size_of::<Stream>() == 16);

/// No slot, no exchange, no connection.
const NONE: u32 = u32::MAX;
/// How often timeouts are looked for.
const SWEEP_US: u64 = 100_000;
/// Connections that are told to close per turn.
const CLOSE_BATCH: u32 = 1024;
/// How long they have for it.
const CLOSE_MAX_US: u64 = 30_000_000;
