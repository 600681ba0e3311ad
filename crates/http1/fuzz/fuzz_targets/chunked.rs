//! Any bytes as a chunked body.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longhold_http1::fuzzing::fuzz_chunked(input));
