//! From values to places on an axis: even steps, or even factors.

use alloc::vec::Vec;

use crate::text::Unit;

/// An axis with its ticks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    is_logarithmic: bool,
    /// In order, from one end to the other or nearly so.
    pub(crate) ticks: Vec<f64>,
}

impl Scale {
    /// From zero, in even steps of 1, 2 or 5 of the unit, up to `greatest`.
    pub(crate) fn linear(greatest: f64, unit: Unit) -> Self {
        let is_drawn = greatest.is_finite() && greatest > 0.0;
        let greatest = if is_drawn { greatest.clamp(LEAST, GREATEST) } else { 1.0 };
        let base = unit.base(greatest);
        let mut step = round_step(greatest / base / STEPS) * base;
        if matches!(unit, Unit::Count) {
            step = step.max(1.0);
        }
        let mut ticks = alloc::vec![0.0];
        let mut high = 0.0;
        while high < greatest {
            high = ticks.len() as f64 * step;
            ticks.push(high);
        }
        Self { low: 0.0, high, is_logarithmic: false, ticks }
    }

    /// The same, and it ends at `greatest`, not at the tick behind it.
    pub(crate) fn up_to(greatest: f64, unit: Unit) -> Self {
        let whole = Self::linear(greatest, unit);
        if !(LEAST..=whole.high).contains(&greatest) {
            return whole;
        }
        let ticks = whole.ticks.into_iter().filter(|tick| *tick <= greatest).collect();
        Self { high: greatest, ticks, ..whole }
    }

    /// In factors of ten round `least` and `greatest`; what is not above zero has no place on it.
    pub(crate) fn logarithmic(least: f64, greatest: f64) -> Self {
        let bounded = |value: f64| {
            let is_drawn = value.is_finite() && value > 0.0;
            if is_drawn { value.clamp(LEAST, GREATEST) } else { 1.0 }
        };
        let mut low = 1.0;
        while low > bounded(least) {
            low /= 10.0;
        }
        while low * 10.0 <= bounded(least) {
            low *= 10.0;
        }
        let mut ticks = alloc::vec![low];
        let mut high = low;
        while high < bounded(greatest) || ticks.len() < 2 {
            high *= 10.0;
            ticks.push(high);
        }
        Self { low, high, is_logarithmic: true, ticks }
    }

    /// Where `value` stands between the ends, from 0 to 1; `None` of what has no place there.
    pub(crate) fn share(&self, value: f64) -> Option<f64> {
        if !value.is_finite() || self.is_logarithmic && value <= 0.0 {
            return None;
        }
        let share = match self.is_logarithmic {
            true => (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low)),
            false => (value - self.low) / (self.high - self.low),
        };
        Some(share.clamp(0.0, 1.0))
    }
}

/// The decimal logarithm of a finite number above zero, to eight digits: `core` has none.
pub(crate) fn log10(value: f64) -> f64 {
    let (mut mantissa, mut exponent) = (value, 0.0);
    while mantissa >= 10.0 {
        mantissa /= 10.0;
        exponent += 1.0;
    }
    while mantissa < 1.0 {
        mantissa *= 10.0;
        exponent -= 1.0;
    }
    // ln m = 2 artanh((m − 1) / (m + 1)), whose series has odd powers only.
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let (mut power, mut sum, mut odd) = (ratio, 0.0, 1.0);
    while odd < TERMS {
        sum += power / odd;
        power *= ratio * ratio;
        odd += 2.0;
    }
    exponent + 2.0 * sum / core::f64::consts::LN_10
}

/// The least of 1, 2, 5 times a power of ten that is not below `step`, which is above zero.
fn round_step(step: f64) -> f64 {
    let mut magnitude = 1.0;
    while magnitude > step {
        magnitude /= 10.0;
    }
    while magnitude * 10.0 <= step {
        magnitude *= 10.0;
    }
    let fits = |factor: &f64| magnitude * factor >= step;
    magnitude * [1.0, 2.0, 5.0].into_iter().find(fits).unwrap_or(10.0)
}

