//! The peers of a storm on a transport: a loop that connects, says, reads and counts.
//!
//! ```text
//!   Waiting ──connect──► Connecting ──► Standing ──ended, left, time up──► Closing ──► Gone
//!                            └──── timed out, then connected ──────────────┘
//! ```
//! A peer that reads whatever comes has a park armed, so that it holds no buffer until something
//! came. One that reads slowly has one only when a piece is due.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use longhold_transport::{Buffer, Completion, IoFault, Token, Transport};

use crate::fault::Fault;
use crate::histogram::Histogram;
use crate::journal::Journal;
use crate::plan::LoadError;
use crate::series::{self, Observer};
use crate::slots::SlotMap;
use crate::target::{Outgoing, Sources};
use crate::verify::Expectation;

use super::exam::Exam;
use super::script::{Reading, Script};
use super::{Ending, Endings, StormPlan, StormReport};

/// One storm under way.
pub(super) struct Siege<'t, 'p, T: Transport<Payload = Outgoing> + ?Sized> {
    transport: &'t mut T,
    plan: &'p StormPlan,
    script: Script,
    sources: Sources,
    peers: Vec<Peer>,
    slots: SlotMap,
    /// Number of the next peer to connect.
    next: u32,
    /// Peers with a connection, or on the way to one.
    open: u32,
    /// Peers that have ended, by an ending or a fault.
    ended: u32,
    /// Connects under way, oldest first, and since when.
    connecting: VecDeque<(u32, u64)>,
    /// Peers that have something to read, and wait for a buffer.
    thirsty: VecDeque<u32>,
    pool: Vec<Buffer>,
    buffer_bytes: usize,
    exams: HashMap<u32, Exam>,
    expectation: Expectation,
    /// Pieces that were due so far.
    pieces: u128,
    begin_us: u64,
    now_us: u64,
    heard_us: u64,
    counts: Counts,
    journal: Journal<'p>,
    completions: Vec<Completion<Outgoing>>,
}

#[derive(Default)]
struct Counts {
    endings: Endings,
    statuses: BTreeMap<u16, u64>,
    verified: u64,
    sent_bytes: u64,
    received_bytes: u64,
    connect: Histogram,
    borne: Histogram,
}

/// A peer: where it is, and what it has seen.
#[derive(Clone, Copy)]
struct Peer {
    slot: u32,
    /// Milliseconds since the begin when it stood.
    since_ms: u32,
    received_bytes: u32,
    /// Of the first answer; 0 before it.
    status: u16,
    state: State,
    /// A send is in flight.
    sending: bool,
    /// Its last send failed: it says nothing more.
    mute: bool,
    /// A park or a receive is in flight, or it waits for a buffer.
    watching: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Connecting,
    Standing,
    Closing,
    Gone,
}

impl<'t, 'p, T: Transport<Payload = Outgoing> + ?Sized> Siege<'t, 'p, T> {
    pub(super) fn new(
        transport: &'t mut T,
        plan: &'p StormPlan,
        sources: Sources,
        observer: &'p mut dyn Observer,
    ) -> Self {
        let peer = Peer {
            slot: NONE,
            since_ms: 0,
            received_bytes: 0,
            status: 0,
            state: State::Waiting,
            sending: false,
            mute: false,
            watching: false,
        };
        let script = Script::of(plan);
        let buffer_bytes = match script.reading {
            Reading::All | Reading::Pieces(0) => BUFFER_BYTES,
            Reading::Pieces(piece_bytes) => (piece_bytes as usize).max(PIECE_READ_BYTES_MIN),
        };
        let (slots, begin_us) = (transport.slot_count(), transport.now().monotonic_us);
        Self {
            transport,
            plan,
            script,
            sources,
            peers: vec![peer; plan.peers as usize],
            slots: SlotMap::new(slots),
            next: 0,
            open: 0,
            ended: 0,
            connecting: VecDeque::new(),
            thirsty: VecDeque::new(),
            pool: (0..BUFFERS_MAX).map(|_| Buffer::with_capacity(buffer_bytes)).collect(),
            buffer_bytes,
            exams: HashMap::new(),
            expectation: plan.aim.expectation,
            pieces: 0,
            begin_us,
            now_us: begin_us,
            heard_us: begin_us,
            counts: Counts::default(),
            journal: Journal::new(begin_us, observer),
            completions: Vec::with_capacity(1024),
        }
    }

