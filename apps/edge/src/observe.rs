//! What can be seen from outside: metrics, status, readiness, and the way of a purge.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use longhold_origin::StagingBudget;
use longhold_store::{Pager, Store};
use longhold_telemetry::exporter::Registry;
use longhold_telemetry::{Counter, Gauge, WorkerCounters};
use serde_json::{Value, json};

use crate::admin::{Handles, Readiness};
use crate::carrier::{Carrier, Descriptors};
use crate::config::checked::Checked;
use crate::config::memory::MemoryPlan;
use crate::fill::FillPort;
use crate::governor::measure::Counts;
use crate::pressure::Pressure;
use crate::roster::Member;
use crate::shared::Shared;
use crate::signals::{Stage, Stop};

mod audit;
mod crowd;
mod explaining;
mod governing;
mod purging;
mod store_view;

use audit::Audit;
use crowd::Crowd;
use governing::Governing;

/// Sees the whole process.
pub struct Observer {
    view: Arc<View>,
}

struct View {
    registry: Registry,
    /// The process' own totals, written by whoever looks.
    own: Mutex<WorkerCounters>,
    store: Store,
    pager: Arc<Pager>,
    crowd: Crowd,
    plan: Value,
    workers: usize,
    carrier: Carrier,
    /// Known once the workers stand.
    descriptors: OnceLock<Descriptors>,
    max_connections: u32,
    /// `limits.unsent_max`.
    unsent_max: u64,
    started: Instant,
    ready: AtomicBool,
    audit: Mutex<Audit>,
    governing: Governing,
    /// Devices that have been told of as offline.
    offline: store_view::Offline,
}

impl Observer {
    /// An observer of what the process is made of; `listeners` are the addresses that it got.
    pub fn new(
        config: &Checked,
        (registry, own): (Registry, WorkerCounters),
        (store, pager, roster, carrier): (&Store, Arc<Pager>, Vec<Arc<Member>>, Carrier),
        (pressure, staging): (&Arc<Pressure>, &Arc<StagingBudget>),
        listeners: &[SocketAddr],
    ) -> Self {
        let configured = config.server.memory.map(|memory| memory.0);
        let bounds = (configured, config.store.memory.0);
        let (pressure, staging) = (Arc::clone(pressure), Arc::clone(staging));
        let view = View {
            registry,
            own: Mutex::new(own),
            store: store.clone(),
            pager,
            crowd: Crowd { roster, listeners: listed(config, listeners) },
            plan: MemoryPlan::of(config).json(),
            governing: Governing::new(bounds, pressure, staging),
            workers: config.server.workers,
            carrier,
            descriptors: OnceLock::new(),
            max_connections: config.server.max_connections,
            unsent_max: config.limits.unsent_max.0,
            started: Instant::now(),
            ready: AtomicBool::new(false),
            audit: Mutex::default(),
            offline: store_view::Offline::default(),
        };
        Self { view: Arc::new(view) }
    }

    /// Everything answers now, and the workers' descriptors stand there.
    pub fn set_ready(&self, descriptors: Descriptors) {
        // Said once, by the one who starts.
        let _ = self.view.descriptors.set(descriptors);
        self.view.ready.store(true, Ordering::Release);
    }

    /// What the admin API shows and does.
    pub fn handles(&self, stop: &Stop, port: &FillPort, shared: &Arc<Shared>) -> Handles {
        let (metrics, status, tick) =
            (Arc::clone(&self.view), Arc::clone(&self.view), Arc::clone(&self.view));
        let (ready, purged) = (Arc::clone(&self.view), Arc::clone(&self.view));
        let (stop_seen, stop_status) = (stop.clone(), stop.clone());
        let (fills, fills_status) = (port.clone(), port.clone());
        let (fills_explain, shared_explain) = (port.clone(), Arc::clone(shared));
        let (census, close) = (Arc::clone(&self.view), Arc::clone(&self.view));
        let budget = Arc::clone(&self.view);
        let shared = Arc::clone(shared);
        Handles {
            readiness: Arc::new(move || ready.readiness(&stop_seen)),
            metrics: Arc::new(move || {
                metrics.note();
                metrics.registry.render()
            }),
            status: Arc::new(move || status.status(&stop_status, &fills_status)),
            purge: Arc::new(move |order| {
                let (fills, shared) = (fills.clone(), Arc::clone(&shared));
                let store = purged.store.clone();
                Box::pin(async move { purging::carry_out(order, (fills, &shared, &store)).await })
            }),
            explain: Arc::new(move |ask| {
                let (fills, shared) = (fills_explain.clone(), Arc::clone(&shared_explain));
                Box::pin(async move { explaining::carry_out(ask, fills, &shared).await })
            }),
            census: Arc::new(move |ask| {
                let view = Arc::clone(&census);
                Box::pin(async move { view.crowd.census(&ask, &view.registry).await })
            }),
            close: Arc::new(move |ask| {
                let view = Arc::clone(&close);
                Box::pin(async move { view.crowd.close(&ask).await })
            }),
            budget: Arc::new(move |bytes| budget.governing.set_budget(bytes)),
            tick: Arc::new(move || tick.tick()),
        }
    }
}

