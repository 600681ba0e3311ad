//! The older architecture before a scripted origin, over real sockets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use longhold_http1::{BodyFraming, Limits, parse_response};
use tempfile::TempDir;

use super::{Server, Settings};

/// A running server with its origin, and how often that was asked.
struct Setting {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _folder: TempDir,
}

/// A client connection that reads answer by answer.
struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    cache_status: String,
    closes: bool,
    body: Vec<u8>,
}

/// Serves each request to the origin with what `script` makes of its target, then closes.
fn start(threads_max: usize, script: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Setting {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let origin = listener.local_addr().expect("bound");
    let (asked, script) = (Arc::new(AtomicUsize::new(0)), Arc::new(script));
    let counted = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, script) = (stream.expect("accepts"), Arc::clone(&script));
            let counted = Arc::clone(&counted);
            thread::spawn(move || {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).expect("a whole head");
                    head.push(byte[0]);
                }
                let text = String::from_utf8(head).expect("a head is text");
                let target = text.split(' ').nth(1).expect("a target").to_owned();
                counted.fetch_add(1, Ordering::SeqCst);
                stream.write_all(&script(&target)).expect("the server listens");
            });
        }
    });
    let folder = TempDir::new().expect("a scratch folder");
    let settings = Settings { origin, threads_max };
    let server = Server::new(settings, &folder.path().join("store")).expect("a new store");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || server.serve(&listener));
    Setting { address, asked, _folder: folder }
}

impl Setting {
    fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        Client { stream, input: Vec::new() }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Client {
    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("the server listens");
    }

    fn get(&mut self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: example.org\r\n\r\n"));
        self.answer(false)
    }

    fn answer(&mut self, to_head: bool) -> Answer {
        let limits = Limits::default();
        loop {
            if let Some(head) = parse_response(&self.input, &limits).expect("a right head") {
                let value = head.fields.first("cache-status").unwrap_or_default();
                let mut answer = Answer {
                    status: head.status,
                    cache_status: String::from_utf8_lossy(value).into_owned(),
                    closes: head.wants_close,
                    body: Vec::new(),
                };
                let (head_bytes, framing) = (head.head_bytes, head.framing(to_head));
                self.input.drain(..head_bytes);
                let length = match framing {
                    BodyFraming::None => 0,
                    BodyFraming::Length(length) => usize::try_from(length).expect("fits"),
                    BodyFraming::Chunked | BodyFraming::UntilClose => panic!("{framing:?}"),
                };
                while self.input.len() < length {
                    assert!(self.read_more(), "the body breaks off");
                }
                answer.body = self.input.drain(..length).collect();
                return answer;
            }
            assert!(self.read_more(), "the head breaks off");
        }
    }

    fn read_more(&mut self) -> bool {
        let mut block = [0; 8192];
        let count = self.stream.read(&mut block).expect("an answer in time");
        self.input.extend_from_slice(&block[..count]);
        count > 0
    }

    /// The server has closed, and said nothing more.
    fn ends(&mut self) -> bool {
        self.input.is_empty() && !self.read_more()
    }
}

/// A body whose bytes depend on the target.
fn body(target: &str, length: usize) -> Vec<u8> {
    target.bytes().cycle().zip(0u8..=250).map(|(a, b)| a ^ b).cycle().take(length).collect()
}

fn kept(target: &str, length: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=600\r\nETag: \"a\"\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    [head.into_bytes(), body(target, length)].concat()
}

