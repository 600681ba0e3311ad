//! TLS clients: rustls as clients use it, over a bare socket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{Client, PATIENCE};

/// What a client's bytes go through.
pub(crate) enum Stream {
    Plain(TcpStream),
    Secured(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Secured(stream) => &stream.sock,
        }
    }

    /// The TLS session.
    pub(crate) fn session(&mut self) -> &mut ClientConnection {
        match self {
            Self::Plain(_) => panic!("a plain connection"),
            Self::Secured(stream) => &mut stream.conn,
        }
    }

    /// Says close_notify.
    pub(super) fn end(&mut self) {
        if let Self::Secured(stream) = self {
            stream.conn.send_close_notify();
            stream.flush().expect("the edge takes it");
        }
    }
}

impl Read for Stream {
    fn read(&mut self, some: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(some),
            Self::Secured(stream) => stream.read(some),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Secured(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Secured(stream) => stream.flush(),
        }
    }
}

/// What a TLS client wants.
#[derive(Clone)]
pub(crate) struct Wanted {
    config: Arc<ClientConfig>,
    name: String,
}

impl Wanted {
    /// Trust in the certificate that [`make_certificate`] made for `play.test` in this folder.
    pub(crate) fn from(folder: &Path) -> Self {
        Self::with(folder, "play", &[&rustls::version::TLS13, &rustls::version::TLS12], None)
    }

    /// The same, of another certificate.
    pub(crate) fn trusting(folder: &Path, certificate: &str) -> Self {
        Self::with(folder, certificate, &[&rustls::version::TLS13], None)
    }

    /// TLS 1.2 alone.
    pub(crate) fn old(folder: &Path) -> Self {
        Self::with(folder, "play", &[&rustls::version::TLS12], None)
    }

    /// With a certificate of its own.
    pub(crate) fn showing(folder: &Path, certificate: &str) -> Self {
        Self::with(folder, "play", &[&rustls::version::TLS13], Some(certificate))
    }

    fn with(
        folder: &Path,
        trusted: &str,
        versions: &[&'static rustls::SupportedProtocolVersion],
        shown: Option<&str>,
    ) -> Self {
        let chain = |name: &str| {
            let file = folder.join(format!("{name}.pem"));
            CertificateDer::from_pem_file(file).expect("a certificate")
        };
        let mut roots = RootCertStore::empty();
        roots.add(chain(trusted)).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("known versions")
            .with_root_certificates(roots);
        let mut config = match shown {
            None => config.with_no_client_auth(),
            Some(name) => {
                let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key")));
                config.with_client_auth_cert(vec![chain(name)], key.expect("a key")).expect("both")
            }
        };
        config.resumption = Resumption::in_memory_sessions(8);
        Self { config: Arc::new(config), name: "play.test".to_owned() }
    }

    /// Asks for another name.
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// A connection with a handshake done.
    pub(crate) fn client(&self, address: SocketAddr) -> Client {
        self.try_client(address).expect("a handshake")
    }

    /// The same, or why there is none.
    pub(crate) fn try_client(&self, address: SocketAddr) -> io::Result<Client> {
        let mut stream = self.begin(address);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Client::over(Stream::Secured(Box::new(stream))))
    }

    /// A connection that has said nothing yet.
    pub(crate) fn begin(&self, address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
        let socket = TcpStream::connect(address).expect("the edge listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
        socket.set_write_timeout(Some(PATIENCE)).expect("a timeout above zero");
        socket.set_nodelay(true).expect("a TCP socket");
        let name = ServerName::try_from(self.name.clone()).expect("a name");
        let session = ClientConnection::new(Arc::clone(&self.config), name).expect("a config");
        StreamOwned::new(session, socket)
    }
}

/// Makes a certificate for these names, and its key, as files of that name; those that are there
/// are replaced.
pub(crate) fn make_certificate(folder: &Path, file: &str, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("names");
    let write = |suffix: &str, text: String| {
        std::fs::write(folder.join(format!("{file}.{suffix}")), text).expect("a writable folder");
    };
    write("key", made.signing_key.serialize_pem());
    write("pem", made.cert.pem());
}

/// Whether the client's peer has shown the certificate of that file.
pub(crate) fn names_of(client: &mut Client, folder: &Path, file: &str) -> bool {
    let expected = CertificateDer::from_pem_file(folder.join(format!("{file}.pem"))).expect("one");
    let shown = client.stream().session().peer_certificates().expect("a certificate");
    shown.first() == Some(&expected)
}
