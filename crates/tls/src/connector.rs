//! The client role: for the load engine, for origins' connections that are handed over, and for
//! tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::capture::KeyHook;
use crate::certificates::{LoadError, load_chain, load_roots};
use crate::driver::Peer;
use crate::fault::Fault;
use crate::handshake::Handshake;
use crate::{RecordLayer, Versions};

/// What a client wants of its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// Whom to trust.
    pub trust: Trust,
    /// A certificate (PEM, chain) and key (PEM) to show to servers that ask.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Versions.
    pub versions: Versions,
    /// Whose record layer.
    pub record_layer: RecordLayer,
    /// Servers whose tickets are kept for resumption; 0 for none.
    pub resumption_servers: usize,
    /// Application protocols offered, most wanted first.
    pub protocols: Vec<String>,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            trust: Trust::Anything,
            certificate: None,
            versions: Versions::Both,
            record_layer: RecordLayer::Own,
            resumption_servers: 0,
            protocols: vec!["http/1.1".into()],
        }
    }
}

/// Whose certificates a client takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those that the certificates in this file (PEM) certify, for the name that was asked for.
    Roots(PathBuf),
    /// Anyone's: for measurements and tests, where the peer is known otherwise. The peer's
    /// signature is still checked.
    Anything,
}

/// The client role of TLS.
#[derive(Debug)]
pub struct Connector {
    config: Arc<ClientConfig>,
    record_layer: RecordLayer,
    wants_tickets: bool,
}

impl Connector {
    /// Reads and checks all files.
    ///
    /// # Errors
    /// [`LoadError`] with the file that is not in order.
    pub fn new(settings: &ClientSettings) -> Result<Self, LoadError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Self::with_provider(settings, provider)
    }

    /// As [`Connector::new`], with another choice or order of cipher suites and groups.
    ///
    /// # Errors
    /// [`LoadError`] with the file that is not in order.
    pub fn with_provider(
        settings: &ClientSettings,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, LoadError> {
        let algorithms = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(settings.versions.of_rustls())
            .map_err(|error| LoadError::new(Path::new("versions"), error))?;
        let builder = match &settings.trust {
            Trust::Roots(path) => builder.with_root_certificates(load_roots(path)?),
            Trust::Anything => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anyone { algorithms })),
        };
        let mut config = match &settings.certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let parsed = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| LoadError::new(key, format!("no private key: {error}")))?;
                builder
                    .with_client_auth_cert(load_chain(certificate)?, parsed)
                    .map_err(|error| LoadError::new(certificate, error))?
            }
        };
        config.alpn_protocols =
            settings.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.resumption = match settings.resumption_servers {
            0 => Resumption::disabled(),
            servers => Resumption::in_memory_sessions(servers),
        };
        if settings.record_layer == RecordLayer::Own {
            let mut connector = Self::of(config);
            connector.wants_tickets = settings.resumption_servers > 0;
            return Ok(connector);
        }
        let (config, record_layer) = (Arc::new(config), settings.record_layer);
        Ok(Self { config, record_layer, wants_tickets: settings.resumption_servers > 0 })
    }

    /// A client with settings that somebody else has made, trust among them. Its sessions are on
    /// our record layer and keep no tickets; the settings' key log gives way to ours.
    pub fn of(mut config: ClientConfig) -> Self {
        config.key_log = Arc::new(KeyHook);
        config.enable_secret_extraction = true;
        let config = Arc::new(config);
        Self { config, record_layer: RecordLayer::Own, wants_tickets: false }
    }

    /// A handshake with the server of this name (or address), which begins with
    /// [`Handshake::advance`] without input.
    ///
    /// # Errors
    /// [`Fault::UnknownName`] if the name is none; [`Fault::Internal`] if the library refuses its
    /// own settings.
    pub fn begin(&self, name: &str) -> Result<Handshake, Fault> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_invalid| Fault::UnknownName)?;
        let connection = UnbufferedClientConnection::new(Arc::clone(&self.config), name)
            .map_err(|error| Fault::from_rustls(&error))?;
        let peer = Peer::Client(Box::new(connection));
        Ok(Handshake::new(peer, self.record_layer, self.wants_tickets))
    }
}

/// Takes any certificate, and checks that the peer has its key.
#[derive(Debug)]
struct Anyone {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
