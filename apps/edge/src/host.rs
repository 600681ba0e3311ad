//! The host as the edge finds it: kernel, limits, sysctls, memory and its bounds.
//!
//! What cannot be read is `None` and judged as unknown. Everything is read below a root folder, so
//! that tests bring a host of their own.

use std::fs;
use std::path::{Path, PathBuf};

use longhold_transport::probe::{self, Support, Unsupported};
use rustix::process::{Resource, getrlimit};

pub mod budget;
pub mod judge;
pub mod report;

#[cfg(test)]
mod tests;

pub use budget::{Budget, Source};

/// Facts about the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Release of the kernel, such as `6.12.3`.
    pub kernel: String,
    /// Cores that this process may use.
    pub cores: u64,
    /// Whether io_uring can be used, or what forbids it.
    pub uring: Result<Support, Unsupported>,
    /// `RLIMIT_NOFILE`: how far this process may raise it.
    pub open_files: u64,
    /// The process may go beyond `fs.file-max`.
    pub is_admin: bool,
    /// Memory of the machine.
    pub memory_bytes: Option<u64>,
    /// The bound of the cgroup, if there is one.
    pub cgroup: Option<Budget>,
    /// Sysctls by their names with dots, as far as they exist.
    sysctls: Vec<(&'static str, String)>,
    /// Open files of the whole system.
    pub files_used: Option<u64>,
    /// Connections that the firewall tracks now.
    pub tracked: Option<u64>,
}

impl Host {
    /// Reads this host.
    #[must_use]
    pub fn read() -> Self {
        let open_files = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        Self::read_at(Path::new("/"), probe::probe(), open_files)
    }

    /// Reads a host whose `/proc` and `/sys` lie below `root`.
    pub(crate) fn read_at(
        root: &Path,
        uring: Result<Support, Unsupported>,
        open_files: u64,
    ) -> Self {
        let proc = root.join("proc");
        let text = |path: &str| fs::read_to_string(proc.join(path)).ok();
        let first = |path: &str| text(path)?.split_whitespace().next()?.parse().ok();
        let status = text("self/status").unwrap_or_default();
        let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let capabilities = capabilities.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
        let read = |name: &&'static str| {
            let path = format!("sys/{}", name.replace('.', "/"));
            Some((*name, text(&path)?.split_whitespace().collect::<Vec<_>>().join(" ")))
        };
        Self {
            kernel: text("sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
            uring,
            open_files,
            is_admin: capabilities.is_some_and(|bits| bits & SYS_ADMIN != 0),
            memory_bytes: text("meminfo").as_deref().and_then(budget::machine_bytes),
            cgroup: budget::Cgroup::find(root).and_then(|cgroup| cgroup.budget()),
            sysctls: SYSCTLS.iter().filter_map(read).collect(),
            files_used: first("sys/fs/file-nr"),
            tracked: first("sys/net/netfilter/nf_conntrack_count"),
        }
    }

    /// A sysctl as text.
    #[must_use]
    pub fn sysctl(&self, name: &str) -> Option<&str> {
        self.sysctls.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The first, second … number of a sysctl.
    #[must_use]
    pub fn number(&self, name: &str, place: usize) -> Option<u64> {
        self.sysctl(name)?.split(' ').nth(place)?.parse().ok()
    }

    /// The kernel's version.
    #[must_use]
    pub fn version(&self) -> Option<(u32, u32)> {
        let mut parts = self.kernel.split(|one: char| !one.is_ascii_digit());
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }

    /// The least of what bounds the memory of this process: its cgroup, or the machine.
    #[must_use]
    pub fn budget(&self) -> Option<Budget> {
        let machine = self.memory_bytes.map(|bytes| Budget { bytes, source: Source::Machine });
        self.cgroup.into_iter().chain(machine).min_by_key(|budget| budget.bytes)
    }
}

/// Number of a line of `/proc/self/status` in kB, as bytes.
pub(crate) fn status_bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.strip_prefix(':')?.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Folder `path` of a cgroup below `base`; the base itself in a container that has its own view.
fn below(base: &Path, path: &str) -> PathBuf {
    let folder = base.join(path.trim_start_matches('/'));
    if folder.is_dir() { folder } else { base.to_owned() }
}

/// CAP_SYS_ADMIN, as a bit of a capability set.
const SYS_ADMIN: u64 = 1 << 21;

/// The sysctls that matter.
const SYSCTLS: [&str; 11] = [
    "fs.file-max",
    "fs.nr_open",
    "kernel.io_uring_disabled",
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_ehash_entries",
    "net.ipv4.tcp_max_orphans",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_mem",
    "net.netfilter.nf_conntrack_max",
    "vm.overcommit_memory",
];
