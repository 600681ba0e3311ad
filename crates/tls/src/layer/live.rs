//! A secured connection while anything moves on it, and the list of those.

use std::ops::Range;

use longhold_transport::{Buffer, IoFault, Payload, Token};

use super::line::Source;
use super::wire::Chunk;
use crate::limits::{HEADER_BYTES, PLAINTEXT_BYTES_MAX, SEALED_EXTRA_BYTES};
use crate::{Fault, Handshake, Opened, Session};

/// One connection that is not at rest.
///
/// Two sides meet in it: what the caller has asked for and was not answered (`parks`, `receives`,
/// `sends`, `shuts`), and what is in flight below. Each answer to the caller takes its wish down.
pub(super) struct Live<P> {
    pub(super) token: Token,
    pub(super) stage: Stage,
    /// The caller has closed it; only what is in flight below keeps it.
    pub(super) is_closing: bool,

    pub(super) parks: bool,
    pub(super) receives: Option<Buffer>,
    pub(super) sends: Option<P>,
    pub(super) shuts: bool,

    pub(super) below_park: bool,
    pub(super) below_receive: bool,
    pub(super) below_send: bool,

    /// Off the wire and not opened, behind what is `plain`; away while a receive is in flight.
    pub(super) input: Option<Buffer>,
    /// Opened and not delivered, within the input.
    plain: Range<usize>,
    /// Bytes of the input that go once `plain` is delivered.
    spent: usize,
    /// How the peer's direction has ended, once all before it is delivered.
    pub(super) ended: Option<Result<(), IoFault>>,
    /// It waits for a buffer.
    pub(super) is_starving: bool,
    /// Since when part of a record is there and not the rest, µs.
    pub(super) partial_since_us: Option<u64>,
    /// The clock over such parts has it on its list.
    pub(super) is_timed: bool,

    pub(super) out: Outbound,
}

/// Where a connection stands.
#[expect(clippy::large_enum_variant, reason = "most are open, and waking must not allocate")]
pub(super) enum Stage {
    /// A handshake is in flight.
    Shaking(Box<Shaking>),
    /// Established.
    Open(Session),
    /// Nothing can be said or heard any more.
    Over,
}

/// A handshake in flight.
pub(super) struct Shaking {
    pub(super) handshake: Handshake,
    /// Where it is counted (server).
    pub(super) source: Option<Source>,
    /// Bytes that must be there before it can go on.
    pub(super) wanted: usize,
    /// It has ended, and what it said last is being sent.
    pub(super) verdict: Option<Result<(), Fault>>,
}

/// What was sealed and where it is.
///
/// The bytes of a payload are sealed in windows. A window that the peer does not take at once is
/// told to the caller in parts, so that its clock sees them; what is sealed already is then passed
/// over when the caller sends the rest.
#[derive(Default)]
pub(super) struct Outbound {
    /// Sealed, and not in flight: its send was cut short.
    pub(super) chunk: Option<Chunk>,
    /// Plaintext bytes of the chunk.
    plain_bytes: usize,
    /// Sealed bytes of it that were sent.
    sent_bytes: usize,
    /// All of it was.
    is_gone: bool,
    /// Plaintext bytes of it that the caller was told of.
    told_bytes: usize,
}

impl Outbound {
    /// A chunk with so much plaintext sets out.
    pub(super) fn set_out(&mut self, plain_bytes: usize) {
        let chunk = self.chunk.take();
        *self = Self { plain_bytes, chunk, ..Self::default() };
    }

    /// So many sealed bytes have gone, and perhaps all.
    pub(super) fn advance(&mut self, sent_bytes: usize, is_gone: bool) {
        self.sent_bytes += sent_bytes;
        self.is_gone = is_gone;
    }

    /// Plaintext bytes that have gone since the caller was told last. The last byte counts as gone
    /// with the end of the chunk only: nobody may take a record for sent whose tag is not.
    pub(super) fn untold_bytes(&self) -> usize {
        let gone = if self.is_gone {
            self.plain_bytes
        } else {
            let (records, rest) = (self.sent_bytes / RECORD_BYTES, self.sent_bytes % RECORD_BYTES);
            let begun = rest.saturating_sub(HEADER_BYTES).min(PLAINTEXT_BYTES_MAX);
            (records * PLAINTEXT_BYTES_MAX + begun).min(self.plain_bytes.saturating_sub(1))
        };
        gone.saturating_sub(self.told_bytes)
    }

