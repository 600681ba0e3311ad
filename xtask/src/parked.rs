//! Connections that rest: their kinds, the edge and the origin that so many of them need, and what
//! one costs.
//!
//! What an edge has reserved at its start over one for a thousand connections, and what it grows
//! by under its connections, after some have come and gone to touch what is shared, make the user
//! memory of a connection. The growth of the kernel's slab beside it is that of all ends on this
//! machine: the clients', and for a tunnel both of the origin's.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::rig::{EdgeShape, EdgeTransport, Program, Rig, SOURCES, Server};

/// What is spoken on the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// HTTP in the clear.
    Plain,
    /// HTTP over TLS 1.3.
    Tls,
    /// WebSockets in the clear.
    Websocket,
    /// WebSockets over TLS 1.3.
    WebsocketTls,
    /// Event streams in the clear, with an event every ten seconds.
    Events,
}

/// Connections that an edge is to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    pub(crate) kind: Kind,
    pub(crate) connections: u32,
    /// Workers of the edge.
    pub(crate) workers: u32,
    pub(crate) transport: EdgeTransport,
}

/// An edge for a crowd, warmed up, before its origin.
pub(crate) struct Stand {
    _origin: Program,
    pub(crate) edge: Program,
    pub(crate) server: Server,
    crowd: Crowd,
    small_bytes: u64,
    start_bytes: u64,
}

/// User memory and slab around the parking of a crowd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    pub(crate) connections: u32,
    /// User memory, bytes: of a small edge, of this one at its start, warmed up, and with all
    /// parked.
    pub(crate) small_bytes: u64,
    pub(crate) start_bytes: u64,
    pub(crate) warm_bytes: u64,
    pub(crate) parked_bytes: u64,
    /// Kernel slab before and after, bytes.
    pub(crate) slab_bytes: [u64; 2],
}

impl Kind {
    pub(crate) const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::WebsocketTls)
    }

    /// It has a connection of its own to the origin.
    pub(crate) const fn is_tunnel(self) -> bool {
        matches!(self, Self::Websocket | Self::WebsocketTls | Self::Events)
    }

    /// Most bytes of user memory that a parked one may cost: 64 + 8 for a plain slot, twice that
    /// for a tunnel, 128 more for TLS. Events come by themselves, some thousand at once while more
    /// streams are opened, and the edge keeps what so many active ones have used.
    pub(crate) const fn bound_bytes(self) -> u32 {
        match self {
            Self::Plain => 96,
            Self::Tls => 256,
            Self::Websocket => 200,
            Self::WebsocketTls => 360,
            Self::Events => 400,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "TLS 1.3",
            Self::Websocket => "WebSocket",
            Self::WebsocketTls => "WebSocket over TLS 1.3",
            Self::Events => "event stream",
        }
    }

    /// Sockets on this machine for each connection: both ends of it, and for a tunnel both ends of
    /// the one to the origin.
    pub(crate) const fn sockets(self) -> u32 {
        if self.is_tunnel() { 4 } else { 2 }
    }

    /// What such a connection asks for.
    fn url(self, server: &Server) -> String {
        match self {
            Self::Plain | Self::Tls => server.url(PATH),
            Self::Websocket | Self::WebsocketTls => server.websocket_url("/"),
            Self::Events => server.url(EVENTS_PATH),
        }
    }

    /// An origin for so many of them, its first address, and how many it has.
    fn origin(self, rig: &Rig, connections: u32) -> Result<(Program, SocketAddr, u8)> {
        if self.is_tunnel() {
            let addresses = tunnel_addresses(connections)?;
            let (program, first) = rig.echo(connections.saturating_add(SPARE), addresses)?;
            return Ok((program, first, addresses));
        }
        let (program, address) = rig.origin()?;
        Ok((program, address, 1))
    }
}

impl Crowd {
    /// Starts the edge for it, after a small one for a moment, and warms it up.
    pub(crate) fn stand(self, rig: &Rig) -> Result<Stand> {
        let Self { kind, connections, workers, transport } = self;
        let (program, origin, origin_addresses) = kind.origin(rig, connections)?;
        let plain = EdgeShape::plain(workers, SPARE);
        let small = EdgeShape { secure: kind.is_secure(), transport, origin_addresses, ..plain };
        let at_begin = |server: &Server, connections: u32| -> Result<u64> {
            let options = hold_options(kind, server, &[connections], Duration::ZERO);
            figure(&rig.bomb(&options)?, "/server/memory_before/anonymous_bytes")
        };
        let small_bytes = {
            let (_edge, server) = rig.edge(origin, small)?;
            at_begin(&server, 1)?
        };
        // A tunnel has two places.
        let places = connections.saturating_mul(kind.sockets() / 2);
        let connections_max = places.saturating_add(SPARE);
        let (edge, server) = rig.edge(origin, EdgeShape { connections_max, ..small })?;
        let start_bytes = at_begin(&server, WARM_CONNECTIONS)?;
        Ok(Stand { _origin: program, edge, server, crowd: self, small_bytes, start_bytes })
    }
}

impl Stand {
    /// Options of the bomb that has them open in stages, the last of which is all of the crowd, and
    /// rest so long after each.
    pub(crate) fn hold_options(&self, stages: &[u32], rest: Duration) -> Vec<String> {
        hold_options(self.crowd.kind, &self.server, stages, rest)
    }

    /// What they cost, by the result of their hold.
    pub(crate) fn footprint(&self, found: &Value) -> Result<Footprint> {
        Ok(Footprint {
            connections: self.crowd.connections,
            small_bytes: self.small_bytes,
            start_bytes: self.start_bytes,
            warm_bytes: figure(found, "/server/memory_before/anonymous_bytes")?,
            parked_bytes: figure(found, "/server_at_rest/memory_before/anonymous_bytes")?,
            slab_bytes: [
                figure(found, "/server/kernel_before/slab_bytes")?,
                figure(found, "/server_at_rest/kernel_before/slab_bytes")?,
            ],
        })
    }
}

