//! The form of a table of requirements.
//!
//! ```text
//! # A comment.
//! RFC 9111 section 3.1
//! MUST NOT store fields that Connection names
//!   code crates/policy/src/fields.rs: is_storable
//!   test crates/policy/tests/cases/rfc9111-03-storing.txt: named by Connection
//! ```
//! A requirement is its level and its sense in a few words, not the RFC's text. Below it stand its
//! places, indented: `code` does it, `test` shows it, `except` says why it is not done.

use std::fmt;

use anyhow::{Context as _, Result, bail};

/// One demand of an RFC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requirement {
    pub(super) rfc: u32,
    pub(super) section: String,
    /// Level and sense.
    pub(super) text: String,
    pub(super) evidence: Vec<Evidence>,
}

/// Words in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Evidence {
    pub(super) kind: Kind,
    /// From the workspace's folder.
    pub(super) path: String,
    pub(super) words: String,
}

/// What a place is evidence of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Code,
    Test,
    Except,
}

impl fmt::Display for Requirement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "RFC {} section {}: {}", self.rfc, self.section, self.text)
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Code => "code",
            Kind::Test => "test",
            Kind::Except => "except",
        };
        write!(out, "{kind} {}: {}", self.path, self.words)
    }
}

/// Reads a table.
///
/// # Errors
/// The first line that has no meaning, by its number.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>> {
    let mut requirements: Vec<Requirement> = Vec::new();
    let mut section: Option<(u32, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let here = || format!("line {}: {line:?}", index + 1);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(place) = line.strip_prefix("  ") {
            let requirement = requirements.last_mut().with_context(here)?;
            requirement.evidence.push(evidence(place).with_context(here)?);
        } else if let Some(rest) = line.strip_prefix("RFC ") {
            let (rfc, number) = rest.split_once(" section ").with_context(here)?;
            section = Some((rfc.parse().with_context(here)?, number.to_owned()));
        } else if LEVELS.iter().any(|level| line.starts_with(level)) {
            let (rfc, section) = section.clone().with_context(here)?;
            let text = line.to_owned();
            requirements.push(Requirement { rfc, section, text, evidence: Vec::new() });
        } else {
            bail!("{}: neither a section, a requirement nor a place", here());
        }
    }
    Ok(requirements)
}

fn evidence(place: &str) -> Option<Evidence> {
    let (kind, rest) = place.split_once(' ')?;
    let kind = match kind {
        "code" => Kind::Code,
        "test" => Kind::Test,
        "except" => Kind::Except,
        _ => return None,
    };
    let (path, words) = rest.split_once(": ")?;
    Some(Evidence { kind, path: path.to_owned(), words: words.to_owned() })
}

/// RFC 2119.
const LEVELS: [&str; 3] = ["MUST", "SHOULD", "MAY"];
