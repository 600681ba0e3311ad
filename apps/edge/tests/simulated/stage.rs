//! The stage: a network, a worker, a store, and the other side of the fill queue and of the pager.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use longhold_conn::{CloseReason, SlotTable, State};
use longhold_edge::fill::{self, FillHead, FillJob, FillQueue, Message};
use longhold_edge::inbox::{Event, Inbox};
use longhold_edge::outgoing::Outgoing;
use longhold_edge::paging::Paging;
use longhold_edge::pressure::Pressure;
use longhold_edge::roster::{Imbalance, Member};
use longhold_edge::shared::Shared;
use longhold_edge::signals::Stop;
use longhold_edge::worker::{Setup, Worker};
use longhold_gateway::site::{HostPattern, SiteTable};
use longhold_gateway::stored::encode_response;
use longhold_gateway::tunnel::TunnelRule;
use longhold_http1::{Limits, parse_response};
use longhold_origin::Download;
use longhold_policy::StoredMeta;
use longhold_store::{
    Draft, Extent, FileDevice, PageIn, PageInDone, PageInError, PagerBusy, Store, Writer,
    block_on_ready,
};
use longhold_telemetry::exporter::{BuildInfo, Registry};
use longhold_telemetry::{Counter, Gauge};
use longhold_transport::sim::{Client, Network, Profile, SimTransport};
use longhold_transport::{Config, Transport, TransportError};
use tempfile::TempDir;

pub(crate) const EDGE: &str = "10.0.0.1:80";
/// Where requests are for `https`.
pub(crate) const HTTPS: &str = "10.0.0.1:443";
pub(crate) const SLOTS: u32 = 64;
pub(crate) const BUFFERS: u32 = 32;
/// Longer than a connection rests before it parks.
pub(crate) const REST_MS: u64 = 500;

/// The pager, played by hand: what it is asked for waits until [`Pages::read`].
pub(crate) struct Pages {
    store: Store,
    asked: Mutex<Vec<(PageIn, Option<PageInDone>)>>,
    refuses: AtomicBool,
}

impl Pages {
    /// Reads all that was asked for, and tells; says how much of it somebody waits for.
    pub(crate) fn read(&self) -> usize {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        let told = asked.iter().filter(|(_, done)| done.is_some()).count();
        for (cold, done) in asked {
            let outcome = self.store.page_in(&cold).map_err(|_| PageInError::Device);
            if let Some(done) = done {
                done(outcome);
            }
        }
        told
    }

    /// Page-ins that somebody waits for, and such as nobody does.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let asked = self.asked.lock().unwrap();
        let told = asked.iter().filter(|(_, done)| done.is_some()).count();
        (told, asked.len() - told)
    }

    /// From here on its queue is full, or is not any more.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }

    fn take(&self, cold: &PageIn, done: Option<PageInDone>) -> Result<(), PagerBusy> {
        if self.refuses.load(Ordering::Relaxed) {
            return Err(PagerBusy);
        }
        self.asked.lock().unwrap().push((cold.clone(), done));
        Ok(())
    }
}

impl Paging for Pages {
    fn page_in(&self, cold: &PageIn, done: PageInDone) -> Result<(), PagerBusy> {
        self.take(cold, Some(done))
    }

    fn prefetch(&self, cold: &PageIn) -> Result<(), PagerBusy> {
        self.take(cold, None)
    }
}

pub(crate) struct Stage {
    pub(crate) net: Network,
    pub(crate) worker: Worker<SimTransport<Outgoing>>,
    pub(crate) jobs: FillQueue,
    pub(crate) slots: Arc<SlotTable>,
    pub(crate) stop: Stop,
    pub(crate) pressure: Arc<Pressure>,
    pub(crate) member: Arc<Member>,
    pub(crate) pages: Arc<Pages>,
    store: Store,
    writer: Writer<FileDevice>,
    next_client: u32,
    folder: Option<TempDir>,
    registry: Registry,
}

impl Stage {
    /// A stage with a store in memory: nothing is ever cold.
    pub(crate) fn new(seed: u64, profile: Profile) -> Self {
        Self::with_store((seed, profile), &longhold_store::Config::in_memory(64 << 20), None)
    }

    /// The same with room for so many connections.
    pub(crate) fn of_size(slots: u32) -> Self {
        let store = longhold_store::Config::in_memory(64 << 20);
        Self::with_room((1, Profile::default()), slots, &store, None)
    }

