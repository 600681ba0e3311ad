//! A cgroup whose bound of memory is far below what its clients want.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::evidence::Evidence;
use super::stage::{Shape, Stage, check_witness, closed, count, counter, stage_of};
use super::{Played, Scene};
use crate::admin::standing;

/// A crowd, a working set and hits against an edge in such a group. Whatever becomes of the rest,
/// the kernel's kills are told.
pub(super) fn memory(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    let group = match Group::new(ROOMY_BYTES) {
        Ok(group) => group,
        Err(why) => return Ok(Played::No(why)),
    };
    let played = play(scene, &group, evidence);
    evidence.exactly("processes killed by the kernel", group.kills().ok(), 0);
    played
}

fn play(scene: &Scene<'_>, group: &Group, evidence: &mut Evidence) -> Result<Played> {
    let crowd = scene.of(40_000, 20_000_u32);
    let shape = Shape { connections_max: crowd + SPARE, memory_tier: TIER, ..Shape::default() };
    let mut stage = Stage::within(scene.rig, shape, Some(&group.file("cgroup.procs")))?;
    let members = group.read("cgroup.procs")?;
    evidence.holds("the edge is alone in it", members.trim(), members.lines().count() == 1);
    let witness = stage.witness(scene.of(30, 10))?;
    let before = stage.status()?;
    let idle_bytes = group.used_bytes()?;
    group.bound(idle_bytes + ROOM_BYTES)?;
    // It looks once a second.
    let from = stage.until("the governor has seen the bound", |status| {
        let bytes = count(status, "/governor/budget_bytes")?;
        let from = status.pointer("/governor/budget_from")?.as_str()?;
        (bytes.abs_diff(idle_bytes + ROOM_BYTES) < PAGE_BYTES).then(|| from.to_owned())
    })?;
    evidence.holds("the bound that decides", &from, from.contains("cgroup"));
    let [bound, used] = [idle_bytes + ROOM_BYTES, idle_bytes].map(|bytes| bytes >> 10);
    evidence.figure("bound, used before", format!("{bound} KiB, {used} KiB"));

    let time = format!("--time={}s", scene.of(20, 6));
    let keys = ["--keys=16k", "--zipf=0.5", "--connections=16", "--warmup=0", &*time];
    let set = stage.start_bomb("rate", "/bytes/16384/set?max_age=3600", &keys)?;
    let connections = format!("--connections={crowd}");
    let hold = [&*connections, "--hold=1h", "--time-max=2h"];
    let parked = stage.start_bomb("hold", WARM, &hold)?;
    let is_relieved = |status: &Value| matches!(stage_of(status), "calm" | "shrink-pools");
    let refused = |status: &Value| counter(status, REFUSED) - counter(&before, REFUSED);
    let full = stage.until("newcomers are refused and nothing is stored", |status| {
        (refused(status) > 0 && !is_relieved(status)).then(|| status.clone())
    })?;
    evidence.figure("standing when newcomers are refused", standing(&full));

    let newcomers = stage.bomb("hold", WARM, &["--connections=100", "--hold=0s"])?;
    let set = set.result()?;
    check_wrong(evidence, "newcomers", &newcomers);
    check_wrong(evidence, "the working set", &set);
    evidence.at_least("answers of the working set", count(&set, "/answers/count"), 1);
    check_witness(evidence, witness)?;
    let late = stage.status()?;
    // Those that are refused are among those that are closed for it.
    let shed = closed(&late, "overload") - closed(&before, "overload");
    let refused = refused(&late);
    evidence
        .figure("refused, closed to fit", format!("{refused}, {}", shed.saturating_sub(refused)));

    drop(parked);
    group.bound(ROOMY_BYTES)?;
    stage.until("all is stored again", |status| is_relieved(status).then_some(()))?;
    let fresh = stage.ask("/bytes/1024/after?max_age=60", 4, 40)?;
    evidence.exactly("answers verified afterwards", count(&fresh, "/answers/count"), 40);
    let lives = group.read("cgroup.procs")?;
    evidence.holds("the same process lives in it", lives.trim(), lives == members);
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

/// Those that were not answered were refused or closed, and never told anything wrong.
fn check_wrong(evidence: &mut Evidence, whose: &str, found: &Value) {
    let named = |name: &&str| count(found, &format!("/faults/by_name/{name}")).unwrap_or(0);
    let turned_away: u64 = TURNED_AWAY.iter().map(named).sum();
    let wrong = count(found, "/faults/total").map(|all| all - turned_away);
    evidence.exactly(format!("answers to {whose} that were wrong"), wrong, 0);
}

/// A cgroup of its own with a bound of memory; removed when dropped, by which time it is empty.
struct Group {
    folder: PathBuf,
    files: &'static Files,
}

/// What the files are called.
struct Files {
    /// Where the groups of this version are mounted.
    base: &'static str,
    bound: &'static str,
    used: &'static str,
    kills: &'static str,
}

impl Group {
    /// A new group, or why none can be made here.
    fn new(bytes: u64) -> Result<Self, String> {
        let is_mounted = |files: &&Files| Path::new(files.base).join("cgroup.procs").exists();
        let files = VERSIONS.iter().find(is_mounted);
        let files = files.ok_or("no cgroups that count memory are mounted in /sys/fs/cgroup")?;
        let name = format!("longhold-faults-{}", std::process::id());
        let folder = Path::new(files.base).join(name);
        fs::create_dir(&folder)
            .map_err(|fault| format!("no cgroup can be made in {}: {fault}", files.base))?;
        let group = Self { folder, files };
        match group.bound(bytes) {
            Ok(()) => Ok(group),
            Err(fault) => Err(format!("its memory cannot be bounded: {fault:#}")),
        }
    }

    /// Another bound from now on.
    fn bound(&self, bytes: u64) -> Result<()> {
        let path = self.file(self.files.bound);
        let written = File::options().write(true).open(&path);
        let written = written.and_then(|mut file| file.write_all(bytes.to_string().as_bytes()));
        written.with_context(|| format!("cannot write {bytes} to {}", path.display()))
    }

    /// Bytes that are used, without the pages of files, which the kernel drops first.
    fn used_bytes(&self) -> Result<u64> {
        let used: u64 = self.read(self.files.used)?.trim().parse()?;
        let stat = self.read("memory.stat")?;
        let of = |name| number_of(&stat, name).unwrap_or(0);
        Ok(used.saturating_sub(of("inactive_file") + of("active_file")))
    }

    fn kills(&self) -> Result<u64> {
        let events = self.read(self.files.kills)?;
        number_of(&events, "oom_kill").context("the group counts no kills")
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = self.file(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.folder) {
            eprintln!("xtask: cannot remove {}: {error}", self.folder.display());
        }
    }
}

/// The number behind a name, in lines of names and numbers.
fn number_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line?.parse().ok()
}

