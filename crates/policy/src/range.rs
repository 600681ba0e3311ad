//! Range requests on a stored, whole response (RFC 9110 section 14, `If-Range` of section 13.1.5).
//!
//! To be asked after the conditions of [`crate::validate`], for a stored 200. Of what RFC 9110
//! section 14.2 lets a server ignore, this one ignores sets whose ranges overlap out of order and
//! sets of more than [`RANGES_MAX`] ranges: it sends no byte twice, and the work that one request
//! can ask for is bounded by the length of the body.

use core::fmt;
use core::ops::Range;

use crate::fields::{self, Field, Single};
use crate::validate::{self, Validators};

/// More ranges than this in one request are answered with the whole.
pub const RANGES_MAX: usize = 16;

/// Which bytes to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a box would allocate on the path of a hit")]
pub enum RangeChoice {
    /// All, with status 200: there is no range, or it must be ignored.
    Whole,
    /// These, with status 206; never empty, never beyond the body.
    Single(Range<u64>),
    /// These, with status 206 and as `multipart/byteranges`; at least two (RFC 9110 section
    /// 15.3.7.2).
    Multiple(Ranges),
    /// None: status 416.
    Unsatisfiable,
}

/// Two to [`RANGES_MAX`] ranges in the order in which they were asked for. None is empty or reaches
/// beyond the body, and no two overlap.
#[derive(Clone, PartialEq, Eq)]
pub struct Ranges {
    /// Unused places are empty ranges at 0, so that equal sets compare equal.
    ranges: [Range<u64>; RANGES_MAX],
    len: usize,
}

impl Ranges {
    /// The ranges.
    pub fn as_slice(&self) -> &[Range<u64>] {
        self.ranges.get(..self.len).unwrap_or_default()
    }

    fn new() -> Self {
        Self { ranges: [const { 0..0 }; RANGES_MAX], len: 0 }
    }

    /// Adds a range. One that overlaps or touches its predecessor is joined to it (RFC 9110 section
    /// 15.3.7.2); `None` if it overlaps another, or there is no room.
    fn add(&mut self, range: Range<u64>) -> Option<()> {
        let mut range = range;
        if let Some(last) = self.as_slice().last()
            && (last.start..=last.end).contains(&range.start)
        {
            range = last.start..last.end.max(range.end);
            self.len -= 1;
        }
        let is_free = |other: &Range<u64>| range.end <= other.start || other.end <= range.start;
        if !self.as_slice().iter().all(is_free) {
            return None;
        }
        *self.ranges.get_mut(self.len)? = range;
        self.len += 1;
        Some(())
    }
}

impl fmt::Debug for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

/// Chooses what to send of a stored body of `body_len` bytes. Only GET knows ranges (RFC 9110
/// section 14.2), and only in bytes.
///
/// ```
/// use longhold_policy::range::{RangeChoice, select};
/// use longhold_policy::validate::Validators;
/// let choice = select(&[("Range", b"bytes=-100")], "GET", 1000, &Validators::default());
/// assert_eq!(choice, RangeChoice::Single(900..1000));
/// ```
pub fn select(
    request: &[Field<'_>],
    method: &str,
    body_len: u64,
    stored: &Validators<'_>,
) -> RangeChoice {
    if method != "GET" {
        return RangeChoice::Whole;
    }
    let Some(value) = fields::single(request, "range").one() else {
        return RangeChoice::Whole;
    };
    if !if_range_holds(request, stored) {
        return RangeChoice::Whole;
    }
    // RFC 9110 section 14.2: an unknown unit or an invalid set is ignored.
    choose(value, body_len).unwrap_or(RangeChoice::Whole)
}

/// RFC 9110 section 13.1.5: a strong comparison, by tag or by date; absent is true.
fn if_range_holds(request: &[Field<'_>], stored: &Validators<'_>) -> bool {
    let condition = match fields::single(request, "if-range") {
        Single::Absent => return true,
        Single::Conflict => return false,
        Single::One(condition) => condition,
    };
    if validate::is_entity_tag(condition) {
        return stored.etag.is_some_and(|etag| validate::is_strong_match(condition, etag));
    }
    // RFC 9110 section 13.1.5: a date has to be the same, and strong.
    let asked_s = stored.parse_date(condition);
    asked_s.is_some() && asked_s == stored.strong_date_s()
}

/// One member of a set of ranges (RFC 9110 section 14.1.1).
enum Spec {
    From { first: u64, last: Option<u64> },
    Suffix { len: u64 },
}

impl Spec {
    fn parse(text: &[u8]) -> Option<Self> {
        let dash = text.iter().position(|byte| *byte == b'-')?;
        let (left, right) = (text.get(..dash)?, text.get(dash + 1..)?);
        if left.is_empty() {
            return Some(Self::Suffix { len: number(right)? });
        }
        let first = number(left)?;
        let last = if right.is_empty() { None } else { Some(number(right)?) };
        // RFC 9110 section 14.1.1: last before first is invalid.
        last.is_none_or(|last| last >= first).then_some(Self::From { first, last })
    }

    /// The bytes of a body that this names, if any (RFC 9110 section 14.1.2).
    fn resolve(&self, body_len: u64) -> Option<Range<u64>> {
        let range = match *self {
            Self::From { first, last } => {
                let end = last.map_or(body_len, |last| last.saturating_add(1).min(body_len));
                first..end
            }
            Self::Suffix { len } => body_len.saturating_sub(len)..body_len,
        };
        (range.start < range.end).then_some(range)
    }
}

fn choose(value: &[u8], body_len: u64) -> Option<RangeChoice> {
    let equals = value.iter().position(|byte| *byte == b'=')?;
    let (unit, set) = (value.get(..equals)?, value.get(equals + 1..)?);
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut member_count = 0_usize;
    let mut ranges = Ranges::new();
    let mut is_refused = false;
    for member in fields::members(set) {
        member_count += 1;
        let spec = Spec::parse(member)?;
        // A suffix of an empty body is that body, which no Content-Range can name.
        if body_len == 0 && matches!(spec, Spec::Suffix { len } if len > 0) {
            return Some(RangeChoice::Whole);
        }
        if let Some(range) = spec.resolve(body_len) {
            is_refused |= ranges.add(range).is_none();
        }
    }
    if member_count == 0 || is_refused {
        return None;
    }
    // RFC 9110 section 15.3.7.2: what is one range after joining is sent as one.
    Some(match ranges.as_slice() {
        [] => RangeChoice::Unsatisfiable,
        [range] => RangeChoice::Single(range.clone()),
        _ => RangeChoice::Multiple(ranges),
    })
}

/// One or more digits; what is too large for 64 bits is the largest number.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some(sum.saturating_mul(10).saturating_add(digit))
    })
}
