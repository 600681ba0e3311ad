//! What can go wrong between the edge and an origin, one unit variant per cause.
//!
//! [`FetchError`] is `Copy` and crosses threads inside a [`Download`](crate::Download); it maps to
//! exactly one status (RFC 9110 sections 15.6.3 to 15.6.5) and one stable word for logs and
//! metrics. [`ConfigError`] is the operator's side: it is met once, when a pool is made.

use std::path::PathBuf;

use thiserror::Error;

/// Why an exchange with an origin failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum FetchError {
    /// Every address of the origin refused the connection.
    #[error("the origin refused the connection")]
    ConnectRefused,
    /// No connection stood (TCP and, for https, TLS) within the connect timeout.
    #[error("the origin did not accept a connection in time")]
    ConnectTimeout,
    /// No route to the origin's address.
    #[error("the origin's address cannot be reached")]
    Unreachable,
    /// The socket failed in another way before a connection stood.
    #[error("the connection to the origin could not be made")]
    ConnectFault,
    /// This machine has no descriptor, port or memory left for another connection.
    #[error("the edge has no descriptor or port left for an origin connection")]
    Exhausted,
    /// The origin's host name has no address.
    #[error("the origin's host name does not resolve")]
    Dns,
    /// The origin's certificate is not valid for its name under the configured roots.
    #[error("the origin's certificate is not trusted")]
    TlsCertificate,
    /// The TLS handshake or record layer failed for a reason other than the certificate.
    #[error("the TLS session with the origin failed")]
    TlsHandshake,
    /// The connection stood, but no complete response head came within the first-byte timeout.
    #[error("the origin did not begin its response in time")]
    FirstByteTimeout,
    /// The response began, then paused for longer than the between-bytes timeout.
    #[error("the origin paused for too long inside its response")]
    ReadTimeout,
    /// The origin reset the connection before its response head was complete.
    #[error("the origin reset the connection")]
    Reset,
    /// The origin closed the connection without any response byte.
    #[error("the origin closed the connection without a response")]
    NoResponse,
    /// The response breaks RFC 9112: bad head, contradictory framing, or a switch of protocols
    /// that nobody asked for.
    #[error("the origin's response is malformed")]
    BadResponse,
    /// The response head exceeds [`HEAD_BYTES_MAX`](crate::HEAD_BYTES_MAX) or
    /// [`FIELDS_MAX`](crate::FIELDS_MAX).
    #[error("the origin's response head is too large")]
    HeadTooLarge,
    /// The body ended before its framing said so (RFC 9112 section 8).
    #[error("the origin's response was cut short")]
    Truncated,
    /// All connections are in use and the queue behind them is full.
    #[error("too many requests wait for this origin")]
    PoolFull,
    /// The request waited in the queue for longer than the connect timeout.
    #[error("no origin connection became free in time")]
    QueueTimeout,
    /// The request's own body was aborted or contradicted its length.
    #[error("the request body was aborted")]
    UploadAborted,
    /// Nobody reads the response any more, so the fetch was given up.
    #[error("the response was abandoned by its readers")]
    Abandoned,
    /// The fill plane stopped before the response was complete.
    #[error("the edge is stopping")]
    Stopped,
    /// The request target cannot be sent in origin-form (RFC 9112 section 3.2.1).
    #[error("the request target is not valid")]
    BadTarget,
    /// A tunnel (CONNECT) was asked for; the pool carries none.
    #[error("tunnels to the origin are not supported")]
    TunnelUnsupported,
}

impl FetchError {
    /// Every variant, for tables of counters and for tests.
    pub const ALL: [Self; 22] = [
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::Unreachable,
        Self::ConnectFault,
        Self::Exhausted,
        Self::Dns,
        Self::TlsCertificate,
        Self::TlsHandshake,
        Self::FirstByteTimeout,
        Self::ReadTimeout,
        Self::Reset,
        Self::NoResponse,
        Self::BadResponse,
        Self::HeadTooLarge,
        Self::Truncated,
        Self::PoolFull,
        Self::QueueTimeout,
        Self::UploadAborted,
        Self::Abandoned,
        Self::Stopped,
        Self::BadTarget,
        Self::TunnelUnsupported,
    ];

    /// The status that tells a client of this failure when no response head was sent yet.
    ///
    /// 502 when the origin is at fault or gone, 504 when it was too slow, 503 when the edge itself
    /// has no room (a `Retry-After` belongs to it), and 400 or 501 for a request that can never be
    /// forwarded.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().0
    }

    /// The stable word for logs and metric labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    fn row(self) -> (u16, &'static str) {
        match self {
            Self::ConnectRefused => (502, "connect-refused"),
            Self::ConnectTimeout => (504, "connect-timeout"),
            Self::Unreachable => (502, "unreachable"),
            Self::ConnectFault => (502, "connect-fault"),
            Self::Exhausted => (503, "exhausted"),
            Self::Dns => (502, "dns"),
            Self::TlsCertificate => (502, "tls-certificate"),
            Self::TlsHandshake => (502, "tls-handshake"),
            Self::FirstByteTimeout => (504, "first-byte-timeout"),
            Self::ReadTimeout => (504, "read-timeout"),
            Self::Reset => (502, "reset"),
            Self::NoResponse => (502, "no-response"),
            Self::BadResponse => (502, "bad-response"),
            Self::HeadTooLarge => (502, "head-too-large"),
            Self::Truncated => (502, "truncated"),
            Self::PoolFull => (503, "pool-full"),
            Self::QueueTimeout => (503, "queue-timeout"),
            Self::UploadAborted => (502, "upload-aborted"),
            Self::Abandoned => (502, "abandoned"),
            Self::Stopped => (503, "stopped"),
            Self::BadTarget => (400, "bad-target"),
            Self::TunnelUnsupported => (501, "tunnel-unsupported"),
        }
    }
}

/// Why a pool could not be made from its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The origin names no URL.
    #[error("an origin needs at least one URL")]
    NoUrls,
    /// `connections_max` is zero or above [`CONNECTIONS_MAX`](crate::CONNECTIONS_MAX).
    #[error("connections_max must lie between 1 and {}", crate::CONNECTIONS_MAX)]
    ConnectionsMax,
    /// A timeout is zero.
    #[error("{0} must be above zero")]
    ZeroTimeout(&'static str),
    /// The host of an https URL cannot be a certificate's name.
    #[error("`{0}` is not a host name that a certificate could carry")]
    HostName(String),
    /// The CA file could not be read.
    #[error("cannot read the CA file {}: {kind}", path.display())]
    CaFileUnreadable {
        /// The file as configured.
        path: PathBuf,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
    /// The CA file is not PEM, or a certificate in it is malformed.
    #[error("the CA file {} holds something other than PEM certificates", .0.display())]
    CaFileMalformed(PathBuf),
    /// The CA file holds no certificate.
    #[error("the CA file {} holds no certificate", .0.display())]
    CaFileEmpty(PathBuf),
    /// The platform offers no root certificate.
    #[error("this system has no root certificates: install its CA bundle or set the origin's `ca`")]
    NoPlatformRoots,
    /// The TLS library refused its own defaults.
    #[error("the TLS library could not be set up")]
    TlsSetup,
}

/// Why a text is not an origin's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// The scheme is not `http` or `https`.
    #[error("an origin's URL begins with http:// or https://")]
    Scheme,
    /// The host is missing or malformed.
    #[error("the origin's URL has no valid host")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the origin's URL has no valid port")]
    Port,
    /// The URL carries user information, a path, a query or a fragment.
    #[error("an origin's URL is scheme, host and port only")]
    Extra,
}

#[cfg(test)]
mod tests;