    /// The caller was told of so many more.
    pub(super) fn tell(&mut self, bytes: usize) {
        self.told_bytes += bytes;
    }
}

/// What lies ready for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// Data.
    Data,
    /// The end, or a fault.
    End,
    /// Nothing: so many bytes must be there from the start of the input.
    More { wanted: usize },
}

impl<P: Payload> Live<P> {
    pub(super) fn new(token: Token, stage: Stage) -> Self {
        Self {
            token,
            stage,
            is_closing: false,
            parks: false,
            receives: None,
            sends: None,
            shuts: false,
            below_park: false,
            below_receive: false,
            below_send: false,
            input: None,
            plain: 0..0,
            spent: 0,
            ended: None,
            is_starving: false,
            partial_since_us: None,
            is_timed: false,
            out: Outbound::default(),
        }
    }

    /// Opens records until something lies ready or more must come; a fault is told with it.
    pub(super) fn open_next(&mut self) -> (Ready, Option<Fault>) {
        loop {
            if !self.plain.is_empty() {
                return (Ready::Data, None);
            }
            if self.ended.is_some() {
                return (Ready::End, None);
            }
            let nothing = (Ready::More { wanted: HEADER_BYTES }, None);
            let Stage::Open(session) = &mut self.stage else { return nothing };
            let Some(input) = &mut self.input else { return nothing };
            match session.open(input.filled_mut()) {
                Ok(Opened::Data { data, consumed }) => (self.plain, self.spent) = (data, consumed),
                Ok(Opened::Quiet { consumed }) => input.consume(consumed),
                Ok(Opened::Closed { .. }) => {
                    input.clear();
                    self.ended = Some(Ok(()));
                }
                Ok(Opened::More { wanted }) => return (Ready::More { wanted }, None),
                Err(fault) => {
                    input.clear();
                    self.ended = Some(Err(IoFault::Insecure));
                    return (Ready::End, Some(fault));
                }
            }
        }
    }

    /// Fills `buffer` with what lies ready, record by record: how many bytes, what stopped it, and
    /// the fault if the session broke on the way.
    pub(super) fn deliver(&mut self, buffer: &mut Buffer) -> (usize, Ready, Option<Fault>) {
        let mut delivered = 0;
        loop {
            let (ready, fault) = self.open_next();
            if ready != Ready::Data || buffer.spare_len() == 0 {
                return (delivered, ready, fault);
            }
            let Some(input) = &mut self.input else { return (delivered, ready, fault) };
            let end = self.plain.end.min(self.plain.start + buffer.spare_len());
            let bytes = input.filled().get(self.plain.start..end).unwrap_or(&[]);
            delivered += bytes.len();
            buffer.extend_from_slice(bytes);
            self.plain.start = end;
            if self.plain.is_empty() {
                input.consume(self.spent);
            }
        }
    }

    /// Data was opened that the caller has not been given.
    pub(super) fn has_plain(&self) -> bool {
        !self.plain.is_empty()
    }

    /// It could rest: nothing is asked for or in flight but a park, and nothing is held.
    pub(super) fn is_quiet(&self) -> bool {
        let is_asked = self.receives.is_some() || self.sends.is_some() || self.shuts;
        let is_in_flight = self.below_receive || self.below_send;
        let is_held = self.input.is_some() || self.out.chunk.is_some() || self.ended.is_some();
        !is_asked && !is_in_flight && !is_held && !self.is_closing
    }
}

/// The list of the live; places are reused, so that it allocates nothing after warm-up.
pub(super) struct Lives<P> {
    places: Vec<Option<Live<P>>>,
    free: Vec<u32>,
}

impl<P> Lives<P> {
    pub(super) const fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    pub(super) fn insert(&mut self, live: Live<P>) -> u32 {
        if let Some(index) = self.free.pop()
            && let Some(place) = self.places.get_mut(index as usize)
        {
            *place = Some(live);
            return index;
        }
        self.places.push(Some(live));
        (self.places.len() - 1) as u32
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<Live<P>> {
        let live = self.places.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(live)
    }

    pub(super) fn get(&self, index: u32) -> Option<&Live<P>> {
        self.places.get(index as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Live<P>> {
        self.places.get_mut(index as usize)?.as_mut()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

/// A full record of TLS 1.3 on the wire.
const RECORD_BYTES: usize = PLAINTEXT_BYTES_MAX + SEALED_EXTRA_BYTES;
