//! No dead file: every Rust file is a target's root or is reached from one by `mod` declarations.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

use super::Problem;
use super::source::Source;
use crate::tree::Package;

/// Files that no target reaches.
pub(super) fn check(sources: &[Source], packages: &[Package]) -> Vec<Problem> {
    let by_path: HashMap<&Path, &Source> =
        sources.iter().map(|source| (source.path.as_path(), source)).collect();
    let mut reached: HashSet<PathBuf> = HashSet::new();
    let mut waiting: Vec<(PathBuf, bool)> = Vec::new();
    for target in packages.iter().flat_map(|package| &package.targets) {
        waiting.push((target.clone(), true));
    }
    while let Some((path, is_root)) = waiting.pop() {
        let Some(source) = by_path.get(path.as_path()) else {
            continue;
        };
        if reached.insert(path) {
            waiting.extend(modules(source, is_root).into_iter().map(|path| (path, false)));
        }
    }
    let remedy = "declare it with `mod`, name it in Cargo.toml, or delete it";
    let dead = sources.iter().filter(|source| !reached.contains(&source.path));
    dead.map(|it| Problem::new(&it.path, 1, "no target reaches this file", remedy)).collect()
}

/// Where the modules declared in a file may lie: both places that the language knows.
fn modules(source: &Source, is_root: bool) -> Vec<PathBuf> {
    let parent = source.path.parent().unwrap_or(Path::new(""));
    let stem = source.path.file_stem().unwrap_or_default();
    let inside = if is_root || stem == "mod" { parent.to_owned() } else { parent.join(stem) };
    let mut declared = Declared { beside: parent.to_owned(), inside, found: Vec::new() };
    declared.visit_file(&source.syntax);
    declared.found
}

struct Declared {
    /// The folder of the file, for `#[path]` and `include!`.
    beside: PathBuf,
    /// The folder of the present module.
    inside: PathBuf,
    found: Vec<PathBuf>,
}

impl<'ast> Visit<'ast> for Declared {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let name = module.ident.to_string();
        let name = name.strip_prefix("r#").unwrap_or(&name);
        if module.content.is_some() {
            self.inside.push(name);
            visit::visit_item_mod(self, module);
            self.inside.pop();
            return;
        }
        match module.attrs.iter().find_map(path_of) {
            Some(path) => self.found.push(normal(&self.beside.join(path))),
            None => {
                self.found.push(self.inside.join(format!("{name}.rs")));
                self.found.push(self.inside.join(name).join("mod.rs"));
            }
        }
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        if invocation.path.is_ident("include")
            && let Ok(path) = invocation.parse_body::<syn::LitStr>()
        {
            self.found.push(normal(&self.beside.join(path.value())));
        }
    }
}

fn path_of(attribute: &syn::Attribute) -> Option<String> {
    let syn::Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) = &pair.value else {
        return None;
    };
    pair.path.is_ident("path").then(|| path.value())
}

/// Without `.` and `..`, by the text alone.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                normal.pop();
            }
            std::path::Component::Normal(_)
            | std::path::Component::RootDir
            | std::path::Component::Prefix(_) => normal.push(part),
        }
    }
    normal
}
