//! Where a scenario plays: an origin and an edge of its own, and what can be asked of them.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json};

use super::evidence::Evidence;
use crate::admin::{connections_in, get, post, standing};
use crate::rig::{Certificate, Program, Rig, Server, free_address};

/// What the edge of a scenario is to be like, where it differs from the usual.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) connections_max: u32,
    pub(super) idle_timeout: &'static str,
    pub(super) head_timeout: &'static str,
    pub(super) body_rate_min: &'static str,
    pub(super) body_grace: &'static str,
    pub(super) first_byte_timeout: &'static str,
    /// Connections that may be active at a time, beyond the usual few.
    pub(super) active_max: u32,
    /// Of the store's memory tier.
    pub(super) memory_tier: &'static str,
    /// It has a listener for TLS, too, and gives handshakes so long.
    pub(super) handshake_timeout: Option<&'static str>,
}

/// Origin and edge of one scenario.
pub(super) struct Stage<'r> {
    rig: &'r Rig,
    origin: Option<Program>,
    origin_address: SocketAddr,
    edge: Option<Program>,
    server: Server,
    /// Where it speaks TLS, if it does.
    secure: SocketAddr,
    admin: SocketAddr,
    config: String,
    store: String,
    /// Before anything happened: the edge's memory.
    start_bytes: u64,
    /// What it may keep beyond that, once a crowd has been active.
    kept_bytes: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            idle_timeout: "2h",
            head_timeout: "10s",
            body_rate_min: "1KiB/s",
            body_grace: "5s",
            first_byte_timeout: "30s",
            active_max: 0,
            memory_tier: "32MiB",
            handshake_timeout: None,
        }
    }
}

impl<'r> Stage<'r> {
    /// Starts both, and warms the edge up a little.
    pub(super) fn new(rig: &'r Rig, shape: Shape) -> Result<Self> {
        Self::within(rig, shape, None)
    }

    /// The same, with the edge in the cgroup that has this list of processes.
    pub(super) fn within(rig: &'r Rig, shape: Shape, processes: Option<&Path>) -> Result<Self> {
        let (origin, origin_address) = rig.origin()?;
        let addresses = [free_address()?, free_address()?];
        let [address, admin] = addresses;
        // Each scenario begins with an empty store.
        let store = format!("store-{}", admin.port());
        let secure = free_address()?;
        let mut text = config([address, admin, origin_address], shape, &store);
        if let Some(timeout) = shape.handshake_timeout {
            let Certificate { certificate, key } = rig.certificate()?;
            let (certificate, key) = (certificate.display(), key.display());
            let tls = format!(
                "[[listener]]\naddress = \"{secure}\"\n\
                 tls = {{ certificate = \"{certificate}\", key = \"{key}\" }}\n"
            );
            let limits = format!(
                "[limits]\nhandshake_timeout = \"{timeout}\"\nhandshakes_per_source = 65536\n"
            );
            text = text.replace("[limits]\n", &limits) + &tls;
        }
        let (edge, server) = rig.edge_as(&text, addresses, processes)?;
        let (origin, edge) = (Some(origin), Some(edge));
        let mut stage = Self {
            rig,
            origin,
            origin_address,
            edge,
            server,
            secure,
            admin,
            config: text,
            store,
            start_bytes: 0,
            kept_bytes: POOLS_BYTES + SLACK_BYTES + u64::from(shape.active_max) * RECORD_BYTES,
        };
        stage.ask("/bytes/1024/warm?max_age=3600", WARM_CONNECTIONS, WARM_REQUESTS)?;
        stage.settled(0)?;
        stage.start_bytes = stage.memory_bytes()?;
        Ok(stage)
    }

    fn url(&self, path: &str) -> String {
        self.server.url(path)
    }

    /// A URL of the listener for TLS, for those that do not speak it.
    pub(super) fn secure_url(&self) -> String {
        format!("http://{}/", self.secure)
    }

