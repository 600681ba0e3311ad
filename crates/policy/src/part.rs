//! Parts of representations: reading `Content-Range`, and which parts belong together (RFC 9111
//! sections 3.3 and 3.4, RFC 9110 sections 14.4 and 15.3.7.3).

use crate::fields::{self, Field};
use crate::meta::Part;
use crate::range::number;
use crate::validate::{self, Validators};

/// Which part a 206 has: its `Content-Range`, if that is there once, in bytes and with the length
/// of the whole.
pub fn of(response: &[Field<'_>]) -> Option<Part> {
    parse(fields::single(response, "content-range").one()?)
}

/// Reads `bytes first-last/complete` (RFC 9110 section 14.4). One whose last byte lies before its
/// first or beyond its end is invalid and must not be used.
pub fn parse(content_range: &[u8]) -> Option<Part> {
    let blank = content_range.iter().position(|byte| *byte == b' ')?;
    let (unit, rest) = content_range.split_at_checked(blank)?;
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let rest = rest.get(1..)?;
    let slash = rest.iter().position(|byte| *byte == b'/')?;
    let (range, complete) = (rest.get(..slash)?, rest.get(slash + 1..)?);
    let dash = range.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (number(range.get(..dash)?)?, number(range.get(dash + 1..)?)?);
    Part::new(first..last.checked_add(1)?, number(complete)?)
}

/// Whether two responses may be combined, because they share a strong validator (RFC 9111 section
/// 3.4). Where both have tags, the tags decide; a date counts only where neither has one.
pub fn may_combine(left: &Validators<'_>, right: &Validators<'_>) -> bool {
    match (left.etag, right.etag) {
        (Some(left), Some(right)) => validate::is_strong_match(left, right),
        (None, None) => {
            left.strong_date_s().is_some() && left.strong_date_s() == right.strong_date_s()
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}
