//! `edge conns`: the connections of a running edge, counted, listed, and closed by a filter.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use longhold_conn::State;
use serde_json::Value;

use crate::admin::{CensusAsk, CloseAsk, client};
use crate::cli::{RunningEdge, print};
use crate::config::checked::Admin;
use crate::connections::filter::FilterAsk;

/// Options of `edge conns`.
#[derive(Debug, Args)]
pub struct ConnsOptions {
    #[command(flatten)]
    filter: FilterOptions,
    /// Close what the filter takes, instead of showing it
    #[arg(long)]
    close: bool,
    /// With --close and no filter: close every connection
    #[arg(long, requires = "close")]
    all: bool,
    /// How many connections to list as the oldest, the idlest and the busiest; up to 200
    #[arg(long, value_name = "N", default_value_t = 5, conflicts_with = "close")]
    list: u8,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    edge: RunningEdge,
}

/// Which connections are meant; what is given must all hold.
#[derive(Debug, Args)]
struct FilterOptions {
    /// handshaking, parked, active or closing
    #[arg(long)]
    state: Option<String>,
    /// http, https, tunnel, stream or origin; with -tls behind the last three for those over TLS
    #[arg(long)]
    protocol: Option<String>,
    /// The listener's address, as the table shows it
    #[arg(long, value_name = "IP:PORT")]
    listener: Option<String>,
    /// The peer's address, or addresses that begin alike, such as 10.0.0.0/8
    #[arg(long, value_name = "IP[/BITS]")]
    source: Option<String>,
    /// Idle for longer than this, such as 10m
    #[arg(long, value_name = "TIME")]
    idle_over: Option<String>,
    /// Accepted longer ago than this, such as 24h
    #[arg(long, value_name = "TIME")]
    older_than: Option<String>,
}

/// `edge conns`
///
/// # Errors
/// The config's faults, or why the running edge says or does nothing.
pub fn conns(options: &ConnsOptions) -> anyhow::Result<()> {
    let Admin { address, token } = options.edge.admin()?;
    let FilterOptions { state, protocol, listener, source, idle_over, older_than } =
        &options.filter;
    let filter = FilterAsk {
        state: state.clone(),
        protocol: protocol.clone(),
        listener: listener.clone(),
        source: source.clone(),
        idle_over: idle_over.clone(),
        older_than: older_than.clone(),
    };
    if options.close {
        let ask = CloseAsk { filter, all: options.all };
        if ask.filter.is_empty() != ask.all {
            bail!("--close needs a filter such as --state parked --idle-over 1h, or --all alone");
        }
        return close(options, &ask, |ask| client::close(&address, token.as_deref(), ask));
    }
    let ask = CensusAsk { filter, listed_max: usize::from(options.list) };
    let said = client::connections(&address, token.as_deref(), &ask)?;
    if options.json { print(&format!("{said:#}\n")) } else { print(&table(&said)) }
}

/// Closes, and goes on until all that the filter takes are being closed.
fn close(
    options: &ConnsOptions,
    ask: &CloseAsk,
    order: impl Fn(&CloseAsk) -> Result<Value, client::ClientError>,
) -> anyhow::Result<()> {
    let mut closed = 0;
    loop {
        let said = order(ask)?;
        closed += said["closed"].as_u64().unwrap_or_default();
        if said["complete"] != false {
            break;
        }
        // The workers are behind.
        std::thread::sleep(PAUSE);
    }
    if options.json {
        return print(&format!("{:#}\n", serde_json::json!({ "closed": closed })));
    }
    print(&format!("{} closed\n", counted(closed, "connection")))
}

