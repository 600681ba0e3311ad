//! `cargo xtask bench hit`: what a cache hit costs the server, and how much of that is ours.
//!
//! The floor sends the same bytes over a ring like the edge's, without parsing a request: the
//! ratio to it is what the edge adds. Servers take turns, round by round, so that whatever else
//! the machine does meets all of them; a ratio is taken within its round. Server and client have
//! a core each, where there are two. The client verifies every byte, and a run with a wrong answer
//! or a miss ends the bench instead of entering it.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::stats::Spread;
use crate::host::Host;
use crate::load::{closed_loop, number, size_text, warm};
use crate::rig::{EdgeShape, EdgeTransport, Program, Rig, Server};

/// Options of `cargo xtask bench hit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Take the released programs that are there, whatever the tree says meanwhile.
    #[arg(long)]
    no_build: bool,
    /// Add nginx, HAProxy and Varnish, as far as they are installed.
    #[arg(long)]
    peers: bool,
    /// Over TLS 1.3; the floor stays plain, so its ratio says what TLS costs, too. Varnish speaks
    /// none and is left out.
    #[arg(long)]
    tls: bool,
    /// With `epoll`, an edge on epoll takes turns with the one on io_uring, and the ratio of both
    /// is printed.
    #[arg(long, value_enum, default_value = "uring")]
    transport: EdgeTransport,
    /// Rounds in which all servers take turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds of each run, after its warm-up.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Make so many requests per run instead.
    #[arg(long)]
    requests: Option<u64>,
    /// Keep-alive connections of the client.
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Sizes of the object in bytes.
    #[arg(long, value_delimiter = ',', default_values_t = SIZES)]
    sizes: Vec<u64>,
}

/// One run of one server.
#[derive(Clone, Debug)]
struct Run {
    user_us: f64,
    system_us: f64,
    total_us: f64,
    answers_per_s: f64,
    /// Time that the server was kept from its core, as a share of the time that it ran.
    waited_share: f64,
    cpu_source: String,
}

/// All runs of one server at one size.
#[derive(Debug)]
struct Row {
    size_bytes: u64,
    server: String,
    runs: Vec<Run>,
    ratios: Vec<f64>,
}

/// Runs the bench and prints its table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut rig = Rig::new(arguments.no_build)?;
    rig.keep_apart();
    let (_origin, origin) = rig.origin()?;
    let shape = EdgeShape { secure: arguments.tls, ..EdgeShape::plain(1, EDGE_CONNECTIONS_MAX) };
    let (mut edge, edge_server) = rig.edge(origin, shape)?;
    let on_epoll = match arguments.transport {
        EdgeTransport::Uring => None,
        EdgeTransport::Epoll => {
            let shape = EdgeShape { transport: EdgeTransport::Epoll, ..shape };
            let (program, server) = rig.edge(origin, shape)?;
            Some((program, Server { name: "epoll".to_owned(), ..server }))
        }
    };
    let (_peers, peers) = if arguments.peers {
        let (program, servers) = rig.peers(origin, arguments.tls)?;
        (Some(program), servers)
    } else {
        (None, Vec::new())
    };
    let versions: Vec<_> = peers.iter().map(|peer| peer.version.clone()).collect();
    let other_edge = on_epoll.iter().map(|(_, server)| server.clone());
    let servers: Vec<Server> =
        std::iter::once(edge_server).chain(other_edge).chain(peers).collect();
    let mut rows = Vec::new();
    for &size_bytes in &arguments.sizes {
        rows.extend(bench_size(&rig, arguments, size_bytes, &servers)?);
        edge.ensure_running()?;
    }
    let host = Host::here();
    if arguments.json {
        let mut found = result(&host, &rig, &versions, &rows);
        found["tls"] = arguments.tls.into();
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print(&host, &rig, &versions, &rows);
    }
    Ok(())
}

/// All rounds of one size: the floor first, then the others, in turn.
fn bench_size(
    rig: &Rig,
    arguments: &Arguments,
    size_bytes: u64,
    others: &[Server],
) -> Result<Vec<Row>> {
    let (_floor, floor): (Program, Server) = rig.floor(size_bytes)?;
    let servers: Vec<&Server> = std::iter::once(&floor).chain(others).collect();
    let row = |server: &&Server| Row {
        size_bytes,
        server: server.name.clone(),
        runs: Vec::new(),
        ratios: Vec::new(),
    };
    let mut rows: Vec<Row> = servers.iter().map(row).collect();
    for server in &servers {
        warm(rig, server, size_bytes)?;
    }
    for round in 0..arguments.rounds {
        let mut floor_us = 0.0;
        for (index, (server, row)) in servers.iter().zip(&mut rows).enumerate() {
            eprintln!(
                "{} of {} bytes, round {} of {}",
                server.name,
                size_bytes,
                round + 1,
                arguments.rounds
            );
            let run = measure(rig, arguments, size_bytes, server)?;
            if index == 0 {
                floor_us = run.total_us;
            }
            row.ratios.push(run.total_us / floor_us);
            row.runs.push(run);
        }
    }
    Ok(rows)
}

