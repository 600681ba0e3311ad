//! The model beside reality: five loads, each predicted by `edge size` and measured.
//!
//! How fast a machine is changes from hour to hour where it is shared, so the prediction is made
//! with figures of the same minutes: busy loops on small and large objects, plain and over TLS,
//! hits and misses, an edge at rest, and heartbeats on parked connections, few and many. The five
//! loads are others than those: more connections, other sizes, other rates, hits and misses
//! together. All of them take turns, round by round, and of each the middle round counts. The
//! prediction by the built-in figures is printed beside it, and bounds nothing.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{Arguments, ask};
use crate::host::Host;
use crate::load::{closed_loop, misses, number, object_path, warm};
use crate::rig::{EdgeShape, Program, Rig, Server};
use crate::tree;

/// A load at a rate.
#[derive(Clone, Copy, Debug)]
struct Point {
    name: &'static str,
    connections: u32,
    size_bytes: u64,
    per_s: u32,
    secure: bool,
    asked: Asked,
}

/// Who asks for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Parked connections take turns at asking for one object.
    Beats,
    /// Clients that know nothing of each other ask for many objects: half of them are misses.
    Mixed,
}

/// A figure of a point, predicted and measured.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    point: &'static str,
    what: &'static str,
    unit: &'static str,
    /// Least, likely and greatest, by figures of the same minutes.
    predicted: [f64; 3],
    /// Likely, by the built-in figures.
    built_in: f64,
    measured: f64,
}

/// What the model is taught with.
#[derive(Clone, Copy, Debug)]
enum Lesson {
    /// A closed loop on busy connections.
    Hits { size_bytes: u64, secure: bool },
    /// The same for objects that nobody has asked for before.
    Misses { size_bytes: u64 },
    /// Parked connections that ask nothing.
    Rest,
    /// Parked connections that take turns at asking.
    Beats { per_s: u32, secure: bool },
}

/// A running edge.
struct Stand {
    edge: Program,
    server: Server,
}

/// Measures, asks, compares.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let mut rig = Rig::new(arguments.no_build)?;
    rig.keep_apart();
    let folder = tree::target_folder().join("capacity");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let is_wanted = |secure: bool| !(arguments.plain && secure);
    let points: Vec<Point> = POINTS.into_iter().filter(|it| is_wanted(it.secure)).collect();
    let lessons: Vec<Lesson> = LESSONS.into_iter().filter(|it| is_wanted(it.secure())).collect();
    let (learnt, found) = measure(&rig, arguments, &lessons, &points)?;
    let mut files = Vec::new();
    for (lesson, rounds) in lessons.iter().zip(learnt) {
        let file = folder.join(format!("{}.json", lesson.name()));
        let result = middle(rounds, |result| lesson.cost(result))?;
        fs::write(&file, serde_json::to_string_pretty(&result)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        files.push(file);
    }
    let mut rows = Vec::new();
    for (point, found) in points.iter().zip(&found) {
        rows.extend(compare(*point, found, &files)?);
    }
    let host = Host::here();
    if arguments.json {
        let result = json!({
            "capacity": "check",
            "host": host.json(),
            "bound": ERROR_MAX,
            "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
        });
        println!("{}", serde_json::to_string_pretty(&result)?);
    } else {
        print(&host, &rows);
    }
    let wrong = rows.iter().filter(|row| !row.is_near()).count();
    ensure!(wrong == 0, "{wrong} of {} predictions are more than 20 % off", rows.len());
    Ok(())
}

