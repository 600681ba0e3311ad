//! Tunnels: which requests ask for one, what the origin is asked, and whether its answer opens one.
//!
//! ```text
//! request ─► asked ─┬► Nothing: a request like any other, whose Upgrade is not passed on
//!                   ├► Refused: it can never become what it says
//!                   └► Tunnel ─► fields ─► origin ─► opens ─┬► true: bytes from now on
//!                                                           ├► false: a response like any other
//!                                                           └► an error: it answers something else
//! ```
//! Not here: bytes. Nobody may send any to the origin before [`opens`] has said yes: whatever
//! follows the request's head would be read there as a request of its own, and written on it what
//! the client likes (this has been done to other intermediaries).

use alloc::string::String;
use alloc::vec::Vec;

use longhold_http1::emit::HeadWriter;
use longhold_http1::{RequestHead, TargetForm, Version};
use longhold_policy::fields;

use crate::forward::{self, Client, Purpose};
use crate::websocket::{self, Flaw};
use crate::{CACHE_NAME, Field, plan, relay};

/// What a site lets through, from its `tunnel` list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelRule {
    any: bool,
    connect: bool,
    /// Lower case.
    protocols: Vec<String>,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// No tunnel that the site lets through.
    Nothing,
    /// A tunnel.
    Tunnel(Ask),
    /// One that cannot be, and why.
    Refused(Refusal),
}

/// By what a tunnel is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `Upgrade: websocket` (RFC 6455).
    WebSocket,
    /// `Upgrade` to something else (RFC 9110 section 7.8).
    Other,
    /// The method CONNECT (RFC 9110 section 9.3.6).
    Connect,
}

/// Why a tunnel cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What to answer.
    pub status: u16,
    /// Why, for the reader.
    pub cause: &'static str,
}

/// An origin's answer that opens nothing and is no response, either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contradiction;

impl TunnelRule {
    /// A rule of these words: protocols as `Upgrade` names them, `*` for all of them, `connect` for
    /// the method. `None` when one of them is no such word, or names HTTP or TLS: those are not
    /// tunnelled past the edge (a request inside would be seen by no rule of the site).
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut rule = Self::default();
        for word in words {
            match word {
                "*" => rule.any = true,
                "connect" => rule.connect = true,
                _ if !is_protocol(word.as_bytes()) || is_ours(word.as_bytes()) => return None,
                _ => rule.protocols.push(word.to_ascii_lowercase()),
            }
        }
        Some(rule)
    }

    /// Whether a protocol goes through: by its name, or with its version.
    fn allows(&self, protocol: &[u8]) -> bool {
        let name = name_of(protocol);
        let is_named = |known: &String| {
            protocol.eq_ignore_ascii_case(known.as_bytes())
                || name.eq_ignore_ascii_case(known.as_bytes())
        };
        is_protocol(protocol)
            && !is_ours(protocol)
            && (self.any || self.protocols.iter().any(is_named))
    }
}

/// What `head` asks for at a site with this rule.
pub fn asked(head: &RequestHead<'_>, rule: &TunnelRule) -> Asked {
    if head.target.form == TargetForm::Authority {
        return if rule.connect { Asked::Tunnel(Ask::Connect) } else { Asked::Nothing };
    }
    // RFC 9110 section 7.8: a server may ignore what is asked; with content, the protocol would
    // change in the middle of what is being sent.
    if !head.upgrade || plan::has_content(head.framing) {
        return Asked::Nothing;
    }
    let mut offered = fields::values(&head.fields, "upgrade")
        .flat_map(fields::members)
        .filter(|protocol| rule.allows(protocol))
        .peekable();
    if offered.peek().is_none() {
        return Asked::Nothing;
    }
    if !offered.any(is_websocket) {
        return Asked::Tunnel(Ask::Other);
    }
    match websocket::check_request(head.method, &head.fields) {
        Ok(()) => Asked::Tunnel(Ask::WebSocket),
        Err(flaw) => Asked::Refused(Refusal::of(flaw)),
    }
}

impl Refusal {
    const fn of(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Method => Self { status: 400, cause: "a WebSocket is asked for with GET" },
            Flaw::Key => {
                Self { status: 400, cause: "Sec-WebSocket-Key is not the base64 of 16 bytes" }
            }
            // RFC 6455 section 4.4.
            Flaw::Version => {
                Self { status: 426, cause: "Sec-WebSocket-Version 13 is the only one spoken here" }
            }
        }
    }
}

/// Hands the fields of the origin's request to `emit` (GW-2): those of a request that passes, and
/// the protocols that the site lets through.
pub fn fields(
    head: &RequestHead<'_>,
    (ask, rule): (Ask, &TunnelRule),
    client: &Client<'_>,
    emit: &mut dyn FnMut(&str, &[u8]),
) {
    forward::fields(head, Purpose::Pass, client, emit);
    let mut protocols = Vec::new();
    match ask {
        Ask::Connect => return,
        Ask::WebSocket => protocols.extend_from_slice(WEBSOCKET),
        Ask::Other => {
            let offered = fields::values(&head.fields, "upgrade").flat_map(fields::members);
            for protocol in offered.filter(|protocol| rule.allows(protocol)) {
                if !protocols.is_empty() {
                    protocols.extend_from_slice(b", ");
                }
                protocols.extend_from_slice(protocol);
            }
        }
    }
    emit("Connection", b"Upgrade");
    emit("Upgrade", &protocols);
}

