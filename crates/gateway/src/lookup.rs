//! From a stored response to what the exchange does with it.

use longhold_policy::reuse::{self, Decision, Why};

use crate::outcome::Fwd;
use crate::plan::Facts;
use crate::stored::StoredHead;

/// What the exchange does after its lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send the stored response.
    Serve(Served),
    /// Ask the origin.
    Fetch {
        /// Why, in the words of RFC 9211.
        fwd: Fwd,
        /// The stored response may be confirmed by a conditional request.
        validate: bool,
        /// Others' fetches of the same key answer this request too.
        share: bool,
    },
    /// `only-if-cached` and nothing suitable (RFC 9111 section 5.2.1.7).
    GatewayTimeout,
}

/// By which right a stored response is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It is fresh.
    Fresh,
    /// It is stale, and the request allows that (RFC 9111 section 5.2.1.2).
    MaxStale,
    /// It is stale, and one background fetch freshens it (RFC 5861 section 3).
    WhileRevalidate,
}

/// Decides for a key under which `stored` was found; `missed` says why there is nothing.
pub fn judge(facts: &Facts, stored: Option<&StoredHead<'_>>, missed: Fwd, now_ms: u64) -> Verdict {
    let Some(stored) = stored else {
        return on_miss(facts, missed);
    };
    let fetch = |why: Why, validate: bool| {
        let asked = why == Why::Request;
        Verdict::Fetch {
            fwd: if asked { Fwd::Request } else { Fwd::Stale },
            validate: validate && stored.can_validate(),
            // A client that insists on a new answer gets one that began after it asked.
            share: !asked,
        }
    };
    match reuse::decide(&facts.directives, &stored.meta, now_ms) {
        Decision::Fresh => Verdict::Serve(Served::Fresh),
        Decision::StaleAllowed => Verdict::Serve(Served::MaxStale),
        Decision::StaleWhileRevalidate => Verdict::Serve(Served::WhileRevalidate),
        Decision::Validate(why) => fetch(why, true),
        Decision::Forward(why) => fetch(why, false),
        Decision::GatewayTimeout => Verdict::GatewayTimeout,
    }
}

fn on_miss(facts: &Facts, fwd: Fwd) -> Verdict {
    if facts.directives.only_if_cached {
        return Verdict::GatewayTimeout;
    }
    // A request that forbids storing, or that insists on a new answer, shares nothing.
    let insists = facts.directives.no_store || facts.directives.no_cache;
    Verdict::Fetch { fwd, validate: false, share: !insists }
}
