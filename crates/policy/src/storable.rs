//! May a response be stored, and what must be remembered of it (RFC 9111 section 3, for a shared
//! cache)?
//!
//! What this form does not understand it does not store; [`crate::exceptions`] lists where the RFC
//! would allow more.

use crate::directives::{DELTA_MAX_S, Delta, RequestDirectives, ResponseDirectives};
use crate::fields::{self, Field};
use crate::freshness::{self, Lifetime};
use crate::invalidate::{self, Base};
use crate::meta::{LifetimeSource, StoredMeta};
use crate::part;
use crate::validate::Validators;
use crate::vary::{self, Vary};

/// A request with its response, as far as storing is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The request's method as received.
    pub method: &'a str,
    /// The request's fields.
    pub request: &'a [Field<'a>],
    /// The response's status.
    pub status: u16,
    /// The response's fields as received from the origin, hop-by-hop ones included.
    pub response: &'a [Field<'a>],
    /// When the request was sent to the origin, in Unix milliseconds.
    pub request_time_ms: u64,
    /// When the response head came back, in Unix milliseconds.
    pub response_time_ms: u64,
}

/// What a site says beside its origin. The default is the RFC and nothing else.
///
/// No rule lifts a prohibition: no-store, private, `Authorization` and `Vary: *` hold whatever a
/// site says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Who sets the freshness lifetime of responses that are no errors (status below 400).
    pub lifetime: LifetimeRule,
    /// Lifetime in seconds of errors that are heuristically cacheable (404, 405, 410, 414, 451,
    /// 501) and come without one of their own.
    pub negative_s: Option<u32>,
    /// Added to stale-while-revalidate and stale-if-error, in seconds. Prohibitions hold.
    pub grace_s: u32,
    /// Whether responses with `Set-Cookie` may be stored. RFC 9111 section 7.3 does not forbid it.
    pub store_set_cookie: bool,
    /// Whether s-maxage forbids stale answers as proxy-revalidate does (RFC 9111 section 5.2.2.10).
    /// Many an origin sends it beside stale-while-revalidate and means the latter.
    pub s_maxage_revalidates: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            lifetime: LifetimeRule::Origin,
            negative_s: None,
            grace_s: 0,
            store_set_cookie: true,
            s_maxage_revalidates: true,
        }
    }
}

/// Who sets the freshness lifetime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LifetimeRule {
    /// The origin, or a guess where it says nothing (RFC 9111 sections 4.2.1 and 4.2.2).
    #[default]
    Origin,
    /// The origin; where it says nothing, this many seconds, in place of a guess.
    Default(u32),
    /// This many seconds, whatever the origin says.
    Override(u32),
}

/// Why a response must not be stored, or is not worth it. One variant per rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotStored {
    /// The method is not one whose responses this cache stores: only GET is.
    Method,
    /// The status is not final, or no status at all.
    StatusNotFinal,
    /// The status has rules that this cache does not follow, or depends on fields outside the key.
    Status,
    /// must-understand, and the status is unknown here.
    MustUnderstand,
    /// The client asked for no-store.
    RequestNoStore,
    /// The origin said no-store.
    ResponseNoStore,
    /// The origin said private.
    Private,
    /// The request had `Authorization` and the response does not allow sharing.
    Authorization,
    /// It has `Set-Cookie`, and the site does not want such responses stored.
    SetCookie,
    /// It is a part, whose place in the whole is not known.
    Part,
    /// `Vary: *`, or a `Vary` that cannot be read: it would match no later request.
    VaryStar,
    /// The origin has failed, and what is stored may stand in for it.
    Failure,
    /// Nothing in the response permits storing a response with this status.
    NotExplicit,
    /// It would be stale on arrival, or need validation, and has no validator.
    NoUse,
}

