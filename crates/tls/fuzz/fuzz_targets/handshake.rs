//! Any bytes as what a client, or a server, says in a handshake.
#![no_main]

use std::sync::LazyLock;

use longhold_tls::fuzzing::{Ends, fuzz_handshake};

static ENDS: LazyLock<Ends> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["edge.example".to_owned()]).unwrap();
    Ends::new(&made.cert.pem(), &made.signing_key.serialize_pem())
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_handshake(&ENDS, input));
