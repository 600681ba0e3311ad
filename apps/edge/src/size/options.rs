//! Options of `edge size`: the load, the machine, the prices. What is not given stays as it is.

use clap::Args;
use longhold_capacity::{Load, Machine, ObjectClass, Prices, Range};

use super::typed::{Beat, bits, class, flow, number, range, share, size, time, time_or_off};

/// The load.
#[derive(Debug, Args)]
#[command(next_help_heading = "The load")]
pub(super) struct LoadOptions {
    /// Connections held at a time, such as 2m [default: 100k]
    #[arg(long, value_name = "N", value_parser = number)]
    connections: Option<f64>,
    /// Requests a second at the peak [default: 10k]
    #[arg(long, value_name = "N", value_parser = number)]
    rate: Option<f64>,
    /// Sizes of bodies with their weights, such as 1KiB:6,1MiB:1 [default: 16KiB]
    #[arg(long, value_name = "SIZE[:WEIGHT]", value_parser = class, value_delimiter = ',')]
    object: Vec<ObjectClass>,
    /// Share that speaks TLS 1.3 [default: 100%]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    tls: Option<f64>,
    /// Share of the requests that are hits [default: 95%]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    hits: Option<f64>,
    /// Share of the hits that are in memory [default: 98%]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    in_memory: Option<f64>,
    /// Time between two heartbeats of a connection, or off [default: 60s]
    #[arg(long, value_name = "TIME|off", value_parser = time_or_off)]
    heartbeat: Option<Beat>,
    /// Size of the body that answers a heartbeat [default: 0B]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    heartbeat_size: Option<f64>,
    /// Share of the connections that are tunnels: WebSockets, event streams [default: 0%]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    tunnels: Option<f64>,
    /// How long a connection lives [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = time)]
    lifetime: Option<f64>,
    /// Round trip to a client [default: 50ms]
    #[arg(long, value_name = "TIME", value_parser = time)]
    rtt: Option<f64>,
    /// What a client takes [default: 20Mbit/s]
    #[arg(long, value_name = "RATE", value_parser = bits)]
    client_rate: Option<f64>,
    /// Objects that bring most of the hits and shall be in memory [default: 8GiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    hot: Option<f64>,
    /// Store of a machine [default: 256GiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    store: Option<f64>,
    /// Memory tier of the store [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory_tier: Option<f64>,
}

/// One machine.
#[derive(Debug, Args)]
#[command(next_help_heading = "A machine")]
pub(super) struct MachineOptions {
    /// Its cores [default: 16]
    #[arg(long, value_name = "N", value_parser = number)]
    cores: Option<f64>,
    /// Its memory [default: 64GiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<f64>,
    /// What its memory moves [default: 100GB/s]
    #[arg(long, value_name = "RATE", value_parser = flow)]
    memory_bandwidth: Option<f64>,
    /// Its network card [default: 25Gbit/s]
    #[arg(long, value_name = "RATE", value_parser = bits)]
    network: Option<f64>,
    /// What its disks write [default: 1500MB/s]
    #[arg(long, value_name = "RATE", value_parser = flow)]
    disk_write: Option<f64>,
    /// What its disks read [default: 3GB/s]
    #[arg(long, value_name = "RATE", value_parser = flow)]
    disk_read: Option<f64>,
    /// Most open files of a process [default: 1048576]
    #[arg(long, value_name = "N", value_parser = number)]
    descriptors: Option<f64>,
    /// Share of its cores that may be busy [default: 60%]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    busy: Option<f64>,
    /// Share of its memory that may be used [default: 85%]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    memory_use: Option<f64>,
    /// Share of bandwidth, network and disks that may be used [default: 60%]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    flow_use: Option<f64>,
    /// Machines that may fail [default: 1]
    #[arg(long, value_name = "N", value_parser = number)]
    spare: Option<f64>,
}

/// The prices.
#[derive(Debug, Args)]
#[command(next_help_heading = "Prices, as 9000, 6000..14000 or 6000..9000..14000")]
pub(super) struct PriceOptions {
    /// A machine [default: 6000..9000..14000]
    #[arg(long, value_name = "MONEY", value_parser = range)]
    machine_price: Option<Range>,
    /// Its operation for a year: place, port, hands [default: 1200..2400..4800]
    #[arg(long, value_name = "MONEY", value_parser = range)]
    operations: Option<Range>,
    /// A kilowatt-hour [default: 0.08..0.15..0.3]
    #[arg(long, value_name = "MONEY", value_parser = range)]
    kwh: Option<Range>,
    /// Watts of an idle machine [default: 80..110..150]
    #[arg(long, value_name = "WATTS", value_parser = range)]
    watts_idle: Option<Range>,
    /// Watts of a busy machine [default: 250..320..450]
    #[arg(long, value_name = "WATTS", value_parser = range)]
    watts_busy: Option<Range>,
    /// Years [default: 3]
    #[arg(long, value_name = "N", value_parser = number)]
    years: Option<f64>,
    /// The unit of money, a name
    #[arg(long, value_name = "NAME", default_value = "USD")]
    pub(super) currency: String,
}

