//! Draws against the law: each key as often as its weight says.

use super::Zipf;
use crate::chance::{Chance, Use};

/// Draws, and compares counts with the law by Pearson's test statistic.
fn check(keys: u32, exponent: f64) {
    let (zipf, mut chance) = (Zipf::new(keys, exponent), Chance::new(42, Use::Keys));
    let mut counts = vec![0_u32; keys as usize];
    for _ in 0..DRAWS {
        counts[zipf.draw(&mut chance) as usize] += 1;
    }
    let weight = |key: usize| ((key + 1) as f64).powf(-exponent);
    let sum: f64 = (0..keys as usize).map(weight).sum();
    let statistic: f64 = counts
        .iter()
        .enumerate()
        .map(|(key, count)| {
            let expected = weight(key) / sum * f64::from(DRAWS);
            (f64::from(*count) - expected).powi(2) / expected
        })
        .sum();
    // Its mean is n - 1 and its deviation √(2 (n - 1)), if the draws follow the law.
    let freedom = f64::from(keys - 1);
    assert!(
        statistic < freedom + 5.0 * (2.0 * freedom).sqrt() + 1e-9,
        "{keys} keys, exponent {exponent}: {statistic}"
    );
}

#[test]
fn keys_are_drawn_as_often_as_the_law_says() {
    for keys in [1, 2, 3, 100, 1000] {
        for exponent in [0.0, 0.5, 0.99, 1.0, 1.2, 2.0] {
            // Pearson's test needs some draws of every key.
            if keys < 1000 || exponent <= 1.2 {
                check(keys, exponent);
            }
        }
    }
}

#[test]
fn of_a_million_keys_none_is_beyond_the_last() {
    let (zipf, mut chance) = (Zipf::new(1_000_000, 1.0), Chance::new(1, Use::Keys));
    let mut top = 0;
    let mut highest = 0;
    for _ in 0..DRAWS {
        let key = zipf.draw(&mut chance);
        assert!(key < 1_000_000);
        top += u32::from(key < 1000);
        highest = highest.max(key);
    }
    // H(1000) / H(1000000) = 7.485 / 14.393.
    let share = f64::from(top) / f64::from(DRAWS);
    assert!((share - 0.520).abs() < 0.005, "{share} of the draws are of the first thousand");
    assert!(highest > 990_000, "{highest}");
}

const DRAWS: u32 = 500_000;
