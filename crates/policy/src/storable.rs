//! May a response be stored, and what must be remembered of it (RFC 9111 section 3, for a shared
//! cache)?
//!
//! What this form does not understand it does not store; [`crate::exceptions`] lists where the RFC
//! would allow more.

use crate::directives::{Delta, RequestDirectives, ResponseDirectives};
use crate::fields::{self, Field};
use crate::freshness;
use crate::meta::StoredMeta;
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
    /// `Vary: *`, or a `Vary` that cannot be read: it would match no later request.
    VaryStar,
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
            Self::VaryStar => "RFC 9111 4.1",
        }
    }
}

/// Decides whether the response may be stored and works out what reuse will need.
///
/// ```
/// use longhold_policy::storable::{Exchange, NotStored, evaluate};
/// let exchange = Exchange {
///     method: "GET",
///     request: &[],
///     status: 200,
///     response: &[("Cache-Control", b"max-age=60, stale-if-error=3600")],
///     request_time_ms: 1_000_000,
///     response_time_ms: 1_000_250,
/// };
/// let meta = evaluate(&exchange)?;
/// assert_eq!((meta.lifetime_s, meta.stale_if_error_s), (60, 3600));
/// # Ok::<(), NotStored>(())
/// ```
///
/// # Errors
/// The first rule that forbids it, see [`NotStored`].
pub fn evaluate(exchange: &Exchange<'_>) -> Result<StoredMeta, NotStored> {
    let directives = ResponseDirectives::from_fields(exchange.response);
    check_message(exchange)?;
    check_directives(exchange, &directives)?;
    let meta = describe(exchange, &directives);
    if is_of_use(&meta) { Ok(meta) } else { Err(NotStored::NoUse) }
}

/// What method, status and `Vary` allow.
fn check_message(exchange: &Exchange<'_>) -> Result<(), NotStored> {
    if exchange.method != "GET" {
        return Err(NotStored::Method);
    }
    if !(200..=599).contains(&exchange.status) {
        return Err(NotStored::StatusNotFinal);
    }
    if is_never_stored(exchange.status) {
        return Err(NotStored::Status);
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
    // private="field" would allow storing the rest; the whole response is refused (exceptions).
    if directives.private.is_present() {
        return Err(NotStored::Private);
    }
    let has_s_maxage = matches!(directives.s_maxage, Delta::Seconds(_));
    let is_shared = directives.public || directives.must_revalidate || has_s_maxage;
    if fields::first(exchange.request, "authorization").is_some() && !is_shared {
        return Err(NotStored::Authorization);
    }
    let is_explicit = directives.public
        || directives.max_age != Delta::Absent
        || directives.s_maxage != Delta::Absent
        || (!directives.is_targeted && fields::first(exchange.response, "expires").is_some());
    if !is_explicit && !freshness::is_heuristically_cacheable(exchange.status) {
        return Err(NotStored::NotExplicit);
    }
    Ok(())
}

fn describe(exchange: &Exchange<'_>, directives: &ResponseDirectives<'_>) -> StoredMeta {
    let lifetime = freshness::lifetime(exchange, directives);
    let received_s = exchange.response_time_ms / 1000;
    let last_modified_s = freshness::last_modified_s(exchange.response, received_s);
    StoredMeta {
        status: exchange.status,
        response_time_ms: exchange.response_time_ms,
        date_s: freshness::date_s(exchange),
        initial_age_s: freshness::initial_age_s(exchange),
        lifetime_s: lifetime.seconds,
        heuristic: lifetime.heuristic,
        stale_while_revalidate_s: directives.stale_while_revalidate_s.unwrap_or(0),
        stale_if_error_s: directives.stale_if_error_s.unwrap_or(0),
        // RFC 9111 sections 5.2.2.2, 5.2.2.8 and 5.2.2.10: s-maxage has the sense of
        // proxy-revalidate. An unreadable one forbids all the same.
        must_revalidate: directives.must_revalidate
            || directives.proxy_revalidate
            || directives.s_maxage != Delta::Absent,
        no_cache: directives.no_cache.is_present(),
        has_etag: Validators::of(exchange.response).etag.is_some(),
        has_last_modified: last_modified_s.is_some(),
        last_modified_s: last_modified_s.unwrap_or(0),
    }
}

/// Whether a later request could ever get this response: without validation while it is fresh or
/// within a window of RFC 5861, or by validation. RFC 9111 section 3 leaves this to the cache.
fn is_of_use(meta: &StoredMeta) -> bool {
    let window_s = meta.stale_while_revalidate_s.max(meta.stale_if_error_s);
    let window_s = if meta.must_revalidate { 0 } else { window_s };
    let usable_s = u64::from(meta.lifetime_s) + u64::from(window_s);
    meta.has_validator() || (!meta.no_cache && usable_s > u64::from(meta.initial_age_s))
}

/// Statuses that are not stored whatever the origin says.
///
/// 206 and 304 are parts of something stored (RFC 9111 section 3); 425 answers one connection's
/// early data (RFC 8470 section 5.2); 428, 429, 431 and 511 must not be stored (RFC 6585 sections 3
/// to 6); the others answer fields of one request that no key holds, so that storing them would let
/// one client's odd request spoil the answer for all.
fn is_never_stored(status: u16) -> bool {
    matches!(
        status,
        206 | 304 | 407 | 408 | 412 | 416 | 417 | 421 | 425 | 426 | 428 | 429 | 431 | 511
    )
}

/// Statuses whose caching rules are known and followed here: those of RFC 9110 section 15 that are
/// stored at all, and 451.
fn is_understood(status: u16) -> bool {
    let is_registered = matches!(
        status,
        200..=205 | 300..=303 | 305 | 307 | 308 | 400..=405 | 409..=411 | 413..=415 | 422 | 451
            | 406 | 500..=505
    );
    is_registered && !is_never_stored(status)
}
