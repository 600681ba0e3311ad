//! Sums over threads, single-writer cells.

use std::thread;

use crate::{BuildInfo, Counter, Gauge, Histogram, Registry, WorkerCounters};

const BUILD: BuildInfo<'static> = BuildInfo { version: "0", commit: "unknown" };

#[test]
fn sums_add_up_what_threads_counted() {
    let (registry, sets) = Registry::new(3, &BUILD);
    thread::scope(|scope| {
        for counters in sets {
            scope.spawn(move || {
                for n in 0..10_000 {
                    counters.add(Counter::RequestsHit, 1);
                    counters.add(Counter::DownstreamSentBytes, 1_000);
                    counters.observe(Histogram::RequestHit, n);
                }
                counters.raise(Gauge::ConnectionsParked, 5);
                counters.lower(Gauge::ConnectionsParked, 2);
            });
        }
        // Reading while they write is allowed and sees totals that only grow.
        let mut before = 0;
        for _ in 0..100 {
            let now = registry.sum().counter(Counter::RequestsHit);
            assert!(now >= before);
            before = now;
        }
    });
    let sum = registry.sum();
    assert_eq!(sum.counter(Counter::RequestsHit), 30_000);
    assert_eq!(sum.counter(Counter::DownstreamSentBytes), 30_000_000);
    assert_eq!(sum.counter(Counter::RequestsMiss), 0);
    assert_eq!(sum.gauge(Gauge::ConnectionsParked), 9);
    assert_eq!(sum.histogram(Histogram::RequestHit).count(), 30_000);
    assert_eq!(sum.histogram(Histogram::RequestMiss).count(), 0);
}

#[test]
fn totals_from_elsewhere_never_fall() {
    let (registry, sets) = Registry::new(1, &BUILD);
    let [counters] = &sets[..] else { panic!("one set") };
    counters.set_total(Counter::StoreReclaimed, 7);
    counters.set_total(Counter::StoreReclaimed, 3);
    assert_eq!(registry.sum().counter(Counter::StoreReclaimed), 7);
    assert_eq!(counters.counter(Counter::StoreReclaimed), 7);
}

#[test]
fn gauges_stop_at_zero_and_take_values() {
    let (registry, sets) = Registry::new(1, &BUILD);
    sets[0].lower(Gauge::FillQueue, 1);
    assert_eq!(registry.sum().gauge(Gauge::FillQueue), 0);
    sets[0].set(Gauge::StoreObjects, 42);
    assert_eq!(registry.sum().gauge(Gauge::StoreObjects), 42);
}

#[test]
fn a_set_moves_to_its_thread_and_the_registry_is_shared() {
    fn is_send<T: Send>() {}
    fn is_sync<T: Send + Sync>() {}
    is_send::<WorkerCounters>();
    is_sync::<Registry>();
}
