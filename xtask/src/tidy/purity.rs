//! Pure crates: `no_std` outside tests, and no unsafe code, so that the compiler holds the rest.

use std::path::Path;

use syn::spanned::Spanned as _;

use super::Problem;
use super::dependencies::CrateRow;
use super::source::{Source, is_cfg_test};
use crate::tree::Package;

/// Checks the root files of pure crates, and that no file brings `std` back.
pub(super) fn check(sources: &[Source], members: &[Package], table: &[CrateRow]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let is_there = |row: &&CrateRow| members.iter().any(|it| it.folder == Path::new(row.folder));
    for row in table.iter().filter(|row| row.pure.is_some()).filter(is_there) {
        let library = Path::new(row.folder).join("src");
        for source in sources.iter().filter(|source| source.path.starts_with(&library)) {
            if source.path == library.join("lib.rs") {
                problems.extend(root(source));
            }
            problems.extend(std_brought_back(source));
        }
    }
    problems
}

fn root(source: &Source) -> Vec<Problem> {
    let has = |test: fn(&syn::Attribute) -> bool| source.syntax.attrs.iter().any(test);
    let mut problems = Vec::new();
    if !has(is_no_std) {
        let what = "a pure crate is not `no_std`";
        let remedy = "add #![cfg_attr(not(test), no_std)]; clocks and sockets come as arguments";
        problems.push(Problem::new(&source.path, 1, what, remedy));
    }
    if !has(forbids_unsafe) {
        let what = "a pure crate does not forbid unsafe code";
        problems.push(Problem::new(&source.path, 1, what, "add #![forbid(unsafe_code)]"));
    }
    problems
}

/// `#![no_std]`, or in a `cfg_attr` whose condition speaks of tests alone.
fn is_no_std(attribute: &syn::Attribute) -> bool {
    match &attribute.meta {
        syn::Meta::Path(path) => path.is_ident("no_std"),
        syn::Meta::List(list) if list.path.is_ident("cfg_attr") => {
            let tokens: String = list.tokens.to_string().split_whitespace().collect();
            matches!(
                tokens.as_str(),
                "not(test),no_std"
                    | "not(any(test,fuzzing)),no_std"
                    | "not(any(test,loom)),no_std"
                    | "not(any(loom,test)),no_std"
            )
        }
        syn::Meta::List(_) | syn::Meta::NameValue(_) => false,
    }
}

fn forbids_unsafe(attribute: &syn::Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else {
        return false;
    };
    list.path.is_ident("forbid") && list.tokens.to_string().contains("unsafe_code")
}

fn std_brought_back(source: &Source) -> Vec<Problem> {
    let remedy = "use core and alloc; only tests may use std";
    let is_std = |item: &&syn::Item| {
        let syn::Item::ExternCrate(it) = item else {
            return false;
        };
        it.ident == "std" && !is_cfg_test(&it.attrs)
    };
    let items = source.syntax.items.iter().filter(is_std);
    items
        .map(|item| {
            let line = item.span().start().line;
            Problem::new(&source.path, line, "`extern crate std` in a pure crate", remedy)
        })
        .collect()
}
