//! What a purge names, as it is asked for: by JSON, by a form, or on the command line.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::query;

/// What to purge. Each part may name one thing or several; they are purged together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PurgeOrder {
    /// URLs, with all their variants.
    #[serde(with = "names", skip_serializing_if = "Vec::is_empty")]
    pub url: Vec<String>,
    /// Beginnings of URLs.
    #[serde(with = "names", skip_serializing_if = "Vec::is_empty")]
    pub prefix: Vec<String>,
    /// Tags, as the origin's `Surrogate-Key` or `Cache-Tag` named them.
    #[serde(with = "names", skip_serializing_if = "Vec::is_empty")]
    pub tag: Vec<String>,
    /// Hosts, by both schemes; without a port, by every port.
    #[serde(with = "names", skip_serializing_if = "Vec::is_empty")]
    pub host: Vec<String>,
    /// Everything.
    #[serde(skip_serializing_if = "is_false")]
    pub all: bool,
    /// What is purged becomes stale instead of going.
    #[serde(skip_serializing_if = "is_false")]
    pub soft: bool,
}

impl PurgeOrder {
    /// From the fields of a form; `None` when one is unknown, is no text once decoded, or is no
    /// truth value.
    pub(super) fn from_form(form: &[u8]) -> Option<Self> {
        let mut order = Self::default();
        for (name, value) in query::pairs(form)? {
            match name.as_str() {
                "url" => order.url.push(value),
                "prefix" => order.prefix.push(value),
                "tag" => order.tag.push(value),
                "host" => order.host.push(value),
                "all" => order.all = value.parse().ok()?,
                "soft" => order.soft = value.parse().ok()?,
                _ => return None,
            }
        }
        Some(order)
    }

    /// How many things it names.
    #[must_use]
    pub fn count(&self) -> usize {
        let parts = [&self.url, &self.prefix, &self.tag, &self.host];
        parts.iter().map(|names| names.len()).sum::<usize>() + usize::from(self.all)
    }

    /// Whether it names URLs alone: of those it can be told whether they were stored.
    #[must_use]
    pub fn is_of_urls(&self) -> bool {
        self.url.len() == self.count()
    }

    /// What it names, in words for a person.
    #[must_use]
    pub fn words(&self) -> String {
        let parts = [&self.url, &self.prefix, &self.tag, &self.host];
        let mut names = parts.into_iter().flatten();
        match (self.count(), names.next()) {
            (1, Some(name)) => name.clone(),
            (1, None) => "everything".to_owned(),
            (count, _) if self.is_of_urls() => format!("{count} URLs"),
            (count, _) => format!("{count} purges"),
        }
    }

    /// The same as JSON, to be part of the answer.
    pub(super) fn json(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(parts)) => parts,
            Ok(_) | Err(_) => Map::new(),
        }
    }
}

fn is_false(truth: &bool) -> bool {
    !truth
}

/// One name, or a list of them.
mod names {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        One(String),
        Several(Vec<String>),
    }

    pub(super) fn serialize<S: Serializer>(
        names: &[String],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match names {
            [name] => name.serialize(serializer),
            several => several.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<String>, D::Error> {
        Ok(match Names::deserialize(deserializer)? {
            Names::One(name) => vec![name],
            Names::Several(names) => names,
        })
    }
}

/// As many things may be named in one purge.
pub const NAMES_MAX: usize = 256;
