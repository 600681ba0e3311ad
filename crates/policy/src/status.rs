//! `Cache-Status` (RFC 9211): its tokens as the one outcome of an exchange, and the writer of one
//! list member in structured-field syntax (RFC 8941).

use alloc::vec::Vec;

use crate::fields;

/// How the cache handled a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheOutcome {
    /// Answered from the store (RFC 9211 section 2.1).
    Hit,
    /// Went towards the origin (RFC 9211 section 2.2).
    Fwd(Fwd),
}

impl CacheOutcome {
    /// `hit`, or the token of the reason: one word for logs and counters.
    pub fn token(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Fwd(fwd) => fwd.token(),
        }
    }
}

/// Why a request went towards the origin (RFC 9211 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fwd {
    /// The cache was told not to handle it.
    Bypass,
    /// The method's semantics require it.
    Method,
    /// Nothing is stored for the URI.
    UriMiss,
    /// What is stored for the URI does not match the nominated fields.
    VaryMiss,
    /// Nothing is stored that could be used, for one of the two reasons before.
    Miss,
    /// A fresh response is stored, but the request does not allow its use.
    Request,
    /// A response is stored, but it is stale.
    Stale,
    /// Only parts of what the request needs are stored.
    Partial,
}

impl Fwd {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::Bypass,
        Self::Method,
        Self::UriMiss,
        Self::VaryMiss,
        Self::Miss,
        Self::Request,
        Self::Stale,
        Self::Partial,
    ];

    /// The token of RFC 9211.
    pub fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// What [`write()`] says besides the outcome. The default says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters<'a> {
    /// The status with which the next hop answered, where the client gets another one, which else
    /// would be taken for it (section 2.3); said only of forwarded requests.
    pub fwd_status: Option<u16>,
    /// What is left of the freshness lifetime in seconds, negative when stale (section 2.4).
    pub ttl_s: Option<i64>,
    /// Whether the response was stored (section 2.5); said only of forwarded requests.
    pub stored: bool,
    /// Whether the request joined another (section 2.6); said only of forwarded requests.
    pub collapsed: bool,
    /// More about it (section 2.8). Bytes that a structured string cannot hold become `?`.
    pub detail: Option<&'a str>,
}

/// Appends one member of `Cache-Status`, without the field name.
///
/// ```
/// use longhold_policy::status::{CacheOutcome, Parameters, write};
/// let mut out = Vec::new();
/// let parameters = Parameters { ttl_s: Some(60), ..Parameters::default() };
/// write(&mut out, "longhold", CacheOutcome::Hit, &parameters);
/// assert_eq!(out, b"longhold; hit; ttl=60");
/// ```
pub fn write(
    out: &mut Vec<u8>,
    cache_name: &str,
    outcome: CacheOutcome,
    parameters: &Parameters<'_>,
) {
    write_token_or_string(out, cache_name);
    match outcome {
        CacheOutcome::Hit => out.extend_from_slice(b"; hit"),
        CacheOutcome::Fwd(fwd) => {
            out.extend_from_slice(b"; fwd=");
            out.extend_from_slice(fwd.token().as_bytes());
            if let Some(status) = parameters.fwd_status {
                out.extend_from_slice(b"; fwd-status=");
                write_integer(out, i64::from(status));
            }
            if parameters.stored {
                out.extend_from_slice(b"; stored");
            }
            if parameters.collapsed {
                out.extend_from_slice(b"; collapsed");
            }
        }
    }
    if let Some(ttl_s) = parameters.ttl_s {
        out.extend_from_slice(b"; ttl=");
        write_integer(out, ttl_s);
    }
    if let Some(detail) = parameters.detail {
        out.extend_from_slice(b"; detail=");
        write_token_or_string(out, detail);
    }
}

/// RFC 8941 sections 3.3.4 and 4.1.6: a token where it is one, else a string with its escapes.
fn write_token_or_string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let starts_well = matches!(bytes.first(), Some(b'*' | b'a'..=b'z' | b'A'..=b'Z'));
    let is_inside = |byte: &u8| fields::is_token_byte(*byte) || matches!(byte, b':' | b'/');
    if starts_well && bytes.iter().all(is_inside) {
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
            ' '..='~' => out.push(character as u8),
            _ => out.push(b'?'),
        }
    }
    out.push(b'"');
}

/// RFC 8941 section 3.3.1: at most 15 digits.
fn write_integer(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    let mut rest = number.unsigned_abs().min(INTEGER_MAX);
    let start = out.len();
    loop {
        out.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

const INTEGER_MAX: u64 = 999_999_999_999_999;
