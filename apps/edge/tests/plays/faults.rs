//! The disk under the store: what is not in memory, and a data file that somebody else has cut.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};

use crate::stage::{Client, Edge, FRESH, Origin, Setting, body_of, digest, reply};

/// Sizes of the bodies: in a head's buffer, in one chunk, in several, in several windows.
const SIZES: [usize; 6] = [100, 4000, 20_000, (64 << 10) + 1, 300_000, 3 << 20];

/// The body of a target, whose last part is its size.
fn body_at(target: &str) -> Vec<u8> {
    let len = target.rsplit('/').next().and_then(|size| size.parse().ok());
    body_of(digest(target.as_bytes()), len.expect("a size"))
}

fn origin() -> Origin {
    Origin::answering(|mut call| {
        let body = body_at(call.target());
        if call.try_say(reply("200 OK", &[FRESH], body)) {
            call.done();
        }
    })
}

fn targets(count: usize) -> Vec<String> {
    (0..count).flat_map(|n| SIZES.map(|size| format!("/{n}/{size}"))).collect()
}

/// An edge on a disk that holds all of these.
fn filled(origin: &Origin, targets: &[String]) -> Edge {
    let store = "size = \"128MiB\"\nsegment = \"8MiB\"";
    let edge = Setting::before(origin).store(store).on_disk().start();
    let mut client = edge.client();
    for target in targets {
        assert!(client.get(target).body == body_at(target), "{target}");
    }
    edge.wait_for_stored(targets.len() as u64);
    edge
}

/// Asks for targets until it is told to stop, over new connections when one is cut, and checks
/// every byte of whole responses and of cut ones.
fn load(address: SocketAddr, targets: &[String], answered: &AtomicU64, stop: &AtomicBool) {
    let mut client = Client::connect(address);
    for target in targets.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let expected = body_at(target);
        let asked = client.try_say(format!("GET {target} HTTP/1.1\r\nHost: play.test\r\n\r\n"));
        match client.try_response() {
            Ok(response) => {
                assert_eq!(response.status, 200, "{target}: {response:?}");
                assert!(response.body == expected, "{target}: wrong bytes: {}", response.cache());
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(cut) => {
                let part = cut.body.unwrap_or_default();
                assert!(expected.starts_with(&part), "{target}: wrong bytes before the cut");
                client = Client::connect(address);
            }
        }
        assert!(asked || !stop.load(Ordering::Relaxed));
    }
}

#[test]
fn cut_file_under_load_ends_no_process_and_serves_no_wrong_byte() {
    let origin = origin();
    let targets = Arc::new(targets(3));
    let edge = filled(&origin, &targets);
    let (answered, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let start = |_| {
        let (targets, answered) = (Arc::clone(&targets), Arc::clone(&answered));
        let (stop, address) = (Arc::clone(&stop), edge.address());
        thread::spawn(move || load(address, &targets, &answered, &stop))
    };
    let clients: Vec<_> = (0..4).map(start).collect();
    let more = |count: u64| {
        let least = answered.load(Ordering::Relaxed) + count;
        edge.wait("responses", |_| answered.load(Ordering::Relaxed) >= least);
    };
    more(100);
    let fetched = edge.fetches();
    assert_eq!(fetched, targets.len() as u64, "all are hits");
    let data = OpenOptions::new().write(true).open(edge.folder().join("store/data"));
    data.and_then(|data| data.set_len(0)).expect("the file can be cut");
    edge.wait("the fault", |edge| edge.status()["store"]["devices_unreadable"] == 1);
    more(100);
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().expect("every byte is right"));
    assert!(edge.fetches() > fetched, "what is gone is fetched anew");
    assert_eq!(edge.status()["store"]["devices"][0]["state"], "unreadable");
    edge.wait("the word", |edge| edge.log().contains("does not give what was written"));
}

/// Drops a file's pages, but for those that a process has touched.
fn drop_pages(path: &Path) {
    let file = fs::File::open(path).expect("a file");
    file.sync_all().expect("a disk");
    fadvise(&file, 0, None, Advice::DontNeed).expect("advice");
}

