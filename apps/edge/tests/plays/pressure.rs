//! The governor of a running edge: a budget lowered while it serves, and a cgroup's.

use std::path::PathBuf;
use std::{fs, io};

use longhold_edge::signals::raise_open_files;
use serde_json::{Value, json};

use crate::stage::{Edge, FRESH, Origin, Setting, reply};

/// What the governor says, once it has looked.
fn governor(edge: &Edge) -> Value {
    edge.wait("a look", |edge| edge.status()["governor"]["counted_bytes"].is_u64());
    edge.status()["governor"].clone()
}

/// Whether the governor has looked since so many connections have come to rest.
fn has_seen(edge: &Edge, count: u64) -> bool {
    let sockets = governor(edge)["used"]["parts"]["sockets"].as_u64();
    sockets >= Some(count * 3868) && edge.status()["connections"]["parked"] == count
}

/// Sets the budget so that what is used now is so many percent of it.
fn use_up(edge: &Edge, percent: u64) {
    let used = governor(edge)["used"]["bytes"].as_u64().expect("bytes");
    let memory = format!("{}B", used * 100 / percent);
    edge.order("POST /budget", &json!({ "memory": memory }));
}

fn stage_is(edge: &Edge, stage: &str) -> bool {
    edge.status()["governor"]["stage"] == stage
}

/// Nothing is refused and everything is stored; the machine itself may be short of memory.
fn is_relieved(edge: &Edge) -> bool {
    edge.status()["governor"]["level"].as_u64() <= Some(1)
}

#[test]
fn budget_lowered_while_it_runs_is_kept_in_stages_and_let_go_again() {
    let origin = Origin::answering(|call| call.answer(reply("200 OK", &[FRESH], "x")));
    let edge = Edge::before(&origin);
    let mut quiet: Vec<_> = (0..200).map(|_| edge.client()).collect();
    let mut busy = edge.client();
    busy.get("/before");
    // By a look from before them the budget would be one that they exceed.
    edge.wait("the rest", |edge| has_seen(edge, 201));

    // Passed on, and not stored.
    edge.wait("the stage", |edge| {
        // Again with what is used by then.
        use_up(edge, 87);
        stage_is(edge, "spare-memory")
    });
    assert_eq!(busy.get("/spared").status, 200);
    assert!(!busy.get("/spared").is_hit());
    assert!(busy.get("/before").is_hit(), "what is stored is served");

    // Those who have rested for longest go, nobody new comes in.
    use_up(&edge, 150);
    edge.wait("the stage", |edge| stage_is(edge, "close-oldest"));
    edge.wait_for("longhold_connections_closed_total{reason=overload}", 60);
    let mut refused = edge.client();
    refused.sees_the_end();
    quiet[0].sees_the_end();
    let metrics = edge.metrics();
    for line in [
        "longhold_pressure_stage{stage=\"shrink-pools\"} 1",
        "longhold_pressure_stage{stage=\"close-oldest\"} 1",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }

    edge.order("POST /budget", &json!({ "memory": null }));
    edge.wait("the end of it", is_relieved);
    let mut again = edge.client();
    again.get("/after");
    assert!(again.get("/after").is_hit());
    let log = edge.log();
    for stage in ["spare-memory", "close-oldest"] {
        assert!(log.contains("memory is short") && log.contains(stage), "{log}");
    }
    assert!(log.contains("memory is less short"), "{log}");
}

/// The governor looks once a second, and by the next look all of this would be in memory.
#[test]
fn no_more_is_stored_between_two_looks_than_fits() {
    let body = "x".repeat(50_000);
    let origin = Origin::answering(move |call| call.answer(reply("200 OK", &[FRESH], &body)));
    let store = "size = \"128MiB\"\nmemory = \"64MiB\"";
    let edge = Setting::before(&origin).store(store).start();
    edge.wait("the stage", |edge| {
        use_up(edge, 82);
        stage_is(edge, "shrink-pools")
    });
    let mut client = edge.client();
    for number in 0..400 {
        assert_eq!(client.get(&format!("/{number}")).status, 200);
    }
    let stored = || edge.counter("longhold_store_stored_total");
    let refused = || edge.counter("longhold_store_refused_total");
    edge.wait("the last response", |_| stored() + refused() >= 400);
    assert!(stored() < 200, "{} of 50 kB each", stored());
}

