//! The store as its operator sees it: the memory tier, several devices, and the tools.

use std::fs;
use std::os::unix::fs::FileExt;

use serde_json::Value;

use crate::stage::{Client, Edge, FRESH, Origin, Setting, body_of, digest, reply};

/// The body of a target, whose last part is its size.
fn body_at(target: &str) -> Vec<u8> {
    let len = target.rsplit('/').next().and_then(|size| size.parse().ok());
    body_of(digest(target.as_bytes()), len.expect("a size"))
}

/// An origin that answers every target with its body, fresh for an hour.
fn origin() -> Origin {
    Origin::answering(|mut call| {
        let body = body_at(call.target());
        if call.try_say(reply("200 OK", &[FRESH], body)) {
            call.done();
        }
    })
}

fn targets(name: &str, count: usize, bytes: usize) -> Vec<String> {
    (0..count).map(|number| format!("/{name}/{number}/{bytes}")).collect()
}

/// Asks for each, and checks every byte.
fn get_all(client: &mut Client, targets: &[String]) {
    for target in targets {
        let response = client.get(target);
        assert_eq!(response.status, 200, "{target}");
        assert!(response.body == body_at(target), "{target}: wrong bytes: {}", response.cache());
    }
}

/// How many of these are stored; the origin is not asked. Every byte of them is right.
fn stored(edge: &Edge, targets: &[String]) -> usize {
    let mut client = edge.client();
    let is_stored = |target: &&String| {
        let response = client.get_with(target, &["Cache-Control: only-if-cached"]);
        assert!(response.status == 504 || response.body == body_at(target), "{target}");
        response.is_hit()
    };
    targets.iter().filter(is_stored).count()
}

fn store(edge: &Edge) -> Value {
    edge.status()["store"].take()
}

fn figure(edge: &Edge, name: &str) -> u64 {
    store(edge)[name].as_u64().unwrap_or_else(|| panic!("no {name}"))
}

fn end(edge: &mut Edge) {
    edge.terminate();
    assert_eq!(edge.ends().code(), Some(0), "{}", edge.log());
}

const BEHIND_MEMORY: &str = "size = \"64MiB\"\nsegment = \"4MiB\"\nmemory = \"8MiB\"";

#[test]
fn what_is_asked_for_once_never_reaches_the_disk() {
    let origin = origin();
    let mut edge = Setting::before(&origin).store(BEHIND_MEMORY).start();
    let all = targets("once", 100, 200_000);
    get_all(&mut edge.client(), &all);
    edge.wait_for_stored(100);
    // 20 MB went through 8 MiB.
    assert!(figure(&edge, "evicted") > 50, "{}", store(&edge));
    assert_eq!((figure(&edge, "disk_written_bytes"), figure(&edge, "promoted")), (0, 0));
    let store = store(&edge);
    assert_eq!(
        (&store["devices"][0]["used_bytes"], &store["devices"][1]["device"]),
        (&0.into(), &"memory".into())
    );
    end(&mut edge);
    let edge = edge.start_again();
    assert_eq!(figure(&edge, "objects"), 0);
}

#[test]
fn what_is_asked_for_twice_is_kept_through_a_planned_end() {
    let origin = origin();
    let mut edge = Setting::before(&origin).store(BEHIND_MEMORY).start();
    let (wanted, others) = (targets("wanted", 5, 100_000), targets("once", 10, 100_000));
    get_all(&mut edge.client(), &wanted);
    get_all(&mut edge.client(), &others);
    edge.wait_for_stored(15);
    get_all(&mut edge.client(), &wanted);
    assert_eq!(figure(&edge, "disk_written_bytes"), 0);
    end(&mut edge);
    let edge = edge.start_again();
    assert_eq!((stored(&edge, &wanted), stored(&edge, &others)), (5, 0));
}

#[test]
fn what_is_asked_for_twice_survives_kill_9_once_it_has_left_the_memory() {
    let origin = origin();
    let mut edge = Setting::before(&origin).store(BEHIND_MEMORY).start();
    let (wanted, others) = (targets("wanted", 5, 100_000), targets("once", 60, 200_000));
    let mut client = edge.client();
    get_all(&mut client, &wanted);
    edge.wait_for_stored(5);
    get_all(&mut client, &wanted);
    get_all(&mut client, &others);
    edge.wait("promotion", |edge| figure(edge, "promoted") == 5);
    edge.kill();
    let edge = edge.start_again();
    assert_eq!(stored(&edge, &wanted), 5);
    // While the tier makes room, a newcomer may go to disk at once.
    assert!(stored(&edge, &others) < 10);
}

const BOTH: &str =
    "devices = [{ path = \"a\", size = \"32MiB\" }, { path = \"b\", size = \"32MiB\" }]";
const ONE: &str = "devices = [{ path = \"a\", size = \"32MiB\" }]";
const ON_DISK: &str = "segment = \"2MiB\"\nmemory = 0";

