//! Host patterns and URLs, by table.

use super::super::names::{host_pattern, origin_url, parse_admin_address};

#[test]
fn host_patterns() {
    let table = [
        ("*", Some("*")),
        ("Example.COM", Some("example.com")),
        ("*.Example.com", Some("*.example.com")),
        ("127.0.0.1", Some("127.0.0.1")),
        ("[::1]", Some("[::1]")),
        ("[0:0::1]", Some("[::1]")),
        ("under_score.example", Some("under_score.example")),
        ("", None),
        ("*.", None),
        ("*.*.example", None),
        ("a*.example", None),
        ("example.com:80", None),
        ("example.com.", None),
        ("a..b", None),
        ("::1", None),
        ("[::1]:80", None),
        ("127.0.0.256", None),
        ("1.2", None),
        ("exa mple", None),
        ("ä.example", None),
        ("http://example.com", None),
    ];
    for (typed, meant) in table {
        let found = host_pattern(typed).map(|pattern| pattern.to_string());
        assert_eq!(found.as_deref(), meant, "{typed}");
    }
    assert!(host_pattern(&"a".repeat(63)).is_some());
    assert!(host_pattern(&"a".repeat(64)).is_none());
    assert!(host_pattern(&["abc"; 64].join(".")).is_none());
}

#[test]
fn origin_urls() {
    let table = [
        ("http://a", Some("http://a")),
        ("HTTPS://A.example/", Some("https://a.example")),
        ("http://127.0.0.1:9000", Some("http://127.0.0.1:9000")),
        ("http://[::1]:9000/", Some("http://[::1]:9000")),
        ("https://[2001:DB8::0]", Some("https://[2001:db8::]")),
        ("http://", None),
        ("http:///", None),
        ("http://a:", None),
        ("http://a:0", None),
        ("http://a:65536", None),
        ("http://a:+80", None),
        ("http://a:80:80", None),
        ("http://a/b", None),
        ("http://a?q", None),
        ("http://a#f", None),
        ("http://user@a", None),
        ("http://[::1", None),
        ("http://::1", None),
        ("http://[::1]x:80", None),
        ("ftp://a", None),
        ("a:80", None),
        ("127.0.0.1:9000", None),
    ];
    for (typed, meant) in table {
        let found = origin_url(typed).map(|url| url.to_string());
        assert_eq!(found.as_deref(), meant, "{typed}");
    }
}

#[test]
fn admin_addresses_of_the_command_line() {
    let table = [
        ("127.0.0.1:9900", Some("127.0.0.1:9900")),
        ("[::1]:9900", Some("[::1]:9900")),
        ("unix:/run/x.sock", Some("unix:/run/x.sock")),
        ("unix:x.sock", Some("unix:x.sock")),
        ("unix:", None),
        ("localhost:9900", None),
    ];
    for (typed, meant) in table {
        let found = parse_admin_address(typed).ok().map(|address| address.to_string());
        assert_eq!(found.as_deref(), meant, "{typed}");
    }
}
