//! One connection of the origin: requests in, scripted answers out, over blocking sockets.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::SystemTime;

use longhold_http1::emit::{self, HeadWriter};
use longhold_http1::{BodyFraming, ChunkEvent, Chunked, Limits, RequestHead, parse_request};
use longhold_policy::date;
use xxhash_rust::xxh3::Xxh3;

use super::Stats;
use super::script::{HELP, Script};

/// A connection with what was read from it and not used yet.
pub(super) struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    limits: Limits,
}

/// What matters of a request once its head is gone from the buffer.
struct Request {
    method: Method,
    target: String,
    if_none_match: Option<String>,
    framing: BodyFraming,
    expects_continue: bool,
    wants_close: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Head,
    Upload,
    Other,
}

/// A request body that was read and dropped.
struct Received {
    bytes: u64,
    hash: u64,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, input: Vec::new(), limits: Limits::default() }
    }

    /// Serves one request; false when the connection is to end.
    pub(super) fn serve_one(&mut self, stats: &Stats) -> io::Result<bool> {
        let request = match self.read_request()? {
            Some(Ok(request)) => request,
            Some(Err(reason)) => {
                self.answer_text(400, &format!("{reason}\n"), true)?;
                return Ok(false);
            }
            None => return Ok(false),
        };
        stats.requests.fetch_add(1, Ordering::Relaxed);
        if request.expects_continue {
            self.stream.write_all(emit::CONTINUE)?;
        }
        let Some(received) = self.read_body(request.framing)? else { return Ok(false) };
        match Script::parse(&request.target) {
            Ok(Some(script)) if request.method != Method::Other => self.play(&request, &script),
            Ok(_) => self.answer_page(&request, &received, stats),
            Err(reason) => self.answer_text(400, &format!("{reason}\n"), request.wants_close),
        }?;
        Ok(!request.wants_close)
    }

    /// Reads a head; `None` at the end of the stream or after too long a silence.
    fn read_request(&mut self) -> io::Result<Option<Result<Request, String>>> {
        loop {
            match parse_request(&self.input, &self.limits) {
                Ok(Some(head)) => {
                    let request = Request::of(&head);
                    let head_bytes = head.head_bytes;
                    self.input.drain(..head_bytes);
                    return Ok(Some(Ok(request)));
                }
                Ok(None) => {}
                Err(reject) => return Ok(Some(Err(reject.to_string()))),
            }
            if !self.read_more()? {
                return Ok(None);
            }
        }
    }

    /// Reads and drops a body; `None` when it broke off or broke the rules of its framing.
    fn read_body(&mut self, framing: BodyFraming) -> io::Result<Option<Received>> {
        let mut hasher = Xxh3::new();
        let mut bytes = 0;
        match framing {
            BodyFraming::None | BodyFraming::UntilClose => {}
            BodyFraming::Length(length) => {
                while bytes < length {
                    if self.input.is_empty() && !self.read_more()? {
                        return Ok(None);
                    }
                    let left = usize::try_from(length - bytes).unwrap_or(usize::MAX);
                    let take = self.input.len().min(left);
                    hasher.update(&self.input[..take]);
                    self.input.drain(..take);
                    bytes += take as u64;
                }
            }
            BodyFraming::Chunked => {
                let mut decoder = Chunked::new();
                loop {
                    let decoded = decoder.decode(&self.input, &self.limits);
                    let Ok((used, event)) = decoded else { return Ok(None) };
                    let needs_more = match event {
                        ChunkEvent::NeedMore => true,
                        ChunkEvent::Data(data) => {
                            hasher.update(data);
                            bytes += data.len() as u64;
                            false
                        }
                        ChunkEvent::End => {
                            self.input.drain(..used);
                            break;
                        }
                    };
                    self.input.drain(..used);
                    if needs_more && !self.read_more()? {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(Some(Received { bytes, hash: hasher.digest() }))
    }

    fn read_more(&mut self) -> io::Result<bool> {
        let mut block = [0; READ_BYTES];
        let count = self.stream.read(&mut block)?;
        self.input.extend_from_slice(&block[..count]);
        Ok(count > 0)
    }

    /// Answers as the script says.
    fn play(&mut self, request: &Request, script: &Script) -> io::Result<()> {
        thread::sleep(script.delay);
        let tag = script.entity_tag();
        let matches = script.etag && request.if_none_match.as_deref() == Some(&tag);
        let status = if matches { 304 } else { script.status };
        let mut head_bytes = Vec::with_capacity(512);
        let mut head = HeadWriter::response(&mut head_bytes, status);
        head.field("Date", &date::format(unix_s()));
        head.field("Content-Type", b"application/octet-stream");
        if script.etag {
            head.field("ETag", tag.as_bytes());
        }
        if let Some(value) = &script.cache_control {
            head.field("Cache-Control", value.as_bytes());
        }
        if let Some(value) = &script.vary {
            head.field("Vary", value.as_bytes());
        }
        if script.close || request.wants_close {
            head.field("Connection", b"close");
        }
        let has_body = !matches!(status, 204 | 304);
        if has_body && script.chunked {
            head.field("Transfer-Encoding", b"chunked");
        } else if has_body {
            head.field_u64("Content-Length", script.content.length_bytes());
        }
        head.finish();
        self.stream.write_all(&head_bytes)?;
        if has_body && request.method != Method::Head {
            self.write_content(script)?;
        }
        if script.close { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Writes the body, or the part of it before the cut, which ends the connection.
    fn write_content(&mut self, script: &Script) -> io::Result<()> {
        let length_bytes = script.content.length_bytes();
        let end = script.cut_bytes.unwrap_or(length_bytes).min(length_bytes);
        let mut block = vec![0; WRITE_BYTES];
        let mut offset = 0;
        while offset < end {
            let take =
                usize::try_from(end - offset).map_or(WRITE_BYTES, |left| left.min(WRITE_BYTES));
            let piece = &mut block[..take];
            script.content.fill(offset, piece);
            if script.chunked {
                let mut line = [0; emit::CHUNK_HEADER_BYTES_MAX];
                self.stream.write_all(emit::chunk_header(take as u64, &mut line))?;
            }
            self.stream.write_all(piece)?;
            if script.chunked {
                self.stream.write_all(emit::CRLF)?;
            }
            offset += take as u64;
        }
        if script.cut_bytes.is_some() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if script.chunked {
            self.stream.write_all(emit::LAST_CHUNK)?;
        }
        // What no response has announced: it must not become a part of the next one.
        self.stream.write_all(&b"extra ".repeat(script.extra_bytes.div_ceil(6) as usize))
    }

    fn answer_page(
        &mut self,
        request: &Request,
        received: &Received,
        stats: &Stats,
    ) -> io::Result<()> {
        let path = request.target.split_once('?').map_or(&*request.target, |(path, _)| path);
        let mut text = String::new();
        let status = match (request.method, path) {
            (Method::Upload, "/upload") => {
                let Received { bytes, hash } = received;
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{{\"received_bytes\":{bytes},\"hash\":\"{hash:016x}\"}}");
                200
            }
            (Method::Get | Method::Head, "/stats") => {
                let count =
                    |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
                let _ = writeln!(
                    text,
                    "{{\"requests\":{},\"accepted\":{},\"open\":{},\"refused\":{}}}",
                    count(&stats.requests),
                    count(&stats.accepted),
                    count(&stats.open),
                    count(&stats.refused)
                );
                200
            }
            (Method::Get | Method::Head, "/") => {
                text.push_str(HELP);
                200
            }
            (Method::Other | Method::Upload, _) => 405,
            (Method::Get | Method::Head, _) => 404,
        };
        if request.method == Method::Head {
            text.clear();
        }
        self.answer_text(status, &text, request.wants_close)
    }

    /// A short answer that no cache may keep.
    fn answer_text(&mut self, status: u16, text: &str, close: bool) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(256 + text.len());
        let mut head = HeadWriter::response(&mut bytes, status);
        head.field("Date", &date::format(unix_s()));
        head.field("Content-Type", b"text/plain");
        head.field("Cache-Control", b"no-store");
        head.field_u64("Content-Length", text.len() as u64);
        if close {
            head.field("Connection", b"close");
        }
        head.finish();
        bytes.extend_from_slice(text.as_bytes());
        self.stream.write_all(&bytes)
    }
}

impl Request {
    fn of(head: &RequestHead<'_>) -> Self {
        let tag = head.fields.first("if-none-match");
        Self {
            method: match head.method {
                "GET" => Method::Get,
                "HEAD" => Method::Head,
                "POST" | "PUT" => Method::Upload,
                _ => Method::Other,
            },
            target: head.target.path_and_query.to_owned(),
            if_none_match: tag.map(|value| String::from_utf8_lossy(value).into_owned()),
            framing: head.framing,
            expects_continue: head.expect_continue,
            wants_close: head.wants_close,
        }
    }
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

const READ_BYTES: usize = 16 * 1024;
const WRITE_BYTES: usize = 64 * 1024;
