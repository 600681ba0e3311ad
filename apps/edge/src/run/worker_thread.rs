//! A worker's thread: its core, its reactor, its loop.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::{Context as _, anyhow};
use longhold_store::Store;
use longhold_telemetry::WorkerCounters;
use longhold_telemetry::access_log::Queue;
use longhold_transport::uring::Reactor;
use longhold_transport::{BoundListener, Config, Transport as _};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::fill::FillPort;
use crate::inbox::Inbox;
use crate::outgoing::Outgoing;
use crate::paging::Paging;
use crate::roster::Member;
use crate::shared::Shared;
use crate::signals::Stop;
use crate::worker::{Setup, Worker};

/// What all workers have in common.
pub(super) struct Common {
    pub(super) store: Store,
    pub(super) shared: Arc<Shared>,
    pub(super) fills: FillPort,
    pub(super) pager: Arc<dyn Paging>,
    pub(super) stop: Stop,
    /// Buffers of each worker.
    pub(super) buffers: u32,
}

/// What one worker has for itself.
pub(super) struct Seat {
    pub(super) counters: WorkerCounters,
    pub(super) log: Option<Queue>,
    pub(super) listeners: Vec<BoundListener>,
    pub(super) member: Arc<Member>,
}

/// A running worker.
pub(super) struct WorkerThread {
    thread: JoinHandle<anyhow::Result<()>>,
    ready: mpsc::Receiver<()>,
}

impl WorkerThread {
    /// Starts the thread of worker `index`; `ended` hears of its end, however it comes.
    pub(super) fn start(
        (index, seat): (usize, Seat),
        common: &Arc<Common>,
        ended: mpsc::Sender<()>,
    ) -> anyhow::Result<Self> {
        let (said, ready) = mpsc::channel();
        let common = Arc::clone(common);
        let thread = super::spawn(format!("worker-{index}"), move || {
            let _ending = Ending(ended);
            pin_to_core(index);
            let mut worker = make((index, seat), &common)?;
            // The common things go with the last worker that holds them, not with the last thread.
            drop(common);
            // The starter gave up for another reason if it does not listen any more.
            let _ = said.send(());
            worker.run().context("a worker's transport failed")
        })?;
        Ok(Self { thread, ready })
    }

    /// Waits until the worker accepts connections.
    pub(super) fn ready(&self) -> anyhow::Result<()> {
        self.ready.recv().map_err(|_| anyhow!("a worker could not start; its fault stands above"))
    }

    /// Waits for its end.
    pub(super) fn join(self) -> anyhow::Result<()> {
        super::join(self.thread, "worker")
    }
}

fn make(
    (index, seat): (usize, Seat),
    common: &Common,
) -> anyhow::Result<Worker<Reactor<Outgoing>>> {
    let config =
        Config { slots: seat.member.slots.len(), buffers: common.buffers, ..Config::default() };
    let made = Reactor::new(&config).context("a worker's ring cannot be made");
    let mut io = made.inspect_err(|fault| tracing::error!("{fault:#}"))?;
    for listener in seat.listeners {
        io.listen(listener).inspect_err(|fault| tracing::error!("{fault}"))?;
    }
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
    Ok(Worker::new(io, setup))
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
