//! RFC 9211: the member nearest to the client decides, and only a real `hit` parameter counts.

use super::is_hit;

fn check(value: &str, expected: bool) {
    assert_eq!(is_hit(value.as_bytes()), expected, "{value:?}");
}

#[test]
fn only_a_hit_parameter_of_the_last_member_counts() {
    check("longhold; hit", true);
    check("longhold;hit;ttl=30", true);
    check("longhold; ttl=30; hit=?1", true);
    check("origin; hit, longhold; fwd=miss", false);
    check("origin; fwd=miss, longhold; hit", true);
    check("longhold; hit=?0", false);
    check("longhold; fwd=uri-miss; detail=\"; hit\"", false);
    check("longhold; detail=\"a\\\"; hit\"", false);
    check("\"a, b; c\"; hit", true);
    check("hit", false);
    check("hits; hitx", false);
    check("", false);
    check("\"unterminated; hit", false);
    check("a; hit,", false);
}