    /// Runs the bomb to its end.
    pub(super) fn bomb(&self, load: &str, path: &str, options: &[&str]) -> Result<Value> {
        self.start_bomb(load, path, options)?.result()
    }

    /// Starts the bomb, at a path of the edge or at a whole URL.
    pub(super) fn start_bomb(&self, load: &str, path: &str, options: &[&str]) -> Result<Program> {
        let url = if path.starts_with('/') { self.url(path) } else { path.to_owned() };
        let mut arguments = vec![load.to_owned(), format!("--url={url}")];
        arguments.extend(options.iter().map(|&option| option.to_owned()));
        self.rig.start_bomb(&arguments)
    }

    /// A closed loop of so many requests in all.
    pub(super) fn ask(&self, path: &str, connections: u32, requests: u32) -> Result<Value> {
        let connections = format!("--connections={connections}");
        let requests = format!("--requests={requests}");
        self.bomb("rate", path, &[&connections, &requests, "--warmup=0"])
    }

    /// A few connections that go on asking for a stored object for so long, while others storm.
    pub(super) fn witness(&self, seconds: u32) -> Result<Program> {
        let connections = format!("--connections={WITNESSES}");
        let hold = format!("--hold={seconds}s");
        let options = [&*connections, &*hold, "--heartbeat=250ms"];
        let witness = self.start_bomb("hold", "/bytes/1024/warm?max_age=3600", &options)?;
        // They were there before whatever comes.
        self.until("the witnesses stand", |status| {
            (standing(status) >= u64::from(WITNESSES)).then_some(())
        })?;
        Ok(witness)
    }

    /// Ends the edge as the kernel's killer does.
    pub(super) fn kill_edge(&mut self) {
        self.edge = None;
    }

    /// Starts the edge again with the config and the store that it had.
    pub(super) fn start_edge(&mut self) -> Result<()> {
        let addresses = [self.server.address, self.admin];
        let (edge, server) = self.rig.edge_as(&self.config, addresses, None)?;
        (self.edge, self.server) = (Some(edge), server);
        Ok(())
    }

    /// Ends the origin without a word.
    pub(super) fn kill_origin(&mut self) {
        self.origin = None;
    }

    /// Starts the origin again where it was.
    pub(super) fn start_origin(&mut self) -> Result<()> {
        let (origin, _) = self.rig.origin_at(self.origin_address)?;
        self.origin = Some(origin);
        Ok(())
    }

    /// Has the edge purge what is stored of these paths; its answer once that is durable.
    pub(super) fn purge(&self, paths: &[String]) -> Result<Value> {
        let urls: Vec<_> = paths.iter().map(|path| self.url(path)).collect();
        post(self.admin, "/purge", &json!({ "url": urls }))
    }

    /// The folder of the edge's store.
    pub(super) fn store_path(&self) -> PathBuf {
        self.rig.path(&self.store)
    }

    /// What the admin API says at `/status.json`.
    pub(super) fn status(&self) -> Result<Value> {
        get(self.admin, "/status.json")
    }

    /// Waits until `look` finds what it looks for in the status.
    pub(super) fn until<F>(&self, what: &str, look: impl Fn(&Value) -> Option<F>) -> Result<F> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let status = self.status()?;
            if let Some(found) = look(&status) {
                return Ok(found);
            }
            ensure!(
                Instant::now() < deadline,
                "waited in vain until {what}; connections are {}",
                status.pointer("/connections").unwrap_or(&Value::Null)
            );
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until so many connections are parked and all others gone.
    pub(super) fn settled(&self, parked: u64) -> Result<Value> {
        self.until("all is quiet", |status| {
            let quiet = ["handshaking", "active", "closing"];
            let is_quiet = quiet.iter().all(|state| connections_in(status, state) == 0);
            (is_quiet && connections_in(status, "parked") == parked).then(|| status.clone())
        })
    }

