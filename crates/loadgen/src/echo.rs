//! A WebSocket server that sends every message back (RFC 6455), and streams of numbered
//! [`events`], for as many connections as the transport has slots: the origin behind an edge whose
//! tunnels are counted by the million.
//!
//! A connection that says nothing is a parked slot and 16 bytes here, and an event stream has a
//! place in the line of its interval besides. What comes is answered from the buffer that it came
//! in; only the front part of a message that has not come whole is kept.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longhold_http1::Limits;
use longhold_transport::{Buffer, Completion, Token, Transport, TransportError};

use crate::events;
use crate::target::Outgoing;

/// The server's state over one transport, which listens already.
pub struct Echo<T: Transport<Payload = Outgoing>> {
    transport: T,
    slots: Vec<Slot>,
    /// Input of which the end is missing, by slot.
    unfinished: HashMap<u32, Buffer>,
    /// Connections that spoke while no buffer was free.
    starved: Vec<Token>,
    /// Event streams by their interval in milliseconds, each in the order in which its streams
    /// speak next, with when, µs.
    lines: BTreeMap<u32, VecDeque<(u64, Token)>>,
    completions: Vec<Completion<Outgoing>>,
    messages: u64,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    generation: u32,
    phase: Phase,
    /// Of an event stream: the number of its last event.
    number: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// A request is awaited.
    #[default]
    Request,
    /// Messages go back and forth.
    Open,
    /// Events are sent.
    Stream { interval_ms: u32 },
    /// The last bytes are on their way.
    Ending,
}

/// What lies at the front of an input.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// Not enough to tell.
    More,
    /// So many bytes, to which this is the answer; the phase that follows.
    Answer { used: usize, answer: Vec<u8>, then: Phase },
}

impl<T: Transport<Payload = Outgoing>> Echo<T> {
    /// A server over `transport`, whose listeners it serves. Takes 16 bytes per slot.
    pub fn new(transport: T) -> Self {
        let slots = vec![Slot::default(); transport.slot_count() as usize];
        Self {
            transport,
            slots,
            unfinished: HashMap::new(),
            starved: Vec::new(),
            lines: BTreeMap::new(),
            completions: Vec::new(),
            messages: 0,
        }
    }

    /// Messages that were sent back so far, and events.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Waits for something to happen, at most until the transport's instant `until_us`, and answers
    /// it.
    ///
    /// # Errors
    /// The transport can go on no more.
    pub fn turn(&mut self, until_us: Option<u64>) -> Result<(), TransportError> {
        let mut completions = std::mem::take(&mut self.completions);
        let due_us = self.lines.values().filter_map(|line| line.front()).map(|(due_us, _)| *due_us);
        let until_us = until_us.into_iter().chain(due_us).min();
        let waited = self.transport.wait(until_us, &mut completions);
        for completion in completions.drain(..) {
            self.handle(completion);
        }
        self.completions = completions;
        self.feed();
        self.tell_events();
        waited
    }

