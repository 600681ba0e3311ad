//! Why: what the cache would do with a request, and what a stored response is worth, each with the
//! clause that it rests on. The words of `edge explain`.
//!
//! It decides nothing: it asks the functions that decide ([`crate::plan`], [`lookup`],
//! [`crate::deliver`]), so that what it says is what happens.

use longhold_policy::directives::RequestDirectives;
use longhold_policy::{LifetimeSource, freshness, reuse};

use crate::deliver::Shape;
use crate::lookup::{self, Served, Verdict};
use crate::outcome::Fwd;
use crate::plan::{Facts, Plan};
use crate::rules::Rule;
use crate::stored::StoredHead;

/// A fact, and the clause that makes it one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Because {
    /// In words for people.
    pub what: &'static str,
    /// Where it is said; empty where it is this edge's own way.
    pub clause: &'static str,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The stored response answers.
    Serve,
    /// The stored response answers, and is fetched anew or validated meanwhile.
    ServeAndRefresh,
    /// The origin is asked whether the stored response still holds.
    Validate,
    /// The origin is asked for the response, which fills the cache if it may.
    Fetch,
    /// The request goes to the origin as it is, and nothing of it is stored.
    Pass,
    /// The edge answers by itself with this status.
    Answer(u16),
}

impl Act {
    /// A word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::ServeAndRefresh => "serve-and-refresh",
            Self::Validate => "validate",
            Self::Fetch => "fetch",
            Self::Pass => "pass",
            Self::Answer(_) => "answer",
        }
    }
}

/// What the next such request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// What.
    pub act: Act,
    /// RFC 9211's word for it; `None` for an answer of the edge's own.
    pub word: Option<&'static str>,
    /// Why.
    pub because: Because,
    /// Others' fetches of the same key answer this request too.
    pub shares: bool,
}

/// What is known of the stored response that a request selects.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// It, as it stands now; `None` where there is nothing.
    pub stored: Option<&'a StoredHead<'a>>,
    /// Why there is nothing.
    pub missed: Fwd,
    /// A soft purge has made it stale.
    pub is_soft_purged: bool,
}

/// What a site's rule decides before anything is looked up.
pub fn by_rule(rule: &Rule, plan: Plan) -> Option<Next> {
    if let Some(redirect) = &rule.redirect {
        return Some(of_edge(redirect.status, because("a rule of the site redirects it", "")));
    }
    let passes = rule.bypass && plan == Plan::Lookup;
    passes.then(|| Next {
        act: Act::Pass,
        word: Some(Fwd::Bypass.token()),
        because: because("a rule of the site has it pass by the cache", ""),
        shares: false,
    })
}

/// What a request that was planned so does at `now_ms`.
pub fn next((plan, facts): (Plan, &Facts), found: Found<'_>, now_ms: u64) -> Next {
    match plan {
        Plan::Lookup => {}
        Plan::Pass(fwd) => {
            let word = Some(fwd.token());
            return Next { act: Act::Pass, word, because: passed(fwd), shares: false };
        }
        Plan::AnswerOptions => {
            return of_edge(
                204,
                because("OPTIONS that is for this edge", "RFC 9110 section 9.3.7"),
            );
        }
        Plan::Connect => {
            let what = "a tunnel is opened only where the site lets it through";
            return of_edge(501, because(what, "RFC 9110 section 9.3.6"));
        }
        Plan::Reject(status) => {
            let what = "the method or the target is not offered here";
            return of_edge(status, because(what, "RFC 9110 section 9.1"));
        }
    }
    match lookup::judge(facts, found.stored, found.missed, now_ms) {
        Verdict::Serve(served) => serve(served),
        Verdict::Fetch { fwd, validate, share } => {
            let act = if validate { Act::Validate } else { Act::Fetch };
            let because = fetched(fwd, (facts, found), now_ms);
            Next { act, word: Some(fwd.token()), because, shares: share }
        }
        Verdict::GatewayTimeout => {
            let what = "the request wants it from the cache alone, which has nothing suitable";
            of_edge(504, because(what, "RFC 9111 section 5.2.1.7"))
        }
    }
}

fn of_edge(status: u16, because: Because) -> Next {
    Next { act: Act::Answer(status), word: None, because, shares: false }
}

fn serve(served: Served) -> Next {
    let (act, because) = match served {
        Served::Fresh => (
            Act::Serve,
            because("it is fresh: its lifetime is greater than its age", "RFC 9111 section 4.2"),
        ),
        Served::MaxStale => {
            (Act::Serve, because("the request's max-stale allows it", "RFC 9111 section 5.2.1.2"))
        }
        Served::WhileRevalidate => (
            Act::ServeAndRefresh,
            because("stale-while-revalidate allows it", "RFC 5861 section 3"),
        ),
    };
    Next { act, word: Some("hit"), because, shares: false }
}

