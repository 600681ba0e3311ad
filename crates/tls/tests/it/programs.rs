//! Against the openssl program, where it is installed; where it is not, these tests say so.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use longhold_tls::{
    Acceptor, ClientSettings, Connector, Details, Handshake, Next, Opened, RecordLayer,
    ServerSettings, Session, Trust,
};

use crate::pair::Identity;

const LAYERS: [RecordLayer; 2] = [RecordLayer::Own, RecordLayer::Rustls];

/// Whether the program is there. A test that is skipped says so where tests speak.
fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok();
    if !found {
        println!("skipped: the openssl program is not installed");
    }
    found
}

#[test]
fn openssl_client_talks_to_our_server() {
    if !has_openssl() {
        return;
    }
    for (layer, arguments, version) in [
        (RecordLayer::Own, &["-tls1_3"][..], "TLSv1.3"),
        (RecordLayer::Own, &["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"], "TLSv1.3"),
        (
            RecordLayer::Own,
            &["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
            "TLSv1.3",
        ),
        (RecordLayer::Own, &["-tls1_3", "-curves", "P-521:P-256"], "TLSv1.3"),
        (RecordLayer::Own, &["-tls1_2"], "TLSv1.2"),
        (RecordLayer::Rustls, &["-tls1_3"], "TLSv1.3"),
        (RecordLayer::Rustls, &["-tls1_2"], "TLSv1.2"),
    ] {
        let identity = Identity::new(&["edge.example"]);
        let settings = ServerSettings { record_layer: layer, ..identity.settings() };
        let acceptor = Acceptor::new(settings).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = openssl(&["s_client", "-quiet", "-servername", "edge.example"])
            .arg("-connect")
            .arg(listener.local_addr().unwrap().to_string())
            .arg("-verify_return_error")
            .arg("-CAfile")
            .arg(identity.certificate())
            .args(["-alpn", "http/1.1"])
            .args(arguments)
            .spawn()
            .unwrap();
        let mut stdin = client.stdin.take().unwrap();
        let mut stdout = BufReader::new(client.stdout.take().unwrap());
        let mut line = Line::new(acceptor.begin().unwrap(), listener.accept().unwrap().0);
        assert_eq!(line.session().version().name(), version);
        let big = format!("{}\n", "x".repeat(100_000));
        for text in ["question\n", &big, "last\n"] {
            stdin.write_all(text.as_bytes()).unwrap();
            assert_eq!(line.receive(text.len()), text.as_bytes());
            line.nap();
            line.send(text.as_bytes());
            let mut answer = String::new();
            stdout.read_line(&mut answer).unwrap();
            assert!(answer == text, "{arguments:?}");
        }
        line.close();
        drop(stdin);
        reap(client);
    }
}

/// s_client's commands: K asks for our keys to be updated too, k does not, Q ends.
#[test]
fn openssl_client_updates_its_keys() {
    if !has_openssl() {
        return;
    }
    for layer in LAYERS {
        let identity = Identity::new(&["edge.example"]);
        let settings = ServerSettings { record_layer: layer, ..identity.settings() };
        let acceptor = Acceptor::new(settings).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = openssl(&["s_client", "-tls1_3", "-connect"])
            .arg(listener.local_addr().unwrap().to_string())
            .spawn()
            .unwrap();
        let mut stdin = client.stdin.take().unwrap();
        let mut stdout = BufReader::new(client.stdout.take().unwrap());
        let mut stderr = BufReader::new(client.stderr.take().unwrap());
        let mut line = Line::new(acceptor.begin().unwrap(), listener.accept().unwrap().0);
        for (round, command) in ["k\n", "K\n", "K\n", "k\n"].into_iter().enumerate() {
            // The program reads a command from what it gets at once: text first, and its arrival.
            let text = format!("text {round}\n");
            stdin.write_all(text.as_bytes()).unwrap();
            assert_eq!(line.receive(text.len()), text.as_bytes());
            stdin.write_all(command.as_bytes()).unwrap();
            wait_for(&mut stderr, "KEYUPDATE");
            line.nap();
            line.send(text.as_bytes());
            wait_for(&mut stdout, text.trim());
        }
        stdin.write_all(b"Q\n").unwrap();
        assert_eq!(line.receive_to_end(), b"");
        line.close();
        reap(client);
    }
}

/// s_client's command R asks for a renegotiation, which TLS 1.2 had: it is declined by a warning.
#[test]
fn openssl_client_is_told_that_there_is_no_renegotiation() {
    if !has_openssl() {
        return;
    }
    let identity = Identity::new(&["edge.example"]);
    let acceptor = Acceptor::new(identity.settings()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = openssl(&["s_client", "-tls1_2", "-connect"])
        .arg(listener.local_addr().unwrap().to_string())
        .spawn()
        .unwrap();
    let mut stdin = client.stdin.take().unwrap();
    let mut stderr = BufReader::new(client.stderr.take().unwrap());
    let mut line = Line::new(acceptor.begin().unwrap(), listener.accept().unwrap().0);
    stdin.write_all(b"text\n").unwrap();
    assert_eq!(line.receive(5), b"text\n");
    stdin.write_all(b"R\n").unwrap();
    while !line.session().owes() {
        assert!(!line.read() && line.plain.is_empty(), "it neither closes nor says anything");
    }
    line.control();
    assert!(!line.session().owes());
    wait_for(&mut stderr, "no renegotiation");
    reap(client);
}

/// Our tickets, in another's hands.
#[test]
fn openssl_client_resumes_by_ticket() {
    if !has_openssl() {
        return;
    }
    for layer in LAYERS {
        for version in ["-tls1_3", "-tls1_2"] {
            let identity = Identity::new(&["edge.example"]);
            let settings = ServerSettings { record_layer: layer, ..identity.settings() };
            let acceptor = Acceptor::new(settings).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let kept = identity.path().join("session");
            for (option, is_resumed) in [("-sess_out", false), ("-sess_in", true)] {
                let mut client = openssl(&["s_client", "-servername", "edge.example", version])
                    .arg(option)
                    .arg(&kept)
                    .arg("-connect")
                    .arg(listener.local_addr().unwrap().to_string())
                    .spawn()
                    .unwrap();
                let mut stdin = client.stdin.take().unwrap();
                let mut stdout = BufReader::new(client.stdout.take().unwrap());
                let mut line = Line::new(acceptor.begin().unwrap(), listener.accept().unwrap().0);
                assert_eq!(line.details.is_resumed, is_resumed, "{layer:?} {version}");
                assert_eq!(line.details.server_name.as_deref(), Some("edge.example"));
                // What is answered has been read, and the ticket before it.
                line.send(b"answer\n");
                wait_for(&mut stdout, "answer");
                stdin.write_all(b"Q\n").unwrap();
                line.receive_to_end();
                line.close();
                drop(stdin);
                client.wait().unwrap();
            }
        }
    }
}

#[test]
fn our_client_talks_to_an_openssl_server() {
    if !has_openssl() {
        return;
    }
    for (layer, suite) in [
        (RecordLayer::Own, "TLS_AES_128_GCM_SHA256"),
        (RecordLayer::Own, "TLS_AES_256_GCM_SHA384"),
        (RecordLayer::Own, "TLS_CHACHA20_POLY1305_SHA256"),
        (RecordLayer::Rustls, "TLS_AES_128_GCM_SHA256"),
    ] {
        let identity = Identity::new(&["edge.example"]);
        let mut server = openssl(&["s_server", "-tls1_3", "-rev", "-num_tickets", "3"])
            .args(["-accept", "127.0.0.1:0", "-naccept", "1", "-ciphersuites", suite])
            .arg("-cert")
            .arg(identity.certificate())
            .arg("-key")
            .arg(identity.key())
            .spawn()
            .unwrap();
        // It says which port the kernel has chosen.
        let said = wait_for(&mut BufReader::new(server.stdout.take().unwrap()), "ACCEPT");
        let address = said.split_whitespace().last().unwrap().to_owned();
        let stream = TcpStream::connect(address).unwrap();
        let trust = Trust::Roots(identity.certificate());
        let settings = ClientSettings { trust, record_layer: layer, ..ClientSettings::default() };
        let connector = Connector::new(&settings).unwrap();
        let mut line = Line::new(connector.begin("edge.example").unwrap(), stream);
        for (text, answer) in [("abc\n", "cba\n"), ("12345\n", "54321\n")] {
            line.send(text.as_bytes());
            assert_eq!(line.receive(answer.len()), answer.as_bytes());
            line.nap();
            line.update_keys();
        }
        line.close();
        drop(line);
        reap(server);
    }
}

/// A session on a socket.
struct Line {
    details: Details,
    session: Option<Session>,
    stream: TcpStream,
    wire: Vec<u8>,
    plain: Vec<u8>,
}

impl Line {
    fn new(mut handshake: Handshake, mut stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut wire = Vec::new();
        loop {
            let mut output = Vec::new();
            let progress = if wire.is_empty() && handshake.role() == longhold_tls::Role::Server {
                None
            } else {
                Some(handshake.advance(&mut wire, &mut output).unwrap())
            };
            stream.write_all(&output).unwrap();
            if let Some(progress) = progress {
                wire.drain(..progress.consumed);
                if progress.next == Next::Finish {
                    let details = handshake.details().unwrap();
                    let session = Some(handshake.finish().unwrap());
                    return Self { details, session, stream, wire, plain: Vec::new() };
                }
            }
            read_some(&mut stream, &mut wire);
        }
    }

    fn session(&mut self) -> &mut Session {
        self.session.as_mut().unwrap()
    }

    fn send(&mut self, mut plain: &[u8]) {
        let mut output = vec![0; 20_000];
        while !plain.is_empty() {
            let sealed = self.session().seal(&[plain], &mut output).unwrap();
            self.stream.write_all(&output[..sealed.written]).unwrap();
            plain = &plain[sealed.taken..];
        }
    }

    fn receive(&mut self, length: usize) -> Vec<u8> {
        while self.plain.len() < length {
            assert!(!self.read(), "the peer has closed");
        }
        self.plain.drain(..length).collect()
    }

    fn receive_to_end(&mut self) -> Vec<u8> {
        while !self.read() {}
        std::mem::take(&mut self.plain)
    }

    /// Reads until there is something to say or to do; whether the peer has closed.
    fn read(&mut self) -> bool {
        loop {
            let mut wire = std::mem::take(&mut self.wire);
            let opened = self.session().open(&mut wire).unwrap();
            self.wire = wire;
            let used = match opened {
                Opened::Data { data, consumed } => {
                    self.plain.extend_from_slice(&self.wire[data]);
                    consumed
                }
                Opened::Quiet { consumed } => consumed,
                Opened::Closed { .. } => return true,
                Opened::More { .. } => break,
            };
            self.wire.drain(..used);
            if !self.plain.is_empty() || self.session().owes() {
                return false;
            }
        }
        read_some(&mut self.stream, &mut self.wire);
        false
    }

    /// Rests, if it is one of ours.
    fn nap(&mut self) {
        self.control();
        self.session = Some(match self.session.take().unwrap().park() {
            Ok(parked) => Session::wake(parked).unwrap(),
            Err(session) => {
                assert_eq!(session.record_layer(), RecordLayer::Rustls);
                session
            }
        });
    }

    fn update_keys(&mut self) {
        self.session().update_keys(true);
        self.control();
    }

    fn control(&mut self) {
        let mut output = [0; 256];
        let written = self.session().control(&mut output);
        self.stream.write_all(&output[..written]).unwrap();
    }

    fn close(&mut self) {
        self.session().close_notify();
        self.control();
        // The peer may be gone already.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }
}

fn read_some(stream: &mut TcpStream, wire: &mut Vec<u8>) {
    let mut chunk = [0; 16_384];
    let count = stream.read(&mut chunk).expect("bytes in time");
    assert!(count > 0, "the peer is gone");
    wire.extend_from_slice(&chunk[..count]);
}

fn openssl(arguments: &[&str]) -> Command {
    // A program that waits for something else than the test does is ended.
    let mut command = Command::new("timeout");
    command
        .args(["60", "openssl"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Reads the program's output until a line has `text` in it: that line.
fn wait_for(output: &mut impl std::io::BufRead, text: &str) -> String {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the program never says {text}");
    }
    line
}

fn reap(mut child: Child) {
    drop(child.stdin.take());
    let _ = child.kill();
    child.wait().unwrap();
}

/// How long a peer on this machine may be silent before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);