    fn handle(&mut self, completion: Completion<Outgoing>) {
        match completion {
            Completion::Accepted { slot, .. } => {
                let Some(cell) = self.slots.get_mut(slot as usize) else { return };
                cell.phase = Phase::Request;
                let token = Token::new(slot, cell.generation);
                self.transport.park(token);
            }
            Completion::Readable { token } => match self.phase(token) {
                // Who hears events has nothing to say: it has left.
                Some(Phase::Stream { .. }) => self.transport.close(token),
                Some(Phase::Request | Phase::Open | Phase::Ending) | None => self.receive(token),
            },
            Completion::Received { token, buffer, result } => match result {
                Ok(1..) if self.is_current(token) => self.answer(token, buffer),
                Ok(_) | Err(_) => {
                    self.transport.recycle(buffer);
                    self.transport.close(token);
                }
            },
            Completion::Sent { token, payload, result } => match result {
                Ok(_) if !payload.is_sent() => self.transport.send(token, payload),
                Ok(_) => match self.phase(token) {
                    Some(Phase::Open) => self.go_on(token),
                    Some(Phase::Stream { interval_ms }) => self.await_event(token, interval_ms),
                    Some(Phase::Request | Phase::Ending) | None => self.transport.close(token),
                },
                Err(_) => self.transport.close(token),
            },
            Completion::Closed { token } => {
                if let Some(buffer) = self.unfinished.remove(&token.slot) {
                    self.transport.recycle(buffer);
                }
                if let Some(cell) = self.slots.get_mut(token.slot as usize) {
                    cell.generation = cell.generation.wrapping_add(1) & Token::GENERATION_MAX;
                }
            }
            Completion::Secured { token, result: Err(_) } => self.transport.close(token),
            // It opens no connections, shuts no halves, and is woken by nobody.
            Completion::AcceptFailed { .. }
            | Completion::Connected { .. }
            | Completion::Secured { result: Ok(()), .. }
            | Completion::Unparked { .. }
            | Completion::ShutDown { .. }
            | Completion::Woken => {}
        }
    }

    fn receive(&mut self, token: Token) {
        let Some(buffer) = self.unfinished.remove(&token.slot).or_else(|| self.transport.buffer())
        else {
            return self.starved.push(token);
        };
        self.transport.receive(token, buffer);
    }

    fn feed(&mut self) {
        for token in std::mem::take(&mut self.starved) {
            if self.is_current(token) {
                self.receive(token);
            }
        }
    }

    /// Answers what lies at the front of the input; the rest waits for the answer to be out.
    fn answer(&mut self, token: Token, mut buffer: Buffer) {
        let said = match self.phase(token) {
            Some(Phase::Request) => read_request(buffer.filled()),
            Some(Phase::Open) => read_message(buffer.filled()),
            Some(Phase::Stream { .. } | Phase::Ending) | None => Err(()),
        };
        let (used, answer, then) = match said {
            Err(()) => {
                self.transport.recycle(buffer);
                return self.transport.close(token);
            }
            Ok(Said::More) => {
                buffer.compact();
                if buffer.spare_len() == 0 {
                    self.transport.recycle(buffer);
                    return self.transport.close(token);
                }
                self.unfinished.insert(token.slot, buffer);
                return self.transport.park(token);
            }
            Ok(Said::Answer { used, answer, then }) => (used, answer, then),
        };
        buffer.consume(used);
        if buffer.is_empty() {
            self.transport.recycle(buffer);
        } else {
            self.unfinished.insert(token.slot, buffer);
        }
        self.messages += u64::from(self.phase(token) == Some(Phase::Open));
        if let Some(cell) = self.slots.get_mut(token.slot as usize) {
            cell.phase = then;
            cell.number = 1;
        }
        if let Phase::Stream { interval_ms } = then {
            let known = self.lines.len() < INTERVALS_MAX || self.lines.contains_key(&interval_ms);
            if !known {
                return self.transport.close(token);
            }
            self.lines.entry(interval_ms).or_default();
            self.transport.park(token);
        }
        self.transport.send(token, Outgoing::new(&Rc::from(answer)));
    }

    /// The answer is out: on with what lies behind what it answered, or to rest.
    fn go_on(&mut self, token: Token) {
        match self.unfinished.remove(&token.slot) {
            Some(buffer) => self.answer(token, buffer),
            None => self.transport.park(token),
        }
    }

    /// An event is out: the next one follows in its time.
    fn await_event(&mut self, token: Token, interval_ms: u32) {
        let due_us = self.transport.now().monotonic_us + u64::from(interval_ms) * 1000;
        self.lines.entry(interval_ms).or_default().push_back((due_us, token));
    }

