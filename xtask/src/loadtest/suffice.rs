//! Whether this machine has what a load test takes: asked before it begins.
//!
//! The edge judges the host for its own side (`edge doctor`). Here is what the clients add, which
//! are on the same machine: their ends of the sockets, their memory, their ports. Everything is
//! read, nothing is set, so it needs no root.

use std::fs;

use anyhow::{Result, bail};
use serde_json::Value;

use super::profile::Profile;
use crate::rig::Rig;

/// What the host has, as far as it can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Host {
    memory_free_bytes: Option<u64>,
    /// Files that the system may have open beyond those that are.
    files_free: Option<u64>,
    /// The process may go beyond that.
    is_admin: bool,
    ports: Option<u64>,
}

/// Asks, and says what is missing or could be better.
///
/// # Errors
/// What stands in the way, and what to do about it.
pub(super) fn ask(rig: &Rig, profile: &Profile) -> Result<()> {
    let connections = profile.connections();
    // A tunnel has two places at the edge.
    let places = connections.saturating_mul(profile.kind.sockets() / 2);
    let doctor = rig.doctor(places)?;
    let mut obstacles = findings(&doctor, "refused");
    obstacles.extend(obstacles_of(&Host::here(), connections, profile.kind.sockets()));
    for advice in findings(&doctor, "poor") {
        eprintln!("advice     {advice}");
    }
    if !Host::here().is_admin {
        eprintln!(
            "advice     as root there would be the growth of each slab cache, and fs.file-max \
             would not bind; nothing else needs it"
        );
    }
    ensure_none(&obstacles, profile.name)
}

fn ensure_none(obstacles: &[String], name: &str) -> Result<()> {
    if obstacles.is_empty() {
        return Ok(());
    }
    bail!("this machine does not carry {name}:\n  {}", obstacles.join("\n  "))
}

/// Findings of `edge doctor` of one verdict, with their remedies.
fn findings(doctor: &Value, verdict: &str) -> Vec<String> {
    let text = |finding: &Value, key: &str| {
        finding.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let all = doctor.get("findings").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let of_verdict = all.iter().filter(|finding| text(finding, "verdict") == verdict);
    let said = of_verdict.map(|finding| {
        let [name, told, remedy] = ["name", "told", "remedy"].map(|key| text(finding, key));
        let remedy = if remedy.is_empty() { remedy } else { format!("; {remedy}") };
        format!("{name}: {told}{remedy}")
    });
    said.collect()
}

/// What the clients' side lacks.
fn obstacles_of(host: &Host, connections: u32, sockets_each: u32) -> Vec<String> {
    let sockets = u64::from(connections) * u64::from(sockets_each);
    let mut obstacles = Vec::new();
    let memory_bytes = sockets * SOCKET_BYTES + u64::from(connections) * USER_BYTES + OTHER_BYTES;
    if let Some(free_bytes) = host.memory_free_bytes.filter(|free| *free < memory_bytes) {
        let fits = free_bytes.saturating_sub(OTHER_BYTES)
            / (u64::from(sockets_each) * SOCKET_BYTES + USER_BYTES);
        obstacles.push(format!(
            "memory: {} MiB are free, and {sockets} sockets and their owners take {} MiB; there is \
             room for --stages {}k",
            free_bytes >> 20,
            memory_bytes >> 20,
            fits / 1000
        ));
    }
    if let Some(free) = host.files_free.filter(|free| *free < sockets && !host.is_admin) {
        obstacles.push(format!(
            "fs.file-max: {free} more files may be open, and each of {sockets} sockets is one; \
             sysctl -w fs.file-max={}, or run as root",
            (sockets + FILES_ELSE).next_multiple_of(100_000)
        ));
    }
    let ports_wanted = if sockets_each > 2 { PORTS_TUNNELS } else { PORTS_CLIENTS };
    if let Some(ports) = host.ports.filter(|ports| *ports < ports_wanted) {
        obstacles.push(format!(
            "net.ipv4.ip_local_port_range: {ports} ports for each address, {ports_wanted} needed; \
             sysctl -w net.ipv4.ip_local_port_range=\"32768 60999\""
        ));
    }
    obstacles
}

impl Host {
    fn here() -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/{name}")).unwrap_or_default();
        let numbers = |name: &str| -> Vec<u64> {
            read(name).split_whitespace().filter_map(|word| word.parse().ok()).collect()
        };
        let free = read("meminfo");
        let free = free.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
        let free_kib = free.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        let files = numbers("sys/fs/file-nr");
        let files_free = match files[..] {
            [used, _, most] => Some(most.saturating_sub(used)),
            _ => None,
        };
        let ports = match numbers("sys/net/ipv4/ip_local_port_range")[..] {
            [first, last] => Some((last + 1).saturating_sub(first)),
            _ => None,
        };
        Self {
            memory_free_bytes: free_kib.map(|kib| kib << 10),
            files_free,
            is_admin: rustix::process::geteuid().is_root(),
            ports,
        }
    }
}

