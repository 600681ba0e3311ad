//! The committed fuzz corpus runs through the fuzz targets without a fuzzer.

use std::fs;
use std::path::Path;

use crate::fuzzing::{fuzz_chunked, fuzz_head};

/// Runs `target` over every file of one corpus folder; returns how many there were.
fn replay(folder: &str, target: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(folder);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let input = fs::read(entry.unwrap().path()).unwrap();
        target(&input);
        count += 1;
    }
    count
}

#[test]
fn corpus_of_heads_holds_the_invariants() {
    assert!(replay("head", fuzz_head) >= 20);
}

#[test]
fn corpus_of_chunked_bodies_holds_the_invariants() {
    assert!(replay("chunked", fuzz_chunked) >= 10);
}
