//! The table of failures.

use std::collections::HashSet;

use super::FetchError;

#[test]
fn every_failure_has_its_own_word_and_a_status() {
    let names: HashSet<_> = FetchError::ALL.iter().map(|error| error.name()).collect();
    assert_eq!(names.len(), FetchError::ALL.len());
    let texts: HashSet<_> = FetchError::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), FetchError::ALL.len());
    for error in FetchError::ALL {
        assert!(matches!(error.status(), 400 | 501 | 502 | 503 | 504), "{error:?}");
    }
}
