//! Exchanges after which the caller may take the connection over: tunnels and endless responses.
//!
//! ```text
//! turn ─► a fresh connection ─► the request's head, nothing else ─► heads ─► the caller's word
//!                 interim responses are told; what follows a head waits  ├► Handover: the socket
//!                                                                        └► Response: its body
//! ```
//! hyper has no part in it: the head is read by `http1`, as strictly as a client's, and no byte is
//! looked at twice. Such a connection comes from no pool and goes into none (OR-12).
//!
//! Where the origin speaks TLS its session is handed over with the socket: no record of it is ever
//! read by halves (`line`).

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use longhold_http1::{
    BodyFraming, ChunkEvent, Chunked, Field, Limits, Reject, ResponseHead, parse_response,
};
use longhold_tls::Session;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::OriginConfig;
use crate::connect::HEAD_BYTES_MAX;
use crate::error::FetchError;
use crate::exchange::{OriginBody, unix_ms};
use crate::line::Line;
use crate::pool::{OriginPool, Turn};
use crate::request::{OriginRequest, OriginResponse, RequestBody};

/// What an exchange came to.
#[derive(Debug)]
pub enum Exchanged {
    /// A response like any other.
    Response(OriginResponse),
    /// The caller has taken the connection over.
    Connection(Handover),
}

/// A connection that is the caller's from now on.
pub struct Handover {
    /// The status that was answered.
    pub status: StatusCode,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// All fields as received.
    pub fields: HeaderMap,
    /// What the fields say of the body, where what follows is one.
    pub framing: Framing,
    /// The connected socket.
    pub socket: OwnedFd,
    /// The TLS session on it, which begins at the next record either way; `None` for plain TCP.
    pub session: Option<Box<Session>>,
    /// The origin's address.
    pub peer: SocketAddr,
    /// What the origin has sent behind its head, no more than a read of 16 KiB brings, and what
    /// came with the head, 64 KiB at most.
    pub early: Bytes,
}

impl fmt::Debug for Handover {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = out.debug_struct("Handover");
        said.field("status", &self.status).field("peer", &self.peer);
        said.field("is_secure", &self.session.is_some()).finish_non_exhaustive()
    }
}

/// How the body behind a head is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// All until the connection ends.
    UntilClose,
}

/// A head on which the caller decides.
#[derive(Clone, Copy, Debug)]
pub struct RawAnswer<'a> {
    /// 101, or 200 to 599.
    pub status: u16,
    /// It is of HTTP/1.0.
    pub is_http10: bool,
    /// All fields as received.
    pub fields: &'a [Field<'a>],
    /// What they say of the body.
    pub framing: Framing,
}

