//! The built binary, when nobody reads what it prints: the load ends as it would have ended.

use std::io::{self, PipeWriter};
use std::net::TcpListener;
use std::process::Command;

/// A pipe whose reader is gone.
fn closed() -> PipeWriter {
    io::pipe().expect("a pipe").1
}

#[test]
fn a_load_ends_with_its_own_code_when_its_output_is_closed() {
    // It accepts nobody, so the one connection that there is to hold is lost.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("--url=http://{}/", listener.local_addr().expect("bound"));
    for form in ["--quiet", "--json"] {
        let mut bomb = Command::new(env!("CARGO_BIN_EXE_conn-bomb"));
        bomb.args(["hold", &url, "--connections=1", "--hold=0s", "--answer-timeout=10ms", form]);
        let output = bomb.stdout(closed()).output().expect("the binary");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{form}: {said}");
    }
}

#[test]
fn a_refusal_keeps_its_code_when_nobody_reads_it() {
    let mut bomb = Command::new(env!("CARGO_BIN_EXE_conn-bomb"));
    bomb.args(["hold", "--url=http://192.0.2.1/"]).stderr(closed());
    assert_eq!(bomb.status().expect("the binary").code(), Some(2));
}
