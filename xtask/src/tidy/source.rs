//! Rust files as the checks see them: text, syntax tree, and which lines hold code.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use anyhow::{Context as _, Result, anyhow};
use proc_macro2::{TokenStream, TokenTree};
use walkdir::{DirEntry, WalkDir};

/// One parsed file.
#[derive(Debug)]
pub(super) struct Source {
    /// Relative to the workspace.
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) syntax: syn::File,
    pub(super) tokens: TokenStream,
    /// For each line, from 0: it holds code, not only comments or nothing.
    pub(super) has_code: Vec<bool>,
}

impl Source {
    /// Parses a file's text.
    pub(super) fn parse(path: &Path, text: String) -> Result<Self> {
        let place = |line: usize| format!("{}:{line}: cannot be parsed", path.display());
        let syntax = syn::parse_file(&text)
            .map_err(|error| anyhow!("{}: {error}", place(error.span().start().line)))?;
        let tokens = TokenStream::from_str(&text).map_err(|error| anyhow!("{error}"))?;
        let has_code = lines_with_code(&text, tokens.clone());
        Ok(Self { path: path.to_owned(), text, syntax, tokens, has_code })
    }

    /// Whether the whole file is test code: below a `tests` folder, or a `tests.rs`.
    pub(super) fn is_test(&self) -> bool {
        self.path.file_name().is_some_and(|name| name == "tests.rs")
            || self.path.components().any(|part| part.as_os_str() == "tests")
    }
}

/// Reads and parses all Rust files below the workspace's folder, in order of their paths.
pub(super) fn read(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for entry in WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(is_ours) {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(entry.path())
                .with_context(|| format!("cannot read {}", entry.path().display()))?;
            sources.push(Source::parse(entry.path().strip_prefix(root)?, text)?);
        }
    }
    Ok(sources)
}

/// Neither build output nor hidden.
pub(super) fn is_ours(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    entry.depth() == 0 || !(name == "target" || name.starts_with('.'))
}

/// Whether attributes hold `#[cfg(test)]`, alone or in an `all`.
pub(super) fn is_cfg_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        let tokens = list.tokens.to_string();
        list.path.is_ident("cfg")
            && (tokens == "test" || (tokens.starts_with("all") && tokens.contains("test")))
    })
}

/// Doc comments are tokens too (`#[doc = …]`), but ones that begin with a slash in the text.
fn lines_with_code(text: &str, tokens: TokenStream) -> Vec<bool> {
    let lines: Vec<&str> = text.lines().collect();
    let mut has_code = vec![false; lines.len()];
    let is_comment = |token: &TokenTree| {
        let start = token.span().start();
        let mut rest = lines.get(start.line - 1).map_or("", |line| line).chars().skip(start.column);
        rest.next() == Some('/') && matches!(rest.next(), Some('/' | '*'))
    };
    let mut mark = |span: proc_macro2::Span| {
        let (first, last) = (span.start().line, span.end().line);
        has_code.iter_mut().take(last).skip(first - 1).for_each(|line| *line = true);
    };
    visit_tokens(tokens, &mut |token| match token {
        _ if is_comment(token) => {}
        TokenTree::Group(group) => {
            mark(group.span_open());
            mark(group.span_close());
        }
        TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => mark(token.span()),
    });
    has_code
}

/// Calls `visit` for every token, those inside groups included.
pub(super) fn visit_tokens(tokens: TokenStream, visit: &mut impl FnMut(&TokenTree)) {
    for token in tokens {
        visit(&token);
        if let TokenTree::Group(group) = token {
            visit_tokens(group.stream(), visit);
        }
    }
}
