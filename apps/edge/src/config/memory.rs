//! The memory and disk that a config implies, printed by `edge check` and taken by the start-up
//! code, so that what is printed is what is taken. What the store takes, the store says.

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use longhold_gateway::rules::SiteRules;
use longhold_store::{DeviceConfig, DiskUse};
use longhold_tls::layer;
use serde_json::{Value, json};

use super::checked::{Checked, Device, Site, TransportChoice};
use super::units::{Bytes, KIB};
use crate::fill::compress;

/// The memory that a config implies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Slots of connections, in all workers together.
    pub slots_count: u64,
    /// Receive buffers, in all workers together.
    pub buffers_count: u64,
    /// Staging blocks, in all fill threads together.
    pub staging_count: u64,
    /// Everything, for people and sums.
    pub parts: Vec<Part>,
}

/// What the store is opened with.
#[must_use]
pub fn store_config(config: &Checked) -> longhold_store::Config {
    let Checked { server, store, limits, .. } = config;
    let device =
        |device: &Device| DeviceConfig { path: device.path.clone(), size_bytes: device.size.0 };
    // The index is kept at most three quarters full, in whole lines.
    let index_slots =
        (store.objects_max + store.objects_max / 3).next_multiple_of(INDEX_LINE_SLOTS);
    longhold_store::Config {
        devices: store.devices.iter().map(device).collect(),
        segment_bytes: store.segment.0,
        short_lifetime_ms: store.short_lifetime.0,
        write_patience: Duration::from_millis(store.write_patience.0),
        pin_rows: server.workers + FILL_THREADS as usize,
        object_bytes_max: limits.object_max.0,
        // What leaves memory under a slow reader is fetched again (`fill/rest.rs`).
        large_on_probation: true,
        // As much again as the windows of the responses.
        gathering_bytes_max: u64::from(limits.staging_max) * STAGING_BYTES,
        index_slots,
        ..longhold_store::Config::in_memory(0).with_memory(store.memory.0)
    }
}

/// One line of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub name: &'static str,
    /// How many of them.
    pub count: u64,
    /// How large each is.
    pub each_bytes: u64,
    /// When it is taken.
    pub when: When,
}

/// When memory is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Reserved at start; the system hands out its pages as they are first used.
    Start,
    /// At most, under full load.
    Load,
    /// In the kernel, with every connection parked.
    Kernel,
}

impl MemoryPlan {
    /// Computes the plan.
    #[must_use]
    pub fn of(config: &Checked) -> Self {
        let Checked { server, sites, limits, .. } = config;
        let workers = server.workers as u64;
        let slots_count = u64::from(server.max_connections);
        let buffers_count = workers * u64::from(limits.buffers_max);
        let staging_count = u64::from(limits.staging_max);
        let opened_with = store_config(config);
        // CF-1: a config that the store refuses was refused before.
        let taken = opened_with.memory_use().unwrap_or_default();
        let tier_each = opened_with.memory_segment_bytes.max(1);
        let index_slots = opened_with.index_slots;
        let fetches: u64 = sites.iter().map(|site| site.origin.connections_max as u64).sum();
        let waiting: u64 = sites.iter().map(|site| site.origin.queue_max as u64).sum();
        let log_lines = workers * limits.log_queue_max as u64;
        let part = |name, count, each_bytes, when| Part { name, count, each_bytes, when };
        let slot_bytes = match config.server.transport {
            TransportChoice::Auto | TransportChoice::Uring => REACTOR_SLOT_BYTES,
            TransportChoice::Epoll => EPOLL_SLOT_BYTES,
        };
        let mut parts = vec![
            part("connection slots", slots_count, SLOT_BYTES, When::Start),
            part("reactor's slot state", slots_count, slot_bytes, When::Start),
            part("timer wheels", workers, WHEEL_BYTES, When::Start),
            part("receive buffers", buffers_count, BUFFER_BYTES, When::Start),
            part("staging blocks", staging_count, STAGING_BYTES, When::Start),
            part("store index", index_slots, INDEX_SLOT_BYTES, When::Start),
            part("keys that have left", taken.ghost, 1, When::Start),
            part("segment pins", taken.pins / PIN_BYTES, PIN_BYTES, When::Start),
            part("verified bits", taken.verified, 1, When::Start),
            part("pages known in memory", taken.residency, 1, When::Start),
            part("memory tier", taken.tier / tier_each, tier_each, When::Start),
            part("purges on record", taken.purges, 1, When::Load),
            part("bodies of unknown length", taken.gathering, 1, When::Load),
            part("response windows", staging_count, STAGING_BYTES, When::Load),
            part("response windows, unstored", fetches, WINDOW_SMALL_BYTES, When::Load),
            part("request windows", fetches + waiting, limits.upload_window.0, When::Load),
            part("access log queues", log_lines, LOG_LINE_BYTES, When::Load),
            part("sockets", slots_count, SOCKET_BYTES, When::Kernel),
            part("parked polls", slots_count, POLL_BYTES, When::Kernel),
        ];
        if config.listeners.iter().any(|listener| listener.tls.is_some()) {
            parts.extend(tls_parts(config));
        }
        if sites.iter().any(compresses) {
            let coders = compress::CODERS_MAX as u64;
            parts.push(part("compressors", coders, compress::CODER_BYTES_MAX, When::Load));
        }
        Self { slots_count, buffers_count, staging_count, parts }
    }

