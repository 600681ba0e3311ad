//! The turn itself: deadlines, wakes and the pool of buffers.

use longhold_transport::{BUFFER_BYTES, Buffer, Completion, Config, Transport};

use crate::driver::{Driver, Rig};

pub(crate) fn wakes_coalesce<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let waker = driver.edge().waker();
    for _ in 0..3 {
        waker.wake();
        waker.clone().wake();
        assert!(matches!(driver.next(), Completion::Woken));
        driver.assert_quiet();
    }
}

pub(crate) fn wait_ends_at_its_deadline<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, _peer) = driver.pair();
    driver.edge().park(token);
    for us in [0, 1, 500, 20_000] {
        let before = driver.edge().now();
        let until_us = before.monotonic_us + us;
        let mut done = Vec::new();
        driver.edge().wait(Some(until_us), &mut done).unwrap();
        let after = driver.edge().now();
        assert!(done.is_empty(), "{done:?}");
        assert!(after.monotonic_us >= until_us, "TR-9: returned early");
        assert!(after.monotonic_us < until_us + 2_000_000, "TR-9: returned far too late");
        assert!(after.unix_ms >= before.unix_ms);
    }
}

pub(crate) fn past_deadline_does_not_wait<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (token, _peer) = driver.pair();
    driver.turn(1_000);
    driver.edge().park(token);
    let mut done = Vec::new();
    for _ in 0..100 {
        driver.edge().wait(Some(0), &mut done).unwrap();
    }
    assert!(done.is_empty(), "{done:?}");
}

pub(crate) fn pool_is_bounded<R: Rig>() {
    let mut driver = Driver::<R>::new(Config { slots: 2, buffers: 2, ..Config::default() });
    let first = driver.buffer();
    let second = driver.buffer();
    assert_eq!(first.capacity(), BUFFER_BYTES);
    assert!(driver.edge().buffer().is_none());
    driver.edge().recycle(Buffer::with_capacity(BUFFER_BYTES * 4));
    assert!(driver.edge().buffer().is_none(), "a foreign buffer does not enter the pool");
    driver.edge().recycle(first);
    let mut again = driver.buffer();
    assert!(again.is_empty() && again.extend_from_slice(b"x"));
    driver.edge().recycle(again);
    driver.edge().recycle(second);
    assert!(driver.buffer().is_empty(), "recycled buffers come back empty");
}
