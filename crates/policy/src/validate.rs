//! Validators, conditional requests and their evaluation against a stored response (RFC 9110
//! sections 8.8 and 13, RFC 9111 sections 4.3.1 and 4.3.2).
//!
//! Evaluation allocates nothing, and a request without conditions costs one look at each name.

use crate::date;
use crate::fields::{self, Field};

/// What identifies a stored representation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validators<'a> {
    /// `ETag` as stored. One without its quotes is compared as it is, and never strongly; any other
    /// that is not well formed matches nothing.
    pub etag: Option<&'a [u8]>,
    /// `Last-Modified` as stored.
    pub last_modified: Option<&'a [u8]>,
    /// `Date`, or the time of receipt, in Unix seconds.
    pub date_s: Option<u64>,
}

impl<'a> Validators<'a> {
    /// Takes the validators of a response; those that are repeated with unlike values or ill formed
    /// are left out.
    pub fn of(response: &[Field<'a>]) -> Self {
        let date = fields::single(response, "date").one();
        Self {
            etag: fields::single(response, "etag").one().filter(|tag| is_usable_tag(tag)),
            last_modified: fields::single(response, "last-modified")
                .one()
                .filter(|value| date::parse(value).is_some()),
            date_s: date.and_then(date::parse),
        }
    }

    /// Whether one of them is strong, so that two parts that have it are parts of one and the same
    /// representation (RFC 9110 section 8.8.1): a strong tag, or else a date that is at least a
    /// second before the response (RFC 9110 section 8.8.2.2).
    pub fn is_strong(&self) -> bool {
        match self.etag {
            Some(etag) => is_strong(etag),
            None => self.strong_date_s().is_some(),
        }
    }

    /// `Last-Modified` in Unix seconds, if it is strong.
    pub(crate) fn strong_date_s(&self) -> Option<u64> {
        let modified_s = self.last_modified.and_then(|value| self.parse_date(value))?;
        self.date_s.filter(|date_s| *date_s > modified_s).map(|_| modified_s)
    }

    /// Reads a date of a request. The stored response's own date tells the century of a two-digit
    /// year.
    pub(crate) fn parse_date(&self, value: &[u8]) -> Option<u64> {
        match self.date_s {
            Some(date_s) => date::parse_at(value, date_s),
            None => date::parse(value),
        }
    }
}

/// What the conditions of a request say of the stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// There is no condition that applies.
    None,
    /// They hold: answer as if there were none.
    Pass,
    /// Answer 304.
    NotModified,
    /// `If-Match` or `If-Unmodified-Since` fails. These are for origins: RFC 9111 section 4.3.2
    /// does not let a cache answer 412 by what it has stored, so the request belongs to the origin.
    /// A request for which [`is_for_origin`] is false never gets here.
    Failed,
}

