//! `edge store check|stat|compact`: looking after a store that no edge has open.
//!
//! What is done is the store's; here is who asks, in which words the answer comes, and with which
//! exit code: 0, done and nothing wrong; 1, something is damaged; 2, the store cannot be opened.

mod words;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use longhold_store::check::{Inspection, Progress};
use longhold_store::{FileDevice, OpenError, Store, Writer, block_on_ready};

use crate::cli::print;
use crate::config;
use crate::config::memory::{rounded, store_config};

/// What can be done to a store that is not open.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Reads and verifies every record; changes nothing. Exit code 1 when something is damaged
    Check(StoreOptions),
    /// Says what the store holds, from headers and footers; changes nothing
    Stat(StoreOptions),
    /// Brings the objects of segments that are mostly dead together, so that these are free
    Compact(StoreOptions),
}

/// Which store, and how to answer.
#[derive(Debug, Args)]
pub struct StoreOptions {
    /// The config file of the edge that uses it
    #[arg(long, value_name = "FILE", required_unless_present = "path", conflicts_with = "path")]
    config: Option<PathBuf>,
    /// The folder of a device; once for each device of the store
    #[arg(long, value_name = "DIR")]
    path: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct NotOpened(#[from] OpenError);

/// Something is damaged; the places have been printed.
#[derive(Debug, thiserror::Error)]
#[error(
    "{count} damaged places; none of them is served, and what lay there is fetched again\n  \
     remedy: see the kernel's log for the disk; replace it if it reports errors"
)]
pub struct Damaged {
    count: u64,
}

/// `edge store …`
///
/// # Errors
/// The config's faults, [`NotOpened`], [`Damaged`], or why the store could not be written.
pub fn run(command: &StoreCommand) -> anyhow::Result<()> {
    match command {
        StoreCommand::Check(options) => check(options),
        StoreCommand::Stat(options) => stat(options),
        StoreCommand::Compact(options) => compact(options),
    }
}

fn check(options: &StoreOptions) -> anyhow::Result<()> {
    let inspection = options.inspect()?;
    let mut meter = Meter::new("checked");
    let report = inspection.verify(&mut |progress| meter.show(progress));
    drop(meter);
    if options.json {
        print(&format!("{:#}\n", words::check_json(&report)))?;
    } else {
        print(&words::check_text(&report))?;
    }
    if report.is_clean() { Ok(()) } else { Err(Damaged { count: report.damage_count }.into()) }
}

fn stat(options: &StoreOptions) -> anyhow::Result<()> {
    let inspection = options.inspect()?;
    let mut meter = Meter::new("read");
    let stat = inspection.stat(&mut |progress| meter.show(progress));
    drop(meter);
    if options.json {
        print(&format!("{:#}\n", words::stat_json(&stat)))
    } else {
        print(&words::stat_text(&stat))
    }
}

fn compact(options: &StoreOptions) -> anyhow::Result<()> {
    let inspection = options.inspect()?;
    let config = match &options.config {
        // As the edge opens it, so that the image of the index fits the edge's.
        Some(file) => {
            longhold_store::Config { memory_bytes: 0, ..store_config(&config::load(file)?) }
        }
        None => inspection.config(),
    };
    // An inspection keeps writers out.
    drop(inspection);
    let (store, _) = Store::open(&config).map_err(NotOpened)?;
    let writer = Writer::new(&store, FileDevice::new(&store)?)?;
    let before = store.stats();
    let done = block_on_ready(writer.compact())?;
    drop(writer);
    let after = store.stats();
    if options.json {
        print(&format!("{:#}\n", words::compact_json(&done, (&before, &after))))
    } else {
        print(&words::compact_text(&done, (&before, &after)))
    }
}

impl StoreOptions {
    fn inspect(&self) -> anyhow::Result<Inspection> {
        let paths = match &self.config {
            Some(file) => {
                let config = config::load(file)?;
                config.store.devices.into_iter().map(|device| device.path).collect()
            }
            None => self.path.clone(),
        };
        Ok(Inspection::open(&paths).map_err(NotOpened)?)
    }
}

/// A line on the terminal, if there is one, that says how far it is.
struct Meter {
    word: &'static str,
    shown: u64,
}

impl Meter {
    fn new(word: &'static str) -> Self {
        Self { word, shown: 0 }
    }

    fn show(&mut self, progress: Progress) {
        let percent = progress.done_bytes * 100 / progress.total_bytes.max(1);
        if percent == self.shown || !io::stderr().is_terminal() {
            return;
        }
        self.shown = percent;
        let (word, total) = (self.word, rounded(progress.total_bytes));
        // A terminal that is gone does not miss it.
        let _ = write!(io::stderr(), "\r{word} {percent} % of {total}");
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.shown > 0 {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
