//! Properties that hold for all inputs; each names the invariant of the crate's front page.

use longhold_policy::directives::{RequestDirectives, ResponseDirectives};
use longhold_policy::invalidate::Base;
use longhold_policy::priority::Priority;
use longhold_policy::range::RangeChoice;
use longhold_policy::reuse::Decision;
use longhold_policy::status::{CacheOutcome, Fwd, Parameters};
use longhold_policy::storable::{Exchange, Rules};
use longhold_policy::validate::Validators;
use longhold_policy::{
    Field, LifetimeSource, Part, StoredMeta, date, fields, freshen, invalidate, part, range, reuse,
    status, storable, validate, vary,
};
use proptest::prelude::*;

type OwnedFields = Vec<(String, Vec<u8>)>;

const NAMES: [&str; 29] = [
    "Cache-Control",
    "CDN-Cache-Control",
    "Pragma",
    "Age",
    "Date",
    "Expires",
    "Last-Modified",
    "ETag",
    "Vary",
    "Connection",
    "Authorization",
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
    "If-Range",
    "Range",
    "Accept-Encoding",
    "Content-Length",
    "Set-Cookie",
    "Cookie",
    "X-A",
    "Surrogate-Control",
    "Priority",
    "Content-Range",
    "Location",
    "Accept-Language",
    "cache-control",
    "",
];

const PIECES: [&str; 46] = [
    "immutable",
    "+60",
    "bytes 0-1/2",
    "//host/",
    "u=1",
    "q=0.5",
    "max-age",
    "s-maxage",
    "no-store",
    "no-cache",
    "private",
    "public",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "stale-while-revalidate",
    "stale-if-error",
    "max-stale",
    "min-fresh",
    "only-if-cached",
    "=",
    "=60",
    "=\"60\"",
    "=99999999999999999999",
    ",",
    ", ",
    "\"",
    "\\",
    "*",
    "W/",
    "\"a\"",
    "bytes=",
    "0-1",
    "-",
    "5-",
    "-5",
    " ",
    "\t",
    ";",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
    "Foo",
    "0",
    "60",
    "x",
];

/// Values that are nearly well formed, and any bytes at all.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..8);
    prop_oneof![
        4 => pieces.prop_map(|pieces| pieces.concat().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..24),
    ]
}

fn field_lines() -> impl Strategy<Value = OwnedFields> {
    let name = prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned);
    prop::collection::vec((name, value()), 0..8)
}

fn borrow(fields: &OwnedFields) -> Vec<Field<'_>> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()
}

fn meta() -> impl Strategy<Value = StoredMeta> {
    let seconds = || prop_oneof![Just(0), 0..100_u32, any::<u32>()];
    let numbers = (any::<u16>(), any::<u64>(), any::<u64>(), any::<u64>());
    let spans = (seconds(), seconds(), seconds(), seconds());
    (numbers, spans, any::<[bool; 5]>()).prop_map(|(numbers, spans, flags)| StoredMeta {
        status: numbers.0,
        response_time_ms: numbers.1,
        date_s: numbers.2,
        last_modified_s: numbers.3,
        initial_age_s: spans.0,
        lifetime_s: spans.1,
        stale_while_revalidate_s: spans.2,
        stale_if_error_s: spans.3,
        immutable: flags[0],
        must_revalidate: flags[1],
        no_cache: flags[2],
        has_etag: flags[3],
        has_last_modified: flags[4],
        lifetime_source: [
            LifetimeSource::Nothing,
            LifetimeSource::SMaxage,
            LifetimeSource::MaxAge,
            LifetimeSource::Expires,
            LifetimeSource::Heuristic,
            LifetimeSource::Targeted,
            LifetimeSource::Site,
        ][usize::from(numbers.0 % 7)],
        part: Part::new(u64::from(spans.0)..u64::from(spans.1), u64::from(spans.2)),
    })
}

fn request_directives() -> impl Strategy<Value = RequestDirectives> {
    let seconds = || prop::option::of(prop_oneof![0..100_u32, any::<u32>()]);
    let spans = (seconds(), seconds(), seconds(), seconds());
    (spans, any::<[bool; 3]>()).prop_map(|(spans, flags)| RequestDirectives {
        max_age_s: spans.0,
        max_stale_s: spans.1,
        min_fresh_s: spans.2,
        stale_if_error_s: spans.3,
        no_cache: flags[0],
        no_store: flags[1],
        only_if_cached: flags[2],
    })
}

