//! Leaks: slots that stand where none may stand for long, and books that do not balance.
//!
//! The control thread goes over the slots a stretch a second, all of them in [`ROUND_S`] seconds,
//! and remembers which it finds in a state that must pass. Who is found so again, by the same
//! generation, after [`PATIENCE`], is a leak: one line in the log with slot and reason, and a
//! gauge. So a leak is told within a minute. What the workers' own books say is told as well.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longhold_conn::tunnel::Side;
use longhold_conn::{Slot, State};
use longhold_telemetry::{Gauge, WorkerCounters};
use serde_json::{Value, json};

use crate::roster::{Imbalance, Member};

/// What is wrong with a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leak {
    /// Its close does not end.
    Closing,
    /// It rests, and nothing will ever end its rest.
    NoDeadline,
    /// It rests for longer than it may.
    Overdue,
}

impl Leak {
    /// The word for the log and the metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Closing => "closing",
            Self::NoDeadline => "no-deadline",
            Self::Overdue => "overdue",
        }
    }

    /// What a slot looks as if it were wrong with it, if it stays so.
    fn of(slot: &Slot, now_ms: u64) -> Option<Self> {
        match slot.state() {
            State::Free | State::Active | State::Handshaking => None,
            State::Closing => Some(Self::Closing),
            // Its client's slot has the tunnel's deadline.
            State::Parked if slot.half().is_some_and(|half| half.side == Side::Origin) => None,
            State::Parked if !slot.has_deadline() => Some(Self::NoDeadline),
            State::Parked => {
                let due_ms = slot.last_active_ms() + slot.idle_ms();
                (now_ms > due_ms + OVERDUE_MS).then_some(Self::Overdue)
            }
        }
    }
}

/// The round over all slots, and what it has found.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// Where the next stretch begins: worker and slot.
    at: (usize, u32),
    /// By worker and slot; at most [`SUSPECTS_MAX`].
    suspects: BTreeMap<(usize, u32), Suspect>,
    /// What the workers' books said last, and since when.
    balances: Vec<Imbalance>,
}

#[derive(Clone, Copy, Debug)]
struct Suspect {
    generation: u32,
    leak: Leak,
    since: Instant,
    is_told: bool,
}

impl Audit {
    /// One second's part of the round; tells what is new in the log.
    pub(super) fn tick(&mut self, roster: &[Arc<Member>], now: Instant) {
        self.read_balances(roster);
        let slots: u64 = roster.iter().map(|member| u64::from(member.slots.len())).sum();
        let stretch = slots.div_ceil(ROUND_S).max(STRETCH_MIN.min(slots));
        for _ in 0..stretch {
            let (worker, number) = self.at;
            let Some(member) = roster.get(worker) else {
                self.at = (0, 0);
                continue;
            };
            match member.slots.get(number) {
                Some(slot) => {
                    self.look(member, (worker, number), slot, now);
                    self.at = (worker, number + 1);
                }
                None => self.at = (worker + 1, 0),
            }
        }
    }

    fn look(&mut self, member: &Member, place: (usize, u32), slot: &Slot, now: Instant) {
        let generation = slot.generation();
        let Some(leak) = Leak::of(slot, member.now_ms()) else {
            self.suspects.remove(&place);
            return;
        };
        let has_room = self.suspects.len() < SUSPECTS_MAX;
        let new = Suspect { generation, leak, since: now, is_told: false };
        let suspect = match self.suspects.get_mut(&place) {
            Some(suspect) => suspect,
            None if has_room => self.suspects.entry(place).or_insert(new),
            None => return,
        };
        if (suspect.generation, suspect.leak) != (generation, leak) {
            *suspect = new;
        }
        if !suspect.is_told && now >= suspect.since + PATIENCE {
            suspect.is_told = true;
            tell(place, slot, (generation, leak), member.now_ms());
        }
    }

    fn read_balances(&mut self, roster: &[Arc<Member>]) {
        self.balances.resize(roster.len(), Imbalance::default());
        for (worker, (before, member)) in self.balances.iter_mut().zip(roster).enumerate() {
            let balance = member.balance();
            if balance != *before && balance != Imbalance::default() {
                let Imbalance { connections, sockets } = balance;
                let (shard, sockets) = sockets.unwrap_or_default();
                tracing::error!(worker, connections, shard, sockets, "the books do not balance");
            }
            *before = balance;
        }
    }

    /// Sets the gauges.
    pub(super) fn note(&self, own: &WorkerCounters) {
        let count = |leak| self.leaks().filter(|(_, found)| found.leak == leak).count() as u64;
        own.set(Gauge::LeaksClosing, count(Leak::Closing));
        own.set(Gauge::LeaksNoDeadline, count(Leak::NoDeadline));
        own.set(Gauge::LeaksOverdue, count(Leak::Overdue));
        let sockets = self.balances.iter().filter_map(|balance| balance.sockets);
        own.set(Gauge::LeaksSockets, sockets.map(|(_, sockets)| u64::from(sockets)).sum());
        own.set(Gauge::LeaksBooks, self.balances.iter().map(|one| one.connections).sum());
    }

