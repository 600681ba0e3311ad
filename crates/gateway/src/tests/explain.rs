//! What is explained is what happens, with the clause that it rests on.

use longhold_policy::StoredMeta;

use super::parse;
use crate::explain::{Act, Found, next, on_error};
use crate::lookup::{self, Served, Verdict};
use crate::outcome::Fwd;
use crate::plan::{self, Plan};
use crate::stored::{RecordHead, StoredHead, decode, encode_response};

/// What is stored, by the second 1000 of which it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Nothing(Fwd),
    Stored { lifetime_s: u32, flags: &'static str },
}

const FRESH: Given = Given::Stored { lifetime_s: 2000, flags: "etag" };
const STALE: Given = Given::Stored { lifetime_s: 60, flags: "etag" };

fn stored(lifetime_s: u32, flags: &str) -> Vec<u8> {
    let meta = StoredMeta {
        status: 200,
        lifetime_s,
        must_revalidate: flags.contains("strict"),
        no_cache: flags.contains("no-cache"),
        has_etag: flags.contains("etag"),
        stale_while_revalidate_s: if flags.contains("swr") { 5000 } else { 0 },
        stale_if_error_s: if flags.contains("sie") { 5000 } else { 0 },
        ..StoredMeta::default()
    };
    let mut head = Vec::new();
    let fields: &[(&str, &[u8])] = &[("ETag", b"\"v1\"")];
    let fields = if flags.contains("etag") { fields } else { &[] };
    encode_response(&meta, fields, Some("1.1"), &mut head);
    head
}

fn response(head: &[u8]) -> StoredHead<'_> {
    match decode(head) {
        Some(RecordHead::Response(stored)) => stored,
        other => panic!("no response: {other:?}"),
    }
}

const NOW_MS: u64 = 1_000_000;

const fn stale(flags: &'static str) -> Given {
    Given::Stored { lifetime_s: 60, flags }
}

/// Given, method and a field of the request; then what is done, RFC 9211's word, and the clause.
type Case = (Given, &'static str, &'static str, Act, &'static str, &'static str);

const CASES: &[Case] = &[
    (Given::Nothing(Fwd::UriMiss), "GET", "", Act::Fetch, "uri-miss", "RFC 9111 section 4"),
    (Given::Nothing(Fwd::VaryMiss), "GET", "", Act::Fetch, "vary-miss", "RFC 9111 section 4.1"),
    (Given::Nothing(Fwd::Partial), "GET", "", Act::Fetch, "partial", "RFC 9111 section 3.3"),
    (
        Given::Nothing(Fwd::UriMiss),
        "GET",
        "Cache-Control: only-if-cached",
        Act::Answer(504),
        "",
        "RFC 9111 section 5.2.1.7",
    ),
    (FRESH, "GET", "", Act::Serve, "hit", "RFC 9111 section 4.2"),
    (FRESH, "HEAD", "", Act::Serve, "hit", "RFC 9111 section 4.2"),
    (FRESH, "GET", "Cache-Control: no-cache", Act::Validate, "request", "RFC 9111 section 5.2.1.4"),
    (FRESH, "GET", "Pragma: no-cache", Act::Validate, "request", "RFC 9111 section 5.2.1.4"),
    (
        FRESH,
        "GET",
        "Cache-Control: max-age=10",
        Act::Validate,
        "request",
        "RFC 9111 section 5.2.1.1",
    ),
    (
        FRESH,
        "GET",
        "Cache-Control: min-fresh=5000",
        Act::Validate,
        "request",
        "RFC 9111 section 5.2.1.3",
    ),
    (STALE, "GET", "", Act::Validate, "stale", "RFC 9111 section 4.2.4"),
    (stale(""), "GET", "", Act::Fetch, "stale", "RFC 9111 section 4.2.4"),
    (stale("etag strict"), "GET", "", Act::Validate, "stale", "RFC 9111 section 5.2.2.2"),
    (
        Given::Stored { lifetime_s: 2000, flags: "etag no-cache" },
        "GET",
        "",
        Act::Validate,
        "stale",
        "RFC 9111 section 5.2.2.4",
    ),
    (STALE, "GET", "Cache-Control: max-stale", Act::Serve, "hit", "RFC 9111 section 5.2.1.2"),
    (stale("swr"), "GET", "", Act::ServeAndRefresh, "hit", "RFC 5861 section 3"),
    (FRESH, "POST", "", Act::Pass, "method", "RFC 9110 section 9.2.3"),
    (FRESH, "GET", "If-Match: \"v1\"", Act::Pass, "request", "RFC 9111 section 4.3.2"),
    (FRESH, "GET", "Content-Length: 3", Act::Pass, "bypass", "RFC 9110 section 9.3.1"),
    (FRESH, "OPTIONS", "Max-Forwards: 0", Act::Answer(204), "", "RFC 9110 section 9.3.7"),
];

#[test]
fn next_step_is_explained_by_its_clause() {
    for &(given, method, field, act, word, clause) in CASES {
        let line = if field.is_empty() { String::new() } else { format!("{field}\r\n") };
        let bytes = format!("{method} /page HTTP/1.1\r\nHost: a\r\n{line}\r\n");
        let request = parse(bytes.as_bytes());
        let (plan, facts) = plan::plan(&request);
        let (head, missed) = match given {
            Given::Nothing(fwd) => (None, fwd),
            Given::Stored { lifetime_s, flags } => (Some(stored(lifetime_s, flags)), Fwd::Partial),
        };
        let stored = head.as_ref().map(|head| response(head));
        let found = Found { stored: stored.as_ref(), missed, is_soft_purged: false };
        let said = next((plan, &facts), found, NOW_MS);
        let of = format!("{given:?} {method} {field}");
        assert_eq!((said.act, said.word.unwrap_or("")), (act, word), "{of}");
        assert_eq!(said.because.clause, clause, "{of}: {}", said.because.what);
        if plan == Plan::Lookup {
            let verdict = lookup::judge(&facts, stored.as_ref(), missed, NOW_MS);
            let happens = match verdict {
                Verdict::Serve(Served::Fresh | Served::MaxStale) => Act::Serve,
                Verdict::Serve(Served::WhileRevalidate) => Act::ServeAndRefresh,
                Verdict::Fetch { validate: true, .. } => Act::Validate,
                Verdict::Fetch { validate: false, .. } => Act::Fetch,
                Verdict::GatewayTimeout => Act::Answer(504),
            };
            assert_eq!(act, happens, "{of}");
        }
    }
}

#[test]
fn soft_purge_is_named_as_the_reason() {
    let head = stored(2000, "etag");
    let fresh = response(&head);
    let soft = fresh.soft_purged(NOW_MS);
    let request = parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (plan, facts) = plan::plan(&request);
    let found = Found { stored: Some(&soft), missed: Fwd::Partial, is_soft_purged: true };
    let said = next((plan, &facts), found, NOW_MS);
    assert_eq!((said.act, said.because.what), (Act::Validate, "a soft purge has made it stale"));
}

#[test]
fn failure_of_the_origin_is_explained() {
    let request = parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (_, facts) = plan::plan(&request);
    for (flags, clause) in [
        ("etag", "RFC 9111 section 4.2.4"),
        ("etag strict", "RFC 9111 section 5.2.2.2"),
        ("etag sie", "RFC 5861 section 4"),
    ] {
        let head = stored(60, flags);
        assert_eq!(on_error(&facts.directives, &response(&head), NOW_MS).clause, clause, "{flags}");
    }
}
