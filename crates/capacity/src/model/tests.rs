//! Every formula by a table, and the laws that hold for all of them.

use proptest::prelude::*;

use super::{Busy, Demand};
use crate::amount::Section;
use crate::coefficients::{Basis, Coefficients, Key, Peer};
use crate::inputs::{Load, Machine, ObjectClass, Prices};
use crate::range::Range;
use crate::{Question, Study};

/// A table in which every coefficient is known exactly, and is a round number.
fn round() -> Coefficients {
    let mut table = Coefficients::longhold();
    for (key, value) in [
        (Key::Rest, 0.0),
        (Key::Wake, 6e-6),
        (Key::Park, 1e-6),
        (Key::Sleep, 10e-6),
        (Key::Parse, 2e-6),
        (Key::Send, 2e-6),
        (Key::SendKib, 0.2e-6),
        (Key::Accept, 10e-6),
        (Key::Fetch, 100e-6),
        (Key::FetchKib, 1e-6),
        (Key::FetchWakes, 3.0),
        (Key::Handshake, 160e-6),
        (Key::Record, 1e-6),
        (Key::RecordWake, 2e-6),
        (Key::SealKib, 0.15e-6),
        (Key::StartBytes, 8e6),
        (Key::SlotBytes, 72.0),
        (Key::TlsSlotBytes, 128.0),
        (Key::TunnelBytes, 30.0),
        (Key::IndexBytes, 32.0),
        (Key::SocketBytes, 3900.0),
        (Key::WaitBytes, 300.0),
        (Key::RingBytes, 131_072.0),
        (Key::InFlight, 2.0),
        (Key::PassesPlain, 3.0),
        (Key::PassesTls, 4.0),
        (Key::PassesFill, 6.0),
        (Key::HeadBytes, 400.0),
        (Key::Wire, 1.0625),
        (Key::SegmentBytes, 1400.0),
        (Key::QueuePackets, 1e6),
        (Key::QueueStall, 1e-3),
        (Key::WriteShare, 0.25),
    ] {
        assert!(table.set(key, Range::exact(value), Basis::Given, "a test"), "{key:?}");
    }
    table
}

/// 1,000,000 connections, half of them TLS, a beat a minute; 10,000 requests of 20 KiB.
fn load() -> Load {
    Load {
        connections: 1e6,
        requests_per_s: 10e3,
        objects: vec![ObjectClass { bytes: 20_480.0, weight: 1.0 }],
        tls_share: 0.5,
        hit_ratio: 0.9,
        memory_share: 0.75,
        heartbeat_s: Some(50.0),
        heartbeat_bytes: 1024.0,
        tunnel_share: 0.0,
        lifetime_s: 1000.0,
        rtt_s: 0.1,
        client_bytes_per_s: 20_480.0,
        hot_bytes: 4e9,
        stored_bytes: 20_880.0 * 1e6,
        memory_tier_bytes: 1e9,
    }
}

fn demand(load: &Load) -> Demand {
    Demand::of(load, &Machine::default(), &round(), Busy::Planned)
}

fn check(section: &Section, rows: &[(&str, f64)]) {
    for &(id, expected) in rows {
        let found = section.find(id).unwrap_or_else(|| panic!("no {id}")).amount.value;
        let near = (found.likely - expected).abs() <= expected.abs() * 1e-9;
        assert!(near && found.low == found.high, "{}/{id}: {found:?}, not {expected}", section.id);
    }
    assert_eq!(rows.len(), section.terms.len() + section.total.iter().len(), "{}", section.id);
}

#[test]
fn the_load_by_table() {
    check(
        &demand(&load()).load,
        &[
            ("sockets", 1e6),
            ("heartbeats", 20e3),
            ("passed", 20e3),
            ("events", 30e3),
            ("parked", 30e3),
            ("opened", 1e3),
            ("handshakes", 500.0),
            ("asked", 204.8e6),
            ("beaten", 20.48e6),
            ("body", 225.28e6),
            ("hits", 9e3),
            ("misses", 1e3),
            ("missed", 20.48e6),
        ],
    );
}

#[test]
fn processor_time_by_table() {
    check(
        &demand(&load()).cpu,
        &[
            ("rest", 0.0),
            ("wake", 0.18),
            ("park", 0.03),
            ("parse", 0.06),
            ("send", 0.06),
            ("send_bytes", 0.044),
            ("tls_records", 0.015),
            ("tls_wake", 0.03),
            ("tls_bytes", 0.0165),
            ("tls_handshakes", 0.08),
            ("accept", 0.01),
            ("fetch", 0.1),
            ("fetch_bytes", 0.02),
            // 40 % of 30,000, and of three wakes of each miss, find their thread asleep.
            ("sleep", 0.132),
            ("total", 0.7775),
        ],
    );
}

