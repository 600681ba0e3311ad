//! What the judgements look like: the plan that `edge check` prints, and all of `edge doctor`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Host;
use super::judge::{Demand, Finding, Remedy, Verdict, judge};
use crate::carrier::Carrier;
use crate::config::checked::{Checked, TransportChoice};
use crate::config::fault::{Cause, Fault, Faults};
use crate::config::memory::{self, MemoryPlan, When, rounded};
use crate::conns::grouped;

impl Demand {
    /// What a config asks of its host.
    #[must_use]
    pub fn of(config: &Checked, plan: &MemoryPlan) -> Self {
        let origins = config.sites.iter().map(|site| site.origin.connections_max as u64);
        Self {
            connections: plan.slots_count,
            workers: config.server.workers as u64,
            start_bytes: plan.total(When::Start).0,
            load_bytes: plan.total(When::Load).0,
            kernel_bytes: plan.total(When::Kernel).0,
            origin_connections: origins.max().unwrap_or(0),
            transport: config.server.transport,
        }
    }

    /// What so many connections ask of a host, without a config: an edge with a small store.
    #[must_use]
    pub fn of_connections(connections: u64, workers: u64) -> Self {
        Self {
            connections,
            workers,
            start_bytes: STORE_BYTES
                + connections * (memory::SLOT_BYTES + memory::REACTOR_SLOT_BYTES),
            load_bytes: connections / 100 * memory::BUFFER_BYTES,
            kernel_bytes: connections * (memory::POLL_BYTES + memory::SOCKET_BYTES),
            origin_connections: 256,
            transport: TransportChoice::Auto,
        }
    }
}

/// Refuses what cannot fit; the rest of the findings comes back.
///
/// # Errors
/// One fault for each limit that stands in the way.
pub fn admit(config: &Checked, plan: &MemoryPlan, host: &Host) -> Result<Vec<Finding>, Faults> {
    let findings = judge(host, &Demand::of(config, plan));
    let refused = findings.iter().filter(|finding| finding.verdict == Verdict::Refused);
    let faults: Vec<Fault> = refused.map(|finding| fault(config, finding)).collect();
    if faults.is_empty() { Ok(findings) } else { Err(Faults(faults)) }
}

fn fault(config: &Checked, finding: &Finding) -> Fault {
    let key =
        if finding.name == "io_uring" { "server.transport" } else { "server.max_connections" };
    let cause = Cause::DoesNotFit {
        limit: finding.name,
        told: finding.told.clone(),
        why: finding.why,
        remedy: finding.remedy.as_ref().map(Remedy::words).unwrap_or_default(),
    };
    Fault { file: config.file.clone(), place: None, key: key.to_owned(), cause }
}

/// The plan as lines for people, each with `prefix` before it.
#[must_use]
pub fn plan_text(demand: &Demand, findings: &[Finding], prefix: &str) -> String {
    let Demand { connections, workers, .. } = *demand;
    let each = connections.div_ceil(workers.max(1));
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        text,
        "{prefix}{workers} worker{} of {} slots each",
        if workers == 1 { "" } else { "s" },
        grouped(each)
    );
    for finding in findings {
        let (name, told) = (finding.name, &finding.told);
        match finding.verdict {
            Verdict::Fine if finding.name == "memory" || finding.name == "RLIMIT_NOFILE" => {
                let _ = writeln!(text, "{prefix}{name}: {told}");
            }
            Verdict::Fine | Verdict::Unknown => {}
            Verdict::Poor | Verdict::Refused => {
                let _ = writeln!(text, "{prefix}{}: {name}: {told}", finding.verdict.words());
                if let Some(remedy) = &finding.remedy {
                    let _ = writeln!(text, "{prefix}  remedy: {}", remedy.words());
                }
            }
        }
    }
    text
}

