//! The access log as a whole: order, drops, reopening, shutdown.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::record::tests::sample;
use super::{
    AccessLog, Config, Format, QUEUE_BYTES_DEFAULT, Queue, Record, SLEEP, Sink, StartError,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn start(path: &Path, queues_count: usize, queue_bytes: usize) -> (AccessLog, Vec<Queue>) {
    let sink = Sink::File(path.to_owned());
    let config = Config { format: Format::Json, sink, queues_count, queue_bytes };
    AccessLog::start(&config).expect("the log starts")
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "not yet: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).expect("the log is there");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

#[test]
fn shutdown_writes_everything_that_was_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let (log, queues) = start(&path, 3, QUEUE_BYTES_DEFAULT);
    thread::scope(|scope| {
        for (number, mut queue) in queues.into_iter().enumerate() {
            scope.spawn(move || {
                for place in 0..2_000 {
                    let target = format!("/{number}/{place}");
                    assert!(queue.push(&Record { target: target.as_bytes(), ..sample() }));
                }
            });
        }
    });
    let stats = log.shutdown(PATIENCE).expect("in time");
    assert_eq!((stats.accepted, stats.written), (6_000, 6_000));
    assert_eq!((stats.dropped, stats.lost), (0, 0));
    let lines = lines(&path);
    assert_eq!(lines.len(), 6_000);
    for number in 0..3 {
        let prefix = format!("/{number}/");
        let of_one = lines.iter().filter_map(|line| line["target"].as_str()?.strip_prefix(&prefix));
        let places: Vec<u32> = of_one.map(|place| place.parse().expect("a number")).collect();
        assert_eq!(places, (0..2_000).collect::<Vec<_>>(), "queue {number} in order");
    }
}

#[test]
fn lines_appear_without_being_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let (log, mut queues) = start(&path, 1, QUEUE_BYTES_DEFAULT);
    // Long enough for the writer to fall asleep: the push has to wake it.
    thread::sleep(SLEEP / 4);
    assert!(queues[0].push(&sample()));
    eventually("the line is written", || log.stats().written == 1);
    assert_eq!(lines(&path).len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_sink_that_blocks_costs_records_but_never_the_worker() {
    let folder = tempfile::tempdir().expect("a folder");
    // A pipe that nobody reads from, under a name: what the writer meets when stdout is stuck.
    let path = folder.path().join("stuck");
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
    assert!(made.success());
    let reader =
        fs::OpenOptions::new().read(true).write(true).open(&path).expect("both ends, at once");
    let (log, mut queues) = start(&path, 1, 0);
    let begun = Instant::now();
    let dropped = (0..20_000).filter(|_| !queues[0].push(&sample())).count() as u64;
    assert!(begun.elapsed() < PATIENCE);
    assert!(dropped > 0);
    let stats = log.stats();
    assert_eq!((stats.accepted + stats.dropped, stats.dropped), (20_000, dropped));
    let timeout = log.shutdown(Duration::from_millis(50)).expect_err("nobody reads");
    assert!(timeout.queued > 0);
    drop(reader);
}

#[test]
fn reopen_follows_the_name_and_keeps_the_old_file_when_it_cannot() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("logs/access.log");
    let moved = folder.path().join("logs/access.log.1");
    fs::create_dir(folder.path().join("logs")).expect("a folder");
    let (log, mut queues) = start(&path, 1, QUEUE_BYTES_DEFAULT);
    assert!(queues[0].push(&Record { target: b"/old", ..sample() }));
    eventually("the first line", || log.stats().written == 1);
    fs::rename(&path, &moved).expect("a rotation");
    log.reopen();
    eventually("the new file", || path.exists());
    assert!(queues[0].push(&Record { target: b"/new", ..sample() }));
    eventually("the second line", || log.stats().written == 2);
    assert_eq!(lines(&moved)[0]["target"], "/old");
    assert_eq!(lines(&path)[0]["target"], "/new");

    let away = folder.path().join("away");
    fs::rename(folder.path().join("logs"), &away).expect("the folder goes away");
    log.reopen();
    assert!(queues[0].push(&Record { target: b"/kept", ..sample() }));
    let stats = log.shutdown(PATIENCE).expect("in time");
    assert_eq!((stats.written, stats.lost), (3, 0));
    assert_eq!(lines(&away.join("access.log"))[1]["target"], "/kept");
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_full_disk_refuses_is_counted_as_lost() {
    let (log, mut queues) = start(Path::new("/dev/full"), 1, QUEUE_BYTES_DEFAULT);
    assert!(queues[0].push(&sample()));
    assert!(queues[0].push(&sample()));
    let stats = log.shutdown(PATIENCE).expect("in time");
    assert_eq!((stats.accepted, stats.written, stats.lost), (2, 0, 2));
}

#[test]
fn a_sink_that_cannot_be_opened_is_named() {
    let path = Path::new("/nonexistent/access.log");
    let sink = Sink::File(path.to_owned());
    let config = Config { format: Format::Text, sink, queues_count: 1, queue_bytes: 0 };
    let error = AccessLog::start(&config).expect_err("there is no such folder");
    assert_eq!(error.to_string(), "cannot open the access log /nonexistent/access.log");
    assert!(matches!(
        error,
        StartError::Open { source, .. } if source.kind() == ErrorKind::NotFound
    ));
}

#[test]
fn standard_streams_can_be_opened() {
    for sink in [Sink::Stdout, Sink::Stderr] {
        let config = Config { format: Format::Text, sink, queues_count: 1, queue_bytes: 0 };
        let (log, _queues) = AccessLog::start(&config).expect("streams are there");
        assert_eq!(log.shutdown(PATIENCE).map(|stats| stats.written), Ok(0));
    }
}
