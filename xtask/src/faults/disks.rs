//! Disks that fail and disks that are slow, as a development build of the edge plays them by itself
//! (feature `sabotage`).

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::evidence::Evidence;
use super::stage::{Shape, Stage, check_witness, count, counter};
use super::{Played, Scene};
use crate::rig::Rig;

/// Every fifth write or sync fails, until the store gives its disk up.
pub(super) fn eio(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let rig = Rig::sabotaged()?;
    for memory_tier in ["32MiB", "0"] {
        rig.sabotage("eio");
        let mut stage = Stage::new(&rig, Shape { memory_tier, ..Shape::default() })?;
        let witness = stage.witness(scene.of(20, 5))?;
        let name = stage.store_path().file_name().context("a store has a name")?.to_owned();
        let acknowledged = until_given_up(&stage, evidence)?;
        let log = rig.edge_log()?;
        let is_told = |line: &&str| {
            line.contains("store device offline") && line.contains(&*name.to_string_lossy())
        };
        let told = log.lines().find(is_told).unwrap_or("nothing");
        evidence.holds(
            format!("the log names it, memory tier {memory_tier}"),
            told,
            told != "nothing",
        );
        check_witness(evidence, witness)?;
        stage.check_end(evidence)?;
        // The disk works again: what was acknowledged was durable.
        stage.kill_edge();
        rig.sabotage("");
        stage.start_edge()?;
        let mut hits = 0;
        for path in &acknowledged {
            hits += count(&stage.ask(path, 1, 1)?, "/answers/hits").context("a result has hits")?;
        }
        evidence.exactly("hits of what was purged and acknowledged, later", Some(hits), 0);
    }
    Ok(Played::Yes)
}

/// Asks and purges until the disk is given up, and a little after; what was acknowledged as purged.
fn until_given_up(stage: &Stage<'_>, evidence: &mut Evidence) -> Result<Vec<String>> {
    let (mut asked, mut verified) = (0, 0);
    let (mut acknowledged, mut refusals) = (Vec::new(), Vec::new());
    // Once the disk is given up, no purge can be made durable, and a few more show it.
    let mut left = PURGED_AFTER;
    for number in 0..PURGES_MAX {
        let is_offline = state(&stage.status()?) == "offline";
        left -= u32::from(is_offline);
        if left == 0 {
            break;
        }
        // One in a record of its own, and one in slices.
        let paths = [5_000, 2_000_000]
            .map(|size| format!("/bytes/{size}/failing-{number}?max_age=3600"))
            .to_vec();
        for path in &paths {
            let found = stage.ask(path, 2, 4)?;
            asked += 4;
            verified += count(&found, "/answers/count").unwrap_or(0);
            if let Some(first) = found.pointer("/faults/examples/0") {
                evidence.figure("a fault", first);
            }
        }
        match stage.purge(&paths) {
            Ok(_) if is_offline => {
                evidence.holds("no purge is acknowledged without a disk", "", false)
            }
            Ok(_) => acknowledged.extend(paths),
            Err(refusal) => refusals.push(last_line(&refusal)),
        }
    }
    evidence.exactly("answers verified", Some(verified), asked);
    let status = stage.status()?;
    evidence.holds("the disk's state is told", state(&status), state(&status) == "offline");
    evidence.at_least("purges refused", Some(refusals.len() as u64), 1);
    let strange = refusals.iter().find(|it| !it.contains("could not be made durable"));
    let shown = strange.or(refusals.first()).map_or("none", String::as_str);
    evidence.holds("all for that reason", shown, strange.is_none());
    evidence.figure(
        "purges acknowledged, refused",
        format!("{}, {}", acknowledged.len() / 2, refusals.len()),
    );
    let refetched =
        |result| counter(&status, &format!("longhold_refetches_total{{result={result}}}"));
    evidence.figure(
        "answers that went on from the origin, or could not",
        format!("{}, {}", refetched("continued"), refetched("broken")),
    );
    Ok(acknowledged)
}

/// Each write and each sync takes a fifth of a second: purges wait for them, and nobody else.
pub(super) fn slow(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let rig = Rig::sabotaged()?;
    rig.sabotage("slow-disk");
    for memory_tier in ["32MiB", "0"] {
        let mut stage = Stage::new(&rig, Shape { memory_tier, ..Shape::default() })?;
        let witness = stage.witness(scene.of(20, 5))?;
        let path = "/bytes/2000000/purged?max_age=3600".to_owned();
        stage.ask(&path, 1, 2)?;
        let purged = stage.purge(std::slice::from_ref(&path))?;
        evidence.at_least(
            format!("µs that a purge took to be durable, memory tier {memory_tier}"),
            count(&purged, "/duration_us"),
            200_000,
        );
        let found = stage.ask(&path, 1, 1)?;
        evidence.exactly("hits of what was purged", count(&found, "/answers/hits"), 0);
        misses_beside_a_slow_disk(&stage, scene.of(2000, 400), evidence)?;
        check_witness(evidence, witness)?;
        stage.check_end(evidence)?;
    }
    Ok(Played::Yes)
}

/// The disk is known to be behind by now: no miss waits for it.
fn misses_beside_a_slow_disk(
    stage: &Stage<'_>,
    requests: u32,
    evidence: &mut Evidence,
) -> Result<()> {
    let before = stage.status()?;
    evidence.holds("the disk's state is told", state(&before), state(&before) == "behind");
    let options =
        ["--connections=16", "--keys=50000", "--sizes=5KiB,40KiB,300KiB,2MiB", "--warmup=0"];
    let limit = format!("--requests={requests}");
    let options = [&options[..], &[&limit]].concat();
    let found = stage.bomb("rate", "/bytes/1024/slow?max_age=3600", &options)?;
    evidence.exactly(
        "answers verified, most of them misses",
        count(&found, "/answers/count"),
        requests.into(),
    );
    if let Some(first) = found.pointer("/faults/examples/0") {
        evidence.figure("the first fault", first);
    }
    let latency = |name: &str| count(&found, &format!("/answers/latency/{name}_us")).unwrap_or(0);
    evidence
        .figure("their latency", format!("p50 {} µs, p99 {} µs", latency("p50"), latency("p99")));
    let after = stage.status()?;
    let more = |name: &str| counter(&after, name) - counter(&before, name);
    evidence.exactly("waited for the disk", Some(more("longhold_store_waits_cut_total")), 0);
    evidence.at_least("went past it", Some(more("longhold_store_behind_total")), 1);
    Ok(())
}

/// What the admin API says beneath its head.
fn last_line(refusal: &anyhow::Error) -> String {
    let text = format!("{refusal:#}");
    text.trim_end().lines().next_back().unwrap_or_default().to_owned()
}

/// What the status says of the store's disk.
fn state(status: &Value) -> &str {
    status.pointer("/store/devices/0/state").and_then(Value::as_str).unwrap_or_default()
}

/// Purges until the disk is given up, at most, and after.
const PURGES_MAX: u32 = 60;
const PURGED_AFTER: u32 = 3;
