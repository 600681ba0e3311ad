//! What is typed for `edge size`: numbers with k and m, shares, sizes, rates, times, ranges.

use longhold_capacity::{ObjectClass, Range};

use crate::config::units::{parse_bytes, parse_millis};

/// A number: `500`, `1.5`, `10k`, `2m`.
pub(super) fn number(text: &str) -> Result<f64, String> {
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1e3),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1.0), |digits| (digits, 1e6)),
    };
    plain(digits).map(|value| value * factor).ok_or("a number, such as 500, 10k or 2m".into())
}

/// A share: `95%` or `0.95`.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let value = match text.strip_suffix('%') {
        Some(percent) => plain(percent).map(|percent| percent / 100.0),
        None => plain(text),
    };
    let value = value.filter(|value| (0.0..=1.0).contains(value));
    value.ok_or("a share, such as 95% or 0.95".into())
}

/// A size in bytes: `16KiB`, `0B`.
pub(super) fn size(text: &str) -> Result<f64, String> {
    let bytes = parse_bytes(text).map_err(|_| "a size, such as 16KiB or 1GB".to_owned())?;
    Ok(bytes as f64)
}

/// A rate in bytes per second: `100GB/s`.
pub(super) fn flow(text: &str) -> Result<f64, String> {
    let bytes = text.strip_suffix("/s").ok_or_else(|| "a rate, such as 100GB/s".to_owned())?;
    size(bytes).map_err(|_| "a rate, such as 100GB/s".into())
}

/// A rate in bits per second: `25Gbit/s`.
pub(super) fn bits(text: &str) -> Result<f64, String> {
    let scales = [("Tbit/s", 1e12), ("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)];
    let scaled = scales
        .iter()
        .find_map(|(name, factor)| plain(text.strip_suffix(name)?).map(|value| value * factor));
    scaled.ok_or("a rate, such as 25Gbit/s".into())
}

/// A time in seconds: `60s`, `50ms`, `2h`.
pub(super) fn time(text: &str) -> Result<f64, String> {
    let ms = parse_millis(text).map_err(|_| "a time, such as 60s, 50ms or 2h".to_owned())?;
    Ok(ms as f64 / 1000.0)
}

/// A time in seconds, or `off`.
pub(super) fn time_or_off(text: &str) -> Result<Beat, String> {
    match text {
        "off" => Ok(Beat(None)),
        text => time(text).map(|every| Beat(Some(every))),
    }
}

/// Seconds between heartbeats; none when they are off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Beat(pub(super) Option<f64>);

/// A class of objects: `16KiB`, or with its weight `16KiB:3`.
pub(super) fn class(text: &str) -> Result<ObjectClass, String> {
    let (bytes, weight) = text.split_once(':').unwrap_or((text, "1"));
    let weight = plain(weight).ok_or_else(|| "a weight, such as in 16KiB:3".to_owned())?;
    Ok(ObjectClass { bytes: size(bytes)?, weight })
}

/// A range: `9000`, `6000..14000`, or with what is likely `6000..9000..14000`.
pub(super) fn range(text: &str) -> Result<Range, String> {
    let parts: Option<Vec<f64>> = text.split("..").map(|part| number(part).ok()).collect();
    let range = match parts.as_deref() {
        Some(&[value]) => Some(Range::exact(value)),
        Some(&[low, high]) => Some(Range::new(low, f64::midpoint(low, high), high)),
        Some(&[low, likely, high]) => Some(Range::new(low, likely, high)),
        Some(_) | None => None,
    };
    let is_rising = |range: &Range| range.low <= range.likely && range.likely <= range.high;
    let range = range.filter(is_rising);
    range.ok_or("a rising range, such as 9000, 6000..14000 or 6000..9000..14000".into())
}

/// Digits with a point at most: no sign, no exponent, nothing infinite.
fn plain(text: &str) -> Option<f64> {
    let is_plain = text.chars().all(|it| it.is_ascii_digit() || it == '.');
    text.parse().ok().filter(|_| is_plain && text.len() <= DIGITS_MAX)
}

const DIGITS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use longhold_capacity::{ObjectClass, Range};

    use super::{Beat, bits, class, flow, number, range, share, size, time, time_or_off};

    #[test]
    fn figures_are_read_with_their_units() {
        assert_eq!(number("2m"), Ok(2e6));
        assert_eq!(number("1.5k"), Ok(1500.0));
        assert_eq!(share("95%"), Ok(0.95));
        assert_eq!(share("0.5"), Ok(0.5));
        assert_eq!(size("16KiB"), Ok(16_384.0));
        assert_eq!(flow("3GB/s"), Ok(3e9));
        assert_eq!(bits("25Gbit/s"), Ok(25e9));
        assert_eq!(time("50ms"), Ok(0.05));
        assert_eq!(time_or_off("off"), Ok(Beat(None)));
        assert_eq!(time_or_off("60s"), Ok(Beat(Some(60.0))));
        assert_eq!(class("1KiB:3"), Ok(ObjectClass { bytes: 1024.0, weight: 3.0 }));
        assert_eq!(range("9k"), Ok(Range::exact(9000.0)));
        assert_eq!(range("1..3"), Ok(Range::new(1.0, 2.0, 3.0)));
        assert_eq!(range("1..1.5..3"), Ok(Range::new(1.0, 1.5, 3.0)));
    }

    #[test]
    fn what_is_no_figure_is_refused() {
        for wrong in ["", "-1", "1e9", "inf", "NaN", "k", "1 k", "1.2.3"] {
            assert!(number(wrong).is_err() && share(wrong).is_err(), "{wrong}");
            assert!(range(wrong).is_err() && class(wrong).is_err(), "{wrong}");
        }
        assert!(share("101%").is_err() && size("16").is_err() && time("60").is_err());
        assert!(flow("3GB").is_err() && bits("25").is_err());
        assert!(range("3..1").is_err() && range("1..2..3..4").is_err());
    }
}
