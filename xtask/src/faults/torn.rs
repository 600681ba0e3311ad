//! A power cut, played on the files of a killed edge: writes that were lost, and writes torn apart.
//!
//! `kill -9` alone leaves everything that was written in the page cache. Here the store's data file
//! is read once under load; when the edge is dead, some of what was written since is put back to
//! what it was, or becomes half of each. Only what a store does not claim to be durable is touched:
//! the purge log is synced before a purge is acknowledged, and the header of a segment before the
//! segment is written anew (`crates/store/DESIGN.md`, sections 5 and 6).

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::evidence::Evidence;
use super::stage::{Shape, Stage, count, counter};
use super::{Played, Scene};

/// Killed under load and cut off from its last writes, again and again, over one store.
pub(super) fn power_cut(scene: &Scene<'_>, evidence: &mut Evidence) -> Result<Played> {
    // Without a memory tier everything stored is on the disk.
    let shape = Shape { memory_tier: "0", ..Shape::default() };
    let mut stage = Stage::new(scene.rig, shape)?;
    for round in 0..scene.of(10, 2) {
        let [early, late, kept] = ["early", "late", "kept"].map(|name| paths(name, round));
        ask_all(&stage, &early, 4)?.check("what is purged early", evidence);
        let crowd = format!("/bytes/1024/crowd-{round}?max_age=3600");
        let load = stage.start_bomb("rate", &crowd, &[&CROWD[..], &["--time=60s"]].concat())?;
        stored_more(&stage, OLD_STORED)?;
        purge(&stage, &early, evidence)?;
        let data = stage.store_path().join("data");
        let old = fs::read(&data).context("cannot read the store")?;
        ask_all(&stage, &late, 4)?.check("what is purged late", evidence);
        ask_all(&stage, &kept, 4)?.check("what is kept", evidence);
        stored_more(&stage, NEW_STORED)?;
        purge(&stage, &late, evidence)?;
        stage.kill_edge();
        evidence.exactly("wrong answers until the cut", Some(wrong(&load.result()?)), 0);
        let damage = Layout::read(&stage.store_path())?.damage(&data, &old, round)?;
        evidence.at_least("blocks of 4 KiB whose writes are lost", Some(damage.lost), 1);
        evidence.at_least("blocks that are torn", Some(damage.torn), 1);
        stage.start_edge()?;
        let purged = ask_all(&stage, &[early, late].concat(), 1)?;
        purged.check("what was purged, after the cut", evidence);
        evidence.exactly("hits among them", Some(purged.hits), 0);
        check_stored(&stage, (&crowd, &kept), evidence)?;
    }
    stage.check_end(evidence)?;
    Ok(Played::Yes)
}

/// What a store serves that lost some of its bytes: none that are wrong, and hits as before.
fn check_stored(
    stage: &Stage<'_>,
    (crowd, kept): (&str, &[String]),
    evidence: &mut Evidence,
) -> Result<()> {
    let found = stage.bomb("rate", crowd, &[&CROWD[..], &["--requests=2000"]].concat())?;
    evidence.exactly("wrong answers to the crowd afterwards", Some(wrong(&found)), 0);
    evidence.at_least("hits of what was stored under load", count(&found, "/answers/hits"), 1);
    // What is found damaged half-way may end early, once, and is fetched again.
    let first = ask_all(stage, kept, 1)?;
    evidence.exactly("wrong answers to what was kept", Some(first.wrong), 0);
    evidence.figure("hits at first, of what was kept", format!("{} of {}", first.hits, kept.len()));
    ask_all(stage, kept, 1)?;
    let again = ask_all(stage, kept, 4)?;
    again.check("what was kept, asked again", evidence);
    evidence.exactly("all of them hits", Some(again.hits), again.asked);
    Ok(())
}

/// What was found of several paths.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    asked: u64,
    verified: u64,
    hits: u64,
    wrong: u64,
}

impl Found {
    /// All of it has to be right.
    fn check(&self, what: &str, evidence: &mut Evidence) {
        evidence.exactly(format!("answers verified: {what}"), Some(self.verified), self.asked);
    }
}

/// Asks each of these paths so many times, one after the other.
fn ask_all(stage: &Stage<'_>, paths: &[String], times: u32) -> Result<Found> {
    let mut all = Found::default();
    for path in paths {
        let found = stage.ask(path, 1, times)?;
        all.asked += u64::from(times);
        all.verified += count(&found, "/answers/count").context("a result has answers")?;
        all.hits += count(&found, "/answers/hits").context("a result has hits")?;
        all.wrong += wrong(&found);
    }
    Ok(all)
}

fn paths(name: &str, round: u64) -> Vec<String> {
    let path = |size: &u64| format!("/bytes/{size}/{name}-{round}?max_age=3600");
    SIZES.iter().map(path).collect()
}

