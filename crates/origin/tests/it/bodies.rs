//! From an origin's socket to many readers.

use std::sync::Arc;
use std::sync::mpsc;

use bytes::Bytes;
use longhold_origin::{
    AttachRefused, Download, DownloadReader, FetchError, Next, StagingBudget, WINDOW_SMALL_BYTES,
    fill,
};

use crate::support::{Origin, get, run, until};

const WINDOW: usize = 64 * 1024;

/// A worker that reads a download to its end, in its own thread.
fn follow(
    download: &Arc<Download>,
    max_bytes: usize,
) -> std::thread::JoinHandle<Result<Vec<u8>, FetchError>> {
    let (tell, told) = mpsc::channel();
    let wake = Arc::new(move || {
        let _ = tell.send(());
    });
    let mut reader: DownloadReader = download.attach(wake).unwrap();
    std::thread::spawn(move || {
        let mut body = Vec::new();
        loop {
            match reader.next(max_bytes) {
                Next::Bytes(bytes) => body.extend_from_slice(&bytes),
                Next::Extent { extent, .. } => match extent {},
                Next::Pending => told.recv().unwrap(),
                Next::End => return Ok(body),
                Next::Failed(error) => return Err(error),
            }
        }
    })
}

fn body_of(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

#[test]
fn many_readers_get_equal_bytes_from_one_fetch() {
    const LENGTH: usize = 2 << 20;
    let origin = Origin::play(|stage| {
        let mut peer = stage.accept();
        peer.head();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"));
        peer.send(body_of(LENGTH));
    });
    let budget = StagingBudget::new(WINDOW);
    let download = Arc::new(Download::with_share(budget.take(WINDOW).unwrap()));
    let readers: Vec<_> = [1 << 20, 4096, 1500, 65_536].map(|max| follow(&download, max)).into();
    run(async {
        let mut response = origin.pool().fetch(get()).await.unwrap();
        download.set_length(response.body.length().unwrap());
        assert_eq!(fill::pump(&mut response.body, &download).await, Ok(LENGTH as u64));
    });
    for reader in readers {
        assert_eq!(reader.join().unwrap(), Ok(body_of(LENGTH)), "OR-8");
    }
    assert_eq!(download.held_bytes(), 0);
    drop(download);
    assert_eq!(budget.stats().taken_bytes, 0);
}

#[test]
fn followers_see_failure_when_the_leader_fails() {
    for (answer, bytes) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", 5),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 5),
    ] {
        let origin = Origin::answering(vec![answer]);
        let download = Arc::new(Download::new(WINDOW));
        let followers: Vec<_> = (0..3).map(|_| follow(&download, 10)).collect();
        run(async {
            let mut response = origin.pool().fetch(get()).await.unwrap();
            let pumped = fill::pump(&mut response.body, &download).await;
            assert_eq!(pumped, Err(FetchError::Truncated));
        });
        for follower in followers {
            assert_eq!(follower.join().unwrap(), Err(FetchError::Truncated), "OR-2");
        }
        let late = download.attach(Arc::new(|| {}));
        assert_eq!(late.err(), Some(AttachRefused::Failed(FetchError::Truncated)));
        assert!(download.held_bytes() <= bytes);
    }
}

#[test]
fn a_fill_task_that_is_dropped_fails_its_followers() {
    let origin = Origin::play(|stage| {
        let mut peer = stage.accept();
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello");
        peer.ended();
    });
    let download = Arc::new(Download::new(WINDOW));
    let follower = follow(&download, 10);
    run(async {
        let pool = origin.pool();
        let filling = async {
            let _guard = download.guard();
            let mut response = pool.fetch(get()).await.unwrap();
            fill::pump(&mut response.body, &download).await
        };
        tokio::select! {
            biased;
            _ = filling => panic!("the body is not whole"),
            // Unread by nobody: the follower took it.
            () = until(|| download.unwritten_bytes() == 5) => {}
        }
    });
    assert_eq!(follower.join().unwrap(), Err(FetchError::Stopped), "OR-2");
}

/// An origin without end is read only as long, and only as far, as somebody reads.
#[test]
fn an_abandoned_download_stops_the_origin() {
    let (gone, is_gone) = mpsc::channel();
    let origin = Origin::play(move |stage| {
        let mut peer = stage.accept();
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\n\r\n");
        let piece = body_of(WINDOW);
        let mut sent = 0;
        while std::io::Write::write_all(&mut peer.0, &piece).is_ok() {
            sent += piece.len();
        }
        gone.send(sent).unwrap();
    });
    let budget = StagingBudget::new(0);
    assert!(budget.take(WINDOW).is_none());
    let download: Arc<Download> = Arc::new(Download::with_share(budget.take_small()));
    let mut reader = download.attach(Arc::new(|| {})).unwrap();
    run(async {
        let pool = origin.pool();
        let mut response = pool.fetch(get()).await.unwrap();
        assert_eq!(response.body.length(), None);
        let worker = async {
            // The window fills and the origin is held back; then its only reader leaves.
            until(|| download.held_bytes() >= WINDOW_SMALL_BYTES as u64).await;
            assert!(matches!(reader.next(1), Next::Bytes(one) if one == Bytes::from_static(&[0])));
            assert!(download.held_bytes() <= 2 * WINDOW_SMALL_BYTES as u64, "OR-7");
            drop(reader);
        };
        let (pumped, ()) = tokio::join!(fill::pump(&mut response.body, &download), worker);
        assert_eq!(pumped, Err(FetchError::Abandoned), "OR-9");
        drop(response);
        until(|| is_gone.try_recv().is_ok()).await;
        assert_eq!(pool.stats().in_use, 0);
    });
}

/// The reader leaves while the origin is silent: the pump must not wait for the next byte.
#[test]
fn a_download_abandoned_during_silence_stops_the_origin() {
    let origin = Origin::play(|stage| {
        let mut peer = stage.accept();
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\n\r\nhello");
        peer.ended();
    });
    let download: Arc<Download> = Arc::new(Download::new(WINDOW));
    let mut reader = download.attach(Arc::new(|| {})).unwrap();
    run(async {
        let pool = origin.pool();
        let mut response = pool.fetch(get()).await.unwrap();
        let worker = async {
            until(|| download.held_bytes() == 5).await;
            assert_eq!(reader.next(10), Next::Bytes(Bytes::from_static(b"hello")));
            drop(reader);
        };
        let (pumped, ()) = tokio::join!(fill::pump(&mut response.body, &download), worker);
        assert_eq!(pumped, Err(FetchError::Abandoned), "OR-9");
    });
}

/// tokio's sockets and tokio-uring's files on one runtime, as the fill plane needs them.
#[test]
fn the_runtime_writes_files_beside_the_sockets() {
    let origin = Origin::answering(vec!["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body");
    run(async {
        let pool = origin.pool();
        let file = tokio_uring::fs::File::create(&path).await.unwrap();
        let mut response = pool.fetch(get()).await.unwrap();
        let mut at = 0;
        while let Some(piece) = response.body.next().await {
            let piece = piece.unwrap().to_vec();
            let length = piece.len() as u64;
            file.write_all_at(piece, at).await.0.unwrap();
            at += length;
        }
        file.sync_data().await.unwrap();
        file.close().await.unwrap();
    });
    assert_eq!(std::fs::read(&path).unwrap(), b"hello");
}