#[test]
fn a_miss_and_its_hits_have_the_same_bytes_on_one_connection() {
    for length in [0, 1, 1024, 65_536, 65_537, 300_000] {
        let setting = start(2, move |target| kept(target, length));
        let mut client = setting.client();
        let miss = client.get("/a");
        assert_eq!((miss.status, &*miss.cache_status), (200, "threadpool; fwd=uri-miss"));
        assert_eq!(miss.body, body("/a", length));
        for _ in 0..3 {
            let hit = client.get("/a");
            assert_eq!(&*hit.cache_status, "threadpool; hit");
            assert!(!hit.closes && hit.body == miss.body, "{length}");
        }
        assert_eq!(client.get("/b").body, body("/b", length));
        assert_eq!(setting.asked(), 2);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let setting = start(2, |target| kept(target, 10));
    let mut client = setting.client();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send(&(request("/1") + &request("/2") + &request("/1")));
    for path in ["/1", "/2", "/1"] {
        assert_eq!(client.answer(false).body, body(path, 10));
    }
}

#[test]
fn many_who_ask_at_once_are_one_request_at_the_origin() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let setting = start(16, move |target| {
        // Ends when the sender is dropped.
        let _dropped = wait.lock().expect("unbroken").recv();
        kept(target, 100_000)
    });
    let mut clients: Vec<_> = (0..8).map(|_| setting.client()).collect();
    for client in &mut clients {
        client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    drop(go);
    for client in &mut clients {
        assert_eq!(client.answer(false).body, body("/a", 100_000));
    }
    assert_eq!(setting.asked(), 1);
}

#[test]
fn bodies_come_in_any_framing_and_what_may_not_be_kept_is_not() {
    let script = |target: &str| {
        let text = match target {
            "/chunked" => {
                "Transfer-Encoding: chunked\r\nCache-Control: max-age=9\r\n\r\n\
                 3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
            }
            "/close" => "Cache-Control: max-age=9\r\n\r\nabcde",
            "/interim" => "Cache-Control: no-store, max-age=9\r\nContent-Length: 5\r\n\r\nabcde",
            "/vary" => "Vary: a\r\nCache-Control: max-age=9\r\nContent-Length: 5\r\n\r\nabcde",
            "/old" => "Age: 10\r\nCache-Control: max-age=9\r\nContent-Length: 5\r\n\r\nabcde",
            _ => "Content-Length: 5\r\n\r\nabcde",
        };
        let interim = if target == "/interim" { "HTTP/1.1 103 Early Hints\r\n\r\n" } else { "" };
        format!("{interim}HTTP/1.1 200 OK\r\n{text}").into_bytes()
    };
    for (path, requests) in
        [("/chunked", 1), ("/close", 1), ("/interim", 2), ("/vary", 2), ("/old", 2), ("/plain", 2)]
    {
        let setting = start(1, script);
        let mut client = setting.client();
        for _ in 0..2 {
            let answer = client.get(path);
            assert_eq!((answer.status, &*answer.body), (200, &b"abcde"[..]), "{path}");
        }
        assert_eq!(setting.asked(), requests, "{path}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_no_answer() {
    for broken in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nContent-Length: 5\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
    ] {
        let setting = start(1, move |_| broken.as_bytes().to_vec());
        let mut client = setting.client();
        let answer = client.get("/a");
        assert_eq!((answer.status, answer.closes), (502, true), "{broken:?}");
        assert!(client.ends());
    }
}

#[test]
fn what_is_not_for_this_server_is_refused_and_ends_the_connection() {
    let setting = start(4, |target| kept(target, 5));
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: x\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 405),
    ] {
        let mut client = setting.client();
        client.send(request);
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.closes), (status, true), "{request:?}");
    }
    assert_eq!(setting.asked(), 0);
}

#[test]
fn heads_conditions_and_old_clients_get_what_they_ask_for() {
    let setting = start(4, |target| kept(target, 5));
    let mut client = setting.client();
    client.send("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.answer(true);
    assert_eq!((head.status, head.body.len()), (200, 0));
    client.send("GET /a HTTP/1.1\r\nHost: A\r\nIf-None-Match: \"b\", W/\"a\"\r\n\r\n");
    let unchanged = client.answer(false);
    assert_eq!((unchanged.status, &*unchanged.cache_status), (304, "threadpool; hit"));
    client.send("GET /a HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"b\"\r\n\r\n");
    assert_eq!(client.answer(false).status, 200);
    client.send("GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    assert!(client.answer(false).closes && client.ends());
    assert_eq!(setting.asked(), 1);
}

#[test]
fn with_one_thread_the_second_connection_is_served_when_the_first_has_asked_again() {
    let setting = start(1, |target| kept(target, 5));
    let mut first = setting.client();
    assert!(!first.get("/a").closes);
    let mut second = setting.client();
    second.send("GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    // The second waits as soon as it is accepted; the next answer then ends the first.
    let ended = (0..100_000).any(|_| first.get("/a").closes);
    assert!(ended && first.ends());
    assert_eq!(second.answer(false).body, body("/b", 5));
}

#[test]
fn more_connections_than_threads_are_all_served_in_the_end() {
    let setting = start(3, |target| kept(target, 5));
    let mut clients: Vec<_> = (0..40).map(|_| setting.client()).collect();
    for client in &mut clients {
        client.send("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.answer(false).body, body("/a", 5));
    }
}
