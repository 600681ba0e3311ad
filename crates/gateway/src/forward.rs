//! The request that goes to the origin: fields copied, hop-by-hop removed, our own added.
//!
//! `X-Forwarded-For` and `Forwarded` of the client are replaced, not extended: nobody in front of
//! this edge is trusted to name an address yet, and a forged chain is worse than a short one.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::{IpAddr, SocketAddr};
use core::ops::Range;

use longhold_http1::{RequestHead, Version, target};
use longhold_policy::{fields, validate, vary};

use crate::{CACHE_NAME, Field, key, plan};

/// Why a request goes to the origin; decides which of the client's fields go along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// As the client asked: ranges and conditions go along, nothing is stored.
    Pass,
    /// To fill the cache: the whole response is wanted, so the client's range and conditions stay
    /// here (RFC 9111 section 4.3.1).
    Fill,
    /// To have the part that the client wants: its range goes along, and `If-Range` with it; its
    /// conditions stay here.
    Part,
    /// To have what is missing of a stored response: these bytes (`Range`), if it still is the one
    /// with this validator (`If-Range`).
    Missing(&'a Missing),
    /// To validate a stored response with its own validators.
    Validate(&'a validate::Validators<'a>),
}

/// What a request for missing bytes says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    range: String,
    validator: Vec<u8>,
}

impl Missing {
    /// Asks for the bytes `range`, which are not empty, of what has these validators, one of which
    /// must be strong (RFC 9110 section 13.1.5); `None` otherwise.
    pub fn new(range: &Range<u64>, validators: &validate::Validators<'_>) -> Option<Self> {
        let validator = validators.etag.or(validators.last_modified)?;
        let last = range.end.checked_sub(1).filter(|last| *last >= range.start)?;
        validators.is_strong().then(|| Self {
            range: alloc::format!("bytes={}-{last}", range.start),
            validator: Vec::from(validator),
        })
    }
}

/// Who asked, and where.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The client's address.
    pub peer: SocketAddr,
    /// `http` or `https`: how the client reached the edge.
    pub scheme: &'a str,
    /// What tells this edge from others of its name: a token of one process' life.
    pub node: &'a str,
}

