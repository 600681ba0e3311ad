//! Content codings that the edge applies itself: which one a client gets, and which responses are
//! worth it (RFC 9110 sections 8.4 and 12.5.3).
//!
//! A coded response is another representation: its entity tag is weakened, and so is that of the
//! plain one no more than the origin has it; `Vary` says by what they differ (RFC 9110 sections
//! 8.8.3.3 and 12.5.5).
//!
//! Not here: the codecs themselves (the application's fill plane).

use alloc::string::String;
use alloc::vec::Vec;

use longhold_policy::fields;

use crate::Field;

/// A content coding that the edge can apply (RFC 9110 section 8.4.1, RFC 7932, RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
    /// `gzip`.
    Gzip,
}

impl Coding {
    /// Its name on the wire.
    pub fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The coding of that name.
    pub fn of(name: &[u8]) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        // RFC 9110 section 8.4.1.3: x-gzip is gzip.
        let aliased = if is("x-gzip") { Some(Self::Gzip) } else { None };
        aliased.or_else(|| ALL.into_iter().find(|coding| is(coding.token())))
    }
}

/// Which responses are compressed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compress {
    /// What is offered, the best first.
    pub codings: Vec<Coding>,
    /// Media types, lower case; `text/*` for all of a kind, `*+json` for all of a suffix.
    pub types: Vec<crate::rules::Glob>,
    /// Shorter bodies stay as they are.
    pub body_bytes_min: u64,
}

/// The coding for a client among those offered: what it weighs most, then what is offered first;
/// `None` for the identity (RFC 9110 section 12.5.3). A client that says nothing gets the identity.
pub fn choose(request: &[Field<'_>], offered: &[Coding]) -> Option<Coding> {
    let mut best: Option<(u16, Coding)> = None;
    for coding in offered {
        let weight = weight_of(request, Some(*coding));
        if weight > 0 && best.is_none_or(|(known, _)| weight > known) {
            best = Some((weight, *coding));
        }
    }
    let (weight, coding) = best?;
    (weight >= weight_of(request, None)).then_some(coding)
}

/// How much a request wants a coding, in thousandths; `None` is the identity, which counts only
/// where it is named.
fn weight_of(request: &[Field<'_>], coding: Option<Coding>) -> u16 {
    let mut any = 0;
    for member in fields::values(request, "accept-encoding").flat_map(fields::members) {
        let mut parts = member.split(|byte| *byte == b';');
        let name = parts.next().map(fields::trim).unwrap_or_default();
        let weight = parts.next().map_or(1000, weight);
        let is_named = match coding {
            Some(coding) => Coding::of(name) == Some(coding),
            None => name.eq_ignore_ascii_case(b"identity"),
        };
        if is_named {
            return weight;
        }
        if name == b"*" && coding.is_some() {
            any = weight;
        }
    }
    any
}

/// A `q` parameter in thousandths (RFC 9110 section 12.4.2); 0 when it is none.
fn weight(parameter: &[u8]) -> u16 {
    let parameter = fields::trim(parameter);
    let Some(value) = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="))
    else {
        return 0;
    };
    let (whole, digits) = match value {
        [b'0'] => (0, &[][..]),
        [b'1'] => (1000, &[][..]),
        [b'0', b'.', digits @ ..] if digits.len() <= 3 => (0, digits),
        [b'1', b'.', digits @ ..] if digits.len() <= 3 => (1000, digits),
        _ => return 0,
    };
    let mut sum: u16 = whole;
    let mut place = 100;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return 0;
        }
        sum += u16::from(digit - b'0') * place;
        place /= 10;
    }
    if sum > 1000 { 0 } else { sum }
}

/// The head of a response that is to be compressed.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub fields: &'a [Field<'a>],
    /// Bytes of its body where they are known.
    pub body_len: Option<u64>,
}

