//! What one thing costs: every coefficient with its range and its source (CP-5), in one table.
//!
//! Measured ones are those of a 2-core AMD EPYC virtual machine over loopback: ratios between them
//! carry over, absolute values do not. A measurement of one's own takes their place
//! ([`crate::calibrate`]).

mod peers;

use alloc::string::String;
use alloc::vec::Vec;

use crate::amount::Amount;
use crate::range::Range;
use crate::unit::Unit;

pub use peers::Peer;

/// Names a coefficient. The order is that of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each has its words in the table")]
pub enum Key {
    Rest,
    Wake,
    Park,
    Sleep,
    Parse,
    Send,
    SendKib,
    Accept,
    Fetch,
    FetchKib,
    FetchWakes,
    Handshake,
    Record,
    RecordWake,
    SealKib,
    StartBytes,
    SlotBytes,
    TlsSlotBytes,
    TunnelBytes,
    IndexBytes,
    SocketBytes,
    WaitBytes,
    RingBytes,
    InFlight,
    PassesPlain,
    PassesTls,
    PassesFill,
    HeadBytes,
    Wire,
    SegmentBytes,
    QueuePackets,
    QueueStall,
    WriteShare,
    Pue,
}

/// Where a coefficient comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Measured with this project's own tools.
    Measured,
    /// Follows from what was measured, or from how the edge is made.
    Derived,
    /// Published by others.
    Literature,
    /// Stated by whoever asks, or a guess for them to replace.
    Given,
}

/// What one thing costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Coefficient {
    /// Which it is.
    pub key: Key,
    /// Its name for programs.
    pub id: &'static str,
    /// What it is.
    pub what: &'static str,
    /// In what it is counted.
    pub unit: Unit,
    /// How much.
    pub value: Range,
    /// What kind of source it has.
    pub basis: Basis,
    /// The source.
    pub source: String,
}

/// All coefficients of one design.
#[derive(Clone, Debug, PartialEq)]
pub struct Coefficients {
    rows: Vec<Coefficient>,
}

impl Basis {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Derived => "derived",
            Self::Literature => "literature",
            Self::Given => "given",
        }
    }
}

impl Coefficients {
    /// Of this edge.
    #[must_use]
    pub fn longhold() -> Self {
        let row = |row: &Row| Coefficient {
            key: row.key,
            id: row.id,
            what: row.what,
            unit: row.unit,
            value: row.value,
            basis: row.basis,
            source: row.source.into(),
        };
        Self { rows: TABLE.iter().map(row).collect() }
    }

    /// All of them.
    #[must_use]
    pub fn rows(&self) -> &[Coefficient] {
        &self.rows
    }

    /// The value of one.
    #[must_use]
    pub fn value(&self, key: Key) -> Range {
        self.rows.get(key as usize).map_or(Range::ZERO, |row| row.value)
    }

    /// One as an operand.
    #[must_use]
    pub fn amount(&self, key: Key) -> Amount {
        let unit = self.rows.get(key as usize).map_or(Unit::Count, |row| row.unit);
        Amount::given(self.value(key), unit)
    }

    /// Puts another value in the place of one, with its source. A value that is no cost (below
    /// zero, or not a number) changes nothing and is answered by `false`.
    pub fn set(&mut self, key: Key, value: Range, basis: Basis, source: &str) -> bool {
        let is_cost = |value: f64| value.is_finite() && (0.0..=COST_MAX).contains(&value);
        let Range { low, likely, high } = value;
        let is_sound = is_cost(low) && is_cost(high) && low <= likely && likely <= high;
        match self.rows.get_mut(key as usize) {
            Some(row) if is_sound => {
                (row.value, row.basis, row.source) = (value, basis, source.into());
                true
            }
            Some(_) | None => false,
        }
    }
}

/// A row of the table.
struct Row {
    key: Key,
    id: &'static str,
    what: &'static str,
    unit: Unit,
    value: Range,
    basis: Basis,
    source: &'static str,
}

const US: f64 = 1e-6;

const fn us(low: f64, likely: f64, high: f64) -> Range {
    Range::new(low * US, likely * US, high * US)
}

/// Most that a coefficient may be.
const COST_MAX: f64 = 1e12;

const HIT: &str = "cargo xtask bench hit: 10–11 µs of server CPU for a hit of 1 KiB on 64 busy \
                   connections, of which a bare responder that parses nothing takes 8.2–8.9";

const MISS: &str = "cargo xtask bench micro: objects that nobody has asked for, of 1 KiB, 100 KiB \
                    and 1 MiB on 64 busy connections, less hits of their size; the origin speaks \
                    plain HTTP and keeps its connections";

