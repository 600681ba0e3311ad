//! `edge size`: what a load takes, in machines and money; every sum shown.
//!
//! The model is [`longhold_capacity`]; here is who asks: options, results of load tests, and where
//! the answer goes. It asks no running edge.

mod measured;
mod options;
mod typed;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use longhold_capacity::{
    Busy, Coefficients, Load, Machine, Peer, Prices, Question, Range, Report, Study, render,
};

use crate::cli::print;
use measured::Measured;
use options::{LoadOptions, MachineOptions, PriceOptions};
use typed::range;

/// Options of `edge size`.
#[derive(Debug, Args)]
pub struct SizeOptions {
    #[command(flatten)]
    load: LoadOptions,
    #[command(flatten)]
    machine: MachineOptions,
    #[command(flatten)]
    prices: PriceOptions,
    /// Results to reckon with in place of the built-in figures: the JSON of conn-bomb hold or rate,
    /// of cargo xtask bench hit, curve or micro, or of a load test; may be given several times
    #[arg(long, value_name = "FILE")]
    measured: Vec<PathBuf>,
    /// Reckon processor time on exactly so many cores, to compare it with a measurement
    #[arg(long, value_name = "N")]
    on_cores: Option<f64>,
    /// Another server to compare with, by what was measured of it
    #[arg(long, value_name = "SERVER", value_enum)]
    against: Option<Against>,
    /// What the change from that server costs once; a range is typed as 20000..50000
    #[arg(long, value_name = "MONEY", value_parser = range, requires = "against")]
    investment: Option<Range>,
    /// Show the cost tables of the article that this project starts from, set right
    #[arg(long, conflicts_with_all = ["measured", "on_cores", "against"])]
    article: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "html")]
    json: bool,
    /// Write a page that opens without a network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Which other server.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Against {
    /// nginx 1.22 with proxy_cache
    Nginx,
    /// HAProxy 2.6 with its cache
    Haproxy,
}

impl Against {
    const fn peer(self) -> Peer {
        match self {
            Self::Nginx => Peer::Nginx,
            Self::Haproxy => Peer::Haproxy,
        }
    }
}

/// `edge size`
///
/// # Errors
/// A result that cannot be read, an input that cannot be meant, or machines of which no number
/// will do.
pub fn size(options: &SizeOptions) -> anyhow::Result<()> {
    let report = if options.article { Report::of_article() } else { report(options)? };
    match &options.html {
        Some(file) => {
            std::fs::write(file, render::page(&report))
                .with_context(|| format!("cannot write {}", file.display()))?;
            print(&format!("written to {}\n", file.display()))
        }
        None if options.json => print(&format!("{}\n", render::json(&report))),
        None => print(&render::text(&report)),
    }
}

fn report(options: &SizeOptions) -> anyhow::Result<Report> {
    let measured = Measured::read(&options.measured)?;
    let mut table = Coefficients::longhold();
    measured.teach(&mut table);
    let question = question(options, &measured);
    let study = Study::of("Longhold", &question, &table)?;
    let mut report = Report::of(&question, &study, &table, &options.prices.currency);
    report.notes.extend(measured.notes());
    if let Some(against) = options.against {
        let peer = against.peer();
        let other = Study::of(peer.name(), &question, &table.of_peer(peer))
            .with_context(|| format!("with {}", peer.name()))?;
        report.compare(&study, &other, options.investment.unwrap_or_default());
    }
    Ok(report)
}

/// What is given counts, then what was measured, then the default.
fn question(options: &SizeOptions, measured: &Measured) -> Question {
    let mut question = Question {
        load: Load::default(),
        machine: Machine::default(),
        prices: Prices::default(),
        busy: options.on_cores.map_or(Busy::Planned, Busy::Cores),
    };
    measured.describe(&mut question.load);
    options.load.put(&mut question.load);
    options.machine.put(&mut question.machine);
    options.prices.put(&mut question.prices);
    question
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{SizeOptions, question, report};
    use crate::size::measured::Measured;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        size: SizeOptions,
    }

    fn typed(line: &str) -> SizeOptions {
        Typed::try_parse_from(line.split_whitespace()).expect("it can be read").size
    }

    #[test]
    fn what_is_given_counts_before_what_was_measured_and_that_before_the_default() {
        let found = serde_json::json!({
            "load": "rate", "url": "http://127.0.0.1:1/", "connections": 64,
            "answers": { "count": 100, "body_bytes": 204_800, "hit_ratio": 0.5 },
            "answers_per_s": 1234.0,
        });
        let mut measured = Measured::default();
        assert!(measured.take(&found, "a test"));
        let ask = |line| question(&typed(line), &measured).load;
        let load = ask("size --rate 10k");
        assert_eq!(load.requests_per_s, 10_000.0, "given");
        assert_eq!((load.mean_bytes(), load.hit_ratio), (2048.0, 0.5), "measured");
        assert_eq!(load.lifetime_s, 3600.0, "default");
    }

    #[test]
    fn a_comparison_ends_in_a_return() {
        let options = typed(
            "size --connections 2m --rate 200k --object 16KiB:3,1MiB:1 --tls 90% \
             --against nginx --investment 20000..40000",
        );
        let report = report(&options).expect("it fits");
        assert!(report.sections.iter().any(|section| section.id == "return"));
        assert!(report.summary.iter().any(|line| line.what == "Return"));
    }

    #[test]
    fn what_cannot_be_meant_is_told_by_name() {
        let fault = report(&typed("size --hot 10TiB")).expect_err("no machine has it");
        assert!(format!("{fault:#}").contains("before its first connection"), "{fault:#}");
    }
}
