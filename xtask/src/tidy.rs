//! `cargo xtask tidy`: what neither rustfmt nor clippy can hold.
//!
//! Each check is a function from what was read of the tree to [`Problem`]s; only [`run`] and
//! [`source::read`] touch files. The tables that they compare with stand in [`tables`].

mod dead;
mod dependencies;
mod fence;
mod layout;
mod manifest;
mod purity;
mod size;
mod source;
mod tables;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use walkdir::WalkDir;

use crate::tree::{self, Package};
use source::Source;

/// The whole tree is checked, always.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    /// Only print which files hold how many `unsafe`, for the fence's table.
    #[arg(long)]
    show_fence: bool,
}

/// Reads the tree, checks it, prints every problem.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = tree::root();
    let sources = source::read(&root)?;
    if arguments.show_fence {
        print!("{}", fence::table_text(&sources));
        return Ok(());
    }
    let problems = check_tree(&root, &sources)?;
    for problem in &problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        bail!("tidy: {} problems", problems.len());
    }
    println!("tidy: {} source files, no problem", sources.len());
    Ok(())
}

/// All problems of the tree, sorted by place.
fn check_tree(root: &Path, sources: &[Source]) -> Result<Vec<Problem>> {
    let members = relative(root, tree::packages(&root.join("Cargo.toml"))?);
    let manifests = manifests(root)?;
    let mut packages = members.clone();
    for (path, _) in &manifests {
        let folder = path.parent().unwrap_or(path);
        let is_member = members.iter().any(|package| package.folder == folder);
        if !is_member && folder != Path::new("") {
            packages.extend(relative(root, tree::packages(&root.join(path))?));
        }
    }
    let mut problems = Vec::new();
    for source in sources {
        problems.extend(size::check(source));
    }
    problems.extend(fence::check(sources, tables::FENCE));
    problems.extend(dead::check(sources, &packages));
    problems.extend(dependencies::check(&members, tables::CRATES));
    problems.extend(purity::check(sources, &members, tables::CRATES));
    for (path, text) in &manifests {
        problems.extend(manifest::check(path, text));
    }
    problems.extend(layout::check(&layout::top_level(root)?));
    problems.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    Ok(problems)
}

/// Packages with their paths relative to the workspace.
fn relative(root: &Path, packages: Vec<Package>) -> Vec<Package> {
    let strip = |path: PathBuf| path.strip_prefix(root).map(Path::to_owned).unwrap_or(path);
    let mut packages = packages;
    for package in &mut packages {
        package.folder = strip(std::mem::take(&mut package.folder));
        package.targets = std::mem::take(&mut package.targets).into_iter().map(strip).collect();
    }
    packages
}

/// All manifests, with their text, by path relative to the workspace.
fn manifests(root: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut manifests = Vec::new();
    for entry in WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(source::is_ours) {
        let entry = entry?;
        if entry.file_name() == "Cargo.toml" {
            let path = entry.path().strip_prefix(root)?.to_owned();
            manifests.push((path, std::fs::read_to_string(entry.path())?));
        }
    }
    Ok(manifests)
}

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    /// Relative to the workspace.
    path: PathBuf,
    /// From 1.
    line: usize,
    /// What is wrong, with the limit.
    what: String,
    /// What to do about it.
    remedy: &'static str,
}

impl Problem {
    fn new(path: &Path, line: usize, what: impl Into<String>, remedy: &'static str) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), remedy }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what, remedy } = self;
        write!(f, "{}:{line}: {what}\n    remedy: {remedy}", path.display())
    }
}

#[cfg(test)]
mod tests;
