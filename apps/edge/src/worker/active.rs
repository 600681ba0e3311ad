//! What a connection borrows while bytes move, and the slab that lends it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use longhold_conn::Downstream;
use longhold_conn::deadline::Flow;
use longhold_gateway::outcome::Outcome;
use longhold_origin::{DownloadReader, Upload};
use longhold_store::{Extent, Record};
use longhold_transport::{Buffer, Token};

use super::exchange::Held;
use super::opening::Opening;
use super::pages::Resume;
use crate::gate::Place;
use crate::outgoing::Outgoing;

/// One active connection.
pub(super) struct Active {
    pub(super) token: Token,
    pub(super) conn: Downstream,
    /// Received bytes not yet consumed; `None` while a receive is in flight or nothing is there.
    pub(super) input: Option<Buffer>,
    /// Its input is out of here, being looked at.
    pub(super) looking: bool,
    pub(super) receiving: bool,
    /// It asked again soon after its last answer.
    pub(super) is_busy: bool,
    /// A park is armed while its exchange waits, see `vigil`.
    pub(super) watched: bool,
    pub(super) leaving: Leaving,
    /// It waits for a buffer to receive into.
    pub(super) starving: bool,
    pub(super) sending: bool,
    /// A response that waits for the interim response in flight.
    pub(super) queued: Option<Outgoing>,
    /// Interim responses that wait for the one in flight, as they will be sent.
    pub(super) interim: Vec<u8>,
    /// Since when the client waits for `100 Continue`, ms.
    pub(super) continue_since_ms: Option<u64>,
    pub(super) phase: Phase,
    pub(super) body: Body,
    /// What comes after `AwaitsPages`.
    pub(super) resume: Option<Resume>,
    /// How often this exchange has asked the pager before it was answered.
    pub(super) paged: u8,
    /// The next window is not in memory, and the pager's word is awaited.
    pub(super) paging: bool,
    /// A part of the body has left the store, and the fill plane's word on the rest is awaited.
    pub(super) refetching: bool,
    /// The pager was busy: when to ask again, ms.
    pub(super) page_again_ms: Option<u64>,
    /// Set while an exchange waits for the fill plane, and while it sends what may leave the store
    /// before it is sent.
    pub(super) held: Option<Box<Held>>,
    pub(super) upload: Option<Arc<Upload>>,
    /// While it `AwaitsSocket`.
    pub(super) opening: Option<Opening>,
    /// Its place among the site's requests in progress, where these have a bound.
    pub(super) place: Option<Place>,
    /// Counts the exchanges of this connection since it woke.
    pub(super) serial: u32,
    pub(super) outcome: Outcome,
    /// Since when a head is incomplete, ms.
    pub(super) head_since_ms: Option<u64>,
    /// The request's body, while it is due.
    pub(super) rx_flow: Option<Flow>,
    /// The send in flight.
    pub(super) tx_flow: Flow,
    /// Since when it rests between requests with a receive armed, ms.
    pub(super) rest_since_ms: Option<u64>,
    /// Since when the connection lingers, ms.
    pub(super) linger_since_ms: u64,
    /// Body bytes read only to be thrown away.
    pub(super) drained_bytes: u64,
    pub(super) draft: Draft,
}

/// Whether a client whose exchange waits has closed its half, and with it perhaps all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It has not.
    No,
    /// It has, at that time, ms.
    HalfClosed(u64),
    /// At that time it was sent something, to which a connection that is gone says so, ms.
    Probed(u64),
    /// It listens.
    Stays,
}

/// Where the exchange stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No exchange; a head is awaited, or an undrained body.
    Reading,
    /// The fill plane has been asked.
    AwaitsFill,
    /// The pager has been asked, before anything was answered.
    AwaitsPages,
    /// The origin has given its connection, of which the transport is to tell.
    AwaitsSocket,
    /// The response is on its way.
    Responding,
    /// Our half is closed; the peer's rest is read and thrown away, so that it reads our answer.
    Lingering,
}

/// Where the rest of the body comes from.
pub(super) enum Body {
    /// Nothing more to send.
    Done,
    /// `at..end` of a stored response.
    Stored { record: Record, at: u64, end: u64 },
    /// Several parts of a stored response, with what stands between them.
    Parts { record: Record, links: VecDeque<Link> },
    /// A growing body of the fill plane; framed in chunks when its length is not known. `cold`
    /// comes before what its reader gives next. With `end`, it is wanted up to there only.
    Growing {
        reader: DownloadReader<Extent>,
        chunked: bool,
        cold: Option<ColdPart>,
        end: Option<u64>,
    },
}

