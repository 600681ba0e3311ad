//! What a stored response remembers for reuse: the facts of RFC 9111 sections 3 and 4.2, worked out
//! once when it is stored, as 72 bytes.
//!
//! ```text
//!  0 version   1 flags   2 status u16   4 initial_age_s u32   8 lifetime_s u32
//! 12 stale_while_revalidate_s u32      16 stale_if_error_s u32
//! 20 lifetime source   21 reserved (zero), 3 bytes
//! 24 response_time_ms u64              32 date_s u64           40 last_modified_s u64
//! 48 part: first u64                   56 part: end u64        64 part: complete length u64
//! ```
//! All numbers are little endian. A form that differs has another version; [`StoredMeta::decode`]
//! reads its own version alone, so that a store written by another build is a miss and not a guess.

use core::ops::Range;

use crate::reuse;

/// The facts that decide reuse. The default is stale, without validators, and permits nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredMeta {
    /// Status code; that of a part is the whole's, 200.
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
    /// Who has said the lifetime.
    pub lifetime_source: LifetimeSource,
    /// RFC 5861 section 3, in seconds; 0 permits nothing.
    pub stale_while_revalidate_s: u32,
    /// RFC 5861 section 4, in seconds; 0 permits nothing.
    pub stale_if_error_s: u32,
    /// Never served stale: must-revalidate, proxy-revalidate or s-maxage (RFC 9111 section 4.2.4).
    pub must_revalidate: bool,
    /// Never served without validation (RFC 9111 section 5.2.2.4).
    pub no_cache: bool,
    /// Does not change while it is fresh (RFC 8246 section 2).
    pub immutable: bool,
    /// Whether it has a well-formed `ETag`.
    pub has_etag: bool,
    /// Whether it has a `Last-Modified` that can be read.
    pub has_last_modified: bool,
    /// `Last-Modified` in Unix seconds; 0 without one.
    pub last_modified_s: u64,
    /// Which bytes of the representation the stored body holds, where it does not hold all (RFC
    /// 9111 section 3.3).
    pub part: Option<Part>,
}

/// Where a freshness lifetime comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LifetimeSource {
    /// Nothing says how long; none was guessed either.
    #[default]
    Nothing,
    /// `s-maxage` (RFC 9111 section 5.2.2.10).
    SMaxage,
    /// `max-age` (RFC 9111 section 5.2.2.1).
    MaxAge,
    /// `Expires` less `Date` (RFC 9111 section 5.3).
    Expires,
    /// A guess (RFC 9111 section 4.2.2).
    Heuristic,
    /// `max-age` or `s-maxage` of a field meant for caches of our kind (RFC 9213).
    Targeted,
    /// The site's own rule.
    Site,
}

impl LifetimeSource {
    const ALL: [Self; 7] = [
        Self::Nothing,
        Self::SMaxage,
        Self::MaxAge,
        Self::Expires,
        Self::Heuristic,
        Self::Targeted,
        Self::Site,
    ];

    /// A word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::SMaxage => "s-maxage",
            Self::MaxAge => "max-age",
            Self::Expires => "Expires",
            Self::Heuristic => "heuristic",
            Self::Targeted => "targeted field",
            Self::Site => "site rule",
        }
    }

    /// The clause that makes it count.
    pub fn clause(self) -> &'static str {
        match self {
            Self::Nothing | Self::SMaxage | Self::MaxAge | Self::Expires => "RFC 9111 4.2.1",
            Self::Heuristic => "RFC 9111 4.2.2",
            Self::Targeted => "RFC 9213 2.2",
            Self::Site => "RFC 9111 4.2.1",
        }
    }
}

/// A part of a representation (RFC 9110 section 14.4); never empty, never beyond the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    first: u64,
    end: u64,
    complete_len: u64,
}

impl Part {
    /// The bytes `range` of `complete_len`; `None` for an empty range or one beyond the end.
    pub fn new(range: Range<u64>, complete_len: u64) -> Option<Self> {
        let is_inside = range.start < range.end && range.end <= complete_len;
        is_inside.then_some(Self { first: range.start, end: range.end, complete_len })
    }

