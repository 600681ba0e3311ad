//! Range requests on a stored, whole response (RFC 9110 section 14, `If-Range` of section 13.1.5).
//!
//! To be asked after the conditions of [`crate::validate`], for a stored 200. Several ranges at
//! once are answered with the whole, which RFC 9110 section 14.2 allows; see
//! [`crate::exceptions`].

use core::ops::Range;

use crate::fields::{self, Field, Single};
use crate::validate::{self, Validators};

/// Which bytes to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeChoice {
    /// All, with status 200: there is no range, or it must be ignored.
    Whole,
    /// These, with status 206; never empty, never beyond the body.
    Single(Range<u64>),
    /// Several ranges that can be satisfied.
    Multiple,
    /// None: status 416.
    Unsatisfiable,
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
    let modified_s = stored.last_modified.and_then(|value| stored.parse_date(value));
    match (stored.parse_date(condition), modified_s, stored.date_s) {
        // RFC 9110 section 8.8.2.2: a date is strong if the response is at least a second younger.
        (Some(asked_s), Some(modified_s), Some(date_s)) => {
            asked_s == modified_s && date_s > modified_s
        }
        _ => false,
    }
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
    let mut choice = RangeChoice::Unsatisfiable;
    for member in fields::members(set) {
        member_count += 1;
        let spec = Spec::parse(member)?;
        // A suffix of an empty body is that body, which no Content-Range can name.
        if body_len == 0 && matches!(spec, Spec::Suffix { len } if len > 0) {
            return Some(RangeChoice::Whole);
        }
        choice = match (choice, spec.resolve(body_len)) {
            (choice, None) => choice,
            (RangeChoice::Unsatisfiable, Some(range)) => RangeChoice::Single(range),
            (RangeChoice::Single(_) | RangeChoice::Multiple | RangeChoice::Whole, Some(_)) => {
                RangeChoice::Multiple
            }
        };
    }
    (member_count > 0).then_some(choice)
}

/// One or more digits; what is too large for 64 bits is the largest number.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some(sum.saturating_mul(10).saturating_add(digit))
    })
}
