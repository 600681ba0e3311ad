//! `cargo xtask loadtest PROFILE`: holds and loads the edge, and fails when it does not stand it.
//!
//! ```text
//! suffice? ─► small edge ─► edge, origin ─► warm ─► hold: stage, rest, stage, rest …
//!                                                    loop of hits in the last rest ─┘ ─► judge
//! ```
//! Every byte is verified. What must hold is the profile's and what `--assert` adds; nothing is
//! asserted on time unless it is asked for, since a slow machine is no fault of the edge.

mod assertion;
mod metric;
mod page;
mod profile;
mod proof;
mod suffice;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use longhold_report::Unit;
use serde_json::{Value, json};

use crate::admin;
use crate::host::Host;
use crate::parked::{Crowd, Kind, count_of};
use crate::rig::{EdgeTransport, Program, Rig, Server};
use crate::tree;
use assertion::{Assertion, Verdict};
use metric::{Findings, Metric};
use profile::{Custom, Name, Profile};

/// Options of a load test.
#[derive(Debug, clap::Args)]
#[command(after_help = help())]
pub(crate) struct Arguments {
    /// Which one.
    #[arg(value_enum)]
    profile: Name,
    /// What must hold, such as held>=99.9%, p99<=20ms or rss_per_conn<=256; takes the place of what
    /// the profile asserts of the same figure. May be given more than once.
    #[arg(long = "assert", value_name = "WHAT", value_parser = Assertion::parse)]
    asserts: Vec<Assertion>,
    /// Connections of a custom test; 10k and 2m are numbers, too.
    #[arg(long, value_parser = count_of, conflicts_with = "stages")]
    connections: Option<u32>,
    /// Stages instead, such as 10k,50k,100k: each adds connections and then rests.
    #[arg(long, value_delimiter = ',', value_parser = count_of)]
    stages: Vec<u32>,
    /// What is spoken on the connections of a custom test.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// How long they rest in each stage, such as 30s or 2m.
    #[arg(long, value_parser = duration)]
    hold: Option<Duration>,
    /// A request on each, once per this interval.
    #[arg(long, value_parser = duration)]
    heartbeat: Option<Duration>,
    /// Workers of the edge. One has a core to itself, and the clients have another.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    workers: u32,
    /// What the edge stands on.
    #[arg(long, value_enum, default_value = "uring")]
    transport: EdgeTransport,
    /// Print the result as one JSON object, too.
    #[arg(long)]
    json: bool,
    /// Take the released programs that are there, whatever the tree says meanwhile.
    #[arg(long)]
    no_build: bool,
}

/// A test that is over.
struct Tested {
    host: Host,
    profile: Profile,
    transport: EdgeTransport,
    workers: u32,
    findings: Findings,
    verdicts: Vec<Verdict>,
}

/// Runs a load test; an error when an assertion fails.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let custom = Custom {
        stages: arguments.connections.map_or_else(|| arguments.stages.clone(), |it| vec![it]),
        kind: arguments.kind,
        hold: arguments.hold,
        heartbeat: arguments.heartbeat,
    };
    let profile = arguments.profile.profile(&custom)?;
    let assertions = assertions(&profile, &arguments.asserts)?;
    if arguments.profile == Name::Sabotage {
        return proof::run(&profile, &assertions, arguments.transport);
    }
    let mut rig = Rig::new(arguments.no_build)?;
    if arguments.workers == 1 {
        rig.keep_apart();
    }
    suffice::ask(&rig, &profile)?;
    let crowd = Crowd {
        kind: profile.kind,
        connections: profile.connections(),
        workers: arguments.workers,
        transport: arguments.transport,
    };
    let findings = measure(&rig, &profile, crowd)?;
    let verdicts = assertions.iter().map(|it| it.judge(it.metric.of(&findings))).collect();
    let (transport, workers) = (arguments.transport, arguments.workers);
    let tested = Tested { host: Host::here(), profile, transport, workers, findings, verdicts };
    let paths = tested.write()?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&tested.json())?);
    } else {
        tested.print();
        println!("written to {} and {}", paths[0].display(), paths[1].display());
    }
    let failed: Vec<_> = tested.verdicts.iter().filter(|it| !it.passed).collect();
    let names: Vec<_> = failed.iter().map(|it| it.assertion.as_str()).collect();
    let all = tested.verdicts.len();
    ensure!(failed.is_empty(), "{} of {all} assertions failed: {}", failed.len(), names.join(", "));
    Ok(())
}

