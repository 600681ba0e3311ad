//! Names to addresses: the system's resolver, asked once for all waiting fetches, remembered for a
//! few seconds.
//!
//! The runtime runs the resolver on its blocking threads; a slow one holds up the fetches that need
//! it and nothing else. When it fails, the last answer is used on: an origin that was reachable a
//! moment ago is better tried than given up.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::FetchError;

/// The addresses of one host.
pub(crate) struct Resolver {
    host: Host,
    port: u16,
    /// Held across a look-up, so that one asks and the others wait for its answer.
    cache: Mutex<Option<Answer>>,
}

enum Host {
    Address(IpAddr),
    Name(String),
}

struct Answer {
    addresses: Vec<SocketAddr>,
    since: Instant,
}

impl Resolver {
    pub(crate) fn new(host: &str, port: u16) -> Self {
        let host = match host.parse() {
            Ok(address) => Host::Address(address),
            Err(_) => Host::Name(host.to_owned()),
        };
        Self { host, port, cache: Mutex::new(None) }
    }

    /// At least one address and at most [`ADDRESSES_MAX`], in the resolver's order.
    pub(crate) async fn addresses(&self) -> Result<Vec<SocketAddr>, FetchError> {
        let name = match &self.host {
            Host::Address(address) => return Ok(vec![SocketAddr::new(*address, self.port)]),
            Host::Name(name) => name,
        };
        let mut cache = self.cache.lock().await;
        if let Some(answer) = cache.as_ref().filter(|answer| answer.since.elapsed() < TTL) {
            return Ok(answer.addresses.clone());
        }
        if let Ok(found) = tokio::net::lookup_host((name.as_str(), self.port)).await {
            let mut addresses = Vec::new();
            for address in found {
                if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            if !addresses.is_empty() {
                *cache = Some(Answer { addresses: addresses.clone(), since: Instant::now() });
                return Ok(addresses);
            }
        }
        match cache.as_ref() {
            Some(answer) => Ok(answer.addresses.clone()),
            None => Err(FetchError::Dns),
        }
    }
}

/// How long an answer is used without asking again.
const TTL: Duration = Duration::from_secs(5);

/// Addresses of one host that are tried at most.
const ADDRESSES_MAX: usize = 16;

#[cfg(test)]
mod tests;
