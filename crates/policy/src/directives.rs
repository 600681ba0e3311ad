//! The directives of `Cache-Control` (RFC 9111 section 5.2, RFC 5861) and the `Pragma` fallback
//! (section 5.4).
//!
//! One rule decides all doubts (invariant PO-6): a directive that forbids is obeyed in whatever
//! form it comes; one that permits counts only if it is well formed. So `no-store=1` forbids, and
//! `max-age=1h` makes the response stale.
//!
//! Nothing here allocates.

use crate::fields::{self, Field};
use crate::targeted;

/// What stands for infinity in delta-seconds: 2^31 (RFC 9111 section 1.2.2).
pub const DELTA_MAX_S: u32 = 1 << 31;

/// What a client asks of caches (RFC 9111 section 5.2.1). The default asks nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// The age that the response must not exceed, in seconds. An unreadable one is 0.
    pub max_age_s: Option<u32>,
    /// How long ago the response may have become stale, in seconds; [`DELTA_MAX_S`] when any time
    /// will do. An unreadable one is ignored.
    pub max_stale_s: Option<u32>,
    /// How long the response must stay fresh, in seconds. An unreadable one is [`DELTA_MAX_S`].
    pub min_fresh_s: Option<u32>,
    /// How stale a response may be in place of an error (RFC 5861 section 4), in seconds.
    pub stale_if_error_s: Option<u32>,
    /// Nothing without validation. Also `Pragma: no-cache` where `Cache-Control` is absent.
    pub no_cache: bool,
    /// The response must not be stored.
    pub no_store: bool,
    /// Only from the store, else 504.
    pub only_if_cached: bool,
}

impl RequestDirectives {
    /// Reads `Cache-Control`, or `Pragma` if there is none (RFC 9111 section 5.4). Of repeated
    /// directives the stricter value counts. One pass over the fields.
    pub fn from_fields(request: &[Field<'_>]) -> Self {
        let mut directives = Self::default();
        let mut has_cache_control = false;
        let mut pragma_no_cache = false;
        for (name, value) in request {
            if name.eq_ignore_ascii_case("cache-control") {
                has_cache_control = true;
                for member in fields::members(value) {
                    directives.add(&Directive::new(member));
                }
            } else if name.eq_ignore_ascii_case("pragma") {
                pragma_no_cache |=
                    fields::members(value).any(|member| Directive::new(member).is("no-cache"));
            }
        }
        directives.no_cache |= pragma_no_cache && !has_cache_control;
        directives
    }

    fn add(&mut self, directive: &Directive<'_>) {
        if directive.is("no-cache") {
            self.no_cache = true;
        } else if directive.is("no-store") {
            self.no_store = true;
        } else if directive.is("only-if-cached") {
            self.only_if_cached = true;
        } else if directive.is("max-age") {
            self.max_age_s = smaller(self.max_age_s, Some(directive.seconds().unwrap_or(0)));
        } else if directive.is("min-fresh") {
            let asked_s = directive.seconds().unwrap_or(DELTA_MAX_S);
            self.min_fresh_s = Some(self.min_fresh_s.map_or(asked_s, |held| held.max(asked_s)));
        } else if directive.is("max-stale") {
            // RFC 9111 section 5.2.1.2: without a value, a stale response of any age.
            let any = (directive.is_bare() && directive.clean).then_some(DELTA_MAX_S);
            self.max_stale_s = smaller(self.max_stale_s, any.or_else(|| directive.seconds()));
        } else if directive.is("stale-if-error") {
            self.stale_if_error_s = smaller(self.stale_if_error_s, directive.seconds());
        }
    }
}

/// The value of a directive in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delta {
    /// The directive is not there.
    #[default]
    Absent,
    /// Its value, at most [`DELTA_MAX_S`].
    Seconds(u32),
    /// It is there, unreadable or twice with unlike values; the response counts as stale (RFC 9111
    /// section 4.2.1).
    Invalid,
}

impl Delta {
    fn and(self, next: Option<u32>) -> Self {
        match (self, next) {
            (Self::Absent, Some(seconds)) => Self::Seconds(seconds),
            (Self::Seconds(held), Some(seconds)) if held == seconds => self,
            (Self::Absent | Self::Seconds(_) | Self::Invalid, _) => Self::Invalid,
        }
    }
}

/// How far `no-cache` or `private` reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach<'a> {
    /// The directive is not there.
    #[default]
    Absent,
    /// It holds for the response as a whole.
    Whole,
    /// It names fields (RFC 9111 sections 5.2.2.4, 5.2.2.7): a list of names, none of them one that
    /// the stored response could not do without.
    Fields(&'a [u8]),
}