impl OriginPool {
    /// Sends the head of a request without a body on a connection of its own, and reads the head of
    /// the answer; `takes` says whether the connection is the caller's from there on. Waits as
    /// [`fetch`](Self::fetch) does. The method may be CONNECT, with an authority as the target.
    ///
    /// # Errors
    /// [`FetchError`], also what `takes` says.
    pub async fn take_over(
        &self,
        request: OriginRequest,
        takes: &dyn Fn(&RawAnswer<'_>) -> Result<bool, FetchError>,
    ) -> Result<Exchanged, FetchError> {
        let head = write_head(&request)?;
        let turn = self.shared.turn().await?;
        let config = &self.shared.config;
        let mut line = self.shared.open_raw().await?;
        let request_time_ms = unix_ms();
        let deadline = Instant::now() + Duration::from_millis(config.first_byte_timeout_ms);
        let sent = timeout_at(deadline, line.write_all(&head)).await;
        sent.map_err(|_| FetchError::FirstByteTimeout)?.map_err(|_| FetchError::Reset)?;
        let mut input = BytesMut::with_capacity(HEAD_BYTES_USUAL);
        let answer = loop {
            let answer = Answer::read(&mut line, &mut input, deadline).await?;
            if !answer.is_interim() {
                break answer;
            }
            if let Some(tell) = &request.on_interim {
                tell.tell(answer.status.as_u16(), &answer.fields);
            }
        };
        let is_head = request.method == Method::HEAD;
        if answer.is_taken(is_head, takes)? {
            let peer = line.peer();
            let (socket, session) = line.hand_over().await?;
            let session = session.map(Box::new);
            let Answer { status, version, fields, framing, .. } = answer;
            // Mostly nothing, of which none must hold the memory of a whole read.
            let early = Bytes::copy_from_slice(&input);
            let framing = if is_head { Framing::None } else { framing };
            return Ok(Exchanged::Connection(Handover {
                status,
                version,
                fields,
                framing,
                socket,
                session,
                peer,
                early,
            }));
        }
        let framing = if is_head { Framing::None } else { answer.framing };
        let body = RawBody::new((line, turn), input, framing, config);
        Ok(Exchanged::Response(OriginResponse {
            status: answer.status,
            version: answer.version,
            fields: answer.fields,
            body: OriginBody::raw(body),
            request_time_ms,
            response_time_ms: unix_ms(),
            reused: false,
        }))
    }
}

/// One head of the origin's.
struct Answer {
    status: StatusCode,
    version: Version,
    fields: HeaderMap,
    framing: Framing,
}

impl Answer {
    /// Reads the next head, and leaves what follows it in `input`.
    async fn read(
        line: &mut Line,
        input: &mut BytesMut,
        deadline: Instant,
    ) -> Result<Self, FetchError> {
        let limits = Limits { head_bytes_max: HEAD_BYTES_MAX, ..Limits::default() };
        loop {
            if !input.is_empty()
                && let Some(head) = parse_response(input, &limits).map_err(head_error)?
            {
                let (answer, bytes) = (Self::of(&head)?, head.head_bytes);
                let _ = input.split_to(bytes);
                return Ok(answer);
            }
            let silent = input.is_empty();
            let read = timeout_at(deadline, line.read_more(input)).await;
            match read.map_err(|_| FetchError::FirstByteTimeout)? {
                Ok(0) if silent => return Err(FetchError::NoResponse),
                Ok(0) => return Err(FetchError::Truncated),
                Ok(_) => {}
                Err(_) => return Err(FetchError::Reset),
            }
        }
    }

    fn of(head: &ResponseHead<'_>) -> Result<Self, FetchError> {
        let mut fields = HeaderMap::with_capacity(head.fields.len());
        for (name, value) in head.fields.iter() {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_bytes(value);
            match (name, value) {
                (Ok(name), Ok(value)) => fields.append(name, value),
                (Err(_), _) | (_, Err(_)) => return Err(FetchError::BadResponse),
            };
        }
        let status = StatusCode::from_u16(head.status).map_err(|_| FetchError::BadResponse)?;
        let framing = match head.framing(false) {
            BodyFraming::None => Framing::None,
            BodyFraming::Length(length) => Framing::Length(length),
            BodyFraming::Chunked => Framing::Chunked,
            BodyFraming::UntilClose => Framing::UntilClose,
        };
        let version = match head.version {
            longhold_http1::Version::Http10 => Version::HTTP_10,
            longhold_http1::Version::Http11 => Version::HTTP_11,
        };
        Ok(Self { status, version, fields, framing })
    }

    fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }

    fn is_taken(
        &self,
        is_head: bool,
        takes: &dyn Fn(&RawAnswer<'_>) -> Result<bool, FetchError>,
    ) -> Result<bool, FetchError> {
        let fields: Vec<Field<'_>> =
            self.fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let taken = takes(&RawAnswer {
            status: self.status.as_u16(),
            is_http10: self.version == Version::HTTP_10,
            fields: &fields,
            framing: if is_head { Framing::None } else { self.framing },
        })?;
        // RFC 9110 section 7.8: a switch that nobody takes up was not asked for.
        if !taken && self.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(FetchError::BadResponse);
        }
        Ok(taken)
    }
}

fn head_error(reject: Reject) -> FetchError {
    if reject.status() == 431 { FetchError::HeadTooLarge } else { FetchError::BadResponse }
}