    pub(super) fn run(mut self) -> Result<StormReport, LoadError> {
        let lasts_ms = self.plan.lasts_ms.min(self.plan.aim.time_max_ms);
        let end_us = self.begin_us + lasts_ms * 1000;
        while self.ended < self.plan.peers && self.now_us < end_us {
            self.journal.pulse(self.now_us, self.told_counts());
            self.connect_more();
            self.move_pieces();
            self.turn(end_us.min(self.now_us + TICK_US))?;
        }
        let lasted_ms = (self.now_us - self.begin_us) / 1000;
        self.drain()?;
        self.close_all()?;
        self.journal.mark(self.now_us, self.told_counts());
        Ok(self.report(lasted_ms))
    }

    fn told_counts(&self) -> series::Counts {
        let ends = &self.counts.endings;
        let faults = self.journal.faults.total();
        series::Counts {
            opened: self.counts.connect.count(),
            held: u64::from(self.open).saturating_sub(self.connecting.len() as u64),
            lost: ends.answered + ends.cut + ends.closed + ends.reset + faults,
            answers: self.counts.verified,
            faults,
        }
    }

    /// Keeps as many peers standing as the plan says.
    fn connect_more(&mut self) {
        while self.next < self.plan.peers
            && self.open < self.plan.at_once
            && self.connecting.len() < CONNECTING_MAX
        {
            let peer = self.next;
            self.next += 1;
            self.open += 1;
            if let Some(record) = self.peers.get_mut(peer as usize) {
                record.state = State::Connecting;
            }
            self.connecting.push_back((peer, self.now_us));
            let address = self.plan.aim.target.address();
            self.transport.connect(address, self.sources.of(peer), u64::from(peer));
        }
    }

    /// Moves the pieces that are due by now: each peer's once per interval, spread evenly.
    fn move_pieces(&mut self) {
        let reads = matches!(self.script.reading, Reading::Pieces(1..));
        if self.script.piece.is_none() && !reads {
            return;
        }
        let count = u128::from(self.plan.peers);
        let elapsed_us = u128::from(self.now_us - self.begin_us);
        let due = elapsed_us * count / (u128::from(self.plan.every_ms) * 1000);
        // After a long turn each peer's piece is due at most once.
        self.pieces = self.pieces.max(due.saturating_sub(count));
        while self.pieces < due {
            let peer = (self.pieces % count) as u32;
            self.pieces += 1;
            if !self.is_standing(peer) {
                continue;
            }
            if reads {
                self.watch(peer);
            }
            if let Some(piece) = self.script.piece.clone() {
                self.say(peer, &piece);
            }
        }
    }

    /// Those that read slowly, or nothing, read what is left, so that their ending shows.
    fn drain(&mut self) -> Result<(), LoadError> {
        if self.script.reading == Reading::All {
            return Ok(());
        }
        self.script.reading = Reading::All;
        self.buffer_bytes = BUFFER_BYTES;
        self.pool = (0..BUFFERS_MAX).map(|_| Buffer::with_capacity(BUFFER_BYTES)).collect();
        for peer in 0..self.plan.peers {
            if self.is_standing(peer) {
                self.watch(peer);
            }
        }
        let end_us = self.now_us + DRAIN_MAX_US;
        self.heard_us = self.now_us;
        while self.open > 0 && self.now_us < end_us && self.now_us < self.heard_us + DRAIN_QUIET_US
        {
            self.turn(self.now_us + TICK_US)?;
        }
        Ok(())
    }

    /// Closes what still stands, a batch per turn.
    fn close_all(&mut self) -> Result<(), LoadError> {
        let end_us = self.now_us + CLOSE_MAX_US;
        let mut next = 0;
        while self.open > 0 && self.now_us < end_us {
            let batch_end = self.plan.peers.min(next + CLOSE_BATCH);
            for peer in next..batch_end {
                match self.state(peer) {
                    Some(State::Standing) => self.end(peer, Ending::Stood),
                    Some(State::Connecting) => self.fail(peer, Fault::ConnectTimedOut),
                    Some(State::Waiting | State::Closing | State::Gone) | None => {}
                }
            }
            next = batch_end;
            self.turn(self.now_us + TICK_US)?;
        }
        Ok(())
    }

