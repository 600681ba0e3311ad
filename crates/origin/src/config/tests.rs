//! URLs and bounds.

use super::{CONNECTIONS_MAX, OriginConfig, OriginUrl, Scheme};
use crate::error::{ConfigError, UrlError};

#[test]
fn urls_are_scheme_host_and_port() {
    let rows = [
        ("http://example.com", Ok((Scheme::Http, "example.com", 80, "http://example.com"))),
        ("HTTP://Example.COM/", Ok((Scheme::Http, "example.com", 80, "http://example.com"))),
        ("https://a-b_c.d", Ok((Scheme::Https, "a-b_c.d", 443, "https://a-b_c.d"))),
        ("http://127.0.0.1:9000", Ok((Scheme::Http, "127.0.0.1", 9000, "http://127.0.0.1:9000"))),
        ("https://[::1]", Ok((Scheme::Https, "::1", 443, "https://[::1]"))),
        ("https://[::1]:80", Ok((Scheme::Https, "::1", 80, "https://[::1]:80"))),
        ("example.com", Err(UrlError::Scheme)),
        ("ftp://example.com", Err(UrlError::Scheme)),
        ("http://", Err(UrlError::Host)),
        ("http://:80", Err(UrlError::Host)),
        ("http://a b", Err(UrlError::Host)),
        ("http://[::1", Err(UrlError::Host)),
        ("http://[::1]x", Err(UrlError::Host)),
        ("http://[zz]", Err(UrlError::Host)),
        ("http://a:", Err(UrlError::Port)),
        ("http://a:0", Err(UrlError::Port)),
        ("http://a:+8", Err(UrlError::Port)),
        ("http://a:65536", Err(UrlError::Port)),
        ("http://a:1:2", Err(UrlError::Port)),
        ("http://a/b", Err(UrlError::Extra)),
        ("http://a?b", Err(UrlError::Extra)),
        ("http://u@a", Err(UrlError::Extra)),
    ];
    for (text, expected) in rows {
        let parsed: Result<OriginUrl, UrlError> = text.parse();
        let shown = parsed.map(|url| (url.scheme, url.host.clone(), url.port, url.to_string()));
        let expected = expected.map(|(s, h, p, t): (_, &str, _, &str)| (s, h.into(), p, t.into()));
        assert_eq!(shown, expected, "{text}");
    }
    let long = format!("http://{}", "a".repeat(254));
    assert_eq!(long.parse::<OriginUrl>(), Err(UrlError::Host));
}

#[test]
fn bounds_are_checked() {
    let good = OriginConfig::new(vec!["http://a".parse().unwrap()]);
    assert_eq!(good.check(), Ok(()));
    let check = |change: fn(&mut OriginConfig), expected| {
        let mut config = good.clone();
        change(&mut config);
        assert_eq!(config.check(), expected);
    };
    check(|c| c.urls.clear(), Err(ConfigError::NoUrls));
    check(|c| c.connections_max = 0, Err(ConfigError::ConnectionsMax));
    check(|c| c.connections_max = CONNECTIONS_MAX, Ok(()));
    check(|c| c.connections_max = CONNECTIONS_MAX + 1, Err(ConfigError::ConnectionsMax));
    check(|c| c.connect_timeout_ms = 0, Err(ConfigError::ZeroTimeout("connect_timeout_ms")));
    check(|c| c.first_byte_timeout_ms = 0, Err(ConfigError::ZeroTimeout("first_byte_timeout_ms")));
    check(
        |c| c.between_bytes_timeout_ms = 0,
        Err(ConfigError::ZeroTimeout("between_bytes_timeout_ms")),
    );
    check(|c| c.idle_timeout_ms = 0, Ok(()));
}
