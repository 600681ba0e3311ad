//! The normal form of targets (RFC 3986 section 6.2.2 and 6.2.3, RFC 9110 section 4.2.3).

use std::format;
use std::string::String;
use std::vec::Vec;

use crate::target::{NoNormalForm, normalise, normalise_path};
use crate::{Limits, parse_request};

fn normal_form(start: &str, host: &str, default_port: u16) -> Result<String, NoNormalForm> {
    let input = format!("{start} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let head = parse_request(input.as_bytes(), &Limits::default()).unwrap().unwrap();
    let mut out = b"kept ".to_vec();
    let result = normalise(&head.target, default_port, &mut out);
    let written = String::from_utf8(out).unwrap();
    let written = String::from(written.strip_prefix("kept ").unwrap());
    match result {
        Ok(()) => Ok(written),
        Err(error) => {
            assert_eq!(written, "", "something was left behind");
            Err(error)
        }
    }
}

fn path(path: &str) -> String {
    let form = normal_form(&format!("GET {path}"), "h", 80).unwrap();
    String::from(form.strip_prefix('h').unwrap())
}

#[test]
fn hosts_are_in_lower_case_without_the_default_port() {
    let of = |host: &str, default_port| normal_form("GET /", host, default_port).unwrap();
    assert_eq!(of("Example.COM", 80), "example.com/");
    assert_eq!(of("example.com:80", 80), "example.com/");
    assert_eq!(of("example.com:0080", 80), "example.com/");
    assert_eq!(of("example.com:", 80), "example.com/");
    assert_eq!(of("example.com:443", 80), "example.com:443/");
    assert_eq!(of("example.com:443", 443), "example.com/");
    assert_eq!(of("example.com:08080", 80), "example.com:8080/");
    assert_eq!(of("[2001:DB8:0::0:1]:80", 80), "[2001:db8::1]/");
    assert_eq!(of("[::1]:81", 80), "[::1]:81/");
    // The dot at the end makes another name.
    assert_eq!(of("example.com.", 80), "example.com./");
}

#[test]
fn authority_of_the_absolute_form_is_used() {
    assert_eq!(normal_form("GET HTTP://B:80/x", "a", 80).as_deref(), Ok("b/x"));
    assert_eq!(normal_form("GET http://B", "a", 80).as_deref(), Ok("b/"));
    assert_eq!(normal_form("GET http://b?q", "a", 80).as_deref(), Ok("b/?q"));
}

#[test]
fn escapes_have_one_spelling() {
    assert_eq!(path("/%7euser/%41%2d%5f%2E%30"), "/~user/A-_.0");
    assert_eq!(path("/%2f%3f%25%c3%A4%00"), "/%2F%3F%25%C3%A4%00");
    assert_eq!(path("/%25%32%45"), "/%252E");
    assert_eq!(path("/a?%7e%2f&%zz%"), "/a?%7e%2f&%zz%");
    assert_eq!(path("/a?"), "/a?");
    for bad in ["/%", "/%4", "/a/%zz/b", "/%4g?q", "/%%41"] {
        assert_eq!(
            normal_form(&format!("GET {bad}"), "h", 80),
            Err(NoNormalForm::InvalidEscape),
            "{bad}"
        );
    }
}

#[test]
fn dot_segments_are_removed() {
    for (from, to) in [
        ("/", "/"),
        ("/.", "/"),
        ("/..", "/"),
        ("/./", "/"),
        ("/../", "/"),
        ("/../../a", "/a"),
        ("/a/b/c/./../../g", "/a/g"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e", "/"),
        ("/a//../b", "/a/b"),
        ("//a", "//a"),
        ("//..//a", "//a"),
        ("/a/...", "/a/..."),
        ("/.a/..b", "/.a/..b"),
        ("/a/../b?x=/../y", "/b?x=/../y"),
        ("/a/..?q", "/?q"),
        ("/a%2f../b", "/a%2F../b"),
    ] {
        assert_eq!(path(from), to, "{from}");
        assert_eq!(path(to), to, "{to} is not its own normal form (H1-7)");
    }
}

#[test]
fn targets_without_resource_have_no_normal_form() {
    assert_eq!(normal_form("OPTIONS *", "a", 80), Err(NoNormalForm::MissingPath));
    assert_eq!(normal_form("CONNECT a:80", "a", 80), Err(NoNormalForm::MissingPath));
    let input = b"GET / HTTP/1.0\r\n\r\n";
    let head = parse_request(input, &Limits::default()).unwrap().unwrap();
    let mut out = Vec::new();
    assert_eq!(normalise(&head.target, 80, &mut out), Err(NoNormalForm::MissingHost));
    // The path has one all the same.
    assert_eq!(normalise_path(&head.target, &mut out), Ok(()));
    assert_eq!(out, b"/");
}