    /// Sends the events whose time has come. A stream that has gone meanwhile leaves its line here.
    fn tell_events(&mut self) {
        let now_us = self.transport.now().monotonic_us;
        let mut due = Vec::new();
        for line in self.lines.values_mut() {
            while let Some((_, token)) = line.pop_front_if(|(due_us, _)| *due_us <= now_us) {
                due.push(token);
            }
        }
        for token in due {
            let Some(Phase::Stream { .. }) = self.phase(token) else { continue };
            let Some(cell) = self.slots.get_mut(token.slot as usize) else { continue };
            cell.number = cell.number.wrapping_add(1);
            let mut answer = Vec::new();
            events::write_chunk(cell.number, &mut answer);
            self.messages += 1;
            self.transport.send(token, Outgoing::new(&Rc::from(answer)));
        }
    }

    fn phase(&self, token: Token) -> Option<Phase> {
        let cell = self.slots.get(token.slot as usize)?;
        (cell.generation == token.generation).then_some(cell.phase)
    }

    fn is_current(&self, token: Token) -> bool {
        self.phase(token).is_some()
    }
}

/// The answer to an upgrade, or the begin of an event stream; anything else is refused.
fn read_request(input: &[u8]) -> Result<Said, ()> {
    let parsed = longhold_http1::parse_request(input, &Limits::default());
    let Some(head) = parsed.map_err(|_| ())? else { return Ok(Said::More) };
    let is_key = |name: &str| name.eq_ignore_ascii_case("sec-websocket-key");
    let key = head.fields.iter().find(|(name, _)| is_key(name)).map(|(_, value)| *value);
    let used = head.head_bytes;
    if let Some(interval_ms) = events::interval_ms(head.target.path_and_query) {
        let mut answer = events::stream_head().into_bytes();
        events::write_chunk(1, &mut answer);
        return Ok(Said::Answer { used, answer, then: Phase::Stream { interval_ms } });
    }
    let Some(key) = key else {
        let answer = b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n\
            Connection: Upgrade, close\r\nContent-Length: 0\r\n\r\n";
        return Ok(Said::Answer { used, answer: answer.to_vec(), then: Phase::Ending });
    };
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, ACCEPT_GUID].concat());
    let accept = STANDARD.encode(hash);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    Ok(Said::Answer { used, answer: answer.into_bytes(), then: Phase::Open })
}

/// The same message unmasked, the pong to a ping, or the end for the end. Frames without a mask,
/// with reserved bits, or longer than [`MESSAGE_BYTES_MAX`], end the connection (RFC 6455 section
/// 5.1).
fn read_message(input: &[u8]) -> Result<Said, ()> {
    let &[first, second, ..] = input else { return Ok(Said::More) };
    if second & 0x80 == 0 || first & 0x70 != 0 {
        return Err(());
    }
    let (len, head_bytes) = match second & 0x7f {
        126 => match input.get(2..4) {
            Some(&[high, low]) => (usize::from(u16::from_be_bytes([high, low])), 4),
            Some(_) | None => return Ok(Said::More),
        },
        127 => return Err(()),
        len => (usize::from(len), 2),
    };
    if len > MESSAGE_BYTES_MAX {
        return Err(());
    }
    let used = head_bytes + MASK_BYTES + len;
    let Some(masked) = input.get(head_bytes..used) else { return Ok(Said::More) };
    let (mask, payload) = masked.split_at(MASK_BYTES);
    let opcode = first & 0x0f;
    let (opcode, then) = match opcode {
        PING => (PONG, Phase::Open),
        CLOSE => (CLOSE, Phase::Ending),
        other => (other, Phase::Open),
    };
    let mut answer = vec![first & 0x80 | opcode];
    match u8::try_from(len) {
        Ok(len) if len < 126 => answer.push(len),
        Ok(_) | Err(_) => {
            answer.push(126);
            answer.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    answer.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    Ok(Said::Answer { used, answer, then })
}

/// Different intervals that streams may have at a time; others are turned away.
const INTERVALS_MAX: usize = 64;
/// Longest message that is sent back.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024;
const MASK_BYTES: usize = 4;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// RFC 6455 section 1.3.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests;
