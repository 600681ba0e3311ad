//! One connection, served by one thread: requests in, answers out, over a blocking socket.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use longhold_http1::emit::HeadWriter;
use longhold_http1::{BodyFraming, Limits, RequestHead, Version, parse_request};

use super::fetch::{Wanted, fetch};
use super::files::{Files, Object};
use super::pool::Others;

/// A connection with what was read from it and not used yet.
pub(super) struct Connection<'a> {
    stream: TcpStream,
    files: &'a Files,
    origin: SocketAddr,
    limits: Limits,
    input: Vec<u8>,
    head: Vec<u8>,
    /// What passes from file to socket.
    buffer: &'a mut [u8],
}

/// What matters of a request once its head is gone from the input.
#[derive(Debug)]
struct Request {
    method: Method,
    wanted: Wanted,
    if_none_match: Option<Vec<u8>>,
    wants_close: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Get,
    Head,
    /// Neither, or with a body: neither is for this server.
    Other,
}

impl<'a> Connection<'a> {
    /// A connection that has not been read from.
    ///
    /// # Errors
    /// The socket takes no options: it is gone.
    pub(super) fn new(
        stream: TcpStream,
        files: &'a Files,
        origin: SocketAddr,
        buffer: &'a mut [u8],
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IDLE_MAX))?;
        stream.set_write_timeout(Some(WRITE_MAX))?;
        let (input, head, limits) = (Vec::new(), Vec::new(), Limits::default());
        Ok(Self { stream, files, origin, limits, input, head, buffer })
    }

    /// Serves one request after another until the connection ends, or others wait for its thread.
    ///
    /// # Errors
    /// The peer broke off, or was silent for too long.
    pub(super) fn serve(&mut self, others: &Others) -> io::Result<()> {
        while let Some(request) = self.read_request()? {
            let request = match request {
                Ok(request) => request,
                Err(status) => return self.refuse(status),
            };
            if request.method == Method::Other {
                return self.refuse(405);
            }
            let wanted = &request.wanted;
            let fetched = || fetch(self.files, self.origin, wanted);
            let (object, hit) = match self.files.obtain(&wanted.key(), fetched) {
                Ok(found) => found,
                Err(fault) => return self.refuse(fault.status()),
            };
            let close = request.wants_close || others.wait();
            self.answer(&request, &object, hit, close)?;
            if close {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads a head, or the status of its refusal; `None` at the end of the stream.
    fn read_request(&mut self) -> io::Result<Option<Result<Request, u16>>> {
        loop {
            match parse_request(&self.input, &self.limits) {
                Ok(Some(head)) => {
                    let request = Request::of(&head);
                    let head_bytes = head.head_bytes;
                    self.input.drain(..head_bytes);
                    return Ok(Some(Ok(request)));
                }
                Ok(None) => {}
                Err(reject) => return Ok(Some(Err(reject.status()))),
            }
            let mut block = [0; READ_BYTES];
            let count = self.stream.read(&mut block)?;
            if count == 0 {
                return Ok(None);
            }
            self.input.extend_from_slice(&block[..count]);
        }
    }

    /// Head and body: what fits the buffer beside the head goes out in one `write`.
    fn answer(
        &mut self,
        request: &Request,
        object: &Arc<Object>,
        hit: bool,
        close: bool,
    ) -> io::Result<()> {
        let matches = object.status == 200 && request.has(object.entity_tag.as_deref());
        let status = if matches { 304 } else { object.status };
        let bodiless = matches!(status, 204 | 304);
        self.head.clear();
        let mut head = HeadWriter::response(&mut self.head, status);
        head.raw_lines(&object.lines);
        head.field_u64("Age", object.age_now().as_secs());
        head.field("Via", b"1.1 threadpool");
        let outcome: &[u8] = if hit { b"threadpool; hit" } else { b"threadpool; fwd=uri-miss" };
        head.field("Cache-Status", outcome);
        if close {
            head.field("Connection", b"close");
        }
        if !bodiless {
            head.field_u64("Content-Length", object.length_bytes);
        }
        head.finish();
        if bodiless || request.method == Method::Head {
            return self.stream.write_all(&self.head);
        }
        let mut file = object.open()?;
        let mut left = object.length_bytes;
        let Some((front, _)) = self.buffer.split_at_mut_checked(self.head.len()) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        front.copy_from_slice(&self.head);
        let mut filled = front.len();
        loop {
            let room = self.buffer.get_mut(filled..).unwrap_or_default();
            let take = usize::try_from(left).map_or(room.len(), |left| left.min(room.len()));
            let read = if take > 0 { file.read(&mut room[..take])? } else { 0 };
            if read == 0 && take > 0 {
                // The file is shorter than it was: only an end can still tell the peer.
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= read as u64;
            self.stream.write_all(&self.buffer[..filled + read])?;
            filled = 0;
            if left == 0 {
                return Ok(());
            }
        }
    }

    /// A short answer that ends the connection.
    fn refuse(&mut self, status: u16) -> io::Result<()> {
        self.head.clear();
        let mut head = HeadWriter::response(&mut self.head, status);
        if status == 405 {
            head.field("Allow", b"GET, HEAD");
        }
        head.field("Connection", b"close");
        head.field_u64("Content-Length", 0);
        head.finish();
        self.stream.write_all(&self.head)
    }
}

impl Request {
    fn of(head: &RequestHead<'_>) -> Self {
        let method = match (head.method, head.framing) {
            ("GET", BodyFraming::None) => Method::Get,
            ("HEAD", BodyFraming::None) => Method::Head,
            _ => Method::Other,
        };
        let path = match head.target.path_and_query {
            path if path.starts_with('/') => path.to_owned(),
            query => format!("/{query}"),
        };
        Self {
            method,
            wanted: Wanted { host: head.target.authority.to_ascii_lowercase(), path },
            if_none_match: head.fields.first("if-none-match").map(<[u8]>::to_vec),
            // HTTP/1.0 has no keep-alive here.
            wants_close: head.wants_close || head.version == Version::Http10,
        }
    }

    /// Whether the client has what bears this tag (RFC 9110 section 13.1.2: weak comparison).
    fn has(&self, tag: Option<&[u8]>) -> bool {
        let weak = |tag: &'_ [u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
        let (Some(list), Some(tag)) = (&self.if_none_match, tag) else { return false };
        let mut members = list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        members.any(|member| member == b"*" || weak(member) == weak(tag))
    }
}

/// How long a connection may say nothing, as the peers of the comparison have it.
const IDLE_MAX: Duration = Duration::from_secs(3600);
/// How long a peer may leave what is sent to it.
const WRITE_MAX: Duration = Duration::from_secs(60);
/// Bytes of the socket that are read at a time.
const READ_BYTES: usize = 4096;
