//! Bars with their spread, as SVG that stands in a page by itself.

use std::fmt::Write as _;

use crate::bench::stats::Spread;

/// One bar: a median, and a line from the least to the greatest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) value: Spread,
    pub(super) tone: Tone,
}

/// What a bar stands for, and so its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Edge,
    Older,
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

/// A figure with bars from zero, one beneath another, each with its number.
pub(super) fn bars(title: &str, unit: &str, bars: &[Bar]) -> String {
    let greatest = bars.iter().map(|bar| bar.value.greatest).fold(0.0, f64::max);
    let scale = if greatest > 0.0 { BAR_WIDTH / greatest } else { 0.0 };
    let height = ROW_HEIGHT * bars.len() as f64 + 4.0;
    let mut out = String::new();
    // Writing to a string does not fail, here and below.
    let _ = write!(
        out,
        "<figure><figcaption>{} <span class=\"unit\">{}</span></figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n",
        escape(title),
        escape(unit),
        escape(title)
    );
    for (index, bar) in bars.iter().enumerate() {
        let Spread { median, least, greatest } = bar.value;
        let top = index as f64 * ROW_HEIGHT + 4.0;
        let middle = top + BAR_HEIGHT / 2.0;
        let at = |value: f64| LABEL_WIDTH + value * scale;
        let _ = write!(
            out,
            "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\
             <rect class=\"{}\" x=\"{LABEL_WIDTH}\" y=\"{top:.1}\" width=\"{:.1}\" \
             height=\"{BAR_HEIGHT}\" rx=\"2\"/>",
            LABEL_WIDTH - 8.0,
            middle + 4.0,
            escape(&bar.label),
            bar.tone.class(),
            (median * scale).max(1.0)
        );
        if greatest > least {
            let (left, right, high, low) = (at(least), at(greatest), middle - 4.0, middle + 4.0);
            let _ = write!(
                out,
                "<path class=\"spread\" d=\"M{left:.1} {middle:.1}H{right:.1}M{left:.1} \
                 {high:.1}V{low:.1}M{right:.1} {high:.1}V{low:.1}\"/>"
            );
        }
        let _ = writeln!(
            out,
            "<text class=\"number\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            at(greatest) + 8.0,
            middle + 4.0,
            figure(median)
        );
    }
    out.push_str("</svg></figure>\n");
    out
}

/// A number as people read it: three digits or more, thousands apart.
pub(super) fn figure(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    if value.abs() < 9.995 {
        return format!("{value:.2}");
    }
    if value.abs() < 99.95 {
        return format!("{value:.1}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = if value < 0.0 { "−".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Text that means itself in HTML.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(letter),
        }
    }
    out
}

const WIDTH: f64 = 560.0;
const LABEL_WIDTH: f64 = 190.0;
/// The rest is for the number behind the longest bar.
const BAR_WIDTH: f64 = 280.0;
const BAR_HEIGHT: f64 = 18.0;
const ROW_HEIGHT: f64 = 26.0;

#[cfg(test)]
mod tests {
    use super::{Bar, Tone, bars, escape, figure};
    use crate::bench::stats::Spread;

    #[test]
    fn numbers_have_three_digits_and_gaps() {
        let check = |value, expected: &str| assert_eq!(figure(value), expected);
        check(0.0, "0.00");
        check(1.234, "1.23");
        check(9.999, "10.0");
        check(12.34, "12.3");
        check(99.96, "100");
        check(1234.0, "1\u{202f}234");
        check(1_234_567.0, "1\u{202f}234\u{202f}567");
        check(-123.0, "−123");
        check(f64::NAN, "–");
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("a<b & \"c\">"), "a&lt;b &amp; &quot;c&quot;&gt;");
        let bar = Bar { label: "<x>".to_owned(), value: Spread::default(), tone: Tone::Other };
        let svg = bars("<t>", "<u>", &[bar]);
        assert!(!svg.contains("<x>") && !svg.contains("<t>") && !svg.contains("<u>"), "{svg}");
    }

    #[test]
    fn the_longest_bar_fills_its_room_and_shows_its_spread() {
        let bar = |median, least, greatest| Bar {
            label: "a".to_owned(),
            value: Spread { median, least, greatest },
            tone: Tone::Edge,
        };
        let svg = bars("t", "u", &[bar(50.0, 50.0, 50.0), bar(90.0, 80.0, 100.0)]);
        assert!(svg.contains("width=\"140.0\"") && svg.contains("width=\"252.0\""), "{svg}");
        // From 190 + 224 to 190 + 280.
        assert!(svg.contains("M414.0") && svg.contains("H470.0"), "{svg}");
        assert_eq!(svg.matches("class=\"spread\"").count(), 1);
    }
}
