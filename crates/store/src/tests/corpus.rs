//! The committed fuzz corpus runs through the fuzz targets without a fuzzer.

use std::fs;
use std::path::Path;

use crate::fuzzing::{self, Recovery};

/// Runs `target` over every file of one corpus folder; returns how many there were.
fn replay(folder: &str, target: impl Fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(folder);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // Shown when the test fails.
        println!("{}", path.display());
        target(&fs::read(path).unwrap());
        count += 1;
    }
    count
}

#[test]
fn corpus_of_parts_holds_the_invariants() {
    assert!(replay("record", fuzzing::parse) >= 20);
}

#[test]
fn corpus_of_damaged_files_holds_the_invariants() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let recovery = Recovery::new(folder.path());
    assert!(replay("recovery", |input| recovery.run(input)) >= 20);
}
