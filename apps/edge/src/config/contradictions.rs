//! What cannot hold together in one rule: told at the value that would lose, with the other's line.

use super::check::start;
use super::fault::Cause;
use super::knobs::{self, Knob};
use super::raw::{self, Cell};
use super::resolve::Resolver;
use super::rules::{REQUEST, RESPONSE, is_true, names, says_none, word};

/// Values that cannot hold together, told at the one that would lose.
pub(super) fn contradictions(resolver: &mut Resolver<'_>, typed: &raw::Rule) {
    let caching = caching(typed);
    if let Some(redirect) = start(&typed.redirect) {
        let others = [
            (&knobs::RULE_BYPASS, &typed.bypass),
            (REQUEST.remove, &typed.request_remove),
            (REQUEST.set, &typed.request_set),
            (RESPONSE.remove, &typed.response_remove),
            (RESPONSE.set, &typed.response_set),
        ];
        for (knob, cell) in others.into_iter().chain(caching) {
            contradict(resolver, (knob, cell), (&knobs::RULE_REDIRECT, redirect));
        }
    } else if is_true(&typed.bypass) {
        let at = start(&typed.bypass).unwrap_or(0);
        for (knob, cell) in caching {
            contradict(resolver, (knob, cell), (&knobs::RULE_BYPASS, at));
        }
    }
    freshness_contradictions(resolver, typed);
    query_contradictions(resolver, typed);
    edit_contradictions(resolver, typed);
    without(
        resolver,
        (&knobs::RULE_REDIRECT_STATUS, &typed.redirect_status),
        (&knobs::RULE_REDIRECT, &typed.redirect),
    );
    let compress = (&knobs::RULE_COMPRESS, &typed.compress);
    for (knob, cell) in [
        (&knobs::RULE_COMPRESS_TYPES, &typed.compress_types),
        (&knobs::RULE_COMPRESS_MIN, &typed.compress_min),
    ] {
        without(resolver, (knob, cell), compress);
        if says_none(&typed.compress) {
            let at = start(&typed.compress).unwrap_or(0);
            contradict(resolver, (knob, cell), (compress.0, at));
        }
    }
}

fn freshness_contradictions(resolver: &mut Resolver<'_>, typed: &raw::Rule) {
    let lifetime = (&knobs::RULE_LIFETIME, &typed.lifetime);
    let freshness = (&knobs::RULE_FRESHNESS, &typed.freshness);
    let at = start(&typed.freshness).unwrap_or(0);
    match word(&typed.freshness) {
        Some("default" | "override") => without(resolver, freshness, lifetime),
        Some("ignore") => {
            contradict(resolver, lifetime, (freshness.0, at));
            // Grace is to be served without asking.
            contradict(resolver, (&knobs::RULE_GRACE, &typed.grace), (freshness.0, at));
        }
        Some("origin") => contradict(resolver, lifetime, (freshness.0, at)),
        Some(_) | None => without(resolver, lifetime, freshness),
    }
}

fn query_contradictions(resolver: &mut Resolver<'_>, typed: &raw::Rule) {
    let fields = (&knobs::RULE_QUERY_FIELDS, &typed.query_fields);
    let query = (&knobs::RULE_QUERY, &typed.query);
    match word(&typed.query) {
        Some("only" | "without") => without(resolver, query, fields),
        Some("all" | "none") => {
            contradict(resolver, fields, (query.0, start(&typed.query).unwrap_or(0)));
        }
        Some(_) | None => without(resolver, fields, query),
    }
}

/// Fields that are both taken out and put in, or that something else of the rule needs.
fn edit_contradictions(resolver: &mut Resolver<'_>, typed: &raw::Rule) {
    for (side, remove, set) in [
        (&REQUEST, &typed.request_remove, &typed.request_set),
        (&RESPONSE, &typed.response_remove, &typed.response_set),
    ] {
        let removed: Vec<(String, usize)> = names(remove);
        for (name, at) in names(set) {
            if let Some((_, other)) = removed.iter().find(|(known, _)| *known == name) {
                let line = resolver.source.place(*other).line;
                let cause = Cause::Contradicts { key: side.remove.key, line };
                resolver.fault(Some(at), side.set.key, cause);
            }
        }
    }
    let removed: Vec<(String, usize)> = names(&typed.request_remove);
    let set: Vec<(String, usize)> = names(&typed.request_set);
    for (name, at) in names(&typed.key_fields) {
        for (key, known) in [(REQUEST.remove.key, &removed), (REQUEST.set.key, &set)] {
            if let Some((_, other)) = known.iter().find(|(known, _)| *known == name) {
                let line = resolver.source.place(*other).line;
                let cause = Cause::Contradicts { key, line };
                resolver.fault(Some(at), knobs::RULE_KEY_FIELDS.key, cause);
            }
        }
    }
    let of = |wanted: &str| removed.iter().chain(&set).find(|(name, _)| name == wanted);
    if let Some((_, at)) = of("cookie").cloned() {
        contradict(resolver, (&knobs::RULE_KEY_COOKIES, &typed.key_cookies), (REQUEST.remove, at));
    }
    if let Some((_, at)) = of("accept-encoding").cloned().filter(|_| !says_none(&typed.compress)) {
        contradict(resolver, (&knobs::RULE_COMPRESS, &typed.compress), (REQUEST.remove, at));
    }
}

/// A fault at a value that is said, for another that is said at `at`.
fn contradict(
    resolver: &mut Resolver<'_>,
    (knob, cell): (&'static Knob, &Cell),
    (other, at): (&'static Knob, usize),
) {
    if let Some(place) = start(cell) {
        let line = resolver.source.place(at).line;
        resolver.fault(Some(place), knob.key, Cause::Contradicts { key: other.key, line });
    }
}

/// A fault at a value that is said while the one that it needs is not.
fn without(
    resolver: &mut Resolver<'_>,
    (knob, cell): (&'static Knob, &Cell),
    (needed, other): (&'static Knob, &Cell),
) {
    if let (Some(at), None) = (start(cell), other) {
        resolver.fault(Some(at), knob.key, Cause::Without { key: needed.key });
    }
}

fn caching(typed: &raw::Rule) -> [(&'static Knob, &Cell); 15] {
    [
        (&knobs::RULE_FRESHNESS, &typed.freshness),
        (&knobs::RULE_LIFETIME, &typed.lifetime),
        (&knobs::RULE_NEGATIVE_LIFETIME, &typed.negative_lifetime),
        (&knobs::RULE_GRACE, &typed.grace),
        (&knobs::RULE_STORE_SET_COOKIE, &typed.store_set_cookie),
        (&knobs::RULE_S_MAXAGE_REVALIDATES, &typed.s_maxage_revalidates),
        (&knobs::RULE_COLLAPSE, &typed.collapse),
        (&knobs::RULE_QUERY, &typed.query),
        (&knobs::RULE_QUERY_FIELDS, &typed.query_fields),
        (&knobs::RULE_KEY_FIELDS, &typed.key_fields),
        (&knobs::RULE_KEY_COOKIES, &typed.key_cookies),
        (&knobs::RULE_OBJECT_MAX, &typed.object_max),
        (&knobs::RULE_COMPRESS, &typed.compress),
        (&knobs::RULE_COMPRESS_TYPES, &typed.compress_types),
        (&knobs::RULE_COMPRESS_MIN, &typed.compress_min),
    ]
}