    /// For `/status.json`.
    pub(super) fn json(&self) -> Value {
        let leak = |(place, found): (&(usize, u32), &Suspect)| {
            let (worker, slot) = place;
            json!({
                "worker": worker,
                "slot": slot,
                "generation": found.generation,
                "leak": found.leak.name(),
            })
        };
        let is_even = self.balances.iter().all(|balance| *balance == Imbalance::default());
        json!({
            "balanced": is_even,
            "leaks": self.leaks().count(),
            "first_leaks": self.leaks().take(LISTED_MAX).map(leak).collect::<Vec<_>>(),
        })
    }

    fn leaks(&self) -> impl Iterator<Item = (&(usize, u32), &Suspect)> {
        self.suspects.iter().filter(|(_, suspect)| suspect.is_told)
    }
}

fn tell((worker, number): (usize, u32), slot: &Slot, (generation, leak): (u32, Leak), now_ms: u64) {
    let reason = slot.close_reason().map_or("none", |reason| reason.name());
    tracing::error!(
        worker,
        slot = number,
        generation,
        leak = leak.name(),
        state = slot.state().name(),
        close_reason = reason,
        peer = %slot.peer(),
        listener = slot.listener(),
        requests = slot.requests(),
        idle_s = now_ms.saturating_sub(slot.last_active_ms()) / 1000,
        "a connection leaks; this is a bug",
    );
}

/// Seconds of one round over all slots.
const ROUND_S: u64 = 10;
/// How long a slot may stand where it must pass.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long after its idle time a connection may still be there: expiries are spread.
const OVERDUE_MS: u64 = 60_000;
/// Slots looked at in a second, at least.
const STRETCH_MIN: u64 = 4096;
/// Slots that are remembered; a fault that makes more of them is told by these.
const SUSPECTS_MAX: usize = 1024;
const LISTED_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use longhold_conn::{CloseReason, SlotTable, Wheel};
    use longhold_telemetry::exporter::{BuildInfo, Registry};

    use super::*;

    /// A worker of four slots: parked with a deadline, parked without, closing, free.
    fn roster() -> (Vec<Arc<Member>>, Wheel) {
        let slots = Arc::new(SlotTable::new(4));
        let mut wheel = Wheel::new(0);
        for number in 0..3 {
            let slot = slots.get(number).unwrap();
            slot.open("10.0.0.1:80".parse().unwrap(), 0, 0).unwrap();
            slot.set_idle_ms(75_000);
            let state = if number < 2 { State::Parked } else { State::Closing };
            slot.move_state(State::Active, state).unwrap();
        }
        wheel.schedule(&slots, 0, 75_000);
        slots.get(2).unwrap().set_close_reason(CloseReason::PeerClosed);
        (vec![Member::new(slots)], wheel)
    }

    fn found(audit: &Audit) -> Vec<(u32, &'static str)> {
        audit.leaks().map(|((_, slot), found)| (*slot, found.leak.name())).collect()
    }

    #[test]
    fn what_does_not_pass_is_a_leak_within_a_minute() {
        let (roster, _wheel) = roster();
        let mut audit = Audit::default();
        let begun = Instant::now();
        for second in 0..30 {
            audit.tick(&roster, begun + Duration::from_secs(second));
            assert_eq!(found(&audit), [], "after {second} s");
        }
        for second in 30..60 {
            audit.tick(&roster, begun + Duration::from_secs(second));
        }
        assert_eq!(found(&audit), [(1, "no-deadline"), (2, "closing")]);
        let build = BuildInfo { version: "test", commit: "test" };
        let (registry, sets) = Registry::new(1, &build);
        audit.note(&sets[0]);
        let sum = registry.sum();
        assert_eq!((sum.gauge(Gauge::LeaksClosing), sum.gauge(Gauge::LeaksNoDeadline)), (1, 1));
        assert_eq!(audit.json()["first_leaks"][1]["slot"], 2);

        roster[0].slots.get(2).unwrap().release().unwrap();
        audit.tick(&roster, begun + Duration::from_secs(61));
        assert_eq!(found(&audit), [(1, "no-deadline")], "it has gone after all");
    }

    #[test]
    fn slot_that_changes_hands_is_no_leak() {
        let (roster, _wheel) = roster();
        let slot = roster[0].slots.get(2).unwrap();
        let mut audit = Audit::default();
        let begun = Instant::now();
        for second in 0..60 {
            audit.tick(&roster, begun + Duration::from_secs(second));
            if second % 20 == 0 {
                slot.release().unwrap();
                slot.open("10.0.0.1:80".parse().unwrap(), 0, 0).unwrap();
                slot.move_state(State::Active, State::Closing).unwrap();
            }
        }
        assert_eq!(found(&audit), [(1, "no-deadline")]);
    }

    #[test]
    fn large_tables_take_a_round_of_seconds() {
        let slots = Arc::new(SlotTable::new(100_000));
        let slot = slots.get(99_999).unwrap();
        slot.open("10.0.0.1:80".parse().unwrap(), 0, 0).unwrap();
        slot.move_state(State::Active, State::Closing).unwrap();
        let roster = [Member::new(Arc::new(SlotTable::new(10))), Member::new(slots)];
        let mut audit = Audit::default();
        let begun = Instant::now();
        for second in 0..60 {
            audit.tick(&roster, begun + Duration::from_secs(second));
        }
        assert_eq!(found(&audit), [(99_999, "closing")]);
    }
}
