//! When a flow is too slow: least rate, grace, credit.

use super::{CREDIT_BYTES_MAX, Flow, Timeouts};

const GRACE_MS: u64 = 30_000;

/// A flow that starts at `start_ms` and moves bytes at moments, against a rate in bytes/s.
#[track_caller]
fn check(rate: u64, start_ms: u64, moves: &[(u64, u64)], expected_ms: u64) {
    let timeouts = Timeouts { flow_grace_ms: GRACE_MS, flow_rate_min: rate, ..Timeouts::default() };
    let mut flow = Flow::start(start_ms);
    for (bytes, now_ms) in moves {
        flow.advance(*bytes, *now_ms);
    }
    assert_eq!(flow.deadline_ms(&timeouts), expected_ms);
}

#[test]
fn a_flow_has_the_grace_and_the_time_that_its_bytes_earn() {
    // Nothing has moved.
    check(1024, 0, &[], GRACE_MS);
    check(1024, 5_000, &[], 5_000 + GRACE_MS);
    // A second per KiB, however the bytes were cut and whenever they came.
    check(1024, 5_000, &[(1024, 5_001)], 6_000 + GRACE_MS);
    check(1024, 5_000, &[(512, 5_001), (512, 9_000)], 6_000 + GRACE_MS);
    check(1024, 0, &[(10 * 1024, 20_000)], 10_000 + GRACE_MS);
    // Part of a second.
    check(1000, 0, &[(1, 10)], 1 + GRACE_MS);
    // Slower than the rate: bytes come, yet the deadline falls behind them.
    check(1024, 0, &[(1024, 30_000), (1024, 31_999)], 2_000 + GRACE_MS);
}

#[test]
fn without_a_rate_only_a_pause_counts() {
    check(0, 7_000, &[], 7_000 + GRACE_MS);
    check(0, 7_000, &[(1, 36_000)], 36_000 + GRACE_MS);
    check(0, 0, &[(1 << 40, 10), (1, 50_000)], 50_000 + GRACE_MS);
}

#[test]
fn credit_is_bounded() {
    let credit_ms = CREDIT_BYTES_MAX * 1000 / 1024;
    check(1024, 0, &[(CREDIT_BYTES_MAX, 0)], credit_ms + GRACE_MS);
    // A GiB would earn twelve days.
    check(1024, 0, &[(1 << 30, 9_000)], 9_000 + credit_ms + GRACE_MS);
    check(1024, 0, &[(1 << 30, 9_000), (1, 9_500)], 9_500 + credit_ms + GRACE_MS);
    // It is a bound on what is ahead, not a gift to what is behind.
    check(1024, 0, &[(1024, 30_500)], 1_000 + GRACE_MS);
}

#[test]
fn extremes_saturate() {
    check(1, u64::MAX - 1, &[(u64::MAX, u64::MAX)], u64::MAX);
    check(u64::MAX, 0, &[(u64::MAX, 0)], GRACE_MS);
    check(0, u64::MAX, &[(1, u64::MAX)], u64::MAX);
}
