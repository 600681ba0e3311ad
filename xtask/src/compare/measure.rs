//! Starts the servers, loads them in turns, and takes from the bomb's results what is compared.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::Arguments;
use crate::load::{closed_loop, number, object_path, warm};
use crate::rig::{EdgeShape, EdgeTransport, Program, Rig, Server};

/// A server and everything that was measured of it.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) name: String,
    /// What it is, for people.
    pub(super) what: String,
    pub(super) kind: Kind,
    /// Before the first request.
    pub(super) start: Memory,
    /// By size, in the order of the arguments, and by round.
    pub(super) loads: Vec<Vec<LoadRun>>,
    /// By round.
    pub(super) idles: Vec<IdleRun>,
}

/// What of it matters to the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The older architecture.
    Older,
    /// The edge over epoll.
    Epoll,
    /// The edge over io_uring.
    Uring,
    /// Another product whose event loop has one thread.
    Peer,
    /// Another product with many threads.
    ThreadedPeer,
}

/// A server that is not there, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Absent {
    pub(super) name: String,
    pub(super) reason: String,
}

/// Memory of all its processes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Memory {
    /// With what others share.
    pub(super) resident: f64,
    /// What it allocated and touched itself.
    pub(super) anonymous: f64,
}

/// One run under load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct LoadRun {
    pub(super) answers_per_s: f64,
    pub(super) user_us: f64,
    pub(super) system_us: f64,
    /// CPU time per answer, exact.
    pub(super) total_us: f64,
    pub(super) p50_us: f64,
    pub(super) p90_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    /// At the end of the run.
    pub(super) memory: Memory,
    pub(super) threads: f64,
    /// CPU time over time: what it had of its core.
    pub(super) busy: f64,
    /// Time that its threads were ready and did not run, over the time that they ran.
    pub(super) waited: f64,
}

/// One rest of many connections.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct IdleRun {
    pub(super) memory: Memory,
    pub(super) threads: f64,
}

impl Kind {
    /// Whether time that it waits for its core was taken by something else: threads of its own do
    /// not take turns on it.
    pub(super) const fn shows_disturbance(self) -> bool {
        match self {
            Self::Epoll | Self::Uring | Self::Peer => true,
            Self::Older | Self::ThreadedPeer => false,
        }
    }
}

/// A running server on its way to become a subject.
struct Running {
    server: Server,
    subject: Subject,
}

/// Starts all servers that there are, and measures them in turns.
pub(super) fn all(rig: &Rig, arguments: &Arguments) -> Result<(Vec<Subject>, Vec<Absent>)> {
    let (_origin, origin) = rig.origin()?;
    let (mut servers, mut programs, mut absent) = (Vec::new(), Vec::new(), Vec::new());
    let places = arguments.idle.max(arguments.connections) + SPARE_CONNECTIONS;
    let (program, server) = rig.threadpool(origin, places)?;
    programs.push(program);
    servers.push((Kind::Older, "a thread per connection, a file per object".to_owned(), server));
    for (kind, transport) in
        [(Kind::Epoll, EdgeTransport::Epoll), (Kind::Uring, EdgeTransport::Uring)]
    {
        let name = format!("edge {}", transport.kernel_name());
        let shape = EdgeShape { transport, ..EdgeShape::plain(1, places) };
        if let Some(reason) = rig.edge_refusal(shape)? {
            absent.push(Absent { name, reason });
            continue;
        }
        let (program, server) = rig.edge(origin, shape)?;
        programs.push(program);
        let what = format!("this edge over {}, one worker", transport.kernel_name());
        servers.push((kind, what, Server { name, ..server }));
    }
    if !arguments.no_peers {
        let (program, peers) = rig.peers(origin, false)?;
        programs.push(program);
        absent.extend(not_installed(&peers));
        for peer in peers {
            let kind = if peer.name == "varnish" { Kind::ThreadedPeer } else { Kind::Peer };
            servers.push((kind, peer.version.clone(), peer));
        }
    }
    let mut running = Vec::new();
    for (kind, what, server) in servers {
        let start = at_start(rig, &server)?;
        let (name, loads) = (server.name.clone(), vec![Vec::new(); arguments.sizes.len()]);
        let subject = Subject { name, what, kind, start, loads, idles: Vec::new() };
        running.push(Running { server, subject });
    }
    load_in_turns(rig, arguments, &mut running)?;
    rest_in_turns(rig, arguments, &mut running)?;
    programs.iter_mut().try_for_each(Program::ensure_running)?;
    Ok((running.into_iter().map(|it| it.subject).collect(), absent))
}

