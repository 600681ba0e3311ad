//! The composition: from a checked config to threads that serve, and back to a sealed store.
//!
//! Order at start: limits, choice of the reactor, certificates, listeners, store, fill plane,
//! control, workers.
//! Whatever can fail fails before the first client is accepted, with a message that names the cause
//! and the remedy.
//! Order at the end: workers drain, then the control plane, then the fill plane seals the store,
//! then the access log is flushed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use longhold_conn::SlotTable;
use longhold_store::{Pager, PagerBackend, PagerConfig, Store};
use longhold_telemetry::WorkerCounters;
use longhold_telemetry::access_log::{self, AccessLog};
use longhold_telemetry::exporter::{BuildInfo, Registry};
use longhold_tls::layer::InFlight;
use longhold_transport::{BoundListener, ListenError, bind_listeners};

use crate::admin::Handles;
use crate::carrier::{Carrier, Descriptors};
use crate::config::checked::{AdminAddress, Checked, LogFormat, LogTarget};
use crate::config::memory::{LOG_LINE_BYTES, MemoryPlan, store_config};
use crate::control;
use crate::fill;
use crate::host::{Host, report};
use crate::observe::Observer;
use crate::roster::Member;
use crate::secure::Acceptors;
use crate::shared::Shared;
use crate::signals::{Stage, Stop, raise_open_files};

mod fill_thread;
mod watch;
mod worker_thread;

use fill_thread::FillThread;
use worker_thread::{Common, Seat, WorkerThread};

/// What stands once the edge serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Where clients connect, in the order of the config; kernel-chosen ports are filled in.
    pub listeners: Vec<SocketAddr>,
    /// Where the admin API listens, if over TCP.
    pub admin: Option<SocketAddr>,
}

/// Serves until `stop` ends it; calls `on_started` once everything answers.
///
/// # Errors
/// What kept the edge from starting, or ended it other than by `stop`.
pub fn serve(
    config: &Checked,
    stop: Stop,
    on_started: impl FnOnce(&Started),
) -> anyhow::Result<()> {
    let plan = MemoryPlan::of(config);
    let open_files = raise_open_files().context("cannot raise the limit of open files")?;
    let host = Host::read();
    let carrier = Carrier::choose(config.server.transport, host.uring)?;
    let findings = report::admit(config, &plan, &host)?;
    watch::log_findings(&findings);
    let acceptors = Arc::new(Acceptors::load(&config.listeners)?);
    let bound = bind_all(config)?;
    let addresses: Vec<SocketAddr> =
        bound.iter().filter_map(|group| group.first()).map(BoundListener::address).collect();
    let (store, report) = Store::open(&store_config(config))?;
    watch::log_start(config, &plan, (open_files, carrier), &report);
    let pager = start_pager(&store, carrier).context("the pager cannot start")?;
    let pager = Arc::new(pager);
    tracing::info!(by = pager.backend().name(), "stored bytes that are not in memory are read");

    let workers = config.server.workers;
    let build = BuildInfo { version: env!("CARGO_PKG_VERSION"), commit: COMMIT };
    let (registry, mut counters) = Registry::new(2 * workers + 2, &build);
    let own_counters = counters.pop().ok_or_else(|| anyhow!("no counters for the process"))?;
    let fill_counters = counters.pop().ok_or_else(|| anyhow!("no counters for the fill plane"))?;
    let (log, queues) = start_log(config)?;
    log.iter().for_each(|log| reopen_on_hangup(log, &stop));

    let (port, queue) = fill::queue(FILL_QUEUE_MAX.max(config.server.max_connections as usize));
    let shared = Arc::new(Shared::of(config));
    let fills =
        FillThread::start(config, (&shared, carrier), (&store, &stop), (queue, fill_counters))?;
    let slots = u32::try_from(plan.slots_count.div_ceil(workers as u64))?;
    let member = || Member::new(Arc::new(SlotTable::new(slots)));
    let roster: Vec<_> = (0..workers).map(|_| member()).collect();
    let own = (registry, own_counters);
    let seen = (&store, Arc::clone(&pager), roster.clone(), carrier);
    let observer = Observer::new(config, own, seen, (&shared.pressure, &fills.staging), &addresses);
    let mut handles = observer.handles(&stop, &port, &shared);
    keep_certificates_fresh(&acceptors, &stop, &mut handles);
    let control = control::start(&config.admin, handles)?;
    let admin = match control.address() {
        AdminAddress::Tcp(address) => Some(*address),
        AdminAddress::Unix(_) => None,
    };

    let (ended, endings) = mpsc::channel();
    let common = Common {
        carrier,
        store: store.clone(),
        shared,
        fills: port.clone(),
        pager,
        stop: stop.clone(),
        buffers: config.limits.buffers_max,
        acceptors,
        handshakes: config.limits.handshakes,
        in_flight: Arc::new(InFlight::new(config.limits.handshakes.most)),
    };
    let seats = seats(counters, queues, (by_worker(bound, workers), roster));
    let (threads, descriptors) = start_workers(common, seats, &ended)?;
    watch::log_carrier(carrier, descriptors, (slots, workers));
    observer.set_ready(descriptors);
    tracing::info!(listeners = ?addresses, admin = %control.address(), "serving");
    on_started(&Started { listeners: addresses, admin });

    let drain_ms = config.server.drain_timeout.0;
    let drain_watch = watch::cut_after(&stop, Duration::from_millis(drain_ms))?;
    let outcome = wait(&endings, threads, &stop);
    drop(control);
    drop((port, observer));
    let sealed = fills.join();
    drain_watch.end();
    if let Some(log) = log.and_then(|log| lock(&log).take()) {
        log.shutdown(LOG_FLUSH_MAX).context("the access log could not be flushed")?;
    }
    outcome.and(sealed)
}

