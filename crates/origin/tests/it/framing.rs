//! OR-2 and OR-6: what is a whole response, a short one, and none at all.

use http::{Method, StatusCode, Version};
use longhold_origin::{FIELDS_MAX, FetchError, HEAD_BYTES_MAX};

use crate::support::{OK_A, Origin, Peer, get, read, request, run, text};

/// The body that a client gets from an origin that sends `answer` and then ends as told.
fn fetch(answer: impl Into<String>, end: fn(Peer)) -> Result<String, FetchError> {
    let answer = answer.into();
    let origin = Origin::play(move |stage| {
        let mut peer = stage.accept();
        peer.head();
        peer.send(answer);
        end(peer);
    });
    run(async {
        let pool = origin.pool();
        let fetched = read(&pool).await.map(|(body, _)| body);
        assert_eq!(pool.stats().in_use, 0);
        fetched
    })
}

fn wait(mut peer: Peer) {
    peer.ended();
}

#[test]
fn whole_bodies_in_all_framings() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nT: v\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
    ] {
        assert_eq!(fetch(answer, drop), Ok("hello".into()), "{answer:?}");
    }
}

#[test]
fn bodies_cut_short_are_failures_in_all_framings() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello";
    let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello";
    let last = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let trailer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";
    for answer in [length, chunk, last, trailer] {
        assert_eq!(fetch(answer, drop), Err(FetchError::Truncated), "OR-2: {answer:?}");
    }
}

/// The reset comes after the edge has the head and the first bytes, inside the body.
#[test]
fn bodies_ended_by_a_reset_are_failures_in_all_framings() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\n\r\nhello",
    ] {
        let (taken, is_taken) = std::sync::mpsc::channel();
        let origin = Origin::play(move |stage| {
            let mut peer = stage.accept();
            peer.head();
            peer.send(answer);
            is_taken.recv().unwrap();
            peer.reset();
        });
        run(async {
            let pool = origin.pool();
            let mut response = pool.fetch(get()).await.unwrap();
            let mut came = Vec::new();
            while came.len() < 5 {
                came.extend_from_slice(&response.body.next().await.unwrap().unwrap());
            }
            taken.send(()).unwrap();
            let failed = Some(Err(FetchError::Truncated));
            assert_eq!(response.body.next().await, failed, "OR-2: {answer:?}");
            assert_eq!(response.body.next().await, failed, "a failure stays one");
            assert_eq!(pool.stats().in_use, 0);
        });
    }
}

#[test]
fn malformed_responses_are_refused() {
    for answer in [
        "SMTP ready\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\na",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nNa me: value\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nNa(me: value\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    ] {
        assert_eq!(fetch(answer, wait), Err(FetchError::BadResponse), "OR-6: {answer:?}");
    }
}

#[test]
fn an_end_inside_the_head_is_no_response() {
    assert_eq!(fetch("", drop), Err(FetchError::NoResponse));
    assert_eq!(fetch("HTTP/1.1 200 OK\r\nA: b\r\n", drop), Err(FetchError::Truncated));
    assert_eq!(fetch("HTTP/1.1 200 OK\r\nA: b\r\n", Peer::reset), Err(FetchError::Reset));
}

#[test]
fn heads_are_bounded() {
    let padded = |bytes: usize| {
        let frame = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nP: \r\n\r\n";
        let padding = "x".repeat(bytes - frame.len());
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nP: {padding}\r\n\r\na")
    };
    assert_eq!(fetch(padded(HEAD_BYTES_MAX - 1), drop), Ok("a".into()));
    let too_large = Err(FetchError::HeadTooLarge);
    assert_eq!(fetch(padded(HEAD_BYTES_MAX + 1), wait), too_large, "OR-6");
    assert_eq!(fetch(padded(4 * HEAD_BYTES_MAX), wait), too_large, "OR-6");

    let fields = |count: usize| {
        let lines = "P: x\r\n".repeat(count - 1);
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n{lines}\r\na")
    };
    assert_eq!(fetch(fields(FIELDS_MAX), drop), Ok("a".into()));
    assert_eq!(fetch(fields(FIELDS_MAX + 1), wait), too_large, "OR-6");
}

#[test]
fn interim_responses_are_ignored() {
    let origin = Origin::play(|stage| {
        let mut peer = stage.accept();
        peer.head();
        peer.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
        peer.send("HTTP/1.1 199 Odd\r\nContent-Length: 5\r\n\r\n");
        peer.send(OK_A);
        peer.head();
        peer.send(OK_A);
    });
    run(async {
        let pool = origin.pool();
        assert_eq!(read(&pool).await, Ok(("a".into(), false)));
        assert_eq!(read(&pool).await, Ok(("a".into(), true)));
    });
}

#[test]
fn the_head_is_given_as_received() {
    let origin = Origin::play(|stage| {
        let mut peer = stage.accept();
        let head = peer.head();
        assert_eq!(head, "HEAD /p?q HTTP/1.1\r\nhost: site.example\r\n\r\n");
        peer.send(
            "HTTP/1.1 418 Short And Stout\r\nConnection: x-odd\r\nX-Odd: 1\r\nX-Odd: 2\r\n\
             Transfer-Encoding: chunked\r\nKeep-Alive: timeout=5\r\n\r\n",
        );
    });
    run(async {
        let pool = origin.pool();
        let mut response = pool.fetch(request(Method::HEAD)).await.unwrap();
        assert_eq!(
            (response.status, response.version),
            (StatusCode::IM_A_TEAPOT, Version::HTTP_11)
        );
        assert_eq!(response.fields["connection"], "x-odd");
        assert_eq!(response.fields["transfer-encoding"], "chunked");
        assert_eq!(response.fields["keep-alive"], "timeout=5");
        let odd: Vec<_> = response.fields.get_all("x-odd").iter().collect();
        assert_eq!(odd, ["1", "2"]);
        assert!(response.request_time_ms > 0);
        assert!(response.response_time_ms >= response.request_time_ms);
        assert_eq!(text(&mut response).await, Ok(String::new()));
    });
}