/// What comes next of a body in parts.
pub(super) enum Link {
    Text(Bytes),
    /// Bytes of the record's body; never empty.
    Stored(Range<u64>),
    /// The same, up to that byte, which the store had no more.
    Coming(DownloadReader<Extent>, u64),
}

/// A part of a growing body that its reader has given and that has left memory since.
pub(super) type ColdPart = (Extent, Range<u64>);

/// What the access log and the counters need of a request until its exchange ends.
#[derive(Default)]
pub(super) struct Draft {
    text: Vec<u8>,
    ends: [u32; DRAFT_PARTS],
    pub(super) is_open: bool,
    pub(super) is_http10: bool,
    pub(super) started_us: u64,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
}

impl Draft {
    /// Starts the draft of a request; `parts` are method, target, host, referer, user agent.
    pub(super) fn open(&mut self, parts: [&[u8]; DRAFT_PARTS], started_us: u64) {
        self.text.clear();
        for (part, end) in parts.into_iter().zip(&mut self.ends) {
            self.text.extend_from_slice(part);
            *end = self.text.len() as u32;
        }
        self.is_open = true;
        self.started_us = started_us;
        self.received_bytes = 0;
        self.sent_bytes = 0;
    }

    /// The line of the exchange, with what became of it.
    pub(super) fn line(&self, outcome: Outcome) -> Line<'_> {
        Line {
            parts: [0, 1, 2, 3, 4].map(|part| self.part(part)),
            is_http10: self.is_http10,
            outcome,
            started_us: self.started_us,
            received_bytes: self.received_bytes,
            sent_bytes: self.sent_bytes,
        }
    }

    fn part(&self, part: usize) -> &[u8] {
        let start = part.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.text[start..self.ends[part] as usize]
    }
}

/// What a line in the access log says of an exchange.
pub(super) struct Line<'a> {
    /// Method, target, host, referer, user agent.
    pub(super) parts: [&'a [u8]; DRAFT_PARTS],
    pub(super) is_http10: bool,
    pub(super) outcome: Outcome,
    pub(super) started_us: u64,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
}

/// Method, target, host, referer, user agent.
pub(super) const DRAFT_PARTS: usize = 5;

/// All active connections of a worker; places are reused, so that a warm worker allocates nothing.
#[derive(Default)]
pub(super) struct Actives {
    places: Vec<Option<Active>>,
    free: Vec<u32>,
    /// Drafts of places not in use, kept for their capacity.
    drafts: Vec<Draft>,
}

impl Actives {
    /// Lends a place to a connection that woke. Bounded by the worker's slots.
    pub(super) fn open(&mut self, token: Token) -> u32 {
        let active = Active {
            token,
            conn: Downstream::new(),
            input: None,
            looking: false,
            receiving: false,
            watched: false,
            leaving: Leaving::No,
            is_busy: false,
            starving: false,
            sending: false,
            queued: None,
            interim: Vec::new(),
            continue_since_ms: None,
            phase: Phase::Reading,
            body: Body::Done,
            resume: None,
            paged: 0,
            paging: false,
            refetching: false,
            page_again_ms: None,
            held: None,
            upload: None,
            opening: None,
            place: None,
            serial: 0,
            outcome: Outcome::local(0),
            head_since_ms: None,
            rx_flow: None,
            tx_flow: Flow::default(),
            rest_since_ms: None,
            linger_since_ms: 0,
            drained_bytes: 0,
            draft: self.drafts.pop().unwrap_or_default(),
        };
        match self.free.pop() {
            Some(index) => {
                self.places[index as usize] = Some(active);
                index
            }
            None => {
                self.places.push(Some(active));
                (self.places.len() - 1) as u32
            }
        }
    }

    /// Takes the place back; the caller gives buffers back to the pool.
    pub(super) fn close(&mut self, index: u32) -> Option<Active> {
        let mut active = self.places.get_mut(index as usize)?.take()?;
        self.free.push(index);
        let mut draft = std::mem::take(&mut active.draft);
        draft.is_open = false;
        self.drafts.push(draft);
        Some(active)
    }

    pub(super) fn get(&self, index: u32) -> Option<&Active> {
        self.places.get(index as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Active> {
        self.places.get_mut(index as usize)?.as_mut()
    }

    /// How many have given the kernel more than it has taken so far. O(places).
    pub(super) fn sending_count(&self) -> u64 {
        self.places.iter().flatten().filter(|active| active.sending).count() as u64
    }

    /// Places in use, by index.
    pub(super) fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        let used = self.places.iter().enumerate().filter(|(_, place)| place.is_some());
        used.map(|(index, _)| index as u32)
    }
}
