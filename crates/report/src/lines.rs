//! Lines over time, on a scale at the left and another at the right.
//!
//! ```text
//!      ● held  ● memory (right)
//! 2 M ┤            ____ ┤ 256 MiB
//!     │       ____/     │
//! 1 M ┤      /     ·····┤ 128 MiB
//!     │ ____/·····      │
//!   0 ┼──────┬──────┬───┤ 0
//!     0 s   60 s  120 s
//! ```

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::Chart;
use crate::scale::Scale;
use crate::text::{Unit, escape};

/// A chart of lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    title: String,
    across: Unit,
    left: Axis,
    right: Option<Axis>,
    lines: Vec<Line>,
}

/// What a scale counts, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    unit: Unit,
    is_logarithmic: bool,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    name: String,
    side: Side,
    points: Vec<(f64, f64)>,
}

/// Which scale a line goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The left one.
    Left,
    /// The right one: its lines are dotted.
    Right,
}

impl Axis {
    /// Even steps from zero.
    pub const fn linear(unit: Unit) -> Self {
        Self { unit, is_logarithmic: false }
    }

    /// Even factors; what is not above zero is a gap.
    pub const fn logarithmic(unit: Unit) -> Self {
        Self { unit, is_logarithmic: true }
    }

    fn scale<'a>(self, lines: impl Iterator<Item = &'a Line> + Clone) -> Scale {
        let values = || lines.clone().flat_map(|line| &line.points).map(|point| point.1);
        let drawn = values().filter(|value| value.is_finite() && *value > 0.0);
        let greatest = drawn.clone().fold(0.0, f64::max);
        match self.is_logarithmic {
            true => Scale::logarithmic(drawn.fold(greatest, f64::min), greatest),
            false => Scale::linear(greatest, self.unit),
        }
    }
}

impl Line {
    /// Points in order from left to right; a value that is no number is a gap.
    pub fn new(name: &str, side: Side, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self { name: name.to_owned(), side, points: points.into_iter().collect() }
    }
}

impl Lines {
    /// No lines yet, over seconds.
    pub fn over_time(title: &str, left: Axis) -> Self {
        let (title, across) = (title.to_owned(), Unit::Seconds);
        Self { title, across, left, right: None, lines: Vec::new() }
    }

    /// With a scale at the right as well.
    pub fn and_right(self, right: Axis) -> Self {
        Self { right: Some(right), ..self }
    }

    /// With one line more.
    pub fn with(mut self, line: Line) -> Self {
        self.lines.push(line);
        self
    }

    /// The drawing.
    pub fn chart(&self) -> Chart {
        let of = |side| self.lines.iter().filter(move |line| line.side == side);
        let times = self.lines.iter().flat_map(|line| &line.points).map(|point| point.0);
        let last = times.filter(|time| time.is_finite()).fold(0.0, f64::max);
        let across = Scale::up_to(last, self.across);
        let left = self.left.scale(of(Side::Left));
        let right = self.right.map(|axis| (axis, axis.scale(of(Side::Right))));
        let mut out = String::new();
        self.caption(&mut out);
        grid(&mut out, &left, self.left.unit, Side::Left);
        if let Some((axis, scale)) = &right {
            grid(&mut out, scale, axis.unit, Side::Right);
        }
        let bottom = TOP + PLOT_HEIGHT;
        for &tick in &across.ticks {
            let x = LEFT + across.share(tick).unwrap_or_default() * PLOT_WIDTH;
            // Writing to a string does not fail, here and below.
            let _ = write!(
                out,
                "<text class=\"tick\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                bottom + 18.0,
                self.across.say(tick)
            );
        }
        for (index, line) in self.lines.iter().enumerate() {
            let scale = match (line.side, &right) {
                (Side::Right, Some((_, scale))) => scale,
                (Side::Right, None) | (Side::Left, _) => &left,
            };
            let style = if line.side == Side::Right { " dotted" } else { "" };
            let path = path(&line.points, &across, scale);
            let _ = write!(out, "<path class=\"line l{}{style}\" d=\"{path}\"/>", index % HUES);
        }
        out.push_str("</svg></div></figure>\n");
        Chart { markup: out }
    }

    /// Title and legend, each line with its greatest value and its last, and the drawing's start.
    fn caption(&self, out: &mut String) {
        let title = escape(&self.title);
        let _ = write!(out, "<figure><figcaption>{title}</figcaption>\n<div class=\"legend\">");
        for (index, line) in self.lines.iter().enumerate() {
            let (unit, side) = match (line.side, self.right) {
                (Side::Right, Some(axis)) => (axis.unit, ", right"),
                (Side::Right, None) | (Side::Left, _) => (self.left.unit, ""),
            };
            let values = || line.points.iter().map(|point| point.1).filter(|it| it.is_finite());
            let greatest = values().fold(f64::NEG_INFINITY, f64::max);
            let _ = write!(
                out,
                "<span><i class=\"l{}\"></i>{} <span class=\"unit\">most {}, last {}{side}</span>\
                 </span>",
                index % HUES,
                escape(&line.name),
                unit.say(greatest),
                unit.say(values().next_back().unwrap_or(f64::NAN))
            );
        }
        let _ = write!(
            out,
            "</div>\n<div class=\"plot\"><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{title}\">\n"
        );
    }
}

