//! Whether so many connections fit this host, and what stands in the way. Pure.
//!
//! `edge check`, `edge run` and `edge doctor` share these judgements: what is [`Verdict::Refused`]
//! here keeps the edge from starting.

use longhold_transport::Config;

use super::Host;
use crate::carrier::Carrier;
use crate::config::checked::TransportChoice;
use crate::config::memory::rounded;
use crate::conns::grouped;

/// What is asked of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Connections at once.
    pub connections: u64,
    /// Workers among which they are.
    pub workers: u64,
    /// User memory reserved at start, bytes.
    pub start_bytes: u64,
    /// User memory beside it under full load, bytes.
    pub load_bytes: u64,
    /// Kernel memory with every connection parked, sockets included, bytes.
    pub kernel_bytes: u64,
    /// Connections to one origin, at most.
    pub origin_connections: u64,
    /// How sockets are to be driven.
    pub transport: TransportChoice,
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It fits.
    Fine,
    /// It cannot be told.
    Unknown,
    /// It works, and not as well as it could.
    Poor,
    /// It cannot work.
    Refused,
}

impl Verdict {
    /// The words for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Unknown => "unknown",
            Self::Poor => "not fine",
            Self::Refused => "refused",
        }
    }

    /// The word for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Unknown => "unknown",
            Self::Poor => "poor",
            Self::Refused => "refused",
        }
    }
}

/// What was found of one limit, sysctl or feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The limit's name.
    pub name: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What there is, and what it is for.
    pub told: String,
    /// Why it matters; for what is not fine.
    pub why: &'static str,
    /// What to do; for what is not fine.
    pub remedy: Option<Remedy>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Set a sysctl.
    Sysctl(&'static str, String),
    /// Raise `RLIMIT_NOFILE`.
    OpenFiles(u64),
    /// In words.
    Words(String),
}

impl Remedy {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Sysctl(name, value) => format!("sysctl -w {name}=\"{value}\""),
            Self::OpenFiles(least) => {
                format!("raise RLIMIT_NOFILE to {least} (LimitNOFILE= of the unit, or ulimit -n)")
            }
            Self::Words(words) => words.clone(),
        }
    }
}

/// Judges the host by the demand, in the order in which things are told.
#[must_use]
pub fn judge(host: &Host, demand: &Demand) -> Vec<Finding> {
    let mut findings = vec![kernel(host), uring(host, demand), open_files(host, demand)];
    findings.push(file_max(host, demand));
    findings.extend(nr_open(host));
    findings.push(memory(host, demand));
    findings.push(backlog(host));
    findings.extend(tcp_memory(host, demand));
    findings.extend(ports(host, demand));
    findings.extend(orphans(host, demand));
    findings.extend(tracking(host, demand));
    findings.extend(table_of_connections(host, demand));
    findings
}

fn fine(name: &'static str, told: String) -> Finding {
    Finding { name, verdict: Verdict::Fine, told, why: "", remedy: None }
}

fn kernel(host: &Host) -> Finding {
    let name = "kernel";
    match host.version() {
        Some(version) if version >= (6, 12) => fine(name, host.kernel.clone()),
        Some(_) => Finding {
            name,
            verdict: Verdict::Poor,
            told: format!("{}; 6.12 or newer is better", host.kernel),
            why: "waits cannot gather completions, which costs some CPU under load; before 6.1 \
                  io_uring cannot be used at all",
            remedy: Some(Remedy::Words("boot a kernel of 6.12 or newer".to_owned())),
        },
        None => Finding {
            name,
            verdict: Verdict::Unknown,
            told: "its release cannot be read".to_owned(),
            why: "",
            remedy: None,
        },
    }
}

fn uring(host: &Host, demand: &Demand) -> Finding {
    let name = "io_uring";
    match &host.uring {
        Ok(support) if support.min_wait => fine(name, "allowed, with minimum waits".to_owned()),
        Ok(_) => fine(name, "allowed".to_owned()),
        Err(why) => Finding {
            name,
            verdict: match demand.transport {
                TransportChoice::Uring => Verdict::Refused,
                TransportChoice::Auto => Verdict::Poor,
                TransportChoice::Epoll => Verdict::Fine,
            },
            told: why.to_string(),
            why: "without it the edge drives its sockets by epoll: some system calls more for \
                  each request, and RLIMIT_NOFILE bounds the connections of each worker",
            remedy: Some(Remedy::Words("see the cause".to_owned())),
        },
    }
}

