//! What the loads' command lines share: target, timeouts, the transport, durations.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use longhold_loadgen::dial::Dial;
use longhold_loadgen::plan::Aim;
use longhold_loadgen::target::{Reach, Target};
use longhold_tls::layer::{LayerSettings, Secured};
use longhold_transport::{Config, Transport as _, epoll, probe, uring};
use serde::Serialize;

use crate::losses::Losses;
use crate::page;
use crate::progress::Progress;
use crate::server::Watch;

/// Options of every load.
#[derive(Args, Debug)]
pub(crate) struct Shared {
    /// What to ask for: http://HOST:PORT/PATH on a loopback address. The body of /bytes/N is
    /// known beforehand; any other is compared with the first answer. ws://… opens WebSockets and
    /// sends messages, whose echo is verified. https://… and wss://… do so over TLS 1.3, without a
    /// look at the certificate.
    #[arg(long)]
    url: String,
    /// The target is not a loopback address, and the host there is yours to load.
    #[arg(long)]
    i_own_this_host: bool,
    /// Addresses of this machine that connections come from, in turn; each has ports for 20,000.
    /// By default the kernel's choice, and for many to loopback several of 127.0.0.0/8.
    #[arg(long, value_delimiter = ',')]
    sources: Vec<IpAddr>,
    /// What carries the load: io_uring, or epoll where the host forbids it. Over epoll the limit of
    /// open files (ulimit -n) bounds the connections.
    #[arg(long, value_enum, default_value_t = Carrier::Auto)]
    transport: Carrier,
    /// How long a connect may take.
    #[arg(long, default_value = "5s", value_parser = duration)]
    connect_timeout: Duration,
    /// How long an answer may take; of event streams, how much later than its interval an event may
    /// come.
    #[arg(long, default_value = "30s", value_parser = duration)]
    answer_timeout: Duration,
    /// How long the whole load may take.
    #[arg(long, default_value = "10m", value_parser = duration)]
    time_max: Duration,
    /// Process ids of the server: CPU time and memory are read from /proc around the load.
    #[arg(long, value_delimiter = ',')]
    server_pid: Vec<u32>,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
    /// Write the result as a page with charts, too.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write when and why each connection was lost, or an answer was wrong, as comma-separated
    /// values; the result itself names the first few.
    #[arg(long, value_name = "FILE")]
    losses: Option<PathBuf>,
    /// Show no progress on standard error.
    #[arg(long)]
    quiet: bool,
}

impl Shared {
    /// The aim that the options describe.
    pub(crate) fn aim(&self) -> anyhow::Result<Aim> {
        Ok(self.aim_at(self.target()?))
    }

    /// What the URL names, as far as it may be loaded.
    pub(crate) fn target(&self) -> anyhow::Result<Target> {
        let reach = if self.i_own_this_host { Reach::OwnHosts } else { Reach::Loopback };
        Target::within(&self.url, reach).with_context(|| format!("--url {}", self.url))
    }

    /// The aim at this target, with the limits that the options set.
    pub(crate) fn aim_at(&self, target: Target) -> Aim {
        Aim {
            sources: self.sources.clone(),
            connect_timeout_ms: millis(self.connect_timeout),
            answer_timeout_ms: millis(self.answer_timeout),
            time_max_ms: millis(self.time_max),
            ..Aim::new(target)
        }
    }

    /// A transport with room for `connections`.
    pub(crate) fn transport(&self, connections: u32) -> anyhow::Result<Box<dyn Dial>> {
        self.transport.start(connections.max(1))
    }

    /// What looks on, and shows how the load gets on. `goal`: connections that are to be held.
    pub(crate) fn watch(&self, goal: Option<u32>) -> anyhow::Result<Watch> {
        let progress = (!self.quiet).then(|| Progress::new(goal.map(u64::from)));
        let losses = self.losses.as_deref().map(Losses::create).transpose()?;
        Ok(Watch::new(&self.server_pid)?.telling(progress, losses))
    }

    /// Tells a result in the forms that were asked for; `passed` is what the exit code will say.
    pub(crate) fn tell(
        &self,
        outcome: &impl Serialize,
        passed: bool,
        print: impl FnOnce(),
    ) -> anyhow::Result<()> {
        // Whatever becomes of one form, the others are told.
        let written = self.html.as_ref().map_or(Ok(()), |file| {
            let page = page::of(&serde_json::to_value(outcome)?, passed);
            std::fs::write(file, page).with_context(|| format!("--html {}", file.display()))
        });
        if self.json {
            println!("{}", serde_json::to_string_pretty(outcome)?);
        } else {
            print();
        }
        written
    }

