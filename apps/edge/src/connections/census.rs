//! Counts of all connections, and the few that stand out.

use std::sync::Arc;

use longhold_conn::State;
use longhold_transport::Token;
use serde_json::{Value, json};

use super::filter::Filter;
use super::protocol::Protocol;
use super::{Going, Sight, walk};
use crate::roster::Member;

/// What there was when it was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// By [`State`]; those without a connection are left at zero.
    by_state: [u64; State::ALL.len()],
    by_protocol: [u64; Protocol::ALL.len()],
    by_listener: Vec<u64>,
    by_worker: Vec<(u64, u32)>,
    by_age: [u64; CLASSES.len()],
    by_idle: [u64; CLASSES.len()],
    oldest: Top,
    idlest: Top,
    busiest: Top,
}

/// The connections of which some number is greatest.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Top {
    /// The greatest first; at most `len_max`.
    list: Vec<(u64, Sight)>,
    len_max: usize,
}

impl Census {
    /// Counts what `filter` takes, and keeps `listed_max` of each that stands out. Reads every slot
    /// once; yields as [`walk`] does.
    pub async fn take(
        roster: &[Arc<Member>],
        listeners_count: usize,
        filter: &Filter,
        listed_max: usize,
    ) -> Self {
        let top = || Top { list: Vec::new(), len_max: listed_max };
        let mut census = Self {
            by_state: [0; State::ALL.len()],
            by_protocol: [0; Protocol::ALL.len()],
            by_listener: vec![0; listeners_count],
            by_worker: roster.iter().map(|member| (0, member.slots.len())).collect(),
            by_age: [0; CLASSES.len()],
            by_idle: [0; CLASSES.len()],
            oldest: top(),
            idlest: top(),
            busiest: top(),
        };
        walk(roster, |_, sight| {
            if filter.takes(&sight) {
                census.note(sight);
            }
            Going::On
        })
        .await;
        census
    }

    fn note(&mut self, sight: Sight) {
        self.by_state[sight.state as usize] += 1;
        self.by_protocol[sight.protocol as usize] += 1;
        if let Some(count) = self.by_listener.get_mut(usize::from(sight.listener)) {
            *count += 1;
        }
        if let Some((count, _)) = self.by_worker.get_mut(sight.worker) {
            *count += 1;
        }
        self.by_age[class_of(sight.age_ms)] += 1;
        self.by_idle[class_of(sight.idle_ms)] += 1;
        self.oldest.offer(sight.age_ms, sight);
        self.idlest.offer(sight.idle_ms, sight);
        self.busiest.offer(u64::from(sight.requests), sight);
    }

    /// All that were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_state.iter().sum()
    }

    /// Those in a state.
    #[must_use]
    pub fn in_state(&self, state: State) -> u64 {
        self.by_state[state as usize]
    }

    /// The census as an object, with the listeners' addresses and protocols by number.
    #[must_use]
    pub fn json(&self, listeners: &[(String, &'static str)]) -> Value {
        let states = State::ALL.iter().filter(|state| **state != State::Free);
        let states = states.map(|state| (state.name().to_owned(), json!(self.in_state(*state))));
        let protocols = Protocol::ALL.iter().zip(&self.by_protocol);
        let protocols = protocols.map(|(protocol, n)| (protocol.name().to_owned(), json!(n)));
        let by_listener = listeners.iter().zip(&self.by_listener).map(|((address, protocol), n)| {
            json!({ "address": address, "protocol": protocol, "connections": n })
        });
        let by_worker = self.by_worker.iter().enumerate().map(|(worker, (count, slots))| {
            json!({ "worker": worker, "connections": count, "slots": slots })
        });
        json!({
            "total": self.total(),
            "slots": self.by_worker.iter().map(|(_, slots)| u64::from(*slots)).sum::<u64>(),
            "by_state": states.collect::<serde_json::Map<_, _>>(),
            "by_protocol": protocols.collect::<serde_json::Map<_, _>>(),
            "by_listener": by_listener.collect::<Vec<_>>(),
            "by_worker": by_worker.collect::<Vec<_>>(),
            "by_age": classes(&self.by_age),
            "by_idle": classes(&self.by_idle),
            "oldest": self.oldest.json(listeners),
            "idlest": self.idlest.json(listeners),
            "busiest": self.busiest.json(listeners),
        })
    }
}

impl Top {
    /// O(1) for most: only what is greater than the least of the list moves anything.
    fn offer(&mut self, number: u64, sight: Sight) {
        if self.list.len() == self.len_max {
            match self.list.last() {
                Some((least, _)) if *least < number => drop(self.list.pop()),
                Some(_) | None => return,
            }
        }
        let place = self.list.partition_point(|(other, _)| *other >= number);
        self.list.insert(place, (number, sight));
    }

    fn json(&self, listeners: &[(String, &'static str)]) -> Vec<Value> {
        let one = |(_, sight): &(u64, Sight)| {
            let Token { slot, generation } = sight.token;
            let listener = listeners.get(usize::from(sight.listener)).map(|(address, _)| address);
            json!({
                "id": format!("{}:{slot}:{generation}", sight.worker),
                "state": sight.state.name(),
                "protocol": sight.protocol.name(),
                "listener": listener,
                "peer": sight.peer,
                "age_ms": sight.age_ms,
                "idle_ms": sight.idle_ms,
                "requests": sight.requests,
            })
        };
        self.list.iter().map(one).collect()
    }
}

fn classes(counts: &[u64; CLASSES.len()]) -> Vec<Value> {
    let class =
        |((name, _), count): (&(&str, u64), &u64)| json!({ "class": name, "connections": count });
    CLASSES.iter().zip(counts).map(class).collect()
}

fn class_of(ms: u64) -> usize {
    CLASSES.iter().position(|(_, below_ms)| ms < *below_ms).unwrap_or(CLASSES.len() - 1)
}

/// Classes of age and of idle time: a name, and what it is below, ms.
const CLASSES: [(&str, u64); 8] = [
    ("< 1 s", 1_000),
    ("< 10 s", 10_000),
    ("< 1 m", 60_000),
    ("< 10 m", 600_000),
    ("< 1 h", 3_600_000),
    ("< 6 h", 6 * 3_600_000),
    ("< 1 d", 24 * 3_600_000),
    ("longer", u64::MAX),
];
