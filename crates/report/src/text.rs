//! Text that means itself in HTML, and numbers as people read them.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;

/// What a number counts, and so how it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things: `12`, `3.4 k`, `2 M`.
    Count,
    /// Bytes, in powers of 1,024: `512 B`, `1.5 MiB`.
    Bytes,
    /// Microseconds: `80 µs`, `1.2 ms`, `3 s`.
    Micros,
    /// Seconds: `90 s`.
    Seconds,
    /// Hundredths, as they are: `99.9 %`.
    Percent,
}

impl Unit {
    /// The number with three digits that say something, and its unit.
    pub fn say(self, value: f64) -> String {
        if !value.is_finite() {
            return NONE.to_owned();
        }
        let steps = self.steps();
        let fits = |step: &&(f64, &str)| value.abs() >= step.0;
        let (size, name) = steps.iter().rev().find(fits).or(steps.first()).unwrap_or(&(1.0, ""));
        let number = three_digits(value / size);
        if name.is_empty() { number } else { format!("{number}\u{a0}{name}") }
    }

    /// Sizes and names from small to large; the first also says what is smaller.
    const fn steps(self) -> &'static [(f64, &'static str)] {
        match self {
            Self::Count => &[(1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G")],
            Self::Bytes => &[
                (1.0, "B"),
                (1024.0, "KiB"),
                (1_048_576.0, "MiB"),
                (1_073_741_824.0, "GiB"),
                (1_099_511_627_776.0, "TiB"),
            ],
            Self::Micros => &[(1.0, "µs"), (1e3, "ms"), (1e6, "s")],
            Self::Seconds => &[(1.0, "s")],
            Self::Percent => &[(1.0, "%")],
        }
    }

    /// What ticks on an axis up to `greatest` are multiples of 1, 2 or 5 of.
    pub(crate) fn base(self, greatest: f64) -> f64 {
        match self {
            Self::Bytes => {
                let fits = |step: &&(f64, &str)| greatest >= step.0;
                self.steps().iter().rev().find(fits).map_or(1.0, |step| step.0)
            }
            Self::Count | Self::Micros | Self::Seconds | Self::Percent => 1.0,
        }
    }
}

/// A number of three digits or more, thousands apart; what is no number is a dash.
pub fn figure(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    if value.abs() < 9.995 {
        return format!("{value:.2}");
    }
    if value.abs() < 99.95 {
        return format!("{value:.1}");
    }
    whole(value)
}

/// A whole number, thousands apart.
pub(crate) fn whole(value: f64) -> String {
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

/// Text that means itself in HTML, in elements and in attributes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

/// With as many decimals as three digits leave, those left out that are zero.
fn three_digits(value: f64) -> String {
    let text = match value.abs() {
        tiny if tiny < 0.0995 => format!("{value:.3}"),
        small if small < 9.995 => format!("{value:.2}"),
        small if small < 99.95 => format!("{value:.1}"),
        _ => return format!("{value:.0}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// In the place of what is no number.
const NONE: &str = "–";

#[cfg(test)]
mod tests;
