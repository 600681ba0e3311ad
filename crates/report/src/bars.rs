//! Bars with their spread, one beneath another.

use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;

use crate::Chart;
use crate::text::{escape, figure, whole};

/// One bar: a median, and a line from the least to the greatest.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What it stands for.
    pub label: String,
    /// Its length.
    pub median: f64,
    /// Where its spread begins.
    pub least: f64,
    /// Where its spread ends.
    pub greatest: f64,
    /// Its colour.
    pub tone: Tone,
}

/// What a bar stands for, and so its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Ours.
    Edge,
    /// What ours takes the place of.
    Older,
    /// Others.
    Other,
}

impl Tone {
    const fn class(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Older => "older",
            Self::Other => "other",
        }
    }
}

/// A chart of bars from zero, each with its number.
pub fn bars(title: &str, unit: &str, bars: &[Bar]) -> Chart {
    bars_up_to(title, unit, bars, 0.0)
}

/// The same with room for bars as long as `greatest` at least: so charts have one scale.
pub fn bars_up_to(title: &str, unit: &str, bars: &[Bar], greatest: f64) -> Chart {
    let greatest = bars.iter().map(|bar| drawn(bar.greatest)).fold(drawn(greatest), f64::max);
    let scale = if greatest > 0.0 { BAR_WIDTH / greatest } else { 0.0 };
    let letters = bars.iter().map(|bar| bar.label.chars().count()).max().unwrap_or_default();
    let labels = (letters as f64 * LETTER_WIDTH + GAP).clamp(LABEL_WIDTH_MIN, LABEL_WIDTH_MAX);
    let is_counted = bars.iter().all(|bar| (bar.median as u64) as f64 == bar.median);
    let width = labels + BAR_WIDTH + NUMBER_WIDTH;
    let height = ROW_HEIGHT * bars.len() as f64 + 4.0;
    let mut out = String::new();
    // Writing to a string does not fail, here and below.
    let _ = write!(
        out,
        "<figure><figcaption>{title} <span class=\"unit\">{}</span></figcaption>\n\
         <div class=\"plot\"><svg viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"{title}\">\n",
        escape(unit),
        title = escape(title)
    );
    for (index, bar) in bars.iter().enumerate() {
        let top = index as f64 * ROW_HEIGHT + 4.0;
        let at = |value: f64| labels + drawn(value) * scale;
        let number = if is_counted { whole(bar.median) } else { figure(bar.median) };
        row(
            &mut out,
            (bar, &number),
            [labels, top],
            [at(bar.least), at(bar.median), at(bar.greatest)],
        );
    }
    out.push_str("</svg></div></figure>\n");
    Chart { markup: out }
}

/// How far a value reaches.
fn drawn(value: f64) -> f64 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

fn row(
    out: &mut String,
    (bar, number): (&Bar, &str),
    [left, top]: [f64; 2],
    [least, median, greatest]: [f64; 3],
) {
    let middle = top + BAR_HEIGHT / 2.0;
    let _ = write!(
        out,
        "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\
         <rect class=\"{}\" x=\"{left}\" y=\"{top:.1}\" width=\"{:.1}\" \
         height=\"{BAR_HEIGHT}\" rx=\"2\"/>",
        left - GAP,
        middle + 4.0,
        escape(&bar.label),
        bar.tone.class(),
        (median - left).max(1.0)
    );
    if greatest > least {
        let (high, low) = (middle - 4.0, middle + 4.0);
        let spread = format!("M{least:.1} {middle:.1}H{greatest:.1}");
        let ends = format!("M{least:.1} {high:.1}V{low:.1}M{greatest:.1} {high:.1}V{low:.1}");
        let _ = write!(out, "<path class=\"spread\" d=\"{spread}{ends}\"/>");
    }
    let _ = writeln!(
        out,
        "<text class=\"number\" x=\"{:.1}\" y=\"{:.1}\">{number}</text>",
        greatest.max(median) + 8.0,
        middle + 4.0
    );
}

const LABEL_WIDTH_MIN: f64 = 190.0;
const LABEL_WIDTH_MAX: f64 = 350.0;
const LETTER_WIDTH: f64 = 7.2;
const GAP: f64 = 8.0;
const BAR_WIDTH: f64 = 280.0;
/// Behind the longest bar.
const NUMBER_WIDTH: f64 = 90.0;
const BAR_HEIGHT: f64 = 18.0;
const ROW_HEIGHT: f64 = 26.0;

#[cfg(test)]
mod tests {
    use super::{Bar, Tone, bars, bars_up_to};

    fn bar(label: &str, [least, median, greatest]: [f64; 3]) -> Bar {
        Bar { label: label.to_owned(), median, least, greatest, tone: Tone::Edge }
    }

    /// RP-1.
    #[test]
    fn no_label_becomes_markup() {
        let svg = bars("<t>", "<u>", &[bar("<x>", [0.0; 3])]).markup;
        assert!(!svg.contains("<x>") && !svg.contains("<t>") && !svg.contains("<u>"), "{svg}");
    }

    #[test]
    fn the_longest_bar_fills_its_room_and_shows_its_spread() {
        let svg = bars("t", "u", &[bar("a", [50.0; 3]), bar("b", [80.0, 90.0, 100.0])]).markup;
        assert!(svg.contains("width=\"140.0\"") && svg.contains("width=\"252.0\""), "{svg}");
        // From 190 + 224 to 190 + 280.
        assert!(svg.contains("M414.0") && svg.contains("H470.0"), "{svg}");
        assert_eq!(svg.matches("class=\"spread\"").count(), 1);
    }

    #[test]
    fn labels_have_room_and_scales_can_be_shared() {
        let long = "wake: told, read, waited for again";
        let svg = bars_up_to("t", "u", &[bar(long, [50.0; 3])], 100.0).markup;
        // 34 letters and a gap before the bar, which is half as long as the greatest.
        assert!(svg.contains("x=\"252.8\"") && svg.contains("width=\"140.0\""), "{svg}");
        assert!(svg.contains("viewBox=\"0 0 622.8 "), "{svg}");
        assert!(svg.contains(">50</text>"), "counts have no decimals: {svg}");
    }

    /// RP-3.
    #[test]
    fn what_is_no_number_is_a_dash() {
        let svg = bars("t", "u", &[bar("a", [f64::NAN, f64::NAN, f64::INFINITY])]).markup;
        assert!(svg.contains('–') && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
