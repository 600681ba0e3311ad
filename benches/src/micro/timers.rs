//! What a timer costs in the wheel of the edge's worker, among few and among many.

use anyhow::{Context as _, Result, ensure};
use longhold_conn::{SlotTable, Wheel};

use super::{Nanoseconds, Row};

/// Sets, moves, cancels and lets expire one timer for each of `count` slots, in an order in which
/// no slot lies beside the one before, by this clock.
///
/// # Errors
/// A timer is lost.
pub fn timers(count: u32, rounds: u32, clock: fn() -> u64) -> Result<[Row; 4]> {
    ensure!(count > 0, "no timer costs nothing");
    let slots = SlotTable::new(count);
    let mut times = [const { Vec::new() }; 4];
    let mut expired = Vec::with_capacity(PORTION);
    for round in 0..rounds {
        let order: Vec<u32> = scattered(count, round).collect();
        let mut wheel = Wheel::new(0);
        let schedule = |wheel: &mut Wheel, spread: u64| {
            for (number, slot) in (0_u64..).zip(&order) {
                wheel.schedule(&slots, *slot, number % spread * 100 + 1000);
            }
        };
        let begin = clock();
        schedule(&mut wheel, 600);
        let set = clock();
        schedule(&mut wheel, 500);
        let moved = clock();
        order.iter().for_each(|slot| wheel.cancel(&slots, *slot));
        let cancelled = clock();
        ensure!(wheel.is_empty(), "{} timers were not cancelled", wheel.len());
        schedule(&mut wheel, 600);
        let set_again = clock();
        let mut left = count as usize;
        while left > 0 {
            let now_ms = wheel.next_deadline_ms().context("a timer is lost")?;
            wheel.advance(&slots, now_ms, PORTION, &mut expired);
            left -= expired.drain(..).count();
        }
        let fired = clock() - set_again;
        let spent = [set - begin, moved - set, cancelled - moved, fired];
        for (times, spent) in times.iter_mut().zip(spent) {
            times.push(spent);
        }
    }
    let mut cases = CASES.into_iter();
    Ok(times.map(|times| Row {
        case: cases.next().unwrap_or_default(),
        size_bytes: None,
        among: count,
        ns: Nanoseconds::of(times, count),
    }))
}

/// All numbers below `count`, each once, another order each round: steps of a prime through them,
/// where the prime is no divisor.
fn scattered(count: u32, round: u32) -> impl Iterator<Item = u32> {
    let prime = PRIMES.into_iter().find(|prime| !count.is_multiple_of(*prime)).unwrap_or(1);
    let (count, prime) = (u64::from(count), u64::from(prime));
    (0..count).map(move |number| ((number * prime + u64::from(round)) % count) as u32)
}

const CASES: [&str; 4] = ["timer set", "timer moved", "timer cancelled", "timer expired"];
const PRIMES: [u32; 2] = [7919, 7907];
/// Expiries that one turn handles, as in the edge.
const PORTION: usize = 64;

#[cfg(test)]
mod tests {
    use super::{CASES, scattered, timers};
    use crate::micro::thread_ns;

    #[test]
    fn each_number_comes_once_in_another_order() {
        for count in [1, 2, 64, 7919, 7919 * 2] {
            let mut numbers: Vec<u32> = scattered(count, 3).collect();
            assert!(count < 3 || numbers[1] != numbers[0] + 1, "{count}");
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..count), "{count}");
        }
    }

    #[test]
    fn every_timer_is_set_moved_cancelled_and_fires() {
        let rows = timers(1000, 3, thread_ns).expect("no timer is lost");
        assert_eq!(rows.each_ref().map(|row| row.case), CASES);
        assert!(rows.iter().all(|row| row.among == 1000 && row.ns.high > 0.0), "{rows:?}");
        assert!(timers(0, 1, thread_ns).is_err());
    }
}
