//! Generated traces: always the same, and like what they are drawn from.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::trace::marginals::Table;
use crate::trace::random::Random;
use crate::trace::replay::{Statistics, Trace};
use crate::trace::workload::{Preset, Shape};

fn shape(requests: usize) -> Shape {
    Shape { requests, seed: 1, scan_percent: 0, flash_percent: 0 }
}

fn statistics(preset: Preset, shape: &Shape) -> Statistics {
    Trace::Generated(preset.generate(shape).unwrap()).statistics().unwrap()
}

/// Of the first 5,000 requests.
fn hash(preset: Preset, shape: &Shape) -> u64 {
    let requests = preset.generate(shape).unwrap();
    assert!(requests.is_sorted_by_key(|request| request.time_ms));
    let bytes = requests.iter().take(5_000).flat_map(|request| {
        let object = u64::from(request.object);
        [request.time_ms, object, request.bytes].into_iter().flat_map(u64::to_le_bytes)
    });
    xxh3_64(&bytes.collect::<Vec<u8>>())
}

#[test]
fn a_seed_gives_the_same_trace_everywhere() {
    let hashes = Preset::ALL.map(|preset| hash(preset, &shape(20_000)));
    assert_eq!(hashes, HASHES, "{hashes:#x?}");
    for preset in Preset::ALL {
        let other = Shape { seed: 2, ..shape(20_000) };
        assert_ne!(hash(preset, &other), hash(preset, &shape(20_000)), "{}", preset.name());
    }
}

const HASHES: [u64; 6] = [
    0xeec7693044baddbb,
    0x3312e968a500fb08,
    0xcb67d24f6faed7c4,
    0x1ab867e7cf8d0ad8,
    0x75edf59e49c030fe,
    0x45d4a915765e95dc,
];

#[test]
fn traces_are_about_as_long_as_asked_for() {
    for preset in Preset::ALL {
        let requests = statistics(preset, &shape(100_000)).requests;
        assert!((96_000..=104_000).contains(&requests), "{}: {requests}", preset.name());
    }
}

#[test]
fn models_have_the_one_hit_shares_of_their_kind() {
    for (preset, share) in [(Preset::Web, 0.65), (Preset::Video, 0.42), (Preset::Download, 0.18)] {
        let objects = preset.objects(&shape(2_000_000)).unwrap();
        let one_hit = objects.iter().filter(|object| object.requests == 1).count();
        let found = one_hit as f64 / objects.len() as f64;
        assert!((found - share).abs() < 0.01, "{}: {found}", preset.name());
    }
}

/// One-hit share, requests per object and mean size in KB, all as computed from the tables of the
/// source.
const SOURCES: [(Preset, &str, [f64; 3]); 3] = [
    (Preset::Eu2, include_str!("../../../data/tragen/eu-2.txt"), [0.41804, 3.5215, 298.48]),
    (Preset::Tc0, include_str!("../../../data/tragen/tc-0.txt"), [0.77135, 43.106, 608.09]),
    (Preset::V, include_str!("../../../data/tragen/v.txt"), [0.56397, 3.4260, 2214.1]),
];

#[test]
fn tables_say_what_their_source_says() {
    for (preset, text, expected) in SOURCES {
        let table = Table::parse(text).unwrap();
        let one_hit = table.cells.iter().filter(|cell| cell.requests == 1.0);
        let found = [
            one_hit.map(|cell| cell.share).sum(),
            table.mean_requests(f64::INFINITY),
            table.cells.iter().map(|cell| cell.share * cell.bytes / 1024.0).sum(),
        ];
        for (found, expected) in found.into_iter().zip(expected) {
            let off: f64 = found / expected - 1.0;
            assert!(off.abs() < 0.002, "{}: {found} for {expected}", preset.name());
        }
    }
}

