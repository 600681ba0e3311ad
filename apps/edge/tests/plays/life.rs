//! The edge's own life: drains, starts that fail, an origin that is away, purges that last, and
//! kill -9 under load.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::socket_peercred;
use rustix::process::{Signal, kill_process};

use crate::stage::{
    Call, Client, Edge, FRESH, LOOK_AGAIN, Origin, PATIENCE, Response, Setting, body_of, digest,
    reply,
};

/// Has the edge store the target with this body.
fn store(edge: &Edge, origin: &Origin, target: &str, body: &[u8]) {
    let before = edge.counter("longhold_store_stored_total");
    let mut client = edge.client();
    client.ask("GET", target, &[]);
    origin.call_for("GET", target).answer(reply("200 OK", &[FRESH], body));
    assert!(client.response().body == body);
    edge.wait_for_stored(before + 1);
}

/// The store alone answers for the target, with this body.
fn is_stored(edge: &Edge, target: &str, body: &[u8]) {
    let response = edge.client().get(target);
    assert!(response.is_hit() && response.body == body, "{target}: {}", response.cache());
}

/// An exchange in the middle of its body: the client, the head it has read, and the origin's call.
fn halfway(edge: &Edge, origin: &Origin, target: &str, body: &[u8]) -> (Client, Response, Call) {
    let mut client = edge.client();
    client.ask("GET", target, &[]);
    let mut call = origin.call_for("GET", target);
    call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nContent-Length: {}\r\n\r\n", body.len()));
    call.say(&body[..body.len() / 2]);
    let mut head = client.response_head();
    head.body = client.hear(body.len() / 2);
    (client, head, call)
}

