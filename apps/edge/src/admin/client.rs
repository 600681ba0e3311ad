//! The other side of the admin API: what the command line says to a running edge.

use std::io::{self, ErrorKind};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::{CensusAsk, CloseAsk, ExplainAsk, PurgeOrder, PurgeReply};
use crate::config::checked::AdminAddress;

/// Why a running edge did not do what it was asked; each prints what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("no edge answers at {address}: {kind}; is it running, and is this its admin address?")]
    Unreachable {
        /// Where it was sought.
        address: AdminAddress,
        /// The system's word.
        kind: ErrorKind,
    },
    /// The edge refused; its own words.
    #[error("the edge refused: {error}; {remedy}")]
    Refused {
        /// What it says is wrong.
        error: String,
        /// What it says to do.
        remedy: String,
    },
    /// No answer in time.
    #[error("the edge at {0} did not answer in time; ask again, it may be repeated without harm")]
    TimedOut(AdminAddress),
    /// Something answers that is no edge.
    #[error("what answers at {0} is no edge's admin API; check the address")]
    NotAnEdge(AdminAddress),
    /// The token has characters that cannot be sent.
    #[error("the token has characters that no field can carry; compare it with admin.token")]
    BadToken,
    /// The runtime for the request could not be made.
    #[error("the system refused what a request needs: {0}")]
    Runtime(ErrorKind),
}

/// Asks a running edge to purge, and waits until that is durable.
///
/// # Errors
/// See [`ClientError`].
pub fn purge(
    address: &AdminAddress,
    token: Option<&str>,
    order: &PurgeOrder,
) -> Result<PurgeReply, ClientError> {
    let body = Value::Object(order.json()).to_string();
    let said = call(address, token, (Method::POST, "/purge", body))?;
    serde_json::from_value(said).map_err(|_| ClientError::NotAnEdge(address.clone()))
}

/// Asks a running edge what would become of a request.
///
/// # Errors
/// See [`ClientError`].
pub fn explain(
    address: &AdminAddress,
    token: Option<&str>,
    ask: &ExplainAsk,
) -> Result<Value, ClientError> {
    let path = format!("/explain?{}", ask.query());
    call(address, token, (Method::GET, &path, String::new()))
}

/// Asks a running edge for its state.
///
/// # Errors
/// See [`ClientError`].
pub fn status(address: &AdminAddress, token: Option<&str>) -> Result<Value, ClientError> {
    call(address, token, (Method::GET, "/status.json", String::new()))
}

/// Asks a running edge for its connections.
///
/// # Errors
/// See [`ClientError`].
pub fn connections(
    address: &AdminAddress,
    token: Option<&str>,
    ask: &CensusAsk,
) -> Result<Value, ClientError> {
    let path = format!("/connections.json?{}", ask.query());
    call(address, token, (Method::GET, &path, String::new()))
}

/// Has a running edge close connections.
///
/// # Errors
/// See [`ClientError`].
pub fn close(
    address: &AdminAddress,
    token: Option<&str>,
    ask: &CloseAsk,
) -> Result<Value, ClientError> {
    let body = serde_json::to_string(ask).map_err(|_| ClientError::NotAnEdge(address.clone()))?;
    call(address, token, (Method::POST, "/connections/close", body))
}

/// One request to a running edge, and the JSON that it answers.
fn call(
    address: &AdminAddress,
    token: Option<&str>,
    (method, path, body): (Method, &str, String),
) -> Result<Value, ClientError> {
    let host = match address {
        AdminAddress::Tcp(tcp) => tcp.to_string(),
        AdminAddress::Unix(_) => "localhost".to_owned(),
    };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Full::from(body)).map_err(|_| ClientError::BadToken)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|fault| ClientError::Runtime(fault.kind()))?;
    let exchange = async { timeout(TIMEOUT, ask(address, request)).await };
    match runtime.block_on(exchange) {
        Ok(reply) => reply,
        Err(_) => Err(ClientError::TimedOut(address.clone())),
    }
}

async fn ask(address: &AdminAddress, request: Request<Full<Bytes>>) -> Result<Value, ClientError> {
    let unreachable = |fault: io::Error| {
        let kind = fault.kind();
        ClientError::Unreachable { address: address.clone(), kind }
    };
    let (status, body) = match address {
        AdminAddress::Tcp(tcp) => {
            exchange(TcpStream::connect(tcp).await.map_err(unreachable)?, request).await
        }
        AdminAddress::Unix(path) => {
            exchange(UnixStream::connect(path).await.map_err(unreachable)?, request).await
        }
    }
    .ok_or_else(|| ClientError::NotAnEdge(address.clone()))?;
    understand(status, &body).ok_or_else(|| ClientError::NotAnEdge(address.clone()))?
}

/// One request and its answer; `None` when the peer does not speak the protocol.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Option<(StatusCode, Bytes)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    // It ends with the sender, or with the runtime.
    let driver = tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.ok()?.into_parts();
    let body = Limited::new(body, REPLY_BYTES_MAX).collect().await.ok()?.to_bytes();
    driver.abort();
    Some((head.status, body))
}

fn understand(status: StatusCode, body: &[u8]) -> Option<Result<Value, ClientError>> {
    #[derive(Deserialize)]
    struct Refused {
        error: String,
        remedy: String,
    }
    if status == StatusCode::OK {
        return Some(Ok(serde_json::from_slice(body).ok()?));
    }
    let Refused { error, remedy } = serde_json::from_slice(body).ok()?;
    Some(Err(ClientError::Refused { error, remedy }))
}

/// Longer than the edge's own bound for a purge.
const TIMEOUT: Duration = Duration::from_secs(35);
/// Room for every connection that a census lists.
const REPLY_BYTES_MAX: usize = 256 * 1024;
