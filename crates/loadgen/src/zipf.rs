//! Which of many keys is wanted: Zipf's law, by rejection-inversion (Hörmann and Derflinger 1996,
//! "Rejection-inversion to generate variates from monotone discrete distributions").
//!
//! Key k of 0 to n - 1 is drawn with a probability in proportion to (k + 1)^-s. No table is kept;
//! a draw takes 1.1 tries on average.

use crate::chance::Chance;

/// The law for n keys and one exponent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zipf {
    keys: u32,
    exponent: f64,
    /// The integral of the hat, where the first key begins and where the last one ends.
    first: f64,
    last: f64,
    /// So near to the middle of its key a point is always under the curve.
    near: f64,
}

impl Zipf {
    /// For `keys` keys, at least one; an exponent of 0 makes all keys equally likely.
    pub(crate) fn new(keys: u32, exponent: f64) -> Self {
        let mut zipf = Self { keys: keys.max(1), exponent, first: 0.0, last: 0.0, near: 0.0 };
        zipf.first = zipf.integral(1.5) - 1.0;
        zipf.last = zipf.integral(f64::from(zipf.keys) + 0.5);
        zipf.near = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.weight(2.0));
        zipf
    }

    /// One key.
    pub(crate) fn draw(&self, chance: &mut Chance) -> u32 {
        loop {
            let area = self.last + chance.share() * (self.first - self.last);
            let point = self.inverse(area);
            let rank = (point + 0.5).floor().clamp(1.0, f64::from(self.keys));
            let is_near = rank - point <= self.near;
            if is_near || area >= self.integral(rank + 0.5) - self.weight(rank) {
                return rank as u32 - 1;
            }
        }
    }

    /// x^-s.
    fn weight(&self, x: f64) -> f64 {
        x.powf(-self.exponent)
    }

    /// The integral of x^-s: (x^(1-s) - 1) / (1 - s), and ln x where s is 1.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let scaled = (1.0 - self.exponent) * log;
        if scaled.abs() < TINY { log } else { scaled.exp_m1() / scaled * log }
    }

    /// The inverse of [`integral`](Self::integral).
    fn inverse(&self, area: f64) -> f64 {
        let scaled = (area * (1.0 - self.exponent)).max(-1.0);
        let factor = if scaled.abs() < TINY { 1.0 } else { scaled.ln_1p() / scaled };
        (factor * area).exp()
    }
}

/// Below this, both quotients above are 1 to within rounding.
const TINY: f64 = 1e-12;

#[cfg(test)]
mod tests;