/// What `/readyz` says: code and word.
fn readiness(edge: &Edge) -> (u16, String) {
    let mut stream = UnixStream::connect(edge.folder().join("admin")).expect("the admin socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
    let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("the admin API takes it");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the admin API answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let code = head.split(' ').nth(1).expect("a status").parse().expect("a status");
    (code, body.trim().to_owned())
}

/// One SIGTERM, and the edge says that it drains.
fn begin_drain(edge: &Edge) {
    edge.terminate();
    edge.wait("the drain", |edge| readiness(edge) == (503, "draining".to_owned()));
}

#[test]
fn sigterm_drains_and_the_store_opens_again_with_everything() {
    let origin = Origin::start();
    let mut edge = Edge::before(&origin);
    let (small, large) = (body_of(1, 700), body_of(2, 3 << 20));
    store(&edge, &origin, "/small", &small);
    store(&edge, &origin, "/large", &large);
    let mut parked = [edge.client(), edge.client()];
    assert!(parked[0].get("/small").is_hit());
    edge.wait("parked", |edge| edge.status()["connections"]["parked"].as_u64() >= Some(2));

    // One exchange has its head and half of its body, another not even its head.
    let (mut middle, mut head, mut call) = halfway(&edge, &origin, "/middle", &large);
    assert_eq!(head.field("Connection"), None);
    let mut waiting = edge.client();
    waiting.ask("GET", "/waiting", &[]);
    let asked = origin.call_for("GET", "/waiting");
    assert_eq!(readiness(&edge), (200, "ready".to_owned()));

    begin_drain(&edge);
    parked.iter_mut().for_each(Client::sees_the_end);
    edge.wait("refusal", |edge| TcpStream::connect(edge.address()).is_err());
    assert_eq!(readiness(&edge), (503, "draining".to_owned()));
    assert_eq!(edge.status()["state"], "draining");

    asked.answer(reply("200 OK", &[FRESH], &small));
    let last = waiting.response();
    assert!(last.body == small);
    assert_eq!(last.field("Connection"), Some("close"));
    waiting.sees_the_end();
    assert_eq!(readiness(&edge), (503, "draining".to_owned()));
    call.say(&large[large.len() / 2..]);
    call.done();
    assert!(middle.rest_of(&mut head) && head.body == large);
    middle.sees_the_end();
    assert_eq!(edge.ends().code(), Some(0), "{}", edge.log());
    assert!(!edge.folder().join("admin").exists());

    let edge = edge.start_again();
    let all = [("/small", &small), ("/large", &large), ("/middle", &large), ("/waiting", &small)];
    for (target, body) in all {
        is_stored(&edge, target, body);
    }
    assert_eq!(edge.fetches(), 0);
    origin.was_left_alone();
}

#[test]
fn second_sigterm_ends_at_once_in_the_middle_of_an_exchange() {
    let origin = Origin::start();
    let mut edge = Edge::before(&origin);
    let body = body_of(3, 2 << 20);
    store(&edge, &origin, "/kept", &body);
    let (mut client, mut head, call) = halfway(&edge, &origin, "/cut", &body);
    begin_drain(&edge);
    edge.terminate();
    assert!(!client.rest_of(&mut head), "a clean end in the middle");
    assert!(head.body == body[..body.len() / 2]);
    assert_eq!(edge.ends().code(), Some(0), "{}", edge.log());
    call.sees_the_end();

    let edge = edge.start_again();
    is_stored(&edge, "/kept", &body);
    // Half a body is nothing.
    let mut client = edge.client();
    client.ask("GET", "/cut", &[]);
    origin.call_for("GET", "/cut").answer(reply("200 OK", &[FRESH], "anew"));
    assert_eq!(client.response().body, b"anew");
}

/// The origin falls silent within a body; neither the client that waits for it nor, when that one
/// has gone, the store that would still take it may hold up the end.
#[test]
fn drain_that_takes_too_long_is_cut() {
    for client_stays in [true, false] {
        let origin = Origin::start();
        let mut edge = Setting::before(&origin).server("drain_timeout = \"1s\"").start();
        let body = body_of(4, 2 << 20);
        let (client, mut head, mut call) = halfway(&edge, &origin, "/silent", &body);
        let mut client = Some(client);
        if !client_stays {
            drop(client.take());
            // The edge learns of it when it has something to say.
            let rest = body[body.len() / 2..].chunks(1);
            let goes_on = |byte: &&[u8]| {
                call.say(byte);
                edge.status()["connections"]["active"] != 0
            };
            assert!(rest.take_while(goes_on).count() < 10_000, "the client is still there");
        }
        let begun = Instant::now();
        edge.terminate();
        if let Some(client) = &mut client {
            assert!(!client.rest_of(&mut head), "a clean end in the middle");
            assert!(begun.elapsed() >= Duration::from_secs(1), "cut too early");
        }
        assert_eq!(edge.ends().code(), Some(0), "{}", edge.log());
        assert!(begun.elapsed() >= Duration::from_secs(1), "ended too early");
        assert!(edge.log().contains("the drain took too long"), "{}", edge.log());
        call.sees_the_end();
    }
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

/// Runs a second edge in the first one's folder, its config changed in these places. It must not
/// come up; returns what it said.
fn fails_to_start(edge: &Edge, changes: &[(&str, &str)], code: i32) -> String {
    let folder = edge.folder();
    let mut config = fs::read_to_string(folder.join("edge.toml")).expect("the config");
    for (from, to) in changes {
        assert_eq!(config.matches(from).count(), 1, "{from} in {config}");
        config = config.replace(from, to);
    }
    let path = other_config(edge);
    fs::write(&path, config).expect("a writable folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
    command.args(["run", "--config"]).arg(path);
    let Output { status, stdout, stderr } = ended(&mut command);
    let said = String::from_utf8(stderr).expect("text");
    assert_eq!((status.code(), &*stdout), (Some(code), &b""[..]), "{said}");
    // One message, and not a program that fell over.
    assert!(!said.contains("panicked") && !said.contains("serving"), "{said}");
    said
}

fn other_config(edge: &Edge) -> PathBuf {
    edge.folder().join("other.toml")
}

fn ended(command: &mut Command) -> Output {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary");
    let begun = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if begun.elapsed() > PATIENCE {
            // It runs; that is the fault to tell.
            let _ = child.kill();
            panic!("it came up: {:?}", child.wait_with_output());
        }
        thread::sleep(LOOK_AGAIN);
    }
    child.wait_with_output().expect("a child")
}

/// Says it in one line that begins so, names cause and remedy.
fn says(said: &str, parts: &[&str]) {
    let line = said.lines().find(|line| line.starts_with("edge: ")).unwrap_or("");
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in {said}");
    }
}

/// Every file of the store.
fn files(edge: &Edge) -> BTreeMap<OsString, Vec<u8>> {
    let entries = fs::read_dir(edge.folder().join("store")).expect("a folder");
    let file = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.expect("an entry");
        (entry.file_name(), fs::read(entry.path()).expect("a file"))
    };
    entries.map(file).collect()
}

