//! OR-5: every wait for an origin ends.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use longhold_origin::{FetchError, OriginConfig, OriginPool, RequestBody, Scheme, Upload};

use crate::support::{OK_A, Origin, get, read, request, run, text, until, url};

const SHORT_MS: u64 = 60;

/// An address where nothing listens.
fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_refused_connection_says_so() {
    run(async {
        let pool = OriginPool::new(OriginConfig::new(vec![url(nowhere())])).unwrap();
        assert_eq!(read(&pool).await, Err(FetchError::ConnectRefused));
        assert_eq!((pool.stats().connect_failed, pool.stats().in_use), (1, 0));
    });
}

#[test]
fn a_name_without_address_says_so() {
    run(async {
        let mut nameless = url(nowhere());
        nameless.host = "a".repeat(64);
        let pool = OriginPool::new(OriginConfig::new(vec![nameless])).unwrap();
        assert_eq!(read(&pool).await, Err(FetchError::Dns));
    });
}

/// The kernel drops connection attempts beyond a full backlog, so that this one hangs.
#[test]
fn a_connection_that_nobody_accepts_times_out() {
    run(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut fillers = Vec::new();
        let wait = Duration::from_millis(SHORT_MS);
        while let Ok(connected) =
            tokio::time::timeout(wait, tokio::net::TcpStream::connect(address)).await
        {
            fillers.push(connected.unwrap());
            assert!(fillers.len() < 64, "the backlog does not fill");
        }
        let mut config = OriginConfig::new(vec![url(address)]);
        config.connect_timeout_ms = SHORT_MS;
        let pool = OriginPool::new(config).unwrap();
        assert_eq!(read(&pool).await, Err(FetchError::ConnectTimeout));
    });
}

#[test]
fn a_silent_tls_peer_times_out() {
    let origin = Origin::play(|stage| stage.accept().ended());
    run(async {
        let mut config = origin.config();
        config.connect_timeout_ms = SHORT_MS;
        config.urls[0].scheme = Scheme::Https;
        let folder = tempfile::tempdir().unwrap();
        config.ca_file = Some(crate::tls::Authority::new().write_to(&folder));
        let pool = OriginPool::new(config).unwrap();
        assert_eq!(read(&pool).await, Err(FetchError::ConnectTimeout));
    });
}

#[test]
fn a_response_that_does_not_begin_times_out() {
    for begun in ["", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-L"] {
        let origin = Origin::play(move |stage| {
            let mut peer = stage.accept();
            peer.head();
            peer.send(begun);
            peer.ended();
        });
        run(async {
            let mut config = origin.config();
            config.first_byte_timeout_ms = SHORT_MS;
            let pool = OriginPool::new(config).unwrap();
            assert_eq!(read(&pool).await, Err(FetchError::FirstByteTimeout), "{begun:?}");
            assert_eq!(pool.stats().in_use, 0);
        });
    }
}

#[test]
fn a_body_that_pauses_times_out() {
    for begun in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
        "HTTP/1.1 200 OK\r\n\r\na",
    ] {
        let origin = Origin::play(move |stage| {
            let mut peer = stage.accept();
            peer.head();
            peer.send(begun);
            peer.ended();
        });
        run(async {
            let mut config = origin.config();
            config.between_bytes_timeout_ms = SHORT_MS;
            let pool = OriginPool::new(config).unwrap();
            let mut response = pool.fetch(get()).await.unwrap();
            assert_eq!(response.body.next().await, Some(Ok(Bytes::from_static(b"a"))));
            assert_eq!(response.body.next().await, Some(Err(FetchError::ReadTimeout)), "{begun:?}");
            assert_eq!(pool.stats().in_use, 0);
        });
    }
}

/// The client pauses inside its body for longer than the origin may.
#[test]
fn a_slow_client_is_not_the_origins_fault() {
    const LIMIT_MS: u64 = 1000;
    let origin = Origin::play(|stage| {
        let mut peer = stage.accept();
        peer.head();
        assert_eq!(peer.bytes(2), b"xy");
        peer.send(OK_A);
    });
    run(async {
        let mut config = origin.config();
        config.first_byte_timeout_ms = LIMIT_MS;
        let pool = OriginPool::new(config).unwrap();
        let upload = Arc::new(Upload::new(10, Arc::new(|| {})));
        let mut post = request(Method::POST);
        post.body = RequestBody::Stream { body: Arc::clone(&upload), length: Some(2) };
        upload.push(Bytes::from_static(b"x")).unwrap();
        let client = async {
            tokio::time::sleep(Duration::from_millis(LIMIT_MS + LIMIT_MS / 4)).await;
            upload.push(Bytes::from_static(b"y")).unwrap();
        };
        let (response, ()) = tokio::join!(pool.fetch(post), client);
        assert_eq!(text(&mut response.unwrap()).await, Ok("a".into()));
    });
}

#[test]
fn an_origin_that_takes_no_upload_times_out() {
    let (done, is_done) = std::sync::mpsc::channel();
    let origin = Origin::play(move |stage| {
        let mut peer = stage.accept();
        peer.head();
        // Reads nothing more until the edge has given up.
        is_done.recv().unwrap();
    });
    run(async {
        let mut config = origin.config();
        config.first_byte_timeout_ms = SHORT_MS;
        let pool = OriginPool::new(config).unwrap();
        let upload = Arc::new(Upload::new(1 << 20, Arc::new(|| {})));
        let mut post = request(Method::POST);
        post.body = RequestBody::Stream { body: Arc::clone(&upload), length: None };
        let client = async {
            let piece = Bytes::from(vec![0; 64 * 1024]);
            until(|| {
                let _ = upload.push(piece.clone());
                upload.is_abandoned()
            })
            .await;
        };
        let (response, ()) = tokio::join!(pool.fetch(post), client);
        assert_eq!(response.err(), Some(FetchError::FirstByteTimeout));
    });
    done.send(()).unwrap();
}
