//! Connections that the caller may take over: what goes out, what is believed, and what is handed
//! over (OR-12).

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use http::{Method, StatusCode};
use longhold_origin::{
    Exchanged, FetchError, Framing, Handover, OnInterim, OriginConfig, OriginPool, OriginRequest,
    OriginResponse, RawAnswer, RequestBody, Upload,
};

use longhold_tls::{Opened, Session};

use crate::support::{OK_A, Origin, get, request, run, text};
use crate::tls::{Authority, accept, answer, config, head_of};

/// Takes what switches protocols, or succeeds after CONNECT.
fn switches(answer: &RawAnswer<'_>) -> Result<bool, FetchError> {
    Ok(answer.status == 101)
}

fn upgrade() -> OriginRequest {
    let mut request = get();
    request.fields.insert("connection", "Upgrade".parse().unwrap());
    request.fields.insert("upgrade", "echo".parse().unwrap());
    request
}

async fn taken(pool: &OriginPool, request: OriginRequest) -> Handover {
    match pool.take_over(request, &switches).await.unwrap() {
        Exchanged::Connection(handover) => handover,
        Exchanged::Response(response) => panic!("not taken: {response:?}"),
    }
}

/// A fetch, then two tunnels: each from the next address of the origin's family.
#[test]
fn connections_come_from_the_addresses_given_in_turn() {
    let (told, sources) = std::sync::mpsc::channel();
    let origin = Origin::play(move |stage| {
        let closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na";
        for answer in [closing, SWITCH, SWITCH, SWITCH] {
            let mut peer = stage.accept();
            told.send(peer.0.peer_addr().unwrap().ip().to_string()).unwrap();
            peer.head();
            peer.send(answer);
        }
    });
    let given = ["127.0.0.2", "::1", "127.0.0.3"].map(|source| source.parse().unwrap()).to_vec();
    let pool = OriginPool::new(OriginConfig { source_addresses: given, ..origin.config() });
    run(async {
        let pool = pool.unwrap();
        let mut response = pool.fetch(get()).await.unwrap();
        assert_eq!(text(&mut response).await.unwrap(), "a");
        for _ in 0..3 {
            drop(taken(&pool, upgrade()).await);
        }
    });
    let sources: Vec<String> = sources.iter().collect();
    assert_eq!(sources, ["127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.3"]);
}

/// One that is not this host's is no fault of the origin's.
#[test]
fn an_address_that_is_not_this_host_s_opens_nothing() {
    let origin = Origin::play(|_| {});
    let given = vec!["192.0.2.1".parse().unwrap()];
    let pool = OriginPool::new(OriginConfig { source_addresses: given, ..origin.config() });
    run(async {
        let failed = pool.unwrap().fetch(get()).await;
        assert_eq!(failed.err(), Some(FetchError::Exhausted));
    });
}

async fn answered(pool: &OriginPool, request: OriginRequest) -> OriginResponse {
    match pool.take_over(request, &switches).await.unwrap() {
        Exchanged::Response(response) => response,
        Exchanged::Connection(handover) => panic!("taken: {handover:?}"),
    }
}

