//! Targets are loopback only unless their owner says more (LG-1), and sources never run out of
//! ports.

use std::net::{IpAddr, SocketAddr};

use longhold_transport::{Parts, Payload as _};

use super::{
    CONNECTIONS_PER_SOURCE, CONNECTIONS_PER_SOURCE_MAX, Dialect, Reach, Sources, Target,
    TargetError,
};

fn check(url: &str, address: &str, path: &str) {
    let target = Target::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
    assert_eq!(target.address(), address.parse().expect("an address"), "{url}");
    assert_eq!(target.path(), path, "{url}");
}

#[test]
fn loopback_urls_are_targets() {
    check("http://127.0.0.1:8080/bytes/1?a=b", "127.0.0.1:8080", "/bytes/1?a=b");
    check("http://127.9.8.7", "127.9.8.7:80", "/");
    check("http://localhost:81", "127.0.0.1:81", "/");
    check("http://localhost/x", "127.0.0.1:80", "/x");
    check("http://[::1]:9/x", "[::1]:9", "/x");
    check("http://[::1]/x", "[::1]:80", "/x");
    check("http://127.0.0.1:1?q", "127.0.0.1:1", "/?q");
}

#[test]
fn everything_else_is_refused() {
    for url in
        ["127.0.0.1:80", "ftp://127.0.0.1/", "http://", "http://[::1/", "http://a:b", "http://a b/"]
    {
        assert_eq!(Target::parse(url).err(), Some(TargetError::Syntax), "{url}");
    }
    for url in ["http://127.0.0.1/a b", "http://127.0.0.1/a\r\nX: y", "http://127.0.0.1/é"] {
        assert_eq!(Target::parse(url).err(), Some(TargetError::Path), "{url}");
    }
    for url in
        ["http://192.0.2.1/", "http://10.0.0.1:80/", "http://[2001:db8::1]/", "http://0.0.0.0/"]
    {
        let error = Target::parse(url).err();
        assert!(matches!(error, Some(TargetError::NotLoopback(_))), "{url}: {error:?}");
    }
}

#[test]
fn names_are_resolved_and_then_judged_by_their_address() {
    let resolve = |name: &str, port| {
        let ip: IpAddr = match name {
            "here.test" => "127.0.1.1".parse().expect("an address"),
            "mapped.test" => "::ffff:127.0.0.1".parse().expect("an address"),
            "there.test" => "192.0.2.7".parse().expect("an address"),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    };
    let parse = |url, reach| Target::resolved(url, reach, resolve).map(|target| target.address());
    let address = |text: &str| Ok(text.parse().expect("an address"));
    assert_eq!(parse("http://here.test/", Reach::Loopback), address("127.0.1.1:80"));
    assert_eq!(parse("http://mapped.test:1/", Reach::Loopback), address("[::ffff:127.0.0.1]:1"));
    for url in ["http://there.test:81/", "http://192.0.2.7:81/"] {
        let refused = parse(url, Reach::Loopback).expect_err("not loopback");
        assert_eq!(refused, TargetError::NotLoopback("192.0.2.7".parse().expect("an address")));
        assert!(refused.to_string().contains("--i-own-this-host"), "{refused}");
        assert_eq!(parse(url, Reach::OwnHosts), address("192.0.2.7:81"));
    }
    for reach in [Reach::Loopback, Reach::OwnHosts] {
        assert_eq!(parse("http://nowhere.test/", reach), Err(TargetError::Unresolved));
    }
    // Host says the name, not the address.
    let target = Target::resolved("http://here.test:8080/", Reach::Loopback, resolve);
    let request = target.expect("a target").request(true);
    let mut parts = Parts::new();
    request.parts(&mut parts);
    let text = String::from_utf8_lossy(parts.as_slices()[0]).into_owned();
    assert!(text.contains("\r\nHost: here.test:8080\r\n"), "{text}");
}

#[test]
fn the_scheme_says_what_is_spoken_and_how() {
    for (url, port, dialect, is_secure) in [
        ("http://127.0.0.1/", 80, Dialect::Http, false),
        ("https://127.0.0.1/", 443, Dialect::Http, true),
        ("ws://127.0.0.1/", 80, Dialect::WebSocket, false),
        ("wss://127.0.0.1/", 443, Dialect::WebSocket, true),
    ] {
        let target = Target::parse(url).expect("a target");
        let found = (target.address().port(), target.dialect(), target.security().is_some());
        assert_eq!(found, (port, dialect, is_secure), "{url}");
    }
}

#[test]
fn a_request_advances_to_its_end() {
    let target = Target::parse("http://127.0.0.1:8080/x").expect("a target");
    let mut request = target.request(true);
    let mut sent = Vec::new();
    while !request.is_sent() {
        let mut parts = Parts::new();
        request.parts(&mut parts);
        let piece = &parts.as_slices()[0][..7.min(parts.total_bytes())];
        sent.extend_from_slice(piece);
        let advanced = piece.len();
        request.advance(advanced);
    }
    let text = String::from_utf8(sent).expect("ASCII");
    assert!(text.starts_with("GET /x HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n"), "{text}");
}

#[test]
fn many_connections_come_from_several_addresses() {
    let v4: SocketAddr = "127.0.0.1:80".parse().expect("an address");
    let v6: SocketAddr = "[::1]:80".parse().expect("an address");
    let few = Sources::new(v4, &[], CONNECTIONS_PER_SOURCE).expect("one source will do");
    assert_eq!(few.of(CONNECTIONS_PER_SOURCE - 1), None);
    let far: SocketAddr = "192.0.2.1:80".parse().expect("an address");
    for alone in [v6, far] {
        assert!(Sources::new(alone, &[], CONNECTIONS_PER_SOURCE_MAX).is_some());
        assert_eq!(Sources::new(alone, &[], CONNECTIONS_PER_SOURCE_MAX + 1), None);
    }
    let given: [IpAddr; 2] = ["192.0.2.8", "192.0.2.9"].map(|ip| ip.parse().expect("an address"));
    let two = Sources::new(far, &given, 2 * CONNECTIONS_PER_SOURCE_MAX).expect("two will do");
    let from: Vec<_> = (0..3).filter_map(|index| two.of(index)).map(|from| from.ip()).collect();
    assert_eq!(from, [given[0], given[1], given[0]]);
    assert_eq!(Sources::new(far, &given, 2 * CONNECTIONS_PER_SOURCE_MAX + 1), None);
    assert_eq!(Sources::new(v6, &given, 1), None, "of another family");

    let count = 4_000_000;
    let many = Sources::new(v4, &[], count).expect("several sources");
    let mut per_source = std::collections::HashMap::new();
    for index in 0..count {
        *per_source.entry(many.of(index).expect("a source")).or_insert(0) += 1;
    }
    assert!(per_source.values().all(|count| *count <= CONNECTIONS_PER_SOURCE));
    assert!(per_source.keys().all(|source| source.ip().is_loopback() && source.port() == 0));
}
