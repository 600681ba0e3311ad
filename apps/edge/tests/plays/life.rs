//! Its own life: a moved log, an origin that is away at the start, and kill -9 under load.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use rustix::net::sockopt::socket_peercred;
use rustix::process::{Signal, kill_process};

use crate::stage::{Client, Edge, FRESH, Origin, PATIENCE, Setting, body_of, digest, reply};

/// The store alone answers for the target, with this body.
fn is_stored(edge: &Edge, target: &str, body: &[u8]) {
    let response = edge.client().get(target);
    assert!(response.is_hit() && response.body == body, "{target}: {}", response.cache());
}

#[test]
fn sighup_reopens_a_moved_access_log() {
    let origin = Origin::answering(|call| call.answer(reply("200 OK", &[FRESH], "x")));
    let mut edge = Edge::before(&origin);
    let (path, moved) = (edge.folder().join("access.log"), edge.folder().join("access.log.1"));
    let targets = |path: &Path| -> Vec<String> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let target = |line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            line["target"].as_str().expect("a target").to_owned()
        };
        text.lines().map(target).collect()
    };
    let mut client = edge.client();
    client.get("/1");
    edge.wait("a line", |_| targets(&path) == ["/1"]);
    fs::rename(&path, &moved).expect("a file");
    client.get("/2");
    edge.wait("a line", |_| targets(&moved) == ["/1", "/2"]);
    assert!(!path.exists());
    let admin = UnixStream::connect(edge.folder().join("admin")).expect("the admin socket");
    let process = socket_peercred(&admin).expect("a unix socket").pid;
    kill_process(process, Signal::HUP).expect("a child");
    edge.wait("the file", |_| path.exists());
    client.get("/3");
    edge.wait("a line", |_| targets(&path) == ["/3"]);
    edge.terminate();
    assert_eq!(edge.ends().code(), Some(0), "{}", edge.log());
    assert_eq!((targets(&moved).len(), targets(&path).len()), (2, 1));
}

#[test]
fn origin_that_is_down_at_the_start_is_used_as_soon_as_it_is_there() {
    let origin = Origin::start();
    let setting = Setting::before(&origin);
    let address: SocketAddr = origin.leave();
    let edge = setting.start();
    let mut client = edge.client();
    for _ in 0..3 {
        assert_eq!(client.get("/page").status, 502);
    }
    let origin = Origin::at(address);
    client.ask("GET", "/page", &[]);
    origin.call_for("GET", "/page").answer(reply("200 OK", &[FRESH], "back"));
    let response = client.response();
    assert_eq!((response.status, &*response.body), (200, &b"back"[..]));
    edge.wait_for_stored(1);
    is_stored(&edge, "/page", b"back");
}

/// Sizes of bodies under load; the window holds 1 MiB.
const SIZES: [usize; 9] =
    [1, 100, 4000, 16 << 10, (64 << 10) - 1, (64 << 10) + 1, 300_000, 1 << 20, 3 << 20];

/// Client threads under load.
const CLIENTS: u64 = 4;

/// The body of a target, whose last part is its size.
fn body_at(target: &str) -> Vec<u8> {
    let len = target.rsplit('/').next().and_then(|size| size.parse().ok());
    body_of(digest(target.as_bytes()), len.expect("a size"))
}

/// A target of the load: half of them the same in all rounds, half new in each.
fn target_at(round: u64, number: u64) -> String {
    let size = SIZES[(number >> 8) as usize % SIZES.len()];
    match number & 1 {
        0 => format!("/all/{}/{size}", (number >> 1) & 3),
        _ => format!("/{round}/{}/{size}", (number >> 1) & 7),
    }
}

/// Numbers that follow from a seed.
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    (0..).map(move |step: u64| digest(&[seed.to_le_bytes(), step.to_le_bytes()].concat()) >> 7)
}

/// Asks until the connection is cut, checks every byte, and tells of every whole response: what
/// was asked, and whether it was a hit.
fn load(address: SocketAddr, (round, seed): (u64, u64), told: &mpsc::Sender<(String, bool)>) {
    let mut client = Client::connect(address);
    for number in numbers(seed) {
        let target = target_at(round, number);
        let request = format!("GET {target} HTTP/1.1\r\nHost: play.test\r\n\r\n");
        if !client.try_say(request) {
            return;
        }
        let expected = body_at(&target);
        match client.try_response() {
            Ok(response) => {
                assert_eq!(response.status, 200, "{target}: {response:?}");
                assert!(response.body == expected, "{target}: wrong bytes: {}", response.cache());
                // The parent has all that it waits for when it listens no more.
                let _ = told.send((target, response.is_hit()));
            }
            Err(cut) => {
                let part = cut.body.unwrap_or_default();
                assert!(expected.starts_with(&part), "{target}: wrong bytes before the cut");
                return;
            }
        }
    }
}

