//! Any bytes as each part of the file format, with right and wrong MACs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longhold_store::fuzzing::parse(input));
