//! Misses: the exchange waits for the fill plane, which the test plays (ED-3).

use bytes::Bytes;
use longhold_conn::State;
use longhold_edge::fill::JobKind;
use longhold_edge::inbox::Event;
use longhold_origin::FetchError;
use longhold_store::block_on_ready;
use longhold_transport::sim::Profile;

use crate::stage::{REST_MS, Stage, answer, body, reply, take_response};

const GET: &[u8] = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_growing_body_reaches_the_client_as_it_grows() {
    for seed in 0..10 {
        let mut stage = Stage::new(seed, Profile::ROUGH);
        let client = stage.client();
        assert!(stage.exchange(&client, GET).is_empty());
        let job = stage.job();
        assert!(matches!(job.kind, JobKind::Fill { share: true }));
        let whole = body(40_000);
        let (head, download) = answer(200, Some(40_000));
        reply(&job, &head, &download);
        let mut received = Vec::new();
        for piece in whole.chunks(9_999) {
            block_on_ready(download.push(Bytes::copy_from_slice(piece))).expect("a reader");
            received.extend(stage.exchange(&client, b""));
        }
        download.finish().expect("all came");
        received.extend(stage.exchange(&client, b""));
        let (status, got, rest) = take_response(&received);
        assert_eq!(status, 200);
        assert!(got == whole && rest.is_empty(), "seed {seed}");
        stage.run_for_ms(REST_MS);
        assert_eq!(stage.count(State::Parked), 1);
    }
}

