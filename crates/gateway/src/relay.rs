//! An origin's response becomes the response to one client, as its body streams through.

use alloc::vec::Vec;

use longhold_http1::BodyFraming;
use longhold_http1::emit::HeadWriter;
use longhold_policy::{date, fields};

use crate::deliver::write_cache_status;
use crate::outcome::Outcome;
use crate::reject::{Persistence, write_persistence};
use crate::{CACHE_NAME, Field, tags};

/// A response to relay.
#[derive(Clone, Copy, Debug)]
pub struct Relay<'a> {
    /// Status code.
    pub status: u16,
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

/// Writes the whole head into `out` (GW-2, GW-3).
pub fn write_head(out: &mut Vec<u8>, relay: &Relay<'_>) {
    let mut head = HeadWriter::response(out, relay.status);
    let mut has_date = false;
    for (name, value) in relay.fields {
        if is_relayed(name, relay.fields) {
            has_date |= name.eq_ignore_ascii_case("date");
            head.field(name, value);
        }
    }
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

/// Whether a field of the origin goes on to the client: if it would be stored (RFC 9111 section
/// 3.1) and is not for this edge alone, so that a miss and the hits behind it say the same.
fn is_relayed(name: &str, received: &[Field<'_>]) -> bool {
    let is_length = name.eq_ignore_ascii_case("content-length");
    !is_length && !tags::is_for_edge(name) && fields::is_storable(received, name)
}
