//! Freshness lifetime (RFC 9111 sections 4.2.1 and 4.2.2) and initial age (section 4.2.3) of a
//! response that has just arrived.

use crate::date;
use crate::directives::{DELTA_MAX_S, Delta, ResponseDirectives, delta_seconds};
use crate::fields::{self, Field, Single};
use crate::meta::LifetimeSource;
use crate::storable::Exchange;

/// A guessed lifetime is never longer than a day.
pub const HEURISTIC_MAX_S: u32 = 86_400;
/// A guessed lifetime is this part of the time since the last modification.
const HEURISTIC_DIVISOR: u64 = 10;

/// How long a response is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// In seconds, at most [`DELTA_MAX_S`].
    pub seconds: u32,
    /// Who says so.
    pub source: LifetimeSource,
}

/// The response's `Date` in Unix seconds; the time of receipt if it has none that can be read
/// (RFC 9110 section 6.6.1).
pub(crate) fn date_s(exchange: &Exchange<'_>) -> u64 {
    let received_s = exchange.response_time_ms / 1000;
    let date = fields::single(exchange.response, "date").one();
    date.and_then(|value| date::parse_at(value, received_s)).unwrap_or(received_s)
}

/// RFC 9111 section 4.2.1 for a shared cache: the first of s-maxage, max-age, `Expires` less
/// `Date`, and a guess. What cannot be read is stale at once.
pub(crate) fn lifetime(exchange: &Exchange<'_>, directives: &ResponseDirectives<'_>) -> Lifetime {
    let said = |delta: Delta, source: LifetimeSource| {
        let source = if directives.is_targeted { LifetimeSource::Targeted } else { source };
        match delta {
            Delta::Seconds(seconds) => Some(Lifetime { seconds, source }),
            Delta::Invalid => Some(Lifetime { seconds: 0, source }),
            Delta::Absent => None,
        }
    };
    let by_directive = said(directives.s_maxage, LifetimeSource::SMaxage)
        .or_else(|| said(directives.max_age, LifetimeSource::MaxAge));
    if let Some(lifetime) = by_directive {
        return lifetime;
    }
    // RFC 9213 section 2.2: beside a targeted field, Expires is ignored.
    let expires = if directives.is_targeted {
        Single::Absent
    } else {
        fields::single(exchange.response, "expires")
    };
    let seconds = match expires {
        Single::One(value) => expires_in_s(exchange, value),
        // RFC 9111 section 4.2.1: of several, the first, or stale; unlike ones are stale here.
        Single::Conflict => 0,
        Single::Absent => return guess(exchange, directives),
    };
    Lifetime { seconds, source: LifetimeSource::Expires }
}

/// RFC 9111 section 5.3: a date that cannot be read, "0" above all, lies in the past.
fn expires_in_s(exchange: &Exchange<'_>, expires: &[u8]) -> u32 {
    date::parse_at(expires, exchange.response_time_ms / 1000)
        .map_or(0, |expires_s| capped(expires_s.saturating_sub(date_s(exchange))))
}

/// RFC 9111 section 4.2.2: only for statuses that say so, or with an explicit `public`.
fn guess(exchange: &Exchange<'_>, directives: &ResponseDirectives<'_>) -> Lifetime {
    let allowed = directives.public || is_heuristically_cacheable(exchange.status);
    let modified_s = last_modified_s(exchange.response, exchange.response_time_ms / 1000);
    let unchanged_s = match modified_s {
        Some(modified_s) if allowed => date_s(exchange).saturating_sub(modified_s),
        Some(_) | None => 0,
    };
    let seconds = capped(unchanged_s / HEURISTIC_DIVISOR).min(HEURISTIC_MAX_S);
    let source = if seconds > 0 { LifetimeSource::Heuristic } else { LifetimeSource::Nothing };
    Lifetime { seconds, source }
}

/// `Last-Modified` in Unix seconds, if there is one that can be read.
pub(crate) fn last_modified_s(response: &[Field<'_>], now_s: u64) -> Option<u64> {
    let value = fields::single(response, "last-modified").one()?;
    date::parse_at(value, now_s)
}

/// Statuses that are heuristically cacheable: RFC 9110 section 15.1, and 451 by RFC 7725 section 3.
pub fn is_heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 451 | 501)
}

/// `corrected_initial_age` (RFC 9111 section 4.2.3), in seconds, at most [`DELTA_MAX_S`].
pub(crate) fn initial_age_s(exchange: &Exchange<'_>) -> u32 {
    let apparent_age_s = (exchange.response_time_ms / 1000).saturating_sub(date_s(exchange));
    let response_delay_ms = exchange.response_time_ms.saturating_sub(exchange.request_time_ms);
    let corrected_age_value_s =
        u64::from(age_value_s(exchange.response)) + response_delay_ms / 1000;
    capped(apparent_age_s.max(corrected_age_value_s))
}

/// RFC 9111 section 5.1: of several members the first counts, and one that is no number is ignored.
fn age_value_s(response: &[Field<'_>]) -> u32 {
    fields::values(response, "age")
        .flat_map(fields::members)
        .next()
        .and_then(|member| delta_seconds(member.iter().copied()))
        .unwrap_or(0)
}

fn capped(seconds: u64) -> u32 {
    u32::try_from(seconds).map_or(DELTA_MAX_S, |seconds| seconds.min(DELTA_MAX_S))
}
