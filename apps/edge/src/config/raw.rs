//! The config file as it was typed: every value optional, each with its place in the file.
//!
//! Nothing is judged here but shape. Meaning, bounds and relations are the business of `checked`;
//! the names that may stand in the file are those of the table in `knobs`, which
//! [`super::fault::Cause::UnknownKey`] reports before this stage is reached.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

/// A value as typed, with its place, if it was typed.
pub(super) type Cell = Option<Spanned<Typed>>;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) server: Server,
    pub(super) listener: Vec<Spanned<Listener>>,
    pub(super) store: Store,
    pub(super) site: Vec<Spanned<Site>>,
    pub(super) admin: Admin,
    pub(super) access_log: AccessLog,
    pub(super) log: Log,
    pub(super) limits: Limits,
}

/// `[server]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Server {
    pub(super) workers: Cell,
    pub(super) max_connections: Cell,
    pub(super) transport: Cell,
    pub(super) memory: Cell,
    pub(super) drain_timeout: Cell,
}

/// `[[listener]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Listener {
    pub(super) address: Cell,
    pub(super) redirect: Cell,
    pub(super) tls: Option<Spanned<Tls>>,
}

/// `tls = { … }` of a listener
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tls {
    pub(super) certificate: Cell,
    pub(super) key: Cell,
    pub(super) ocsp: Cell,
    pub(super) client_ca: Cell,
    pub(super) client_auth: Cell,
    pub(super) min_version: Cell,
    pub(super) record_layer: Cell,
    pub(super) ticket_rotation: Cell,
    pub(super) certificates: Vec<Spanned<Certificate>>,
}

/// One of `listener.tls.certificates`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Certificate {
    pub(super) certificate: Cell,
    pub(super) key: Cell,
    pub(super) ocsp: Cell,
}

/// `[store]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Store {
    pub(super) path: Cell,
    pub(super) size: Cell,
    pub(super) segment: Cell,
    pub(super) objects_max: Cell,
    pub(super) memory: Cell,
    pub(super) short_lifetime: Cell,
    pub(super) write_patience: Cell,
    pub(super) devices: Vec<Spanned<Device>>,
}

/// One of `store.devices`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Device {
    pub(super) path: Cell,
    pub(super) size: Cell,
}

/// `[[site]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Site {
    pub(super) hosts: Cell,
    pub(super) idle_timeout: Cell,
    pub(super) requests_max: Cell,
    pub(super) tunnel: Cell,
    pub(super) tunnel_idle: Cell,
    pub(super) origin: Option<Spanned<Origin>>,
    pub(super) defaults: Option<Spanned<Rule>>,
    pub(super) rule: Vec<Spanned<Rule>>,
}

/// `[[site.rule]]`, and `[site.defaults]` but for its first two.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rule {
    pub(super) path: Cell,
    pub(super) methods: Cell,
    pub(super) freshness: Cell,
    pub(super) lifetime: Cell,
    pub(super) negative_lifetime: Cell,
    pub(super) grace: Cell,
    pub(super) store_set_cookie: Cell,
    pub(super) s_maxage_revalidates: Cell,
    pub(super) bypass: Cell,
    pub(super) collapse: Cell,
    pub(super) query: Cell,
    pub(super) query_fields: Cell,
    pub(super) key_fields: Cell,
    pub(super) key_cookies: Cell,
    pub(super) request_remove: Cell,
    pub(super) request_set: Cell,
    pub(super) response_remove: Cell,
    pub(super) response_set: Cell,
    pub(super) redirect: Cell,
    pub(super) redirect_status: Cell,
    pub(super) object_max: Cell,
    pub(super) compress: Cell,
    pub(super) compress_types: Cell,
    pub(super) compress_min: Cell,
}

/// `origin = { … }` of a site.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Origin {
    pub(super) urls: Cell,
    pub(super) ca: Cell,
    pub(super) connect_timeout: Cell,
    pub(super) first_byte_timeout: Cell,
    pub(super) between_bytes_timeout: Cell,
    pub(super) connections_max: Cell,
    pub(super) source_addresses: Cell,
    pub(super) queue_max: Cell,
    pub(super) idle_timeout: Cell,
}

/// `[admin]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Admin {
    pub(super) address: Cell,
    pub(super) token: Cell,
}

/// `[access_log]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AccessLog {
    pub(super) path: Cell,
    pub(super) format: Cell,
}

/// `[log]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) format: Cell,
    pub(super) level: Cell,
}

/// `[limits]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) head_max: Cell,
    pub(super) fields_max: Cell,
    pub(super) target_max: Cell,
    pub(super) head_timeout: Cell,
    pub(super) body_rate_min: Cell,
    pub(super) body_grace: Cell,
    pub(super) idle_timeout: Cell,
    pub(super) buffers_max: Cell,
    pub(super) staging_max: Cell,
    pub(super) object_max: Cell,
    pub(super) download_window: Cell,
    pub(super) upload_window: Cell,
    pub(super) unsent_max: Cell,
    pub(super) leader_wait: Cell,
    pub(super) follower_wait: Cell,
    pub(super) hit_for_miss: Cell,
    pub(super) tunnel_lifetime: Cell,
    pub(super) log_queue_max: Cell,
    pub(super) handshakes_max: Cell,
    pub(super) connections_per_source: Cell,
    pub(super) handshakes_per_source: Cell,
    pub(super) handshake_rate: Cell,
    pub(super) handshake_timeout: Cell,
}

/// A value of any of the file format's types, so that a wrong type is reported like any other
/// fault: with its key, its place and the remedy.
#[derive(Debug, Clone)]
pub(super) enum Typed {
    Integer(i64),
    Text(String),
    List(Vec<Spanned<Typed>>),
    Flag(bool),
    /// A type that no knob takes, by its name for people.
    Other(&'static str),
}

impl Typed {
    /// The type's name for people.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Flag(_) => "true or false",
            Self::Other(name) => name,
        }
    }
}

impl<'de> Deserialize<'de> for Typed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TypedVisitor)
    }
}

struct TypedVisitor;

impl<'de> Visitor<'de> for TypedVisitor {
    type Value = Typed;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Typed, E> {
        Ok(Typed::Integer(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Typed, E> {
        Ok(Typed::Text(value.to_owned()))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Typed, E> {
        Ok(Typed::Flag(value))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Typed, E> {
        Ok(Typed::Other("a fraction"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Typed, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Typed::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Typed, A::Error> {
        // Dates arrive as maps, too; no knob takes either.
        while items.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Typed::Other("a table"))
    }
}
