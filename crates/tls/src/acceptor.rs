//! The server role: settings, certificates, tickets, and a reload that touches no connection.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection, WebPkiClientVerifier};

use crate::capture::KeyHook;
use crate::certificates::{CertificateFiles, Certificates, LoadError, load_roots};
use crate::driver::Peer;
use crate::fault::Fault;
use crate::handshake::Handshake;
use crate::preference;
use crate::tickets::Ticketer;
use crate::{RecordLayer, Versions};

/// What a server wants of its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// At least one. The first is for clients that ask for no name, or for an unknown one.
    pub certificates: Vec<CertificateFiles>,
    /// Refuse unknown names instead.
    pub refuse_unknown_names: bool,
    /// Whether clients show certificates.
    pub client_authentication: ClientAuthentication,
    /// Versions.
    pub versions: Versions,
    /// Whose record layer.
    pub record_layer: RecordLayer,
    /// How often the ticket key changes: a ticket is good for one to two of these. None: no
    /// tickets.
    pub ticket_rotation: Option<Duration>,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            refuse_unknown_names: false,
            client_authentication: ClientAuthentication::None,
            versions: Versions::Both,
            record_layer: RecordLayer::Own,
            ticket_rotation: Some(TICKET_ROTATION_DEFAULT),
        }
    }
}

/// Whether clients show certificates, and the file (PEM) of those that certify them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// They are not asked.
    #[default]
    None,
    /// They are asked; one that shows none is let in, one that shows a bad one is not.
    Optional(PathBuf),
    /// They are asked, and refused without.
    Required(PathBuf),
}

impl ClientAuthentication {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::None => None,
            Self::Optional(path) | Self::Required(path) => Some(path),
        }
    }
}

/// The server role of TLS. Shared by all workers; what it uses can be exchanged under them:
/// handshakes that have begun end as they began, connections are not touched (TL-9).
#[derive(Debug)]
pub struct Acceptor {
    current: RwLock<Arc<Loaded>>,
}

/// Settings and everything made of them.
#[derive(Debug)]
struct Loaded {
    settings: ServerSettings,
    config: Arc<ServerConfig>,
    /// For clients that would rather not have AES; none where everybody's order is followed.
    for_chacha: Option<Arc<ServerConfig>>,
    ticketer: Option<Arc<Ticketer>>,
    stamps: Vec<(PathBuf, Option<Stamp>)>,
    /// The staples' files, and until when they hold.
    staples: Vec<(PathBuf, u64)>,
}

/// By what a changed file is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

impl Acceptor {
    /// Reads and checks all files.
    ///
    /// # Errors
    /// [`LoadError`] with the file that is not in order.
    pub fn new(settings: ServerSettings) -> Result<Self, LoadError> {
        Ok(Self { current: RwLock::new(Arc::new(Loaded::new(settings, None)?)) })
    }

    /// A handshake with a client that has just connected. About 3 KiB and a few allocations.
    ///
    /// # Errors
    /// [`Fault::Internal`] if the library refuses its own settings.
    pub fn begin(&self) -> Result<Handshake, Fault> {
        let loaded = self.loaded();
        let peer = server_of(Arc::clone(&loaded.config))?;
        let handshake = Handshake::new(peer, loaded.settings.record_layer, false);
        Ok(handshake.with_alternative(loaded.for_chacha.clone()))
    }

    /// Reads the files again, all of them. From then on handshakes use what they say.
    ///
    /// # Errors
    /// [`LoadError`] if one is not in order: everything stays as it was.
    pub fn reload(&self) -> Result<(), LoadError> {
        self.replace(self.loaded().settings.clone())
    }

