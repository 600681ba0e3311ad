//! What a connection is used for, as its slot says.

use longhold_conn::Slot;
use longhold_conn::tunnel::{Kind, Side};

/// What is spoken on a connection, over TLS or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Requests of a client, also before the first one.
    Http,
    /// The same over TLS.
    Https,
    /// A client's half of a tunnel.
    Tunnel,
    /// The same over TLS.
    TunnelTls,
    /// A client of an endless response.
    Stream,
    /// The same over TLS.
    StreamTls,
    /// The origin's half of a tunnel or of an endless response.
    Origin,
    /// The same over TLS.
    OriginTls,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Http,
        Self::Https,
        Self::Tunnel,
        Self::TunnelTls,
        Self::Stream,
        Self::StreamTls,
        Self::Origin,
        Self::OriginTls,
    ];

    /// What a slot is used for. TLS counts from the end of its handshake on.
    #[must_use]
    pub fn of(slot: &Slot) -> Self {
        match (slot.half().map(|half| (half.side, half.kind)), slot.is_secure()) {
            (None, false) => Self::Http,
            (None, true) => Self::Https,
            (Some((Side::Client, Kind::Tunnel)), false) => Self::Tunnel,
            (Some((Side::Client, Kind::Tunnel)), true) => Self::TunnelTls,
            (Some((Side::Client, Kind::Stream)), false) => Self::Stream,
            (Some((Side::Client, Kind::Stream)), true) => Self::StreamTls,
            (Some((Side::Origin, _)), false) => Self::Origin,
            (Some((Side::Origin, _)), true) => Self::OriginTls,
        }
    }

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tunnel => "tunnel",
            Self::TunnelTls => "tunnel-tls",
            Self::Stream => "stream",
            Self::StreamTls => "stream-tls",
            Self::Origin => "origin",
            Self::OriginTls => "origin-tls",
        }
    }
}
