//! A client on a bare socket: it says exact bytes, and knows a whole response from a cut one.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::PATIENCE;
use super::secure::Stream;

/// One connection to the edge.
pub(crate) struct Client {
    stream: Stream,
    /// Received, and not yet part of a response.
    received: Vec<u8>,
    /// A head has been read, and its body not to its end.
    inside: bool,
}

/// A response head, and of its body what came.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The status line as it came.
    pub(crate) line: String,
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// How a body's end is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// The connection ended inside a response.
#[derive(Debug)]
pub(crate) struct Cut {
    /// What of its body had come; `None` when not even the head was whole.
    pub(crate) body: Option<Vec<u8>>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("the edge listens")
    }

    /// A connection, if somebody listens there.
    pub(crate) fn try_connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout above zero");
        stream.set_nodelay(true).expect("a TCP socket");
        Some(Self::over(Stream::Plain(stream)))
    }

    /// A client whose connection is there already.
    pub(super) fn over(stream: Stream) -> Self {
        Self { stream, received: Vec::new(), inside: false }
    }

    /// The connection, for what only its protocol knows.
    pub(crate) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// The same connection, on which little comes before it is read.
    pub(crate) fn narrow(self) -> Self {
        rustix::net::sockopt::set_socket_recv_buffer_size(self.stream.socket(), 64 << 10)
            .expect("TCP");
        self
    }

    /// Says exactly these bytes.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the edge takes what the client says");
    }

    /// Says as much as the edge takes before it closes; whether that was all.
    pub(crate) fn try_say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Asks for a target of `play.test`, with these field lines besides `Host`.
    pub(crate) fn ask(&mut self, method: &str, target: &str, fields: &[&str]) {
        self.say(request(method, target, fields));
    }

    /// GET, and the whole response.
    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.get_with(target, &[])
    }

    /// GET with these field lines, and the whole response.
    pub(crate) fn get_with(&mut self, target: &str, fields: &[&str]) -> Response {
        self.ask("GET", target, fields);
        self.response()
    }

    /// HEAD, and the head of the response.
    pub(crate) fn head(&mut self, target: &str) -> Response {
        self.ask("HEAD", target, &[]);
        self.response_head()
    }

    /// The next response, whole.
    pub(crate) fn response(&mut self) -> Response {
        match self.try_response() {
            Ok(response) => response,
            Err(cut) => panic!("cut response, of whose body came {:?}", cut.body.map(|b| b.len())),
        }
    }

    /// The next response, or how it was cut.
    pub(crate) fn try_response(&mut self) -> Result<Response, Cut> {
        let mut response = self.try_head().ok_or(Cut { body: None })?;
        match self.rest_of(&mut response) {
            true => Ok(response),
            false => Err(Cut { body: Some(response.body) }),
        }
    }

    /// The head of the next response; of the body nothing is read.
    pub(crate) fn response_head(&mut self) -> Response {
        self.inside = true;
        self.try_head().expect("a head before the end")
    }

    /// Whether a head was read by [`Self::response_head`].
    pub(crate) fn is_inside(&self) -> bool {
        self.inside
    }

    /// Reads the rest of a body whose head was read before; whether it came to its end.
    pub(crate) fn rest_of(&mut self, response: &mut Response) -> bool {
        match response.framing() {
            Framing::Length(len) => self.read_length(len, &mut response.body),
            Framing::Chunked => self.read_chunks(&mut response.body),
            Framing::UntilClose => {
                let clean = self.read_to_end();
                response.body.append(&mut self.received);
                clean
            }
        }
    }

    /// Waits for exactly so many bytes, whatever they are.
    pub(crate) fn hear(&mut self, len: usize) -> Vec<u8> {
        assert!(self.fill_to(len), "{} of {len} bytes came", self.received.len());
        self.received.drain(..len).collect()
    }

    /// Waits for these very bytes, read by way of `some`: for clients by the thousand.
    pub(crate) fn hears_by(&mut self, mut expected: &[u8], some: &mut [u8]) {
        let come = self.received.len().min(expected.len());
        assert!(self.received[..come] == expected[..come]);
        self.received.drain(..come);
        expected = &expected[come..];
        while !expected.is_empty() {
            let most = some.len().min(expected.len());
            let read = self.stream.read(&mut some[..most]).expect("bytes come");
            assert!(read > 0 && some[..read] == expected[..read]);
            expected = &expected[read..];
        }
    }

    /// Waits for a line; returns it without its end.
    pub(crate) fn hear_line(&mut self) -> String {
        loop {
            if let Some(at) = find(&self.received, b"\r\n") {
                let line = self.hear(at + 2);
                return String::from_utf8(line[..at].to_vec()).expect("a line of text");
            }
            assert!(self.fill_to(self.received.len() + 1), "the line has an end");
        }
    }

    /// Waits for these very bytes.
    pub(crate) fn hears(&mut self, expected: impl AsRef<[u8]>) {
        let heard = self.hear(expected.as_ref().len());
        assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(expected.as_ref()));
    }

    /// The edge closes the connection, by its end or by a reset, and has said nothing more.
    pub(crate) fn sees_the_end(&mut self) {
        self.read_to_end();
        assert_eq!(String::from_utf8_lossy(&self.received), "");
    }

    /// Closes its own half.
    pub(crate) fn half_close(&mut self) {
        self.stream.end();
        self.stream.socket().shutdown(Shutdown::Write).expect("an open socket");
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        let now = Some(std::time::Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(self.stream.socket(), now).expect("a TCP socket");
    }

    /// The same connection once more, for one who speaks while another listens.
    pub(crate) fn second(&self) -> Self {
        Self::over(Stream::Plain(self.mouth()))
    }

    /// Reads all that comes until the edge closes the connection, however it does.
    pub(crate) fn drain_to_end(&mut self) {
        self.read_to_end();
        self.received.clear();
    }

    /// A second handle on the connection, to say something while this one listens.
    pub(crate) fn mouth(&self) -> TcpStream {
        self.stream.socket().try_clone().expect("a descriptor")
    }

    fn try_head(&mut self) -> Option<Response> {
        loop {
            if let Some(at) = find(&self.received, b"\r\n\r\n") {
                let head: Vec<u8> = self.received.drain(..at + 4).collect();
                return Some(Response::parse(&head[..at]));
            }
            if !self.fill_to(self.received.len() + 1) {
                return None;
            }
        }
    }

    fn read_length(&mut self, len: usize, body: &mut Vec<u8>) -> bool {
        let left = len - body.len();
        let whole = self.fill_to(left);
        let come = left.min(self.received.len());
        body.extend(self.received.drain(..come));
        whole
    }

    /// RFC 9112 section 7.1, strictly: no extensions, no trailers, as the edge writes it.
    fn read_chunks(&mut self, body: &mut Vec<u8>) -> bool {
        loop {
            let Some(at) = find(&self.received, b"\r\n") else {
                if self.fill_to(self.received.len() + 1) {
                    continue;
                }
                return false;
            };
            let line = String::from_utf8(self.received[..at].to_vec()).expect("a chunk's size");
            let len = usize::from_str_radix(&line, 16).expect("a chunk's size");
            let whole = self.fill_to(at + 2 + len + 2);
            let come = (self.received.len() - at - 2).min(len);
            body.extend_from_slice(&self.received[at + 2..][..come]);
            if !whole {
                return false;
            }
            assert_eq!(&self.received[at + 2 + len..][..2], b"\r\n", "the end of a chunk");
            self.received.drain(..at + 2 + len + 2);
            if len == 0 {
                return true;
            }
        }
    }

    /// Reads until `len` bytes are there; false when the connection ends before.
    fn fill_to(&mut self, len: usize) -> bool {
        let mut some = vec![0; 64 * 1024];
        while self.received.len() < len {
            match self.stream.read(&mut some) {
                Ok(0) => return false,
                Ok(read) => self.received.extend_from_slice(&some[..read]),
                Err(fault) if is_end(fault.kind()) => return false,
                Err(fault) => panic!("nothing came: {fault}"),
            }
        }
        true
    }

    /// Reads all that comes; whether the end was a clean one.
    fn read_to_end(&mut self) -> bool {
        let mut some = vec![0; 64 * 1024];
        loop {
            match self.stream.read(&mut some) {
                Ok(0) => return true,
                Ok(read) => self.received.extend_from_slice(&some[..read]),
                Err(fault) if is_end(fault.kind()) => return false,
                Err(fault) => panic!("the connection did not end: {fault}"),
            }
        }
    }
}

