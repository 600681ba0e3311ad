//! Request bodies: framing, back-pressure, and every way in which they can end early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use bytes::Bytes;
use http::{Method, StatusCode};
use longhold_origin::{FetchError, OriginRequest, RequestBody, Upload};

use crate::support::{OK_A, Origin, Peer, read, request, run, text, until};

fn post(upload: &Arc<Upload>, length: Option<u64>) -> OriginRequest {
    let mut post = request(Method::POST);
    post.body = RequestBody::Stream { body: Arc::clone(upload), length };
    post
}

fn upload() -> Arc<Upload> {
    Arc::new(Upload::new(64 * 1024, Arc::new(|| {})))
}

#[test]
fn bodies_arrive_in_both_framings_and_keep_the_connection() {
    let origin = Origin::play(|stage| {
        let mut peer = stage.accept();
        assert!(peer.head().contains("\r\ncontent-length: 5\r\n"));
        assert_eq!(peer.bytes(5), b"hello");
        peer.send(OK_A);
        assert!(peer.head().contains("\r\ntransfer-encoding: chunked\r\n"));
        let expected = b"5\r\nhello\r\n0\r\n\r\n";
        assert_eq!(peer.bytes(expected.len()), expected);
        peer.send(OK_A);
        assert!(peer.head().contains("\r\ncontent-length: 0\r\n"));
        peer.send(OK_A);
    });
    run(async {
        let pool = origin.pool();
        for length in [Some(5), None, Some(0)] {
            let body = upload();
            if length != Some(0) {
                body.push(Bytes::from_static(b"hello")).unwrap();
            }
            body.finish();
            let mut response = pool.fetch(post(&body, length)).await.unwrap();
            assert_eq!(text(&mut response).await, Ok("a".into()));
            assert!(!body.is_abandoned());
        }
        assert_eq!(pool.stats().opened, 1);
    });
}

/// 64 MiB through a window of 64 KiB: the worker's side is a thread that waits for its wake.
#[test]
fn a_large_upload_passes_with_flat_memory() {
    const PIECES: usize = 4096;
    const PIECE: usize = 16 * 1024;
    let origin = Origin::play(|stage| {
        let mut peer = stage.accept();
        peer.head();
        for n in 0..PIECES {
            let piece = peer.bytes(PIECE);
            assert!(piece.iter().all(|byte| *byte == n as u8), "piece {n}");
        }
        peer.send(OK_A);
    });
    let (tell, told) = mpsc::channel();
    let body = Arc::new(Upload::new(64 * 1024, Arc::new(move || tell.send(()).unwrap())));
    let worker = {
        let body = Arc::clone(&body);
        std::thread::spawn(move || {
            let mut waits = 0;
            for n in 0..PIECES {
                let mut piece = Bytes::from(vec![n as u8; PIECE]);
                while let Err(full) = body.push(piece) {
                    piece = full.0;
                    told.recv().unwrap();
                    waits += 1;
                }
                assert!(body.held_bytes() <= (64 * 1024 + PIECE) as u64, "OR-7");
            }
            body.finish();
            waits
        })
    };
    run(async {
        let pool = origin.pool();
        let length = (PIECES * PIECE) as u64;
        let mut response = pool.fetch(post(&body, Some(length))).await.unwrap();
        assert_eq!(text(&mut response).await, Ok("a".into()));
    });
    assert!(worker.join().unwrap() > 0, "the window was never full");
}

#[test]
fn an_aborted_upload_fails_the_exchange_and_is_never_ended() {
    for length in [None, Some(10)] {
        let (seen, is_seen) = mpsc::channel();
        let origin = Origin::play(move |stage| {
            let mut peer = stage.accept();
            peer.head();
            let framed: &[u8] = if length.is_none() { b"5\r\nhello\r\n" } else { b"hello" };
            assert_eq!(peer.bytes(framed.len()), framed);
            seen.send(()).unwrap();
            let mut rest = Vec::new();
            let _ = std::io::Read::read_to_end(&mut peer.0, &mut rest);
            assert_eq!(rest, b"", "OR-2: no last chunk");
        });
        run(async {
            let pool = origin.pool();
            let body = upload();
            body.push(Bytes::from_static(b"hello")).unwrap();
            let client = async {
                until(|| is_seen.try_recv().is_ok()).await;
                body.abort();
            };
            let (response, ()) = tokio::join!(pool.fetch(post(&body, length)), client);
            assert_eq!(response.err(), Some(FetchError::UploadAborted));
            assert_eq!(pool.stats().in_use, 0);
        });
    }
}

