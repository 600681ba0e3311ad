//! The command line of a hold: in every form of result, over either transport, against requests
//! and event streams; and what is refused.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use longhold_loadgen::echo::Echo;
use longhold_loadgen::target::Outgoing;
use longhold_transport::{Config, Transport, bind_listeners, epoll, uring};

use super::{Arguments, run};
use crate::origin::serve;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || serve(&listener, Duration::from_secs(60)));
    address
}

/// An origin of event streams on a thread of its own; it ends with the process.
fn event_origin<T: Transport<Payload = Outgoing> + 'static>(start: fn(&Config) -> T) -> SocketAddr {
    let listeners = bind_listeners("127.0.0.1:0".parse().expect("an address"), 1);
    let listener = listeners.expect("a free port").remove(0);
    let address = listener.address();
    std::thread::spawn(move || {
        let config = Config { slots: 64, ..Config::default() };
        let mut transport = start(&config);
        transport.listen(listener).expect("it listens");
        let mut echo = Echo::new(transport);
        while echo.turn(None).is_ok() {}
    });
    address
}

/// Runs `hold --url URL` with further words; the error in words.
fn hold(url: &str, words: &str) -> Result<bool, String> {
    let words = ["hold", "--url", url, "--quiet"].into_iter().chain(words.split_whitespace());
    let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
    run(&line.arguments).map_err(|error| format!("{error:#}"))
}

const FEW: &str = "--connections 20 --hold 100ms";

#[test]
fn a_hold_succeeds_over_either_transport() {
    let url = format!("http://{}/bytes/100", origin());
    for words in ["--transport uring", "--transport epoll --json", "--heartbeat 20ms"] {
        assert_eq!(hold(&url, &format!("{FEW} {words}")), Ok(true), "{words}");
    }
}

#[test]
fn event_streams_are_held_and_beat_by_themselves() {
    let origins = [
        event_origin(|config| uring::Reactor::new(config).expect("io_uring is allowed here")),
        event_origin(|config| epoll::Reactor::new(config).expect("descriptors")),
    ];
    for origin in origins {
        let url = format!("http://{origin}/events?interval=20ms");
        assert_eq!(hold(&url, &format!("{FEW} --events")), Ok(true));
    }
    let refused = hold("http://127.0.0.1:1/", "--events --heartbeat 1s")
        .expect_err("they beat by themselves");
    assert!(refused.contains("--heartbeat"), "{refused}");
}

#[test]
fn losses_and_the_page_are_written_besides() {
    let file = |name: &str| -> PathBuf {
        std::env::temp_dir().join(format!("conn-bomb-hold-{}-{name}", std::process::id()))
    };
    let (page, losses) = (file("page.html"), file("losses.csv"));
    let words = format!("{FEW} --html {} --losses {}", page.display(), losses.display());
    let address = origin();
    let read = |path: &PathBuf| std::fs::read_to_string(path).expect("written");
    assert_eq!(hold(&format!("http://{address}/bytes/100"), &words), Ok(true));
    assert!(read(&page).contains("20 connections held"));
    assert_eq!(read(&losses).lines().count(), 1, "the heading");

    assert_eq!(hold(&format!("http://{address}/bytes/100?close=1"), &words), Ok(false));
    assert!(read(&page).contains("NOT ALL RIGHT"));
    let lines = read(&losses);
    let lost = lines.lines().filter(|line| line.contains(",close-announced,")).count();
    assert_eq!(lost, 20, "{lines}");
    for path in [page, losses] {
        std::fs::remove_file(path).expect("removed");
    }
}

#[test]
fn hosts_of_others_are_refused_before_anything_is_sent() {
    for url in ["http://192.0.2.1/", "https://[2001:db8::1]:8443/x", "ws://0.0.0.0/"] {
        let refused = hold(url, FEW).expect_err("not loopback");
        assert!(refused.contains("--i-own-this-host"), "{refused}");
    }
    let refused = hold("http://127.0.0.1:1/", &format!("{FEW} --sources ::1")).expect_err("v6");
    assert!(refused.contains("source addresses"), "{refused}");
    assert!(hold("ws://127.0.0.1:1/", "--events").is_err(), "no events there");
}