impl NotStored {
    /// A word for logs and for the `detail` of `Cache-Status`; an RFC 8941 token.
    pub fn name(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::StatusNotFinal => "status-not-final",
            Self::Status => "status",
            Self::MustUnderstand => "must-understand",
            Self::RequestNoStore => "request-no-store",
            Self::ResponseNoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::Failure => "failure",
            Self::SetCookie => "set-cookie",
            Self::Part => "part",
            Self::VaryStar => "vary-star",
            Self::NotExplicit => "not-explicit",
            Self::NoUse => "no-use",
        }
    }

    /// The clause that decides it.
    pub fn clause(self) -> &'static str {
        match self {
            Self::Method | Self::StatusNotFinal | Self::Status | Self::NotExplicit => "RFC 9111 3",
            Self::NoUse => "RFC 9111 3",
            Self::MustUnderstand => "RFC 9111 5.2.2.3",
            Self::RequestNoStore => "RFC 9111 5.2.1.5",
            Self::ResponseNoStore => "RFC 9111 5.2.2.5",
            Self::Private => "RFC 9111 5.2.2.7",
            Self::Authorization => "RFC 9111 3.5",
            Self::Failure => "RFC 9111 4.3.3",
            Self::SetCookie => "RFC 9111 7.3",
            Self::Part => "RFC 9111 3.3",
            Self::VaryStar => "RFC 9111 4.1",
        }
    }
}

/// Decides whether the response may be stored and works out what reuse will need.
///
/// ```
/// use longhold_policy::storable::{Exchange, NotStored, Rules, evaluate};
/// let exchange = Exchange {
///     method: "GET",
///     request: &[],
///     status: 200,
///     response: &[("Cache-Control", b"max-age=60, stale-if-error=3600")],
///     request_time_ms: 1_000_000,
///     response_time_ms: 1_000_250,
/// };
/// let meta = evaluate(&exchange, &Rules::default())?;
/// assert_eq!((meta.lifetime_s, meta.stale_if_error_s), (60, 3600));
/// # Ok::<(), NotStored>(())
/// ```
///
/// # Errors
/// The first rule that forbids it, see [`NotStored`].
pub fn evaluate(exchange: &Exchange<'_>, rules: &Rules) -> Result<StoredMeta, NotStored> {
    if exchange.method != "GET" {
        return Err(NotStored::Method);
    }
    // RFC 9111 section 3.3: a part is stored as a part, see `evaluate_part`.
    if exchange.status == 206 {
        return Err(NotStored::Part);
    }
    evaluate_as_get(exchange, rules)
}

/// Decides whether a 206 may be stored as a part of a representation (RFC 9111 section 3.3).
///
/// Only with one range in bytes and the length of the whole: without those it could not be known
/// for a part of what is asked for. A validator is not needed, but for being combined with another
/// part, see [`part::may_combine`]. `multipart/byteranges` has no `Content-Range` of its own, so it
/// is never stored. What is remembered is the whole response, a 200, of which this is a part.
///
/// # Errors
/// The first rule that forbids it, see [`NotStored`].
pub fn evaluate_part(exchange: &Exchange<'_>, rules: &Rules) -> Result<StoredMeta, NotStored> {
    if exchange.method != "GET" {
        return Err(NotStored::Method);
    }
    let part = part::of(exchange.response).filter(|_| exchange.status == 206);
    let part = part.ok_or(NotStored::Part)?;
    let meta = evaluate_as_get(&Exchange { status: 200, ..*exchange }, rules)?;
    Ok(StoredMeta { part: Some(part), ..meta })
}

/// Decides whether the response to a POST may be stored as the answer to later GETs (RFC 9110
/// section 9.3.3): it says how long it is fresh, and its `Content-Location` is the target `base`.
///
/// # Errors
/// The first rule that forbids it, see [`NotStored`].
pub fn evaluate_post(
    exchange: &Exchange<'_>,
    base: &Base<'_>,
    rules: &Rules,
) -> Result<StoredMeta, NotStored> {
    let is_own = invalidate::is_own_location(base, exchange.response);
    if exchange.method != "POST" || exchange.status != 200 || !is_own {
        return Err(NotStored::Method);
    }
    let directives = ResponseDirectives::from_fields(exchange.response);
    if !says_lifetime(exchange, &directives) {
        return Err(NotStored::NotExplicit);
    }
    // What the origin says decides, and not what a site says of answers to GET.
    evaluate_as_get(exchange, &Rules { lifetime: LifetimeRule::Origin, ..*rules })
}

