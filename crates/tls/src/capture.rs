//! How a handshake's traffic secrets leave rustls: by its key-log hook, which runs on the thread
//! that drives the handshake, inside [`during`].
//!
//! The hook is one for all connections of a configuration, so what it hears goes to the capture
//! that the current step has laid into a thread-local cell. Beside the secrets, the name that the
//! client asked for comes the same way, from the certificate resolver.

use std::cell::RefCell;

use zeroize::Zeroizing;

/// What one handshake has said so far. The secrets are wiped when it falls.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    pub(crate) secrets: TrafficSecrets,
    pub(crate) server_name: Option<Box<str>>,
    /// No certificate has the name that the client asked for.
    pub(crate) name_refused: bool,
}

/// Both traffic secrets of a TLS 1.3 handshake, as rustls's key log names them; wiped when they
/// fall.
#[derive(Default)]
pub struct TrafficSecrets {
    pub(crate) client: Zeroizing<Vec<u8>>,
    pub(crate) server: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for TrafficSecrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TrafficSecrets(..)")
    }
}

impl TrafficSecrets {
    /// Takes what a [`rustls::KeyLog`] hears, if it is one of the two secrets.
    pub fn note(&mut self, label: &str, secret: &[u8]) {
        let field = match label {
            CLIENT_LABEL => &mut self.client,
            SERVER_LABEL => &mut self.server,
            _ => return,
        };
        *field = Zeroizing::new(secret.to_vec());
    }

    /// Whether a [`rustls::KeyLog`] with this label is one of the two secrets.
    pub fn is_wanted(label: &str) -> bool {
        matches!(label, CLIENT_LABEL | SERVER_LABEL)
    }
}

/// Runs a step of a handshake whose secrets and names belong to `capture`.
pub(crate) fn during<R>(capture: &mut Capture, step: impl FnOnce() -> R) -> R {
    CURRENT.with_borrow_mut(|current| std::mem::swap(current, capture));
    let result = step();
    CURRENT.with_borrow_mut(|current| std::mem::swap(current, capture));
    result
}

/// Tells the current capture something.
pub(crate) fn tell(note: impl FnOnce(&mut Capture)) {
    CURRENT.with_borrow_mut(note);
}

/// The hook: hears the secrets of all handshakes, and gives each to its own.
#[derive(Debug)]
pub(crate) struct KeyHook;

impl rustls::KeyLog for KeyHook {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        tell(|capture| capture.secrets.note(label, secret));
    }

    fn will_log(&self, label: &str) -> bool {
        TrafficSecrets::is_wanted(label)
    }
}

thread_local! {
    static CURRENT: RefCell<Capture> = RefCell::new(Capture::default());
}

const CLIENT_LABEL: &str = "CLIENT_TRAFFIC_SECRET_0";
const SERVER_LABEL: &str = "SERVER_TRAFFIC_SECRET_0";