/// Ticks of a scale, and lines across for the left one.
pub(crate) fn grid(out: &mut String, scale: &Scale, unit: Unit, side: Side) {
    for &tick in &scale.ticks {
        let y = TOP + (1.0 - scale.share(tick).unwrap_or_default()) * PLOT_HEIGHT;
        let (x, anchor) = match side {
            Side::Left => (LEFT - 6.0, "end"),
            Side::Right => (LEFT + PLOT_WIDTH + 6.0, "start"),
        };
        if side == Side::Left {
            let _ = write!(out, "<path class=\"grid\" d=\"M{LEFT} {y:.1}h{PLOT_WIDTH}\"/>");
        }
        let _ = write!(
            out,
            "<text class=\"tick\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            y + 4.0,
            unit.say(tick)
        );
    }
}

/// The points as a path, with a gap where a point has no place.
pub(crate) fn path(points: &[(f64, f64)], across: &Scale, up: &Scale) -> String {
    let mut path = String::new();
    let mut is_drawing = false;
    for &(x, y) in points {
        let place = across.share(x).zip(up.share(y));
        if let Some((x, y)) = place {
            let command = if is_drawing { 'L' } else { 'M' };
            let (x, y) = (LEFT + x * PLOT_WIDTH, TOP + (1.0 - y) * PLOT_HEIGHT);
            path.push_str(&format!("{command}{x:.1} {y:.1}"));
        }
        is_drawing = place.is_some();
    }
    path
}

pub(crate) const WIDTH: f64 = 560.0;
pub(crate) const HEIGHT: f64 = 260.0;
pub(crate) const LEFT: f64 = 64.0;
pub(crate) const TOP: f64 = 10.0;
pub(crate) const PLOT_WIDTH: f64 = 428.0;
pub(crate) const PLOT_HEIGHT: f64 = 220.0;
/// Colours of lines, after which they begin again.
pub(crate) const HUES: usize = 6;

#[cfg(test)]
mod tests {
    use super::{Axis, Line, Lines, Side};
    use crate::text::Unit;

    fn held(points: &[(f64, f64)]) -> Lines {
        Lines::over_time("Held", Axis::linear(Unit::Count)).with(Line::new(
            "held",
            Side::Left,
            points.iter().copied(),
        ))
    }

    #[test]
    fn a_line_goes_from_corner_to_corner() {
        let svg = held(&[(0.0, 0.0), (10.0, 100.0)]).chart().markup;
        assert!(svg.contains("d=\"M64.0 230.0L492.0 10.0\""), "{svg}");
        assert!(svg.contains("most 100, last 100"), "{svg}");
    }

    #[test]
    fn each_line_goes_by_its_own_scale() {
        let memory = Line::new("memory", Side::Right, [(0.0, 512.0), (10.0, 1024.0)]);
        let chart = held(&[(0.0, 0.0), (10.0, 100.0)]).and_right(Axis::linear(Unit::Bytes));
        let svg = chart.with(memory).chart().markup;
        // Half of the right scale, and then all of it.
        assert!(svg.contains("class=\"line l1 dotted\" d=\"M64.0 120.0L492.0 10.0\""), "{svg}");
        assert!(svg.contains("1\u{a0}KiB, last 1\u{a0}KiB, right"), "{svg}");
    }

    /// RP-3.
    #[test]
    fn what_is_no_number_is_a_gap() {
        let svg = held(&[(0.0, 50.0), (5.0, f64::NAN), (10.0, 100.0)]).chart().markup;
        assert!(svg.contains("d=\"M64.0 120.0M492.0 10.0\""), "{svg}");
        let none = held(&[]).chart().markup;
        assert!(none.contains("most –, last –") && none.contains("d=\"\""), "{none}");
        let factors = Lines::over_time("p99", Axis::logarithmic(Unit::Micros));
        let line = Line::new("p99", Side::Left, [(0.0, 0.0), (1.0, 100.0), (2.0, 1000.0)]);
        let svg = factors.with(line).chart().markup;
        assert!(svg.contains("d=\"M278.0 230.0L492.0 10.0\""), "{svg}");
    }

    /// RP-1.
    #[test]
    fn no_name_becomes_markup() {
        let chart = Lines::over_time("<t>", Axis::linear(Unit::Count));
        let svg = chart.with(Line::new("<n>", Side::Left, [])).chart().markup;
        assert!(!svg.contains("<t>") && !svg.contains("<n>"), "{svg}");
    }
}
