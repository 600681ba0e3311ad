//! The request target: four forms (RFC 9112 section 3.2), one normal form (RFC 3986 section 6.2).
//!
//! ```text
//! origin     /path?query                     GET /a?b HTTP/1.1
//! absolute   http://host[:port]/path?query   its authority outranks Host
//! authority  host:port                       CONNECT only
//! asterisk   *                               OPTIONS only
//! ```
//! A host is an IPv6 literal in brackets or a name of letters, digits, `-`, `.`, `_` and `~`:
//! narrower than RFC 3986, whose escapes and delimiters in names no registry hands out and no two
//! servers read alike. User information is refused (RFC 9110 section 4.2.4).

use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv6Addr;

use crate::emit::{U64_DIGITS_MAX, decimal};
use crate::error::Reject;
use crate::field::hex_value;

/// Where a request goes; borrows from the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The target as received: visible ASCII without `#`.
    pub raw: &'a str,
    /// Which form it has.
    pub form: TargetForm,
    /// The absolute form's scheme as received: `http` or `https` in any case.
    pub scheme: Option<&'a str>,
    /// Host and optional port as received: the target's where it has one, else `Host`'s. Empty
    /// only for an HTTP/1.0 request without both.
    pub authority: &'a str,
    /// Path and query as received; `/` where an absolute form has neither, `*` for the asterisk
    /// form, empty for the authority form. Begins with `?` where an absolute form has a query and
    /// no path; [`normalise_path`] puts the `/` in.
    pub path_and_query: &'a str,
}

/// The forms of RFC 9112 section 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`.
    Origin,
    /// `http://host/path?query`.
    Absolute,
    /// `host:port`, with CONNECT.
    Authority,
    /// `*`, with OPTIONS; also an OPTIONS whose absolute form has no path and no query, which
    /// means the same (RFC 9112 section 3.2.4).
    Asterisk,
}

/// Why a target has no normal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoNormalForm {
    /// There is no host.
    MissingHost,
    /// The target names a server or a tunnel, not a resource.
    MissingPath,
    /// A `%` in the path is not followed by two hexadecimal digits (RFC 3986 section 2.1).
    InvalidEscape,
}

impl fmt::Display for NoNormalForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingHost => "the target has no host",
            Self::MissingPath => "the target has no path",
            Self::InvalidEscape => "the target's path has a percent sign without two digits",
        })
    }
}

impl core::error::Error for NoNormalForm {}

