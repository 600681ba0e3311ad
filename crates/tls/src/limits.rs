//! What a peer may ask of us: every bound of the crate, with its unit.

/// Plaintext bytes of one record (RFC 8446, section 5.1).
pub const PLAINTEXT_BYTES_MAX: usize = 1 << 14;
/// Bytes of a record's header: type, version, length.
pub const HEADER_BYTES: usize = 5;
/// Ciphertext bytes of one TLS 1.3 record (RFC 8446, section 5.2).
pub const CIPHERTEXT_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX + 256;
/// Ciphertext bytes of one record before the version is known, or of TLS 1.2 (RFC 5246, 6.2.3).
pub const LEGACY_CIPHERTEXT_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX + 2048;
/// The longest record that a caller has to keep until it is whole.
pub const RECORD_BYTES_MAX: usize = HEADER_BYTES + LEGACY_CIPHERTEXT_BYTES_MAX;

/// Bytes that sealing adds to each TLS 1.3 record: header, content type, tag.
pub const SEALED_EXTRA_BYTES: usize = HEADER_BYTES + 1 + 16;
/// Bytes that sealing may add to each record of any version.
pub const SEALED_EXTRA_BYTES_MAX: usize = 64;
/// Room that [`crate::Session::control`] needs to write everything it owes.
pub const CONTROL_BYTES_MAX: usize = 256;

/// Bytes of records that a peer may use for its side of a handshake.
pub const HANDSHAKE_BYTES_MAX: usize = 64 << 10;
/// Records that a peer may use for its side of a handshake.
pub const HANDSHAKE_RECORDS_MAX: u32 = 256;

/// Empty records in a row.
pub const EMPTY_RECORDS_MAX: u8 = 32;
/// Key updates without application data between them.
pub const KEY_UPDATES_MAX: u8 = 32;
/// Other messages (tickets, warnings) without application data between them.
pub const MESSAGES_MAX: u8 = 32;
/// Bytes of one handshake message after the handshake: a client is sent tickets.
pub const MESSAGE_BYTES_MAX: usize = 32 << 10;
/// Tickets of one session that a client keeps for resumption.
pub const TICKETS_KEPT_MAX: u8 = 4;