#[test]
fn budget_of_the_config_holds_from_the_start() {
    let origin = Origin::start();
    let edge = Setting::before(&origin).server("memory = \"1GiB\"").start();
    let said = governor(&edge);
    assert!(said["used"]["parts"]["sockets"].is_u64(), "{said}");
    edge.order("POST /budget", &json!({ "memory": "2GiB" }));
    let own = edge.order("POST /budget", &json!({ "memory": null }));
    assert_eq!(own["memory_bytes"], 1 << 30);
}

/// A cgroup with a bound of memory, of whichever version; gone with its test.
struct Group {
    folder: PathBuf,
    is_first_version: bool,
}

impl Group {
    /// `None` where this user cannot make one.
    fn new(bytes: u64) -> Option<Self> {
        let name = format!("longhold-play-{}", std::process::id());
        let versions = [("/sys/fs/cgroup/memory", true), ("/sys/fs/cgroup", false)];
        versions.into_iter().find_map(|(base, is_first_version)| {
            let folder = PathBuf::from(base).join(&name);
            fs::create_dir(&folder).ok()?;
            let group = Self { folder, is_first_version };
            group.try_bound(bytes).ok()?;
            Some(group)
        })
    }

    /// Another bound from now on.
    fn bound(&self, bytes: u64) {
        self.try_bound(bytes).expect("a bound above what is used");
    }

    fn try_bound(&self, bytes: u64) -> io::Result<()> {
        let bound = if self.is_first_version { "memory.limit_in_bytes" } else { "memory.max" };
        fs::write(self.folder.join(bound), bytes.to_string())
    }

    /// Bytes that are used, without the pages of files, which the kernel drops.
    fn used(&self) -> u64 {
        let file = if self.is_first_version { "memory.usage_in_bytes" } else { "memory.current" };
        let read = |file: &str| fs::read_to_string(self.folder.join(file)).expect("a file");
        let number = |text: &str| text.trim().parse::<u64>().expect("a number");
        let stat = read("memory.stat");
        let files = stat.lines().filter_map(|line| {
            let name = line.strip_prefix("inactive_file ").or(line.strip_prefix("active_file "));
            name.map(number)
        });
        number(&read(file)) - files.sum::<u64>()
    }

    fn kills(&self) -> u64 {
        let file = if self.is_first_version { "memory.oom_control" } else { "memory.events" };
        let events = fs::read_to_string(self.folder.join(file)).expect("events");
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.expect("a line").parse().expect("a number")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Empty by then; if not, whoever looks finds it by its name.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// The group's bound comes down to what is used, and more clients come: the oldest go, the new ones
/// are refused, nobody is killed, and who asks is served.
#[test]
fn killer_of_the_cgroup_never_comes() {
    let Some(group) = Group::new(256 << 20) else {
        return eprintln!("left out: no cgroup with a bound of memory can be made here");
    };
    raise_open_files().expect("the hard limit");
    let origin = Origin::answering(|call| call.answer(reply("200 OK", &[FRESH], "x")));
    let edge = Setting::before(&origin).start_in(&group.folder.join("cgroup.procs"));
    let alone = group.used();
    let crowd: Vec<_> = (0..10_000).map(|_| edge.client()).collect();
    edge.wait("the crowd", |edge| has_seen(edge, 10_000));
    // Of an accepted socket the kernel counts file and inode here, not all that it takes.
    let used = group.used();
    assert!(used > alone + 10_000 * 1024, "sockets do not count: {alone}, {used}");
    group.bound(used * 100 / 97);
    edge.wait_for("longhold_connections_closed_total{reason=overload}", 60);
    let mut late: Vec<_> = (0..2_000).map(|_| edge.client()).collect();
    edge.wait_for("longhold_connections_refused_total{limit=pressure}", 1);
    late.iter_mut().last().expect("some").sees_the_end();
    edge.wait("relief", |edge| {
        let said = governor(edge);
        said["counted_bytes"].as_u64() < said["budget_bytes"].as_u64().map(|all| all * 96 / 100)
    });
    drop((crowd, late));
    group.bound(256 << 20);
    edge.wait("the end of it", is_relieved);
    let mut client = edge.client();
    client.get("/");
    assert!(client.get("/").is_hit());
    assert_eq!(group.kills(), 0);
    drop(edge);
}