    /// A stage with a store on a disk, pages of which can be dropped.
    pub(crate) fn on_disk() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = longhold_store::Config::new(folder.path(), 64 << 20);
        Self::with_store((1, Profile::default()), &config, Some(folder))
    }

    fn with_store(
        network: (u64, Profile),
        config: &longhold_store::Config,
        folder: Option<TempDir>,
    ) -> Self {
        Self::with_room(network, SLOTS, config, folder)
    }

    fn with_room(
        (seed, profile): (u64, Profile),
        slot_count: u32,
        config: &longhold_store::Config,
        folder: Option<TempDir>,
    ) -> Self {
        let net = Network::with_profile(seed, profile);
        let slots_and_buffers = Config { slots: slot_count, buffers: BUFFERS, ..Config::default() };
        let mut io: SimTransport<Outgoing> = net.transport(&slots_and_buffers);
        for place in [EDGE, HTTPS] {
            io.listen(net.bind(address(place))).expect("the network is empty");
        }
        let (store, _) = Store::open(config).expect("room for the store");
        let device = FileDevice::new(&store).expect("a device");
        let writer = Writer::new(&store, device).expect("the only writer");
        let build = BuildInfo { version: "test", commit: "test" };
        let (registry, mut counters) = Registry::new(1, &build);
        let (fills, jobs) = fill::queue(16);
        let slots = Arc::new(SlotTable::new(slot_count));
        let inbox = Arc::new(Inbox::of(&io));
        let member = Member::new(Arc::clone(&slots));
        member.begin(Arc::clone(&inbox), io.now());
        let stop = Stop::new();
        let pages = Arc::new(Pages {
            store: store.clone(),
            asked: Mutex::default(),
            refuses: AtomicBool::new(false),
        });
        let shared = Arc::new(shared());
        let pressure = Arc::clone(&shared.pressure);
        let setup = Setup {
            member: Arc::clone(&member),
            store: store.reader(0),
            shared,
            fills,
            pager: Arc::clone(&pages) as Arc<dyn Paging>,
            inbox,
            counters: counters.pop().expect("one set of counters"),
            log: None,
            stop: stop.clone(),
            resting_max: BUFFERS / 2,
        };
        let worker = Worker::new(io, setup);
        Self {
            net,
            worker,
            jobs,
            slots,
            stop,
            pressure,
            member,
            pages,
            store,
            writer,
            next_client: 0,
            folder,
            registry,
        }
    }

    /// Stores a response under `http://a<path>` that is fresh for an hour.
    pub(crate) fn store(&self, path: &str, body: &[u8]) {
        let meta = StoredMeta {
            status: 200,
            response_time_ms: 0,
            lifetime_s: u32::MAX,
            ..StoredMeta::default()
        };
        let mut head = Vec::new();
        encode_response(&meta, &[("Content-Type", b"text/plain")], None, &mut head);
        let key = format!("http://a{path}");
        let draft = Draft::new(key.as_bytes(), &head, body.len() as u64);
        let mut pending = self.writer.begin(draft).expect("room");
        block_on_ready(self.writer.append(&mut pending, body)).expect("memory takes bytes");
        block_on_ready(self.writer.commit(pending)).expect("memory takes records");
    }

    /// Drops a stored response from memory.
    pub(crate) fn drop_pages(&self, path: &str) {
        let key = format!("http://a{path}");
        assert!(self.store.drop_pages(key.as_bytes()).expect("a sync"), "{path} is not on a disk");
    }

    /// Somebody else cuts the store's data file.
    pub(crate) fn cut_store(&self) {
        let folder = self.folder.as_ref().expect("a stage on a disk");
        let data = std::fs::OpenOptions::new().write(true).open(folder.path().join("data"));
        data.and_then(|data| data.set_len(0)).expect("the file can be cut");
    }

    /// The store's devices that cannot be read any more.
    pub(crate) fn unreadable(&self) -> u32 {
        self.store.stats().devices_unreadable
    }

    pub(crate) fn client(&mut self) -> Client {
        self.client_of(EDGE)
    }

    /// A client of one of the listeners.
    pub(crate) fn client_of(&mut self, listener: &str) -> Client {
        self.next_client += 1;
        let host = 2 + (self.next_client >> 14) as u8;
        let from = SocketAddr::from(([10, 0, 0, host], (self.next_client & 0x3FFF) as u16 + 1024));
        self.net.connect(from, address(listener))
    }

    /// Runs the worker until nothing can happen before `ms` of virtual time have passed.
    pub(crate) fn run_for_ms(&mut self, ms: u64) {
        self.net.run_for(ms * 1000);
        let mut completions = Vec::new();
        loop {
            match self.worker.turn(&mut completions) {
                Ok(()) => {}
                Err(TransportError::Idle) => break,
                Err(fault) => panic!("the transport failed: {fault}"),
            }
        }
        assert_eq!(self.member.balance(), Imbalance::default(), "the books are off");
    }

    /// One turn of the worker, in which time may pass up to where it was last let run to.
    pub(crate) fn turn(&mut self) {
        self.worker.turn(&mut Vec::new()).expect("something to do");
    }

    /// Writes all of `bytes`, as the edge makes room, and returns all that came back meanwhile.
    pub(crate) fn exchange(&mut self, client: &Client, bytes: &[u8]) -> Vec<u8> {
        let mut sent = 0;
        let mut received = Vec::new();
        for _ in 0..100_000 {
            sent += client.write(&bytes[sent..]);
            self.run_for_ms(200);
            let came = client.read();
            let quiet = came.is_empty();
            received.extend(came);
            if quiet && (sent == bytes.len() || client.is_ended() || client.is_reset()) {
                return received;
            }
        }
        panic!("the exchange does not end");
    }

    /// The next job for the fill plane.
    pub(crate) fn job(&mut self) -> FillJob {
        self.try_job().expect("a job waits")
    }

    /// The same, if there is one.
    pub(crate) fn try_job(&mut self) -> Option<FillJob> {
        match self.jobs.try_next()? {
            Message::Job(job) => Some(job),
            Message::Purge { .. } | Message::Explain { .. } => panic!("another message waits"),
        }
    }

    pub(crate) fn no_job(&mut self) {
        assert!(self.jobs.try_next().is_none(), "a job waits");
    }

    /// All slots are free and every buffer is back (ED-1, ED-2).
    pub(crate) fn assert_clean(&mut self) {
        let states: Vec<State> = self.slots.iter().map(|slot| slot.state()).collect();
        assert!(states.iter().all(|state| *state == State::Free), "{states:?}");
        assert_eq!(self.worker.transport().buffers_out(), 0, "buffers are missing");
        assert_eq!(self.worker.transport().open_count(), 0);
        let sum = self.registry.sum();
        let closed = CloseReason::ALL.iter().map(|reason| {
            let is_row = |counter: &&Counter| {
                let row = counter.row();
                row.name == "longhold_connections_closed_total"
                    && row.label == Some(("reason", reason.name()))
            };
            let counter = Counter::ALL.iter().find(is_row).expect("each reason has a counter");
            sum.counter(*counter)
        });
        let opened = [Counter::ConnectionsAccepted, Counter::ConnectionsAdopted];
        let opened = opened.map(|counter| sum.counter(counter));
        assert_eq!(closed.sum::<u64>(), opened.iter().sum::<u64>());
        assert_eq!(sum.gauge(Gauge::TunnelsOpen), 0);
        assert_eq!(sum.gauge(Gauge::TlsConnections), 0);
        assert_eq!(sum.gauge(Gauge::StreamsOpen), 0);
        for gauge in [Gauge::ConnectionsParked, Gauge::ConnectionsActive, Gauge::ConnectionsClosing]
        {
            assert_eq!(sum.gauge(gauge), 0, "{gauge:?}");
        }
    }

    /// A gauge as it was set last.
    pub(crate) fn gauge(&self, gauge: Gauge) -> u64 {
        self.registry.sum().gauge(gauge)
    }

    pub(crate) fn count(&self, state: State) -> usize {
        self.slots.iter().filter(|slot| slot.state() == state).count()
    }
}

