//! Reading what test harnesses say.

use super::Totals;

#[test]
fn totals_add_up_over_harnesses() {
    let mut totals = Totals::default();
    for line in [
        "running 3 tests",
        "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out",
        "test a::passed ... ok",
        "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
        "test result: ",
    ] {
        totals.add_line(line);
    }
    assert_eq!(totals, Totals { passed: 7, failed: 2, ignored: 1 });
}
