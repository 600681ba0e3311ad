//! Any bytes as a request head and as a response head.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longhold_http1::fuzzing::fuzz_head(input));