fn evaluate_as_get(exchange: &Exchange<'_>, rules: &Rules) -> Result<StoredMeta, NotStored> {
    let directives = ResponseDirectives::from_fields(exchange.response);
    let site_s = site_lifetime_s(exchange, &directives, rules);
    check_message(exchange, rules)?;
    check_directives(exchange, &directives, site_s.is_some())?;
    let meta = describe(exchange, &directives, (site_s, rules));
    let is_explicit = site_s.is_some() || says_lifetime(exchange, &directives);
    if is_of_use(&meta, is_explicit) { Ok(meta) } else { Err(NotStored::NoUse) }
}

/// The lifetime that the site's rules give this response, if they do.
fn site_lifetime_s(
    exchange: &Exchange<'_>,
    directives: &ResponseDirectives<'_>,
    rules: &Rules,
) -> Option<u32> {
    let is_silent = !says_lifetime(exchange, directives);
    if exchange.status >= 400 {
        let applies = is_silent && freshness::is_heuristically_cacheable(exchange.status);
        return rules.negative_s.filter(|_| applies);
    }
    match rules.lifetime {
        LifetimeRule::Origin => None,
        LifetimeRule::Default(seconds) => is_silent.then_some(seconds),
        LifetimeRule::Override(seconds) => Some(seconds),
    }
}

/// Whether the response says how long it is fresh, be it readable or not (RFC 9111 section 4.2.1).
fn says_lifetime(exchange: &Exchange<'_>, directives: &ResponseDirectives<'_>) -> bool {
    directives.max_age != Delta::Absent
        || directives.s_maxage != Delta::Absent
        || (!directives.is_targeted && fields::first(exchange.response, "expires").is_some())
}

/// What method, status and `Vary` allow.
fn check_message(exchange: &Exchange<'_>, rules: &Rules) -> Result<(), NotStored> {
    if !(200..=599).contains(&exchange.status) {
        return Err(NotStored::StatusNotFinal);
    }
    if is_never_stored(exchange.status) {
        return Err(NotStored::Status);
    }
    if !rules.store_set_cookie && fields::first(exchange.response, "set-cookie").is_some() {
        return Err(NotStored::SetCookie);
    }
    match vary::of(exchange.response) {
        Vary::Star => Err(NotStored::VaryStar),
        Vary::None | Vary::Fields => Ok(()),
    }
}

/// What the directives of both sides allow.
fn check_directives(
    exchange: &Exchange<'_>,
    directives: &ResponseDirectives<'_>,
    is_given_lifetime: bool,
) -> Result<(), NotStored> {
    if RequestDirectives::from_fields(exchange.request).no_store {
        return Err(NotStored::RequestNoStore);
    }
    if directives.must_understand && !is_understood(exchange.status) {
        return Err(NotStored::MustUnderstand);
    }
    // RFC 9111 section 5.2.2.3: a cache that follows must-understand ignores no-store beside it.
    if directives.no_store && !directives.must_understand {
        return Err(NotStored::ResponseNoStore);
    }
    // RFC 9111 section 5.2.2.7: with field names, the rest may be stored.
    if directives.private.is_whole() {
        return Err(NotStored::Private);
    }
    let has_s_maxage = matches!(directives.s_maxage, Delta::Seconds(_));
    let is_shared = directives.public || directives.must_revalidate || has_s_maxage;
    if fields::first(exchange.request, "authorization").is_some() && !is_shared {
        return Err(NotStored::Authorization);
    }
    let is_explicit = directives.public || is_given_lifetime || says_lifetime(exchange, directives);
    if !is_explicit && !freshness::is_heuristically_cacheable(exchange.status) {
        return Err(NotStored::NotExplicit);
    }
    Ok(())
}

