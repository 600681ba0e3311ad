//! The config as it is meant: plain structs per part, complete, in base units, judged against the
//! bounds and against each other. Everything that runs is built from these and never from the file.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use longhold_gateway::rules::{Redirect, SiteRules};
pub use longhold_gateway::site::HostPattern;
pub use longhold_gateway::tunnel::TunnelRule;
pub use longhold_origin::{OriginUrl, Scheme};

use super::knobs::Knob;
use super::units::{Bytes, BytesPerSecond, Millis};

/// A whole config that passed every rule.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The file as the user named it.
    pub file: String,
    /// `[server]`
    pub server: Server,
    /// `[[listener]]`, at least one, at most [`super::LISTENERS_MAX`].
    pub listeners: Vec<Listener>,
    /// `[store]`
    pub store: Store,
    /// `[[site]]`, at least one, at most [`super::SITES_MAX`].
    pub sites: Vec<Site>,
    /// `[admin]`
    pub admin: Admin,
    /// `[access_log]`
    pub access_log: AccessLog,
    /// `[log]`
    pub log: Log,
    /// `[limits]`
    pub limits: Limits,
    /// Every value that holds, in the table's order: what `edge check` prints.
    pub effective: Vec<Effective>,
}

/// `[server]`
#[derive(Debug, Clone)]
pub struct Server {
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Connections in all workers together; never fewer than workers.
    pub max_connections: u32,
    /// How sockets are driven.
    pub transport: TransportChoice,
    /// Memory that it may use, where the config says it.
    pub memory: Option<Bytes>,
    /// How long a drain may take.
    pub drain_timeout: Millis,
}

/// `server.transport`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportChoice {
    /// io_uring where the host allows it, else epoll.
    Auto,
    /// io_uring, or a start-up error.
    Uring,
    /// epoll, and no ring anywhere.
    Epoll,
}

/// `[[listener]]`
#[derive(Debug, Clone)]
pub struct Listener {
    /// Where clients connect.
    pub address: SocketAddr,
    /// Where their requests are sent instead of being answered.
    pub redirect: Option<Redirect>,
    /// How their connections are secured; `None` for plain HTTP.
    pub tls: Option<ListenerTls>,
}

/// `tls = { … }` of a listener.
#[derive(Debug, Clone)]
pub struct ListenerTls {
    /// At least one, at most [`super::CERTIFICATES_MAX`]; the first also answers for names that
    /// none of them has.
    pub certificates: Vec<CertificateFiles>,
    /// Authorities of client certificates; there when `client_auth` is not off.
    pub client_ca: Option<PathBuf>,
    /// Whether clients show certificates.
    pub client_auth: ClientAuth,
    /// Lowest version that is spoken.
    pub min_version: TlsVersion,
    /// Who protects the records of TLS 1.3.
    pub record_layer: RecordLayer,
    /// How often the key of tickets changes; `None` for no tickets.
    pub ticket_rotation: Option<Millis>,
}

/// The files of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM chain, the leaf first.
    pub certificate: PathBuf,
    /// PEM key.
    pub key: PathBuf,
    /// DER response to be stapled.
    pub ocsp: Option<PathBuf>,
}

/// Whether clients show certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    Off,
    /// They may; one that is shown must be good.
    Optional,
    /// They must.
    Required,
}

/// Versions of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// Who protects the records of TLS 1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordLayer {
    /// This edge: resting connections keep 128 bytes.
    Own,
    /// rustls: they keep a session of some KiB.
    Rustls,
}

impl Listener {
    /// The scheme of what is asked for there.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// `[store]`
#[derive(Debug, Clone)]
pub struct Store {
    /// Where records are kept, at least one, at most [`super::DEVICES_MAX`].
    pub devices: Vec<Device>,
    /// Size of one segment; whole MiB, at least [`super::SEGMENTS_MIN`] of them fit each device.
    pub segment: Bytes,
    /// Objects that the index has room for.
    pub objects_max: u64,
    /// Size of the memory tier; 0 for none.
    pub memory: Bytes,
    /// What lives no longer shares segments.
    pub short_lifetime: Millis,
    /// How long an answer waits for the store, and a disk may take for a write.
    pub write_patience: Millis,
}

/// One of `store.devices`, or what `store.path` and `store.size` say.
#[derive(Debug, Clone)]
pub struct Device {
    /// Folder of the device's files.
    pub path: PathBuf,
    /// Bytes for records.
    pub size: Bytes,
}

/// `[[site]]`
#[derive(Debug, Clone)]
pub struct Site {
    /// Hosts that it answers for; no pattern stands twice in a config.
    pub hosts: Vec<HostPattern>,
    /// Where its content comes from.
    pub origin: Origin,
    /// How long a client's connection may rest after an exchange with this site.
    pub idle_timeout: Millis,
    /// Its requests in progress at once, where they have a bound.
    pub requests_max: Option<u32>,
    /// What goes through it unread.
    pub tunnel: TunnelRule,
    /// How long that may be silent.
    pub tunnel_idle: Millis,
    /// What it does otherwise than the RFCs' defaults; also there when `requests_max` is.
    pub rules: Option<SiteRules>,
}

/// `origin = { … }` of a site.
#[derive(Debug, Clone)]
pub struct Origin {
    /// At least one, at most [`super::URLS_MAX`].
    pub urls: Vec<OriginUrl>,
    /// Authorities for https instead of the platform's; only with an https URL.
    pub ca: Option<PathBuf>,
    /// Until a connection is open.
    pub connect_timeout: Millis,
    /// From the request's end to the response's head.
    pub first_byte_timeout: Millis,
    /// Within a body.
    pub between_bytes_timeout: Millis,
    /// Connections at once.
    pub connections_max: usize,
    /// Where they come from, in turn; empty for the system's choice.
    pub source_addresses: Vec<IpAddr>,
    /// Fetches that may wait for one.
    pub queue_max: usize,
    /// How long an unused connection is kept.
    pub idle_timeout: Millis,
}

/// `[admin]`
#[derive(Clone)]
pub struct Admin {
    /// Where it listens.
    pub address: AdminAddress,
    /// The secret that requests carry; always there when `address` is not loopback.
    pub token: Option<String>,
}

/// Where the admin API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix socket at this path.
    Unix(PathBuf),
}

