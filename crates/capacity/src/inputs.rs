//! What is asked for: the load, the machine that is to carry it, and the prices. Checked before
//! anything is reckoned, so that no result is infinite or no number (CP-1).

use alloc::vec::Vec;

use crate::model::Busy;
use crate::range::Range;

/// A class of objects: how large, and how many of the requests ask for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObjectClass {
    /// Bytes of the body.
    pub bytes: f64,
    /// Weight among the classes.
    pub weight: f64,
}

/// The load.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Connections that are held at a time.
    pub connections: f64,
    /// Requests a second at the peak.
    pub requests_per_s: f64,
    /// What they ask for.
    pub objects: Vec<ObjectClass>,
    /// Part of the connections and requests that speak TLS 1.3.
    pub tls_share: f64,
    /// Part of the requests that are hits.
    pub hit_ratio: f64,
    /// Part of the hits that are in memory; others are read from disk.
    pub memory_share: f64,
    /// Seconds between two heartbeats of a connection; none when there is no heartbeat.
    pub heartbeat_s: Option<f64>,
    /// Bytes of the body that answers a heartbeat.
    pub heartbeat_bytes: f64,
    /// Part of the connections that are tunnels, each with a connection to the origin behind it.
    pub tunnel_share: f64,
    /// Seconds for which a connection lives.
    pub lifetime_s: f64,
    /// Seconds from the edge to a client and back.
    pub rtt_s: f64,
    /// Bytes a second that a client takes.
    pub client_bytes_per_s: f64,
    /// Bytes of the objects that bring most of the hits: they shall be in memory.
    pub hot_bytes: f64,
    /// Bytes of all objects in a machine's store.
    pub stored_bytes: f64,
    /// Bytes of a machine's memory tier.
    pub memory_tier_bytes: f64,
}

/// One machine, and how full it may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Cores.
    pub cores: f64,
    /// Bytes of memory.
    pub memory_bytes: f64,
    /// Bytes a second that its memory moves.
    pub memory_bytes_per_s: f64,
    /// Bits a second of its network card.
    pub network_bits_per_s: f64,
    /// Bytes a second that its disks take.
    pub disk_write_bytes_per_s: f64,
    /// Bytes a second that its disks give.
    pub disk_read_bytes_per_s: f64,
    /// Most open files of a process.
    pub descriptors: f64,
    /// Part of its cores that may be busy at the peak.
    pub busy_share: f64,
    /// Part of its memory that may be in use.
    pub memory_share: f64,
    /// Part of memory bandwidth, network and disks that may be in use.
    pub flow_share: f64,
    /// So many machines may fail and the rest still carries the load.
    pub spare: f64,
}

/// What things cost, in one currency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prices {
    /// A machine.
    pub machine: Range,
    /// Its operation for a year: place, network port, hands, support.
    pub operations_per_year: Range,
    /// A kilowatt-hour.
    pub kilowatt_hour: Range,
    /// Watts of an idle machine.
    pub watts_idle: Range,
    /// Watts of a busy one.
    pub watts_busy: Range,
    /// Years.
    pub years: f64,
}

/// An input that cannot be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadInput {
    /// Its name.
    pub name: &'static str,
    /// What it must be.
    pub must: &'static str,
}

impl core::fmt::Display for BadInput {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(out, "{} must be {}", self.name, self.must)
    }
}

impl core::error::Error for BadInput {}

impl Default for Load {
    fn default() -> Self {
        Self {
            connections: 100_000.0,
            requests_per_s: 10_000.0,
            objects: alloc::vec![ObjectClass { bytes: 16_384.0, weight: 1.0 }],
            tls_share: 1.0,
            hit_ratio: 0.95,
            memory_share: 0.98,
            heartbeat_s: Some(60.0),
            heartbeat_bytes: 0.0,
            tunnel_share: 0.0,
            lifetime_s: 3600.0,
            rtt_s: 0.05,
            client_bytes_per_s: 2.5e6,
            hot_bytes: 8.0 * GIB,
            stored_bytes: 256.0 * GIB,
            memory_tier_bytes: 0.25 * GIB,
        }
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            cores: 16.0,
            memory_bytes: 64.0 * GIB,
            memory_bytes_per_s: 100e9,
            network_bits_per_s: 25e9,
            disk_write_bytes_per_s: 1.5e9,
            disk_read_bytes_per_s: 3e9,
            descriptors: 1_048_576.0,
            busy_share: 0.6,
            memory_share: 0.85,
            flow_share: 0.6,
            spare: 1.0,
        }
    }
}