/// Whether this host and demand come to epoll.
fn is_epoll(host: &Host, demand: &Demand) -> bool {
    Carrier::choose(demand.transport, host.uring).is_ok_and(|carrier| match carrier {
        Carrier::Uring(_) => false,
        Carrier::Epoll(_) => true,
    })
}

/// With epoll every connection has a descriptor in its worker's own table.
fn open_files_by_epoll(host: &Host, demand: &Demand) -> Finding {
    let name = "RLIMIT_NOFILE";
    let per_worker = demand.connections.div_ceil(demand.workers.max(1));
    let needed = per_worker + DESCRIPTORS_PER_WORKER + DESCRIPTORS_ELSE;
    let told = format!(
        "{}; each worker's table needs {} with epoll",
        grouped(host.open_files),
        grouped(needed)
    );
    if needed <= host.open_files {
        return fine(name, told);
    }
    Finding {
        name,
        verdict: Verdict::Refused,
        told,
        why: "with epoll it bounds the connections of each worker",
        remedy: Some(Remedy::OpenFiles(needed.next_power_of_two())),
    }
}

fn open_files(host: &Host, demand: &Demand) -> Finding {
    let name = "RLIMIT_NOFILE";
    if is_epoll(host, demand) {
        return open_files_by_epoll(host, demand);
    }
    let per_worker = demand.connections.div_ceil(demand.workers.max(1));
    let shards_each = per_worker.div_ceil(slots_per_shard(host.open_files, per_worker));
    let needed = demand.workers * (shards_each * DESCRIPTORS_PER_SHARD + DESCRIPTORS_PER_WORKER);
    let tables = demand.workers * shards_each;
    let told = format!(
        "{}; {} {} of {} slots at most, {} descriptors",
        grouped(host.open_files),
        grouped(tables),
        if tables == 1 { "table" } else { "tables" },
        grouped(slots_per_shard(host.open_files, per_worker)),
        grouped(needed),
    );
    if needed + DESCRIPTORS_ELSE > host.open_files {
        return Finding {
            name,
            verdict: Verdict::Refused,
            told,
            why: "it bounds each table of direct descriptors, and every table takes two \
                  descriptors itself",
            remedy: Some(Remedy::OpenFiles(open_files_for(demand))),
        };
    }
    if shards_each > SHARDS_GOOD && host.open_files < SLOTS_PER_SHARD_MAX {
        return Finding {
            name,
            verdict: Verdict::Poor,
            told,
            why: "more and smaller tables than need be: some memory and some time in each turn",
            remedy: Some(Remedy::OpenFiles(SLOTS_PER_SHARD_MAX + 4096)),
        };
    }
    fine(name, told)
}

/// The least `RLIMIT_NOFILE`, in a round number, with which the demand fits.
fn open_files_for(demand: &Demand) -> u64 {
    let per_worker = demand.connections.div_ceil(demand.workers.max(1));
    let fits = |limit: &u64| {
        let shards = per_worker.div_ceil(slots_per_shard(*limit, per_worker));
        let needed = demand.workers * (shards * DESCRIPTORS_PER_SHARD + DESCRIPTORS_PER_WORKER);
        needed + DESCRIPTORS_ELSE <= *limit
    };
    (10..21).map(|bits| 1 << bits).find(fits).unwrap_or(1 << 20)
}

fn slots_per_shard(open_files: u64, slots: u64) -> u64 {
    let slots = u32::try_from(slots).unwrap_or(u32::MAX);
    let config = Config { slots, ..Config::default() };
    u64::from(config.slots_per_shard_under(open_files))
}

