//! Traffic secrets and the keys that follow from them (RFC 8446, sections 7.1 to 7.3 and 5.3).
//!
//! Not here: sequence numbers and when to update a key, which `record` decides.

use aws_lc_rs::{aead, hkdf};
use zeroize::Zeroize as _;

use crate::fault::Fault;
use crate::suite::Suite;

/// Bytes of the longest traffic secret: SHA-384's.
pub(crate) const SECRET_BYTES_MAX: usize = 48;
/// Bytes of the longest key.
pub(crate) const KEY_BYTES_MAX: usize = 32;
/// Bytes of a nonce and of the IV that it is made from.
pub(crate) const IV_BYTES: usize = 12;

/// A traffic secret; wiped when it falls. Bytes beyond the suite's hash length are zero.
pub(crate) struct Secret([u8; SECRET_BYTES_MAX]);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Secret {
    /// The secret in `bytes`, none if its length is not that of the suite's hash.
    pub(crate) fn new(suite: Suite, bytes: &[u8]) -> Option<Self> {
        let mut secret = Self([0; SECRET_BYTES_MAX]);
        if bytes.len() != suite.secret_bytes() {
            return None;
        }
        secret.0.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(secret)
    }

    /// The secret of a parked form, with its zero tail.
    pub(crate) const fn from_padded(bytes: [u8; SECRET_BYTES_MAX]) -> Self {
        Self(bytes)
    }

    /// The secret with its zero tail.
    pub(crate) const fn padded(&self) -> &[u8; SECRET_BYTES_MAX] {
        &self.0
    }

    fn bytes(&self, suite: Suite) -> &[u8] {
        self.0.get(..suite.secret_bytes()).unwrap_or(&self.0)
    }

    fn prk(&self, suite: Suite) -> hkdf::Prk {
        hkdf::Prk::new_less_safe(suite.hkdf(), self.bytes(suite))
    }

    /// The secret after a key update: `HKDF-Expand-Label(secret, "traffic upd", "", length)`.
    pub(crate) fn next(&self, suite: Suite) -> Result<Self, Fault> {
        let mut next = Self([0; SECRET_BYTES_MAX]);
        let length = suite.secret_bytes();
        let target = next.0.get_mut(..length).ok_or(Fault::Internal)?;
        expand(&self.prk(suite), b"\x11tls13 traffic upd\x00", target)?;
        Ok(next)
    }

    /// Key and IV of this secret, as bytes, to be compared with another's derivation.
    pub(crate) fn key_and_iv(&self, suite: Suite) -> Result<KeyMaterial, Fault> {
        let mut material = KeyMaterial { key: [0; KEY_BYTES_MAX], iv: [0; IV_BYTES] };
        let prk = self.prk(suite);
        let key = material.key.get_mut(..suite.key_bytes()).ok_or(Fault::Internal)?;
        expand(&prk, b"\x09tls13 key\x00", key)?;
        expand(&prk, b"\x08tls13 iv\x00", &mut material.iv)?;
        Ok(material)
    }
}

/// A key and its IV as bytes; wiped when they fall.
pub(crate) struct KeyMaterial {
    key: [u8; KEY_BYTES_MAX],
    iv: [u8; IV_BYTES],
}

impl Drop for KeyMaterial {
    fn drop(&mut self) {
        self.key.zeroize();
        self.iv.zeroize();
    }
}

impl KeyMaterial {
    /// Whether another derivation came to the same key and IV. Only for secrets that both sides
    /// of the comparison know: it takes as long as they are alike.
    pub(crate) fn is(&self, suite: Suite, key: &[u8], iv: &[u8]) -> bool {
        self.key.get(..suite.key_bytes()) == Some(key) && self.iv == iv
    }
}

/// The keys of one direction, ready to protect records. The library below wipes the key's
/// schedule when it frees it.
pub(crate) struct Keys {
    pub(crate) aead: aead::LessSafeKey,
    iv: [u8; IV_BYTES],
}

impl Keys {
    /// Key and IV of a traffic secret: two expansions and one key setup.
    pub(crate) fn new(suite: Suite, secret: &Secret) -> Result<Self, Fault> {
        Self::from_material(suite, &secret.key_and_iv(suite)?)
    }

    /// The keys of what has been derived already: one key setup.
    pub(crate) fn from_material(suite: Suite, material: &KeyMaterial) -> Result<Self, Fault> {
        let key = material.key.get(..suite.key_bytes()).ok_or(Fault::Internal)?;
        let unbound =
            aead::UnboundKey::new(suite.aead(), key).map_err(|_unspecified| Fault::Internal)?;
        Ok(Self { aead: aead::LessSafeKey::new(unbound), iv: material.iv })
    }

    /// The nonce of record `sequence`: the IV with the number folded into its end.
    pub(crate) fn nonce(&self, sequence: u64) -> aead::Nonce {
        let mut nonce = self.iv;
        let tail = nonce.iter_mut().skip(IV_BYTES - size_of::<u64>());
        for (byte, folded) in tail.zip(sequence.to_be_bytes()) {
            *byte ^= folded;
        }
        aead::Nonce::assume_unique_for_key(nonce)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.iv.zeroize();
    }
}

/// `HKDF-Expand-Label` with an empty context; `label` is the HkdfLabel without its length.
fn expand(prk: &hkdf::Prk, label: &[u8], target: &mut [u8]) -> Result<(), Fault> {
    let length = u16::try_from(target.len()).map_err(|_too_long| Fault::Internal)?.to_be_bytes();
    let info = [length.as_slice(), label];
    prk.expand(&info, Length(target.len()))
        .and_then(|okm| okm.fill(target))
        .map_err(|_unspecified| Fault::Internal)
}

/// How many bytes to expand to.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
pub(crate) mod tests;
