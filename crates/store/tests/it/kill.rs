//! ST-2 and ST-7 under `kill -9`: a child writes, reads and purges, the parent kills it at a random
//! moment, opens the store and compares every byte. What the child was told to be committed must
//! be there, what it was told to be purged must not.
//!
//! Every other round has a memory tier, which dies with the child.
//! `LONGHOLD_KILL_ROUNDS` sets the number of rounds (20 by itself).

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use longhold_store::{Config, FileDevice, Mode, Store, Writer, block_on_ready};

use crate::support::{Aim, Object, PurgedTo, Random, get, grow, look, put, scratch};

const KEYS: u32 = 40;

fn config(path: &Path, round: u64) -> Config {
    let config = Config { pin_rows: 2, index_slots: 4096, ..Config::new(path, 4 << 20) };
    if has_tier(round) { config.with_memory(1 << 20) } else { config }
}

fn has_tier(round: u64) -> bool {
    round.is_multiple_of(2)
}

/// Not a test of its own: the child's main, reached by running this binary again.
#[test]
fn child() {
    let Ok(path) = std::env::var("LONGHOLD_KILL_CHILD") else { return };
    let round = std::env::var("LONGHOLD_KILL_SEED").unwrap().parse().unwrap();
    let mut random = Random(round);
    let (store, _) = Store::open(&config(path.as_ref(), round)).unwrap();
    let device = FileDevice::with_pool(&store, 6, 16_384).unwrap();
    let writer = Writer::new(&store, device).unwrap();
    let reader = store.reader(0);
    let mut out = std::io::stdout().lock();
    for version in 1.. {
        let key = random.below(u64::from(KEYS)) as u32;
        let version = round * 1_000_000 + version;
        match random.below(100) {
            0..=14 => {
                let (aim, mode) = (Aim::random(&mut random, KEYS), mode(&mut random));
                aim.purge(&writer, mode).unwrap();
                writeln!(out, "purged {} {mode:?} {version}", aim.code()).unwrap();
            }
            15..=29 => {
                // Hits: what is in memory is promoted, what is on disk is kept.
                for key in 0..KEYS {
                    let _ = get(&reader, key);
                }
            }
            chance => {
                let body_bytes = random.below(if chance < 40 { 200_000 } else { 30_000 }) as usize;
                let object = Object { key, version, body_bytes };
                let stored = match random.chance(30) {
                    // As an object of a length that nobody knows: in slices.
                    true => block_on_ready(grow(&writer, object, 7000)),
                    false => block_on_ready(put(&writer, object, 7000)),
                };
                assert!(stored.unwrap().published);
                writeln!(out, "stored {key} {version}").unwrap();
            }
        }
        out.flush().unwrap();
    }
}

fn mode(random: &mut Random) -> Mode {
    if random.chance(70) { Mode::Hard } else { Mode::Soft }
}

#[test]
fn a_killed_writer_leaves_whole_objects() {
    let rounds = std::env::var("LONGHOLD_KILL_ROUNDS").ok().and_then(|text| text.parse().ok());
    let folder = scratch();
    let mut random = Random(std::process::id().into());
    let rounds = rounds.unwrap_or(20);
    let (mut newest, mut purged) = ([0u64; KEYS as usize], PurgedTo::default());
    let (mut acknowledged, mut promoted) = (0, 0);
    let (mut last_known, mut last_found) = (0u64, 0);
    for round in 1..=rounds {
        let mut last = None;
        for event in run_and_kill(folder.path(), round, &mut random) {
            acknowledged += 1;
            match event {
                Event::Stored { key, version } => {
                    newest[key as usize] = version;
                    last = Some(key);
                }
                Event::Purged { aim, mode, version } => {
                    purged.purge(aim, mode, KEYS, version);
                    last = last.filter(|key| mode == Mode::Soft || !aim.hits(*key));
                }
            }
        }
        // What was in memory has gone, and may be smaller now.
        let (store, report) = Store::open(&config(folder.path(), round + 1)).unwrap();
        let reader = store.reader(0);
        for key in 0..KEYS {
            // The child may have gone further than it could say.
            if let Some((object, is_soft)) = look(&reader, key) {
                let least = newest[key as usize];
                assert!(object.version >= least, "round {round}: {object:?} is older");
                assert!(!purged.is_hard(object), "round {round}: {object:?} is back");
                let fresh = purged.is_soft(object) && !is_soft;
                assert!(!fresh, "round {round}: {object:?} is fresh again");
                promoted += u64::from(has_tier(round) && object.version / 1_000_000 == round);
            }
        }
        if let Some(key) = last.filter(|_| !has_tier(round)) {
            last_known += 1;
            last_found += u64::from(get(&reader, key).is_some());
        }
        assert_eq!(store.stats().damaged, 0, "round {round}: {report:?}");
    }
    println!(
        "{rounds} rounds, {acknowledged} calls acknowledged, {last_found} of {last_known} last \
         objects kept, {promoted} promoted"
    );
    // Not in every round: the child may have purged the object and not yet said so.
    assert!(last_known > 0 && last_found * 2 >= last_known, "{last_found} of {last_known}");
    assert!(promoted > rounds / 4, "{promoted} objects have come to disk behind a memory tier");
}

/// What the child has acknowledged.
enum Event {
    Stored { key: u32, version: u64 },
    Purged { aim: Aim, mode: Mode, version: u64 },
}

impl Event {
    /// The harness says things, too, and the last line may be cut.
    fn parse(line: &str) -> Option<Self> {
        let number = |text: &str| text.parse().ok().filter(|_| text.len() >= 7);
        match line.split(' ').collect::<Vec<&str>>()[..] {
            ["stored", key, version] => {
                Some(Self::Stored { key: key.parse().ok()?, version: number(version)? })
            }
            ["purged", aim, mode, version] => {
                let mode = if mode == "Hard" { Mode::Hard } else { Mode::Soft };
                Some(Self::Purged { aim: Aim::from_code(aim)?, mode, version: number(version)? })
            }
            _ => None,
        }
    }
}

fn run_and_kill(path: &Path, round: u64, random: &mut Random) -> Vec<Event> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--nocapture", "--test-threads=1"])
        .env("LONGHOLD_KILL_CHILD", path)
        .env("LONGHOLD_KILL_SEED", round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = child.stdout.take().unwrap();
    let (begun, has_begun) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        // A line that is cut has no newline, and may look like a whole one.
        let mut lines = BufReader::new(out).split(b'\n').map_while(Result::ok).peekable();
        let mut events = Vec::new();
        while let Some(line) = lines.next() {
            let event = std::str::from_utf8(&line).ok().and_then(Event::parse);
            if event.is_some() {
                let _ = begun.send(());
            }
            let is_whole = lines.peek().is_some();
            events.extend(event.filter(|_| is_whole));
        }
        events
    });
    // At times while it opens the store, else while it works.
    if random.chance(80) {
        let _ = has_begun.recv();
    }
    std::thread::sleep(Duration::from_millis(random.below(150)));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}