impl Default for Prices {
    fn default() -> Self {
        Self {
            machine: Range::new(6_000.0, 9_000.0, 14_000.0),
            operations_per_year: Range::new(1_200.0, 2_400.0, 4_800.0),
            kilowatt_hour: Range::new(0.08, 0.15, 0.3),
            watts_idle: Range::new(80.0, 110.0, 150.0),
            watts_busy: Range::new(250.0, 320.0, 450.0),
            years: 3.0,
        }
    }
}

impl Load {
    /// Bytes of the mean body.
    #[must_use]
    pub fn mean_bytes(&self) -> f64 {
        let weights: f64 = self.objects.iter().map(|class| class.weight).sum();
        let bytes: f64 = self.objects.iter().map(|class| class.bytes * class.weight).sum();
        if weights > 0.0 { bytes / weights } else { 0.0 }
    }

    /// Whether it can be meant.
    ///
    /// # Errors
    /// The first input that cannot.
    pub fn check(&self) -> Result<(), BadInput> {
        amount("the number of connections", self.connections)?;
        amount("the request rate", self.requests_per_s)?;
        let is_class = |class: &ObjectClass| {
            (0.0..=INPUT_MAX).contains(&class.bytes) && (0.0..=1e9).contains(&class.weight)
        };
        let weights: f64 = self.objects.iter().map(|class| class.weight).sum();
        if !self.objects.iter().all(is_class) || weights < WEIGHT_MIN {
            return Err(BadInput { name: "the object classes", must: "sizes with weights" });
        }
        share("the TLS share", self.tls_share)?;
        share("the hit ratio", self.hit_ratio)?;
        share("the share of hits in memory", self.memory_share)?;
        share("the share of tunnels", self.tunnel_share)?;
        if let Some(heartbeat_s) = self.heartbeat_s {
            positive("the heartbeat interval", heartbeat_s)?;
        }
        amount("the size of a heartbeat", self.heartbeat_bytes)?;
        positive("the lifetime of a connection", self.lifetime_s)?;
        amount("the round trip", self.rtt_s)?;
        positive("the rate of a client", self.client_bytes_per_s)?;
        amount("the hot set", self.hot_bytes)?;
        amount("the store", self.stored_bytes)?;
        amount("the memory tier", self.memory_tier_bytes)
    }
}

impl Machine {
    /// Whether it can be meant.
    ///
    /// # Errors
    /// The first input that cannot.
    pub fn check(&self) -> Result<(), BadInput> {
        positive("the number of cores", self.cores)?;
        positive("the memory of a machine", self.memory_bytes)?;
        positive("the memory bandwidth", self.memory_bytes_per_s)?;
        positive("the network rate", self.network_bits_per_s)?;
        positive("the write rate of the disks", self.disk_write_bytes_per_s)?;
        positive("the read rate of the disks", self.disk_read_bytes_per_s)?;
        positive("the limit of open files", self.descriptors)?;
        for (name, value) in [
            ("the share of busy cores", self.busy_share),
            ("the share of memory in use", self.memory_share),
            ("the share of flows in use", self.flow_share),
        ] {
            let is_part = (0.01..=1.0).contains(&value);
            is_part.then_some(()).ok_or(BadInput { name, must: "from 1 % to 100 %" })?;
        }
        amount("the number of spare machines", self.spare)
    }
}

impl Prices {
    /// Whether they can be meant.
    ///
    /// # Errors
    /// The first that cannot.
    pub fn check(&self) -> Result<(), BadInput> {
        for (name, Range { low, likely, high }) in [
            ("the price of a machine", self.machine),
            ("its operation", self.operations_per_year),
            ("the price of energy", self.kilowatt_hour),
            ("the idle power", self.watts_idle),
            ("the busy power", self.watts_busy),
        ] {
            amount(name, low)?;
            amount(name, high)?;
            let is_sound = low <= likely && likely <= high;
            is_sound
                .then_some(())
                .ok_or(BadInput { name, must: "from low over likely to high" })?;
        }
        positive("the number of years", self.years)
    }
}

