//! Order, bounds and wrap-around of the queue; `tests/loom.rs` has the interleavings.

use std::thread;

use super::{Consumer, pair};

fn popped(consumer: &mut Consumer) -> Option<Vec<u8>> {
    let mut record = Vec::new();
    consumer.pop(&mut record).then_some(record)
}

#[test]
fn records_come_out_whole_and_in_order() {
    let (mut producer, mut consumer) = pair(256);
    for length in 0..=9 {
        assert!(producer.push(&vec![length; usize::from(length)]));
    }
    for length in 0..=9 {
        assert_eq!(popped(&mut consumer), Some(vec![length; usize::from(length)]));
    }
    assert_eq!(popped(&mut consumer), None);
    assert!(consumer.is_empty());
}

#[test]
fn a_full_queue_refuses_the_newest_and_keeps_the_rest() {
    let (mut producer, mut consumer) = pair(64);
    let record = [7; 8];
    let accepted = (0..10).filter(|_| producer.push(&record)).count();
    assert_eq!(accepted, 4);
    assert!(producer.is_half_full());
    assert_eq!(popped(&mut consumer), Some(record.to_vec()));
    assert!(producer.push(&record));
    assert!(!producer.push(&record));
    assert!(!producer.push(&[0; 64]), "longer than the queue");
    while popped(&mut consumer).is_some() {}
    assert!(!producer.is_half_full());
}

#[test]
fn records_wrap_around_the_end() {
    let (mut producer, mut consumer) = pair(128);
    for round in 0..1_000_u32 {
        let record = vec![round as u8; (round % 100) as usize];
        assert!(producer.push(&record), "round {round}");
        assert_eq!(popped(&mut consumer), Some(record));
    }
}

#[test]
fn two_threads_lose_and_invent_nothing() {
    let (mut producer, mut consumer) = pair(1_024);
    let total = 50_000_u64;
    thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..total {
                let mut record = number.to_le_bytes().to_vec();
                record.resize(8 + (number % 40) as usize, number as u8);
                while !producer.push(&record) {
                    thread::yield_now();
                }
            }
        });
        let mut record = Vec::new();
        for number in 0..total {
            while !consumer.pop(&mut record) {
                thread::yield_now();
            }
            assert_eq!(record[..8], number.to_le_bytes());
            assert!(record[8..].iter().all(|byte| *byte == number as u8));
            assert_eq!(record.len(), 8 + (number % 40) as usize);
        }
    });
}