fn shared() -> Shared {
    Shared {
        sites: SiteTable::new([[HostPattern::Any]]),
        rules: Arc::default(),
        gates: Vec::new(),
        schemes: vec!["http", "https"],
        handshakes: Vec::new(),
        redirects: Vec::new(),
        limits: Limits::default(),
        timeouts: Default::default(),
        idle_ms: vec![75_000],
        tunnels: [TunnelRule::new(["websocket", "other", "connect"]).expect("words")].into(),
        tunnel_idle_ms: vec![3_600_000],
        tunnel_lifetime_ms: Some(24 * 3_600_000),
        send_window_bytes: 256 * 1024,
        upload_window_bytes: 64 * 1024,
        connections_per_source: 0,
        pressure: Arc::default(),
        drain_bytes_max: 64 * 1024,
    }
}

/// A head as the fill plane gives it, and the body that goes with it.
pub(crate) fn answer(status: u16, body_len: Option<u64>) -> (Arc<FillHead>, Arc<Download<Extent>>) {
    let head = FillHead {
        status,
        fwd_status: status,
        fields: vec![("Content-Type".to_owned(), b"text/plain".to_vec())],
        via_version: "1.1",
        body_len,
        declared_len: body_len,
        stored: false,
        ttl_s: None,
        detail: None,
    };
    (Arc::new(head), Arc::new(Download::new(1 << 20)))
}

/// Tells the job's exchange of a head.
pub(crate) fn reply(job: &FillJob, head: &Arc<FillHead>, body: &Arc<Download<Extent>>) {
    let reply = job.reply.clone().expect("somebody waits");
    let news = reply.clone();
    let reader = body.attach(Arc::new(move || news.post(Event::BodyMoved))).expect("attachable");
    reply.post(Event::Head { head: Arc::clone(head), body: reader, collapsed: false });
}

/// One response taken off the front of `bytes`: status, body, and the rest. Bodies framed by length
/// only.
pub(crate) fn take_response(bytes: &[u8]) -> (u16, Vec<u8>, &[u8]) {
    let head = match parse_response(bytes, &Limits::default()) {
        Ok(Some(head)) => head,
        other => panic!("no response: {other:?} in {:?}", String::from_utf8_lossy(bytes)),
    };
    let length = head
        .fields
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| std::str::from_utf8(value).unwrap().parse().unwrap());
    let (body, rest) = bytes[head.head_bytes..].split_at(length);
    (head.status, body.to_vec(), rest)
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Bytes that differ everywhere, so that a shifted or repeated piece shows.
pub(crate) fn body(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}