/// Evaluates the conditions of a request against the stored response that it selects, in the order
/// of RFC 9110 section 13.2.2. They apply to GET and HEAD and to a stored 2xx only (RFC 9110
/// section 13.2.1, RFC 9111 section 4.3.2).
pub fn evaluate(
    method: &str,
    request: &[Field<'_>],
    stored: &Validators<'_>,
    status: u16,
) -> Precondition {
    let applies = matches!(method, "GET" | "HEAD") && (200..300).contains(&status);
    if !applies || !is_conditional(request) {
        return Precondition::None;
    }
    let for_origin = evaluate_for_origin(request, stored);
    let for_cache = evaluate_for_cache(request, stored);
    match (for_origin, for_cache) {
        (Precondition::Failed, _) => Precondition::Failed,
        (_, Precondition::None) => for_origin,
        (_, Precondition::Pass | Precondition::NotModified | Precondition::Failed) => for_cache,
    }
}

/// Whether the request has any condition (RFC 9110 section 13.1). `Range` is none.
pub fn is_conditional(request: &[Field<'_>]) -> bool {
    request.iter().any(|(name, _)| {
        matches!(name.as_bytes(), [b'i' | b'I', b'f' | b'F', b'-', ..])
            && CONDITIONS.iter().any(|known| known.eq_ignore_ascii_case(name))
    })
}

/// Whether the request has conditions that only an origin evaluates, `If-Match` or
/// `If-Unmodified-Since` (RFC 9111 section 4.3.2).
pub fn is_for_origin(request: &[Field<'_>]) -> bool {
    fields::first(request, "if-match").is_some()
        || fields::first(request, "if-unmodified-since").is_some()
}

/// Emits the conditions that let the origin validate a stored response: `If-None-Match` and
/// `If-Modified-Since`, with the values as stored (RFC 9111 section 4.3.1). Ill-formed validators
/// are left out.
pub fn conditional_fields(stored: &Validators<'_>, emit: &mut dyn FnMut(&str, &[u8])) {
    if let Some(etag) = stored.etag.filter(|tag| is_usable_tag(tag)) {
        emit("If-None-Match", etag);
    }
    if let Some(value) = stored.last_modified.filter(|value| date::parse(value).is_some()) {
        emit("If-Modified-Since", value);
    }
}

/// Strong comparison (RFC 9110 section 8.8.3.2): equal and neither weak. False for ill-formed tags.
pub fn is_strong_match(left: &[u8], right: &[u8]) -> bool {
    match (EntityTag::parse(left), EntityTag::parse(right)) {
        (Some(left), Some(right)) => left == right && !left.weak,
        _ => false,
    }
}

/// Weak comparison (RFC 9110 section 8.8.3.2): equal but for weakness. Tags without their quotes,
/// which the grammar does not know, are equal to their like alone; false for other ill-formed tags.
pub fn is_weak_match(left: &[u8], right: &[u8]) -> bool {
    match (EntityTag::parse(left), EntityTag::parse(right)) {
        (Some(left), Some(right)) => left.opaque == right.opaque,
        (None, None) => left == right && is_bare_tag(left),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Whether `value` is one well-formed entity tag (RFC 9110 section 8.8.3).
pub fn is_entity_tag(value: &[u8]) -> bool {
    EntityTag::parse(value).is_some()
}

/// Whether `value` can be compared with its like: an entity tag, or one without its quotes.
pub(crate) fn is_usable_tag(value: &[u8]) -> bool {
    is_entity_tag(value) || is_bare_tag(value)
}

/// Whether `value` is an entity tag but for its quotes. Origins that send such a tag mean it, and
/// know it again byte by byte. `*` is none: it has a meaning of its own in conditions.
fn is_bare_tag(value: &[u8]) -> bool {
    let is_inside = |byte: &u8| is_tag_byte(byte) && *byte != b',';
    !value.is_empty() && value != b"*" && value.iter().all(is_inside)
}

/// RFC 9110 section 8.8.3: the bytes between the quotes.
fn is_tag_byte(byte: &u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)
}

/// Whether `value` is a well-formed entity tag that is not weak.
pub(crate) fn is_strong(value: &[u8]) -> bool {
    is_strong_match(value, value)
}

const CONDITIONS: [&str; 5] =
    ["if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since"];

/// Steps 1 and 2 of RFC 9110 section 13.2.2.
fn evaluate_for_origin(request: &[Field<'_>], stored: &Validators<'_>) -> Precondition {
    let holds = if fields::first(request, "if-match").is_some() {
        matches_any(request, "if-match", stored.etag, is_strong_match)
    } else if let Some(value) = only(request, "if-unmodified-since") {
        // RFC 9110 section 13.1.4: ignored without a date on either side.
        let limit_s = stored.parse_date(value);
        let modified_s = stored.last_modified.and_then(|value| stored.parse_date(value));
        match (modified_s, limit_s) {
            (Some(modified_s), Some(limit_s)) => modified_s <= limit_s,
            _ => return Precondition::None,
        }
    } else {
        return Precondition::None;
    };
    if holds { Precondition::Pass } else { Precondition::Failed }
}

/// Steps 3 and 4 of RFC 9110 section 13.2.2.
fn evaluate_for_cache(request: &[Field<'_>], stored: &Validators<'_>) -> Precondition {
    // RFC 9110 section 13.1.3: with If-None-Match there, If-Modified-Since is ignored.
    let is_unchanged = if fields::first(request, "if-none-match").is_some() {
        matches_any(request, "if-none-match", stored.etag, is_weak_match)
    } else if let Some(value) = only(request, "if-modified-since") {
        let since_s = stored.parse_date(value);
        // RFC 9111 section 4.3.2: without Last-Modified, the date of the stored response.
        let modified_s = stored.last_modified.and_then(|value| stored.parse_date(value));
        match (modified_s.or(stored.date_s), since_s) {
            (Some(modified_s), Some(since_s)) => modified_s <= since_s,
            _ => return Precondition::None,
        }
    } else {
        return Precondition::None;
    };
    if is_unchanged { Precondition::NotModified } else { Precondition::Pass }
}

/// Whether the field is `*`, or has a tag that compares equal to the stored one.
fn matches_any(
    request: &[Field<'_>],
    name: &str,
    etag: Option<&[u8]>,
    is_match: fn(&[u8], &[u8]) -> bool,
) -> bool {
    only(request, name) == Some(b"*")
        || etag.is_some_and(|etag| {
            fields::values(request, name)
                .flat_map(|value| EntityTags { rest: value })
                .any(|tag| is_match(tag, etag))
        })
}

/// The value of a field that is there in exactly one line.
fn only<'a>(request: &[Field<'a>], name: &str) -> Option<&'a [u8]> {
    let mut values = fields::values(request, name);
    values.next().filter(|_| values.next().is_none())
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct EntityTag<'a> {
    weak: bool,
    opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    fn parse(value: &'a [u8]) -> Option<Self> {
        let len = entity_tag_len(value)?;
        if len != value.len() {
            return None;
        }
        let (weak, quoted) = match value.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, value),
        };
        Some(Self { weak, opaque: quoted })
    }
}

/// The length of the entity tag at the start of `value`. A backslash is an ordinary byte of a tag,
/// so a tag is no quoted string.
fn entity_tag_len(value: &[u8]) -> Option<usize> {
    let (prefix_len, quoted) = match value.strip_prefix(b"W/") {
        Some(quoted) => (2, quoted),
        None => (0, value),
    };
    let inside = quoted.strip_prefix(b"\"")?;
    let len = inside.iter().position(|byte| *byte == b'"')?;
    inside.get(..len)?.iter().all(is_tag_byte).then_some(prefix_len + len + 2)
}

/// The members of one line that are tags, with their quotes or without; the others are skipped up
/// to the next comma.
struct EntityTags<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for EntityTags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            self.rest = fields::trim(self.rest);
            let tag_len = entity_tag_len(self.rest).unwrap_or(0);
            let (tag, behind) = self.rest.split_at_checked(tag_len)?;
            let comma = behind.iter().position(|byte| *byte == b',').unwrap_or(behind.len());
            let (between, rest) = behind.split_at_checked(comma)?;
            self.rest = rest.get(1..).unwrap_or_default();
            let between = fields::trim(between);
            if tag_len > 0 && between.is_empty() {
                return Some(tag);
            }
            if tag_len == 0 && is_bare_tag(between) {
                return Some(between);
            }
        }
        None
    }
}
