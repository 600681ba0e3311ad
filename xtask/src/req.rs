//! `cargo xtask req`: which clauses of the RFCs are done and tested, which are excepted, which are
//! missing.
//!
//! The tables in `xtask/requirements/` list what the RFCs ask of a shared cache and an
//! intermediary, each with the places that do it and that show it. A place is a file and words in
//! it; when the words are gone, the command fails, so that the tables cannot rot in silence.
//! Whether the words do what the clause asks is for the reader to judge.

mod table;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::tree;
use table::{Evidence, Kind, Requirement};

/// What to show.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    /// Show every requirement with its evidence, not only those that are not tested.
    #[arg(long)]
    all: bool,
    /// Show only this RFC, by its number.
    #[arg(long)]
    rfc: Option<u32>,
}

/// How far a requirement is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// Done, and a test shows it.
    Tested,
    /// Done.
    Untested,
    /// Not done, for a reason.
    Excepted,
    /// Not done.
    Missing,
}

impl Standing {
    const ALL: [Self; 4] = [Self::Tested, Self::Untested, Self::Excepted, Self::Missing];

    fn of(requirement: &Requirement) -> Self {
        let has = |kind: Kind| requirement.evidence.iter().any(|place| place.kind == kind);
        if has(Kind::Except) {
            Self::Excepted
        } else if has(Kind::Code) && has(Kind::Test) {
            Self::Tested
        } else if has(Kind::Code) {
            Self::Untested
        } else {
            Self::Missing
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tested => "tested",
            Self::Untested => "untested",
            Self::Excepted => "excepted",
            Self::Missing => "missing",
        }
    }
}

/// Prints the tables; fails when a place is not there.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let requirements = read(&tree::root().join("xtask/requirements"))?;
    let mut files = Files::default();
    let mut broken = Vec::new();
    let mut counts: BTreeMap<u32, [usize; 4]> = BTreeMap::new();
    let asked = |requirement: &&Requirement| arguments.rfc.is_none_or(|rfc| rfc == requirement.rfc);
    for requirement in requirements.iter().filter(asked) {
        let standing = Standing::of(requirement);
        if let Some(count) = counts.entry(requirement.rfc).or_default().get_mut(standing as usize) {
            *count += 1;
        }
        if arguments.all || standing != Standing::Tested {
            println!("{:<9} {requirement}", standing.name());
        }
        for place in &requirement.evidence {
            if arguments.all {
                println!("          {place}");
            }
            if !files.hold(place) {
                broken.push(format!("{requirement}\n    {place}"));
            }
        }
    }
    print_counts(&counts);
    ensure!(
        broken.is_empty(),
        "req: {} places are not there; correct the tables in xtask/requirements:\n{}",
        broken.len(),
        broken.join("\n")
    );
    Ok(())
}

fn print_counts(counts: &BTreeMap<u32, [usize; 4]>) {
    print!("\n{:<10}", "");
    Standing::ALL.iter().for_each(|standing| print!("{:>10}", standing.name()));
    println!();
    for (rfc, row) in counts {
        print!("RFC {rfc:<6}");
        row.iter().for_each(|count| print!("{count:>10}"));
        println!();
    }
}

/// All tables of a folder, by file name.
fn read(folder: &Path) -> Result<Vec<Requirement>> {
    let listed = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()));
    let mut paths = Vec::new();
    for entry in listed? {
        paths.push(entry?.path());
    }
    paths.sort();
    let mut requirements = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let parsed = table::parse(&text).with_context(|| path.display().to_string())?;
        requirements.extend(parsed);
    }
    Ok(requirements)
}

/// Files that evidence names, each read once.
#[derive(Debug, Default)]
struct Files(HashMap<String, Option<String>>);

impl Files {
    fn hold(&mut self, place: &Evidence) -> bool {
        let read = || fs::read_to_string(tree::root().join(&place.path)).ok();
        let text = self.0.entry(place.path.clone()).or_insert_with(read);
        text.as_ref().is_some_and(|text| text.contains(&place.words))
    }
}

#[cfg(test)]
mod tests;