    /// Bytes of all parts taken at that time.
    #[must_use]
    pub fn total(&self, when: When) -> Bytes {
        let parts = self.parts.iter().filter(|part| part.when == when);
        Bytes(parts.map(Part::bytes).fold(0, u64::saturating_add))
    }

    /// The plan as an object for `--json`.
    #[must_use]
    pub fn json(&self) -> Value {
        let part = |part: &Part| {
            json!({
                "name": part.name,
                "count": part.count,
                "each_bytes": part.each_bytes,
                "bytes": part.bytes(),
                "when": part.when.word(),
            })
        };
        json!({
            "parts": self.parts.iter().map(part).collect::<Vec<_>>(),
            "start_bytes": self.total(When::Start).0,
            "load_bytes": self.total(When::Load).0,
            "kernel_bytes": self.total(When::Kernel).0,
        })
    }

    /// The plan as lines for people, each with `prefix` before it.
    #[must_use]
    pub fn text(&self, prefix: &str) -> String {
        let mut text = String::new();
        for when in [When::Start, When::Load, When::Kernel] {
            let (total, heading) = (rounded(self.total(when).0), when.heading());
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{prefix}{total:>10}  {heading}");
            let taken = self.parts.iter().filter(|part| part.when == when && part.count > 0);
            for part in taken {
                let (bytes, each) = (rounded(part.bytes()), Bytes(part.each_bytes));
                let Part { name, count, .. } = part;
                let _ = writeln!(text, "{prefix}{bytes:>10}    {name}: {count} × {each}");
            }
        }
        text
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text(""))
    }
}

/// What connections that speak TLS take beside the others.
fn tls_parts(config: &Checked) -> [Part; 5] {
    let Checked { server, limits, .. } = config;
    let (workers, slots) = (server.workers as u64, u64::from(server.max_connections));
    let inputs = workers * u64::from(limits.buffers_max) + u64::from(limits.handshakes.most);
    let part = |name, count, each_bytes, when| Part { name, count, each_bytes, when };
    [
        part("parked TLS sessions", slots, TLS_SLOT_BYTES, When::Start),
        part("TLS records received", inputs, TLS_INPUT_BYTES, When::Load),
        part("TLS sealing windows", workers, TLS_WINDOWS_BYTES, When::Load),
        part("TLS records sent to slow readers", slots, TLS_CHUNK_BYTES, When::Load),
        part("TLS handshakes", limits.handshakes.most.into(), TLS_HANDSHAKE_BYTES, When::Load),
    ]
}

/// Whether a rule of the site asks for compression.
fn compresses(site: &Site) -> bool {
    let Some(SiteRules { rules, otherwise }) = &site.rules else { return false };
    rules.iter().map(|(_, rule)| rule).chain(otherwise).any(|rule| rule.compress.is_some())
}

impl Part {
    /// All of them together.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.count.saturating_mul(self.each_bytes)
    }
}

impl When {
    /// One word, for JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Load => "load",
            Self::Kernel => "kernel",
        }
    }

    const fn heading(self) -> &'static str {
        match self {
            Self::Start => "reserved at start",
            Self::Load => "at most beside it, under full load",
            Self::Kernel => "in the kernel, with every connection parked",
        }
    }
}

/// The disk that a config implies: what each device takes when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskPlan {
    /// Folder and sizes of each device, in the config's order.
    pub devices: Vec<(PathBuf, DiskUse)>,
}

impl DiskPlan {
    /// Computes the plan.
    #[must_use]
    pub fn of(config: &Checked) -> Self {
        // CF-1, as above.
        let taken = store_config(config).disk_use().unwrap_or_default();
        let paths = config.store.devices.iter().map(|device| device.path.clone());
        Self { devices: paths.zip(taken).collect() }
    }