/// All rounds of the lessons, and what the points cost.
fn measure(
    rig: &Rig,
    arguments: &Arguments,
    lessons: &[Lesson],
    points: &[Point],
) -> Result<(Vec<Vec<Value>>, Vec<Found>)> {
    let (_origin, origin) = rig.origin()?;
    let seconds = arguments.seconds;
    // Whoever has the memory of connections measured starts and settles before all others.
    let memory = points.iter().map(|point| match point.asked {
        Asked::Beats => footprint(rig, origin, *point, seconds).map(Some),
        Asked::Mixed => Ok(None),
    });
    let memory = memory.collect::<Result<Vec<_>>>()?;
    let room = points.iter().map(|point| point.connections).max().unwrap_or_default();
    let mut stands = Vec::new();
    for secure in [false, true].into_iter().filter(|secure| !(arguments.plain && *secure)) {
        stands.push(Stand::new(rig, origin, room + SPARE_CONNECTIONS, secure)?);
    }
    let server = |secure: bool| -> Result<&Server> {
        let stand = stands.get(usize::from(secure)).context("no such edge")?;
        Ok(&stand.server)
    };
    let mut learnt = vec![Vec::new(); lessons.len()];
    let mut measured = vec![Vec::new(); points.len()];
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        for (lesson, results) in lessons.iter().zip(&mut learnt) {
            results.push(lesson.take(rig, server(lesson.secure())?, seconds, round)?);
        }
        for (point, results) in points.iter().zip(&mut measured) {
            results.push(point.take(rig, server(point.secure)?, seconds, round)?);
        }
    }
    for stand in &mut stands {
        stand.edge.ensure_running()?;
    }
    let found = measured.into_iter().zip(memory).map(|(rounds, memory)| {
        let all = rounds.iter().map(Reached::of).collect::<Result<Vec<_>>>()?;
        let reached = middle(all, |reached| Ok(reached.busy_cores))?;
        Ok(Found { reached, memory })
    });
    Ok((learnt, found.collect::<Result<_>>()?))
}

impl Stand {
    fn new(rig: &Rig, origin: SocketAddr, connections_max: u32, secure: bool) -> Result<Self> {
        let shape = EdgeShape { secure, ..EdgeShape::plain(1, connections_max) };
        let (edge, server) = rig.edge(origin, shape)?;
        Ok(Self { edge, server })
    }
}

impl Lesson {
    const fn secure(self) -> bool {
        match self {
            Self::Hits { secure, .. } | Self::Beats { secure, .. } => secure,
            Self::Misses { .. } | Self::Rest => false,
        }
    }

    fn name(self) -> String {
        let kind = if self.secure() { "tls" } else { "plain" };
        match self {
            Self::Hits { size_bytes, .. } => format!("hits-{kind}-{size_bytes}"),
            Self::Misses { size_bytes } => format!("misses-{kind}-{size_bytes}"),
            Self::Rest => "rest".to_owned(),
            Self::Beats { per_s, .. } => format!("beats-{kind}-{per_s}"),
        }
    }

    fn take(self, rig: &Rig, server: &Server, seconds: u32, round: u32) -> Result<Value> {
        let point = |per_s| Point { per_s, secure: self.secure(), ..LEARNT };
        let busy = [
            format!("--time={seconds}s"),
            "--connections=64".to_owned(),
            format!("--server-pid={}", server.pid_option()),
        ];
        match self {
            Self::Hits { size_bytes, .. } => {
                warm(rig, server, size_bytes)?;
                closed_loop(rig, server, size_bytes, &busy)
            }
            Self::Misses { size_bytes } => {
                misses(rig, server, (size_bytes, &format!("learnt-{round}"), 0), &busy)
            }
            Self::Rest => held(rig, server, point(1), &[format!("--hold={seconds}s")]),
            Self::Beats { per_s, .. } => hold(rig, server, point(per_s), seconds),
        }
    }

    /// By what its rounds are put in order.
    fn cost(self, result: &Value) -> Result<f64> {
        match self {
            Self::Hits { .. } | Self::Misses { .. } => number(result, "/cpu_per_answer_us/total"),
            Self::Rest | Self::Beats { .. } => busy_cores(result),
        }
    }
}

/// The middle one by its cost.
fn middle<T>(rounds: Vec<T>, cost: impl Fn(&T) -> Result<f64>) -> Result<T> {
    let costs = rounds.iter().map(cost).collect::<Result<Vec<f64>>>()?;
    let mut rounds: Vec<_> = costs.into_iter().zip(rounds).collect();
    rounds.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let middle = rounds.len() / 2;
    rounds.into_iter().nth(middle).map(|(_, result)| result).context("no round")
}

