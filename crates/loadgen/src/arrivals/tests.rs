//! Schedules: as many requests as the rate says, in order, each in its step.

use super::{Arrival, Arrivals, Spacing, Step};

fn all(steps: &[Step], spacing: Spacing, seed: u64) -> Vec<Arrival> {
    let mut arrivals = Arrivals::new(steps, spacing, seed);
    let mut all = Vec::new();
    while let Some(arrival) = arrivals.peek() {
        all.push(arrival);
        arrivals.advance();
    }
    all
}

#[test]
fn constant_arrivals_are_evenly_spread_and_do_not_drift() {
    let steps = [Step { per_second: 3, for_ms: 2000 }, Step { per_second: 1000, for_ms: 500 }];
    let all = all(&steps, Spacing::Constant, 0);
    let at: Vec<_> = all.iter().take(7).map(|arrival| (arrival.at_us, arrival.step)).collect();
    let thirds = [(0, 0), (333_333, 0), (666_666, 0), (1_000_000, 0), (1_333_333, 0)];
    assert_eq!(at[..5], thirds);
    assert_eq!(at[5..], [(1_666_666, 0), (2_000_000, 1)]);
    assert_eq!(all.len(), 6 + 500);
    assert_eq!(all.last(), Some(&Arrival { at_us: 2_499_000, step: 1 }));
}

#[test]
fn poisson_arrivals_have_the_rate_and_the_spread_of_independent_clients() {
    let steps = [Step { per_second: 1000, for_ms: 50_000 }, Step { per_second: 100, for_ms: 1000 }];
    let all = all(&steps, Spacing::Poisson, 7);
    assert!(all.is_sorted_by_key(|arrival| arrival.at_us));
    let of = |step| all.iter().filter(move |arrival| arrival.step == step);
    let count = of(0).count() as f64;
    assert!((count - 50_000.0).abs() < 5.0 * 50_000_f64.sqrt(), "{count} in the first step");
    assert!(of(1).all(|arrival| (50_000_000..51_000_000).contains(&arrival.at_us)));
    // Exponential gaps: as many below the mean as 1 - 1/e says, and their deviation is their mean.
    let at: Vec<_> = of(0).map(|arrival| arrival.at_us).collect();
    let gaps: Vec<_> = at.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
    let below = gaps.iter().filter(|gap| **gap < 1000.0).count() as f64 / count;
    assert!((below - 0.632).abs() < 0.01, "{below} of the gaps are below the mean");
    let variance = gaps.iter().map(|gap| (gap - 1000.0).powi(2)).sum::<f64>() / count;
    assert!((variance.sqrt() / 1000.0 - 1.0).abs() < 0.03, "deviation {}", variance.sqrt());
}

#[test]
fn the_same_seed_gives_the_same_schedule() {
    let steps = [Step { per_second: 500, for_ms: 1000 }];
    assert_eq!(all(&steps, Spacing::Poisson, 1), all(&steps, Spacing::Poisson, 1));
    assert_ne!(all(&steps, Spacing::Poisson, 1), all(&steps, Spacing::Poisson, 2));
}
