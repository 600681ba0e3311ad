//! A worker's thread: its core, its reactor, its loop.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::{Context as _, anyhow};
use longhold_store::Store;
use longhold_telemetry::WorkerCounters;
use longhold_telemetry::access_log::Queue;
use longhold_tls::layer::{Bounds, InFlight, LayerSettings, Secured, Wire};
use longhold_transport::{BoundListener, Config, ListenerId, Transport, epoll, uring};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::carrier::{Carrier, Descriptors};
use crate::config::checked::Handshakes;
use crate::fill::FillPort;
use crate::inbox::Inbox;
use crate::outgoing::Outgoing;
use crate::paging::Paging;
use crate::roster::Member;
use crate::secure::{self, Acceptors};
use crate::shared::Shared;
use crate::signals::Stop;
use crate::worker::{Setup, Worker};

/// What all workers have in common.
pub(super) struct Common {
    pub(super) carrier: Carrier,
    pub(super) store: Store,
    pub(super) shared: Arc<Shared>,
    pub(super) fills: FillPort,
    pub(super) pager: Arc<dyn Paging>,
    pub(super) stop: Stop,
    /// Buffers of each worker.
    pub(super) buffers: u32,
    /// Of the listeners, in the order of the config.
    pub(super) acceptors: Arc<Acceptors>,
    /// Bounds of handshakes.
    pub(super) handshakes: Handshakes,
    /// Those in flight in all workers.
    pub(super) in_flight: Arc<InFlight>,
}

/// What one worker has for itself.
pub(super) struct Seat {
    pub(super) counters: WorkerCounters,
    /// For what the transport does by itself.
    pub(super) tls_counters: WorkerCounters,
    pub(super) log: Option<Queue>,
    pub(super) listeners: Vec<BoundListener>,
    pub(super) member: Arc<Member>,
}

/// A running worker.
pub(super) struct WorkerThread {
    thread: JoinHandle<anyhow::Result<()>>,
    ready: mpsc::Receiver<Descriptors>,
}

impl WorkerThread {
    /// Starts the thread of worker `index`; `ended` hears of its end, however it comes.
    pub(super) fn start(
        (index, mut seat): (usize, Seat),
        common: &Arc<Common>,
        ended: mpsc::Sender<()>,
    ) -> anyhow::Result<Self> {
        let (said, ready) = mpsc::channel();
        let common = Arc::clone(common);
        let thread = super::spawn(format!("worker-{index}"), move || {
            let _ending = Ending(ended);
            pin_to_core(index);
            let tell = |fault: &anyhow::Error| tracing::error!("{fault:#}");
            let config = Config {
                slots: seat.member.slots.len(),
                buffers: common.buffers,
                ..Config::default()
            };
            match common.carrier {
                Carrier::Uring(_) => {
                    let io = on_uring(&config, &mut seat).inspect_err(tell)?;
                    work((io, Descriptors::Direct), (index, seat), common, &said)
                }
                Carrier::Epoll(_) => {
                    let io = on_epoll(&config, &mut seat).inspect_err(tell)?;
                    let descriptors = io.table().into();
                    work((io, descriptors), (index, seat), common, &said)
                }
            }
        })?;
        Ok(Self { thread, ready })
    }

    /// Waits until the worker accepts connections; where its descriptors stand.
    pub(super) fn ready(&self) -> anyhow::Result<Descriptors> {
        self.ready.recv().map_err(|_| anyhow!("a worker could not start; its fault stands above"))
    }

    /// Waits for its end.
    pub(super) fn join(self) -> anyhow::Result<()> {
        super::join(self.thread, "worker")
    }
}

/// A reactor on rings that accepts on the seat's listeners.
fn on_uring(config: &Config, seat: &mut Seat) -> anyhow::Result<uring::Reactor<Wire<Outgoing>>> {
    let mut io = uring::Reactor::new(config).context("a worker's ring cannot be made")?;
    for listener in seat.listeners.drain(..) {
        io.listen(listener)?;
    }
    Ok(io)
}