/// Purges what is stored there; fails unless all of it was stored and the purge is acknowledged.
fn purge(stage: &Stage<'_>, paths: &[String], evidence: &mut Evidence) -> Result<()> {
    let answer = stage.purge(paths)?;
    evidence.exactly("purged and acknowledged", count(&answer, "/count"), paths.len() as u64);
    Ok(())
}

/// Waits until so many objects more are stored than now.
fn stored_more(stage: &Stage<'_>, objects: u64) -> Result<()> {
    let wanted = counter(&stage.status()?, STORED) + objects;
    stage.until("the load has stored more", |status| {
        (counter(status, STORED) >= wanted).then_some(())
    })
}

/// Answers that are not what was asked for; those that end early are not taken for whole.
fn wrong(found: &Value) -> u64 {
    let names = ["wrong-body", "wrong-length", "wrong-status", "bad-syntax"];
    let fault = |name| count(found, &format!("/faults/by_name/{name}")).unwrap_or(0);
    names.map(fault).iter().sum()
}

/// Where things lie in a data file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Layout {
    /// Both areas of the purge log.
    purges: Range<u64>,
    segments_at: u64,
    segment_bytes: u64,
}

/// What was done to a data file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Damage {
    lost: u64,
    torn: u64,
}

/// What becomes of a block that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Whole,
    Lost,
    /// New in front and old behind, or the other way round.
    Half {
        new_in_front: bool,
    },
    /// New in front, and zeros behind.
    Zeros,
}

impl Layout {
    fn read(store: &Path) -> Result<Self> {
        let block = fs::read(store.join("super.0")).context("cannot read the super block")?;
        Self::parse(&block).context("the super block has another format")
    }

    fn parse(block: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(*block.get(at..)?.first_chunk()?));
        let half =
            |at: usize| Some(u64::from(u32::from_le_bytes(*block.get(at..)?.first_chunk()?)));
        if !block.starts_with(b"LHSTORE\0") || half(8)? != FORMAT_VERSION {
            return None;
        }
        let (segment_bytes, image_bytes, purge_bytes) = (half(12)?, number(80)?, number(88)?);
        let purges = 2 * image_bytes..2 * (image_bytes + purge_bytes);
        let align = if segment_bytes >= HUGE_BYTES { HUGE_BYTES } else { BLOCK_BYTES as u64 };
        Some(Self { segments_at: purges.end.next_multiple_of(align), purges, segment_bytes })
    }

    /// Whether a store has made this block durable before it went on.
    fn is_durable(&self, at: u64) -> bool {
        let in_segments = at.checked_sub(self.segments_at);
        let is_header = in_segments.is_some_and(|at| at.is_multiple_of(self.segment_bytes));
        is_header || self.purges.contains(&at)
    }

    /// Damages some of the blocks that are no more what they were.
    fn damage(&self, data: &Path, old: &[u8], seed: u64) -> Result<Damage> {
        let new = fs::read(data).context("cannot read the store")?;
        ensure!(new.len() == old.len(), "a data file has its size from the beginning");
        let file = File::options().write(true).open(data).context("cannot open the store")?;
        let mut damage = Damage::default();
        for (number, (old, new)) in (0_u64..).zip(blocks(old).zip(blocks(&new))) {
            let at = number * BLOCK_BYTES as u64;
            if old == new || self.is_durable(at) {
                continue;
            }
            let fate = Fate::of(seed, number);
            match fate {
                Fate::Whole => continue,
                Fate::Lost => damage.lost += 1,
                Fate::Half { .. } | Fate::Zeros => damage.torn += 1,
            }
            file.write_all_at(&fate.bytes(old, new), at).context("cannot write the store")?;
        }
        Ok(damage)
    }
}

impl Fate {
    /// The same for the same seed. One write in eight is lost, and one in eight torn; of odd seeds
    /// one in 64 each, so that more is left that can be found.
    fn of(seed: u64, block: u64) -> Self {
        let mut chance = (seed << 32 | block).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        chance = (chance ^ (chance >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let of = if seed.is_multiple_of(2) { 24 } else { 192 };
        match (chance >> 40) % of {
            0..3 => Self::Lost,
            3 => Self::Half { new_in_front: true },
            4 => Self::Half { new_in_front: false },
            5 => Self::Zeros,
            _ => Self::Whole,
        }
    }

    fn bytes(self, old: &[u8], new: &[u8]) -> Vec<u8> {
        let half = BLOCK_BYTES / 2;
        let ((old_front, old_behind), (new_front, new_behind)) =
            (old.split_at(half), new.split_at(half));
        match self {
            Self::Whole => new.to_vec(),
            Self::Lost => old.to_vec(),
            Self::Half { new_in_front: true } => [new_front, old_behind].concat(),
            Self::Half { new_in_front: false } => [old_front, new_behind].concat(),
            Self::Zeros => [new_front, &vec![0; half]].concat(),
        }
    }
}

fn blocks(bytes: &[u8]) -> std::slice::ChunksExact<'_, u8> {
    bytes.chunks_exact(BLOCK_BYTES)
}

/// Bodies of all kinds of records: within a chunk, many chunks, slices.
const SIZES: [u64; 4] = [100, 5_000, 300_000, 6_000_000];
/// What writes all the time, and what is asked for again: many objects, mostly different ones.
const CROWD: [&str; 5] =
    ["--connections=8", "--keys=20000", "--zipf=0.5", "--sizes=1KiB,5KiB,40KiB", "--warmup=0"];
const STORED: &str = "longhold_store_stored_total";
/// Objects that the load has stored when the files are read, and so many more at the cut.
const OLD_STORED: u64 = 300;
const NEW_STORED: u64 = 300;
const BLOCK_BYTES: usize = 4096;
const FORMAT_VERSION: u64 = 2;
/// Segments as large as this begin at a multiple of it.
const HUGE_BYTES: u64 = 2 << 20;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{BLOCK_BYTES, Damage, Fate, Layout};