fn measure(rig: &Rig, arguments: &Arguments, size_bytes: u64, server: &Server) -> Result<Run> {
    let end = match arguments.requests {
        Some(requests) => format!("--requests={requests}"),
        None => format!("--time={}s", arguments.seconds),
    };
    let warmup = (WARMUP_BYTES / size_bytes.max(1)).clamp(200, 5_000);
    let options = [
        format!("--connections={}", arguments.connections),
        format!("--warmup={warmup}"),
        format!("--server-pid={}", server.pid_option()),
        end,
    ];
    let found = closed_loop(rig, server, size_bytes, &options)?;
    let hit_ratio = number(&found, "/answers/hit_ratio")?;
    ensure!(hit_ratio == 1.0, "{}: only {hit_ratio} of the answers were hits", server.name);
    let source = found.pointer("/server/cpu/source").and_then(Value::as_str);
    Ok(Run {
        user_us: number(&found, "/cpu_per_answer_us/user")?,
        system_us: number(&found, "/cpu_per_answer_us/system")?,
        total_us: number(&found, "/cpu_per_answer_us/total")?,
        answers_per_s: number(&found, "/answers_per_s")?,
        waited_share: number(&found, "/server/cpu/waited_us")?
            / number(&found, "/server/cpu/total_us")?.max(1.0),
        cpu_source: source.context("the result names no source")?.to_owned(),
    })
}

impl Row {
    fn spread(&self, of: impl Fn(&Run) -> f64) -> Spread {
        Spread::of(self.runs.iter().map(of))
    }

    /// User and system time of the median request. Ticks tell them apart, too few per run to
    /// trust; so the shares are those of all runs together.
    fn shares_us(&self) -> (f64, f64) {
        let sum = |of: fn(&Run) -> f64| self.runs.iter().map(of).sum::<f64>();
        let all_us = sum(|run| run.total_us);
        let user_share = if all_us > 0.0 { sum(|run| run.user_us) / all_us } else { 0.0 };
        let median_us = self.spread(|run| run.total_us).median;
        (median_us * user_share, median_us * (1.0 - user_share))
    }

    fn ratio(&self) -> Spread {
        Spread::of(self.ratios.iter().copied())
    }

    fn json(&self) -> Value {
        let run = |run: &Run| {
            json!({
                "user_us": run.user_us,
                "system_us": run.system_us,
                "total_us": run.total_us,
                "answers_per_s": run.answers_per_s,
                "waited_share": run.waited_share,
            })
        };
        let (user_us, system_us) = self.shares_us();
        json!({
            "size_bytes": self.size_bytes,
            "server": self.server,
            "cpu_per_request_us": {
                "total": self.spread(|run| run.total_us).json(),
                "user": user_us,
                "system": system_us,
            },
            "ratio_to_floor": self.ratio().json(),
            "rounds": self.runs.iter().map(run).collect::<Vec<_>>(),
        })
    }
}

/// Where the CPU times come from, over all runs.
fn cpu_source(rows: &[Row]) -> String {
    let mut sources: Vec<_> =
        rows.iter().flat_map(|row| &row.runs).map(|run| run.cpu_source.as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    sources.join(", ")
}

/// How much the machine did beside the bench: a quiet one keeps no server from its core.
fn disturbance(rows: &[Row]) -> f64 {
    Spread::of(rows.iter().flat_map(|row| &row.runs).map(|run| run.waited_share)).median
}

fn cores(rig: &Rig) -> String {
    rig.cores().map_or_else(
        || "shared by server and client: there is only one".to_owned(),
        |cores| format!("server on {}, client on {}", cores.server, cores.client),
    )
}

fn result(host: &Host, rig: &Rig, versions: &[String], rows: &[Row]) -> Value {
    json!({
        "bench": "hit",
        "host": host.json(),
        "cores": cores(rig),
        "cpu_source": cpu_source(rows),
        "disturbance": disturbance(rows),
        "peers": versions,
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
    })
}

fn print(host: &Host, rig: &Rig, versions: &[String], rows: &[Row]) {
    host.print();
    println!("cores      {}", cores(rig));
    println!("CPU time   total from {}, shares from stat", cpu_source(rows));
    for version in versions {
        println!("peer       {version}");
    }
    let disturbance = disturbance(rows) * 100.0;
    let verdict =
        if disturbance > DISTURBANCE_MAX { "NOT QUIET: do not trust the figures" } else { "quiet" };
    println!(
        "machine    {verdict}: servers waited {disturbance:.1} % of their run time for the core"
    );
    println!();
    println!(
        "      size  server    CPU µs per request (range)       user  system   × floor (range)  \
         requests/s"
    );
    let mut last_size = None;
    let edge_us = |size_bytes| {
        let edge = rows.iter().find(|row| row.size_bytes == size_bytes && row.server == "edge");
        edge.map_or(0.0, |edge| edge.spread(|run| run.total_us).median)
    };
    for row in rows {
        if last_size.replace(row.size_bytes).is_some_and(|last| last != row.size_bytes) {
            println!();
        }
        let total = row.spread(|run| run.total_us);
        let ratio = row.ratio();
        let (user_us, system_us) = row.shares_us();
        println!(
            "{:>10}  {:<8} {:>9.2} ({:.2}–{:.2}) {:>14.2} {:>7.2} {:>9.2} ({:.2}–{:.2}) {:>11.0}",
            size_text(row.size_bytes),
            row.server,
            total.median,
            total.least,
            total.greatest,
            user_us,
            system_us,
            ratio.median,
            ratio.least,
            ratio.greatest,
            row.spread(|run| run.answers_per_s).median,
        );
        if !matches!(row.server.as_str(), "floor" | "edge") && total.median > 0.0 {
            let ratio = edge_us(row.size_bytes) / total.median;
            println!("{:>10}  edge : {} = {ratio:.2}", "", row.server);
        }
    }
}

/// Sizes of the bench: 1 KiB, 16 KiB, 100 KiB, 1 MiB.
const SIZES: [u64; 4] = [1 << 10, 16 << 10, 100 << 10, 1 << 20];
/// More than the bench's connections: the edge has to have room for those of its own checks.
const EDGE_CONNECTIONS_MAX: u32 = 4096;
/// Bytes of answers before anything is counted, within a number of requests.
const WARMUP_BYTES: u64 = 64 << 20;
/// Percentage of waiting that a quiet machine stays below.
const DISTURBANCE_MAX: f64 = 5.0;