#[test]
fn an_unknown_length_goes_out_in_chunks_and_ends_with_the_last() {
    let mut stage = Stage::new(1, Profile::default());
    let client = stage.client();
    stage.exchange(&client, GET);
    let (head, download) = answer(200, None);
    reply(&stage.job(), &head, &download);
    let mut received = Vec::new();
    for piece in ["hello", " world"] {
        block_on_ready(download.push(Bytes::from(piece))).expect("a reader");
        received.extend(stage.exchange(&client, b""));
    }
    assert!(!received.ends_with(b"0\r\n\r\n"), "the end was told before it came");
    download.finish().expect("no length was promised");
    received.extend(stage.exchange(&client, b""));
    let text = String::from_utf8(received).expect("text");
    assert!(text.contains("Transfer-Encoding: chunked\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), "{text}");
}

#[test]
fn a_failure_is_never_an_end() {
    for length in [None, Some(100)] {
        let mut stage = Stage::new(2, Profile::default());
        let client = stage.client();
        stage.exchange(&client, GET);
        let (head, download) = answer(200, length);
        reply(&stage.job(), &head, &download);
        block_on_ready(download.push(Bytes::from("half"))).expect("a reader");
        let mut received = stage.exchange(&client, b"");
        download.fail(FetchError::Reset);
        received.extend(stage.exchange(&client, b""));
        let text = String::from_utf8(received).expect("text");
        assert!(text.contains("half") && !text.ends_with("0\r\n\r\n"), "{text}");
        assert!(client.is_ended() || client.is_reset(), "the connection stays as if all was well");
        drop(client);
        stage.run_for_ms(100);
        stage.assert_clean();
    }
}

#[test]
fn a_failed_fetch_is_told_with_its_cause() {
    for (error, status) in [
        (FetchError::ConnectRefused, "502 Bad Gateway"),
        (FetchError::FirstByteTimeout, "504 Gateway Timeout"),
        (FetchError::PoolFull, "503 Service Unavailable"),
    ] {
        let mut stage = Stage::new(3, Profile::default());
        let client = stage.client();
        stage.exchange(&client, GET);
        let job = stage.job();
        job.reply.expect("somebody waits").post(Event::Failed(error));
        let text = String::from_utf8(stage.exchange(&client, b"")).expect("text");
        assert!(text.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{text}");
        assert!(text.contains(&error.to_string()), "{text}");
        stage.run_for_ms(REST_MS);
        assert_eq!(stage.count(State::Parked), 1, "the client's connection goes on");
    }
}

#[test]
fn news_for_an_exchange_that_is_over_reaches_nobody() {
    let mut stage = Stage::new(4, Profile::default());
    stage.store("/hit", b"mine");
    let first = stage.client();
    stage.exchange(&first, GET);
    let job = stage.job();
    drop(first);
    stage.run_for_ms(10);
    // The waiting connection is noticed to be gone only when it is written to.
    let (head, download) = answer(200, Some(6));
    reply(&job, &head, &download);
    block_on_ready(download.push(Bytes::from("theirs"))).expect("a reader");
    stage.run_for_ms(10);
    stage.run_for_ms(10);
    // Another client gets the same slot; the old exchange's news come again.
    let second = stage.client();
    let received = stage.exchange(&second, b"GET /hit HTTP/1.1\r\nHost: a\r\n\r\n");
    let (_, got, rest) = take_response(&received);
    assert_eq!((got.as_slice(), rest), (&b"mine"[..], &b""[..]));
    stage.exchange(&second, GET);
    let reply = job.reply.expect("somebody waited");
    reply.post(Event::Failed(FetchError::Reset));
    reply.post(Event::BodyMoved);
    assert!(stage.exchange(&second, b"").is_empty(), "an older exchange's news were delivered");
}

#[test]
fn an_upload_is_held_back_when_the_origin_does_not_take_it() {
    let mut stage = Stage::new(5, Profile { window_bytes: 16 * 1024, ..Profile::default() });
    let client = stage.client();
    let whole = body(400_000);
    let head = format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", whole.len());
    stage.exchange(&client, head.as_bytes());
    let job = stage.job();
    let JobKind::Pass { upload: Some(upload), length: Some(400_000) } = job.kind.clone() else {
        panic!("no upload");
    };
    let mut sent = 0;
    for _ in 0..100 {
        sent += client.write(&whole[sent..]);
        stage.run_for_ms(1);
    }
    assert!(sent < 200_000, "{sent} bytes were taken with nobody to take them");
    let mut arrived = Vec::new();
    while arrived.len() < whole.len() {
        sent += client.write(&whole[sent..]);
        stage.run_for_ms(1);
        if upload.held_bytes() > 0 {
            let piece = block_on_ready(upload.next()).expect("more").expect("no fault");
            arrived.extend_from_slice(&piece);
        }
    }
    assert!(arrived == whole);
    assert!(block_on_ready(upload.next()).is_none(), "the end is told");
    let (head, download) = answer(201, Some(2));
    reply(&job, &head, &download);
    block_on_ready(download.push(Bytes::from("ok"))).expect("a reader");
    download.finish().expect("all came");
    let received = stage.exchange(&client, b"");
    assert!(received.starts_with(b"HTTP/1.1 201 ") && received.ends_with(b"ok"));
    stage.run_for_ms(REST_MS);
    assert_eq!(stage.count(State::Parked), 1);
}

#[test]
fn continue_is_sent_once_and_the_answer_follows_the_body() {
    let mut stage = Stage::new(6, Profile::default());
    let client = stage.client();
    let head = b"POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    assert!(stage.exchange(&client, head).is_empty(), "whether it is wanted is not known yet");
    let job = stage.job();
    let say_continue = || {
        let reply = job.reply.as_ref().expect("somebody waits");
        reply.post(Event::Interim { status: 100, fields: Vec::new() });
    };
    say_continue();
    assert_eq!(stage.exchange(&client, b""), b"HTTP/1.1 100 Continue\r\n\r\n");
    say_continue();
    assert!(stage.exchange(&client, b"abcd").is_empty());
    let (head, download) = answer(204, Some(0));
    reply(&job, &head, &download);
    download.finish().expect("nothing was promised");
    let received = stage.exchange(&client, b"");
    assert!(received.starts_with(b"HTTP/1.1 204 No Content\r\n"));
    stage.run_for_ms(REST_MS);
    assert_eq!(stage.count(State::Parked), 1);
}

/// An origin that says nothing of the body: after a second the edge does.
#[test]
fn continue_is_sent_when_the_origin_is_silent() {
    let mut stage = Stage::new(6, Profile::default());
    let client = stage.client();
    let head = b"POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    assert!(stage.exchange(&client, head).is_empty());
    stage.run_for_ms(500);
    assert!(client.read().is_empty());
    stage.run_for_ms(1000);
    assert_eq!(client.read(), b"HTTP/1.1 100 Continue\r\n\r\n");
    stage.run_for_ms(2000);
    assert!(client.read().is_empty(), "once");
}

#[test]
fn an_early_answer_to_an_upload_is_sent_and_the_rest_is_drained() {
    let mut stage = Stage::new(7, Profile::default());
    stage.store("/hit", b"next");
    let client = stage.client();
    stage.exchange(&client, b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc");
    let (head, download) = answer(403, Some(2));
    reply(&stage.job(), &head, &download);
    block_on_ready(download.push(Bytes::from("no"))).expect("a reader");
    download.finish().expect("all came");
    let received = stage.exchange(&client, b"");
    assert!(received.starts_with(b"HTTP/1.1 403 ") && received.ends_with(b"no"));
    let mut rest = vec![b'x'; 997];
    rest.extend_from_slice(b"GET /hit HTTP/1.1\r\nHost: a\r\n\r\n");
    let received = stage.exchange(&client, &rest);
    assert!(received.ends_with(b"next"), "the body was taken for a request");
}

#[test]
fn a_full_fill_queue_is_said_with_a_time_to_come_back() {
    let mut stage = Stage::new(8, Profile::default());
    let clients: Vec<_> = (0..20).map(|_| stage.client()).collect();
    for client in &clients {
        client.write(GET);
    }
    stage.run_for_ms(10);
    let refused: Vec<_> =
        clients.iter().map(|client| client.read()).filter(|read| !read.is_empty()).collect();
    assert_eq!(refused.len(), 4, "the queue takes 16");
    for answer in refused {
        let text = String::from_utf8(answer).expect("text");
        assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("Retry-After: 1\r\n"), "{text}");
    }
}
