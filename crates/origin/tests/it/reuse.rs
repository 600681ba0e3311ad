//! OR-1 and OR-3: when a connection serves again, and when a request goes out again.

use std::sync::mpsc;

use http::{Method, StatusCode};
use longhold_origin::{FetchError, OriginRequest, RequestBody};

use crate::support::{OK_A, OK_B, Origin, Peer, get, read, request, run, run_plain, text, until};

fn ok(body: &str, reused: bool) -> Result<(String, bool), FetchError> {
    Ok((body.to_owned(), reused))
}

#[test]
fn a_connection_serves_again() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nc\r\n0\r\n\r\n";
    let origin = Origin::answering(vec![OK_A, OK_B, chunked, OK_A]);
    run(async {
        let pool = origin.pool();
        assert_eq!(read(&pool).await, ok("a", false));
        assert_eq!(read(&pool).await, ok("b", true));
        assert_eq!(read(&pool).await, ok("c", true));
        assert_eq!(read(&pool).await, ok("a", true));
        let stats = pool.stats();
        assert_eq!((stats.opened, stats.reused, stats.retried, stats.in_use), (1, 3, 0, 0));
    });
}

/// On tokio alone, where io_uring is forbidden.
#[test]
fn a_connection_serves_again_without_a_ring() {
    let origin = Origin::answering(vec![OK_A, OK_B]);
    run_plain(async {
        let pool = origin.pool();
        assert_eq!(read(&pool).await, ok("a", false));
        assert_eq!(read(&pool).await, ok("b", true));
    });
}

#[test]
fn responses_without_a_body_keep_the_connection() {
    let origin = Origin::answering(vec![
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        OK_A,
    ]);
    run(async {
        let pool = origin.pool();
        for (method, status) in
            [(Method::HEAD, 200), (Method::GET, 304), (Method::GET, 204), (Method::GET, 200)]
        {
            let mut response = pool.fetch(request(method)).await.unwrap();
            assert_eq!(response.status, status);
            assert_eq!((response.body.length(), response.body.is_end()), (Some(0), true));
            assert_eq!(text(&mut response).await, Ok(String::new()));
        }
        assert_eq!(read(&pool).await, ok("a", true));
        assert_eq!(pool.stats().opened, 1);
    });
}

#[test]
fn a_body_dropped_at_its_end_keeps_the_connection() {
    let origin = Origin::answering(vec![OK_A, OK_B]);
    run(async {
        let pool = origin.pool();
        let mut response = pool.fetch(get()).await.unwrap();
        assert_eq!(response.body.length(), Some(1));
        response.body.next().await.unwrap().unwrap();
        assert!(response.body.is_end());
        // hyper needs its turn to see the end, which a caller that goes on gives it.
        tokio::task::yield_now().await;
        drop(response);
        assert_eq!(read(&pool).await, ok("b", true));
    });
}

/// Answers that are complete and yet leave a connection that must not serve again.
#[test]
fn a_doubtful_connection_does_not_serve_again() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na",
        "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na!",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na\
         HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    ] {
        let origin = Origin::play(move |stage| {
            let mut first = stage.accept();
            first.head();
            first.send(answer);
            let mut second = stage.accept();
            second.head();
            second.send(OK_B);
            first.ended();
        });
        run(async {
            let pool = origin.pool();
            assert_eq!(read(&pool).await, ok("a", false), "{answer:?}");
            assert_eq!(read(&pool).await, ok("b", false), "OR-1: {answer:?}");
        });
    }
}

#[test]
fn a_framed_204_is_passed_on_and_its_connection_closed() {
    let origin = Origin::play(|stage| {
        let mut first = stage.accept();
        first.head();
        first.send("HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n");
        first.ended();
        let mut second = stage.accept();
        second.head();
        second.send(OK_B);
    });
    run(async {
        let pool = origin.pool();
        assert_eq!(pool.fetch(get()).await.unwrap().status, StatusCode::NO_CONTENT);
        assert_eq!(read(&pool).await, ok("b", false));
    });
}

#[test]
fn a_body_dropped_early_closes_the_connection() {
    let origin = Origin::play(|stage| {
        let mut first = stage.accept();
        first.head();
        first.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        first.ended();
        let mut second = stage.accept();
        second.head();
        second.send(OK_B);
    });
    run(async {
        let pool = origin.pool();
        let mut response = pool.fetch(get()).await.unwrap();
        response.body.next().await.unwrap().unwrap();
        assert_eq!(response.body.length(), Some(7));
        drop(response);
        assert_eq!(pool.stats().in_use, 0);
        assert_eq!(read(&pool).await, ok("b", false), "OR-9");
    });
}

#[test]
fn a_dropped_fetch_closes_the_connection() {
    let (asked, is_asked) = mpsc::channel();
    let origin = Origin::play(move |stage| {
        let mut peer = stage.accept();
        peer.head();
        asked.send(()).unwrap();
        peer.ended();
    });
    run(async {
        let pool = origin.pool();
        tokio::select! {
            biased;
            _ = pool.fetch(get()) => panic!("no answer was sent"),
            () = until(|| is_asked.try_recv().is_ok()) => {}
        }
        assert_eq!(pool.stats().in_use, 0);
    });
}

