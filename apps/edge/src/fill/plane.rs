//! The plane itself: its loop, the table of fetches, purges, and its end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use longhold_gateway::coalesce::{Coalescer, FillId, Joined};
use longhold_gateway::key;
use longhold_gateway::outcome::Fwd;
use longhold_gateway::purge::Journal;
use longhold_gateway::recent::Recent;
use longhold_gateway::rules::{Rule, RuleBook};
use longhold_gateway::stored::{self, RecordHead};
use longhold_gateway::tunnel::TunnelRule;
use longhold_gateway::unshared::Unshared;
use longhold_http1::{Limits, RequestHead};
use longhold_origin::{Download, FetchError, OriginPool, StagingBudget};
use longhold_policy::storable::NotStored;
use longhold_policy::{StoredMeta, storable};
use longhold_store::{Extent, Reader, Record, WriteError, Writer};
use longhold_telemetry::{Counter, Gauge, WorkerCounters};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::compress::Workshop;
use super::device::FillDevice;
use super::slices::Slices;
use super::succession::Seat;
use super::{FillHead, FillJob, FillQueue, JobKind, Message, ReplyTo};
use crate::inbox::Event;
use crate::pressure::Pressure;
use crate::signals::{Stage, Stop};

/// What a fetch in progress shares once its head is there.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) head: Arc<FillHead>,
    pub(super) body: Arc<Download<Extent>>,
    /// Whether a follower may have it is decided as for a stored response (FL-1).
    pub(super) meta: StoredMeta,
    /// Nominated fields, and the leader's variant key for them: what a follower must match (FL-1).
    pub(super) nominated: Rc<str>,
    pub(super) variant: Rc<[u8]>,
    /// By what it can be purged beside its key (FL-2).
    pub(super) tags: Rc<[u64]>,
}

/// What the plane is made of.
pub struct Parts {
    /// One pool per site, by number.
    pub pools: Vec<OriginPool>,
    /// This thread's view of the store.
    pub reader: Reader,
    /// The store's writer.
    pub writer: Writer<FillDevice>,
    /// All bodies' memory.
    pub budget: Arc<StagingBudget>,
    /// What sites let through unread, by their numbers.
    pub tunnels: Arc<[TunnelRule]>,
    /// How much to save.
    pub pressure: Arc<Pressure>,
    /// Limits of heads, as the workers have them.
    pub limits: Limits,
    /// Bytes of one response in memory.
    pub window_bytes: usize,
    /// Largest body that is stored.
    pub object_bytes_max: u64,
    /// How long requests wait for each other.
    pub waits: Waits,
    /// This thread's counters.
    pub counters: WorkerCounters,
    /// Sites' rules.
    pub rules: Arc<RuleBook>,
    /// When to wait for fetches no longer.
    pub stop: Stop,
}

/// How long requests for the same thing wait for each other.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// Until a follower fetches beside a leader without a head.
    pub leader: Duration,
    /// Until a follower fetches for itself alone.
    pub follower: Duration,
    /// Until an answer goes on without the store.
    pub store: Duration,
    /// How long a response that was not shared is remembered.
    pub unshared: Duration,
}

/// A follower in the table.
pub(super) struct Waiting {
    pub(super) job: FillJob,
    /// It wants the whole, so that what it would fetch is of use to the others.
    pub(super) can_lead: bool,
    pub(super) since: Instant,
}

/// The plane; its tasks share it.
pub struct Plane {
    pub(super) parts: Parts,
    pub(super) table: RefCell<Coalescer<Waiting, Open>>,
    /// Keys whose last response was for its asker alone, and why.
    pub(super) unshared: RefCell<Unshared<NotStored>>,
    /// The last purges, for fetches that began before them (FL-2).
    pub(super) journal: RefCell<Journal>,
    /// The last responses that were not stored, for who asks why.
    pub(super) recent: RefCell<Recent>,
    /// Bounds of compression.
    pub(super) workshop: Workshop,
    /// Slices on their way, for all that want bytes of them.
    pub(super) slices: RefCell<Slices>,
    tasks: Cell<usize>,
    idle: Arc<Notify>,
    base_id: Cell<u64>,
    /// Connections handed over to workers, so far.
    pub(super) handovers: Cell<u32>,
    /// The last who waited for a clean segment did so in vain: the next does not.
    pub(super) room_is_late: Cell<bool>,
}

/// A stored record that a request selects, or the word for its absence.
pub(super) enum Selected {
    Response(Record),
    Nothing(Fwd),
}

/// What a request's lookup came to.
pub(super) struct Lookup {
    pub(super) selected: Selected,
    /// Under which key the fetch is entered: the variant's where one is known, else the primary.
    pub(super) fetch_key: Vec<u8>,
}

