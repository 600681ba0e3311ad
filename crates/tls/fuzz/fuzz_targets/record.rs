//! Any bytes as the doings of a peer that has the keys.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longhold_tls::fuzzing::fuzz_record(input));
