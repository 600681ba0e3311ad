//! OR-4: connections and waiting requests are bounded; URLs are used in turn.

use std::net::TcpListener;
use std::sync::mpsc;

use longhold_origin::{ConfigError, FetchError, OriginConfig, OriginPool, OriginStats};

use crate::support::{OK_A, OK_B, Origin, get, read, run, text, until, url};

#[test]
fn a_pool_without_urls_is_refused() {
    assert_eq!(OriginPool::new(OriginConfig::new(Vec::new())).err(), Some(ConfigError::NoUrls));
}

#[test]
fn waiting_requests_are_served_in_order_and_bounded() {
    let origin = Origin::play(|stage| {
        let mut peer = stage.accept();
        for n in 1..=3 {
            let head = peer.head();
            assert!(head.starts_with(&format!("GET /{n} ")), "{head}");
            peer.send(OK_A);
        }
    });
    run(async {
        let mut config = origin.config();
        config.connections_max = 1;
        config.queue_max = 2;
        let pool = OriginPool::new(config).unwrap();
        let fetch = |n: u32| {
            let pool = pool.clone();
            async move {
                let mut request = get();
                request.path_and_query = format!("/{n}");
                let mut response = pool.fetch(request).await?;
                text(&mut response).await
            }
        };
        // join! begins them in this order.
        let outcomes = tokio::join!(fetch(1), fetch(2), fetch(3), fetch(4));
        let a = || Ok("a".to_owned());
        assert_eq!(outcomes, (a(), a(), a(), Err(FetchError::PoolFull)), "OR-4");
        let stats = pool.stats();
        assert_eq!((stats.opened, stats.reused, stats.queue_full, stats.queued), (1, 2, 1, 0));
    });
}

#[test]
fn a_request_waits_no_longer_than_the_connect_timeout() {
    let origin = Origin::play(|stage| {
        let mut peer = stage.accept();
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na");
        peer.ended();
    });
    run(async {
        let mut config = origin.config();
        config.connections_max = 1;
        config.connect_timeout_ms = 50;
        let pool = OriginPool::new(config).unwrap();
        let held = pool.fetch(get()).await.unwrap();
        assert_eq!(read(&pool).await, Err(FetchError::QueueTimeout), "OR-5");
        let stats = pool.stats();
        assert_eq!((stats.in_use, stats.queued, stats.queue_timeout), (1, 0, 1));
        drop(held);
        assert_eq!(pool.stats().in_use, 0);
    });
}

#[test]
fn a_cancelled_wait_leaves_the_queue() {
    let origin = Origin::answering(vec!["HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"]);
    run(async {
        let mut config = origin.config();
        config.connections_max = 1;
        let pool = OriginPool::new(config).unwrap();
        let held = pool.fetch(get()).await.unwrap();
        tokio::select! {
            biased;
            _ = read(&pool) => panic!("there is no connection for it"),
            () = until(|| pool.stats().queued == 1) => {}
        }
        assert_eq!(pool.stats().queued, 0);
        drop(held);
    });
}

#[test]
fn idle_connections_end_by_their_timeout() {
    let (closed, is_closed) = mpsc::channel();
    let origin = Origin::play(move |stage| {
        let mut peers = [stage.accept(), stage.accept()];
        for peer in &mut peers {
            peer.head();
        }
        for peer in &mut peers {
            peer.send(OK_A);
        }
        for peer in &mut peers {
            peer.ended();
            closed.send(()).unwrap();
        }
    });
    run(async {
        let mut config = origin.config();
        config.idle_timeout_ms = 40;
        let pool = OriginPool::new(config).unwrap();
        let (one, two) = tokio::join!(read(&pool), read(&pool));
        assert!(one.is_ok() && two.is_ok());
        until(|| is_closed.try_recv().is_ok()).await;
        until(|| is_closed.try_recv().is_ok()).await;
        let ended = OriginStats { opened: 2, ..OriginStats::default() };
        assert_eq!(pool.stats(), ended);
    });
}

#[test]
fn a_pool_that_keeps_none_closes_at_once() {
    let origin = Origin::play(|stage| {
        for _ in 0..2 {
            let mut peer = stage.accept();
            peer.head();
            peer.send(OK_A);
            peer.ended();
        }
    });
    run(async {
        let mut config = origin.config();
        config.idle_timeout_ms = 0;
        let pool = OriginPool::new(config).unwrap();
        assert_eq!(read(&pool).await, Ok(("a".into(), false)));
        assert_eq!(read(&pool).await, Ok(("a".into(), false)));
    });
}

#[test]
fn closing_the_idle_ones_leaves_nothing_open() {
    let origin = Origin::play(|stage| {
        let mut peer = stage.accept();
        peer.head();
        peer.send(OK_A);
        peer.ended();
    });
    run(async {
        let pool = origin.pool();
        assert_eq!(read(&pool).await, Ok(("a".into(), false)));
        assert_eq!(pool.stats().idle, 1);
        pool.close_idle();
        assert_eq!(pool.stats().idle, 0);
    });
}

/// Two URLs, one connection allowed: the other URL's idle connection makes room.
#[test]
fn idle_connections_make_room_and_urls_take_turns() {
    let closing = |answer: &'static str| {
        Origin::play(move |stage| {
            for _ in 0..2 {
                let mut peer = stage.accept();
                peer.head();
                peer.send(answer);
                peer.ended();
            }
        })
    };
    let (first, second) = (closing(OK_A), closing(OK_B));
    run(async {
        let mut config = OriginConfig::new(vec![first.url(), second.url()]);
        config.connections_max = 1;
        let pool = OriginPool::new(config).unwrap();
        for expected in ["a", "b", "a", "b"] {
            assert_eq!(read(&pool).await, Ok((expected.into(), false)));
            assert_eq!(pool.stats().idle, 1, "OR-4");
        }
    });
}

#[test]
fn a_url_that_cannot_be_connected_to_is_passed_over() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let origin = Origin::answering(vec![OK_A, OK_B]);
    run(async {
        let pool = OriginPool::new(OriginConfig::new(vec![url(gone), origin.url()])).unwrap();
        assert_eq!(read(&pool).await, Ok(("a".into(), false)));
        assert_eq!(read(&pool).await, Ok(("b".into(), true)));
        assert_eq!(pool.stats().connect_failed, 1);
    });
}
