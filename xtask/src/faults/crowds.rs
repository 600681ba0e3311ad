//! Crowds: a million connections that are gone at once, a hundred thousand that come back.

use anyhow::{Context as _, Result};

use super::evidence::Evidence;
use super::stage::{Shape, Stage, WITNESSES, check_witness, closed, count, counter};
use super::{Played, Scene};
use crate::admin::{connections_in, standing};

/// A crowd is parked; its process is killed, so that the kernel closes all of it at once.
pub(super) fn drop_at_once(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let wanted = scene.of(1_000_000, 20_000);
    let crowd = wanted.min(fitting()?);
    if crowd < wanted / 10 {
        return Ok(Played::No(format!("there is memory for {crowd} connections only")));
    }
    if crowd < wanted {
        evidence.figure("connections that fit the memory that is free", crowd);
    }
    let shape = Shape { connections_max: crowd + SPARE, ..Shape::default() };
    let mut stage = Stage::new(scene.rig, shape)?;
    let before = stage.status()?;
    let witness = stage.witness(scene.of(240, 6))?;
    let connections = format!("--connections={crowd}");
    let options = [&*connections, "--hold=1h", "--time-max=2h"];
    let bomb = stage.start_bomb("hold", "/bytes/1024/warm?max_age=3600", &options)?;
    let whole = u64::from(crowd + WITNESSES);
    stage.until("the crowd is parked", |status| (standing(status) >= whole).then_some(()))?;
    let peak_bytes = stage.memory_bytes()?;
    drop(bomb);
    let since = std::time::Instant::now();
    stage.until("the crowd is gone", |status| {
        let open = standing(status) + connections_in(status, "closing");
        (open <= u64::from(WITNESSES)).then_some(())
    })?;
    let gone_ms = since.elapsed().as_millis();
    let after = stage.status()?;
    let gone = |reason| closed(&after, reason) - closed(&before, reason);
    let by_peer = gone("peer-closed") + gone("peer-reset");
    evidence.exactly("closed because the peer left", Some(by_peer), u64::from(crowd));
    check_witness(evidence, witness)?;
    evidence.figure("connections dropped at once", crowd);
    evidence.figure("all of them closed after", format!("{gone_ms} ms"));
    evidence.figure("memory of the edge with the crowd", format!("{} KiB", peak_bytes >> 10));
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

/// A crowd connects, is dropped, connects again within seconds.
pub(super) fn reconnect(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let crowd = scene.of(100_000, 5_000_u32).min(fitting()?);
    let shape = Shape { connections_max: crowd + SPARE, ..Shape::default() };
    let mut stage = Stage::new(scene.rig, shape)?;
    let before = stage.status()?;
    let witness = stage.witness(scene.of(40, 4))?;
    let connections = format!("--connections={crowd}");
    let within = format!("--within={}", scene.of("10s", "1s"));
    let options = ["--mode=waves", &*connections, &*within, "--waves=2"];
    let found = stage.bomb("storm", "/bytes/1024/warm?max_age=3600", &options)?;
    for wave in 0..2 {
        let wave = format!("/waves/{wave}");
        let held = count(&found, &format!("{wave}/held"));
        evidence.exactly("connections of a wave that stood", held, u64::from(crowd));
        let ms = |name: &str| count(&found, &format!("{wave}/{name}_ms")).unwrap_or(0);
        evidence.figure("it came within", format!("{} ms", ms("ramp")));
        evidence.figure("it was gone within", format!("{} ms", ms("drop")));
    }
    let answers = count(&found, "/answers/count");
    evidence.exactly("answers verified", answers, 2 * u64::from(crowd));
    evidence.exactly("faults", count(&found, "/faults/total"), 0);
    check_witness(evidence, witness)?;
    let after = stage.status()?;
    let accepted = |status| counter(status, "longhold_connections_accepted_total");
    let came = accepted(&after) - accepted(&before);
    let least = 2 * u64::from(crowd) + u64::from(WITNESSES);
    evidence.exactly("accepted", Some(came), least);
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

/// Connections for which there is memory: both ends are on this machine.
fn fitting() -> Result<u32> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let kib = kib.context("no MemAvailable in /proc/meminfo")?;
    Ok(u32::try_from(kib / PAIR_KIB).unwrap_or(u32::MAX))
}

/// Slots beyond the crowd's.
const SPARE: u32 = 1024;
/// Kernel memory of a connection with both its ends, and something to spare.
const PAIR_KIB: u64 = 12;
