//! A hit allocates nothing once the worker is warm: counted, not believed.
//!
//! The worker runs on its real reactors, in turn, plain and over TLS, in a thread of its own; the
//! allocator of this process counts what that thread asks for. (Keys are the cryptographic
//! library's own memory, two small pieces each time a session wakes.)

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

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
use longhold_tls::layer::{LayerSettings, Secured, Wire};
use longhold_tls::{
    Acceptor, CertificateFiles, ClientSettings, Connector, Next, Opened, ServerSettings, Session,
};
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
/// Rounds of hits, of which one must do without allocations.
const ROUNDS_MAX: u32 = 5;

/// A worker rests for 200 ms before it parks a busy connection.
const LONGER_THAN_A_REST: Duration = Duration::from_millis(400);

/// One test, for the counter is the process'.
#[test]
fn a_hit_allocates_nothing_after_warm_up() {
    let folder = tempfile::tempdir().unwrap();
    let memory = longhold_store::Config::in_memory(16 << 20);
    // Of a disk, the front of a record is copied to a buffer.
    let disk = longhold_store::Config::new(folder.path(), 16 << 20);
    for config in [memory, disk] {
        for is_secured in [false, true] {
            check(&config, is_secured, || uring::Reactor::new(&slots()).unwrap());
            check(&config, is_secured, || epoll::Reactor::new(&slots()).unwrap());
        }
    }
}

fn check<T: Transport<Payload = Wire<Outgoing>> + 'static>(
    config: &longhold_store::Config,
    is_secured: bool,
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
    let acceptor = is_secured.then(|| acceptor(folder.path()));
    let stop = Stop::new();
    let stopped = stop.clone();
    let (said, address) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut io = Secured::new(reactor(), LayerSettings::default());
        let listener = bind_listeners("127.0.0.1:0".parse().unwrap(), 1).unwrap().pop().unwrap();
        let listener = io.listen(listener).unwrap();
        if let Some(acceptor) = acceptor {
            io.secure_listener(listener, acceptor);
        }
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
            shared: Arc::new(shared(is_secured)),
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
    let before = COUNT.load(Ordering::Relaxed);
    let mut clients: Vec<Client> = (0..8).map(|_| client(address, is_secured)).collect();
    let rest = |clients: &mut Vec<Client>| {
        std::thread::sleep(LONGER_THAN_A_REST);
        ask(clients, 1);
    };
    ask(&mut clients, 100);
    rest(&mut clients);
    assert!(COUNT.load(Ordering::Relaxed) > before, "the counter counts nothing");
    let hot = quietest_round(|| {
        ask(&mut clients, 500);
        // Those that have parked wake: a session is laid out of its parked form.
        (0..3).for_each(|_| rest(&mut clients));
    });
    drop(clients);
    stop.request();
    thread.join().unwrap();
    drop(log);
    assert_eq!(hot, 0, "allocations in 4,024 hits, secured: {is_secured}");
}

/// Allocations in a round of hits. How many connections are active at once is the system's affair:
/// a round may need more room than any before it, of which there is an end; what a hit allocates
/// has none.
fn quietest_round(mut round: impl FnMut()) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..ROUNDS_MAX {
        let before = COUNT.load(Ordering::Relaxed);
        round();
        least = least.min(COUNT.load(Ordering::Relaxed) - before);
        if least == 0 {
            break;
        }
    }
    least
}

fn acceptor(folder: &Path) -> Arc<Acceptor> {
    let certificate = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
    let files = CertificateFiles {
        certificate: folder.join("a.pem"),
        key: folder.join("a.key"),
        ..CertificateFiles::default()
    };
    std::fs::write(&files.certificate, certificate.cert.pem()).unwrap();
    std::fs::write(&files.key, certificate.signing_key.serialize_pem()).unwrap();
    let settings = ServerSettings { certificates: vec![files], ..ServerSettings::default() };
    Arc::new(Acceptor::new(settings).unwrap())
}

/// A client's connection.
trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}
type Client = Box<dyn Stream>;

fn client(address: SocketAddr, is_secured: bool) -> Client {
    let mut socket = TcpStream::connect(address).unwrap();
    if !is_secured {
        return Box::new(socket);
    }
    let settings = ClientSettings::default();
    let mut handshake = Connector::new(&settings).unwrap().begin("a").unwrap();
    let (mut input, mut output) = (Vec::new(), Vec::new());
    loop {
        let progress = handshake.advance(&mut input, &mut output).unwrap();
        input.drain(..progress.consumed);
        socket.write_all(&std::mem::take(&mut output)).unwrap();
        if progress.next == Next::Finish {
            break;
        }
        let mut some = [0; 4096];
        let read = socket.read(&mut some).unwrap();
        input.extend_from_slice(&some[..read]);
    }
    Box::new(Records { socket, session: handshake.finish().unwrap(), input })
}

/// An established session over its socket.
struct Records {
    socket: TcpStream,
    session: Session,
    input: Vec<u8>,
}

impl Read for Records {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.open(&mut self.input).unwrap() {
                Opened::Data { data, consumed } => {
                    let len = data.len();
                    into[..len].copy_from_slice(&self.input[data]);
                    self.input.drain(..consumed);
                    return Ok(len);
                }
                Opened::Quiet { consumed } => drop(self.input.drain(..consumed)),
                Opened::Closed { .. } => return Ok(0),
                Opened::More { .. } => {
                    let mut some = [0; 4096];
                    let read = self.socket.read(&mut some)?;
                    self.input.extend_from_slice(&some[..read]);
                }
            }
        }
    }
}

impl Write for Records {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut output = [0; 4096];
        let sealed = self.session.seal(&[bytes], &mut output).unwrap();
        self.socket.write_all(&output[..sealed.written])?;
        Ok(sealed.taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn put(store: &Store) {
    let writer = Writer::new(store, FileDevice::new(store).unwrap()).unwrap();
    let meta = StoredMeta { status: 200, lifetime_s: u32::MAX, ..StoredMeta::default() };
    let mut head = Vec::new();
    encode_response(&meta, &[("Content-Type", b"text/plain")], None, &mut head);
    let body = [b'x'; BODY_BYTES];
    for key in [&b"http://a/1k"[..], b"https://a/1k"] {
        let draft = Draft::new(key, &head, body.len() as u64);
        let mut pending = writer.begin(draft).unwrap();
        block_on_ready(writer.append(&mut pending, &body)).unwrap();
        block_on_ready(writer.commit(pending)).unwrap();
    }
}

fn ask(clients: &mut [Client], rounds: usize) {
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

fn shared(is_secured: bool) -> Shared {
    Shared {
        sites: SiteTable::new([[HostPattern::Any]]),
        rules: Arc::default(),
        gates: Vec::new(),
        schemes: vec![if is_secured { "https" } else { "http" }],
        handshakes: vec![is_secured],
        redirects: Vec::new(),
        limits: Default::default(),
        timeouts: Default::default(),
        idle_ms: vec![75_000],
        tunnels: Arc::new([]),
        tunnel_idle_ms: Vec::new(),
        tunnel_lifetime_ms: None,
        send_window_bytes: 256 * 1024,
        upload_window_bytes: 64 * 1024,
        connections_per_source: 0,
        pressure: Arc::default(),
        drain_bytes_max: 64 * 1024,
    }
}