/// Appends the normal form of `target` to `out`: `host[:port]/path?query`, with the host in lower
/// case, an IPv6 address in its canonical text, no `default_port`, and the path as
/// [`normalise_path`] has it. Two targets with one normal form are equivalent (RFC 9110 section
/// 4.2.3); the scheme is the caller's.
///
/// # Errors
/// See [`NoNormalForm`]; `out` is then as it was.
pub fn normalise(
    target: &Target<'_>,
    default_port: u16,
    out: &mut Vec<u8>,
) -> Result<(), NoNormalForm> {
    let start = out.len();
    let authority = Authority::parse(target.authority).ok_or(NoNormalForm::MissingHost)?;
    match authority.host {
        Host::Name(name) => out.extend(name.bytes().map(|byte| byte.to_ascii_lowercase())),
        Host::V6(address) => append_fmt(out, format_args!("[{address}]")),
    }
    if let Some(port) = authority.port.filter(|port| *port != default_port) {
        out.push(b':');
        out.extend_from_slice(decimal(u64::from(port), &mut [0; U64_DIGITS_MAX]));
    }
    let written = normalise_path(target, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Appends the normal form of path and query to `out`: escapes of unreserved characters decoded,
/// other escapes in upper case, dot segments removed, an empty path made `/`; the query stays as
/// it is. A cache that keys by the normal form must also ask the origin for it: else one client's
/// `/a/../b` could put its answer under the key of `/b`.
///
/// # Errors
/// [`NoNormalForm::MissingPath`], [`NoNormalForm::InvalidEscape`]; `out` is then as it was.
pub fn normalise_path(target: &Target<'_>, out: &mut Vec<u8>) -> Result<(), NoNormalForm> {
    match target.form {
        TargetForm::Origin | TargetForm::Absolute => {}
        TargetForm::Authority | TargetForm::Asterisk => return Err(NoNormalForm::MissingPath),
    }
    let text = target.path_and_query.as_bytes();
    let query_at = text.iter().position(|byte| *byte == b'?').unwrap_or(text.len());
    let (path, query) = text.split_at_checked(query_at).unwrap_or((text, &[]));
    if is_normal(path) {
        out.extend_from_slice(text);
        return Ok(());
    }
    let start = out.len();
    let mut segments =
        path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let segment_start = out.len();
        out.push(b'/');
        if let Err(error) = append_segment(segment, out) {
            out.truncate(start);
            return Err(error);
        }
        // RFC 3986 section 5.2.4, after decoding: `%2e` is a dot.
        let kept_bytes = match out.get(segment_start..) {
            Some(b"/.") => segment_start,
            Some(b"/..") => parent(out, start, segment_start),
            Some(_) | None => continue,
        };
        out.truncate(kept_bytes);
        if segments.peek().is_none() {
            out.push(b'/');
        }
    }
    out.extend_from_slice(query);
    Ok(())
}

/// Whether a path is its own normal form, as most are: nothing is escaped, no segment begins with
/// a dot.
fn is_normal(path: &[u8]) -> bool {
    path.starts_with(b"/") && !path.contains(&b'%') && !path.windows(2).any(|pair| pair == b"/.")
}

/// Where the segment before `end` begins, not before `start`.
fn parent(out: &[u8], start: usize, end: usize) -> usize {
    let path = out.get(start..end).unwrap_or_default();
    start + path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)
}

/// Appends one path segment in the normal form of its escapes (RFC 3986 section 6.2.2).
fn append_segment(segment: &[u8], out: &mut Vec<u8>) -> Result<(), NoNormalForm> {
    let mut rest = segment;
    loop {
        let plain_bytes = rest.iter().position(|byte| *byte == b'%').unwrap_or(rest.len());
        let (plain, escaped) = rest.split_at_checked(plain_bytes).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        match escaped {
            [] => return Ok(()),
            [_, high, low, behind @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let byte = (hex_value(*high) << 4) | hex_value(*low);
                if is_unreserved(byte) {
                    out.push(byte);
                } else {
                    let digits = [b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()];
                    out.extend_from_slice(&digits);
                }
                rest = behind;
            }
            _ => return Err(NoNormalForm::InvalidEscape),
        }
    }
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn append_fmt(out: &mut Vec<u8>, arguments: fmt::Arguments<'_>) {
    struct Appender<'a>(&'a mut Vec<u8>);
    impl fmt::Write for Appender<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    // The appender never fails, and neither do numbers and addresses.
    let _ = fmt::write(&mut Appender(out), arguments);
}

/// Reads the target of a request with `method`, whose valid `Host` is `host` (empty if absent).
pub(crate) fn parse<'a>(method: &str, raw: &'a str, host: &'a str) -> Result<Target<'a>, Reject> {
    check_bytes(raw.as_bytes())?;
    if method == "CONNECT" {
        return parse_authority_form(raw);
    }
    let target =
        |form, path_and_query| Target { raw, form, scheme: None, authority: host, path_and_query };
    match (raw.as_bytes(), method) {
        ([b'/', ..], _) => Ok(target(TargetForm::Origin, raw)),
        ([b'*'], "OPTIONS") => Ok(target(TargetForm::Asterisk, raw)),
        ([b'*'], _) => Err(Reject::MismatchedTargetForm),
        _ => parse_absolute_form(method, raw),
    }
}

