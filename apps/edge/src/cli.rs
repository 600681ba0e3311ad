//! The command line: one declaration, from which help, completions and errors come.

use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use longhold_telemetry::tracing::{Format, Level};

use crate::admin::{PurgeOrder, PurgeReply, client, purge_answer};
use crate::config::checked::{Admin, AdminAddress, Checked, Log, LogFormat, LogLevel};
use crate::config::{self, Faults, MemoryPlan, dump, knobs, parse_admin_address};
use crate::conns::ConnsOptions;
use crate::demo::{self, Addresses};
use crate::doctor::DoctorOptions;
use crate::explain::{CacheCommand, ExplainOptions};
use crate::host::judge::{Demand, Finding};
use crate::host::{Host, report};
use crate::run;
use crate::signals::{self, Listening, Stop};
use crate::size::SizeOptions;
use crate::store_tool::{NotOpened, StoreCommand};
use crate::top::TopOptions;

/// A caching HTTP reverse proxy for the edge of a CDN.
///
/// Without a command it runs the demo.
#[derive(Debug, Parser)]
#[command(name = "edge", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

/// What the edge can be told to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs an origin of its own and the edge before it, and says what to try (the default)
    Demo(DemoOptions),
    /// Serves what a config file says, until SIGTERM
    #[command(after_long_help = knobs::help())]
    Run(RunOptions),
    /// Checks a config file on this host; prints what holds, the memory that it implies, and what
    /// stands in the way
    #[command(after_long_help = knobs::help())]
    Check(CheckOptions),
    /// Purges from a running edge's store; done when it is durable and in force on every worker
    Purge(PurgeOptions),
    /// Says what a running edge knows of a URL, what the next request would do, and by which clause
    Explain(ExplainOptions),
    /// Counts, lists and closes the connections of a running edge
    Conns(ConnsOptions),
    /// Shows what a running edge does, each second anew; q ends it
    Top(TopOptions),
    /// Says whether this host carries so many connections, and what to change where not
    Doctor(DoctorOptions),
    /// Shows what a running edge has stored
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Looks after a store that no edge has open
    #[command(subcommand)]
    Store(StoreCommand),
    /// Says what a load takes: cores, memory, network, disks, machines, and three years of cost
    Size(Box<SizeOptions>),
    /// Prints a completion script for a shell
    Completions {
        /// The shell to complete in
        shell: Shell,
    },
}

/// Options of `edge demo`.
#[derive(Debug, Args)]
pub struct DemoOptions {
    /// Where clients connect; port 0 lets the kernel choose
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the admin API listens
    #[arg(long, value_name = "IP:PORT|unix:PATH", default_value = "127.0.0.1:9900",
          value_parser = parse_admin_address)]
    admin: AdminAddress,
}

/// Options of `edge run`.
#[derive(Debug, Args)]
pub struct RunOptions {
    /// The config file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Options of `edge check`.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// The config file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print JSON, faults included
    #[arg(long)]
    json: bool,
}

/// Options of `edge purge`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true)))]
pub struct PurgeOptions {
    /// A URL as clients ask for it, with all its variants; may be given several times
    #[arg(long, group = "what")]
    url: Vec<String>,
    /// Every URL that begins so; scheme and host must be whole
    #[arg(long, group = "what")]
    prefix: Vec<String>,
    /// What the origin tagged so in Surrogate-Key or Cache-Tag
    #[arg(long, group = "what")]
    tag: Vec<String>,
    /// All of a host, by both schemes
    #[arg(long, group = "what")]
    host: Vec<String>,
    /// Everything
    #[arg(long, group = "what", conflicts_with_all = ["url", "prefix", "tag", "host"])]
    all: bool,
    /// Make it stale instead of removing it: it is validated, or served while it is fetched anew
    #[arg(long)]
    soft: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    edge: RunningEdge,
}

/// Which running edge is asked.
#[derive(Debug, Args)]
pub struct RunningEdge {
    /// The running edge's config file, for its admin address and token
    #[arg(long, value_name = "FILE", conflicts_with = "admin")]
    config: Option<PathBuf>,
    /// The running edge's admin address; its token is read from LONGHOLD_ADMIN_TOKEN
    #[arg(long, value_name = "IP:PORT|unix:PATH", default_value = "127.0.0.1:9900",
          value_parser = parse_admin_address)]
    admin: AdminAddress,
}

impl Cli {
    /// What was asked for; the demo if nothing was.
    #[must_use]
    pub fn command(self) -> Command {
        match self.command {
            Some(command) => command,
            None => Self::parse_from(["edge", "demo"]).command(),
        }
    }
}

/// `edge demo`
///
/// # Errors
/// See [`demo::run`].
pub fn demo(options: DemoOptions) -> anyhow::Result<()> {
    let DemoOptions { listen, admin } = options;
    // The three lines are not to drown.
    start_log(&Log { format: LogFormat::Text, level: LogLevel::Warn })?;
    let stop = Stop::new();
    let _listening = listen_to_signals(&stop)?;
    demo::run(&Addresses { listen, admin }, &program(), stop)
}

/// `edge run`
///
/// # Errors
/// The config's faults, or what keeps the edge from serving.
pub fn run(options: &RunOptions) -> anyhow::Result<()> {
    let config = config::load(&options.config)?;
    #[cfg(feature = "sabotage")]
    let config = crate::sabotage::bend(&config);
    start_log(&config.log)?;
    let stop = Stop::new();
    let _listening = listen_to_signals(&stop)?;
    run::serve(&config, stop, |_| {})
}

