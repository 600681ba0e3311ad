//! Whether this host lets us use io_uring, and if not, what forbids it.
//!
//! [`probe`] sets up a small ring with the flags that the reactor needs, asks which operations the
//! kernel has, and registers a table of direct descriptors; then it throws the ring away. The
//! diagnosis is a pure function of the errno and two facts about the host, so that a test can walk
//! it.

use std::fmt;

use crate::uring;

/// What io_uring offers here beyond what the reactor must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// A wait can gather completions for a minimum time (kernel 6.12).
    pub min_wait: bool,
    /// Rings without the submission index array (kernel 6.6).
    pub no_sq_array: bool,
}

/// What keeps io_uring from being used. Its `Display` names cause and remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// The system call does not exist: the kernel is too old, built without it, or a filter
    /// pretends so.
    NoSystemCall {
        /// Whether a seccomp filter is in force, which may answer in the kernel's place.
        filtered: bool,
    },
    /// `kernel.io_uring_disabled` forbids it.
    Sysctl {
        /// Its value: 1 (only for a group or CAP_SYS_ADMIN) or 2 (for nobody).
        level: u8,
    },
    /// Refused with EPERM or EACCES.
    Forbidden {
        /// Whether a seccomp filter is in force: then it is the likely cause.
        filtered: bool,
    },
    /// The kernel knows io_uring but not the reactor's set-up flags (before 6.1).
    FlagsRefused,
    /// Locked or kernel memory is short.
    Memory,
    /// Descriptors are short.
    Descriptors,
    /// An operation is missing or restricted.
    MissingOperation(
        /// The operation.
        &'static str,
    ),
    /// A feature of the ring is missing.
    MissingFeature(
        /// The feature.
        &'static str,
    ),
    /// Tables of direct descriptors are refused.
    NoDirectTable(
        /// The errno.
        i32,
    ),
    /// Any other errno of the set-up.
    Other(
        /// The errno.
        i32,
    ),
}

impl std::error::Error for Unsupported {}

impl fmt::Display for Unsupported {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("io_uring cannot be used: ")?;
        match *self {
            Self::NoSystemCall { filtered: false } => out.write_str(
                "this kernel does not have it (ENOSYS); Linux 6.1 or newer is needed, built with \
                 CONFIG_IO_URING",
            ),
            Self::NoSystemCall { filtered: true } => out.write_str(
                "the system call is hidden (ENOSYS) and a seccomp filter is in force: a container \
                 profile blocks io_uring_setup, io_uring_enter and io_uring_register; allow them \
                 (docker run --security-opt seccomp=PROFILE), or the kernel is older than 6.1",
            ),
            Self::Sysctl { level: 1 } => out.write_str(
                "the sysctl kernel.io_uring_disabled is 1: only CAP_SYS_ADMIN and members of \
                 kernel.io_uring_group may use it; join the group, or set the sysctl to 0",
            ),
            Self::Sysctl { level } => write!(
                out,
                "the sysctl kernel.io_uring_disabled is {level}: nobody may use it; set it to 0 \
                 (sysctl -w kernel.io_uring_disabled=0)"
            ),
            Self::Forbidden { filtered: true } => out.write_str(
                "refused (EPERM) while a seccomp filter is in force: a container profile blocks \
                 io_uring_setup, io_uring_enter and io_uring_register; allow them (docker run \
                 --security-opt seccomp=PROFILE)",
            ),
            Self::Forbidden { filtered: false } => out.write_str(
                "refused (EPERM) by a security module (SELinux, AppArmor) or a supervisor of this \
                 process",
            ),
            Self::FlagsRefused => out.write_str(
                "this kernel refuses SINGLE_ISSUER with DEFER_TASKRUN (EINVAL); Linux 6.1 or \
                 newer is needed",
            ),
            Self::Memory => out.write_str(
                "no memory for a ring (ENOMEM): raise RLIMIT_MEMLOCK (ulimit -l) or the \
                 container's memory limit",
            ),
            Self::Descriptors => {
                out.write_str("no descriptor for a ring (EMFILE, ENFILE): raise RLIMIT_NOFILE")
            }
            Self::MissingOperation(name) => write!(
                out,
                "the operation {name} is missing or restricted; Linux 6.1 or newer is needed"
            ),
            Self::MissingFeature(name) => {
                write!(out, "the ring feature {name} is missing; Linux 6.1 or newer is needed")
            }
            Self::NoDirectTable(errno) => write!(
                out,
                "tables of direct descriptors are refused (error number {errno}); Linux 5.19 or \
                 newer is needed"
            ),
            Self::Other(errno) => write!(out, "set-up failed with error number {errno}"),
        }
    }
}

/// Tries io_uring as the reactor needs it.
///
/// # Errors
/// What forbids it, with the remedy in its text.
pub fn probe() -> Result<Support, Unsupported> {
    uring::probe()
}

/// Facts of the host that tell apart what one errno may mean.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Evidence {
    /// Value of `kernel.io_uring_disabled`, where it exists.
    pub(crate) sysctl_level: Option<u8>,
    /// Whether this process runs under a seccomp filter.
    pub(crate) filtered: bool,
}

impl Evidence {
    /// Reads `/proc`. What cannot be read counts as absent.
    pub(crate) fn gather() -> Self {
        let sysctl = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let seccomp_mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
        Self {
            sysctl_level: sysctl.ok().and_then(|text| text.trim().parse().ok()),
            filtered: seccomp_mode.is_some_and(|mode| mode.trim() != "0"),
        }
    }

    /// What a failed set-up with positive `errno` means.
    pub(crate) fn diagnose(self, errno: i32) -> Unsupported {
        match errno {
            libc::ENOSYS => Unsupported::NoSystemCall { filtered: self.filtered },
            libc::EPERM | libc::EACCES => match self.sysctl_level {
                Some(level) if level > 0 => Unsupported::Sysctl { level },
                _ => Unsupported::Forbidden { filtered: self.filtered },
            },
            libc::EINVAL => Unsupported::FlagsRefused,
            libc::ENOMEM => Unsupported::Memory,
            libc::EMFILE | libc::ENFILE => Unsupported::Descriptors,
            errno => Unsupported::Other(errno),
        }
    }
}