/// Hands the origin request's fields to `emit`, in the order in which they should go out. `Host`
/// comes first. No framing field is among them (GW-3): the origin client writes those.
pub fn fields(
    head: &RequestHead<'_>,
    purpose: Purpose<'_>,
    client: &Client<'_>,
    emit: &mut dyn FnMut(&str, &[u8]),
) {
    let authority = authority(head, client.scheme);
    emit("Host", authority.as_bytes());
    let received: &[Field<'_>] = &head.fields;
    for (index, (name, value)) in received.iter().enumerate() {
        let is_counted =
            name.eq_ignore_ascii_case("max-forwards") && plan::counts_hops(head.method);
        if is_counted || !is_kept(name, received, purpose) {
            continue;
        }
        if purpose != Purpose::Pass && vary::has_normal_form(name) {
            emit_normal(received, index, emit);
        } else {
            emit(name, value);
        }
    }
    if plan::counts_hops(head.method)
        && let Some(hops) = plan::max_forwards(received)
    {
        emit("Max-Forwards", number(hops.saturating_sub(1)).as_bytes());
    }
    // RFC 9110 section 10.1.1: whether the body is wanted is the next one's to say.
    if purpose == Purpose::Pass && head.expect_continue && plan::has_content(head.framing) {
        emit("Expect", b"100-continue");
    }
    if let Purpose::Missing(missing) = purpose {
        emit("Range", missing.range.as_bytes());
        emit("If-Range", &missing.validator);
    }
    if let Purpose::Validate(validators) = purpose {
        validate::conditional_fields(validators, emit);
    }
    emit_own(head, (client, &authority), emit);
}

/// A field in the form that variants are told apart by, so that what is stored under a variant's
/// key is the answer to a request of just that form (RFC 9111 section 4.1): all lines as one, in
/// place of the first. Without such a form they go along as they came.
fn emit_normal(received: &[Field<'_>], index: usize, emit: &mut dyn FnMut(&str, &[u8])) {
    let Some((name, value)) = received.get(index) else { return };
    let mut normal = Vec::new();
    if !vary::normalise(name, fields::values(received, name), &mut normal) {
        return emit(name, value);
    }
    let is_first = received.iter().position(|(known, _)| known.eq_ignore_ascii_case(name));
    if is_first == Some(index) {
        emit(name, &normal);
    }
}

/// Whether a client's field goes along.
fn is_kept(name: &str, received: &[Field<'_>], purpose: Purpose<'_>) -> bool {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    let replaced = OURS.iter().any(|known| is(known));
    let held_back = match purpose {
        Purpose::Pass => false,
        Purpose::Part => {
            CONDITIONS.iter().any(|known| is(known)) && !is("range") && !is("if-range")
        }
        Purpose::Fill | Purpose::Validate(_) | Purpose::Missing(_) => {
            CONDITIONS.iter().any(|known| is(known))
        }
    };
    // What is not stored of a response for its being about one hop (RFC 9111 section 3.1) ends here
    // in a request, too: no origin has asked for the credentials of a proxy.
    !replaced && !held_back && fields::is_storable(received, name)
}

/// The authority in the normal form that the cache key has, so that what is stored under a key is
/// the answer to a request for just that (GW-1). One without a normal form has no key; it goes out
/// as it came.
fn authority(head: &RequestHead<'_>, scheme: &str) -> String {
    let mut normal = Vec::new();
    let made = target::normalise(&head.target, key::default_port(scheme), &mut normal).ok();
    let end = normal.iter().position(|byte| *byte == b'/').unwrap_or(normal.len());
    normal.truncate(end);
    made.and_then(|()| String::from_utf8(normal).ok())
        .unwrap_or_else(|| String::from(head.target.authority))
}

fn emit_own(
    head: &RequestHead<'_>,
    (client, authority): (&Client<'_>, &str),
    emit: &mut dyn FnMut(&str, &[u8]),
) {
    let mut via = String::from(match head.version {
        Version::Http10 => "1.0 ",
        Version::Http11 => "1.1 ",
    });
    via.push_str(CACHE_NAME);
    // By its comment alone an edge knows itself among others of the same name.
    let _ = write!(via, " ({})", client.node);
    emit("Via", via.as_bytes());

    let mut address = String::new();
    let ip = client.peer.ip().to_canonical();
    // Writing to a String cannot fail.
    let _ = write!(address, "{ip}");
    emit("X-Forwarded-For", address.as_bytes());
    emit("X-Forwarded-Proto", client.scheme.as_bytes());

    let mut forwarded = String::from("for=");
    match ip {
        IpAddr::V4(_) => forwarded.push_str(&address),
        // RFC 7239 section 6: an IPv6 address is bracketed and quoted.
        IpAddr::V6(_) => {
            let _ = write!(forwarded, "\"[{address}]\"");
        }
    }
    if !authority.is_empty() {
        let _ = write!(forwarded, ";host=\"{authority}\"");
    }
    let _ = write!(forwarded, ";proto={}", client.scheme);
    emit("Forwarded", forwarded.as_bytes());
}

fn number(value: u64) -> String {
    let mut text = String::new();
    let _ = write!(text, "{value}");
    text
}

/// Whether the request has been here before: one of its `Via` members is this edge's own (RFC 9110
/// section 7.6.3). A member of our name whose comment was taken away on its way counts as ours;
/// that of another edge, with its own comment, does not.
pub fn is_loop(received: &[Field<'_>], node: &str) -> bool {
    fields::values(received, "via").any(|value| {
        let mut rest = value;
        core::iter::from_fn(|| next_member(&mut rest)).any(|member| is_own_member(member, node))
    })
}

/// Takes the next member of a list whose members may hold comments with commas in them.
fn next_member<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if rest.is_empty() {
        return None;
    }
    let (mut depth, mut is_escaped) = (0_usize, false);
    let end = rest.iter().position(|byte| {
        let was_escaped = core::mem::take(&mut is_escaped);
        match byte {
            _ if was_escaped => {}
            b'\\' if depth > 0 => is_escaped = true,
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b',' => return depth == 0,
            _ => {}
        }
        false
    });
    let (member, behind) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
    *rest = behind.get(1..).unwrap_or_default();
    Some(member)
}

/// `received-protocol RWS received-by [ RWS comment ]`
fn is_own_member(member: &[u8], node: &str) -> bool {
    let mut words = member.split(|byte| matches!(byte, b' ' | b'\t')).filter(|w| !w.is_empty());
    let (Some(_protocol), Some(name)) = (words.next(), words.next()) else { return false };
    if !name.eq_ignore_ascii_case(CACHE_NAME.as_bytes()) {
        return false;
    }
    words.next().is_none_or(|comment| {
        let inner = comment.strip_prefix(b"(").and_then(|rest| rest.strip_suffix(b")"));
        inner == Some(node.as_bytes())
    })
}

/// The request's fields as owned pairs, for a client that wants them all at once.
pub fn collect(
    head: &RequestHead<'_>,
    purpose: Purpose<'_>,
    client: &Client<'_>,
) -> Vec<(String, Vec<u8>)> {
    let mut collected = Vec::new();
    fields(head, purpose, client, &mut |name, value| {
        collected.push((String::from(name), Vec::from(value)));
    });
    collected
}

/// Fields that the edge writes itself.
const OURS: [&str; 7] = [
    "host",
    "content-length",
    "expect",
    "x-forwarded-for",
    "x-forwarded-proto",
    "forwarded",
    "transfer-encoding",
];

/// Conditions and ranges (RFC 9110 sections 13.1 and 14.2).
const CONDITIONS: [&str; 6] =
    ["range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"];
