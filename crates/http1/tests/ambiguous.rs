//! The corpus of ambiguous messages, one verdict for each, however the bytes are cut (H1-1, H1-2).

mod corpus;

use corpus::{Case, Reader};
use longhold_http1::fuzzing;

#[test]
fn every_case_has_one_verdict_however_it_is_cut() {
    let cases = corpus::cases();
    let mut faults = Vec::new();
    for case in &cases {
        if let Err(fault) = check(case) {
            faults.push(format!("{}\n{fault}", case.place));
        }
    }
    println!("{} cases", cases.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(cases.len() >= CASES_MIN, "only {} cases; has a file been lost?", cases.len());
}

fn check(case: &Case) -> Result<(), String> {
    let bytes = case.bytes.as_slice();
    let whole = Reader::read(case.side, [bytes]);
    if whole.verdicts() != case.verdicts {
        let lines: Vec<String> = whole.verdicts().iter().map(|it| format!("then {it}")).collect();
        return Err(lines.join("\n"));
    }
    // Cuts of a long message are as many as those of a short one: its parts repeat.
    let step = bytes.len() / CUTS_MAX + 1;
    for cut in (0..=bytes.len()).step_by(step) {
        let (front, back) = bytes.split_at(cut);
        let read = Reader::read(case.side, [front, back]);
        if read != whole {
            return Err(format!("cut at {cut}: {:?}", read.verdicts()));
        }
    }
    let read = Reader::read(case.side, bytes.chunks(step));
    if read != whole {
        return Err(format!("in pieces of {step}: {:?}", read.verdicts()));
    }
    Ok(())
}

/// What the fuzzer asserts of any bytes (H1-2 to H1-7).
#[test]
fn every_case_holds_the_invariants() {
    for case in corpus::cases() {
        fuzzing::fuzz_head(&case.bytes);
        let heads = case.bytes.windows(4).position(|end| end == b"\r\n\r\n");
        fuzzing::fuzz_chunked(heads.map_or(&[], |at| &case.bytes[at + 4..]));
    }
}

#[test]
fn broken_corpus_is_found() {
    let cases = corpus::parse("f", "case a [b]\n| GET / HTTP/1.1\n|\nthen refused 400 BareLf by x");
    assert!(check(&cases[0]).unwrap_err().contains("MissingHost"));
    for text in [
        "then refused",
        "case no clause\n| a\nthen b",
        "case no verdict [c]\n| a",
        "case no bytes [c]\nthen b",
        "case bytes last [c]\n| a\nthen b\n| c",
        "case bad escape [c]\n| \\q\nthen b",
        "case typo [c]\n| a\nthan b",
    ] {
        assert!(std::panic::catch_unwind(|| corpus::parse("f", text)).is_err(), "{text:?}");
    }
}

const CASES_MIN: usize = 425;
const CUTS_MAX: usize = 1024;
