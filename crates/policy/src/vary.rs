//! `Vary` and the part of the key that comes from the nominated request fields (RFC 9111
//! section 4.1, RFC 9110 section 12.5.5).
//!
//! The request fields to key on are those that the origin was sent: without hop-by-hop fields and
//! those named in `Connection`. Otherwise a client could have the answer to one request stored as
//! the answer to another.

use alloc::string::String;
use alloc::vec::Vec;

use crate::fields::{self, Field};

/// Fields whose value is a comma-separated list by definition, so that whitespace round commas and
/// empty members mean nothing (RFC 9110 section 5.6.1, RFC 9111 section 4.1).
const LISTS: [&str; 6] =
    ["accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "prefer"];

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
    let is_list = LISTS.iter().any(|list| list.eq_ignore_ascii_case(name));
    if is_list {
        write_joined(fields::values(request, name).flat_map(fields::members), out);
    } else {
        write_joined(fields::values(request, name), out);
    }
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
