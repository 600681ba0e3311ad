//! When levels begin and end, how many newcomers fit, who is closed.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use longhold_conn::{SlotTable, State};
use longhold_transport::sim::{Network, Profile, SimTransport};
use longhold_transport::{Config, Now, Transport as _};

use super::measure::{Counts, PARKED_BYTES, Used, bounds};
use super::shed::close_oldest;
use super::{Bound, Governor};
use crate::host::{Budget, Source};
use crate::inbox::Inbox;
use crate::outgoing::Outgoing;
use crate::pressure::Level;
use crate::roster::Member;

/// A bound of a million bytes of which so many thousandths are used.
fn used(permille: u64) -> [Bound; 1] {
    let budget = Budget { bytes: 1_000_000, source: Source::Config };
    [Bound { budget, used_bytes: permille * 1000 }]
}

#[test]
fn levels_rise_at_once_and_fall_one_by_one() {
    let mut governor = Governor::default();
    let mut at = |second: u64, permille| governor.look(second * 1000, &used(permille), 0).level;
    assert_eq!(at(0, 799), Level::Calm);
    assert_eq!(at(1, 800), Level::ShrinkPools);
    assert_eq!(at(2, 919), Level::SpareMemory);
    assert_eq!(at(3, 1500), Level::CloseOldest);
    assert_eq!(at(4, 921), Level::CloseOldest, "not yet 4 points below");
    assert_eq!(at(5, 919), Level::CloseOldest, "not yet for long enough");
    assert_eq!(at(7, 919), Level::CloseOldest);
    assert_eq!(at(8, 919), Level::RefuseNewcomers);
    assert_eq!(at(9, 500), Level::RefuseNewcomers);
    assert_eq!(at(10, 890), Level::RefuseNewcomers, "the time begins anew");
    assert_eq!(at(11, 500), Level::RefuseNewcomers);
    assert_eq!(at(14, 500), Level::SpareMemory);
    assert_eq!(at(15, 930), Level::RefuseNewcomers);
    for (second, level) in [(16, 3), (19, 2), (20, 2), (23, 1), (24, 1), (27, 0), (40, 0)] {
        assert_eq!(at(second, 100) as u8, level, "after {second} s");
    }
}

#[test]
fn worst_bound_decides() {
    let [loose] = used(100);
    let budget = Budget { bytes: 2000, source: Source::CgroupMax };
    let tight = Bound { budget, used_bytes: 1930 };
    let orders = Governor::default().look(0, &[loose, tight], 0);
    assert_eq!((orders.level, orders.bound), (Level::CloseOldest, Some(tight)));
    assert_eq!(orders.newcomers, 0);
    let orders = Governor::default().look(0, &[], 0);
    assert_eq!((orders.level, orders.newcomers), (Level::Calm, i64::MAX));
}

#[test]
fn newcomers_and_closes_follow_from_the_bytes() {
    let of = |bytes, used_bytes| {
        let budget = Budget { bytes, source: Source::Config };
        let orders = Governor::default().look(0, &[Bound { budget, used_bytes }], 0);
        (orders.newcomers, orders.closes)
    };
    let mib = 1 << 20;
    assert_eq!(of(1000 * mib, 500 * mib), (420 * 128, 0));
    assert_eq!(of(1000 * mib, 920 * mib), (0, 0));
    assert_eq!(of(100 * mib, 96 * mib), (0, 4 * mib / PARKED_BYTES));
    assert_eq!(of(1000 * mib, 5000 * mib), (0, 10_000), "at most so many a second");
    assert_eq!(of(mib, 97 * mib / 100), (0, 64), "and at least so many");
}

#[test]
fn store_and_newcomers_share_what_is_left_until_the_next_look() {
    let of = |growth_bytes| {
        let bounds = [used(100), used(600)].concat();
        let orders = Governor::default().look(0, &bounds, growth_bytes);
        (orders.storable_bytes, orders.newcomers)
    };
    assert_eq!(of(130_001), (130_000, 190_000 / 8192), "half of the tightest bound's room");
    assert_eq!(of(130_000), (u64::MAX, 190_000 / 8192), "all that can come");
    assert_eq!(of(30_000), (u64::MAX, 290_000 / 8192));
    assert_eq!(Governor::default().look(0, &used(900), 1).storable_bytes, 0);
    assert_eq!(Governor::default().look(0, &[], u64::MAX).storable_bytes, u64::MAX);
}

#[test]
fn parts_make_up_the_sum_and_own_pages_count_once() {
    let counts = Counts {
        open: 100,
        parked: 90,
        origin: 10,
        secure: 50,
        shaking: 2,
        sending: 3,
        unsent_max: 1000,
        buffers: 4,
        staging_bytes: 1000,
        tier_bytes: 7000,
    };
    let status = "VmRSS:\t  999 kB\nRssAnon:\t     200 kB\nRssShmem:\t       4 kB\n";
    let found = Used::of(&counts, status);
    assert_eq!(found.slots + found.buffers + found.staging + found.tls + found.rest, 200 * 1024);
    assert_eq!((found.tier, found.sockets, found.polls), (7000, 110 * 3868, 90 * 256));
    assert_eq!((found.tls, found.unsent), (50 * 132 + 2 * 8192, 3000));
    assert_eq!(found.total(), 200 * 1024 + 7000 + 110 * 3868 + 90 * 256 + 3000);
    assert_eq!(found.json()["parts"]["sockets"], 110 * 3868);

    let meminfo = "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  100 kB\n";
    let held = bounds(&found, Some(5000), None, meminfo);
    let sources: Vec<Source> = held.iter().map(|bound| bound.budget.source).collect();
    assert_eq!(sources, [Source::Config, Source::Machine]);
    assert_eq!((held[0].used_bytes, held[1].used_bytes), (found.total(), 900 * 1024));
}

/// Runs a future that waits for nobody.
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

#[test]
fn those_parked_for_longest_are_closed_and_no_others() {
    let network = Network::with_profile(1, Profile::default());
    let io: SimTransport<Outgoing> = network.transport(&Config::default());
    let slots = Arc::new(SlotTable::new(1000));
    let member = Member::new(Arc::clone(&slots));
    member.begin(Arc::new(Inbox::of(&io)), Now { monotonic_us: 10_000_000_000, ..io.now() });
    for (slot, cell) in slots.iter().enumerate() {
        cell.open("10.0.0.1:1".parse().unwrap(), 0, 0).unwrap();
        // In no order; and one in ten is active.
        let idle_s = (slot as u64 * 7) % 1000;
        cell.touch((10_000 - idle_s) * 1000);
        if slot % 10 != 0 {
            cell.move_state(State::Active, State::Parked).unwrap();
        }
    }
    let roster = [member];
    assert_eq!(run(close_oldest(&roster, 100)), 100);
    let idle_s = |state| {
        let slots = slots.iter().filter(move |slot| slot.state() == state);
        slots.map(|slot| 10_000 - slot.last_active_ms() / 1000)
    };
    assert_eq!(idle_s(State::Closing).count(), 100);
    // A class is an eighth of the time wide.
    let least = idle_s(State::Closing).min().unwrap();
    assert!(least >= 1000 - 100 * 10 / 9 - 1000 / 8, "{least}");
    assert_eq!(idle_s(State::Active).count(), 100);
    assert_eq!(run(close_oldest(&roster, 10_000)), 800, "all that are left");
    assert_eq!(run(close_oldest(&roster, 10)), 0);
}