fn is_served(decision: Decision) -> bool {
    match decision {
        Decision::Fresh | Decision::StaleAllowed | Decision::StaleWhileRevalidate => true,
        Decision::Validate(_) | Decision::Forward(_) | Decision::GatewayTimeout => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// PO-1: no input panics, and what is chosen lies within the body.
    #[test]
    fn nothing_panics(
        request in field_lines(),
        response in field_lines(),
        method in prop::sample::select(vec!["GET", "HEAD", "POST", ""]),
        status in any::<u16>(),
        times in any::<(u64, u64, u64)>(),
        body_len in prop_oneof![0..20_u64, any::<u64>()],
    ) {
        let (request, response) = (borrow(&request), borrow(&response));
        let exchange = Exchange {
            method,
            request: &request,
            status,
            response: &response,
            request_time_ms: times.0,
            response_time_ms: times.1,
        };
        let directives = RequestDirectives::from_fields(&request);
        let stored = Validators::of(&response);
        if let Ok(meta) = storable::evaluate(&exchange, &Rules::default()) {
            reuse::decide(&directives, &meta, times.2);
            reuse::may_serve_on_error(&directives, &meta, times.2);
            reuse::ttl_s(&meta, times.2);
            prop_assert_eq!(meta.has_etag, stored.etag.is_some());
        }
        ResponseDirectives::from_fields(&response);
        validate::evaluate(method, &request, &stored, status);
        validate::conditional_fields(&stored, &mut |_, _| {});
        let chosen = range::select(&request, method, body_len, &stored);
        let chosen = match &chosen {
            RangeChoice::Single(range) => std::slice::from_ref(range),
            RangeChoice::Multiple(ranges) => {
                prop_assert!(ranges.as_slice().len() > 1);
                ranges.as_slice()
            }
            RangeChoice::Whole | RangeChoice::Unsatisfiable => &[],
        };
        let mut sent = 0_u64;
        for (at, range) in chosen.iter().enumerate() {
            prop_assert!(range.start < range.end && range.end <= body_len);
            let mut others = chosen.iter().skip(at + 1);
            let is_apart = |other: &std::ops::Range<u64>| {
                range.end <= other.start || other.end <= range.start
            };
            prop_assert!(others.all(is_apart));
            sent += range.end - range.start;
        }
        prop_assert!(sent <= body_len);
        freshen::is_about(&stored, &request);
        freshen::by_head(&stored, body_len, status, &request);
        part::of(&response);
        part::may_combine(&stored, &Validators::of(&request));
        prop_assert!(Priority::of_request(&request).urgency <= 7);
        let base = Base { scheme: "http", authority: "host", path_and_query: "/a/b?c" };
        let mut is_absolute = true;
        let mut look = |target: &str| is_absolute &= target.starts_with('/');
        invalidate::targets(&base, &response, &mut look);
        prop_assert!(is_absolute);
        freshen::merge(&response, &request, &mut |_, _| {});
        vary::of(&response);
        let mut key = Vec::new();
        vary::write_key(NAMES.into_iter(), &request, &mut key);
        for (name, _) in &response {
            fields::is_storable(&response, name);
        }
    }

    /// PO-1: no bytes panic where bytes are read alone.
    #[test]
    fn no_bytes_panic(bytes in prop_oneof![value(), prop::collection::vec(any::<u8>(), 0..64)]) {
        date::parse(&bytes);
        date::parse_at(&bytes, u64::MAX);
        StoredMeta::decode(&bytes);
        validate::is_strong_match(&bytes, &bytes);
        for member in fields::members(&bytes) {
            prop_assert!(!member.is_empty());
            prop_assert_eq!(fields::trim(member), member);
        }
    }

    /// RFC 9111 section 4.1: the normal form is its own normal form, and says no more than before.
    #[test]
    fn normal_forms_are_stable(value in value(), name in prop::sample::select(NAMES.to_vec())) {
        let mut once = Vec::new();
        if vary::normalise(name, [&value[..]].into_iter(), &mut once) {
            let mut twice = Vec::new();
            prop_assert!(vary::normalise(name, [&once[..]].into_iter(), &mut twice));
            prop_assert_eq!(&once, &twice);
            prop_assert!(once.len() <= 2 * value.len());
        } else {
            prop_assert!(once.is_empty());
        }
    }

    /// A soft purge makes stale at once, and no staler than it was.
    #[test]
    fn soft_purge_makes_stale(meta in meta(), now_ms in any::<u64>(), later_ms in any::<u32>()) {
        let then_ms = now_ms.saturating_add(u64::from(later_ms));
        let purged = meta.soft_purged(now_ms);
        prop_assert!(reuse::ttl_s(&purged, then_ms) <= 0);
        prop_assert_eq!(reuse::age_s(&purged, then_ms), reuse::age_s(&meta, then_ms));
        if reuse::ttl_s(&meta, now_ms) <= 0 {
            prop_assert_eq!(purged, meta);
        }
    }

    /// PO-3: the age never falls as time goes on, nor does a stale response become fresh.
    #[test]
    fn age_never_falls(
        meta in meta(),
        request in request_directives(),
        now_ms in any::<u64>(),
        later_ms in any::<u32>(),
    ) {
        let then_ms = now_ms.saturating_add(u64::from(later_ms));
        prop_assert!(reuse::age_s(&meta, now_ms) <= reuse::age_s(&meta, then_ms));
        if reuse::decide(&request, &meta, then_ms) == Decision::Fresh {
            prop_assert_eq!(reuse::decide(&request, &meta, now_ms), Decision::Fresh);
        }
    }

    /// PO-4: what either side forbids to store is not stored, whatever else it says.
    #[test]
    fn no_store_is_never_stored(
        request in field_lines(),
        response in field_lines(),
        forbidden_by_origin in any::<bool>(),
        at in any::<prop::sample::Index>(),
    ) {
        let (mut request, mut response) = (request, response);
        let side = if forbidden_by_origin { &mut response } else { &mut request };
        let at = at.index(side.len() + 1);
        side.insert(at, ("Cache-Control".to_owned(), b"max-age=60, No-Store".to_vec()));
        let (request, response) = (borrow(&request), borrow(&response));
        let directives = ResponseDirectives::from_fields(&response);
        let is_lifted = directives.must_understand || directives.is_targeted;
        let exchange = Exchange {
            method: "GET",
            request: &request,
            status: 200,
            response: &response,
            request_time_ms: 0,
            response_time_ms: 0,
        };
        let is_stored = storable::evaluate(&exchange, &Rules::default()).is_ok();
        prop_assert!(!is_stored || (forbidden_by_origin && is_lifted));
    }

    /// PO-5: the encoded form is read back as it was, and no other length or version is read.
    #[test]
    fn meta_survives_encoding(meta in meta(), version in any::<u8>(), cut in 0..StoredMeta::BYTES) {
        let mut bytes = meta.encode();
        prop_assert_eq!(StoredMeta::decode(&bytes), Some(meta));
        prop_assert_eq!(StoredMeta::decode(&bytes[..cut]), None);
        bytes[0] = version;
        prop_assert_eq!(StoredMeta::decode(&bytes).is_some(), version == StoredMeta::VERSION);
    }

    /// PO-5: what decodes was encoded; no two byte strings say the same.
    #[test]
    fn encoding_is_unique(
        bytes in any::<[[u8; 16]; 3]>(),
        source in 0..9_u8,
        flags in 0..=255_u8,
        part in any::<[u8; 3]>(),
    ) {
        let mut bytes = bytes.concat();
        bytes[..2].copy_from_slice(&[StoredMeta::VERSION, flags]);
        bytes[20..24].copy_from_slice(&[source, 0, 0, 0]);
        bytes.extend(part.into_iter().flat_map(|byte| u64::from(byte).to_le_bytes()));
        let is_known = flags < 64 && source < 7;
        let is_part = part[0] < part[1] && part[1] <= part[2];
        let is_valid = if flags & 1 == 0 { part == [0; 3] } else { is_part };
        let decoded = StoredMeta::decode(&bytes);
        prop_assert_eq!(decoded.is_some(), is_known && is_valid);
        if let Some(meta) = decoded {
            prop_assert_eq!(meta.encode().to_vec(), bytes);
        }
    }

    /// PO-7: nothing stale or no-cache is served against a prohibition, and nothing stale without
    /// a permission.
    #[test]
    fn stale_needs_permission(
        meta in meta(),
        request in request_directives(),
        now_ms in any::<u64>(),
    ) {
        let decision = reuse::decide(&request, &meta, now_ms);
        let is_stale = reuse::ttl_s(&meta, now_ms) <= 0;
        if is_served(decision) {
            prop_assert!(!meta.no_cache && !request.no_cache);
            let is_permitted = meta.stale_while_revalidate_s > 0 || request.max_stale_s.is_some();
            prop_assert!(!is_stale || (is_permitted && !meta.must_revalidate));
        }
        prop_assert_eq!(decision == Decision::Fresh, is_served(decision) && !is_stale);
        let on_error = reuse::may_serve_on_error(&request, &meta, now_ms);
        prop_assert!(!on_error || !(meta.must_revalidate || meta.no_cache || request.no_cache));
        if reuse::is_validated_each_time(&meta) {
            let plain = RequestDirectives::default();
            prop_assert!(!reuse::decide(&plain, &meta, now_ms).serves());
        }
        if request.only_if_cached {
            prop_assert!(is_served(decision) || decision == Decision::GatewayTimeout);
        }
    }

    /// Every date that can be written is read back, with its day of the week right.
    #[test]
    fn dates_survive(unix_s in 0..=date::MAX_S) {
        prop_assert_eq!(date::parse(&date::format(unix_s)), Some(unix_s));
    }

    /// A two-digit year is at most 50 years ahead, and the latest such one.
    #[test]
    fn two_digit_years_are_near(now_s in 3_200_000_000..200_000_000_000_u64, year in 0..100_u8) {
        let found = (0..7).find_map(|day| {
            let names = ["Mon", "Tues", "Wednes", "Thurs", "Fri", "Satur", "Sun"];
            let text = format!("{}day, 15-Jun-{year:02} 00:00:00 GMT", names[day]);
            date::parse_at(text.as_bytes(), now_s)
        });
        let found = found.expect("one day of the week is right");
        let half_century_s = 50 * 365 * 86_400 + 14 * 86_400;
        prop_assert!(found <= now_s + half_century_s);
        prop_assert!(found + half_century_s >= now_s);
    }

    /// RFC 9111 section 4.1: requests get one key only if each nominated field agrees.
    #[test]
    fn keys_of_unlike_requests_differ(left in field_lines(), right in field_lines()) {
        let names = ["cookie", "x-a"];
        let (left, right) = (borrow(&left), borrow(&right));
        let key = |request: &[Field<'_>]| {
            let mut key = Vec::new();
            vary::write_key(names.into_iter(), request, &mut key);
            key
        };
        let joined = |request: &[Field<'_>], name: &str| -> Option<Vec<u8>> {
            let values: Vec<&[u8]> = fields::values(request, name).collect();
            (!values.is_empty()).then(|| values.join(&b", "[..]))
        };
        let dense = |request: &[Field<'_>]| -> Option<Vec<u8>> {
            let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
            joined(request, "x-a").map(|text| text.into_iter().filter(|it| !blank(it)).collect())
        };
        let is_equal = key(&left) == key(&right);
        if names.iter().all(|name| joined(&left, name) == joined(&right, name)) {
            prop_assert!(is_equal);
        }
        if is_equal {
            prop_assert_eq!(joined(&left, "cookie"), joined(&right, "cookie"));
            prop_assert_eq!(dense(&left), dense(&right));
        }
    }

    /// RFC 8941: what is written for any detail is one printable line whose quotes are closed.
    #[test]
    fn cache_status_is_well_formed(detail in any::<String>(), ttl_s in any::<i64>()) {
        let mut out = Vec::new();
        let parameters = Parameters {
            fwd_status: Some(503),
            ttl_s: Some(ttl_s),
            stored: true,
            collapsed: true,
            detail: Some(&detail),
        };
        status::write(&mut out, "edge", CacheOutcome::Fwd(Fwd::Stale), &parameters);
        prop_assert!(out.iter().all(|byte| (0x20..0x7f).contains(byte)));
        prop_assert_eq!(fields::members(&out).count(), 1);
    }
}