fn file_max(host: &Host, demand: &Demand) -> Finding {
    let name = "fs.file-max";
    let Some(limit) = host.number(name, 0) else { return unknown(name) };
    let used = host.files_used.unwrap_or(0);
    let needed = demand.connections + demand.origin_connections + FILES_ELSE;
    let told = format!(
        "{}, of which {} are used; {} needed",
        shown(limit),
        grouped(used),
        grouped(needed)
    );
    if limit.saturating_sub(used) >= needed {
        return fine(name, told);
    }
    let is_free = host.is_admin;
    Finding {
        name,
        verdict: if is_free { Verdict::Poor } else { Verdict::Refused },
        told,
        why: if is_free {
            "each socket is an open file of the system; this process may exceed the bound \
             (CAP_SYS_ADMIN), and then all others fail"
        } else {
            "each socket is an open file of the system, also without a descriptor"
        },
        remedy: Some(Remedy::Sysctl(name, (used + needed).next_multiple_of(100_000).to_string())),
    }
}

fn nr_open(host: &Host) -> Option<Finding> {
    let name = "fs.nr_open";
    let limit = host.number(name, 0)?;
    if limit >= SLOTS_PER_SHARD_MAX + 4096 {
        return Some(fine(name, format!("{}; RLIMIT_NOFILE may rise as far", grouped(limit))));
    }
    Some(Finding {
        name,
        verdict: Verdict::Poor,
        told: format!("{}; RLIMIT_NOFILE cannot rise further", grouped(limit)),
        why: "tables of direct descriptors stay smaller than need be",
        remedy: Some(Remedy::Sysctl(name, "1048576".to_owned())),
    })
}

fn memory(host: &Host, demand: &Demand) -> Finding {
    let name = "memory";
    let Some(budget) = host.budget() else { return unknown(name) };
    let least = demand.start_bytes + demand.kernel_bytes;
    let most = least + demand.load_bytes;
    let told = format!(
        "{} ({}); {} with every connection parked, {} at most under load",
        rounded(budget.bytes),
        budget.source,
        rounded(least),
        rounded(most)
    );
    let room = budget.bytes - budget.bytes / 20;
    if least > budget.bytes {
        return Finding {
            name,
            verdict: Verdict::Refused,
            told,
            why: "what is reserved and the sockets of parked connections do not fit",
            remedy: Some(Remedy::Words(
                "lower server.max_connections or store.memory, or give it more memory".to_owned(),
            )),
        };
    }
    if most > room {
        return Finding {
            name,
            verdict: Verdict::Poor,
            told,
            why: "under full load the governor will save: pools, the memory tier, then connections",
            remedy: Some(Remedy::Words(
                "lower limits.buffers_max, limits.staging_max or store.memory, or give it more \
                 memory"
                    .to_owned(),
            )),
        };
    }
    fine(name, told)
}

fn backlog(host: &Host) -> Finding {
    let name = "net.core.somaxconn";
    let Some(limit) = host.number(name, 0) else { return unknown(name) };
    if limit >= BACKLOG_GOOD {
        return fine(name, format!("{} connections may wait to be accepted", grouped(limit)));
    }
    Finding {
        name,
        verdict: Verdict::Poor,
        told: format!("{} connections may wait to be accepted, per worker", grouped(limit)),
        why: "a storm of reconnects overflows it, and clients wait a second or more to try again",
        remedy: Some(Remedy::Sysctl(name, "65535".to_owned())),
    }
}

fn tcp_memory(host: &Host, demand: &Demand) -> Option<Finding> {
    let name = "net.ipv4.tcp_mem";
    let limit = host.number(name, 2)?.saturating_mul(PAGE_BYTES);
    // One in a hundred with its buffers full.
    let wanted = (demand.connections / 100 * BUSY_SOCKET_BYTES).max(BUSY_BYTES_MIN);
    let told = format!("{} for the data in all sockets", rounded(limit));
    if limit >= wanted {
        return Some(fine(name, told));
    }
    let pages = wanted / PAGE_BYTES;
    Some(Finding {
        name,
        verdict: Verdict::Poor,
        told: format!("{told}; {} are better", rounded(wanted)),
        why: "beyond it the kernel drops data of connections that are busy",
        remedy: Some(Remedy::Sysctl(name, format!("{} {} {pages}", pages / 2, pages * 3 / 4))),
    })
}

