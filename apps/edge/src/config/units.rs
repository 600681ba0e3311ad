//! Values with units: sizes, durations and rates, as they are typed, kept and printed.
//!
//! Kept in base units (bytes, milliseconds, bytes per second); printed in the largest unit that is
//! exact, so that what is printed can be typed back.

use std::fmt;
use std::time::Duration;

/// An amount of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A duration in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

/// A rate in bytes per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BytesPerSecond(pub u64);

impl Millis {
    /// The same span as the standard library's type.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_exact(self.0, &BYTE_UNITS, out)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_exact(self.0, &TIME_UNITS, out)
    }
}

impl fmt::Display for BytesPerSecond {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/s", Bytes(self.0))
    }
}

/// Why a typed value is no size, duration or rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitFault {
    /// There is no unit behind the number.
    NoUnit,
    /// The unit is none of the known ones.
    UnknownUnit,
    /// There is no whole number before the unit.
    NoNumber,
    /// The value does not fit 64 bits in base units.
    TooLarge,
}

/// Reads a size such as `64MiB` into bytes.
///
/// # Errors
/// What is wrong with the text; see [`UnitFault`].
pub fn parse_bytes(text: &str) -> Result<u64, UnitFault> {
    parse(text, BYTE_UNITS.iter().chain(&BYTE_UNITS_DECIMAL))
}

/// Reads a duration such as `500ms` into milliseconds.
///
/// # Errors
/// What is wrong with the text; see [`UnitFault`].
pub fn parse_millis(text: &str) -> Result<u64, UnitFault> {
    parse(text, TIME_UNITS.iter())
}

/// Reads a rate such as `1KiB/s` into bytes per second.
///
/// # Errors
/// What is wrong with the text; see [`UnitFault`].
pub fn parse_rate(text: &str) -> Result<u64, UnitFault> {
    match text.strip_suffix("/s") {
        Some(size) => parse_bytes(size),
        None => Err(parse_bytes(text).err().unwrap_or(UnitFault::UnknownUnit)),
    }
}

type NamedUnit = (&'static str, u64);

fn parse<'a>(text: &str, mut units: impl Iterator<Item = &'a NamedUnit>) -> Result<u64, UnitFault> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    if digits.is_empty() {
        return Err(UnitFault::NoNumber);
    }
    if unit.is_empty() {
        return Err(UnitFault::NoUnit);
    }
    let (_, factor) = units.find(|(name, _)| *name == unit).ok_or(UnitFault::UnknownUnit)?;
    let number: u64 = digits.parse().map_err(|_| UnitFault::TooLarge)?;
    number.checked_mul(*factor).ok_or(UnitFault::TooLarge)
}

/// Units are listed from the smallest to the largest; the first one has the factor 1.
fn write_exact(value: u64, units: &[NamedUnit], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let exact =
        units.iter().rev().find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor));
    let (name, factor) = exact.or(units.first()).copied().unwrap_or(("", 1));
    write!(out, "{}{name}", value / factor)
}

/// One kibibyte, in bytes.
pub const KIB: u64 = 1 << 10;
/// One mebibyte, in bytes.
pub const MIB: u64 = 1 << 20;
/// One gibibyte, in bytes.
pub const GIB: u64 = 1 << 30;
/// One tebibyte, in bytes.
pub const TIB: u64 = 1 << 40;
/// One second, in milliseconds.
pub const SECOND: u64 = 1000;
/// One minute, in milliseconds.
pub const MINUTE: u64 = 60 * SECOND;
/// One hour, in milliseconds.
pub const HOUR: u64 = 60 * MINUTE;

const BYTE_UNITS: [NamedUnit; 5] =
    [("B", 1), ("KiB", KIB), ("MiB", MIB), ("GiB", GIB), ("TiB", TIB)];
const BYTE_UNITS_DECIMAL: [NamedUnit; 4] =
    [("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000)];
const TIME_UNITS: [NamedUnit; 4] = [("ms", 1), ("s", SECOND), ("m", MINUTE), ("h", HOUR)];