/// The first connection serves once, then meets the second request as the script says.
fn stale(end: fn(Peer), second: OriginRequest) -> Result<(String, bool), FetchError> {
    let origin = Origin::play(move |stage| {
        let mut first = stage.accept();
        first.head();
        first.send(OK_A);
        first.head();
        end(first);
        // Open until the client is done with it: the second connection of a retry, or none.
        let mut next = stage.accept();
        if next.0.peek(&mut [0]).unwrap() > 0 {
            next.head();
            next.send(OK_B);
        }
    });
    run(async {
        let pool = origin.pool();
        assert_eq!(read(&pool).await, ok("a", false));
        let fetched = async {
            let mut response = pool.fetch(second).await?;
            let reused = response.reused;
            Ok((text(&mut response).await?, reused))
        };
        let fetched: Result<_, FetchError> = fetched.await;
        assert_eq!(pool.stats().retried, u64::from(fetched.is_ok()));
        if fetched.is_err() {
            // Lets the script's last accept return.
            drop(std::net::TcpStream::connect(origin.address).unwrap());
        }
        fetched
    })
}

#[test]
fn an_idempotent_request_meets_a_stale_connection_and_goes_again() {
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        assert_eq!(stale(Peer::reset, request(method.clone())), ok("b", false), "OR-3");
        assert_eq!(stale(drop, request(method)), ok("b", false), "OR-3");
    }
}

/// Where one pooled connection is stale, the next one probably is too.
#[test]
fn a_retry_takes_a_fresh_connection_though_another_is_idle() {
    let origin = Origin::play(|stage| {
        let mut first = stage.accept();
        first.head();
        first.send(OK_A);
        let mut second = stage.accept();
        second.head();
        second.send(OK_A);
        // The one that became idle last.
        first.head();
        first.reset();
        let mut third = stage.accept();
        third.head();
        third.send(OK_B);
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut second.0, &mut rest).unwrap();
        assert_eq!(rest, b"", "OR-3");
    });
    run(async {
        let pool = origin.pool();
        let mut first = pool.fetch(get()).await.unwrap();
        assert_eq!(read(&pool).await, ok("a", false));
        assert_eq!(text(&mut first).await, Ok("a".into()));
        assert_eq!(pool.stats().idle, 2);
        assert_eq!(read(&pool).await, ok("b", false));
        assert_eq!((pool.stats().opened, pool.stats().retried), (3, 1));
    });
}

#[test]
fn a_post_does_not_go_again() {
    let refused = stale(Peer::reset, request(Method::POST));
    assert_eq!(refused, Err(FetchError::Reset), "OR-3");
    assert_eq!(stale(drop, request(Method::POST)), Err(FetchError::NoResponse), "OR-3");
}

#[test]
fn a_request_with_a_body_does_not_go_again() {
    let upload = std::sync::Arc::new(longhold_origin::Upload::new(10, std::sync::Arc::new(|| {})));
    upload.push(bytes::Bytes::from_static(b"x")).unwrap();
    upload.finish();
    let mut put = request(Method::PUT);
    put.body = RequestBody::Stream { body: upload, length: Some(1) };
    let refused = stale(
        |mut peer| {
            peer.bytes(1);
            peer.reset();
        },
        put,
    );
    assert_eq!(refused, Err(FetchError::Reset), "OR-3");
}

#[test]
fn an_answer_that_began_is_not_asked_for_again() {
    let begun = stale(
        |mut peer| {
            peer.send("HTTP/1.1 2");
            peer.reset();
        },
        get(),
    );
    assert_eq!(begun, Err(FetchError::Reset), "OR-3");
}

#[test]
fn a_fresh_connection_that_ends_is_not_tried_again() {
    let origin = Origin::play(|stage| {
        let mut peer = stage.accept();
        peer.head();
    });
    run(async {
        let pool = origin.pool();
        assert_eq!(read(&pool).await, Err(FetchError::NoResponse));
        assert_eq!((pool.stats().opened, pool.stats().retried), (1, 0));
    });
}

/// A request that meets an ended connection before a byte of it went out may be a POST.
#[test]
fn a_request_that_was_never_sent_goes_to_a_fresh_connection() {
    let (idle, is_idle) = mpsc::channel();
    let (closed, is_closed) = mpsc::channel();
    let origin = Origin::play(move |stage| {
        let mut first = stage.accept();
        first.head();
        first.send(OK_A);
        is_idle.recv().unwrap();
        drop(first);
        closed.send(()).unwrap();
        let mut second = stage.accept();
        assert!(second.head().starts_with("POST /p?q HTTP/1.1\r\n"));
        second.send(OK_B);
    });
    run(async {
        let pool = origin.pool();
        assert_eq!(read(&pool).await, ok("a", false));
        idle.send(()).unwrap();
        // Blocks the fill thread on purpose, and yields once: the runtime then knows of the end,
        // and the connection's task, which runs after this one, does not yet.
        is_closed.recv().unwrap();
        tokio::task::yield_now().await;
        assert_eq!(pool.stats().idle, 1);
        let mut response = pool.fetch(request(Method::POST)).await.unwrap();
        assert_eq!(text(&mut response).await, Ok("b".into()));
        assert!(!response.reused);
        assert_eq!((pool.stats().reused, pool.stats().retried), (1, 1));
    });
}

#[test]
fn an_idle_connection_that_the_origin_closed_leaves_the_pool() {
    let (idle, is_idle) = mpsc::channel();
    let origin = Origin::play(move |stage| {
        let mut first = stage.accept();
        first.head();
        first.send(OK_A);
        is_idle.recv().unwrap();
        drop(first);
        let mut second = stage.accept();
        second.head();
        second.send(OK_B);
    });
    run(async {
        let pool = origin.pool();
        assert_eq!(read(&pool).await, ok("a", false));
        assert_eq!(pool.stats().idle, 1);
        idle.send(()).unwrap();
        until(|| pool.stats().idle == 0).await;
        let mut response = pool.fetch(request(Method::POST)).await.unwrap();
        assert_eq!(text(&mut response).await, Ok("b".into()));
        assert_eq!(pool.stats().retried, 0);
    });
}