    /// Lets the edge open so many files more than it has now; `None`: as many as when it started.
    pub(super) fn limit_files(&self, more: Option<usize>) -> Result<()> {
        let pid = i32::try_from(self.pid()?).ok().and_then(Pid::from_raw);
        let ours = getrlimit(Resource::Nofile);
        let limit = match more {
            None => ours,
            Some(more) => {
                // A new one gets the least number that is free; the limit is on numbers.
                let entries = fs::read_dir(format!("/proc/{}/fd", self.pid()?))?;
                let number = |name: std::ffi::OsString| name.to_str()?.parse::<u64>().ok();
                let taken = entries.filter_map(|entry| number(entry.ok()?.file_name()));
                let taken: BTreeSet<u64> = taken.collect();
                let current = (0..).filter(|number| !taken.contains(number)).nth(more);
                Rlimit { current, maximum: ours.maximum }
            }
        };
        prlimit(pid, Resource::Nofile, limit).context("cannot limit the edge's files")?;
        Ok(())
    }

    /// Sets the edge's memory budget; `None`: what its config and its host say.
    pub(super) fn set_budget(&self, bytes: Option<u64>) -> Result<()> {
        let memory = bytes.map(|bytes| format!("{}KiB", bytes >> 10));
        post(self.admin, "/budget", &json!({ "memory": memory }))?;
        Ok(())
    }

    fn pid(&self) -> Result<u32> {
        self.server.pids.first().copied().context("the edge has a process")
    }

    /// Anonymous memory of the edge.
    pub(super) fn memory_bytes(&self) -> Result<u64> {
        let pid = self.pid()?;
        let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.context("no RssAnon in /proc")? * 1024)
    }

    /// What holds after every scenario: the edge runs, all connections are gone and accounted for,
    /// in both of the admin API's books, and its memory is what its pools may keep.
    pub(super) fn check_end(&mut self, evidence: &mut Evidence) -> Result<()> {
        self.edge.as_mut().context("the edge runs")?.ensure_running()?;
        let status = self.settled(0)?;
        let accepted = counter(&status, "longhold_connections_accepted_total");
        let closed = closed_by_reason(&status).iter().map(|(_, count)| count).sum::<u64>();
        evidence.exactly("closed, by reason, of all that were accepted", Some(closed), accepted);
        let balanced = status.pointer("/accounting/balanced").and_then(Value::as_bool);
        let leaks = status.pointer("/accounting/leaks").and_then(Value::as_u64);
        evidence.holds("books of the workers balance", "", balanced == Some(true));
        evidence.exactly("leaks", leaks, 0);
        let census = get(self.admin, "/connections.json")?;
        evidence.exactly("slots in use", census.pointer("/total").and_then(Value::as_u64), 0);
        let kept = self.memory_bytes()?.saturating_sub(self.start_bytes);
        evidence.at_most("bytes of memory kept", Some(kept), self.kept_bytes);
        evidence.figure(
            "memory of the edge at start, at the end",
            format!("{} KiB, {} KiB", self.start_bytes >> 10, self.memory_bytes()? >> 10),
        );
        Ok(())
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.edge = None;
        self.rig.remove(&self.store);
    }
}

/// What the witnesses found: none lost, and their latency.
pub(super) fn check_witness(evidence: &mut Evidence, witness: Program) -> Result<()> {
    let found = witness.result()?;
    let count = |pointer: &str| found.pointer(pointer).and_then(Value::as_u64);
    evidence.exactly("witnesses held", count("/held"), u64::from(WITNESSES));
    evidence.exactly("faults of the witnesses", count("/faults/total"), 0);
    if let Some(first) = found.pointer("/faults/examples/0") {
        evidence.figure("the first fault", first);
    }
    evidence.at_least(
        "answers to witnesses verified meanwhile",
        count("/heartbeats/count"),
        u64::from(WITNESSES),
    );
    let latency = |name: &str| count(&format!("/heartbeats/latency/{name}_us")).unwrap_or(0);
    evidence.figure(
        "their latency",
        format!("p50 {} µs, p99 {} µs, max {} µs", latency("p50"), latency("p99"), latency("max")),
    );
    Ok(())
}