/// `edge check`
///
/// # Errors
/// The config's faults; with `--json` they have been printed to the output as well.
pub fn check(options: &CheckOptions) -> anyhow::Result<()> {
    match (check_on(&options.config, &Host::read()), options.json) {
        (Ok((config, demand, findings)), false) => {
            let plan = report::plan_text(&demand, &findings, "# ");
            print(&format!("{}\n# Plan for this host:\n{plan}", dump::text(&config)))
        }
        (Ok((config, _, findings)), true) => {
            let mut said = dump::json(&config);
            said["host"] = findings.iter().map(report::finding_json).collect();
            print(&format!("{said:#}\n"))
        }
        (Err(faults), false) => Err(faults.into()),
        (Err(faults), true) => {
            print(&format!("{:#}\n", faults.json()))?;
            Err(faults.into())
        }
    }
}

/// Reads a config, and judges it on a host.
fn check_on(file: &Path, host: &Host) -> Result<(Checked, Demand, Vec<Finding>), Faults> {
    let config = config::load(file)?;
    let plan = MemoryPlan::of(&config);
    let findings = report::admit(&config, &plan, host)?;
    let demand = Demand::of(&config, &plan);
    Ok((config, demand, findings))
}

/// `edge purge`
///
/// # Errors
/// The config's faults, or why the running edge did not purge.
pub fn purge(options: &PurgeOptions) -> anyhow::Result<()> {
    let Admin { address, token } = options.edge.admin()?;
    let PurgeOptions { url, prefix, tag, host, all, soft, .. } = options;
    let (url, prefix, tag, host) = (url.clone(), prefix.clone(), tag.clone(), host.clone());
    let order = PurgeOrder { url, prefix, tag, host, all: *all, soft: *soft };
    let reply = client::purge(&address, token.as_deref(), &order)?;
    if options.json {
        return print(&format!("{:#}\n", purge_answer(&order, &reply)));
    }
    let PurgeReply { found, count, duration_us, .. } = reply;
    let what = order.words();
    let word = match (found, soft) {
        (Some(false), _) => "was not stored",
        (Some(true) | None, true) => "is stale",
        (Some(true) | None, false) => "purged",
    };
    let counted = match count {
        Some(count) if order.count() > 1 => format!(" ({count} were stored)"),
        Some(count) if order.all => format!(" ({count} records)"),
        Some(_) | None => String::new(),
    };
    print(&format!("{what}: {word}{counted}; durable after {duration_us} µs\n"))
}

/// `edge completions`
///
/// # Errors
/// When the output cannot be written.
pub fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut <Cli as CommandFactory>::command(), "edge", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Ends the process's story: tells a fault, and chooses the exit code. 0: done; 1: it could not be
/// done; 2: what was asked is faulty, as clap does for options, or the
/// store that was named cannot be opened.
#[must_use]
pub fn conclude(outcome: anyhow::Result<()>) -> ExitCode {
    let Err(fault) = outcome else {
        return ExitCode::SUCCESS;
    };
    if let Some(faults) = fault.downcast_ref::<Faults>() {
        // Without a word before it, so that editors find file, line and column.
        // Nobody has to be able to read it, here and below: the code says it, too.
        let _ = writeln!(io::stderr(), "{faults}");
        return ExitCode::from(CODE_FAULTY);
    }
    let _ = writeln!(io::stderr(), "edge: {fault:#}");
    if fault.is::<NotOpened>() { ExitCode::from(CODE_FAULTY) } else { ExitCode::FAILURE }
}

impl RunningEdge {
    /// Its address and token.
    pub(crate) fn admin(&self) -> anyhow::Result<Admin> {
        match &self.config {
            Some(file) => admin_of(file),
            None => {
                let token = std::env::var(TOKEN_VARIABLE).ok();
                Ok(Admin { address: self.admin.clone(), token })
            }
        }
    }
}

fn admin_of(file: &Path) -> anyhow::Result<Admin> {
    let Admin { address, token } = config::load(file)?.admin;
    if matches!(address, AdminAddress::Tcp(tcp) if tcp.port() == 0) {
        bail!("the admin port in {} is chosen at start; name it with --admin", file.display());
    }
    Ok(Admin { address, token })
}

/// Sets up the log of starts, faults and drains, for the whole process.
///
/// # Errors
/// When there is one already.
fn start_log(log: &Log) -> anyhow::Result<()> {
    let format = match log.format {
        LogFormat::Json => Format::Json,
        LogFormat::Text => Format::Text,
    };
    let level = match log.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
    };
    Ok(longhold_telemetry::tracing::init(format, level)?)
}

fn listen_to_signals(stop: &Stop) -> anyhow::Result<Listening> {
    signals::listen(stop).context("signals cannot be handled")
}

/// How this program was called, so that a line that it prints can be copied.
fn program() -> String {
    let name = std::env::args_os().next();
    name.map_or_else(|| "edge".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Writes to the output; whoever closed it wants no more.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(fault) if fault.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("the output cannot be written"),
    }
}

const CODE_FAULTY: u8 = 2;
const TOKEN_VARIABLE: &str = "LONGHOLD_ADMIN_TOKEN";
