//! `Vary` and the part of the key that comes from the nominated request fields (RFC 9111
//! section 4.1, RFC 9110 section 12.5.5).
//!
//! The request fields to key on are those that the origin was sent: without hop-by-hop fields and
//! those named in `Connection`. Otherwise a client could have the answer to one request stored as
//! the answer to another.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::fields::{self, Field};

/// Fields whose value is a comma-separated list by definition, so that whitespace round commas and
/// empty members mean nothing (RFC 9110 section 5.6.1, RFC 9111 section 4.1).
const LISTS: [&str; 6] =
    ["accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "prefer"];

/// Fields that name somebody: not one byte of them is taken for insignificant.
const VERBATIM: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// What `Vary` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vary {
    /// The response does not vary.
    None,
    /// It varies by what no key can hold: `*`, or a member that is no field name.
    Star,
    /// It varies by fields, see [`nominated`].
    Fields,
}

/// Reads all lines of `Vary`.
pub fn of(response: &[Field<'_>]) -> Vary {
    let mut vary = Vary::None;
    for member in fields::values(response, "vary").flat_map(fields::members) {
        if member == b"*" || !fields::is_token(member) {
            return Vary::Star;
        }
        vary = Vary::Fields;
    }
    vary
}

/// Calls `emit` with each nominated field name: lower case, sorted, each once. Members that are no
/// field names are left out; [`of`] says [`Vary::Star`] for them.
pub fn nominated(response: &[Field<'_>], emit: &mut dyn FnMut(&str)) {
    let mut names: Vec<String> = fields::values(response, "vary")
        .flat_map(fields::members)
        .filter(|member| *member != b"*" && fields::is_token(member))
        .filter_map(|member| core::str::from_utf8(member).ok())
        .map(str::to_ascii_lowercase)
        .collect();
    names.sort_unstable();
    names.dedup();
    for name in &names {
        emit(name);
    }
}

/// Appends the key of the variant that `request` selects. `names` are those of [`nominated`], in
/// its order. Two requests get the same key only if they match by RFC 9111 section 4.1.
///
/// Per name: its length and bytes, then 0 if the request has no such field, or 1, the length of the
/// value and the value. Lines of one name are joined by `, `; an empty field is not an absent one.
pub fn write_key<'n>(
    names: impl Iterator<Item = &'n str>,
    request: &[Field<'_>],
    out: &mut Vec<u8>,
) {
    for name in names.filter(|name| !name.is_empty()) {
        write_sized(out, |out| out.extend(name.bytes().map(|byte| byte.to_ascii_lowercase())));
        if fields::first(request, name).is_none() {
            out.push(0);
            continue;
        }
        out.push(1);
        write_sized(out, |out| write_value(name, request, out));
    }
}

fn write_value(name: &str, request: &[Field<'_>], out: &mut Vec<u8>) {
    let lines = || fields::values(request, name);
    if normalise(name, lines(), out) {
        return;
    }
    if is_in(&LISTS, name) {
        write_joined(lines().flat_map(fields::members), out);
    } else if is_in(&VERBATIM, name) {
        write_joined(lines(), out);
    } else {
        // An empty line or member stays: the field may be no list, where that would mean something.
        write_joined(lines().flat_map(fields::raw_members), out);
    }
}

/// Whether [`normalise`] knows a form of this field.
pub fn has_normal_form(name: &str) -> bool {
    is_in(&WEIGHTED, name)
}

/// Appends the normal form of a field whose members' order means nothing (RFC 9110 section 12.5):
/// `Accept`, `Accept-Charset`, `Accept-Encoding`, `Accept-Language`. False, and nothing appended,
/// for other fields and for values that are no such list or have more than [`MEMBERS_MAX`] members.
///
/// The form is what RFC 9111 section 4.1 calls identical by the field's specification: lines
/// joined, whitespace gone, names in lower case, weights in their shortest form, members by falling
/// weight and then by name, each once. An origin that is asked in this form gives every client of
/// one key the same choice; so a cache that keys by it should also ask in it.
pub fn normalise<'a>(name: &str, lines: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) -> bool {
    if !has_normal_form(name) {
        return false;
    }
    let mut members = [Member { value: b"", weight: 0 }; MEMBERS_MAX];
    let mut len = 0_usize;
    for text in lines.flat_map(fields::members) {
        let (Some(member), Some(place)) = (Member::parse(text), members.get_mut(len)) else {
            return false;
        };
        *place = member;
        len += 1;
    }
    let members = members.get_mut(..len).unwrap_or_default();
    members.sort_unstable_by(Member::order);
    let mut previous: Option<&Member<'_>> = None;
    for member in members.iter() {
        if previous.is_some_and(|previous| previous.order(member).is_eq()) {
            continue;
        }
        if previous.is_some() {
            out.extend_from_slice(b", ");
        }
        member.write(out);
        previous = Some(member);
    }
    true
}

/// More members than this are not brought into an order.
pub const MEMBERS_MAX: usize = 32;

/// Fields whose members have weights, and no order beside them (RFC 9110 sections 12.4.2 and 12.5).
const WEIGHTED: [&str; 4] = ["accept", "accept-charset", "accept-encoding", "accept-language"];

/// One member: a value and its weight in thousandths.
#[derive(Clone, Copy)]
struct Member<'a> {
    /// As received, without the weight: a token, range or media range. What has parameters beside
    /// the weight is not parsed, since their case may matter.
    value: &'a [u8],
    weight: u16,
}

impl<'a> Member<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let (value, weight) = match text.iter().position(|byte| *byte == b';') {
            None => (text, 1000),
            Some(at) => {
                let parameter = fields::trim(text.get(at + 1..)?);
                (fields::trim(text.get(..at)?), weight(parameter)?)
            }
        };
        let is_inside = |byte: &u8| fields::is_token_byte(*byte) || *byte == b'/';
        (!value.is_empty() && value.iter().all(is_inside)).then_some(Self { value, weight })
    }

    /// By falling weight, then by name without case.
    fn order(&self, other: &Self) -> Ordering {
        let lower = |value: &'a [u8]| value.iter().map(u8::to_ascii_lowercase);
        other.weight.cmp(&self.weight).then_with(|| lower(self.value).cmp(lower(other.value)))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.value.iter().map(u8::to_ascii_lowercase));
        if self.weight == 1000 {
            return;
        }
        out.extend_from_slice(b";q=0");
        let digits = [self.weight / 100, self.weight / 10 % 10, self.weight % 10];
        let shown = digits.iter().rposition(|digit| *digit != 0).map_or(0, |last| last + 1);
        for (index, digit) in digits.iter().take(shown).enumerate() {
            if index == 0 {
                out.push(b'.');
            }
            out.push(b'0' + *digit as u8);
        }
    }
}

/// `q=` and a weight of at most three decimals, in thousandths (RFC 9110 section 12.4.2).
fn weight(parameter: &[u8]) -> Option<u16> {
    let value = match parameter {
        [b'q' | b'Q', b'=', value @ ..] => value,
        _ => return None,
    };
    let (whole, decimals) = match value {
        [whole @ (b'0' | b'1')] => (whole, [].as_slice()),
        [whole @ (b'0' | b'1'), b'.', decimals @ ..] => (whole, decimals),
        _ => return None,
    };
    if decimals.len() > 3 || !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let scale = [100, 10, 1];
    let part = decimals.iter().zip(scale).map(|(digit, scale)| u16::from(digit - b'0') * scale);
    let weight = u16::from(whole - b'0') * 1000 + part.sum::<u16>();
    (weight <= 1000).then_some(weight)
}

fn is_in(table: &[&str], name: &str) -> bool {
    table.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn write_joined<'a>(parts: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    for (index, part) in parts.enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(part);
    }
}

/// Writes a length of eight bytes before what `write` appends.
fn write_sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    write(out);
    let len = (out.len() - start - 8) as u64;
    if let Some(place) = out.get_mut(start..start + 8) {
        place.copy_from_slice(&len.to_le_bytes());
    }
}
