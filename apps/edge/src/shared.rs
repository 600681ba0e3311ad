//! What all workers read while the edge runs: settings, which nobody changes, and the governor's
//! word.

use std::sync::Arc;

use longhold_conn::deadline::Timeouts;
use longhold_gateway::rules::{Redirect, RuleBook};
use longhold_gateway::site::SiteTable;
use longhold_gateway::tunnel::TunnelRule;
use longhold_http1::Limits;

use crate::config::checked::{Checked, Listener};
use crate::gate::Gate;
use crate::pressure::Pressure;

/// Sites, limits and timeouts in the form in which a worker wants them.
#[derive(Debug)]
pub struct Shared {
    /// Hosts to site numbers.
    pub sites: SiteTable,
    /// What sites do otherwise than the RFCs' defaults.
    pub rules: Arc<RuleBook>,
    /// Bounds of requests in progress, by the site's number; empty when no site has one.
    pub gates: Vec<Option<Arc<Gate>>>,
    /// `http` or `https`: how clients reach each listener, in the order of the config.
    pub schemes: Vec<&'static str>,
    /// Whether what a listener accepts shakes hands in the transport first, in the same order.
    pub handshakes: Vec<bool>,
    /// Where a listener sends its clients, in the same order; empty when none does.
    pub redirects: Vec<Option<Redirect>>,
    /// Of heads and chunks.
    pub limits: Limits,
    /// Of connections.
    pub timeouts: Timeouts,
    /// How long a connection may rest after a request for a site, by the site's number, ms.
    pub idle_ms: Vec<u64>,
    /// What sites let through unread, by their numbers.
    pub tunnels: Arc<[TunnelRule]>,
    /// How long that may be silent, by the site's number, ms.
    pub tunnel_idle_ms: Vec<u64>,
    /// How long a tunnel may last, ms; none where it is `None`.
    pub tunnel_lifetime_ms: Option<u64>,
    /// Most body bytes handed to one send.
    pub send_window_bytes: u64,
    /// Most request body bytes in memory per upload.
    pub upload_window_bytes: usize,
    /// Connections that one source may have at one worker; 0 for any number.
    pub connections_per_source: u32,
    /// How much to save, by the governor's word.
    pub pressure: Arc<Pressure>,
    /// Most body bytes read only to be thrown away before a connection is closed instead.
    pub drain_bytes_max: u64,
}

impl Shared {
    /// How the clients of a listener reach it: part of what their requests mean (RFC 9110 section
    /// 7.1), so of the key as well.
    pub fn scheme(&self, listener: u16) -> &'static str {
        self.schemes.get(usize::from(listener)).copied().unwrap_or("http")
    }

    /// Whether what the listener accepts shakes hands first.
    pub fn shakes_hands(&self, listener: u16) -> bool {
        self.handshakes.get(usize::from(listener)).copied().unwrap_or(false)
    }

    /// What a config means to the workers.
    pub fn of(config: &Checked) -> Self {
        let limits = &config.limits;
        let redirect = |listener: &Listener| listener.redirect.clone();
        let mut redirects: Vec<_> = config.listeners.iter().map(redirect).collect();
        if redirects.iter().all(Option::is_none) {
            redirects.clear();
        }
        let sites = config.sites.iter().map(|site| site.hosts.iter().cloned());
        Self {
            sites: SiteTable::new(sites),
            rules: Arc::new(RuleBook::new(config.sites.iter().map(|site| site.rules.clone()))),
            gates: config.sites.iter().map(|site| site.requests_max.map(Gate::new)).collect(),
            handshakes: config.listeners.iter().map(|listener| listener.tls.is_some()).collect(),
            schemes: config.listeners.iter().map(|listener| listener.scheme()).collect(),
            redirects,
            limits: Limits {
                head_bytes_max: limits.head_max.0 as usize,
                fields_max: limits.fields_max,
                target_bytes_max: limits.target_max.0 as usize,
                ..Limits::default()
            },
            timeouts: Timeouts {
                idle_ms: limits.idle_timeout.0,
                handshake_ms: limits.handshakes.timeout.0,
                head_ms: limits.head_timeout.0,
                flow_grace_ms: limits.body_grace.0,
                flow_rate_min: limits.body_rate_min.0,
                ..Timeouts::default()
            },
            idle_ms: config.sites.iter().map(|site| site.idle_timeout.0).collect(),
            tunnels: config.sites.iter().map(|site| site.tunnel.clone()).collect(),
            tunnel_idle_ms: config.sites.iter().map(|site| site.tunnel_idle.0).collect(),
            tunnel_lifetime_ms: limits.tunnel_lifetime.map(|time| time.0),
            send_window_bytes: SEND_WINDOW_BYTES,
            upload_window_bytes: limits.upload_window.0 as usize,
            connections_per_source: {
                let each = limits.connections_per_source.div_ceil(config.server.workers as u64);
                u32::try_from(each).unwrap_or(u32::MAX)
            },
            pressure: Arc::default(),
            drain_bytes_max: DRAIN_BYTES_MAX,
        }
    }
}

/// One send takes at most this much of a body: large enough that its cost is the copy, small
/// enough that a worker's other connections do not wait for longer than one.
const SEND_WINDOW_BYTES: u64 = 1024 * 1024;

/// As much of an unwanted request body is read as a new connection would cost; then it is closed.
const DRAIN_BYTES_MAX: u64 = 256 * 1024;
