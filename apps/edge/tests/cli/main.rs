//! The built binary's command line: what it prints where, and with which exit code. Only what needs
//! no data path.

mod size;
mod store;

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{fs, thread};

use serde_json::Value;

fn edge(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
    command.args(arguments).env_remove("LONGHOLD_ADMIN_TOKEN").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs, and compares exit code, start of the output, and start of the error output.
fn check(arguments: &[&str], code: i32, out: &str, err: &str) -> Output {
    let output = edge(arguments);
    let (said, erred) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{said}\n{erred}");
    assert!(said.starts_with(out) && (said.is_empty() == out.is_empty()), "{arguments:?}\n{said}");
    assert!(erred.starts_with(err) && (erred.is_empty() == err.is_empty()), "{erred}");
    output
}

fn file(folder: &Path, config: &str) -> (PathBuf, String) {
    let path = folder.join("edge.toml");
    fs::write(&path, config).unwrap();
    (path.clone(), path.to_str().unwrap().to_owned())
}

const GOOD: &str = "\
[[listener]]
address = \"127.0.0.1:0\"
[[site]]
hosts = [\"*\"]
origin = { urls = [\"http://127.0.0.1:9000\"] }
";

/// Whatever makes an edge fail on purpose is in no other: its switch is not even a word there.
#[cfg(not(feature = "sabotage"))]
#[test]
fn the_edge_cannot_be_made_to_fail() {
    let binary = fs::read(env!("CARGO_BIN_EXE_edge")).unwrap();
    let words = String::from_utf8_lossy(&binary);
    assert!(words.contains("LONGHOLD_ADMIN_TOKEN"), "a variable is found as it stands");
    assert!(!words.contains("LONGHOLD_SABOTAGE") && !words.contains("sabotage"));
}

#[test]
fn check_prints_what_holds_and_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let (path, name) = file(folder.path(), GOOD);
    let output = check(&["check", "--config", &name], 0, &format!("# {name} is valid."), "");
    let said = text(&output.stdout);
    assert!(said.contains("# Memory that these values imply:"), "{said}");
    assert!(said.contains("# Plan for this host:\n# "), "{said}");
    fs::write(&path, &said).unwrap();
    check(&["check", "--config", &name], 0, "# ", "");
}

#[test]
fn check_as_json_is_json_when_good_and_when_faulty() {
    let folder = tempfile::tempdir().unwrap();
    let (_, name) = file(folder.path(), GOOD);
    let output = check(&["check", "--json", "--config", &name], 0, "{", "");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["valid"], true);
    assert!(json["memory"]["start_bytes"].as_u64().unwrap() > 0);
    let (_, name) = file(folder.path(), &format!("{GOOD}[server]\nworkers = 0\n"));
    let output = check(&["check", "--json", "--config", &name], 2, "{", &name);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["valid"], &json["faults"][0]["line"]), (&false.into(), &7.into()));
}

#[test]
fn faulty_config_is_told_with_place_and_remedy_and_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let (_, name) = file(folder.path(), &format!("{GOOD}[server]\nwokers = 2\n"));
    let said =
        format!("{name}:7:1: server.wokers: unknown key\n  remedy: did you mean server.workers?\n");
    for command in ["check", "run"] {
        check(&[command, "--config", &name], 2, "", &said);
    }
    check(&["purge", "--url", "http://a/", "--config", &name], 2, "", &said);
    let missing = folder.path().join("none.toml");
    let missing = missing.to_str().unwrap();
    let said = format!("{missing}: cannot be read: entity not found\n  remedy: name a file that ");
    check(&["run", "--config", missing], 2, "", &said);
    let folder = folder.path().to_str().unwrap();
    check(&["run", "--config", folder], 2, "", &format!("{folder}: cannot be read: "));
}

#[test]
fn wrong_options_are_told_with_code_2() {
    for arguments in [
        &["serve"][..],
        &["run"],
        &["check", "--config"],
        &["purge"],
        &["purge", "--url", "u", "--config", "f", "--admin", "127.0.0.1:1"],
        &["purge", "--url", "u", "--admin", "localhost:9900"],
        &["purge", "--soft"],
        &["purge", "--all", "--tag", "t"],
        &["explain"],
        &["demo", "--listen", "8080"],
        &["completions", "no-such-shell"],
        &["store", "check"],
        &["store", "stat", "--config", "f", "--path", "p"],
    ] {
        check(arguments, 2, "", "error: ");
    }
}

#[test]
fn help_and_version_go_to_the_output() {
    let help = text(&check(&["--help"], 0, "A caching HTTP reverse proxy", "").stdout);
    for command in
        ["demo", "run", "check", "purge", "explain", "cache", "store", "size", "completions"]
    {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
    }
    check(&["--version"], 0, concat!("edge ", env!("CARGO_PKG_VERSION")), "");
    let help = text(&check(&["run", "--help"], 0, "Serves what a config file says", "").stdout);
    assert!(help.contains("\n  site.origin.urls  (list of URLs; must be set)\n"), "{help}");
}

#[test]
fn command_without_its_part_shows_them_with_code_2() {
    check(&["store"], 2, "", "Looks after a store that no edge has open\n\nUsage: edge store");
    check(&["cache"], 2, "", "Shows what a running edge has stored\n\nUsage: edge cache");
}

#[test]
fn completions_come_for_each_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = text(&edge(&["completions", shell]).stdout);
        assert!(script.contains("edge") && script.contains("purge"), "{shell}");
    }
}

