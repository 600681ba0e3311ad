//! Any bytes as a parked session, and what comes off the wire to it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longhold_tls::fuzzing::fuzz_parked(input));