/// The pager, with a ring only where the edge uses rings.
fn start_pager(store: &Store, carrier: Carrier) -> std::io::Result<Pager> {
    let backend = match carrier {
        Carrier::Uring(_) => None,
        Carrier::Epoll(_) => Some(PagerBackend::Threads),
    };
    Pager::start(store, PagerConfig { backend, ..PagerConfig::default() })
}

/// Has the log's file opened anew on SIGHUP.
fn reopen_on_hangup(log: &SharedLog, stop: &Stop) {
    let log = Arc::clone(log);
    stop.on_hangup(Arc::new(move || {
        if let Some(log) = &*lock(&log) {
            log.reopen();
        }
    }));
}

/// Has certificates read again on SIGHUP and when their files have changed.
fn keep_certificates_fresh(acceptors: &Arc<Acceptors>, stop: &Stop, handles: &mut Handles) {
    if !acceptors.is_any() {
        return;
    }
    let reloaded = Arc::clone(acceptors);
    stop.on_hangup(Arc::new(move || reloaded.reload()));
    let (watched, tick) = (Arc::clone(acceptors), Arc::clone(&handles.tick));
    handles.tick = Arc::new(move || {
        tick();
        watched.tick();
    });
}

/// What each worker has for itself.
fn seats(
    counters: Vec<WorkerCounters>,
    queues: Vec<access_log::Queue>,
    (listeners, roster): (Vec<Vec<BoundListener>>, Vec<Arc<Member>>),
) -> Vec<Seat> {
    let logs = queues.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
    let places = listeners.into_iter().zip(roster);
    let mut counters = counters;
    let of_layers = counters.split_off(counters.len() / 2);
    let seats = counters.into_iter().zip(of_layers).zip(logs).zip(places);
    let seat = |(((counters, tls_counters), log), (listeners, member))| Seat {
        counters,
        tls_counters,
        log,
        listeners,
        member,
    };
    seats.map(seat).collect()
}

/// Starts the workers; when it returns, all of them accept. Says where their descriptors stand.
fn start_workers(
    common: Common,
    seats: Vec<Seat>,
    ended: &mpsc::Sender<()>,
) -> anyhow::Result<(Vec<WorkerThread>, Descriptors)> {
    let common = Arc::new(common);
    let mut threads = Vec::with_capacity(seats.len());
    for (index, seat) in seats.into_iter().enumerate() {
        threads.push(WorkerThread::start((index, seat), &common, ended.clone())?);
    }
    let mut descriptors = Descriptors::Direct;
    for thread in &threads {
        descriptors = descriptors.or_worse(thread.ready()?);
    }
    Ok((threads, descriptors))
}

