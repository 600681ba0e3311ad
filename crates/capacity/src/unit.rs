//! Units, and figures in them as people read them: three digits, the fitting scale, thousands
//! apart.

use alloc::format;
use alloc::string::{String, ToString as _};

use crate::range::Range;

/// What a figure counts. Figures are kept in base units: bytes, seconds, watts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Things in a second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// Bytes in a second.
    BytesPerSecond,
    /// Bits in a second.
    BitsPerSecond,
    /// A time, in seconds.
    Seconds,
    /// A time for each KiB, in seconds.
    SecondsPerKib,
    /// Processor cores, busy all the time.
    Cores,
    /// A part of a whole, 0 to 1; shown in percent.
    Share,
    /// A plain factor.
    Ratio,
    /// Watts.
    Watts,
    /// Kilowatt-hours.
    KilowattHours,
    /// Years.
    Years,
    /// Hours.
    Hours,
    /// An amount of the report's currency.
    Money,
}

impl Unit {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::PerSecond => "per_s",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "bytes_per_s",
            Self::BitsPerSecond => "bits_per_s",
            Self::Seconds => "s",
            Self::SecondsPerKib => "s_per_kib",
            Self::Cores => "cores",
            Self::Share => "share",
            Self::Ratio => "ratio",
            Self::Watts => "watts",
            Self::KilowattHours => "kwh",
            Self::Years => "years",
            Self::Hours => "hours",
            Self::Money => "money",
        }
    }

    /// A range in this unit: `72–74 B`, or `2,000,000` when it is exact.
    #[must_use]
    pub fn show(self, range: Range) -> String {
        let (factor, suffix) = self.scale(range.high.max(-range.low));
        let number = |value: f64| self.number(value / factor, range.is_exact());
        let (low, high) = (number(range.low), number(range.high));
        match (low == high, range.low < 0.0) {
            (true, _) => format!("{low}{suffix}"),
            (false, true) => format!("{low} to {high}{suffix}"),
            (false, false) => format!("{low}–{high}{suffix}"),
        }
    }

    /// The likely figure alone, in this unit.
    #[must_use]
    pub fn show_likely(self, range: Range) -> String {
        let (factor, suffix) =
            self.scale(if range.likely < 0.0 { -range.likely } else { range.likely });
        format!("{}{suffix}", self.number(range.likely / factor, range.is_exact()))
    }

    fn number(self, value: f64, is_exact: bool) -> String {
        let is_whole = value == (value as i64) as f64;
        match (is_exact && is_whole, self) {
            (true, _) => grouped(value),
            // Sizes of rings and numbers of machines are what they are.
            (false, Self::Count) if is_whole && value.abs() <= WHOLE_MAX => grouped(value),
            (false, Self::Money) if is_exact => plain(value),
            (false, _) => digits(value),
        }
    }

    /// The factor and name of the scale that fits a figure.
    pub(crate) fn scale(self, greatest: f64) -> (f64, &'static str) {
        let fitting = |scales: &[(f64, &'static str)]| {
            let fits = scales.iter().rev().find(|(factor, _)| greatest >= *factor);
            fits.or(scales.first()).copied().unwrap_or((1.0, ""))
        };
        match self {
            Self::Count | Self::Ratio | Self::Money => (1.0, ""),
            Self::PerSecond => (1.0, "/s"),
            Self::Bytes => fitting(&BYTES),
            Self::BytesPerSecond => fitting(&BYTES_PER_SECOND),
            Self::BitsPerSecond => fitting(&BITS_PER_SECOND),
            Self::Seconds => fitting(&SECONDS),
            Self::SecondsPerKib => (1e-6, " µs/KiB"),
            Self::Cores => (1.0, " cores"),
            Self::Share => (0.01, " %"),
            Self::Watts => (1.0, " W"),
            Self::KilowattHours => (1.0, " kWh"),
            Self::Years => (1.0, " years"),
            Self::Hours => (1.0, " h"),
        }
    }
}

