//! The wheel against a map (CN-4), and its stretches: far, empty, full.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{BUCKETS, TICK_MS, Wheel};
use crate::slot::SlotTable;

const SLOTS: u32 = 24;
const TURN_MS: u64 = TICK_MS * BUCKETS as u64;
const HOUR_MS: u64 = 3_600_000;

/// One thing that is done to a wheel; times are distances from now.
#[derive(Clone, Debug)]
enum Op {
    Schedule { slot: u32, ahead_ms: i64 },
    Cancel { slot: u32 },
    Advance { by_ms: u64, expired_max: usize },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let ahead_ms = prop_oneof![
        4 => -200..2_000_i64,
        3 => 0..2 * TURN_MS as i64,
        // The very same bucket, turns away.
        1 => (1..4_i64).prop_map(|turns| turns * TURN_MS as i64),
        1 => 0..5 * HOUR_MS as i64,
    ];
    let by_ms = prop_oneof![
        4 => 0..500_u64,
        3 => 0..2 * TURN_MS,
        1 => (1..4_u64).prop_map(|turns| turns * TURN_MS),
        1 => 0..72 * HOUR_MS,
    ];
    let expired_max = prop_oneof![2 => 0..3_usize, 3 => Just(usize::MAX)];
    let op = prop_oneof![
        6 => (0..SLOTS, ahead_ms).prop_map(|(slot, ahead_ms)| Op::Schedule { slot, ahead_ms }),
        2 => (0..SLOTS).prop_map(|slot| Op::Cancel { slot }),
        4 => (by_ms, expired_max)
            .prop_map(|(by_ms, expired_max)| Op::Advance { by_ms, expired_max }),
    ];
    prop::collection::vec(op, 1..120)
}

/// The wheel and what it should hold: slot → tick.
struct Pair {
    slots: SlotTable,
    wheel: Wheel,
    model: BTreeMap<u32, u64>,
    now_ms: u64,
}