/// Runs the plane until every port is gone, then lets fetches end, keeps what was asked for in
/// memory, and seals the store. What goes on when the stop's last stage is reached is given up.
///
/// # Errors
/// [`WriteError`] when the store could not be sealed.
pub async fn run(parts: Parts, mut queue: FillQueue) -> Result<(), WriteError> {
    let plane = Rc::new(Plane {
        parts,
        table: RefCell::new(Coalescer::new()),
        unshared: RefCell::new(Unshared::new(UNSHARED_BYTES_MAX)),
        journal: RefCell::new(Journal::new()),
        recent: RefCell::new(Recent::new()),
        workshop: Workshop::new(),
        slices: RefCell::default(),
        tasks: Cell::new(0),
        idle: Arc::new(Notify::new()),
        base_id: Cell::new(unix_ns()),
        handovers: Cell::default(),
        room_is_late: Cell::default(),
    });
    let idle = Arc::clone(&plane.idle);
    plane.parts.stop.on_change(Arc::new(move || idle.notify_one()));
    let keeper = Rc::clone(&plane);
    tokio::task::spawn_local(async move { keeper.parts.writer.maintain().await });
    let observer = Rc::clone(&plane);
    tokio::task::spawn_local(async move { observer.observe().await });
    while let Some(message) = queue.next().await {
        plane.parts.counters.set(Gauge::FillQueue, queue_len(&queue));
        match message {
            Message::Job(job) => plane.spawn(job),
            // Whoever asked may have gone.
            Message::Explain { job, done } => drop(done.send(plane.explain(&job))),
            Message::Purge { scopes, mode, done } => {
                let plane = Rc::clone(&plane);
                plane.clone().track(async move {
                    // The asker may have gone; the purge counts all the same.
                    let purged = plane.purge(&scopes, mode).await;
                    plane.parts.counters.add(Counter::Purges, u64::from(purged.is_ok()));
                    let _ = done.send(purged);
                });
            }
        }
    }
    plane.settled().await;
    let stop = &plane.parts.stop;
    plane.parts.writer.promote(|| stop.state() != Stage::Now).await;
    plane.parts.writer.seal().await
}

impl Plane {
    /// Takes up a job; it has a task of its own from the moment at which it must wait.
    pub(super) fn spawn(self: &Rc<Self>, job: FillJob) {
        let plane = Rc::clone(self);
        match &job.kind {
            JobKind::Pass { .. } => self.track(async move { plane.pass(job).await }),
            JobKind::Tunnel(ask) => {
                let ask = Some(*ask);
                self.track(async move { plane.take_over(job, ask).await });
            }
            JobKind::Stream => self.track(async move { plane.take_over(job, None).await }),
            JobKind::Rest(rest) => {
                let rest = rest.clone();
                self.track(async move { plane.give_rest(job, rest).await });
            }
            JobKind::Fill { .. } | JobKind::Revalidate => self.spawn_fill(job, None),
        }
    }

    /// The same for a job that fills or freshens, see [`Plane::begin_fill`].
    pub(super) fn spawn_fill(self: &Rc<Self>, job: FillJob, seat: Option<Seat>) {
        if let Some(begun) = self.begin_fill(job, seat) {
            let plane = Rc::clone(self);
            self.track(async move { plane.fill(begun).await });
        }
    }

    pub(super) fn track(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        let plane = Rc::clone(self);
        self.tasks.set(self.tasks.get() + 1);
        tokio::task::spawn_local(async move {
            let _ending = Ending(plane);
            task.await;
        });
    }

    /// Keeps the gauges of the origins' connections up to date, for as long as it is polled.
    async fn observe(&self) {
        let mut ticks = tokio::time::interval(OBSERVED_EVERY);
        loop {
            ticks.tick().await;
            let (mut idle, mut in_use) = (0, 0);
            for stats in self.parts.pools.iter().map(OriginPool::stats) {
                idle += stats.idle as u64;
                in_use += stats.in_use as u64;
            }
            self.parts.counters.set(Gauge::OriginConnectionsIdle, idle);
            self.parts.counters.set(Gauge::OriginConnectionsInUse, in_use);
        }
    }

    /// Waits until no task runs, or no more waiting is wanted.
    async fn settled(&self) {
        while self.tasks.get() > 0 && self.parts.stop.state() != Stage::Now {
            self.idle.notified().await;
        }
    }

    /// Looks the job's request up as a worker does.
    pub(super) fn look_up(&self, job: &FillJob, request: &RequestHead<'_>) -> Lookup {
        let mut fetch_key = job.key.clone();
        let Some(record) = self.parts.reader.lookup(&fetch_key) else {
            return Lookup { selected: Selected::Nothing(Fwd::UriMiss), fetch_key };
        };
        let (rules, rule) = (&self.parts.rules, job.site.rule);
        let selected = match stored::decode(record.head()) {
            Some(RecordHead::Response(_)) if !rules.fits(rule, "") => {
                Selected::Nothing(Fwd::UriMiss)
            }
            Some(RecordHead::Response(_)) => Selected::Response(record),
            Some(RecordHead::Vary(base)) if rules.fits(rule, base.nominated) => {
                key::append_variant(&mut fetch_key, base.id, base.nominated, &request.fields);
                match self.parts.reader.lookup(&fetch_key) {
                    Some(variant) => Selected::Response(variant),
                    None => Selected::Nothing(Fwd::VaryMiss),
                }
            }
            Some(RecordHead::Vary(_)) | None => Selected::Nothing(Fwd::UriMiss),
        };
        Lookup { selected, fetch_key }
    }

