//! `cargo xtask faults`: what must hold while things go wrong, and whether it does.
//!
//! A table of scenarios. Each has its invariant in words, plays against a release edge, an origin
//! and a store of its own, and ends with the same questions: is every connection accounted for, is
//! the memory back, does the edge still run. Nothing is asserted on time: a slow machine is no
//! fault of the edge. Latencies are printed.
//!
//! A scenario that cannot play here says so, and why; that is neither a pass nor a failure.

mod cgroup;
mod crowds;
mod disks;
mod evidence;
mod life;
mod limits;
mod noise;
mod origins;
mod slow;
mod stage;
mod torn;

use std::fs;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::host::Host;
use crate::rig::Rig;
use crate::tree;
use evidence::Evidence;

/// Options of `cargo xtask faults`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only scenarios of these names.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Smaller crowds: all scenarios in about a minute.
    #[arg(long)]
    short: bool,
    /// Print the table of scenarios, and play none.
    #[arg(long)]
    list: bool,
    /// Take the released programs that are there, whatever the tree says meanwhile.
    #[arg(long)]
    no_build: bool,
}

/// One row of the table.
struct Scenario {
    name: &'static str,
    /// What must hold.
    invariant: &'static str,
    play: fn(&Scene<'_>, &mut Evidence) -> Result<Played>,
}

/// Whether a scenario could play.
#[derive(Debug, PartialEq, Eq)]
enum Played {
    Yes,
    /// It could not, for this reason.
    No(String),
}

/// What a scenario plays with.
struct Scene<'r> {
    rig: &'r Rig,
    short: bool,
}

impl Scene<'_> {
    /// A number for the long form, and one for the short.
    fn of<N>(&self, long: N, short: N) -> N {
        if self.short { short } else { long }
    }
}

/// Plays the scenarios that are asked for; an error when one fails.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    for name in &arguments.only {
        ensure!(TABLE.iter().any(|it| it.name == name), "no scenario {name:?}: see --list");
    }
    let asked = |it: &&Scenario| arguments.only.is_empty() || is_named(&arguments.only, it.name);
    let scenarios: Vec<_> = TABLE.iter().filter(asked).collect();
    if arguments.list {
        for Scenario { name, invariant, .. } in scenarios {
            println!("{name:<16} {invariant}");
        }
        return Ok(());
    }
    let rig = Rig::new(arguments.no_build)?;
    let scene = Scene { rig: &rig, short: arguments.short };
    Host::here().print();
    let mut results = Vec::new();
    let mut failed = Vec::new();
    for scenario in scenarios {
        let (passed, result) = play(scenario, &scene);
        if !passed {
            failed.push(scenario.name);
        }
        results.push(result);
    }
    let result = json!({
        "faults": if arguments.short { "short" } else { "long" },
        "host": Host::here().json(),
        "passed": failed.is_empty(),
        "scenarios": results,
    });
    let path = tree::target_folder().join("faults.json");
    fs::write(&path, serde_json::to_string_pretty(&result)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("\nwritten to {}", path.display());
    if !failed.is_empty() {
        bail!("{} of the scenarios failed: {}", failed.len(), failed.join(", "));
    }
    Ok(())
}

fn is_named(names: &[String], name: &str) -> bool {
    names.iter().any(|it| it == name)
}

/// Plays one scenario and prints what it found; whether it passed, and the result.
fn play(scenario: &Scenario, scene: &Scene<'_>) -> (bool, Value) {
    println!("\n{}: {}", scenario.name, scenario.invariant);
    let mut evidence = Evidence::default();
    let began = Instant::now();
    let played = (scenario.play)(scene, &mut evidence);
    let seconds = began.elapsed().as_secs_f64();
    print!("{evidence}");
    let (verdict, passed) = match &played {
        Ok(Played::Yes) if evidence.passed() => ("pass".to_owned(), true),
        Ok(Played::Yes) => ("FAIL".to_owned(), false),
        Ok(Played::No(why)) => (format!("skip: {why}"), true),
        Err(error) => (format!("FAIL: {error:#}"), false),
    };
    println!("  {verdict} ({seconds:.1} s)");
    let result = json!({
        "name": scenario.name,
        "invariant": scenario.invariant,
        "verdict": verdict,
        "passed": passed,
        "seconds": seconds,
        "evidence": evidence.json(),
    });
    (passed, result)
}

