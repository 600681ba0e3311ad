//! The committed corpora, through the fuzz targets' own entry points.

use std::path::PathBuf;

use super::{Ends, fuzz_handshake, fuzz_parked, fuzz_record};

#[test]
fn corpus_of_records_holds_the_invariants() {
    replay("record", fuzz_record);
}

#[test]
fn corpus_of_parked_sessions_holds_the_invariants() {
    replay("parked", fuzz_parked);
}

#[test]
fn corpus_of_handshakes_holds_the_invariants() {
    let made = rcgen::generate_simple_self_signed(["edge.example".to_owned()]).unwrap();
    let ends = Ends::new(&made.cert.pem(), &made.signing_key.serialize_pem());
    replay("handshake", |input| fuzz_handshake(&ends, input));
}

fn replay(target: &str, run: impl Fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).expect("the corpus") {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        run(&std::fs::read(path).unwrap());
        count += 1;
    }
    assert!(count >= 8, "only {count} inputs; has one been lost?");
}