/// Cores that the server kept busy while connections rested.
fn busy_cores(result: &Value) -> Result<f64> {
    Ok(number(result, "/server_at_rest/cpu/total_us")? / 1e6 / hold_s(result)?)
}

fn hold_s(result: &Value) -> Result<f64> {
    Ok(number(result, "/hold_ms")? / 1e3)
}

impl Point {
    fn take(self, rig: &Rig, server: &Server, seconds: u32, round: u32) -> Result<Value> {
        let Self { connections, size_bytes, per_s, .. } = self;
        if self.asked == Asked::Beats {
            return hold(rig, server, self, seconds);
        }
        let options = [
            format!("--connections={connections}"),
            format!("--per-second={per_s}"),
            format!("--step={seconds}s"),
            "--arrivals=poisson".to_owned(),
            format!("--server-pid={}", server.pid_option()),
        ];
        misses(rig, server, (size_bytes, &format!("mixed-{round}"), 1), &options)
    }

    /// The point as it was, on the one worker that there is.
    fn options(self, reached: Reached) -> Vec<String> {
        let Self { connections, size_bytes, .. } = self;
        let Reached { per_s, hit_ratio, .. } = reached;
        let (tls, hits) = (if self.secure { 100.0 } else { 0.0 }, hit_ratio * 100.0);
        let asked = match self.asked {
            Asked::Beats => {
                let every_ms = (f64::from(connections) * 1000.0 / per_s).round();
                let size = format!("--heartbeat-size={size_bytes}B");
                ["--rate=0".to_owned(), format!("--heartbeat={every_ms}ms"), size]
            }
            Asked::Mixed => {
                let size = format!("--object={size_bytes}B");
                [format!("--rate={per_s:.1}"), "--heartbeat=off".to_owned(), size]
            }
        };
        let others = ["--in-memory=100%", "--lifetime=100000h", "--rtt=0ms", "--on-cores=1"];
        let load = [
            format!("--connections={connections}"),
            format!("--tls={tls}%"),
            format!("--hits={hits:.2}%"),
        ];
        load.into_iter().chain(asked).chain(others.map(str::to_owned)).collect()
    }
}

/// What one point costs.
#[derive(Clone, Copy, Debug)]
struct Found {
    reached: Reached,
    /// Of those with many connections.
    memory: Option<Footprint>,
}

/// A round of a point.
#[derive(Clone, Copy, Debug)]
struct Reached {
    busy_cores: f64,
    per_s: f64,
    hit_ratio: f64,
}

impl Reached {
    /// By what the bomb says of a hold with heartbeats, or of an open loop.
    fn of(result: &Value) -> Result<Self> {
        if result.get("load").and_then(Value::as_str) == Some("hold") {
            let per_s = number(result, "/heartbeats/count")? / hold_s(result)?;
            return Ok(Self { busy_cores: busy_cores(result)?, per_s, hit_ratio: 1.0 });
        }
        let per_s = number(result, "/answers_per_s")?;
        let busy_cores = number(result, "/cpu_per_answer_us/total")? / 1e6 * per_s;
        Ok(Self { busy_cores, per_s, hit_ratio: number(result, "/answers/hit_ratio")? })
    }
}

/// The memory of connections.
#[derive(Clone, Copy, Debug)]
struct Footprint {
    user_bytes: f64,
    /// Of both ends, which are on one machine.
    kernel_bytes: f64,
}

