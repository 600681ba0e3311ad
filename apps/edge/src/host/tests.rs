//! Hosts that the tests make up: what is read of them, and how they are judged.

use std::fs;
use std::path::Path;

use longhold_transport::probe::{Support, Unsupported};
use tempfile::TempDir;

use super::budget::Cgroup;
use super::judge::{Demand, Remedy, Verdict, judge};
use super::{Budget, Host, Source, report};
use crate::config::checked::TransportChoice;

const SUPPORT: Support = Support { min_wait: true, no_sq_array: true };
const GIB: u64 = 1 << 30;

/// A folder with files in it.
fn root(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

/// A large, well set up host.
fn good() -> Vec<(&'static str, &'static str)> {
    vec![
        ("proc/sys/kernel/osrelease", "6.18.2-7-generic\n"),
        ("proc/self/status", "CapEff:\t0000000000000000\nSeccomp:\t0\n"),
        ("proc/meminfo", "MemTotal:       33554432 kB\nMemFree: 1 kB\n"),
        ("proc/self/cgroup", "0::/user.slice\n"),
        ("proc/sys/fs/file-max", "9223372036854775807\n"),
        ("proc/sys/fs/file-nr", "1000\t0\t9223372036854775807\n"),
        ("proc/sys/fs/nr_open", "1048576\n"),
        ("proc/sys/net/core/somaxconn", "65535\n"),
        ("proc/sys/net/ipv4/tcp_mem", "3000000\t4000000\t6000000\n"),
        ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
        ("proc/sys/net/ipv4/tcp_max_orphans", "262144\n"),
        ("proc/sys/net/ipv4/tcp_ehash_entries", "524288\n"),
    ]
}

/// The good host with other files in place of its own, read with 1,048,576 open files.
fn host(changed: &[(&'static str, &'static str)]) -> Host {
    let mut files = good();
    files.retain(|(path, _)| changed.iter().all(|(other, _)| other != path));
    files.extend(changed);
    Host::read_at(root(&files).path(), Ok(SUPPORT), 1 << 20)
}

/// How the one finding of that name stands.
fn verdict(host: &Host, demand: &Demand, name: &str) -> (Verdict, Option<Remedy>) {
    let found = judge(host, demand).into_iter().find(|finding| finding.name == name);
    let found = found.unwrap_or_else(|| panic!("{name} is not judged"));
    (found.verdict, found.remedy)
}

#[test]
fn good_host_carries_two_million() {
    let host = host(&[]);
    let findings = judge(&host, &Demand::of_connections(2_000_000, 8));
    let others: Vec<_> =
        findings.iter().filter(|finding| finding.verdict != Verdict::Fine).collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(findings.len(), 11);
    let text = report::text(&host, &Demand::of_connections(2_000_000, 8), &findings);
    assert!(
        text.starts_with("2,000,000 connections on this host: Linux 6.18.2-7-generic"),
        "{text}"
    );
    assert!(text.ends_with("\nIt fits.\n") && !text.contains("sysctl"), "{text}");
}

#[test]
fn each_limit_that_is_too_low_is_named_with_its_remedy() {
    let demand = Demand::of_connections(2_000_000, 8);
    let check = |name: &'static str, text: &'static str, expected: Verdict, value: &str| {
        let path = format!("proc/sys/{}", name.replace('.', "/"));
        let path: &'static str = Box::leak(path.into_boxed_str());
        let remedy = (!value.is_empty()).then(|| Remedy::Sysctl(name, value.to_owned()));
        let found = verdict(&host(&[(path, text)]), &demand, name);
        assert_eq!(found, (expected, remedy), "{name}: {text}");
    };
    check("fs.file-max", "100000", Verdict::Refused, "2100000");
    check("fs.nr_open", "65536", Verdict::Poor, "1048576");
    check("net.core.somaxconn", "128", Verdict::Poor, "65535");
    check("net.core.somaxconn", "many", Verdict::Unknown, "");
    check("net.ipv4.tcp_mem", "1 2 3", Verdict::Poor, "160000 240000 320000");
    check("net.ipv4.ip_local_port_range", "40000 40999", Verdict::Poor, "1024 65535");
    check("net.ipv4.tcp_max_orphans", "4096", Verdict::Poor, "131072");
    check("net.netfilter.nf_conntrack_max", "262144", Verdict::Unknown, "2555904");
    let chains = host(&[("proc/sys/net/ipv4/tcp_ehash_entries", "65536")]);
    let boot = Some(Remedy::Words("boot with thash_entries=2097152".to_owned()));
    assert_eq!(verdict(&chains, &demand, "net.ipv4.tcp_ehash_entries"), (Verdict::Poor, boot));
    let old = host(&[("proc/sys/kernel/osrelease", "6.1.0")]);
    assert_eq!(verdict(&old, &demand, "kernel").0, Verdict::Poor);
    let tracked = [
        ("proc/sys/net/netfilter/nf_conntrack_max", "262144"),
        ("proc/sys/net/netfilter/nf_conntrack_count", "17"),
    ];
    assert_eq!(
        verdict(&host(&tracked), &demand, "net.netfilter.nf_conntrack_max").0,
        Verdict::Poor
    );
    let admin =
        [("proc/sys/fs/file-max", "100000"), ("proc/self/status", "CapEff:\t000001ffffffffff\n")];
    assert_eq!(verdict(&host(&admin), &demand, "fs.file-max").0, Verdict::Poor);
}

#[test]
fn memory_is_judged_by_the_least_bound() {
    let machine = host(&[("proc/meminfo", "MemTotal:  8388608 kB\n")]);
    let fits = Demand::of_connections(1_000_000, 8);
    assert_eq!(verdict(&machine, &fits, "memory").0, Verdict::Fine);
    let demand = Demand::of_connections(2_100_000, 8);
    assert_eq!(verdict(&machine, &demand, "memory").0, Verdict::Refused);
    let tight = Demand { load_bytes: 4 * GIB, ..fits };
    assert_eq!(verdict(&machine, &tight, "memory").0, Verdict::Poor);
    let grouped = host(&[("sys/fs/cgroup/user.slice/memory.max", "1073741824\n")]);
    assert_eq!(grouped.budget(), Some(Budget { bytes: GIB, source: Source::CgroupMax }));
    assert_eq!(verdict(&grouped, &fits, "memory").0, Verdict::Refused);
}

#[test]
fn open_files_bound_tables_and_tables_take_descriptors() {
    let demand = Demand::of_connections(2_000_000, 2);
    let with = |open_files| Host { open_files, ..host(&[]) };
    assert_eq!(verdict(&with(1 << 20), &demand, "RLIMIT_NOFILE").0, Verdict::Fine);
    assert_eq!(verdict(&with(20_000), &demand, "RLIMIT_NOFILE").0, Verdict::Fine);
    assert_eq!(verdict(&with(4096), &demand, "RLIMIT_NOFILE").0, Verdict::Poor);
    let refused = (Verdict::Refused, Some(Remedy::OpenFiles(4096)));
    assert_eq!(verdict(&with(1024), &demand, "RLIMIT_NOFILE"), refused);
    let few = Demand::of_connections(500, 2);
    assert_eq!(verdict(&with(1024), &few, "RLIMIT_NOFILE").0, Verdict::Fine);
}

#[test]
fn what_forbids_io_uring_is_told_and_refuses_only_who_insists() {
    let without = Host { uring: Err(Unsupported::Sysctl { level: 2 }), ..host(&[]) };
    let demand = Demand::of_connections(1000, 2);
    assert_eq!(verdict(&without, &demand, "io_uring").0, Verdict::Poor);
    let insists = Demand { transport: TransportChoice::Uring, ..demand };
    assert_eq!(verdict(&without, &insists, "io_uring").0, Verdict::Refused);
    let indifferent = Demand { transport: TransportChoice::Epoll, ..demand };
    assert_eq!(verdict(&without, &indifferent, "io_uring").0, Verdict::Fine);
    let findings = judge(&without, &insists);
    let text = report::text(&without, &insists, &findings);
    assert!(text.contains("kernel.io_uring_disabled is 2"), "{text}");
}

#[test]
fn epoll_needs_a_descriptor_for_each_connection_of_a_worker() {
    let without = Host { uring: Err(Unsupported::Sysctl { level: 2 }), ..host(&[]) };
    let without = Host { open_files: 20_000, ..without };
    let demand = |connections| Demand::of_connections(connections, 2);
    assert_eq!(verdict(&without, &demand(39_000), "RLIMIT_NOFILE").0, Verdict::Fine);
    let refused = verdict(&without, &demand(41_000), "RLIMIT_NOFILE");
    assert_eq!(refused.0, Verdict::Refused);
    // With rings the same limit bounds no connections.
    let with = Host { uring: host(&[]).uring, ..without };
    assert_ne!(verdict(&with, &demand(41_000), "RLIMIT_NOFILE").0, Verdict::Refused);
    let chosen = Demand { transport: TransportChoice::Epoll, ..demand(41_000) };
    assert_eq!(verdict(&with, &chosen, "RLIMIT_NOFILE").0, Verdict::Refused);
}

#[test]
fn snippets_hold_what_is_to_be_changed_and_nothing_else() {
    let host = host(&[("proc/sys/net/core/somaxconn", "128"), ("proc/sys/fs/file-max", "1000")]);
    let host = Host { open_files: 1024, ..host };
    let demand = Demand::of_connections(2_000_000, 2);
    let text = report::text(&host, &demand, &judge(&host, &demand));
    let snippet = "\n# /etc/sysctl.d/90-longhold.conf, then: sysctl --system\n\
                   fs.file-max = 2100000\nnet.core.somaxconn = 65535\n";
    assert!(text.contains(snippet), "{text}");
    assert!(text.contains("[Service]\nLimitNOFILE=4096\n"), "{text}");
    assert!(text.ends_with("It does not fit; see what is refused.\n"), "{text}");
    let said = report::json(&host, &demand, &judge(&host, &demand));
    assert_eq!((&said["fits"], &said["verdict"]), (&false.into(), &"refused".into()));
}

fn group(root: &Path) -> Option<(Option<Budget>, Option<u64>)> {
    Cgroup::find(root).map(|group| (group.budget(), group.used_bytes()))
}

#[test]
fn least_bound_of_the_groups_above_holds_in_both_versions() {
    let second = root(&[
        ("proc/self/cgroup", "0::/a/b\n"),
        ("sys/fs/cgroup/a/memory.max", "500\n"),
        ("sys/fs/cgroup/a/memory.high", "max\n"),
        ("sys/fs/cgroup/a/b/memory.max", "max\n"),
        ("sys/fs/cgroup/a/b/memory.high", "700\n"),
        ("sys/fs/cgroup/a/b/memory.current", "450\n"),
        ("sys/fs/cgroup/a/b/memory.stat", "anon 100\ninactive_file 30\nactive_file 20\n"),
    ]);
    let least = Budget { bytes: 500, source: Source::CgroupMax };
    assert_eq!(group(second.path()), Some((Some(least), Some(400))));
    fs::write(second.path().join("sys/fs/cgroup/a/b/memory.high"), "300\n").unwrap();
    let high = Budget { bytes: 300, source: Source::CgroupHigh };
    assert_eq!(group(second.path()), Some((Some(high), Some(400))));

    let first = root(&[
        ("proc/self/cgroup", "4:memory:/x\n2:cpu:/x\n0::/\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "800\n"),
        ("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "600\n"),
        ("sys/fs/cgroup/memory/x/memory.stat", "inactive_file 5\ntotal_inactive_file 100\n"),
    ]);
    let limit = Budget { bytes: 800, source: Source::CgroupLimit };
    assert_eq!(group(first.path()), Some((Some(limit), Some(500))));

    let inside = root(&[
        ("proc/self/cgroup", "0::/not/seen/here\n"),
        ("sys/fs/cgroup/memory.max", "900\n"),
        ("sys/fs/cgroup/memory.current", "10\n"),
    ]);
    let seen = Budget { bytes: 900, source: Source::CgroupMax };
    assert_eq!(group(inside.path()), Some((Some(seen), Some(10))));
    assert_eq!(group(root(&[("proc/self/cgroup", "0::/\n")]).path()), None);
    assert_eq!(group(root(&[]).path()), None);
}
