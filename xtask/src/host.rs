//! What every figure is printed with: command, commit, processor, kernel.

use std::fs;
use std::process::Command;

use longhold_report::Fact;
use serde_json::{Value, json};

use crate::tree;

/// Where and on what a measurement ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) command: String,
    /// Short hash, with `+changes` when the tree differs from it.
    pub(crate) commit: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
}

impl Host {
    /// Of this process.
    pub(crate) fn here() -> Self {
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            command: format!("cargo xtask {}", arguments.join(" ")),
            commit: commit(),
            processor: processor(&cpuinfo),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: format!("Linux {}", kernel.trim()),
        }
    }

    /// As members of a result.
    pub(crate) fn json(&self) -> Value {
        json!({
            "command": self.command,
            "commit": self.commit,
            "processor": self.processor,
            "cores": self.cores,
            "kernel": self.kernel,
        })
    }

    /// As facts of a page.
    pub(crate) fn facts(&self) -> Vec<Fact> {
        vec![
            Fact::new("command", &self.command),
            Fact::new("commit", &self.commit),
            Fact::new("processor", &format!("{} ({} cores)", self.processor, self.cores)),
            Fact::new("kernel", &self.kernel),
        ]
    }

    /// As the lines above a table.
    pub(crate) fn print(&self) {
        println!("command    {}", self.command);
        println!("commit     {}", self.commit);
        println!("processor  {} ({} cores)", self.processor, self.cores);
        println!("kernel     {}", self.kernel);
    }
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(tree::root()).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let Some(hash) = git(&["rev-parse", "--short", "HEAD"]) else {
        return "unknown".to_owned();
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => hash,
        Some(_) | None => format!("{hash}+changes"),
    }
}

fn processor(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, name)| name.trim()).to_owned()
}