impl<'a> Reach<'a> {
    /// Whether the directive is there in either form.
    pub fn is_present(self) -> bool {
        self != Self::Absent
    }

    /// Whether it holds for the response as a whole.
    pub fn is_whole(self) -> bool {
        self == Self::Whole
    }

    /// Whether it names this field.
    pub fn names(self, field: &str) -> bool {
        match self {
            Self::Absent | Self::Whole => false,
            Self::Fields(names) => {
                fields::members(names).any(|name| name.eq_ignore_ascii_case(field.as_bytes()))
            }
        }
    }

    /// The reach of a list of field names. A list that is empty or names what is no field, or what
    /// the stored response cannot do without, reaches the whole of it.
    pub(crate) fn of(names: &'a [u8]) -> Self {
        let is_needed = |name: &[u8]| {
            !fields::is_token(name)
                || NEEDED.iter().any(|needed| name.eq_ignore_ascii_case(needed.as_bytes()))
        };
        let is_empty = fields::members(names).next().is_none();
        if is_empty || fields::members(names).any(is_needed) {
            Self::Whole
        } else {
            Self::Fields(names)
        }
    }

    fn and(self, argument: Option<&'a [u8]>) -> Self {
        match (self, argument) {
            // RFC 9111 section 5.2: the argument may be a quoted string or, of one name, a token.
            // Two lists of fields would have to be joined; the whole response includes them.
            (Self::Absent, Some(names)) => Self::of(fields::unquote(names).unwrap_or(names)),
            (Self::Absent | Self::Whole | Self::Fields(_), _) => Self::Whole,
        }
    }
}

/// Fields that a stored response cannot be reused without: what says which bytes it holds and when
/// it may be used.
const NEEDED: [&str; 13] = [
    "age",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "location",
    "transfer-encoding",
    "vary",
];

/// What the origin tells caches (RFC 9111 section 5.2.2, RFC 5861 section 3 and 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives<'a> {
    /// Freshness lifetime.
    pub max_age: Delta,
    /// Freshness lifetime in shared caches.
    pub s_maxage: Delta,
    /// How stale it may be served while it is validated, in seconds. Ignored if unreadable.
    pub stale_while_revalidate_s: Option<u32>,
    /// How stale it may be served in place of an error, in seconds. Ignored if unreadable.
    pub stale_if_error_s: Option<u32>,
    /// Not reusable without validation.
    pub no_cache: Reach<'a>,
    /// Not for shared caches.
    pub private: Reach<'a>,
    /// Must not be stored.
    pub no_store: bool,
    /// May be stored where it otherwise might not.
    pub public: bool,
    /// Never stale without validation.
    pub must_revalidate: bool,
    /// The same for shared caches.
    pub proxy_revalidate: bool,
    /// Only for caches that know the status code.
    pub must_understand: bool,
    /// It does not change while it is fresh (RFC 8246 section 2).
    pub immutable: bool,
    /// They come from a targeted field, so that `Expires` is not to be regarded (RFC 9213
    /// section 2.2).
    pub is_targeted: bool,
}

