//! The comparison of servers as one HTML file that needs nothing beside it.

use std::fmt::Write as _;

use super::chart::{Bar, Tone, bars, escape, figure};
use super::measure::{Absent, Kind, LoadRun, Subject};
use super::report::{Claim, MIB, Report};
use crate::bench::stats::Spread;
use crate::host::Host;
use crate::load::size_text;

/// The page of a report.
pub(super) fn of(report: &Report) -> String {
    let mut body = String::new();
    facts(&mut body, report);
    claims(&mut body, report);
    against_older(&mut body, report);
    for (index, &size_bytes) in report.sizes.iter().enumerate() {
        size(&mut body, report, index, size_bytes);
    }
    memory(&mut body, report);
    method(&mut body, report);
    document("The older architecture, the edge, and the others", &body)
}

/// A whole document round a body.
pub(super) fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n\
         {body}</body></html>\n",
        title = escape(title)
    )
}

/// What every figure is printed with.
pub(super) fn host_facts(host: &Host) -> Vec<(&'static str, String)> {
    vec![
        ("command", host.command.clone()),
        ("commit", host.commit.clone()),
        ("processor", format!("{} ({} cores)", host.processor, host.cores)),
        ("kernel", host.kernel.clone()),
    ]
}

/// Terms and what they are; a term that begins with `!` is an alarm.
pub(super) fn definitions(out: &mut String, facts: &[(&str, String)]) {
    out.push_str("<dl>\n");
    for (term, text) in facts {
        let (term, class) = match term.strip_prefix('!') {
            Some(term) => (term, " class=\"alarm\""),
            None => (*term, ""),
        };
        // Writing to a string does not fail, here and below.
        let _ = writeln!(out, "<dt>{}</dt><dd{class}>{}</dd>", escape(term), escape(text));
    }
    out.push_str("</dl>\n");
}

fn facts(out: &mut String, report: &Report) {
    let mut facts = host_facts(&report.host);
    facts.push(("cores", report.cores_text()));
    facts.push((if report.is_quiet() { "machine" } else { "!machine" }, report.verdict()));
    let load = format!(
        "{} keep-alive connections, {} rounds of {} s in turns, every byte verified",
        report.connections, report.rounds, report.seconds
    );
    facts.push(("load", load));
    facts.extend(report.subjects.iter().map(|it| (it.name.as_str(), it.what.clone())));
    let absent: Vec<_> = report
        .absent
        .iter()
        .map(|Absent { name, reason }| (format!("!{name}"), format!("not compared: {reason}")))
        .collect();
    facts.extend(absent.iter().map(|(name, text)| (name.as_str(), text.clone())));
    definitions(out, &facts);
}

fn claims(out: &mut String, report: &Report) {
    let claims = report.claims();
    if claims.is_empty() {
        return;
    }
    out.push_str(
        "<h2>The edge over io_uring against the older architecture</h2>\n<div class=\"wide\">\
         <table><tr><th>what</th><th>edge : older</th><th></th><th></th></tr>\n",
    );
    for Claim { what, ratio, reached, remark } in claims {
        let verdict = if reached { "<td>reached" } else { "<td class=\"alarm\">not reached" };
        let _ = writeln!(
            out,
            "<tr><td>{}</td>{}{verdict}</td><td class=\"text\">{}</td></tr>",
            escape(&what),
            cell(ratio),
            escape(&remark)
        );
    }
    out.push_str("</table></div>\n");
}

fn against_older(out: &mut String, report: &Report) {
    type Of = fn(&LoadRun) -> f64;
    let parts: [(&str, Of); 2] = [
        ("Requests per second", |run| run.answers_per_s),
        ("CPU time per request", |run| run.total_us),
    ];
    out.push_str("<h2>All against the older architecture</h2>\n");
    for (what, of) in parts {
        let _ = write!(out, "<div class=\"wide\"><table><tr><th>{what}, × older</th>");
        for &size_bytes in &report.sizes {
            let _ = write!(out, "<th>{}</th>", size_text(size_bytes));
        }
        out.push_str("</tr>\n");
        for (name, ratios) in report.against_older(of) {
            let _ = write!(out, "<tr><td>{}</td>", escape(name));
            ratios.into_iter().for_each(|ratio| out.push_str(&cell(ratio)));
            out.push_str("</tr>\n");
        }
        out.push_str("</table></div>\n");
    }
}