#[test]
fn objects_that_have_left_memory_are_hits_and_no_worker_waits_for_the_disk() {
    let origin = origin();
    let targets = targets(8);
    let mut edge = filled(&origin, &targets);
    edge.terminate();
    assert_eq!(edge.ends().code(), Some(0), "{}", edge.log());
    drop_pages(&edge.folder().join("store/data"));
    let edge = edge.start_again();
    // What the start has read ahead.
    drop_pages(&edge.folder().join("store/data"));
    let mut client = edge.client();
    for target in &targets {
        let response = client.get(target);
        assert!(response.is_hit(), "{target}: {}", response.cache());
        assert!(response.body == body_at(target), "{target}: wrong bytes");
    }
    assert_eq!(edge.fetches(), 0);
    let read = edge.counter("longhold_page_ins_total{outcome=requested}");
    let faults = edge.counter("longhold_worker_major_faults_total");
    let memory = edge.status()["pager"].take();
    println!("{read} page-ins for {} objects by {memory}, {faults} major faults", targets.len());
    assert_eq!(faults, 0, "a worker has waited for the disk");
    // On a file system in memory nothing is ever cold.
    let is_disk = rustix::fs::statfs(edge.folder()).expect("a file system").f_type != TMPFS_MAGIC;
    assert_eq!(read > 0, is_disk);
    assert_eq!(edge.counter("longhold_page_ins_total{outcome=refused}"), 0);
}

/// Targets of the measurement below.
fn sized(name: &str, count: usize, bytes: usize) -> Vec<String> {
    (0..count).map(|number| format!("/{name}/{number}/{bytes}")).collect()
}

/// Asks over and over for resident objects while `beside` runs once; the time of each hit, in
/// microseconds, sorted.
fn time_hits(address: SocketAddr, hot: &[String], beside: impl FnOnce()) -> Vec<u64> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let hits = scope.spawn(|| {
            let mut client = Client::connect(address);
            let mut times = Vec::new();
            for target in hot.iter().cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let begun = Instant::now();
                let response = client.get(target);
                times.push(begun.elapsed().as_micros() as u64);
                assert!(response.is_hit());
            }
            times.sort_unstable();
            times
        });
        beside();
        done.store(true, Ordering::Relaxed);
        hits.join().expect("hits")
    })
}

/// How long hits of resident objects take, while nothing else happens, while another client gets
/// other resident objects, and while it gets as many cold ones. A measurement: it prints.
#[test]
#[ignore = "a measurement of half a minute; wants a release build, a quiet machine and a disk"]
fn hits_beside_cold_objects() {
    let origin = origin();
    let store = "size = \"1GiB\"\nsegment = \"32MiB\"";
    let mut edge = Setting::before(&origin).store(store).on_disk().start();
    let (hot, warm) = (sized("hot", 64, 1024), sized("warm", 64, 128 << 10));
    let cold = sized("cold", 4096, 128 << 10);
    let mut client = edge.client();
    let all = hot.iter().chain(&warm).chain(&cold);
    all.for_each(|target| assert_eq!(client.get(target).status, 200));
    edge.wait_for_stored((hot.len() + warm.len() + cold.len()) as u64);
    edge.terminate();
    assert_eq!(edge.ends().code(), Some(0), "{}", edge.log());
    drop_pages(&edge.folder().join("store/data"));
    let edge = edge.start_again();
    drop_pages(&edge.folder().join("store/data"));
    let mut client = edge.client();
    hot.iter().chain(&warm).for_each(|target| assert!(client.get(target).is_hit()));
    let requested = || edge.counter("longhold_page_ins_total{outcome=requested}");
    let before = requested();
    // One client beside, one request at a time, with a pause as a client on a network has it.
    let get_all = |targets: &mut dyn Iterator<Item = &String>| {
        let mut other = edge.client();
        for target in targets {
            assert!(other.get(target).is_hit());
            thread::sleep(Duration::from_millis(1));
        }
    };
    let address = edge.address();
    let quiet = time_hits(address, &hot, || thread::sleep(Duration::from_secs(8)));
    let warm_beside =
        time_hits(address, &hot, || get_all(&mut warm.iter().cycle().take(cold.len())));
    let still = requested();
    let cold_beside = time_hits(address, &hot, || get_all(&mut cold.iter()));
    let read = requested() - still;
    assert_eq!(still, before, "what is resident was read");
    for (name, times) in
        [("nothing", &quiet), ("resident ones", &warm_beside), ("cold ones", &cold_beside)]
    {
        let at = |part: f64| times[(times.len() as f64 * part) as usize];
        println!(
            "1 KiB hits beside {name}: {} hits, p50 {} us, p99 {} us, p99.9 {} us",
            times.len(),
            at(0.5),
            at(0.99),
            at(0.999)
        );
    }
    let faults = edge.counter("longhold_worker_major_faults_total");
    println!("{read} page-ins for {} cold objects, {faults} major faults of workers", cold.len());
    assert_eq!(faults, 0, "a worker has waited for the disk");
}

const TMPFS_MAGIC: i64 = 0x0102_1994;
