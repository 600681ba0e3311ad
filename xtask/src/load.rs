//! Closed loops on a server of the rig, whose every answer has to be right, and reading results.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::rig::{Rig, Server};

/// Asks for the object of this size until it comes from the cache.
pub(crate) fn warm(rig: &Rig, server: &Server, size_bytes: u64) -> Result<()> {
    for _ in 0..WARM_TRIES {
        let options = ["--connections=1", "--requests=10", "--warmup=0"];
        let found = closed_loop(rig, server, size_bytes, &options.map(str::to_owned))?;
        if number(&found, "/answers/hit_ratio")? == 1.0 {
            return Ok(());
        }
        thread::sleep(WARM_PAUSE);
    }
    bail!("{} does not keep the object of {size_bytes} bytes", server.name)
}

/// A closed loop for the object of this size, in which nothing may be wrong.
pub(crate) fn closed_loop(
    rig: &Rig,
    server: &Server,
    size_bytes: u64,
    options: &[String],
) -> Result<Value> {
    asked(rig, server, &object_path(size_bytes), options)
}

/// A loop for objects of this size that have `name` in their paths, as many as are ever asked for:
/// the first request for each of them is a miss. By `zipf` of 0 all are wanted alike, and hardly
/// one comes twice; by 1 the most wanted are hits half of the time.
/// The origin serves ranges: of a large one that has left memory under a slow client, the edge asks
/// for the rest.
pub(crate) fn misses(
    rig: &Rig,
    server: &Server,
    (size_bytes, name, zipf): (u64, &str, u32),
    options: &[String],
) -> Result<Value> {
    let path = format!("/bytes/{size_bytes}/{name}?max_age=86400&ranges=1");
    let keys = [format!("--keys={MISS_KEYS}"), format!("--zipf={zipf}")];
    asked(rig, server, &path, &[&keys, options].concat())
}

/// A loop for a path, in which nothing may be wrong.
fn asked(rig: &Rig, server: &Server, path: &str, options: &[String]) -> Result<Value> {
    let mut arguments = vec!["rate".to_owned(), format!("--url={}", server.url(path))];
    arguments.extend_from_slice(options);
    let found = rig.bomb(&arguments)?;
    let faults = found.get("faults").context("the result names no faults")?;
    let clean = faults.get("total").and_then(Value::as_u64) == Some(0);
    ensure!(clean, "{} answers wrongly: {faults}", server.name);
    Ok(found)
}

/// The path of an object of this size that a cache may keep for longer than any bench runs.
pub(crate) fn object_path(size_bytes: u64) -> String {
    format!("/bytes/{size_bytes}?max_age=86400")
}

/// A number in a result.
pub(crate) fn number(value: &Value, pointer: &str) -> Result<f64> {
    let found = value.pointer(pointer).and_then(Value::as_f64);
    found.with_context(|| format!("the result lacks {pointer}: {value}"))
}

/// A size as people say it.
pub(crate) fn size_text(bytes: u64) -> String {
    match bytes {
        _ if bytes > 0 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes > 0 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

/// More objects than a bench asks for.
const MISS_KEYS: u32 = 1_000_000;
const WARM_TRIES: u32 = 50;
const WARM_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::size_text;

    #[test]
    fn sizes_are_said_in_the_largest_whole_unit() {
        let check = |bytes, expected: &str| assert_eq!(size_text(bytes), expected);
        check(0, "0 B");
        check(1000, "1000 B");
        check(1 << 10, "1 KiB");
        check(100 << 10, "100 KiB");
        check(3 << 20, "3 MiB");
    }
}
