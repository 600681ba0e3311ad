//! What an edge under load is to be like, and the configuration that makes it so.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use super::Certificate;

/// What the benched edge is to be like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EdgeShape {
    pub(crate) workers: u32,
    pub(crate) connections_max: u32,
    /// Its listener speaks TLS.
    pub(crate) secure: bool,
    /// What its front stands on.
    pub(crate) transport: EdgeTransport,
    /// Addresses of its origin, from the first one on.
    pub(crate) origin_addresses: u8,
}

/// `server.transport` of the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum EdgeTransport {
    /// io_uring; never anything else in its place.
    Uring,
    /// epoll.
    Epoll,
}

impl EdgeShape {
    /// Without TLS, over io_uring.
    pub(crate) const fn plain(workers: u32, connections_max: u32) -> Self {
        Self {
            workers,
            connections_max,
            secure: false,
            transport: EdgeTransport::Uring,
            origin_addresses: 1,
        }
    }
}

impl EdgeTransport {
    /// The word in the configuration.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        }
    }

    /// The kernel's word.
    pub(crate) const fn kernel_name(self) -> &'static str {
        match self {
            Self::Uring => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}

/// The configuration of an edge with its addresses (listener, admin, origin) and its store.
pub(super) fn edge_config(
    [address, admin, origin]: [SocketAddr; 3],
    shape: EdgeShape,
    certificate: Option<&Certificate>,
    store: &Path,
) -> String {
    let EdgeShape { workers, connections_max, secure: _, transport, origin_addresses } = shape;
    let urls: Vec<String> =
        (0..u32::from(origin_addresses)).map(|n| origin_url(origin, n)).collect();
    let urls = urls.join(", ");
    let sources = SOURCES.map(|source| format!("\"{source}\"")).join(", ");
    let transport = transport.name();
    let store = store.display();
    let tls = certificate.map_or_else(String::new, |Certificate { certificate, key }| {
        let (certificate, key) = (certificate.display(), key.display());
        format!("tls = {{ certificate = \"{certificate}\", key = \"{key}\" }}\n")
    });
    format!(
        "[server]
workers = {workers}
max_connections = {connections_max}
transport = \"{transport}\"
[[listener]]
address = \"{address}\"
{tls}[store]
path = \"{store}\"
size = \"256MiB\"
[[site]]
hosts = [\"*\"]
idle_timeout = \"2h\"
origin = {{ urls = [{urls}], source_addresses = [{sources}] }}
[limits]
idle_timeout = \"2h\"
[admin]
address = \"{admin}\"
[access_log]
path = \"off\"
"
    )
}

/// The quoted URL of the address so many behind the origin's first one.
fn origin_url(first: SocketAddr, number: u32) -> String {
    let ip = match first.ip() {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() + number)),
        IpAddr::V6(ip) => IpAddr::V6(ip),
    };
    format!("\"http://{}\"", SocketAddr::new(ip, first.port()))
}

/// Addresses from which the edge connects to its origin, in turn. Each of them has ports for some
/// 28,000 connections to each of the origin's.
pub(crate) const SOURCES: [&str; 2] = ["127.0.0.1", "127.0.0.2"];
