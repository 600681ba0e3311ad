//! Who may shake hands, and in which order.
//!
//! A newcomer that has begun to speak waits in line, which costs it nothing but its place there.
//! It is let in while fewer handshakes than allowed are in flight, here and in all workers, and no
//! faster than the rate; one whose source has enough of them in flight is turned away. Those that
//! are in are advanced in the order in which their bytes came, so many steps a turn: whatever the
//! crowd, a turn of the worker's other connections comes after so many signatures.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bounds of handshakes in one transport.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The bound that all transports share.
    pub in_flight: Arc<InFlight>,
    /// Handshakes in flight from one source address.
    pub per_source_max: u32,
    /// Handshakes begun per second; `None` for as many as can be.
    pub rate_max: Option<u32>,
    /// Steps of handshakes in one wait: about a signature each.
    pub steps_max: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            in_flight: Arc::new(InFlight::new(4096)),
            per_source_max: 256,
            rate_max: None,
            steps_max: STEPS_DEFAULT,
        }
    }
}

/// Handshakes in flight in all transports together.
#[derive(Debug)]
pub struct InFlight {
    count: AtomicU32,
    most: u32,
}

impl InFlight {
    /// At most so many.
    #[must_use]
    pub const fn new(most: u32) -> Self {
        Self { count: AtomicU32::new(0), most }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    fn enter(&self) -> bool {
        let more = |count: u32| (count < self.most).then_some(count + 1);
        self.count.try_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn leave(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client's address as it counts: IPv6 by network of 64 bits, because one host has as many
/// addresses as that has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source(u64);

impl Source {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(u64::from(v4.to_bits())),
            // The highest bit tells them from IPv4; global addresses do not have it.
            IpAddr::V6(v6) => Self((v6.to_bits() >> 64) as u64 | 1 << 63),
        }
    }
}

/// A place in a queue: a connection by slot and generation.
pub(super) type Place = (u32, u32);

/// What the first in line is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is in, and counted until [`Line::leave`].
    Enter,
    /// Its source has enough.
    TurnedAway,
    /// Nobody is let in now.
    Wait,
}

/// The line of one transport.
pub(super) struct Line {
    bounds: Bounds,
    /// Newcomers that have spoken.
    pub(super) newcomers: VecDeque<Place>,
    /// Handshakes with bytes to be looked at.
    pub(super) steps: VecDeque<Place>,
    sources: HashMap<Source, u32>,
    /// When the next may begin, by the rate.
    next_us: u64,
}

impl Line {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            newcomers: VecDeque::new(),
            steps: VecDeque::new(),
            sources: HashMap::new(),
            next_us: 0,
        }
    }

    pub(super) fn steps_max(&self) -> u32 {
        self.bounds.steps_max
    }

    /// Whether somebody waits for a step, or to be let in.
    pub(super) fn is_empty(&self) -> bool {
        self.newcomers.is_empty() && self.steps.is_empty()
    }

    /// Lets one in, if that may be.
    pub(super) fn enter(&mut self, source: Source, now_us: u64) -> Turn {
        if now_us < self.next_us {
            return Turn::Wait;
        }
        let from_source = self.sources.get(&source).copied().unwrap_or(0);
        if from_source >= self.bounds.per_source_max {
            return Turn::TurnedAway;
        }
        if !self.bounds.in_flight.enter() {
            return Turn::Wait;
        }
        *self.sources.entry(source).or_insert(0) += 1;
        if let Some(rate) = self.bounds.rate_max {
            // A quiet time is no reason for a burst of more than a tenth of a second.
            let earliest_us = now_us.saturating_sub(BURST_US);
            self.next_us = self.next_us.max(earliest_us) + SECOND_US / u64::from(rate.max(1));
        }
        Turn::Enter
    }

    /// One that was in has ended.
    pub(super) fn leave(&mut self, source: Source) {
        self.bounds.in_flight.leave();
        if let Some(count) = self.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
    }

    /// When to look again, for those who wait; `None` when nobody does.
    pub(super) fn look_again_us(&self, now_us: u64) -> Option<u64> {
        if !self.steps.is_empty() {
            return Some(now_us);
        }
        // What others let go nobody tells.
        (!self.newcomers.is_empty()).then(|| self.next_us.max(now_us + LOOK_AGAIN_US))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        for _ in 0..self.sources.values().sum::<u32>() {
            self.bounds.in_flight.leave();
        }
    }
}

/// About half a millisecond of signatures.
const STEPS_DEFAULT: u32 = 4;
const LOOK_AGAIN_US: u64 = 2_000;
const BURST_US: u64 = 100_000;
const SECOND_US: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        Source::of(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn a_source_has_its_bound_and_all_have_one() {
        let in_flight = Arc::new(InFlight::new(3));
        let bounds = Bounds { in_flight, per_source_max: 2, ..Bounds::default() };
        let mut line = Line::new(bounds.clone());
        let turns = [1, 1, 1, 2, 3].map(|last| line.enter(source(last), 0));
        use Turn::{Enter, TurnedAway, Wait};
        assert_eq!(turns, [Enter, Enter, TurnedAway, Enter, Wait]);
        let mut other = Line::new(bounds.clone());
        assert_eq!(other.enter(source(9), 0), Wait, "the bound is shared");
        line.leave(source(1));
        assert_eq!(other.enter(source(9), 0), Enter);
        drop(line);
        drop(other);
        assert_eq!(bounds.in_flight.count(), 0);
    }

    #[test]
    fn the_rate_bounds_a_second_and_saves_up_a_tenth_of_one() {
        let bounds = Bounds { rate_max: Some(100), per_source_max: 1000, ..Bounds::default() };
        let mut line = Line::new(bounds);
        let begun = |line: &mut Line, from_us: u64, to_us: u64| {
            let moments = (from_us..to_us).step_by(1000);
            moments.filter(|now_us| line.enter(source(1), *now_us) == Turn::Enter).count()
        };
        assert_eq!(begun(&mut line, 10_000_000, 11_000_000), 110);
        assert_eq!(begun(&mut line, 11_000_000, 12_000_000), 100);
    }

    #[test]
    fn an_ipv6_source_is_its_network() {
        let of = |text: &str| Source::of(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