/// The peers that are not among those that run.
fn not_installed(peers: &[Server]) -> impl Iterator<Item = Absent> {
    let is_missing = |name: &&str| !peers.iter().any(|peer| peer.name == *name);
    let absent = |name: &str| Absent { name: name.to_owned(), reason: "not installed".to_owned() };
    PEERS.into_iter().filter(is_missing).map(absent)
}

fn load_in_turns(rig: &Rig, arguments: &Arguments, running: &mut [Running]) -> Result<()> {
    for (index, &size_bytes) in arguments.sizes.iter().enumerate() {
        for it in running.iter() {
            warm(rig, &it.server, size_bytes)?;
        }
        for round in 0..arguments.rounds {
            for turn in 0..running.len() {
                let which = (turn + round as usize) % running.len();
                let Some(Running { server, subject }) = running.get_mut(which) else { continue };
                eprintln!("{}: {size_bytes} bytes, round {}", server.name, round + 1);
                let run = load(rig, arguments, server, size_bytes)?;
                if let Some(runs) = subject.loads.get_mut(index) {
                    runs.push(run);
                }
            }
        }
    }
    Ok(())
}

fn rest_in_turns(rig: &Rig, arguments: &Arguments, running: &mut [Running]) -> Result<()> {
    for round in 0..arguments.rounds.min(IDLE_ROUNDS_MAX) {
        for Running { server, subject } in running.iter_mut() {
            eprintln!("{}: {} idle connections, round {}", server.name, arguments.idle, round + 1);
            subject.idles.push(rest(rig, arguments.idle, server)?);
            // Both ends close thousands of connections: the next one's turn is not for that.
            thread::sleep(SETTLE);
        }
    }
    Ok(())
}

fn at_start(rig: &Rig, server: &Server) -> Result<Memory> {
    let found = hold(rig, server, 1, 0)?;
    Memory::of(&found, "/server/memory_before")
}

fn load(rig: &Rig, arguments: &Arguments, server: &Server, size_bytes: u64) -> Result<LoadRun> {
    let warmup = (WARMUP_BYTES / size_bytes.max(1)).clamp(200, 5_000);
    let options = [
        format!("--connections={}", arguments.connections),
        format!("--warmup={warmup}"),
        format!("--server-pid={}", server.pid_option()),
        format!("--time={}s", arguments.seconds),
    ];
    let found = closed_loop(rig, server, size_bytes, &options)?;
    let hit_ratio = number(&found, "/answers/hit_ratio")?;
    ensure!(hit_ratio == 1.0, "{}: only {hit_ratio} of the answers were hits", server.name);
    LoadRun::of(&found)
}

fn rest(rig: &Rig, connections: u32, server: &Server) -> Result<IdleRun> {
    let found = hold(rig, server, connections, IDLE_SECONDS)?;
    let held = number(&found, "/held")?;
    let faults = found.get("faults").unwrap_or(&Value::Null);
    ensure!(
        held == f64::from(connections),
        "{} held only {held} of {connections} connections: {faults}",
        server.name
    );
    IdleRun::of(&found)
}

fn hold(rig: &Rig, server: &Server, connections: u32, seconds: u32) -> Result<Value> {
    rig.bomb(&[
        "hold".to_owned(),
        format!("--url={}", server.url(&object_path(1024))),
        format!("--connections={connections}"),
        format!("--hold={seconds}s"),
        format!("--active={ACTIVE}"),
        format!("--server-pid={}", server.pid_option()),
    ])
}