/// Shows that each assertion fails on an edge that fails on purpose, and on no other.
pub(crate) fn prove() -> Result<()> {
    let profile = Name::Sabotage.profile(&Custom::default())?;
    proof::run(&profile, &assertions(&profile, &[])?, EdgeTransport::Uring)
}

/// The profile's assertions, but for those whose figure is among `asked`, and these.
fn assertions(profile: &Profile, asked: &[Assertion]) -> Result<Vec<Assertion>> {
    let of_profile = profile.asserts.iter().map(|text| Assertion::parse(text));
    let mut all = of_profile.collect::<Result<Vec<_>>>()?;
    all.retain(|it| asked.iter().all(|other| other.metric != it.metric));
    all.extend_from_slice(asked);
    Ok(all)
}

fn measure(rig: &Rig, profile: &Profile, crowd: Crowd) -> Result<Findings> {
    let mut stand = crowd.stand(rig)?;
    let mut options = stand.hold_options(&profile.stages, profile.hold);
    if let Some(interval) = profile.heartbeat {
        options.push(format!("--heartbeat={}ms", interval.as_millis()));
    }
    options.push(format!("--answer-timeout={}ms", profile.patience.as_millis()));
    let mut holding = rig.start_bomb(&options)?;
    let mut rate = None;
    if !profile.kind.is_tunnel() && await_rest(&stand.server, &mut holding, crowd.connections)? {
        rate = Some(rig.bomb(&loop_options(&stand.server, profile))?);
    }
    let hold = holding.result()?;
    stand.edge.ensure_running()?;
    // A hold that lacks figures fails the assertions on them.
    let footprint = stand.footprint(&hold).ok();
    Ok(Findings { hold, rate, footprint })
}