    const BLOCK: u64 = BLOCK_BYTES as u64;

    fn super_block() -> Vec<u8> {
        let mut block = vec![0; BLOCK_BYTES];
        block[..8].copy_from_slice(b"LHSTORE\0");
        block[8..12].copy_from_slice(&2_u32.to_le_bytes());
        block[12..16].copy_from_slice(&(16 * BLOCK_BYTES as u32).to_le_bytes());
        block[80..88].copy_from_slice(&(4 * BLOCK).to_le_bytes());
        block[88..96].copy_from_slice(&(2 * BLOCK).to_le_bytes());
        block
    }

    fn layout() -> Layout {
        Layout::parse(&super_block()).expect("a layout")
    }

    #[test]
    fn a_layout_is_read_from_a_super_block_and_from_nothing_else() {
        let wanted = Layout {
            purges: 8 * BLOCK..12 * BLOCK,
            segments_at: 12 * BLOCK,
            segment_bytes: 16 * BLOCK,
        };
        assert_eq!(layout(), wanted);
        let mut other = super_block();
        other[8] = 3;
        assert_eq!(Layout::parse(&other), None, "another version");
        assert_eq!(Layout::parse(&super_block()[..90]), None, "cut off");
        assert_eq!(Layout::parse(&[]), None);
        let mut large = super_block();
        large[12..16].copy_from_slice(&(2_u32 << 20).to_le_bytes());
        assert_eq!(Layout::parse(&large).map(|it| it.segments_at), Some(2 << 20));
    }

    #[test]
    fn what_a_store_has_synced_and_what_was_not_written_stay_as_they_are() {
        let layout = layout();
        let blocks = 12 + 16 * 20;
        let old = vec![1; blocks * BLOCK_BYTES];
        let mut new = vec![2; blocks * BLOCK_BYTES];
        let untouched = 100 * BLOCK_BYTES..200 * BLOCK_BYTES;
        new[untouched.clone()].fill(1);
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        fs::write(&data, &new).expect("written");
        let damage = layout.damage(&data, &old, 7).expect("damaged");
        let found = fs::read(&data).expect("read");
        assert_eq!(found[untouched.clone()], new[untouched], "what nobody wrote");
        let (mut changed, segments) = (0, 12..blocks);
        for (number, (found, new)) in
            found.chunks(BLOCK_BYTES).zip(new.chunks(BLOCK_BYTES)).enumerate()
        {
            let is_header = segments.contains(&number) && (number - 12).is_multiple_of(16);
            if (8..12).contains(&number) || is_header {
                assert_eq!(found, new, "block {number}");
            }
            changed += u64::from(found != new);
        }
        let Damage { lost, torn } = damage;
        assert!(lost > 0 && torn > 0, "{damage:?}");
        assert_eq!(changed, lost + torn);
    }

    #[test]
    fn a_block_is_old_new_or_a_half_of_each() {
        let (old, new) = (vec![1; BLOCK_BYTES], vec![2; BLOCK_BYTES]);
        let ends = |fate: Fate| {
            let bytes = fate.bytes(&old, &new);
            assert_eq!(bytes.len(), BLOCK_BYTES);
            [bytes[0], bytes[BLOCK_BYTES / 2 - 1], bytes[BLOCK_BYTES / 2], bytes[BLOCK_BYTES - 1]]
        };
        assert_eq!(ends(Fate::Whole), [2, 2, 2, 2]);
        assert_eq!(ends(Fate::Lost), [1, 1, 1, 1]);
        assert_eq!(ends(Fate::Half { new_in_front: true }), [2, 2, 1, 1]);
        assert_eq!(ends(Fate::Half { new_in_front: false }), [1, 1, 2, 2]);
        assert_eq!(ends(Fate::Zeros), [2, 2, 0, 0]);
    }
}
