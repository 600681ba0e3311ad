//! What a load is aimed at: one URL, on a loopback address unless the host is one's own, and the
//! request that asks for it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::rc::Rc;

use longhold_transport::{Parts, Payload};

use crate::dial::Security;
use crate::{events, websocket};

/// An address, a request target and the bytes that are sent.
#[derive(Clone, Debug)]
pub struct Target {
    address: SocketAddr,
    authority: String,
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
    /// One request, then numbered events without end.
    Events,
}

/// Why a URL cannot be a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not `http://host[:port][/path]`, nor the same with `https`, `ws` or `wss`.
    #[error("a target is http://HOST[:PORT][/PATH], or https, ws or wss")]
    Syntax,
    /// A WebSocket is no event stream.
    #[error("event streams are for http and https")]
    NoEvents,
    /// The name has no address.
    #[error("the host's name cannot be resolved")]
    Unresolved,
    /// The TLS library refuses its own settings.
    #[error("no TLS client can be made")]
    Tls,
    /// The path holds a byte that a request target must not hold (RFC 9112 section 3.2).
    #[error("a target's path holds only visible ASCII characters and no '#'")]
    Path,
    /// The address is not this machine's own: a load is an attack on a host of others.
    #[error(
        "{0} is not a loopback address, and a load is an attack on hosts of others: say \
         --i-own-this-host if it is yours"
    )]
    NotLoopback(IpAddr),
}

/// How far loads may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// 127.0.0.0/8 and `::1`.
    Loopback,
    /// Anywhere: who runs the load has said that the host is their own.
    OwnHosts,
}

