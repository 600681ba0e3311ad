//! rustls's own ends, buffered, as they are used everywhere else.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};

use crate::pair::Identity;

/// A client that trusts this identity.
pub(crate) fn client(
    identity: &Identity,
    version: &'static SupportedProtocolVersion,
) -> ClientConnection {
    let mut config = client_config(identity, version, None);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    ClientConnection::new(Arc::new(config), "edge.example".try_into().unwrap()).unwrap()
}

pub(crate) fn client_config(
    identity: &Identity,
    version: &'static SupportedProtocolVersion,
    suite: Option<CipherSuite>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(identity.certificate()).unwrap()).unwrap();
    ClientConfig::builder_with_provider(provider(suite))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A server that shows this identity.
pub(crate) fn server(identity: &Identity, suite: Option<CipherSuite>) -> ServerConnection {
    let chain = vec![CertificateDer::from_pem_file(identity.certificate()).unwrap()];
    let key = PrivateKeyDer::from_pem_file(identity.key()).unwrap();
    let config = ServerConfig::builder_with_provider(provider(suite))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    ServerConnection::new(Arc::new(config)).unwrap()
}

/// The usual provider, with one suite or with all.
pub(crate) fn provider(suite: Option<CipherSuite>) -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if let Some(suite) = suite {
        provider.cipher_suites.retain(|known| known.suite() == suite);
    }
    Arc::new(provider)
}
