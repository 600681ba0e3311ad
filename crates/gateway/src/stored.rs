//! The head of a stored record: what the store keeps in front of a body, in our own form.
//!
//! ```text
//! response   2 | 'R' | StoredMeta | etag at,len | last-modified at,len | own len | own | lines
//! vary base  2 | 'V' | id, 8 bytes | nominated names, lower case, comma separated
//! ```
//! Numbers are little endian; `at` and `len` are u32, of the validators within `lines`. Field lines
//! are ready to send (`name: value CRLF`), without framing, hop-by-hop fields and `Age`; a hit
//! copies them. `own` are lines of fields that are for this edge alone ([`crate::tags`]):
//! they are kept for freshening, and not sent.
//! Under the primary key of a varying resource lies a vary base; its variants lie under
//! [`crate::key::append_variant`] keys, which hold the base's id. Removing the base thus removes
//! all of them at once (GW-5).

use alloc::vec::Vec;
use core::ops::Range;

use longhold_http1::emit::HeadWriter;
use longhold_policy::directives::ResponseDirectives;
use longhold_policy::validate::Validators;
use longhold_policy::{StoredMeta, date, fields};

use crate::{CACHE_NAME, Field, tags};

/// A decoded record head.
#[derive(Clone, Copy, Debug)]
pub enum RecordHead<'a> {
    /// A stored response.
    Response(StoredHead<'a>),
    /// The list of nominated fields of a varying resource.
    Vary(VaryBase<'a>),
}

/// A stored response's head.
#[derive(Clone, Copy, Debug)]
pub struct StoredHead<'a> {
    /// What reuse is decided from.
    pub meta: StoredMeta,
    /// Field lines, ready to send.
    pub lines: &'a [u8],
    own_lines: &'a [u8],
    etag: Option<&'a [u8]>,
    last_modified: Option<&'a [u8]>,
}

/// A varying resource's base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaryBase<'a> {
    /// Part of every variant's key; new whenever the nominated fields change or a purge happened.
    pub id: u64,
    /// Nominated field names, lower case, comma separated.
    pub nominated: &'a str,
}

/// Decodes a record head; `None` for anything that this module did not write (GW-6).
pub fn decode(head: &[u8]) -> Option<RecordHead<'_>> {
    let (prefix, rest) = head.split_at_checked(2)?;
    match prefix {
        [FORM, KIND_RESPONSE] => decode_response(rest).map(RecordHead::Response),
        [FORM, KIND_VARY] => {
            let (id, nominated) = rest.split_first_chunk::<8>()?;
            let nominated = core::str::from_utf8(nominated).ok()?;
            Some(RecordHead::Vary(VaryBase { id: u64::from_le_bytes(*id), nominated }))
        }
        _ => None,
    }
}

fn decode_response(rest: &[u8]) -> Option<StoredHead<'_>> {
    let (meta, rest) = rest.split_at_checked(StoredMeta::BYTES)?;
    let meta = StoredMeta::decode(meta)?;
    let (etag, rest) = split_span(rest)?;
    let (last_modified, rest) = split_span(rest)?;
    let (own_len, rest) = rest.split_first_chunk::<4>()?;
    let (own_lines, lines) = rest.split_at_checked(u32::from_le_bytes(*own_len) as usize)?;
    let cut = |(at, len): (usize, usize)| match len {
        0 => Some(None),
        _ => lines.get(at..at.checked_add(len)?).map(Some),
    };
    let (etag, last_modified) = (cut(etag)?, cut(last_modified)?);
    Some(StoredHead { meta, lines, own_lines, etag, last_modified })
}

fn split_span(rest: &[u8]) -> Option<((usize, usize), &[u8])> {
    let (at, rest) = rest.split_first_chunk::<4>()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    Some(((u32::from_le_bytes(*at) as usize, u32::from_le_bytes(*len) as usize), rest))
}

