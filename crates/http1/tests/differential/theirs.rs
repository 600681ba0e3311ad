//! What hyper makes of one side's bytes, read over a pipe in memory.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Uri, client, server};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::runtime::{Builder, Runtime};

use crate::corpus::{Message, Side, Start};

/// hyper, ready to read.
pub(crate) struct Hyper {
    runtime: Runtime,
}

/// A message as hyper read it.
#[derive(Debug)]
pub(crate) struct Theirs {
    head: Head,
    /// Names in lower case; lines of one name in their order, names sorted.
    fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Body,
}

#[derive(Debug)]
enum Head {
    Request(Method, Uri),
    Response(u16),
}

#[derive(Debug)]
pub(crate) enum Body {
    Whole(Vec<u8>),
    Broken,
}

impl Hyper {
    pub(crate) fn new() -> Self {
        Self { runtime: Builder::new_current_thread().build().expect("a runtime") }
    }

    /// All requests, or the final response.
    pub(crate) fn read(&self, side: Side, bytes: &[u8]) -> Vec<Theirs> {
        self.runtime.block_on(async {
            match side {
                Side::Client => requests(bytes).await,
                Side::Origin { is_head } => response(bytes, is_head).await.into_iter().collect(),
            }
        })
    }
}

/// Says `bytes`, and that nothing follows them.
async fn say(near: &mut DuplexStream, bytes: &[u8]) {
    // hyper may have hung up.
    let _ = near.write_all(bytes).await;
    let _ = near.shutdown().await;
}

async fn requests(bytes: &[u8]) -> Vec<Theirs> {
    let (mut near, far) = tokio::io::duplex(PIPE_BYTES);
    say(&mut near, bytes).await;
    let seen = Rc::new(RefCell::new(Vec::new()));
    let taken = Rc::clone(&seen);
    let service = service_fn(move |request: Request<Incoming>| {
        let seen = Rc::clone(&taken);
        async move {
            let (head, body) = request.into_parts();
            let is_connect = head.method == Method::CONNECT;
            let body = collect(body).await;
            let fields = sorted(&head.headers);
            seen.borrow_mut().push(Theirs {
                head: Head::Request(head.method, head.uri),
                fields,
                body,
            });
            let mut response = Response::new(Empty::<Bytes>::new());
            if is_connect {
                // Else the connection became a tunnel.
                *response.status_mut() = hyper::StatusCode::NOT_IMPLEMENTED;
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = server::conn::http1::Builder::new();
    builder.half_close(true);
    // Its error is that there are no more messages.
    let _ = builder.serve_connection(TokioIo::new(far), service).await;
    seen.take()
}

async fn response(bytes: &[u8], is_head: bool) -> Option<Theirs> {
    let (mut near, far) = tokio::io::duplex(PIPE_BYTES);
    let handshake = client::conn::http1::handshake(TokioIo::new(far)).await;
    let (mut sender, connection) = handshake.expect("no bytes are needed for it");
    let mut request = Request::new(Empty::<Bytes>::new());
    if is_head {
        *request.method_mut() = Method::HEAD;
    }
    let exchange = async {
        let (head, body) = sender.send_request(request).await.ok()?.into_parts();
        let body = collect(body).await;
        let fields = sorted(&head.headers);
        Some(Theirs { head: Head::Response(head.status.as_u16()), fields, body })
    };
    let answer = async {
        // What comes before the request answers nothing.
        let _ = near.read(&mut [0; 1024]).await;
        say(&mut near, bytes).await;
    };
    let (theirs, _, ()) = tokio::join!(exchange, connection, answer);
    theirs
}

async fn collect(body: Incoming) -> Body {
    match body.collect().await {
        Ok(whole) => Body::Whole(whole.to_bytes().to_vec()),
        Err(_) => Body::Broken,
    }
}

fn sorted(fields: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let lines = fields.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let mut lines: Vec<_> = lines.collect();
    lines.sort_by(|(one, _), (other, _)| one.cmp(other));
    lines
}

impl Theirs {
    /// # Errors
    /// What of the head hyper and we have read otherwise.
    pub(crate) fn has_same_head(&self, ours: &Message) -> Result<(), String> {
        match (&self.head, &ours.start) {
            (Head::Request(their, uri), Start::Request { method, raw, .. }) => {
                if their.as_str() != method {
                    return Err(format!("methods {their} and {method}"));
                }
                if !is_same_target(uri, raw) {
                    return Err(format!("targets {uri} and {raw}"));
                }
            }
            (Head::Response(their), Start::Response { status }) if their == status => {}
            (their, ours) => return Err(format!("{their:?} and {ours:?}")),
        }
        let lines = ours.fields.iter();
        let lines = lines.map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
        let mut lines: Vec<_> = lines.collect();
        lines.sort_by(|(one, _), (other, _)| one.cmp(other));
        if lines == self.fields { Ok(()) } else { Err("unlike fields".to_owned()) }
    }
}

/// A URI prints a path where an absolute form has none, and its scheme in lower case.
fn is_same_target(uri: &Uri, raw: &str) -> bool {
    let printed = uri.to_string();
    if printed == raw {
        return true;
    }
    let Some((scheme, rest)) = raw.split_once("://") else { return false };
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    printed == format!("{}://{authority}{slash}{path}", scheme.to_ascii_lowercase())
}

const PIPE_BYTES: usize = 1 << 20;