    /// Which bytes it has.
    pub fn range(&self) -> Range<u64> {
        self.first..self.end
    }

    /// How many bytes the whole representation has.
    pub fn complete_len(&self) -> u64 {
        self.complete_len
    }
}

impl StoredMeta {
    /// The length of the encoded form.
    pub const BYTES: usize = 72;
    /// The first byte of the encoded form.
    pub const VERSION: u8 = 2;

    /// Whether a conditional request can validate it (RFC 9111 section 4.3.1).
    pub fn has_validator(&self) -> bool {
        self.has_etag || self.has_last_modified
    }

    /// The same response, stale from `now_ms` (Unix milliseconds) on: validated at its next use, or
    /// served within the windows of RFC 5861 as any stale response. What was stale stays as stale
    /// as it was.
    #[must_use]
    pub fn soft_purged(&self, now_ms: u64) -> Self {
        // RFC 9111 section 4.2: fresh while the lifetime is greater than the age.
        Self { lifetime_s: self.lifetime_s.min(reuse::age_s(self, now_ms)), ..*self }
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
        put(&mut rest, &[self.lifetime_source as u8, 0, 0, 0]);
        put(&mut rest, &self.response_time_ms.to_le_bytes());
        put(&mut rest, &self.date_s.to_le_bytes());
        put(&mut rest, &self.last_modified_s.to_le_bytes());
        if let Some(part) = self.part {
            put(&mut rest, &part.first.to_le_bytes());
            put(&mut rest, &part.end.to_le_bytes());
            put(&mut rest, &part.complete_len.to_le_bytes());
        }
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
        let [source, 0, 0, 0] = take(&mut rest)? else { return None };
        Some(Self {
            status,
            response_time_ms: u64::from_le_bytes(take(&mut rest)?),
            date_s: u64::from_le_bytes(take(&mut rest)?),
            initial_age_s,
            lifetime_s,
            lifetime_source: *LifetimeSource::ALL.get(usize::from(source))?,
            stale_while_revalidate_s,
            stale_if_error_s,
            must_revalidate: flags & MUST_REVALIDATE != 0,
            no_cache: flags & NO_CACHE != 0,
            immutable: flags & IMMUTABLE != 0,
            has_etag: flags & HAS_ETAG != 0,
            has_last_modified: flags & HAS_LAST_MODIFIED != 0,
            last_modified_s: u64::from_le_bytes(take(&mut rest)?),
            part: decode_part(flags & IS_PART != 0, rest)?,
        })
    }

    fn flags(&self) -> u8 {
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        flag(self.part.is_some(), IS_PART)
            | flag(self.must_revalidate, MUST_REVALIDATE)
            | flag(self.no_cache, NO_CACHE)
            | flag(self.has_etag, HAS_ETAG)
            | flag(self.has_last_modified, HAS_LAST_MODIFIED)
            | flag(self.immutable, IMMUTABLE)
    }
}

/// The part, or the zeros that stand where there is none; the outer `None` is neither.
fn decode_part(is_part: bool, mut rest: &[u8]) -> Option<Option<Part>> {
    let first = u64::from_le_bytes(take(&mut rest)?);
    let end = u64::from_le_bytes(take(&mut rest)?);
    let complete_len = u64::from_le_bytes(take(&mut rest)?);
    if is_part {
        return Part::new(first..end, complete_len).map(Some);
    }
    (first == 0 && end == 0 && complete_len == 0).then_some(None)
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

const IS_PART: u8 = 1;
const MUST_REVALIDATE: u8 = 1 << 1;
const NO_CACHE: u8 = 1 << 2;
const HAS_ETAG: u8 = 1 << 3;
const HAS_LAST_MODIFIED: u8 = 1 << 4;
const IMMUTABLE: u8 = 1 << 5;
const KNOWN_FLAGS: u8 =
    IS_PART | MUST_REVALIDATE | NO_CACHE | HAS_ETAG | HAS_LAST_MODIFIED | IMMUTABLE;