/// Waits until all connections stand, or as many as there will be; false when the load is over
/// before.
fn await_rest(server: &Server, holding: &mut Program, connections: u32) -> Result<bool> {
    let admin = server.admin.context("an edge has an admin API")?;
    let mut best = (0, Instant::now());
    while holding.is_running()? {
        let standing = admin::standing(&admin::get(admin, "/status.json")?);
        if standing > best.0 {
            best = (standing, Instant::now());
        }
        let is_most = best.0 >= u64::from(connections) * 9 / 10 && best.1.elapsed() >= STILL;
        if standing >= u64::from(connections) || is_most {
            return Ok(true);
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(false)
}

/// A loop of hits that is over well before the connections have rested.
fn loop_options(server: &Server, profile: &Profile) -> Vec<String> {
    let time = (profile.hold / 2).clamp(LOOP_MIN, LOOP_MAX);
    let time_max = time + profile.patience / 2;
    vec![
        "rate".to_owned(),
        format!("--url={}", server.url("/bytes/16384/loop?max_age=3600")),
        "--connections=32".to_owned(),
        "--warmup=100".to_owned(),
        format!("--time={}ms", time.as_millis()),
        format!("--time-max={}ms", time_max.as_millis()),
        format!("--server-pid={}", server.pid_option()),
    ]
}

impl Tested {
    /// What was asked of the edge, in words.
    fn load(&self) -> String {
        let Profile { kind, stages, hold, heartbeat, .. } = &self.profile;
        let stages: Vec<_> = stages
            .iter()
            .map(|it| Unit::Count.say(f64::from(*it)).replace('\u{a0}', " "))
            .collect();
        let beat = heartbeat.map_or_else(
            || "an event on each every 10 s".to_owned(),
            |interval| format!("a request on each every {} s", interval.as_secs_f64()),
        );
        format!(
            "{} connections ({}) over {}, {} worker(s); {} s of rest in each stage, {beat}",
            stages.join(", then "),
            kind.name(),
            self.transport.kernel_name(),
            self.workers,
            hold.as_secs_f64()
        )
    }

    fn json(&self) -> Value {
        let verdict = |it: &Verdict| {
            let Verdict { assertion, found, passed, .. } = it;
            json!({ "assertion": assertion, "found": found, "passed": passed })
        };
        let footprint = self.findings.footprint.as_ref();
        json!({
            "loadtest": self.profile.name,
            "host": self.host.json(),
            "load": self.load(),
            "passed": self.verdicts.iter().all(|it| it.passed),
            "assertions": self.verdicts.iter().map(verdict).collect::<Vec<_>>(),
            "figures": Metric::json(&self.findings),
            "memory": footprint.map(|it| json!({
                "reserved_bytes_each": it.reserved(),
                "growth_bytes_each": it.growth(),
                "slab_bytes_each": it.slab(),
            })),
            "hold": self.findings.hold,
            "rate": self.findings.rate,
        })
    }

    /// Writes `target/loadtest/PROFILE.json` and `.html`.
    fn write(&self) -> Result<[PathBuf; 2]> {
        let folder = tree::target_folder().join("loadtest");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = |kind: &str| folder.join(format!("{}.{kind}", self.profile.name));
        let written = [
            (path("json"), serde_json::to_string_pretty(&self.json())?),
            (path("html"), page::of(self)),
        ];
        for (path, text) in &written {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(written.map(|(path, _)| path))
    }

    fn print_stages(&self) {
        println!(
            "connections        held   lost   edge, MiB (proportional)   sockets   beats    p99"
        );
        let stages = self.findings.hold.get("stages").and_then(Value::as_array);
        for stage in stages.into_iter().flatten() {
            let of =
                |pointer: &str| stage.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
            println!(
                "{:>11} {:>11} {:>6} {:>11.1} {:>14.1} {:>9} {:>7} {:>9}",
                of("/connections"),
                of("/held"),
                of("/lost"),
                of("/server/anonymous_bytes") / MIB,
                of("/server/proportional_bytes") / MIB,
                of("/sockets"),
                of("/heartbeats"),
                Unit::Micros.say(of("/p99_us"))
            );
        }
        println!();
    }

    fn print(&self) {
        self.host.print();
        println!("load       {}", self.load());
        println!();
        self.print_stages();
        for metric in Metric::ALL {
            if let Some(found) = metric.of(&self.findings) {
                let said = metric.quantity().say(found);
                println!("{:<16} {said:>12}   {}", metric.name(), metric.about());
            }
        }
        println!();
        for verdict in &self.verdicts {
            println!("{verdict}");
        }
    }
}

/// A duration as typed: `250ms`, `30s`, `10m`.
fn duration(text: &str) -> Result<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit()).context("a unit is missing: such as 30s")?;
    let (number, unit) = text.split_at(at);
    let number: u64 = number.parse().context("a whole number and a unit: such as 30s")?;
    let seconds = |each: u64| number.checked_mul(each).filter(|it| *it <= DURATION_S_MAX);
    let found = match unit {
        "ms" => (number <= DURATION_S_MAX * 1000).then(|| Duration::from_millis(number)),
        "s" => seconds(1).map(Duration::from_secs),
        "m" => seconds(60).map(Duration::from_secs),
        "h" => seconds(3600).map(Duration::from_secs),
        _ => anyhow::bail!("unknown unit {unit:?}: use ms, s, m or h"),
    };
    found.context("longer than a day")
}

fn help() -> String {
    let mut help = "Figures to assert:\n".to_owned();
    for metric in Metric::ALL {
        let of = metric.quantity();
        let example = format!("{} ({})", of.name(), of.example());
        help.push_str(&format!("  {:<16} {example:<20} {}\n", metric.name(), metric.about()));
    }
    help + "Operators: >=, <=, ==, > and <. Units: % or a number up to 1; us, ms, s; B, KiB, MiB, \
            GiB; k, m.\n\nResults: target/loadtest/PROFILE.json and PROFILE.html"
}

const MIB: f64 = 1_048_576.0;
/// Longest rest and interval.
const DURATION_S_MAX: u64 = 86_400;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// No connection more for so long: there will be none.
const STILL: Duration = Duration::from_secs(1);
const LOOP_MIN: Duration = Duration::from_secs(1);
const LOOP_MAX: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests;