/// The socket as the caller has it: any stream will do.
fn stream(socket: OwnedFd) -> UnixStream {
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn heard(stream: &mut UnixStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";

#[test]
fn a_socket_is_handed_over_with_what_came_behind_the_head() {
    let origin = Origin::play(|stage| {
        let mut peer = stage.accept();
        let head = peer.head();
        assert!(head.starts_with("GET /p?q HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("host: site.example\r\nconnection: Upgrade\r\nupgrade: echo\r\n"));
        peer.send(format!("HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n{SWITCH}early"));
        assert_eq!(peer.bytes(5), b"hello");
        peer.send("bye");
    });
    run(async {
        let pool = origin.pool();
        let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let hears = std::sync::Arc::clone(&told);
        let on_interim = OnInterim::new(move |status, _| hears.lock().unwrap().push(status));
        let handover =
            taken(&pool, OriginRequest { on_interim: Some(on_interim), ..upgrade() }).await;
        assert_eq!(
            (handover.status, &handover.early[..]),
            (StatusCode::SWITCHING_PROTOCOLS, &b"early"[..])
        );
        assert_eq!((handover.peer, handover.framing), (origin.address, Framing::None));
        assert_eq!(*told.lock().unwrap(), [103]);
        // It is nobody's place at the origin any more.
        assert_eq!((pool.stats().in_use, pool.stats().idle), (0, 0));
        let mut stream = stream(handover.socket);
        stream.write_all(b"hello").unwrap();
        assert_eq!(heard(&mut stream, 3), b"bye");
    });
}

/// OR-12: not one byte but the head, and no other exchange on that connection.
#[test]
fn what_is_not_taken_is_a_response_like_any_other() {
    let answers = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
        (
            "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nT: 1\r\n\r\n",
            "hello",
        ),
        ("HTTP/1.0 200 OK\r\n\r\nhello", "hello"),
        ("HTTP/1.1 204 None\r\n\r\n", ""),
        ("HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n", ""),
    ];
    let origin = Origin::play(move |stage| {
        for (answer, _) in answers {
            let mut peer = stage.accept();
            peer.head();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            peer.send(format!("{head}\r\n\r\n"));
            for byte in body.as_bytes() {
                peer.send([*byte]);
            }
            if answer.starts_with("HTTP/1.0") {
                continue;
            }
            let mut rest = Vec::new();
            peer.0.read_to_end(&mut rest).unwrap();
            assert!(rest.is_empty(), "{rest:?}");
        }
    });
    run(async {
        let pool = origin.pool();
        for (_, body) in answers {
            let mut response = answered(&pool, upgrade()).await;
            assert_eq!(text(&mut response).await.unwrap(), body);
            assert_eq!(pool.stats().in_use, 1, "the body holds its turn");
            drop(response);
            assert_eq!((pool.stats().in_use, pool.stats().idle), (0, 0));
        }
    });
}

/// OR-2 for these bodies, too.
#[test]
fn a_cut_body_is_a_failure() {
    let cut = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ];
    let origin = Origin::play(move |stage| {
        for answer in cut {
            let mut peer = stage.accept();
            peer.head();
            peer.send(answer);
        }
        let mut peer = stage.accept();
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n");
        peer.ended();
        let mut peer = stage.accept();
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell");
        peer.ended();
    });
    run(async {
        let config = OriginConfig { between_bytes_timeout_ms: 100, ..origin.config() };
        let pool = OriginPool::new(config).unwrap();
        for error in [
            FetchError::Truncated,
            FetchError::Truncated,
            FetchError::BadResponse,
            FetchError::ReadTimeout,
        ] {
            let mut response = answered(&pool, upgrade()).await;
            assert_eq!(text(&mut response).await, Err(error));
            assert_eq!(response.body.next().await.unwrap().unwrap_err(), error, "it stays so");
        }
    });
}

/// OR-6: heads as strictly as a client's.
#[test]
fn bad_heads_are_refused() {
    let large = format!("HTTP/1.1 101 X\r\nA: {}\r\n\r\n", "a".repeat(70_000));
    let cases = [
        ("", FetchError::NoResponse),
        ("HTTP/1.1 101", FetchError::Truncated),
        ("HTTP/2 101 X\r\n\r\n", FetchError::BadResponse),
        ("HTTP/1.1 101 X\nUpgrade: echo\n\n", FetchError::BadResponse),
        ("HTTP/1.1 101 X\r\nUpgrade : echo\r\n\r\n", FetchError::BadResponse),
        (
            "HTTP/1.1 101 X\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            FetchError::BadResponse,
        ),
        ("SSH-2.0-OpenSSH\r\n\r\n", FetchError::BadResponse),
        (&*large.leak(), FetchError::HeadTooLarge),
    ];
    let origin = Origin::play(move |stage| {
        for (answer, _) in cases {
            let mut peer = stage.accept();
            peer.head();
            // The edge may have seen enough before all is sent.
            let _ = peer.0.write_all(answer.as_bytes());
        }
        let mut peer = stage.accept();
        peer.head();
        peer.send("HTTP/1.1 101 X\r\n\r\n");
        peer.ended();
    });
    run(async {
        let pool = origin.pool();
        for (answer, error) in cases {
            let refused = pool.take_over(upgrade(), &switches).await.unwrap_err();
            assert_eq!(refused, error, "{answer}");
        }
        // A switch that the caller does not take was not asked for.
        let refused = pool.take_over(upgrade(), &|_| Ok(false)).await.unwrap_err();
        assert_eq!(refused, FetchError::BadResponse);
        assert_eq!(pool.stats().in_use, 0);
    });
}

#[test]
fn requests_that_cannot_go_out_are_refused() {
    let origin = Origin::play(|_| {});
    run(async {
        let pool = origin.pool();
        for target in ["", "p", "/a b", "/a\r\nX: y", "/a#b", "http://other/"] {
            let request = OriginRequest { path_and_query: target.into(), ..upgrade() };
            let refused = pool.take_over(request, &switches).await.unwrap_err();
            assert_eq!(refused, FetchError::BadTarget, "{target:?}");
        }
        let body = std::sync::Arc::new(Upload::new(1024, std::sync::Arc::new(|| {})));
        let body = RequestBody::Stream { body, length: None };
        let request = OriginRequest { body, ..upgrade() };
        let refused = pool.take_over(request, &switches).await.unwrap_err();
        assert_eq!(refused, FetchError::UploadAborted);
    });
}

#[test]
fn connect_goes_out_with_its_authority() {
    let origin = Origin::play(|stage| {
        let mut peer = stage.accept();
        assert!(peer.head().starts_with("CONNECT b.test:443 HTTP/1.1\r\n"));
        peer.send("HTTP/1.1 200 Fine\r\n\r\n");
        peer.send("early");
        assert_eq!(peer.bytes(2), b"hi");
    });
    run(async {
        let pool = origin.pool();
        let request =
            OriginRequest { path_and_query: "b.test:443".into(), ..request(Method::CONNECT) };
        let takes = |answer: &RawAnswer<'_>| Ok(answer.status == 200);
        let Ok(Exchanged::Connection(handover)) = pool.take_over(request, &takes).await else {
            panic!("not taken");
        };
        let mut stream = stream(handover.socket);
        let missing = 5 - handover.early.len();
        assert_eq!([&handover.early[..], &heard(&mut stream, missing)].concat(), b"early");
        stream.write_all(b"hi").unwrap();
    });
}

/// The head has the first-byte timeout, whatever trickles in; the queue has its bound.
#[test]
fn waits_end_by_their_timeouts() {
    let origin = Origin::play(|stage| {
        let mut peer = stage.accept();
        peer.head();
        while peer.0.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut peer = stage.accept();
        peer.head();
        peer.send(OK_A);
        peer.ended();
    });
    run(async {
        let config = OriginConfig {
            first_byte_timeout_ms: 200,
            connect_timeout_ms: 100,
            connections_max: 1,
            ..origin.config()
        };
        let pool = OriginPool::new(config).unwrap();
        let refused = pool.take_over(upgrade(), &switches).await.unwrap_err();
        assert_eq!(refused, FetchError::FirstByteTimeout);
        let response = answered(&pool, upgrade()).await;
        let refused = pool.take_over(upgrade(), &switches).await.unwrap_err();
        assert_eq!(refused, FetchError::QueueTimeout, "its body holds the only turn");
        drop(response);
    });
}

/// The caller's end of a session that was handed over.
struct Talk {
    stream: UnixStream,
    session: Session,
}

impl Talk {
    fn new(handover: Handover) -> Self {
        let session = *handover.session.expect("a session");
        Self { stream: stream(handover.socket), session }
    }

    fn say(&mut self, bytes: &[u8]) {
        let mut record = [0; 1024];
        let sealed = self.session.seal(&[bytes], &mut record).unwrap();
        assert_eq!(sealed.taken, bytes.len());
        self.stream.write_all(&record[..sealed.written]).unwrap();
    }

    /// What the next record holds; `None` for the end.
    fn hear(&mut self) -> Option<Vec<u8>> {
        let mut record = Vec::new();
        loop {
            match self.session.open(&mut record).unwrap() {
                Opened::Data { data, .. } => return Some(record[data].to_vec()),
                Opened::Quiet { .. } => record.clear(),
                Opened::Closed { .. } => return None,
                Opened::More { wanted } => {
                    let missing = wanted - record.len();
                    record.extend(heard(&mut self.stream, missing));
                }
            }
        }
    }
}

/// A session goes with its socket, between two records, whichever version it has; what came in the
/// head's record and behind it is not lost.
#[test]
fn a_session_is_handed_over_with_its_socket() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = authority.write_to(&folder);
        let server = authority.server_of("localhost", &[version]);
        let origin = Origin::play(move |stage| {
            let mut session = accept(stage.accept(), &server);
            head_of(&mut session);
            // Two records in one piece: only the first is looked at before the session goes over.
            session.conn.writer().write_all(format!("{SWITCH}early").as_bytes()).unwrap();
            session.conn.writer().write_all(b"behind it").unwrap();
            session.flush().unwrap();
            let mut heard = [0; 5];
            session.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"hello");
            assert_eq!(session.conn.server_name(), Some("localhost"));
            session.write_all(b"bye").unwrap();
            session.conn.send_close_notify();
            session.flush().unwrap();
            assert_eq!(session.read(&mut heard).unwrap(), 0, "the caller's end is an alert, too");
        });
        run(async {
            let pool = OriginPool::new(config(&origin, ca_file)).unwrap();
            let handover = taken(&pool, upgrade()).await;
            assert_eq!(&handover.early[..], b"early");
            assert_eq!((pool.stats().in_use, handover.peer.port()), (0, origin.address.port()));
            let mut talk = Talk::new(handover);
            assert_eq!(talk.hear().unwrap(), b"behind it");
            talk.say(b"hello");
            assert_eq!(talk.hear().unwrap(), b"bye");
            assert_eq!(talk.hear(), None);
            talk.session.close_notify();
            let mut owed = [0; 256];
            let len = talk.session.control(&mut owed);
            talk.stream.write_all(&owed[..len]).unwrap();
        });
    }
}

