//! The key schedule against the RFC's own example (RFC 8448, section 3).

use super::{Keys, Secret};
use crate::suite::Suite;

#[test]
fn secrets_lead_to_the_keys_of_rfc_8448() {
    for (secret, key, iv) in [
        (SERVER_SECRET, "9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984"),
        (CLIENT_SECRET, "17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9"),
    ] {
        let secret = Secret::new(Suite::Aes128Gcm, &hex(secret)).unwrap();
        let material = secret.key_and_iv(Suite::Aes128Gcm).unwrap();
        assert!(material.is(Suite::Aes128Gcm, &hex(key), &hex(iv)));
        assert!(!material.is(Suite::Aes128Gcm, &hex(key), &[0; 12]));
        assert!(!material.is(Suite::Aes256Gcm, &hex(key), &hex(iv)));
    }
}

/// RFC 8446, 5.3: the number is folded into the end of the IV.
#[test]
fn nonce_is_the_iv_with_the_number_folded_in() {
    let secret = Secret::new(Suite::Aes128Gcm, &hex(CLIENT_SECRET)).unwrap();
    let keys = Keys::new(Suite::Aes128Gcm, &secret).unwrap();
    assert_eq!(keys.nonce(0).as_ref().as_slice(), hex("5b78923dee08579033e523d9"));
    assert_eq!(
        keys.nonce(0x0102_0304_0506_0708).as_ref().as_slice(),
        hex("5b78923def0a549436e324d1")
    );
}

#[test]
fn secret_has_the_length_of_its_hash() {
    for suite in Suite::ALL {
        for bytes in 0..=64 {
            let secret = Secret::new(suite, &[1; 64][..bytes]);
            assert_eq!(secret.is_some(), bytes == suite.secret_bytes(), "{suite:?} {bytes}");
        }
    }
}

#[test]
fn next_secret_is_another_with_other_keys() {
    for suite in Suite::ALL {
        let first = crate::fuzzing::forge::secret(suite, 3);
        let second = first.next(suite).unwrap();
        assert_ne!(first.padded(), second.padded());
        assert_eq!(second.padded()[suite.secret_bytes()..], [0; 48][suite.secret_bytes()..]);
        let keys = first.key_and_iv(suite).unwrap();
        let next = second.key_and_iv(suite).unwrap();
        assert_ne!((keys.key, keys.iv), (next.key, next.iv));
    }
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

pub(crate) const SERVER_SECRET: &str =
    "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
pub(crate) const CLIENT_SECRET: &str =
    "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
