//! What an origin is: its addresses, its timeouts, its bounds. Plain data, checked by
//! [`OriginPool::new`](crate::OriginPool::new).

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{ConfigError, UrlError};

/// One origin of one site, as the fill plane needs it.
#[derive(Clone, Debug)]
pub struct OriginConfig {
    /// Where the origin listens, at least one. Requests start at them in turn; one that cannot be
    /// connected to is passed over for the next.
    pub urls: Vec<OriginUrl>,
    /// PEM file with the certificates that https origins are checked against; the platform's roots
    /// when absent.
    pub ca_file: Option<PathBuf>,
    /// Milliseconds for one connection to stand: resolution, TCP, TLS. Also the longest wait in
    /// the queue for a connection.
    pub connect_timeout_ms: u64,
    /// Milliseconds from the last byte of the request that the origin took (or the head, when
    /// there is no body) to a complete response head.
    pub first_byte_timeout_ms: u64,
    /// Milliseconds that the origin may pause inside a response body while the edge wants to read.
    pub between_bytes_timeout_ms: u64,
    /// Connections that this pool holds open at most, idle ones included.
    pub connections_max: usize,
    /// Requests that wait for a connection at most; one more is refused with
    /// [`FetchError::PoolFull`](crate::FetchError::PoolFull).
    pub queue_max: usize,
    /// Milliseconds after which an idle connection is closed; 0 keeps none.
    pub idle_timeout_ms: u64,
    /// Addresses of this host that connections come from, in turn; those of another family than
    /// the origin's are left out. Where none is left the system chooses.
    pub source_addresses: Vec<IpAddr>,
}

/// Scheme, host and port of an origin. Parsed from `http://host[:port]` or `https://host[:port]`.
///
/// ```
/// use longhold_origin::{OriginUrl, Scheme};
/// let url: OriginUrl = "https://[::1]:8443".parse().unwrap();
/// assert_eq!((url.scheme, url.host.as_str(), url.port), (Scheme::Https, "::1", 8443));
/// assert_eq!(url.to_string(), "https://[::1]:8443");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OriginUrl {
    /// Plain or TLS.
    pub scheme: Scheme,
    /// A host name or an IP address, the latter without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// How an origin is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP/1.1 over TCP, port 80 by default.
    Http,
    /// HTTP/1.1 over TLS, port 443 by default.
    Https,
}

impl OriginConfig {
    /// The default bounds for an origin with these URLs: 256 connections, 1,024 waiting, 5 s to
    /// connect, 30 s to the first byte, 30 s between bytes, 60 s idle.
    #[must_use]
    pub fn new(urls: Vec<OriginUrl>) -> Self {
        Self {
            urls,
            ca_file: None,
            connect_timeout_ms: 5_000,
            first_byte_timeout_ms: 30_000,
            between_bytes_timeout_ms: 30_000,
            connections_max: 256,
            queue_max: 1_024,
            idle_timeout_ms: 60_000,
            source_addresses: Vec::new(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.urls.is_empty() {
            return Err(ConfigError::NoUrls);
        }
        if self.connections_max == 0 || self.connections_max > CONNECTIONS_MAX {
            return Err(ConfigError::ConnectionsMax);
        }
        for (name, timeout_ms) in [
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("first_byte_timeout_ms", self.first_byte_timeout_ms),
            ("between_bytes_timeout_ms", self.between_bytes_timeout_ms),
        ] {
            if timeout_ms == 0 {
                return Err(ConfigError::ZeroTimeout(name));
            }
        }
        Ok(())
    }
}

impl OriginUrl {
    /// The value of a `Host` field for this origin: the port is left out when it is the scheme's
    /// own (RFC 9110 section 7.2).
    #[must_use]
    pub fn authority(&self) -> String {
        let host = Bracketed(&self.host);
        if self.port == self.scheme.default_port() {
            host.to_string()
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

impl fmt::Display for OriginUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.authority())
    }
}

impl FromStr for OriginUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let scheme = if scheme.eq_ignore_ascii_case("http") {
            Scheme::Http
        } else if scheme.eq_ignore_ascii_case("https") {
            Scheme::Https
        } else {
            return Err(UrlError::Scheme);
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(UrlError::Extra);
        }
        let (host, port) = split_authority(authority)?;
        let port = match port {
            None => scheme.default_port(),
            Some(digits) => parse_port(digits)?,
        };
        Ok(Self { scheme, host: host.to_ascii_lowercase(), port })
    }
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL of this scheme leaves out.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A host as it stands in a URL: an IPv6 address in brackets.
struct Bracketed<'a>(&'a str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(self.0) }
    }
}

fn split_authority(authority: &str) -> Result<(&str, Option<&str>), UrlError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(UrlError::Host)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| UrlError::Host)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(UrlError::Host),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(valid) {
        return Err(UrlError::Host);
    }
    Ok((host, port))
}

fn parse_port(digits: &str) -> Result<u16, UrlError> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UrlError::Port);
    }
    digits.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)
}

/// Connections of one pool at most, whatever the configuration says.
pub const CONNECTIONS_MAX: usize = 65_536;

/// Bytes of a DNS name at most (RFC 1035 section 2.3.4).
const HOST_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests;