impl Footprint {
    fn each(&self, from: u64, to: u64) -> f64 {
        (to as f64 - from as f64) / f64::from(self.connections)
    }

    /// What was reserved at start for each.
    pub(crate) fn reserved(&self) -> f64 {
        self.each(self.small_bytes, self.start_bytes)
    }

    /// What the edge grew by for each.
    pub(crate) fn growth(&self) -> f64 {
        self.each(self.warm_bytes, self.parked_bytes)
    }

    /// User memory of each.
    pub(crate) fn user(&self) -> f64 {
        self.reserved() + self.growth()
    }

    /// Slab of all its ends.
    pub(crate) fn slab(&self) -> f64 {
        self.each(self.slab_bytes[0], self.slab_bytes[1])
    }
}

/// How many addresses an origin needs for so many tunnels.
fn tunnel_addresses(tunnels: u32) -> Result<u8> {
    let each = TUNNELS_PER_PAIR * SOURCES.len() as u32;
    let addresses = u8::try_from(tunnels.div_ceil(each)).ok().filter(|it| *it <= ADDRESSES_MAX);
    addresses.with_context(|| {
        let most = u32::from(ADDRESSES_MAX) * each;
        format!("{tunnels} are more tunnels than one site's origin has ports for: {most}")
    })
}

fn hold_options(kind: Kind, server: &Server, stages: &[u32], rest: Duration) -> Vec<String> {
    let names: Vec<String> = stages.iter().map(u32::to_string).collect();
    let rests = rest * u32::try_from(stages.len()).unwrap_or(u32::MAX);
    let mut options = vec![
        "hold".to_owned(),
        format!("--url={}", kind.url(server)),
        format!("--stages={}", names.join(",")),
        format!("--hold={}ms", rest.as_millis()),
        format!("--active={ACTIVE}"),
        format!("--time-max={}s", (TIME_MAX + rests).as_secs()),
        format!("--server-pid={}", server.pid_option()),
    ];
    if kind == Kind::Events {
        options.push("--events".to_owned());
    }
    options
}

/// A whole number in a result.
pub(crate) fn figure(value: &Value, pointer: &str) -> Result<u64> {
    let found = value.pointer(pointer).and_then(Value::as_u64);
    found.with_context(|| format!("the result lacks {pointer}"))
}

/// A number as typed: `500`, `10k`, `2m`.
pub(crate) fn count_of(text: &str) -> Result<u32> {
    let (number, unit) = match text.trim().to_ascii_lowercase() {
        text if text.ends_with('k') => (text.trim_end_matches('k').to_owned(), 1000),
        text if text.ends_with('m') => (text.trim_end_matches('m').to_owned(), 1_000_000),
        text => (text, 1),
    };
    let number: u32 = number.parse().context("a stage is a number, such as 500, 10k or 2m")?;
    let count = number.checked_mul(unit).context("more connections than there can be")?;
    ensure!(count > 0, "a stage has one connection at least");
    Ok(count)
}

/// What they ask for.
const PATH: &str = "/bytes/1024?max_age=86400";
const EVENTS_PATH: &str = "/events?interval=10s";
/// Connections that an edge has room for beyond those that are parked; all that a small one has.
const SPARE: u32 = 1024;
/// Connects and requests under way at once: few, since each may touch a buffer of the edge's pool,
/// which is shared and no part of a connection.
const ACTIVE: u32 = 64;
/// Tunnels from each of the edge's addresses to each of the origin's. The kernel tries one half of
/// the 28,232 ports first: with most of those taken each connect takes milliseconds, with little
/// more than half of them the second or third try finds a free one.
const TUNNELS_PER_PAIR: u32 = 8_000;
/// Origin URLs that a site may have.
const ADDRESSES_MAX: u8 = 64;
/// Connections that come and go before the first reading.
const WARM_CONNECTIONS: u32 = 256;
/// How long a hold may take beside its rests: two million connections with TLS take minutes.
const TIME_MAX: Duration = Duration::from_secs(1800);

#[cfg(test)]
mod tests {
    use super::{Footprint, count_of, tunnel_addresses};

    #[test]
    fn stages_are_typed_with_k_and_m() {
        let check = |text, expected| assert_eq!(count_of(text).ok(), expected, "{text:?}");
        check("500", Some(500));
        check("10k", Some(10_000));
        check("2M", Some(2_000_000));
        for wrong in ["", "k", "0", "-1", "1g", "5000m", "1.5m"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_million_tunnels_fit_one_site_s_origin_urls() {
        for (tunnels, addresses) in [(1, 1), (16_000, 1), (16_001, 2), (1_024_000, 64)] {
            assert_eq!(tunnel_addresses(tunnels).ok(), Some(addresses), "{tunnels}");
        }
        let told = tunnel_addresses(1_024_001).expect_err("too many").to_string();
        assert!(told.ends_with(": 1024000"), "{told}");
    }

    #[test]
    fn a_connection_costs_what_was_reserved_and_what_grew() {
        let footprint = Footprint {
            connections: 100,
            small_bytes: 1000,
            start_bytes: 7500,
            warm_bytes: 8000,
            parked_bytes: 8700,
            slab_bytes: [0, 800],
        };
        assert_eq!((footprint.reserved(), footprint.growth()), (65.0, 7.0));
        assert_eq!((footprint.user(), footprint.slab()), (72.0, 8.0));
    }
}
