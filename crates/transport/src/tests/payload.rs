//! The list of parts.

use crate::{PARTS_MAX, Parts};

#[test]
fn empty_parts_take_no_place() {
    let mut parts = Parts::new();
    for part in [&b""[..], b"a", b"", b"bc"] {
        parts.push(part);
    }
    assert_eq!(parts.as_slices(), [&b"a"[..], b"bc"]);
    assert_eq!(parts.total_bytes(), 3);
}

#[test]
fn parts_beyond_the_bound_wait_for_the_next_send() {
    let mut parts = Parts::new();
    for _ in 0..PARTS_MAX {
        parts.push(b"x");
    }
    parts.push(b"y");
    assert_eq!(parts.as_slices(), [b"x"; PARTS_MAX]);
}
