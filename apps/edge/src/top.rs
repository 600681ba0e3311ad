//! `edge top`: what a running edge does, in a terminal and each second anew; once, as plain text,
//! where the output is no terminal.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::Value;

use crate::admin::client;
use crate::cli::{RunningEdge, print};
use crate::config::checked::Admin;
use crate::config::memory::rounded;
use crate::conns::{grouped, span};

/// Options of `edge top`.
#[derive(Debug, Args)]
pub struct TopOptions {
    /// Print once and end, also in a terminal
    #[arg(long)]
    once: bool,
    /// Print the state as JSON, once
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    edge: RunningEdge,
}

/// `edge top`
///
/// # Errors
/// The config's faults, or why the running edge says nothing.
pub fn top(options: &TopOptions) -> anyhow::Result<()> {
    let Admin { address, token } = options.edge.admin()?;
    let look = || client::status(&address, token.as_deref());
    if options.json {
        return print(&format!("{:#}\n", look()?));
    }
    let (mut before, mut since) = (look()?, Instant::now());
    let is_watched = !options.once && io::stdout().is_terminal() && io::stdin().is_terminal();
    if !is_watched {
        std::thread::sleep(SECOND);
        return print(&screen(&before, &look()?, since.elapsed()));
    }
    let _keys = Keys::take().context("the terminal cannot be read key by key")?;
    while !ends(SECOND)? {
        let now = look()?;
        let text = screen(&before, &now, since.elapsed());
        (before, since) = (now, Instant::now());
        // Home, each line cleared to its end, then what is below.
        let text = text.replace('\n', "\x1b[K\n");
        let mut out = io::stdout().lock();
        let shown = write!(out, "\x1b[H{text}\x1b[J").and_then(|()| out.flush());
        shown.context("the output cannot be written")?;
    }
    Ok(())
}

/// Waits for so long; whether a key asks for the end meanwhile.
fn ends(patience: Duration) -> anyhow::Result<bool> {
    let stdin = io::stdin();
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut keys = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut keys, Some(&left)) {
            Ok(0) => return Ok(false),
            Ok(_) => {
                let mut key = [0];
                let read = stdin.lock().read(&mut key).context("no key can be read")?;
                if read == 0 || matches!(key, [b'q' | b'Q' | 3]) {
                    return Ok(true);
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(fault) => return Err(fault).context("no key can be awaited"),
        }
    }
}

/// The terminal, key by key and without an echo; as it was when this ends.
struct Keys(Termios);

impl Keys {
    fn take() -> rustix::io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut keys = before.clone();
        keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(&stdin, OptionalActions::Now, &keys)?;
        // Another screen, without a cursor.
        print!("\x1b[?1049h\x1b[?25l");
        Ok(Self(before))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        print!("\x1b[?25h\x1b[?1049l");
        // Nothing can be done where the terminal is gone.
        let _ = io::stdout().flush();
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Two looks at an edge, and the time between them.
struct Looks<'a> {
    before: &'a Value,
    now: &'a Value,
    seconds: f64,
}

/// Two looks as a page of text.
fn screen(before: &Value, now: &Value, between: Duration) -> String {
    let looks = Looks { before, now, seconds: between.as_secs_f64().max(0.001) };
    let mut text = format!(
        "longhold {}   {}   up {}   {} workers over {}\n\n",
        now["version"].as_str().unwrap_or("?"),
        now["state"].as_str().unwrap_or("?"),
        span(number(&now["uptime_s"]) * 1000),
        number(&now["workers"]),
        now["transport"].as_str().unwrap_or("?"),
    );
    looks.connections(&mut text);
    looks.traffic(&mut text);
    looks.memory(&mut text);
    text
}

