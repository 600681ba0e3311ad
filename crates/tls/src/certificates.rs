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
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SignatureScheme};

use crate::capture;
use crate::staple::Staple;

/// Files of one certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and those that certify it, PEM, the site's own first.
    pub certificate: PathBuf,
    /// Its private key, PEM: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// An OCSP response about it, DER, to be stapled for as long as it holds.
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
    exact: HashMap<Box<str>, Vec<Arc<Shown>>>,
    /// By what follows the star and its dot.
    wildcard: HashMap<Box<str>, Vec<Arc<Shown>>>,
    /// For clients that ask for no name, or for an unknown one.
    default: Vec<Arc<Shown>>,
    refuse_unknown_names: bool,
    /// The staples' files, and until when they hold.
    staples: Vec<(PathBuf, u64)>,
}

/// A certificate as it is shown.
#[derive(Debug)]
struct Shown {
    bare: Arc<CertifiedKey>,
    stapled: Option<Stapled>,
}

/// The same with its staple.
#[derive(Debug)]
struct Stapled {
    key: Arc<CertifiedKey>,
    until_s: Option<u64>,
}

impl Shown {
    /// With the staple while that holds: a client may end a handshake for a stale one, and goes on
    /// without any.
    fn at(&self, now_s: u64) -> &Arc<CertifiedKey> {
        let holds = |stapled: &&Stapled| stapled.until_s.is_none_or(|until_s| now_s < until_s);
        self.stapled.as_ref().filter(holds).map_or(&self.bare, |stapled| &stapled.key)
    }
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
            staples: Vec::new(),
        };
        let mut default_names = Vec::new();
        for file in files {
            let (key, names) = load_one(file, provider)?;
            let until_s = key.stapled.as_ref().and_then(|stapled| stapled.until_s);
            certificates.staples.extend(file.ocsp.clone().zip(until_s));
            let key = Arc::new(key);
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

    /// The files of staples that say until when they hold, in seconds of Unix time.
    pub(crate) fn staples(&self) -> Vec<(PathBuf, u64)> {
        self.staples.clone()
    }

    /// The certificates for a name: its own, else its parent's wildcard (one label, RFC 6125),
    /// else the default; none where unknown names are refused.
    fn find(&self, name: Option<&str>) -> Option<&[Arc<Shown>]> {
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
        let shown = pick(found, hello.signature_schemes())?;
        Some(Arc::clone(shown.at(UnixTime::now().as_secs())))
    }
}

/// The first certificate whose key the client understands; the first of all if there is none,
/// with which the handshake then fails in the right words.
fn pick<'a>(found: &'a [Arc<Shown>], schemes: &[SignatureScheme]) -> Option<&'a Arc<Shown>> {
    let is_understood = |shown: &&Arc<Shown>| shown.bare.key.choose_scheme(schemes).is_some();
    found.iter().find(is_understood).or_else(|| found.first())
}

fn load_one(
    files: &CertificateFiles,
    provider: &CryptoProvider,
) -> Result<(Shown, Vec<String>), LoadError> {
    let chain = load_chain(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| LoadError::new(&files.key, format!("no private key in PEM: {error}")))?;
    let first = chain.first().cloned();
    let bare = CertifiedKey::from_der(chain, key, provider).map_err(|error| {
        let certificate = files.certificate.display();
        LoadError::new(&files.key, format!("is not the key of {certificate}: {error}"))
    })?;
    let stapled = match &files.ocsp {
        Some(path) => {
            let Staple { response, until_s } = Staple::load(path)?;
            let key = CertifiedKey { ocsp: Some(response), ..bare.clone() };
            Some(Stapled { key: Arc::new(key), until_s })
        }
        None => None,
    };
    let first = first.ok_or_else(|| LoadError::new(&files.certificate, "no certificate"))?;
    let names = names_of(files, &first)?;
    Ok((Shown { bare: Arc::new(bare), stapled }, names))
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

#[cfg(test)]
mod tests;