const OTHER_ADMIN: (&str, &str) = ("unix:admin", "unix:other");
const OTHER_STORE: (&str, &str) = ("path = \"store\"", "path = \"other-store\"");

/// An edge that has stored one object.
fn with_one_object() -> (Origin, Edge, Vec<u8>) {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let body = body_of(5, 100_000);
    store(&edge, &origin, "/kept", &body);
    (origin, edge, body)
}

#[test]
fn start_fails_while_another_edge_has_the_port_the_admin_socket_or_the_store() {
    let (origin, edge, body) = with_one_object();
    let port = edge.address().to_string();
    let listener = ("127.0.0.1:0", &*port);
    let said = fails_to_start(&edge, &[listener, OTHER_ADMIN, OTHER_STORE], 1);
    says(&said, &[&port, "is in use by another process", "choose another address"]);
    assert!(!edge.folder().join("other-store").exists());

    let said = fails_to_start(&edge, &[OTHER_STORE], 1);
    says(&said, &["the admin address unix:", "in use by another process", "set another address"]);

    let before = files(&edge);
    let said = fails_to_start(&edge, &[OTHER_ADMIN], 1);
    says(&said, &["store ", "is in use by another process", "stop that one, or choose another"]);
    assert!(files(&edge) == before);

    // The running one never noticed.
    is_stored(&edge, "/kept", &body);
    assert_eq!(readiness(&edge), (200, "ready".to_owned()));
    assert_eq!(edge.fetches(), 1);
    origin.was_left_alone();
}

#[test]
fn start_fails_at_what_others_hold_and_the_store_loses_nothing() {
    let (origin, mut edge, body) = with_one_object();
    edge.kill();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("a bound socket").to_string();
    let said = fails_to_start(&edge, &[("127.0.0.1:0", &port)], 1);
    says(&said, &[&port, "is in use by another process", "choose another address"]);
    let _other = UnixListener::bind(edge.folder().join("other")).expect("a free path");
    let said = fails_to_start(&edge, &[OTHER_ADMIN], 1);
    says(&said, &["the admin address unix:", "in use by another process", "set another address"]);
    // The socket of the edge that was killed is in nobody's way.
    let edge = edge.start_again();
    is_stored(&edge, "/kept", &body);
    origin.was_left_alone();
}

#[test]
fn start_fails_at_a_store_of_another_version_and_leaves_it_as_it_is() {
    let (origin, mut edge, body) = with_one_object();
    edge.terminate();
    assert_eq!(edge.ends().code(), Some(0), "{}", edge.log());
    let patch = |edge: &Edge| {
        for name in ["super.0", "super.1"] {
            let path = edge.folder().join("store").join(name);
            let mut bytes = fs::read(&path).expect("a super block");
            bytes[8] ^= 0x40;
            fs::write(&path, bytes).expect("a super block");
        }
    };
    patch(&edge);
    let before = files(&edge);
    let said = fails_to_start(&edge, &[], 1);
    says(&said, &["has format version ", "this program reads version ", "remove the directory"]);
    assert!(files(&edge) == before, "the files have changed");
    patch(&edge);
    let edge = edge.start_again();
    is_stored(&edge, "/kept", &body);
    origin.was_left_alone();
}

