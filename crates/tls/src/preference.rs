//! Which cipher suite a server prefers: AES-128-GCM, unless the client would rather not have AES.
//!
//! On a processor with AES instructions AES-128-GCM is the cheapest of the three, and where a
//! session wakes for each request its keys are, too: they are derived by SHA-256, for which there
//! are instructions, and not by SHA-384. A client that puts ChaCha20-Poly1305 first says that it
//! has no such instructions: its order is followed. So is everybody's where we have none.

use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;

use crate::limits::HEADER_BYTES;

/// Whether this processor has instructions for AES.
pub(crate) fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
    return false;
}

/// The provider with AES-128-GCM before all others.
pub(crate) fn aes_128_first(mut provider: CryptoProvider) -> CryptoProvider {
    provider.cipher_suites.sort_by_key(|suite| !is_one_of(&AES_128, suite.suite().into()));
    provider
}

/// Whether the ClientHello that begins with this record offers ChaCha20-Poly1305 before any other
/// suite that we know. False when it cannot be told from the record.
pub(crate) fn is_chacha_first(record: &[u8]) -> bool {
    first_known(record).is_some_and(|suite| is_one_of(&CHACHA, suite))
}

/// RFC 8446, 4.1.2: version and random, session id, suites.
fn first_known(record: &[u8]) -> Option<u16> {
    let (&[kind, ..], hello) = record.get(HEADER_BYTES..)?.split_first_chunk::<4>()?;
    let (&session_bytes, rest) = hello.get(VERSION_AND_RANDOM_BYTES..)?.split_first()?;
    let rest = rest.get(usize::from(session_bytes)..)?;
    let (&bytes, list) = rest.split_first_chunk::<2>()?;
    let list = list.get(..usize::from(u16::from_be_bytes(bytes)))?;
    let (suites, _) = list.as_chunks::<2>();
    let mut suites = suites.iter().map(|&suite| u16::from_be_bytes(suite));
    let known = [AES_128, AES_256, CHACHA];
    let is_known = |suite: &u16| known.iter().any(|known| is_one_of(known, *suite));
    suites.find(is_known).filter(|_| kind == CLIENT_HELLO)
}

fn is_one_of(known: &[CipherSuite], suite: u16) -> bool {
    known.iter().any(|&known| u16::from(known) == suite)
}

const AES_128: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];
const AES_256: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
];
const CHACHA: [CipherSuite; 3] = [
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];
const CLIENT_HELLO: u8 = 1;
const VERSION_AND_RANDOM_BYTES: usize = 34;

#[cfg(test)]
mod tests {
    use super::*;

    /// A record that begins a ClientHello with these suites.
    fn record(session_bytes: u8, suites: &[u16]) -> Vec<u8> {
        let mut record = vec![22, 3, 1, 0, 0, CLIENT_HELLO, 0, 0, 0];
        record.extend([0; VERSION_AND_RANDOM_BYTES]);
        record.push(session_bytes);
        record.extend(vec![7; usize::from(session_bytes)]);
        record.extend((2 * suites.len() as u16).to_be_bytes());
        record.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
        record
    }

    #[test]
    fn first_suite_that_is_known_says_what_a_client_prefers() {
        let grease = 0x0a0a;
        for (suites, expected) in [
            (&[0x1303, 0x1301][..], true),
            (&[0x1301, 0x1303], false),
            (&[0x1302, 0x1303], false),
            (&[grease, 0x00ff, 0x1303, 0x1301], true),
            (&[grease, 0x1301, 0x1303], false),
            (&[0xcca9, 0xc02b], true),
            (&[0xcca8, 0xc030], true),
            (&[0xc030, 0xcca8], false),
            (&[grease], false),
            (&[], false),
        ] {
            for session_bytes in [0, 32] {
                assert_eq!(
                    is_chacha_first(&record(session_bytes, suites)),
                    expected,
                    "{suites:x?}"
                );
            }
        }
    }

    #[test]
    fn what_is_cut_or_no_hello_says_nothing() {
        let whole = record(32, &[0x1303]);
        for end in 0..whole.len() {
            assert!(!is_chacha_first(&whole[..end]), "cut at {end}");
        }
        let mut other = whole;
        other[HEADER_BYTES] = 2;
        assert!(!is_chacha_first(&other), "a ServerHello");
    }
}