    /// How the site stores what a job brings.
    pub(super) fn storing(&self, job: &FillJob) -> storable::Rules {
        self.rule(job).map_or_else(storable::Rules::default, |rule| rule.storing)
    }

    /// The rule that holds for a job.
    pub(super) fn rule(&self, job: &FillJob) -> Option<&Rule> {
        self.parts.rules.get(job.site.rule)
    }

    /// Largest body that is stored for a job.
    pub(super) fn object_bytes_max(&self, job: &FillJob) -> u64 {
        let own = self.rule(job).and_then(|rule| rule.object_bytes_max);
        self.parts.object_bytes_max.min(own.unwrap_or(u64::MAX))
    }

    /// Joins the fetch of `fetch_key`, or leads it.
    pub(super) fn join(
        &self,
        fetch_key: &[u8],
        job: FillJob,
        can_lead: bool,
    ) -> Joined<FillJob, Open> {
        let waiting = Waiting { job, can_lead, since: Instant::now() };
        match self.table.borrow_mut().join(fetch_key, waiting) {
            Joined::Lead(id, Waiting { job, .. }) => Joined::Lead(id, job),
            Joined::Waits => Joined::Waits,
            Joined::Attach(open, Waiting { job, .. }) => Joined::Attach(open, job),
        }
    }

    /// Whether the fetch still holds its key: it has not ended, and no purge has taken it (FL-2).
    pub(super) fn is_current(&self, fetch_key: &[u8], id: FillId) -> bool {
        self.table.borrow().is_current(fetch_key, id)
    }

    /// A new id for a vary base; never used before, also not before a restart.
    pub(super) fn next_base_id(&self) -> u64 {
        let id = self.base_id.get().max(unix_ns()) + 1;
        self.base_id.set(id);
        id
    }

    /// Counts a failed fetch by its fault.
    pub(super) fn count_error(&self, error: FetchError) {
        self.parts.counters.add(origin_error(error), 1);
    }
}

/// Attaches a waiting exchange to a body that grows; asks it to go alone when it came too late.
pub(super) fn attach(reply: &ReplyTo, open: &Open, collapsed: bool) {
    let news = reply.clone();
    let moved = Arc::new(move || news.post(Event::BodyMoved));
    match open.body.attach(moved) {
        Ok(body) => reply.post(Event::Head { head: Arc::clone(&open.head), body, collapsed }),
        Err(_) => reply.post(Event::AskAlone),
    }
}

/// Ends a task's count, also when it panics.
struct Ending(Rc<Plane>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.tasks.set(self.0.tasks.get() - 1);
        self.0.idle.notify_one();
    }
}

fn queue_len(queue: &FillQueue) -> u64 {
    queue.waiting.load(std::sync::atomic::Ordering::Relaxed) as u64
}

fn unix_ns() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_nanos() as u64)
}

fn origin_error(error: FetchError) -> Counter {
    match error {
        FetchError::ConnectRefused => Counter::OriginErrorConnectRefused,
        FetchError::ConnectTimeout => Counter::OriginErrorConnectTimeout,
        FetchError::Unreachable => Counter::OriginErrorUnreachable,
        FetchError::ConnectFault => Counter::OriginErrorConnectFault,
        FetchError::Exhausted => Counter::OriginErrorExhausted,
        FetchError::Dns => Counter::OriginErrorDns,
        FetchError::TlsCertificate => Counter::OriginErrorTlsCertificate,
        FetchError::TlsHandshake => Counter::OriginErrorTlsHandshake,
        FetchError::FirstByteTimeout => Counter::OriginErrorFirstByteTimeout,
        FetchError::ReadTimeout => Counter::OriginErrorReadTimeout,
        FetchError::Reset => Counter::OriginErrorReset,
        FetchError::NoResponse => Counter::OriginErrorNoResponse,
        FetchError::BadResponse => Counter::OriginErrorBadResponse,
        FetchError::HeadTooLarge => Counter::OriginErrorHeadTooLarge,
        FetchError::Truncated => Counter::OriginErrorTruncated,
        FetchError::PoolFull => Counter::OriginErrorPoolFull,
        FetchError::QueueTimeout => Counter::OriginErrorQueueTimeout,
        FetchError::UploadAborted => Counter::OriginErrorUploadAborted,
        FetchError::Abandoned => Counter::OriginErrorAbandoned,
        FetchError::Stopped => Counter::OriginErrorStopped,
        FetchError::BadTarget => Counter::OriginErrorBadTarget,
        FetchError::TunnelUnsupported => Counter::OriginErrorTunnelUnsupported,
    }
}

/// Memory for keys whose responses are not shared.
const UNSHARED_BYTES_MAX: usize = 1024 * 1024;

/// How often gauges that nobody counts on the way are read.
const OBSERVED_EVERY: Duration = Duration::from_secs(1);