#[test]
fn processor_time_on_a_fixed_number_of_cores() {
    let at = |cores, requests_per_s| {
        let load = Load {
            connections: 0.0,
            requests_per_s,
            objects: vec![ObjectClass { bytes: 0.0, weight: 1.0 }],
            tls_share: 0.0,
            hit_ratio: 1.0,
            ..load()
        };
        Demand::of(&load, &Machine::default(), &round(), Busy::Cores(cores)).cpu.total().value
    };
    let check = |cores, requests, expected: f64| {
        let found = at(cores, requests);
        assert!((found.likely - expected).abs() < 1e-9, "{found:?}, not {expected}");
    };
    // A hit is 10 µs awake, and 10 µs more for each that finds its worker asleep.
    check(1.0, 0.0, 0.0);
    check(1.0, 50_000.0, 1.0 / 1.5);
    check(1.0, 100_000.0, 1.0);
    check(1.0, 200_000.0, 2.0);
    check(2.0, 100_000.0, 2.0 / 1.5);
    // Nearly idle: all of them find it so.
    assert!((at(1.0, 1.0).likely - 20e-6).abs() < 1e-9);
}

#[test]
fn connections_that_are_asked_often_do_not_park_between_requests() {
    let parked = |connections, requests_per_s| {
        let load = Load { connections, requests_per_s, heartbeat_s: None, ..load() };
        let demand = demand(&load);
        let parked = demand.load.find("parked").expect("a term").amount.value.likely;
        let keys = demand.cpu.find("tls_wake").expect("a term").amount.value.likely;
        assert!((keys - parked * 0.5 * 2e-6).abs() < 1e-12, "{keys} for {parked}");
        parked
    };
    assert_eq!(parked(1e6, 10e3), 10e3, "seldom: each of them is parked");
    assert_eq!(parked(100.0, 10e3), 500.0, "often: five times a second at most");
    assert_eq!(parked(0.0, 10e3), 0.0);
}

#[test]
fn memory_by_table() {
    let demand = demand(&load());
    // 10,000 answers a second, half of them TLS, for 0.1 + 1 s each, all of their 20 KiB sealed.
    let staging = 10e3 * 1.1 * 0.5 * 20_480.0;
    check(
        &demand.user,
        &[
            ("slots", 72e6),
            ("tls_slots", 64e6),
            ("tunnels", 0.0),
            ("staging", staging),
            ("total", 136e6 + staging),
        ],
    );
    let rings = 1e6 / 131_072.0 * 131_072.0;
    let in_flight = 225.28e6 * 0.1 * 2.0;
    check(
        &demand.kernel,
        &[
            ("sockets", 3900e6),
            ("waits", 300e6),
            ("rings", rings),
            ("in_flight", in_flight),
            ("total", 4200e6 + rings + in_flight),
        ],
    );
    check(
        &demand.each,
        &[
            ("start", 8e6),
            ("memory_tier", 1e9),
            ("index", 32e6),
            ("page_cache", 4e9),
            ("total", 5.04e9),
        ],
    );
}

#[test]
fn flows_by_table() {
    let demand = demand(&load());
    check(
        &demand.bus,
        &[
            ("plain", 112.64e6 * 3.0),
            ("tls", 112.64e6 * 4.0),
            ("fill", 20.48e6 * 6.0),
            ("total", 112.64e6 * 7.0 + 20.48e6 * 6.0),
        ],
    );
    let heads = 30e3 * 400.0;
    let out = (225.28e6 + heads) * 1.0625 * 8.0;
    let data = (225.28e6 + 20.48e6) / 1400.0 + 30e3;
    check(
        &demand.network,
        &[
            ("heads", heads),
            ("out", out),
            ("in", (20.48e6 + heads) * 1.0625 * 8.0),
            ("data", data),
            ("packets", (data + 30e3) * 1.5),
            ("total", out),
        ],
    );
    check(
        &demand.disk,
        &[("written", 5.12e6), ("written_day", 5.12e6 * 86_400.0), ("read", 9e3 * 0.25 * 20_480.0)],
    );
}

#[test]
fn tunnels_have_two_sockets_and_pass_each_beat_twice() {
    let plain = demand(&load());
    let tunnels = demand(&Load { tunnel_share: 0.5, ..load() });
    let likely = |section: &Section, id| section.find(id).expect("a term").amount.value.likely;
    assert_eq!(likely(&tunnels.load, "sockets"), 1.5 * likely(&plain.load, "sockets"));
    assert_eq!(likely(&tunnels.load, "passed"), 1.5 * likely(&plain.load, "passed"));
    assert_eq!(likely(&tunnels.user, "slots"), 1.5 * likely(&plain.user, "slots"));
    assert_eq!(likely(&tunnels.user, "tls_slots"), likely(&plain.user, "tls_slots"));
    assert_eq!(likely(&tunnels.user, "tunnels"), 0.5 * 1e6 * 30.0);
}