/// Three digits that count.
fn digits(value: f64) -> String {
    if value < 0.0 {
        return format!("−{}", digits(-value));
    }
    if value >= 100.0 {
        let mut step = 1.0;
        while value / step >= 1000.0 {
            step *= 10.0;
        }
        return grouped(((value / step + 0.5) as u64) as f64 * step);
    }
    match value {
        _ if value >= 9.995 => trimmed(format!("{value:.1}")),
        _ if value >= 0.0995 => trimmed(format!("{value:.2}")),
        _ if value >= 0.000_05 => trimmed(format!("{value:.4}")),
        _ if value > 0.0 => "under 0.0001".to_string(),
        _ => "0".to_string(),
    }
}

/// A sum that is known exactly: as it is, to two places.
fn plain(value: f64) -> String {
    trimmed(format!("{value:.2}"))
}

fn trimmed(text: String) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}

/// A whole number with its thousands apart.
fn grouped(value: f64) -> String {
    let number = format!("{value:.0}");
    let (sign, number) = number.strip_prefix('-').map_or(("", number.as_str()), |rest| ("−", rest));
    let mut text = String::from(sign);
    for (place, digit) in number.chars().enumerate() {
        if place > 0 && (number.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Whole numbers of things up to this are shown to the last digit.
const WHOLE_MAX: f64 = 9999.0;
const KIB: f64 = 1024.0;
const BYTES: [(f64, &str); 5] = [
    (1.0, " B"),
    (KIB, " KiB"),
    (KIB * KIB, " MiB"),
    (KIB * KIB * KIB, " GiB"),
    (KIB * KIB * KIB * KIB, " TiB"),
];
const BYTES_PER_SECOND: [(f64, &str); 4] =
    [(1.0, " B/s"), (KIB, " KiB/s"), (KIB * KIB, " MiB/s"), (KIB * KIB * KIB, " GiB/s")];
const BITS_PER_SECOND: [(f64, &str); 4] =
    [(1.0, " bit/s"), (1e3, " kbit/s"), (1e6, " Mbit/s"), (1e9, " Gbit/s")];
const SECONDS: [(f64, &str); 5] =
    [(1e-9, " ns"), (1e-6, " µs"), (1e-3, " ms"), (1.0, " s"), (3600.0, " h")];

#[cfg(test)]
mod tests {
    use super::Unit;
    use crate::range::Range;

    #[test]
    fn figures_read_well() {
        let check = |unit: Unit, low: f64, high: f64, text: &str| {
            assert_eq!(unit.show(Range::new(low, (low + high) / 2.0, high)), text);
        };
        check(Unit::Count, 2_000_000.0, 2_000_000.0, "2,000,000");
        check(Unit::Count, 1024.0, 4096.0, "1,024–4,096");
        check(Unit::Count, 33_333.3, 33_333.3, "33,300");
        check(Unit::PerSecond, 999.6, 1234.0, "1,000–1,230/s");
        check(Unit::Bytes, 72.0, 74.0, "72–74 B");
        check(Unit::Bytes, 144e6, 148e6, "137–141 MiB");
        check(Unit::Seconds, 8.2e-6, 8.9e-6, "8.2–8.9 µs");
        check(Unit::Seconds, 160e-6, 160e-6, "160 µs");
        check(Unit::Seconds, 60.0, 60.0, "60 s");
        check(Unit::SecondsPerKib, 0.12e-6, 0.3e-6, "0.12–0.3 µs/KiB");
        check(Unit::Share, 0.6, 0.6, "60 %");
        check(Unit::Cores, 0.0, 0.05, "0–0.05 cores");
        check(Unit::BitsPerSecond, 1e9, 1.062e9, "1–1.06 Gbit/s");
        check(Unit::Money, 201.6, 201.6, "201.6");
        check(Unit::Ratio, -0.5, 3.716, "−0.5 to 3.72");
        check(Unit::Count, 0.00001, 0.00001, "under 0.0001");
    }
}