/// All that `edge doctor` says, as text.
#[must_use]
pub fn text(host: &Host, demand: &Demand, findings: &[Finding]) -> String {
    let mut text = format!(
        "{} connections on this host: Linux {}, {} core{}, {}\n\n",
        grouped(demand.connections),
        host.kernel,
        host.cores,
        if host.cores == 1 { "" } else { "s" },
        host.memory_bytes.map_or_else(|| "memory unknown".to_owned(), rounded),
    );
    for finding in findings {
        let Finding { name, verdict, told, why, remedy } = finding;
        let _ = writeln!(text, "{:<10}  {name:<32}  {told}", verdict.words());
        if *verdict != Verdict::Fine && !why.is_empty() {
            let _ = writeln!(text, "{:<10}    why: {why}", "");
        }
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "{:<10}    do:  {}", "", remedy.words());
        }
    }
    let _ = writeln!(text, "\nmemory for {} connections", grouped(demand.connections));
    for (bytes, what) in memory_lines(demand) {
        let _ = writeln!(text, "{:>12}  {what}", rounded(bytes));
    }
    if let Some(budget) = host.budget() {
        let _ = writeln!(text, "{:>12}  is there: {}", rounded(budget.bytes), budget.source);
    }
    text.push_str(&snippets(findings));
    let worst = findings.iter().map(|finding| finding.verdict).max();
    text.push_str(match worst {
        Some(Verdict::Refused) => "\nIt does not fit; see what is refused.\n",
        Some(Verdict::Poor) => "\nIt fits, and could be better.\n",
        Some(Verdict::Unknown | Verdict::Fine) | None => "\nIt fits.\n",
    });
    text
}

/// The same as an object.
#[must_use]
pub fn json(host: &Host, demand: &Demand, findings: &[Finding]) -> Value {
    let worst = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Fine);
    json!({
        "connections": demand.connections,
        "kernel": host.kernel,
        "cores": host.cores,
        "transport": Carrier::choose(demand.transport, host.uring).map_or("none", Carrier::name),
        "fits": worst != Verdict::Refused,
        "verdict": worst.name(),
        "findings": findings.iter().map(finding_json).collect::<Vec<_>>(),
        "memory": {
            "parts": memory_lines(demand).into_iter().map(|(bytes, what)| {
                json!({ "name": what, "bytes": bytes })
            }).collect::<Vec<_>>(),
            "budget_bytes": host.budget().map(|budget| budget.bytes),
            "budget_from": host.budget().map(|budget| budget.source.name()),
        },
    })
}

/// One finding as an object.
#[must_use]
pub fn finding_json(finding: &Finding) -> Value {
    let Finding { name, verdict, told, why, remedy } = finding;
    json!({
        "name": name,
        "verdict": verdict.name(),
        "told": told,
        "why": (*verdict != Verdict::Fine).then_some(why),
        "remedy": remedy.as_ref().map(Remedy::words),
    })
}

fn memory_lines(demand: &Demand) -> Vec<(u64, String)> {
    let Demand { connections, start_bytes, load_bytes, .. } = *demand;
    let of = |each: u64, what: &str| (connections * each, format!("{what}, {each} B each"));
    vec![
        of(memory::SOCKET_BYTES, "sockets, in the kernel"),
        of(memory::POLL_BYTES, "parked polls, in the kernel"),
        of(memory::SLOT_BYTES + memory::REACTOR_SLOT_BYTES, "slots"),
        (
            start_bytes
                .saturating_sub(connections * (memory::SLOT_BYTES + memory::REACTOR_SLOT_BYTES)),
            "a small store and the rest of the edge".to_owned(),
        ),
        (load_bytes, "buffers, with one connection in a hundred active".to_owned()),
        of(TLS_RECORD_BYTES, "more if all of them are TLS 1.3"),
    ]
}

/// What to put where, ready to be copied; empty when nothing is to be done.
fn snippets(findings: &[Finding]) -> String {
    let to_do = findings.iter().filter(|finding| finding.verdict >= Verdict::Poor);
    let remedies = || to_do.clone().filter_map(|finding| finding.remedy.as_ref());
    let mut text = String::new();
    let mut sysctls = remedies()
        .filter_map(|remedy| match remedy {
            Remedy::Sysctl(name, value) => Some((name, value)),
            Remedy::OpenFiles(_) | Remedy::Words(_) => None,
        })
        .peekable();
    if sysctls.peek().is_some() {
        text.push_str("\n# /etc/sysctl.d/90-longhold.conf, then: sysctl --system\n");
    }
    for (name, value) in sysctls {
        let _ = writeln!(text, "{name} = {value}");
    }
    for remedy in remedies() {
        if let Remedy::OpenFiles(least) = remedy {
            let _ = writeln!(
                text,
                "\n# /etc/systemd/system/longhold.service.d/limits.conf, then: \
                 systemctl daemon-reload\n[Service]\nLimitNOFILE={least}"
            );
        }
    }
    text
}

/// The store's memory, its index and pins, and staging, by default.
const STORE_BYTES: u64 = 64 << 20;
/// What a parked TLS 1.3 connection keeps beside its slot.
const TLS_RECORD_BYTES: u64 = 128;
