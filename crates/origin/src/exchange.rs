//! One exchange: send, wait for the head, stream the body, give the connection back or close it.
//!
//! | what happens before any response byte | then |
//! |---|---|
//! | hyper hands the request back unsent | it goes to a fresh connection, whatever its method |
//! | a pooled connection ends, the request idempotent and without a body | a fresh one, once |
//! | anything else fails | the fetch fails |
//!
//! (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1.)
//!
//! A connection is given back only when the response was read to its end, the request body was
//! taken whole, and the origin still takes bytes. Everything else drops the lease, which closes the
//! socket: that is also how an abandoned fetch reaches the origin.

use std::error::Error as _;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use crate::error::FetchError;
use crate::outgoing::{OutgoingBody, Pace};
use crate::pool::{Lease, OriginPool, count};
use crate::request::{Checked, OriginRequest, OriginResponse, Verdict, judge};
use crate::tunnel::RawBody;

/// The body of a response, still tied to its connection. Dropping it before its end closes that
/// connection.
pub struct OriginBody {
    source: Source,
}

/// What carries a body.
enum Source {
    Pooled(Box<PooledBody>),
    Raw(Box<RawBody>),
}

impl OriginBody {
    pub(crate) fn raw(body: RawBody) -> Self {
        Self { source: Source::Raw(Box::new(body)) }
    }

    /// The next piece, 64 KiB at most; `None` is the end, complete by its framing. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// [`FetchError::Truncated`], [`FetchError::ReadTimeout`], [`FetchError::BadResponse`] or
    /// [`FetchError::UploadAborted`]; once failed, it stays so.
    pub async fn next(&mut self) -> Option<Result<Bytes, FetchError>> {
        match &mut self.source {
            Source::Pooled(body) => body.next().await,
            Source::Raw(body) => body.next().await,
        }
    }

    /// The exact number of bytes still to come, where the framing says so.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.source {
            Source::Pooled(body) => body.length(),
            Source::Raw(body) => body.length(),
        }
    }

    /// Whether the end was reached, or is certain to come next.
    #[must_use]
    pub fn is_end(&self) -> bool {
        match &self.source {
            Source::Pooled(body) => body.is_end(),
            Source::Raw(body) => body.is_end(),
        }
    }
}

/// A body that hyper reads.
struct PooledBody {
    incoming: Incoming,
    lease: Option<Lease>,
    pace: Pace,
    limit: Duration,
    verdict: Verdict,
    ended: Option<Result<(), FetchError>>,
}

impl OriginPool {
    /// Sends a request and waits for the head of its final response.
    ///
    /// Waits, each with its own bound: in the queue and for a connection (connect timeout, per
    /// URL), then for the head (first-byte timeout). Dropping the future gives the exchange up.
    ///
    /// # Errors
    /// [`FetchError`]: nothing of a response was seen, or it cannot be believed.
    pub async fn fetch(&self, request: OriginRequest) -> Result<OriginResponse, FetchError> {
        let Checked { mut message, pace } = request.check()?;
        let mut replay = replay_of(&message, &pace);
        let mut turn = self.shared.turn().await?;
        let mut fresh = false;
        loop {
            let lease = self.shared.lease(turn, fresh).await?;
            let failure = match self.exchange(lease, message, &pace).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            // A fresh connection's failure is final, so this loop runs twice at most.
            if !failure.lease.reused {
                return Err(failure.error);
            }
            message = match (failure.unsent, replay.take()) {
                (Some(unsent), _) => *unsent,
                (None, Some(again)) if failure.is_stale => again,
                (None, _) => return Err(failure.error),
            };
            count(&self.shared.counters.retried);
            turn = failure.lease.into_turn();
            fresh = true;
        }
    }

    async fn exchange(
        &self,
        mut lease: Lease,
        message: Request<OutgoingBody>,
        pace: &Pace,
    ) -> Result<OriginResponse, Failure> {
        if lease.reused {
            count(&self.shared.counters.reused);
        }
        let config = &self.shared.config;
        let received_before = lease.connection.wire.received_bytes();
        let request_time_ms = unix_ms();
        pace.start();
        let limit = Duration::from_millis(config.first_byte_timeout_ms);
        let sending = lease.connection.sender.try_send_request(message);
        let outcome = within(limit, pace, sending).await;
        let response_time_ms = unix_ms();
        let response = match outcome {
            Some(Ok(response)) => response,
            Some(Err(mut refused)) => {
                let unsent = refused.take_message().map(Box::new);
                let silent = lease.connection.wire.received_bytes() == received_before;
                let error = head_error(refused.error(), pace, silent);
                let is_stale =
                    silent && matches!(error, FetchError::Reset | FetchError::NoResponse);
                return Err(Failure { error, unsent, is_stale, lease });
            }
            None => return Err(Failure::plain(FetchError::FirstByteTimeout, lease)),
        };
        let (head, incoming) = Response::into_parts(response);
        let verdict = match judge(head.status, head.version, &head.headers) {
            Ok(verdict) => verdict,
            Err(error) => return Err(Failure::plain(error, lease)),
        };
        let reused = lease.reused;
        let limit = Duration::from_millis(config.between_bytes_timeout_ms);
        let pace = pace.clone();
        let mut body =
            PooledBody { incoming, lease: Some(lease), pace, limit, verdict, ended: None };
        if body.incoming.is_end_stream() {
            body.complete().await;
        }
        Ok(OriginResponse {
            status: head.status,
            version: head.version,
            fields: head.headers,
            body: OriginBody { source: Source::Pooled(Box::new(body)) },
            request_time_ms,
            response_time_ms,
            reused,
        })
    }
}

