//! Hosts to sites: exact before longest suffix before any.

use crate::site::{HostPattern, SiteTable, host_of};

fn pattern(typed: &str) -> HostPattern {
    match typed.strip_prefix('*') {
        Some("") => HostPattern::Any,
        Some(suffix) => HostPattern::Below(suffix.to_owned()),
        None => HostPattern::Exact(typed.to_owned()),
    }
}

fn table(sites: &[&[&str]]) -> SiteTable {
    SiteTable::new(sites.iter().map(|hosts| hosts.iter().map(|host| pattern(host))))
}

#[test]
fn the_best_pattern_wins_whatever_its_place() {
    let table = table(&[&["*"], &["*.example.com"], &["*.b.example.com"], &["a.b.example.com"]]);
    for (host, site) in [
        ("other.org", 0),
        ("", 0),
        ("example.com", 0),
        ("x.example.com", 1),
        ("x.b.example.com", 2),
        ("a.b.example.com", 3),
        ("A.B.Example.COM:8080", 3),
        ("[::1]:8080", 0),
    ] {
        assert_eq!(table.find(host), Some(site), "{host}");
    }
}

#[test]
fn a_host_without_a_site_is_told_so() {
    assert_eq!(table(&[&["a.example", "[::1]"]]).find("b.example"), None);
    assert_eq!(table(&[&["a.example", "[::1]"]]).find("[::1]:99"), Some(0));
}

#[test]
fn a_pattern_is_shown_as_it_is_typed() {
    for typed in ["*", "*.example.com", "www.example.com", "[::1]"] {
        assert_eq!(pattern(typed).to_string(), typed);
    }
}

#[test]
fn the_port_is_cut_and_literals_are_kept_whole() {
    for (authority, host) in
        [("a:1", "a"), ("a", "a"), ("[::1]", "[::1]"), ("[::1]:1", "[::1]"), ("", "")]
    {
        assert_eq!(host_of(authority), host);
    }
}