fn passed(fwd: Fwd) -> Because {
    match fwd {
        Fwd::Method => because("responses to the method are not cached", "RFC 9110 section 9.2.3"),
        Fwd::Request => {
            because("its conditions are the origin's to evaluate", "RFC 9111 section 4.3.2")
        }
        Fwd::Bypass => because(
            "it has content, or takes fields away that a key would be made of",
            "RFC 9110 section 9.3.1",
        ),
        Fwd::UriMiss | Fwd::VaryMiss | Fwd::Miss | Fwd::Stale | Fwd::Partial => {
            because("the store cannot answer it", "RFC 9111 section 4")
        }
    }
}

/// Why the origin is asked.
fn fetched(fwd: Fwd, (facts, found): (&Facts, Found<'_>), now_ms: u64) -> Because {
    match (fwd, found.stored) {
        (Fwd::Stale, Some(stored)) => stale(stored, found.is_soft_purged, now_ms),
        (Fwd::Request, Some(_)) => insisted(&facts.directives),
        (Fwd::VaryMiss, _) => {
            because("no stored variant is for such a request", "RFC 9111 section 4.1")
        }
        (Fwd::Miss, _) => because("what is stored cannot be read", "RFC 9111 section 4"),
        (Fwd::Partial, _) => because("what is stored is not all of it", "RFC 9111 section 3.3"),
        (Fwd::UriMiss, _) => because("nothing is stored under the key", "RFC 9111 section 4"),
        (Fwd::Bypass | Fwd::Method | Fwd::Stale | Fwd::Request, _) => {
            because("the store cannot answer it", "RFC 9111 section 4")
        }
    }
}

fn stale(stored: &StoredHead<'_>, is_soft_purged: bool, now_ms: u64) -> Because {
    let meta = &stored.meta;
    if meta.no_cache && reuse::ttl_s(meta, now_ms) > 0 {
        because("no-cache: each use is to be validated", "RFC 9111 section 5.2.2.4")
    } else if is_soft_purged {
        because("a soft purge has made it stale", "")
    } else if meta.must_revalidate {
        because("it is stale, and its origin forbids such answers", "RFC 9111 section 5.2.2.2")
    } else {
        because("it is stale, and nothing permits such an answer", "RFC 9111 section 4.2.4")
    }
}

fn insisted(directives: &RequestDirectives) -> Because {
    if directives.no_cache {
        because("the request's no-cache (or Pragma)", "RFC 9111 section 5.2.1.4")
    } else if directives.min_fresh_s.is_some() {
        because("the request's min-fresh", "RFC 9111 section 5.2.1.3")
    } else {
        because("the request's max-age", "RFC 9111 section 5.2.1.1")
    }
}

/// In which form the stored response is sent.
pub fn shaped(shape: &Shape) -> Because {
    match shape {
        Shape::Whole => because("whole", "RFC 9111 section 4"),
        Shape::Part(_) => because("a part, as the request's Range asks", "RFC 9110 section 14.2"),
        Shape::Parts(_) => because("parts, as the request's Range asks", "RFC 9110 section 14.6"),
        Shape::NotModified => because("the client has it already", "RFC 9110 section 13.1.2"),
        Shape::PreconditionFailed => {
            because("the request's condition is false", "RFC 9110 section 13.1.1")
        }
        Shape::Unsatisfiable => {
            because("the request's Range lies outside of it", "RFC 9110 section 15.5.17")
        }
    }
}

/// What happens when the origin cannot be reached, or fails, at `now_ms`.
pub fn on_error(directives: &RequestDirectives, stored: &StoredHead<'_>, now_ms: u64) -> Because {
    let meta = &stored.meta;
    if reuse::may_serve_on_error(directives, meta, now_ms) {
        because("the stored response stands in for the error", "RFC 5861 section 4")
    } else if meta.must_revalidate {
        because("the error is told: the origin forbids stale answers", "RFC 9111 section 5.2.2.2")
    } else {
        because("the error is told: nothing permits a stale answer", "RFC 9111 section 4.2.4")
    }
}

/// Why a stored response could be stored.
pub fn storing(stored: &StoredHead<'_>) -> Because {
    let meta = &stored.meta;
    match meta.lifetime_source {
        LifetimeSource::SMaxage
        | LifetimeSource::MaxAge
        | LifetimeSource::Expires
        | LifetimeSource::Targeted => because("it says how long it is fresh", "RFC 9111 section 3"),
        LifetimeSource::Site => because("a rule of the site says how long it is fresh", ""),
        LifetimeSource::Heuristic | LifetimeSource::Nothing
            if freshness::is_heuristically_cacheable(meta.status) =>
        {
            because("its status may be cached without a lifetime", "RFC 9110 section 15.1")
        }
        LifetimeSource::Heuristic | LifetimeSource::Nothing => {
            because("the origin says public", "RFC 9111 section 5.2.2.9")
        }
    }
}

/// Where a stored response's lifetime comes from.
pub fn lifetime(stored: &StoredHead<'_>) -> Because {
    let source = stored.meta.lifetime_source;
    because(source.name(), source.clause())
}

fn because(what: &'static str, clause: &'static str) -> Because {
    Because { what, clause }
}