impl<'a> StoredHead<'a> {
    /// The stored response's validators (RFC 9110 section 8.8).
    pub fn validators(&self) -> Validators<'a> {
        Validators {
            etag: self.etag,
            last_modified: self.last_modified,
            date_s: Some(self.meta.date_s),
        }
    }

    /// The same after a soft purge: stale from now on, and whatever may be done with a stale
    /// response may be done with it.
    #[must_use]
    pub fn soft_purged(self, now_ms: u64) -> Self {
        Self { meta: self.meta.soft_purged(now_ms), ..self }
    }

    /// Which bytes of the whole a record with `body_len` bytes of body holds, and how many bytes
    /// the whole has (RFC 9111 section 3.3).
    pub fn held(&self, body_len: u64) -> (Range<u64>, u64) {
        match self.meta.part {
            Some(part) => (part.range(), part.complete_len()),
            None => (0..body_len, body_len),
        }
    }

    /// Whether a conditional request can validate it.
    pub fn can_validate(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }

    /// The stored fields, those for this edge alone behind the others.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> {
        field_lines(self.lines).chain(field_lines(self.own_lines))
    }
}

/// Splits ready-to-send field lines into fields.
pub fn field_lines(lines: &[u8]) -> impl Iterator<Item = Field<'_>> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r")?;
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let value = value.get(1..)?.trim_ascii();
        core::str::from_utf8(name).ok().map(|name| (name, value))
    })
}

/// Writes the head of a response to store. `response` are the origin's fields, or the freshened
/// ones; fields that must not be stored are left out here (RFC 9111 section 3.1), a missing `Date`
/// is added (RFC 9110 section 6.6.1). `via_version` is the origin's HTTP version for `Via`, `None`
/// when the fields already went through here once.
pub fn encode_response(
    meta: &StoredMeta,
    response: &[Field<'_>],
    via_version: Option<&str>,
    out: &mut Vec<u8>,
) {
    let (mut lines, mut own_lines) = (Vec::with_capacity(256), Vec::new());
    let mut writer = HeadWriter::lines(&mut lines);
    let mut own = HeadWriter::lines(&mut own_lines);
    let mut has_date = false;
    let directives = ResponseDirectives::from_fields(response);
    for (name, value) in response {
        // RFC 9111 sections 5.2.2.4 and 5.2.2.7: fields that no-cache or private names.
        if directives.withholds(name) {
            continue;
        }
        if tags::is_for_edge(name) {
            own.field(name, value);
        } else if is_stored(name, response) {
            has_date |= name.eq_ignore_ascii_case("date");
            writer.field(name, value);
        }
    }
    if !has_date {
        writer.field("Date", &date::format(meta.date_s));
    }
    if let Some(version) = via_version {
        let mut via = Vec::from(version.as_bytes());
        via.push(b' ');
        via.extend_from_slice(CACHE_NAME.as_bytes());
        writer.field("Via", &via);
    }
    let etag = span(&lines, "etag");
    let last_modified = span(&lines, "last-modified");
    out.clear();
    out.extend_from_slice(&[FORM, KIND_RESPONSE]);
    out.extend_from_slice(&meta.encode());
    for number in [etag.0, etag.1, last_modified.0, last_modified.1, own_lines.len() as u32] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&own_lines);
    out.extend_from_slice(&lines);
}

/// Writes a vary base.
pub fn encode_vary(base: &VaryBase<'_>, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[FORM, KIND_VARY]);
    out.extend_from_slice(&base.id.to_le_bytes());
    out.extend_from_slice(base.nominated.as_bytes());
}

/// Whether a response field is stored; framing and `Age` are written anew at each use.
fn is_stored(name: &str, response: &[Field<'_>]) -> bool {
    let anew = ["age", "content-length", "content-range"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known));
    !anew && fields::is_storable(response, name)
}

/// Where the value of the first `name` line lies; (0, 0) when there is none.
fn span(lines: &[u8], name: &str) -> (u32, u32) {
    let value = field_lines(lines).find(|(known, _)| known.eq_ignore_ascii_case(name));
    match value {
        Some((_, value)) if !value.is_empty() => {
            let at = (value.as_ptr() as usize).saturating_sub(lines.as_ptr() as usize);
            (at as u32, value.len() as u32)
        }
        Some(_) | None => (0, 0),
    }
}

const FORM: u8 = 2;
const KIND_RESPONSE: u8 = b'R';
const KIND_VARY: u8 = b'V';
