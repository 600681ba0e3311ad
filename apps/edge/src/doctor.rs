//! `edge doctor`: whether this host carries so many connections, and what to change where not.

use anyhow::bail;
use clap::Args;

use crate::cli::print;
use crate::host::judge::{Demand, Verdict, judge};
use crate::host::{Host, report};

/// Options of `edge doctor`.
#[derive(Debug, Args)]
pub struct DoctorOptions {
    /// Connections that the host is to carry at once
    #[arg(long, value_name = "N", default_value_t = 20_000,
          value_parser = clap::value_parser!(u64).range(1..=8_388_608))]
    connections: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `edge doctor`
///
/// # Errors
/// When they do not fit; what stands in the way has been printed.
pub fn doctor(options: &DoctorOptions) -> anyhow::Result<()> {
    let host = Host::read();
    let demand = Demand::of_connections(options.connections, host.cores);
    let findings = judge(&host, &demand);
    if options.json {
        print(&format!("{:#}\n", report::json(&host, &demand, &findings)))?;
    } else {
        print(&report::text(&host, &demand, &findings))?;
    }
    if findings.iter().any(|finding| finding.verdict == Verdict::Refused) {
        bail!("so many connections do not fit this host");
    }
    Ok(())
}