/// What is not taken is read to its end by its framing, and the session ends with an alert.
#[test]
fn a_response_over_a_session_is_a_response() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = authority.write_to(&folder);
    let server = authority.server("localhost");
    let large = "x".repeat(100_000);
    let said = large.clone();
    let origin = Origin::play(move |stage| {
        for cut in [false, true] {
            let mut session = accept(stage.accept(), &server);
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
            answer(&mut session, &format!("{head}{}", &said[..if cut { 5 } else { 100_000 }]))
                .unwrap();
            if cut {
                continue;
            }
            assert_eq!(session.read(&mut [0]).unwrap(), 0, "an end without the alert");
        }
    });
    run(async {
        let pool = OriginPool::new(config(&origin, ca_file)).unwrap();
        let mut response = answered(&pool, upgrade()).await;
        assert_eq!(text(&mut response).await.unwrap(), large);
        drop(response);
        let mut response = answered(&pool, upgrade()).await;
        assert_eq!(text(&mut response).await, Err(FetchError::Truncated));
    });
}

#[test]
fn an_origin_that_is_not_trusted_gets_no_request() {
    let (known, other) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let ca_file = known.write_to(&folder);
    let server = other.server("localhost");
    let origin = Origin::play(move |stage| {
        let mut session = accept(stage.accept(), &server);
        assert!(answer(&mut session, OK_A).is_err());
        let mut peer = stage.accept();
        // Not TLS at all.
        peer.send("HTTP/1.1 400 Bad Request\r\n\r\n");
        peer.ended();
    });
    run(async {
        let pool = OriginPool::new(config(&origin, ca_file)).unwrap();
        let refused = pool.take_over(upgrade(), &switches).await.unwrap_err();
        assert_eq!(refused, FetchError::TlsCertificate);
        let refused = pool.take_over(upgrade(), &switches).await.unwrap_err();
        assert_eq!(refused, FetchError::TlsHandshake);
        assert_eq!(pool.stats().in_use, 0);
    });
}
