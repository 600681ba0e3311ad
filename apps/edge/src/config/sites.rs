//! The sites: hosts without duplicates, and origins that can be reached by what is said of them.

use std::collections::HashMap;
use std::fs::File;
use std::net::{IpAddr, UdpSocket};
use std::path::PathBuf;

use longhold_gateway::rules::SiteRules;
use toml::Spanned;

use super::check::{start, to_u32, to_usize};
use super::checked::{HostPattern, Origin, OriginUrl, Scheme, Site, TunnelRule};
use super::fault::Cause;
use super::knobs;
use super::raw;
use super::resolve::Resolver;
use super::units::{Bytes, Millis};
use super::{HOSTS_MAX, PROTOCOLS_MAX, SITES_MAX, SOURCES_MAX, URLS_MAX, names, rules};

/// Reads all sites; `idle` is the client timeout of those that say none, `object_max` the bound of
/// what a rule may say.
pub(super) fn sites(
    resolver: &mut Resolver<'_>,
    typed: &[Spanned<raw::Site>],
    (idle, object_max): (Millis, Bytes),
) -> Vec<Site> {
    if typed.is_empty() {
        resolver.fault(None, "[[site]]", Cause::NoTable);
    }
    if let Some(beyond) = typed.get(SITES_MAX) {
        let cause = Cause::TooMany { most: SITES_MAX };
        resolver.fault(Some(beyond.span().start), "[[site]]", cause);
    }
    let mut first: HashMap<HostPattern, usize> = HashMap::new();
    let mut sites = Vec::new();
    let mut rules_count = 0;
    for (index, table) in typed.iter().take(SITES_MAX).enumerate() {
        resolver.enter("[[site]]", index);
        let (at, table) = (table.span().start, table.get_ref());
        if table.hosts.is_none() {
            resolver.fault(Some(at), knobs::SITE_HOSTS.key, Cause::Missing);
        }
        let hosts = hosts(resolver, table, &mut first);
        let knob = &knobs::SITE_IDLE_TIMEOUT;
        let idle_timeout = Millis(resolver.number_or(knob, &table.idle_timeout, idle.0));
        let requests_max = resolver.number_if(&knobs::SITE_REQUESTS_MAX, &table.requests_max);
        let requests_max = requests_max.map(to_u32);
        let tunnel = tunnel(resolver, table);
        let tunnel_idle = resolver.number(&knobs::SITE_TUNNEL_IDLE, &table.tunnel_idle);
        let tunnel_idle = Millis(tunnel_idle);
        resolver.enter("[site.origin]", index);
        match &table.origin {
            Some(origin) => {
                let origin = self::origin(resolver, origin.get_ref(), origin.span().start);
                let rules = rules::site(resolver, table, (index, &mut rules_count), object_max);
                let rules = rules.or(requests_max.map(|_| SiteRules::default()));
                sites.push(Site {
                    hosts,
                    origin,
                    idle_timeout,
                    requests_max,
                    tunnel,
                    tunnel_idle,
                    rules,
                });
            }
            None => resolver.fault(Some(at), knobs::SITE_ORIGIN_URLS.key, Cause::Missing),
        }
    }
    sites
}

/// What the site lets through; nothing by `["none"]`.
fn tunnel(resolver: &mut Resolver<'_>, table: &raw::Site) -> TunnelRule {
    let knob = &knobs::SITE_TUNNEL;
    let words = resolver.list_or(knob, &table.tunnel, (PROTOCOLS_MAX, &["websocket"]));
    if rules::says_none(&table.tunnel) {
        return TunnelRule::default();
    }
    for said in &words {
        if TunnelRule::new([&*said.text]).is_none() || said.text == "none" {
            let cause = Cause::NotAProtocol(format!("{:?}", said.text));
            resolver.fault(said.at, knob.key, cause);
        }
    }
    TunnelRule::new(words.iter().map(|said| &*said.text)).unwrap_or_default()
}

fn hosts(
    resolver: &mut Resolver<'_>,
    table: &raw::Site,
    first: &mut HashMap<HostPattern, usize>,
) -> Vec<HostPattern> {
    let key = knobs::SITE_HOSTS.key;
    let mut hosts = Vec::new();
    for said in resolver.list(&knobs::SITE_HOSTS, &table.hosts, HOSTS_MAX) {
        let Some(pattern) = names::host_pattern(&said.text) else {
            resolver.fault(said.at, key, Cause::NotAHost(format!("{:?}", said.text)));
            continue;
        };
        if let (Some(before), Some(_)) = (first.get(&pattern), said.at) {
            let first_line = resolver.source.place(*before).line;
            let cause = Cause::Duplicate { value: pattern.to_string(), first_line };
            resolver.fault(said.at, key, cause);
            continue;
        }
        first.insert(pattern.clone(), said.at.unwrap_or(0));
        hosts.push(pattern);
    }
    hosts
}

