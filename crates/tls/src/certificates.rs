//! Certificates from files, and which of them a client is shown: by the name it asked for, by the
//! signatures it understands.
//!
//! Everything is read and checked whole before any of it is used, so a reload either changes
//! everything or nothing (TL-9).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SignatureScheme};

use crate::capture;

/// Files of one certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and those that certify it, PEM, the site's own first.
    pub certificate: PathBuf,
    /// Its private key, PEM: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// An OCSP response about it, DER, to be stapled.
    pub ocsp: Option<PathBuf>,
    /// The names that it is shown for, `*.example.com` among them; those in the certificate if
    /// there are none here.
    pub names: Vec<String>,
}

/// Why settings cannot be used. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl LoadError {
    pub(crate) fn new(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self { path: path.to_path_buf(), reason: reason.to_string() }
    }
}

/// All certificates of an acceptor, by name.
#[derive(Debug)]
pub(crate) struct Certificates {
    exact: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// By what follows the star and its dot.
    wildcard: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// For clients that ask for no name, or for an unknown one.
    default: Vec<Arc<CertifiedKey>>,
    refuse_unknown_names: bool,
}

impl Certificates {
    /// Reads the files. The first certificate, and those with a name in common with it, are the
    /// default.
    ///
    /// # Errors
    /// [`LoadError`] with the first file that is not in order.
    pub(crate) fn load(
        files: &[CertificateFiles],
        refuse_unknown_names: bool,
        provider: &CryptoProvider,
    ) -> Result<Self, LoadError> {
        let mut certificates = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default: Vec::new(),
            refuse_unknown_names,
        };
        let mut default_names = Vec::new();
        for file in files {
            let (key, names) = load_one(file, provider)?;
            let is_default =
                default_names.is_empty() || names.iter().any(|name| default_names.contains(name));
            if is_default {
                certificates.default.push(Arc::clone(&key));
                default_names.extend(names.iter().cloned());
            }
            for name in names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut certificates.wildcard, parent),
                    None => (&mut certificates.exact, name.as_str()),
                };
                map.entry(name.into()).or_default().push(Arc::clone(&key));
            }
        }
        if certificates.default.is_empty() {
            return Err(LoadError::new(Path::new("certificates"), "there are none"));
        }
        Ok(certificates)
    }

    /// The certificates for a name: its own, else its parent's wildcard (one label, RFC 6125),
    /// else the default; none where unknown names are refused.
    fn find(&self, name: Option<&str>) -> Option<&[Arc<CertifiedKey>]> {
        let Some(name) = name else {
            return Some(&self.default);
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let by_wildcard = || {
            let (_, parent) = name.split_once('.')?;
            self.wildcard.get(parent)
        };
        match self.exact.get(name.as_str()).or_else(by_wildcard) {
            Some(found) => Some(found),
            None => (!self.refuse_unknown_names).then_some(&self.default),
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        capture::tell(|capture| capture.server_name = name.map(Box::from));
        let Some(found) = self.find(name) else {
            capture::tell(|capture| capture.name_refused = true);
            return None;
        };
        pick(found, hello.signature_schemes())
    }
}

/// The first certificate whose key the client understands; the first of all if there is none,
/// with which the handshake then fails in the right words.
fn pick(found: &[Arc<CertifiedKey>], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
    let is_understood = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
    found.iter().find(is_understood).or_else(|| found.first()).cloned()
}

fn load_one(
    files: &CertificateFiles,
    provider: &CryptoProvider,
) -> Result<(Arc<CertifiedKey>, Vec<String>), LoadError> {
    let chain = load_chain(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| LoadError::new(&files.key, format!("no private key in PEM: {error}")))?;
    let first = chain.first().cloned();
    let mut certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| {
        let certificate = files.certificate.display();
        LoadError::new(&files.key, format!("is not the key of {certificate}: {error}"))
    })?;
    if let Some(path) = &files.ocsp {
        certified.ocsp = Some(load_ocsp(path)?);
    }
    let first = first.ok_or_else(|| LoadError::new(&files.certificate, "no certificate"))?;
    let names = names_of(files, &first)?;
    Ok((Arc::new(certified), names))
}

/// All certificates of a PEM file, at least one.
pub(crate) fn load_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| LoadError::new(path, format!("cannot be read as PEM: {error}")))?;
    if chain.is_empty() {
        return Err(LoadError::new(path, "no certificate in it"));
    }
    Ok(chain)
}

/// The certificates of a PEM file, as roots to trust.
pub(crate) fn load_roots(path: &Path) -> Result<RootCertStore, LoadError> {
    let mut roots = RootCertStore::empty();
    for certificate in load_chain(path)? {
        roots
            .add(certificate)
            .map_err(|error| LoadError::new(path, format!("cannot be trusted: {error}")))?;
    }
    Ok(roots)
}

/// The names that were set, else the certificate's own.
fn names_of(
    files: &CertificateFiles,
    first: &CertificateDer<'_>,
) -> Result<Vec<String>, LoadError> {
    let path = &files.certificate;
    let parsed = webpki::EndEntityCert::try_from(first)
        .map_err(|error| LoadError::new(path, format!("no certificate of a server: {error:?}")))?;
    let own: Vec<String> = parsed.valid_dns_names().map(str::to_ascii_lowercase).collect();
    let names: Vec<String> = files.names.iter().map(|name| name.to_ascii_lowercase()).collect();
    if let Some(foreign) = names.iter().find(|name| !is_covered(name, &own)) {
        return Err(LoadError::new(path, format!("is not valid for {foreign}")));
    }
    // A certificate for addresses only has no names: it can still be the default.
    Ok(if names.is_empty() { own } else { names })
}

/// Whether a certificate with the names `own` may be shown for `name`.
fn is_covered(name: &str, own: &[String]) -> bool {
    let parent = name.split_once('.').map(|(_, parent)| parent);
    own.iter().any(|covered| {
        covered == name || covered.strip_prefix("*.").is_some_and(|rest| Some(rest) == parent)
    })
}

/// An OCSP response (RFC 6960, section 4.2.1) whose status is "successful". Whom it is about and
/// until when it holds is for the one who fetches it.
fn load_ocsp(path: &Path) -> Result<Vec<u8>, LoadError> {
    let response = std::fs::read(path).map_err(|error| LoadError::new(path, error))?;
    if response.len() > OCSP_BYTES_MAX {
        return Err(LoadError::new(path, format!("longer than {OCSP_BYTES_MAX} bytes")));
    }
    if is_successful_ocsp(&response) {
        Ok(response)
    } else {
        Err(LoadError::new(path, "no OCSP response in DER, or none that says successful"))
    }
}

/// `SEQUENCE { ENUMERATED 0, … }` that ends with the file.
fn is_successful_ocsp(response: &[u8]) -> bool {
    let Some((&0x30, rest)) = response.split_first() else {
        return false;
    };
    let content = match rest {
        [short @ 0..=0x7f, content @ ..] => Some((usize::from(*short), content)),
        [0x81, length, content @ ..] => Some((usize::from(*length), content)),
        [0x82, high, low, content @ ..] => {
            Some((usize::from(u16::from_be_bytes([*high, *low])), content))
        }
        _ => None,
    };
    content.is_some_and(|(length, content)| {
        content.len() == length && content.starts_with(&[0x0a, 0x01, 0x00])
    })
}

const OCSP_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests;
