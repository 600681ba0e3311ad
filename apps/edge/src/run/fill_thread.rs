//! The fill plane's thread: its runtime, its pools, its writer.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use longhold_origin::fill::Runtime;
use longhold_origin::{OriginConfig, OriginPool, StagingBudget};
use longhold_store::{Store, Writer};
use longhold_telemetry::WorkerCounters;

use crate::carrier::Carrier;
use crate::config::checked::{self, Checked};
use crate::config::memory::STAGING_BYTES;
use crate::fill::FillQueue;
use crate::fill::device::FillDevice;
use crate::fill::plane::{self, Parts, Waits};
use crate::shared::Shared;
use crate::signals::Stop;

/// The running fill plane.
pub(super) struct FillThread {
    thread: JoinHandle<anyhow::Result<()>>,
    /// The memory of bodies.
    pub(super) staging: Arc<StagingBudget>,
}

impl FillThread {
    /// Starts the thread; when it returns, the plane takes jobs.
    pub(super) fn start(
        config: &Checked,
        (shared, carrier): (&Shared, Carrier),
        (store, stop): (&Store, &Stop),
        (queue, counters): (FillQueue, WorkerCounters),
    ) -> anyhow::Result<Self> {
        let origins: Vec<OriginConfig> = config.sites.iter().map(origin_config).collect();
        let (limits, rules) = (shared.limits, Arc::clone(&shared.rules));
        let pressure = Arc::clone(&shared.pressure);
        let tunnels = Arc::clone(&shared.tunnels);
        let window_bytes = config.limits.download_window.0 as usize;
        let object_bytes_max = config.limits.object_max.0;
        let waits = Waits {
            leader: Duration::from_millis(config.limits.leader_wait.0),
            follower: Duration::from_millis(config.limits.follower_wait.0),
            store: Duration::from_millis(config.store.write_patience.0),
            unshared: Duration::from_millis(config.limits.hit_for_miss.0),
        };
        let blocks = config.limits.staging_max as usize;
        let row = config.server.workers;
        let staging = StagingBudget::new(blocks * STAGING_BYTES as usize);
        let budget = Arc::clone(&staging);
        let (store, stop) = (store.clone(), stop.clone());
        let (ready, readiness) = mpsc::channel();
        let thread = super::spawn("fill".to_owned(), move || {
            let runtime = match carrier {
                Carrier::Uring(_) => Runtime::Uring { entries: RING_ENTRIES },
                Carrier::Epoll(_) => Runtime::Plain,
            };
            longhold_origin::fill::run(runtime, async move {
                let made = (|| -> anyhow::Result<Parts> {
                    let pools: Result<Vec<OriginPool>, _> =
                        origins.into_iter().map(OriginPool::new).collect();
                    let pool = (blocks, STAGING_BYTES as usize);
                    let device = FillDevice::open(carrier, &store, pool)?;
                    Ok(Parts {
                        pools: pools.context("an origin cannot be used")?,
                        reader: store.reader(row),
                        writer: Writer::new(&store, device)?,
                        budget,
                        tunnels,
                        pressure,
                        limits,
                        window_bytes,
                        object_bytes_max,
                        waits,
                        counters,
                        rules,
                        stop,
                    })
                })();
                match made {
                    Ok(parts) => {
                        // Whoever waits for it is gone only when the start has failed elsewhere.
                        let _ = ready.send(Ok(()));
                        plane::run(parts, queue).await.context("the store could not be sealed")
                    }
                    Err(fault) => {
                        let _ = ready.send(Err(fault));
                        Ok(())
                    }
                }
            })
            .context("the fill plane's runtime cannot be made")?
        })?;
        readiness.recv().map_err(|_| anyhow!("the fill thread ended before it was ready"))??;
        Ok(Self { thread, staging })
    }

    /// Waits until the plane has let its fetches end and sealed the store. All ports must be gone.
    pub(super) fn join(self) -> anyhow::Result<()> {
        super::join(self.thread, "fill")
    }
}

/// Submission slots of the fill plane's ring: as many file writes may be prepared in one turn.
const RING_ENTRIES: u32 = 256;

fn origin_config(site: &checked::Site) -> OriginConfig {
    let origin = &site.origin;
    OriginConfig {
        urls: origin.urls.clone(),
        ca_file: origin.ca.clone(),
        connect_timeout_ms: origin.connect_timeout.0,
        first_byte_timeout_ms: origin.first_byte_timeout.0,
        between_bytes_timeout_ms: origin.between_bytes_timeout.0,
        connections_max: origin.connections_max,
        source_addresses: origin.source_addresses.clone(),
        queue_max: origin.queue_max,
        idle_timeout_ms: origin.idle_timeout.0,
    }
}
