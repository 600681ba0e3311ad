//! A stored response is sent, in the form that the request asks for.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use bytes::Bytes;
use longhold_conn::BodyLength;
use longhold_gateway::Field;
use longhold_gateway::deliver::{self, Delivery, Seams, Shape};
use longhold_gateway::outcome::{CacheOutcome, Outcome};
use longhold_gateway::plan::Facts;
use longhold_gateway::reject::Persistence;
use longhold_store::{PageIn, Record, Window};
use longhold_telemetry::Counter;
use longhold_transport::Transport;

use super::Worker;
use super::active::{Body, Link};
use crate::outgoing::{Outgoing, Piece};
use crate::stored::response_of;

/// The parts of a request that the form of its answer depends on.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) fields: &'a [Field<'a>],
    pub(super) facts: &'a Facts,
}

/// What became of sending a stored response.
pub(super) enum Delivered {
    /// It is on its way.
    Sent,
    /// Nothing was sent: the record does not hold what it promises.
    Unusable,
    /// Nothing was sent: its body is not in memory.
    Cold(PageIn),
}

/// What follows the head of a stored response.
struct Rest {
    length: BodyLength,
    /// What goes out with the head.
    piece: Piece,
    /// Where in the record that ends, and where the body does.
    sent_end: u64,
    end: u64,
    seams: Option<Seams>,
}

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    /// Sends a stored response in the form that the request asks for.
    pub(super) fn deliver(
        &mut self,
        index: u32,
        record: Record,
        asked: &Asked<'_>,
        outcome: Outcome,
    ) -> Delivered {
        let Some(stored) = response_of(&record, self.now.unix_ms) else {
            return Delivered::Unusable;
        };
        let (held, body_len) = stored.held(record.body_len());
        let facts = asked.facts;
        let shape = if facts.is_conditional || facts.is_ranged {
            deliver::shape(asked.method, asked.fields, &stored, body_len)
        } else {
            Shape::Whole
        };
        let status = shape.status(stored.meta.status);
        let mut rest = match self.rest((&record, &held), (&shape, body_len), facts.is_head) {
            Ok(rest) => rest,
            Err(undelivered) => return undelivered,
        };
        if !shape.parts().is_empty() {
            let seams = Seams::new(&stored, shape.parts(), body_len, boundary());
            rest.length = BodyLength::Known(seams.message_len());
            rest.seams = Some(seams);
        }
        let Some(active) = self.actives.get_mut(index) else { return Delivered::Sent };
        let plan = active.conn.start_response(status, rest.length);
        active.outcome = Outcome { status, ..outcome };
        let mut head = std::mem::take(&mut self.scratch.head);
        head.clear();
        let delivery = Delivery {
            stored: &stored,
            body_len,
            shape: &shape,
            seams: rest.seams.as_ref(),
            outcome: active.outcome,
            persistence: Persistence { close: plan.close, keep_alive: plan.keep_alive_field },
            now_ms: self.now.unix_ms,
        };
        deliver::write_head(&mut head, &delivery);
        active.body = match rest.seams {
            Some(seams) => Body::Parts { links: links(seams, &shape, &held), record },
            None if rest.sent_end < rest.end => {
                Body::Stored { record, at: rest.sent_end, end: rest.end }
            }
            None => Body::Done,
        };
        self.send_head(index, &head, rest.piece);
        self.scratch.head = head;
        self.prefetch(index);
        Delivered::Sent
    }

    /// Looks whether all that a shape of the whole needs is in a record that holds the bytes `held`
    /// of it, and takes its first window.
    fn rest(
        &self,
        (record, held): (&Record, &Range<u64>),
        (shape, body_len): (&Shape, u64),
        is_head: bool,
    ) -> Result<Rest, Delivered> {
        let body = shape.body(body_len);
        let length = match shape {
            Shape::NotModified => BodyLength::None,
            Shape::Whole
            | Shape::Part(_)
            | Shape::Parts(_)
            | Shape::PreconditionFailed
            | Shape::Unsatisfiable => BodyLength::Known(body.end - body.start),
        };
        if is_head || body.is_empty() {
            let (piece, seams) = (Piece::None, None);
            return Ok(Rest { length, piece, sent_end: 0, end: 0, seams });
        }
        let place = |part| deliver::within(held, part).filter(|range| record.holds(range.clone()));
        let Some(body) = place(&body) else { return Err(Delivered::Unusable) };
        if !shape.parts().iter().all(|part| place(part).is_some()) {
            return Err(Delivered::Unusable);
        }
        let (sent_end, end) = (body.start, body.end);
        let mut rest = Rest { length, piece: Piece::None, sent_end, end, seams: None };
        let window_bytes = self.shared.send_window_bytes.min(body.end - body.start);
        match record.window(body.start, window_bytes) {
            // A seam comes before it.
            Ok(Window::Ready(_)) if !shape.parts().is_empty() => {}
            Ok(Window::Ready(slice)) => {
                rest.sent_end += slice.len() as u64;
                rest.piece = Piece::Stored(slice);
            }
            Ok(Window::Cold(cold)) => return Err(Delivered::Cold(cold)),
            Err(_) => {
                self.counters.add(Counter::StoreReadErrors, 1);
                return Err(Delivered::Unusable);
            }
        }
        Ok(rest)
    }
}

/// The parts of a body, as the record has them, with what stands between them.
fn links(seams: Seams, shape: &Shape, held: &Range<u64>) -> VecDeque<Link> {
    let mut links = VecDeque::new();
    let mut parts = shape.parts().iter().filter_map(|part| deliver::within(held, part));
    for text in seams.into_texts() {
        links.push_back(Link::Text(Bytes::from(text)));
        links.extend(parts.next().map(Link::Stored));
    }
    links
}

/// Nobody who writes a body can guess it.
fn boundary() -> u128 {
    let hash = |half: u8| u128::from(RandomState::new().hash_one(half));
    hash(0) << 64 | hash(1)
}

/// The outcome of a plain hit; its status comes with the shape.
pub(super) fn hit() -> Outcome {
    let cache = Some(CacheOutcome::Hit);
    Outcome { status: 0, cache, fwd_status: None, stored: false, collapsed: false }
}
