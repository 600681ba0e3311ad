//! What the load costs the server, and itself: sampled at the load's own moments, and once a
//! second on a thread beside it, so that reading never delays a request.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use longhold_loadgen::fault::Fault;
use longhold_loadgen::plan::Moment;
use longhold_loadgen::sampler::{CpuUse, KernelSample, Memory, ProcessSample, Sampler, SlabGrowth};
use longhold_loadgen::series::{Costs, Observer, Point, ServerCosts};
use serde::Serialize;

use crate::losses::Losses;
use crate::progress::Progress;

/// Samples a server's processes, the kernel, and this process.
pub(crate) struct Watch {
    meter: Meter,
    samples: Vec<(Moment, ProcessSample, KernelSample)>,
    latest: Arc<Mutex<Latest>>,
    progress: Option<Progress>,
    losses: Option<Losses>,
    /// The thread beside ends when this does.
    _alive: mpsc::Sender<()>,
}

/// A server between two moments.
#[derive(Debug, Serialize)]
pub(crate) struct ServerUse {
    /// CPU time between them.
    pub(crate) cpu: CpuUse,
    /// Memory at the first.
    pub(crate) memory_before: Memory,
    /// Memory at the second.
    pub(crate) memory_after: Memory,
    /// Threads at the second.
    pub(crate) threads: usize,
    /// The kernel's counts at the first, of the whole machine.
    pub(crate) kernel_before: KernelSample,
    /// The same at the second.
    pub(crate) kernel_after: KernelSample,
    /// Slab caches that grew most; empty without root.
    pub(crate) slab_growth: Vec<SlabGrowth>,
}

/// What the load itself has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct GeneratorUse {
    /// Anonymous memory at its greatest.
    pub(crate) anonymous_bytes: u64,
    /// CPU time.
    pub(crate) cpu_us: f64,
}

/// What was read last.
#[derive(Clone, Copy, Debug, Default)]
struct Latest {
    costs: Costs,
    generator_max_bytes: u64,
}

/// Reads costs, those of CPU against a reading of before.
#[derive(Clone)]
struct Meter {
    server: Option<(Sampler, ProcessSample)>,
    own: Sampler,
    own_before: ProcessSample,
    since: Instant,
}

impl Watch {
    /// A watch on these processes; without any, only on this one and the kernel.
    ///
    /// # Errors
    /// A process cannot be read: better known before the load than after it.
    pub(crate) fn new(pids: &[u32]) -> anyhow::Result<Self> {
        let meter = Meter::new(pids)?;
        let latest = Arc::new(Mutex::new(Latest::default()));
        let (alive, ended) = mpsc::channel();
        let beside = Beside { meter: meter.clone(), latest: Arc::clone(&latest), ended };
        thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || beside.run())
            .context("cannot start a thread")?;
        let (progress, losses) = (None, None);
        Ok(Self { meter, samples: Vec::new(), latest, progress, losses, _alive: alive })
    }

    /// The same with what it is to show and write.
    pub(crate) fn telling(self, progress: Option<Progress>, losses: Option<Losses>) -> Self {
        Self { progress, losses, ..self }
    }

    /// The load is over: shows no more, and has written all.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        self.progress = None;
        self.losses.as_mut().map_or(Ok(()), Losses::finish)
    }

    /// What happened from one moment to another, if both were sampled.
    pub(crate) fn between(&self, from: Moment, to: Moment) -> Option<ServerUse> {
        let at = |wanted| self.samples.iter().find(|(moment, ..)| *moment == wanted);
        let ((_, before, kernel_before), (_, after, kernel_after)) = (at(from)?, at(to)?);
        Some(ServerUse {
            cpu: CpuUse::between(before, after),
            memory_before: before.memory,
            memory_after: after.memory,
            threads: after.threads,
            kernel_before: kernel_before.clone(),
            kernel_after: kernel_after.clone(),
            slab_growth: kernel_after.slab_growth(kernel_before, SLAB_CACHES_MAX),
        })
    }

    /// What this process has used up to now.
    pub(crate) fn generator(&self) -> GeneratorUse {
        let costs = self.meter.read();
        let now = self.meter.own.processes().unwrap_or_else(|_| self.meter.own_before.clone());
        let mut latest = lock(&self.latest);
        latest.take(costs);
        GeneratorUse {
            anonymous_bytes: latest.generator_max_bytes,
            cpu_us: CpuUse::between(&self.meter.own_before, &now).total_us,
        }
    }
}

