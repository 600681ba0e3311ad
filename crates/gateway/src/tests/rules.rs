//! Which rule holds, and what it makes of a request; which coding a client gets.

use super::parse;
use crate::coding::{Candidate, Coding, Compress, choose, mark, mark_merged, weaken_update};
use crate::key::write_nominated;
use crate::rules::*;

fn site(rules: Vec<(Matcher, Rule)>, otherwise: Option<Rule>) -> RuleBook {
    RuleBook::new([None, Some(SiteRules { rules, otherwise })])
}

fn matcher(paths: &[&str], methods: &[&str]) -> Matcher {
    Matcher {
        paths: paths.iter().map(|path| Glob::new(path)).collect(),
        methods: methods.iter().map(|method| (*method).to_owned()).collect(),
    }
}

/// A rule that can be told from others.
fn named(bytes: u64) -> Rule {
    Rule { object_bytes_max: Some(bytes), ..Rule::default() }
}

fn found(book: &RuleBook, request: &str) -> Option<u64> {
    let text = format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n");
    let id = book.find(1, &parse(text.as_bytes()), &mut Vec::new());
    book.get(id).and_then(|rule| rule.object_bytes_max)
}

#[test]
fn globs() {
    for (pattern, text, fits) in [
        ("/a", "/a", true),
        ("/a", "/ab", false),
        ("/a", "/A", false),
        ("*", "", true),
        ("/a/*", "/a/", true),
        ("/a/*", "/a", false),
        ("*.css", "/x/y.css", true),
        ("*.css", "/x/y.css.map", false),
        ("/*/b/*.js", "/a/b/c/b/d.js", true),
        ("/*/b/*.js", "/a/c/d.js", false),
        ("a*a", "a", false),
        ("*a*b", "aab", true),
        ("", "", true),
        ("", "a", false),
    ] {
        assert_eq!(Glob::new(pattern).matches(text.as_bytes()), fits, "{pattern} {text}");
    }
}

#[test]
fn first_rule_that_matches_holds_over_the_defaults() {
    let rules = vec![
        (matcher(&["/static/*", "*.css"], &[]), named(1)),
        (matcher(&["/api/*"], &["POST"]), named(2)),
        (matcher(&["/api/*"], &["GET"]), named(3)),
    ];
    let book = site(rules, Some(named(9)));
    for (request, rule) in [
        ("GET /static/x", 1),
        ("POST /static/x", 1),
        ("GET /x/../static/./y", 1),
        ("GET /%73tatic/y", 1),
        ("GET http://a/static/y", 1),
        ("GET /a.css?x=/static/", 1),
        ("GET /a?x.css", 9),
        ("POST /api/x", 2),
        ("GET /api/x?q", 3),
        ("HEAD /api/x", 3),
        ("DELETE /api/x", 9),
    ] {
        assert_eq!(found(&book, request), Some(rule), "{request}");
    }
    assert!(book.has(1) && !book.has(0) && !book.has(2));
    let plain = site(vec![(matcher(&["/a"], &[]), named(1))], None);
    assert_eq!(found(&plain, "GET /b"), None);
}

#[test]
fn rules_that_cover_each_other() {
    for (earlier, later, covers) in [
        (matcher(&[], &[]), matcher(&["/a"], &["GET"]), true),
        (matcher(&["/a"], &[]), matcher(&[], &[]), false),
        (matcher(&["/*"], &[]), matcher(&["/a/*.js", "/b"], &[]), true),
        (matcher(&["/a*"], &[]), matcher(&["/*"], &[]), false),
        (matcher(&[], &["GET"]), matcher(&["/a"], &["HEAD"]), true),
        (matcher(&[], &["HEAD"]), matcher(&["/a"], &["GET"]), false),
        (matcher(&[], &["GET"]), matcher(&["/a"], &[]), false),
    ] {
        assert_eq!(earlier.covers(&later), covers, "{earlier:?} {later:?}");
    }
}

