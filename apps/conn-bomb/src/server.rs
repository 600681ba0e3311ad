//! What the load cost the server, sampled at the load's own moments.

use anyhow::Context as _;
use longhold_loadgen::plan::Moment;
use longhold_loadgen::sampler::{CpuUse, KernelSample, Memory, ProcessSample, Sampler, SlabGrowth};
use serde::Serialize;

/// Samples a server's processes, and the kernel, whenever a load reaches a moment.
pub(crate) struct Watch {
    sampler: Option<Sampler>,
    samples: Vec<(Moment, ProcessSample, KernelSample)>,
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

impl Watch {
    /// A watch on these processes; without any, nothing is sampled.
    ///
    /// # Errors
    /// A process cannot be read: better known before the load than after it.
    pub(crate) fn new(pids: &[u32]) -> anyhow::Result<Self> {
        let sampler = (!pids.is_empty()).then(|| Sampler::new(pids));
        if let Some(sampler) = &sampler {
            sampler.processes().with_context(|| format!("cannot read processes {pids:?}"))?;
        }
        Ok(Self { sampler, samples: Vec::new() })
    }

    /// Takes a sample. A server that is gone has none, and then no use either.
    pub(crate) fn observe(&mut self, moment: Moment) {
        if let Some(sampler) = &self.sampler
            && let Ok(process) = sampler.processes()
        {
            self.samples.push((moment, process, sampler.kernel()));
        }
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
}

/// Slab caches that a result names.
const SLAB_CACHES_MAX: usize = 16;
