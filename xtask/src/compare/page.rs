//! The comparison of servers as one HTML file that needs nothing beside it.

use longhold_report::{Bar, Cell, Chart, Fact, Page, Table, Tone, bars};

use super::measure::{Absent, Kind, LoadRun, Subject};
use super::report::{Claim, MIB, Report};
use crate::bench::stats::Spread;
use crate::load::size_text;

/// The page of a report.
pub(super) fn of(report: &Report) -> String {
    let mut page = Page::new("The older architecture, the edge, and the others");
    page.facts(&facts(report));
    claims(&mut page, report);
    against_older(&mut page, report);
    for (index, &size_bytes) in report.sizes.iter().enumerate() {
        size(&mut page, report, index, size_bytes);
    }
    memory(&mut page, report);
    method(&mut page, report);
    page.html()
}

fn facts(report: &Report) -> Vec<Fact> {
    let mut facts = report.host.facts();
    facts.push(Fact::new("cores", &report.cores_text()));
    let machine = if report.is_quiet() { Fact::new } else { Fact::alarm };
    facts.push(machine("machine", &report.verdict()));
    let load = format!(
        "{} keep-alive connections, {} rounds of {} s in turns, every byte verified",
        report.connections, report.rounds, report.seconds
    );
    facts.push(Fact::new("load", &load));
    facts.extend(report.subjects.iter().map(|it| Fact::new(&it.name, &it.what)));
    let absent =
        |Absent { name, reason }: &Absent| Fact::alarm(name, &format!("not compared: {reason}"));
    facts.extend(report.absent.iter().map(absent));
    facts
}

fn claims(page: &mut Page, report: &Report) {
    let claims = report.claims();
    if claims.is_empty() {
        return;
    }
    page.heading("The edge over io_uring against the older architecture");
    let row = |Claim { what, ratio, reached, remark }: Claim| {
        let verdict = match reached {
            true => Cell::Text("reached".to_owned()),
            false => Cell::Alarm("not reached".to_owned()),
        };
        vec![Cell::Text(what), ratio.cell(), verdict, Cell::Prose(remark)]
    };
    let headings = ["what", "edge : older", "", ""].map(str::to_owned).into();
    page.table(&Table { headings, rows: claims.into_iter().map(row).collect() });
}

fn against_older(page: &mut Page, report: &Report) {
    type Of = fn(&LoadRun) -> f64;
    let parts: [(&str, Of); 2] = [
        ("Requests per second", |run| run.answers_per_s),
        ("CPU time per request", |run| run.total_us),
    ];
    page.heading("All against the older architecture");
    for (what, of) in parts {
        let mut headings = vec![format!("{what}, × older")];
        headings.extend(report.sizes.iter().map(|&size_bytes| size_text(size_bytes)));
        let row = |(name, ratios): (&str, Vec<Spread>)| {
            let mut row = vec![Cell::Text(name.to_owned())];
            row.extend(ratios.into_iter().map(Spread::cell));
            row
        };
        page.table(&Table {
            headings,
            rows: report.against_older(of).into_iter().map(row).collect(),
        });
    }
}