impl Response {
    fn parse(head: &[u8]) -> Self {
        let text = std::str::from_utf8(head).expect("a head of text");
        let mut lines = text.split("\r\n");
        let line = lines.next().expect("a status line").to_owned();
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(": ").expect("a field line");
            (name.to_ascii_lowercase(), value.to_owned())
        });
        Self { status: status.expect("a status"), fields: fields.collect(), body: Vec::new(), line }
    }

    /// The value of the one line of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields(name);
        let value = values.next();
        assert_eq!(values.next(), None, "{name} in more than one line");
        value
    }

    /// All values of that name.
    pub(crate) fn fields(&self, name: &str) -> impl Iterator<Item = &str> {
        let lower = name.to_ascii_lowercase();
        self.fields.iter().filter(move |(known, _)| *known == lower).map(|(_, value)| &**value)
    }

    /// `Cache-Status` without what changes with time.
    pub(crate) fn cache(&self) -> String {
        let status = self.field("Cache-Status").unwrap_or("");
        let parts = status.split("; ").filter(|part| !part.starts_with("ttl="));
        parts.collect::<Vec<_>>().join("; ")
    }

    /// Whether the store alone answered.
    pub(crate) fn is_hit(&self) -> bool {
        self.cache() == "longhold; hit"
    }

    /// `Age` in seconds.
    pub(crate) fn age_s(&self) -> Option<u64> {
        self.field("Age").map(|age| age.parse().expect("a number of seconds"))
    }

    fn framing(&self) -> Framing {
        let length = self.field("Content-Length");
        match (self.field("Transfer-Encoding"), length) {
            _ if self.status == 204 || self.status == 304 => Framing::Length(0),
            (Some("chunked"), None) => Framing::Chunked,
            (None, Some(length)) => Framing::Length(length.parse().expect("a length")),
            (None, None) => Framing::UntilClose,
            (coding, length) => panic!("framed by {coding:?} and {length:?}"),
        }
    }
}

/// A request for a target of `play.test`.
pub(crate) fn request(method: &str, target: &str, fields: &[&str]) -> String {
    let lines: String = fields.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: play.test\r\n{lines}\r\n")
}

/// How the end of a connection looks to one who reads.
fn is_end(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
