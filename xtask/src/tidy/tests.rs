//! Each check on small trees: seen passing, and seen failing at the place and for the reason.

use std::path::{Path, PathBuf};

use super::dependencies::CrateRow;
use super::fence::Fenced;
use super::source::Source;
use super::{Problem, dead, dependencies, fence, layout, manifest, purity, size};
use crate::tree::{Dependency, Package};

fn source(path: &str, text: &str) -> Source {
    Source::parse(Path::new(path), text.to_owned()).expect("the fixture parses")
}

/// Compares problems by place and by words that the message has to say.
fn check(problems: &[Problem], expected: &[(&str, usize, &str)]) {
    let found: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), expected.len(), "{found:#?}");
    for (problem, (path, line, words)) in problems.iter().zip(expected) {
        assert_eq!((problem.path.as_path(), problem.line), (Path::new(path), *line), "{problem}");
        assert!(problem.what.contains(words), "{problem} says nothing of `{words}`");
        assert!(!problem.remedy.is_empty());
    }
}

fn lines(count: usize) -> String {
    "const X: u8 = 0;\n".repeat(count)
}

fn function(name: &str, code_lines: usize) -> String {
    format!("fn {name}() {{\n{}}}\n", "    f();\n".repeat(code_lines))
}

#[test]
fn messages_name_place_fault_and_remedy() {
    let problem = Problem::new(Path::new("crates/x/src/lib.rs"), 7, "too much", "less");
    assert_eq!(problem.to_string(), "crates/x/src/lib.rs:7: too much\n    remedy: less");
}

#[test]
fn a_file_needs_a_header() {
    check(&size::check(&source("a.rs", "//! What it is.\nfn f() {}\n")), &[]);
    check(&size::check(&source("a.rs", "#![no_main]\n//! What it is.\n")), &[]);
    check(&size::check(&source("a.rs", "// Not for the reader.\n")), &[("a.rs", 1, "header")]);
    check(&size::check(&source("a.rs", "/// Of the item.\nfn f() {}")), &[("a.rs", 1, "header")]);
}

#[test]
fn a_file_has_600_lines_without_its_tests() {
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", lines(50));
    let most = format!("//! H.\n{}{tests}", lines(599));
    check(&size::check(&source("a.rs", &most)), &[]);
    let more = format!("//! H.\n{}{tests}", lines(600));
    check(&size::check(&source("a.rs", &more)), &[("a.rs", 1, "601 lines")]);
    for exempt in ["crates/x/tests/a.rs", "crates/x/src/a/tests.rs", "crates/x/src/tests/a.rs"] {
        check(&size::check(&source(exempt, &more)), &[]);
    }
    let other = more.replace("cfg(test)", "cfg(unix)");
    check(&size::check(&source("a.rs", &other)), &[("a.rs", 1, "654 lines")]);
}

#[test]
fn a_function_has_70_code_lines() {
    check(&size::check(&source("a.rs", &format!("//! H.\n{}", function("f", 70)))), &[]);
    let long = format!("//! H.\n{}", function("f", 71));
    check(&size::check(&source("a.rs", &long)), &[("a.rs", 2, "`f` has 71 code lines")]);
    let spaced = long.replacen("    f();\n", "    // why\n\n    /* and\n    why */\n", 10);
    check(&size::check(&source("a.rs", &spaced)), &[]);
    let string = format!("//! H.\nfn f() {{\n    g(\"{}\");\n}}\n", "x\n".repeat(70));
    check(&size::check(&source("a.rs", &string)), &[("a.rs", 2, "71 code lines")]);
    let documented = format!("//! H.\nfn f() {{\n{}    fn g() {{}}\n}}\n", "/// d\n".repeat(80));
    check(&size::check(&source("a.rs", &documented)), &[]);
}

#[test]
fn methods_and_provided_methods_count_as_functions() {
    let text = format!("//! H.\nimpl X {{\n{}}}\n", function("f", 71));
    check(&size::check(&source("a.rs", &text)), &[("a.rs", 3, "`f` has 71 code lines")]);
    let text = format!("//! H.\ntrait X {{\n{}    fn g();\n}}\n", function("f", 71));
    check(&size::check(&source("a.rs", &text)), &[("a.rs", 3, "`f` has 71 code lines")]);
}

#[test]
fn an_exemption_needs_a_reason() {
    let exempt = |attribute: &str| format!("//! H.\n{attribute}\n{}", function("f", 71));
    let with = exempt("#[expect(clippy::too_many_lines, reason = \"one table\")]");
    check(&size::check(&source("a.rs", &with)), &[]);
    let without = exempt("#[expect(clippy::too_many_lines)]");
    check(&size::check(&source("a.rs", &without)), &[("a.rs", 2, "no reason")]);
}

#[test]
fn a_function_has_5_parameters_beside_self() {
    let most = "//! H.\nfn f(a: A, b: A, c: A, d: A, e: A) {}\n";
    check(&size::check(&source("a.rs", most)), &[]);
    let method = format!("//! H.\nimpl X {{ {} }}\n", &most[7..].replace("(a", "(&self, a"));
    check(&size::check(&source("a.rs", &method)), &[]);
    let more = most.replace("e: A", "e: A, f: A");
    check(&size::check(&source("a.rs", &more)), &[("a.rs", 2, "6 parameters")]);
}

