//! What a stored response remembers for reuse: the facts of RFC 9111 sections 3 and 4.2, worked out
//! once when it is stored, as 48 bytes.
//!
//! ```text
//!  0 version   1 flags   2 status u16   4 initial_age_s u32   8 lifetime_s u32
//! 12 stale_while_revalidate_s u32      16 stale_if_error_s u32 20 reserved (zero) u32
//! 24 response_time_ms u64              32 date_s u64           40 last_modified_s u64
//! ```
//! All numbers are little endian. A form that differs has another version; [`StoredMeta::decode`]
//! reads its own version alone, so that a store written by another build is a miss and not a guess.

/// The facts that decide reuse. The default is stale, without validators, and permits nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredMeta {
    /// Status code.
    pub status: u16,
    /// When the response head was received, in Unix milliseconds (`response_time`).
    pub response_time_ms: u64,
    /// `Date` in Unix seconds, or the time of receipt if the origin sent none that can be read
    /// (RFC 9110 section 6.6.1).
    pub date_s: u64,
    /// `corrected_initial_age` of RFC 9111 section 4.2.3, in seconds, at most 2^31.
    pub initial_age_s: u32,
    /// Freshness lifetime of RFC 9111 section 4.2.1 or 4.2.2, in seconds, at most 2^31.
    pub lifetime_s: u32,
    /// Whether the lifetime is our guess (RFC 9111 section 4.2.2).
    pub heuristic: bool,
    /// RFC 5861 section 3, in seconds; 0 permits nothing.
    pub stale_while_revalidate_s: u32,
    /// RFC 5861 section 4, in seconds; 0 permits nothing.
    pub stale_if_error_s: u32,
    /// Never served stale: must-revalidate, proxy-revalidate or s-maxage (RFC 9111 section 4.2.4).
    pub must_revalidate: bool,
    /// Never served without validation (RFC 9111 section 5.2.2.4).
    pub no_cache: bool,
    /// Whether it has a well-formed `ETag`.
    pub has_etag: bool,
    /// Whether it has a `Last-Modified` that can be read.
    pub has_last_modified: bool,
    /// `Last-Modified` in Unix seconds; 0 without one.
    pub last_modified_s: u64,
}

impl StoredMeta {
    /// The length of the encoded form.
    pub const BYTES: usize = 48;
    /// The first byte of the encoded form.
    pub const VERSION: u8 = 1;

    /// Whether a conditional request can validate it (RFC 9111 section 4.3.1).
    pub fn has_validator(&self) -> bool {
        self.has_etag || self.has_last_modified
    }

    /// The encoded form.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        let mut rest = out.as_mut_slice();
        put(&mut rest, &[Self::VERSION, self.flags()]);
        put(&mut rest, &self.status.to_le_bytes());
        put(&mut rest, &self.initial_age_s.to_le_bytes());
        put(&mut rest, &self.lifetime_s.to_le_bytes());
        put(&mut rest, &self.stale_while_revalidate_s.to_le_bytes());
        put(&mut rest, &self.stale_if_error_s.to_le_bytes());
        put(&mut rest, &[0; 4]);
        put(&mut rest, &self.response_time_ms.to_le_bytes());
        put(&mut rest, &self.date_s.to_le_bytes());
        put(&mut rest, &self.last_modified_s.to_le_bytes());
        out
    }

    /// Reads an encoded form. `None` unless `bytes` has exactly [`Self::BYTES`] bytes of this
    /// version with no unknown flag.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let mut rest = bytes.as_slice();
        let [version, flags] = take(&mut rest)?;
        if version != Self::VERSION || flags & !KNOWN_FLAGS != 0 {
            return None;
        }
        let status = u16::from_le_bytes(take(&mut rest)?);
        let initial_age_s = u32::from_le_bytes(take(&mut rest)?);
        let lifetime_s = u32::from_le_bytes(take(&mut rest)?);
        let stale_while_revalidate_s = u32::from_le_bytes(take(&mut rest)?);
        let stale_if_error_s = u32::from_le_bytes(take(&mut rest)?);
        if take(&mut rest)? != [0; 4] {
            return None;
        }
        Some(Self {
            status,
            response_time_ms: u64::from_le_bytes(take(&mut rest)?),
            date_s: u64::from_le_bytes(take(&mut rest)?),
            initial_age_s,
            lifetime_s,
            heuristic: flags & HEURISTIC != 0,
            stale_while_revalidate_s,
            stale_if_error_s,
            must_revalidate: flags & MUST_REVALIDATE != 0,
            no_cache: flags & NO_CACHE != 0,
            has_etag: flags & HAS_ETAG != 0,
            has_last_modified: flags & HAS_LAST_MODIFIED != 0,
            last_modified_s: u64::from_le_bytes(take(&mut rest)?),
        })
    }

    fn flags(&self) -> u8 {
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        flag(self.heuristic, HEURISTIC)
            | flag(self.must_revalidate, MUST_REVALIDATE)
            | flag(self.no_cache, NO_CACHE)
            | flag(self.has_etag, HAS_ETAG)
            | flag(self.has_last_modified, HAS_LAST_MODIFIED)
    }
}

fn put(rest: &mut &mut [u8], bytes: &[u8]) {
    if let Some((head, tail)) = core::mem::take(rest).split_at_mut_checked(bytes.len()) {
        head.copy_from_slice(bytes);
        *rest = tail;
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

const HEURISTIC: u8 = 1;
const MUST_REVALIDATE: u8 = 1 << 1;
const NO_CACHE: u8 = 1 << 2;
const HAS_ETAG: u8 = 1 << 3;
const HAS_LAST_MODIFIED: u8 = 1 << 4;
const KNOWN_FLAGS: u8 = HEURISTIC | MUST_REVALIDATE | NO_CACHE | HAS_ETAG | HAS_LAST_MODIFIED;
