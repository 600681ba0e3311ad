//! Cache control that is meant for caches of our kind: `CDN-Cache-Control` (RFC 9213), a structured
//! dictionary, and the older `Surrogate-Control`. Either stands in place of `Cache-Control` and
//! `Expires`, and `CDN-Cache-Control` in place of `Surrogate-Control`.
//!
//! A `CDN-Cache-Control` with any error is as good as absent, because RFC 9213 section 2.1 bids so.
//! `Surrogate-Control` is of the Edge Architecture Specification (W3C Note, 2001): comma-separated
//! directives as in `Cache-Control`, `no-store-remote`, `max-age=LIFETIME+STALE`, and directives
//! for one named surrogate alone (`max-age=60;name`), which are not ours. Nothing here allocates.

use crate::directives::{DELTA_MAX_S, Delta, Reach, ResponseDirectives};
use crate::fields::{self, Field};
use crate::structured::{self, Value};

/// The targeted fields that are obeyed, the one that counts first (RFC 9213 section 2.2).
pub const TARGETS: [&str; 2] = [CDN_CACHE_CONTROL, SURROGATE_CONTROL];

const CDN_CACHE_CONTROL: &str = "cdn-cache-control";
const SURROGATE_CONTROL: &str = "surrogate-control";

/// The directives of the first target that is there, valid and not empty.
pub fn from_fields<'a>(response: &'a [Field<'a>]) -> Option<ResponseDirectives<'a>> {
    from_cdn_cache_control(response).or_else(|| from_surrogate_control(response))
}

fn from_cdn_cache_control<'a>(response: &'a [Field<'a>]) -> Option<ResponseDirectives<'a>> {
    let mut directives = ResponseDirectives { is_targeted: true, ..Default::default() };
    let mut add = |key: &'a [u8], value: Value<'a>| set(&mut directives, key, value);
    let members = structured::dictionary(response, CDN_CACHE_CONTROL, &mut add)?;
    (members > 0).then_some(directives)
}

/// Counts only if it says something of storing: `content` alone, which is about processing, leaves
/// `Cache-Control` in force.
fn from_surrogate_control<'a>(response: &'a [Field<'a>]) -> Option<ResponseDirectives<'a>> {
    let mut directives = ResponseDirectives { is_targeted: true, ..Default::default() };
    let nothing = directives;
    for member in fields::values(response, SURROGATE_CONTROL).flat_map(fields::members) {
        let is_for_another = member.contains(&b';');
        if !is_for_another {
            directives.add_surrogate(member);
        }
    }
    (directives != nothing).then_some(directives)
}

/// Sets one directive. Of several members with one key the last counts (RFC 8941 section 3.2).
fn set<'a>(directives: &mut ResponseDirectives<'a>, key: &[u8], value: Value<'a>) {
    let is_set = value != Value::Boolean(false);
    match key {
        b"max-age" => directives.max_age = delta(value),
        b"s-maxage" => directives.s_maxage = delta(value),
        b"stale-while-revalidate" => directives.stale_while_revalidate_s = Some(window_s(value)),
        b"stale-if-error" => directives.stale_if_error_s = Some(window_s(value)),
        b"no-cache" => directives.no_cache = reach(value),
        b"private" => directives.private = reach(value),
        b"no-store" => directives.no_store = is_set,
        b"must-revalidate" => directives.must_revalidate = is_set,
        b"proxy-revalidate" => directives.proxy_revalidate = is_set,
        // These two permit, so that they count only in the form that they should have.
        b"public" => directives.public = value == Value::Boolean(true),
        b"immutable" => directives.immutable = is_set,
        b"must-understand" => directives.must_understand = value == Value::Boolean(true),
        _ => {}
    }
}

/// RFC 9213 section 2.1: a value of another type is not to be coerced; here it is stale.
fn delta(value: Value<'_>) -> Delta {
    match value {
        Value::Integer(seconds) if seconds >= 0 => {
            Delta::Seconds(u32::try_from(seconds).map_or(DELTA_MAX_S, |s| s.min(DELTA_MAX_S)))
        }
        Value::Integer(_) | Value::Boolean(_) | Value::String(_) | Value::Other => Delta::Invalid,
    }
}

fn window_s(value: Value<'_>) -> u32 {
    match delta(value) {
        Delta::Seconds(seconds) => seconds,
        Delta::Absent | Delta::Invalid => 0,
    }
}

fn reach(value: Value<'_>) -> Reach<'_> {
    match value {
        Value::Boolean(false) => Reach::Absent,
        Value::String(names) => fields::unquote(names).map_or(Reach::Whole, Reach::of),
        Value::Boolean(true) | Value::Integer(_) | Value::Other => Reach::Whole,
    }
}
