//! Freshening a stored response with a 304 (RFC 9111 sections 3.2 and 4.3.4).
//!
//! After a merge the result is evaluated anew as a 200 with the times of the validation
//! ([`crate::storable::evaluate`]); if it may then no longer be stored, the stored one must go.

use crate::fields::{self, Field};
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
        (Some(new), Some(held)) if validate::is_weak(new) => validate::is_weak_match(new, held),
        (Some(new), Some(held)) => validate::is_strong_match(new, held),
        (Some(_), None) => false,
        (None, _) => match (update.last_modified, stored.last_modified) {
            (Some(new), Some(held)) => stored.parse_date(new) == stored.parse_date(held),
            (Some(_) | None, _) => true,
        },
    }
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