/// Whether this answer opens the tunnel that `request` (as received from the client) asked for;
/// false for a response like any other. Interim responses but 101 are not shown to it.
///
/// # Errors
/// [`Contradiction`]: it switches to something that was not asked for (RFC 9110 section 7.8), or
/// only seems to switch.
pub fn opens(
    (ask, rule): (Ask, &TunnelRule),
    request: &[Field<'_>],
    (status, version): (u16, Version),
    response: &[Field<'_>],
) -> Result<bool, Contradiction> {
    match (ask, status) {
        (Ask::Connect, 200..=299) => return Ok(true),
        (Ask::WebSocket | Ask::Other, 101) => {}
        (Ask::Connect, 101) => return Err(Contradiction),
        (Ask::WebSocket | Ask::Other | Ask::Connect, _) => return Ok(false),
    }
    let chosen: Vec<&[u8]> =
        fields::values(response, "upgrade").flat_map(fields::members).collect();
    let is_offered = |protocol: &&[u8]| match ask {
        Ask::WebSocket => is_websocket(protocol),
        Ask::Other | Ask::Connect => {
            let mut offered = fields::values(request, "upgrade").flat_map(fields::members);
            rule.allows(protocol) && offered.any(|known| known.eq_ignore_ascii_case(protocol))
        }
    };
    let is_named =
        fields::connection_options(response).any(|option| option.eq_ignore_ascii_case(b"upgrade"));
    // RFC 9112 section 6.1: no 1xx has a body, so it says nothing about one.
    let is_framed = response.iter().any(|(name, _)| {
        name.eq_ignore_ascii_case("content-length")
            || name.eq_ignore_ascii_case("transfer-encoding")
    });
    let is_switch = version == Version::Http11
        && is_named
        && !is_framed
        && !chosen.is_empty()
        && chosen.iter().all(is_offered);
    let is_accepted = ask != Ask::WebSocket || websocket::is_accepted(request, response);
    if is_switch && is_accepted { Ok(true) } else { Err(Contradiction) }
}

/// Writes the head that tells the client of its tunnel: the origin's, without what is about the
/// origin's connection, and without any framing, which a tunnel has not (RFC 9110 section 9.3.6).
pub fn write_opening(out: &mut Vec<u8>, status: u16, response: &[Field<'_>], via_version: &str) {
    let mut head = HeadWriter::response(out, status);
    for (name, value) in response {
        if relay::is_relayed(name, response) {
            head.field(name, value);
        }
    }
    let mut via = Vec::from(via_version.as_bytes());
    via.push(b' ');
    via.extend_from_slice(CACHE_NAME.as_bytes());
    head.field("Via", &via);
    if status == 101 {
        head.field("Connection", b"Upgrade");
        for protocol in fields::values(response, "upgrade") {
            head.field("Upgrade", protocol);
        }
    }
    head.finish();
}

/// Whether a request asks for an endless response: it accepts an event stream and nothing else, as
/// an `EventSource` says it (HTML, section 9.2). It is asked for alone, and not stored.
pub fn asks_for_stream(head: &RequestHead<'_>) -> bool {
    let mut accepted = fields::values(&head.fields, "accept").flat_map(fields::members);
    let is_only = |member: &[u8]| name_before(member, b';').eq_ignore_ascii_case(EVENT_STREAM);
    head.method == "GET"
        && head.version == Version::Http11
        && !plan::has_content(head.framing)
        && accepted.next().is_some_and(is_only)
        && accepted.next().is_none()
}

/// Whether a response is an endless one: an event stream.
pub fn is_stream(status: u16, response: &[Field<'_>]) -> bool {
    let kind = fields::single(response, "content-type").one();
    status == 200
        && kind.is_some_and(|kind| name_before(kind, b';').eq_ignore_ascii_case(EVENT_STREAM))
}

fn is_websocket(protocol: &[u8]) -> bool {
    name_of(protocol).eq_ignore_ascii_case(WEBSOCKET)
}

/// HTTP itself, and what would hide it: `h2c` past an edge has been used to reach what the edge
/// forbids.
fn is_ours(protocol: &[u8]) -> bool {
    let name = name_of(protocol);
    OURS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// `protocol-name [ "/" protocol-version ]`, both of them tokens.
fn is_protocol(protocol: &[u8]) -> bool {
    let mut parts = protocol.splitn(2, |byte| *byte == b'/');
    parts.all(|part| !part.is_empty() && part.iter().all(|byte| is_token_byte(*byte)))
}

fn name_of(protocol: &[u8]) -> &[u8] {
    name_before(protocol, b'/')
}

fn name_before(text: &[u8], end: u8) -> &[u8] {
    let at = text.iter().position(|byte| *byte == end).unwrap_or(text.len());
    text.get(..at).unwrap_or(text).trim_ascii()
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

const WEBSOCKET: &[u8] = b"websocket";
const EVENT_STREAM: &[u8] = b"text/event-stream";
const OURS: [&[u8]; 4] = [b"h2c", b"h2", b"http", b"tls"];
