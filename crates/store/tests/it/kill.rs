//! ST-2 under `kill -9`: a child writes and removes, the parent kills it at a random moment, opens
//! the store and compares every byte. What the child was told to be committed must be there.
//!
//! `LONGHOLD_KILL_ROUNDS` sets the number of rounds (20 by itself).

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use longhold_store::{Config, FileDevice, Store, Writer, block_on_ready};

use crate::support::{Object, Random, get, put, remove_now, scratch};

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
        let key = random.below(u64::from(KEYS)) as u32;
        let version = seed * 1_000_000 + version;
        if random.chance(15) {
            remove_now(&writer, key).unwrap();
            writeln!(out, "removed {key} {version}").unwrap();
        } else {
            let body_bytes = random.below(60_000) as usize;
            let object = Object { key, version, body_bytes };
            block_on_ready(put(&writer, object, 7000)).unwrap();
            writeln!(out, "stored {key} {version}").unwrap();
        }
        out.flush().unwrap();
    }
}

#[test]
fn a_killed_writer_leaves_whole_objects() {
    let rounds = std::env::var("LONGHOLD_KILL_ROUNDS").ok().and_then(|text| text.parse().ok());
    let folder = scratch();
    let mut random = Random(std::process::id().into());
    let rounds = rounds.unwrap_or(20);
    let (mut newest, mut last_found) = ([0u64; KEYS as usize], 0);
    for round in 1..=rounds {
        let acknowledged = run_and_kill(folder.path(), round, &mut random);
        for &(key, version, stored) in &acknowledged {
            newest[key as usize] = if stored { version } else { version | REMOVED };
        }
        let (store, report) = Store::open(&config(folder.path())).unwrap();
        let reader = store.reader(0);
        for key in 0..KEYS {
            let known = newest[key as usize];
            // The child may have gone further than it could say.
            if let Some(object) = get(&reader, key) {
                let least = known & !REMOVED;
                assert!(object.version >= least, "round {round}: {object:?} is older");
                let back = known & REMOVED != 0 && object.version == least;
                assert!(!back, "round {round}: {object:?} is back");
            }
        }
        if let Some((key, _, _)) = acknowledged.iter().rev().find(|(_, _, stored)| *stored) {
            last_found += u64::from(get(&reader, *key).is_some());
        }
        assert_eq!(store.stats().damaged, 0, "round {round}: {report:?}");
    }
    // Not in every round: the child may have removed the object and not yet said so.
    assert!(last_found > rounds * 3 / 4, "{last_found} of {rounds} last objects were kept");
}

/// What the child has acknowledged: key, version, and whether it was stored or removed.
fn run_and_kill(path: &std::path::Path, seed: u64, random: &mut Random) -> Vec<(u32, u64, bool)> {
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
        let mut acknowledged = Vec::new();
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let words: Vec<&str> = line.split(' ').collect();
            // The harness says things, too, and the last line may be cut.
            if let [what @ ("stored" | "removed"), key, version] = words[..]
                && version.len() >= 7
                && let (Ok(key), Ok(version)) = (key.parse(), version.parse())
            {
                acknowledged.push((key, version, what == "stored"));
            }
        }
        acknowledged
    });
    std::thread::sleep(Duration::from_millis(30 + random.below(170)));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

const REMOVED: u64 = 1 << 63;
