//! From what a purge names to what the store and the fetches in progress know.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use longhold_gateway::purge::Scope;
use longhold_gateway::{key, site, tags};
use longhold_http1::{Limits, parse_request};
use longhold_store::{Mode, Store, WriteError};

use crate::admin::{PurgeError, PurgeOrder, PurgeReply};
use crate::fill::FillPort;
use crate::shared::Shared;

/// Purges; durable and in force when it resolves.
pub(super) async fn carry_out(
    order: PurgeOrder,
    (fills, shared, store): (FillPort, &Shared, &Store),
) -> Result<PurgeReply, PurgeError> {
    let (begun, at) = (Instant::now(), SystemTime::now());
    let scopes = scopes_of(&order, shared)?;
    let mode = if order.soft { Mode::Soft } else { Mode::Hard };
    let records = store.stats().objects;
    let purged = fills.purge(scopes, mode).await.map_err(|_| PurgeError::Unavailable)?;
    let found = purged.map_err(|error| match error {
        WriteError::PrefixesFull => PurgeError::PrefixesFull,
        WriteError::KeyTooLong => PurgeError::BadPrefix,
        WriteError::Device
        | WriteError::Offline
        | WriteError::Reclaimed
        | WriteError::TooLong
        | WriteError::Incomplete
        | WriteError::Interrupted
        | WriteError::Foreign
        | WriteError::NoCleanSegment
        | WriteError::Behind
        | WriteError::PurgesFull => PurgeError::NotDurable,
    })?;
    let of_urls = order.is_of_urls();
    Ok(PurgeReply {
        found: of_urls.then_some(found > 0),
        count: if order.all { Some(records) } else { of_urls.then_some(found) },
        at_ms: at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
        duration_us: begun.elapsed().as_micros() as u64,
    })
}

/// What an order names, in normal form.
fn scopes_of(order: &PurgeOrder, shared: &Shared) -> Result<Vec<Scope>, PurgeError> {
    if order.all {
        return Ok(vec![Scope::All]);
    }
    let mut scopes = Vec::with_capacity(order.count());
    for url in &order.url {
        scopes.push(Scope::Key(key_of(url, shared)?));
    }
    for prefix in &order.prefix {
        scopes.push(Scope::Prefix(prefix_of(prefix, shared)?));
    }
    for tag in &order.tag {
        match tag.trim() {
            "" => return Err(PurgeError::BadTag),
            tag => scopes.push(Scope::Tag(tags::of_word(tag.as_bytes()))),
        }
    }
    for host in &order.host {
        host_scopes(host, shared, &mut scopes)?;
    }
    Ok(scopes)
}

fn prefix_of(prefix: &str, shared: &Shared) -> Result<Vec<u8>, PurgeError> {
    let path = prefix.split(['?', '#']).next().unwrap_or("");
    let last = path.rsplit('/').next().unwrap_or("").to_ascii_lowercase().replace("%2e", ".");
    match site_and_key(prefix, shared).map(|parsed| parsed.key) {
        Ok(_) if last == "." || last == ".." => Err(PurgeError::OpenPrefix),
        Err(PurgeError::BadUrl) => Err(PurgeError::BadPrefix),
        other => other,
    }
}

/// A host by both schemes. Without a port it stands for all of its ports.
fn host_scopes(host: &str, shared: &Shared, scopes: &mut Vec<Scope>) -> Result<(), PurgeError> {
    if host.is_empty() || host.contains(['/', '?', '#', '@', '*']) {
        return Err(PurgeError::BadHost);
    }
    for scheme in ["http", "https"] {
        let key = match site_and_key(&format!("{scheme}://{host}/"), shared) {
            Err(PurgeError::BadUrl) => return Err(PurgeError::BadHost),
            other => other?.key,
        };
        if site::host_of(host) == host {
            let bare = key.strip_suffix(b"/").unwrap_or(&key);
            scopes.push(Scope::Prefix([bare, b":"].concat()));
        }
        scopes.push(Scope::Prefix(key));
    }
    Ok(())
}

/// The key under which the site's rules have what an absolute URL names.
fn key_of(url: &str, shared: &Shared) -> Result<Vec<u8>, PurgeError> {
    let Parsed { mut key, site } = site_and_key(url, shared)?;
    shared.rules.canonical_key(site, &mut key);
    Ok(key)
}

/// The primary key of an absolute URL as it stands, and its site.
fn site_and_key(url: &str, shared: &Shared) -> Result<Parsed, PurgeError> {
    let (scheme, head) = head_of(url, "GET", &[]).ok_or(PurgeError::BadUrl)?;
    parse(scheme, &head, shared)
}

/// The head of a request for an absolute URL with these field lines, and its scheme; `None` where
/// something in it could be read as more than it is.
pub(super) fn head_of(
    url: &str,
    method: &str,
    fields: &[String],
) -> Option<(&'static str, Vec<u8>)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => "http",
        "https" => "https",
        _ => return None,
    };
    let is_one_word = |text: &str| text.bytes().all(|byte| byte > b' ' && byte != 0x7f);
    if !is_one_word(rest) || !is_one_word(method) || fields.iter().any(|f| f.contains(['\r', '\n']))
    {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let mut head = format!("{method} {scheme}://{rest} HTTP/1.1\r\nHost: {authority}\r\n");
    for field in fields {
        head.push_str(field);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    Some((scheme, head.into_bytes()))
}

/// What a request's head means to this edge.
pub(super) struct Parsed {
    /// The primary key.
    pub(super) key: Vec<u8>,
    /// The site that answers for its host.
    pub(super) site: usize,
}

/// Reads a head by the same parser that clients' requests go through.
pub(super) fn parse(scheme: &str, head: &[u8], shared: &Shared) -> Result<Parsed, PurgeError> {
    let limits = Limits { head_bytes_max: head.len().max(1024), ..shared.limits };
    let Ok(Some(head)) = parse_request(head, &limits) else { return Err(PurgeError::BadUrl) };
    let site = shared.sites.find(head.target.authority).ok_or(PurgeError::NoSite)?;
    let mut key = Vec::new();
    key::write_primary(&mut key, scheme, &head.target).map_err(|_| PurgeError::BadUrl)?;
    Ok(Parsed { key, site })
}
