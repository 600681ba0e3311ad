//! How a load is getting on, on standard error: one line that is drawn again each second on a
//! terminal, one every five seconds anywhere else.

use std::io::{IsTerminal as _, Write as _};

use longhold_loadgen::series::Point;

/// Shows points of a load as they come. On a terminal its line goes when this does.
pub(crate) struct Progress {
    goal: Option<u64>,
    is_terminal: bool,
    next_ms: u64,
    before: Point,
    /// Worst 99th percentile of the points since.
    worst_us: u64,
    is_drawn: bool,
}

impl Progress {
    /// On this process's standard error. `goal`: connections that are to be held, if that is what
    /// the load is about.
    pub(crate) fn new(goal: Option<u64>) -> Self {
        Self::on(std::io::stderr().is_terminal(), goal)
    }

    fn on(is_terminal: bool, goal: Option<u64>) -> Self {
        Self {
            goal,
            is_terminal,
            next_ms: if is_terminal { 0 } else { INTERVAL_MS },
            before: Point::default(),
            worst_us: 0,
            is_drawn: false,
        }
    }

    pub(crate) fn show(&mut self, point: &Point) {
        let Some(line) = self.next_line(point) else { return };
        let mut out = std::io::stderr().lock();
        // Nobody has to be able to read it.
        let _ = match self.is_terminal {
            true => write!(out, "\r\x1b[K{line}"),
            false => writeln!(out, "{line}"),
        };
        let _ = out.flush();
        self.is_drawn = self.is_terminal;
    }

    /// The line for `point`, if it is time for one. Its rate is that since the line before.
    fn next_line(&mut self, point: &Point) -> Option<String> {
        self.worst_us = self.worst_us.max(point.p99_us);
        if point.at_ms < self.next_ms {
            return None;
        }
        let point = &Point { p99_us: std::mem::take(&mut self.worst_us), ..*point };
        if !self.is_terminal {
            self.next_ms = point.at_ms - point.at_ms % INTERVAL_MS + INTERVAL_MS;
        }
        let line = line(self.goal, &self.before, point);
        self.before = *point;
        Some(line)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_drawn {
            // As above.
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(goal: Option<u64>, before: &Point, point: &Point) -> String {
    let counts = &point.counts;
    let held = match goal {
        Some(goal) => {
            let filled = (counts.held.min(goal) * BAR_CHARS).checked_div(goal).unwrap_or(BAR_CHARS);
            let bar: String =
                (0..BAR_CHARS).map(|at| if at < filled { '#' } else { '-' }).collect();
            format!("[{bar}] {} of {goal} held", counts.held)
        }
        None => format!("{} connections", counts.held),
    };
    let elapsed_ms = point.at_ms.saturating_sub(before.at_ms).max(1);
    let rate = |now: u64, before: u64| now.saturating_sub(before) * 1000 / elapsed_ms;
    let opens = rate(counts.opened, before.counts.opened);
    let answers = rate(counts.answers, before.counts.answers);
    let mut line = format!("{:>4} s  {held}, {} lost", point.at_ms / 1000, counts.lost);
    if opens > 0 {
        line.push_str(&format!(", {opens} opened/s"));
    }
    line.push_str(&format!(", {answers} answers/s"));
    if point.p99_us > 0 {
        line.push_str(&format!(", p99 {:.1} ms", point.p99_us as f64 / 1000.0));
    }
    if counts.faults > counts.lost {
        line.push_str(&format!(", {} faults", counts.faults));
    }
    line
}

const INTERVAL_MS: u64 = 5000;
const BAR_CHARS: u64 = 20;

#[cfg(test)]
mod tests {
    use longhold_loadgen::series::{Counts, Point};

    use super::{Progress, line};

    fn point(at_ms: u64, opened: u64, held: u64, answers: u64) -> Point {
        let counts = Counts { opened, held, lost: 2, answers, faults: 2 };
        Point { at_ms, counts, p99_us: 1250, ..Point::default() }
    }

    #[test]
    fn a_line_tells_how_far_it_is_and_how_fast() {
        let (before, now) = (point(10_000, 100, 90, 90), point(12_000, 500, 250, 490));
        assert_eq!(
            line(Some(1000), &before, &now),
            "  12 s  [#####---------------] 250 of 1000 held, 2 lost, 200 opened/s, 200 answers/s, \
             p99 1.2 ms"
        );
        let mut faulty = now;
        faulty.counts.faults = 7;
        assert_eq!(
            line(None, &now, &faulty),
            "  12 s  250 connections, 2 lost, 0 answers/s, p99 1.2 ms, 7 faults"
        );
        // More than asked for, or nothing asked for, is a full bar.
        assert!(line(Some(100), &before, &now).contains("[####################] 250 of 100"));
        assert!(line(Some(0), &before, &now).contains("[####################]"));
    }

    #[test]
    fn a_line_has_the_worst_latency_of_the_seconds_since_the_last() {
        let mut progress = Progress::on(false, None);
        for (at_ms, p99_us, expected) in
            [(1000, 9000, None), (5000, 0, Some("p99 9.0 ms")), (10_000, 2000, Some("p99 2.0 ms"))]
        {
            let line = progress.next_line(&Point { at_ms, p99_us, ..Point::default() });
            assert_eq!(line.is_some(), expected.is_some());
            assert!(line.unwrap_or_default().contains(expected.unwrap_or_default()), "{at_ms}");
        }
    }

    #[test]
    fn a_pipe_gets_a_line_every_five_seconds_and_a_terminal_every_point() {
        let lines = |is_terminal| {
            let mut progress = Progress::on(is_terminal, None);
            let at = [0, 1000, 4000, 5100, 6000, 9900, 10_000, 21_000, 22_000, 25_000];
            let told = at.map(|at_ms| progress.next_line(&point(at_ms, 0, 0, 0)).is_some());
            at.into_iter().zip(told).filter(|(_, told)| *told).map(|(at, _)| at).collect::<Vec<_>>()
        };
        assert_eq!(lines(true).len(), 10);
        assert_eq!(lines(false), [5100, 10_000, 21_000, 25_000]);
    }
}
