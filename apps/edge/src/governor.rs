//! The governor: keeps the edge within its memory by saving in stages, and lets go again.
//!
//! ```text
//! budget used   80 %           86 %            92 %                96 %
//! Calm ───► ShrinkPools ─► SpareMemory ─► RefuseNewcomers ─► CloseOldest
//!      ◄─── each is left 4 points below its threshold, one every three seconds
//! ```
//! Once a second the control thread measures what is used and compares it with every bound that
//! holds: `server.memory` or an order, the cgroup's, the machine's. The worst decides. Levels rise
//! at once and fall one by one. Between two looks a storm of connections could use more than is
//! left, so the workers are given a number of newcomers that fit, and refuse those beyond it; the
//! fill plane likewise has bytes that it may store, and passes on what lies beyond them. Both share
//! what is left: what the one may take is not given to the other.
//!
//! The decision is a pure function; [`measure`] reads, [`shed`] closes.

use crate::host::Budget;
use crate::pressure::Level;

pub mod measure;
pub mod shed;

#[cfg(test)]
mod tests;

/// A bound, and what counts towards it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// How much, and who says so.
    pub budget: Budget,
    /// What of it is used, bytes.
    pub used_bytes: u64,
}

/// What is to be done until the next look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orders {
    /// How much to save.
    pub level: Level,
    /// The level that held before.
    pub before: Level,
    /// The bound that decides; `None` where nothing bounds.
    pub bound: Option<Bound>,
    /// Connections that may be accepted until the next look.
    pub newcomers: i64,
    /// Bytes that may be stored until then: as many as come if all that the memory tier can still
    /// grow by fits.
    pub storable_bytes: u64,
    /// Parked connections to close until then.
    pub closes: u64,
}

/// The state between two looks.
#[derive(Debug, Default)]
pub struct Governor {
    level: Level,
    /// Since when what is used allows a lower level, ms.
    low_since_ms: Option<u64>,
}

impl Governor {
    /// Looks at all bounds that hold, at `now_ms` by any clock that never goes back; the memory
    /// tier can grow by `growth_bytes` yet.
    pub fn look(&mut self, now_ms: u64, bounds: &[Bound], growth_bytes: u64) -> Orders {
        let before = self.level;
        let worst = bounds.iter().max_by_key(|bound| bound.permille()).copied();
        let permille = worst.map_or(0, |bound| bound.permille());
        let due = Level::ALL.iter().rev().find(|level| permille >= enter_permille(**level));
        let due = due.copied().unwrap_or(Level::Calm);
        if due >= self.level {
            self.level = due;
            self.low_since_ms = None;
        } else if permille + HYSTERESIS_PERMILLE < enter_permille(self.level) {
            let since_ms = *self.low_since_ms.get_or_insert(now_ms);
            if now_ms >= since_ms + HOLD_MS {
                self.level = self.level.below();
                self.low_since_ms = None;
            }
        } else {
            self.low_since_ms = None;
        }
        let room_bytes = bounds.iter().map(|bound| bound.room(Level::SpareMemory)).min();
        let share_bytes = room_bytes.map_or(u64::MAX, |bytes| bytes / 2);
        let stored_bytes = growth_bytes.min(share_bytes);
        let newcomers = bounds.iter().map(|bound| bound.newcomers(stored_bytes)).min();
        let closes = worst.map_or(0, |bound| bound.closes());
        Orders {
            level: self.level,
            before,
            bound: worst,
            newcomers: newcomers.unwrap_or(i64::MAX),
            storable_bytes: if growth_bytes <= share_bytes { u64::MAX } else { share_bytes },
            closes: if self.level == Level::CloseOldest { closes } else { 0 },
        }
    }
}

impl Bound {
    /// Thousandths of it that are used.
    fn permille(&self) -> u64 {
        let (used, budget) = (u128::from(self.used_bytes), u128::from(self.budget.bytes.max(1)));
        u64::try_from(used * 1000 / budget).unwrap_or(u64::MAX)
    }

    /// What lies below a number of thousandths of it.
    fn share(&self, permille: u64) -> u64 {
        let share = u128::from(self.budget.bytes) * u128::from(permille) / 1000;
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// Bytes that are left below the threshold of a level.
    fn room(&self, level: Level) -> u64 {
        self.share(enter_permille(level)).saturating_sub(self.used_bytes)
    }

    /// Connections that fit below the threshold at which newcomers are refused, beside so many
    /// stored bytes.
    fn newcomers(&self, stored_bytes: u64) -> i64 {
        let room = self.room(Level::RefuseNewcomers).saturating_sub(stored_bytes);
        i64::try_from(room / NEWCOMER_BYTES).unwrap_or(i64::MAX)
    }

    /// Connections whose end brings it below the threshold at which they are closed.
    fn closes(&self) -> u64 {
        let goal = self.share(enter_permille(Level::CloseOldest) - HYSTERESIS_PERMILLE);
        let excess = self.used_bytes.saturating_sub(goal);
        (excess / measure::PARKED_BYTES).clamp(CLOSES_MIN, CLOSES_MAX)
    }
}

/// What must be used for a level to begin, in thousandths.
#[must_use]
pub const fn enter_permille(level: Level) -> u64 {
    match level {
        Level::Calm => 0,
        Level::ShrinkPools => 800,
        Level::SpareMemory => 860,
        Level::RefuseNewcomers => 920,
        Level::CloseOldest => 960,
    }
}

/// How far below its threshold a level ends.
const HYSTERESIS_PERMILLE: u64 = 40;
/// For how long.
const HOLD_MS: u64 = 3000;
/// What a connection may take until the next look: its socket and slot, a buffer's part, a
/// handshake.
const NEWCOMER_BYTES: u64 = 8 * 1024;
/// Connections that are closed in a second, at least and at most.
const CLOSES_MIN: u64 = 64;
const CLOSES_MAX: u64 = 10_000;
