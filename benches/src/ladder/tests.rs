//! The ladder on a small file, and its pure parts.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::file::{BLOCK_BYTES, BlockFile};
use super::order::{Latencies, Order};
use super::{Rung, Settings, climb, read_bytes_of, ticks_of};

#[test]
fn every_rung_reads_right_blocks_cold_and_warm_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let settings = Settings { file_bytes: 1 << 20, rounds: 2, time: Duration::from_millis(20) };
    let mut seen = 0;
    let runs = climb(settings, folder.path(), &mut |_| seen += 1).expect("it climbs");
    assert_eq!((runs.len(), seen), (2 * 2 * Rung::ALL.len(), runs.len()));
    for run in &runs {
        assert!(run.reads > 0 && run.reads_per_s > 0.0 && run.p50_us <= run.p99_us, "{run:?}");
        // Cold, no block is read twice.
        assert!(run.cache == "warm" || run.reads <= 256, "{run:?}");
        let how =
            if run.cache == "warm" { &["page cache"][..] } else { &["O_DIRECT", "cache dropped"] };
        assert!(how.contains(&run.how), "{run:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 0);
}

#[test]
fn a_wrong_block_is_noticed() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let file = BlockFile::create(folder.path(), 4 * BLOCK_BYTES as u64).expect("a file");
    let bytes = std::fs::read(file.path()).expect("there");
    let block = |number: usize| &bytes[number * BLOCK_BYTES..(number + 1) * BLOCK_BYTES];
    assert!((0..4).all(|number| file.verify(number as u64, block(number)).is_ok()));
    assert!(file.verify(0, block(1)).is_err());
    assert!(file.verify(0, &block(0)[1..]).is_err());
    let mut broken = block(0).to_vec();
    broken[BLOCK_BYTES - 1] ^= 1;
    assert!(file.verify(0, &broken).is_err());
    for wrong in [0, 4095, 17 << 30] {
        assert!(BlockFile::create(folder.path(), wrong).is_err(), "{wrong}");
    }
}

#[test]
fn an_order_names_every_block_once_and_not_in_a_row() {
    let order = Order::new(1000, true);
    let all: Vec<u64> = std::iter::from_fn(|| order.next()).take(2000).collect();
    assert_eq!(all.len(), 1000);
    assert_eq!(all.iter().copied().collect::<BTreeSet<_>>(), (0..1000).collect());
    let in_a_row = all.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
    assert!(in_a_row < 20, "{in_a_row}");
    let again = Order::new(3, false);
    assert_eq!(std::iter::from_fn(|| again.next()).take(10).count(), 10);
}

#[test]
fn reading_ends_at_the_deadline_or_with_the_last_block() {
    let mut latencies = Latencies::new();
    let order = Order::new(5, true);
    let far = Instant::now() + Duration::from_secs(3600);
    order.each(far, &mut latencies, |_| Ok(())).expect("no fault");
    assert_eq!(latencies.count(), 5);
    let order = Order::new(5, false);
    order.each(Instant::now(), &mut latencies, |_| Ok(())).expect("no fault");
    assert_eq!(latencies.count(), 5);
    let order = Order::new(5, true);
    let fault = order.each(far, &mut latencies, |_| Err(std::io::ErrorKind::Other.into()));
    assert!(fault.is_err() && latencies.count() == 5);
}

#[test]
fn quantiles_are_those_of_all_threads_together() {
    let mut all = Latencies::new();
    assert_eq!(all.quantiles_us([0.5]), [0.0]);
    for thread in 0..2 {
        let mut one = Latencies::new();
        for us in 1..=50 {
            one.record(Duration::from_micros(thread * 50 + us));
        }
        all.add(&one);
    }
    assert_eq!(all.count(), 100);
    assert_eq!(all.quantiles_us([0.5, 0.99, 1.0]), [50.0, 99.0, 100.0]);
}

#[test]
fn the_devices_account_is_read_from_its_line() {
    assert_eq!(read_bytes_of("rchar: 1\nread_bytes: 42\nwrite_bytes: 7\n"), Some(42));
    assert_eq!(read_bytes_of("rchar: 1\n"), None);
}

#[test]
fn idle_and_waiting_ticks_are_not_busy() {
    let text = "cpu  1 2 3 100 200 4 5 6 7 8\ncpu0 9 9 9 9 9 9 9 9 9 9\n";
    assert_eq!(ticks_of(text), Some((21, 321)));
    assert_eq!(ticks_of("cpu  1 2 3\n"), None);
    assert_eq!(ticks_of("intr 1"), None);
}