#[test]
fn two_million_parked_connections_by_the_tables_own_figures() {
    let load = Load { connections: 2e6, tls_share: 1.0, ..Load::default() };
    let demand = Demand::of(&load, &Machine::default(), &Coefficients::longhold(), Busy::Planned);
    let bytes = |section: &Section, id| section.find(id).expect("a term").amount.value;
    assert_eq!(bytes(&demand.user, "slots"), Range::new(144e6, 146e6, 148e6));
    assert_eq!(bytes(&demand.user, "tls_slots"), Range::exact(256e6));
    let sockets = bytes(&demand.kernel, "sockets") + bytes(&demand.kernel, "waits");
    assert_eq!(sockets.likely, 2e6 * 4166.0);
}

/// All figures of a study.
fn figures(study: &Study) -> Vec<(String, Range)> {
    let fleet = [&study.fleet.machines, &study.fleet.machine];
    let cost = study.bill.cost();
    let sections = study.demand.sections().chain(fleet).chain([&cost]);
    let name = |section: &Section, id| format!("{}/{id}", section.id);
    sections
        .flat_map(|section| {
            let terms = section.terms.iter().chain(&section.total);
            terms.map(move |term| (name(section, term.id), term.amount.value))
        })
        .collect()
}

/// Any load that is accepted and can fit.
fn any_load() -> impl Strategy<Value = Load> {
    let objects = prop::collection::vec((0.0..1e8f64, 0.1..10.0f64), 1..4);
    let shares = [0.0..=1.0f64, 0.0..=1.0f64, 0.0..=1.0f64, 0.0..=1.0f64];
    let rates = (0.0..1e7f64, 0.0..1e6f64, prop::option::of(0.01..1e5f64), 0.0..1e5f64);
    (objects, shares, rates, (1.0..1e6f64, 0.0..2.0f64, 1e3..1e9f64)).prop_map(
        |(
            objects,
            [tls, hits, memory, tunnels],
            (connections, requests, beat, beat_bytes),
            life,
        )| {
            let class = |(bytes, weight)| ObjectClass { bytes, weight };
            Load {
                connections,
                requests_per_s: requests,
                objects: objects.into_iter().map(class).collect(),
                tls_share: tls,
                hit_ratio: hits,
                memory_share: memory,
                heartbeat_s: beat,
                heartbeat_bytes: beat_bytes,
                tunnel_share: tunnels,
                lifetime_s: life.0,
                rtt_s: life.1,
                client_bytes_per_s: life.2,
                // A store of small objects has an index that no memory holds.
                stored_bytes: 1e9,
                ..Load::default()
            }
        },
    )
}

fn study(load: Load, table: &Coefficients) -> Study {
    let question = Question {
        load,
        machine: Machine::default(),
        prices: Prices::default(),
        busy: Busy::Planned,
    };
    Study::of("a design", &question, table).expect("accepted, and fits")
}

/// What rises in one direction.
#[derive(Clone, Copy, Debug)]
enum More {
    Connections,
    Requests,
    Size,
    Tls,
    Misses,
    Beats,
    BeatBytes,
    Tunnels,
    Opened,
    RoundTrip,
    SlowClients,
    Cold,
    Hot,
}

fn with_more(load: &Load, more: More, by: f64) -> Load {
    let mut load = load.clone();
    let up = |share: f64| (share + (1.0 - share) * (1.0 - 1.0 / by)).min(1.0);
    match more {
        More::Connections => load.connections *= by,
        More::Requests => load.requests_per_s *= by,
        More::Size => load.objects.iter_mut().for_each(|class| class.bytes *= by),
        More::Tls => load.tls_share = up(load.tls_share),
        More::Misses => load.hit_ratio /= by,
        More::Beats => load.heartbeat_s = Some(load.heartbeat_s.unwrap_or(1e5) / by),
        More::BeatBytes => load.heartbeat_bytes *= by,
        More::Tunnels => load.tunnel_share = up(load.tunnel_share),
        More::Opened => load.lifetime_s /= by,
        More::RoundTrip => load.rtt_s *= by,
        More::SlowClients => load.client_bytes_per_s /= by,
        More::Cold => load.memory_share /= by,
        More::Hot => load.hot_bytes *= by.min(2.0),
    }
    load
}