    /// Bytes of all devices' files.
    #[must_use]
    pub fn total(&self) -> Bytes {
        Bytes(self.devices.iter().map(|(_, taken)| taken.file_bytes).sum())
    }

    /// The plan as an object for `--json`.
    #[must_use]
    pub fn json(&self) -> Value {
        let device = |(path, taken): &(PathBuf, DiskUse)| {
            json!({
                "path": path,
                "segments": taken.segment_count,
                "segment_bytes": taken.segment_bytes,
                "front_bytes": taken.front_bytes,
                "file_bytes": taken.file_bytes,
            })
        };
        json!({
            "devices": self.devices.iter().map(device).collect::<Vec<_>>(),
            "file_bytes": self.total().0,
        })
    }

    /// The plan as lines for people, each with `prefix` before it.
    #[must_use]
    pub fn text(&self, prefix: &str) -> String {
        let total = rounded(self.total().0);
        let mut text = format!("{prefix}{total:>10}  taken at the first start, and kept\n");
        for (path, taken) in &self.devices {
            let (bytes, front) = (rounded(taken.file_bytes), rounded(taken.front_bytes));
            let (segments, each) = (taken.segment_count, Bytes(taken.segment_bytes.into()));
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{prefix}{bytes:>10}    {}: {segments} × {each}, {front} in front",
                path.display()
            );
        }
        text
    }
}

/// A size to one decimal, for people; what is exact is in the JSON form.
pub(crate) fn rounded(bytes: u64) -> String {
    let names = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let step = (bytes.max(1).ilog2() / 10).min(5);
    let name = names.get(step as usize).copied().unwrap_or("B");
    if step == 0 {
        return format!("{bytes} {name}");
    }
    let tenths = u128::from(bytes) * 10 / (1u128 << (10 * step));
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

// What is reckoned here is what the crates take.
const _: () = assert!(SLOT_BYTES as usize == size_of::<longhold_conn::Slot>());
const _: () = assert!(TLS_SLOT_BYTES as usize == layer::SLOT_BYTES);
const _: () = assert!(TLS_INPUT_BYTES as usize == layer::INPUT_BYTES);
const _: () = assert!(TLS_CHUNK_BYTES as usize == layer::CHUNK_BYTES);
const _: () = assert!(TLS_WINDOWS_BYTES as usize == layer::WINDOWS_BYTES);
const _: () = assert!(BUFFER_BYTES as usize == longhold_transport::BUFFER_BYTES);
const _: () = assert!(WINDOW_SMALL_BYTES as usize == longhold_origin::WINDOW_SMALL_BYTES);

/// One slot of a connection: one cache line.
pub const SLOT_BYTES: u64 = 64;
/// What the reactor keeps for each slot, on rings and with epoll.
pub const REACTOR_SLOT_BYTES: u64 = 8;
const EPOLL_SLOT_BYTES: u64 = 16;
/// A parked TLS session, and where it lies; taken page by page by connections that speak TLS.
pub const TLS_SLOT_BYTES: u64 = 132;
/// A record off the wire.
const TLS_INPUT_BYTES: u64 = 18_437;
/// A sealed record on its way.
const TLS_CHUNK_BYTES: u64 = 16_704;
/// The windows of one worker.
const TLS_WINDOWS_BYTES: u64 = 128 * 66_048;
/// A handshake in flight: rustls' state and messages of usual size.
pub const TLS_HANDSHAKE_BYTES: u64 = 8 * KIB;
/// One worker's timer wheel: 1,024 buckets of one slot number.
pub const WHEEL_BYTES: u64 = 4 * KIB;
/// One receive buffer.
pub const BUFFER_BYTES: u64 = 16 * KIB;
/// One staging block.
pub const STAGING_BYTES: u64 = 256 * KIB;
/// One slot of the store's index.
pub const INDEX_SLOT_BYTES: u64 = 16;
/// One pin counter.
pub const PIN_BYTES: u64 = 4;
/// The window of a response that found no staging left.
pub const WINDOW_SMALL_BYTES: u64 = 64 * KIB;
/// Threads that fetch from the origins and write the store.
pub const FILL_THREADS: u64 = 1;
const INDEX_LINE_SLOTS: u64 = 4;
/// What a queue reckons with for one waiting access log line; queues are bounded in bytes by it.
pub const LOG_LINE_BYTES: u64 = 512;
/// What the kernel keeps for one accepted socket that rests: the socket, its file, its place in a
/// table of direct descriptors.
pub const SOCKET_BYTES: u64 = 3_868;
/// What the kernel keeps for one armed poll.
pub const POLL_BYTES: u64 = 256;
