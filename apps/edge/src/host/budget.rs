//! How much memory this process may use, and how much is used where that is counted for it.
//!
//! A cgroup counts the kernel's memory for sockets as well; the machine's figure does not tell
//! whose memory it is. Version 2 of cgroups has `memory.max`, at which the kernel kills, and
//! `memory.high`, at which it slows down; version 1 has `memory.limit_in_bytes`. The least of a
//! group and all above it holds.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::below;

/// A bound of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes.
    pub bytes: u64,
    /// Who set it.
    pub source: Source,
}

/// Who bounds the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `server.memory`, or an order to the running edge.
    Config,
    /// `memory.max` of a cgroup.
    CgroupMax,
    /// `memory.high` of a cgroup.
    CgroupHigh,
    /// `memory.limit_in_bytes` of a cgroup of version 1.
    CgroupLimit,
    /// The machine's memory.
    Machine,
}

impl Source {
    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "server.memory",
            Self::CgroupMax => "memory.max of the cgroup",
            Self::CgroupHigh => "memory.high of the cgroup",
            Self::CgroupLimit => "memory.limit_in_bytes of the cgroup",
            Self::Machine => "the machine's memory",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// The cgroup that counts this process' memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    folder: PathBuf,
    /// The folder above which nothing is looked at.
    base: PathBuf,
    is_first_version: bool,
}

impl Cgroup {
    /// This process' group, below `root`; `None` where no group counts memory.
    #[must_use]
    pub fn find(root: &Path) -> Option<Self> {
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
        let mount = root.join("sys/fs/cgroup");
        let mut unified = None;
        for line in groups.lines() {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            if controllers.split(',').any(|one| one == "memory") {
                let base = mount.join("memory");
                let folder = below(&base, path);
                return Some(Self { folder, base, is_first_version: true });
            }
            if controllers.is_empty() {
                unified = Some(path);
            }
        }
        let folder = below(&mount, unified?);
        let counts = folder.join("memory.current").exists() || folder.join("memory.max").exists();
        counts.then_some(Self { folder, base: mount, is_first_version: false })
    }

    /// The least bound of the group and those above it.
    #[must_use]
    pub fn budget(&self) -> Option<Budget> {
        let files: &[(&str, Source)] = match self.is_first_version {
            true => &[("memory.limit_in_bytes", Source::CgroupLimit)],
            false => &[("memory.max", Source::CgroupMax), ("memory.high", Source::CgroupHigh)],
        };
        let groups = self.folder.ancestors().take_while(|group| group.starts_with(&self.base));
        let bounds = groups.flat_map(|group| {
            files.iter().filter_map(move |(file, source)| {
                let bytes = number(&group.join(file)).filter(|bytes| *bytes < UNBOUNDED)?;
                Some(Budget { bytes, source: *source })
            })
        });
        bounds.min_by_key(|budget| budget.bytes)
    }

    /// Bytes that count towards the bound and that the kernel would not simply drop.
    #[must_use]
    pub fn used_bytes(&self) -> Option<u64> {
        // Pages of files are dropped, or written and dropped, before anything is killed.
        let (current, dropped) = match self.is_first_version {
            true => ("memory.usage_in_bytes", ["total_inactive_file", "total_active_file"]),
            false => ("memory.current", ["inactive_file", "active_file"]),
        };
        let used = number(&self.folder.join(current))?;
        let stat = fs::read_to_string(self.folder.join("memory.stat")).unwrap_or_default();
        let files = stat.lines().filter_map(|line| {
            let (name, bytes) = line.split_once(' ')?;
            dropped.contains(&name).then(|| bytes.parse::<u64>().ok())?
        });
        Some(used.saturating_sub(files.sum()))
    }
}

/// The machine's memory, out of `/proc/meminfo`.
pub(super) fn machine_bytes(meminfo: &str) -> Option<u64> {
    super::status_bytes(meminfo, "MemTotal")
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Version 1 says so when there is no bound; no machine has as much.
const UNBOUNDED: u64 = 1 << 60;