#[test]
fn two_devices_share_the_objects_and_one_more_or_less_is_a_line_in_the_config() {
    let origin = origin();
    let mut edge = Setting::before(&origin).devices(&format!("{ONE}\n{ON_DISK}")).start();
    let first = targets("first", 10, 300_000);
    get_all(&mut edge.client(), &first);
    edge.wait_for_stored(10);
    end(&mut edge);

    edge.edit_config(ONE, BOTH);
    let mut edge = edge.start_again();
    assert_eq!(stored(&edge, &first), 10);
    let second = targets("second", 40, 300_000);
    get_all(&mut edge.client(), &second);
    edge.wait_for_stored(40);
    let used = |device: usize| store(&edge)["devices"][device]["used_bytes"].as_u64();
    assert!(used(0) > Some(3_000_000) && used(1) > Some(3_000_000), "{}", store(&edge));
    end(&mut edge);

    edge.edit_config(BOTH, ONE);
    let mut edge = edge.start_again();
    assert_eq!(stored(&edge, &first), 10);
    let left = stored(&edge, &second);
    assert!((5..35).contains(&left), "{left} of 40 are on the device that is left");
    end(&mut edge);

    // What lay on the other device has missed a run, and purges with it.
    edge.edit_config(ONE, BOTH);
    let edge = edge.start_again();
    assert!(edge.log().contains("devices_voided=1"), "{}", edge.log());
    assert_eq!((stored(&edge, &first), stored(&edge, &second)), (10, left));
}

#[test]
fn one_device_fails_and_the_other_serves() {
    let origin = origin();
    let values = "devices = [{ path = \"large\", size = \"64MiB\" }, { path = \"small\", \
                  size = \"16MiB\" }]\nsegment = \"1MiB\"\nmemory = 0";
    let edge = Setting::before(&origin).devices(values).start();
    let mut client = edge.client();
    let before = targets("before", 10, 200_000);
    get_all(&mut client, &before);
    edge.wait_for_stored(10);
    // No byte can be written behind it: the rest of the large file has failed.
    let front = fs::metadata(edge.folder().join("small/data")).expect("a file").len();
    edge.limit_files(front);
    let mut number = 0;
    while figure(&edge, "devices_offline") == 0 {
        get_all(&mut client, &targets(&format!("under-{number}"), 10, 200_000));
        number += 1;
        assert!(number < 100, "{}", store(&edge));
    }
    let state = |device: usize| store(&edge)["devices"][device]["state"].take();
    assert_eq!((state(0), state(1)), ("offline".into(), "online".into()));
    edge.wait("the word", |edge| edge.log().contains("store device offline"));
    let after = targets("after", 10, 200_000);
    get_all(&mut client, &after);
    edge.wait("the last one", |edge| stored(edge, &after) == 10);
    edge.status();
    let log = edge.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("device offline")).collect();
    let named = edge.folder().join("large").display().to_string();
    assert!(lines.len() == 1 && lines[0].contains(&named), "{lines:?}");
    assert!(lines[0].contains("replace the disk"), "{lines:?}");
    get_all(&mut client, &before);
}

#[test]
fn store_check_tells_a_running_a_whole_and_a_damaged_store_apart() {
    let origin = origin();
    let mut edge = Setting::before(&origin).on_disk().start();
    let all = targets("page", 20, 50_000);
    get_all(&mut edge.client(), &all);
    edge.wait_for_stored(20);
    let running = edge.store_tool("check");
    let said = String::from_utf8_lossy(&running.stderr).into_owned();
    assert_eq!(running.status.code(), Some(2), "{said}");
    assert!(said.contains("in use by another process: stop that one"), "{said}");

    edge.kill();
    let check = |edge: &Edge, code: i32| -> Value {
        let output = edge.store_tool("check");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let killed = check(&edge, 0);
    assert_eq!(killed["devices"][0]["records"], 20);
    let mut edge = edge.start_again();
    assert_eq!(stored(&edge, &all), 20);
    end(&mut edge);
    assert_eq!(check(&edge, 0)["clean"], true);

    let path = edge.folder().join("store/data");
    let bytes = fs::read(&path).expect("a file");
    let wanted = &body_at(&all[7])[..64];
    let at = bytes.windows(64).position(|window| window == wanted).expect("a body");
    let file = fs::File::options().write(true).open(&path).expect("a file");
    file.write_all_at(&[bytes[at + 9] ^ 2], at as u64 + 9).expect("a write");
    let damaged = check(&edge, 1);
    assert_eq!(
        (&damaged["damage_count"], &damaged["damage"][0]["what"]),
        (&1.into(), &"body".into())
    );
    // The edge never serves it, and fetches it anew.
    let edge = edge.start_again();
    get_all(&mut edge.client(), &all);
    assert_eq!(figure(&edge, "damaged"), 1);
    assert_eq!(edge.fetches(), 1);
}
