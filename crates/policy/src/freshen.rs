//! Freshening a stored response with a 304 (RFC 9111 sections 3.2 and 4.3.4).
//!
//! After a merge the result is evaluated anew as a 200 with the times of the validation
//! ([`crate::storable::evaluate`]); if it may then no longer be stored, the stored one must go.

use crate::fields::{self, Field, Single};
use crate::validate::{self, Validators};

/// Fields that describe the stored body, which a 304 does not bring: the stored ones stay (RFC 9111
/// section 3.2; `Content-Length` by name, the others because the stored bytes depend on them).
const KEPT: [&str; 3] = ["content-encoding", "content-length", "content-range"];

/// Fields that describe the older message and not the representation: its age and its date must not
/// outlive it, or the freshened response would count as old as before (RFC 9111 section 4.2.3).
const DROPPED: [&str; 2] = ["age", "date"];

/// Whether a 304 that answers the validation of `stored` is about it (RFC 9111 section 4.3.4). If
/// not, it must not freshen it, and the request is to be sent again without conditions.
///
/// A 304 without validators counts as about the response that it was asked about, because a
/// validation names only one stored response; see [`crate::exceptions`].
pub fn is_about(stored: &Validators<'_>, update_304: &[Field<'_>]) -> bool {
    let update = Validators::of(update_304);
    match (update.etag, stored.etag) {
        (Some(new), Some(held)) if !validate::is_strong(new) => validate::is_weak_match(new, held),
        (Some(new), Some(held)) => validate::is_strong_match(new, held),
        (Some(_), None) => false,
        (None, _) => match (update.last_modified, stored.last_modified) {
            (Some(new), Some(held)) => stored.parse_date(new) == stored.parse_date(held),
            (Some(_) | None, _) => true,
        },
    }
}

/// What a response to HEAD says of a stored response to GET (RFC 9111 section 4.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByHead {
    /// Nothing: it is no 200.
    Nothing,
    /// It is about the stored response: freshen that with [`merge`] and the HEAD's times.
    Update,
    /// It is about another representation: the stored response is stale from now on
    /// ([`crate::StoredMeta::soft_purged`]).
    Stale,
}

/// Compares a response to HEAD with a stored response to GET that the request could have selected,
/// and whose body has `body_len` bytes (RFC 9111 section 4.3.5): validators that came must be those
/// that are stored, and a `Content-Length` that of the stored body.
pub fn by_head(
    stored: &Validators<'_>,
    body_len: u64,
    status: u16,
    response: &[Field<'_>],
) -> ByHead {
    if status != 200 {
        return ByHead::Nothing;
    }
    let has_etag = fields::first(response, "etag").is_some();
    let has_date = fields::first(response, "last-modified").is_some();
    let update = Validators::of(response);
    let is_same_tag = !has_etag
        || matches!((update.etag, stored.etag), (Some(new), Some(held))
            if new == held);
    let is_same_date = !has_date
        || matches!((update.last_modified, stored.last_modified), (Some(new), Some(held))
            if stored.parse_date(new) == stored.parse_date(held));
    let is_same_len = match fields::single(response, "content-length") {
        Single::Absent => true,
        Single::One(len) => decimal(len) == Some(body_len),
        Single::Conflict => false,
    };
    if is_same_tag && is_same_date && is_same_len { ByHead::Update } else { ByHead::Stale }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    core::str::from_utf8(digits).ok()?.parse().ok()
}

/// Emits the fields of the freshened response: those of the 304 replace all stored lines of their
/// name, the rest stays (RFC 9111 section 3.2).
///
/// Not taken from the 304: what is not stored (section 3.1) and what describes the body. Not kept
/// from the stored response: `Age` and `Date`; a 304 without `Date` leaves none, and the caller
/// adds the time of receipt (RFC 9110 section 6.6.1).
pub fn merge(stored: &[Field<'_>], update_304: &[Field<'_>], emit: &mut dyn FnMut(&str, &[u8])) {
    for (name, value) in stored {
        let is_replaced = is_taken(update_304, name) && fields::first(update_304, name).is_some();
        if !is_replaced && !is_in(&DROPPED, name) {
            emit(name, value);
        }
    }
    for (name, value) in update_304 {
        if is_taken(update_304, name) {
            emit(name, value);
        }
    }
}

fn is_taken(update_304: &[Field<'_>], name: &str) -> bool {
    !is_in(&KEPT, name) && fields::is_storable(update_304, name)
}

fn is_in(table: &[&str], name: &str) -> bool {
    table.iter().any(|known| known.eq_ignore_ascii_case(name))
}