/// The memory of a point, on an edge of its own.
fn footprint(rig: &Rig, origin: SocketAddr, point: Point, seconds: u32) -> Result<Footprint> {
    eprintln!("{}: memory of {} connections", point.name, point.connections);
    let few = Point { connections: 1, ..point };
    settle();
    let small_bytes = {
        let stand = Stand::new(rig, origin, SPARE_CONNECTIONS, point.secure)?;
        number(&rest(rig, &stand.server, few)?, "/server/memory_before/anonymous_bytes")?
    };
    let mut stand = Stand::new(rig, origin, point.connections + SPARE_CONNECTIONS, point.secure)?;
    // What is touched once is touched before the readings.
    let some = Point { connections: WARM_CONNECTIONS, ..point };
    let warmed = rest(rig, &stand.server, some)?;
    let found = hold(rig, &stand.server, point, seconds.min(FOOTPRINT_SECONDS))?;
    stand.edge.ensure_running()?;
    let figure = |pointer: &str| number(&found, pointer);
    let reserved = number(&warmed, "/server/memory_before/anonymous_bytes")? - small_bytes;
    let grown = figure("/server_at_rest/memory_after/anonymous_bytes")?
        - figure("/server/memory_before/anonymous_bytes")?;
    Ok(Footprint {
        user_bytes: reserved + grown,
        kernel_bytes: figure("/server_at_rest/kernel_before/slab_bytes")?
            - figure("/server/kernel_before/slab_bytes")?,
    })
}

