//! Which exchanges make stored responses invalid, and of which targets (RFC 9111 section 4.4).

use alloc::vec::Vec;

use crate::fields::{self, Field};
use crate::method;

/// A URI can be resolved to one of this many bytes at most; a longer one is not followed.
pub const TARGET_BYTES_MAX: usize = 16 * 1024;

/// Whether the stored responses of the target must be invalidated: the method is not known to be
/// safe and the response is no error (RFC 9111 section 4.4).
pub fn applies(method: &str, status: u16) -> bool {
    !method::is_safe(method) && (200..400).contains(&status)
}

/// The target of the request that invalidates, in its normal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and optional port.
    pub authority: &'a str,
    /// Path and query, from the first slash on.
    pub path_and_query: &'a str,
}

/// Emits path and query of each further target whose stored responses are to be invalidated: those
/// in `Location` and `Content-Location` of a response to which [`applies`] says yes.
///
/// Only targets of the same origin are emitted, because one site must not empty another's cache
/// (RFC 9111 section 4.4). References are resolved against `base` (RFC 3986 section 5.2); dot
/// segments and escapes are as received, for the caller has to bring the target into the normal
/// form of its keys.
pub fn targets(base: &Base<'_>, response: &[Field<'_>], emit: &mut dyn FnMut(&str)) {
    for name in ["location", "content-location"] {
        // RFC 9110 sections 8.7 and 10.2.2: one reference each; of several, none can be trusted.
        let reference = fields::single(response, name).one();
        let resolved = reference.and_then(|reference| resolve(base, reference));
        if let Some(target) = resolved.as_deref().and_then(|bytes| core::str::from_utf8(bytes).ok())
            && target != base.path_and_query
        {
            emit(target);
        }
    }
}

/// Whether `Content-Location` names the target itself (RFC 9110 section 8.7): the same path and
/// query, byte by byte, of the same origin.
pub fn is_own_location(base: &Base<'_>, response: &[Field<'_>]) -> bool {
    fields::single(response, "content-location")
        .one()
        .and_then(|reference| resolve(base, reference))
        .is_some_and(|target| target == base.path_and_query.as_bytes())
}

/// Path and query of `reference`, seen from `base`; `None` for another origin, and for what is no
/// reference to a resource of HTTP.
fn resolve(base: &Base<'_>, reference: &[u8]) -> Option<Vec<u8>> {
    let is_visible = reference.iter().all(|byte| (0x21..0x7f).contains(byte));
    if !is_visible || reference.len() + base.path_and_query.len() > TARGET_BYTES_MAX {
        return None;
    }
    let end = reference.iter().position(|byte| *byte == b'#').unwrap_or(reference.len());
    let mut rest = reference.get(..end)?;
    if let Some(scheme_len) = scheme_len(rest) {
        let (scheme, behind) = rest.split_at_checked(scheme_len)?;
        if !scheme.eq_ignore_ascii_case(base.scheme.as_bytes()) {
            return None;
        }
        rest = behind.strip_prefix(b":")?;
        if !rest.starts_with(b"//") {
            return None;
        }
    }
    if let Some(behind) = rest.strip_prefix(b"//") {
        let is_end = |byte: &u8| matches!(byte, b'/' | b'?');
        let len = behind.iter().position(is_end).unwrap_or(behind.len());
        let (authority, path) = behind.split_at_checked(len)?;
        if !is_same_authority(base, authority) {
            return None;
        }
        let slash: &[u8] = if path.starts_with(b"/") { b"" } else { b"/" };
        return Some([slash, path].concat());
    }
    let (base_path, _) = split_query(base.path_and_query.as_bytes());
    match rest.first() {
        Some(b'/') => Some(Vec::from(rest)),
        Some(b'?') => Some([base_path, rest].concat()),
        // RFC 3986 section 5.2.2: an empty reference, a fragment aside, is the base.
        None => Some(Vec::from(base.path_and_query)),
        Some(_) => {
            // RFC 3986 section 5.2.3: behind the last slash of the base's path.
            let folder_len = base_path.iter().rposition(|byte| *byte == b'/')? + 1;
            Some([base_path.get(..folder_len)?, rest].concat())
        }
    }
}

/// The length of the scheme before the colon, if the reference has one (RFC 3986 section 3.1).
fn scheme_len(reference: &[u8]) -> Option<usize> {
    let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let len = reference.iter().position(|byte| !is_inside(byte))?;
    let starts_well = reference.first()?.is_ascii_alphabetic();
    (starts_well && reference.get(len) == Some(&b':')).then_some(len)
}

/// RFC 9110 section 4.3.1: an origin is scheme, host and port; the port may be the scheme's own.
fn is_same_authority(base: &Base<'_>, authority: &[u8]) -> bool {
    let default_port: &[u8] =
        if base.scheme.eq_ignore_ascii_case("https") { b"443" } else { b"80" };
    let (left_host, left_port) = split_port(base.authority.as_bytes());
    let (right_host, right_port) = split_port(authority);
    let port = |port: Option<&'_ [u8]>| -> bool {
        port.is_none_or(|port| port.is_empty() || port == default_port)
    };
    let is_same_port = left_port == right_port || (port(left_port) && port(right_port));
    left_host.eq_ignore_ascii_case(right_host) && is_same_port
}

fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let digits = authority.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (front, port) = authority.split_at_checked(authority.len() - digits).unwrap_or_default();
    match front.strip_suffix(b":") {
        Some(host) => (host, Some(port)),
        None => (authority, None),
    }
}

fn split_query(path_and_query: &[u8]) -> (&[u8], &[u8]) {
    let at = path_and_query.iter().position(|byte| *byte == b'?').unwrap_or(path_and_query.len());
    path_and_query.split_at_checked(at).unwrap_or_default()
}
