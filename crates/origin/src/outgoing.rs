//! A request body as hyper takes it, and the pace at which it is taken.
//!
//! The first-byte timeout must not run while the edge itself waits for its client, and must start
//! anew whenever the origin takes a part of the body. [`Pace`] is that knowledge, shared by the
//! body (inside hyper's connection) and the exchange that waits for the response.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::body::Upload;
use crate::error::FetchError;

/// The request body inside hyper.
pub(crate) struct OutgoingBody {
    upload: Option<Arc<Upload>>,
    length: Option<u64>,
    sent_bytes: u64,
    pace: Pace,
}

/// How far a request body has come.
#[derive(Clone)]
pub(crate) struct Pace(Rc<Cell<Phase>>);

#[derive(Clone, Copy)]
enum Phase {
    /// The origin owes us something since then.
    OriginSince(Instant),
    /// The client owes us the next piece.
    Client,
    /// The whole body was handed to the connection at that time.
    Complete(Instant),
    /// The body failed.
    Aborted,
}

impl OutgoingBody {
    /// No body.
    pub(crate) fn empty(pace: &Pace) -> Self {
        pace.0.set(Phase::Complete(Instant::now()));
        Self { upload: None, length: Some(0), sent_bytes: 0, pace: pace.clone() }
    }

    /// A body from `upload`.
    pub(crate) fn stream(upload: Arc<Upload>, length: Option<u64>, pace: &Pace) -> Self {
        if length == Some(0) {
            pace.0.set(Phase::Complete(Instant::now()));
        }
        Self { upload: Some(upload), length, sent_bytes: 0, pace: pace.clone() }
    }

    fn is_at_length(&self) -> bool {
        self.length == Some(self.sent_bytes)
    }

    fn fail(&mut self) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        self.pace.0.set(Phase::Aborted);
        Poll::Ready(Some(Err(FetchError::UploadAborted)))
    }
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self(Rc::new(Cell::new(Phase::OriginSince(Instant::now()))))
    }

    /// Starts the origin's time anew, when its request is sent.
    pub(crate) fn start(&self) {
        match self.0.get() {
            Phase::OriginSince(_) | Phase::Client => {
                self.0.set(Phase::OriginSince(Instant::now()));
            }
            Phase::Complete(_) => self.0.set(Phase::Complete(Instant::now())),
            Phase::Aborted => {}
        }
    }

    /// Since when the origin has been quiet, at the earliest at `from`.
    pub(crate) fn quiet_since(&self, from: Instant) -> Instant {
        match self.0.get() {
            Phase::OriginSince(since) | Phase::Complete(since) => since.max(from),
            Phase::Client => Instant::now(),
            Phase::Aborted => from,
        }
    }

    /// Whether the whole body was handed to the connection.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.0.get(), Phase::Complete(_))
    }

    /// Whether the body failed on our side.
    pub(crate) fn is_aborted(&self) -> bool {
        matches!(self.0.get(), Phase::Aborted)
    }
}

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = FetchError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        let Some(upload) = &self.upload else {
            return Poll::Ready(None);
        };
        match upload.poll_next(context) {
            Poll::Pending => {
                self.pace.0.set(Phase::Client);
                Poll::Pending
            }
            Poll::Ready(Some(Ok(bytes))) => {
                self.sent_bytes += bytes.len() as u64;
                if self.length.is_some_and(|length| self.sent_bytes > length) {
                    return self.fail();
                }
                // At the promised length hyper does not ask again: it is the end.
                let now = Instant::now();
                let complete = self.is_at_length();
                self.pace.0.set(if complete {
                    Phase::Complete(now)
                } else {
                    Phase::OriginSince(now)
                });
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Poll::Ready(Some(Err(_))) => self.fail(),
            Poll::Ready(None) if self.length.is_some_and(|length| self.sent_bytes < length) => {
                self.fail()
            }
            Poll::Ready(None) => {
                self.pace.0.set(Phase::Complete(Instant::now()));
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.upload.is_none() || self.is_at_length()
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(length) => SizeHint::with_exact(length.saturating_sub(self.sent_bytes)),
            None => SizeHint::default(),
        }
    }
}

impl Drop for OutgoingBody {
    fn drop(&mut self) {
        if let Some(upload) = &self.upload {
            upload.leave(self.is_at_length());
        }
    }
}

#[cfg(test)]
mod tests;
