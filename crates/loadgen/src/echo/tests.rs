//! The echo over a simulated network, and its frames cut at every byte.

use longhold_transport::Config;
use longhold_transport::sim::Network;

use super::{Echo, Phase, Said, read_message, read_request};
use crate::websocket::{message, upgrade_request};

#[test]
fn an_upgrade_and_its_messages_are_answered_however_they_are_cut() {
    let spoken = [upgrade_request("/chat", "127.0.0.1"), message(), message()].concat();
    for cut in 1..spoken.len() {
        let network = Network::new(cut as u64);
        let mut transport = network.transport(&Config { slots: 4, ..Config::default() });
        let address = "192.0.2.1:80".parse().expect("an address");
        longhold_transport::Transport::listen(&mut transport, network.bind(address)).expect("free");
        let mut echo = Echo::new(transport);
        let client = network.connect("198.51.100.9:4711".parse().expect("an address"), address);
        client.write(&spoken[..cut]);
        let mut answer = Vec::new();
        let mut written = false;
        for _ in 0..200 {
            if echo.turn(Some(0)).is_err() {
                break;
            }
            answer.extend(client.read());
            if !std::mem::replace(&mut written, true) {
                client.write(&spoken[cut..]);
            }
            if echo.messages() == 2 && answer.ends_with(b"beat 1") {
                break;
            }
        }
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.starts_with("HTTP/1.1 101 "), "cut at {cut}: {text}");
        assert!(text.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(text.ends_with("\u{10}longhold, beat 1"), "cut at {cut}: {text:?}");
        assert_eq!(echo.messages(), 2, "cut at {cut}");
    }
}

/// A stream's events are as far apart as was asked for, its number starts with 1 for each client,
/// and it ends with the client.
#[test]
fn event_streams_keep_their_interval_until_their_client_leaves() {
    let network = Network::new(5);
    let mut transport = network.transport(&Config { slots: 4, ..Config::default() });
    let address = "192.0.2.1:80".parse().expect("an address");
    longhold_transport::Transport::listen(&mut transport, network.bind(address)).expect("free");
    let mut echo = Echo::new(transport);
    let ask = |host: u8, interval: &str| {
        let client = network.connect(([198, 51, 100, host], 4711).into(), address);
        let head = format!("GET /events?interval={interval} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.write(head.as_bytes());
        client
    };
    let (quick, slow, leaves) = (ask(1, "250ms"), ask(2, "1s"), ask(3, "1s"));
    let until = |echo: &mut Echo<_>, until_us| {
        while network.now_us() < until_us {
            echo.turn(Some(until_us)).expect("the network goes on");
        }
    };
    until(&mut echo, 1_100_000);
    leaves.reset();
    until(&mut echo, 4_100_000);
    let events = |client: &longhold_transport::sim::Client| {
        let text = String::from_utf8(client.read()).expect("ASCII");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"));
        let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
        ids.map(|id| id.parse().expect("a number")).collect::<Vec<u32>>()
    };
    assert_eq!(events(&slow), (1..=5).collect::<Vec<_>>());
    let quick = events(&quick);
    assert!((16..=17).contains(&quick.len()) && quick.is_sorted() && quick[0] == 1, "{quick:?}");
    // Events behind each stream's first.
    let sent = 4 + (quick.len() - 1) + 1;
    assert_eq!(echo.messages(), sent as u64);
}

#[test]
fn what_is_no_upgrade_is_told_what_is_missing_and_the_connection_ends() {
    let said = read_request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let Ok(Said::Answer { answer, then: Phase::Ending, .. }) = said else { panic!("{said:?}") };
    assert!(answer.starts_with(b"HTTP/1.1 426 "));
}

#[test]
fn pings_closes_and_wrong_frames() {
    let frame = |first: u8, payload: &[u8]| {
        let mut frame = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        frame
    };
    let answered = |input: &[u8], answer: &[u8], then| {
        let expected = Said::Answer { used: input.len(), answer: answer.to_vec(), then };
        assert_eq!(read_message(input), Ok(expected));
    };
    answered(&frame(0x89, b"hi"), b"\x8a\x02hi", Phase::Open);
    answered(&frame(0x88, b"\x03\xe8"), b"\x88\x02\x03\xe8", Phase::Ending);
    let mut long = vec![0x82, 0x80 | 126, 0x01, 0x00, 0, 0, 0, 0];
    long.extend_from_slice(&[7; 256]);
    answered(&long, &[&b"\x82\x7e\x01\x00"[..], &[7; 256]].concat(), Phase::Open);
    for wrong in [&[0x82, 0x01, 0x00][..], &[0xc2, 0x80, 0, 0, 0, 0], &[0x82, 0xff, 0, 0]] {
        assert_eq!(read_message(wrong), Err(()), "{wrong:?}");
    }
    assert_eq!(read_message(&[0x82, 0x80 | 126, 0xff, 0xff]), Err(()), "too long");
}