impl Looks<'_> {
    /// How much a family of counters, or one of its rows, has grown.
    fn grown(&self, family: &str) -> u64 {
        let total = |of: &Value| -> u64 {
            let counters = of["counters"].as_object().into_iter().flatten();
            let rows = counters.filter(|(name, _)| {
                let rest = name.strip_prefix(family);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
            });
            rows.map(|(_, count)| number(count)).sum()
        };
        total(self.now).saturating_sub(total(self.before))
    }

    /// The same by the second.
    fn speed(&self, family: &str) -> u64 {
        (self.grown(family) as f64 / self.seconds).round() as u64
    }

    fn rate(&self, family: &str) -> String {
        grouped(self.speed(family))
    }

    fn connections(&self, text: &mut String) {
        let connections = &self.now["connections"];
        let count = |name: &str| number(&connections[name]);
        let open = ["handshaking", "parked", "active", "closing"].map(count).iter().sum();
        let told = format!(
            "{} of {}   parked {}   active {}   handshaking {}   closing {}",
            grouped(open),
            grouped(count("max")),
            grouped(count("parked")),
            grouped(count("active")),
            grouped(count("handshaking")),
            grouped(count("closing")),
        );
        line(text, "connections", &told);
        let (tunnels, streams) = (count("tunnels"), count("streams"));
        let told = format!(
            "over TLS {}   tunnels {}   event streams {}",
            grouped(count("tls")),
            grouped(tunnels.saturating_sub(streams)),
            grouped(streams),
        );
        line(text, "", &told);
        let told = format!(
            "accepted {}/s   closed {}/s   refused {}/s",
            self.rate("longhold_connections_accepted_total"),
            self.rate("longhold_connections_closed_total"),
            self.rate("longhold_connections_refused_total"),
        );
        line(text, "", &told);
    }

    fn traffic(&self, text: &mut String) {
        let hits = self.grown("longhold_requests_total{cache=hit}");
        let share = match self.grown("longhold_requests_total") {
            0 => "-".to_owned(),
            all => format!("{:.1} %", hits as f64 * 100.0 / all as f64),
        };
        let told = format!(
            "{}/s   hits {share}   to clients {}/s   errors {}/s",
            self.rate("longhold_requests_total"),
            rounded(self.speed("longhold_downstream_sent_bytes_total")),
            self.rate("longhold_responses_total{class=5xx}"),
        );
        line(text, "requests", &told);
        let told = format!(
            "{}/s   failed {}/s   received {}/s   waiting {}",
            self.rate("longhold_origin_fetches_total"),
            self.rate("longhold_origin_errors_total"),
            rounded(self.speed("longhold_origin_received_bytes_total")),
            grouped(number(&self.now["fill_queue"])),
        );
        line(text, "origins", &told);
        let store = &self.now["store"];
        let told = format!(
            "{} objects   {} of {}",
            grouped(number(&store["objects"])),
            rounded(number(&store["used_bytes"])),
            rounded(number(&store["size_bytes"])),
        );
        line(text, "store", &told);
    }

    fn memory(&self, text: &mut String) {
        let governor = &self.now["governor"];
        let told = format!(
            "{}   {} of {} ({})",
            governor["stage"].as_str().unwrap_or("?"),
            rounded(number(&governor["counted_bytes"])),
            rounded(number(&governor["budget_bytes"])),
            governor["budget_from"].as_str().unwrap_or("no bound"),
        );
        line(text, "memory", &told);
        let parts = governor["used"]["parts"].as_object().into_iter().flatten();
        let parts = parts.filter(|(_, bytes)| number(bytes) > 0);
        let parts = parts.map(|(name, bytes)| format!("{name} {}", rounded(number(bytes))));
        line(text, "", &parts.collect::<Vec<_>>().join("   "));
        let accounting = &self.now["accounting"];
        let (leaks, is_even) = (number(&accounting["leaks"]), accounting["balanced"] == true);
        if leaks > 0 || !is_even {
            line(text, "LEAKS", &format!("{leaks}; the books balance: {is_even}; see the log"));
        }
    }
}

fn line(text: &mut String, name: &str, told: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{name:<12}  {told}");
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn screen_shows_rates_of_what_has_grown() {
        let look = |hits: u64, misses: u64, leaks: u64| {
            json!({
                "version": "1", "state": "ready", "uptime_s": 61, "workers": 2,
                "transport": "uring", "fill_queue": 3,
                "connections": {
                    "max": 1000, "parked": 900, "active": 7,
                    "tls": 800, "tunnels": 30, "streams": 10,
                },
                "counters": {
                    "longhold_requests_total{cache=hit}": hits,
                    "longhold_requests_total{cache=uri-miss}": misses,
                    "longhold_requests_coalesced_total": 99,
                },
                "governor": { "stage": "calm", "used": { "parts": { "slots": 2048 } } },
                "accounting": { "balanced": true, "leaks": leaks },
            })
        };
        let text = screen(&look(1000, 10, 0), &look(7000, 2010, 0), Duration::from_secs(2));
        for told in [
            "longhold 1   ready   up 1m 1s   2 workers over uring\n",
            "connections   907 of 1,000   parked 900   active 7   handshaking 0   closing 0\n",
            "              over TLS 800   tunnels 20   event streams 10\n",
            "requests      4,000/s   hits 75.0 %",
            "waiting 3\n",
            "slots 2.0 KiB\n",
        ] {
            assert!(text.contains(told), "{told}\n{text}");
        }
        assert!(!text.contains("LEAKS"));
        let text = screen(&look(0, 0, 0), &look(0, 0, 2), Duration::from_secs(1));
        assert!(text.contains("hits -") && text.contains("LEAKS         2;"), "{text}");
    }
}