/// The whole picture as text.
fn table(said: &Value) -> String {
    let mut text = String::new();
    let (total, slots) = (number(&said["total"]), number(&said["slots"]));
    let filtered = said["filter"].as_object().is_some_and(|filter| !filter.is_empty());
    let taken = if filtered { " that the filter takes," } else { "" };
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "{}{taken} of {} slots", counted(total, "connection"), grouped(slots));
    let states = State::ALL.iter().filter(|state| **state != State::Free).map(|state| {
        let count = number(&said["by_state"][state.name()]);
        format!("{} {}", state.name(), grouped(count))
    });
    let _ = writeln!(text, "  {}", states.collect::<Vec<_>>().join("   "));
    let protocols = said["by_protocol"].as_object().into_iter().flatten();
    let protocols = protocols.filter(|(_, count)| number(count) > 0);
    let protocols = protocols.map(|(name, count)| format!("{name} {}", grouped(number(count))));
    let _ = writeln!(text, "  {}\n", protocols.collect::<Vec<_>>().join("   "));

    let _ = writeln!(text, "{:<28} {:<10} {:>12}", "listener", "protocol", "connections");
    for row in rows(&said["by_listener"]) {
        let (address, protocol) = (word(&row["address"]), word(&row["protocol"]));
        let count = grouped(number(&row["connections"]));
        let _ = writeln!(text, "{address:<28} {protocol:<10} {count:>12}");
    }
    let _ = writeln!(text, "\n{:<28} {:>10} {:>12}", "worker", "slots", "connections");
    for row in rows(&said["by_worker"]) {
        let (slots, count) = (grouped(number(&row["slots"])), grouped(number(&row["connections"])));
        let _ = writeln!(text, "{:<28} {slots:>10} {count:>12}", number(&row["worker"]));
    }
    classes(&mut text, said);
    for (key, heading) in
        [("oldest", "the oldest"), ("idlest", "idle longest"), ("busiest", "the busiest")]
    {
        listed(&mut text, heading, &said[key]);
    }
    let _ = writeln!(text, "\nclosed since the start");
    let closed = said["closed"].as_object().into_iter().flatten();
    let mut any = false;
    for (reason, count) in closed.filter(|(_, count)| number(count) > 0) {
        any = true;
        let _ = writeln!(text, "  {reason:<26} {:>12}", grouped(number(count)));
    }
    if !any {
        let _ = writeln!(text, "  none");
    }
    text
}

/// How many by age and by idle time.
fn classes(text: &mut String, said: &Value) {
    let _ = write!(text, "\n{:<6}", "");
    for row in rows(&said["by_age"]) {
        let _ = write!(text, " {:>10}", word(&row["class"]));
    }
    for (key, name) in [("by_age", "age"), ("by_idle", "idle")] {
        let _ = write!(text, "\n{name:<6}");
        for row in rows(&said[key]) {
            let _ = write!(text, " {:>10}", grouped(number(&row["connections"])));
        }
    }
    text.push('\n');
}

fn listed(text: &mut String, heading: &str, list: &Value) {
    if rows(list).next().is_none() {
        return;
    }
    let _ = writeln!(
        text,
        "\n{heading:<18} {:<12} {:<11} {:<24} {:<22} {:>9} {:>9} {:>9}",
        "state", "protocol", "peer", "listener", "age", "idle", "requests"
    );
    for row in rows(list) {
        let _ = writeln!(
            text,
            "  {:<16} {:<12} {:<11} {:<24} {:<22} {:>9} {:>9} {:>9}",
            word(&row["id"]),
            word(&row["state"]),
            word(&row["protocol"]),
            word(&row["peer"]),
            word(&row["listener"]),
            span(number(&row["age_ms"])),
            span(number(&row["idle_ms"])),
            grouped(number(&row["requests"])),
        );
    }
}

fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

/// A number and what it counts.
fn counted(count: u64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(count))
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time for people: its two largest units.
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{}.{} s", seconds, ms % 1000 / 100),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        86_400.. => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// How long to wait for workers that are behind with closing.
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_well() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (2_010_000, "2,010,000")] {
            assert_eq!(grouped(number), text);
        }
        for (ms, text) in [
            (0, "0.0 s"),
            (59_949, "59.9 s"),
            (60_000, "1m 0s"),
            (3_661_000, "1h 1m"),
            (90_000_000, "1d 1h"),
        ] {
            assert_eq!(span(ms), text);
        }
    }
}
