//! Where a record ends: its header, read before anything is decrypted.

use crate::limits::{HEADER_BYTES, LEGACY_CIPHERTEXT_BYTES_MAX};

/// Content types (RFC 8446, section 5.1).
pub(crate) mod content {
    pub(crate) const ALERT: u8 = 21;
    pub(crate) const HANDSHAKE: u8 = 22;
    pub(crate) const APPLICATION_DATA: u8 = 23;
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) content_type: u8,
    /// The two version bytes, which mean nothing (RFC 8446, section 5.1) but are authenticated.
    pub(crate) version: [u8; 2],
    /// Bytes that follow the header.
    pub(crate) body_bytes: usize,
}

impl Header {
    /// The header in the first five bytes, none if there are fewer.
    pub(crate) fn read(input: &[u8]) -> Option<Self> {
        let [content_type, major, minor, high, low] = *input.first_chunk::<HEADER_BYTES>()?;
        let body_bytes = usize::from(u16::from_be_bytes([high, low]));
        Some(Self { content_type, version: [major, minor], body_bytes })
    }

    /// The header's bytes.
    pub(crate) fn bytes(self) -> [u8; HEADER_BYTES] {
        let [major, minor] = self.version;
        let [high, low] = u16::try_from(self.body_bytes).unwrap_or(u16::MAX).to_be_bytes();
        [self.content_type, major, minor, high, low]
    }

    /// Whether a record that rustls judges can begin so: else it is refused before it is whole.
    pub(crate) fn is_plausible(self) -> bool {
        let is_known_type = (20..=24).contains(&self.content_type);
        let [major, _] = self.version;
        is_known_type && major == 3 && self.body_bytes <= LEGACY_CIPHERTEXT_BYTES_MAX
    }

    /// Bytes of the whole record.
    pub(crate) fn record_bytes(self) -> usize {
        HEADER_BYTES + self.body_bytes
    }
}
