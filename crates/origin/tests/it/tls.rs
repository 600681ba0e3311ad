//! https origins: whose certificates are believed, and what an end of the session means.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use longhold_origin::{FetchError, OriginConfig, OriginPool, OriginUrl, Scheme};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::{Origin, Peer, get, read, run};

/// A throwaway certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

pub(crate) type Session = StreamOwned<ServerConnection, std::net::TcpStream>;

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// The authority's certificate as a CA file.
    pub(crate) fn write_to(&self, folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, self.0.pem()).unwrap();
        path
    }

    /// A server for `name` under this authority.
    pub(crate) fn server(&self, name: &str) -> Arc<ServerConfig> {
        self.server_of(name, rustls::ALL_VERSIONS)
    }

    /// The same of these versions alone.
    pub(crate) fn server_of(
        &self,
        name: &str,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate: CertificateDer = params.signed_by(&key, &self.0).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

pub(crate) fn accept(peer: Peer, config: &Arc<ServerConfig>) -> Session {
    StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), peer.0)
}

/// Reads the head of a request.
pub(crate) fn head_of(session: &mut Session) {
    read_head(session).unwrap();
}

fn read_head(session: &mut Session) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if session.read(&mut byte)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        head.push(byte[0]);
    }
    Ok(())
}

pub(crate) fn answer(session: &mut Session, answer: &str) -> std::io::Result<()> {
    read_head(session)?;
    session.write_all(answer.as_bytes())?;
    session.flush()
}

pub(crate) fn config(origin: &Origin, ca_file: PathBuf) -> OriginConfig {
    let port = origin.address.port();
    let mut config = OriginConfig::new(vec![OriginUrl {
        scheme: Scheme::Https,
        host: "localhost".into(),
        port,
    }]);
    config.ca_file = Some(ca_file);
    config
}

#[test]
fn a_trusted_origin_serves_and_serves_again() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = authority.write_to(&folder);
    let server = authority.server("localhost");
    let origin = Origin::play(move |stage| {
        let mut session = accept(stage.accept(), &server);
        for body in ["a", "b"] {
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{body}");
            answer(&mut session, &text).unwrap();
        }
        assert_eq!(session.conn.server_name(), Some("localhost"), "SNI");
        assert_eq!(session.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    });
    run(async {
        let pool = OriginPool::new(config(&origin, ca_file)).unwrap();
        assert_eq!(read(&pool).await, Ok(("a".into(), false)));
        assert_eq!(read(&pool).await, Ok(("b".into(), true)));
    });
}

/// RFC 9112 section 9.8: with an alert, and not by a bare end that could be an attacker's; be it
/// that the connection rests or that its response is given up.
#[test]
fn a_session_is_closed_by_an_alert() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = authority.write_to(&folder);
    let server = authority.server("localhost");
    let origin = Origin::play(move |stage| {
        for text in ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", "HTTP/1.1 200 OK\r\n\r\na"] {
            let mut session = accept(stage.accept(), &server);
            answer(&mut session, text).unwrap();
            // An end without the alert is an error to rustls.
            assert_eq!(session.read(&mut [0]).unwrap(), 0, "{text}");
        }
    });
    run(async {
        let pool = OriginPool::new(config(&origin, ca_file.clone())).unwrap();
        assert_eq!(read(&pool).await, Ok(("a".into(), false)));
        drop(pool);
        let pool = OriginPool::new(config(&origin, ca_file)).unwrap();
        let response = pool.fetch(get()).await.unwrap();
        assert!(!response.body.is_end());
        drop(response);
    });
}

/// The wrong authority, and the right one for another name.
#[test]
fn an_untrusted_origin_is_refused() {
    let authority = Authority::new();
    for (server, trusted) in [
        (Authority::new().server("localhost"), &authority),
        (authority.server("other.example"), &authority),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let ca_file = trusted.write_to(&folder);
        let origin = Origin::play(move |stage| {
            let mut session = accept(stage.accept(), &server);
            assert!(answer(&mut session, "HTTP/1.1 200 OK\r\n\r\n").is_err());
        });
        run(async {
            let pool = OriginPool::new(config(&origin, ca_file)).unwrap();
            assert_eq!(read(&pool).await, Err(FetchError::TlsCertificate));
            assert_eq!(pool.stats().in_use, 0);
        });
    }
}

#[test]
fn a_plain_origin_is_no_tls_origin() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = authority.write_to(&folder);
    let origin = Origin::play(|stage| {
        let mut peer = stage.accept();
        peer.bytes(1);
        peer.send("HTTP/1.1 400 Bad Request\r\n\r\n");
        peer.ended();
    });
    run(async {
        let pool = OriginPool::new(config(&origin, ca_file)).unwrap();
        assert_eq!(read(&pool).await, Err(FetchError::TlsHandshake));
    });
}

/// A body that is framed by the close must be closed by TLS, not by whoever cuts the connection.
#[test]
fn a_session_that_is_cut_off_is_not_the_end_of_a_body() {
    for says_goodbye in [true, false] {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = authority.write_to(&folder);
        let server = authority.server("localhost");
        let origin = Origin::play(move |stage| {
            let mut session = accept(stage.accept(), &server);
            answer(&mut session, "HTTP/1.1 200 OK\r\n\r\nhello").unwrap();
            if says_goodbye {
                session.conn.send_close_notify();
                session.flush().unwrap();
            }
        });
        let fetched = run(async {
            let pool = OriginPool::new(config(&origin, ca_file)).unwrap();
            read(&pool).await.map(|(body, _)| body)
        });
        let expected = if says_goodbye { Ok("hello".into()) } else { Err(FetchError::Truncated) };
        assert_eq!(fetched, expected, "OR-2");
    }
}