    /// The URL as typed, for the result.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// What may carry a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Carrier {
    /// io_uring where it is allowed, else epoll.
    Auto,
    /// io_uring; never anything else in its place.
    Uring,
    /// epoll.
    Epoll,
}

impl Carrier {
    /// Whether it comes to io_uring here.
    pub(crate) fn is_uring(self) -> bool {
        match self {
            Self::Auto => probe::probe().is_ok(),
            Self::Uring => true,
            Self::Epoll => false,
        }
    }

    /// A reactor with room for `connections`, and TLS over it for those that want it.
    fn start(self, connections: u32) -> anyhow::Result<Box<dyn Dial>> {
        let config = Config { slots: connections, buffers: 0, ..Config::default() };
        let failed = "cannot start the load's transport";
        if self.is_uring() {
            let reactor = uring::Reactor::new(&config).context(failed)?;
            return Ok(Box::new(Secured::new(reactor, LayerSettings::default())));
        }
        // In a table of descriptors of its own, of which the limit is known beforehand.
        let reactor = epoll::Reactor::with_private_table(&config, Vec::new()).context(failed)?;
        let room = reactor.slot_count();
        ensure!(
            room >= connections,
            "over epoll there is room for {room} connections, not {connections}: raise the limit \
             of open files (ulimit -n), or use io_uring"
        );
        Ok(Box::new(Secured::new(reactor, LayerSettings::default())))
    }
}

/// A duration as typed: a whole number and a unit, `250ms`, `30s`, `10m`, `2h`.
pub(crate) fn duration(text: &str) -> anyhow::Result<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).context("a unit is missing")?;
    let (number, unit) = text.split_at(unit_at);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => anyhow::bail!("unknown unit {unit:?}: use ms, s, m or h"),
    };
    let number: u64 = number.parse().context("a duration is a whole number and a unit")?;
    let ms = number.checked_mul(unit_ms).context("too long")?;
    ensure!(ms <= DURATION_MS_MAX, "longer than a week");
    Ok(Duration::from_millis(ms))
}

/// A number as typed: `500`, `10k`, `2m`.
pub(crate) fn count(text: &str) -> anyhow::Result<u32> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "" => 1,
        "k" | "K" => 1_000,
        "m" | "M" => 1_000_000,
        _ => anyhow::bail!("unknown unit {unit:?}: use k or m"),
    };
    let number: u32 = number.parse().context("a whole number, such as 500, 10k or 2m")?;
    number.checked_mul(factor).context("too many")
}

/// A size as typed: a number of bytes, or of `KiB` or `MiB`.
pub(crate) fn bytes(text: &str) -> anyhow::Result<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_bytes = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => anyhow::bail!("unknown unit {unit:?}: use B, KiB or MiB"),
    };
    let number: u64 = number.parse().context("a whole number, such as 512, 16KiB or 1MiB")?;
    number.checked_mul(unit_bytes).context("too large")
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const DURATION_MS_MAX: u64 = 7 * 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::{bytes, count, duration, millis};

    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(duration(text).ok().map(millis), expected, "{text:?}");
    }

    #[test]
    fn numbers_may_be_typed_in_thousands_and_millions() {
        for (text, expected) in [("500", 500), ("10k", 10_000), ("2M", 2_000_000)] {
            assert_eq!(count(text).ok(), Some(expected), "{text:?}");
        }
        for wrong in ["", "k", "-1", "1g", "5000m", "1.5m", "10 k"] {
            assert!(count(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn sizes_may_be_typed_in_kibibytes() {
        let sizes = [("0", 0), ("512", 512), ("7B", 7), ("16KiB", 16 << 10), ("2MiB", 2 << 20)];
        for (text, expected) in sizes {
            assert_eq!(bytes(text).ok(), Some(expected), "{text:?}");
        }
        for wrong in ["", "KiB", "-1", "1k", "1.5KiB", "1 KiB", "99999999999999MiB"] {
            assert!(bytes(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn durations_carry_units() {
        check("250ms", Some(250));
        check("30s", Some(30_000));
        check("10m", Some(600_000));
        check("2h", Some(7_200_000));
        for wrong in ["", "5", "s", "5 s", "-5s", "5d", "1.5s", "99999999999999999999s", "200h"] {
            check(wrong, None);
        }
    }
}
