//! The three cipher suites of TLS 1.3 that the record layer protects records with.

use aws_lc_rs::{aead, hkdf};

/// A cipher suite of TLS 1.3 (RFC 8446, appendix B.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Suite {
    /// `TLS_AES_128_GCM_SHA256`.
    Aes128Gcm = 1,
    /// `TLS_AES_256_GCM_SHA384`.
    Aes256Gcm = 2,
    /// `TLS_CHACHA20_POLY1305_SHA256`.
    ChaCha20Poly1305 = 3,
}

impl Suite {
    /// All suites.
    pub const ALL: [Self; 3] = [Self::Aes128Gcm, Self::Aes256Gcm, Self::ChaCha20Poly1305];

    /// The number that IANA gave it.
    pub const fn number(self) -> u16 {
        match self {
            Self::Aes128Gcm => 0x1301,
            Self::Aes256Gcm => 0x1302,
            Self::ChaCha20Poly1305 => 0x1303,
        }
    }

    /// The suite with this number.
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            0x1301 => Some(Self::Aes128Gcm),
            0x1302 => Some(Self::Aes256Gcm),
            0x1303 => Some(Self::ChaCha20Poly1305),
            _ => None,
        }
    }

    /// The suite with this discriminant: the byte of the parked form.
    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Aes128Gcm),
            2 => Some(Self::Aes256Gcm),
            3 => Some(Self::ChaCha20Poly1305),
            _ => None,
        }
    }

    /// Bytes of a traffic secret: the length of the suite's hash.
    pub(crate) const fn secret_bytes(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::ChaCha20Poly1305 => 32,
            Self::Aes256Gcm => 48,
        }
    }

    /// Bytes of a key.
    pub(crate) const fn key_bytes(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }

    /// Records that one key may protect. For AES-GCM 2^24, which leaves an attacker one chance in
    /// 2^60 (RFC 8446, section 5.5; rustls has the same); ChaCha20-Poly1305 has no such bound.
    pub(crate) const fn records_max(self) -> u64 {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => 1 << 24,
            Self::ChaCha20Poly1305 => 1 << 48,
        }
    }

    pub(crate) fn aead(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes128Gcm => &aead::AES_128_GCM,
            Self::Aes256Gcm => &aead::AES_256_GCM,
            Self::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        }
    }

    pub(crate) fn hkdf(self) -> hkdf::Algorithm {
        match self {
            Self::Aes128Gcm | Self::ChaCha20Poly1305 => hkdf::HKDF_SHA256,
            Self::Aes256Gcm => hkdf::HKDF_SHA384,
        }
    }
}

/// The name at IANA of a suite that is spoken here, by its number; empty for another.
pub(crate) const fn name_of(number: u16) -> &'static str {
    match number {
        0x1301 => "TLS_AES_128_GCM_SHA256",
        0x1302 => "TLS_AES_256_GCM_SHA384",
        0x1303 => "TLS_CHACHA20_POLY1305_SHA256",
        0xc02b => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        0xc02c => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        0xc02f => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        0xc030 => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        0xcca8 => "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        0xcca9 => "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        _ => "",
    }
}

const _: () = {
    let mut at = 0;
    while at < Suite::ALL.len() {
        assert!(Suite::ALL[at].secret_bytes() <= crate::keys::SECRET_BYTES_MAX);
        assert!(Suite::ALL[at].key_bytes() <= crate::keys::KEY_BYTES_MAX);
        at += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn every_suite_that_is_spoken_has_its_name() {
        for suite in rustls::crypto::aws_lc_rs::default_provider().cipher_suites {
            let known = suite.suite();
            let name = known.as_str().unwrap().replace("TLS13_", "TLS_");
            assert_eq!(name_of(known.into()), name);
        }
        assert_eq!(name_of(0), "");
    }
}
