//! The top level of the tree: what the design names, and hidden files.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::Problem;

/// Names at the top level, those that .gitignore names there left out.
pub(super) fn top_level(root: &Path) -> Result<Vec<String>> {
    let ignored = std::fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root).context("cannot list the workspace's folder")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_ignored = ignored.lines().any(|line| line.trim_matches('/') == name);
        if !is_ignored {
            names.push(name);
        }
    }
    Ok(names)
}

/// Compares names with what may be there.
pub(super) fn check(names: &[String]) -> Vec<Problem> {
    let is_strange = |name: &&String| !name.starts_with('.') && !ALLOWED.contains(&name.as_str());
    names
        .iter()
        .filter(is_strange)
        .map(|name| {
            let what = "the top level of the tree has no place for this";
            Problem::new(Path::new(name), 1, what, "move it below crates, apps, benches or xtask")
        })
        .collect()
}

const ALLOWED: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "apps",
    "benches",
    "crates",
    "xtask",
];
