//! The store as it is seen from outside: its metrics, its part of the status, and the word about a
//! device that went offline.

use std::sync::{Mutex, PoisonError};

use longhold_store::{DeviceStats, PagerStats, Stats};
use longhold_telemetry::{Counter, Gauge, WorkerCounters};
use serde_json::{Value, json};

/// Brings the store's totals up to date.
pub(super) fn note(own: &WorkerCounters, stats: &Stats, devices: &[DeviceStats]) {
    for (counter, total) in [
        (Counter::StoreReclaimed, stats.evicted),
        (Counter::StoreSegmentsReclaimed, stats.reclaimed),
        (Counter::StorePromoted, stats.promoted),
        (Counter::StoreReinserted, stats.reinserted),
        (Counter::StoreGhostHits, stats.ghost_hits),
        (Counter::StoreDisplaced, stats.displaced),
        (Counter::StoreDamaged, stats.damaged),
        (Counter::StoreDiskWrittenBytes, stats.disk_bytes),
        (Counter::StoreWriteErrors, stats.write_errors),
        (Counter::StoreTagsFolded, stats.purges_tags_folded),
    ] {
        own.set_total(counter, total);
    }
    let tier = |memory: bool, figure: fn(&DeviceStats) -> u64| -> u64 {
        devices.iter().filter(|device| device.path.is_none() == memory).map(figure).sum()
    };
    let disks = tier(false, |_| 1);
    let behind = tier(false, |device| u64::from(device.behind && !device.offline));
    for (gauge, value) in [
        (Gauge::StoreTierUsedDisk, tier(false, |device| device.used_bytes)),
        (Gauge::StoreTierUsedMemory, tier(true, |device| device.used_bytes)),
        (Gauge::StoreTierSizeDisk, tier(false, |device| device.size_bytes)),
        (Gauge::StoreTierSizeMemory, tier(true, |device| device.size_bytes)),
        (Gauge::StoreSegmentsClean, u64::from(stats.segments_clean)),
        (Gauge::StoreSegmentsOpen, u64::from(stats.segments_open)),
        (Gauge::StoreSegmentsSealed, u64::from(stats.segments_sealed)),
        (Gauge::StoreSegmentsRetiring, u64::from(stats.segments_retiring)),
        (Gauge::StoreSegmentsFailed, u64::from(stats.segments_failed)),
        (Gauge::StorePurgesTag, stats.purges_tags),
        (Gauge::StorePurgesPrefix, stats.purges_prefixes),
        (Gauge::StoreDevicesOnline, disks - (u64::from(stats.devices_offline) + behind).min(disks)),
        (Gauge::StoreDevicesBehind, behind),
        (Gauge::StoreDevicesOffline, u64::from(stats.devices_offline - stats.devices_unreadable)),
        (Gauge::StoreDevicesUnreadable, u64::from(stats.devices_unreadable)),
    ] {
        own.set(gauge, value);
    }
}

/// Brings the pager's totals up to date; what it was asked for is counted by those who asked.
pub(super) fn note_pager(own: &WorkerCounters, stats: &PagerStats) {
    own.set_total(Counter::PageInsCompleted, stats.completed);
    own.set_total(Counter::PageInsFailed, stats.failed);
}

/// The status' part.
pub(super) fn json(stats: &Stats, devices: &[DeviceStats]) -> Value {
    json!({
        "objects": stats.objects,
        "used_bytes": stats.bytes,
        "size_bytes": stats.size_bytes,
        "segments_clean": stats.segments_clean,
        "segments_open": stats.segments_open,
        "segments_sealed": stats.segments_sealed,
        "segments_retiring": stats.segments_retiring,
        "segments_failed": stats.segments_failed,
        "promoted": stats.promoted,
        "reinserted": stats.reinserted,
        "evicted": stats.evicted,
        "ghost_hits": stats.ghost_hits,
        "displaced": stats.displaced,
        "damaged": stats.damaged,
        "purged_tags": stats.purges_tags,
        "purged_prefixes": stats.purges_prefixes,
        "purged_tags_folded": stats.purges_tags_folded,
        "disk_written_bytes": stats.disk_bytes,
        "write_errors": stats.write_errors,
        "devices_offline": stats.devices_offline,
        "devices_unreadable": stats.devices_unreadable,
        "devices": devices.iter().map(device).collect::<Vec<_>>(),
    })
}

fn device(device: &DeviceStats) -> Value {
    json!({
        "device": match &device.path {
            Some(path) => path.to_string_lossy(),
            None => "memory".into(),
        },
        "state": match (device.unreadable, device.offline, device.behind) {
            (true, _, _) => "unreadable",
            (false, true, _) => "offline",
            (false, false, true) => "behind",
            (false, false, false) => "online",
        },
        "used_bytes": device.used_bytes,
        "size_bytes": device.size_bytes,
        "clean": device.segments_clean,
        "open": device.segments_open,
        "sealed": device.segments_sealed,
        "retiring": device.segments_retiring,
        "failed": device.segments_failed,
        "write_errors": device.write_errors,
    })
}

/// Which devices have been told of as offline, in the store's order.
#[derive(Debug, Default)]
pub(super) struct Offline(Mutex<Vec<bool>>);

impl Offline {
    /// Logs each device that is offline, once.
    pub(super) fn tell(&self, devices: &[DeviceStats]) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.resize(devices.len(), false);
        for (device, told) in devices.iter().zip(told.iter_mut()) {
            if device.offline && !std::mem::replace(told, true) {
                let path = device.path.as_deref().unwrap_or_else(|| "memory".as_ref());
                if device.unreadable {
                    tracing::error!(
                        device = %path.display(),
                        remedy = "see the kernel's log, and who else writes to that folder; repair \
                                  or replace the disk, or take it out of [store], then restart",
                        "store device offline: it does not give what was written; its objects are \
                         fetched anew",
                    );
                    continue;
                }
                tracing::error!(
                    device = %path.display(),
                    write_errors = device.write_errors,
                    remedy = "see the kernel's log; repair or replace the disk, or take it out of \
                              [store], then restart",
                    "store device offline: nothing is written to it any more; others go on",
                );
            }
        }
    }
}
