//! A front that does with connections what the edge's worker does, and nothing else: it accepts,
//! parks, receives, sends, closes, on either reactor.
//!
//! Between two rounds nothing is under way, and each connection stands as the next round needs it:
//! parked, or with its receive armed.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use longhold_transport::{
    BoundListener, Buffer, Completion, Config, IoFault, Parts, Payload, Token, Transport,
    bind_listeners,
};

use super::crowd::{Crowd, REQUEST};
use super::{Nanoseconds, Row, timed};

/// Bytes to send, which all sends share.
#[derive(Clone, Debug)]
pub struct Answer {
    bytes: Arc<[u8]>,
    sent: usize,
}

impl Payload for Answer {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        parts.push(self.bytes.get(self.sent..).unwrap_or_default());
    }

    fn advance(&mut self, sent_bytes: usize) {
        self.sent += sent_bytes;
    }
}

/// A transport, its connections by the numbers of their clients, and those clients.
pub struct Front<T: Transport<Payload = Answer>> {
    io: T,
    address: SocketAddr,
    tokens: Vec<Token>,
    crowd: Crowd,
    /// Kept between turns, as the edge keeps its own.
    happened: Vec<Completion<Answer>>,
    rounds: u32,
}

/// What has happened in a turn, beside what needed nothing more.
#[derive(Default)]
struct Turn {
    accepted: Vec<(u32, SocketAddr)>,
    readable: Vec<Token>,
    received: Vec<(Token, Buffer)>,
    sent: Vec<(Token, Answer)>,
    closed: u32,
}

/// How connections wait for what their clients say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// With a receive armed, as busy connections do between two requests.
    Resting,
    /// Parked.
    Parked,
}

/// The reactor's settings for so many connections: the edge's own, but for the room.
pub fn config(connections: u32) -> Config {
    Config { slots: connections + 2 * BURST, ..Config::default() }
}

impl<T: Transport<Payload = Answer>> Front<T> {
    /// A front with so many parked connections.
    ///
    /// # Errors
    /// A limit is in the way, of descriptors above all.
    pub fn new(mut io: T, crowd: Crowd, connections: u32, rounds: u32) -> Result<Self> {
        ensure!(connections >= BURST, "a front has {BURST} connections at least");
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let listener: BoundListener = bind_listeners(any, 1)?.pop().context("no listener")?;
        let address = listener.address();
        io.listen(listener)?;
        let (tokens, happened) = (Vec::new(), Vec::new());
        let mut front = Self { io, address, tokens, crowd, happened, rounds };
        while front.count() < connections {
            let more = BURST.min(connections - front.count());
            let before = front.tokens.len();
            front.admit(more)?;
            front.park(before..front.tokens.len());
            front.turn(Wait::Not)?;
        }
        Ok(front)
    }

    /// What it costs to be told of a request, to read it, to answer it with so many bytes and to
    /// wait again: for [`BURST`] connections that are spoken to at once, so that nobody sleeps
    /// meanwhile. The bursts take turns among all connections that are parked, and go to the same
    /// ones where receives are armed, as busy connections have theirs.
    ///
    /// A request alone would be no measure: what is not answered is acknowledged, which costs as
    /// much as an answer.
    ///
    /// # Errors
    /// A connection or the transport fails.
    pub fn exchanges(&mut self, stance: Stance, size_bytes: usize) -> Result<Row> {
        let bytes: Arc<[u8]> = vec![b'x'; size_bytes].into();
        let (case, among) = match stance {
            Stance::Resting => ("exchange, receive armed", BURST),
            Stance::Parked => ("exchange, parked", self.count()),
        };
        let same = 0..BURST as usize;
        if stance == Stance::Resting {
            // Their parks end with an exchange that does not count.
            self.exchange(same.clone(), stance, &bytes)?;
        }
        let mut rounds = Vec::new();
        for round in 0..self.rounds {
            let burst = match stance {
                Stance::Resting => same.clone(),
                Stance::Parked => self.burst(round),
            };
            rounds.push(self.exchange(burst, stance, &bytes)?);
        }
        if stance == Stance::Resting {
            self.exchange(same, Stance::Parked, &bytes)?;
        }
        let ns = Nanoseconds::of(rounds, BURST);
        Ok(Row { case, size_bytes: Some(size_bytes as u64), among, ns })
    }