/// An origin of the load, and the count of its calls.
fn load_origin() -> (Origin, Arc<AtomicU64>) {
    let calls = Arc::new(AtomicU64::new(0));
    let called = Arc::clone(&calls);
    let origin = Origin::answering(move |mut call| {
        called.fetch_add(1, Ordering::SeqCst);
        let body = body_at(call.target());
        // About half of the responses do not tell their length.
        let message = if digest(call.target().as_bytes()) & 1 == 0 {
            reply("200 OK", &[FRESH], body)
        } else {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
            let head = format!("{head}{FRESH}\r\n\r\n{:x}\r\n", body.len());
            [head.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat()
        };
        // The edge may be killed meanwhile.
        if call.try_say(message) {
            call.done();
        }
    });
    (origin, calls)
}

/// Puts the edge under load and kills it after so many responses; returns what was answered.
fn kill_under_load(edge: &mut Edge, round: u64, moment: u64) -> Vec<(String, bool)> {
    let (told, tales) = mpsc::channel();
    let address = edge.address();
    let start = |client| {
        let (told, seed) = (told.clone(), round * CLIENTS + client);
        thread::spawn(move || load(address, (round, seed), &told))
    };
    let clients: Vec<_> = (0..CLIENTS).map(start).collect();
    drop(told);
    let next = || tales.recv_timeout(PATIENCE).expect("the edge serves, and every byte is right");
    let mut seen: Vec<_> = (0..moment).map(|_| next()).collect();
    edge.kill();
    clients.into_iter().for_each(|client| client.join().expect("every byte is right"));
    seen.extend(tales);
    seen
}

/// Kills under load and restarts, round after round, with a store of this size in MiB. What was a
/// hit is one again without the origin: all of it where nothing `gives_way` for want of space.
fn kill_rounds(rounds: u64, store_mib: u64, gives_way: bool) {
    let (origin, calls) = load_origin();
    let store = format!("size = \"{store_mib}MiB\"\nsegment = \"8MiB\"");
    let mut edge = Setting::before(&origin).store(&store).on_disk().start();
    let (mut requests, mut hits, mut known, mut found) = (0, 0, 0, 0);
    for round in 0..rounds {
        // Never at the same point of the load.
        let seen = kill_under_load(&mut edge, round, 100 + (round * 67) % 301);
        requests += seen.len();
        let were_hits = seen.into_iter().filter(|(_, hit)| *hit).map(|(target, _)| target);
        let were_hits: Vec<_> = were_hits.inspect(|_| hits += 1).collect();
        let were_hits = BTreeSet::from_iter(were_hits);

        edge = edge.start_again();
        let calls_before = calls.load(Ordering::SeqCst);
        let mut client = edge.client();
        let is_again = |target: &&String| {
            let response = client.get_with(target, &["Cache-Control: only-if-cached"]);
            let is_again = response.is_hit() && response.body == body_at(target);
            assert!(is_again || (gives_way && response.status == 504), "{round}: {target}");
            is_again
        };
        let found_now = were_hits.iter().filter(is_again).count();
        assert_eq!(calls.load(Ordering::SeqCst), calls_before, "the origin was asked");
        assert!(found_now > 0, "round {round}: none of {} hits is a hit again", were_hits.len());
        known += were_hits.len();
        found += found_now;
    }
    println!(
        "{rounds} kills under load, store of {store_mib} MiB: {requests} whole responses, {hits} \
         of them hits; of {known} objects that were hits before a kill, {found} were hits after \
         it; {} requests at the origin; no wrong byte",
        calls.load(Ordering::SeqCst)
    );
}

/// Rounds of the plays below; more of them with `LONGHOLD_KILL_ROUNDS`.
fn rounds(usual: u64) -> u64 {
    let asked = std::env::var("LONGHOLD_KILL_ROUNDS");
    asked.map_or(usual, |rounds| rounds.parse().expect("a number of rounds"))
}

#[test]
fn kill_under_load_serves_no_wrong_byte_and_loses_no_object() {
    let rounds = rounds(5);
    // All that the rounds can bring fits.
    kill_rounds(rounds, 256 + 64 * rounds, false);
}

/// The same while segments are reclaimed, so that kills fall into that, too.
#[test]
fn kill_under_load_serves_no_wrong_byte_while_old_objects_give_way() {
    kill_rounds(rounds(5), 128, true);
}
