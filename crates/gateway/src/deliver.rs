//! A stored response becomes a response: whole, a part, 304, 412 or 416.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use longhold_http1::emit::HeadWriter;
use longhold_policy::range::{self, RangeChoice};
use longhold_policy::status::{self, CacheOutcome};
use longhold_policy::validate::{self, Precondition};
use longhold_policy::{date, reuse};

use crate::outcome::Outcome;
use crate::reject::{Persistence, write_persistence};
use crate::stored::{StoredHead, field_lines};
use crate::{CACHE_NAME, Field};

/// Which form of a stored response answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// All of it, with its own status.
    Whole,
    /// 206 with one part (RFC 9110 section 15.3.7.1).
    Part(Range<u64>),
    /// 206 with several, as `multipart/byteranges` (RFC 9110 section 15.3.7.2).
    Parts(Vec<Range<u64>>),
    /// 304 (RFC 9110 section 15.4.5).
    NotModified,
    /// 412 (RFC 9110 section 15.5.13).
    PreconditionFailed,
    /// 416 (RFC 9110 section 15.5.17).
    Unsatisfiable,
}

impl Shape {
    /// The status sent, where `stored` is the stored response's.
    pub fn status(&self, stored: u16) -> u16 {
        match self {
            Self::Whole => stored,
            Self::Part(_) | Self::Parts(_) => 206,
            Self::NotModified => 304,
            Self::PreconditionFailed => 412,
            Self::Unsatisfiable => 416,
        }
    }

    /// Which bytes of the body are sent to a GET, of `body_len` in all; of several parts, those of
    /// the first.
    pub fn body(&self, body_len: u64) -> Range<u64> {
        match self {
            Self::Whole => 0..body_len,
            Self::Part(part) => part.clone(),
            Self::Parts(parts) => parts.first().cloned().unwrap_or(0..0),
            Self::NotModified | Self::PreconditionFailed | Self::Unsatisfiable => 0..0,
        }
    }

    /// Several parts; none when there is one, or none at all.
    pub fn parts(&self) -> &[Range<u64>] {
        match self {
            Self::Parts(parts) => parts,
            Self::Whole
            | Self::Part(_)
            | Self::NotModified
            | Self::PreconditionFailed
            | Self::Unsatisfiable => &[],
        }
    }
}

/// Chooses the shape by conditions first, then range (RFC 9110 section 13.2.2).
pub fn shape(method: &str, request: &[Field<'_>], stored: &StoredHead<'_>, body_len: u64) -> Shape {
    let validators = stored.validators();
    match validate::evaluate(method, request, &validators, stored.meta.status) {
        Precondition::NotModified => return Shape::NotModified,
        Precondition::Failed => return Shape::PreconditionFailed,
        Precondition::None | Precondition::Pass => {}
    }
    if stored.meta.status != 200 {
        return Shape::Whole;
    }
    match range::select(request, method, body_len, &validators) {
        RangeChoice::Whole => Shape::Whole,
        RangeChoice::Single(part) => Shape::Part(part),
        RangeChoice::Multiple(parts) => Shape::Parts(parts.as_slice().to_vec()),
        RangeChoice::Unsatisfiable => Shape::Unsatisfiable,
    }
}

/// The record's bytes of a part of the whole, where the record holds the bytes `held` of it; `None`
/// if it does not hold them all. RFC 9111 section 3.3: an incomplete response answers only what
/// lies wholly within it.
pub fn within(held: &Range<u64>, part: &Range<u64>) -> Option<Range<u64>> {
    let is_held = part.is_empty() || (held.start <= part.start && part.end <= held.end);
    is_held.then(|| part.start.saturating_sub(held.start)..part.end.saturating_sub(held.start))
}

/// What a stored response's head says beyond its fields.
#[derive(Clone, Debug)]
pub struct Delivery<'a> {
    /// The stored response.
    pub stored: &'a StoredHead<'a>,
    /// Bytes of its whole body.
    pub body_len: u64,
    /// The chosen form.
    pub shape: &'a Shape,
    /// What stands between several parts.
    pub seams: Option<&'a Seams>,
    /// For `Cache-Status`.
    pub outcome: Outcome,
    /// How the connection goes on.
    pub persistence: Persistence,
    /// Unix time, ms.
    pub now_ms: u64,
}