/// A number in the bomb's result.
pub(super) fn count(found: &Value, pointer: &str) -> Option<u64> {
    found.pointer(pointer).and_then(Value::as_u64)
}

/// A counter in the status; 0 when there is none of that name.
pub(super) fn counter(status: &Value, name: &str) -> u64 {
    let counters = status.get("counters");
    counters.and_then(|counters| counters.get(name)?.as_u64()).unwrap_or(0)
}

/// A counter of `longhold_connections_closed_total`.
pub(super) fn closed(status: &Value, reason: &str) -> u64 {
    counter(status, &format!("{CLOSED}{{reason={reason}}}"))
}

/// What the governor does at the moment.
pub(super) fn stage_of(status: &Value) -> &str {
    status.pointer("/governor/stage").and_then(Value::as_str).unwrap_or_default()
}

/// Reasons of closing that happened.
pub(super) fn closed_by_reason(status: &Value) -> Vec<(String, u64)> {
    let Some(counters) = status.get("counters").and_then(Value::as_object) else {
        return Vec::new();
    };
    let reason = |name: &str| {
        let label = name.strip_prefix(CLOSED)?.strip_prefix("{reason=")?;
        Some(label.strip_suffix('}')?.to_owned())
    };
    let row = |(name, count): (&String, &Value)| Some((reason(name)?, count.as_u64()?));
    counters.iter().filter_map(row).filter(|(_, count)| *count > 0).collect()
}

fn config([address, admin, origin]: [SocketAddr; 3], shape: Shape, store: &str) -> String {
    let Shape { connections_max, idle_timeout, head_timeout, body_rate_min, body_grace, .. } =
        shape;
    let Shape { first_byte_timeout, memory_tier, .. } = shape;
    format!(
        "[server]
workers = {WORKERS}
max_connections = {connections_max}
[[listener]]
address = \"{address}\"
[store]
path = \"{store}\"
size = \"128MiB\"
memory = \"{memory_tier}\"
[[site]]
hosts = [\"*\"]
idle_timeout = \"{idle_timeout}\"
origin = {{ urls = [\"http://{origin}\"], first_byte_timeout = \"{first_byte_timeout}\" }}
[limits]
idle_timeout = \"{idle_timeout}\"
head_timeout = \"{head_timeout}\"
body_rate_min = \"{body_rate_min}\"
body_grace = \"{body_grace}\"
buffers_max = {BUFFERS_MAX}
staging_max = {STAGING_MAX}
[admin]
address = \"{admin}\"
[access_log]
path = \"off\"
"
    )
}

const CLOSED: &str = "longhold_connections_closed_total";
const WORKERS: u32 = 2;
/// Connections that stand while others storm.
pub(super) const WITNESSES: u32 = 64;
const WARM_CONNECTIONS: u32 = 16;
const WARM_REQUESTS: u32 = 200;
const BUFFERS_MAX: u32 = 512;
const STAGING_MAX: u32 = 32;
/// What the edge's pools may keep for good: receive buffers of 16 KiB and staging of 256 KiB.
const POOLS_BYTES: u64 =
    (WORKERS as u64 * BUFFERS_MAX as u64 * 16 + STAGING_MAX as u64 * 256) << 10;
/// What the edge keeps of each connection that was active at once with others: the next crowd has
/// its records without asking for memory.
const RECORD_BYTES: u64 = 6 << 10;
/// What an allocator keeps that was asked for by others, and parts that grow once and stay.
const SLACK_BYTES: u64 = 24 << 20;
const WAIT_MAX: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(50);
