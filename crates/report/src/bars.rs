//! Bars with their spread, one beneath another.

use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;

use crate::Chart;
use crate::text::{escape, figure};

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
    let drawn = |value: f64| if value.is_finite() { value.max(0.0) } else { 0.0 };
    let greatest = bars.iter().map(|bar| drawn(bar.greatest)).fold(0.0, f64::max);
    let scale = if greatest > 0.0 { BAR_WIDTH / greatest } else { 0.0 };
    let height = ROW_HEIGHT * bars.len() as f64 + 4.0;
    let mut out = String::new();
    // Writing to a string does not fail, here and below.
    let _ = write!(
        out,
        "<figure><figcaption>{title} <span class=\"unit\">{}</span></figcaption>\n\
         <div class=\"plot\"><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"{title}\">\n",
        escape(unit),
        title = escape(title)
    );
    for (index, bar) in bars.iter().enumerate() {
        let top = index as f64 * ROW_HEIGHT + 4.0;
        let at = |value: f64| LABEL_WIDTH + drawn(value) * scale;
        row(&mut out, bar, top, [at(bar.least), at(bar.median), at(bar.greatest)]);
    }
    out.push_str("</svg></div></figure>\n");
    Chart { markup: out }
}

fn row(out: &mut String, bar: &Bar, top: f64, [least, median, greatest]: [f64; 3]) {
    let middle = top + BAR_HEIGHT / 2.0;
    let _ = write!(
        out,
        "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\
         <rect class=\"{}\" x=\"{LABEL_WIDTH}\" y=\"{top:.1}\" width=\"{:.1}\" \
         height=\"{BAR_HEIGHT}\" rx=\"2\"/>",
        LABEL_WIDTH - 8.0,
        middle + 4.0,
        escape(&bar.label),
        bar.tone.class(),
        (median - LABEL_WIDTH).max(1.0)
    );
    if greatest > least {
        let (high, low) = (middle - 4.0, middle + 4.0);
        let spread = format!("M{least:.1} {middle:.1}H{greatest:.1}");
        let ends = format!("M{least:.1} {high:.1}V{low:.1}M{greatest:.1} {high:.1}V{low:.1}");
        let _ = write!(out, "<path class=\"spread\" d=\"{spread}{ends}\"/>");
    }
    let _ = writeln!(
        out,
        "<text class=\"number\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        greatest.max(median) + 8.0,
        middle + 4.0,
        figure(bar.median)
    );
}

const WIDTH: f64 = 560.0;
const LABEL_WIDTH: f64 = 190.0;
/// The rest is for the number behind the longest bar.
const BAR_WIDTH: f64 = 280.0;
const BAR_HEIGHT: f64 = 18.0;
const ROW_HEIGHT: f64 = 26.0;

#[cfg(test)]
mod tests {
    use super::{Bar, Tone, bars};

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

    /// RP-3.
    #[test]
    fn what_is_no_number_is_a_dash() {
        let svg = bars("t", "u", &[bar("a", [f64::NAN, f64::NAN, f64::INFINITY])]).markup;
        assert!(svg.contains('–') && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
