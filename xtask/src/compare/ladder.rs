//! `cargo xtask compare --ladder`: the ways to read 4 KiB at random, cold and warm, side by side.
//!
//! The program `ladder` (`benches`) reads and verifies; here its runs are put together.

use anyhow::{Context as _, Result};
use longhold_report::{Bar, Cell, Fact, Page, Table, Tone, bars};
use serde_json::{Value, json};

use super::{Arguments, write};
use crate::bench::stats::Spread;
use crate::host::Host;
use crate::load::{number, size_text};
use crate::rig::Rig;

/// All runs of one rung, cold or warm.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    rung: String,
    cache: String,
    /// How it was made cold or warm.
    how: String,
    reads_per_s: Spread,
    cpu_us: Spread,
    p50_us: Spread,
    p99_us: Spread,
    /// Bytes that the device read per block.
    device_bytes: Spread,
}

/// Climbs, prints the table, and writes result and page.
pub(super) fn run(rig: &Rig, arguments: &Arguments) -> Result<()> {
    let folder = rig.folder(arguments.folder.as_deref())?;
    eprintln!("ladder: about {} s", 12 * arguments.rounds * arguments.seconds);
    let found = rig.ladder(&[
        format!("--folder={}", folder.display()),
        format!("--file-mib={}", arguments.file_mib),
        format!("--rounds={}", arguments.rounds),
        format!("--seconds={}", arguments.seconds),
    ])?;
    let rows = rows(&found)?;
    let host = Host::here();
    let result = json!({
        "compare": "ladder",
        "host": host.json(),
        "file_bytes": found.get("file_bytes"),
        "depth": found.get("depth"),
        "others_share": found.get("others_share"),
        "rounds": arguments.rounds,
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&result)?;
    let about = [about(arguments), disturbance(&found)];
    let paths = write("ladder", &text, &page(&host, &about, &rows))?;
    if arguments.json {
        println!("{text}");
    } else {
        print(&host, &about, &rows);
        println!("\nwritten to {} and {}", paths[0].display(), paths[1].display());
    }
    Ok(())
}

/// The runs by cold and warm and by rung, in the order in which they come first.
fn rows(found: &Value) -> Result<Vec<Row>> {
    let runs = found.get("runs").and_then(Value::as_array).context("the result lacks its runs")?;
    let mut groups: Vec<([String; 3], Vec<&Value>)> = Vec::new();
    for run in runs {
        let text = |key: &str| {
            let found = run.get(key).and_then(Value::as_str);
            found.map(str::to_owned).with_context(|| format!("a run lacks {key}: {run}"))
        };
        let key = [text("rung")?, text("cache")?, text("how")?];
        match groups.iter_mut().find(|(its_key, _)| *its_key == key) {
            Some((_, group)) => group.push(run),
            None => groups.push((key, vec![run])),
        }
    }
    let row = |([rung, cache, how], runs): ([String; 3], Vec<&Value>)| {
        let spread = |key: &str| -> Result<Spread> {
            let values: Result<Vec<f64>> =
                runs.iter().map(|run| number(run, &format!("/{key}"))).collect();
            Ok(Spread::of(values?))
        };
        Ok(Row {
            reads_per_s: spread("reads_per_s")?,
            cpu_us: spread("cpu_us")?,
            p50_us: spread("p50_us")?,
            p99_us: spread("p99_us")?,
            device_bytes: spread("device_bytes")?,
            rung,
            cache,
            how,
        })
    };
    groups.into_iter().map(row).collect()
}

impl Row {
    fn json(&self) -> Value {
        json!({
            "rung": self.rung,
            "cache": self.cache,
            "how": self.how,
            "reads_per_s": self.reads_per_s.json(),
            "cpu_us": self.cpu_us.json(),
            "p50_us": self.p50_us.json(),
            "p99_us": self.p99_us.json(),
            "device_bytes_per_read": self.device_bytes.json(),
        })
    }

    /// Whether it was as cold or warm as it says: cold, the device read what was asked for.
    fn is_true(&self) -> bool {
        let share = self.device_bytes.median / BLOCK_BYTES;
        if self.cache == "cold" { share > 0.95 } else { share < 0.05 }
    }

    fn remark(&self) -> String {
        let doubt = if self.is_true() { "" } else { " — NOT SO" };
        format!("{}{doubt}", self.how)
    }
}

/// What was read, in a sentence.
fn about(arguments: &Arguments) -> String {
    format!(
        "{} file of 4 KiB blocks in random order, both ends of each verified; {} rounds of at most \
         {} s in turns",
        size_text(u64::from(arguments.file_mib) << 20),
        arguments.rounds,
        arguments.seconds
    )
}

/// How much the machine did beside the reading.
fn disturbance(found: &Value) -> String {
    let Some(share) = found.get("others_share").and_then(Value::as_f64) else {
        return "unknown: the kernel does not say what others did".to_owned();
    };
    let verdict = if share <= OTHERS_MAX { "quiet" } else { "NOT QUIET: do not trust the figures" };
    format!("{verdict}: others had {:.1} % of all cores", share * 100.0)
}

fn print(host: &Host, [about, disturbance]: &[String; 2], rows: &[Row]) {
    host.print();
    println!("reads      {about}");
    println!("machine    {disturbance}");
    for cache in CACHES {
        println!(
            "\n{cache:<21}      reads/s (range)            CPU µs (range)       p50    p99 µs  \
             device B"
        );
        for row in rows.iter().filter(|row| row.cache == cache) {
            println!(
                "{:<21} {:>9.0} ({:>7.0}–{:>7.0}) {:>8.2} ({:>5.2}–{:>5.2}) {:>8.1} {:>8.1} \
                 {:>8.0}   {}",
                row.rung,
                row.reads_per_s.median,
                row.reads_per_s.least,
                row.reads_per_s.greatest,
                row.cpu_us.median,
                row.cpu_us.least,
                row.cpu_us.greatest,
                row.p50_us.median,
                row.p99_us.median,
                row.device_bytes.median,
                row.remark()
            );
        }
    }
}

fn page(host: &Host, [about, disturbance]: &[String; 2], rows: &[Row]) -> String {
    let mut page = Page::new("4 KiB at random: read, io_uring, mapping");
    let mut facts = host.facts();
    facts.push(Fact::new("reads", about));
    let machine = if disturbance.starts_with("quiet") { Fact::new } else { Fact::alarm };
    facts.push(machine("machine", disturbance));
    page.facts(&facts);
    for cache in CACHES {
        let of_cache = || rows.iter().filter(move |row| row.cache == cache);
        page.heading(if cache == "cold" {
            "Cold: the blocks are on the device"
        } else {
            "Warm: the blocks are in the page cache"
        });
        type Of = fn(&Row) -> Spread;
        let charts: [(&str, &str, Of); 2] = [
            ("Reads per second", "more is better", |row| row.reads_per_s),
            ("CPU time per read", "µs, less is better", |row| row.cpu_us),
        ];
        page.charts(&charts.map(|(title, unit, of)| {
            let bar = |row: &Row| of(row).bar(&row.rung, tone(&row.rung));
            bars(title, unit, &of_cache().map(bar).collect::<Vec<Bar>>())
        }));
        let headings =
            ["way", "reads/s", "CPU µs", "p50 µs", "p99 µs", "device bytes per read", ""];
        let cells = |row: &Row| {
            let remark = if row.is_true() { Cell::Text } else { Cell::Alarm };
            vec![
                Cell::Text(row.rung.clone()),
                row.reads_per_s.cell(),
                row.cpu_us.cell(),
                Cell::Number(row.p50_us.median),
                Cell::Number(row.p99_us.median),
                Cell::Number(row.device_bytes.median),
                remark(row.remark()),
            ]
        };
        page.table(&Table {
            headings: headings.map(str::to_owned).into(),
            rows: of_cache().map(cells).collect(),
        });
    }
    NOTES.iter().for_each(|note| page.note(note));
    page.html()
}

/// The older way, the edge's ways, and between them.
fn tone(rung: &str) -> Tone {
    if rung.starts_with("read") {
        Tone::Older
    } else if rung.starts_with("io_uring") {
        Tone::Edge
    } else {
        Tone::Other
    }
}

const CACHES: [&str; 2] = ["cold", "warm"];
const BLOCK_BYTES: f64 = 4096.0;
/// Share of all cores that others may have on a quiet machine: some of it is the kernel's for us.
const OTHERS_MAX: f64 = 0.05;
const NOTES: [&str; 3] = [
    "Cold is O_DIRECT, where the file system has it: past this machine's page cache, to whatever \
     its device is; a host's cache behind it is out of sight. A mapping cannot go past the page \
     cache, so the file is dropped from it before each run, without read-ahead. No block is read \
     twice in a cold run. “Device bytes” is what the kernel says that this process had the device \
     read: 4,096 when cold, 0 when warm, or the row is marked.",
    "32 reads are under way at a time: by 32 threads, or in one ring, which one thread drives. One \
     thread by itself has one. A latency is the time from asking to having; in a warm ring it has \
     the wait for the others of its batch in it.",
    "CPU time is that of the whole process, kernel included, all threads.",
];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Row, page, rows};
    use crate::host::Host;

    fn run(rung: &str, cache: &str, rate: f64, device_bytes: f64) -> Value {
        let how = if cache == "cold" { "O_DIRECT" } else { "page cache" };
        json!({
            "rung": rung, "cache": cache, "how": how, "reads_per_s": rate, "cpu_us": 1.0,
            "p50_us": 2.0, "p99_us": 3.0, "device_bytes": device_bytes,
        })
    }

    fn some() -> Vec<Row> {
        let found = json!({ "runs": [
            run("io_uring", "cold", 10.0, 4096.0),
            run("mapping", "cold", 5.0, 100.0),
            run("io_uring", "cold", 30.0, 4096.0),
            run("io_uring", "warm", 7.0, 0.0),
            run("io_uring", "cold", 20.0, 4096.0),
        ]});
        rows(&found).expect("they are whole")
    }

    #[test]
    fn runs_are_put_together_by_way_and_cache() {
        let rows = some();
        let found: Vec<_> = rows.iter().map(|row| (&*row.rung, &*row.cache)).collect();
        assert_eq!(found, [("io_uring", "cold"), ("mapping", "cold"), ("io_uring", "warm")]);
        let rate = rows[0].reads_per_s;
        assert_eq!((rate.median, rate.least, rate.greatest), (20.0, 10.0, 30.0));
        assert!(super::rows(&json!({ "runs": [{ "rung": "a" }] })).is_err());
        assert!(super::rows(&json!({})).is_err());
    }

    #[test]
    fn cold_that_came_from_the_cache_is_marked() {
        let rows = some();
        let found: Vec<_> = rows.iter().map(Row::is_true).collect();
        assert_eq!(found, [true, false, true]);
        assert!(rows[1].remark().ends_with("NOT SO"));
        let about = [0.01, 0.2].map(|share| super::disturbance(&json!({ "others_share": share })));
        let page = page(&Host::here(), &about, &rows);
        assert!(about[0].starts_with("quiet") && about[1].starts_with("NOT QUIET"));
        // The row, and the machine.
        assert_eq!(page.matches("class=\"alarm\"").count(), 2);
        assert_eq!(page.matches("<svg").count(), 4);
    }
}