/// Writes the whole head into `out`. Allocates only when `out` must grow.
pub fn write_head(out: &mut Vec<u8>, delivery: &Delivery<'_>) {
    let stored = delivery.stored;
    let age_s = reuse::age_s(&stored.meta, delivery.now_ms);
    let mut head = HeadWriter::response(out, delivery.shape.status(stored.meta.status));
    match delivery.shape {
        Shape::Whole => {
            head.raw_lines(stored.lines);
            head.field_u64("Content-Length", delivery.body_len);
        }
        Shape::Part(part) => {
            head.raw_lines(stored.lines);
            head.field("Content-Range", &content_range(Some(part), delivery.body_len));
            head.field_u64("Content-Length", part.end.saturating_sub(part.start));
        }
        Shape::Parts(_) => {
            for (name, value) in field_lines(stored.lines) {
                // RFC 9110 section 15.3.7.2: it is each part's, not the message's.
                if !name.eq_ignore_ascii_case("content-type") {
                    head.field(name, value);
                }
            }
            if let Some(seams) = delivery.seams {
                head.field("Content-Type", &seams.content_type());
                head.field_u64("Content-Length", seams.message_len);
            }
        }
        Shape::NotModified => {
            // RFC 9110 section 15.4.5: metadata of the content stays at home.
            for (name, value) in field_lines(stored.lines) {
                if !is_content_field(name) {
                    head.field(name, value);
                }
            }
        }
        Shape::PreconditionFailed => {
            head.field("Date", &date::format(delivery.now_ms / 1000));
            head.field_u64("Content-Length", 0);
        }
        Shape::Unsatisfiable => {
            head.field("Date", &date::format(delivery.now_ms / 1000));
            head.field("Content-Range", &content_range(None, delivery.body_len));
            head.field_u64("Content-Length", 0);
        }
    }
    // RFC 9111 section 5.1: a response from the store says its age.
    head.field_u64("Age", u64::from(age_s));
    let ttl_s = i64::from(stored.meta.lifetime_s) - i64::from(age_s);
    write_cache_status(&mut head, &delivery.outcome, Some(ttl_s), None);
    write_persistence(&mut head, delivery.persistence);
    head.finish();
}

/// What stands in front of each part of a `multipart/byteranges` body and behind the last (RFC 9110
/// section 14.6).
#[derive(Clone, Debug)]
pub struct Seams {
    boundary: String,
    /// One for each part, and the end.
    texts: Vec<Vec<u8>>,
    /// Bytes of the message's body.
    message_len: u64,
}

impl Seams {
    /// The seams of `parts` of a body of `body_len` bytes. `boundary` should be such that nobody
    /// who writes a body can guess it.
    pub fn new(
        stored: &StoredHead<'_>,
        parts: &[Range<u64>],
        body_len: u64,
        boundary: u128,
    ) -> Self {
        let boundary = alloc::format!("{boundary:032x}");
        let mut texts = Vec::with_capacity(parts.len() + 1);
        let mut message_len = 0;
        let mut types =
            stored.fields().filter(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let content_type = types.next().map(|(_, value)| value);
        for part in parts {
            let mut text = alloc::format!("\r\n--{boundary}\r\n").into_bytes();
            let mut lines = HeadWriter::lines(&mut text);
            if let Some(value) = content_type {
                lines.field("Content-Type", value);
            }
            lines.field("Content-Range", &content_range(Some(part), body_len));
            text.extend_from_slice(b"\r\n");
            message_len += text.len() as u64 + (part.end - part.start);
            texts.push(text);
        }
        let end = alloc::format!("\r\n--{boundary}--\r\n").into_bytes();
        message_len += end.len() as u64;
        texts.push(end);
        Self { boundary, texts, message_len }
    }

    /// Bytes of the message's body, parts and all.
    pub fn message_len(&self) -> u64 {
        self.message_len
    }

    /// The seams in order: one in front of each part, and the end.
    pub fn into_texts(self) -> Vec<Vec<u8>> {
        self.texts
    }

    fn content_type(&self) -> Vec<u8> {
        alloc::format!("multipart/byteranges; boundary={}", self.boundary).into_bytes()
    }
}

/// Writes our member of `Cache-Status` on a line of its own, after those of caches before us
/// (RFC 9211 section 2).
pub(crate) fn write_cache_status(
    head: &mut HeadWriter<'_>,
    outcome: &Outcome,
    ttl_s: Option<i64>,
    detail: Option<&str>,
) {
    let Some(cache) = outcome.cache else { return };
    let shown_ttl = match cache {
        CacheOutcome::Hit => ttl_s,
        CacheOutcome::Fwd(_) => ttl_s.filter(|_| outcome.stored),
    };
    head.line_with("Cache-Status", |value| {
        let parameters = status::Parameters {
            fwd_status: outcome.fwd_status,
            ttl_s: shown_ttl,
            stored: outcome.stored,
            collapsed: outcome.collapsed,
            detail,
        };
        status::write(value, CACHE_NAME, cache, &parameters);
    });
}

pub(crate) fn content_range(part: Option<&Range<u64>>, body_len: u64) -> Vec<u8> {
    let text = match part {
        Some(part) => {
            alloc::format!("bytes {}-{}/{body_len}", part.start, part.end.saturating_sub(1))
        }
        None => alloc::format!("bytes */{body_len}"),
    };
    text.into_bytes()
}

/// Whether a field is about the content of a response, not about the response.
pub(crate) fn is_content_field(name: &str) -> bool {
    ["content-type", "content-encoding", "content-language", "content-range", "last-modified"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}
