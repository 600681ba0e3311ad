//! A hit allocates nothing once the worker is warm: counted, not believed.
//!
//! The worker runs on its real reactors, in turn, in a thread of its own; the allocator of this
//! process counts what that thread asks for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use longhold_conn::SlotTable;
use longhold_edge::fill;
use longhold_edge::inbox::Inbox;
use longhold_edge::outgoing::Outgoing;
use longhold_edge::roster::Member;
use longhold_edge::shared::Shared;
use longhold_edge::signals::Stop;
use longhold_edge::worker::{Setup, Worker};
use longhold_gateway::site::{HostPattern, SiteTable};
use longhold_gateway::stored::encode_response;
use longhold_policy::StoredMeta;
use longhold_store::{Draft, FileDevice, Pager, PagerConfig, Store, Writer, block_on_ready};
use longhold_telemetry::access_log::{self, AccessLog};
use longhold_telemetry::exporter::{BuildInfo, Registry};
use longhold_transport::{Config, Transport, bind_listeners, epoll, uring};

struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

fn note() {
    if IS_WORKER.try_with(Cell::get).unwrap_or(false) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

#[expect(unsafe_code, reason = "counting allocations needs an allocator, and that trait is unsafe")]
// SAFETY: every call goes to the system's allocator with the caller's own arguments; the counter
// beside it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's contract is the same.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What either reactor is made with.
fn slots() -> Config {
    Config { slots: SLOTS, ..Config::default() }
}

const SLOTS: u32 = 64;
const REQUEST: &[u8] = b"GET /1k HTTP/1.1\r\nHost: a\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n";
const BODY_BYTES: usize = 1024;

/// One test, for the counter is the process'.
#[test]
fn a_hit_allocates_nothing_after_warm_up() {
    let folder = tempfile::tempdir().unwrap();
    let memory = longhold_store::Config::in_memory(16 << 20);
    // Of a disk, the front of a record is copied to a buffer.
    let disk = longhold_store::Config::new(folder.path(), 16 << 20);
    for config in [memory, disk] {
        check(&config, || uring::Reactor::new(&slots()).unwrap());
        check(&config, || epoll::Reactor::new(&slots()).unwrap());
    }
}

fn check<T: Transport<Payload = Outgoing> + 'static>(
    config: &longhold_store::Config,
    reactor: fn() -> T,
) {
    let store = Store::open(config).unwrap().0;
    let pager = Pager::start(&store, PagerConfig::default()).unwrap();
    put(&store);
    let folder = tempfile::tempdir().unwrap();
    let (log, mut queues) = AccessLog::start(&access_log::Config {
        format: access_log::Format::Json,
        sink: access_log::Sink::File(folder.path().join("access.log")),
        queues_count: 1,
        queue_bytes: access_log::QUEUE_BYTES_DEFAULT,
    })
    .unwrap();
    let queue = queues.pop().unwrap();
    let stop = Stop::new();
    let stopped = stop.clone();
    let (said, address) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut io = reactor();
        let listener = bind_listeners("127.0.0.1:0".parse().unwrap(), 1).unwrap().pop().unwrap();
        let listener = io.listen(listener).unwrap();
        let inbox = Arc::new(Inbox::of(&io));
        let member = Member::new(Arc::new(SlotTable::new(SLOTS)));
        member.begin(Arc::clone(&inbox), io.now());
        let woken = Arc::clone(&inbox);
        stopped.on_change(Arc::new(move || woken.wake()));
        said.send(io.local_address(listener)).unwrap();
        let build = BuildInfo { version: "test", commit: "test" };
        let (_registry, mut counters) = Registry::new(1, &build);
        let setup = Setup {
            member,
            store: store.reader(0),
            shared: Arc::new(shared()),
            fills: fill::queue(16).0,
            pager: Arc::new(pager),
            inbox,
            counters: counters.pop().unwrap(),
            log: Some(queue),
            stop: stopped,
            resting_max: 32,
        };
        let mut worker = Worker::new(io, setup);
        IS_WORKER.set(true);
        worker.run().unwrap();
        IS_WORKER.set(false);
    });
    let address = address.recv().unwrap();
    let mut clients: Vec<TcpStream> =
        (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    let before = COUNT.load(Ordering::Relaxed);
    ask(&mut clients, 100);
    let warm = COUNT.load(Ordering::Relaxed);
    assert!(warm > before, "the counter counts nothing");
    ask(&mut clients, 500);
    let hot = COUNT.load(Ordering::Relaxed);
    drop(clients);
    stop.request();
    thread.join().unwrap();
    drop(log);
    assert_eq!(hot - warm, 0, "allocations in 4,000 hits");
}

fn put(store: &Store) {
    let writer = Writer::new(store, FileDevice::new(store).unwrap()).unwrap();
    let meta = StoredMeta { status: 200, lifetime_s: u32::MAX, ..StoredMeta::default() };
    let mut head = Vec::new();
    encode_response(&meta, &[("Content-Type", b"text/plain")], None, &mut head);
    let body = [b'x'; BODY_BYTES];
    let draft = Draft::new(b"http://a/1k", &head, body.len() as u64);
    let mut pending = writer.begin(draft).unwrap();
    block_on_ready(writer.append(&mut pending, &body)).unwrap();
    block_on_ready(writer.commit(pending)).unwrap();
}

fn ask(clients: &mut [TcpStream], rounds: usize) {
    let mut answer = vec![0; 4096];
    for _ in 0..rounds {
        for client in &mut *clients {
            client.write_all(REQUEST).unwrap();
        }
        for client in &mut *clients {
            let mut got = 0;
            while !answer[..got].ends_with(&[b'x'; BODY_BYTES]) {
                let came = client.read(&mut answer[got..]).unwrap();
                assert!(came > 0, "the edge closed the connection");
                got += came;
            }
            let head = String::from_utf8_lossy(&answer[..got]).into_owned();
            assert!(head.contains("longhold; hit"), "{head}");
        }
    }
}

fn shared() -> Shared {
    Shared {
        sites: SiteTable::new([[HostPattern::Any]]),
        rules: Arc::default(),
        gates: Vec::new(),
        schemes: vec!["http"],
        handshakes: Vec::new(),
        limits: Default::default(),
        timeouts: Default::default(),
        idle_ms: vec![75_000],
        tunnels: Arc::new([]),
        tunnel_idle_ms: Vec::new(),
        tunnel_lifetime_ms: None,
        send_window_bytes: 256 * 1024,
        upload_window_bytes: 64 * 1024,
        pressure: Arc::default(),
        drain_bytes_max: 64 * 1024,
    }
}