/// Processor time of the parts of an exchange.
const TABLE: &[Row] = &[
    Row {
        key: Key::Rest,
        id: "rest",
        what: "an edge at rest: ticks, books, metrics",
        unit: Unit::Cores,
        value: Range::new(0.0003, 0.0008, 0.003),
        basis: Basis::Measured,
        source: "cargo xtask capacity --check: busy cores while 10,000 connections rest",
    },
    Row {
        key: Key::Wake,
        id: "wake",
        what: "a busy connection is told of, read, and its next request waited for",
        unit: Unit::Seconds,
        value: us(6.2, 6.35, 6.5),
        basis: Basis::Derived,
        source: "the bare responder's 8.2–8.9 µs less a send of 1 KiB; cargo xtask bench micro: \
                 exchange, receive armed, less a send",
    },
    Row {
        key: Key::Park,
        id: "park",
        what: "more of a wake from a park: a poll beside the receive, cold memory, a park again",
        unit: Unit::Seconds,
        value: us(1.5, 2.3, 4.0),
        basis: Basis::Measured,
        source: "cargo xtask bench micro: exchange, parked, less the one with a receive armed",
    },
    Row {
        key: Key::Sleep,
        id: "sleep",
        what: "more of a wake that finds its worker asleep: its sleep, its start, cold caches",
        unit: Unit::Seconds,
        value: us(25.0, 32.0, 40.0),
        basis: Basis::Derived,
        source: "cargo xtask bench curve --beat 1000: 45 µs for a heartbeat on a parked \
                 connection, less a hit on a busy one and a park; cargo xtask bench micro: \
                 heartbeat, worker asleep",
    },
    Row {
        key: Key::Parse,
        id: "parse",
        what: "parse, cache key, lookup, policy and head of an answer",
        unit: Unit::Seconds,
        value: us(1.8, 1.95, 2.1),
        basis: Basis::Measured,
        source: HIT,
    },
    Row {
        key: Key::Send,
        id: "send",
        what: "one send, whatever its size",
        unit: Unit::Seconds,
        value: us(2.0, 2.2, 2.4),
        basis: Basis::Measured,
        source: "cargo xtask bench micro: send, of 1 KiB through a ring over loopback",
    },
    Row {
        key: Key::SendKib,
        id: "send_kib",
        what: "a KiB that is sent: the kernel's copy, segments, acknowledgements",
        unit: Unit::SecondsPerKib,
        value: us(0.12, 0.19, 0.3),
        basis: Basis::Measured,
        source: "cargo xtask bench hit: slope between hits of 1 KiB, 100 KiB and 1 MiB, loopback; \
                 a network card with offloads does better",
    },
    Row {
        key: Key::Accept,
        id: "accept",
        what: "a connection that is accepted, and closed later",
        unit: Unit::Seconds,
        value: us(8.5, 11.0, 25.0),
        basis: Basis::Measured,
        source: "cargo xtask bench micro: accept and close; books and limits on top",
    },
    Row {
        key: Key::Fetch,
        id: "fetch",
        what: "a miss beyond a hit: the origin is asked, the answer handed to worker and store",
        unit: Unit::Seconds,
        value: us(41.0, 48.0, 60.0),
        basis: Basis::Measured,
        source: MISS,
    },
    Row {
        key: Key::FetchKib,
        id: "fetch_kib",
        what: "a KiB that is fetched: received, summed, stored",
        unit: Unit::SecondsPerKib,
        value: us(0.5, 0.85, 1.3),
        basis: Basis::Measured,
        source: MISS,
    },
    Row {
        key: Key::FetchWakes,
        id: "fetch_wakes",
        what: "more wakes of a miss: fill plane told, origin heard, worker told",
        unit: Unit::Ratio,
        value: Range::new(2.0, 3.0, 3.5),
        basis: Basis::Derived,
        source: "what has to happen between the threads; 500 misses a second cost some 100 µs more \
                 for each than busy ones, which is three sleeps",
    },
    Row {
        key: Key::Handshake,
        id: "handshake",
        what: "a TLS 1.3 handshake, P-256 certificate; resumption costs about the same",
        unit: Unit::Seconds,
        value: us(89.0, 125.0, 179.0),
        basis: Basis::Measured,
        source: "cargo xtask bench tls: server side alone, 106–167 µs in full, 89–179 µs by \
                 ticket; RSA-2048 costs 980–1,200 µs, P-256 without its post-quantum half less",
    },
    Row {
        key: Key::Record,
        id: "record",
        what: "records of a TLS request and its answer, beside their bytes",
        unit: Unit::Seconds,
        value: us(0.25, 0.4, 1.5),
        basis: Basis::Measured,
        source: "cargo xtask bench tls: a request of 200 bytes opened and an answer sealed, less \
                 its bytes; hits over TLS in the edge take more",
    },
    Row {
        key: Key::RecordWake,
        id: "record_wake",
        what: "keys of a TLS connection that wakes from its park, of both directions",
        unit: Unit::Seconds,
        value: us(1.3, 3.6, 4.3),
        basis: Basis::Measured,
        source: "cargo xtask bench tls: request on waking, less one that never rests; 1.3 µs with \
                 AES-128-GCM, 3.6 µs with AES-256-GCM",
    },
    Row {
        key: Key::SealKib,
        id: "seal_kib",
        what: "a KiB that is sealed, AES-GCM in records of 16 KiB",
        unit: Unit::SecondsPerKib,
        value: us(0.05, 0.12, 0.27),
        basis: Basis::Measured,
        source: "cargo xtask bench tls: 0.05–0.06 µs in records of 16 KiB, with AES instructions; \
                 in the edge 0.12–0.2 more than a plain one",
    },
    Row {
        key: Key::StartBytes,
        id: "start",
        what: "an edge that has just started, without what its config asks for",
        unit: Unit::Bytes,
        value: Range::new(4e6, 8e6, 16e6),
        basis: Basis::Given,
        source: "budget of 4.2 MB, and buffers of some workers",
    },
    Row {
        key: Key::SlotBytes,
        id: "slot",
        what: "user memory of a parked connection: its slot of 64 bytes, 8 in the reactor",
        unit: Unit::Bytes,
        value: Range::new(72.0, 73.0, 74.0),
        basis: Basis::Measured,
        source: "cargo xtask bench curve",
    },
    Row {
        key: Key::TlsSlotBytes,
        id: "tls_slot",
        what: "user memory that TLS 1.3 adds to a parked connection",
        unit: Unit::Bytes,
        value: Range::exact(128.0),
        basis: Basis::Measured,
        source: "size of the parked form, asserted at compile time",
    },
    Row {
        key: Key::TunnelBytes,
        id: "tunnel",
        what: "user memory that a tunnel adds to its two slots",
        unit: Unit::Bytes,
        value: Range::new(28.0, 30.0, 32.0),
        basis: Basis::Derived,
        source: "176 bytes for both ends of a tunnel at rest, less two slots",
    },
    Row {
        key: Key::IndexBytes,
        id: "index",
        what: "the store's index, for each object",
        unit: Unit::Bytes,
        value: Range::new(18.0, 24.0, 40.0),
        basis: Basis::Derived,
        source: "slots of 16 bytes, 40–90 % of them in use",
    },
    Row {
        key: Key::SocketBytes,
        id: "socket",
        what: "kernel memory of an accepted socket at rest",
        unit: Unit::Bytes,
        value: Range::new(3828.0, 3870.0, 3960.0),
        basis: Basis::Measured,
        source: "slab objects on Linux 6.18; other kernels and security modules differ",
    },
    Row {
        key: Key::WaitBytes,
        id: "wait",
        what: "kernel memory of its armed poll (256 B) and its place in a direct table (40 B)",
        unit: Unit::Bytes,
        value: Range::exact(296.0),
        basis: Basis::Measured,
        source: "slab objects on Linux 6.18; with epoll 208 B in place of both",
    },
    Row {
        key: Key::RingBytes,
        id: "ring",
        what: "a ring with its tables, beside its connections",
        unit: Unit::Bytes,
        value: Range::new(0.2e6, 0.35e6, 0.6e6),
        basis: Basis::Measured,
        source: "105 rings for two million connections: about 0.35 MB each",
    },
    Row {
        key: Key::InFlight,
        id: "in_flight",
        what: "kernel memory for a byte that is on its way to a client",
        unit: Unit::Ratio,
        value: Range::new(1.3, 2.0, 3.0),
        basis: Basis::Literature,
        source: "socket buffers count their own headers and unused room (tcp_adv_win_scale of 1: \
                 half), and a send buffer is up to twice the window",
    },
    Row {
        key: Key::PassesPlain,
        id: "passes_plain",
        what: "times that a byte of a plain answer crosses the memory bus",
        unit: Unit::Ratio,
        value: Range::new(2.0, 3.0, 4.0),
        basis: Basis::Derived,
        source: "read for the copy, line fetched for the write, written, read by the card; caches \
                 and zero-copy sends save some",
    },
    Row {
        key: Key::PassesTls,
        id: "passes_tls",
        what: "times that a byte of a TLS answer crosses the memory bus",
        unit: Unit::Ratio,
        value: Range::new(2.0, 4.0, 6.0),
        basis: Basis::Derived,
        source: "as plain, and sealed into a buffer that the cache may hold",
    },
    Row {
        key: Key::PassesFill,
        id: "passes_fill",
        what: "times that a fetched byte crosses the memory bus on its way into the store",
        unit: Unit::Ratio,
        value: Range::new(4.0, 6.0, 9.0),
        basis: Basis::Derived,
        source: "written by the card, copied to the fill plane, copied to the store, read by the \
                 disk",
    },
    Row {
        key: Key::HeadBytes,
        id: "head",
        what: "a head, of a request or an answer",
        unit: Unit::Bytes,
        value: Range::new(200.0, 350.0, 700.0),
        basis: Basis::Given,
        source: "a small head with cookies left out; browsers send more",
    },
    Row {
        key: Key::Wire,
        id: "wire",
        what: "bytes on the wire for a byte of payload",
        unit: Unit::Ratio,
        value: Range::new(1.05, 1.06, 1.08),
        basis: Basis::Derived,
        source: "Ethernet 38, IPv4 20 and TCP 32 bytes around 1,448; IPv6, TLS records and small \
                 segments make it more",
    },
    Row {
        key: Key::SegmentBytes,
        id: "segment",
        what: "payload of a full packet",
        unit: Unit::Bytes,
        value: Range::new(1400.0, 1440.0, 1448.0),
        basis: Basis::Derived,
        source: "an MTU of 1,500 less IP and TCP with timestamps",
    },
    Row {
        key: Key::QueuePackets,
        id: "queue_packets",
        what: "packets a second that one queue and its core pass through the kernel's stack",
        unit: Unit::PerSecond,
        value: Range::new(0.4e6, 0.7e6, 1.2e6),
        basis: Basis::Literature,
        source: "published single-core rates of the Linux stack; segmentation and receive \
                 offloads raise it",
    },
    Row {
        key: Key::QueueStall,
        id: "queue_stall",
        what: "time for which a queue must hold packets while its core does something else",
        unit: Unit::Seconds,
        value: Range::new(0.5e-3, 1e-3, 2e-3),
        basis: Basis::Literature,
        source: "the kernel's budget of a polling round is 2 ms (net.core.netdev_budget_usecs)",
    },
    Row {
        key: Key::WriteShare,
        id: "write_share",
        what: "bytes written to disk for a byte missed: what is asked for once never gets there",
        unit: Unit::Ratio,
        value: Range::new(0.08, 0.23, 0.47),
        basis: Basis::Measured,
        source: "cargo xtask bench trace: web 0.15–0.23, video 0.08–0.39, downloads 0.18–0.47",
    },
    Row {
        key: Key::Pue,
        id: "pue",
        what: "power drawn by the building for a watt drawn by the machine",
        unit: Unit::Ratio,
        value: Range::new(1.2, 1.4, 1.6),
        basis: Basis::Literature,
        source: "yearly surveys of data centres report averages near 1.56; new ones state 1.2",
    },
];