#[test]
fn demo_on_a_taken_port_names_the_option() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = format!("edge: {address} is in use by another process\n  remedy: end it, or choose");
    let output = check(&["demo", "--listen", &address, "--admin", "127.0.0.1:0"], 1, "", &said);
    assert!(text(&output.stderr).contains("edge demo --listen 127.0.0.1:"));
    let output = check(&["demo", "--listen", "127.0.0.1:0", "--admin", &address], 1, "", &said);
    assert!(text(&output.stderr).contains("edge demo --admin 127.0.0.1:"));
}

#[test]
fn demo_does_not_open_its_admin_api_to_the_network() {
    let said = "edge: others than this machine could reach the demo's admin API at 0.0.0.0:0\n  \
                remedy: choose a loopback address";
    check(&["demo", "--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0"], 1, "", said);
}

#[test]
fn purge_without_an_edge_says_so() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let admin = format!("127.0.0.1:{port}");
    let said = format!("edge: no edge answers at {admin}: connection refused; is it running");
    check(&["purge", "--url", "http://a/", "--admin", &admin], 1, "", &said);
    let folder = tempfile::tempdir().unwrap();
    let (_, name) = file(folder.path(), &format!("{GOOD}[admin]\naddress = \"127.0.0.1:0\"\n"));
    let said = "edge: the admin port in ";
    check(&["purge", "--url", "http://a/", "--config", &name], 1, "", said);
}

/// One request to a stand-in for an edge, which answers with a fixed reply.
fn stand_in(reply: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut some = [0; 1024];
        while !request.ends_with(b"}") {
            let read = stream.read(&mut some).unwrap();
            request.extend_from_slice(&some[..read]);
        }
        write!(
            stream,
            "HTTP/1.1 {}\r\nContent-Length: {}\r\n\r\n{reply}",
            if reply.contains("error") { "503 No" } else { "200 OK" },
            reply.len()
        )
        .unwrap();
        text(&request)
    });
    (address, serving)
}

#[test]
fn purge_tells_what_the_edge_did() {
    let (address, serving) = stand_in("{\"found\":true,\"duration_us\":1234}");
    let said = "http://a/x: purged; durable after 1234 µs\n";
    check(&["purge", "--url", "http://a/x", "--admin", &address], 0, said, "");
    let request = serving.join().unwrap();
    assert!(request.starts_with("POST /purge HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with("{\"url\":\"http://a/x\"}"), "{request}");
    assert!(!request.to_lowercase().contains("authorization"), "{request}");
    let (address, serving) = stand_in("{\"error\":\"it is full\",\"remedy\":\"wait\"}");
    let said = "edge: the edge refused: it is full; wait\n";
    check(&["purge", "--url", "http://a/x", "--admin", &address], 1, "", said);
    serving.join().unwrap();
}

#[test]
fn purge_takes_address_and_token_from_the_config() {
    let (address, serving) = stand_in("{\"found\":false,\"duration_us\":5}");
    let admin = format!("[admin]\naddress = \"{address}\"\ntoken = \"0123456789abcdef\"\n");
    let folder = tempfile::tempdir().unwrap();
    let (_, name) = file(folder.path(), &format!("{GOOD}{admin}"));
    let said = "http://a/: was not stored; durable after 5 µs\n";
    check(&["purge", "--url", "http://a/", "--config", &name], 0, said, "");
    let request = serving.join().unwrap();
    assert!(request.contains("authorization: Bearer 0123456789abcdef\r\n"), "{request}");
}

#[test]
fn doctor_judges_this_host() {
    let output = edge(&["doctor", "--connections", "1000", "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["connections"], &said["fits"]), (&1000.into(), &true.into()), "{said}");
    let findings = said["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["name"] == "RLIMIT_NOFILE"), "{said}");
    let output = check(&["doctor", "--connections", "1000"], 0, "1,000 connections on this ", "");
    assert!(text(&output.stdout).contains("\nmemory for 1,000 connections\n"));
    check(&["doctor", "--connections", "0"], 2, "", "error: invalid value '0'");
}

/// A table of direct descriptors is bounded by the open files, and each takes two of them.
#[test]
fn what_does_not_fit_the_host_is_refused_by_check_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("{GOOD}[server]\nmax_connections = 1000000\n");
    let (_, name) = file(folder.path(), &config);
    for command in ["check", "run"] {
        let limited = format!("ulimit -n 256 && exec \"$0\" {command} --config \"$1\"");
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", &limited, env!("CARGO_BIN_EXE_edge"), &name]).output();
        let output = output.unwrap();
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), &*output.stdout), (Some(2), &b""[..]), "{said}");
        let fault = "server.max_connections: does not fit this host: RLIMIT_NOFILE is 256; ";
        assert!(said.starts_with(&format!("{name}: {fault}")), "{said}");
        assert!(said.contains("\n  remedy: raise RLIMIT_NOFILE to "), "{said}");
    }
}

/// `edge … | head`, and the same with both outputs: what ends is the reader, not the command.
#[test]
fn closed_outputs_change_no_exit_code() {
    let run = |arguments: &[&str], out: Stdio, err: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
        command.args(arguments).stdout(out).stderr(err).status().unwrap().code()
    };
    let closed = || Stdio::from(io::pipe().unwrap().1);
    assert_eq!(run(&["completions", "bash"], closed(), Stdio::null()), Some(0));
    assert_eq!(run(&["check", "--config", "not/there"], Stdio::null(), closed()), Some(2));
    let nobody = ["conns", "--admin", "unix:not/there"];
    assert_eq!(run(&nobody, Stdio::null(), closed()), Some(1));
}
