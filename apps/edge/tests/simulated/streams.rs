//! Endless responses: relayed as they come, watched for their end (TN-1, RFC 9112 section 6.3).

use longhold_conn::State;
use longhold_edge::fill::JobKind;
use longhold_origin::Framing;
use longhold_transport::sim::{Client, Profile};

use crate::stage::Stage;
use crate::tunnels::hand_over;

const ASK: &[u8] = b"GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n";

/// An endless response that has begun: the client, what it has got, and the origin.
fn begin(stage: &mut Stage, framing: Framing, early: &[u8]) -> (Client, String, Client) {
    let client = stage.client();
    assert!(stage.exchange(&client, ASK).is_empty());
    let job = stage.job();
    assert!(matches!(job.kind, JobKind::Stream));
    let origin = hand_over(stage, &job, framing, early);
    let came = String::from_utf8(stage.exchange(&client, b"")).expect("text");
    (client, came, origin)
}

/// Head and body of what came.
fn split(came: &str) -> (&str, &str) {
    let at = came.find("\r\n\r\n").expect("a head") + 4;
    came.split_at(at)
}

#[test]
fn events_arrive_as_they_come_and_nothing_is_held_between_them() {
    let mut stage = Stage::new(1, Profile::default());
    let (client, came, origin) = begin(&mut stage, Framing::Chunked, b"3\r\n:\n\n\r\n");
    let (head, body) = split(&came);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Transfer-Encoding: chunked\r\n"), "{head}");
    assert!(head.contains("Connection: close\r\n"), "{head}");
    assert!(head.contains("Cache-Status: longhold; fwd=uri-miss\r\n"), "{head}");
    assert_eq!(body, "3\r\n:\n\n\r\n");
    for _ in 0..3 {
        stage.run_for_ms(600_000);
        assert_eq!((stage.count(State::Parked), stage.count(State::Active)), (2, 0));
        assert_eq!(stage.worker.transport().buffers_out(), 0);
        origin.write(b"9\r\ndata: 1\n\n\r\n");
        stage.run_for_ms(10);
        assert_eq!(client.read(), b"9\r\ndata: 1\n\n\r\n");
    }
}

/// Behind the end nothing is passed on, and the connection closes as its head said.
#[test]
fn the_end_is_the_framing_s() {
    for (framing, body, is_closed) in [
        (Framing::Chunked, &b"2\r\nhi\r\n0\r\n\r\n"[..], false),
        (Framing::Length(2), b"hi", false),
        (Framing::UntilClose, b"hi", true),
    ] {
        for early in [true, false] {
            let mut stage = Stage::new(2, Profile::ROUGH);
            let behind: &[u8] = if is_closed { b"" } else { b"HTTP/1.1 200 Not yours\r\n\r\n" };
            let said = [body, behind].concat();
            let (client, came, origin) =
                begin(&mut stage, framing, if early { &said } else { b"" });
            if !early {
                origin.write(&said);
            }
            if is_closed {
                origin.half_close();
            }
            let rest = String::from_utf8(stage.exchange(&client, b"")).expect("text");
            let whole = format!("{came}{rest}");
            assert_eq!(split(&whole).1.as_bytes(), body, "{framing:?}");
            assert!(client.is_ended() && !client.is_reset(), "{framing:?}");
            drop(client);
            stage.run_for_ms(10_000);
            assert!(origin.is_ended() || origin.is_reset());
            stage.assert_clean();
        }
    }
}

/// A failure is never an end.
#[test]
fn a_cut_response_does_not_look_whole() {
    for (framing, part) in [
        (Framing::Chunked, &b"5\r\nhel"[..]),
        (Framing::Length(9), b"hel"),
        (Framing::Chunked, b"x"),
    ] {
        let mut stage = Stage::new(3, Profile::default());
        let (client, _, origin) = begin(&mut stage, framing, b"");
        origin.write(part);
        origin.half_close();
        let came = stage.exchange(&client, b"");
        assert!(!came.ends_with(b"0\r\n\r\n") && came.len() <= part.len());
        assert!(client.is_ended() || client.is_reset());
        // It is broken off, and not brought to an end in peace.
        assert_eq!(stage.count(State::Parked) + stage.count(State::Active), 0);
        drop((client, origin));
        stage.run_for_ms(100);
        stage.assert_clean();
    }
}

/// The origin hears at once of a client that leaves, however silent it is itself.
#[test]
fn a_client_that_leaves_ends_it() {
    for resets in [true, false] {
        let mut stage = Stage::new(4, Profile::default());
        let (client, _, origin) = begin(&mut stage, Framing::Chunked, b"");
        if resets {
            client.reset();
        } else {
            drop(client);
        }
        stage.run_for_ms(100);
        assert!(origin.is_ended() || origin.is_reset());
        drop(origin);
        stage.run_for_ms(100);
        stage.assert_clean();
    }
}

/// What it says meanwhile is for nobody, and not without bound.
#[test]
fn what_the_client_of_a_stream_says_is_not_read() {
    let mut stage = Stage::new(5, Profile::default());
    let (client, _, origin) = begin(&mut stage, Framing::Chunked, b"");
    client.write(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n");
    stage.run_for_ms(100);
    assert!(origin.read().is_empty());
    stage.no_job();
    assert_eq!(stage.count(State::Parked), 2);
    for _ in 0..8 {
        client.write(&[b'x'; 10_000]);
        stage.run_for_ms(100);
    }
    assert!(client.is_ended() || client.is_reset(), "it is read without end");
    assert!(origin.read().is_empty());
}

/// Who reads the end and does not close is not waited for.
#[test]
fn a_client_that_stays_after_the_end_is_closed() {
    let mut stage = Stage::new(6, Profile::default());
    let (client, _, origin) = begin(&mut stage, Framing::Length(2), b"hi");
    assert!(client.is_ended(), "the end was not told");
    assert!(stage.count(State::Parked) + stage.count(State::Active) > 0);
    stage.run_for_ms(10_000);
    assert_eq!(stage.count(State::Parked) + stage.count(State::Active), 0);
    drop((client, origin));
    stage.run_for_ms(1);
    stage.assert_clean();
}

/// The same request for what is stored, or by one who cannot read chunks, is answered as ever.
#[test]
fn a_stored_response_is_a_hit_whatever_it_accepts() {
    let mut stage = Stage::new(7, Profile::default());
    stage.store("/events", b"stored");
    let client = stage.client();
    let came = stage.exchange(&client, ASK);
    assert!(came.ends_with(b"\r\n\r\nstored"));
    let old = stage.client();
    let ask = String::from_utf8(ASK.to_vec()).expect("text").replace("/events", "/x");
    stage.exchange(&old, ask.replace("1.1", "1.0").as_bytes());
    assert!(matches!(stage.job().kind, JobKind::Fill { .. }));
}
