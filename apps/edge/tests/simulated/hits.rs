//! Hits, however the bytes are cut.

use longhold_conn::State;
use longhold_transport::sim::Profile;

use crate::stage::{HTTPS, REST_MS, Stage, body, take_response};

#[test]
fn pipelined_hits_are_whole_and_in_order_whatever_the_network_does() {
    let sizes = [0, 1, 1023, 16 * 1024, 300 * 1024];
    for seed in 0..12 {
        let mut stage = Stage::new(seed, Profile::ROUGH);
        for size in sizes {
            stage.store(&format!("/{size}"), &body(size));
        }
        let client = stage.client();
        let request: String =
            sizes.iter().map(|size| format!("GET /{size} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        let received = stage.exchange(&client, request.as_bytes());
        let mut rest = &received[..];
        for size in sizes {
            let (status, got, after) = take_response(rest);
            assert_eq!((status, got.len()), (200, size), "seed {seed}");
            assert!(got == body(size), "seed {seed}: wrong bytes in /{size}");
            rest = after;
        }
        assert!(rest.is_empty(), "seed {seed}: {} bytes too many", rest.len());
        stage.run_for_ms(REST_MS);
        assert_eq!(stage.count(State::Parked), 1);
        drop(client);
        stage.run_for_ms(100);
        stage.assert_clean();
    }
}

#[test]
fn a_request_cut_at_every_byte_gets_the_same_answer() {
    let request = b"GET /x?a=1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n\
                    HEAD /x?a=1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer_to = |cut: usize| {
        let mut stage = Stage::new(1, Profile::default());
        stage.store("/x?a=1", b"hello");
        let client = stage.client();
        let mut received = stage.exchange(&client, &request[..cut]);
        received.extend(stage.exchange(&client, &request[cut..]));
        String::from_utf8(received).expect("text")
    };
    let whole = answer_to(0);
    assert_eq!(whole.matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(whole.matches("hello").count(), 1);
    for cut in 1..request.len() {
        assert_eq!(answer_to(cut), whole, "cut at {cut}");
    }
}

#[test]
fn resets_at_any_moment_leave_nothing_behind() {
    let mut resets = 0;
    for seed in 0..60 {
        let profile = Profile { reset_one_in: 9, ..Profile::ROUGH };
        let mut stage = Stage::new(seed, profile);
        stage.store("/big", &body(200 * 1024));
        let clients: Vec<_> = (0..6).map(|_| stage.client()).collect();
        for client in &clients {
            client
                .write(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\nGET /big HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        stage.store("/x", b"hello");
        for step in 0..200 {
            stage.run_for_ms(50);
            for client in &clients {
                client.read();
                // Busy for a while, so that resets meet resting connections too.
                if step < 100 {
                    client.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
                }
            }
        }
        resets += clients.iter().filter(|client| client.is_reset()).count();
        drop(clients);
        stage.run_for_ms(200);
        stage.assert_clean();
    }
    assert!(resets > 20, "the network reset only {resets} connections");
}

#[test]
fn more_connections_than_buffers_are_all_served() {
    let mut stage = Stage::new(3, Profile::default());
    stage.store("/x", b"hello");
    let clients: Vec<_> = (0..60).map(|_| stage.client()).collect();
    for client in &clients {
        client.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    stage.run_for_ms(10);
    for client in &clients {
        assert!(client.read().ends_with(b"hello"));
    }
    stage.run_for_ms(REST_MS);
    assert_eq!(stage.count(State::Parked), 60);
    assert_eq!(stage.worker.transport().buffers_out(), 0, "a parked connection holds a buffer");
}

#[test]
fn a_half_closed_client_still_gets_its_answer() {
    let mut stage = Stage::new(4, Profile::default());
    stage.store("/x", b"hello");
    let client = stage.client();
    client.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    client.half_close();
    stage.run_for_ms(10);
    assert!(client.read().ends_with(b"hello"));
    assert!(client.is_ended());
    drop(client);
    stage.run_for_ms(10);
    stage.assert_clean();
}

#[test]
fn a_refused_message_is_answered_and_ends_the_connection() {
    let mut stage = Stage::new(5, Profile::default());
    let client = stage.client();
    let both =
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
    let received = stage.exchange(&client, both);
    assert!(received.starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
    assert!(client.is_ended(), "the connection stays open after a refusal");
    stage.no_job();
    drop(client);
    stage.run_for_ms(6_000);
    stage.assert_clean();
}

#[test]
fn a_busy_connection_rests_before_it_parks_and_a_quiet_one_parks_at_once() {
    let mut stage = Stage::new(6, Profile::default());
    stage.store("/x", b"hello");
    let client = stage.client();
    let ask = |stage: &mut Stage| {
        client.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        stage.run_for_ms(10);
        assert!(client.read().ends_with(b"hello"));
    };
    ask(&mut stage);
    assert_eq!(stage.count(State::Parked), 1, "one request makes nobody busy");
    for _ in 0..3 {
        ask(&mut stage);
        assert_eq!(stage.count(State::Active), 1, "it parks between two requests");
    }
    stage.run_for_ms(REST_MS);
    assert_eq!(stage.count(State::Parked), 1, "it does not come to rest");
    assert_eq!(stage.worker.transport().buffers_out(), 0);
    stage.run_for_ms(2_000);
    ask(&mut stage);
    assert_eq!(stage.count(State::Parked), 1, "after a pause it still counts as busy");
    drop(client);
    stage.run_for_ms(100);
    stage.assert_clean();
}

#[test]
fn what_is_stored_for_http_is_no_answer_to_https() {
    let mut stage = Stage::new(1, Profile::default());
    stage.store("/x", b"hello");
    let plain = stage.client();
    let answer = stage.exchange(&plain, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(take_response(&answer).1, b"hello");
    let secure = stage.client_of(HTTPS);
    assert!(stage.exchange(&secure, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").is_empty());
    let job = stage.job();
    assert_eq!((job.scheme, &job.key[..]), ("https", &b"https://a/x"[..]));
    let other = stage.client_of(HTTPS);
    let answer = stage.exchange(&other, b"GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(take_response(&answer).0, 421, "http over https");
}