impl PooledBody {
    async fn next(&mut self) -> Option<Result<Bytes, FetchError>> {
        loop {
            if let Some(ended) = self.ended {
                return ended.err().map(Err);
            }
            let incoming = &mut self.incoming;
            let frame = poll_fn(|context| Pin::new(&mut *incoming).poll_frame(context));
            match within(self.limit, &self.pace, frame).await {
                Some(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(bytes) => return Some(Ok(bytes)),
                    // Trailers: validated by hyper, and nothing here asks for them.
                    Err(_trailers) => {}
                },
                Some(Some(Err(error))) => self.fail(body_error(&error, &self.pace)),
                Some(None) => self.complete().await,
                None => self.fail(FetchError::ReadTimeout),
            }
        }
    }

    fn length(&self) -> Option<u64> {
        if self.ended == Some(Ok(())) {
            return Some(0);
        }
        self.incoming.size_hint().exact()
    }

    fn is_end(&self) -> bool {
        match self.ended {
            Some(Ok(())) => true,
            Some(Err(_)) => false,
            None => self.incoming.is_end_stream(),
        }
    }

    fn fail(&mut self, error: FetchError) {
        self.ended = Some(Err(error));
        self.lease = None;
    }

    async fn complete(&mut self) {
        self.ended = Some(Ok(()));
        if let Some(lease) = self.reusable_lease() {
            lease.give_back().await;
        }
    }

    /// The lease, if the exchange left nothing behind; else it is closed.
    fn reusable_lease(&mut self) -> Option<Lease> {
        let clean = self.verdict == Verdict::Reusable && self.pace.is_complete();
        self.lease.take().filter(|lease| clean && !lease.connection.wire.is_broken())
    }
}

impl Drop for PooledBody {
    fn drop(&mut self) {
        // The caller may know the length and not ask for the end.
        if self.ended.is_none()
            && self.incoming.is_end_stream()
            && let Some(lease) = self.reusable_lease()
        {
            lease.put_back();
        }
    }
}

impl std::fmt::Debug for OriginBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OriginBody").field("length", &self.length()).finish_non_exhaustive()
    }
}

/// An exchange without a response.
struct Failure {
    error: FetchError,
    /// The request, when not a byte of it was sent.
    unsent: Option<Box<Request<OutgoingBody>>>,
    /// Whether the connection ended without any answer, as a stale one does.
    is_stale: bool,
    lease: Lease,
}

impl Failure {
    fn plain(error: FetchError, lease: Lease) -> Self {
        Self { error, unsent: None, is_stale: false, lease }
    }
}

/// A copy of a request that may be sent twice: idempotent and without a body.
fn replay_of(message: &Request<OutgoingBody>, pace: &Pace) -> Option<Request<OutgoingBody>> {
    if !message.method().is_idempotent() || !message.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(OutgoingBody::empty(pace));
    *copy.method_mut() = message.method().clone();
    *copy.uri_mut() = message.uri().clone();
    *copy.headers_mut() = message.headers().clone();
    // Who hears of interim responses is among them.
    *copy.extensions_mut() = message.extensions().clone();
    Some(copy)
}

/// The future's output, or `None` once the origin was quiet for `limit`. Time in which the client
/// owed the next piece of the request does not count.
async fn within<F: Future>(limit: Duration, pace: &Pace, future: F) -> Option<F::Output> {
    let begun = Instant::now();
    let mut future = std::pin::pin!(future);
    let mut deadline = begun + limit;
    loop {
        tokio::select! {
            biased;
            output = &mut future => return Some(output),
            () = sleep_until(deadline) => {
                deadline = pace.quiet_since(begun) + limit;
                if deadline <= Instant::now() {
                    return None;
                }
            }
        }
    }
}

/// Why no head came.
fn head_error(error: &hyper::Error, pace: &Pace, silent: bool) -> FetchError {
    if pace.is_aborted() {
        return FetchError::UploadAborted;
    }
    if error.is_parse_too_large() {
        return FetchError::HeadTooLarge;
    }
    if error.is_parse() {
        return FetchError::BadResponse;
    }
    match io_kind(error) {
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => FetchError::Reset,
        Some(io::ErrorKind::InvalidData) => FetchError::TlsHandshake,
        Some(_) | None if silent => FetchError::NoResponse,
        Some(_) | None => FetchError::Truncated,
    }
}

/// Why a body stopped. A connection that ends inside it cut it short, however it ended.
fn body_error(error: &hyper::Error, pace: &Pace) -> FetchError {
    if pace.is_aborted() {
        return FetchError::UploadAborted;
    }
    match io_kind(error) {
        // hyper's chunk decoder and trailers, and rustls' records.
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => FetchError::BadResponse,
        Some(_) | None => FetchError::Truncated,
    }
}

/// The kind of the I/O error beneath, if there is one.
fn io_kind(error: &hyper::Error) -> Option<io::ErrorKind> {
    let mut cause = error.source();
    while let Some(source) = cause {
        if let Some(fault) = source.downcast_ref::<io::Error>() {
            return Some(fault.kind());
        }
        cause = source.source();
    }
    None
}

/// Milliseconds since the epoch; 0 for a clock that stands before it.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
