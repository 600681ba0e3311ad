//! The cache key (RFC 9111 section 2): scheme, authority, path and query of one normal form, and
//! for varying resources the key of a variant.
//!
//! ```text
//! primary   http://host[:port]/path?query
//! variant   primary 0x00 base-id(8, little endian) nominated fields
//! ```
//! A zero byte cannot occur in a target, so no primary key equals a variant's (GW-1).

use alloc::vec::Vec;
use longhold_http1::Target;
use longhold_http1::target;
use longhold_policy::invalidate::Base;
use longhold_policy::{fields, vary};

use crate::Field;

/// Writes the primary key of `target` into `key`, replacing what it held. `scheme` is the
/// listener's (`http` or `https`); its default port is removed.
///
/// # Errors
/// [`NoKey`] when the target has no host or no normal form; such a request is not cached.
pub fn write_primary(key: &mut Vec<u8>, scheme: &str, target: &Target<'_>) -> Result<(), NoKey> {
    key.clear();
    if target.authority.is_empty() {
        return Err(NoKey);
    }
    key.extend_from_slice(scheme.as_bytes());
    key.extend_from_slice(b"://");
    target::normalise(target, default_port(scheme), key).map_err(|_| NoKey)
}

/// The target of a primary key, taken apart again; `None` for other bytes.
pub fn base(primary: &[u8]) -> Option<Base<'_>> {
    let (scheme, rest) = core::str::from_utf8(primary).ok()?.split_once("://")?;
    let (authority, path_and_query) = rest.split_at_checked(rest.find('/')?)?;
    Some(Base { scheme, authority, path_and_query })
}

/// The port that need not be said.
pub(crate) fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

/// Appends to `key`, which holds the primary key, what selects one variant: the base's id and the
/// request's values of the `nominated` fields (lower-case names, separated by commas).
pub fn append_variant(key: &mut Vec<u8>, base_id: u64, nominated: &str, request: &[Field<'_>]) {
    key.push(0);
    key.extend_from_slice(&base_id.to_le_bytes());
    write_nominated(nominated, request, key);
}

/// Appends the request's values of the `nominated` fields. Two requests get the same bytes only if
/// they select the same variant (RFC 9111 section 4.1). A site's rule may nominate cookies, too:
/// `cookie:name`, which is no field's name.
pub fn write_nominated(nominated: &str, request: &[Field<'_>], out: &mut Vec<u8>) {
    let names = nominated.split(',');
    let of_fields = names.clone().filter(|name| !name.starts_with(COOKIE));
    vary::write_key(of_fields, request, out);
    for name in names.filter_map(|name| name.strip_prefix(COOKIE)) {
        write_sized(out, name.as_bytes());
        match cookie(name, request) {
            Some(value) => {
                out.push(1);
                write_sized(out, value);
            }
            None => out.push(0),
        }
    }
}

/// The request's value of one nominated name, as received: all lines of a field, or a cookie.
pub fn nominated_value(name: &str, request: &[Field<'_>]) -> Option<Vec<u8>> {
    match name.strip_prefix(COOKIE) {
        Some(name) => cookie(name, request).map(Vec::from),
        None => {
            let lines: Vec<&[u8]> = fields::values(request, name).collect();
            (!lines.is_empty()).then(|| lines.join(&b", "[..]))
        }
    }
}

/// The value of the first cookie of that name (RFC 6265 section 5.4).
fn cookie<'a>(name: &str, request: &[Field<'a>]) -> Option<&'a [u8]> {
    let pairs = fields::values(request, "cookie").flat_map(|line| line.split(|byte| *byte == b';'));
    let mut values = pairs.filter_map(|pair| {
        let value = fields::trim(pair).strip_prefix(name.as_bytes())?;
        value.strip_prefix(b"=")
    });
    values.next()
}

fn write_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Before the name of a nominated cookie.
pub(crate) const COOKIE: &str = "cookie:";

/// The target has no cache key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKey;