fn size(out: &mut String, report: &Report, index: usize, size_bytes: u64) {
    let _ = writeln!(out, "<h2>Hits of {}</h2>\n<div class=\"charts\">", size_text(size_bytes));
    type Of = fn(&LoadRun) -> f64;
    let charts: [(&str, &str, Of); 4] = [
        ("Requests per second", "more is better", |run| run.answers_per_s),
        ("CPU time per request", "µs, less is better", |run| run.total_us),
        ("Latency, median", "µs, closed loop", |run| run.p50_us),
        ("Latency, 99th percentile", "µs, closed loop", |run| run.p99_us),
    ];
    for (title, unit, of) in charts {
        let value = |it: &Subject| it.load(index, of);
        out.push_str(&chart(report, title, unit, value));
    }
    out.push_str("</div>\n<div class=\"wide\"><table><tr><th>server</th>");
    for heading in [
        "requests/s",
        "CPU µs",
        "user",
        "kernel",
        "busy %",
        "p50 µs",
        "p90",
        "p99",
        "p99.9",
        "resident MiB",
        "threads",
    ] {
        let _ = write!(out, "<th>{heading}</th>");
    }
    out.push_str("</tr>\n");
    for it in &report.subjects {
        let _ = write!(out, "<tr><td>{}</td>", escape(&it.name));
        let columns: [Of; 10] = [
            |run| run.answers_per_s,
            |run| run.total_us,
            |run| run.user_us,
            |run| run.system_us,
            |run| run.busy * 100.0,
            |run| run.p50_us,
            |run| run.p90_us,
            |run| run.p99_us,
            |run| run.p999_us,
            |run| run.memory.resident / MIB,
        ];
        for (column, of) in columns.into_iter().enumerate() {
            let value = it.load(index, of);
            out.push_str(&if column < 2 { cell(value) } else { plain_cell(value.median) });
        }
        let _ = writeln!(out, "<td>{:.0}</td></tr>", it.load(index, |run| run.threads).median);
    }
    out.push_str("</table></div>\n");
}

fn memory(out: &mut String, report: &Report) {
    out.push_str("<h2>Resident memory</h2>\n<div class=\"charts\">\n");
    let exact = |value: f64| Spread { median: value, least: value, greatest: value };
    let mib = |value: Spread| Spread {
        median: value.median / MIB,
        least: value.least / MIB,
        greatest: value.greatest / MIB,
    };
    out.push_str(&chart(report, "At start", "MiB", |it| exact(it.start.resident / MIB)));
    out.push_str(&chart(report, "Under load, all sizes", "MiB", |it| {
        mib(it.loads(|run| run.memory.resident))
    }));
    let title = format!("With {} idle connections", report.idle);
    out.push_str(&chart(report, &title, "MiB", |it| mib(it.idle_resident())));
    out.push_str(
        "</div>\n<div class=\"wide\"><table><tr><th>MiB</th><th>at start</th><th>allocated</th>\
         <th>under load</th><th>allocated</th><th>idle</th><th>allocated</th><th>threads</th></tr>\
         \n",
    );
    for it in &report.subjects {
        let _ = write!(out, "<tr><td>{}</td>", escape(&it.name));
        for bytes in [
            it.start.resident,
            it.start.anonymous,
            it.loads(|run| run.memory.resident).greatest,
            it.loads(|run| run.memory.anonymous).greatest,
            it.idle_resident().median,
            it.idle_anonymous().median,
        ] {
            out.push_str(&plain_cell(bytes / MIB));
        }
        let _ = writeln!(out, "<td>{:.0}</td></tr>", it.idle_threads());
    }
    out.push_str("</table></div>\n");
}

