//! ST-2, ST-7 under `kill -9`: a child writes and purges, the parent kills it at a random moment,
//! opens the store and compares every byte. What the child was told to be committed must be there,
//! and what it was told to be purged must not.
//!
//! `LONGHOLD_KILL_ROUNDS` sets the number of rounds (20 by itself).

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use longhold_store::{Config, FileDevice, Mode, Store, Writer, block_on_ready};

use crate::support::{Aim, Object, PurgedTo, Random, grow, look, put, scratch};

const KEYS: u32 = 40;

fn config(path: &std::path::Path) -> Config {
    Config { pin_rows: 2, index_slots: 4096, ..Config::new(path, 4 << 20) }
}

/// Not a test of its own: the child's main, reached by running this binary again.
#[test]
fn child() {
    let Ok(path) = std::env::var("LONGHOLD_KILL_CHILD") else { return };
    let seed = std::env::var("LONGHOLD_KILL_SEED").unwrap().parse().unwrap();
    let mut random = Random(seed);
    let (store, _) = Store::open(&config(path.as_ref())).unwrap();
    let device = FileDevice::with_pool(&store, 6, 16_384).unwrap();
    let writer = Writer::new(&store, device).unwrap();
    let mut out = std::io::stdout().lock();
    for version in 1.. {
        let version = seed * 1_000_000 + version;
        if random.chance(15) {
            let aim = Aim::random(&mut random, KEYS);
            let mode = if random.chance(60) { Mode::Hard } else { Mode::Soft };
            aim.purge(&writer, mode).unwrap();
            let (what, number) = words(aim);
            let how = if mode == Mode::Hard { "hard" } else { "soft" };
            writeln!(out, "{how} {what} {number} {version}").unwrap();
        } else {
            let key = random.below(u64::from(KEYS)) as u32;
            let body_bytes = random.below(120_000) as usize;
            let object = Object { key, version, body_bytes };
            let stored = match random.chance(40) {
                true => block_on_ready(grow(&writer, object, 7000)),
                false => block_on_ready(put(&writer, object, 7000)),
            };
            assert!(stored.unwrap().published);
            writeln!(out, "stored key {key} {version}").unwrap();
        }
        out.flush().unwrap();
    }
}

#[test]
fn a_killed_writer_leaves_whole_objects_and_lasting_purges() {
    let rounds = std::env::var("LONGHOLD_KILL_ROUNDS").ok().and_then(|text| text.parse().ok());
    let folder = scratch();
    let mut random = Random(std::process::id().into());
    let (mut newest, mut purged) = ([0u64; KEYS as usize], PurgedTo::default());
    let (mut expected, mut kept) = (0, 0);
    for round in 1..=rounds.unwrap_or(20) {
        let acknowledged = run_and_kill(folder.path(), round, &mut random);
        let mut last = None;
        for &said in &acknowledged {
            match said {
                Said::Stored(key, version) => {
                    newest[key as usize] = version;
                    last = Some((key, version));
                }
                Said::Purged(aim, mode, version) => purged.purge(aim, mode, KEYS, version),
            }
        }
        let (store, report) = Store::open(&config(folder.path())).unwrap();
        let reader = store.reader(0);
        for key in 0..KEYS {
            // The child may have gone further than it could say.
            let Some((object, is_soft)) = look(&reader, key) else { continue };
            assert!(object.version >= newest[key as usize], "round {round}: {object:?} is older");
            assert!(!purged.is_hard(object), "ST-7: round {round}: {object:?} is back");
            let fresh = purged.is_soft(object) && !is_soft;
            assert!(!fresh, "ST-7: round {round}: {object:?} is fresh again");
        }
        let standing =
            |&(key, version): &(u32, u64)| !purged.is_hard(Object { key, version, body_bytes: 0 });
        if let Some((key, _)) = last.filter(standing) {
            expected += 1;
            kept += u64::from(look(&reader, key).is_some());
        }
        assert_eq!(store.stats().damaged, 0, "round {round}: {report:?}");
    }
    // Not every time: the child may have purged the object and not yet said so.
    assert!(kept >= expected * 3 / 4, "{kept} of {expected} last objects were kept");
}

/// What the child has acknowledged.
#[derive(Debug, Clone, Copy)]
enum Said {
    Stored(u32, u64),
    /// All versions up to this one.
    Purged(Aim, Mode, u64),
}

impl Said {
    /// `None` for what the harness says, and for a last line that was cut.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (how, what) = (words.next()?, words.next()?);
        let number: u64 = words.next()?.parse().ok()?;
        let version = words.next().filter(|version| version.len() >= 7)?.parse().ok()?;
        let key = number as u32;
        let aim = match what {
            "key" => Aim::Key(key),
            "prefix" => Aim::Prefix(key),
            "tag" => Aim::Tag(number),
            "all" => Aim::All,
            _ => return None,
        };
        match how {
            "stored" => Some(Self::Stored(key, version)),
            "hard" => Some(Self::Purged(aim, Mode::Hard, version)),
            "soft" => Some(Self::Purged(aim, Mode::Soft, version)),
            _ => None,
        }
    }
}

fn words(aim: Aim) -> (&'static str, u64) {
    match aim {
        Aim::Key(key) => ("key", key.into()),
        Aim::Prefix(key) => ("prefix", key.into()),
        Aim::Tag(tag) => ("tag", tag),
        Aim::All => ("all", 0),
    }
}

fn run_and_kill(path: &std::path::Path, seed: u64, random: &mut Random) -> Vec<Said> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--nocapture", "--test-threads=1"])
        .env("LONGHOLD_KILL_CHILD", path)
        .env("LONGHOLD_KILL_SEED", seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let lines = BufReader::new(out).lines().map_while(Result::ok);
        lines.filter_map(|line| Said::parse(&line)).collect()
    });
    std::thread::sleep(Duration::from_millis(30 + random.below(170)));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}
