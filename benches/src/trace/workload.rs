//! Generated traces: who is asked for how often, and when.
//!
//! Objects come from a table of real traffic or from a model; each has a number of requests and a
//! size. Their requests are then laid out in time: an object lives for an exponentially distributed
//! time somewhere in the trace, and its requests fall into its life as those of a Poisson process
//! do, at a rate that rises and falls with the day of its audience. There are two audiences, eight
//! hours apart, so that the mix changes over the day and not only the speed.
//!
//! The same preset, requests and seed give the same trace on every machine.

use anyhow::{Context as _, Result};

use super::Request;
use super::marginals::Table;
use super::random::Random;

/// What kind of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// Model: small objects, two thirds of them asked for once.
    Web,
    /// Model: pieces of films, four in ten asked for once.
    Video,
    /// Model: few objects, some very large, one in six asked for once.
    Download,
    /// Table of real media traffic.
    #[value(name = "eu-2")]
    Eu2,
    /// Table of real download traffic.
    #[value(name = "tc-0")]
    Tc0,
    /// Table of real video traffic.
    V,
}

/// How large a trace, and what is added to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Requests, about: counts of objects are random.
    pub requests: usize,
    /// Two traces with the same seed are equal.
    pub seed: u64,
    /// One-hit floods: requests for keys that never return, in percent of all others.
    pub scan_percent: u32,
    /// Flash crowds: requests for a few new keys in a short time, in percent of all others.
    pub flash_percent: u32,
}

/// One object of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object {
    /// Requests for it in the whole trace.
    pub requests: u64,
    /// Its size.
    pub bytes: u64,
}

/// Zipf–Mandelbrot popularity with sizes that do not depend on it.
#[derive(Debug)]
struct Model {
    /// Objects that could be asked for, per request; some never are.
    objects_per_request: f64,
    /// The weight of the object of rank i is (i + `shift`)^−`exponent`.
    exponent: f64,
    shift: f64,
    sizes: Sizes,
}

/// A log-normal body and a Pareto tail.
#[derive(Debug)]
struct Sizes {
    median_bytes: f64,
    /// Deviation of the natural logarithm.
    sigma: f64,
    tail_share: f64,
    tail_least_bytes: f64,
    tail_alpha: f64,
    bytes_max: f64,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Web, Self::Video, Self::Download, Self::Eu2, Self::Tc0, Self::V];

    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Video => "video",
            Self::Download => "download",
            Self::Eu2 => "eu-2",
            Self::Tc0 => "tc-0",
            Self::V => "v",
        }
    }

    /// The whole trace, in order of time.
    ///
    /// # Errors
    /// When the table that comes with the program cannot be read.
    pub fn generate(self, shape: &Shape) -> Result<Vec<Request>> {
        let objects = self.objects(shape)?;
        let mut random = Random::new(shape.seed, 2);
        let mut requests = arrivals(&objects, &mut random);
        let count = requests.len();
        let added = |percent: u32| count * percent as usize / 100;
        let mut next = objects.len() as u32;
        let size = |random: &mut Random| objects[random.below(objects.len())].bytes;
        for at in 0..added(shape.scan_percent) {
            let window = (at % SCANS) as f64;
            let within = SCAN_SPAN * random.unit();
            let time_ms = clock_ms((window + 0.5) / SCANS as f64 + within);
            requests.push(Request { time_ms, object: next, bytes: size(&mut random) });
            next += 1;
        }
        let sizes: [u64; CROWDS] = std::array::from_fn(|_| size(&mut random));
        for at in 0..added(shape.flash_percent) {
            let crowd = at % CROWDS;
            let within = random.exponential(CROWD_SPAN).min(10.0 * CROWD_SPAN);
            let time_ms = clock_ms((crowd as f64 + 0.25) / CROWDS as f64 + within);
            let object = next + crowd as u32;
            requests.push(Request { time_ms, object, bytes: sizes[crowd] });
        }
        requests.sort_unstable_by_key(|request| (request.time_ms, request.object));
        Ok(requests)
    }

    /// The objects of a trace, those that are asked for.
    ///
    /// # Errors
    /// When the table that comes with the program cannot be read.
    pub fn objects(self, shape: &Shape) -> Result<Vec<Object>> {
        let mut random = Random::new(shape.seed, 1);
        let text = match self {
            Self::Web => return Ok(from_model(&WEB, shape.requests, &mut random)),
            Self::Video => return Ok(from_model(&VIDEO, shape.requests, &mut random)),
            Self::Download => return Ok(from_model(&DOWNLOAD, shape.requests, &mut random)),
            Self::Eu2 => EU_2,
            Self::Tc0 => TC_0,
            Self::V => V,
        };
        let table = Table::parse(text).with_context(|| format!("the table {}", self.name()))?;
        Ok(from_table(&table, shape.requests, &mut random))
    }
}