/// About how many steps an axis has.
const STEPS: f64 = 5.0;
/// Bounds of what can be drawn: between them nothing overflows.
const LEAST: f64 = 1e-9;
const GREATEST: f64 = 1e18;
/// Terms of the series: the mantissa is below ten, so its powers fall by a third each.
const TERMS: f64 = 99.0;

#[cfg(test)]
mod tests {
    use super::{Scale, log10};
    use crate::text::Unit;

    #[test]
    fn steps_are_round_in_their_unit() {
        let check = |greatest, unit, expected: &[f64]| {
            assert_eq!(Scale::linear(greatest, unit).ticks, expected, "{greatest}");
        };
        check(100.0, Unit::Count, &[0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        check(2_000_000.0, Unit::Count, &[0.0, 5e5, 1e6, 1.5e6, 2e6]);
        check(1.0, Unit::Count, &[0.0, 1.0]);
        check(0.0, Unit::Count, &[0.0, 1.0]);
        check(0.0, Unit::Bytes, &[0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        check(3072.0, Unit::Bytes, &[0.0, 1024.0, 2048.0, 3072.0]);
        check(f64::NAN, Unit::Count, &[0.0, 1.0]);
    }

    #[test]
    fn time_ends_where_its_last_point_is() {
        let scale = Scale::up_to(10.5, Unit::Seconds);
        assert_eq!((scale.ticks.as_slice(), scale.high), ([0.0, 5.0, 10.0].as_slice(), 10.5));
        assert_eq!(Scale::up_to(0.0, Unit::Seconds), Scale::linear(0.0, Unit::Seconds));
        assert_eq!(Scale::up_to(f64::NAN, Unit::Count), Scale::linear(1.0, Unit::Count));
    }

    #[test]
    fn factors_enclose_what_is_drawn() {
        assert_eq!(Scale::logarithmic(30.0, 2500.0).ticks, [10.0, 100.0, 1000.0, 10_000.0]);
        assert_eq!(Scale::logarithmic(10.0, 10.0).ticks, [10.0, 100.0]);
        assert_eq!(Scale::logarithmic(0.5, 0.5).ticks, [0.1, 1.0]);
    }

    #[test]
    fn the_logarithm_is_that_of_the_standard_library() {
        for value in [1e-9, 0.02, 1.0, 3.0, 9.999_999, 10.0, 12_345.678, 1e18] {
            assert!((log10(value) - f64::log10(value)).abs() < 1e-7, "{value}");
        }
    }

    #[test]
    fn places_lie_between_the_ends() {
        let linear = Scale::linear(100.0, Unit::Count);
        assert_eq!(linear.share(50.0), Some(0.5));
        assert_eq!((linear.share(-5.0), linear.share(1e9)), (Some(0.0), Some(1.0)));
        assert_eq!(linear.share(f64::NAN), None);
        let factors = Scale::logarithmic(10.0, 1000.0);
        assert!((factors.share(100.0).expect("on it") - 0.5).abs() < 1e-6);
        assert_eq!(factors.share(0.0), None);
    }

    /// RP-3.
    #[test]
    fn no_number_breaks_an_axis() {
        for value in [0.0, -1.0, f64::MIN_POSITIVE, 1e300, f64::NAN, f64::INFINITY, f64::MAX] {
            for unit in [Unit::Count, Unit::Bytes, Unit::Micros] {
                let ticks = Scale::linear(value, unit).ticks;
                assert!((2..=12).contains(&ticks.len()), "{value} {ticks:?}");
            }
            assert!(Scale::logarithmic(value, value).ticks.len() <= 3);
            assert!(Scale::logarithmic(LEAST_DRAWN, value).ticks.len() <= 29);
        }
    }

    const LEAST_DRAWN: f64 = 1e-9;
}