impl Target {
    /// Parses a URL of this machine: as [`within`](Self::within), with [`Reach::Loopback`].
    ///
    /// # Errors
    /// See [`TargetError`]; anything outside 127.0.0.0/8 and `::1` is refused.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        Self::within(url, Reach::Loopback)
    }

    /// Parses a URL and builds what is sent to it: the `GET` request for it, or for `ws` its
    /// upgrade and a message. `localhost` is 127.0.0.1; other names are resolved, once, which may
    /// take as long as the host's resolver does.
    ///
    /// # Errors
    /// See [`TargetError`]; an address beyond `reach` is refused.
    pub fn within(url: &str, reach: Reach) -> Result<Self, TargetError> {
        Self::resolved(url, reach, |name, port| {
            (name, port).to_socket_addrs().ok().and_then(|mut addresses| addresses.next())
        })
    }

    fn resolved(
        url: &str,
        reach: Reach,
        resolve: impl Fn(&str, u16) -> Option<SocketAddr>,
    ) -> Result<Self, TargetError> {
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
        let (host, port) = split_authority(authority, port).ok_or(TargetError::Syntax)?;
        let address = match host.parse() {
            Ok(ip) => SocketAddr::new(ip, port),
            Err(_) if host.eq_ignore_ascii_case("localhost") => (Ipv4Addr::LOCALHOST, port).into(),
            Err(_) => resolve(host, port).ok_or(TargetError::Unresolved)?,
        };
        if reach == Reach::Loopback && !address.ip().to_canonical().is_loopback() {
            return Err(TargetError::NotLoopback(address.ip()));
        }
        if !is_path(path) {
            return Err(TargetError::Path);
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let (first, next) = match dialect {
            Dialect::Http | Dialect::Events => {
                let request: Rc<[u8]> = get_request(&path, authority, ANYTHING).into();
                (Rc::clone(&request), request)
            }
            Dialect::WebSocket => {
                let upgrade = websocket::upgrade_request(&path, authority);
                (upgrade.into(), websocket::message().into())
            }
        };
        let security = secure.then(|| Security::new(host.to_owned()).map(Rc::new));
        let security = security.transpose().map_err(|_| TargetError::Tls)?;
        let authority = authority.to_owned();
        Ok(Self { address, authority, path, dialect, security, first, next })
    }

    /// The same as a stream of [`events`]: asked for once, heard from then on.
    ///
    /// # Errors
    /// [`TargetError::NoEvents`] for `ws` and `wss`.
    pub fn with_events(self) -> Result<Self, TargetError> {
        match self.dialect {
            Dialect::WebSocket => Err(TargetError::NoEvents),
            Dialect::Http | Dialect::Events => {
                let request = get_request(&self.path, &self.authority, events::STREAM_TYPE);
                let first: Rc<[u8]> = request.into();
                Ok(Self { dialect: Dialect::Events, next: Rc::clone(&first), first, ..self })
            }
        }
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Path and query, as sent.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Scheme and authority, as typed.
    pub(crate) fn origin(&self) -> String {
        let scheme = match (self.dialect, self.security.is_some()) {
            (Dialect::Http | Dialect::Events, false) => "http",
            (Dialect::Http | Dialect::Events, true) => "https",
            (Dialect::WebSocket, false) => "ws",
            (Dialect::WebSocket, true) => "wss",
        };
        format!("{scheme}://{}", self.authority)
    }

    /// The request for another path there.
    pub(crate) fn request_for(&self, path: &str) -> Rc<[u8]> {
        get_request(path, &self.authority, ANYTHING).into()
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

/// Whether a request target may hold these bytes.
pub(crate) fn is_path(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

fn get_request(path: &str, authority: &str, accept: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\n\
         Host: {authority}\r\n\
         User-Agent: conn-bomb\r\n\
         Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

/// A request that is not the target's own, and what is known of its answer beforehand.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// What is sent.
    pub(crate) request: Rc<[u8]>,
    /// The answer's body has no more bytes than this.
    pub(crate) length_bytes_max: u64,
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

/// Source addresses for the connections of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sources {
    /// Whichever the kernel takes: one address has ports enough.
    Kernel,
    /// 127.1.0.1 and on, [`CONNECTIONS_PER_SOURCE`] connections each.
    Loopback,
    /// These in turn.
    Given(Vec<IpAddr>),
}

impl Sources {
    /// Sources for `connections` to `target`: those that are given, in turn; else, to an IPv4
    /// address of loopback, as many as are needed. `None` when there are too few, or such as
    /// cannot reach the target.
    pub(crate) fn new(target: SocketAddr, given: &[IpAddr], connections: u32) -> Option<Self> {
        let many = matches!(target.ip(), IpAddr::V4(ip) if ip.is_loopback());
        let sources = match given {
            [] if many && connections > CONNECTIONS_PER_SOURCE => return Some(Self::Loopback),
            [] => Self::Kernel,
            _ => Self::Given(given.to_vec()),
        };
        let count = given.len().max(1) as u64;
        let room = u64::from(connections) <= count * u64::from(CONNECTIONS_PER_SOURCE_MAX);
        let reach = given.iter().all(|source| source.is_ipv4() == target.is_ipv4());
        (room && reach).then_some(sources)
    }

    /// Where connection number `index` comes from; `None` leaves it to the kernel.
    pub(crate) fn of(&self, index: u32) -> Option<SocketAddr> {
        let source = match self {
            Self::Kernel => return None,
            Self::Loopback => {
                let source = index / CONNECTIONS_PER_SOURCE;
                let (third, fourth) = (source / 250 % 250, source % 250 + 1);
                IpAddr::V4(Ipv4Addr::new(127, 1, third as u8, fourth as u8))
            }
            Self::Given(sources) => *sources.get(index as usize % sources.len().max(1))?,
        };
        Some(SocketAddr::new(source, 0))
    }
}

/// Host and port of an authority; an IPv6 address without its brackets.
fn split_authority(authority: &str, default_port: u16) -> Option<(&str, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None => {
            let host = authority.split(':').next().unwrap_or(authority);
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if host.is_empty() || !host.bytes().all(is_plain) {
                return None;
            }
            (host, &authority[host.len()..])
        }
    };
    match port.strip_prefix(':') {
        Some(port) => Some((host, port.parse().ok()?)),
        None => port.is_empty().then_some((host, default_port)),
    }
}

/// Any media type.
const ANYTHING: &str = "*/*";
/// Connections from one source address to one target where there are no others: below the kernel's
/// default of 28,232 ephemeral ports, with room for what is in TIME-WAIT.
pub const CONNECTIONS_PER_SOURCE_MAX: u32 = 20_000;
/// Connections from each of several source addresses. The kernel tries the ports of one parity
/// first, 14,116 of them, from a place that it draws: with less than half of those taken, the
/// second or third try finds a free one. With 20,000 from each, a load opened 7,000 connections a
/// second; with 6,000 it opens 27,000.
const CONNECTIONS_PER_SOURCE: u32 = 6_000;

#[cfg(test)]
mod tests;