    fn turn(&mut self, until_us: u64) -> Result<(), LoadError> {
        self.quench();
        let mut completions = std::mem::take(&mut self.completions);
        let waited = self.transport.wait(Some(until_us), &mut completions);
        self.now_us = self.transport.now().monotonic_us;
        for completion in completions.drain(..) {
            self.handle(completion);
        }
        self.completions = completions;
        self.give_up_connects();
        Ok(waited?)
    }

    fn handle(&mut self, completion: Completion<Outgoing>) {
        match completion {
            // Tickets are the numbers of peers, which are 32 bits.
            Completion::Connected { ticket, result } => self.on_connected(ticket as u32, result),
            Completion::Readable { token } | Completion::Unparked { token } => {
                if let Some(peer) = self.slots.owner(token) {
                    self.thirsty.push_back(peer);
                }
            }
            Completion::Received { token, buffer, result } => {
                self.on_received(token, buffer, result);
            }
            Completion::Sent { token, payload, result } => self.on_sent(token, payload, result),
            Completion::Closed { token } => {
                if let Some(peer) = self.slots.release(token) {
                    self.on_gone(peer);
                }
            }
            // A storm neither listens, nor shuts a write half, nor gives its waker away; and its
            // transport secures nothing.
            Completion::Accepted { .. }
            | Completion::AcceptFailed { .. }
            | Completion::Secured { .. }
            | Completion::ShutDown { .. }
            | Completion::Woken => {}
        }
    }

    fn on_connected(&mut self, peer: u32, result: Result<u32, IoFault>) {
        let Some(record) = self.peers.get_mut(peer as usize) else { return };
        let opened = result
            .and_then(|slot| self.slots.open(slot, peer).map(|_| slot).ok_or(IoFault::Exhausted));
        match (opened, record.state) {
            (Ok(slot), State::Connecting) => {
                record.slot = slot;
                record.state = State::Standing;
                record.since_ms = ((self.now_us - self.begin_us) / 1000) as u32;
                let begun = self.connecting.iter().position(|(other, _)| *other == peer);
                if let Some((_, since_us)) = begun.and_then(|at| self.connecting.remove(at)) {
                    self.counts.connect.record(self.now_us.saturating_sub(since_us));
                }
                self.begin(peer);
            }
            // Given up meanwhile: it was counted then.
            (Ok(slot), _) => {
                record.slot = slot;
                self.close(peer);
            }
            (Err(fault), State::Connecting) => {
                self.connecting.retain(|(other, _)| *other != peer);
                self.fail(peer, Fault::of_connect(fault));
                self.on_gone(peer);
            }
            (Err(_), _) => self.on_gone(peer),
        }
    }

    /// Connects that take too long; a late one is closed when it comes.
    fn give_up_connects(&mut self) {
        let timeout_us = self.plan.aim.connect_timeout_ms * 1000;
        while let Some((peer, since_us)) = self.connecting.front().copied()
            && since_us + timeout_us <= self.now_us
        {
            self.connecting.pop_front();
            self.fail(peer, Fault::ConnectTimedOut);
        }
    }

    /// A peer stands: its opening goes out.
    fn begin(&mut self, peer: u32) {
        if self.script.answers.is_some() {
            self.exams.insert(peer, Exam::new(&self.expectation));
        }
        if let Some(opening) = self.script.opening(peer).cloned() {
            self.say(peer, &opening);
        }
        if self.script.reading == Reading::All {
            self.watch(peer);
        }
    }

    fn say(&mut self, peer: u32, bytes: &Rc<[u8]>) {
        let Some(token) = self.token(peer) else { return };
        let Some(record) = self.peers.get_mut(peer as usize) else { return };
        if !record.sending && !record.mute {
            record.sending = true;
            self.transport.send(token, Outgoing::new(bytes));
        }
    }

