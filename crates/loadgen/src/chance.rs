//! Chance from a seed: the same numbers for the same seed on every machine (SplitMix64).

/// A sequence of numbers that look like chance.
#[derive(Clone, Debug)]
pub(crate) struct Chance {
    state: u64,
}

impl Chance {
    /// Of one seed, sequences for different uses know nothing of each other.
    pub(crate) fn new(seed: u64, of: Use) -> Self {
        Self { state: mix(mix(seed) ^ of as u64) }
    }

    /// Any number.
    pub(crate) fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A number from 0 up to, but never, 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The time to the next of events that come independently, `mean` apart on average.
    pub(crate) fn gap(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.share()).ln()
    }
}

/// What is left to chance.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Use {
    /// When requests are due.
    Arrivals = 1,
    /// Which keys are wanted.
    Keys = 2,
}

/// SplitMix64's finaliser: every bit of the result depends on every bit of `z`.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// SplitMix64's step.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