#[test]
fn objects_are_distributed_as_their_table_says() {
    for (preset, text, _) in SOURCES {
        let table = Table::parse(text).unwrap();
        let objects = preset.objects(&shape(200_000)).unwrap();
        let mut drawn: HashMap<(u64, bool), i64> = HashMap::new();
        for object in &objects {
            *drawn.entry((object.bytes, object.requests == 1)).or_default() += 1;
        }
        let mut expected: HashMap<(u64, bool), (f64, f64)> = HashMap::new();
        for cell in &table.cells {
            let key = (cell.bytes.round() as u64, cell.requests == 1.0);
            let (sum, cells) = expected.entry(key).or_default();
            *sum += cell.share * objects.len() as f64;
            *cells += 1.0;
        }
        assert!(drawn.keys().all(|key| expected.contains_key(key)));
        // Each of the cells that share a size is right to within one object.
        for (key, (expected, cells)) in expected {
            let found = drawn.get(&key).copied().unwrap_or_default() as f64;
            let off = (found - expected).abs();
            assert!(off <= cells + 1e-3 * expected, "{} {key:?}: {found}", preset.name());
        }
    }
}

#[test]
fn every_object_is_asked_for_as_often_as_drawn() {
    for preset in [Preset::Web, Preset::V] {
        let shape = shape(20_000);
        let objects = preset.objects(&shape).unwrap();
        let mut counts = vec![0; objects.len()];
        for request in preset.generate(&shape).unwrap() {
            counts[request.object as usize] += 1;
            assert_eq!(request.bytes, objects[request.object as usize].bytes);
        }
        assert!(objects.iter().map(|object| object.requests).eq(counts));
    }
}

#[test]
fn a_scan_asks_once_and_a_crowd_asks_for_a_few_in_a_short_time() {
    let plain = Preset::Web.generate(&shape(50_000)).unwrap();
    let objects = 1 + plain.iter().map(|request| request.object).max().unwrap();
    let shape = Shape { scan_percent: 20, flash_percent: 10, ..shape(50_000) };
    let mut added: HashMap<u32, Vec<u64>> = HashMap::new();
    for request in Preset::Web.generate(&shape).unwrap() {
        if request.object >= objects {
            added.entry(request.object).or_default().push(request.time_ms);
        }
    }
    let scanned = added.values().filter(|times| times.len() == 1).count();
    assert_eq!(scanned, plain.len() / 5);
    let crowds: Vec<&Vec<u64>> = added.values().filter(|times| times.len() > 1).collect();
    assert_eq!(crowds.len(), 8);
    assert_eq!(crowds.iter().map(|times| times.len()).sum::<usize>(), plain.len() / 10);
    let three_hours_ms = 3 * 3_600_000;
    assert!(crowds.iter().all(|times| times[times.len() - 1] - times[0] < three_hours_ms));
}

#[test]
fn random_numbers_have_the_moments_of_their_distributions() {
    let mut random = Random::new(7, 0);
    let mut check = |name: &str, mean: f64, draw: &mut dyn FnMut(&mut Random) -> f64| {
        let found = (0..100_000).map(|_| draw(&mut random)).sum::<f64>() / 100_000.0;
        assert!((found - mean).abs() < 0.03 * mean.max(1.0), "{name}: {found} for {mean}");
    };
    check("unit", 0.5, &mut |random| random.unit());
    check("below", 4.5, &mut |random| random.below(10) as f64);
    check("exponential", 3.0, &mut |random| random.exponential(3.0));
    check("normal", 0.0, &mut |random| random.normal());
    check("normal squared", 1.0, &mut |random| random.normal().powi(2));
    check("pareto", 1.5, &mut |random| random.pareto(1.0, 3.0));
    check("poisson", 0.7, &mut |random| random.poisson(0.7) as f64);
    check("poisson above 30", 50.0, &mut |random| random.poisson(50.0) as f64);
}

#[test]
fn a_table_with_a_broken_line_is_refused_by_its_number() {
    let check = |text: &str, says: &str| {
        let error = format!("{:#}", Table::parse(text).unwrap_err());
        assert!(error.contains(says), "{error}");
    };
    check("1\n5 0.5\nsix 0.5\n", "line 3");
    check("5 1\n", "line 1");
    check("1\n5 0.5 7\n", "line 2");
    check("1\n-5 1\n", "line 2");
    check("1\n5 0.5\n", "add up to 0.5");
}
