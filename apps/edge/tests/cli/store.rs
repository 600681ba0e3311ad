//! `edge store check|stat|compact` on stores that the test makes: what is printed, and the codes.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use longhold_store::{Config, Draft, FileDevice, Store, Writer, block_on_ready};
use serde_json::Value;

use super::{GOOD, check, edge, file, text};

/// A store of 16 MiB that holds these, in the order given.
fn store(path: &Path, objects: &[(String, usize)]) {
    let config = Config { slice_bytes: 512 << 10, ..Config::new(path, 16 << 20) };
    let (store, _) = Store::open(&config).unwrap();
    let writer = Writer::new(&store, FileDevice::new(&store).unwrap()).unwrap();
    for (key, bytes) in objects {
        let stored = block_on_ready(async {
            let mut pending =
                writer.begin(Draft::new(key.as_bytes(), b"head", *bytes as u64)).unwrap();
            writer.append(&mut pending, &vec![7; *bytes]).await?;
            writer.commit(pending).await
        });
        stored.unwrap();
    }
    block_on_ready(writer.seal()).unwrap();
}

/// Keys that no two objects share.
fn objects(count: usize, bytes: usize) -> Vec<(String, usize)> {
    (0..count).map(|number| (format!("object {number}"), bytes)).collect()
}

fn json(arguments: &[&str], code: i32, err: &str) -> Value {
    let output = check(arguments, code, "{", err);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn flip(path: &Path, wanted: &[u8]) -> u64 {
    let data = path.join("data");
    let bytes = fs::read(&data).unwrap();
    let at = bytes.windows(wanted.len()).position(|window| window == wanted).unwrap();
    let file = fs::File::options().write(true).open(&data).unwrap();
    file.write_all_at(&[bytes[at] ^ 1], at as u64).unwrap();
    at as u64
}

#[test]
fn whole_store_is_checked_with_code_0() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    store(&path, &objects(10, 100_000));
    let name = path.to_str().unwrap();
    let output = check(&["store", "check", "--path", name], 0, name, "");
    let said = text(&output.stdout);
    assert!(said.contains(": 10 records, 1001.6 KiB, in 1 segments"), "{said}");
    assert!(said.ends_with("\nnothing is damaged\n"), "{said}");
    let report = json(&["store", "check", "--json", "--path", name], 0, "");
    assert_eq!((&report["clean"], &report["damage_count"]), (&true.into(), &0.into()));
    assert_eq!(report["devices"][0]["records"], 10);
}

#[test]
fn flipped_bit_is_told_with_its_place_and_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    store(&path, &objects(10, 1000));
    let at = flip(&path, b"object 3");
    let name = path.to_str().unwrap();
    let err = "edge: 1 damaged places; none of them is served";
    let said = text(&check(&["store", "check", "--path", name], 1, name, err).stdout);
    let place = format!("{name}/data at byte {}: record fails its MAC", at - 96);
    assert!(said.contains(": 9 records") && said.contains(&place), "{said}");
    let report = json(&["store", "check", "--json", "--path", name], 1, err);
    assert_eq!(report["damage"][0]["what"], "record");
    assert_eq!(report["damage"][0]["offset"], at - 96);
}

#[test]
fn store_that_cannot_be_opened_is_told_with_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let name = path.to_str().unwrap();
    let missing = format!("edge: store: cannot open {name}/data: ");
    for command in ["check", "stat", "compact"] {
        check(&["store", command, "--path", name], 2, "", &missing);
    }
    assert!(!path.exists(), "made by a look");
    let (open, _) = Store::open(&Config::new(&path, 16 << 20)).unwrap();
    let locked = format!("edge: store {name} is in use by another process: stop that one");
    for command in ["check", "stat", "compact"] {
        check(&["store", command, "--path", name], 2, "", &locked);
    }
    drop(open);
    for name in ["super.0", "super.1"] {
        fs::write(path.join(name), [0xA5; 4096]).unwrap();
    }
    let damaged = format!("edge: store {name} is damaged (neither super block is whole)");
    check(&["store", "check", "--path", name], 2, "", &damaged);
}

#[test]
fn stat_says_what_is_live_and_dead_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let twice: Vec<_> = objects(4, 200_000).into_iter().chain(objects(2, 500)).collect();
    store(&path, &twice);
    let name = path.to_str().unwrap();
    let said = text(&check(&["store", "stat", "--path", name], 0, name, "").stdout);
    assert!(said.contains("16 segments of 1.0 MiB"), "{said}");
    assert!(said.contains("4 objects, 393.") && said.contains("opened 1 times"), "{said}");
    let stat = json(&["store", "stat", "--json", "--path", name], 0, "");
    assert_eq!(stat["objects"], 4);
    assert!(stat["dead_bytes"].as_u64().unwrap() > 400_000, "{stat}");
    assert_eq!(
        (&stat["sizes"][0]["objects"], &stat["sizes"][4]["objects"]),
        (&2.into(), &2.into())
    );
    assert_eq!(stat["devices"][0]["segment_bytes"], 1 << 20);
}

#[test]
fn compact_frees_sparse_segments_and_the_config_names_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    // Three to a segment; two of three are replaced by small ones.
    let small = objects(18, 100).into_iter().enumerate().filter(|(number, _)| number % 3 > 0);
    let all = objects(18, 300_000).into_iter().chain(small.map(|(_, object)| object));
    store(&path, &all.collect::<Vec<_>>());
    let (_, config) = file(folder.path(), &format!("{GOOD}[store]\nsize = \"16MiB\"\n"));
    let done = json(&["store", "compact", "--json", "--config", &config], 0, "");
    assert!(done["segments"].as_u64().unwrap() >= 5, "{done}");
    let free = |when: &str| done[when]["segments_free"].as_u64().unwrap();
    assert!(free("after") >= free("before") + 3, "{done}");
    assert_eq!(done["before"]["objects"], done["after"]["objects"]);
    let name = path.to_str().unwrap();
    let said = text(&check(&["store", "check", "--config", &config], 0, name, "").stdout);
    assert!(said.ends_with("nothing is damaged\n"), "{said}");
    let again = text(&edge(&["store", "compact", "--path", name]).stdout);
    assert!(again.contains(" segments emptied, ") && again.contains("\nafter:  18 obj"), "{again}");
    let faulty = file(folder.path(), "[store]\nsise = 1\n").1;
    check(&["store", "stat", "--config", &faulty], 2, "", &format!("{faulty}:2:1: store.sise"));
}
