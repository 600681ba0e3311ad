//! The named maxima of what a peer may send (H1-4).

/// Bounds on heads and chunk framing. All are inclusive: the last byte allowed is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole head, from its first byte (a tolerated empty line included) to the end of
    /// the empty line that closes it. Beyond it: 431, or 414 while still in the request line.
    pub head_bytes_max: usize,
    /// Field lines of a head; never more than [`FIELDS_MAX`], whatever is written here. Beyond it:
    /// 431.
    pub fields_max: usize,
    /// Bytes of a request target. Beyond it: 414.
    pub target_bytes_max: usize,
    /// Bytes of a chunk's size and extensions, without its CRLF. Beyond it: 400.
    pub chunk_line_bytes_max: usize,
    /// Bytes of a whole trailer section, its closing CRLF included. Beyond it: 431.
    pub trailer_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 32 * 1024,
            fields_max: FIELDS_MAX,
            target_bytes_max: 8 * 1024,
            chunk_line_bytes_max: 256,
            trailer_bytes_max: 8 * 1024,
        }
    }
}

/// The hard cap of [`Limits::fields_max`].
pub const FIELDS_MAX: usize = 100;

/// Bytes of the longest method; a longer one is not implemented (501). The longest registered one,
/// `UPDATEREDIRECTREF`, has 17.
pub const METHOD_BYTES_MAX: usize = 32;