fn describe(
    exchange: &Exchange<'_>,
    directives: &ResponseDirectives<'_>,
    (site_s, rules): (Option<u32>, &Rules),
) -> StoredMeta {
    let lifetime = site_s.map_or_else(
        || freshness::lifetime(exchange, directives),
        |seconds| Lifetime { seconds: seconds.min(DELTA_MAX_S), source: LifetimeSource::Site },
    );
    let window_s =
        |given_s: Option<u32>| given_s.unwrap_or(0).saturating_add(rules.grace_s).min(DELTA_MAX_S);
    let received_s = exchange.response_time_ms / 1000;
    let last_modified_s = freshness::last_modified_s(exchange.response, received_s);
    StoredMeta {
        status: exchange.status,
        response_time_ms: exchange.response_time_ms,
        date_s: freshness::date_s(exchange),
        initial_age_s: freshness::initial_age_s(exchange),
        lifetime_s: lifetime.seconds,
        lifetime_source: lifetime.source,
        stale_while_revalidate_s: window_s(directives.stale_while_revalidate_s),
        stale_if_error_s: window_s(directives.stale_if_error_s),
        // RFC 9111 sections 5.2.2.2, 5.2.2.8 and 5.2.2.10: s-maxage has the sense of
        // proxy-revalidate. An unreadable one forbids all the same.
        must_revalidate: directives.must_revalidate
            || directives.proxy_revalidate
            || (rules.s_maxage_revalidates && directives.s_maxage != Delta::Absent),
        // RFC 9111 section 5.2.2.4: with field names, only those are not to be reused.
        no_cache: directives.no_cache.is_whole(),
        immutable: directives.immutable,
        has_etag: Validators::of(exchange.response).etag.is_some(),
        has_last_modified: last_modified_s.is_some(),
        last_modified_s: last_modified_s.unwrap_or(0),
        part: None,
    }
}

/// Whether a later request could ever get this response: without validation while it is fresh or
/// allowed to be stale (RFC 9111 section 4.2.4), or by validation. RFC 9111 section 3 leaves this
/// to the cache. What says nothing of its freshness is not kept for the rare request that takes any
/// stale response: it would push out what is asked for.
fn is_of_use(meta: &StoredMeta, is_explicit: bool) -> bool {
    if meta.has_validator() {
        return true;
    }
    let is_fresh = meta.lifetime_s > meta.initial_age_s;
    let may_be_stale = !meta.must_revalidate
        && (is_explicit || meta.stale_while_revalidate_s.max(meta.stale_if_error_s) > 0);
    !meta.no_cache && (is_fresh || may_be_stale)
}

/// Statuses that are not stored whatever the origin says.
///
/// 304 is about something stored (RFC 9111 section 3); 425 answers one connection's
/// early data (RFC 8470 section 5.2); 428, 429, 431 and 511 must not be stored (RFC 6585 sections 3
/// to 6); the others answer fields of one request that no key holds, so that storing them would let
/// one client's odd request spoil the answer for all.
fn is_never_stored(status: u16) -> bool {
    matches!(status, 304 | 407 | 408 | 412 | 416 | 417 | 421 | 425 | 426 | 428 | 429 | 431 | 511)
}

/// Statuses whose caching rules are known and followed here: those of RFC 9110 section 15 that are
/// stored at all, and 451.
fn is_understood(status: u16) -> bool {
    let is_registered = matches!(
        status,
        200..=206 | 300..=303 | 305 | 307 | 308 | 400..=405 | 409..=411 | 413..=415 | 422 | 451
            | 406 | 500..=505
    );
    is_registered && !is_never_stored(status)
}