fn ports(host: &Host, demand: &Demand) -> Option<Finding> {
    let name = "net.ipv4.ip_local_port_range";
    let (first, last) = (host.number(name, 0)?, host.number(name, 1)?);
    let count = (last + 1).saturating_sub(first);
    let told = format!("{} ports towards each origin address", grouped(count));
    // A closed connection keeps its port for a minute.
    if count >= demand.origin_connections * 4 {
        return Some(fine(name, told));
    }
    Some(Finding {
        name,
        verdict: Verdict::Poor,
        told: format!(
            "{told}; {} connections may be open to one",
            grouped(demand.origin_connections)
        ),
        why: "connections to an origin fail when the ports towards it are used up",
        remedy: Some(Remedy::Sysctl(name, "1024 65535".to_owned())),
    })
}

fn orphans(host: &Host, demand: &Demand) -> Option<Finding> {
    let name = "net.ipv4.tcp_max_orphans";
    let limit = host.number(name, 0)?;
    let wanted = (demand.connections / 20).max(8192);
    let told = format!("{} closed sockets may still say their last", grouped(limit));
    if limit >= wanted {
        return Some(fine(name, told));
    }
    Some(Finding {
        name,
        verdict: Verdict::Poor,
        told,
        why: "when many connections are closed at once, those beyond it are reset",
        remedy: Some(Remedy::Sysctl(name, wanted.next_power_of_two().to_string())),
    })
}

fn tracking(host: &Host, demand: &Demand) -> Option<Finding> {
    let name = "net.netfilter.nf_conntrack_max";
    let limit = host.number(name, 0)?;
    let used = host.tracked.unwrap_or(0);
    let told = format!("{} connections may be tracked, {} are", shown(limit), grouped(used));
    if limit.saturating_sub(used) >= demand.connections + demand.connections / 10 {
        return Some(fine(name, told));
    }
    // Nothing tracked on a host that has connections: no rule asks for it.
    let verdict = if used == 0 { Verdict::Unknown } else { Verdict::Poor };
    let wanted = (demand.connections * 5 / 4).next_multiple_of(65_536);
    Some(Finding {
        name,
        verdict,
        told,
        why: "where the firewall tracks connections, it drops those beyond it; each also costs \
              some 300 bytes",
        remedy: Some(Remedy::Sysctl(name, wanted.to_string())),
    })
}

fn table_of_connections(host: &Host, demand: &Demand) -> Option<Finding> {
    let name = "net.ipv4.tcp_ehash_entries";
    let entries = host.number(name, 0)?;
    let told = format!("{} buckets for established connections", grouped(entries));
    if entries * CHAIN_GOOD >= demand.connections {
        return Some(fine(name, told));
    }
    Some(Finding {
        name,
        verdict: Verdict::Poor,
        told,
        why: "each packet walks a chain of connections that share a bucket",
        remedy: Some(Remedy::Words(format!(
            "boot with thash_entries={}",
            demand.connections.next_power_of_two()
        ))),
    })
}

fn unknown(name: &'static str) -> Finding {
    let told = "it cannot be read here".to_owned();
    Finding { name, verdict: Verdict::Unknown, told, why: "", remedy: None }
}

/// A number; "no bound" for one that is none.
fn shown(limit: u64) -> String {
    if limit >= 1 << 62 { "no bound".to_owned() } else { grouped(limit) }
}

/// A ring and its eventfd.
const DESCRIPTORS_PER_SHARD: u64 = 2;
/// Listeners, wakers, and what else a worker has.
const DESCRIPTORS_PER_WORKER: u64 = 16;
/// Store, log, admin API, and some connections to origins.
const DESCRIPTORS_ELSE: u64 = 256;
/// Open files of the process that are no connections.
const FILES_ELSE: u64 = 1024;
/// Tables of one worker that cost nothing worth mentioning.
const SHARDS_GOOD: u64 = 128;
const SLOTS_PER_SHARD_MAX: u64 = Config::SLOTS_PER_SHARD_MAX as u64;
const BACKLOG_GOOD: u64 = 4096;
const PAGE_BYTES: u64 = 4096;
const BUSY_SOCKET_BYTES: u64 = 64 * 1024;
const BUSY_BYTES_MIN: u64 = 64 << 20;
/// Connections in a bucket whose walk nobody notices.
const CHAIN_GOOD: u64 = 8;
