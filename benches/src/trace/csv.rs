//! Reads and writes `time,key,size` files: seconds (decimal), any key without a comma, bytes.

use std::collections::HashMap;
use std::io::{BufRead, Write};

use anyhow::{Context as _, Result, ensure};
use xxhash_rust::xxh3::xxh3_128;

use super::Request;

/// The numbers of the objects met so far. Kept between readings of one file, so that they agree.
#[derive(Debug, Default)]
pub struct Names(HashMap<u128, u32>);

/// Calls `handle` with the requests of a file in pieces of up to [`PIECE_REQUESTS`], and holds no
/// more of it at once. Empty lines and lines that begin with `#` are skipped.
///
/// # Errors
/// Names the first line that is not a request. What `handle` fails with is passed on.
pub fn read(
    mut file: impl BufRead,
    names: &mut Names,
    mut handle: impl FnMut(&[Request]) -> Result<()>,
) -> Result<()> {
    let mut piece = Vec::with_capacity(PIECE_REQUESTS);
    let mut line = String::new();
    for number in 1u64.. {
        line.clear();
        let read = file.read_line(&mut line).with_context(|| format!("line {number}"))?;
        if read == 0 {
            break;
        }
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        piece.push(parse(text, names).with_context(|| format!("line {number}: {text:?}"))?);
        if piece.len() == PIECE_REQUESTS {
            handle(&piece)?;
            piece.clear();
        }
    }
    handle(&piece)
}

/// Writes requests as such a file; an object's number is its key.
///
/// # Errors
/// What the file fails with.
pub fn write(mut file: impl Write, requests: &[Request]) -> Result<()> {
    for Request { time_ms, object, bytes } in requests {
        writeln!(file, "{}.{:03},{object},{bytes}", time_ms / 1000, time_ms % 1000)?;
    }
    Ok(())
}

fn parse(line: &str, names: &mut Names) -> Result<Request> {
    let mut fields = line.split(',').map(str::trim);
    let mut field = |name| fields.next().with_context(|| format!("{name} is missing"));
    let (time, key, bytes) = (field("the time")?, field("the key")?, field("the size")?);
    ensure!(fields.next().is_none(), "there are more than three fields");
    let seconds: f64 = time.parse().context("the time is no number")?;
    ensure!((0.0..1e15).contains(&seconds), "the time is not a number of seconds");
    let bytes: u64 = bytes.parse().context("the size is no whole number of bytes")?;
    ensure!(bytes > 0, "the size is zero");
    let object = names.number(key, bytes)?;
    Ok(Request { time_ms: (seconds * 1000.0) as u64, object, bytes })
}

impl Names {
    fn number(&mut self, key: &str, bytes: u64) -> Result<u32> {
        let next = u32::try_from(self.0.len()).context("there are too many objects")?;
        let name = xxh3_128(key.as_bytes()) ^ (u128::from(bytes) << 64);
        Ok(*self.0.entry(name).or_insert(next))
    }
}

/// Requests that are held at once.
pub const PIECE_REQUESTS: usize = 65_536;
