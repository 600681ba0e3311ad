//! The built binary, when nobody reads what it prints: it ends as it would have ended.

use std::io;
use std::process::Command;

#[test]
fn a_list_ends_well_when_the_output_is_closed() {
    let (_, closed) = io::pipe().expect("a pipe");
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = xtask.args(["faults", "--list"]).stdout(closed).output().expect("the binary");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