impl Observer for Watch {
    /// Takes a sample. A server that is gone has none, and then no use either.
    fn observe(&mut self, moment: Moment) {
        if let Some((sampler, _)) = &self.meter.server
            && let Ok(process) = sampler.processes()
        {
            self.samples.push((moment, process, sampler.kernel()));
        }
    }

    fn measure(&mut self) -> Costs {
        let costs = self.meter.read();
        lock(&self.latest).take(costs);
        costs
    }

    fn glance(&mut self) -> Costs {
        lock(&self.latest).costs
    }

    fn progress(&mut self, point: &Point) {
        if let Some(progress) = &mut self.progress {
            progress.show(point);
        }
    }

    fn fault(&mut self, at_ms: u64, connection: u32, fault: Fault) {
        if let Some(losses) = &mut self.losses {
            losses.add(at_ms, connection, fault);
        }
    }
}

/// What the thread beside has.
struct Beside {
    meter: Meter,
    latest: Arc<Mutex<Latest>>,
    ended: mpsc::Receiver<()>,
}

impl Beside {
    fn run(self) {
        loop {
            let costs = self.meter.read();
            lock(&self.latest).take(costs);
            match self.ended.recv_timeout(EVERY) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

impl Meter {
    fn new(pids: &[u32]) -> anyhow::Result<Self> {
        let read = |pids: &[u32]| {
            let sampler = Sampler::new(pids);
            let now = sampler.processes();
            now.map(|now| (sampler, now)).with_context(|| format!("cannot read processes {pids:?}"))
        };
        let server = (!pids.is_empty()).then(|| read(pids)).transpose()?;
        let (own, own_before) = read(&[std::process::id()])?;
        Ok(Self { server, own, own_before, since: Instant::now() })
    }

    fn read(&self) -> Costs {
        let server = self.server.as_ref().and_then(|(sampler, before)| {
            let now = sampler.processes().ok()?;
            Some(ServerCosts {
                anonymous_bytes: now.memory.anonymous_bytes,
                proportional_bytes: now.memory.proportional_bytes,
                cpu_us: CpuUse::between(before, &now).total_us,
                read_ms: self.since.elapsed().as_secs_f64() * 1e3,
            })
        });
        let kernel = self.own.kernel_totals();
        let own = self.own.processes().map(|own| own.memory.anonymous_bytes);
        Costs {
            server,
            slab_bytes: kernel.slab_bytes,
            sockets: kernel.tcp_sockets,
            generator_anonymous_bytes: own.unwrap_or(0),
        }
    }
}

impl Latest {
    fn take(&mut self, costs: Costs) {
        self.costs = costs;
        self.generator_max_bytes = self.generator_max_bytes.max(costs.generator_anonymous_bytes);
    }
}

/// Whoever held the lock before only copied numbers.
fn lock(latest: &Mutex<Latest>) -> MutexGuard<'_, Latest> {
    latest.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often the thread beside reads.
const EVERY: Duration = Duration::from_secs(1);
/// Slab caches that a result names.
const SLAB_CACHES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use longhold_loadgen::plan::Moment;
    use longhold_loadgen::series::Observer as _;

    use super::Watch;

    #[test]
    fn costs_are_the_servers_and_the_loads_own() {
        let mut watch = Watch::new(&[]).expect("this process can be read");
        assert_eq!(watch.measure().server, None);
        let mut watch = Watch::new(&[std::process::id()]).expect("this process can be read");
        watch.observe(Moment::Begin);
        let costs = watch.measure();
        let server = costs.server.expect("it is there");
        assert!(server.anonymous_bytes > 0 && server.proportional_bytes > 0, "{costs:?}");
        assert_eq!(watch.glance().server.map(|it| it.anonymous_bytes > 0), Some(true));
        // Memory that is given back counts in the peak.
        let block = vec![1_u8; 64 << 20];
        let with = watch.measure().generator_anonymous_bytes;
        drop(block);
        let generator = watch.generator();
        assert!(with >= 64 << 20 && generator.anonymous_bytes >= with, "{generator:?}");
        assert!(generator.cpu_us > 0.0, "{generator:?}");
        watch.observe(Moment::Held);
        assert!(watch.between(Moment::Begin, Moment::Held).is_some());
        assert!(watch.between(Moment::Begin, Moment::Counted).is_none());
        assert!(Watch::new(&[u32::MAX]).is_err(), "no such process");
    }
}
