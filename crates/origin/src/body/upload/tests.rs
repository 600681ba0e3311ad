//! The upload between a producer that never blocks and a consumer that is polled.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::{Full, Upload};
use crate::error::FetchError;

/// An upload with a window of 10 bytes, and how often its producer was woken.
fn upload() -> (Upload, Arc<AtomicUsize>) {
    let woken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&woken);
    let wake = Arc::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    (Upload::new(10, wake), woken)
}

fn poll(upload: &Upload) -> Poll<Option<Result<Bytes, FetchError>>> {
    upload.poll_next(&mut Context::from_waker(Waker::noop()))
}

const SIX: Bytes = Bytes::from_static(b"sixsix");

#[test]
fn refuses_beyond_the_window_and_wakes_once_when_room_returns() {
    let (upload, woken) = upload();
    assert_eq!(upload.push(SIX), Ok(()));
    assert_eq!(upload.push(SIX), Ok(()));
    assert_eq!(upload.push(SIX), Err(Full(SIX)), "OR-7: window and one piece");
    assert!(!upload.has_room());
    assert_eq!(upload.held_bytes(), 12);
    assert_eq!(poll(&upload), Poll::Ready(Some(Ok(Bytes::from_static(b"sixsixsixsix")))));
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    assert!(upload.has_room());
    assert!(poll(&upload).is_pending());
    assert_eq!(woken.load(Ordering::Relaxed), 1, "no refusal, no wake");
}

#[test]
fn ends_only_when_finished() {
    let (upload, _) = upload();
    assert!(poll(&upload).is_pending());
    assert_eq!(upload.push(SIX), Ok(()));
    upload.finish();
    upload.abort();
    assert_eq!(upload.push(SIX), Ok(()), "dropped behind the end");
    assert_eq!(poll(&upload), Poll::Ready(Some(Ok(SIX))));
    assert_eq!(poll(&upload), Poll::Ready(None));
}

#[test]
fn an_abort_is_never_an_end() {
    let (upload, _) = upload();
    assert_eq!(upload.push(SIX), Ok(()));
    upload.abort();
    upload.finish();
    for _ in 0..2 {
        assert_eq!(poll(&upload), Poll::Ready(Some(Err(FetchError::UploadAborted))), "OR-2");
    }
    assert_eq!(upload.held_bytes(), 0);
}

#[test]
fn tells_the_producer_that_the_consumer_left_early() {
    let (upload, woken) = upload();
    assert_eq!(upload.push(SIX), Ok(()));
    assert_eq!(upload.push(SIX), Ok(()));
    assert!(!upload.has_room());
    upload.leave(false);
    upload.leave(false);
    assert!(upload.is_abandoned());
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    assert!(upload.has_room(), "what comes now is dropped");
    assert_eq!(upload.push(SIX), Ok(()));
    assert_eq!(upload.held_bytes(), 0);
}

#[test]
fn a_consumer_that_has_all_does_not_abandon() {
    let (by_end, woken) = upload();
    by_end.finish();
    by_end.leave(false);
    assert!(!by_end.is_abandoned());
    let (by_length, _) = upload();
    by_length.leave(true);
    assert!(!by_length.is_abandoned());
    assert_eq!(by_length.push(SIX), Ok(()));
    assert_eq!(by_length.held_bytes(), 0);
    assert_eq!(woken.load(Ordering::Relaxed), 0);
}

#[test]
fn a_window_of_nothing_still_passes_a_piece() {
    let upload = Upload::new(0, Arc::new(|| {}));
    assert_eq!(upload.push(SIX), Ok(()));
    assert_eq!(upload.push(SIX), Err(Full(SIX)));
}

#[test]
fn the_consumer_is_woken_from_another_thread() {
    let upload = Arc::new(upload().0);
    let producer = Arc::clone(&upload);
    let body = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let feeding = std::thread::spawn(move || {
            for _ in 0..1000 {
                while producer.push(SIX).is_err() {
                    std::thread::yield_now();
                }
            }
            producer.finish();
        });
        let mut length = 0;
        while let Some(piece) = upload.next().await {
            length += piece.unwrap().len();
        }
        feeding.join().unwrap();
        length
    });
    assert_eq!(body, 6000);
}
