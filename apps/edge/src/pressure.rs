//! How much the edge must save: one shared word, written by the governor, read by whoever takes.
//!
//! ```text
//! Calm ─► ShrinkPools ─► SpareMemory ─► RefuseNewcomers ─► CloseOldest
//!      each level does what the ones before it do, and one thing more
//! ```
//! Readers load one relaxed byte. A level that is a moment old does no harm: the governor looks
//! again each second, and every table and queue has its own bound besides.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};

/// How much to save; each level includes the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Nothing is saved.
    #[default]
    Calm = 0,
    /// Pools give back what nobody uses, and nobody rests with a buffer.
    ShrinkPools = 1,
    /// Responses are passed on without being stored.
    SpareMemory = 2,
    /// No new connections and no new handshakes.
    RefuseNewcomers = 3,
    /// The connections that have been parked for longest are closed, so many a second.
    CloseOldest = 4,
}

impl Level {
    /// Every level, in order.
    pub const ALL: [Self; 5] = [
        Self::Calm,
        Self::ShrinkPools,
        Self::SpareMemory,
        Self::RefuseNewcomers,
        Self::CloseOldest,
    ];

    /// The word for logs, metrics and the admin plane.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::ShrinkPools => "shrink-pools",
            Self::SpareMemory => "spare-memory",
            Self::RefuseNewcomers => "refuse-newcomers",
            Self::CloseOldest => "close-oldest",
        }
    }

    /// The next one down.
    #[must_use]
    pub const fn below(self) -> Self {
        match self {
            Self::Calm | Self::ShrinkPools => Self::Calm,
            Self::SpareMemory => Self::ShrinkPools,
            Self::RefuseNewcomers => Self::SpareMemory,
            Self::CloseOldest => Self::RefuseNewcomers,
        }
    }
}

/// The level that holds now, for all threads.
#[derive(Debug)]
pub struct Pressure {
    level: AtomicU8,
    /// Connections that may come until the governor looks again.
    newcomers: AtomicI64,
    /// Bytes that may be stored until then.
    storable: AtomicU64,
}

impl Default for Pressure {
    /// Calm, and without a bound until the first look.
    fn default() -> Self {
        let (newcomers, storable) = (AtomicI64::new(i64::MAX), AtomicU64::new(u64::MAX));
        Self { level: AtomicU8::new(0), newcomers, storable }
    }
}

impl Pressure {
    /// What holds now.
    #[must_use]
    pub fn level(&self) -> Level {
        let number = usize::from(self.level.load(Ordering::Relaxed));
        Level::ALL.get(number).copied().unwrap_or(Level::CloseOldest)
    }

    /// The governor's word: the level, and how many connections and how many stored bytes fit until
    /// it looks again.
    pub fn set(&self, level: Level, newcomers: i64, storable_bytes: u64) {
        self.level.store(level as u8, Ordering::Relaxed);
        self.newcomers.store(newcomers, Ordering::Relaxed);
        self.storable.store(storable_bytes, Ordering::Relaxed);
    }

    /// Whether one more connection may come; it counts as one that has.
    #[must_use]
    pub fn admits_newcomer(&self) -> bool {
        !self.refuses_newcomers() && self.newcomers.fetch_sub(1, Ordering::Relaxed) > 0
    }

    /// Whether so many bytes more may be stored; they count as stored.
    #[must_use]
    pub fn admits_bytes(&self, bytes: u64) -> bool {
        let take = |left: u64| left.checked_sub(bytes);
        self.storable.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Whether pools give back what nobody uses.
    #[must_use]
    pub fn shrinks_pools(&self) -> bool {
        self.level() >= Level::ShrinkPools
    }

    /// Whether responses go by without being stored.
    #[must_use]
    pub fn spares_memory(&self) -> bool {
        self.level() >= Level::SpareMemory
    }

    /// Whether new connections and handshakes are refused.
    #[must_use]
    pub fn refuses_newcomers(&self) -> bool {
        self.level() >= Level::RefuseNewcomers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_includes_the_ones_before_it() {
        let pressure = Pressure::default();
        assert_eq!(pressure.level(), Level::Calm);
        for level in Level::ALL {
            pressure.set(level, 1, 0);
            assert_eq!(pressure.level(), level);
            let acts =
                [pressure.shrinks_pools(), pressure.spares_memory(), pressure.refuses_newcomers()];
            let due = [1, 2, 3].map(|from| level as u8 >= from);
            assert_eq!(acts, due, "{}", level.name());
            assert_eq!(level.below() as u8, (level as u8).saturating_sub(1));
        }
    }

    #[test]
    fn newcomers_are_admitted_by_their_number() {
        let pressure = Pressure::default();
        assert!(pressure.admits_newcomer());
        pressure.set(Level::Calm, 2, 0);
        let admitted = [(); 4].map(|()| pressure.admits_newcomer());
        assert_eq!(admitted, [true, true, false, false]);
        pressure.set(Level::RefuseNewcomers, 2, 0);
        assert!(!pressure.admits_newcomer());
    }

    #[test]
    fn bytes_are_admitted_as_long_as_they_fit() {
        let pressure = Pressure::default();
        assert!(pressure.admits_bytes(1 << 40));
        pressure.set(Level::Calm, 0, 100);
        let admitted = [60, 50, 40, 1].map(|bytes| pressure.admits_bytes(bytes));
        assert_eq!(admitted, [true, false, true, false], "what does not fit takes nothing");
        pressure.set(Level::Calm, 0, 100);
        assert!(pressure.admits_bytes(100));
    }
}
