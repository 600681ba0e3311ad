//! Which connections are meant: by state, protocol, listener, source, idle time, age.

use std::net::IpAddr;

use longhold_conn::State;
use serde::{Deserialize, Serialize};

use super::Sight;
use super::protocol::Protocol;
use crate::config::units::parse_millis;

/// A filter as it is typed; each part that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilterAsk {
    /// `handshaking`, `parked`, `active` or `closing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// `http`, `https`, `tunnel`, `tunnel-tls`, `stream`, `stream-tls`, `origin` or `origin-tls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The listener's address as the config has it, or as it is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// An address, or addresses as `10.0.0.0/8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Idle for longer than this, such as `10m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_over: Option<String>,
    /// Accepted longer ago than this, such as `24h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than: Option<String>,
}

impl FilterAsk {
    /// Its parts by their names.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, Option<&String>); 6] {
        let Self { state, protocol, listener, source, idle_over, older_than } = self;
        [
            ("state", state.as_ref()),
            ("protocol", protocol.as_ref()),
            ("listener", listener.as_ref()),
            ("source", source.as_ref()),
            ("idle_over", idle_over.as_ref()),
            ("older_than", older_than.as_ref()),
        ]
    }

    /// The part of a name; `None` when there is none of that name.
    pub fn part_mut(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "state" => &mut self.state,
            "protocol" => &mut self.protocol,
            "listener" => &mut self.listener,
            "source" => &mut self.source,
            "idle_over" => &mut self.idle_over,
            "older_than" => &mut self.older_than,
            _ => return None,
        })
    }

    /// It names nothing: every connection is meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts().iter().all(|(_, part)| part.is_none())
    }
}

/// Why a filter means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No such state.
    #[error("the state is none of handshaking, parked, active and closing")]
    State,
    /// No such protocol.
    #[error(
        "the protocol is none of http, https, tunnel, tunnel-tls, stream, stream-tls, origin and \
         origin-tls"
    )]
    Protocol,
    /// No such listener.
    #[error("no listener has that address")]
    Listener,
    /// No address.
    #[error("the source is no address and no range of addresses such as 10.0.0.0/8")]
    Source,
    /// No duration.
    #[error("a time is no number with a unit, such as 90s, 10m or 24h")]
    Time,
}

/// A filter as it is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    state: Option<State>,
    protocol: Option<Protocol>,
    listener: Option<u16>,
    source: Option<Source>,
    idle_over_ms: Option<u64>,
    older_than_ms: Option<u64>,
}

impl Filter {
    /// What was typed, with the listeners' addresses in the order of their numbers.
    ///
    /// # Errors
    /// The part that means nothing.
    pub fn of(ask: &FilterAsk, listeners: &[String]) -> Result<Self, FilterError> {
        let state = |text: &String| {
            let known = State::ALL.iter().find(|state| state.name() == text);
            known.copied().filter(|state| *state != State::Free).ok_or(FilterError::State)
        };
        let protocol = |text: &String| {
            let known = Protocol::ALL.iter().find(|protocol| protocol.name() == text);
            known.copied().ok_or(FilterError::Protocol)
        };
        let listener = |text: &String| {
            let place = listeners.iter().position(|address| address == text);
            place.and_then(|place| u16::try_from(place).ok()).ok_or(FilterError::Listener)
        };
        let time = |text: &String| parse_millis(text).map_err(|_| FilterError::Time);
        Ok(Self {
            state: ask.state.as_ref().map(state).transpose()?,
            protocol: ask.protocol.as_ref().map(protocol).transpose()?,
            listener: ask.listener.as_ref().map(listener).transpose()?,
            source: ask.source.as_ref().map(|text| Source::parse(text)).transpose()?,
            idle_over_ms: ask.idle_over.as_ref().map(time).transpose()?,
            older_than_ms: ask.older_than.as_ref().map(time).transpose()?,
        })
    }

    /// Whether a connection is meant.
    #[must_use]
    pub fn takes(&self, sight: &Sight) -> bool {
        self.state.is_none_or(|state| state == sight.state)
            && self.protocol.is_none_or(|protocol| protocol == sight.protocol)
            && self.listener.is_none_or(|listener| listener == sight.listener)
            && self.source.is_none_or(|source| source.holds(sight.peer.ip()))
            && self.idle_over_ms.is_none_or(|over_ms| sight.idle_ms > over_ms)
            && self.older_than_ms.is_none_or(|than_ms| sight.age_ms > than_ms)
    }
}

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source {
    address: IpAddr,
    prefix_bits: u32,
}

impl Source {
    fn parse(text: &str) -> Result<Self, FilterError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| FilterError::Source)?;
        let address = address.to_canonical();
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| FilterError::Source)?,
            None => most,
        };
        if prefix_bits > most {
            return Err(FilterError::Source);
        }
        Ok(Self { address, prefix_bits })
    }

    fn holds(self, peer: IpAddr) -> bool {
        match (self.address, peer) {
            (IpAddr::V4(ours), IpAddr::V4(peer)) => {
                let differ = ours.to_bits() ^ peer.to_bits();
                differ.leading_zeros() >= self.prefix_bits
            }
            (IpAddr::V6(ours), IpAddr::V6(peer)) => {
                let differ = ours.to_bits() ^ peer.to_bits();
                differ.leading_zeros() >= self.prefix_bits
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}
