//! The demo's origin: a small HTTP/1.1 server on a loopback port that the kernel chooses.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_LANGUAGE, ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, IF_RANGE, RANGE, VARY,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Notify, Semaphore};
use tokio::time::sleep;

use super::pages::{self, CHUNK_BYTES, Kind, Page};

/// The running origin; dropping this ends it at once.
#[derive(Debug)]
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    end: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the origin on its own thread.
///
/// # Errors
/// What the system says when it refuses a port, a thread or a runtime.
pub fn start() -> io::Result<Origin> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _context = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let end = Arc::new(Notify::new());
    let ended = Arc::clone(&end);
    let thread = thread::Builder::new().name("demo-origin".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = ended.notified() => {}
                () = accept(listener) => {}
            }
        });
        // A page under way is of no use to anybody now.
        runtime.shutdown_background();
    })?;
    Ok(Origin { address, end, thread: Some(thread) })
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.end.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; there is nothing left to end.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: tokio::net::TcpListener) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(async move {
                    let service =
                        service_fn(
                            |request| async move { Ok::<_, Infallible>(answer(&request).await) },
                        );
                    let serving = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service);
                    // A fault on a connection is its peer's; there is nobody to tell.
                    let _ = pin!(serving).await;
                    drop(permit);
                });
            }
            // Out of descriptors or memory: wait until some return.
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn answer(request: &Request<Incoming>) -> Response<Content> {
    let Some(page) = pages::page(request.uri().path()) else {
        return plain(StatusCode::NOT_FOUND, "The demo's origin has no such page.\n");
    };
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut reply =
            plain(StatusCode::METHOD_NOT_ALLOWED, "The demo's pages are for reading.\n");
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return reply;
    }
    if page.kind == Kind::Slow {
        sleep(SLOW_DELAY).await;
    }
    respond(page, request.headers())
}

/// The response to a `GET`; hyper leaves the body away for a `HEAD`.
fn respond(page: &Page, request: &HeaderMap) -> Response<Content> {
    let language = pages::language(text(request, &ACCEPT_LANGUAGE).unwrap_or(""));
    let body = Bytes::from(pages::body(page, language));
    let etag = etag(page, language, body.len());
    let mut reply = Response::new(Content::Whole(Bytes::new()));
    describe(page, language, reply.headers_mut());
    if page.kind == Kind::Error {
        *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        *reply.body_mut() = Content::Whole(body);
        return reply;
    }
    set(reply.headers_mut(), ETAG, &etag);
    if text(request, &IF_NONE_MATCH).is_some_and(|tags| matches(tags, &etag)) {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
        return reply;
    }
    if page.kind == Kind::Chunked {
        *reply.body_mut() = Content::Pieces(body);
        return reply;
    }
    reply.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let same = text(request, &IF_RANGE).is_none_or(|tag| tag == etag);
    let wanted = text(request, &RANGE).filter(|_| same).and_then(|typed| range(typed, body.len()));
    match wanted {
        None => *reply.body_mut() = Content::Whole(body),
        Some(Ok(range)) => {
            let Range { start, end } = range;
            let content_range = format!("bytes {start}-{}/{}", end - 1, body.len());
            set(reply.headers_mut(), CONTENT_RANGE, &content_range);
            *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
            *reply.body_mut() = Content::Whole(body.slice(start..end));
        }
        Some(Err(Unsatisfiable)) => {
            set(reply.headers_mut(), CONTENT_RANGE, &format!("bytes */{}", body.len()));
            *reply.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
        }
    }
    reply
}

fn describe(page: &Page, language: &'static str, fields: &mut HeaderMap) {
    let html = page.kind == Kind::Index;
    let content_type = if html { "text/html; charset=utf-8" } else { "text/plain; charset=utf-8" };
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static(page.caching));
    if page.kind == Kind::Greeting {
        fields.insert(VARY, HeaderValue::from_static("Accept-Language"));
        fields.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language));
    }
}

/// Content depends on path, language and length only, and so does its tag.
fn etag(page: &Page, language: &str, bytes: usize) -> String {
    let language = if page.kind == Kind::Greeting { language } else { "" };
    format!("\"{}{language}-{bytes}\"", page.path.trim_start_matches('/'))
}

/// Weak comparison, RFC 9110 section 8.8.3.2.
fn matches(tags: &str, etag: &str) -> bool {
    tags.split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// RFC 9110 section 14.1.2, one range; anything else is as if it were not there.
fn range(typed: &str, bytes: usize) -> Option<Result<Range<usize>, Unsatisfiable>> {
    let (first, last) = typed.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(bytes),
        (Ok(first), Err(_)) if last.is_empty() => first..bytes,
        (Err(_), Ok(suffix)) if first.is_empty() => bytes.saturating_sub(suffix)..bytes,
        (_, _) => return None,
    };
    Some(if range.start < range.end { Ok(range) } else { Err(Unsatisfiable) })
}

/// No byte of the content lies in the range asked for.
struct Unsatisfiable;

fn text<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    fields.get(name)?.to_str().ok()
}

/// Sets a field to text of ours, which has nothing in it that a field may not hold.
fn set(fields: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        fields.insert(name, value);
    }
}

fn plain(status: StatusCode, body: &'static str) -> Response<Content> {
    let mut reply = Response::new(Content::Whole(Bytes::from_static(body.as_bytes())));
    *reply.status_mut() = status;
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// A body: whole, with its length known, or in pieces of [`CHUNK_BYTES`], its length untold.
enum Content {
    Whole(Bytes),
    Pieces(Bytes),
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut *self {
            Self::Whole(left) => std::mem::take(left),
            Self::Pieces(left) => left.split_to(CHUNK_BYTES.min(left.len())),
        };
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(left) | Self::Pieces(left) => left.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(left) => SizeHint::with_exact(left.len() as u64),
            Self::Pieces(_) => SizeHint::new(),
        }
    }
}

const CONNECTIONS_MAX: usize = 1024;
const SLOW_DELAY: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
