//! An origin that speaks TLS, with a certificate for `localhost` that stands in a file.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use super::websocket::Voice;
use super::{PATIENCE, make_certificate};

/// The origin; each connection is taken by the test.
pub(crate) struct SecureOrigin {
    listener: TcpListener,
    config: Arc<ServerConfig>,
}

/// One connection, and what was asked on it.
pub(crate) struct SecureCall {
    stream: StreamOwned<ServerConnection, TcpStream>,
    head: String,
}

impl SecureOrigin {
    /// Listens; its certificate is `origin.pem` in this folder.
    pub(crate) fn start(folder: &Path, version: &'static SupportedProtocolVersion) -> Self {
        make_certificate(folder, "origin", &["localhost"]);
        let chain = CertificateDer::from_pem_file(folder.join("origin.pem")).expect("one");
        let key = PrivateKeyDer::from_pem_file(folder.join("origin.key")).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a known version")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .expect("both");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self { listener, config: Arc::new(config) }
    }

    /// Its URL for a config.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.listener.local_addr().expect("a socket").port())
    }

    /// The next connection and the head of its request.
    pub(crate) fn call(&self) -> SecureCall {
        let (socket, _) = self.listener.accept().expect("the edge connects");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
        let session = ServerConnection::new(Arc::clone(&self.config)).expect("a config");
        let mut stream = StreamOwned::new(session, socket);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        SecureCall { stream, head: String::from_utf8(head).expect("a head of text") }
    }
}

impl SecureCall {
    pub(crate) fn head(&self) -> &str {
        &self.head
    }

    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the edge takes what the origin says");
        self.stream.flush().expect("the edge takes what the origin says");
    }

    /// Asks the edge for new keys, and takes new ones (RFC 8446 section 4.6.3).
    pub(crate) fn update_keys(&mut self) {
        self.stream.conn.refresh_traffic_keys().expect("TLS 1.3");
        self.stream.flush().expect("the edge takes it");
    }

    /// The edge ends the session, with an alert, and has said nothing more.
    pub(crate) fn sees_the_end(&mut self) {
        assert_eq!(self.stream.read(&mut [0]).expect("an end that is said"), 0);
    }

    /// Ends the session and closes.
    pub(crate) fn hang_up(mut self) {
        self.stream.conn.send_close_notify();
        self.stream.flush().expect("the edge takes it");
        let _: io::Result<()> = self.stream.sock.shutdown(Shutdown::Write);
    }
}

impl Voice for SecureCall {
    fn tell(&mut self, bytes: &[u8]) {
        self.say(bytes);
    }

    fn listen(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).expect("the edge goes on");
        bytes
    }

    const MASKS: bool = false;
}