    /// Puts other settings in force, as [`Acceptor::reload`] does. Tickets stay good, unless the
    /// rules for client certificates change: they would carry a session past the new ones.
    ///
    /// # Errors
    /// [`LoadError`] if a file is not in order: everything stays as it was.
    pub fn replace(&self, settings: ServerSettings) -> Result<(), LoadError> {
        let before = self.loaded();
        let after = Arc::new(Loaded::new(settings, Some(&before))?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = after;
        Ok(())
    }

    /// Whether a file has changed since it was read: another time of change, another length, come
    /// or gone. Asks the file system; not for a worker.
    pub fn is_outdated(&self) -> bool {
        self.loaded().stamps.iter().any(|(path, stamp)| *stamp != Stamp::of(path))
    }

    /// Files of OCSP responses that do not hold any more: they are not stapled.
    pub fn stale_staples(&self) -> Vec<PathBuf> {
        let now_s = UnixTime::now().as_secs();
        let loaded = self.loaded();
        let stale = loaded.staples.iter().filter(|(_, until_s)| *until_s <= now_s);
        stale.map(|(path, _)| path.clone()).collect()
    }

    /// The settings in force.
    pub fn settings(&self) -> ServerSettings {
        self.loaded().settings.clone()
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Loaded {
    fn new(settings: ServerSettings, before: Option<&Self>) -> Result<Self, LoadError> {
        // Before the files are read: one that changes meanwhile is found changed.
        let paths = paths_of(&settings);
        let stamps = paths.into_iter().map(|path| (path.clone(), Stamp::of(&path))).collect();
        let provider =
            Arc::new(preference::aes_128_first(rustls::crypto::aws_lc_rs::default_provider()));
        let refuse = settings.refuse_unknown_names;
        let certificates = Certificates::load(&settings.certificates, refuse, &provider)?;
        let staples = certificates.staples();
        let verifier = verifier(&settings.client_authentication, &provider)?;
        let ticketer = ticketer(&settings, before)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(settings.versions.of_rustls())
            .map_err(|error| LoadError::new(Path::new("versions"), error))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = usize::from(ticketer.is_some());
        if let Some(ticketer) = &ticketer {
            config.ticketer = Arc::clone(ticketer) as _;
        }
        if settings.record_layer == RecordLayer::Own {
            config.key_log = Arc::new(KeyHook);
            config.enable_secret_extraction = true;
        }
        let for_chacha = preference::has_aes().then(|| Arc::new(config.clone()));
        config.ignore_client_order = for_chacha.is_some();
        Ok(Self { settings, config: Arc::new(config), for_chacha, ticketer, stamps, staples })
    }
}

/// A connection that waits for its client.
pub(crate) fn server_of(config: Arc<ServerConfig>) -> Result<Peer, Fault> {
    let connection =
        UnbufferedServerConnection::new(config).map_err(|error| Fault::from_rustls(&error))?;
    Ok(Peer::Server(Box::new(connection)))
}

fn verifier(
    authentication: &ClientAuthentication,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, LoadError> {
    let Some(path) = authentication.path() else {
        return Ok(WebPkiClientVerifier::no_client_auth());
    };
    let roots = Arc::new(load_roots(path)?);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    let builder = match authentication {
        ClientAuthentication::Optional(_) => builder.allow_unauthenticated(),
        ClientAuthentication::None | ClientAuthentication::Required(_) => builder,
    };
    builder.build().map_err(|error| LoadError::new(path, error))
}

/// The tickets of before, where what they stand for has not changed.
fn ticketer(
    settings: &ServerSettings,
    before: Option<&Loaded>,
) -> Result<Option<Arc<Ticketer>>, LoadError> {
    let Some(rotation) = settings.ticket_rotation else {
        return Ok(None);
    };
    let is_same = |before: &&Loaded| {
        before.settings.ticket_rotation == settings.ticket_rotation
            && before.settings.client_authentication == settings.client_authentication
            && is_unchanged(before, settings.client_authentication.path())
    };
    if let Some(ticketer) = before.filter(is_same).and_then(|before| before.ticketer.clone()) {
        return Ok(Some(ticketer));
    }
    let ticketer = Ticketer::new(rotation, Instant::now())
        .ok_or_else(|| LoadError::new(Path::new("tickets"), "the system has no random bytes"))?;
    Ok(Some(Arc::new(ticketer)))
}

/// Whether the file that certifies clients is the one that was read before.
fn is_unchanged(before: &Loaded, path: Option<&Path>) -> bool {
    path.is_none_or(|path| {
        let stamp = before.stamps.iter().find(|(known, _)| known == path);
        stamp.is_some_and(|(_, stamp)| *stamp == Stamp::of(path))
    })
}

fn paths_of(settings: &ServerSettings) -> Vec<PathBuf> {
    let of_certificates = settings.certificates.iter().flat_map(|files| {
        [Some(&files.certificate), Some(&files.key), files.ocsp.as_ref()].into_iter().flatten()
    });
    let of_clients = settings.client_authentication.path().map(Path::to_path_buf);
    of_certificates.cloned().chain(of_clients).collect()
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { modified: metadata.modified().ok(), bytes: metadata.len() })
    }
}

/// How often the ticket key changes unless told otherwise.
pub const TICKET_ROTATION_DEFAULT: Duration = Duration::from_secs(6 * 60 * 60);