/// `[access_log]`
#[derive(Debug, Clone)]
pub struct AccessLog {
    /// Where lines go.
    pub target: LogTarget,
    /// Their form.
    pub format: LogFormat,
}

/// Where access log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere: no line is made.
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// This file, opened for appending, opened anew on SIGHUP.
    File(PathBuf),
}

/// The form of a log's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// One line of text.
    Text,
}

/// `[log]`
#[derive(Debug, Clone)]
pub struct Log {
    /// The lines' form.
    pub format: LogFormat,
    /// Least weight of what is logged.
    pub level: LogLevel,
}

/// Weights of what is logged, the heaviest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Something is lost.
    Error,
    /// Something is not as it should be.
    Warn,
    /// Starts and ends.
    Info,
    /// What only helps to find a fault.
    Debug,
}

/// `[limits]`
#[derive(Debug, Clone)]
pub struct Limits {
    /// Size of a request's head.
    pub head_max: Bytes,
    /// Field lines in a head, at most 100.
    pub fields_max: usize,
    /// Size of a target; never more than `head_max`.
    pub target_max: Bytes,
    /// From a head's first byte to its end.
    pub head_timeout: Millis,
    /// Least rate of bodies.
    pub body_rate_min: BytesPerSecond,
    /// How long a body may lag behind that rate.
    pub body_grace: Millis,
    /// How long a connection may rest.
    pub idle_timeout: Millis,
    /// Receive buffers in each worker.
    pub buffers_max: u32,
    /// Staging blocks.
    pub staging_max: u32,
    /// Largest stored body; never more than half of the largest device.
    pub object_max: Bytes,
    /// Bytes of one response in memory; never more than all staging blocks.
    pub download_window: Bytes,
    /// Bytes of one request body in memory.
    pub upload_window: Bytes,
    /// What the kernel takes for one connection beyond what it may send at once.
    pub unsent_max: Bytes,
    /// Until a follower fetches beside a leader without a head.
    pub leader_wait: Millis,
    /// Until a follower fetches for itself alone.
    pub follower_wait: Millis,
    /// How long a response that was not shared is remembered.
    pub hit_for_miss: Millis,
    /// How long a tunnel may last, where that has a bound.
    pub tunnel_lifetime: Option<Millis>,
    /// Access log lines that may wait in each worker.
    pub log_queue_max: usize,
    /// Connections at once from one source; 0 for any number.
    pub connections_per_source: u64,
    /// Bounds of TLS handshakes.
    pub handshakes: Handshakes,
}

/// `limits.handshakes_max` and its like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshakes {
    /// In flight at once, in all workers together.
    pub most: u32,
    /// In flight at once from one source, in each worker.
    pub per_source: u32,
    /// Begun per second, in each worker, where that has a bound.
    pub rate: Option<u32>,
    /// From the connection to the handshake's end.
    pub timeout: Millis,
}

/// One value that holds.
#[derive(Debug, Clone)]
pub struct Effective {
    /// The table's header, such as `[[site]]`.
    pub header: &'static str,
    /// Which one of the repeating tables, from 0.
    pub index: usize,
    /// Its row.
    pub knob: &'static Knob,
    /// The value in the form in which it can be typed; null when it is not set, and for secrets
    /// the text [`super::SECRET`].
    pub value: serde_json::Value,
    /// Whether the file says it; else it is the default.
    pub set: bool,
}

impl fmt::Debug for Admin {
    /// The token itself is never printed.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| super::SECRET);
        out.debug_struct("Admin").field("address", &self.address).field("token", &token).finish()
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(out),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}
