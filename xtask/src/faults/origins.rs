//! Origins that die, hang and lie.

use anyhow::Result;
use serde_json::Value;

use super::evidence::Evidence;
use super::stage::{Shape, Stage, check_witness, count};
use super::{Played, Scene};

/// The origin is killed, and comes back where it was.
pub(super) fn death(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let mut stage = Stage::new(scene.rig, Shape::default())?;
    let witness = stage.witness(scene.of(10, 2))?;
    stage.kill_origin();
    let missing = "/bytes/1024/missing?max_age=3600";
    let crowd = ["--connections=100", "--hold=0s"];
    let found = stage.bomb("hold", missing, &crowd)?;
    evidence.exactly("misses that were answered", count(&found, "/first/count"), 0);
    all_by_name(evidence, &found, 100);
    check_witness(evidence, witness)?;
    stage.start_origin()?;
    // The edge may wait a moment before it tries an origin again that was dead.
    let mut verified = None;
    for _ in 0..ATTEMPTS {
        let found = stage.ask(missing, 4, 40)?;
        verified = count(&found, "/answers/count");
        if verified == Some(40) {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    evidence.exactly("answers verified when it is back", verified, 40);
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

/// The origin takes the request and says nothing for a minute.
pub(super) fn hangs(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let shape = Shape { first_byte_timeout: "1s", ..Shape::default() };
    let mut stage = Stage::new(scene.rig, shape)?;
    let witness = stage.witness(scene.of(10, 2))?;
    let hanging = "/bytes/1024/hanging?max_age=3600&delay_ms=60000";
    let found = stage.bomb("hold", hanging, &["--connections=100", "--hold=0s"])?;
    all_by_name(evidence, &found, 100);
    check_witness(evidence, witness)?;
    let found = stage.ask("/bytes/1024/after?max_age=60", 4, 40)?;
    evidence.exactly("answers verified meanwhile", count(&found, "/answers/count"), 40);
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

/// Bodies that end before their length or their last chunk, and one that goes on behind it.
pub(super) fn lies(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let mut stage = Stage::new(scene.rig, Shape::default())?;
    let witness = stage.witness(scene.of(10, 2))?;
    for size in [1_000_u64, 300_000, 6_000_000] {
        for framing in ["", "&chunked=1"] {
            let path = format!("/bytes/{size}/cut?max_age=3600&cut={}{framing}", size / 2);
            for _ in 0..2 {
                let found = stage.bomb("hold", &path, &["--connections=20", "--hold=0s"])?;
                let what = format!("{size} bytes, half of them{framing}: taken for whole");
                evidence.exactly(what, count(&found, "/first/count"), 0);
                evidence.exactly("told as faults", count(&found, "/faults/total"), 20);
                let wrong = count(&found, "/faults/by_name/wrong-length").unwrap_or(0);
                evidence.exactly("that end as if they were whole", Some(wrong), 0);
            }
        }
    }
    for number in 0..20 {
        let path = format!("/bytes/1000/long-{number}?max_age=3600&extra=500");
        let found = stage.ask(&path, 4, 8)?;
        evidence.exactly("answers verified though more came", count(&found, "/answers/count"), 8);
    }
    check_witness(evidence, witness)?;
    let found = stage.ask("/bytes/1024/after?max_age=60", 4, 40)?;
    evidence.exactly("answers verified afterwards", count(&found, "/answers/count"), 40);
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

/// Every connection got a status that says whose fault it was.
fn all_by_name(evidence: &mut Evidence, found: &Value, connections: u64) {
    let refused = count(found, "/faults/by_name/wrong-status");
    evidence.exactly("misses refused by a status", refused, connections);
    let examples = found.pointer("/faults/examples").and_then(Value::as_array);
    let of_gateway = |example: &Value| {
        let detail = example.get("detail").and_then(Value::as_str).unwrap_or_default();
        ["status 502", "status 503", "status 504"].contains(&detail)
    };
    let all = examples.is_some_and(|examples| examples.iter().all(of_gateway));
    let first = examples.and_then(|examples| examples.first()?.get("detail").cloned());
    evidence.holds("of a gateway: 502, 503 or 504", first.unwrap_or_default(), all);
}

const ATTEMPTS: u32 = 30;
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