impl Compress {
    /// What a client gets; plain, too, if it wants nothing changed on the way (RFC 9111 section
    /// 5.2.1.6).
    pub fn choose(&self, request: &[Field<'_>]) -> Option<Coding> {
        let as_it_is = has_directive(request, b"no-transform");
        if as_it_is { None } else { choose(request, &self.codings) }
    }

    /// Whether a response of this kind comes coded to whoever accepts that: then all of its
    /// variants say `Vary: Accept-Encoding`.
    pub fn suits(&self, response: &Candidate<'_>) -> bool {
        let Candidate { status, fields: received, body_len } = *response;
        // RFC 9110 section 15.3.7: a part's bytes are counted in its own representation.
        let has_body = !matches!(status, 100..=199 | 204 | 205 | 206 | 304 | 416);
        has_body
            && body_len.is_none_or(|len| len >= self.body_bytes_min)
            && self.is_type(received)
            && fields::first(received, "content-encoding").is_none()
            && fields::first(received, "content-range").is_none()
            // RFC 9111 section 5.2.2.6.
            && !has_directive(received, b"no-transform")
    }

    fn is_type(&self, received: &[Field<'_>]) -> bool {
        let Some(value) = fields::single(received, "content-type").one() else { return false };
        let name = value.split(|byte| *byte == b';').next().unwrap_or(value);
        let name = fields::trim(name).to_ascii_lowercase();
        self.types.iter().any(|glob| glob.matches(&name))
    }
}

fn has_directive(received: &[Field<'_>], name: &[u8]) -> bool {
    let mut members = fields::values(received, "cache-control").flat_map(fields::members);
    members.any(|member| member.eq_ignore_ascii_case(name))
}

/// Tells in a response's fields that its body is coded, or `None` that it is the plain one among
/// coded ones.
pub fn mark(response: &mut Vec<(String, Vec<u8>)>, coding: Option<Coding>) {
    add_vary(response);
    let Some(coding) = coding else { return };
    // Sums and lengths of the plain body (RFC 9530 sections 2 and 3).
    response.retain(|(name, _)| !is_of_plain_body(name));
    response.push((String::from("Content-Encoding"), Vec::from(coding.token())));
    for (_, value) in response.iter_mut().filter(|(name, _)| is_etag(name)) {
        weaken(value);
    }
}

/// Weakens the tag of a 304 that confirms a stored response whose tag was weakened when it was
/// coded: the origin knows only the plain one.
pub fn weaken_update(update: &mut [(String, Vec<u8>)], stored_etag: Option<&[u8]>) {
    let held = stored_etag.and_then(|etag| etag.strip_prefix(b"W/"));
    for (_, value) in update.iter_mut().filter(|(name, _)| is_etag(name)) {
        if held == Some(value.as_slice()) {
            weaken(value);
        }
    }
}

/// Keeps the fields of a freshened response, `merged` from `stored` and a 304, true of what is
/// stored: it still varies, and if it is coded, sums of the plain body are not its own.
pub fn mark_merged(merged: &mut Vec<(String, Vec<u8>)>, stored: &[Field<'_>]) {
    if !fields::values(stored, "vary").any(says_coding) {
        return;
    }
    add_vary(merged);
    if fields::first(stored, "content-encoding").is_some() {
        merged.retain(|(name, _)| !is_of_plain_body(name));
    }
}

/// RFC 9110 section 8.8.3.3: a coding done on the way must not keep a strong tag.
fn weaken(etag: &mut Vec<u8>) {
    if etag.first() == Some(&b'"') {
        etag.splice(0..0, *b"W/");
    }
}

fn is_etag(name: &str) -> bool {
    name.eq_ignore_ascii_case("etag")
}

fn add_vary(response: &mut Vec<(String, Vec<u8>)>) {
    let is_vary = |name: &str| name.eq_ignore_ascii_case("vary");
    if response.iter().any(|(name, value)| is_vary(name) && says_coding(value)) {
        return;
    }
    match response.iter_mut().find(|(name, value)| is_vary(name) && !value.is_empty()) {
        Some((_, value)) => value.extend_from_slice(b", Accept-Encoding"),
        None => response.push((String::from("Vary"), Vec::from(&b"Accept-Encoding"[..]))),
    }
}

/// Whether a line of `Vary` nominates `Accept-Encoding`, or everything.
fn says_coding(value: &[u8]) -> bool {
    fields::members(value)
        .any(|member| member == b"*" || member.eq_ignore_ascii_case(b"accept-encoding"))
}

fn is_of_plain_body(name: &str) -> bool {
    OF_PLAIN_BODY.iter().any(|known| name.eq_ignore_ascii_case(known))
}

const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

/// Fields that are true of the plain body only.
const OF_PLAIN_BODY: [&str; 6] =
    ["content-length", "content-md5", "digest", "content-digest", "repr-digest", "accept-ranges"];