impl<'a> ResponseDirectives<'a> {
    /// What a response tells this cache: its targeted field (RFC 9213), or else `Cache-Control`.
    pub fn from_fields(response: &'a [Field<'a>]) -> Self {
        targeted::from_fields(response).unwrap_or_else(|| Self::from_cache_control(response))
    }

    /// Reads all lines of `Cache-Control`.
    pub fn from_cache_control(response: &'a [Field<'a>]) -> Self {
        let mut directives = Self::default();
        for member in fields::values(response, "cache-control").flat_map(fields::members) {
            directives.add(&Directive::new(member));
        }
        directives
    }

    /// Whether a field must not be part of what others get from the store, nor of what followers of
    /// a fetch get: `no-cache` or `private` names it (RFC 9111 sections 5.2.2.4 and 5.2.2.7). Such
    /// a field is never stored, so that no reuse can send it without validation.
    pub fn withholds(&self, field: &str) -> bool {
        self.no_cache.names(field) || self.private.names(field)
    }

    /// One member of `Surrogate-Control`, see [`targeted`].
    pub(crate) fn add_surrogate(&mut self, member: &'a [u8]) {
        let plus = member.iter().position(|byte| *byte == b'+');
        let (front, stale) = match plus.and_then(|at| member.split_at_checked(at)) {
            Some((front, stale)) => (front, stale.get(1..)),
            None => (member, None),
        };
        let directive = Directive::new(member);
        if directive.is("no-store-remote") {
            self.no_store = true;
        } else if directive.is("max-age") && stale.is_some() {
            let stale_s = stale.and_then(|stale| delta_seconds(stale.iter().copied()));
            self.max_age = self.max_age.and(stale_s.and(Directive::new(front).seconds()));
            // It may be served stale for so long, whatever the reason.
            self.stale_while_revalidate_s = smaller(self.stale_while_revalidate_s, stale_s);
            self.stale_if_error_s = smaller(self.stale_if_error_s, stale_s);
        } else {
            self.add(&directive);
        }
    }

    fn add(&mut self, directive: &Directive<'a>) {
        if directive.is("max-age") {
            self.max_age = self.max_age.and(directive.seconds());
        } else if directive.is("s-maxage") {
            self.s_maxage = self.s_maxage.and(directive.seconds());
        } else if directive.is("stale-while-revalidate") {
            let window_s = Some(directive.seconds().unwrap_or(0));
            self.stale_while_revalidate_s = smaller(self.stale_while_revalidate_s, window_s);
        } else if directive.is("stale-if-error") {
            let window_s = Some(directive.seconds().unwrap_or(0));
            self.stale_if_error_s = smaller(self.stale_if_error_s, window_s);
        } else if directive.is("no-cache") {
            self.no_cache = self.no_cache.and(directive.argument);
        } else if directive.is("private") {
            self.private = self.private.and(directive.argument);
        } else if directive.is("no-store") {
            self.no_store = true;
        } else if directive.is("must-revalidate") {
            self.must_revalidate = true;
        } else if directive.is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if directive.is("public") {
            self.public |= directive.is_bare() && directive.clean;
        } else if directive.is("immutable") {
            // RFC 8246 section 2: an argument has no meaning and is ignored.
            self.immutable = true;
        } else if directive.is("must-understand") {
            // It both permits (despite no-store) and forbids; ill formed, it only forbids.
            let well_formed = directive.is_bare() && directive.clean;
            self.must_understand |= well_formed;
            self.no_store |= !well_formed;
        }
    }
}

fn smaller(held: Option<u32>, next: Option<u32>) -> Option<u32> {
    match (held, next) {
        (Some(held), Some(next)) => Some(held.min(next)),
        (held, next) => held.or(next),
    }
}

/// One member: `token [ "=" ( token / quoted-string ) ]`.
struct Directive<'a> {
    name: &'a [u8],
    argument: Option<&'a [u8]>,
    /// No whitespace round the equals sign, as the grammar has it.
    clean: bool,
}

impl<'a> Directive<'a> {
    fn new(member: &'a [u8]) -> Self {
        let Some(at) = member.iter().position(|byte| *byte == b'=') else {
            return Self { name: member, argument: None, clean: true };
        };
        let name = member.get(..at).unwrap_or_default();
        let argument = member.get(at + 1..).unwrap_or_default();
        let clean = fields::trim(name) == name && fields::trim(argument) == argument;
        Self { name: fields::trim(name), argument: Some(fields::trim(argument)), clean }
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    fn is_bare(&self) -> bool {
        self.argument.is_none()
    }

    /// The argument as delta-seconds, in token or quoted form (RFC 9111 section 5.2).
    fn seconds(&self) -> Option<u32> {
        let argument = self.argument.filter(|_| self.clean)?;
        match fields::unquote(argument) {
            Some(inside) => delta_seconds(unescaped(inside)),
            None => delta_seconds(argument.iter().copied()),
        }
    }
}

/// The bytes that a quoted string stands for (RFC 9110 section 5.6.4).
fn unescaped(inside: &[u8]) -> impl Iterator<Item = u8> {
    let mut bytes = inside.iter().copied();
    core::iter::from_fn(move || match bytes.next()? {
        b'\\' => bytes.next(),
        byte => Some(byte),
    })
}

/// One or more digits; what exceeds [`DELTA_MAX_S`] is [`DELTA_MAX_S`] (RFC 9111 section 1.2.2).
pub(crate) fn delta_seconds(digits: impl Iterator<Item = u8>) -> Option<u32> {
    let mut sum = None;
    for byte in digits {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        let next = sum.unwrap_or(0_u32).saturating_mul(10).saturating_add(digit);
        sum = Some(next.min(DELTA_MAX_S));
    }
    sum
}