#[test]
fn a_line_has_100_columns_unless_it_holds_a_link() {
    let line = |count: usize| format!("//! H.\n// {}\n", "é".repeat(count - 3));
    check(&size::check(&source("a.rs", &line(100))), &[]);
    check(&size::check(&source("a.rs", &line(101))), &[("a.rs", 2, "101 columns")]);
    let link = line(101).replace("// é", "// https://é");
    check(&size::check(&source("a.rs", &link)), &[]);
}

fn package(name: &str, folder: &str, targets: &[&str]) -> Package {
    Package {
        name: name.to_owned(),
        folder: folder.into(),
        dependencies: Vec::new(),
        targets: targets.iter().map(PathBuf::from).collect(),
    }
}

#[test]
fn every_file_is_reached_from_a_target() {
    let sources = [
        source("x/src/lib.rs", "mod a; mod b { mod c; #[path = \"odd.rs\"] mod d; } mod r#e;"),
        source("x/src/a.rs", "mod deep; #[cfg(test)] mod tests;"),
        source("x/src/a/deep/mod.rs", "mod deeper;"),
        source("x/src/a/deep/deeper.rs", "include!(\"../../made.rs\");"),
        source("x/src/a/tests.rs", ""),
        source("x/src/b/c.rs", ""),
        source("x/src/odd.rs", ""),
        source("x/src/e.rs", ""),
        source("x/src/made.rs", ""),
        source("x/tests/it.rs", "mod common;"),
        source("x/tests/common/mod.rs", ""),
    ];
    let targets = ["x/src/lib.rs", "x/tests/it.rs"];
    check(&dead::check(&sources, &[package("x", "x", &targets)]), &[]);
    let without_test = [package("x", "x", &targets[..1])];
    let expected = [("x/tests/it.rs", 1, "no target"), ("x/tests/common/mod.rs", 1, "no target")];
    check(&dead::check(&sources, &without_test), &expected);
    let forgotten = source("x/src/b.rs", "");
    let sources = [source("x/src/lib.rs", "mod a {}"), forgotten];
    let expected = [("x/src/b.rs", 1, "no target")];
    check(&dead::check(&sources, &[package("x", "x", &targets)]), &expected);
}

const CRATES: &[CrateRow] = &[
    CrateRow { folder: "crates/pure", ours: Some(&[]), pure: Some(&["http"]), anyhow: false },
    CrateRow { folder: "crates/io", ours: Some(&["pure"]), pure: None, anyhow: false },
    CrateRow { folder: "apps/edge", ours: None, pure: None, anyhow: true },
];

fn uses(name: &str, folder: &str, normal: &[&str], tests: &[&str]) -> Vec<Package> {
    let dependency = |name: &&str, is_normal| Dependency { name: (*name).to_owned(), is_normal };
    let mut package = package(name, folder, &[]);
    package.dependencies.extend(normal.iter().map(|it| dependency(it, true)));
    package.dependencies.extend(tests.iter().map(|it| dependency(it, false)));
    vec![package]
}

#[test]
fn arrows_follow_the_table() {
    let check_one = |packages: Vec<Package>, expected: &[(&str, usize, &str)]| {
        check(&dependencies::check(&packages, CRATES), expected);
    };
    let (pure, io) = ("crates/pure/Cargo.toml", "crates/io/Cargo.toml");
    check_one(uses("longhold-pure", "crates/pure", &["http"], &["proptest"]), &[]);
    check_one(uses("longhold-io", "crates/io", &["longhold-pure", "libc"], &[]), &[]);
    check_one(uses("longhold-edge", "apps/edge", &["longhold-io", "anyhow", "libc"], &[]), &[]);
    let upwards = uses("longhold-pure", "crates/pure", &["longhold-io"], &[]);
    check_one(upwards, &[(pure, 1, "longhold-pure → longhold-io")]);
    let socket = uses("longhold-pure", "crates/pure", &["tokio"], &[]);
    check_one(socket, &[(pure, 1, "longhold-pure → tokio")]);
    let sideways = uses("longhold-io", "crates/io", &["longhold-edge"], &[]);
    check_one(sideways, &[(io, 1, "longhold-io → longhold-edge")]);
    let misnamed = uses("io", "crates/io", &[], &[]);
    check_one(misnamed, &[(io, 1, "called io")]);
    let unknown = uses("longhold-new", "crates/new", &[], &[]);
    check_one(unknown, &[("crates/new/Cargo.toml", 1, "no row")]);
}

#[test]
fn anyhow_stays_in_programs_and_tools() {
    let io = "crates/io/Cargo.toml";
    for packages in [
        uses("longhold-io", "crates/io", &["anyhow"], &[]),
        uses("longhold-io", "crates/io", &[], &["anyhow"]),
    ] {
        check(&dependencies::check(&packages, CRATES), &[(io, 1, "anyhow")]);
    }
}