/// Slab of one socket at rest, its poll included: two take 8.4 KB together, as `bench curve` shows.
const SOCKET_BYTES: u64 = 4300;
/// Of edge and generator for each connection, whatever is spoken on it.
const USER_BYTES: u64 = 700;
/// Programs, pools, store, and what a machine needs to live.
const OTHER_BYTES: u64 = 768 << 20;
/// Open files that are no connections.
const FILES_ELSE: u64 = 10_000;
/// Connections from each of the generator's addresses, of which there are many.
const PORTS_CLIENTS: u64 = 6_100;
/// Tunnels from an address of the edge to one of its origin, for which the kernel tries one half of
/// the ports first.
const PORTS_TUNNELS: u64 = 16_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Host, ensure_none, findings, obstacles_of};

    const ROOMY: Host = Host {
        memory_free_bytes: Some(24 << 30),
        files_free: Some(9_000_000),
        is_admin: false,
        ports: Some(28_232),
    };

    #[test]
    fn two_million_fit_where_there_is_room_for_both_ends() {
        assert_eq!(obstacles_of(&ROOMY, 2_000_000, 2), [""; 0]);
        assert_eq!(obstacles_of(&Host::default(), 2_000_000, 2), [""; 0]);
    }

    #[test]
    fn each_limit_is_named_with_its_remedy() {
        let check = |host: Host, sockets_each, expected: &[&str]| {
            let told = obstacles_of(&host, 1_000_000, sockets_each);
            assert_eq!(told.len(), 1, "{told:?}");
            for part in expected {
                assert!(told[0].contains(part), "{told:?} lacks {part}");
            }
        };
        let poor = Host { memory_free_bytes: Some(8 << 30), ..ROOMY };
        check(poor, 2, &["memory: 8192 MiB", "--stages 837k"]);
        check(Host { files_free: Some(1_500_000), ..ROOMY }, 2, &["fs.file-max", "2100000"]);
        check(Host { ports: Some(6_000), ..ROOMY }, 2, &["ip_local_port_range"]);
        check(Host { ports: Some(12_000), ..ROOMY }, 4, &["ip_local_port_range"]);
        // Whoever may exceed the bound of open files is not kept by it.
        let root = Host { files_free: Some(0), is_admin: true, ..ROOMY };
        assert_eq!(obstacles_of(&root, 1_000_000, 2), [""; 0]);
    }

    #[test]
    fn what_the_edge_refuses_is_told_in_its_own_words() {
        let doctor = json!({ "findings": [
            { "name": "memory", "verdict": "refused", "told": "too little", "remedy": "buy" },
            { "name": "kernel", "verdict": "fine", "told": "6.12", "remedy": null },
        ]});
        let refused = findings(&doctor, "refused");
        assert_eq!(refused, ["memory: too little; buy"]);
        assert!(ensure_none(&refused, "million").expect_err("refused").to_string().contains("buy"));
        assert!(ensure_none(&[], "million").is_ok());
    }
}
