//! What can be seen from outside: metrics, status, readiness, and the way of a purge.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use longhold_conn::{SlotTable, State};
use longhold_gateway::key;
use longhold_gateway::purge::Scope;
use longhold_http1::{Limits, parse_request};
use longhold_store::{Mode, Pager, Store};
use longhold_telemetry::exporter::Registry;
use longhold_telemetry::{Counter, Gauge, WorkerCounters};
use serde_json::{Value, json};

use crate::admin::{Handles, PurgeError, PurgeReply, Purging, Readiness};
use crate::config::checked::Checked;
use crate::config::memory::MemoryPlan;
use crate::fill::FillPort;
use crate::shared::Shared;
use crate::signals::{Stage, Stop};

mod store_view;

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
    tables: Vec<Arc<SlotTable>>,
    plan: Value,
    listeners: Vec<String>,
    workers: usize,
    max_connections: u32,
    started: Instant,
    ready: AtomicBool,
    /// Devices that have been told of as offline.
    offline: store_view::Offline,
}

impl Observer {
    /// An observer of what the process is made of; `listeners` are the addresses that it got.
    pub fn new(
        config: &Checked,
        plan: &MemoryPlan,
        (registry, own): (Registry, WorkerCounters),
        (store, pager, tables): (&Store, Arc<Pager>, Vec<Arc<SlotTable>>),
        listeners: &[SocketAddr],
    ) -> Self {
        let view = View {
            registry,
            own: Mutex::new(own),
            store: store.clone(),
            pager,
            tables,
            plan: plan.json(),
            listeners: listeners.iter().map(SocketAddr::to_string).collect(),
            workers: config.server.workers,
            max_connections: config.server.max_connections,
            started: Instant::now(),
            ready: AtomicBool::new(false),
            offline: store_view::Offline::default(),
        };
        Self { view: Arc::new(view) }
    }

    /// Everything answers now.
    pub fn set_ready(&self) {
        self.view.ready.store(true, Ordering::Release);
    }

    /// What the admin API shows and does.
    pub fn handles(&self, stop: &Stop, port: &FillPort, shared: &Arc<Shared>) -> Handles {
        let (metrics, status, tick) =
            (Arc::clone(&self.view), Arc::clone(&self.view), Arc::clone(&self.view));
        let ready = Arc::clone(&self.view);
        let (stop_seen, stop_status) = (stop.clone(), stop.clone());
        let (fills, fills_status) = (port.clone(), port.clone());
        let shared = Arc::clone(shared);
        Handles {
            readiness: Arc::new(move || ready.readiness(&stop_seen)),
            metrics: Arc::new(move || {
                metrics.note();
                metrics.registry.render()
            }),
            status: Arc::new(move || status.status(&stop_status, &fills_status)),
            purge: Arc::new(move |url| purge(url, fills.clone(), Arc::clone(&shared))),
            tick: Arc::new(move || tick.note()),
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

    /// Brings the process' own totals up to date.
    fn note(&self) {
        let stats = self.store.stats();
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.set(Gauge::StoreObjects, stats.objects);
        own.set(Gauge::StoreUsedBytes, stats.bytes);
        own.set(Gauge::StoreSizeBytes, stats.size_bytes);
        own.set(Gauge::Workers, self.workers as u64);
        store_view::note(&own, &stats, &self.store.devices());
        store_view::note_pager(&own, &self.pager.stats());
        drop(own);
        self.offline.tell(&self.store.devices());
    }

    fn status(&self, stop: &Stop, port: &FillPort) -> Value {
        self.note();
        let snapshot = self.registry.sum();
        let stats = self.store.stats();
        let mut by_state = [0_u64; State::ALL.len()];
        for slot in self.tables.iter().flat_map(|table| table.iter()) {
            by_state[slot.state() as usize] += 1;
        }
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
            "transport": "uring",
            "listeners": self.listeners,
            "workers": self.workers,
            "connections": {
                "max": self.max_connections,
                "parked": by_state[State::Parked as usize],
                "active": by_state[State::Active as usize],
                "closing": by_state[State::Closing as usize],
            },
            "store": store_view::json(&stats, &self.store.devices()),
            "pager": self.pager.backend().name(),
            "fill_queue": port.waiting(),
            "memory": self.plan,
            "counters": counters,
        })
    }
}

/// Purges a URL: its key as a request for it would have it, durable when it resolves.
fn purge(url: String, fills: FillPort, shared: Arc<Shared>) -> Purging {
    Box::pin(async move {
        let begun = Instant::now();
        let key = key_of(&url, &shared)?;
        let purged = fills
            .purge(vec![Scope::Key(key)], Mode::Hard)
            .await
            .map_err(|_| PurgeError::Unavailable)?;
        let found = purged.map_err(|_| PurgeError::NotDurable)?;
        Ok(PurgeReply { found: found > 0, duration_us: begun.elapsed().as_micros() as u64 })
    })
}

/// The key of an absolute URL, by the same parser that clients' requests go through.
fn key_of(url: &str, shared: &Shared) -> Result<Vec<u8>, PurgeError> {
    let (scheme, rest) = url.split_once("://").ok_or(PurgeError::BadUrl)?;
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        return Err(PurgeError::BadUrl);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let request = format!("GET {scheme}://{rest} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let limits = Limits { head_bytes_max: request.len().max(1024), ..shared.limits };
    let parsed = parse_request(request.as_bytes(), &limits);
    let Ok(Some(head)) = parsed else { return Err(PurgeError::BadUrl) };
    if shared.sites.find(head.target.authority).is_none() {
        return Err(PurgeError::NoSite);
    }
    let mut key = Vec::new();
    key::write_primary(&mut key, &scheme, &head.target).map_err(|_| PurgeError::BadUrl)?;
    Ok(key)
}
