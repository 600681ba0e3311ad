//! Manifests: every foreign dependency stands once, in the workspace's table, with its reason.

use std::path::Path;

use super::Problem;

/// Checks one manifest: the workspace's for reasons, the others for leaning on it.
///
/// It reads lines, not TOML: each dependency stands on a line of its own in this tree, and
/// comments, which are what is asked for, are lost to a TOML parser.
pub(super) fn check(path: &Path, text: &str) -> Vec<Problem> {
    let is_root = path == Path::new("Cargo.toml");
    let is_fuzz = path.components().any(|part| part.as_os_str() == "fuzz");
    let mut problems = Vec::new();
    let mut section = "";
    let mut line_before = "";
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.starts_with('[') {
            section = trimmed.trim_matches(['[', ']']);
        } else if let Some((name, rest)) = dependency(trimmed) {
            let has_reason = comment(rest) || line_before.starts_with('#');
            let number = index + 1;
            if is_root && section == "workspace.dependencies" {
                if !rest.contains("path =") && !has_reason {
                    let what = format!("the dependency {name} has no reason");
                    let remedy = "end its line with a comment that says what it is for";
                    problems.push(Problem::new(path, number, what, remedy));
                }
            } else if section.ends_with("dependencies") && !is_root && !is_fuzz {
                let leans = name.ends_with(".workspace") || rest.contains("workspace = true");
                if !leans {
                    let what = format!("the dependency {name} does not come from the workspace");
                    let remedy = "write `name.workspace = true`, and the version with its reason \
                                  in the root Cargo.toml";
                    problems.push(Problem::new(path, number, what, remedy));
                }
            }
        }
        line_before = trimmed;
    }
    problems
}

/// A line `name = …`.
fn dependency(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split_once('=')?;
    let name = name.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (!name.is_empty() && name.chars().all(plain)).then_some((name, rest))
}

/// Whether a comment of some words ends the line, outside of strings.
fn comment(rest: &str) -> bool {
    let mut in_string = false;
    for (at, c) in rest.char_indices() {
        match c {
            '"' => in_string = !in_string,
            '#' if !in_string => return rest[at + 1..].trim().len() > 3,
            _ => {}
        }
    }
    false
}
