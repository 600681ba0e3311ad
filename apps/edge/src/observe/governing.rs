//! The governor at work: measures once a second, says what holds, and has connections closed.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use longhold_origin::StagingBudget;
use longhold_telemetry::{Gauge, WorkerCounters};
use serde_json::{Value, json};

use crate::config::memory::rounded;
use crate::governor::measure::{Counts, Used, bounds};
use crate::governor::{Governor, Orders, enter_permille, shed};
use crate::host::budget::Cgroup;
use crate::pressure::{Level, Pressure};
use crate::roster::Member;

/// The governor, and what it needs.
pub(super) struct Governing {
    pressure: Arc<Pressure>,
    staging: Arc<StagingBudget>,
    cgroup: Option<Cgroup>,
    /// As large as the memory tier may become, bytes.
    tier_max: u64,
    /// What the config says, bytes; 0 for nothing.
    configured: u64,
    /// What holds in its place, by order.
    own: AtomicU64,
    began: Instant,
    state: Mutex<State>,
    /// Connections are being closed; one round at a time.
    is_closing: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    governor: Governor,
    used: Used,
    orders: Option<Orders>,
}

impl Governing {
    pub(super) fn new(
        (configured, tier_max): (Option<u64>, u64),
        pressure: Arc<Pressure>,
        staging: Arc<StagingBudget>,
    ) -> Self {
        let configured = configured.unwrap_or(0);
        Self {
            pressure,
            staging,
            cgroup: Cgroup::find(Path::new("/")),
            tier_max,
            configured,
            own: AtomicU64::new(configured),
            began: Instant::now(),
            state: Mutex::default(),
            is_closing: Arc::default(),
        }
    }

    /// Another budget holds from now on; `None` for the config's.
    pub(super) fn set_budget(&self, bytes: Option<u64>) -> Value {
        self.own.store(bytes.unwrap_or(self.configured), Ordering::Relaxed);
        let own = self.own_bytes();
        tracing::info!(memory = own.map(rounded), "the memory budget was set by order");
        json!({ "memory_bytes": own })
    }

    /// One look, with what the counters know; called on the control thread, inside its runtime.
    pub(super) fn tick(&self, roster: &[Arc<Member>], mut counts: Counts, own: &WorkerCounters) {
        let staging = self.staging.stats();
        counts.staging_bytes = (staging.taken_bytes + staging.overdrawn_bytes) as u64;
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let used = Used::of(&counts, &status);
        let bounds = bounds(&used, self.own_bytes(), self.cgroup.as_ref(), &meminfo);
        let growth_bytes = self.tier_max.saturating_sub(used.tier);
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let orders = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let orders = state.governor.look(now_ms, &bounds, growth_bytes);
            (state.used, state.orders) = (used, Some(orders));
            orders
        };
        self.pressure.set(orders.level, orders.newcomers, orders.storable_bytes);
        tell(&orders);
        note(own, &used, &orders);
        if orders.level >= Level::ShrinkPools {
            // Those who sleep have pools, too.
            roster.iter().for_each(|member| member.wake());
        }
        if orders.closes > 0 && !self.is_closing.swap(true, Ordering::AcqRel) {
            let (roster, is_closing) = (roster.to_vec(), Arc::clone(&self.is_closing));
            tokio::spawn(async move {
                let closed = shed::close_oldest(&roster, orders.closes).await;
                if closed > 0 {
                    tracing::warn!(closed, "connections that were parked for longest are closed");
                }
                is_closing.store(false, Ordering::Release);
            });
        }
    }

    /// For `/status.json`.
    pub(super) fn json(&self) -> Value {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let level = state.orders.map_or(Level::Calm, |orders| orders.level);
        let bound = state.orders.and_then(|orders| orders.bound);
        json!({
            "level": level as u8,
            "stage": level.name(),
            "budget_bytes": bound.map(|bound| bound.budget.bytes),
            "budget_from": bound.map(|bound| bound.budget.source.name()),
            "counted_bytes": bound.map(|bound| bound.used_bytes),
            "used": state.used.json(),
        })
    }

    fn own_bytes(&self) -> Option<u64> {
        Some(self.own.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }
}

/// One line for each change of level.
fn tell(orders: &Orders) {
    let Orders { level, before, bound: Some(bound), .. } = orders else { return };
    if level == before {
        return;
    }
    let (used, budget) = (rounded(bound.used_bytes), rounded(bound.budget.bytes));
    let (stage, before_name) = (level.name(), before.name());
    let begins_at_percent = enter_permille(*level) / 10;
    if level > before {
        tracing::warn!(
            stage,
            before = before_name,
            used,
            budget,
            budget_from = bound.budget.source.name(),
            begins_at_percent,
            "memory is short"
        );
    } else {
        tracing::info!(stage, before = before_name, used, budget, "memory is less short");
    }
}

fn note(own: &WorkerCounters, used: &Used, orders: &Orders) {
    for (gauge, level) in [
        (Gauge::StageShrinkPools, Level::ShrinkPools),
        (Gauge::StageSpareMemory, Level::SpareMemory),
        (Gauge::StageRefuseNewcomers, Level::RefuseNewcomers),
        (Gauge::StageCloseOldest, Level::CloseOldest),
    ] {
        own.set(gauge, u64::from(orders.level >= level));
    }
    for (gauge, bytes) in [
        (Gauge::MemorySlots, used.slots),
        (Gauge::MemoryBuffers, used.buffers),
        (Gauge::MemoryStaging, used.staging),
        (Gauge::MemoryTier, used.tier),
        (Gauge::MemoryTls, used.tls),
        (Gauge::MemoryRest, used.rest),
        (Gauge::MemorySockets, used.sockets),
        (Gauge::MemoryPolls, used.polls),
        (Gauge::MemoryUnsent, used.unsent),
        (Gauge::MemoryBudget, orders.bound.map_or(0, |bound| bound.budget.bytes)),
        (Gauge::MemoryCounted, orders.bound.map_or(0, |bound| bound.used_bytes)),
    ] {
        own.set(gauge, bytes);
    }
}
