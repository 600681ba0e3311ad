//! A hashed timer wheel whose links lie in the slots: a timer costs no memory of its own.
//!
//! ```text
//! bucket = tick mod 1024        tick = 100 ms, one turn = 102.4 s
//! ```
//! A deadline further away than one turn stays in its bucket and is passed over until its turn
//! comes. Scheduling, moving and cancelling are O(1); advancing visits each elapsed bucket that
//! holds a timer once, at most all of them, and in each the timers it holds. Empty stretches are
//! skipped by a bitmap, 64 buckets at a look.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::slot::{Slot, SlotTable};
use crate::sync::Ordering;

/// The wheel of one worker, over the slots of one table: every call must be given that table. Takes
/// 4.2 KB; 13 years after its start deadlines no longer move apart and fire early.
#[derive(Debug)]
pub struct Wheel {
    heads: Box<[u32]>,
    occupied: [u64; BUCKETS / 64],
    /// All deadlines up to and with this tick have fired, but for those that a full list left.
    tick: u64,
    len: usize,
}

/// Where fired slots go, and how long that list may get.
struct Fired<'a> {
    list: &'a mut Vec<u32>,
    len_max: usize,
}

impl Wheel {
    /// An empty wheel whose time starts at `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        Self {
            heads: alloc::vec![NONE; BUCKETS].into_boxed_slice(),
            occupied: [0; BUCKETS / 64],
            tick: now_ms / TICK_MS,
            len: 0,
        }
    }

    /// Timers in the wheel.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No timer is set.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets the slot's deadline, or moves it. It fires at the first tick at or after
    /// `deadline_ms`; a past deadline fires at the next tick.
    pub fn schedule(&mut self, slots: &SlotTable, slot: u32, deadline_ms: u64) {
        let Some(cell) = slots.get(slot) else { return };
        let tick = deadline_ms.div_ceil(TICK_MS).max(self.tick + 1);
        let tick = u32::try_from(tick).unwrap_or(u32::MAX);
        if is_in(cell) {
            if tick_of(cell) % BUCKETS as u32 == tick % BUCKETS as u32 {
                cell.wheel_tick.store(tick, Ordering::Relaxed);
                return;
            }
            self.unlink(slots, cell);
        }
        self.link(slots, slot, cell, tick);
    }

    /// Takes the slot out, if it is in.
    pub fn cancel(&mut self, slots: &SlotTable, slot: u32) {
        if let Some(cell) = slots.get(slot).filter(|cell| is_in(cell)) {
            self.unlink(slots, cell);
        }
    }

    /// Moves time on to `now_ms` and appends the slots whose deadline has come to `expired`, at
    /// most `expired_max` of them; they are out of the wheel then. What did not fit fires in the
    /// next call, and [`Self::next_deadline_ms`] is past until it has.
    pub fn advance(
        &mut self,
        slots: &SlotTable,
        now_ms: u64,
        expired_max: usize,
        expired: &mut Vec<u32>,
    ) {
        let now = now_ms / TICK_MS;
        let len_max = expired.len().saturating_add(expired_max);
        let mut fired = Fired { list: expired, len_max };
        // One turn visits every bucket; the time before it needs no visit of its own.
        self.tick = self.tick.max(now.saturating_sub(BUCKETS as u64));
        while let Some(tick) = self.next_tick().filter(|tick| *tick <= now) {
            if !self.fire(slots, bucket_of(tick), now, &mut fired) {
                return;
            }
            self.tick = tick;
        }
        self.tick = self.tick.max(now);
    }

    /// No deadline comes up before this time, ms; `None` when there is none. O(1): a bound from the
    /// buckets in use, which is too early when the next one holds only deadlines beyond one turn.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.next_tick().map(|tick| tick.saturating_mul(TICK_MS))
    }

    /// The next tick whose bucket is in use, at most one turn away.
    fn next_tick(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let first = self.tick + 1;
        let mut distance = 0;
        while distance < BUCKETS as u64 {
            let bucket = bucket_of(first + distance);
            let in_word = bucket % 64;
            let word = self.occupied.get(bucket / 64).copied().unwrap_or(0) >> in_word;
            if word != 0 {
                return Some(first + distance + u64::from(word.trailing_zeros()));
            }
            distance += 64 - in_word as u64;
        }
        None
    }

    /// Fires what is due in a bucket; false when the list is full.
    fn fire(&mut self, slots: &SlotTable, bucket: usize, now: u64, fired: &mut Fired<'_>) -> bool {
        let mut at = self.heads.get(bucket).copied().unwrap_or(NONE);
        while let Some(cell) = slots.get(at) {
            let next = cell.wheel_next.load(Ordering::Relaxed);
            if u64::from(tick_of(cell)) <= now {
                if fired.list.len() == fired.len_max {
                    return false;
                }
                self.unlink(slots, cell);
                fired.list.push(at);
            }
            at = next;
        }
        true
    }

    fn link(&mut self, slots: &SlotTable, slot: u32, cell: &Slot, tick: u32) {
        let bucket = bucket_of(u64::from(tick));
        let Some(head) = self.heads.get_mut(bucket) else { return };
        let next = core::mem::replace(head, slot);
        if let Some(word) = self.occupied.get_mut(bucket / 64) {
            *word |= 1 << (bucket % 64);
        }
        cell.wheel_tick.store(tick, Ordering::Relaxed);
        cell.wheel_next.store(next, Ordering::Relaxed);
        cell.wheel_prev.store(NONE, Ordering::Relaxed);
        cell.in_wheel.store(1, Ordering::Relaxed);
        if let Some(behind) = slots.get(next) {
            behind.wheel_prev.store(slot, Ordering::Relaxed);
        }
        self.len += 1;
    }

    fn unlink(&mut self, slots: &SlotTable, cell: &Slot) {
        let bucket = bucket_of(u64::from(tick_of(cell)));
        let next = cell.wheel_next.load(Ordering::Relaxed);
        let prev = cell.wheel_prev.load(Ordering::Relaxed);
        match slots.get(prev) {
            Some(before) => before.wheel_next.store(next, Ordering::Relaxed),
            None => {
                if let Some(head) = self.heads.get_mut(bucket) {
                    *head = next;
                }
                if next == NONE
                    && let Some(word) = self.occupied.get_mut(bucket / 64)
                {
                    *word &= !(1 << (bucket % 64));
                }
            }
        }
        if let Some(behind) = slots.get(next) {
            behind.wheel_prev.store(prev, Ordering::Relaxed);
        }
        cell.in_wheel.store(0, Ordering::Relaxed);
        self.len -= 1;
    }
}

fn is_in(cell: &Slot) -> bool {
    cell.in_wheel.load(Ordering::Relaxed) != 0
}

fn tick_of(cell: &Slot) -> u32 {
    cell.wheel_tick.load(Ordering::Relaxed)
}

fn bucket_of(tick: u64) -> usize {
    (tick % BUCKETS as u64) as usize
}

/// Length of a tick, ms.
pub const TICK_MS: u64 = 100;
/// Buckets of the wheel; a power of two.
pub const BUCKETS: usize = 1024;

// The bitmap has whole words, and a tick that was cut to 32 bits keeps its bucket.
const _: () = assert!(BUCKETS.is_power_of_two() && BUCKETS >= 64);

const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests;
