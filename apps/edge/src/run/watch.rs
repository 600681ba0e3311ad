//! What accompanies a run: the start-up log, and the clock over a drain.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use longhold_store::RecoveryReport;

use crate::carrier::{Carrier, Descriptors, Why};
use crate::config::checked::Checked;
use crate::config::memory::{MemoryPlan, When};
use crate::host::judge::{Finding, Remedy, Verdict};
use crate::signals::{OpenFiles, Stage, Stop};

/// Says on what the edge runs and what it takes.
pub(super) fn log_start(
    config: &Checked,
    plan: &MemoryPlan,
    (open_files, carrier): (OpenFiles, Carrier),
    report: &RecoveryReport,
) {
    let kernel = rustix::system::uname();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        kernel = %kernel.release().to_string_lossy(),
        transport = carrier.name(),
        open_files_before = open_files.before,
        open_files = open_files.now,
        workers = config.server.workers,
        max_connections = config.server.max_connections,
        "starting",
    );
    tracing::info!(
        start = %plan.total(When::Start),
        load_at_most = %plan.total(When::Load),
        kernel_at_most = %plan.total(When::Kernel),
        "memory implied by the config",
    );
    for device in &config.store.devices {
        tracing::info!(path = %device.path.display(), size = %device.size, "store device");
    }
    tracing::info!(
        memory = %config.store.memory,
        created = report.created,
        objects = report.objects,
        devices_voided = report.devices_voided,
        "store open",
    );
}

/// Says which reactor runs and why, and what that means for the connections.
pub(super) fn log_carrier(
    carrier: Carrier,
    descriptors: Descriptors,
    (slots, workers): (u32, usize),
) {
    let reason = carrier.reason();
    match carrier {
        Carrier::Uring(support) => {
            tracing::info!(transport = "uring", reason, min_wait = support.min_wait, "reactor");
        }
        Carrier::Epoll(why) => {
            let descriptors = descriptors.name();
            match why {
                Why::Asked => {
                    tracing::info!(transport = "epoll", reason, descriptors, "reactor");
                }
                Why::Forbidden(_) => {
                    tracing::warn!(transport = "epoll", reason, descriptors, "reactor");
                }
            }
        }
    }
    if descriptors == Descriptors::Shared {
        tracing::warn!(
            slots_per_worker = slots,
            workers,
            "the host refuses the workers tables of their own: RLIMIT_NOFILE bounds all \
             connections together"
        );
    }
}

/// Says what of the host could be better.
pub(super) fn log_findings(findings: &[Finding]) {
    for finding in findings.iter().filter(|finding| finding.verdict == Verdict::Poor) {
        let remedy = finding.remedy.as_ref().map(Remedy::words).unwrap_or_default();
        tracing::warn!(
            limit = finding.name,
            found = finding.told,
            remedy,
            "the host could be better"
        );
    }
}

/// Cuts a drain that takes longer than `after`: asks `stop` for the second stage then.
pub(super) fn cut_after(stop: &Stop, after: Duration) -> anyhow::Result<DrainWatch> {
    let (changed, changes) = mpsc::channel();
    let told = changed.clone();
    stop.on_change(Arc::new(move || {
        // The watch has ended with the run.
        let _ = told.send(Word::Changed);
    }));
    let stop = stop.clone();
    let thread = super::spawn("drain".to_owned(), move || {
        while let Ok(Word::Changed) = changes.recv() {
            if stop.state() != Stage::Draining {
                continue;
            }
            tracing::info!("draining");
            if changes.recv_timeout(after) == Err(mpsc::RecvTimeoutError::Timeout) {
                tracing::warn!("the drain took too long; what is left is cut");
                stop.request();
            }
            return Ok(());
        }
        Ok(())
    })?;
    Ok(DrainWatch { changed, thread })
}

/// The clock over a drain.
pub(super) struct DrainWatch {
    changed: mpsc::Sender<Word>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl DrainWatch {
    /// The run has ended.
    pub(super) fn end(self) {
        // The thread may have ended after a drain; then there is nobody to tell, and it joins.
        let _ = self.changed.send(Word::Ended);
        let _ = self.thread.join();
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Changed,
    Ended,
}