impl Busy {
    /// Whether it can be meant.
    ///
    /// # Errors
    /// A number of cores that cannot.
    pub fn check(&self) -> Result<(), BadInput> {
        match self {
            Self::Planned => Ok(()),
            Self::Cores(cores) => positive("the number of busy cores", *cores),
        }
    }
}

fn amount(name: &'static str, value: f64) -> Result<(), BadInput> {
    let is_amount = (0.0..=INPUT_MAX).contains(&value);
    is_amount.then_some(()).ok_or(BadInput { name, must: "from 0 to 10^15" })
}

fn positive(name: &'static str, value: f64) -> Result<(), BadInput> {
    let is_positive = (POSITIVE_MIN..=INPUT_MAX).contains(&value);
    is_positive.then_some(()).ok_or(BadInput { name, must: "from 10^-6 to 10^15" })
}

fn share(name: &'static str, value: f64) -> Result<(), BadInput> {
    (0.0..=1.0).contains(&value).then_some(()).ok_or(BadInput { name, must: "from 0 to 100 %" })
}

const GIB: f64 = 1_073_741_824.0;
const INPUT_MAX: f64 = 1e15;
const POSITIVE_MIN: f64 = 1e-6;
const WEIGHT_MIN: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::{Load, Machine, ObjectClass, Prices};
    use crate::range::Range;

    #[test]
    fn the_mean_body_is_weighted() {
        let class = |bytes, weight| ObjectClass { bytes, weight };
        let load =
            Load { objects: vec![class(1000.0, 3.0), class(9000.0, 1.0)], ..Load::default() };
        assert_eq!(load.mean_bytes(), 3000.0);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        assert_eq!(Load::default().check(), Ok(()));
        assert_eq!(Machine::default().check(), Ok(()));
        assert_eq!(Prices::default().check(), Ok(()));
        let check = |spoil: fn(&mut Load), name: &str| {
            let mut load = Load::default();
            spoil(&mut load);
            assert_eq!(load.check().map_err(|bad| bad.name), Err(name));
        };
        check(|it| it.connections = f64::NAN, "the number of connections");
        check(|it| it.connections = -1.0, "the number of connections");
        check(|it| it.requests_per_s = f64::INFINITY, "the request rate");
        check(|it| it.objects.clear(), "the object classes");
        check(|it| it.objects[0].weight = 0.0, "the object classes");
        check(|it| it.objects[0].bytes = -1.0, "the object classes");
        check(|it| it.tls_share = 1.01, "the TLS share");
        check(|it| it.hit_ratio = -0.01, "the hit ratio");
        check(|it| it.memory_share = 2.0, "the share of hits in memory");
        check(|it| it.tunnel_share = f64::NAN, "the share of tunnels");
        check(|it| it.heartbeat_s = Some(0.0), "the heartbeat interval");
        check(|it| it.heartbeat_bytes = -1.0, "the size of a heartbeat");
        check(|it| it.lifetime_s = 0.0, "the lifetime of a connection");
        check(|it| it.rtt_s = -0.1, "the round trip");
        check(|it| it.client_bytes_per_s = 0.0, "the rate of a client");
        check(|it| it.hot_bytes = 1e16, "the hot set");
        check(|it| it.stored_bytes = f64::NAN, "the store");
        check(|it| it.memory_tier_bytes = -1.0, "the memory tier");

        let machine = Machine { busy_share: 0.0, ..Machine::default() };
        assert_eq!(machine.check().map_err(|bad| bad.name), Err("the share of busy cores"));
        let machine = Machine { cores: 0.0, ..Machine::default() };
        assert_eq!(machine.check().map_err(|bad| bad.name), Err("the number of cores"));
        let prices = Prices { machine: Range::new(3.0, 2.0, 1.0), ..Prices::default() };
        assert_eq!(prices.check().map_err(|bad| bad.name), Err("the price of a machine"));
        let prices = Prices { years: 0.0, ..Prices::default() };
        assert_eq!(prices.check().map_err(|bad| bad.name), Err("the number of years"));
    }
}
