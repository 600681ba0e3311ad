//! Where the workspace is, and what cargo knows about it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// A `cargo` of the same toolchain that runs this program, in the workspace's folder.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Where cargo builds: `CARGO_TARGET_DIR`, or `target` in the workspace's folder.
pub(crate) fn target_folder() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    root().join(named.unwrap_or_else(|| "target".into()))
}

/// A package as `cargo metadata` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder.
    pub(crate) folder: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    /// Root files of its libraries, programs, tests, benches, examples and build script.
    pub(crate) targets: Vec<PathBuf>,
}

/// A dependency as the manifest states it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// What is linked into the crate itself, not only into its tests or build script.
    pub(crate) is_normal: bool,
}

/// The packages of the workspace to which a manifest belongs, without their dependencies.
pub(crate) fn packages(manifest: &Path) -> Result<Vec<Package>> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps", "--manifest-path"])
        .arg(manifest)
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata fails for {}: {}",
        manifest.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?;
    list(&metadata, "packages").iter().map(package).collect()
}

fn package(value: &Value) -> Result<Package> {
    let manifest = Path::new(text(value, "manifest_path")?);
    let folder = manifest.parent().context("a manifest lies in a folder")?;
    let dependencies = list(value, "dependencies").iter().map(|it| {
        Ok(Dependency { name: text(it, "name")?.to_owned(), is_normal: it["kind"].is_null() })
    });
    let targets = list(value, "targets").iter().map(|it| Ok(text(it, "src_path")?.into()));
    Ok(Package {
        name: text(value, "name")?.to_owned(),
        folder: folder.to_owned(),
        dependencies: dependencies.collect::<Result<_>>()?,
        targets: targets.collect::<Result<_>>()?,
    })
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("cargo metadata lacks {key}"))
}
