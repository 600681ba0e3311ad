//! Small facts that need no table: lists, methods, `Cache-Status`, and the crate's own tables.

use longhold_policy::exceptions::EXCEPTIONS;
use longhold_policy::fields::{self, Single};
use longhold_policy::status::{CacheOutcome, Fwd, Parameters, write};
use longhold_policy::storable::{Exchange, NotStored, Rules};
use longhold_policy::{LifetimeSource, Part, StoredMeta, date, method, storable};

fn members(value: &str) -> Vec<&str> {
    fields::members(value.as_bytes())
        .map(|member| std::str::from_utf8(member).expect("text"))
        .collect()
}

/// RFC 9110 section 5.6.1: empty members and whitespace mean nothing.
#[test]
fn members_are_trimmed_and_never_empty() {
    assert_eq!(members("a,b , c\t,, d"), ["a", "b", "c", "d"]);
    assert_eq!(members(" , ,\t"), [""; 0]);
    assert_eq!(members(""), [""; 0]);
}

/// RFC 9110 section 5.6.4: a quoted string may hold commas and escaped quotes.
#[test]
fn members_respect_quoted_strings() {
    assert_eq!(members(r#"a="1,2", b"#), [r#"a="1,2""#, "b"]);
    assert_eq!(members(r#"a="1\",2", b"#), [r#"a="1\",2""#, "b"]);
    assert_eq!(members(r#"a="1\\", b"#), [r#"a="1\\""#, "b"]);
    assert_eq!(members(r#"a="1", "b,c",d"#), [r#"a="1""#, r#""b,c""#, "d"]);
}

/// A quote that is never closed hides nothing behind it.
#[test]
fn members_survive_an_open_quote() {
    assert_eq!(members(r#"a="1, no-store, b"#), [r#"a="1"#, "no-store", "b"]);
    assert_eq!(members(r#"a="1\", no-store"#), [r#"a="1\""#, "no-store"]);
}

/// RFC 9110 section 5.3: a field that is no list counts once.
#[test]
fn single_tells_absent_from_contradicting() {
    let lines: [fields::Field<'_>; 4] = [("A", b"1"), ("a", b"1"), ("b", b"1"), ("B", b"2")];
    assert_eq!(fields::single(&lines, "a"), Single::One(b"1"));
    assert_eq!(fields::single(&lines, "b"), Single::Conflict);
    assert_eq!(fields::single(&lines, "c"), Single::Absent);
}

/// RFC 9110 section 7.6.1: which field names `Connection` ends here.
#[test]
fn connection_options_end_here_but_not_the_protected() {
    let lines: [fields::Field<'_>; 2] = [("Connection", b"close, X-A"), ("connection", b"Host")];
    assert!(fields::is_connection_option(&lines, "x-a"));
    assert!(fields::is_connection_option(&lines, "Close"));
    assert!(!fields::is_connection_option(&lines, "host"));
    assert!(!fields::is_connection_option(&lines, "x-b"));
}

/// RFC 9110 section 9.2.
#[test]
fn methods_promise_what_the_registry_says() {
    for (name, safe, idempotent, cacheable) in [
        ("GET", true, true, true),
        ("HEAD", true, true, true),
        ("OPTIONS", true, true, false),
        ("TRACE", true, true, false),
        ("PUT", false, true, false),
        ("DELETE", false, true, false),
        ("POST", false, false, false),
        ("PATCH", false, false, false),
        ("CONNECT", false, false, false),
        ("get", false, false, false),
    ] {
        let found =
            (method::is_safe(name), method::is_idempotent(name), method::is_cacheable(name));
        assert_eq!(found, (safe, idempotent, cacheable), "{name}");
    }
}

fn cache_status(name: &str, outcome: CacheOutcome, parameters: &Parameters<'_>) -> String {
    let mut out = Vec::new();
    write(&mut out, name, outcome, parameters);
    String::from_utf8(out).expect("ASCII")
}

/// RFC 9211 section 2.
#[test]
fn cache_status_says_what_happened() {
    let none = Parameters::default();
    assert_eq!(cache_status("edge", CacheOutcome::Hit, &none), "edge; hit");
    for fwd in Fwd::ALL {
        let expected = format!("edge; fwd={}", fwd.token());
        assert_eq!(cache_status("edge", CacheOutcome::Fwd(fwd), &none), expected);
    }
    let all = Parameters {
        fwd_status: Some(304),
        ttl_s: Some(-30),
        stored: true,
        collapsed: true,
        detail: Some("a-b"),
    };
    assert_eq!(
        cache_status("edge", CacheOutcome::Fwd(Fwd::UriMiss), &all),
        "edge; fwd=uri-miss; fwd-status=304; stored; collapsed; ttl=-30; detail=a-b"
    );
    // RFC 9211 sections 2.3, 2.5 and 2.6: these three have a meaning only beside fwd.
    assert_eq!(cache_status("edge", CacheOutcome::Hit, &all), "edge; hit; ttl=-30; detail=a-b");
}

/// RFC 8941 sections 3.3.1, 3.3.3 and 3.3.4.
#[test]
fn cache_status_escapes_what_is_no_token() {
    let hit = |name, detail| {
        let parameters = Parameters { detail, ..Parameters::default() };
        cache_status(name, CacheOutcome::Hit, &parameters)
    };
    assert_eq!(hit("my edge", None), r#""my edge"; hit"#);
    assert_eq!(hit("", None), r#"""; hit"#);
    assert_eq!(hit("1edge", None), r#""1edge"; hit"#);
    assert_eq!(hit("*edge:8080/x", None), "*edge:8080/x; hit");
    assert_eq!(hit("e", Some(r#"say "\o/""#)), r#"e; hit; detail="say \"\\o/\"""#);
    assert_eq!(hit("e", Some("a\r\nb\u{fc}")), r#"e; hit; detail="a??b?""#);
    let far = |ttl_s| {
        let parameters = Parameters { ttl_s: Some(ttl_s), ..Parameters::default() };
        cache_status("e", CacheOutcome::Hit, &parameters)
    };
    assert_eq!(far(0), "e; hit; ttl=0");
    assert_eq!(far(i64::MAX), "e; hit; ttl=999999999999999");
    assert_eq!(far(i64::MIN), "e; hit; ttl=-999999999999999");
}

/// RFC 9110 section 5.6.7.
#[test]
fn dates_are_written_as_imf_fixdate() {
    assert_eq!(&date::format(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(&date::format(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(&date::format(951_782_400), b"Tue, 29 Feb 2000 00:00:00 GMT");
    assert_eq!(&date::format(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
}

/// PO-5: the encoded form is part of the store's format; it must not change without its version.
#[test]
fn encoded_form_is_fixed() {
    let meta = StoredMeta {
        status: 200,
        response_time_ms: 0x0102_0304_0506_0708,
        date_s: 0x11,
        initial_age_s: 0x21,
        lifetime_s: 0x31,
        lifetime_source: LifetimeSource::Expires,
        immutable: true,
        stale_while_revalidate_s: 0x41,
        stale_if_error_s: 0x51,
        must_revalidate: false,
        no_cache: true,
        has_etag: false,
        has_last_modified: true,
        last_modified_s: 0x61,
        part: Part::new(0x71..0x72, 0x73),
    };
    let expected = [
        [2, 0b11_0101, 200, 0, 0x21, 0, 0, 0],
        [0x31, 0, 0, 0, 0x41, 0, 0, 0],
        [0x51, 0, 0, 0, 3, 0, 0, 0],
        [8, 7, 6, 5, 4, 3, 2, 1],
        [0x11, 0, 0, 0, 0, 0, 0, 0],
        [0x61, 0, 0, 0, 0, 0, 0, 0],
        [0x71, 0, 0, 0, 0, 0, 0, 0],
        [0x72, 0, 0, 0, 0, 0, 0, 0],
        [0x73, 0, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(meta.encode().as_slice(), expected.as_flattened());
}

/// RFC 9111 section 3.3: a part is never taken for the whole.
#[test]
fn parts_are_not_stored_as_wholes() {
    let response: [fields::Field<'_>; 3] =
        [("Cache-Control", b"max-age=60"), ("Content-Range", b"bytes 0-1/2"), ("ETag", b"\"1\"")];
    let exchange = Exchange {
        method: "GET",
        request: &[],
        status: 206,
        response: &response,
        request_time_ms: 0,
        response_time_ms: 0,
    };
    let rules = Rules::default();
    assert_eq!(storable::evaluate(&exchange, &rules), Err(NotStored::Part));
    assert!(storable::evaluate_part(&exchange, &rules).is_ok_and(|meta| meta.part.is_some()));
    let whole = Exchange { status: 200, ..exchange };
    assert_eq!(storable::evaluate_part(&whole, &rules), Err(NotStored::Part));
}

/// The exceptions are sorted as a reader looks for them, and each says all three things.
#[test]
fn exceptions_are_complete() {
    for exception in EXCEPTIONS {
        assert!(exception.clause.starts_with("RFC "), "{exception:?}");
        assert!(exception.what.ends_with('.') && exception.why.ends_with('.'), "{exception:?}");
    }
    assert!(EXCEPTIONS.is_sorted_by_key(|exception| rfc(exception.clause)));
}

fn rfc(clause: &str) -> Vec<u32> {
    clause.split([' ', '.']).filter_map(|part| part.parse().ok()).collect()
}

/// A line of open quotes costs two passes, not one for each quote.
#[test]
fn members_are_linear_in_hostile_lines() {
    let line = r#"\","#.repeat(500_000);
    let line = format!("\"{line}");
    assert_eq!(fields::members(line.as_bytes()).count(), 500_000);
}
