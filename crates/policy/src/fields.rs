//! Field lines: lookup by name, comma-separated lists, and the tables of fields that end at one
//! hop.
//!
//! This module knows the syntax that all fields share (RFC 9110 sections 5.5, 5.6, 7.6.1). It does
//! not know what any field means, apart from the names in its tables.

/// One field line: name as received (any case), value without surrounding whitespace.
pub type Field<'a> = (&'a str, &'a [u8]);

/// Fields that end at one hop (RFC 9110 section 7.6.1), plus `Trailer`, because an edge that drops
/// trailers must not announce them.
const HOP_BY_HOP: [&str; 7] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields about the credentials of one proxy hop, which no shared cache stores (RFC 9111
/// section 3.1).
const PROXY_ONLY: [&str; 3] =
    ["proxy-authenticate", "proxy-authentication-info", "proxy-authorization"];

/// Fields that a `Connection` option must not remove: the framing and target of the message, its
/// credentials, and what is meant for every recipient (RFC 9110 section 7.6.1 names
/// `Cache-Control`).
const PROTECTED: [&str; 5] =
    ["authorization", "cache-control", "content-length", "host", "transfer-encoding"];

/// The values of all lines called `name`, in order. `name` is compared without case.
pub fn values<'f, 'a>(
    fields: &'f [Field<'a>],
    name: &'f str,
) -> impl Iterator<Item = &'a [u8]> + use<'f, 'a> {
    fields.iter().filter(move |field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1)
}

/// The value of the first line called `name`.
pub fn first<'a>(fields: &[Field<'a>], name: &str) -> Option<&'a [u8]> {
    fields.iter().find(|field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1)
}

/// How often a field that must not repeat is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Single<'a> {
    /// No line has this name.
    Absent,
    /// Exactly one line has it.
    One(&'a [u8]),
    /// Several lines have it, with unlike values.
    Conflict,
}

impl<'a> Single<'a> {
    /// The value, if it is there without contradiction.
    pub fn one(self) -> Option<&'a [u8]> {
        match self {
            Self::One(value) => Some(value),
            Self::Absent | Self::Conflict => None,
        }
    }
}

/// Looks up a field that is no list (RFC 9110 section 5.3). Lines that say the same count as one.
pub fn single<'a>(fields: &[Field<'a>], name: &str) -> Single<'a> {
    let mut found = Single::Absent;
    for (candidate, value) in fields {
        if candidate.eq_ignore_ascii_case(name) {
            found = match found {
                Single::Absent => Single::One(value),
                Single::One(earlier) if earlier == *value => found,
                Single::One(_) | Single::Conflict => return Single::Conflict,
            };
        }
    }
    found
}

/// The members of one line of a comma-separated list (RFC 9110 section 5.6.1), without surrounding
/// whitespace; empty members are skipped.
///
/// A comma inside a quoted string is no separator. A quote that is never closed opens no string, so
/// that it cannot hide the members behind it.
pub fn members(value: &[u8]) -> Members<'_> {
    Members { rest: value, is_unclosed: false }
}

/// See [`members`].
#[derive(Clone, Debug)]
pub struct Members<'a> {
    rest: &'a [u8],
    /// A quote was met that nothing closes. Nothing closes a later one either, so that no more
    /// strings are looked for, and a line costs no more than two passes.
    is_unclosed: bool,
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let end = self.member_end();
            let (member, rest) = self.rest.split_at_checked(end)?;
            self.rest = rest.get(1..).unwrap_or_default();
            let member = trim(member);
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

/// The same members, but with the empty ones: one more than there are commas outside of quotes.
pub(crate) fn raw_members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(Members { rest: value, is_unclosed: false });
    core::iter::from_fn(move || {
        let members = rest.as_mut()?;
        let end = members.member_end();
        let (member, behind) = members.rest.split_at_checked(end)?;
        match behind.split_first() {
            Some((_, behind)) => members.rest = behind,
            None => rest = None,
        }
        Some(trim(member))
    })
}

impl Members<'_> {
    /// Where the next member ends: at a comma outside of quoted strings, or at the end.
    fn member_end(&mut self) -> usize {
        let mut at = 0;
        while let Some(byte) = self.rest.get(at) {
            match byte {
                b',' => return at,
                b'"' if !self.is_unclosed => {
                    let inside = self.rest.get(at + 1..).unwrap_or_default();
                    let len = quoted_len(inside);
                    self.is_unclosed = len.is_none();
                    at += len.map_or(1, |len| len + 2);
                }
                _ => at += 1,
            }
        }
        self.rest.len()
    }
}

/// The number of bytes before the closing quote, if there is one. A backslash guards the byte
/// behind it (RFC 9110 section 5.6.4).
fn quoted_len(inside: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match inside.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// What stands inside `value` if it is exactly one quoted string; its escapes are still there.
pub(crate) fn unquote(value: &[u8]) -> Option<&[u8]> {
    let inside = value.strip_prefix(b"\"")?;
    let len = quoted_len(inside)?;
    (len + 1 == inside.len()).then(|| inside.get(..len)).flatten()
}

/// `value` without spaces and tabs at both ends (OWS, RFC 9110 section 5.6.3).
pub fn trim(value: &[u8]) -> &[u8] {
    let mut value = value;
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether `value` is a token (RFC 9110 section 5.6.2).
pub fn is_token(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|byte| is_token_byte(*byte))
}

pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether a field of this name ends at this hop whatever `Connection` says (RFC 9110
/// section 7.6.1).
pub fn is_hop_by_hop(name: &str) -> bool {
    is_in(&HOP_BY_HOP, name)
}

/// The options of all `Connection` lines, as received.
pub fn connection_options<'f, 'a>(
    fields: &'f [Field<'a>],
) -> impl Iterator<Item = &'a [u8]> + use<'f, 'a> {
    values(fields, "connection").flat_map(members)
}

/// Whether `Connection` names this field, so that it ends at this hop (RFC 9110 section 7.6.1).
/// False for the few fields that no sender may take away in this manner: framing, target,
/// credentials and cache directives.
pub fn is_connection_option(fields: &[Field<'_>], name: &str) -> bool {
    !is_in(&PROTECTED, name)
        && connection_options(fields).any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
}

/// Whether a field of this name may become part of a stored response (RFC 9111 section 3.1).
/// `response` are all fields of the response, because its `Connection` may name this one.
pub fn is_storable(response: &[Field<'_>], name: &str) -> bool {
    !is_hop_by_hop(name) && !is_in(&PROXY_ONLY, name) && !is_connection_option(response, name)
}

fn is_in(table: &[&str], name: &str) -> bool {
    table.iter().any(|known| known.eq_ignore_ascii_case(name))
}
