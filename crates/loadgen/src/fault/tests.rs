//! Faults are counted by name, and the first ones are kept as evidence.

use longhold_transport::IoFault;

use super::{EXAMPLES_MAX, Fault, FaultLog};

#[test]
fn counts_by_name_and_keeps_the_first_examples() {
    let mut log = FaultLog::default();
    for at_ms in 0..EXAMPLES_MAX as u64 + 5 {
        log.record(at_ms, 7, Fault::WrongStatus { found: 502 });
    }
    log.record(99, 8, Fault::ReceiveFailed(IoFault::Reset));
    assert_eq!(log.total(), EXAMPLES_MAX as u64 + 6);
    assert_eq!(log.count("wrong-status"), EXAMPLES_MAX as u64 + 5);
    assert_eq!(log.count("receive-failed"), 1);
    assert_eq!(log.count("no-such-fault"), 0);
    assert_eq!(log.examples().len(), EXAMPLES_MAX);
    assert_eq!(log.examples()[0].detail, "status 502");
}

#[test]
fn json_names_only_what_happened() {
    let mut log = FaultLog::default();
    log.record(3, 1, Fault::Truncated);
    let json = serde_json::to_value(&log).expect("faults serialise");
    assert_eq!(json["total"], 1);
    assert_eq!(json["by_name"], serde_json::json!({ "truncated": 1 }));
    assert_eq!(json["examples"][0]["at_ms"], 3);
}
