//! What an https origin is checked against.
//!
//! The platform's roots are read once per process. Session resumption is rustls' own, per pool.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, pem};
use rustls::{ClientConfig, RootCertStore};

use crate::error::{ConfigError, FetchError};

/// The TLS settings of one pool: its roots, TLS 1.2 and 1.3, ALPN `http/1.1`.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, ConfigError> {
    let roots = match ca_file {
        Some(path) => Arc::new(roots_from(path)?),
        None => platform_roots()?,
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| ConfigError::TlsSetup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The name that the certificate must carry, which is also the SNI when it is not an address.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, ConfigError> {
    ServerName::try_from(host.to_owned()).map_err(|_| ConfigError::HostName(host.to_owned()))
}

/// Whose fault a failed handshake is.
pub(crate) fn handshake_error(error: &io::Error) -> FetchError {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(_)) => FetchError::TlsCertificate,
        Some(_) | None => FetchError::TlsHandshake,
    }
}

fn roots_from(path: &Path) -> Result<RootCertStore, ConfigError> {
    let failed = |error: pem::Error| {
        if let pem::Error::Io(error) = error {
            return ConfigError::CaFileUnreadable { path: path.to_owned(), kind: error.kind() };
        }
        ConfigError::CaFileMalformed(path.to_owned())
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(failed)? {
        let added = roots.add(certificate.map_err(failed)?);
        added.map_err(|_| ConfigError::CaFileMalformed(path.to_owned()))?;
    }
    if roots.is_empty() {
        return Err(ConfigError::CaFileEmpty(path.to_owned()));
    }
    Ok(roots)
}

/// The system's roots; certificates in its bundle that do not parse are passed over, as every other
/// program does.
fn platform_roots() -> Result<Arc<RootCertStore>, ConfigError> {
    if let Some(roots) = PLATFORM_ROOTS.get() {
        return Ok(Arc::clone(roots));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(ConfigError::NoPlatformRoots);
    }
    Ok(Arc::clone(PLATFORM_ROOTS.get_or_init(|| Arc::new(roots))))
}

static PLATFORM_ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();

#[cfg(test)]
mod tests;