    /// What a send of so many bytes costs until all of it is out, with as many at a time as make
    /// 8 MiB, and no more than [`BURST`]. Clients read when it is over, if their sockets hold so
    /// much, and meanwhile otherwise.
    ///
    /// # Errors
    /// A connection or the transport fails.
    pub fn sends(&mut self, size_bytes: usize) -> Result<Row> {
        let bytes: Arc<[u8]> = vec![b's'; size_bytes].into();
        let sends = (AT_ONCE_BYTES / size_bytes.max(1)).clamp(1, BURST as usize);
        let mut rounds = Vec::new();
        for _ in 0..self.rounds {
            let fits = size_bytes <= SOCKET_BYTES;
            if !fits {
                self.crowd.hear(0..sends, size_bytes)?;
            }
            rounds.push(timed(|| self.send(0..sends, &bytes))?);
            if fits {
                self.crowd.hear(0..sends, size_bytes)?;
            }
            self.crowd.done()?;
        }
        Ok(Row {
            case: "send",
            size_bytes: Some(size_bytes as u64),
            among: sends as u32,
            ns: Nanoseconds::of(rounds, sends as u32),
        })
    }

    /// What a request on a parked connection costs whose worker is asleep: told, read, answered
    /// with so many bytes, parked again; one every `every`.
    ///
    /// # Errors
    /// A connection or the transport fails.
    pub fn beats(&mut self, size_bytes: usize, every: Duration) -> Result<Row> {
        let bytes: Arc<[u8]> = vec![b'b'; size_bytes].into();
        let mut rounds = Vec::new();
        for round in 0..self.rounds {
            self.crowd.ask(self.burst(round), size_bytes, every)?;
            rounds.push(timed(|| self.answer(BURST, Stance::Parked, &bytes))?);
            self.crowd.done()?;
        }
        Ok(Row {
            case: "heartbeat, worker asleep",
            size_bytes: Some(size_bytes as u64),
            among: self.count(),
            ns: Nanoseconds::of(rounds, BURST),
        })
    }

    /// What it costs to accept a connection and to close it, [`BURST`] at a time.
    ///
    /// # Errors
    /// A connection or the transport fails.
    pub fn arrivals(&mut self) -> Result<Row> {
        let kept = self.tokens.len();
        let mut rounds = Vec::new();
        for _ in 0..self.rounds {
            let peers = self.crowd.open(self.address, BURST as usize)?;
            let arriving = timed(|| self.accept(&peers))?;
            let leaving: Vec<_> = self.tokens.drain(kept..).collect();
            let leaving_ns = timed(|| self.close(&leaving))?;
            self.crowd.leave(kept..kept + BURST as usize)?;
            rounds.push(arriving + leaving_ns);
        }
        let ns = Nanoseconds::of(rounds, BURST);
        Ok(Row { case: "accept and close", size_bytes: None, among: self.count(), ns })
    }

    /// Connections.
    fn count(&self) -> u32 {
        self.tokens.len() as u32
    }

    /// The burst of a round: they take turns.
    fn burst(&self, round: u32) -> Range<usize> {
        let bursts = self.count() / BURST;
        let first = (round % bursts * BURST) as usize;
        first..first + BURST as usize
    }

    fn admit(&mut self, count: u32) -> Result<()> {
        let peers = self.crowd.open(self.address, count as usize)?;
        self.accept(&peers)
    }

    /// Accepts these, and keeps them in their order.
    fn accept(&mut self, peers: &[SocketAddr]) -> Result<()> {
        let mut slots = HashMap::with_capacity(peers.len());
        while slots.len() < peers.len() {
            let turn = self.turn(Wait::ForNews)?;
            slots.extend(turn.accepted.into_iter().map(|(slot, peer)| (peer, slot)));
        }
        for peer in peers {
            let slot = slots.get(peer).context("a stranger was accepted")?;
            self.tokens.push(Token::new(*slot, GENERATION));
        }
        Ok(())
    }

    fn park(&mut self, who: Range<usize>) {
        for token in self.tokens.get(who).unwrap_or_default() {
            self.io.park(*token);
        }
    }

