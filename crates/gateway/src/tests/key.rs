//! One key per resource, never one key for two (GW-1).

use super::parse;
use crate::key::{NoKey, append_variant, write_primary};

fn key(request: &str) -> Result<String, NoKey> {
    let head = parse(request.as_bytes());
    let mut key = b"left over".to_vec();
    write_primary(&mut key, "http", &head.target)?;
    Ok(String::from_utf8(key).expect("a key of a request is text"))
}

fn get(target: &str, host: &str) -> String {
    key(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).expect("a key")
}

#[test]
fn equal_targets_share_a_key() {
    let same = get("/a/b?q=1", "example.com");
    assert_eq!(same, "http://example.com/a/b?q=1");
    assert_eq!(get("/a/b?q=1", "EXAMPLE.com"), same);
    assert_eq!(get("/a/b?q=1", "example.com:80"), same);
    assert_eq!(get("/a/./x/../b?q=1", "example.com"), same);
    assert_eq!(get("/%61/b?q=1", "example.com"), same);
    assert_eq!(get("http://example.com/a/b?q=1", "example.com"), same);
}

#[test]
fn different_targets_do_not() {
    let base = get("/a", "example.com");
    for (target, host) in [
        ("/a", "example.com:8080"),
        ("/a", "example.org"),
        ("/A", "example.com"),
        ("/a/", "example.com"),
        ("/a?", "example.com"),
        ("/a%2Fb", "example.com"),
    ] {
        assert_ne!(get(target, host), base, "{host}{target}");
    }
}

#[test]
fn a_request_without_a_host_has_no_key() {
    assert_eq!(key("GET / HTTP/1.0\r\n\r\n"), Err(NoKey));
}

#[test]
fn variants_differ_by_base_and_by_nominated_fields() {
    let variant = |id: u64, value: &[u8]| {
        let mut key = b"http://a/".to_vec();
        append_variant(&mut key, id, "accept-language", &[("Accept-Language", value)]);
        key
    };
    assert_eq!(variant(1, b"de"), variant(1, b"de"));
    assert_ne!(variant(1, b"de"), variant(1, b"en"));
    assert_ne!(variant(1, b"de"), variant(2, b"de"), "a new base hides what the old one had");
}
