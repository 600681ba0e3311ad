//! The table of reasons keeps its words and numbers apart.

use std::collections::BTreeSet;

use super::CloseReason;

#[test]
fn words_and_numbers_are_distinct() {
    let names: BTreeSet<_> = CloseReason::ALL.iter().map(|reason| reason.name()).collect();
    let numbers: BTreeSet<_> = CloseReason::ALL.iter().map(|reason| *reason as u8).collect();
    assert_eq!((names.len(), numbers.len()), (CloseReason::ALL.len(), CloseReason::ALL.len()));
    assert!(!numbers.contains(&0), "a slot says 0 for no reason");
    for name in names {
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
    }
}
