//! What a load is aimed at: one URL on a loopback address, and the request that asks for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use longhold_transport::{Parts, Payload};

use crate::dial::Security;
use crate::websocket;

/// A loopback address, a request target and the bytes that are sent.
#[derive(Clone, Debug)]
pub struct Target {
    address: SocketAddr,
    path: String,
    dialect: Dialect,
    security: Option<Rc<Security>>,
    /// What a connection says first, and what it says after that.
    first: Rc<[u8]>,
    next: Rc<[u8]>,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Requests and responses.
    Http,
    /// One upgrade, then messages and their echoes.
    WebSocket,
}

/// Why a URL cannot be a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not `http://address[:port][/path]`, nor the same with `https`, `ws` or `wss`.
    #[error(
        "a target is http://ADDRESS[:PORT][/PATH], or https, ws or wss, with an IP address or \
         localhost"
    )]
    Syntax,
    /// The TLS library refuses its own settings.
    #[error("no TLS client can be made")]
    Tls,
    /// The path holds a byte that a request target must not hold (RFC 9112 section 3.2).
    #[error("a target's path holds only visible ASCII characters and no '#'")]
    Path,
    /// The address is not this machine's own: a load is an attack on a host of others.
    #[error("{0} is not a loopback address: loads are for this machine only")]
    NotLoopback(IpAddr),
}

impl Target {
    /// Parses a URL and builds what is sent to it: the `GET` request for it, or for `ws` its
    /// upgrade and a message. No name is resolved except `localhost`, which is 127.0.0.1.
    ///
    /// # Errors
    /// See [`TargetError`]; anything outside 127.0.0.0/8 and `::1` is refused.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let (dialect, secure, rest) = match url.split_once("://") {
            Some(("http", rest)) => (Dialect::Http, false, rest),
            Some(("https", rest)) => (Dialect::Http, true, rest),
            Some(("ws", rest)) => (Dialect::WebSocket, false, rest),
            Some(("wss", rest)) => (Dialect::WebSocket, true, rest),
            Some(_) | None => return Err(TargetError::Syntax),
        };
        let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);
        let port = if secure { 443 } else { 80 };
        let address = parse_authority(authority, port).ok_or(TargetError::Syntax)?;
        if !address.ip().to_canonical().is_loopback() {
            return Err(TargetError::NotLoopback(address.ip()));
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(TargetError::Path);
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let (first, next) = match dialect {
            Dialect::Http => {
                let request: Rc<[u8]> = get_request(&path, authority).into();
                (Rc::clone(&request), request)
            }
            Dialect::WebSocket => {
                let upgrade = websocket::upgrade_request(&path, authority);
                (upgrade.into(), websocket::message().into())
            }
        };
        let security = secure.then(|| Security::new(address.ip().to_string()).map(Rc::new));
        let security = security.transpose().map_err(|_| TargetError::Tls)?;
        Ok(Self { address, path, dialect, security, first, next })
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Path and query, as sent.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is spoken there.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What its connections are secured with.
    pub(crate) fn security(&self) -> Option<&Security> {
        self.security.as_deref()
    }

    /// One more copy of what a connection says first, or later.
    pub(crate) fn request(&self, is_first: bool) -> Outgoing {
        Outgoing::new(if is_first { &self.first } else { &self.next })
    }
}

fn get_request(path: &str, authority: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\n\
         Host: {authority}\r\n\
         User-Agent: conn-bomb\r\n\
         Accept: */*\r\n\r\n"
    )
    .into_bytes()
}

/// A request on its way: shared bytes and how many of them are out.
#[derive(Debug)]
pub struct Outgoing {
    bytes: Rc<[u8]>,
    sent_bytes: usize,
}

impl Outgoing {
    /// A send of these bytes, which are shared.
    pub(crate) fn new(bytes: &Rc<[u8]>) -> Self {
        Self { bytes: Rc::clone(bytes), sent_bytes: 0 }
    }

    /// Whether all bytes are out.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent_bytes == self.bytes.len()
    }
}

impl Payload for Outgoing {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        parts.push(self.bytes.get(self.sent_bytes..).unwrap_or(&[]));
    }

    fn advance(&mut self, sent_bytes: usize) {
        self.sent_bytes = self.bytes.len().min(self.sent_bytes + sent_bytes);
    }
}

/// Source addresses for the connections of a load: none up to [`CONNECTIONS_PER_SOURCE`], since
/// one address has ports enough for those; above, 127.1.0.1 and on, that many connections each.
/// An IPv6 target has to do with one for up to [`CONNECTIONS_PER_SOURCE_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sources {
    several: bool,
}

impl Sources {
    /// Sources for `connections` to `target`; `None` when more than one is needed and the target
    /// is an IPv6 address, of whose loopback there is only one.
    pub(crate) fn new(target: SocketAddr, connections: u32) -> Option<Self> {
        let several = target.is_ipv4() && connections > CONNECTIONS_PER_SOURCE;
        (several || connections <= CONNECTIONS_PER_SOURCE_MAX).then_some(Self { several })
    }

    /// Where connection number `index` comes from; `None` leaves it to the kernel.
    pub(crate) fn of(self, index: u32) -> Option<SocketAddr> {
        if !self.several {
            return None;
        }
        let source = index / CONNECTIONS_PER_SOURCE;
        let (third, fourth) = (source / 250 % 250, source % 250 + 1);
        let address = Ipv4Addr::new(127, 1, third as u8, fourth as u8);
        Some(SocketAddr::new(IpAddr::V4(address), 0))
    }
}

fn parse_authority(authority: &str, default_port: u16) -> Option<SocketAddr> {
    if let Ok(address) = authority.parse() {
        return Some(address);
    }
    if let Some(rest) = authority.strip_prefix("localhost") {
        let port =
            if rest.is_empty() { default_port } else { rest.strip_prefix(':')?.parse().ok()? };
        return Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    let bare = authority.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match bare {
        Some(v6) => IpAddr::V6(v6.parse::<Ipv6Addr>().ok()?),
        None => IpAddr::V4(authority.parse::<Ipv4Addr>().ok()?),
    };
    Some(SocketAddr::new(ip, default_port))
}

/// Connections from one source address to one target where there is only one: below the kernel's
/// default of 28,232 ephemeral ports, with room for what is in TIME-WAIT.
pub const CONNECTIONS_PER_SOURCE_MAX: u32 = 20_000;
/// Connections from each of several source addresses. The kernel tries the ports of one parity
/// first, 14,116 of them, from a place that it draws: with less than half of those taken, the
/// second or third try finds a free one. With 20,000 from each, a load opened 7,000 connections a
/// second; with 6,000 it opens 27,000.
const CONNECTIONS_PER_SOURCE: u32 = 6_000;

#[cfg(test)]
mod tests;
