//! What is missing comes from the origin, over a connection of its own, into a file.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use longhold_http1::emit::HeadWriter;
use longhold_http1::{BodyFraming, ChunkEvent, Chunked, Limits, ResponseHead, parse_response};

use super::OBJECT_BYTES_MAX;
use super::files::{Files, Head, Object};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Host and port as in the request, in lower case.
    pub(super) host: String,
    /// Path and query.
    pub(super) path: String,
}

/// Why it did not come.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The origin, or the disk, fails.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The origin does not keep to HTTP.
    #[error("the origin's answer is none")]
    Invalid,
    /// More than an object may have.
    #[error("the origin's answer is too long")]
    TooLong,
}

impl Wanted {
    /// Its key in the index. A target has no blank.
    pub(super) fn key(&self) -> String {
        format!("{} {}", self.host, self.path)
    }
}

impl Fault {
    /// The status that tells the client.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Io(error) if is_timeout(error) => 504,
            Self::Io(_) | Self::Invalid | Self::TooLong => 502,
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Asks the origin, and brings its answer into a file.
pub(super) fn fetch(files: &Files, origin: SocketAddr, wanted: &Wanted) -> Result<Object, Fault> {
    let mut stream = TcpStream::connect_timeout(&origin, CONNECT_MAX)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    let Wanted { host, path } = wanted;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nVia: 1.1 threadpool\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Answer { stream, input: Vec::new() };
    let (head, framing) = answer.head()?;
    let (mut file, body) = files.create()?;
    let length_bytes = answer.body(framing, &mut file)?;
    Ok(Object::new(head, body, length_bytes))
}

/// An answer on its way: what has come and is not used yet.
struct Answer {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Answer {
    /// Reads the final head; interim ones are passed over.
    fn head(&mut self) -> Result<(Head, BodyFraming), Fault> {
        let limits = Limits::default();
        loop {
            let parsed = parse_response(&self.input, &limits).map_err(|_| Fault::Invalid)?;
            let Some(head) = parsed else {
                if self.read_more()? == 0 {
                    return Err(Fault::Invalid);
                }
                continue;
            };
            let is_interim = head.status < 200;
            let (kept, framing, head_bytes) = (keep(&head), head.framing(false), head.head_bytes);
            self.input.drain(..head_bytes);
            if !is_interim {
                return Ok((kept, framing));
            }
        }
    }

    /// Writes the body to `file`; its length.
    fn body(&mut self, framing: BodyFraming, file: &mut File) -> Result<u64, Fault> {
        match framing {
            BodyFraming::None => Ok(0),
            BodyFraming::Length(length_bytes) => {
                self.pass(length_bytes, file)?;
                Ok(length_bytes)
            }
            BodyFraming::UntilClose => {
                let mut passed = 0;
                while !self.input.is_empty() || self.read_more()? > 0 {
                    passed += self.pass(self.input.len() as u64, file)?;
                    if passed > OBJECT_BYTES_MAX {
                        return Err(Fault::TooLong);
                    }
                }
                Ok(passed)
            }
            BodyFraming::Chunked => self.chunks(file),
        }
    }

    /// Writes the next `count` bytes to `file`.
    fn pass(&mut self, count: u64, file: &mut File) -> Result<u64, Fault> {
        if count > OBJECT_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let mut left = count;
        while left > 0 {
            if self.input.is_empty() && self.read_more()? == 0 {
                return Err(Fault::Invalid);
            }
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(self.input.len());
            file.write_all(&self.input[..take])?;
            self.input.drain(..take);
            left -= take as u64;
        }
        Ok(count)
    }

    fn chunks(&mut self, file: &mut File) -> Result<u64, Fault> {
        let (limits, mut decoder, mut passed) = (Limits::default(), Chunked::new(), 0);
        loop {
            let (used, event) = decoder.decode(&self.input, &limits).map_err(|_| Fault::Invalid)?;
            let needs_more = match event {
                ChunkEvent::NeedMore => true,
                ChunkEvent::Data(data) => {
                    file.write_all(data)?;
                    passed += data.len() as u64;
                    false
                }
                ChunkEvent::End => return Ok(passed),
            };
            if passed > OBJECT_BYTES_MAX {
                return Err(Fault::TooLong);
            }
            self.input.drain(..used);
            if needs_more && self.read_more()? == 0 {
                return Err(Fault::Invalid);
            }
        }
    }

    fn read_more(&mut self) -> io::Result<usize> {
        let mut block = [0; READ_BYTES];
        let count = self.stream.read(&mut block)?;
        self.input.extend_from_slice(&block[..count]);
        Ok(count)
    }
}

/// What of a head goes with the object.
fn keep(head: &ResponseHead<'_>) -> Head {
    let mut lines = Vec::new();
    let mut writer = HeadWriter::lines(&mut lines);
    for (name, value) in head.fields.iter() {
        if !OF_ONE_CONNECTION.iter().any(|other| name.eq_ignore_ascii_case(other)) {
            writer.field(name, value);
        }
    }
    let number = |value: &[u8]| std::str::from_utf8(value).ok()?.parse().ok();
    let age_s = head.fields.first("age").and_then(number).unwrap_or(0);
    Head {
        status: head.status,
        lines,
        entity_tag: head.fields.first("etag").map(<[u8]>::to_vec),
        lifetime: lifetime(head),
        age: Duration::from_secs(age_s),
    }
}

/// How long it may be kept: `max-age` of a 200 that nothing makes private or variable.
fn lifetime(head: &ResponseHead<'_>) -> Option<Duration> {
    let special = |name: &str| head.fields.first(name).is_some();
    if head.status != 200 || special("vary") || special("set-cookie") {
        return None;
    }
    let mut lifetime = None;
    for (name, value) in head.fields.iter() {
        if !name.eq_ignore_ascii_case("cache-control") {
            continue;
        }
        for directive in String::from_utf8_lossy(value).to_ascii_lowercase().split(',') {
            let directive = directive.trim();
            match directive.split_once('=') {
                Some(("max-age", seconds)) => lifetime = seconds.parse().ok(),
                Some(_) => {}
                None if matches!(directive, "no-store" | "no-cache" | "private") => return None,
                None => {}
            }
        }
    }
    lifetime.map(Duration::from_secs)
}

/// Fields that are of one connection, or that this server writes itself.
const OF_ONE_CONNECTION: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "age",
];
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long the origin may say nothing.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const READ_BYTES: usize = 64 * 1024;