/// As many objects as give about `requests`, drawn at even steps through the cells, so that every
/// cell has its share to within one object.
fn from_table(table: &Table, requests: usize, random: &mut Random) -> Vec<Object> {
    // In a trace a hundredth as long as the real one the most popular object would drown the rest.
    let requests_max = (requests as f64 * OBJECT_SHARE_MAX).max(1.0);
    let count = (requests as f64 / table.mean_requests(requests_max)).round();
    let mut objects = Vec::with_capacity(count as usize + 1);
    let (mut reached, mut next) = (0.0, random.unit());
    for cell in &table.cells {
        reached += cell.share * count;
        let mean = cell.requests.min(requests_max);
        while next < reached {
            // Rounds up or down so that the mean is kept.
            let drawn = (mean + random.unit()).floor().max(1.0);
            objects.push(Object { requests: drawn as u64, bytes: cell.bytes.round() as u64 });
            next += 1.0;
        }
    }
    objects
}

fn from_model(model: &Model, requests: usize, random: &mut Random) -> Vec<Object> {
    let count = (requests as f64 * model.objects_per_request).ceil() as usize;
    let weight = |rank: usize| (rank as f64 + 1.0 + model.shift).powf(-model.exponent);
    let total: f64 = (0..count).map(weight).sum();
    let mut objects = Vec::new();
    for rank in 0..count {
        let drawn = random.poisson(requests as f64 * weight(rank) / total);
        let bytes = model.sizes.draw(random);
        if drawn > 0 {
            objects.push(Object { requests: drawn, bytes });
        }
    }
    objects
}

impl Sizes {
    fn draw(&self, random: &mut Random) -> u64 {
        let bytes = if random.unit() < self.tail_share {
            random.pareto(self.tail_least_bytes, self.tail_alpha)
        } else {
            self.median_bytes * (self.sigma * random.normal()).exp()
        };
        bytes.clamp(1.0, self.bytes_max).round() as u64
    }
}

/// Lays out the requests in time, not yet in order.
fn arrivals(objects: &[Object], random: &mut Random) -> Vec<Request> {
    let count: u64 = objects.iter().map(|object| object.requests).sum();
    let mut requests = Vec::with_capacity(count as usize);
    for (number, object) in (0..).zip(objects) {
        let life = random.exponential(LIFE_MEAN).min(1.0);
        let birth = random.unit() * (1.0 - life);
        let phase = if random.bits() & 1 == 0 { 0.0 } else { AUDIENCES_APART_DAYS };
        for _ in 0..object.requests {
            let at = loop {
                let at = birth + life * random.unit();
                let day = std::f64::consts::TAU * (at * DAYS + phase);
                if random.unit() * (1.0 + SWING) < 1.0 + SWING * day.sin() {
                    break at;
                }
            };
            let time_ms = clock_ms(at);
            requests.push(Request { time_ms, object: number, bytes: object.bytes });
        }
    }
    requests
}

/// Part of the trace's span → milliseconds.
fn clock_ms(part: f64) -> u64 {
    (part * DAYS * 86_400_000.0) as u64
}

const EU_2: &str = include_str!("../../data/tragen/eu-2.txt");
const TC_0: &str = include_str!("../../data/tragen/tc-0.txt");
const V: &str = include_str!("../../data/tragen/v.txt");
/// Most that one object may take of all requests of a trace from a table.
const OBJECT_SHARE_MAX: f64 = 0.01;
const DAYS: f64 = 3.0;
/// Mean life of an object, in parts of the trace.
const LIFE_MEAN: f64 = 0.5;
/// How far the rate swings around its mean within a day.
const SWING: f64 = 0.6;
const AUDIENCES_APART_DAYS: f64 = 1.0 / 3.0;
const SCANS: usize = 4;
/// How long a scan lasts, in parts of the trace.
const SCAN_SPAN: f64 = 0.02;
const CROWDS: usize = 8;
/// How fast a crowd goes, in parts of the trace.
const CROWD_SPAN: f64 = 0.004;
const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;

const WEB: Model = Model {
    objects_per_request: 0.6,
    exponent: 1.2,
    shift: 20.0,
    sizes: Sizes {
        median_bytes: 12.0 * KIB,
        sigma: 1.6,
        tail_share: 0.01,
        tail_least_bytes: MIB,
        tail_alpha: 1.3,
        bytes_max: 64.0 * MIB,
    },
};

const VIDEO: Model = Model {
    objects_per_request: 0.2,
    exponent: 1.0,
    shift: 20.0,
    sizes: Sizes {
        median_bytes: 700.0 * KIB,
        sigma: 1.0,
        tail_share: 0.02,
        tail_least_bytes: 8.0 * MIB,
        tail_alpha: 2.0,
        bytes_max: 64.0 * MIB,
    },
};

const DOWNLOAD: Model = Model {
    objects_per_request: 0.11,
    exponent: 0.9,
    shift: 20.0,
    sizes: Sizes {
        median_bytes: 64.0 * KIB,
        sigma: 2.0,
        tail_share: 0.05,
        tail_least_bytes: 4.0 * MIB,
        tail_alpha: 1.1,
        bytes_max: 1024.0 * MIB,
    },
};