impl Memory {
    fn of(found: &Value, pointer: &str) -> Result<Self> {
        Ok(Self {
            resident: number(found, &format!("{pointer}/resident_bytes"))?,
            anonymous: number(found, &format!("{pointer}/anonymous_bytes"))?,
        })
    }
}

impl LoadRun {
    fn of(found: &Value) -> Result<Self> {
        let (ran_us, elapsed_us) =
            (number(found, "/server/cpu/total_us")?, number(found, "/elapsed_us")?);
        Ok(Self {
            answers_per_s: number(found, "/answers_per_s")?,
            user_us: number(found, "/cpu_per_answer_us/user")?,
            system_us: number(found, "/cpu_per_answer_us/system")?,
            total_us: number(found, "/cpu_per_answer_us/total")?,
            p50_us: number(found, "/answers/latency/p50_us")?,
            p90_us: number(found, "/answers/latency/p90_us")?,
            p99_us: number(found, "/answers/latency/p99_us")?,
            p999_us: number(found, "/answers/latency/p999_us")?,
            memory: Memory::of(found, "/server/memory_after")?,
            threads: number(found, "/server/threads")?,
            busy: ran_us / elapsed_us.max(1.0),
            waited: number(found, "/server/cpu/waited_us")? / ran_us.max(1.0),
        })
    }
}

impl IdleRun {
    fn of(found: &Value) -> Result<Self> {
        Ok(Self {
            memory: Memory::of(found, "/server/memory_after")?,
            threads: number(found, "/server/threads")?,
        })
    }
}

/// All peers that there may be.
const PEERS: [&str; 3] = ["nginx", "haproxy", "varnish"];
/// Connections that a server has room for beyond those of the load: its own checks, a warm-up.
const SPARE_CONNECTIONS: u32 = 512;
/// Bytes of answers before anything is counted, within a number of requests.
const WARMUP_BYTES: u64 = 64 << 20;
/// Memory at rest hardly varies, and each rest takes seconds.
const IDLE_ROUNDS_MAX: u32 = 3;
const IDLE_SECONDS: u32 = 2;
/// Connects and requests under way at once while the resting connections open.
const ACTIVE: u32 = 64;
const SETTLE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{IdleRun, LoadRun, Memory};

    #[test]
    fn a_run_is_read_whole_or_not_at_all() {
        let found = json!({
            "answers_per_s": 1000.0, "elapsed_us": 2_000_000, "held": 3,
            "answers": { "latency": { "p50_us": 1, "p90_us": 2, "p99_us": 3, "p999_us": 4 } },
            "cpu_per_answer_us": { "user": 1.0, "system": 4.0, "total": 5.0 },
            "server": {
                "cpu": { "total_us": 500_000, "waited_us": 50_000 }, "threads": 7,
                "memory_after": { "resident_bytes": 20, "anonymous_bytes": 10 },
            },
        });
        let run = LoadRun::of(&found).expect("it is whole");
        assert_eq!((run.busy, run.waited, run.threads), (0.25, 0.1, 7.0));
        assert_eq!((run.p50_us, run.p90_us, run.p99_us, run.p999_us), (1.0, 2.0, 3.0, 4.0));
        assert_eq!((run.answers_per_s, run.total_us), (1000.0, 5.0));
        let memory = Memory { resident: 20.0, anonymous: 10.0 };
        assert_eq!(run.memory, memory);
        let idle = IdleRun::of(&found).expect("it is whole");
        assert_eq!(idle, IdleRun { memory, threads: 7.0 });
        for pointer in ["/server/threads", "/server/memory_after/resident_bytes"] {
            let mut part = found.clone();
            *part.pointer_mut(pointer).expect("there") = json!(null);
            assert!(LoadRun::of(&part).is_err() && IdleRun::of(&part).is_err(), "{pointer}");
        }
    }
}