fn size(page: &mut Page, report: &Report, index: usize, size_bytes: u64) {
    page.heading(&format!("Hits of {}", size_text(size_bytes)));
    type Of = fn(&LoadRun) -> f64;
    let charts: [(&str, &str, Of); 4] = [
        ("Requests per second", "more is better", |run| run.answers_per_s),
        ("CPU time per request", "µs, less is better", |run| run.total_us),
        ("Latency, median", "µs, closed loop", |run| run.p50_us),
        ("Latency, 99th percentile", "µs, closed loop", |run| run.p99_us),
    ];
    page.charts(
        &charts.map(|(title, unit, of)| chart(report, title, unit, |it| it.load(index, of))),
    );
    let columns: [(&str, Of); 10] = [
        ("requests/s", |run| run.answers_per_s),
        ("CPU µs", |run| run.total_us),
        ("user", |run| run.user_us),
        ("kernel", |run| run.system_us),
        ("busy %", |run| run.busy * 100.0),
        ("p50 µs", |run| run.p50_us),
        ("p90", |run| run.p90_us),
        ("p99", |run| run.p99_us),
        ("p99.9", |run| run.p999_us),
        ("resident MiB", |run| run.memory.resident / MIB),
    ];
    let row = |it: &Subject| {
        let mut row = vec![Cell::Text(it.name.clone())];
        for (column, (_, of)) in columns.into_iter().enumerate() {
            let value = it.load(index, of);
            row.push(if column < 2 { value.cell() } else { Cell::Number(value.median) });
        }
        row.push(count(it.load(index, |run| run.threads).median));
        row
    };
    let names = columns.iter().map(|column| column.0);
    let headings = ["server"].into_iter().chain(names).chain(["threads"]).map(str::to_owned);
    page.table(&Table {
        headings: headings.collect(),
        rows: report.subjects.iter().map(row).collect(),
    });
}

fn memory(page: &mut Page, report: &Report) {
    page.heading("Resident memory");
    let exact = |value: f64| Spread { median: value, least: value, greatest: value };
    let mib = |value: Spread| Spread {
        median: value.median / MIB,
        least: value.least / MIB,
        greatest: value.greatest / MIB,
    };
    let idle_title = format!("With {} idle connections", report.idle);
    page.charts(&[
        chart(report, "At start", "MiB", |it| exact(it.start.resident / MIB)),
        chart(
            report,
            "Under load, all sizes",
            "MiB",
            |it| mib(it.loads(|run| run.memory.resident)),
        ),
        chart(report, &idle_title, "MiB", |it| mib(it.idle_resident())),
    ]);
    let headings =
        ["MiB", "at start", "allocated", "under load", "allocated", "idle", "allocated", "threads"];
    let row = |it: &Subject| {
        let bytes = [
            it.start.resident,
            it.start.anonymous,
            it.loads(|run| run.memory.resident).greatest,
            it.loads(|run| run.memory.anonymous).greatest,
            it.idle_resident().median,
            it.idle_anonymous().median,
        ];
        let mut row = vec![Cell::Text(it.name.clone())];
        row.extend(bytes.map(|bytes| Cell::Number(bytes / MIB)));
        row.push(count(it.idle_threads()));
        row
    };
    page.table(&Table {
        headings: headings.map(str::to_owned).into(),
        rows: report.subjects.iter().map(row).collect(),
    });
}

/// A number of things that are not broken.
fn count(value: f64) -> Cell {
    Cell::Text(format!("{value:.0}"))
}

fn method(page: &mut Page, report: &Report) {
    page.heading("How this was measured");
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
        page.note(text);
    }
    page.note(&format!(
        "Each of the {idle} idle connections has made one verified request. The \
         thread pool has a thread for each; the edge has a slot for each from its start."
    ));
}

fn chart(report: &Report, title: &str, unit: &str, value: impl Fn(&Subject) -> Spread) -> Chart {
    let bar = |it: &Subject| value(it).bar(&it.name, tone(it.kind));
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

#[cfg(test)]
mod tests {
    use super::super::measure::Kind;
    use super::super::report::tests::{report, subject};

    #[test]
    fn the_page_shows_every_subject_and_says_who_is_absent() {
        let subjects = vec![
            subject("threadpool", Kind::Older, 1000.0, 100.0),
            subject("edge uring", Kind::Uring, 3000.0, 10.0),
            subject("nginx", Kind::Peer, 2000.0, 20.0),
        ];
        let page = super::of(&report(subjects));
        assert!(page.contains("what nginx is &lt;&amp;&gt;"));
        assert!(page.contains("not compared: not installed"));
        // Four charts for each of two sizes, and three of memory.
        assert_eq!(page.matches("<svg").count(), 11);
        assert_eq!(page.matches("<td>reached").count(), 4);
    }
}
