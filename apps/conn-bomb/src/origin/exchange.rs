//! One connection of the origin: requests in, scripted answers out, over blocking sockets.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, SystemTime};

use longhold_http1::emit::{self, HeadWriter};
use longhold_http1::{BodyFraming, ChunkEvent, Chunked, Limits, RequestHead, parse_request};
use longhold_loadgen::events;
use longhold_policy::date;
use longhold_policy::range::{RangeChoice, select};
use longhold_policy::validate::Validators;
use rustix::net::sockopt::set_socket_linger;
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
    range: Option<Vec<u8>>,
    if_range: Option<Vec<u8>>,
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

/// How a scripted answer goes on from here.
struct Choice {
    status: u16,
    /// What is sent of the content; `None` where there is no body.
    part: Option<Range<u64>>,
    content_range: Option<String>,
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
        if request.method == Method::Get
            && let Some(interval_ms) = events::interval_ms(&request.target)
        {
            self.stream_events(Duration::from_millis(interval_ms.into()))?;
            return Ok(false);
        }
        match Script::parse(&request.target) {
            Ok(Some(script)) if request.method != Method::Other => self.play(&request, &script),
            Ok(_) => self.answer_page(&request, &received, stats),
            Err(reason) => self.answer_text(400, &format!("{reason}\n"), request.wants_close),
        }?;
        Ok(!request.wants_close)
    }

    /// Sends numbered events until the client leaves, or says something.
    fn stream_events(&mut self, interval: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(interval))?;
        let mut bytes = events::stream_head().into_bytes();
        for number in 1.. {
            events::write_chunk(number, &mut bytes);
            self.stream.write_all(&bytes)?;
            bytes.clear();
            let left = self.stream.read(&mut [0]).map_err(|error| error.kind());
            if !matches!(left, Err(io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)) {
                break;
            }
        }
        Ok(())
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
        let choice = Choice::of(request, script);
        let head = choice.head(request, script);
        if let Some(cut_bytes) = script.cut_head_bytes {
            self.stream.write_all(head.get(..cut_bytes).unwrap_or(&head))?;
            return self.break_off(script);
        }
        self.stream.write_all(&head)?;
        if let Some(part) = choice.part.filter(|_| request.method != Method::Head) {
            self.write_content(script, part)?;
        }
        if script.ends_connection() { self.break_off(script) } else { Ok(()) }
    }

    /// Writes a part of the content, or as much of it as comes before the cut, which ends the
    /// connection.
    fn write_content(&mut self, script: &Script, part: Range<u64>) -> io::Result<()> {
        let length_bytes = part.end - part.start;
        let end = part.start + script.cut_bytes.unwrap_or(length_bytes).min(length_bytes);
        let mut block = vec![0; WRITE_BYTES];
        let mut offset = part.start;
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
            return self.break_off(script);
        }
        if script.chunked {
            self.stream.write_all(emit::LAST_CHUNK)?;
        }
        // What no response has announced: it must not become a part of the next one.
        self.stream.write_all(&b"extra ".repeat(script.extra_bytes.div_ceil(6) as usize))
    }

    /// Ends the connection as the script says: with the error that this returns it is dropped.
    fn break_off(&mut self, script: &Script) -> io::Result<()> {
        if script.reset {
            // Closing without lingering is a reset.
            set_socket_linger(&self.stream, Some(Duration::ZERO))?;
        }
        Err(io::ErrorKind::ConnectionAborted.into())
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

impl Choice {
    fn of(request: &Request, script: &Script) -> Self {
        let tag = script.entity_tag();
        if script.etag && request.if_none_match.as_deref() == Some(&tag) {
            return Self { status: 304, part: None, content_range: None };
        }
        let whole_bytes = script.content.length_bytes();
        let ranged = script.ranges && script.status == 200 && request.method == Method::Get;
        let ranges = if ranged { request.ranges() } else { Vec::new() };
        let etag = script.etag.then_some(tag.as_bytes());
        let stored = Validators { etag, ..Default::default() };
        match select(&ranges, "GET", whole_bytes, &stored) {
            RangeChoice::Whole | RangeChoice::Multiple(_) => {
                let has_body = !matches!(script.status, 204 | 304);
                let part = has_body.then_some(0..whole_bytes);
                Self { status: script.status, part, content_range: None }
            }
            RangeChoice::Single(part) => {
                let told = format!("bytes {}-{}/{whole_bytes}", part.start, part.end - 1);
                Self { status: 206, part: Some(part), content_range: Some(told) }
            }
            RangeChoice::Unsatisfiable => {
                let told = format!("bytes */{whole_bytes}");
                Self { status: 416, part: Some(0..0), content_range: Some(told) }
            }
        }
    }

    fn head(&self, request: &Request, script: &Script) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        let mut head = HeadWriter::response(&mut bytes, self.status);
        head.field("Date", &date::format(unix_s()));
        head.field("Content-Type", b"application/octet-stream");
        if script.etag {
            head.field("ETag", script.entity_tag().as_bytes());
        }
        if script.ranges {
            head.field("Accept-Ranges", b"bytes");
        }
        for (name, value) in [
            ("Cache-Control", &script.cache_control),
            ("Vary", &script.vary),
            ("Content-Range", &self.content_range),
        ] {
            if let Some(value) = value {
                head.field(name, value.as_bytes());
            }
        }
        if script.ends_connection() || request.wants_close {
            head.field("Connection", b"close");
        }
        match &self.part {
            Some(_) if script.chunked => {
                head.field("Transfer-Encoding", b"chunked");
            }
            Some(part) => {
                head.field_u64("Content-Length", part.end - part.start);
            }
            None => {}
        }
        head.finish();
        bytes
    }
}

impl Request {
    /// The fields that ask for a part.
    fn ranges(&self) -> Vec<(&str, &[u8])> {
        let fields = [("range", &self.range), ("if-range", &self.if_range)];
        let there = fields.into_iter().map(|(name, value)| Some((name, value.as_deref()?)));
        there.flatten().collect()
    }

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
            range: head.fields.first("range").map(<[u8]>::to_vec),
            if_range: head.fields.first("if-range").map(<[u8]>::to_vec),
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