    fn on_sent(&mut self, token: Token, payload: Outgoing, result: Result<usize, IoFault>) {
        let Some(peer) = self.slots.owner(token) else { return };
        let Some(record) = self.peers.get_mut(peer as usize) else { return };
        if record.state != State::Standing {
            return;
        }
        self.counts.sent_bytes += result.unwrap_or(0) as u64;
        match result {
            Ok(_) if !payload.is_sent() => self.transport.send(token, payload),
            Ok(_) => {
                record.sending = false;
                if self.script.leaves {
                    self.end(peer, Ending::Left);
                }
            }
            // The server has ended it: what it said before is still to be read.
            Err(IoFault::BrokenPipe | IoFault::Reset) => {
                (record.sending, record.mute) = (false, true);
                self.watch(peer);
            }
            Err(fault) => self.fail(peer, Fault::SendFailed(fault)),
        }
    }

    /// Arms a park, unless something tells of the peer already.
    fn watch(&mut self, peer: u32) {
        let Some(token) = self.token(peer) else { return };
        let Some(record) = self.peers.get_mut(peer as usize) else { return };
        if !std::mem::replace(&mut record.watching, true) {
            self.transport.park(token);
        }
    }

    /// Gives buffers to peers that have something to read.
    fn quench(&mut self) {
        while let Some(peer) = self.thirsty.front().copied() {
            let own = self.exams.get_mut(&peer).and_then(|exam| exam.buffer.take());
            if self.is_standing(peer)
                && let Some(token) = self.token(peer)
            {
                let Some(buffer) = own.or_else(|| self.pool.pop()) else { return };
                self.transport.receive(token, buffer);
            }
            self.thirsty.pop_front();
        }
    }

    fn on_received(&mut self, token: Token, mut buffer: Buffer, result: Result<usize, IoFault>) {
        let peer = self.slots.owner(token).filter(|peer| self.is_standing(*peer));
        let Some(peer) = peer else { return self.give_back(buffer) };
        self.heard_us = self.now_us;
        if let (Some(record), Ok(1..)) = (self.peers.get_mut(peer as usize), result) {
            record.watching = false;
            if record.status == 0 {
                record.status = status_of(buffer.filled());
                *self.counts.statuses.entry(record.status).or_default() += 1;
            }
            let received = result.unwrap_or(0);
            record.received_bytes = record.received_bytes.saturating_add(received as u32);
            self.counts.received_bytes += received as u64;
        }
        if self.exams.contains_key(&peer) {
            return self.examine(peer, buffer, result);
        }
        buffer.clear();
        self.give_back(buffer);
        match result {
            Ok(1..) if self.script.reading == Reading::All => self.watch(peer),
            Ok(1..) => {}
            Ok(_) => self.end(peer, self.ending_of(peer, Ending::Closed)),
            Err(IoFault::Reset | IoFault::BrokenPipe) => {
                self.end(peer, self.ending_of(peer, Ending::Reset));
            }
            Err(fault) => self.fail(peer, Fault::ReceiveFailed(fault)),
        }
    }

    /// What the end of the stream means for a peer, of which `silent` is what it means without an
    /// answer.
    fn ending_of(&self, peer: u32, silent: Ending) -> Ending {
        let Some(record) = self.peers.get(peer as usize) else { return silent };
        if record.status == 0 {
            return silent;
        }
        let is_short = |whole: u64| u64::from(record.received_bytes) < whole;
        if record.status == STATUS_OK && self.script.whole_bytes.is_some_and(is_short) {
            return Ending::Cut;
        }
        Ending::Answered
    }

    /// Reads and verifies answers; the last one ends the peer.
    fn examine(&mut self, peer: u32, mut buffer: Buffer, result: Result<usize, IoFault>) {
        let Some(exam) = self.exams.get_mut(&peer) else { return };
        let left = self.script.answers.unwrap_or(0);
        let read = match result {
            Ok(0) if exam.answers == 0 && buffer.is_empty() => Err(Fault::ClosedUnanswered),
            Ok(0) => Err(Fault::Truncated),
            Err(fault) => Err(Fault::ReceiveFailed(fault)),
            Ok(_) => exam.read(&mut buffer, left, &mut self.expectation),
        };
        match read {
            Ok(answers) => {
                self.counts.verified += u64::from(answers);
                exam.buffer = Some(buffer);
                if exam.answers == left {
                    self.end(peer, Ending::Verified);
                } else {
                    self.watch(peer);
                }
            }
            Err(fault) => self.fail(peer, fault),
        }
    }

