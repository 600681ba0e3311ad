//! An origin that does what the test says, word by word.
//!
//! Every request that reaches it becomes a [`Call`], which the test takes and answers, when and as
//! far as it likes. Whoever wants an origin that answers by itself gives it a function instead.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use longhold_http1::{ChunkEvent, Chunked, Limits};
use rustix::net::sockopt;

use super::PATIENCE;

/// A listening origin.
pub(crate) struct Origin {
    address: SocketAddr,
    calls: Receiver<Call>,
    ending: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

/// One request, and the connection on which it came.
pub(crate) struct Call {
    stream: TcpStream,
    /// Received behind the head, and not yet part of a body.
    received: Vec<u8>,
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    taker: Taker,
}

/// What becomes of a call.
type Taker = Arc<dyn Fn(Call) + Send + Sync>;

impl Origin {
    /// An origin whose every call the test takes.
    pub(crate) fn start() -> Self {
        Self::at("127.0.0.1:0".parse().expect("an address"))
    }

    /// The same, at an address where one stood before.
    pub(crate) fn at(address: SocketAddr) -> Self {
        let (sender, calls) = mpsc::channel();
        let sender = Mutex::new(sender);
        Self::with(address, calls, move |call| {
            // A test that has ended wants no more calls.
            let _ = sender.lock().expect("no panic under the lock").send(call);
        })
    }

    /// An origin that answers each call by itself; several at once.
    pub(crate) fn answering(answer: impl Fn(Call) + Send + Sync + 'static) -> Self {
        let (_, calls) = mpsc::channel();
        Self::with("127.0.0.1:0".parse().expect("an address"), calls, answer)
    }

    fn with(
        address: SocketAddr,
        calls: Receiver<Call>,
        take: impl Fn(Call) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let ending = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&ending);
        let taker: Taker = Arc::new(take);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                stream.set_nodelay(true).expect("a TCP socket");
                listen_to(stream, Vec::new(), Arc::clone(&taker));
            }
        });
        Self { address, calls, ending, accepting: Some(accepting) }
    }

    /// Its URL for a config.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request.
    pub(crate) fn call(&self) -> Call {
        self.calls.recv_timeout(PATIENCE).expect("the origin is asked")
    }

    /// The next request, which must be for this.
    pub(crate) fn call_for(&self, method: &str, target: &str) -> Call {
        let call = self.call();
        assert_eq!((call.method(), call.target()), (method, target));
        call
    }

    /// Nobody has asked anything that the test has not taken.
    pub(crate) fn was_left_alone(&self) {
        match self.calls.recv_timeout(Duration::ZERO) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(call) => panic!("the origin was asked: {} {}", call.method, call.target),
            Err(RecvTimeoutError::Disconnected) => panic!("the origin is gone"),
        }
    }

    /// Goes away: from now on connections to its address are refused. Returns the address.
    pub(crate) fn leave(self) -> SocketAddr {
        self.address
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then closes its socket.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            // Its panic has been printed.
            let _ = accepting.join();
        }
    }
}

impl Call {
    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
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

    /// The edge's end of the connection, which names it.
    pub(crate) fn connection(&self) -> SocketAddr {
        self.stream.peer_addr().expect("a connected socket")
    }