/// The request's head as it goes out. A body is not written, whatever the request says.
fn write_head(request: &OriginRequest) -> Result<Vec<u8>, FetchError> {
    let RequestBody::Empty = request.body else { return Err(FetchError::UploadAborted) };
    let target = &request.path_and_query;
    let is_connect = request.method == Method::CONNECT;
    let is_formed = is_connect || target.starts_with('/');
    let is_visible = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !is_formed || !is_visible || target.is_empty() {
        return Err(FetchError::BadTarget);
    }
    let mut head = Vec::with_capacity(512);
    for part in [request.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        head.extend_from_slice(part.as_bytes());
    }
    for (name, value) in &request.fields {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    // RFC 9110 section 8.6: methods that anticipate content say that there is none.
    if matches!(request.method, Method::POST | Method::PUT | Method::PATCH) {
        head.extend_from_slice(b"content-length: 0\r\n");
    }
    head.extend_from_slice(b"\r\n");
    Ok(head)
}

/// The body behind a head that the caller did not take.
pub(crate) struct RawBody {
    line: Line,
    input: BytesMut,
    left: Left,
    limit: Duration,
    failed: Option<FetchError>,
    _turn: Turn,
}

enum Left {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Nothing,
}

impl RawBody {
    fn new(
        (line, turn): (Line, Turn),
        input: BytesMut,
        framing: Framing,
        config: &OriginConfig,
    ) -> Self {
        let left = match framing {
            Framing::None | Framing::Length(0) => Left::Nothing,
            Framing::Length(length) => Left::Length(length),
            Framing::Chunked => Left::Chunked(Chunked::new()),
            Framing::UntilClose => Left::UntilClose,
        };
        let limit = Duration::from_millis(config.between_bytes_timeout_ms);
        Self { line, input, left, limit, failed: None, _turn: turn }
    }

    /// As [`OriginBody::next`]. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, FetchError>> {
        loop {
            if let Some(error) = self.failed {
                return Some(Err(error));
            }
            if matches!(self.left, Left::Nothing) {
                return None;
            }
            match self.take() {
                Ok(Some(bytes)) => return Some(Ok(bytes)),
                Ok(None) if matches!(self.left, Left::Nothing) => return None,
                Ok(None) => {}
                Err(error) => {
                    self.failed = Some(error);
                    continue;
                }
            }
            match timeout(self.limit, self.line.read_more(&mut self.input)).await {
                Ok(Ok(0)) if matches!(self.left, Left::UntilClose) => self.left = Left::Nothing,
                Ok(Ok(0) | Err(_)) => self.failed = Some(FetchError::Truncated),
                Ok(Ok(_)) => {}
                Err(_) => self.failed = Some(FetchError::ReadTimeout),
            }
        }
    }

    /// What of the input is body.
    fn take(&mut self) -> Result<Option<Bytes>, FetchError> {
        if self.input.is_empty() {
            return Ok(None);
        }
        match &mut self.left {
            Left::Nothing => Ok(None),
            Left::UntilClose => Ok(Some(self.input.split().freeze())),
            Left::Length(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX).min(self.input.len());
                let bytes = self.input.split_to(most).freeze();
                *left -= most as u64;
                if *left == 0 {
                    self.left = Left::Nothing;
                }
                Ok(Some(bytes))
            }
            Left::Chunked(chunked) => {
                let decoded = chunked.decode(&self.input, &Limits::default());
                let (used, event) = decoded.map_err(|_| FetchError::BadResponse)?;
                let data = match event {
                    ChunkEvent::Data(data) => data.len(),
                    ChunkEvent::NeedMore => 0,
                    ChunkEvent::End => {
                        self.left = Left::Nothing;
                        0
                    }
                };
                // The data is the last of what was used.
                let mut bytes = self.input.split_to(used);
                let bytes = bytes.split_off(used - data).freeze();
                Ok((!bytes.is_empty()).then_some(bytes))
            }
        }
    }

    pub(crate) fn length(&self) -> Option<u64> {
        match self.left {
            Left::Length(left) => Some(left),
            Left::Nothing => Some(0),
            Left::Chunked(_) | Left::UntilClose => None,
        }
    }

    pub(crate) fn is_end(&self) -> bool {
        self.failed.is_none() && matches!(self.left, Left::Nothing)
    }
}

/// Most heads that open a tunnel fit in this, and small pieces leave few half-used pages behind; a
/// longer head gets more.
const HEAD_BYTES_USUAL: usize = 2048;