#[cfg(test)]
mod tests {
    use super::{Basis, Coefficients, Key, TABLE};
    use crate::range::Range;

    #[test]
    fn the_table_has_a_row_for_each_key_in_order_with_a_source_and_a_sound_range() {
        assert_eq!(TABLE.len(), Key::Pue as usize + 1);
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.key as usize, index, "{}", row.id);
            assert!(!row.source.is_empty() && !row.what.is_empty(), "{}", row.id);
            let Range { low, likely, high } = row.value;
            assert!(0.0 < low && low <= likely && likely <= high, "{}", row.id);
            assert!(TABLE.iter().filter(|other| other.id == row.id).count() == 1, "{}", row.id);
        }
    }

    #[test]
    fn the_parts_of_a_hit_make_the_hit_that_was_measured() {
        let table = Coefficients::longhold();
        let [wake, parse, send] = [Key::Wake, Key::Parse, Key::Send].map(|key| table.value(key));
        let near = |found: f64, us: f64| (found * 1e6 - us).abs() < 1e-9;
        let hit = wake + parse + send;
        assert!(near(hit.low, 10.0) && near(hit.likely, 10.5) && near(hit.high, 11.0), "{hit:?}");
        let floor = wake + send;
        assert!(near(floor.low, 8.2) && near(floor.high, 8.9), "{floor:?}");
        let beat = hit + table.value(Key::Park) + table.value(Key::Sleep);
        assert!((beat.likely * 1e6 - 45.0).abs() < 0.5, "{beat:?}");
    }

    #[test]
    fn what_is_no_cost_is_not_taken() {
        let mut table = Coefficients::longhold();
        let check = |table: &mut Coefficients, value, taken| {
            assert_eq!(table.set(Key::Wake, value, Basis::Given, "a test"), taken, "{value:?}");
        };
        check(&mut table, Range::exact(f64::NAN), false);
        check(&mut table, Range::exact(-1.0), false);
        check(&mut table, Range::exact(f64::INFINITY), false);
        check(&mut table, Range::new(2.0, 1.0, 3.0), false);
        assert_eq!(table, Coefficients::longhold());
        check(&mut table, Range::exact(1e-6), true);
        assert_eq!(table.value(Key::Wake), Range::exact(1e-6));
        assert_eq!(table.rows()[Key::Wake as usize].source, "a test");
    }
}