#[test]
fn dependencies_carry_reasons_in_one_place() {
    let root = Path::new("Cargo.toml");
    let good = "[workspace.dependencies]\nours = { path = \"crates/ours\" }\n\
                a = \"1\" # what it is for\n# What it is for.\nb = { version = \"1\" }\n\
                [profile.release]\nlto = true\n";
    check(&manifest::check(root, good), &[]);
    let bare = "[workspace.dependencies]\na = \"1\"\nb = { git = \"x#y\" }\n";
    let expected = [("Cargo.toml", 2, "a has no reason"), ("Cargo.toml", 3, "b has no reason")];
    check(&manifest::check(root, bare), &expected);
    let member = Path::new("crates/x/Cargo.toml");
    let good = "[package]\nname = \"x\"\n[dependencies]\na.workspace = true\n\
                b = { workspace = true, features = [\"c\"] }\n";
    check(&manifest::check(member, good), &[]);
    let own = "[dependencies]\na = \"1\"\n[target.'cfg(loom)'.dev-dependencies]\nloom = \"0.7\"\n";
    let expected = [("crates/x/Cargo.toml", 2, "a does not"), ("crates/x/Cargo.toml", 4, "loom")];
    check(&manifest::check(member, own), &expected);
}

#[test]
fn the_fence_holds_exact_counts() {
    let text = "#![deny(unsafe_code)] // unsafe\nunsafe fn f() { unsafe { g(\"unsafe\") } }\n\
                unsafe impl Send for X {}\nunsafe extern \"C\" {}\n\
                macro_rules! m { () => { unsafe { g() } } }\n";
    let sources = [source("x/sys.rs", text), source("x/safe.rs", "fn f() {}")];
    let row = |count| [Fenced { path: "x/sys.rs", count, reason: "the kernel" }];
    check(&fence::check(&sources, &row(5)), &[]);
    check(&fence::check(&sources, &row(4)), &[("x/sys.rs", 2, "5 `unsafe`, but")]);
    check(&fence::check(&sources, &row(6)), &[("x/sys.rs", 2, "5 `unsafe`, but")]);
    check(&fence::check(&sources, &[]), &[("x/sys.rs", 2, "says 0")]);
    assert_eq!(fence::table_text(&sources), "   5  x/sys.rs\n");
}

#[test]
fn the_fence_names_only_what_is_there_and_why() {
    let sources = [source("x/sys.rs", "unsafe fn f() {}")];
    let gone = [
        Fenced { path: "x/sys.rs", count: 1, reason: "" },
        Fenced { path: "x/gone.rs", count: 1, reason: "the kernel" },
    ];
    let tables = "xtask/src/tidy/tables.rs";
    let expected = [(tables, 1, "no reason"), (tables, 1, "x/gone.rs, which is not there")];
    check(&fence::check(&sources, &gone), &expected);
}

#[test]
fn pure_crates_have_no_std_and_no_unsafe_code() {
    let members = [package("longhold-pure", "crates/pure", &[])];
    let lib = "crates/pure/src/lib.rs";
    let check_lib = |text: &str, expected: &[(&str, usize, &str)]| {
        check(&purity::check(&[source(lib, text)], &members, CRATES), expected);
    };
    check_lib("#![cfg_attr(not(test), no_std)]\n#![forbid(unsafe_code)]\n", &[]);
    check_lib("#![no_std]\n#![forbid(unsafe_code)]\n#[cfg(test)]\nextern crate std;\n", &[]);
    check_lib("#![forbid(unsafe_code)]\n", &[(lib, 1, "`no_std`")]);
    check_lib("#![no_std]\n#![deny(unsafe_code)]\n", &[(lib, 1, "forbid unsafe")]);
    let evasion = "#![cfg_attr(feature = \"pure\", no_std)]\n#![forbid(unsafe_code)]\n";
    check_lib(evasion, &[(lib, 1, "`no_std`")]);
    let back = "#![no_std]\n#![forbid(unsafe_code)]\nextern crate std;\n";
    check_lib(back, &[(lib, 3, "extern crate std")]);
    let elsewhere = source("crates/io/src/lib.rs", "");
    check(&purity::check(&[elsewhere], &members, CRATES), &[]);
}

#[test]
fn the_top_level_holds_what_the_design_names() {
    let names = |names: &[&str]| names.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
    check(&layout::check(&names(&["Cargo.toml", "crates", ".ci", "README.md"])), &[]);
    check(&layout::check(&names(&["docs", "apps"])), &[("docs", 1, "no place")]);
}

#[test]
fn the_top_level_leaves_out_what_git_ignores() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(".gitignore"), "/target\n").expect("a file");
    std::fs::create_dir(folder.path().join("target")).expect("a folder");
    let names = layout::top_level(folder.path()).expect("a list");
    assert_eq!(names, [".gitignore"]);
}

#[test]
fn a_file_that_cannot_be_parsed_is_named_with_its_line() {
    let error = Source::parse(Path::new("x/a.rs"), "fn f() {}\nfn fn\n".to_owned());
    let message = error.expect_err("no Rust").to_string();
    assert!(message.starts_with("x/a.rs:2: cannot be parsed"), "{message}");
}
