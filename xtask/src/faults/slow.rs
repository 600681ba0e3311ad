//! Slow and silent clients, by the ten thousand. Each is closed, for the right reason, and the
//! others are served meanwhile.

use anyhow::Result;
use serde_json::Value;

use super::evidence::Evidence;
use super::stage::{Shape, Stage, check_witness, closed, closed_by_reason, count, counter};
use super::{Played, Scene};

/// Heads, a byte at a time.
pub(super) fn heads(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let shape = Shape { head_timeout: "1s", ..crowded(scene) };
    let mut stage = Stage::new(scene.rig, shape)?;
    let siege = besiege(scene, &stage, "slow-head", "/bytes/100", &["--every=500ms"])?;
    let Siege { peers, found, before, after, witness } = siege;
    evidence.exactly("answered 408", count(&found, "/statuses/408"), peers);
    evidence.exactly("answered and closed", count(&found, "/endings/answered"), peers);
    let name = "longhold_rejects_total{status=408}";
    let rejected = counter(&after, name) - counter(&before, name);
    evidence.exactly("refused by the edge with 408", Some(rejected), peers);
    borne(evidence, &found);
    check_witness(evidence, witness)?;
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

/// Request bodies, far below the least rate.
pub(super) fn bodies(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let shape = Shape { body_rate_min: "64KiB/s", body_grace: "1s", ..crowded(scene) };
    let mut stage = Stage::new(scene.rig, shape)?;
    let options = ["--every=500ms", "--piece=16"];
    let siege = besiege(scene, &stage, "slow-body", "/upload", &options)?;
    let Siege { peers, found, before, after, witness } = siege;
    let ended = |name: &str| count(&found, &format!("/endings/{name}"));
    let silently = ended("closed").zip(ended("reset")).map(|(closed, reset)| closed + reset);
    let refused = count(&found, "/statuses/503").unwrap_or(0);
    evidence.exactly("closed, or refused with 503", silently.map(|n| n + refused), peers);
    // Who was refused may be closed for its slowness before it has left.
    let late = closed(&after, "body-timeout") - closed(&before, "body-timeout");
    evidence.at_least("closed for a body too slow", Some(late), peers - refused);
    evidence.figure("refused because the origin's queue was full", refused);
    borne(evidence, &found);
    check_witness(evidence, witness)?;
    let fresh = stage.ask("/bytes/1024/after?max_age=60", 8, 80)?;
    evidence.exactly("answers verified afterwards", count(&fresh, "/answers/count"), 80);
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

/// Readers of a large object that read nothing of it.
pub(super) fn readers(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let shape = Shape { body_rate_min: "2MiB/s", body_grace: "1s", ..crowded(scene) };
    let mut stage = Stage::new(scene.rig, shape)?;
    let path = "/bytes/16777216/large?max_age=3600";
    stage.ask(path, 1, 1)?;
    let options = ["--piece=0"];
    let siege = besiege(scene, &stage, "slow-reader", path, &options)?;
    let Siege { peers, found, before, after, witness } = siege;
    evidence.exactly("answers that look whole", count(&found, "/endings/answered"), 0);
    let by = |name: &str| count(&found, &format!("/endings/{name}")).unwrap_or(0);
    // Where the kernel is out of memory for sockets, the end of a connection may be lost with what
    // was on its way.
    let cut = by("cut") + by("reset") + by("closed") + by("stood");
    evidence.exactly("cut off", Some(cut), peers);
    evidence.figure("of them without having heard of it", by("stood"));
    let late = closed(&after, "send-timeout") - closed(&before, "send-timeout");
    evidence.exactly("closed for a response taken too slowly", Some(late), peers);
    let taken = count(&found, "/received_bytes").unwrap_or(0) / peers.max(1);
    evidence.figure("bytes in flight for each when it was closed", taken);
    check_witness(evidence, witness)?;
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

/// Connections that say nothing.
pub(super) fn silent(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let shape = Shape { idle_timeout: "2s", ..crowded(scene) };
    let mut stage = Stage::new(scene.rig, shape)?;
    let siege = besiege(scene, &stage, "silent", "/", &[])?;
    let Siege { peers, found, before, after, witness } = siege;
    evidence.exactly("closed without a word", count(&found, "/endings/closed"), peers);
    let idle = closed(&after, "idle-timeout") - closed(&before, "idle-timeout");
    evidence.exactly("closed for idleness", Some(idle), peers);
    borne(evidence, &found);
    check_witness(evidence, witness)?;
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

/// TLS handshakes that stop within their first message.
pub(super) fn handshakes(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let shape = Shape { handshake_timeout: Some("2s"), ..crowded(scene) };
    let mut stage = Stage::new(scene.rig, shape)?;
    let url = stage.secure_url();
    let siege = besiege(scene, &stage, "half-handshake", &url, &[])?;
    let Siege { peers, found, before, after, witness } = siege;
    let ended = |name: &str| count(&found, &format!("/endings/{name}")).unwrap_or(0);
    let by_server = ended("closed") + ended("reset") + ended("answered");
    evidence.exactly("closed by the edge", Some(by_server), peers);
    let late = closed(&after, "handshake-timeout") - closed(&before, "handshake-timeout");
    evidence.exactly("closed for a handshake that took too long", Some(late), peers);
    borne(evidence, &found);
    check_witness(evidence, witness)?;
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

/// A storm and what it left behind.
struct Siege {
    peers: u64,
    found: Value,
    before: Value,
    after: Value,
    witness: crate::rig::Program,
}

/// Lets a storm loose on a stage while witnesses ask for what is stored.
fn besiege(
    scene: &Scene<'_>,
    stage: &Stage<'_>,
    mode: &str,
    path: &str,
    options: &[&str],
) -> Result<Siege> {
    let peers = peers(scene);
    let (mode, connections) = (format!("--mode={mode}"), format!("--connections={peers}"));
    let time = format!("--time={}", scene.of("40s", "6s"));
    let before = stage.status()?;
    let witness = stage.witness(scene.of(25, 3))?;
    let usual = [&*mode, &*connections, &*time];
    let found = stage.bomb("storm", path, &[&usual, options].concat())?;
    // What the storm left is closed by the edge before its reasons are counted.
    let after = stage.until("the storm is over", |status| {
        let open: u64 = closed_by_reason(status).iter().map(|(_, count)| count).sum();
        let all = counter(status, "longhold_connections_accepted_total");
        (all - open <= u64::from(super::stage::WITNESSES)).then(|| status.clone())
    })?;
    Ok(Siege { peers: u64::from(peers), found, before, after, witness })
}

fn borne(evidence: &mut Evidence, found: &Value) {
    let ms = |name: &str| count(found, &format!("/borne/{name}_us")).unwrap_or(0) / 1000;
    let (half, most) = (ms("p50"), ms("max"));
    evidence.figure("borne for", format!("p50 {half} ms, max {most} ms"));
    evidence.exactly("faults of the storm", count(found, "/faults/total"), 0);
    evidence.exactly("peers that nobody closed", count(found, "/endings/stood"), 0);
}

fn crowded(scene: &Scene<'_>) -> Shape {
    let peers = peers(scene);
    Shape { connections_max: peers + SPARE, active_max: peers, ..Shape::default() }
}

fn peers(scene: &Scene<'_>) -> u32 {
    scene.of(10_000, 500)
}

/// Slots beyond the storm's.
const SPARE: u32 = 1024;