/// Waits until the kernel has taken down the sockets of what ended, as far as it does in a while:
/// they would count as memory that the next load finds there.
fn settle() {
    let slab = || -> Option<u64> {
        let text = fs::read_to_string("/proc/meminfo").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Slab:"))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let mut before = slab();
    for _ in 0..SETTLE_TRIES {
        thread::sleep(SETTLE_PAUSE);
        let after = slab();
        let falls = before.zip(after).is_some_and(|(before, after)| after + SETTLED_KIB < before);
        if !falls {
            return;
        }
        before = after;
    }
}

/// Connections that open, ask once and close.
fn rest(rig: &Rig, server: &Server, point: Point) -> Result<Value> {
    held(rig, server, point, &["--hold=0s".to_owned()])
}

/// Connections that rest, and ask in turn.
fn hold(rig: &Rig, server: &Server, point: Point, seconds: u32) -> Result<Value> {
    let every_ms = u64::from(point.connections) * 1000 / u64::from(point.per_s);
    let options = [format!("--hold={seconds}s"), format!("--heartbeat={every_ms}ms")];
    held(rig, server, point, &options)
}

fn held(rig: &Rig, server: &Server, point: Point, options: &[String]) -> Result<Value> {
    let mut arguments = vec![
        "hold".to_owned(),
        format!("--url={}", server.url(&object_path(point.size_bytes))),
        format!("--connections={}", point.connections),
        "--active=64".to_owned(),
        "--time-max=600s".to_owned(),
        format!("--server-pid={}", server.pid_option()),
    ];
    arguments.extend_from_slice(options);
    let found = rig.bomb(&arguments)?;
    let count = number(&found, "/held")?;
    ensure!(
        count == f64::from(point.connections),
        "only {count} of {} connections were held: {}",
        point.connections,
        found.get("faults").unwrap_or(&Value::Null)
    );
    Ok(found)
}

/// Asks the model about a point, with and without what was learnt.
fn compare(point: Point, found: &Found, learnt: &[PathBuf]) -> Result<Vec<Row>> {
    let learnt: Vec<_> =
        learnt.iter().map(|file| format!("--measured={}", file.display())).collect();
    let options = point.options(found.reached);
    let said = ask(&[options.clone(), learnt].concat())?;
    let built_in = ask(&options)?;
    let row = |what, unit, of: Reading, measured: f64| -> Result<Row> {
        let case = |case| of(&said, case);
        let predicted = [case("low")?, case("likely")?, case("high")?];
        let built_in = of(&built_in, "likely")?;
        Ok(Row { point: point.name, what, unit, predicted, built_in, measured })
    };
    let mut rows = vec![row("CPU", "cores", cores, found.reached.busy_cores)?];
    if let Some(Footprint { user_bytes, kernel_bytes }) = found.memory {
        rows.push(row("user memory", "MB", user_mb, user_bytes / 1e6)?);
        rows.push(row("kernel memory, both ends", "MB", kernel_mb, kernel_bytes / 1e6)?);
    }
    Ok(rows)
}

/// Reads a figure of a prediction: its least, its likely or its greatest.
type Reading = fn(&Value, &str) -> Result<f64>;

fn cores(said: &Value, case: &str) -> Result<f64> {
    number(said, &format!("/sections/cpu/total/{case}"))
}

fn user_mb(said: &Value, case: &str) -> Result<f64> {
    let of = |id| number(said, &format!("/sections/user/terms/{id}/{case}"));
    Ok((of("slots")? + of("tls_slots")?) / 1e6)
}

/// Of both ends: the clients stand on the same transport.
fn kernel_mb(said: &Value, case: &str) -> Result<f64> {
    let of = |id| number(said, &format!("/sections/kernel/terms/{id}/{case}"));
    Ok(2.0 * (of("sockets")? + of("waits")?) / 1e6)
}

impl Row {
    /// By how much the prediction is too high, as a share of what was measured.
    fn error(&self, predicted: f64) -> f64 {
        (predicted - self.measured) / self.measured.abs().max(f64::MIN_POSITIVE)
    }

    fn is_near(&self) -> bool {
        let [_, likely, _] = self.predicted;
        self.error(likely).abs() <= ERROR_MAX
    }

    fn json(&self) -> Value {
        let [low, likely, high] = self.predicted;
        json!({
            "point": self.point,
            "what": self.what,
            "unit": self.unit,
            "predicted": { "low": low, "likely": likely, "high": high },
            "measured": self.measured,
            "error": self.error(likely),
            "built_in": self.built_in,
            "built_in_error": self.error(self.built_in),
            "passed": self.is_near(),
        })
    }
}

fn print(host: &Host, rows: &[Row]) {
    host.print();
    println!();
    println!(
        "{:<26} {:<26} {:>24} {:>9}   {:>7}   by the built-in figures",
        "load", "what", "predicted (range)", "measured", "error"
    );
    for row in rows {
        let [low, likely, high] = row.predicted;
        let predicted = format!("{likely:.3} ({low:.3}–{high:.3})");
        println!(
            "{:<26} {:<26} {predicted:>24} {:>9.3} {:<5} {:>+5.1} %   {:.3} ({:+.1} %){}",
            row.point,
            row.what,
            row.measured,
            row.unit,
            row.error(likely) * 100.0,
            row.built_in,
            row.error(row.built_in) * 100.0,
            if row.is_near() { "" } else { "   TOO FAR" },
        );
    }
    println!("bound: 20 % of what was measured");
}

/// The loads.
const POINTS: [Point; 5] = [
    Point {
        name: "plain, 1 KiB, 1,000/s",
        connections: 20_000,
        size_bytes: 1 << 10,
        per_s: 1000,
        secure: false,
        asked: Asked::Beats,
    },
    Point {
        name: "plain, 16 KiB, 5,000/s",
        connections: 40_000,
        size_bytes: 16 << 10,
        per_s: 5000,
        secure: false,
        asked: Asked::Beats,
    },
    Point {
        name: "plain, 100 KiB, 800/s",
        connections: 20_000,
        size_bytes: 100 << 10,
        per_s: 800,
        secure: false,
        asked: Asked::Beats,
    },
    Point {
        name: "half misses, 4 KiB, 2,000/s",
        connections: 64,
        size_bytes: 4 << 10,
        per_s: 2000,
        secure: false,
        asked: Asked::Mixed,
    },
    Point {
        name: "TLS 1.3, 4 KiB, 3,000/s",
        connections: 20_000,
        size_bytes: 4 << 10,
        per_s: 3000,
        secure: true,
        asked: Asked::Beats,
    },
];
/// What the model learns of parked connections from: fewer than those of the loads.
const LEARNT: Point = Point {
    name: "heartbeats",
    connections: 10_000,
    size_bytes: 1 << 10,
    per_s: 0,
    secure: false,
    asked: Asked::Beats,
};
const LESSONS: [Lesson; 11] = [
    Lesson::Rest,
    Lesson::Hits { size_bytes: 1 << 10, secure: false },
    Lesson::Hits { size_bytes: 100 << 10, secure: false },
    Lesson::Misses { size_bytes: 1 << 10 },
    Lesson::Misses { size_bytes: 100 << 10 },
    // The rarer, the colder is what a worker finds when it wakes.
    Lesson::Beats { per_s: 1000, secure: false },
    Lesson::Beats { per_s: 4000, secure: false },
    Lesson::Beats { per_s: 12_000, secure: false },
    Lesson::Hits { size_bytes: 1 << 10, secure: true },
    Lesson::Hits { size_bytes: 100 << 10, secure: true },
    Lesson::Beats { per_s: 2000, secure: true },
];
/// Most that a prediction may be off, as a share of what was measured.
const ERROR_MAX: f64 = 0.2;
/// How long, and how often, the kernel's memory is watched; and by how much it still falls.
const SETTLE_PAUSE: Duration = Duration::from_secs(1);
const SETTLE_TRIES: u32 = 20;
const SETTLED_KIB: u64 = 512;
/// Connections that an edge has room for beyond those that are parked; all that a small one has.
const SPARE_CONNECTIONS: u32 = 1024;
/// Connections that come and go before the first reading.
const WARM_CONNECTIONS: u32 = 256;
/// How long memory is looked at: it is there when the connections are.
const FOOTPRINT_SECONDS: u32 = 3;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Asked, POINTS, Reached, Row, middle};
    use crate::load::number;

    #[test]
    fn the_middle_round_counts() {
        let rounds = |costs: &[u32]| costs.iter().map(|cost| json!({ "cost": cost })).collect();
        let check = |costs: &[u32], expected: f64| {
            let found = middle(rounds(costs), |round| number(round, "/cost")).expect("a round");
            assert_eq!(found["cost"].as_f64(), Some(expected), "{costs:?}");
        };
        check(&[9], 9.0);
        check(&[9, 1, 5], 5.0);
        check(&[1, 9, 5, 7, 6], 6.0);
        assert!(middle(Vec::<Value>::new(), |_| Ok(0.0)).is_err(), "no rounds");
    }

    #[test]
    fn a_prediction_is_near_within_a_fifth_of_what_was_measured() {
        let check = |likely: f64, measured: f64, is_near: bool| {
            let row = Row {
                point: "a load",
                what: "CPU",
                unit: "cores",
                predicted: [0.0, likely, 9.0],
                built_in: 0.0,
                measured,
            };
            assert_eq!(row.is_near(), is_near, "{likely} for {measured}");
            assert_eq!(row.json()["passed"], is_near);
        };
        check(1.0, 1.0, true);
        check(1.2, 1.0, true);
        check(1.21, 1.0, false);
        check(0.8, 1.0, true);
        check(0.79, 1.0, false);
        check(1.0, 0.0, false);
        check(f64::NAN, 1.0, false);
    }

    #[test]
    fn a_point_is_asked_about_as_it_was_reached() {
        let check = |asked: Asked, result: Value, expected: &[&str]| {
            let point = POINTS.into_iter().rfind(|point| point.asked == asked).expect("one");
            let reached = Reached::of(&result).expect("a result");
            assert!((reached.busy_cores - 0.1).abs() < 1e-9, "{reached:?}");
            let options = point.options(reached);
            for option in expected {
                assert!(options.iter().any(|it| it == option), "{option} of {options:?}");
            }
        };
        check(
            Asked::Beats,
            json!({
                "load": "hold", "hold_ms": 2000, "heartbeats": { "count": 5000 },
                "server_at_rest": { "cpu": { "total_us": 200_000.0 } },
            }),
            &["--connections=20000", "--tls=100%", "--heartbeat=8000ms", "--heartbeat-size=4096B"],
        );
        check(
            Asked::Mixed,
            json!({
                "load": "rate", "answers_per_s": 1990.5, "answers": { "hit_ratio": 0.25 },
                "cpu_per_answer_us": { "total": 100_000.0 / 1990.5 },
            }),
            &["--connections=64", "--tls=0%", "--rate=1990.5", "--heartbeat=off", "--hits=25.00%"],
        );
    }
}
