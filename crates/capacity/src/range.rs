//! A figure that is not known exactly: the least, the likely and the greatest that it may be.
//!
//! CP-2 `low ≤ likely ≤ high`, all finite: held by every operation here.

use core::ops::{Add, Mul, Sub};

/// From the least through the likely to the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Range {
    /// The least.
    pub low: f64,
    /// What to count on.
    pub likely: f64,
    /// The greatest.
    pub high: f64,
}

impl Range {
    /// Nothing.
    pub const ZERO: Self = Self::exact(0.0);

    /// What is known exactly.
    #[must_use]
    pub const fn exact(value: f64) -> Self {
        Self { low: value, likely: value, high: value }
    }

    /// Three figures, in the order of the type's fields.
    #[must_use]
    pub const fn new(low: f64, likely: f64, high: f64) -> Self {
        Self { low, likely, high }
    }

    /// Three figures in any order.
    #[must_use]
    pub fn of(values: [f64; 3]) -> Self {
        let [first, second, third] = values;
        let (low, high) = (first.min(second).min(third), first.max(second).max(third));
        let likely = first.min(second).max(first.max(second).min(third));
        Self { low, likely, high }
    }

    /// Whether it is known exactly.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.low == self.high
    }

    /// The same operation on all three, for one that never falls as its argument rises.
    #[must_use]
    pub fn each(self, rising: impl Fn(f64) -> f64) -> Self {
        Self { low: rising(self.low), likely: rising(self.likely), high: rising(self.high) }
    }

    /// The greater of both, in each of the three.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            low: self.low.max(other.low),
            likely: self.likely.max(other.likely),
            high: self.high.max(other.high),
        }
    }

    /// Divided by what is positive. A divisor below [`DIVISOR_MIN`] counts as that: no quotient of
    /// accepted inputs is infinite.
    #[must_use]
    pub fn over(self, divisor: Self) -> Self {
        let inverse = |value: f64| 1.0 / value.max(DIVISOR_MIN);
        self * Self {
            low: inverse(divisor.high),
            likely: inverse(divisor.likely),
            high: inverse(divisor.low),
        }
    }

    /// Rounded up to whole numbers.
    #[must_use]
    pub fn ceil(self) -> Self {
        self.each(ceil)
    }
}

impl Add for Range {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            low: self.low + other.low,
            likely: self.likely + other.likely,
            high: self.high + other.high,
        }
    }
}

/// The widest difference: both may lie anywhere in their ranges.
impl Sub for Range {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            low: self.low - other.high,
            likely: self.likely - other.likely,
            high: self.high - other.low,
        }
    }
}

impl Mul for Range {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let corners = [
            self.low * other.low,
            self.low * other.high,
            self.high * other.low,
            self.high * other.high,
        ];
        Self {
            low: corners.iter().copied().fold(f64::INFINITY, f64::min),
            likely: self.likely * other.likely,
            high: corners.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

/// The least whole number that is not below a value; values beyond 2^53 are whole already.
#[must_use]
pub(crate) fn ceil(value: f64) -> f64 {
    if !(-WHOLE_MAX..=WHOLE_MAX).contains(&value) {
        return value;
    }
    let whole = (value as i64) as f64;
    if whole < value { whole + 1.0 } else { whole }
}

/// The least divisor.
pub const DIVISOR_MIN: f64 = 1e-12;
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use super::{Range, ceil};

    #[test]
    fn operations_by_table() {
        let (a, b) = (Range::new(1.0, 2.0, 4.0), Range::new(2.0, 4.0, 8.0));
        assert_eq!(a + b, Range::new(3.0, 6.0, 12.0));
        assert_eq!(b - a, Range::new(-2.0, 2.0, 7.0));
        assert_eq!(a * b, Range::new(2.0, 8.0, 32.0));
        assert_eq!(a.over(b), Range::new(0.125, 0.5, 2.0));
        assert_eq!(a.max(Range::exact(3.0)), Range::new(3.0, 3.0, 4.0));
        assert_eq!((b - a) * a, Range::new(-8.0, 4.0, 28.0), "a product of what may be negative");
        assert_eq!(Range::of([3.0, 1.0, 2.0]), Range::new(1.0, 2.0, 3.0));
        assert_eq!(Range::of([2.0, 3.0, 1.0]), Range::new(1.0, 2.0, 3.0));
        assert_eq!(Range::of([1.0, 3.0, 2.0]), Range::new(1.0, 2.0, 3.0));
    }

    #[test]
    fn nothing_divides_to_infinity() {
        assert!(Range::exact(1e15).over(Range::ZERO).high.is_finite());
    }

    #[test]
    fn whole_numbers_are_not_below() {
        for (value, whole) in
            [(0.0, 0.0), (0.001, 1.0), (1.0, 1.0), (1.5, 2.0), (-1.5, -1.0), (1e300, 1e300)]
        {
            assert_eq!(ceil(value), whole, "{value}");
        }
    }
}