#[test]
fn a_body_that_contradicts_its_length_fails_the_exchange() {
    for (part, length) in [("hello", 6), ("hello", 4)] {
        let origin = Origin::play(|stage| stage.accept().ended());
        run(async {
            let pool = origin.pool();
            let body = upload();
            body.push(Bytes::from_static(part.as_bytes())).unwrap();
            body.finish();
            let response = pool.fetch(post(&body, Some(length))).await;
            assert_eq!(response.err(), Some(FetchError::UploadAborted));
        });
    }
}

#[test]
fn a_refused_connection_abandons_the_upload() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let woken = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&woken);
    let body = Arc::new(Upload::new(10, Arc::new(move || tell.store(true, Ordering::Relaxed))));
    run(async {
        let config = longhold_origin::OriginConfig::new(vec![crate::support::url(gone)]);
        let pool = longhold_origin::OriginPool::new(config).unwrap();
        let response = pool.fetch(post(&body, None)).await;
        assert_eq!(response.err(), Some(FetchError::ConnectRefused));
    });
    assert!(body.is_abandoned() && woken.load(Ordering::Relaxed));
}

/// The origin answers before it took the body, in three manners of closing. Its answer is larger
/// than hyper's first read, so that the failing upload is met while the answer is being read.
fn early(end: fn(Peer)) {
    const LENGTH: usize = 40 * 1024;
    let origin = Origin::play(move |stage| {
        let mut first = stage.accept();
        first.head();
        first.bytes(1000);
        first.send(format!("HTTP/1.1 413 Too Large\r\nContent-Length: {LENGTH}\r\n\r\n"));
        first.send("x".repeat(LENGTH));
        end(first);
        let mut second = stage.accept();
        second.head();
        second.send(OK_A);
    });
    let body = upload();
    let taken = Arc::new(AtomicUsize::new(0));
    let worker = {
        let (body, taken) = (Arc::clone(&body), Arc::clone(&taken));
        std::thread::spawn(move || {
            let piece = Bytes::from(vec![0; 16 * 1024]);
            while !body.is_abandoned() {
                match body.push(piece.clone()) {
                    Ok(()) => _ = taken.fetch_add(1, Ordering::Relaxed),
                    Err(_full) => std::thread::yield_now(),
                }
            }
        })
    };
    run(async {
        let pool = origin.pool();
        let mut response = pool.fetch(post(&body, None)).await.unwrap();
        assert_eq!(response.status, StatusCode::PAYLOAD_TOO_LARGE);
        // The upload goes on, and meets the origin's end, before the answer is read.
        let taken_before = taken.load(Ordering::Relaxed);
        until(|| taken.load(Ordering::Relaxed) > taken_before + 64 || body.is_abandoned()).await;
        assert_eq!(text(&mut response).await, Ok("x".repeat(LENGTH)));
        until(|| body.is_abandoned()).await;
        assert_eq!(read(&pool).await, Ok(("a".into(), false)), "OR-1: half a body was sent");
    });
    worker.join().unwrap();
}

#[test]
fn an_early_answer_is_passed_on_when_the_origin_waits() {
    early(|mut peer| peer.ended());
}

#[test]
fn an_early_answer_is_passed_on_when_the_origin_closes() {
    early(drop);
}

#[test]
fn an_early_answer_is_passed_on_when_the_origin_half_closes() {
    early(|mut peer| {
        peer.0.shutdown(std::net::Shutdown::Write).unwrap();
        peer.ended();
    });
}

/// The upload still runs while the origin's close-delimited answer is cut off by a reset: the write
/// may meet the reset first, and the read must not take what follows for an end.
#[test]
fn a_reset_met_by_a_write_is_not_the_end_of_a_body() {
    let origin = Origin::play(|stage| {
        let mut peer = stage.accept();
        peer.head();
        peer.bytes(1000);
        peer.send("HTTP/1.1 200 OK\r\n\r\nhello");
        peer.reset();
    });
    let body = upload();
    run(async {
        let pool = origin.pool();
        let client = async {
            let piece = Bytes::from(vec![0; 16 * 1024]);
            while !body.is_abandoned() {
                let _ = body.push(piece.clone());
                tokio::task::yield_now().await;
            }
        };
        let fetched = async {
            let mut response = pool.fetch(post(&body, None)).await?;
            text(&mut response).await
        };
        let (fetched, ()) = tokio::join!(fetched, client);
        let fetched = fetched.err();
        // A reset may also overtake the head.
        let cut = [FetchError::Truncated, FetchError::Reset, FetchError::NoResponse];
        assert!(fetched.is_some_and(|error| cut.contains(&error)), "OR-2: {fetched:?}");
    });
}
