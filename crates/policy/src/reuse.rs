//! May a stored response answer this request now (RFC 9111 section 4, RFC 5861)?
//!
//! | stored response is | and the request or the response | then |
//! |---|---|---|
//! | fresh | asks nothing more | [`Decision::Fresh`] |
//! | fresh | has no-cache, max-age or min-fresh against it | validate |
//! | fresh and immutable | has max-age against it | [`Decision::Fresh`] |
//! | stale | is within stale-while-revalidate | [`Decision::StaleWhileRevalidate`] |
//! | stale | has max-stale for it | [`Decision::StaleAllowed`] |
//! | stale | must-revalidate, no-cache, or nothing permits it | validate |
//!
//! Validating means [`Decision::Validate`] with a validator and [`Decision::Forward`] without;
//! under only-if-cached both become [`Decision::GatewayTimeout`]. Nothing here allocates; the cost
//! is a few comparisons.

use crate::directives::RequestDirectives;
use crate::meta::StoredMeta;

/// What to do with a stored response that the request selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Serve it; it is fresh.
    Fresh,
    /// Serve it, though stale: the client's max-stale allows it (RFC 9111 section 5.2.1.2).
    StaleAllowed,
    /// Serve it, though stale, and validate it meanwhile (RFC 5861 section 3).
    StaleWhileRevalidate,
    /// Ask the origin with a conditional request (RFC 9111 section 4.3).
    Validate(Why),
    /// Ask the origin anew; the stored response has no validator.
    Forward(Why),
    /// Answer 504: the client wants it from the store only (RFC 9111 section 5.2.1.7).
    GatewayTimeout,
}

impl Decision {
    /// Whether the stored response answers the request as it is. The same holds for a response that
    /// is still coming and a request that waits for it: RFC 9111 section 4 lets one response answer
    /// several requests only where it may be reused for each of them.
    pub fn serves(self) -> bool {
        match self {
            Self::Fresh | Self::StaleAllowed | Self::StaleWhileRevalidate => true,
            Self::Validate(_) | Self::Forward(_) | Self::GatewayTimeout => false,
        }
    }

    /// The clause that decides it.
    pub fn clause(self) -> &'static str {
        match self {
            Self::Fresh => "RFC 9111 4.2",
            Self::StaleAllowed => "RFC 9111 5.2.1.2",
            Self::StaleWhileRevalidate => "RFC 5861 3",
            Self::Validate(why) | Self::Forward(why) => why.clause(),
            Self::GatewayTimeout => "RFC 9111 5.2.1.7",
        }
    }
}

/// Why a stored response cannot be served as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is fresh, but the request wants it fresher (no-cache, max-age, min-fresh); RFC 9211's
    /// `fwd=request`.
    Request,
    /// It is fresh, but the origin wants each use validated (no-cache); RFC 9211's `fwd=stale`.
    NoCache,
    /// It is stale; RFC 9211's `fwd=stale`.
    Stale,
}

impl Why {
    /// The clause that decides it.
    pub fn clause(self) -> &'static str {
        match self {
            Self::Request => "RFC 9111 5.2.1",
            Self::NoCache => "RFC 9111 5.2.2.4",
            Self::Stale => "RFC 9111 4.2.4",
        }
    }
}

/// `current_age` (RFC 9111 section 4.2.3) in whole seconds, for the `Age` field. Never falls as
/// `now_ms` (Unix milliseconds) rises; at most `u32::MAX`.
pub fn age_s(stored: &StoredMeta, now_ms: u64) -> u32 {
    u32::try_from(age_ms(stored, now_ms) / 1000).unwrap_or(u32::MAX)
}

/// What is left of the freshness lifetime in seconds, negative when stale; for the `ttl` of
/// `Cache-Status` (RFC 9211 section 2.4).
pub fn ttl_s(stored: &StoredMeta, now_ms: u64) -> i64 {
    i64::from(stored.lifetime_s) - i64::from(age_s(stored, now_ms))
}