    /// A request and an answer on each of these; nanoseconds of this side.
    fn exchange(&mut self, who: Range<usize>, then: Stance, bytes: &Arc<[u8]>) -> Result<u64> {
        let count = who.len() as u32;
        self.crowd.say(who.clone())?;
        let spent = timed(|| self.answer(count, then, bytes))?;
        self.crowd.hear(who, bytes.len())?;
        self.crowd.done()?;
        Ok(spent)
    }

    /// Answers a request on so many connections, each of which then waits as told.
    fn answer(&mut self, mut count: u32, then: Stance, bytes: &Arc<[u8]>) -> Result<()> {
        while count > 0 {
            let turn = self.turn(Wait::ForNews)?;
            self.read(turn.readable)?;
            for (token, buffer) in turn.received {
                self.io.recycle(buffer);
                self.io.send(token, Answer { bytes: Arc::clone(bytes), sent: 0 });
            }
            for (token, answer) in turn.sent {
                match (answer.sent < answer.bytes.len(), then) {
                    (true, _) => {
                        self.io.send(token, answer);
                        continue;
                    }
                    (false, Stance::Parked) => self.io.park(token),
                    (false, Stance::Resting) => self.read([token])?,
                }
                count -= 1;
            }
        }
        self.turn(Wait::Not).map(drop)
    }

    fn read(&mut self, readable: impl IntoIterator<Item = Token>) -> Result<()> {
        for token in readable {
            let buffer = self.io.buffer().context("buffers are short")?;
            self.io.receive(token, buffer);
        }
        Ok(())
    }

    fn send(&mut self, who: Range<usize>, bytes: &Arc<[u8]>) -> Result<()> {
        let mut under_way = who.len();
        for token in self.tokens.get(who).context("no such connection")? {
            self.io.send(*token, Answer { bytes: Arc::clone(bytes), sent: 0 });
        }
        while under_way > 0 {
            for (token, answer) in self.turn(Wait::ForNews)?.sent {
                match answer.sent < answer.bytes.len() {
                    true => self.io.send(token, answer),
                    false => under_way -= 1,
                }
            }
        }
        Ok(())
    }

    fn close(&mut self, tokens: &[Token]) -> Result<()> {
        tokens.iter().for_each(|token| self.io.close(*token));
        let mut left = tokens.len() as u32;
        while left > 0 {
            left -= self.turn(Wait::ForNews)?.closed;
        }
        Ok(())
    }

    /// One turn of the transport; a fault of any connection ends the bench.
    fn turn(&mut self, wait: Wait) -> Result<Turn> {
        let until = match wait {
            Wait::ForNews => None,
            Wait::Not => Some(0),
        };
        self.io.wait(until, &mut self.happened)?;
        let mut turn = Turn::default();
        for completion in self.happened.drain(..) {
            match completion {
                Completion::Accepted { slot, peer, .. } => turn.accepted.push((slot, peer)),
                Completion::Readable { token } => turn.readable.push(token),
                Completion::Received { token, buffer, result } => {
                    whole(result)?;
                    turn.received.push((token, buffer));
                }
                Completion::Sent { token, payload, result } => {
                    result.map_err(|fault| anyhow::anyhow!("a send failed: {fault:?}"))?;
                    turn.sent.push((token, payload));
                }
                Completion::Closed { .. } => turn.closed += 1,
                Completion::AcceptFailed { error, .. } => bail!("no accept: {error:?}"),
                Completion::Connected { .. }
                | Completion::Secured { .. }
                | Completion::Unparked { .. }
                | Completion::ShutDown { .. }
                | Completion::Woken => bail!("nobody asked for that"),
            }
        }
        Ok(turn)
    }
}

/// Whether a turn waits.
#[derive(Clone, Copy, Debug)]
enum Wait {
    ForNews,
    Not,
}

fn whole(result: Result<usize, IoFault>) -> Result<()> {
    match result {
        Ok(bytes) if bytes == REQUEST.len() => Ok(()),
        Ok(bytes) => bail!("{bytes} bytes of a request"),
        Err(fault) => bail!("a receive failed: {fault:?}"),
    }
}

/// Connections that are spoken to at once: as many as the benches of hits have.
pub const BURST: u32 = 64;
/// Bytes that are sent at once, at most.
const AT_ONCE_BYTES: usize = 8 << 20;
/// What a connection holds of what was sent and not yet read, at least.
const SOCKET_BYTES: usize = 128 << 10;
/// Of all tokens: a slot is used anew only after its connection was closed.
const GENERATION: u32 = 1;
