//! Arrows between crates: each may use what its row of the table names, and nothing else.

use std::path::Path;

use super::Problem;
use crate::tree::Package;

/// One crate of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct CrateRow {
    /// Its folder, relative to the workspace.
    pub(super) folder: &'static str,
    /// Crates of ours that it may use, by folder below `crates/`; `None` for any.
    pub(super) ours: Option<&'static [&'static str]>,
    /// For a pure crate, the foreign crates that it may use; `None` for crates that are not pure.
    pub(super) pure: Option<&'static [&'static str]>,
    /// Whether it may use anyhow: programs and tools, whose errors only people read.
    pub(super) anyhow: bool,
}

/// Compares manifests with the table. Dependencies of tests alone are free, but for anyhow.
pub(super) fn check(packages: &[Package], table: &[CrateRow]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in packages {
        let manifest = package.folder.join("Cargo.toml");
        match table.iter().find(|row| package.folder == Path::new(row.folder)) {
            Some(row) => problems.extend(package_problems(package, row, &manifest)),
            None => problems.push(Problem::new(
                &manifest,
                1,
                format!("{} has no row in the table of crates", package.name),
                "add one to CRATES in xtask/src/tidy/tables.rs: what it may use",
            )),
        }
    }
    problems
}

fn package_problems(package: &Package, row: &CrateRow, manifest: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    let name = &package.name;
    let mut push = |what: String, remedy| problems.push(Problem::new(manifest, 1, what, remedy));
    let folder = row.folder.rsplit('/').next().unwrap_or(row.folder);
    if row.folder.starts_with("crates/") && *name != format!("{OURS}{folder}") {
        let what = format!("the package in {} is called {name}", row.folder);
        push(what, "a package is called longhold- and its folder's name");
    }
    for dependency in &package.dependencies {
        let used = dependency.name.as_str();
        if used == "anyhow" && !row.anyhow {
            push(format!("{name} → anyhow"), "use a thiserror enum; anyhow is for apps and tools");
        }
        if !dependency.is_normal {
            continue;
        }
        let is_allowed = match used.strip_prefix(OURS) {
            Some(ours) => row.ours.is_none_or(|allowed| allowed.contains(&ours)),
            None => row.pure.is_none_or(|allowed| allowed.contains(&used)),
        };
        if !is_allowed {
            let what = format!("{name} → {used} is no arrow of the table of crates");
            push(
                what,
                "move the code to a crate that may use it, pass the thing in as an argument, or, \
                 if the design changes, the row in CRATES in xtask/src/tidy/tables.rs",
            );
        }
    }
    problems
}

const OURS: &str = "longhold-";