impl View {
    fn readiness(&self, stop: &Stop) -> Readiness {
        match (stop.state(), self.ready.load(Ordering::Acquire)) {
            (Stage::Draining | Stage::Now, _) => Readiness::Draining,
            (Stage::Running, true) => Readiness::Ready,
            (Stage::Running, false) => Readiness::Starting,
        }
    }

    /// What is done each second.
    fn tick(&self) {
        self.note();
        let mut audit = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
        audit.tick(&self.crowd.roster, Instant::now());
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        audit.note(&own);
        self.governing.tick(&self.crowd.roster, self.counts(&own), &own);
    }

    /// What the counters know of the memory in use.
    fn counts(&self, own: &WorkerCounters) -> Counts {
        let sum = self.registry.sum();
        let parked = sum.gauge(Gauge::ConnectionsParked);
        let others =
            [Gauge::ConnectionsHandshaking, Gauge::ConnectionsActive, Gauge::ConnectionsClosing];
        let origin = [Gauge::OriginConnectionsIdle, Gauge::OriginConnectionsInUse];
        Counts {
            open: parked + others.map(|gauge| sum.gauge(gauge)).iter().sum::<u64>(),
            parked,
            origin: origin.map(|gauge| sum.gauge(gauge)).iter().sum(),
            secure: sum.gauge(Gauge::TlsConnections),
            shaking: sum.gauge(Gauge::TlsHandshakes),
            sending: sum.gauge(Gauge::ConnectionsSending),
            unsent_max: self.unsent_max,
            buffers: sum.gauge(Gauge::Buffers),
            staging_bytes: 0,
            tier_bytes: own.gauge(Gauge::StoreTierUsedMemory),
        }
    }

    /// Brings the process' own totals up to date.
    fn note(&self) {
        let stats = self.store.stats();
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.set(Gauge::StoreObjects, stats.objects);
        own.set(Gauge::StoreUsedBytes, stats.bytes);
        own.set(Gauge::StoreSizeBytes, stats.size_bytes);
        let (on_uring, on_epoll) = match self.carrier {
            Carrier::Uring(_) => (self.workers, 0),
            Carrier::Epoll(_) => (0, self.workers),
        };
        own.set(Gauge::WorkersUring, on_uring as u64);
        own.set(Gauge::WorkersEpoll, on_epoll as u64);
        store_view::note(&own, &stats, &self.store.devices());
        store_view::note_pager(&own, &self.pager.stats());
        drop(own);
        self.offline.tell(&self.store.devices());
    }

    fn status(&self, stop: &Stop, port: &FillPort) -> Value {
        self.note();
        let snapshot = self.registry.sum();
        let stats = self.store.stats();
        let counters: serde_json::Map<String, Value> = Counter::ALL
            .iter()
            .map(|counter| {
                let row = counter.row();
                let name = match row.label {
                    Some((key, value)) => format!("{}{{{key}={value}}}", row.name),
                    None => row.name.to_owned(),
                };
                (name, json!(snapshot.counter(*counter)))
            })
            .collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "state": self.readiness(stop).word(),
            "uptime_s": self.started.elapsed().as_secs(),
            "kernel": rustix::system::uname().release().to_string_lossy(),
            "transport": self.carrier.name(),
            "transport_reason": self.carrier.reason(),
            "descriptors": self.descriptors.get().map(|descriptors| descriptors.name()),
            "listeners": self.crowd.addresses(),
            "workers": self.workers,
            "connections": {
                "max": self.max_connections,
                "handshaking": snapshot.gauge(Gauge::ConnectionsHandshaking),
                "parked": snapshot.gauge(Gauge::ConnectionsParked),
                "active": snapshot.gauge(Gauge::ConnectionsActive),
                "closing": snapshot.gauge(Gauge::ConnectionsClosing),
                "tls": snapshot.gauge(Gauge::TlsConnections),
                "tunnels": snapshot.gauge(Gauge::TunnelsOpen),
                "streams": snapshot.gauge(Gauge::StreamsOpen),
            },
            "accounting": self.audit.lock().unwrap_or_else(PoisonError::into_inner).json(),
            "store": store_view::json(&stats, &self.store.devices()),
            "pager": self.pager.backend().name(),
            "fill_queue": port.waiting(),
            "memory": self.plan,
            "governor": self.governing.json(),
            "counters": counters,
        })
    }
}

/// The listeners as they are shown: their addresses, and what is spoken there.
fn listed(config: &Checked, addresses: &[SocketAddr]) -> Vec<(String, &'static str)> {
    let schemes = config.listeners.iter().map(|listener| listener.scheme());
    addresses.iter().map(SocketAddr::to_string).zip(schemes).collect()
}
