//! Limits that are reached: slots, descriptors, the disk.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::evidence::Evidence;
use super::stage::{Shape, Stage, check_witness, closed, count, counter, stage_of};
use super::{Played, Scene};
use crate::admin::standing;

/// All slots are taken, and more want in.
pub(super) fn table_full(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let shape = Shape { connections_max: SLOTS, ..Shape::default() };
    let mut stage = Stage::new(scene.rig, shape)?;
    let witness = stage.witness(5)?;
    // Each worker has its share of the slots, and the kernel spreads connections by chance: more
    // than there are slots, so that both shares are taken.
    let crowd = format!("--connections={SLOTS}");
    let path = "/bytes/1024/warm?max_age=3600";
    let holders = stage.start_bomb("hold", path, &[&crowd, "--hold=10m", "--time-max=20m"])?;
    let before = stage.until("all slots are taken", |status| {
        (standing(status) == u64::from(SLOTS)).then(|| status.clone())
    })?;
    let waiting = format!("--connections={WAITING}");
    let newcomers = stage.start_bomb("hold", path, &[&waiting, "--hold=0s"])?;
    let refused = "longhold_connections_refused_total{limit=table}";
    let full = stage.until("the table is full by name", |status| {
        (counter(status, refused) > counter(&before, refused)).then(|| status.clone())
    })?;
    evidence.at_most("slots in use", Some(standing(&full)), u64::from(SLOTS));
    drop(holders);
    let found = newcomers.result()?;
    evidence.exactly("newcomers served", count(&found, "/first/count"), u64::from(WAITING));
    evidence.exactly("faults of the newcomers", count(&found, "/faults/total"), 0);
    check_witness(evidence, witness)?;
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

/// The process may open hardly more files than it has, and the origin is slow.
pub(super) fn descriptors(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let mut stage = Stage::new(scene.rig, Shape::default())?;
    let witness = stage.witness(scene.of(10, 5))?;
    let exhausted = "longhold_origin_errors_total{error=exhausted}";
    let before = counter(&stage.status()?, exhausted);
    stage.limit_files(Some(SPARE_FILES))?;
    let crowd = format!("--connections={FETCHES}");
    let slow = "/bytes/1000/slow?cache_control=no-store&delay_ms=2000";
    let found = stage.bomb("hold", slow, &[&crowd, "--hold=0s"])?;
    let answered = count(&found, "/first/count").unwrap_or(0);
    let refused = count(&found, "/faults/by_name/wrong-status").unwrap_or(0);
    evidence.exactly("fetches answered or refused", Some(answered + refused), FETCHES.into());
    evidence.at_least("refused", Some(refused), 1);
    let named = counter(&stage.status()?, exhausted) - before;
    evidence.at_least("fetches that found no descriptor, by name", Some(named), 1);
    check_witness(evidence, witness)?;
    stage.limit_files(None)?;
    let fresh = stage.ask("/bytes/1024/after?max_age=60", 4, 40)?;
    evidence.exactly("answers verified afterwards", count(&fresh, "/answers/count"), 40);
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

/// The memory budget is lowered while a crowd is parked.
pub(super) fn memory(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let crowd = scene.of(20_000, 4_000_u32);
    let connections_max = crowd + SPARE;
    let mut stage = Stage::new(scene.rig, Shape { connections_max, ..Shape::default() })?;
    let connections = format!("--connections={crowd}");
    let options = [&*connections, "--hold=10m", "--time-max=20m"];
    let path = "/bytes/1024/warm?max_age=3600";
    let parked = stage.start_bomb("hold", path, &options)?;
    stage.until("the crowd is parked", |status| {
        (standing(status) >= u64::from(crowd)).then_some(())
    })?;
    let witness = stage.witness(scene.of(20, 6))?;
    // It looks once a second.
    let before = stage.until("the governor has seen the crowd", |status| {
        let sockets = count(status, "/governor/used/parts/sockets")?;
        (sockets >= u64::from(crowd) << 10).then(|| status.clone())
    })?;
    let used = count(&before, "/governor/used/bytes").context("the status tells what is used")?;
    stage.set_budget(Some(used))?;
    let is_shed = |status: &Value| {
        let closed = closed(status, "overload") > closed(&before, "overload");
        (closed && stage_of(status) == "close-oldest").then_some(())
    };
    stage.until("those parked for longest are closed", is_shed)?;
    let connections = format!("--connections={NEWCOMERS}");
    let newcomers = stage.bomb("hold", path, &[&*connections, "--hold=0s"])?;
    let refused = "longhold_connections_refused_total{limit=pressure}";
    let named = counter(&stage.status()?, refused) - counter(&before, refused);
    evidence.at_least("newcomers refused by name", Some(named), 1);
    evidence.at_least("refused, as they saw it", count(&newcomers, "/faults/total"), 1);
    let low = stage.until("it fits", |status| {
        let is_over = matches!(stage_of(status), "close-oldest");
        (!is_over).then(|| status.clone())
    })?;
    let shed = closed(&low, "overload") - closed(&before, "overload");
    evidence.at_most("closed, of the crowd", Some(shed), u64::from(crowd + NEWCOMERS));
    evidence.figure("closed to fit", shed);
    check_witness(evidence, witness)?;
    stage.set_budget(None)?;
    stage.until("newcomers are taken again", |status| {
        let is_taken = !matches!(stage_of(status), "close-oldest" | "refuse-newcomers");
        is_taken.then_some(())
    })?;
    let fresh = stage.ask("/bytes/1024/after?max_age=60", 4, 40)?;
    evidence.exactly("answers verified afterwards", count(&fresh, "/answers/count"), 40);
    drop(parked);
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

/// A store larger than the disk. That the disk fills up later cannot be played without a file
/// system of one's own, and does not concern the store, whose file has all its bytes from the
/// beginning.
pub(super) fn disk_full(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let size_mib = (scene.rig.free_disk_bytes()? >> 20) + 1024;
    let (ended, said) = scene.rig.edge_refuses(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[store]\npath = \"too-large\"\n\
         size = \"{size_mib}MiB\"\nobjects_max = 1024\n[[site]]\nhosts = [\"*\"]\n\
         origin = {{ urls = [\"http://127.0.0.1:9\"] }}\n[admin]\naddress = \"127.0.0.1:0\"\n",
    ))?;
    evidence.holds("the edge does not start", ended, !ended.success());
    let named = said.lines().find(|line| line.contains("too-large") && line.contains("space"));
    evidence.holds("and says that space is missing", named.unwrap_or(&said), named.is_some());
    Ok(Played::Yes)
}

/// Slots of an edge that is to be full.
const SLOTS: u32 = 256;
/// Connections that come when it is.
const WAITING: u32 = 100;
/// What the process may open beyond what it has, and fetches at once that would need more.
const SPARE_FILES: usize = 24;
const FETCHES: u32 = 160;
/// Connections that come while none are taken.
const NEWCOMERS: u32 = 20;
/// Slots beyond a crowd's.
const SPARE: u32 = 1024;
