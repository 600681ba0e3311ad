//! All interleavings of the queue between worker and writer. Run by `cargo xtask test`, or with
//! `RUSTFLAGS="--cfg loom" cargo test -p longhold-telemetry --release --test loom`.
#![cfg(loom)]

use longhold_telemetry::access_log::ring::pair;
use loom::thread;

/// Records of two words each in a queue of four: the third push meets a full or a wrapped queue.
#[test]
fn records_survive_every_interleaving() {
    loom::model(|| {
        let (mut producer, mut consumer) = pair(32);
        let pushing = thread::spawn(move || {
            let records = [[1_u8; 8], [2; 8], [3; 8]];
            records.into_iter().filter(|record| producer.push(record)).collect::<Vec<_>>()
        });
        let mut popped: Vec<Vec<u8>> = Vec::new();
        let mut record = Vec::new();
        for _ in 0..2 {
            if consumer.pop(&mut record) {
                popped.push(record.clone());
            }
        }
        let accepted = pushing.join().expect("the producer ends");
        while consumer.pop(&mut record) {
            popped.push(record.clone());
        }
        assert_eq!(popped, accepted, "what was accepted comes out, whole and in order");
        assert!(consumer.is_empty());
    });
}