impl Pair {
    fn new(now_ms: u64) -> Self {
        let wheel = Wheel::new(now_ms);
        Self { slots: SlotTable::new(SLOTS), wheel, model: BTreeMap::new(), now_ms }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Schedule { slot, ahead_ms } => {
                let deadline_ms = self.now_ms.saturating_add_signed(ahead_ms);
                let tick = deadline_ms.div_ceil(TICK_MS).max(self.wheel.tick + 1);
                self.wheel.schedule(&self.slots, slot, deadline_ms);
                self.model.insert(slot, tick);
            }
            Op::Cancel { slot } => {
                self.wheel.cancel(&self.slots, slot);
                self.model.remove(&slot);
            }
            Op::Advance { by_ms, expired_max } => self.advance(by_ms, expired_max),
        }
        self.check();
    }

    fn advance(&mut self, by_ms: u64, expired_max: usize) {
        self.now_ms += by_ms;
        let now = self.now_ms / TICK_MS;
        let due = self.model.values().filter(|tick| **tick <= now).count();
        let mut fired = vec![u32::MAX];
        self.wheel.advance(&self.slots, self.now_ms, expired_max, &mut fired);
        assert_eq!(
            fired.len() - 1,
            due.min(expired_max),
            "all that is due, as far as there is room"
        );
        for slot in fired.into_iter().skip(1) {
            let tick = self.model.remove(&slot).expect("what fires was set, and fires once");
            assert!(tick <= now, "slot {slot} fired early");
        }
    }

    fn check(&self) {
        assert_eq!(self.wheel.len(), self.model.len());
        assert_eq!(self.wheel.is_empty(), self.model.is_empty());
        let Some(first) = self.model.values().min().map(|tick| tick * TICK_MS) else {
            assert_eq!(self.wheel.next_deadline_ms(), None);
            return;
        };
        let next_ms = self.wheel.next_deadline_ms().expect("a timer is set");
        if first <= self.now_ms {
            assert!(next_ms <= self.now_ms, "what a full list left must not be slept over");
            return;
        }
        assert!(next_ms <= first, "{next_ms} is after the first deadline, {first}");
        // After a full list the next call has ticks to catch up with, and may find them empty.
        if self.wheel.tick == self.now_ms / TICK_MS {
            assert!(next_ms > self.now_ms, "a wait until {next_ms} would spin");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// CN-4.
    #[test]
    fn a_wheel_does_what_a_map_does(start_ms in 0..10 * TURN_MS, ops in ops()) {
        let mut pair = Pair::new(start_ms);
        for op in &ops {
            pair.apply(op);
        }
        // In the end all that is set fires, and time can always go on.
        let mut calls = 0;
        while !pair.model.is_empty() {
            pair.advance(HOUR_MS, 3);
            calls += 1;
            prop_assert!(calls < 5 + u64::from(SLOTS), "a timer never fires");
        }
        pair.check();
    }
}

fn fired(wheel: &mut Wheel, slots: &SlotTable, now_ms: u64) -> Vec<u32> {
    let mut fired = Vec::new();
    wheel.advance(slots, now_ms, usize::MAX, &mut fired);
    fired.sort_unstable();
    fired
}

#[test]
fn a_timer_fires_at_the_first_tick_at_or_after_its_deadline() {
    let slots = SlotTable::new(1);
    for (deadline_ms, tick_ms) in [(1, 100), (99, 100), (100, 100), (101, 200), (75_000, 75_000)] {
        let mut wheel = Wheel::new(0);
        wheel.schedule(&slots, 0, deadline_ms);
        assert_eq!(wheel.next_deadline_ms(), Some(tick_ms));
        assert_eq!(fired(&mut wheel, &slots, tick_ms - 1), []);
        assert_eq!(fired(&mut wheel, &slots, tick_ms), [0]);
        assert_eq!(fired(&mut wheel, &slots, tick_ms + HOUR_MS), [], "only once");
    }
}

#[test]
fn a_deadline_of_hours_is_passed_over_once_per_turn() {
    let slots = SlotTable::new(1);
    let mut wheel = Wheel::new(0);
    let deadline_ms = 5 * HOUR_MS;
    wheel.schedule(&slots, 0, deadline_ms);
    let mut wakes = 0;
    loop {
        let next_ms = wheel.next_deadline_ms().expect("it is set");
        wakes += 1;
        if !fired(&mut wheel, &slots, next_ms).is_empty() {
            assert_eq!(next_ms, deadline_ms);
            break;
        }
    }
    assert!(wakes <= deadline_ms / TURN_MS + 1, "{wakes} wakes");
}

#[test]
fn a_jump_of_days_fires_everything_once() {
    let slots = SlotTable::new(SLOTS);
    let mut wheel = Wheel::new(50);
    for slot in 0..SLOTS {
        wheel.schedule(&slots, slot, u64::from(slot) * HOUR_MS / 4);
    }
    let all: Vec<_> = (0..SLOTS).collect();
    assert_eq!(fired(&mut wheel, &slots, 72 * HOUR_MS), all);
    assert!(wheel.is_empty());
    // The wheel goes on from there.
    wheel.schedule(&slots, 3, 72 * HOUR_MS + 500);
    assert_eq!(wheel.next_deadline_ms(), Some(72 * HOUR_MS + 500));
    assert_eq!(fired(&mut wheel, &slots, 72 * HOUR_MS + 500), [3]);
}

#[test]
fn a_full_list_goes_on_in_the_next_call() {
    let slots = SlotTable::new(SLOTS);
    let mut wheel = Wheel::new(0);
    for slot in 0..SLOTS {
        wheel.schedule(&slots, slot, 1_000 + u64::from(slot % 3) * 200);
    }
    let mut list = Vec::new();
    for call in 1..=SLOTS as usize / 5 {
        wheel.advance(&slots, 2_000, 5, &mut list);
        assert_eq!(list.len(), 5 * call);
        assert!(wheel.next_deadline_ms().is_some_and(|next_ms| next_ms <= 2_000));
    }
    // Meanwhile time leaps, and one of those that were due is put off.
    let put_off = (0..SLOTS).find(|slot| !list.contains(slot)).expect("some are left");
    wheel.schedule(&slots, put_off, 9 * HOUR_MS);
    wheel.advance(&slots, 8 * HOUR_MS, usize::MAX, &mut list);
    list.sort_unstable();
    let expected: Vec<_> = (0..SLOTS).filter(|slot| *slot != put_off).collect();
    assert_eq!(list, expected);
    assert_eq!(fired(&mut wheel, &slots, 9 * HOUR_MS), [put_off]);
}

#[test]
fn a_past_deadline_fires_at_the_next_tick() {
    let slots = SlotTable::new(1);
    let mut wheel = Wheel::new(10_000);
    wheel.schedule(&slots, 0, 3);
    assert_eq!(fired(&mut wheel, &slots, 10_099), []);
    assert_eq!(fired(&mut wheel, &slots, 10_100), [0]);
}

#[test]
fn time_that_stands_or_runs_back_changes_nothing() {
    let slots = SlotTable::new(1);
    let mut wheel = Wheel::new(10_000);
    wheel.schedule(&slots, 0, 10_500);
    for now_ms in [10_400, 10_400, 0, 9_999] {
        assert_eq!(fired(&mut wheel, &slots, now_ms), []);
        assert_eq!(wheel.next_deadline_ms(), Some(10_500));
    }
    assert_eq!(fired(&mut wheel, &slots, 10_500), [0]);
}

#[test]
fn slots_that_do_not_exist_are_not_set() {
    let slots = SlotTable::new(1);
    let mut wheel = Wheel::new(0);
    wheel.schedule(&slots, 1, 100);
    wheel.cancel(&slots, 1);
    wheel.cancel(&slots, 0);
    assert_eq!((wheel.len(), wheel.next_deadline_ms()), (0, None));
}

/// An advance that visited ticks, and not buckets in use, would not end within a lifetime.
#[test]
fn empty_stretches_cost_nothing() {
    let slots = SlotTable::new(1);
    let mut wheel = Wheel::new(0);
    assert_eq!(fired(&mut wheel, &slots, u64::MAX / 2), []);
    wheel.schedule(&slots, 0, u64::MAX / 2 + 200);
    assert_eq!(fired(&mut wheel, &slots, u64::MAX), [0], "late, 13 years of ticks are used up");
    assert_eq!(wheel.next_deadline_ms(), None);
}

/// CN-4 at the scale that one edge holds: a timer is a link in its slot and nothing else, and when
/// all fall due at once they come a bounded number at a time.
#[test]
fn two_million_timers_are_links_in_their_slots_and_expire_in_portions() {
    const TIMERS: u32 = 2_000_000;
    const PORTION: usize = 65_536;
    let slots = SlotTable::new(TIMERS);
    let mut wheel = Wheel::new(0);
    for slot in 0..TIMERS {
        wheel.schedule(&slots, slot, 75_000);
    }
    assert_eq!(wheel.len(), TIMERS as usize);
    let mut expired = Vec::with_capacity(PORTION);
    wheel.advance(&slots, 74_900, PORTION, &mut expired);
    assert!(expired.is_empty(), "none is early");
    let mut fired = vec![false; TIMERS as usize];
    let mut left = TIMERS as usize;
    while left > 0 {
        expired.clear();
        wheel.advance(&slots, 75_000, PORTION, &mut expired);
        assert_eq!(expired.len(), left.min(PORTION));
        left -= expired.len();
        assert_eq!(wheel.next_deadline_ms().is_some(), left > 0, "the rest is due");
        for slot in &expired {
            assert!(!std::mem::replace(&mut fired[*slot as usize], true), "{slot} fires twice");
        }
    }
    assert!(wheel.is_empty());
}
