//! How a load's connections begin: at once, or with a TLS handshake as the client.

use longhold_tls::layer::{Secured, Wire};
use longhold_tls::{ClientSettings, Connector, LoadError, Versions};
use longhold_transport::sim::SimTransport;
use longhold_transport::{Token, Transport, epoll, uring};

use crate::target::Outgoing;

/// A transport for loads.
pub trait Dial: Transport<Payload = Outgoing> {
    /// The connection of `token` stands, and nothing was asked of it yet. With `security` what is
    /// sent from now on waits for a handshake; false where there can be none.
    fn begin(&mut self, token: Token, security: Option<&Security>) -> bool;
}

impl Dial for uring::Reactor<Outgoing> {
    fn begin(&mut self, _: Token, security: Option<&Security>) -> bool {
        security.is_none()
    }
}

impl Dial for epoll::Reactor<Outgoing> {
    fn begin(&mut self, _: Token, security: Option<&Security>) -> bool {
        security.is_none()
    }
}

impl Dial for SimTransport<Outgoing> {
    fn begin(&mut self, _: Token, security: Option<&Security>) -> bool {
        security.is_none()
    }
}

impl<T: Transport<Payload = Wire<Outgoing>>> Dial for Secured<T, Outgoing> {
    fn begin(&mut self, token: Token, security: Option<&Security>) -> bool {
        security.is_none_or(|Security { connector, name }| {
            self.secure_client(token, connector, name).is_ok()
        })
    }
}

/// TLS 1.3, a full handshake for each connection. Whoever answers is believed: a load knows its
/// server by other means, and what it is after is the bytes. A connection at rest costs 128 bytes
/// more than a plain one.
#[derive(Debug)]
pub struct Security {
    connector: Connector,
    name: String,
}

impl Security {
    /// As a client of the server of this name or address.
    ///
    /// # Errors
    /// The library refuses its own settings.
    pub(crate) fn new(name: String) -> Result<Self, LoadError> {
        let settings = ClientSettings { versions: Versions::Tls13Only, ..Default::default() };
        Ok(Self { connector: Connector::new(&settings)?, name })
    }
}