fn origin(resolver: &mut Resolver<'_>, typed: &raw::Origin, at: usize) -> Origin {
    if typed.urls.is_none() {
        resolver.fault(Some(at), knobs::SITE_ORIGIN_URLS.key, Cause::Missing);
    }
    let urls = urls(resolver, typed);
    let ca = ca(resolver, typed, &urls);
    let connect = resolver.number(&knobs::SITE_ORIGIN_CONNECT_TIMEOUT, &typed.connect_timeout);
    let first_byte =
        resolver.number(&knobs::SITE_ORIGIN_FIRST_BYTE_TIMEOUT, &typed.first_byte_timeout);
    let between_bytes =
        resolver.number(&knobs::SITE_ORIGIN_BETWEEN_BYTES_TIMEOUT, &typed.between_bytes_timeout);
    let connections = resolver.number(&knobs::SITE_ORIGIN_CONNECTIONS_MAX, &typed.connections_max);
    let source_addresses = source_addresses(resolver, typed, &urls);
    let queue = resolver.number(&knobs::SITE_ORIGIN_QUEUE_MAX, &typed.queue_max);
    let idle = resolver.number(&knobs::SITE_ORIGIN_IDLE_TIMEOUT, &typed.idle_timeout);
    Origin {
        urls,
        ca,
        connect_timeout: Millis(connect),
        first_byte_timeout: Millis(first_byte),
        between_bytes_timeout: Millis(between_bytes),
        connections_max: to_usize(connections),
        source_addresses,
        queue_max: to_usize(queue),
        idle_timeout: Millis(idle),
    }
}

/// The addresses to connect from, which this host must have now: else each fetch whose turn it is
/// would fail.
fn source_addresses(
    resolver: &mut Resolver<'_>,
    typed: &raw::Origin,
    urls: &[OriginUrl],
) -> Vec<IpAddr> {
    let knob = &knobs::SITE_ORIGIN_SOURCE_ADDRESSES;
    let mut addresses = Vec::new();
    for said in resolver.list(knob, &typed.source_addresses, SOURCES_MAX) {
        match source_address(said.text, urls) {
            Ok(address) => addresses.push(address),
            Err(cause) => resolver.fault(said.at, knob.key, cause),
        }
    }
    addresses
}

fn source_address(typed: String, urls: &[OriginUrl]) -> Result<IpAddr, Cause> {
    let Ok(address) = typed.parse::<IpAddr>() else { return Err(Cause::NotASource(typed)) };
    // A name may stand for addresses of both families.
    let may_be_reached = |url: &OriginUrl| {
        let host = url.host.parse::<IpAddr>().ok();
        host.is_none_or(|host| host.is_ipv4() == address.is_ipv4())
    };
    if !urls.is_empty() && !urls.iter().any(may_be_reached) {
        return Err(Cause::SourceOfNoUrl(address));
    }
    // Without a connection, and given back at once.
    match UdpSocket::bind((address, 0)) {
        Ok(_) => Ok(address),
        Err(why) => Err(Cause::SourceNotHere { address, why: why.to_string() }),
    }
}

fn urls(resolver: &mut Resolver<'_>, typed: &raw::Origin) -> Vec<OriginUrl> {
    let key = knobs::SITE_ORIGIN_URLS.key;
    let mut urls = Vec::new();
    let mut first_at = Vec::new();
    for said in resolver.list(&knobs::SITE_ORIGIN_URLS, &typed.urls, URLS_MAX) {
        let Some(url) = names::origin_url(&said.text) else {
            resolver.fault(said.at, key, Cause::NotAUrl(format!("{:?}", said.text)));
            continue;
        };
        let before = urls.iter().position(|known| *known == url);
        if let Some(at) = before.and_then(|index| first_at.get(index).copied().flatten()) {
            let first_line = resolver.source.place(at).line;
            resolver.fault(said.at, key, Cause::Duplicate { value: url.to_string(), first_line });
            continue;
        }
        urls.push(url);
        first_at.push(said.at);
    }
    urls
}

/// The CA file, which must be readable now: at start nobody may be there to see that it is not.
fn ca(resolver: &mut Resolver<'_>, typed: &raw::Origin, urls: &[OriginUrl]) -> Option<PathBuf> {
    let key = knobs::SITE_ORIGIN_CA.key;
    let path = resolver.path(&knobs::SITE_ORIGIN_CA, &typed.ca)?;
    if !urls.iter().any(|url| url.scheme == Scheme::Https) {
        resolver.fault(start(&typed.ca), key, Cause::CaWithoutHttps);
    } else if let Err(why) = File::open(&path) {
        resolver.fault(start(&typed.ca), key, Cause::FileUnreadable(why.kind().to_string()));
    }
    Some(path)
}
