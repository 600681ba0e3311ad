//! An origin's response becomes the response to one client, as its body streams through.

use alloc::vec::Vec;

use longhold_http1::BodyFraming;
use longhold_http1::emit::HeadWriter;
use longhold_policy::directives::ResponseDirectives;
use longhold_policy::range::{self, RangeChoice};
use longhold_policy::validate::{self, Precondition, Validators};
use longhold_policy::{date, fields};

use crate::deliver::{Shape, content_range, is_content_field, write_cache_status};
use crate::outcome::Outcome;
use crate::reject::{Persistence, write_persistence};
use crate::{CACHE_NAME, Field, tags};

/// A response to relay.
#[derive(Clone, Copy, Debug)]
pub struct Relay<'a> {
    /// Status code as received.
    pub status: u16,
    /// What of it the client gets, of a body with so many bytes; see [`shape`].
    pub shape: (&'a Shape, u64),
    /// The origin's fields as received.
    pub fields: &'a [Field<'a>],
    /// The origin's HTTP version for `Via`: `1.0` or `1.1`.
    pub via_version: &'a str,
    /// How the body goes out.
    pub framing: BodyFraming,
    /// For `Cache-Status`.
    pub outcome: Outcome,
    /// Freshness left when the response was stored, s.
    pub ttl_s: Option<i64>,
    /// Why it was not stored; a token for `Cache-Status`' `detail`.
    pub detail: Option<&'a str>,
    /// How the connection goes on.
    pub persistence: Persistence,
    /// Unix time, ms.
    pub now_ms: u64,
}

/// Chooses what a client gets of a response that fills the cache, while its body grows: the
/// client's conditions and range stayed here (RFC 9111 section 4.3.1). `body_len` is the length of
/// its body, where it is known; without it there is no range. Several ranges get the whole, which
/// RFC 9110 section 14.2 allows: the body comes in one order.
pub fn shape(
    (method, request): (&str, &[Field<'_>]),
    (status, response): (u16, &[Field<'_>]),
    body_len: Option<u64>,
) -> Shape {
    let validators = Validators::of(response);
    match validate::evaluate(method, request, &validators, status) {
        Precondition::NotModified => return Shape::NotModified,
        // Never here: such a request is the origin's.
        Precondition::Failed | Precondition::None | Precondition::Pass => {}
    }
    let Some(body_len) = body_len.filter(|_| status == 200) else { return Shape::Whole };
    match range::select(request, method, body_len, &validators) {
        RangeChoice::Whole | RangeChoice::Multiple(_) => Shape::Whole,
        RangeChoice::Single(part) => Shape::Part(part),
        RangeChoice::Unsatisfiable => Shape::Unsatisfiable,
    }
}

/// Writes the whole head into `out` (GW-2, GW-3).
pub fn write_head(out: &mut Vec<u8>, relay: &Relay<'_>) {
    let (shape, body_len) = relay.shape;
    let mut head = HeadWriter::response(out, shape.status(relay.status));
    let mut has_date = false;
    // A follower gets what the store would give it: not the fields that are the asker's alone (RFC
    // 9111 sections 5.2.2.4 and 5.2.2.7).
    let directives = relay.outcome.collapsed.then(|| ResponseDirectives::from_fields(relay.fields));
    let is_withheld = |name: &str| directives.is_some_and(|known| known.withholds(name));
    for (name, value) in relay.fields {
        let is_sent = is_relayed(name, relay.fields) && is_of_shape(name, shape);
        if is_sent && !is_withheld(name) {
            has_date |= name.eq_ignore_ascii_case("date");
            head.field(name, value);
        }
    }
    match shape {
        Shape::Part(part) => head.field("Content-Range", &content_range(Some(part), body_len)),
        Shape::Unsatisfiable => head.field("Content-Range", &content_range(None, body_len)),
        // Several parts are never cut from a body that grows, see `shape`.
        Shape::Whole | Shape::Parts(_) | Shape::NotModified | Shape::PreconditionFailed => true,
    };
    // RFC 9110 section 6.6.1: a recipient with a clock adds a missing Date.
    if !has_date {
        head.field("Date", &date::format(relay.now_ms / 1000));
    }
    let mut via = Vec::from(relay.via_version.as_bytes());
    via.push(b' ');
    via.extend_from_slice(CACHE_NAME.as_bytes());
    head.field("Via", &via);
    let _ = match relay.framing {
        BodyFraming::Length(len) => head.field_u64("Content-Length", len),
        BodyFraming::Chunked => head.field("Transfer-Encoding", b"chunked"),
        BodyFraming::None | BodyFraming::UntilClose => true,
    };
    write_cache_status(&mut head, &relay.outcome, relay.ttl_s, relay.detail);
    write_persistence(&mut head, relay.persistence);
    head.finish();
}

/// Writes an interim response into `out`, with what of its fields goes on to the client (RFC 9110
/// section 15.2, RFC 8297).
pub fn write_interim(out: &mut Vec<u8>, status: u16, received: &[Field<'_>]) {
    let mut head = HeadWriter::response(out, status);
    for (name, value) in received {
        if is_relayed(name, received) {
            head.field(name, value);
        }
    }
    head.finish();
}

/// Whether a field of a whole response belongs to this form of it.
fn is_of_shape(name: &str, shape: &Shape) -> bool {
    match shape {
        Shape::Whole | Shape::Part(_) | Shape::Parts(_) => true,
        // RFC 9110 section 15.4.5: metadata of the content stays at home.
        Shape::NotModified => !is_content_field(name),
        Shape::PreconditionFailed | Shape::Unsatisfiable => name.eq_ignore_ascii_case("date"),
    }
}

/// Whether a field of the origin goes on to the client: if it would be stored (RFC 9111 section
/// 3.1) and is not for this edge alone, so that a miss and the hits behind it say the same.
pub(crate) fn is_relayed(name: &str, received: &[Field<'_>]) -> bool {
    let is_length = name.eq_ignore_ascii_case("content-length");
    !is_length && !tags::is_for_edge(name) && fields::is_storable(received, name)
}
