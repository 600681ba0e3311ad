//! Noise: floods of fields, garbage, aborted uploads, bursts of requests.

use anyhow::Result;
use serde_json::Value;

use super::evidence::Evidence;
use super::stage::{Shape, Stage, check_witness, count, counter};
use super::{Played, Scene};

/// Floods and garbage, refused; uploads that end within their body.
pub(super) fn floods(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let peers = peers(scene);
    let mut stage = Stage::new(scene.rig, shape(peers))?;
    let witness = stage.witness(scene.of(15, 2))?;
    let fetches = |status: &Value| counter(status, "longhold_origin_fetches_total");
    let before = fetches(&stage.status()?);
    for mode in ["header-flood", "garbage"] {
        let found = storm(&stage, mode, peers, &[])?;
        let statuses = found.get("statuses").and_then(Value::as_object);
        let refused = statuses.map(|statuses| {
            let is_refusal = |status: &str| matches!(status, "400" | "414" | "431" | "501" | "505");
            let refusals = statuses.iter().filter(|(status, _)| is_refusal(status));
            refusals.filter_map(|(_, count)| count.as_u64()).sum()
        });
        evidence.exactly(format!("{mode}: refused by name"), refused, u64::from(peers));
        let answered = count(&found, "/endings/answered");
        evidence.exactly(format!("{mode}: and closed"), answered, u64::from(peers));
    }
    let after = fetches(&stage.status()?);
    evidence.exactly("requests of theirs that reached the origin", Some(after - before), 0);
    let found = storm(&stage, "aborted-upload", peers, &[])?;
    evidence.exactly("uploads aborted", count(&found, "/endings/left"), u64::from(peers));
    check_witness(evidence, witness)?;
    let fresh = stage.ask("/bytes/1024/after?max_age=60", 8, 80)?;
    evidence.exactly("answers verified afterwards", count(&fresh, "/answers/count"), 80);
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

/// Bursts, each answered whole and in order.
pub(super) fn bursts(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let peers = peers(scene);
    let mut stage = Stage::new(scene.rig, shape(peers))?;
    let witness = stage.witness(scene.of(15, 2))?;
    let burst = format!("--burst={BURST}");
    let found = storm(&stage, "pipelining", peers, &[&burst, "--at-once=500"])?;
    let verified = count(&found, "/verified");
    evidence.exactly("answers verified", verified, u64::from(peers) * u64::from(BURST));
    evidence.exactly("peers with all of theirs", count(&found, "/endings/verified"), peers.into());
    evidence.exactly("faults", count(&found, "/faults/total"), 0);
    check_witness(evidence, witness)?;
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

fn storm(stage: &Stage<'_>, mode: &str, peers: u32, options: &[&str]) -> Result<Value> {
    let (mode, connections) = (format!("--mode={mode}"), format!("--connections={peers}"));
    let usual = [&*mode, &*connections, "--time=2m"];
    stage.bomb("storm", "/bytes/2048/noise?max_age=3600", &[&usual, options].concat())
}

fn shape(peers: u32) -> Shape {
    Shape { connections_max: peers + SPARE, active_max: peers, ..Shape::default() }
}

fn peers(scene: &Scene<'_>) -> u32 {
    scene.of(10_000, 500)
}

const BURST: u32 = 64;
/// Slots beyond the storm's.
const SPARE: u32 = 1024;