    /// A standing peer ends; its connection closes.
    fn end(&mut self, peer: u32, ending: Ending) {
        let Some(record) = self.peers.get(peer as usize) else { return };
        let stood_us = self.now_us - self.begin_us - u64::from(record.since_ms) * 1000;
        match ending {
            Ending::Answered | Ending::Cut | Ending::Closed | Ending::Reset => {
                self.counts.borne.record(stood_us);
            }
            Ending::Left | Ending::Verified | Ending::Stood => {}
        }
        self.counts.endings.count(ending);
        self.ended += 1;
        self.close(peer);
    }

    /// Something else went wrong with a peer that has not ended.
    fn fail(&mut self, peer: u32, fault: Fault) {
        self.journal.record(self.now_us, peer, fault);
        self.ended += 1;
        self.close(peer);
    }

    fn close(&mut self, peer: u32) {
        let token = self.token(peer);
        if let Some(record) = self.peers.get_mut(peer as usize) {
            record.state = State::Closing;
        }
        self.exams.remove(&peer);
        if let Some(token) = token {
            self.transport.close(token);
        }
    }

    fn on_gone(&mut self, peer: u32) {
        if let Some(record) = self.peers.get_mut(peer as usize) {
            (record.state, record.slot) = (State::Gone, NONE);
        }
        self.open = self.open.saturating_sub(1);
    }

    /// A pooled buffer goes back; those of another size, or of an exam, fall.
    fn give_back(&mut self, mut buffer: Buffer) {
        buffer.clear();
        if buffer.capacity() == self.buffer_bytes && self.pool.len() < BUFFERS_MAX {
            self.pool.push(buffer);
        }
    }

    fn state(&self, peer: u32) -> Option<State> {
        self.peers.get(peer as usize).map(|record| record.state)
    }

    fn is_standing(&self, peer: u32) -> bool {
        self.state(peer) == Some(State::Standing)
    }

    fn token(&self, peer: u32) -> Option<Token> {
        self.slots.token(self.peers.get(peer as usize)?.slot)
    }

    fn report(self, lasted_ms: u64) -> StormReport {
        let Counts { endings, statuses, verified, .. } = self.counts;
        StormReport {
            manner: self.plan.manner.name(),
            peers: self.plan.peers,
            unfinished: self.plan.peers.saturating_sub(self.ended),
            endings,
            statuses,
            verified,
            sent_bytes: self.counts.sent_bytes,
            received_bytes: self.counts.received_bytes,
            connect: self.counts.connect.latency(),
            borne: self.counts.borne.latency(),
            lasted_ms,
            series: self.journal.series,
            faults: self.journal.faults,
        }
    }
}

/// The status in the first line of an answer; 1 for what is no answer.
fn status_of(input: &[u8]) -> u16 {
    let digits = input.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(STATUS_UNKNOWN)
}

// LG-3: what a peer costs here.
const _: () = assert!(size_of::<Peer>() <= 24);

const NONE: u32 = u32::MAX;
const STATUS_OK: u16 = 200;
const STATUS_UNKNOWN: u16 = 1;
/// How often due pieces are looked for.
const TICK_US: u64 = 10_000;
/// Connects under way at a time.
const CONNECTING_MAX: usize = 256;
/// Receives under way at a time, and the size of their buffers; slow readers have smaller ones.
const BUFFERS_MAX: usize = 256;
const BUFFER_BYTES: usize = 16 << 10;
/// Slow readers read no less at a time: their first piece is to hold the status of the answer.
const PIECE_READ_BYTES_MIN: usize = 16;
/// A drain ends when nothing has come for so long, and at the latest after that long.
const DRAIN_QUIET_US: u64 = 5_000_000;
const DRAIN_MAX_US: u64 = 30_000_000;
/// Peers that are told to close per turn, and how long all have for it.
const CLOSE_BATCH: u32 = 1024;
const CLOSE_MAX_US: u64 = 30_000_000;
