//! The command line against the scripted origin: what is right succeeds, what is not does not.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use clap::Parser;

use super::{Arguments, run};
use crate::origin::serve;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || serve(&listener, Duration::from_secs(60)));
    address
}

/// Runs `rate --url http://ADDRESS/PATH` with further words; the error in words.
fn rate(address: SocketAddr, path: &str, words: &str) -> Result<bool, String> {
    let url = format!("http://{address}{path}");
    let words = ["rate", "--url", &url].into_iter().chain(words.split_whitespace());
    let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
    run(&line.arguments).map_err(|error| format!("{error:#}"))
}

#[test]
fn loops_succeed_when_every_answer_is_right() {
    let address = start();
    let check = |path: &str, words: &str| {
        assert_eq!(rate(address, path, words), Ok(true), "{path} {words}")
    };
    let few = "--connections 4 --warmup 0";
    check("/bytes/100", &format!("{few} --requests 50"));
    check("/bytes/100?etag=0", &format!("{few} --requests 50 --keys 1k --zipf 0.8 --json"));
    let open = format!("{few} --step 100ms --seed 9 --per-second");
    check("/bytes/100", &format!("{open} 100"));
    check("/", &format!("{open} 100,200 --arrivals poisson --keys 10 --sizes 1KiB,7 --json"));
}

#[test]
fn loops_fail_when_an_answer_is_wrong_or_a_request_is_never_sent() {
    let address = start();
    let check = |path: &str, words: &str| {
        assert_eq!(rate(address, path, words), Ok(false), "{path} {words}")
    };
    let few = "--connections 2 --warmup 0 --step 100ms";
    check("/bytes/100?cut=50", "--connections 2 --warmup 0 --requests 10");
    check("/bytes/100?cut=50", &format!("{few} --per-second 50"));
    check("/bytes/100?status=404", &format!("{few} --per-second 50 --keys 3"));
    // Two connections of 20 answers a second each for 400 requests.
    check("/bytes/100?delay_ms=50", &format!("{few} --per-second 4k"));
}

#[test]
fn urls_come_from_a_file_and_a_bad_line_is_named() {
    let address = start();
    let file = std::env::temp_dir().join(format!("conn-bomb-urls-{}", std::process::id()));
    let words = format!("--urls {} --requests 50 --warmup 0 --connections 4", file.display());
    std::fs::write(&file, format!("# two\n/bytes/10/a\nhttp://{address}/\n")).expect("written");
    assert_eq!(rate(address, "/", &words), Ok(true));
    std::fs::write(&file, "/bytes/10\nftp://elsewhere/\n").expect("written");
    let error = rate(address, "/", &words).expect_err("refused");
    assert!(error.contains("line 2") && error.contains("--urls"), "{error}");
    std::fs::remove_file(&file).expect("removed");
    assert!(rate(address, "/", &words).is_err(), "no such file");
}

#[test]
fn words_that_contradict_each_other_are_refused() {
    let address = start();
    for words in [
        "--step 1s",
        "--arrivals poisson",
        "--per-second 10 --time 1s",
        "--sizes 5",
        "--keys 5 --urls x",
        "--keys 0",
        "--keys 5 --zipf -1",
        "--keys 5 --zipf nan",
        "--per-second 0",
        "--per-second 10 --step 10m",
    ] {
        assert!(rate(address, "/bytes/1", words).is_err(), "{words}");
    }
}
