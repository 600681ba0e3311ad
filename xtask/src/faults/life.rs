//! The edge's own death, and its return.

use anyhow::Result;

use super::evidence::Evidence;
use super::stage::{Shape, Stage, count};
use super::{Played, Scene};

/// Killed under load, started again over the store that it had.
pub(super) fn kill(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    // Without a memory tier everything stored is on the disk, so all of it must be back.
    let shape = Shape { memory_tier: "0", ..Shape::default() };
    let mut stage = Stage::new(scene.rig, shape)?;
    for round in 0..scene.of(10, 2) {
        let paths = SIZES.map(|size| format!("/bytes/{size}/round-{round}?max_age=3600"));
        for path in &paths {
            let found = stage.ask(path, 4, 40)?;
            evidence.exactly("answers verified before", count(&found, "/answers/count"), 40);
        }
        let load = |path: &str| {
            let options = ["--connections=16", "--time=30s", "--warmup=0"];
            stage.start_bomb("rate", path, &options)
        };
        let fresh = format!("/bytes/700000/under-load-{round}?max_age=3600");
        let loads = [load(&paths[0])?, load(&paths[2])?, load(&fresh)?];
        let before = super::stage::counter(&stage.status()?, REQUESTS_HIT);
        stage.until("the load is on", |status| {
            (super::stage::counter(status, REQUESTS_HIT) > before + LOAD_HITS).then_some(())
        })?;
        stage.kill_edge();
        let mut verified = 0;
        for load in loads {
            let found = load.result()?;
            let wrong = ["wrong-body", "wrong-length", "wrong-status", "bad-syntax"];
            let fault = |name| count(&found, &format!("/faults/by_name/{name}")).unwrap_or(0);
            let wrong = wrong.map(fault).iter().sum();
            evidence.exactly("wrong answers until the kill", Some(wrong), 0);
            verified += count(&found, "/answers/count").unwrap_or(0);
        }
        // Which of the loads had its answers first is chance, and some were under way.
        evidence.at_least("answers verified", Some(verified), LOAD_HITS / 2);
        stage.start_edge()?;
        for path in &paths {
            let found = stage.ask(path, 2, 20)?;
            evidence.exactly("answers verified afterwards", count(&found, "/answers/count"), 20);
            evidence.exactly("all of them hits", count(&found, "/answers/hits"), 20);
        }
        let found = stage.ask(&fresh, 4, 40)?;
        evidence.exactly("answers verified of the rest", count(&found, "/answers/count"), 40);
    }
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

/// Bodies of all kinds of records: within a chunk, many chunks, slices.
const SIZES: [u64; 5] = [100, 5_000, 65_536, 300_000, 6_000_000];
const REQUESTS_HIT: &str = "longhold_requests_total{cache=hit}";
/// Hits under load before the kill.
const LOAD_HITS: u64 = 500;
