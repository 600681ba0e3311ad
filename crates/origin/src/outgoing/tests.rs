//! The request body against its promised length, and the pace that it keeps.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::Body;

use super::{OutgoingBody, Pace};
use crate::body::Upload;
use crate::error::FetchError;

fn stream(length: Option<u64>) -> (OutgoingBody, Arc<Upload>, Pace) {
    let upload = Arc::new(Upload::new(1000, Arc::new(|| {})));
    let pace = Pace::new();
    (OutgoingBody::stream(Arc::clone(&upload), length, &pace), upload, pace)
}

fn poll(body: &mut OutgoingBody) -> Poll<Option<Result<Bytes, FetchError>>> {
    let mut context = Context::from_waker(Waker::noop());
    let frame = Pin::new(body).poll_frame(&mut context);
    frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.into_data().unwrap())))
}

const ABORTED: Poll<Option<Result<Bytes, FetchError>>> =
    Poll::Ready(Some(Err(FetchError::UploadAborted)));

#[test]
fn a_body_is_complete_at_its_promised_length() {
    let (mut body, upload, pace) = stream(Some(5));
    assert!(poll(&mut body).is_pending());
    assert_eq!(body.size_hint().exact(), Some(5));
    upload.push(Bytes::from_static(b"12345")).unwrap();
    assert!(!body.is_end_stream());
    assert_eq!(poll(&mut body), Poll::Ready(Some(Ok(Bytes::from_static(b"12345")))));
    assert!(body.is_end_stream() && pace.is_complete());
    drop(body);
    assert!(!upload.is_abandoned(), "hyper asks for no end behind the last byte");
}

#[test]
fn a_body_of_no_length_is_complete_at_once() {
    let (body, upload, pace) = stream(Some(0));
    assert!(body.is_end_stream() && pace.is_complete());
    drop(body);
    assert!(!upload.is_abandoned());
}

#[test]
fn a_body_that_contradicts_its_length_fails() {
    let (mut long, upload, pace) = stream(Some(3));
    upload.push(Bytes::from_static(b"1234")).unwrap();
    assert_eq!(poll(&mut long), ABORTED);
    assert!(pace.is_aborted());

    let (mut short, upload, pace) = stream(Some(3));
    upload.push(Bytes::from_static(b"12")).unwrap();
    upload.finish();
    assert!(poll(&mut short).is_ready());
    assert_eq!(poll(&mut short), ABORTED);
    assert!(pace.is_aborted() && !pace.is_complete());
}

#[test]
fn a_chunked_body_is_complete_at_its_end() {
    let (mut body, upload, pace) = stream(None);
    upload.push(Bytes::from_static(b"1")).unwrap();
    assert!(poll(&mut body).is_ready());
    assert!(!pace.is_complete());
    upload.finish();
    assert_eq!(poll(&mut body), Poll::Ready(None));
    assert!(pace.is_complete());
}

#[test]
fn the_clients_time_is_not_the_origins() {
    let (mut body, upload, pace) = stream(None);
    let begun = tokio::time::Instant::now();
    pace.start();
    assert!(poll(&mut body).is_pending());
    let before = tokio::time::Instant::now();
    assert!(pace.quiet_since(begun) >= before, "OR-5: the client owes the next piece");
    upload.push(Bytes::from_static(b"1")).unwrap();
    assert!(poll(&mut body).is_ready());
    assert!(pace.quiet_since(begun) <= tokio::time::Instant::now());
    let stands = pace.quiet_since(begun);
    assert_eq!(pace.quiet_since(begun), stands, "the origin owes: its time runs");
}