/// Decides the use of `stored`, which the request must select by key and `Vary`, at `now_ms` in
/// Unix milliseconds.
pub fn decide(request: &RequestDirectives, stored: &StoredMeta, now_ms: u64) -> Decision {
    let age_ms = age_ms(stored, now_ms);
    let lifetime_ms = ms(stored.lifetime_s);
    // RFC 9111 section 4.2: fresh while the lifetime is greater than the age.
    let why = if age_ms >= lifetime_ms {
        if let Some(decision) = serve_stale(request, stored, age_ms) {
            return decision;
        }
        Why::Stale
    } else if stored.no_cache {
        Why::NoCache
    } else if request.no_cache
        // RFC 8246 section 2: what is immutable and fresh is not validated for a reload, which is
        // what max-age in a request mostly is; no-cache asks for it in earnest.
        || (is_too_old(request, age_ms) && !stored.immutable)
        || is_spent(request, stored, age_ms)
    {
        Why::Request
    } else {
        return Decision::Fresh;
    };
    if request.only_if_cached {
        Decision::GatewayTimeout
    } else if stored.has_validator() {
        Decision::Validate(why)
    } else {
        Decision::Forward(why)
    }
}

/// Whether no plain request ever gets the stored response without validation: no-cache, or no
/// lifetime and no leave to be served stale (RFC 9111 sections 4.2 and 5.2.2.4).
pub fn is_validated_each_time(stored: &StoredMeta) -> bool {
    let may_be_stale = stored.stale_while_revalidate_s > 0 && !stored.must_revalidate;
    stored.no_cache || (stored.lifetime_s == 0 && !may_be_stale)
}

/// Whether a status says that the origin has failed, so that a stored response may stand in for it
/// (RFC 5861 section 4, RFC 9111 section 4.3.3).
pub fn is_failure(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

/// Whether a stored response may stand in for an error: the origin cannot be reached, or
/// answers with a failure ([`is_failure`]; RFC 5861 section 4, RFC 9111 sections 4.2.4 and 4.3.3).
///
/// Needs a permission in force, stale-if-error of the response or of the request, and no
/// prohibition. RFC 9111 section 4.2.4 lets a disconnected cache serve any stale response that is
/// not prohibited; this one serves none that its origin has not allowed.
pub fn may_serve_on_error(request: &RequestDirectives, stored: &StoredMeta, now_ms: u64) -> bool {
    if stored.must_revalidate || stored.no_cache || request.no_cache {
        return false;
    }
    let allowed_s = stored.stale_if_error_s.max(request.stale_if_error_s.unwrap_or(0));
    let staleness_ms = age_ms(stored, now_ms).saturating_sub(ms(stored.lifetime_s));
    allowed_s > 0 && staleness_ms <= ms(allowed_s)
}

/// RFC 9111 section 4.2.4: stale only if nothing prohibits it and someone permits it.
fn serve_stale(request: &RequestDirectives, stored: &StoredMeta, age_ms: u64) -> Option<Decision> {
    if stored.must_revalidate || stored.no_cache || request.no_cache {
        return None;
    }
    if request.min_fresh_s.is_some() || is_too_old(request, age_ms) {
        return None;
    }
    let staleness_ms = age_ms.saturating_sub(ms(stored.lifetime_s));
    match request.max_stale_s {
        Some(max_stale_s) if staleness_ms > ms(max_stale_s) => return None,
        // RFC 9111 section 5.2.1.1: max-age without max-stale wants nothing stale.
        None if request.max_age_s.is_some() => return None,
        Some(_) | None => {}
    }
    let window_s = stored.stale_while_revalidate_s;
    if window_s > 0 && staleness_ms <= ms(window_s) {
        return Some(Decision::StaleWhileRevalidate);
    }
    request.max_stale_s.map(|_| Decision::StaleAllowed)
}

/// RFC 9111 section 5.2.1.1. `max-age=0` asks for validation: every response is older than that,
/// though the clock may not show it.
fn is_too_old(request: &RequestDirectives, age_ms: u64) -> bool {
    request.max_age_s.is_some_and(|max_age_s| max_age_s == 0 || age_ms > ms(max_age_s))
}

/// RFC 9111 section 5.2.1.3: not fresh for as long as the client wants.
fn is_spent(request: &RequestDirectives, stored: &StoredMeta, age_ms: u64) -> bool {
    let min_fresh_ms = ms(request.min_fresh_s.unwrap_or(0));
    age_ms.saturating_add(min_fresh_ms) > ms(stored.lifetime_s)
}

/// A clock that steps back leaves the resident time at zero.
fn age_ms(stored: &StoredMeta, now_ms: u64) -> u64 {
    let resident_ms = now_ms.saturating_sub(stored.response_time_ms);
    ms(stored.initial_age_s).saturating_add(resident_ms)
}

fn ms(seconds: u32) -> u64 {
    u64::from(seconds) * 1000
}