/// Figures that may fall with more load: a share of more machines, hits where there are more
/// misses, plain bytes where there are more sealed ones, objects in the same store.
fn may_fall(name: &str, more: More) -> bool {
    let is_share = name.starts_with("machine/");
    let is_split = match more {
        More::Misses => matches!(name, "load/hits" | "disk/read" | "machines/by_reads"),
        More::Tls => name == "bus/plain",
        More::Size => matches!(name, "each/index" | "each/total" | "machines/by_memory"),
        More::Connections
        | More::Requests
        | More::Beats
        | More::BeatBytes
        | More::Tunnels
        | More::Opened
        | More::RoundTrip
        | More::SlowClients
        | More::Cold
        | More::Hot => false,
    };
    is_share || is_split
}

fn any_more() -> impl Strategy<Value = More> {
    prop::sample::select(vec![
        More::Connections,
        More::Requests,
        More::Size,
        More::Tls,
        More::Misses,
        More::Beats,
        More::BeatBytes,
        More::Tunnels,
        More::Opened,
        More::RoundTrip,
        More::SlowClients,
        More::Cold,
        More::Hot,
    ])
}

fn any_peer() -> impl Strategy<Value = Option<Peer>> {
    prop::sample::select(vec![None, Some(Peer::Nginx), Some(Peer::Haproxy)])
}

fn table(peer: Option<Peer>) -> Coefficients {
    let ours = Coefficients::longhold();
    peer.map_or(ours.clone(), |peer| ours.of_peer(peer))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// CP-1, CP-2.
    #[test]
    fn every_figure_of_every_load_is_a_sound_range(load in any_load(), peer in any_peer()) {
        for (name, Range { low, likely, high }) in figures(&study(load, &table(peer))) {
            let is_finite = low.is_finite() && likely.is_finite() && high.is_finite();
            prop_assert!(is_finite && 0.0 <= low, "{name}: {low} {likely} {high}");
            let speck = high.abs() * 1e-12;
            let is_sound = low <= likely + speck && likely <= high + speck;
            prop_assert!(is_sound, "{name}: {low} {likely} {high}");
        }
    }

    /// CP-4.
    #[test]
    fn more_load_never_needs_less(
        load in any_load(), more in any_more(), by in 1.0..20.0f64, peer in any_peer(),
    ) {
        let before = figures(&study(load.clone(), &table(peer)));
        let after = figures(&study(with_more(&load, more, by), &table(peer)));
        for ((name, less), (same, most)) in before.iter().zip(&after) {
            prop_assert_eq!(name, same);
            let speck = 1e-9 * less.high.abs().max(1e-9);
            let rises = less.low <= most.low + speck
                && less.likely <= most.likely + speck
                && less.high <= most.high + speck;
            prop_assert!(rises || may_fall(name, more), "{name}: {less:?}, {most:?} with {more:?}");
        }
    }

    /// CP-4 on a fixed number of cores, where what is asleep depends on the load.
    #[test]
    fn more_load_never_needs_less_of_fixed_cores(
        load in any_load(), more in any_more(), by in 1.0..20.0f64, cores in 0.1..64.0f64,
    ) {
        let table = Coefficients::longhold();
        let all = |load: &Load| {
            Demand::of(load, &Machine::default(), &table, Busy::Cores(cores)).cpu.total().value
        };
        let (less, most) = (all(&load), all(&with_more(&load, more, by)));
        let speck = 1e-9 * less.high.max(1e-9);
        let rises = less.low <= most.low + speck && less.high <= most.high + speck;
        prop_assert!(rises, "{less:?} {most:?}");
        prop_assert!(less.low <= less.likely && less.likely <= less.high, "{less:?}");
    }

    /// CP-1: what is not accepted is refused, whatever it is.
    #[test]
    fn no_input_panics(values in prop::array::uniform8(prop::num::f64::ANY), index in 0usize..8) {
        let mut load = load();
        let fields = [
            &mut load.connections, &mut load.requests_per_s, &mut load.tls_share,
            &mut load.hit_ratio, &mut load.lifetime_s, &mut load.rtt_s, &mut load.hot_bytes,
            &mut load.stored_bytes,
        ];
        for (field, value) in fields.into_iter().zip(values).take(index + 1) {
            *field = value;
        }
        let (machine, prices) = (Machine::default(), Prices::default());
        let question = Question { load, machine, prices, busy: Busy::Planned };
        if let Ok(study) = Study::of("a design", &question, &Coefficients::longhold()) {
            for (name, range) in figures(&study) {
                prop_assert!(range.low.is_finite() && range.high.is_finite(), "{name}: {range:?}");
            }
        }
    }
}
