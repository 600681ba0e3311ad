//! The fence round unsafe code: which files may hold how many `unsafe`, and why.
//!
//! Counted are `unsafe` keywords, wherever they stand: blocks, functions, impls, traits, extern
//! blocks, attributes, macro bodies. More than the table says is new unsafe code that needs a
//! reason; fewer means that the table can come down, and has to.

use std::fmt::Write as _;

use proc_macro2::{TokenStream, TokenTree};

use super::Problem;
use super::source::{Source, visit_tokens};
use std::path::Path;

/// One file inside the fence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fenced {
    /// Relative to the workspace.
    pub(super) path: &'static str,
    /// Number of `unsafe` keywords in it.
    pub(super) count: usize,
    /// Why safe code does not do.
    pub(super) reason: &'static str,
}

/// Compares what files hold with the table.
pub(super) fn check(sources: &[Source], table: &[Fenced]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in sources {
        let lines = unsafe_lines(source.tokens.clone());
        let row = table.iter().find(|row| source.path == Path::new(row.path));
        let allowed = row.map_or(0, |row| row.count);
        let found = lines.len();
        let line = lines.first().copied().unwrap_or(1);
        let what = format!("{found} `unsafe`, but the fence's table says {allowed}");
        let remedy = if row.is_none() {
            "do it with safe code, or add a row with its reason to FENCE in \
             xtask/src/tidy/tables.rs"
        } else if found > allowed {
            "do it with safe code, or raise the count in FENCE in xtask/src/tidy/tables.rs and \
             extend the reason"
        } else {
            "well done: lower the count in FENCE in xtask/src/tidy/tables.rs"
        };
        if found != allowed {
            problems.push(Problem::new(&source.path, line, what, remedy));
        }
    }
    let tables = Path::new("xtask/src/tidy/tables.rs");
    for row in table {
        if !sources.iter().any(|source| source.path == Path::new(row.path)) {
            let what = format!("the fence names {}, which is not there", row.path);
            problems.push(Problem::new(tables, 1, what, "remove the row from FENCE"));
        }
        if row.reason.is_empty() || row.count == 0 {
            let what = format!("the fence's row of {} has no reason or no count", row.path);
            problems.push(Problem::new(tables, 1, what, "say why, or remove the row"));
        }
    }
    problems
}

/// The rows that the tree asks for, with reasons to be filled in.
pub(super) fn table_text(sources: &[Source]) -> String {
    let mut text = String::new();
    for source in sources {
        let count = unsafe_lines(source.tokens.clone()).len();
        if count > 0 {
            let path = source.path.display();
            // Writing to a String does not fail.
            let _ = writeln!(text, "{count:4}  {path}");
        }
    }
    text
}

fn unsafe_lines(tokens: TokenStream) -> Vec<usize> {
    let mut lines = Vec::new();
    visit_tokens(tokens, &mut |token| {
        if let TokenTree::Ident(name) = token
            && name == "unsafe"
        {
            lines.push(name.span().start().line);
        }
    });
    lines
}
