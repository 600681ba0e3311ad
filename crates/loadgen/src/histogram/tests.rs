//! Buckets cover all values without gaps, and quantiles are right to a bucket's width.

use super::{BUCKETS, Histogram, VALUE_US_MAX, bucket_of, upper_end_of};

#[test]
fn buckets_follow_each_other_without_gaps() {
    for bucket in 0..BUCKETS {
        let end = upper_end_of(bucket);
        assert_eq!(bucket_of(end), bucket);
        if bucket + 1 < BUCKETS {
            assert_eq!(bucket_of(end + 1), bucket + 1);
        }
    }
    assert_eq!(upper_end_of(BUCKETS - 1), VALUE_US_MAX);
    assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
}

#[test]
fn quantiles_are_right_to_a_thirty_second() {
    let mut histogram = Histogram::default();
    for value in 1..=100_000 {
        histogram.record(value);
    }
    for (permille, exact) in [(1, 100), (500, 50_000), (990, 99_000), (1000, 100_000)] {
        let found = histogram.quantile_us(permille);
        assert!(found >= exact && found <= exact + exact / 32 + 1, "{permille}: {found}");
    }
    let latency = histogram.latency();
    assert_eq!((latency.min_us, latency.max_us, latency.mean_us), (1, 100_000, 50_000));
}

#[test]
fn an_empty_histogram_is_all_zero() {
    let mut histogram = Histogram::default();
    assert_eq!(histogram.latency(), Default::default());
    histogram.record(5);
    histogram.clear();
    assert_eq!(histogram.latency(), Default::default());
    assert_eq!(histogram.quantile_us(500), 0);
}
