//! Tables of how often objects of which size are asked for, from `data/tragen`.
//!
//! A table's text: a line with one number opens a group of objects with that many requests (the
//! mean of the group); each line below it has a size in KB and the share of all objects that are
//! in this cell. `data/tragen/README.md` names the source.

use anyhow::{Context as _, Result, ensure};

/// A joint distribution of requests and size.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its cells; their shares add up to 1.
    pub cells: Vec<Cell>,
}

/// Objects that are alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// Requests for one of them over the whole trace, on average.
    pub requests: f64,
    /// Size of one.
    pub bytes: f64,
    /// Part of all objects.
    pub share: f64,
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// Names the line that is neither a group nor a cell, or says that the shares do not add up.
    pub fn parse(text: &str) -> Result<Self> {
        let mut cells = Vec::new();
        let mut requests = None;
        for (number, line) in (1..).zip(text.lines()) {
            let parsed: Result<Vec<f64>, _> = line.split_whitespace().map(str::parse).collect();
            let numbers = parsed.with_context(|| format!("line {number}: not numbers"))?;
            ensure!(numbers.iter().all(|it| *it > 0.0), "line {number}: not above zero");
            match (numbers[..].as_ref(), requests) {
                (&[group], _) => requests = Some(group),
                (&[kilobytes, share], Some(requests)) => {
                    cells.push(Cell { requests, bytes: kilobytes * 1024.0, share });
                }
                _ => anyhow::bail!("line {number}: neither a group nor a cell of one"),
            }
        }
        let sum: f64 = cells.iter().map(|cell| cell.share).sum();
        ensure!((0.999..1.001).contains(&sum), "the shares add up to {sum}");
        cells.iter_mut().for_each(|cell| cell.share /= sum);
        Ok(Self { cells })
    }

    /// Requests per object, when no object may have more than `requests_max`.
    pub fn mean_requests(&self, requests_max: f64) -> f64 {
        self.cells.iter().map(|cell| cell.share * cell.requests.min(requests_max)).sum()
    }
}