const TABLE: &[Scenario] = &[
    Scenario {
        name: "drop",
        invariant: "When a crowd of parked connections is gone at once, all of them are closed \
                    and accounted for, and those that stay lose nothing.",
        play: crowds::drop_at_once,
    },
    Scenario {
        name: "reconnect",
        invariant: "A crowd that drops and comes back at once gets in whole, every answer right, \
                    and those that stay lose nothing.",
        play: crowds::reconnect,
    },
    Scenario {
        name: "slow-heads",
        invariant: "Heads that never end are answered 408 and closed, every one.",
        play: slow::heads,
    },
    Scenario {
        name: "slow-bodies",
        invariant: "Bodies below the least rate are closed for it, or refused by name, every \
                    one, and uploads and misses work afterwards.",
        play: slow::bodies,
    },
    Scenario {
        name: "slow-readers",
        invariant: "Clients that ask for a large object and do not read it are closed for it, \
                    every one, never with an answer that looks whole.",
        play: slow::readers,
    },
    Scenario {
        name: "silent",
        invariant: "Clients that connect and say nothing are closed by the idle timeout, every \
                    one.",
        play: slow::silent,
    },
    Scenario {
        name: "handshakes",
        invariant: "Clients that never finish their TLS handshake are closed for it, every one.",
        play: slow::handshakes,
    },
    Scenario {
        name: "floods",
        invariant: "Too many fields, too long ones and garbage are refused by name and never \
                    reach the origin; aborted uploads leave nothing behind.",
        play: noise::floods,
    },
    Scenario {
        name: "bursts",
        invariant: "Many requests in one piece are answered in order, every byte right.",
        play: noise::bursts,
    },
    Scenario {
        name: "table-full",
        invariant: "When all slots are taken, newcomers wait and are served as soon as there is \
                    room; those that stand are served meanwhile.",
        play: limits::table_full,
    },
    Scenario {
        name: "descriptors",
        invariant: "When the process has no descriptors left, fetches fail by name, hits are \
                    served, and fetches work again afterwards.",
        play: limits::descriptors,
    },
    Scenario {
        name: "memory",
        invariant: "When the memory budget is lowered below what is used, newcomers are refused \
                    by name, those parked for longest are closed until it fits, those that ask \
                    are served; newcomers are taken again when the budget is back.",
        play: limits::memory,
    },
    Scenario {
        name: "cgroup",
        invariant: "In a cgroup whose memory is far less than what a crowd and a working set want, \
                    the kernel kills nobody: the governor saves in its stages, refuses and closes \
                    by name, and those that are served are served right.",
        play: cgroup::memory,
    },
    Scenario {
        name: "disk-full",
        invariant: "A store that does not fit the disk is refused at start, by name; once \
                    started, a store needs no more space.",
        play: limits::disk_full,
    },
    Scenario {
        name: "kill",
        invariant: "After a kill -9 under load, what was stored is a hit again, and no byte is \
                    wrong, before or after.",
        play: life::kill,
    },
    Scenario {
        name: "torn",
        invariant: "After a power cut under load that loses some writes and tears others, the \
                    edge starts, no byte is wrong, what was purged stays purged, and hits work.",
        play: torn::power_cut,
    },
    Scenario {
        name: "eio",
        invariant: "A disk whose writes fail is given up by name; all answers are right and whole, \
                    and a purge that cannot be made durable is refused and not acknowledged.",
        play: disks::eio,
    },
    Scenario {
        name: "slow-disk",
        invariant: "Over a disk whose writes take long, hits and misses are answered, every byte \
                    right, without waiting for it, and a purge is acknowledged once it is durable.",
        play: disks::slow,
    },
    Scenario {
        name: "origin-death",
        invariant: "While the origin is dead, hits are hits and misses fail by name; when it is \
                    back, misses work again.",
        play: origins::death,
    },
    Scenario {
        name: "origin-hangs",
        invariant: "An origin that does not answer costs those who asked it a 504 and nobody \
                    else anything.",
        play: origins::hangs,
    },
    Scenario {
        name: "origin-lies",
        invariant: "A body that ends early is never taken for a whole one, by clients or by the \
                    store; one that goes on too long never reaches another answer.",
        play: origins::lies,
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::TABLE;

    #[test]
    fn each_scenario_has_a_name_of_its_own_and_a_sentence() {
        let names: BTreeSet<_> = TABLE.iter().map(|it| it.name).collect();
        assert_eq!(names.len(), TABLE.len());
        assert!(TABLE.iter().all(|it| it.invariant.ends_with('.')));
    }
}