fn method(out: &mut String, report: &Report) {
    out.push_str("<h2>How this was measured</h2>\n");
    let idle = report.idle;
    for text in [
        "All servers run at once before one scripted origin and take turns under the same load, \
         round by round. Bars are medians over the rounds, with a line from the least to the \
         greatest. Each has one core, however many threads it has; the client has the other.",
        "The load is a closed loop on one object per size, which every server has cached before \
         anything is counted: each connection asks again when its answer is whole. Its latencies \
         are those of a server at its own pace, not those of clients that come at theirs. The \
         client hashes every byte; where the busy column is well below 100 %, the client was the \
         bound, and CPU time per request says more than requests per second.",
        "CPU time is what the scheduler counted for all threads of all processes of a server; \
         user and kernel are shares by clock ticks.",
        "Resident memory is the sum over a server's processes. It holds the pages of a mapped \
         store that were touched, but not the page cache in which files of the others lie, nor \
         the kernel's memory for sockets and threads: a thread has a kernel stack of 16 KiB, which \
         is in none of these figures. “Allocated” is the anonymous part.",
    ] {
        let _ = writeln!(out, "<p class=\"note\">{}</p>", escape(text));
    }
    let _ = writeln!(
        out,
        "<p class=\"note\">Each of the {idle} idle connections has made one verified request. The \
         thread pool has a thread for each; the edge has a slot for each from its start.</p>"
    );
}

fn chart(report: &Report, title: &str, unit: &str, value: impl Fn(&Subject) -> Spread) -> String {
    let bar = |it: &Subject| Bar { label: it.name.clone(), value: value(it), tone: tone(it.kind) };
    let all: Vec<Bar> = report.subjects.iter().map(bar).collect();
    bars(title, unit, &all)
}

fn tone(kind: Kind) -> Tone {
    match kind {
        Kind::Older => Tone::Older,
        Kind::Epoll | Kind::Uring => Tone::Edge,
        Kind::Peer | Kind::ThreadedPeer => Tone::Other,
    }
}

/// A median with its range.
pub(super) fn cell(Spread { median, least, greatest }: Spread) -> String {
    format!(
        "<td>{} <span class=\"range\">({}–{})</span></td>",
        figure(median),
        figure(least),
        figure(greatest)
    )
}

/// One number.
pub(super) fn plain_cell(value: f64) -> String {
    format!("<td>{}</td>", figure(value))
}

const STYLE: &str = include_str!("page.css");

#[cfg(test)]
mod tests {
    use super::super::measure::Kind;
    use super::super::report::tests::{report, subject};

    /// Elements that are opened are closed, in order.
    fn is_balanced(html: &str) -> bool {
        let mut open = Vec::new();
        let mut rest = html;
        while let Some(at) = rest.find('<') {
            rest = &rest[at + 1..];
            let Some(end) = rest.find('>') else { return false };
            let tag = &rest[..end];
            let name = tag.split([' ', '\n']).next().unwrap_or_default();
            if let Some(name) = name.strip_prefix('/') {
                if open.pop() != Some(name) {
                    return false;
                }
            } else if !tag.ends_with('/') && !matches!(name, "!doctype" | "meta") {
                open.push(name);
            }
        }
        open.is_empty()
    }

    #[test]
    fn the_page_is_whole_and_needs_no_network() {
        let subjects = vec![
            subject("threadpool", Kind::Older, 1000.0, 100.0),
            subject("edge uring", Kind::Uring, 3000.0, 10.0),
            subject("nginx", Kind::Peer, 2000.0, 20.0),
        ];
        let page = super::of(&report(subjects));
        assert!(is_balanced(&page), "{page}");
        for foreign in ["http:", "https:", "src=", "href=", "url(", "@import"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("what nginx is &lt;&amp;&gt;"));
        assert!(page.contains("not compared: not installed"));
        // Four charts for each of two sizes, and three of memory.
        assert_eq!(page.matches("<svg").count(), 11);
        assert_eq!(page.matches("<td>reached").count(), 4);
    }

    #[test]
    fn a_page_that_is_cut_would_be_noticed() {
        assert!(
            is_balanced("<a><b/></a>") && !is_balanced("<a><b></a></b>") && !is_balanced("<a>")
        );
    }
}