/// The same on epoll, in a table of descriptors of this thread's own where the host allows it.
fn on_epoll(config: &Config, seat: &mut Seat) -> anyhow::Result<epoll::Reactor<Wire<Outgoing>>> {
    let listeners = std::mem::take(&mut seat.listeners);
    epoll::Reactor::with_private_table(config, listeners).context("a worker cannot wait by epoll")
}

/// What a worker meets of its transport.
#[cfg(not(feature = "sabotage"))]
type Front<T> = Secured<T, Outgoing>;
#[cfg(feature = "sabotage")]
type Front<T> = crate::sabotage::Sabotaged<Secured<T, Outgoing>>;

/// Works over `below` until the stop is complete. Says first that it is ready.
fn work<T: Transport<Payload = Wire<Outgoing>>>(
    (below, descriptors): (T, Descriptors),
    seat: (usize, Seat),
    common: Arc<Common>,
    said: &mpsc::Sender<Descriptors>,
) -> anyhow::Result<()> {
    let mut worker = make(below, seat, &common);
    // The common things go with the last worker that holds them, not with the last thread.
    drop(common);
    // The starter gave up for another reason if it does not listen any more.
    let _ = said.send(descriptors);
    worker.run().context("a worker's transport failed")
}

fn make<T: Transport<Payload = Wire<Outgoing>>>(
    below: T,
    (index, seat): (usize, Seat),
    common: &Common,
) -> Worker<Front<T>> {
    let mut io = Secured::new(below, layer_settings(common, seat.tls_counters));
    // Listeners are numbered in the order of the config.
    for (listener, acceptor) in (0..).zip(common.acceptors.all()) {
        if let Some(acceptor) = acceptor {
            io.secure_listener(ListenerId(listener), Arc::clone(acceptor));
        }
    }
    #[cfg(feature = "sabotage")]
    let io = crate::sabotage::Sabotaged::new(io);
    let inbox = Arc::new(Inbox::of(&io));
    seat.member.begin(Arc::clone(&inbox), io.now());
    let woken = Arc::clone(&inbox);
    common.stop.on_change(Arc::new(move || woken.wake()));
    let setup = Setup {
        member: seat.member,
        store: common.store.reader(index),
        shared: Arc::clone(&common.shared),
        fills: common.fills.clone(),
        pager: Arc::clone(&common.pager),
        inbox,
        counters: seat.counters,
        log: seat.log,
        stop: common.stop.clone(),
        resting_max: common.buffers / 2,
    };
    let adopt = |io: &mut Front<T>, token, session| io.adopt_awake(token, session);
    Worker::new(io, setup).carrying_sessions(adopt)
}

fn layer_settings(common: &Common, counters: WorkerCounters) -> LayerSettings {
    let Handshakes { most, per_source, rate, timeout } = common.handshakes;
    let pressure = Arc::clone(&common.shared.pressure);
    LayerSettings {
        bounds: Bounds {
            in_flight: Arc::clone(&common.in_flight),
            per_source_max: per_source,
            rate_max: rate,
            ..Bounds::default()
        },
        record_timeout_us: timeout.0.saturating_mul(1000),
        // Those of handshakes that never end must not be missed by who is in.
        inputs_max: common.buffers.saturating_add(most),
        refuses: Box::new(move || pressure.refuses_newcomers()),
        answers_in_clear: Box::new(secure::answer_in_clear),
        reporter: secure::reporter(counters),
    }
}

/// Keeps the worker on one of the cores that the process may use. A host that forbids it loses
/// some speed and nothing else, so that is said and not fatal.
fn pin_to_core(index: usize) {
    let pin = || -> rustix::io::Result<()> {
        let allowed = sched_getaffinity(None)?;
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
        let Some(core) = cores.get(index % cores.len().max(1)) else { return Ok(()) };
        let mut only = CpuSet::new();
        only.set(*core);
        sched_setaffinity(None, &only)
    };
    if let Err(fault) = pin() {
        tracing::warn!(worker = index, %fault, "the worker is not pinned to a core");
    }
}

/// Says that the thread has ended, also when it panics.
struct Ending(mpsc::Sender<()>);

impl Drop for Ending {
    fn drop(&mut self) {
        // Nobody waits any more when the start has failed.
        let _ = self.0.send(());
    }
}