#[test]
fn start_fails_at_a_ca_file_that_cannot_be_used() {
    let (origin, mut edge, body) = with_one_object();
    edge.kill();
    let secure = ("urls = [\"http:", "ca = \"ca.pem\", urls = [\"https:");
    let said = fails_to_start(&edge, &[secure], 2);
    assert!(said.starts_with(&other_config(&edge).display().to_string()), "{said}");
    assert!(said.contains("site.origin.ca: cannot be read") && said.contains("remedy: "), "{said}");
    fs::write(edge.folder().join("ca.pem"), "no certificate\n").expect("a writable folder");
    let said = fails_to_start(&edge, &[secure], 1);
    says(&said, &["an origin cannot be used", "ca.pem"]);
    let edge = edge.start_again();
    is_stored(&edge, "/kept", &body);
    origin.was_left_alone();
}

#[test]
fn start_fails_on_a_full_disk() {
    let (origin, mut edge, body) = with_one_object();
    edge.kill();
    let Some(disk) = SmallDisk::mount(edge.folder().join("small")) else {
        println!("skipped: this process may not mount a tmpfs");
        return;
    };
    let small = ("path = \"store\"", "path = \"small/store\"");
    let said = fails_to_start(&edge, &[small], 1);
    says(&said, &["small/store needs ", "are available", "free some space, or choose a smaller"]);
    let left = fs::read_dir(disk.path.join("store")).map_or(0, |entries| {
        entries.map(|entry| entry.expect("an entry").metadata().expect("a file").len()).sum()
    });
    assert_eq!(left, 0, "bytes left behind");
    drop(disk);
    let edge = edge.start_again();
    is_stored(&edge, "/kept", &body);
    origin.was_left_alone();
}

/// A file system that is too small for a store.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// `None` where that is not allowed.
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir(&path).expect("a writable folder");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=8m", "none"]).arg(&path);
        let mounted = command.stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self { path })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.path).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || thread::panicking());
    }
}

#[test]
fn start_fails_at_a_faulty_config_with_place_and_code_2() {
    let (origin, mut edge, body) = with_one_object();
    edge.kill();
    let said = fails_to_start(&edge, &[("\nworkers = 2", "\nwokers = 2")], 2);
    let place = format!("{}:2:1: server.wokers: unknown key", other_config(&edge).display());
    assert!(said.starts_with(&place) && said.contains("remedy: "), "{said}");
    let edge = edge.start_again();
    is_stored(&edge, "/kept", &body);
    origin.was_left_alone();
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

#[test]
fn purge_that_was_acknowledged_survives_kill() {
    let origin = Origin::start();
    let mut edge = Edge::before(&origin);
    store(&edge, &origin, "/purged", b"old");
    store(&edge, &origin, "/kept", b"kept");
    is_stored(&edge, "/purged", b"old");
    assert!(edge.purge("http://play.test/purged"));
    edge.kill();
    let edge = edge.start_again();
    is_stored(&edge, "/kept", b"kept");
    store(&edge, &origin, "/purged", b"new");
    is_stored(&edge, "/purged", b"new");
    origin.was_left_alone();
}

#[test]
fn purge_during_a_fetch_keeps_its_response_out_of_the_store() {
    let origin = Origin::start();
    let mut edge = Edge::before(&origin);
    let body = body_of(6, 1 << 20);
    let (mut client, mut head, mut call) = halfway(&edge, &origin, "/page", &body);
    // Nothing is stored yet, so there is nothing to find; the purge counts all the same.
    assert!(!edge.purge("http://play.test/page"));
    call.say(&body[body.len() / 2..]);
    call.done();
    assert!(client.rest_of(&mut head) && head.body == body);
    client.ask("GET", "/page", &[]);
    origin.call_for("GET", "/page").answer(reply("200 OK", &[FRESH], "new"));
    assert_eq!(client.response().body, b"new");
    edge.wait_for_stored(1);
    is_stored(&edge, "/page", b"new");
    assert_eq!(edge.counter("longhold_store_stored_total"), 1);
    edge.kill();
    let edge = edge.start_again();
    is_stored(&edge, "/page", b"new");
    origin.was_left_alone();
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
    let mut edge = Setting::before(&origin).store(&store).start();
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
