//! The cases on few connections: every one of them ends with all connections as it found them.

use std::time::Duration;

use longhold_transport::{Transport, epoll, uring};

use super::Nanoseconds;
use super::crowd::Crowd;
use super::front::{Answer, BURST, Front, Stance, config};

#[test]
fn a_figure_is_the_middle_of_its_rounds_and_the_quarters_beside_it() {
    let check = |rounds: &[u64], [low, median, high]: [f64; 3]| {
        assert_eq!(Nanoseconds::of(rounds.to_vec(), 10), Nanoseconds { low, median, high });
    };
    check(&[50, 10, 30, 20, 40], [2.0, 3.0, 4.0]);
    check(&[70], [7.0, 7.0, 7.0]);
    check(&[], [0.0, 0.0, 0.0]);
    // Two disturbed rounds of nine change nothing.
    check(&[10, 10, 10, 10, 10, 10, 10, 9000, 9000], [1.0, 1.0, 1.0]);
}

#[test]
fn every_case_leaves_the_connections_of_a_uring_front_parked() {
    cases(uring::Reactor::new(&config(CONNECTIONS)).expect("a ring"));
}

#[test]
fn every_case_leaves_the_connections_of_an_epoll_front_parked() {
    cases(epoll::Reactor::new(&config(CONNECTIONS)).expect("an epoll"));
}

fn cases(io: impl Transport<Payload = Answer>) {
    let crowd = Crowd::gather(None).expect("a thread");
    let mut front = Front::new(io, crowd, CONNECTIONS, 5).expect("a front");
    // The parked case at both ends: it finds every connection parked, or waits for ever.
    for stance in [Stance::Parked, Stance::Resting, Stance::Parked] {
        let row = front.exchanges(stance, 500).expect("exchanges");
        let among = if stance == Stance::Parked { CONNECTIONS } else { BURST };
        assert!(row.among == among && row.ns.low > 0.0, "{row:?}");
    }
    for size_bytes in [100, 3 << 20] {
        let row = front.sends(size_bytes).expect("sends");
        assert_eq!(row.size_bytes, Some(size_bytes as u64));
        assert!(row.ns.low > 0.0, "{row:?}");
    }
    let row = front.beats(1000, Duration::from_micros(10)).expect("beats");
    assert!(row.ns.low > 0.0, "{row:?}");
    let row = front.arrivals().expect("arrivals");
    assert!(row.ns.low > 0.0, "{row:?}");
    front.exchanges(Stance::Parked, 500).expect("still parked");
}

const CONNECTIONS: u32 = 3 * BURST;