/// Waits until all workers have ended. A worker that ends by itself takes the rest with it: half an
/// edge would refuse half of its clients in silence.
fn wait(
    endings: &mpsc::Receiver<()>,
    threads: Vec<WorkerThread>,
    stop: &Stop,
) -> anyhow::Result<()> {
    let mut left = threads.len();
    let mut failed = false;
    while left > 0 {
        endings.recv().context("a worker went away without a word")?;
        left -= 1;
        if stop.state() == Stage::Running {
            failed = true;
            stop.request();
            stop.request();
        }
    }
    let mut outcome = Ok(());
    for thread in threads {
        outcome = outcome.and(thread.join());
    }
    if failed && outcome.is_ok() {
        bail!("a worker ended by itself");
    }
    outcome
}

/// Binds every listener of the config, once per worker.
fn bind_all(config: &Checked) -> anyhow::Result<Vec<Vec<BoundListener>>> {
    let unsent_max = u32::try_from(config.limits.unsent_max.0).unwrap_or(u32::MAX);
    let bind = |address| -> Result<_, ListenError> {
        let bound = bind_listeners(address, config.server.workers)?;
        bound.iter().try_for_each(|listener| listener.bound_unsent(unsent_max))?;
        Ok(bound)
    };
    let groups: Result<Vec<_>, _> =
        config.listeners.iter().map(|listener| bind(listener.address)).collect();
    Ok(groups?)
}

/// Turns listeners by address into listeners by worker.
fn by_worker(groups: Vec<Vec<BoundListener>>, workers: usize) -> Vec<Vec<BoundListener>> {
    let mut shares: Vec<Vec<BoundListener>> = (0..workers).map(|_| Vec::new()).collect();
    for group in groups {
        for (share, listener) in shares.iter_mut().zip(group) {
            share.push(listener);
        }
    }
    shares
}

/// Starts the access log, if there is one, with a queue for each worker.
fn start_log(config: &Checked) -> anyhow::Result<(Option<SharedLog>, Vec<access_log::Queue>)> {
    let sink = match &config.access_log.target {
        LogTarget::Off => return Ok((None, Vec::new())),
        LogTarget::Stdout => access_log::Sink::Stdout,
        LogTarget::Stderr => access_log::Sink::Stderr,
        LogTarget::File(path) => access_log::Sink::File(path.clone()),
    };
    let format = match config.access_log.format {
        LogFormat::Json => access_log::Format::Json,
        LogFormat::Text => access_log::Format::Text,
    };
    let settings = access_log::Config {
        format,
        sink,
        queues_count: config.server.workers,
        queue_bytes: config.limits.log_queue_max * LOG_LINE_BYTES as usize,
    };
    let (log, queues) = AccessLog::start(&settings)?;
    Ok((Some(Arc::new(Mutex::new(Some(log)))), queues))
}

/// The access log, between its end and whoever asks it to reopen its file.
type SharedLog = Arc<Mutex<Option<AccessLog>>>;

fn lock(log: &SharedLog) -> MutexGuard<'_, Option<AccessLog>> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Joins a thread; its panic becomes an error.
fn join<T>(thread: JoinHandle<anyhow::Result<T>>, name: &str) -> anyhow::Result<T> {
    thread.join().map_err(|_| anyhow!("the {name} thread panicked; this is a bug"))?
}

fn spawn<T: Send + 'static>(
    name: String,
    body: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<JoinHandle<anyhow::Result<T>>> {
    thread::Builder::new().name(name).spawn(body).context("the system refused a thread")
}

/// The commit that was built, where the builder says it.
const COMMIT: &str = match option_env!("LONGHOLD_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Messages that may wait for the fill plane, though there be fewer connections: beyond one for
/// each connection, requests are answered 503. Room that nobody uses takes no memory.
const FILL_QUEUE_MAX: usize = 4096;

/// How long the end may wait for whoever reads the access log.
const LOG_FLUSH_MAX: Duration = Duration::from_secs(5);
