//! Ratchets on size: file, function, parameters, columns; and a header in every file.

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::Problem;
use super::source::{Source, is_cfg_test};

/// Lines of a file without its tests.
pub(super) const FILE_LINES_MAX: usize = 600;
/// Code lines between a function's braces.
pub(super) const FUNCTION_LINES_MAX: usize = 70;
/// Parameters of a function, `self` not counted.
pub(super) const PARAMETERS_MAX: usize = 5;
/// Characters of a line.
pub(super) const COLUMNS_MAX: usize = 100;

/// All problems of size in one file.
pub(super) fn check(source: &Source) -> Vec<Problem> {
    let mut functions = Functions { source, problems: Vec::new() };
    functions.visit_file(&source.syntax);
    let mut problems = functions.problems;
    problems.extend(header(source));
    problems.extend(file_lines(source));
    problems.extend(columns(source));
    problems
}

fn header(source: &Source) -> Option<Problem> {
    let has_header = source.syntax.attrs.iter().any(|attribute| {
        matches!(attribute.style, syn::AttrStyle::Inner(_)) && attribute.path().is_ident("doc")
    });
    let remedy = "begin the file with `//!` lines that say what it is and what it is not";
    (!has_header).then(|| Problem::new(&source.path, 1, "the file has no `//!` header", remedy))
}

fn file_lines(source: &Source) -> Option<Problem> {
    if source.is_test() {
        return None;
    }
    let all = source.text.lines().count();
    let tests: usize = source.syntax.items.iter().map(test_lines).sum();
    let lines = all - tests;
    let what = format!("the file has {lines} lines without tests; the limit is {FILE_LINES_MAX}");
    let remedy = "split it by reasons to change";
    (lines > FILE_LINES_MAX).then(|| Problem::new(&source.path, 1, what, remedy))
}

/// Lines of an inline test module, its attributes included.
fn test_lines(item: &syn::Item) -> usize {
    let syn::Item::Mod(module) = item else {
        return 0;
    };
    let is_inline_test = module.content.is_some() && is_cfg_test(&module.attrs);
    let span = module.span();
    if is_inline_test { span.end().line + 1 - span.start().line } else { 0 }
}

/// A line with a link may be longer: a link cannot be broken.
fn columns(source: &Source) -> Vec<Problem> {
    let too_long = |line: &str| line.chars().count() > COLUMNS_MAX && !line.contains("://");
    let lines = source.text.lines().enumerate().filter(|(_, line)| too_long(line));
    lines
        .map(|(index, line)| {
            let columns = line.chars().count();
            let what = format!("the line has {columns} columns; the limit is {COLUMNS_MAX}");
            Problem::new(
                &source.path,
                index + 1,
                what,
                "break the line; rustfmt leaves some to you",
            )
        })
        .collect()
}

struct Functions<'a> {
    source: &'a Source,
    problems: Vec<Problem>,
}

impl Functions<'_> {
    fn check(&mut self, attributes: &[syn::Attribute], signature: &syn::Signature) {
        let typed = |input: &&syn::FnArg| matches!(input, syn::FnArg::Typed(_));
        let count = signature.inputs.iter().filter(typed).count();
        if count > PARAMETERS_MAX {
            let name = &signature.ident;
            let what = format!("`{name}` has {count} parameters; the limit is {PARAMETERS_MAX}");
            self.push(signature, what, "group those that belong together into a struct");
        }
        for attribute in attributes.iter().filter(|it| exempts(it) == Some(false)) {
            let line = attribute.span().start().line;
            let what = "an exemption from the function limit carries no reason";
            let remedy = "write #[expect(clippy::too_many_lines, reason = \"…\")]";
            self.problems.push(Problem::new(&self.source.path, line, what, remedy));
        }
    }

    fn check_body(
        &mut self,
        attributes: &[syn::Attribute],
        signature: &syn::Signature,
        body: &syn::Block,
    ) {
        let inner = body.brace_token.span;
        let (open, close) = (inner.open().start().line, inner.close().start().line);
        let lines = (open + 1..close).filter(|line| self.source.has_code[line - 1]).count();
        if lines > FUNCTION_LINES_MAX && !attributes.iter().any(|it| exempts(it).is_some()) {
            let name = &signature.ident;
            let what =
                format!("`{name}` has {lines} code lines; the limit is {FUNCTION_LINES_MAX}");
            let remedy = "cut it into steps with names, or, where linear code is clearer, \
                          #[expect(clippy::too_many_lines, reason = \"…\")]";
            self.push(signature, what, remedy);
        }
    }

    fn push(&mut self, signature: &syn::Signature, what: String, remedy: &'static str) {
        let line = signature.ident.span().start().line;
        self.problems.push(Problem::new(&self.source.path, line, what, remedy));
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.check(&function.attrs, &function.sig);
        self.check_body(&function.attrs, &function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.check(&function.attrs, &function.sig);
        self.check_body(&function.attrs, &function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        self.check(&function.attrs, &function.sig);
        if let Some(body) = &function.default {
            self.check_body(&function.attrs, &function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// Whether an attribute exempts a function from the line limit, and then whether it says why.
fn exempts(attribute: &syn::Attribute) -> Option<bool> {
    let syn::Meta::List(list) = &attribute.meta else {
        return None;
    };
    let tokens = list.tokens.to_string();
    let is_exemption = (list.path.is_ident("expect") || list.path.is_ident("allow"))
        && tokens.contains("too_many_lines");
    is_exemption.then(|| tokens.contains("reason ="))
}