/// Both versions; where both are mounted, the first counts memory.
const VERSIONS: &[Files] = &[
    Files {
        base: "/sys/fs/cgroup/memory",
        bound: "memory.limit_in_bytes",
        used: "memory.usage_in_bytes",
        kills: "memory.oom_control",
    },
    Files {
        base: "/sys/fs/cgroup",
        bound: "memory.max",
        used: "memory.current",
        kills: "memory.events",
    },
];
/// What the bomb calls the end of a connection that was refused, or closed while it rested.
const TURNED_AWAY: [&str; 4] =
    ["closed-unanswered", "closed-while-parked", "receive-failed", "send-failed"];
const WARM: &str = "/bytes/1024/warm?max_age=3600";
const REFUSED: &str = "longhold_connections_refused_total{limit=pressure}";
/// In which all that the config allows would fit; less, and the edge would not start.
const ROOMY_BYTES: u64 = 1 << 30;
/// What is left beyond an edge that has nothing to do. The working set alone would fill a memory
/// tier of twice as much, and the crowd alone take all of it.
const ROOM_BYTES: u64 = 80 << 20;
const TIER: &str = "160MiB";
/// To which the kernel rounds a bound.
const PAGE_BYTES: u64 = 4096;
/// Slots beyond the crowd's.
const SPARE: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::number_of;

    #[test]
    fn a_number_is_that_of_the_whole_name() {
        let text = "oom_kill_disable 7\noom 1\noom_kill 3\n";
        assert_eq!(number_of(text, "oom_kill"), Some(3));
        assert_eq!(number_of(text, "kill"), None);
        assert_eq!(number_of("oom_kill x", "oom_kill"), None);
    }
}
