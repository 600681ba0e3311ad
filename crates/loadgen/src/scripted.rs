//! For tests: a server whose every answer a closure writes, one that speaks TLS, and transports to
//! load them with.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use longhold_tls::layer::{LayerSettings, Secured, Wire};
use longhold_tls::{Acceptor, CertificateFiles, ServerSettings};
use longhold_transport::uring::Reactor;
use longhold_transport::{Config, Transport as _, bind_listeners};

use crate::content::Content;
use crate::echo::Echo;
use crate::plan::Aim;
use crate::target::{Outgoing, Target};

/// One request, as a script sees it.
pub(crate) struct Asked {
    /// Number of the connection, in the order in which they were accepted.
    pub(crate) connection: usize,
    /// Number of the request on it, from 0.
    pub(crate) request: usize,
    /// Path and query.
    pub(crate) path: String,
    /// Where the answer goes. A script that returns false ends the connection.
    pub(crate) stream: TcpStream,
}

impl Asked {
    /// Writes bytes; a client that has gone does not matter.
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Writes the right answer, with a line of further fields.
    pub(crate) fn answer(&mut self, fields: &str) -> bool {
        self.write(right_answer(fields))
    }
}

/// The answer that [`aim`] expects.
pub(crate) fn right_answer(fields: &str) -> Vec<u8> {
    answer_of(PATH, fields)
}

/// The right answer to a request for a content path.
pub(crate) fn answer_of(path: &str, fields: &str) -> Vec<u8> {
    let content = Content::of_target(path).expect("a content path");
    let mut body = vec![0; content.length_bytes() as usize];
    content.fill(0, &mut body);
    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body].concat()
}

/// Serves connections on threads of their own until the process ends; each request is answered by
/// `script`, which returns false to end the connection.
pub(crate) fn serve(script: impl Fn(Asked) -> bool + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let script = Arc::new(script);
    thread::spawn(move || {
        for (connection, stream) in listener.incoming().enumerate() {
            let (script, stream) = (Arc::clone(&script), stream.expect("accepts"));
            stream.set_nodelay(true).expect("a TCP socket");
            thread::spawn(move || {
                for request in 0.. {
                    let stream = stream.try_clone().expect("descriptors");
                    let Some(path) = read_head(&stream) else { return };
                    if !script(Asked { connection, request, path, stream }) {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Reads one head, byte by byte, and tells its path; `None` at the end of the stream.
fn read_head(mut stream: &TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("a request is ASCII");
    Some(head.split(' ').nth(1).expect("a request line").to_owned())
}

/// An aim at the scripted server's content.
pub(crate) fn aim(address: SocketAddr) -> Aim {
    let url = format!("http://{address}{PATH}");
    Aim::new(Target::parse(&url).expect("a loopback URL"))
}

/// A transport for a few connections.
pub(crate) fn transport() -> Reactor<Outgoing> {
    Reactor::new(&Config { slots: 64, ..Config::default() }).expect("io_uring is allowed here")
}

/// A WebSocket origin over TLS on a thread of its own; it ends with the process.
pub(crate) fn secure_echo() -> SocketAddr {
    let files = tempfile::tempdir().expect("a scratch folder");
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (certificate, key) = (files.path().join("c.pem"), files.path().join("k.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let settings = ServerSettings {
        certificates: vec![CertificateFiles { certificate, key, ocsp: None, names: Vec::new() }],
        ..ServerSettings::default()
    };
    let acceptor = Arc::new(Acceptor::new(settings).expect("a certificate"));
    let address = "127.0.0.1:0".parse().expect("an address");
    let listener = bind_listeners(address, 1).expect("a free port").remove(0);
    let address = listener.address();
    thread::spawn(move || {
        let mut transport = secured();
        let listener = transport.listen(listener).expect("it listens");
        transport.secure_listener(listener, acceptor);
        let mut echo = Echo::new(transport);
        while echo.turn(None).is_ok() {}
    });
    address
}

/// The same with TLS over it.
pub(crate) fn secured() -> Secured<Reactor<Wire<Outgoing>>, Outgoing> {
    let reactor = Reactor::new(&Config { slots: 64, ..Config::default() });
    Secured::new(reactor.expect("io_uring is allowed here"), LayerSettings::default())
}

/// The path whose content is the right answer.
pub(crate) const PATH: &str = "/bytes/3000";
