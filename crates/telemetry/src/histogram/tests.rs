//! Bucket edges, exactness at the exported edges, quantiles.

use super::{BUCKETS_COUNT, Cells, Distribution, OVERFLOW, VALUE_US_MAX, bucket_of, upper_us};

fn observed(values_us: impl IntoIterator<Item = u64>) -> Distribution {
    let cells = Cells::new();
    for value_us in values_us {
        cells.observe(value_us);
    }
    let mut distribution = Distribution::default();
    cells.add_to(&mut distribution);
    distribution
}

#[test]
fn buckets_meet_without_gap_or_overlap() {
    for bucket in 0..OVERFLOW {
        let upper = upper_us(bucket);
        assert_eq!(bucket_of(upper), bucket, "upper edge {upper}");
        assert_eq!(bucket_of(upper + 1), bucket + 1, "above {upper}");
    }
    assert_eq!(upper_us(OVERFLOW - 1), VALUE_US_MAX);
    assert_eq!(bucket_of(0), 0);
    assert_eq!(bucket_of(u64::MAX), BUCKETS_COUNT - 1);
}

#[test]
fn a_bucket_is_at_most_an_eighth_wide() {
    for bucket in 1..OVERFLOW {
        let (lower, upper) = (upper_us(bucket - 1), upper_us(bucket));
        assert!(upper - lower <= (lower / 8).max(1), "({lower}, {upper}]");
    }
}

#[test]
fn exported_edges_count_exactly() {
    let values: Vec<u64> = (0..200_000).map(|n| n * n % 90_000_017).collect();
    let distribution = observed(values.iter().copied());
    for (edge_us, at_or_below) in distribution.cumulative() {
        let expected = values.iter().filter(|value| **value <= edge_us).count() as u64;
        assert_eq!(at_or_below, expected, "le {edge_us} µs");
    }
    assert_eq!(distribution.count(), values.len() as u64);
    assert_eq!(distribution.sum_us(), values.iter().sum::<u64>());
}

#[test]
fn quantiles_are_upper_bounds_within_an_eighth() {
    let distribution = observed(1..=10_000);
    for (quantile, exact) in [(0.0, 1), (0.5, 5_000), (0.99, 9_900), (1.0, 10_000)] {
        let found = distribution.quantile_us(quantile);
        assert!(found >= exact && found <= exact + exact / 8 + 1, "{quantile}: {found}");
    }
    assert_eq!(Distribution::default().quantile_us(0.5), 0);
    assert_eq!(observed([VALUE_US_MAX + 1]).quantile_us(0.5), u64::MAX);
}
