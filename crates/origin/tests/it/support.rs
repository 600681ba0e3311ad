//! An origin that does exactly what its script says, and a client for it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use longhold_origin::fill::Runtime;
use longhold_origin::{
    FetchError, OriginConfig, OriginPool, OriginRequest, OriginResponse, OriginUrl, RequestBody,
    Scheme, fill,
};

/// A listening origin whose script runs in a thread; the drop waits for its end.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    script: Option<JoinHandle<()>>,
}

/// The origin's side of the stage.
pub(crate) struct Stage(TcpListener);

/// The origin's side of one connection.
pub(crate) struct Peer(pub(crate) TcpStream);

impl Origin {
    pub(crate) fn play(script: impl FnOnce(Stage) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script = std::thread::spawn(move || script(Stage(listener)));
        Self { address, script: Some(script) }
    }

    /// One connection that answers each request with the next of `answers`, then closes.
    pub(crate) fn answering(answers: Vec<&'static str>) -> Self {
        Self::play(move |stage| {
            let mut peer = stage.accept();
            for answer in answers {
                peer.head();
                peer.send(answer);
            }
        })
    }

    pub(crate) fn url(&self) -> OriginUrl {
        url(self.address)
    }

    pub(crate) fn pool(&self) -> OriginPool {
        OriginPool::new(self.config()).unwrap()
    }

    pub(crate) fn config(&self) -> OriginConfig {
        OriginConfig::new(vec![self.url()])
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let ended = self.script.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

impl Stage {
    pub(crate) fn accept(&self) -> Peer {
        let mut wait = [PollFd::new(&self.0, PollFlags::IN)];
        let limit = Timespec::try_from(WATCHDOG).unwrap();
        assert_eq!(poll(&mut wait, Some(&limit)).unwrap(), 1, "the edge does not connect");
        let (stream, _) = self.0.accept().unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        Peer(stream)
    }
}

impl Peer {
    /// A request head, with its empty line.
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            assert_eq!(self.0.read(&mut byte).unwrap(), 1, "no head: {head:?}");
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// The next `length` bytes.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// Closes by a reset, whatever was read or sent.
    pub(crate) fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.0, Some(Duration::ZERO)).unwrap();
    }

    /// Waits until the edge has closed, and drops what it still sends.
    pub(crate) fn ended(&mut self) {
        let mut rest = [0; 4096];
        loop {
            match self.0.read(&mut rest) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
                Err(error) => panic!("the edge did not close: {error}"),
            }
        }
    }
}

/// Runs a client on this thread's fill plane. A test that waits for ever fails.
pub(crate) fn run<T>(client: impl Future<Output = T>) -> T {
    let watched = async { tokio::time::timeout(WATCHDOG, client).await };
    fill::run(Runtime::Uring { entries: 8 }, watched).expect("io_uring").expect("the client hangs")
}

/// The same without a ring.
pub(crate) fn run_plain<T>(client: impl Future<Output = T>) -> T {
    let watched = async { tokio::time::timeout(WATCHDOG, client).await };
    fill::run(Runtime::Plain, watched).expect("a runtime").expect("the client hangs")
}

pub(crate) fn url(address: SocketAddr) -> OriginUrl {
    OriginUrl { scheme: Scheme::Http, host: address.ip().to_string(), port: address.port() }
}

pub(crate) fn request(method: Method) -> OriginRequest {
    let fields = HeaderMap::from_iter([(HOST, HeaderValue::from_static("site.example"))]);
    let (path_and_query, body) = ("/p?q".into(), RequestBody::Empty);
    OriginRequest { method, path_and_query, fields, body, on_interim: None }
}

pub(crate) fn get() -> OriginRequest {
    request(Method::GET)
}

/// Fetches with GET and reads to the end: the body, and whether the connection was a pooled one.
pub(crate) async fn read(pool: &OriginPool) -> Result<(String, bool), FetchError> {
    let mut response = pool.fetch(get()).await?;
    assert_eq!(response.status, StatusCode::OK);
    let reused = response.reused;
    Ok((text(&mut response).await?, reused))
}

pub(crate) async fn text(response: &mut OriginResponse) -> Result<String, FetchError> {
    let mut body = Vec::new();
    while let Some(piece) = response.body.next().await {
        body.extend_from_slice(&piece?);
    }
    assert!(response.body.next().await.is_none(), "the end stays the end");
    Ok(String::from_utf8(body).unwrap())
}

/// Waits for a condition that another task or the kernel brings about.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub(crate) const OK_A: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
pub(crate) const OK_B: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb";

/// Longer than any wait in these tests.
const WATCHDOG: Duration = Duration::from_secs(20);