#[test]
fn queries() {
    let globs = |names: &[&str]| names.iter().map(|name| Glob::new(name)).collect();
    let only = QueryRule::Only(globs(&["a", "b*"]));
    let without = QueryRule::Without(globs(&["utm_*"]));
    for (query, target, left) in [
        (QueryRule::All, "/x?b=1&a=2&&", "/x?b=1&a=2&&"),
        (QueryRule::Nothing, "/x?b=1", "/x"),
        (QueryRule::Nothing, "/x", "/x"),
        (only.clone(), "/x?c=0&b1=1&a&aa=2&b=", "/x?b1=1&a&b="),
        (only.clone(), "/x?A=1", "/x"),
        (only, "http://a/x?a=1?b&c", "http://a/x?a=1?b"),
        (without, "/x?utm_source=1&q=1&utm_=2", "/x?q=1"),
    ] {
        let rule = Rule { query, ..Rule::default() };
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut out = b"left over".to_vec();
        rule.rewrite(&parse(text.as_bytes()), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text.replace(target, left));
        let path = target.trim_start_matches("http://a");
        let mut key = format!("http://a{path}").into_bytes();
        site(vec![(matcher(&["/x"], &["GET"]), rule.clone())], None).canonical_key(1, &mut key);
        let left_path = left.trim_start_matches("http://a");
        assert_eq!(String::from_utf8(key).unwrap(), format!("http://a{left_path}"));
        // What is no lookup keeps its query.
        let text = text.replace("GET", "POST");
        let mut out = Vec::new();
        rule.rewrite(&parse(text.as_bytes()), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
        assert!(!rule.rewrites("POST"));
    }
}

#[test]
fn request_fields_are_taken_out_and_put_in() {
    let request =
        Edits { remove: vec!["cookie".into()], set: vec![("X-Tenant".into(), "blue".into())] };
    let rule = Rule { request, ..Rule::default() };
    let mut out = Vec::new();
    let head = "PUT /a?b HTTP/1.0\r\nHost: a\r\nCookie: a=b\r\nx-tenant: red\r\nAccept: c\r\n\
                X-TENANT: green\r\ncookie: d\r\nContent-Length: 3\r\n\r\n";
    rule.rewrite(&parse(head.as_bytes()), &mut out);
    assert_eq!(
        String::from_utf8_lossy(&out),
        "PUT /a?b HTTP/1.0\r\nHost: a\r\nAccept: c\r\nContent-Length: 3\r\nX-Tenant: blue\r\n\r\n"
    );
    // A client cannot have taken away again what the rule puts in.
    for (connection, kept) in [
        ("x-tenant", ""),
        ("close, X-Tenant,x-tenant", "Connection: close\r\n"),
        ("keep-alive, x-other", "Connection: keep-alive, x-other\r\n"),
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n");
        rule.rewrite(&parse(head.as_bytes()), &mut out);
        let expected = format!("GET / HTTP/1.1\r\nHost: a\r\n{kept}X-Tenant: blue\r\n\r\n");
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
    let mut fields = vec![("Set-Cookie".to_owned(), b"x".to_vec()), ("A".into(), b"b".to_vec())];
    let edits = Edits { remove: vec!["set-cookie".into()], set: vec![("a".into(), "c".into())] };
    edits.apply(&mut fields);
    assert_eq!(fields, [("a".to_owned(), b"c".to_vec())]);
}

#[test]
fn key_names_keep_responses_apart() {
    let rule = Rule { key_names: key_names(["X-Device"], ["Id"]), ..Rule::default() };
    let mut nominated = String::from("accept-language");
    rule.add_key_names(&mut nominated);
    assert_eq!(nominated, "accept-language,x-device,cookie:Id");
    assert!(rule.fits(&nominated));
    let mut alone = String::new();
    rule.add_key_names(&mut alone);
    assert_eq!(alone, "x-device,cookie:Id");
    assert!(rule.fits(&alone));
    for other in ["", "accept-language", "x-device", "cookie:Id"] {
        assert!(!rule.fits(other), "{other}");
        assert!(Rule::default().fits(other));
    }
    let key = |fields: &[crate::Field<'_>]| {
        let mut key = Vec::new();
        write_nominated(&alone, fields, &mut key);
        key
    };
    let first = key(&[("cookie", b"a=1; Id=2; b=3")]);
    assert_eq!(first, key(&[("Cookie", b"Id=2")]));
    assert_eq!(first, key(&[("Cookie", b"c=4"), ("Cookie", b"Id=2;Id=3")]));
    for other in [&b"Id=3"[..], b"id=2", b"aId=2", b"Id", b"Id=", b"", b"a=\"Id=2\"", b"Id=2x"] {
        assert_ne!(first, key(&[("Cookie", other)]), "{}", String::from_utf8_lossy(other));
    }
    assert_ne!(first, key(&[("Cookie", b"Id=2"), ("X-Device", b"phone")]));
}

#[test]
fn redirects() {
    for (template, request, location) in [
        ("https://www.a{path}{query}", "/x/../y?q=1", "https://www.a/y?q=1"),
        ("https://{host}{path}", "/y?q", "https://b/y"),
        ("/new{path}", "/%41", "/new/A"),
        ("/", "/x", "/"),
        ("https://a/{query}", "/x", "https://a/"),
        ("https://{host}/", "http://b:81/x", "https://b:81/"),
        ("https://{name}{path}{query}", "http://b:81/x?y", "https://b/x?y"),
        ("https://{name}/", "http://[::1]:81/x", "https://[::1]/"),
        ("https://{name}/", "http://[::1]/x", "https://[::1]/"),
    ] {
        let redirect = Redirect::parse(308, template).unwrap();
        let text = format!("GET {request} HTTP/1.1\r\nHost: b\r\n\r\n");
        let head = parse(text.as_bytes());
        let mut path = Vec::new();
        RuleBook::default().find(0, &head, &mut path);
        let found = redirect.location(&head, &path);
        assert_eq!(String::from_utf8(found).unwrap(), location);
    }
    for refused in [
        "",
        "x",
        "{path}",
        "//a",
        "/{path}",
        "/\\a",
        "ftp://a",
        "https://a{",
        "https://a{port}",
        "https://a}",
        "https://a b",
        "https://a\r\nb: c",
        "https://ä",
    ] {
        assert_eq!(Redirect::parse(302, refused), None, "{refused}");
    }
}

/// RFC 9110 section 12.5.3.
#[test]
fn coding_is_what_the_client_weighs_most() {
    let offered = [Coding::Brotli, Coding::Zstd, Coding::Gzip];
    for (accepted, chosen) in [
        ("gzip, deflate, br", Some(Coding::Brotli)),
        ("gzip", Some(Coding::Gzip)),
        ("X-GZIP", Some(Coding::Gzip)),
        ("zstd;q=1, br;q=0.9", Some(Coding::Zstd)),
        ("br;q=0, zstd;q=0.001", Some(Coding::Zstd)),
        ("*", Some(Coding::Brotli)),
        ("br;q=0, *;q=0.5", Some(Coding::Zstd)),
        ("identity;q=0.5, gzip;q=0.4", None),
        ("identity;q=0.4, gzip;q=0.5", Some(Coding::Gzip)),
        ("br;q=1.5, gzip;q=x", None),
        ("gzip;q=0.0000", None),
        ("gzip;q=0.000", None),
        ("br;level=9", None),
        ("deflate", None),
        ("", None),
    ] {
        let found = choose(&[("Accept-Encoding", accepted.as_bytes())], &offered);
        assert_eq!(found, chosen, "{accepted}");
    }
    assert_eq!(choose(&[], &offered), None);
    let lines: [crate::Field<'_>; 2] = [("accept-encoding", b"zstd"), ("Accept-Encoding", b"br")];
    assert_eq!(choose(&lines, &[Coding::Gzip]), None);
    assert_eq!(choose(&lines, &offered), Some(Coding::Brotli));
}

#[test]
fn accepted_codings_have_one_form_each() {
    let compress = Compress {
        codings: vec![Coding::Brotli, Coding::Gzip],
        types: Vec::new(),
        body_bytes_min: 1,
    };
    let rule = Rule { compress: Some(compress), ..Rule::default() };
    for (received, kept) in [
        ("Accept-Encoding: gzip, br;q=0.9\r\n", "Accept-Encoding: gzip\r\n"),
        ("Accept-Encoding: zstd\r\nAccept-Encoding: *\r\n", "Accept-Encoding: br\r\n"),
        ("Accept-Encoding: zstd\r\n", ""),
        ("", ""),
        // RFC 9111 section 5.2.1.6.
        (
            "Accept-Encoding: br\r\nCache-Control: no-transform\r\n",
            "Cache-Control: no-transform\r\n",
        ),
    ] {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{received}\r\n");
        let mut out = Vec::new();
        rule.rewrite(&parse(text.as_bytes()), &mut out);
        let expected = format!("GET / HTTP/1.1\r\nHost: a\r\n{kept}\r\n");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn responses_worth_compressing() {
    let compress = Compress {
        codings: vec![Coding::Gzip],
        types: vec![Glob::new("text/*"), Glob::new("*+json")],
        body_bytes_min: 100,
    };
    let text: crate::Field<'_> = ("content-type", b"Text/HTML; charset=utf-8");
    for (status, fields, body_len, suits) in [
        (200, &[text][..], Some(100), true),
        (200, &[text], None, true),
        (404, &[text], None, true),
        (200, &[text], Some(99), false),
        (206, &[text], None, false),
        (204, &[text], None, false),
        (200, &[("Content-Type", b"application/ld+json")], None, true),
        (200, &[("Content-Type", b"image/png")], None, false),
        (200, &[], None, false),
        (200, &[text, ("Content-Encoding", b"gzip")], None, false),
        (200, &[text, ("Cache-Control", b"max-age=1, No-Transform")], None, false),
    ] {
        let candidate = Candidate { status, fields, body_len };
        assert_eq!(compress.suits(&candidate), suits, "{status} {fields:?}");
    }
}

/// RFC 9110 section 8.8.3.3: a representation coded on the way is no longer the origin's, byte by
/// byte.
#[test]
fn coded_response_says_so() {
    let owned = |fields: &[(&str, &str)]| -> Vec<(String, Vec<u8>)> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), Vec::from(*value))).collect()
    };
    let plain = [
        ("ETag", "\"a\""),
        ("Content-Length", "9"),
        ("Vary", "Origin"),
        ("Content-Digest", "sha-256=:x:"),
        ("Accept-Ranges", "bytes"),
    ];
    let mut coded = owned(&plain);
    mark(&mut coded, Some(Coding::Zstd));
    let expected =
        [("ETag", "W/\"a\""), ("Vary", "Origin, Accept-Encoding"), ("Content-Encoding", "zstd")];
    assert_eq!(coded, owned(&expected));

    let mut beside = owned(&plain);
    mark(&mut beside, None);
    assert_eq!(beside[..2], owned(&plain)[..2]);
    assert_eq!(beside[2].1, b"Origin, Accept-Encoding");

    let mut weak = owned(&[("ETag", "W/\"a\""), ("Vary", "accept-encoding")]);
    mark(&mut weak, Some(Coding::Gzip));
    assert_eq!(weak[..2], owned(&[("ETag", "W/\"a\""), ("Vary", "accept-encoding")]));

    // A 304 knows only the origin's tag.
    let mut update = owned(&[("ETag", "\"a\""), ("Vary", "Origin"), ("Repr-Digest", "x")]);
    weaken_update(&mut update, Some(b"W/\"a\""));
    assert_eq!(update[0].1, b"W/\"a\"");
    weaken_update(&mut update, Some(b"W/\"a\""));
    assert_eq!(update[0].1, b"W/\"a\"");
    let mut other = owned(&[("ETag", "\"b\"")]);
    weaken_update(&mut other, Some(b"W/\"a\""));
    assert_eq!(other[0].1, b"\"b\"");
    let vary: crate::Field<'_> = ("vary", b"Origin, Accept-Encoding");
    mark_merged(&mut update, &[vary, ("content-encoding", b"br")]);
    assert_eq!(update, owned(&[("ETag", "W/\"a\""), ("Vary", "Origin, Accept-Encoding")]));
    mark_merged(&mut other, &[("content-encoding", b"br")]);
    assert_eq!(other, owned(&[("ETag", "\"b\"")]));
}