    /// Says exactly these bytes.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the edge takes what the origin says");
    }

    /// Says as much as the edge takes before it hangs up; whether that was all.
    pub(crate) fn try_say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Says these bytes, which end a response, and goes on with the next request.
    pub(crate) fn answer(mut self, bytes: impl AsRef<[u8]>) {
        self.say(bytes);
        self.done();
    }

    /// The response has been said: the connection waits for the next request.
    pub(crate) fn done(self) {
        let Self { stream, received, taker, .. } = self;
        listen_to(stream, received, taker);
    }

    /// Closes the connection.
    pub(crate) fn hang_up(self) {}

    /// Resets the connection.
    pub(crate) fn reset(self) {
        sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).expect("a TCP socket");
    }

    /// Waits until the edge has closed the connection; returns what it had said before.
    pub(crate) fn sees_the_end(mut self) -> Vec<u8> {
        let mut some = [0; 4096];
        loop {
            match self.stream.read(&mut some) {
                Ok(0) => return self.received,
                Ok(read) => self.received.extend_from_slice(&some[..read]),
                Err(fault) if fault.kind() == ErrorKind::ConnectionReset => return self.received,
                Err(fault) => panic!("the edge did not hang up: {fault}"),
            }
        }
    }

    /// Reads the request's body to its end, by its framing.
    pub(crate) fn body(&mut self) -> Vec<u8> {
        match (self.field("Transfer-Encoding"), self.field("Content-Length")) {
            (None, None) => Vec::new(),
            (None, Some(length)) => self.hear(length.parse().expect("a length")),
            (Some("chunked"), None) => self.hear_chunks(),
            (coding, length) => panic!("framed by {coding:?} and {length:?}"),
        }
    }

    /// Reads the request's body; `None` when the connection ends inside it.
    pub(crate) fn try_body(&mut self) -> Option<Vec<u8>> {
        let length = self.field("Content-Length").map(|length| length.parse().expect("a length"));
        let mut body = match (self.field("Transfer-Encoding"), length) {
            (None, None | Some(0)) => return Some(Vec::new()),
            (None, Some(length)) => Reading::Length(length),
            (Some("chunked"), None) => Reading::Chunked(Chunked::new(), Vec::new()),
            (coding, length) => panic!("framed by {coding:?} and {length:?}"),
        };
        loop {
            if let Some(whole) = body.look(&mut self.received) {
                return Some(whole);
            }
            let mut some = [0; 16 * 1024];
            match self.stream.read(&mut some) {
                Ok(0) => return None,
                Ok(read) => self.received.extend_from_slice(&some[..read]),
                Err(fault) if fault.kind() == ErrorKind::ConnectionReset => return None,
                Err(fault) => panic!("the body goes on and does not come: {fault}"),
            }
        }
    }

    /// Reads so many bytes of what follows the head.
    pub(crate) fn hear(&mut self, len: usize) -> Vec<u8> {
        while self.received.len() < len {
            assert!(self.read_some(), "{} of {len} bytes came", self.received.len());
        }
        self.received.drain(..len).collect()
    }

    /// Waits for the end of what the edge says, and returns what came before it; the connection
    /// stays open the other way.
    pub(crate) fn hear_end(&mut self) -> Vec<u8> {
        while self.read_some() {}
        std::mem::take(&mut self.received)
    }

    fn hear_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.hear_line();
            let len = usize::from_str_radix(&line, 16).expect("a chunk's size");
            body.extend(self.hear(len));
            assert_eq!(self.hear_line(), "", "the end of a chunk");
            if len == 0 {
                return body;
            }
        }
    }

    fn hear_line(&mut self) -> String {
        loop {
            if let Some(at) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.received.drain(..at + 2).take(at).collect();
                return String::from_utf8(line).expect("a line of text");
            }
            assert!(self.read_some(), "the line has an end");
        }
    }

    fn read_some(&mut self) -> bool {
        let mut some = [0; 16 * 1024];
        let read = self.stream.read(&mut some).expect("the edge goes on");
        self.received.extend_from_slice(&some[..read]);
        read > 0
    }
}

/// A body on its way.
enum Reading {
    Length(usize),
    Chunked(Chunked, Vec<u8>),
}

impl Reading {
    /// Takes what belongs to the body; the body, when that was all of it.
    fn look(&mut self, received: &mut Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Self::Length(length) => {
                (received.len() >= *length).then(|| received.drain(..*length).collect())
            }
            Self::Chunked(decoder, body) => loop {
                let (used, event) =
                    decoder.decode(received, &Limits::default()).expect("chunks of the edge");
                let has_more = match event {
                    ChunkEvent::Data(data) => {
                        body.extend_from_slice(data);
                        true
                    }
                    ChunkEvent::NeedMore | ChunkEvent::End => false,
                };
                received.drain(..used);
                if !has_more {
                    return decoder.is_done().then(|| std::mem::take(body));
                }
            },
        }
    }
}

/// Waits for the next request on a connection, on a thread of its own.
fn listen_to(mut stream: TcpStream, mut received: Vec<u8>, taker: Taker) {
    thread::spawn(move || {
        let end = loop {
            if let Some(at) = received.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            let mut some = [0; 16 * 1024];
            match stream.read(&mut some) {
                // The edge needs the connection no more.
                Ok(0) | Err(_) => return,
                Ok(read) => received.extend_from_slice(&some[..read]),
            }
        };
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        received.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let mut line = lines.next().expect("a request line").split(' ').map(str::to_owned);
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(':').expect("a field line");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        let fields = fields.collect();
        let (method, target) = (line.next().expect("a method"), line.next().expect("a target"));
        taker(Call { stream, received, method, target, fields, taker: Arc::clone(&taker) });
    });
}

/// A whole response of known length: status and reason, field lines, body.
pub(crate) fn reply(status: &str, fields: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let lines: String = fields.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