/// RFC 9112 section 3.2.3: host and port, both of them.
fn parse_authority_form(raw: &str) -> Result<Target<'_>, Reject> {
    if raw == "*" || raw.contains('/') {
        return Err(Reject::MismatchedTargetForm);
    }
    match Authority::parse(raw) {
        Some(Authority { port: Some(_), .. }) => Ok(Target {
            raw,
            form: TargetForm::Authority,
            scheme: None,
            authority: raw,
            path_and_query: "",
        }),
        Some(_) | None => Err(Reject::InvalidAuthority),
    }
}

/// RFC 9112 section 3.2.2.
fn parse_absolute_form<'a>(method: &str, raw: &'a str) -> Result<Target<'a>, Reject> {
    let Some((scheme, rest)) = raw.split_once("://") else {
        return Err(Reject::MismatchedTargetForm);
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(Reject::UnknownScheme);
    }
    let authority_bytes = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path_and_query) = rest.split_at_checked(authority_bytes).unwrap_or((rest, ""));
    if Authority::parse(authority).is_none() {
        return Err(Reject::InvalidAuthority);
    }
    let (form, path_and_query) = match (path_and_query, method) {
        ("", "OPTIONS") => (TargetForm::Asterisk, "*"),
        ("", _) => (TargetForm::Absolute, "/"),
        (present, _) => (TargetForm::Absolute, present),
    };
    Ok(Target { raw, form, scheme: Some(scheme), authority, path_and_query })
}

/// Holds a target to visible ASCII without a fragment (RFC 9112 section 3.2, RFC 3986 section 2).
pub(crate) fn check_bytes(raw: &[u8]) -> Result<(), Reject> {
    // No early exit: so the loop runs on vectors.
    let is_plain = raw.iter().fold(true, |plain, byte| plain & is_target_byte(*byte));
    if is_plain {
        return Ok(());
    }
    let is_fragment = |byte: &&u8| !is_target_byte(**byte);
    match raw.iter().find(is_fragment) {
        Some(b'#') => Err(Reject::FragmentInTarget),
        Some(_) | None => Err(Reject::InvalidTarget),
    }
}

fn is_target_byte(byte: u8) -> bool {
    (byte > b' ') & (byte < 0x7F) & (byte != b'#')
}

/// A `Host` value that is a host with an optional port.
pub(crate) fn host_value(value: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(value).ok()?;
    Authority::parse(text).map(|_| text)
}

/// Host and port, syntax checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Authority<'a> {
    host: Host<'a>,
    /// `None` when there is none or an empty one (RFC 3986 section 6.2.3).
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host<'a> {
    Name(&'a str),
    V6(Ipv6Addr),
}

impl<'a> Authority<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if let Some(bracketed) = text.strip_prefix('[') {
            let (address, behind) = bracketed.split_once(']')?;
            let host = Host::V6(address.parse().ok()?);
            return match behind {
                "" => Some(Self { host, port: None }),
                _ => Some(Self { host, port: port(behind.strip_prefix(':')?)? }),
            };
        }
        let colon = text.bytes().position(|byte| byte == b':');
        let (name, digits) = match colon.and_then(|at| text.split_at_checked(at)) {
            Some((name, behind)) => (name, behind.get(1..).unwrap_or("")),
            None => (text, ""),
        };
        let is_name = (1..=HOST_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_unreserved);
        if is_name { Some(Self { host: Host::Name(name), port: port(digits)? }) } else { None }
    }
}

/// A port: nothing, or up to five digits that fit 16 bits.
fn port(digits: &str) -> Option<Option<u16>> {
    if digits.is_empty() {
        return Some(None);
    }
    if digits.len() > PORT_DIGITS_MAX || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Some)
}

/// Bytes of the longest name that DNS can hold (RFC 3986 section 3.2.2, RFC 1035 section 2.3.4).
const HOST_BYTES_MAX: usize = 255;
const PORT_DIGITS_MAX: usize = 5;