impl LoadOptions {
    /// Puts what is given.
    pub(super) fn put(&self, load: &mut Load) {
        put(&mut load.connections, self.connections);
        put(&mut load.requests_per_s, self.rate);
        if !self.object.is_empty() {
            load.objects.clone_from(&self.object);
        }
        put(&mut load.tls_share, self.tls);
        put(&mut load.hit_ratio, self.hits);
        put(&mut load.memory_share, self.in_memory);
        put(&mut load.heartbeat_s, self.heartbeat.map(|Beat(every)| every));
        put(&mut load.heartbeat_bytes, self.heartbeat_size);
        put(&mut load.tunnel_share, self.tunnels);
        put(&mut load.lifetime_s, self.lifetime);
        put(&mut load.rtt_s, self.rtt);
        put(&mut load.client_bytes_per_s, self.client_rate.map(|bits| bits / 8.0));
        put(&mut load.hot_bytes, self.hot);
        put(&mut load.stored_bytes, self.store);
        put(&mut load.memory_tier_bytes, self.memory_tier);
    }
}

impl MachineOptions {
    /// Puts what is given.
    pub(super) fn put(&self, machine: &mut Machine) {
        put(&mut machine.cores, self.cores);
        put(&mut machine.memory_bytes, self.memory);
        put(&mut machine.memory_bytes_per_s, self.memory_bandwidth);
        put(&mut machine.network_bits_per_s, self.network);
        put(&mut machine.disk_write_bytes_per_s, self.disk_write);
        put(&mut machine.disk_read_bytes_per_s, self.disk_read);
        put(&mut machine.descriptors, self.descriptors);
        put(&mut machine.busy_share, self.busy);
        put(&mut machine.memory_share, self.memory_use);
        put(&mut machine.flow_share, self.flow_use);
        put(&mut machine.spare, self.spare);
    }
}

impl PriceOptions {
    /// Puts what is given.
    pub(super) fn put(&self, prices: &mut Prices) {
        put(&mut prices.machine, self.machine_price);
        put(&mut prices.operations_per_year, self.operations);
        put(&mut prices.kilowatt_hour, self.kwh);
        put(&mut prices.watts_idle, self.watts_idle);
        put(&mut prices.watts_busy, self.watts_busy);
        put(&mut prices.years, self.years);
    }
}

fn put<T>(place: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *place = given;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use longhold_capacity::{Load, Machine, Prices, Unit};

    use super::{LoadOptions, MachineOptions, PriceOptions};

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        load: LoadOptions,
        #[command(flatten)]
        machine: MachineOptions,
        #[command(flatten)]
        prices: PriceOptions,
    }

    fn all(line: &str) -> (Load, Machine, Prices) {
        let typed = Typed::try_parse_from(line.split_whitespace()).expect("it can be read");
        let mut all = (Load::default(), Machine::default(), Prices::default());
        typed.load.put(&mut all.0);
        typed.machine.put(&mut all.1);
        typed.prices.put(&mut all.2);
        all
    }

    /// What the help calls a default is the model's own.
    #[test]
    fn the_defaults_of_the_help_are_those_of_the_model() {
        let spelled = "size --connections 100k --rate 10k --object 16KiB --tls 100% --hits 95% \
                       --in-memory 98% --heartbeat 60s --heartbeat-size 0B --tunnels 0% \
                       --lifetime 1h --rtt 50ms --client-rate 20Mbit/s --hot 8GiB --store 256GiB \
                       --memory-tier 256MiB --cores 16 --memory 64GiB --memory-bandwidth 100GB/s \
                       --network 25Gbit/s --disk-write 1500MB/s --disk-read 3GB/s \
                       --descriptors 1048576 --busy 60% --memory-use 85% --flow-use 60% --spare 1 \
                       --machine-price 6000..9000..14000 --operations 1200..2400..4800 \
                       --kwh 0.08..0.15..0.3 --watts-idle 80..110..150 --watts-busy 250..320..450 \
                       --years 3";
        assert_eq!(all(spelled), all("size"));
    }

    #[test]
    fn every_option_reaches_its_place() {
        let default = all("size");
        let changed = |option: &str| {
            let all = all(&format!("size {option}"));
            assert_ne!(all, default, "{option}");
            all
        };
        let (load, ..) = changed("--object 1KiB:3,5KiB:1 --heartbeat off --client-rate 8kbit/s");
        assert_eq!(load.mean_bytes(), 2048.0);
        assert_eq!((load.heartbeat_s, load.client_bytes_per_s), (None, 1000.0));
        for option in [
            "connections 1",
            "rate 1",
            "tls 1%",
            "hits 1%",
            "in-memory 1%",
            "heartbeat 1s",
            "heartbeat-size 1B",
            "tunnels 1%",
            "lifetime 1s",
            "rtt 1ms",
            "hot 1B",
            "store 1B",
            "memory-tier 1B",
            "cores 1",
            "memory 1GiB",
            "memory-bandwidth 1GB/s",
            "network 1Gbit/s",
            "disk-write 1GB/s",
            "disk-read 1GB/s",
            "descriptors 1",
            "busy 1%",
            "memory-use 1%",
            "flow-use 1%",
            "spare 2",
            "machine-price 1",
            "operations 1",
            "kwh 1",
            "watts-idle 1",
            "watts-busy 1",
            "years 1",
        ] {
            let _all = changed(&format!("--{option}"));
        }
        let (.., prices) = changed("--machine-price 1..2..3");
        assert_eq!(Unit::Money.show(prices.machine), "1–3");
    }
}
