//! The names in the file against the names in the table: unknown keys, and tables that are none.
//!
//! Done before the typed reading, so that every misspelt key is told at once, with its full path
//! and with the key that was probably meant.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::fault::Cause;
use super::knobs;

/// A fault with the bytes that it is about.
pub(super) struct Misfit {
    pub(super) span: Range<usize>,
    pub(super) key: String,
    pub(super) cause: Cause,
}

/// Compares every name in the file with the table.
pub(super) fn misfits(file: &DeTable<'_>) -> Vec<Misfit> {
    let mut found = Vec::new();
    walk(file, "", &mut found);
    found
}

/// Tables nest at most three deep in the table of knobs, and this follows only those that it knows.
fn walk(table: &DeTable<'_>, path: &str, found: &mut Vec<Misfit>) {
    for (name, value) in table {
        let key = join(path, name.get_ref());
        let cause = match (kind(&key), value.get_ref()) {
            (Kind::Value, _) => continue,
            (Kind::Table, DeValue::Table(inner)) => {
                walk(inner, &key, found);
                continue;
            }
            (Kind::Repeating, DeValue::Array(items)) => {
                let tables = items.iter().filter_map(|item| item.get_ref().as_table());
                tables.for_each(|inner| walk(inner, &key, found));
                if items.iter().all(|item| item.get_ref().is_table()) {
                    continue;
                }
                Cause::NotATable { array: true }
            }
            (Kind::Table, _) => Cause::NotATable { array: false },
            (Kind::Repeating, _) => Cause::NotATable { array: true },
            (Kind::Unknown, _) => {
                Cause::UnknownKey { near: nearest(path, name.get_ref()), known: known_at(path) }
            }
        };
        found.push(Misfit { span: name.span(), key, cause });
    }
}

enum Kind {
    Value,
    Table,
    Repeating,
    Unknown,
}

fn kind(key: &str) -> Kind {
    if key == DEFAULTS {
        return Kind::Table;
    }
    let key = &*known_form(key);
    if REPEATING.contains(&key) {
        Kind::Repeating
    } else if keys().any(|known| known == key) {
        Kind::Value
    } else if keys().any(|known| below(known, key).is_some()) {
        Kind::Table
    } else {
        Kind::Unknown
    }
}

/// The table's name for a key: a site's defaults are those of its rules.
fn known_form(key: &str) -> String {
    match key.strip_prefix(DEFAULTS) {
        Some("") => RULE.to_owned(),
        Some(rest) if rest.starts_with('.') => format!("{RULE}{rest}"),
        Some(_) | None => key.to_owned(),
    }
}

fn keys() -> impl Iterator<Item = &'static str> {
    knobs::ALL.iter().map(|knob| knob.key)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// What of `key` lies below the table `path`.
fn below<'a>(key: &'a str, path: &str) -> Option<&'a str> {
    if path.is_empty() { Some(key) } else { key.strip_prefix(path)?.strip_prefix('.') }
}

/// The names that may stand in the table `path`; only those that this build obeys.
fn known_at(path: &str) -> Vec<&'static str> {
    let path = &*known_form(path);
    let mut names: Vec<&str> =
        knobs::ALL.iter().filter_map(|knob| below(knob.key, path)?.split('.').next()).collect();
    names.dedup();
    names
}

/// The key that was probably meant: one like it in the same table, or the same name in another.
fn nearest(path: &str, name: &str) -> Option<&'static str> {
    let path = &*known_form(path);
    let sibling = knobs::ALL
        .iter()
        .filter_map(|knob| Some((knob.key, below(knob.key, path)?.split('.').next()?)))
        .map(|(key, near)| (distance(name, near), &key[..key.len() - below_len(key, path, near)]))
        .filter(|(distance, _)| *distance <= NEAR_MAX)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, key)| key);
    sibling.or_else(|| knobs::ALL.iter().find(|knob| knob.name() == name).map(|knob| knob.key))
}

/// How many bytes of `key` come after the part `near` below `path`.
fn below_len(key: &str, path: &str, near: &str) -> usize {
    below(key, path).map_or(0, |rest| rest.len() - near.len())
}

/// Levenshtein's distance; both are names, so short. The typed one is cut at [`NAME_CHARS_MAX`].
fn distance(typed: &str, known: &str) -> usize {
    let known: Vec<char> = known.chars().collect();
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (index, from) in typed.chars().take(NAME_CHARS_MAX).enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        let (first, rest) = row.split_at_mut(1);
        first.fill(left);
        for (cell, to) in rest.iter_mut().zip(&known) {
            let substitute = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = substitute.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

const REPEATING: [&str; 5] =
    ["listener", "listener.tls.certificates", "site", "site.rule", "store.devices"];
const RULE: &str = "site.rule";
const DEFAULTS: &str = "site.defaults";
const NEAR_MAX: usize = 2;
const NAME_CHARS_MAX: usize = 64;
